package wechatauth

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

	"github.com/wechatauth/wechatauth/internal/flow"
)

// Where the user wanted to go is not lost with the pending login.

const (
	wanted      = "/orders?id=7"
	retryWanted = `href="/wechat/login?next=%2Forders%3Fid%3D7&amp;again=1"`
)

func TestACallbackThatIsNoLoginLeadsToTheTargetAllTheSame(t *testing.T) {
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
		"the code twice":         func(q, _ string) string { return q + "&code=x" },
		"a code that is none":    func(q, _ string) string { return strings.Replace(q, "code=", "code=%00", 1) },
		"an escape that is none": func(q, _ string) string { return q + "&x=%zz" },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			b := s.browser()
			b.authorize("/elsewhere")
			u := mustParse(t, b.authorize(wanted))

			got := b.step(u.Path + "?" + spoil(u.RawQuery, u.Query().Get("state")))

			assert.Equal(t, http.StatusBadRequest, got.StatusCode)
			assert.Contains(t, got.body, retryWanted)
			assert.Empty(t, got.setOf(s.sessionCookie()))
			assert.Zero(t, s.exchanges())
			assert.Contains(t, b.visit("/wechat/login?next=%2Forders%3Fid%3D7&again=1").body, "url="+wanted+" logged-in=true")
		})
	}
	t.Run("of another browser", func(t *testing.T) {
		s := newSite(t)
		u := mustParse(t, s.browser().authorize(wanted))
		got := s.browser().step(u.RequestURI())
		assert.NotContains(t, got.body, "orders")
	})
}

// A pending login ends after ten minutes; its cookie does not, because it has
// the target. The browser of this test drops what has ended.
func TestALateReturnLeadsToTheTarget(t *testing.T) {
	for _, late := range []time.Duration{10*time.Minute + time.Second, time.Hour, 23 * time.Hour} {
		s := newSite(t)
		begun := s.wire(http.MethodGet, wanted, pageHeader)
		cookies := begun.flowCookies()
		require.Len(t, cookies, 1)
		back := s.browser().step(begun.Header.Get("Location")).Header.Get("Location")
		s.clock.Advance(late)
		require.Greater(t, time.Duration(cookies[0].MaxAge)*time.Second, late, "the browser has it still")

		got := s.wire(http.MethodGet, mustParse(t, back).RequestURI(), pageHeader, cookieHeader(cookies...))

		assert.Equal(t, http.StatusBadRequest, got.StatusCode)
		assert.Contains(t, got.body, string(ReasonStateExpired))
		assert.Contains(t, got.body, retryWanted)
		assert.Empty(t, got.setOf(s.sessionCookie()), "it is no login")
		assert.Zero(t, s.exchanges())
	}
}

// reachedByHTTP serves a site on https at the same host by http too, behind a
// proxy that says so, and returns a browser for both.
func reachedByHTTP(t *testing.T, proto func(r *http.Request) string) *browser {
	t.Helper()
	s := newTLSSite(t)
	inner := s.server.Config.Handler
	s.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("X-Forwarded-Proto", proto(r))
		inner.ServeHTTP(w, r)
	})
	plain := httptest.NewServer(s.server.Config.Handler)
	t.Cleanup(plain.Close)
	secure := s.server.Client().Transport.(*http.Transport).TLSClientConfig
	b := s.browser()
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == s.auth.base.Host {
				address = plain.Listener.Addr().String()
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return (&tls.Dialer{Config: secure}).DialContext(ctx, network, address)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	b.client.Transport = transport
	return b
}

// A browser drops Secure cookies that come by http, so none is set there.
func TestAVisitByHTTPGoesToHTTPSBeforeItsLoginBegins(t *testing.T) {
	actual := func(r *http.Request) string {
		if r.TLS == nil {
			return "http"
		}
		return "https"
	}
	for _, page := range []string{wanted, "/wechat/login?next=%2Forders%3Fid%3D7"} {
		b := reachedByHTTP(t, actual)
		insecure := "http://" + b.site.auth.base.Host
		first := b.step(insecure + page)
		assert.Equal(t, http.StatusSeeOther, first.StatusCode)
		assert.True(t, strings.HasPrefix(first.Header.Get("Location"), b.site.auth.base.String()+"/"), first.Header.Get("Location"))
		assert.Empty(t, first.flowCookies())
		assert.Contains(t, b.visit(insecure+page).body, "url="+wanted+" logged-in=true")
	}

	// A proxy that is behind another one says http of everybody.
	b := reachedByHTTP(t, func(*http.Request) string { return "http" })
	assert.Contains(t, b.visit(wanted).body, "url="+wanted+" logged-in=true")
	b = reachedByHTTP(t, func(*http.Request) string { return "https, http" })
	assert.Equal(t, http.StatusSeeOther, b.step(wanted).StatusCode)
	assert.NotEmpty(t, b.client.Jar.Cookies(b.site.auth.base), "the client's own protocol comes first")
}
