package relay_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/relay"
	"github.com/wechatauth/wechatauth/wechattest"
)

func TestRelay(t *testing.T) {
	t.Run("login on another domain", func(t *testing.T) { testLogin(t) })
	t.Run("T95 only listed callbacks", func(t *testing.T) { testListedCallbacks(t) })
	t.Run("code for one state, one minute and one use", func(t *testing.T) { testRelayedCode(t) })
	t.Run("denied consent", func(t *testing.T) { testDenied(t) })
	t.Run("T95 all accounts of a listed application", func(t *testing.T) { testAccounts(t) })
}

func testLogin(t *testing.T) {
	s, front := authtest.NewRelayedSite(t)
	b := s.Browser()
	got := b.Visit("/orders?id=7")
	require.Contains(t, got.Text, "url=/orders?id=7 logged-in=true")
	var seen []string
	for _, step := range b.Trail {
		if strings.HasPrefix(step, front.URL) {
			seen = append(seen, step)
		}
		if strings.HasPrefix(step, s.Server.URL) {
			assert.NotContains(t, step, "code=", "the code is encrypted")
		}
	}
	assert.Len(t, seen, 1)
}

func testListedCallbacks(t *testing.T) {
	s, front := authtest.NewRelayedSite(t)
	b := s.Browser()
	toWeChat := b.Step("/a")
	relayed := b.Step(toWeChat.Header.Get("Location")).Header.Get("Location")
	u := authtest.MustParse(t, relayed)
	own := s.Server.URL + "/wechat/callback"
	for name, to := range map[string]string{
		"another path":                   s.Server.URL + "/account/delete",
		"an account's callback":          own + "/" + wechattest.DefaultAppID,
		"a path below":                   own + "/../../account/delete",
		"a path above":                   s.Server.URL + "/wechat/",
		"another endpoint":               s.Server.URL + "/wechat/logout",
		"a slash at the end":             own + "/",
		"an encoded path":                s.Server.URL + "/wechat/%63allback",
		"another host":                   "https://evil.example/wechat/callback",
		"a host with the same beginning": s.Server.URL + ".evil.example/wechat/callback",
		"a user":                         strings.Replace(own, "http://", "http://"+u.Host+"@evil.example/", 1),
		"another scheme":                 strings.Replace(own, "http://", "https://", 1),
		"no scheme":                      strings.TrimPrefix(own, "http:"),
		"a backslash":                    strings.Replace(own, "/wechat", `\@evil.example/wechat`, 1),
		"a query":                        own + "?x=1",
		"a fragment":                     own + "#x",
		"nothing":                        "",
		"javascript":                     "javascript:alert(1)",
		"a line break":                   own + "\r\nX: y",
		"a host in upper case":           strings.ToUpper(own),
		"white space in front":           " " + own,
	} {
		t.Run(name, func(t *testing.T) {
			q := u.Query()
			q.Set("to", to)
			got := b.Step(front.URL + "/relay?" + q.Encode())
			assert.Equal(t, http.StatusBadRequest, got.StatusCode)
			assert.Empty(t, got.Header.Get("Location"))
		})
	}
	assert.Equal(t, http.StatusBadRequest, b.Step(front.URL+"/relay?"+u.RawQuery+"&to="+url.QueryEscape(own)).StatusCode, "two targets")
}

func testRelayedCode(t *testing.T) {
	s, _ := authtest.NewRelayedSite(t)
	b := s.Browser()
	relayed := b.Step(b.Step("/a").Header.Get("Location")).Header.Get("Location")
	hop := b.Step(relayed).Header.Get("Location")
	require.Contains(t, hop, s.Server.URL+"/wechat/callback?hop=")

	other := b.Step(b.Step("/b").Header.Get("Location")).Header.Get("Location")
	swapped := authtest.MustParse(t, hop)
	q := swapped.Query()
	q.Set("state", authtest.MustParse(t, other).Query().Get("state"))
	swapped.RawQuery = q.Encode()
	assert.Equal(t, http.StatusBadRequest, b.Step(swapped.String()).StatusCode, "for another state")
	assert.Equal(t, http.StatusBadRequest, b.Step(s.Server.URL+"/wechat/callback?"+authtest.MustParse(t, relayed).RawQuery).StatusCode, "a code that did not come from the relay")
	assert.Zero(t, s.Exchanges())

	assert.Equal(t, "/a", b.Step(hop).Header.Get("Location"))
	assert.Equal(t, http.StatusBadRequest, s.Browser().Step(hop).StatusCode, "in another browser")
	assert.Equal(t, 1, s.Exchanges())

	fresh := s.Browser()
	stale := fresh.Step(fresh.Step(fresh.Step("/c").Header.Get("Location")).Header.Get("Location")).Header.Get("Location")
	s.Clock.Advance(time.Minute + cookie.Skew + time.Second)
	assert.Equal(t, http.StatusBadRequest, fresh.Step(stale).StatusCode, "after more than a minute")
	assert.Equal(t, 1, s.Exchanges())
}

