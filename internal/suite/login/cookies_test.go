package login

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/wechattest"
)

// recording collects the cookies that h sets.
func recording(h http.Handler) (recorded http.Handler, cookies func() []*http.Cookie) {
	var mu sync.Mutex
	var all []*http.Cookie
	recorded = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner := httptest.NewRecorder()
		h.ServeHTTP(inner, r)
		mu.Lock()
		all = append(all, inner.Result().Cookies()...)
		mu.Unlock()
		for name, values := range inner.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(inner.Code)
		_, _ = w.Write(inner.Body.Bytes())
	})
	return recorded, func() []*http.Cookie {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

// Every cookie that is set is in the table, with its lifetime, and nothing else
// is.
func TestCookies(t *testing.T) {
	s := authtest.NewSite(t, wechatauth.WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginScan}), wechatauth.WithScope(client.ScopeUserInfo))
	handler, set := recording(s.Server.Config.Handler)
	s.Server.Config.Handler = handler

	b := s.Browser()
	require.Contains(t, b.Allow(b.Visit("/a")).Text, "logged-in=true")
	b.Post("/wechat/logout", url.Values{})
	s.Browser().As(authtest.ChromeWindows).Visit("/a")
	s.Wire(http.MethodGet, "/a", authtest.PageHeader, "X-Forwarded-Proto: http", "Host: other.example")
	s.Sim.SetEnvironment(wechattest.Snapshot)
	s.Browser().Visit("/a")

	table := s.Cookies.Cookies()
	seen := map[string]bool{}
	for _, c := range set() {
		if c.Name == s.SessionCookie() || c.MaxAge < 0 {
			continue
		}
		i := slices.IndexFunc(table, func(k flow.Cookie) bool {
			return c.Name == k.Name || k.Name == s.Cookies.Prefix() && len(c.Name) == len(k.Name)+flow.StateLength/2 && strings.HasPrefix(c.Name, k.Name)
		})
		require.GreaterOrEqual(t, i, 0, "%s is not in the table", c.Name)
		seen[table[i].Name] = true
		assert.Equal(t, int(table[i].Life/time.Second), c.MaxAge, c.Name)
		assert.Equal(t, table[i].Sealed, c.Value != "1", c.Name)
	}
	for _, k := range table {
		assert.True(t, seen[k.Name], "%s was not set", k.Name)
	}
}
