package siteurl

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// lines returns how often an error names a fault.
func lines(err error) int {
	if err == nil {
		return 0
	}
	return 1 + strings.Count(err.Error(), "\n")
}

func TestParse(t *testing.T) {
	for raw, want := range map[string]string{
		"https://m.example.com":      "https://m.example.com",
		"HTTPS://M.Example.com/":     "https://m.example.com",
		"https://m.example.com:443":  "https://m.example.com",
		"http://localhost:8080":      "http://localhost:8080",
		"http://shop.localhost":      "http://shop.localhost",
		"http://127.0.0.1:8080":      "http://127.0.0.1:8080",
		"https://[::1]:8443":         "https://[::1]:8443",
		"https://xn--fiqs8s.example": "https://xn--fiqs8s.example",
		"http://LOCALHOST:80/":       "http://localhost:80",
		"http://192.168.1.20:8080":   "http://192.168.1.20:8080",
		"https://192.168.1.20":       "https://192.168.1.20",
	} {
		u, err := Parse(raw, "192.168.1.20")
		if assert.NoError(t, err, raw) {
			assert.Equal(t, want, u.String(), raw)
		}
	}
}

func TestParse_everyFault(t *testing.T) {
	for raw, faults := range map[string][]string{
		"":                                     {"it is required"},
		"m.example.com":                        {"no URL of the form"},
		"https://user:pass word@m.example.com": {`"…" is no URL`},
		"http://m.example.com":                 {"use https"},
		"http://m.example.com:8080":            {"use https", "leave out the port"},
		"http://m.example.com:99999":           {"use https", "has no valid port"},
		"https://m.example.com:":               {"has no valid port"},
		"http://u:secret@203.0.113.7:8080/a?b": {"without user, path", "use https", "no IP address", "leave out the port"},
		"ftp://-m.example.com/a#b":             {"without user, path", "is no host name", "use https"},
		"http://b\u00fccher.example/a":         {"without user, path", `as "xn--bcher-kva.example"`, "use https"},
		"https://[2001:db8::1]":                {"no IP address"},
		"http://192.168.1.21:8080":             {"use https", "no IP address", "leave out the port"},
		"ftp://192.168.1.20":                   {"use http or https"},
		"ftp://localhost/a":                    {"without user, path", "use http or https"},
	} {
		u, err := Parse(raw, "192.168.1.20")
		assert.Nil(t, u, raw)
		assert.Equal(t, len(faults), lines(err), "%q: %v", raw, err)
		for _, fault := range faults {
			assert.ErrorContains(t, err, fault, raw)
		}
		assert.NotContains(t, err.Error(), "secret")
	}
}

func TestCheckPrefix(t *testing.T) {
	for prefix, faults := range map[string]int{
		"/wechat/": 0, "/a/b-c_d.e/": 0,
		"": 1, "/": 1, "//": 1, "wechat": 1, "/wechat": 1, "wechat/": 1,
		"/a//b/": 1, "/../": 1, "/./": 1, "/wx auth/": 1, "/微信/": 1,
		"we chat": 2, "/a?b": 2,
	} {
		assert.Equal(t, faults, lines(CheckPrefix(prefix)), "%q: %v", prefix, CheckPrefix(prefix))
	}
}

func TestIsAppID(t *testing.T) {
	for s, want := range map[string]bool{"wx0123456789abcdef": true, "wx": true, "": false, "callback": false, "wx/a": false, "wx%2f": false, "ww0123": false} {
		assert.Equal(t, want, IsAppID(s), s)
	}
}
