// Package respond sets the headers of the responses that the gate writes itself.
package respond

import (
	"net/http"
	"strings"
)

// NoStore sets the headers that keep a response out of every cache, and its URL
// out of the Referer header.
func NoStore(h http.Header) {
	values := &[...]string{"no-store", "no-cache", "no-referrer"} // in one piece of memory
	h["Cache-Control"], h["Pragma"], h["Referrer-Policy"] = values[0:1:1], values[1:2:2], values[2:3:3]
	AddVary(h, "Cookie")
}

// AddVary adds the name of a header to Vary, unless it is there.
func AddVary(h http.Header, name string) {
	for _, line := range h["Vary"] {
		if line == name {
			return
		}
		for field := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(field), name) {
				return
			}
		}
	}
	h.Add("Vary", name)
}

// Redirect responds with 303 See Other. The location must have been checked: it
// is sent as it is, because http.Redirect cleans paths and so can turn a checked
// return URL into another one.
func Redirect(w http.ResponseWriter, location string) {
	h := w.Header()
	NoStore(h)
	values := &[...]string{location, "0"}
	h["Location"], h["Content-Length"] = values[0:1:1], values[1:2:2]
	w.WriteHeader(http.StatusSeeOther)
}
