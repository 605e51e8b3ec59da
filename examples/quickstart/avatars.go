package main

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/wechatauth/wechatauth/wechattest"
)

// people returns the simulator's people with avatars that need no network;
// WeChat serves avatars from its own hosts.
func people(sim string) []wechattest.Person {
	all := wechattest.DefaultPeople()
	for i := range all {
		all[i].AvatarURL = fmt.Sprintf("%s/avatar/%d", sim, i)
	}
	return all
}

// avatar draws a person's avatar: the same landscape for everyone, in a
// different color.
func avatar(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseUint(r.PathValue("person"), 10, 8)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	hue := (200 + 130*n) % 360
	w.Header().Set("Content-Type", "image/svg+xml")
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">
<rect width="64" height="64" fill="hsl(%[1]d 62%% 80%%)"/>
<circle cx="45" cy="20" r="8" fill="hsl(42 95%% 82%%)"/>
<path d="M0 46Q14 24 30 38T64 32V64H0Z" fill="hsl(%[1]d 42%% 58%%)"/>
<path d="M0 56Q20 40 38 50T64 48V64H0Z" fill="hsl(%[1]d 45%% 40%%)"/>
</svg>`, hue)
}
