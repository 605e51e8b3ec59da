package wechatauth

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/singleflight"
	"github.com/wechatauth/wechatauth/wechattest"
)

// How long what a callback leaves for the others answers for it, and for whom.

func TestT06_AnOutcomeIsKeptAMinute(t *testing.T) {
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
			var st *faultyStore
			s := newSite(t, withFaultyStore(&st))
			b := s.browser()
			callback := b.authorize("/a")
			pending := cookieHeader(b.client.Jar.Cookies(s.auth.base)...)
			first := b.step(callback)
			require.NotEmpty(t, first.setOf(s.sessionCookie()))
			s.clock.Advance(c.after)

			// The answer was lost on the way, so this browser has no session yet.
			got := s.wire(http.MethodGet, callback, pageHeader, pending)

			if c.kept {
				assert.Equal(t, "/a", got.Header.Get("Location"))
				assert.Equal(t, first.setOf(s.sessionCookie()), got.setOf(s.sessionCookie()), "the same session")
				assert.Equal(t, 1, s.exchanges())
				return
			}
			assert.Empty(t, got.setOf(s.sessionCookie()), "nothing is handed out any more")
			assert.Contains(t, got.Header.Get("Location"), authorizeEndpoint, "the spent code starts the login once more")
		})
	}
}

// A failure answers for the callbacks that wait right now. Who reloads has his
// own try.
func TestT06_AFailedLoginDoesNotAnswerForAReload(t *testing.T) {
	var st *faultyStore
	s := newSite(t, withFaultyStore(&st))
	b := s.browser()
	callback := b.authorize("/a")
	s.sim.Fail(exchangeEndpoint, wechattest.Busy())
	require.Equal(t, http.StatusBadGateway, b.step(callback).StatusCode)
	require.Equal(t, http.StatusBadGateway, b.step(callback).StatusCode, "a doubled callback gets the same answer")
	require.Equal(t, 1, s.exchanges())
	s.clock.Advance(5 * time.Second)

	assert.Contains(t, b.visit(callback).body, "url=/a logged-in=true")
	assert.Equal(t, 2, s.exchanges())
}

func TestT07_EachAccountAndEachStateHasAClaimOfItsOwn(t *testing.T) {
	seen := map[string][2]string{}
	for _, place := range [][2]string{{"wx1", "abc"}, {"wx2", "abc"}, {"wx1", "abd"}, {"wx1a", "bc"}, {"wx", "1abc"}, {"", "wx1abc"}, {"wx1abc", ""}, {"", ""}} {
		key := singleflight.Key(place[0], place[1])
		assert.NotContains(t, seen, key, "%q and %q", place, seen[key])
		assert.Len(t, key, 43, "whatever goes in")
		seen[key] = place
	}
	state := flow.NewState()
	assert.NotContains(t, singleflight.Key("wx1", state), state, "who reads the store finds no state")
}

// A pending login that has ended logs nobody in, and is no error to somebody
// who is: the browser was restored with its tabs, say.
func TestT08_WhoIsLoggedInGoesOnFromAPendingLoginThatHasEnded(t *testing.T) {
	s := newSite(t)
	f := s.pending("/orders?id=7")
	f.IssuedAt -= (flow.TTL + time.Minute).Milliseconds()
	b := s.loggedIn(aliceOpenID)
	cookie := s.flowCookie(f)
	b.setCookie(cookie.Name, cookie.Value)

	got := b.step(callbackOf(f, "code"))

	assert.Equal(t, http.StatusSeeOther, got.StatusCode)
	assert.Equal(t, "/orders?id=7", got.Header.Get("Location"))
	assert.Zero(t, s.exchanges())
}

// An account that was taken out of the configuration leaves pending logins
// behind that open and have nowhere to go.
func TestT07_APendingLoginOfAnAccountThatIsGoneIsRefused(t *testing.T) {
	s := newSite(t)
	for _, appID := range []string{"wxffffffffffffffff", ""} {
		f := s.pending("/a")
		f.AppID = appID
		got := s.wire(http.MethodGet, callbackOf(f, "code"), pageHeader, cookieHeader(s.flowCookie(f)))
		assert.Equal(t, http.StatusBadRequest, got.StatusCode, "%q", appID)
		assert.Contains(t, got.body, string(ReasonStateMismatch), "%q", appID)
	}
	assert.Zero(t, s.exchanges())
}

func TestT06_WhoCannotUseTheClaimGivesItBackAtOnce(t *testing.T) {
	var st *faultyStore
	s := newSite(t, withFaultyStore(&st))
	s.auth.claims.Wait = func(context.Context, time.Duration) error { return context.DeadlineExceeded }
	b := s.browser()
	b.setCookie(s.sessionCookie(), s.sessionWith("cart", "book"))
	callback := b.authorize("/a")
	pending := cookieHeader(b.client.Jar.Cookies(s.auth.base)...)
	st.fail("find", failing)
	require.Equal(t, http.StatusServiceUnavailable, b.step(callback).StatusCode)
	st.fail("find", nil)

	got := s.wire(http.MethodGet, callback, pageHeader, pending)

	assert.Equal(t, http.StatusSeeOther, got.StatusCode)
	assert.Equal(t, "/a", got.Header.Get("Location"))
	assert.Equal(t, 1, s.exchanges())
}
