//go:build !race

package authtest

// UnderRace reports whether the race detector is on.
const UnderRace = false
