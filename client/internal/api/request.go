package api

import (
	"net/url"
	"time"
)

// A Request is a call of WeCom's API that a client.Client makes for package
// wecom, with the limits, retries and errors of the other calls.
type Request struct {
	Endpoint string         // the path without the leading slash
	Query    url.Values     // not nil
	JSON     map[string]any // the body of a POST; nil means GET
	Once     bool           // must not reach WeCom twice
	AsApp    bool           // needs the app's access_token
	Keys     []string       // the decisive keys of the response, in lower case; the case of a key does not count

	// Invalid is the sentinel that the errcode of the response would match. If
	// it is not nil, the call is not made.
	Invalid error
	// Read reads the response. The text of its error continues a sentence that
	// begins with "response".
	Read func(Object) error
}

// An Object is a response whose errcode is 0 or absent.
type Object interface {
	// String returns a string member, or "" if it is absent or null. Any other
	// type is an error.
	String(key string) (string, error)
	// Token is like String, for printable ASCII without spaces.
	Token(key string) (string, error)
	// Text returns a string or a number as text, otherwise "".
	Text(key string) string
	// Display is like Text, for text that is safe to show on one line.
	Display(key string) string
	// URL returns an https URL that is safe to show, otherwise "".
	URL(key string) string
	// Seconds returns a duration between 0 and most, otherwise 0.
	Seconds(key string, most time.Duration) time.Duration
}

// A RedactedSource marks a token source of this module, whose errors have been
// redacted and are returned unchanged.
type RedactedSource interface{ RedactedErrors() }
