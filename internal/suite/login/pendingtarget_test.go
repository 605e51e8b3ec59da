package login

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/flow"
)

// The return URL outlives the pending login.

func TestInvalidCallback_ReturnURL(t *testing.T) {
	for name, spoil := range map[string]func(query, state string) string{
		"text behind the state":      func(q, s string) string { return strings.Replace(q, s, s+"%23wechat_redirect", 1) },
		"letters behind the state":   func(q, s string) string { return strings.Replace(q, s, s+"from", 1) },
		"another parameter glued on": func(q, s string) string { return strings.Replace(q, s, s+"?from=singlemessage", 1) },
		"text before the state":      func(q, s string) string { return strings.Replace(q, s, "x"+s, 1) },
		"the state twice":            func(q, s string) string { return q + "&state=" + s },
		"half the state":             func(q, s string) string { return strings.Replace(q, s, s[:flow.StateLength-5], 1) },
		"another end of the state": func(q, s string) string {
			return strings.Replace(q, s, s[:flow.StateLength/2]+flow.NewState()[:flow.StateLength/2], 1)
		},
		"the code twice":    func(q, _ string) string { return q + "&code=x" },
		"an invalid code":   func(q, _ string) string { return strings.Replace(q, "code=", "code=%00", 1) },
		"an invalid escape": func(q, _ string) string { return q + "&x=%zz" },
	} {
		t.Run(name, func(t *testing.T) {
			s := authtest.NewSite(t)
			b := s.Browser()
			b.Authorize("/elsewhere")
			u := authtest.MustParse(t, b.Authorize(authtest.Wanted))

			got := b.Step(u.Path + "?" + spoil(u.RawQuery, u.Query().Get("state")))

			assert.Equal(t, http.StatusBadRequest, got.StatusCode)
			assert.Contains(t, got.Text, authtest.RetryWanted)
			assert.Empty(t, got.SetOf(s.SessionCookie()))
			assert.Zero(t, s.Exchanges())
			assert.Contains(t, b.Visit("/wechat/login?next=%2Forders%3Fid%3D7&again=1").Text, "url="+authtest.Wanted+" logged-in=true")
		})
	}
	t.Run("of another browser", func(t *testing.T) {
		s := authtest.NewSite(t)
		u := authtest.MustParse(t, s.Browser().Authorize(authtest.Wanted))
		got := s.Browser().Step(u.RequestURI())
		assert.NotContains(t, got.Text, "orders")
	})
}

// A pending login expires after ten minutes. Its cookie does not, because it
// holds the return URL. The browser of this test drops expired cookies.
func TestLateCallback(t *testing.T) {
	for _, late := range []time.Duration{10*time.Minute + time.Second, time.Hour, 23 * time.Hour} {
		s := authtest.NewSite(t)
		begun := s.Wire(http.MethodGet, authtest.Wanted, authtest.PageHeader)
		cookies := begun.FlowCookies()
		require.Len(t, cookies, 1)
		back := s.Browser().Step(begun.Header.Get("Location")).Header.Get("Location")
		s.Clock.Advance(late)
		require.Greater(t, time.Duration(cookies[0].MaxAge)*time.Second, late, "the browser still has it")

		got := s.Wire(http.MethodGet, authtest.MustParse(t, back).RequestURI(), authtest.PageHeader, authtest.CookieHeader(cookies...))

		assert.Equal(t, http.StatusBadRequest, got.StatusCode)
		assert.Contains(t, got.Text, string(wechatauth.ReasonStateExpired))
		assert.Contains(t, got.Text, authtest.RetryWanted)
		assert.Empty(t, got.SetOf(s.SessionCookie()), "it is not a login")
		assert.Zero(t, s.Exchanges())
	}
}

// reachedByHTTP serves a site on https at the same host by http too, behind a
// proxy that reports the protocol, and returns a browser for both.
func reachedByHTTP(t *testing.T, proto func(r *http.Request) string) *authtest.Browser {
	t.Helper()
	s := authtest.NewTLSSite(t)
	inner := s.Server.Config.Handler
	s.Server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("X-Forwarded-Proto", proto(r))
		inner.ServeHTTP(w, r)
	})
	plain := httptest.NewServer(s.Server.Config.Handler)
	t.Cleanup(plain.Close)
	secure := s.Server.Client().Transport.(*http.Transport).TLSClientConfig
	b := s.Browser()
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == s.Base.Host {
				address = plain.Listener.Addr().String()
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return (&tls.Dialer{Config: secure}).DialContext(ctx, network, address)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	b.Client.Transport = transport
	return b
}

// A browser drops Secure cookies that arrive by http, so none is set there.
func TestPlainHTTP(t *testing.T) {
	actual := func(r *http.Request) string {
		if r.TLS == nil {
			return "http"
		}
		return "https"
	}
	for _, page := range []string{authtest.Wanted, "/wechat/login?next=%2Forders%3Fid%3D7"} {
		b := reachedByHTTP(t, actual)
		insecure := "http://" + b.Site.Base.Host
		first := b.Step(insecure + page)
		assert.Equal(t, http.StatusSeeOther, first.StatusCode)
		assert.True(t, strings.HasPrefix(first.Header.Get("Location"), b.Site.Base.String()+"/"), first.Header.Get("Location"))
		assert.Empty(t, first.FlowCookies())
		assert.Contains(t, b.Visit(insecure+page).Text, "url="+authtest.Wanted+" logged-in=true")
	}

	// A proxy behind another one reports http for every request.
	b := reachedByHTTP(t, func(*http.Request) string { return "http" })
	assert.Contains(t, b.Visit(authtest.Wanted).Text, "url="+authtest.Wanted+" logged-in=true")
	b = reachedByHTTP(t, func(*http.Request) string { return "https, http" })
	assert.Equal(t, http.StatusSeeOther, b.Step(authtest.Wanted).StatusCode)
	assert.NotEmpty(t, b.Client.Jar.Cookies(b.Site.Base), "the client's own protocol comes first")
}
