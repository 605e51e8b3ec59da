package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The other tests rely on this: a problem of a page is reported.
func TestBrowser_ReportsProblems(t *testing.T) {
	t.Parallel()
	faults := []struct{ name, body, complaint string }{
		{"an inline style that the policy forbids", `<style>p{color:red}</style>`, "Content Security Policy"},
		{"a form that the policy forbids to post there", `<form method=post action=//127.0.0.1:9><button></form><script>document.forms[0].submit()</script>`, "Content Security Policy"},
		{"an error on the console", `<script>console.error("gone wrong")</script>`, "console.error"},
		{"an exception", `<script>throw new Error("gone wrong")</script>`, "exception"},
		{"a picture that is missing", `<img src=/missing>`, "404"},
		{"a picture of a foreign host", `<img src=http://cdn.test/logo.png>`, "foreign host"},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i, f := range faults {
			if r.URL.Path == fmt.Sprintf("/%d", i) {
				w.Header().Set("Content-Security-Policy", "style-src 'none'; form-action 'self'")
				w.Header().Set("Content-Type", "text/html")
				fmt.Fprint(w, "<!doctype html><title>x</title>", f.body)
				return
			}
		}
		http.NotFound(w, r)
	}))
	defer server.Close()

	tb := openBrowser(t).tab()
	for i, f := range faults {
		tb.open(fmt.Sprintf("%s/%d", server.URL, i))
		eval[bool](tb, "true") // the page's problems arrive before the result
		assert.Contains(t, strings.Join(tb.complaints(), "\n"), f.complaint, f.name)
	}
}

func TestBrowser_FindsFaults(t *testing.T) {
	t.Parallel()
	pages := []struct{ name, html, fault string }{
		{"wider than the screen", `<title>x</title><div style="width: 200vw">wide</div>`, "scrolls sideways"},
		{"without a title", `<p>text</p>`, "has no title"},
		{"with a button too small for a finger", `<title>x</title><button>tap</button>`, "too little for a finger"},
		{"with text too pale to read", `<title>x</title><p style="color: #999">pale</p>`, "has a contrast of 2.8"},
		{"with text too pale on what shines through", `<title>x</title><div style="background: rgb(0 0 0 / .5)"><p>pale</p></div>`, "has a contrast of 1"},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		fmt.Fprint(w, "<!doctype html><body style='background: #fff; color: #777'>", pages[i].html)
	}))
	defer server.Close()

	tb := openBrowser(t).tab()
	for i, p := range pages {
		tb.open(fmt.Sprintf("%s/%d", server.URL, i))
		assert.Contains(t, strings.Join(eval[[]string](tb, faultsJS), "\n"), p.fault, p.name)
	}
}

func TestBrowser_NoChromium(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := findChromium()
	require.ErrorContains(t, err, "apt-get install chromium")
}