func testDenied(t *testing.T) {
	s, front := authtest.NewRelayedSite(t)
	b := s.Browser()
	relayed := authtest.MustParse(t, b.Step(b.Step("/a").Header.Get("Location")).Header.Get("Location"))
	q := relayed.Query()
	q.Del("code")
	got := b.Visit(front.URL + "/relay?" + q.Encode())
	assert.Equal(t, http.StatusForbidden, got.StatusCode)
	assert.Contains(t, got.Text, "refused_by_user")
}

func TestNew_InvalidArguments(t *testing.T) {
	key := []byte("0123456789abcdefghijklmnopqrstuv")
	for name, make := range map[string]func() (http.Handler, error){
		"a short key":          func() (http.Handler, error) { return relay.New(key[:8], "https://a.example.com/wechat/callback") },
		"no callbacks":         func() (http.Handler, error) { return relay.New(key) },
		"an origin":            func() (http.Handler, error) { return relay.New(key, "https://a.example.com") },
		"an origin's slash":    func() (http.Handler, error) { return relay.New(key, "https://a.example.com/") },
		"a query":              func() (http.Handler, error) { return relay.New(key, "https://a.example.com/wechat/callback?x=1") },
		"dots":                 func() (http.Handler, error) { return relay.New(key, "https://a.example.com/wechat/../callback") },
		"an encoded path":      func() (http.Handler, error) { return relay.New(key, "https://a.example.com/wechat/%63allback") },
		"plain http":           func() (http.Handler, error) { return relay.New(key, "http://a.example.com/wechat/callback") },
		"no scheme":            func() (http.Handler, error) { return relay.New(key, "a.example.com/wechat/callback") },
		"one valid, one empty": func() (http.Handler, error) { return relay.New(key, "https://a.example.com/wechat/callback", "") },
	} {
		t.Run(name, func(t *testing.T) {
			_, err := make()
			assert.ErrorContains(t, err, "relay: ")
		})
	}
}

// The callbacks of multiple accounts end with an AppID. A listed callback with
// a trailing slash matches all of them, but nothing below them.
func testAccounts(t *testing.T) {
	key := []byte("0123456789abcdefghijklmnopqrstuv")
	handler, err := relay.New(key, "https://mall.example.net:443/wechat/callback/", "https://one.example.net/wechat/callback/"+authtest.ShopA)
	require.NoError(t, err)
	for to, want := range map[string]bool{
		"https://mall.example.net/wechat/callback/" + authtest.ShopA: true,
		"https://mall.example.net/wechat/callback/" + authtest.ShopB: true,
		"https://one.example.net/wechat/callback/" + authtest.ShopA:  true,
		"https://one.example.net/wechat/callback/" + authtest.ShopB:  false,
		"https://mall.example.net/wechat/callback/":                  false,
		"https://mall.example.net/wechat/callback":                   false,
		"https://mall.example.net/wechat/callback/delete":            false,
		"https://mall.example.net/wechat/callback/wx/../delete":      false,
		"https://mall.example.net/wechat/callback/wx%2fdelete":       false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/relay?"+url.Values{"to": {to}, "state": {strings.Repeat("s", flow.StateLength)}, "code": {"c0de"}}.Encode(), nil)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		assert.Equal(t, want, strings.HasPrefix(w.Header().Get("Location"), to+"?hop="), "%s: %q", to, w.Header().Get("Location"))
	}
}
