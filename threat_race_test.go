//go:build race

package wechatauth

// underRace: the race detector makes everything ten times slower, so floods are
// smaller.
const underRace = true
