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
			var st *authtest.FaultyStore
			s := authtest.NewSite(t, authtest.WithFaultyStore(&st))
			b := s.Browser()
			callback := b.Authorize("/a")
			pending := authtest.CookieHeader(b.Client.Jar.Cookies(s.Base)...)
			first := b.Step(callback)
			require.NotEmpty(t, first.SetOf(s.SessionCookie()))
			s.Clock.Advance(c.after)

			// The answer was lost on the way, so this browser has no session yet.
			got := s.Wire(http.MethodGet, callback, authtest.PageHeader, pending)

			if c.kept {
				assert.Equal(t, "/a", got.Header.Get("Location"))
				assert.Equal(t, first.SetOf(s.SessionCookie()), got.SetOf(s.SessionCookie()), "the same session")
				assert.Equal(t, 1, s.Exchanges())
				return
			}
			assert.Empty(t, got.SetOf(s.SessionCookie()), "nothing is handed out any more")
			assert.Contains(t, got.Header.Get("Location"), authtest.AuthorizeEndpoint, "the spent code starts the login once more")
		})
	}
}

// A failure answers for the callbacks that wait right now. Who reloads has his
// own try.
func TestT06_AFailedLoginDoesNotAnswerForAReload(t *testing.T) {
	var st *authtest.FaultyStore
	s := authtest.NewSite(t, authtest.WithFaultyStore(&st))
	b := s.Browser()
	callback := b.Authorize("/a")
	s.Sim.Fail(authtest.ExchangeEndpoint, wechattest.Busy())
	require.Equal(t, http.StatusBadGateway, b.Step(callback).StatusCode)
	require.Equal(t, http.StatusBadGateway, b.Step(callback).StatusCode, "a doubled callback gets the same answer")
	require.Equal(t, 1, s.Exchanges())
	s.Clock.Advance(5 * time.Second)

	assert.Contains(t, b.Visit(callback).Text, "url=/a logged-in=true")
	assert.Equal(t, 2, s.Exchanges())
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
	s := authtest.NewSite(t)
	f := s.Pending("/orders?id=7")
	f.IssuedAt -= (flow.TTL + time.Minute).Milliseconds()
	b := s.LoggedIn(authtest.AliceOpenID)
	cookie := s.FlowCookie(f)
	b.SetCookie(cookie.Name, cookie.Value)

	got := b.Step(authtest.CallbackOf(f, "code"))

	assert.Equal(t, http.StatusSeeOther, got.StatusCode)
	assert.Equal(t, "/orders?id=7", got.Header.Get("Location"))
	assert.Zero(t, s.Exchanges())
}

// An account that was taken out of the configuration leaves pending logins
// behind that open and have nowhere to go.
func TestT07_APendingLoginOfAnAccountThatIsGoneIsRefused(t *testing.T) {
	s := authtest.NewSite(t)
	for _, appID := range []string{"wxffffffffffffffff", ""} {
		f := s.Pending("/a")
		f.AppID = appID
		got := s.Wire(http.MethodGet, authtest.CallbackOf(f, "code"), authtest.PageHeader, authtest.CookieHeader(s.FlowCookie(f)))
		assert.Equal(t, http.StatusBadRequest, got.StatusCode, "%q", appID)
		assert.Contains(t, got.Text, string(wechatauth.ReasonStateMismatch), "%q", appID)
	}
	assert.Zero(t, s.Exchanges())
}

func TestT06_WhoCannotUseTheClaimGivesItBackAtOnce(t *testing.T) {
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
}
