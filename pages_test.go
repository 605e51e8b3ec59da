package wechatauth

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/page"
)

// servePage serves p from a real server and returns what a browser gets.
func servePage(t *testing.T, pages pageFunc, p Page) (*http.Response, string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = writePage(w, r, pages, p, 202, page.Hints{FormActions: []string{"https://sim.example"}})
	}))
	defer server.Close()
	resp, err := server.Client().Get(server.URL)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(body)
}

// The rejected URLs are a table in internal/page; this test covers every link.
func TestPages_links(t *testing.T) {
	for name, c := range map[string]struct {
		url   string
		shown bool
	}{
		"path":                       {"/wechat/login?next=%2F", true},
		"https URL":                  {"https://app.example.com/wechat/login", true},
		"javascript in odd spelling": {"JaVaScript:alert(1)", false},
		"other host without scheme":  {"//evil.example/a", false},
	} {
		t.Run(name, func(t *testing.T) {
			_, body := servePage(t, nil, Page{Lang: page.English, Reason: ReasonLoop, RetryURL: c.url})
			assert.Equal(t, c.shown, strings.Contains(body, "<a "))

			var seen Page
			servePage(t, func(w io.Writer, p Page) error {
				seen = p
				_, err := io.WriteString(w, "ok")
				return err
			}, Page{RetryURL: c.url, ActionURL: c.url})
			want := ""
			if c.shown {
				want = c.url
			}
			assert.Equal(t, want, seen.RetryURL, "a page of the user's own gets no worse links")
			assert.Equal(t, want, seen.ActionURL)
		})
	}
}

// TestPages_custom checks that a custom page gets all data of the built-in
// page.
func TestPages_custom(t *testing.T) {
	given := Page{
		Kind: PageConsent, Lang: page.English, RetryURL: "/r", ActionURL: "/a", Next: "/n",
	}
	var got Page
	resp, body := servePage(t, func(w io.Writer, p Page) error {
		got = p
		_, err := io.WriteString(w, "<p>ours</p>")
		return err
	}, given)
	assert.Equal(t, "Your WeChat nickname and avatar", got.Title)
	assert.Len(t, got.Text, 2)
	assert.Equal(t, map[string]string{"submit": "Continue to WeChat"}, got.Labels)
	got.Title, got.Text, got.Labels, got.hints = "", nil, nil, page.Hints{}
	assert.Equal(t, given, got)
	assert.Equal(t, 202, resp.StatusCode)
	assert.Equal(t, "<p>ours</p>", body)
	assert.Contains(t, resp.Header.Get("Content-Security-Policy"), "form-action 'self' https://sim.example;")
}

// One text of a page can be changed, or one kind of page replaced, without a
// warning, and without an effect on other pages.
func TestDefaultPages(t *testing.T) {
	ours := func(w io.Writer, p Page) error {
		if p.Kind == PageConsent {
			p.Title, p.Text[0], p.Labels["submit"] = "Our shop", "One text", "Go on"
		}
		return DefaultPages(w, p)
	}
	consent := Page{Kind: PageConsent, Lang: page.English, ActionURL: "/a", Next: "/n"}
	for range 2 {
		_, body := servePage(t, ours, consent)
		assert.Contains(t, body, "<title>Our shop</title>")
		assert.Contains(t, body, "<p>One text</p>\n<p>WeChat requires")
		assert.Contains(t, body, `<button type="submit">Go on</button>`)
	}
	_, body := servePage(t, nil, consent)
	assert.Contains(t, body, "<h1>Your WeChat nickname and avatar</h1>")
	assert.Contains(t, body, "Continue to WeChat")
	for kind := PageMessage; kind <= PageEnter; kind++ {
		p := Page{Kind: kind, Lang: page.English, Reason: ReasonLoop, Reference: "1234", RetryURL: "/r"}
		_, relabelled := servePage(t, func(w io.Writer, p Page) error {
			p.Labels["submit"] = "Go on"
			return DefaultPages(w, p)
		}, p)
		assert.Equal(t, kind == PageScanNumber, strings.Contains(relabelled, "Go on"), "a label does not make a form")
		require.NoError(t, writePage(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil), ours, p, 200, page.Hints{}))
		if kind == PageConsent {
			continue
		}
		_, want := servePage(t, nil, p)
		_, body := servePage(t, ours, p)
		assert.Equal(t, want, body)
	}
}
