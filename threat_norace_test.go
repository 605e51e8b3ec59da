//go:build !race

package wechatauth

const underRace = false
