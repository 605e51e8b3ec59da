// Package respond writes responses without a page, and their headers.
package respond

import (
	"encoding/json"
	"net/http"
	"strconv"
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

// A Field is one field of a JSON object.
type Field struct {
	name, text string
	number     int64
	isNumber   bool
}

// Text is a field with a string.
func Text(name, value string) Field { return Field{name: name, text: value} }

// Int is a field with a number.
func Int(name string, value int64) Field { return Field{name: name, number: value, isNumber: true} }

// JSON responds with an object of the fields, as encoding/json would write it, and
// a newline. Fields with an empty string are left out.
func JSON(w http.ResponseWriter, status int, fields ...Field) {
	b := append(make([]byte, 0, 192), '{')
	for _, f := range fields {
		if f.text == "" && !f.isNumber {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(appendString(b, f.name), ':')
		if f.isNumber {
			b = strconv.AppendInt(b, f.number, 10)
		} else {
			b = appendString(b, f.text)
		}
	}
	b = append(b, "}\n"...)
	values := &[...]string{"application/json; charset=utf-8", "nosniff", strconv.Itoa(len(b))}
	h := w.Header()
	h["Content-Type"], h["X-Content-Type-Options"], h["Content-Length"] = values[0:1:1], values[1:2:2], values[2:3:3]
	w.WriteHeader(status)
	_, _ = w.Write(b) // the client may have disconnected
}

// appendString appends a string as encoding/json writes it.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || strings.IndexByte(`"\<>&`, c) >= 0 {
			quoted, _ := json.Marshal(s) // a string always encodes
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
