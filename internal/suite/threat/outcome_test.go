package threat

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/singleflight"
	"github.com/wechatauth/wechatauth/wechattest"
)

// How long the result of a callback is shared, and with which requests.

func TestSharedResult(t *testing.T) {
	t.Run("T06 kept for a minute", func(t *testing.T) {
		for name, c := range map[string]struct {
			after time.Duration
			kept  bool
		}{
			"at once":                 {0, true},
			"a second before its end": {59 * time.Second, true},
			"a second after its end":  {61 * time.Second, false},
			"nine minutes later":      {9 * time.Minute, false},
		} {
			t.Run(name, func(t *testing.T) {
				var st *authtest.FaultyStore
				s := authtest.NewSite(t, authtest.WithFaultyStore(&st))
				b := s.Browser()
				callback := b.Authorize("/a")
				pending := authtest.CookieHeader(b.Client.Jar.Cookies(s.Base)...)
				first := b.Step(callback)
				require.NotEmpty(t, first.SetOf(s.SessionCookie()))
				s.Clock.Advance(c.after)

				// The response was lost, so this browser has no session yet.
				got := s.Wire(http.MethodGet, callback, authtest.PageHeader, pending)

				if c.kept {
					assert.Equal(t, "/a", got.Header.Get("Location"))
					assert.Equal(t, first.SetOf(s.SessionCookie()), got.SetOf(s.SessionCookie()), "the same session")
					assert.Equal(t, 1, s.Exchanges())
					return
				}
				assert.Empty(t, got.SetOf(s.SessionCookie()), "no session is shared after that")
				assert.Contains(t, got.Header.Get("Location"), authtest.AuthorizeEndpoint, "the spent code starts the login once more")
			})
		}
	})

	// A failure is shared with the duplicates that wait at that moment. A
	// reload is a new attempt.
	t.Run("T06 failure does not apply to a reload", func(t *testing.T) {
		var st *authtest.FaultyStore
		s := authtest.NewSite(t, authtest.WithFaultyStore(&st))
		b := s.Browser()
		callback := b.Authorize("/a")
		s.Sim.Fail(authtest.ExchangeEndpoint, wechattest.Busy())
		require.Equal(t, http.StatusBadGateway, b.Step(callback).StatusCode)
		require.Equal(t, http.StatusBadGateway, b.Step(callback).StatusCode, "a duplicate callback gets the same response")
		require.Equal(t, 1, s.Exchanges())
		s.Clock.Advance(5 * time.Second)

		assert.Contains(t, b.Visit(callback).Text, "url=/a logged-in=true")
		assert.Equal(t, 2, s.Exchanges())
	})

	t.Run("T06 unused lease is released", func(t *testing.T) {
		var st *authtest.FaultyStore
		s := authtest.NewSite(t, authtest.WithFaultyStore(&st))
		s.Wait = func(context.Context, time.Duration) error { return context.DeadlineExceeded }
		b := s.Browser()
		b.SetCookie(s.SessionCookie(), s.SessionWith("cart", "book"))
		callback := b.Authorize("/a")
		pending := authtest.CookieHeader(b.Client.Jar.Cookies(s.Base)...)
		st.Fail("find", authtest.Failing)
		require.Equal(t, http.StatusServiceUnavailable, b.Step(callback).StatusCode)
		st.Fail("find", nil)

		got := s.Wire(http.MethodGet, callback, authtest.PageHeader, pending)

		assert.Equal(t, http.StatusSeeOther, got.StatusCode)
		assert.Equal(t, "/a", got.Header.Get("Location"))
		assert.Equal(t, 1, s.Exchanges())
	})
}

func TestPendingLogin(t *testing.T) {
	t.Run("T07 a lease per account and state", func(t *testing.T) {
		seen := map[string][2]string{}
		for _, place := range [][2]string{{"wx1", "abc"}, {"wx2", "abc"}, {"wx1", "abd"}, {"wx1a", "bc"}, {"wx", "1abc"}, {"", "wx1abc"}, {"wx1abc", ""}, {"", ""}} {
			key := singleflight.Key(place[0], place[1])
			assert.NotContains(t, seen, key, "%q and %q", place, seen[key])
			assert.Len(t, key, 43, "for any input")
			seen[key] = place
		}
		state := flow.NewState()
		assert.NotContains(t, singleflight.Key("wx1", state), state, "the key does not reveal the state")
	})

	// An expired pending login logs no one in. For a user who is logged in it
	// is not an error: the browser may have been restored with its tabs.
	t.Run("T08 expired and already logged in", func(t *testing.T) {
		s := authtest.NewSite(t)
		f := s.Pending("/orders?id=7")
		f.IssuedAt -= (flow.LoginTTL + time.Minute).Milliseconds()
		b := s.LoggedIn(authtest.AliceOpenID)
		cookie := s.FlowCookie(f)
		b.SetCookie(cookie.Name, cookie.Value)

		got := b.Step(authtest.CallbackOf(f, "code"))

		assert.Equal(t, http.StatusSeeOther, got.StatusCode)
		assert.Equal(t, "/orders?id=7", got.Header.Get("Location"))
		assert.Zero(t, s.Exchanges())
	})

	// When an account is removed from the configuration, its pending logins
	// still open but have no account.
	t.Run("T07 account removed", func(t *testing.T) {
		s := authtest.NewSite(t)
		for _, appID := range []string{"wxffffffffffffffff", ""} {
			f := s.Pending("/a")
			f.AppID = appID
			got := s.Wire(http.MethodGet, authtest.CallbackOf(f, "code"), authtest.PageHeader, authtest.CookieHeader(s.FlowCookie(f)))
			assert.Equal(t, http.StatusBadRequest, got.StatusCode, "%q", appID)
			assert.Contains(t, got.Text, string(wechatauth.ReasonStateMismatch), "%q", appID)
		}
		assert.Zero(t, s.Exchanges())
	})
}
