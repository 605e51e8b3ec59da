package wechatauth

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/wechattest"
)

// allow agrees on the simulator's consent page that a browser was shown.
func (b *browser) allow(consent answer) answer {
	b.t.Helper()
	return b.answerConsent(consent, "allow")
}

func (b *browser) answerConsent(consent answer, choice string) answer {
	b.t.Helper()
	ticket := regexp.MustCompile(`name="ticket" value="([^"]+)"`).FindStringSubmatch(consent.body)
	require.NotNil(b.t, ticket, "this is no consent page: %s", consent.body)
	form := url.Values{"ticket": {ticket[1]}, "answer": {choice}}
	return b.post(b.site.sim.URL+"/connect/oauth2/authorize_reply", form)
}

func TestAnAnonymousPageVisitComesBackLoggedInToItsURL(t *testing.T) {
	s := newSite(t)
	b := s.browser()

	got := b.visit("/orders?id=7&q=%E4%BD%A0")

	assert.Equal(t, http.StatusOK, got.StatusCode)
	assert.Contains(t, got.body, "url=/orders?id=7&q=%E4%BD%A0 logged-in=true openid=o")
	assert.Equal(t, 1, s.exchanges())
	assert.NotContains(t, strings.Join(b.trail[3:], " "), "code=", "the code is gone from the address bar")

	again := b.visit("/other")
	assert.Contains(t, again.body, "url=/other logged-in=true")
	assert.Len(t, b.trail, 1, "the second page needs no redirect")
}

func TestTheLoginOfHTTPSUsesHostCookies(t *testing.T) {
	s := newTLSSite(t)
	b := s.browser()

	got := b.visit("/a")

	require.Equal(t, http.StatusOK, got.StatusCode, got.body)
	require.NotNil(t, b.cookie(s.sessionCookie()))
	assert.True(t, strings.HasPrefix(s.sessionCookie(), "__Host-wechat_session_"))
}

func TestAScriptGets401ItCanActOn(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		t.Run(method, func(t *testing.T) {
			got := b.fetch(method, "/api/me")
			assert.Equal(t, http.StatusUnauthorized, got.StatusCode)
			assert.JSONEq(t, `{"error":"login_required","reason":"no_session","login_url":"`+s.auth.home.base.String()+`/wechat/login"}`, got.body)
			assert.Empty(t, got.Header["Set-Cookie"])
			assert.Equal(t, "no-store", got.Header.Get("Cache-Control"))
		})
	}
	assert.Empty(t, s.sim.Journal())
}

func TestACallbackWithoutItsFlowCookieNeverReachesWeChat(t *testing.T) {
	s := newSite(t)
	alice, mallory := s.browser(), s.browser()
	callback := alice.authorize("/a")
	other, err := url.Parse(mallory.authorize("/b"))
	require.NoError(t, err)

	tests := map[string]struct {
		browser *browser
		url     string
		reason  Reason
	}{
		"from a browser that began nothing":      {s.browser(), callback, ReasonFlowCookieMissing},
		"from a browser that began another one":  {mallory, callback, ReasonFlowCookieMissing},
		"with a state that nobody began":         {alice, "/wechat/callback?code=abc&state=" + flow.NewState(), ReasonFlowCookieMissing},
		"with an invented state":                 {alice, "/wechat/callback?code=abc&state=null", ReasonCallbackMalformed},
		"without a state":                        {alice, "/wechat/callback?code=abc", ReasonCallbackMalformed},
		"with two states":                        {alice, callback + "&state=" + other.Query().Get("state"), ReasonCallbackMalformed},
		"with two codes":                         {alice, callback + "&code=abc", ReasonCallbackMalformed},
		"with a code that is none":               {alice, strings.Replace(callback, "code=", "code=%3Cscript%3E", 1), ReasonCallbackMalformed},
		"with a query of nine thousand letters":  {alice, callback + "&x=" + strings.Repeat("a", 9000), ReasonCallbackMalformed},
		"with semicolons between the parameters": {alice, strings.ReplaceAll(callback, "&", ";"), ReasonCallbackMalformed},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := tt.browser.step(tt.url)
			assert.Equal(t, http.StatusBadRequest, got.StatusCode)
			assert.Contains(t, got.body, string(tt.reason))
			assert.Empty(t, got.Header["Set-Cookie"], "the pending login stays")
			assert.NotContains(t, got.body, "<script>")
		})
	}
	assert.Zero(t, s.exchanges())

	got := alice.visit(callback)
	assert.Contains(t, got.body, "url=/a logged-in=true", "after all that, the real callback still works")
}

func TestAFlowCookieCounts(t *testing.T) {
	tests := map[string]struct {
		age  time.Duration
		want Reason
	}{
		"just before ten minutes":                   {flow.TTL - time.Second, ""},
		"for exactly ten minutes":                   {flow.TTL, ""},
		"not a second longer":                       {flow.TTL + time.Second, ReasonStateExpired},
		"not an hour longer":                        {flow.TTL + time.Hour, ReasonStateExpired},
		"also where this clock is four minutes off": {-4 * time.Minute, ""},
		"not where it is six minutes off":           {-6 * time.Minute, ReasonStateExpired},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			b := s.browser()
			callback := b.authorize("/a")
			s.clock.Advance(tt.age)
			// The jar follows the real clock, so the cookie is still there.
			got := b.step(callback)
			if tt.want == "" {
				assert.Equal(t, http.StatusSeeOther, got.StatusCode, got.body)
				return
			}
			assert.Equal(t, http.StatusBadRequest, got.StatusCode)
			assert.Contains(t, got.body, string(tt.want))
			assert.Zero(t, s.exchanges())
		})
	}
}

func TestAVisitorWhoRefusesIsToldSoAndMayTryAgain(t *testing.T) {
	tests := map[string]string{
		"without a code": `code=\w+&`,
		"an empty code":  `code=\w+`,
		"with authdeny":  `code=\w+`,
		"with an error":  `code=\w+`,
	}
	replace := map[string]string{"without a code": "", "an empty code": "code=", "with authdeny": "code=authdeny", "with an error": "error=access_denied"}
	for name, pattern := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			b := s.browser()
			callback := b.authorize("/a?b=c")
			got := b.step(regexp.MustCompile(pattern).ReplaceAllString(callback, replace[name]))
			assert.Equal(t, http.StatusForbidden, got.StatusCode)
			assert.Contains(t, got.body, "refused_by_user")
			assert.Contains(t, got.body, `href="/wechat/login?next=%2Fa%3Fb%3Dc&amp;again=1"`)
			assert.Zero(t, s.exchanges())
			assert.Contains(t, b.visit("/wechat/login?next=%2Fa%3Fb%3Dc&again=1").body, "url=/a?b=c logged-in=true")
		})
	}
	t.Run("the application's own page", func(t *testing.T) {
		s := newSite(t, WithErrorHandler(func(w http.ResponseWriter, _ *http.Request, f Failure) {
			assert.Equal(t, ReasonRefusedByUser, f.Reason)
			assert.True(t, f.Page)
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprint(w, f.RetryURL)
		}))
		b := s.browser()
		callback := b.authorize("/a?b=c")
		got := b.step(regexp.MustCompile(`code=\w+`).ReplaceAllString(callback, "code=authdeny"))
		assert.Equal(t, http.StatusTeapot, got.StatusCode)
		assert.Equal(t, "/wechat/login?next=%2Fa%3Fb%3Dc&again=1", got.body)
		assert.Contains(t, b.visit(got.body).body, "url=/a?b=c logged-in=true")
	})
}

func TestReloadAndBackAfterALoginLeadToItsTarget(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	callback := b.authorize("/orders?id=7")
	b.visit(callback)

	got := b.step(callback)

	assert.Equal(t, http.StatusSeeOther, got.StatusCode)
	assert.Equal(t, "/orders?id=7", got.Header.Get("Location"))
	assert.Equal(t, 1, s.exchanges())

	stranger := s.browser()
	assert.Equal(t, http.StatusBadRequest, stranger.step(callback).StatusCode, "the link is worth nothing elsewhere")
	stranger.visit("/b")
	assert.Equal(t, "/", stranger.step(callback).Header.Get("Location"), "nor does it tell another user where it led")
}

func TestAHundredCallbacksAtOnceAreOneExchangeAndAHundredLogins(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	callback := b.authorize("/a")
	release := s.sim.Block("/sns/oauth2/access_token")

	jar := b.client.Jar.Cookies(s.auth.home.base)
	type result struct{ status, location, session string }
	results := make(chan result, 100)
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			r, err := http.NewRequest(http.MethodGet, callback, nil)
			if err != nil {
				results <- result{status: err.Error()}
				return
			}
			for _, c := range jar {
				r.AddCookie(c)
			}
			resp, err := s.server.Client().Transport.RoundTrip(r)
			if err != nil {
				results <- result{status: err.Error()}
				return
			}
			resp.Body.Close()
			got := result{status: resp.Status, location: resp.Header.Get("Location")}
			for _, c := range resp.Cookies() {
				if c.Name == s.sessionCookie() {
					got.session = c.Value
				}
			}
			results <- got
		})
	}
	require.NoError(t, s.sim.Await(context.Background(), "/sns/oauth2/access_token", 1))
	release()
	wg.Wait()
	close(results)
	sessions := map[string]bool{}
	for got := range results {
		assert.Equal(t, "303 See Other", got.status)
		assert.Equal(t, "/a", got.location)
		sessions[got.session] = true
	}
	assert.Equal(t, 1, s.exchanges())
	require.Len(t, sessions, 1, "one login is one session")
	for token := range sessions {
		b.setCookie(s.sessionCookie(), token)
		assert.Contains(t, b.visit("/b").body, "logged-in=true")
	}
}

func TestFiveTabsLogInSideBySide(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	var callbacks []string
	targets := []string{"/1", "/2", "/3", "/4", "/5"}
	for _, target := range targets {
		callbacks = append(callbacks, b.authorize(target))
	}
	for i := len(targets) - 1; i >= 0; i-- {
		assert.Equal(t, targets[i], b.step(callbacks[i]).Header.Get("Location"))
	}
	assert.Contains(t, b.visit("/6").body, "logged-in=true")
}

func TestTwentyTabsKeepTheNewestFive(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	var callbacks []string
	for i := range 20 {
		callbacks = append(callbacks, b.authorize(fmt.Sprintf("/tab/%d?q=%s", i, strings.Repeat("a", 300))))
		s.clock.Advance(time.Second)
	}
	for i, callback := range callbacks {
		got := b.step(callback)
		if i < 15 {
			assert.Equal(t, http.StatusBadRequest, got.StatusCode, "tab %d", i)
			assert.Contains(t, got.body, "flow_cookie_missing")
			assert.Contains(t, got.body, `href="/wechat/login?next=%2F&amp;again=1"`, "a clean way to start again")
			continue
		}
		assert.Equal(t, http.StatusSeeOther, got.StatusCode, "tab %d", i)
		assert.Contains(t, got.Header.Get("Location"), fmt.Sprintf("/tab/%d?", i), "each on its own target")
	}
	assert.Contains(t, b.visit("/wechat/login?next=%2Ftab%2F3&again=1").body, "url=/tab/3 logged-in=true", "starting again asks WeChat once more")
	assert.Equal(t, 5+1, s.exchanges())
}

func TestALoginBegunOnOneInstanceIsFinishedOnAnother(t *testing.T) {
	redis := redistest.Start(t)
	one := newSite(t, WithRedis(redis.Pool()))
	other, err := New(
		WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret),
		WithBaseURL(one.auth.home.base.String()), WithEndpoints(one.sim.Endpoints()), WithRedisURL(redis.URL()))
	require.NoError(t, err)
	second := httptest.NewServer(other.RequireWeChat(http.HandlerFunc(echo)))
	defer second.Close()
	b := one.browser()

	callback := b.authorize("/a")
	got := b.step(strings.Replace(callback, one.server.URL, second.URL, 1))

	assert.Equal(t, http.StatusSeeOther, got.StatusCode, got.body)
	assert.Equal(t, "/a", got.Header.Get("Location"))
	assert.Contains(t, b.visit("/a").body, "logged-in=true", "the first instance knows the session")
	assert.Contains(t, b.visit(second.URL+"/b").body, "logged-in=true", "and so does the second")
}

func TestAnAnonymousVisitAsksRedisNothingAndALoggedInOneOnce(t *testing.T) {
	redis := redistest.Start(t)
	s := newSite(t, WithRedis(redis.Pool()))
	b := s.browser()
	require.Empty(t, redis.Commands(func() {
		b.step("/a")
		b.fetch(http.MethodGet, "/api")
		b.step("/public")
		b.step("/wechat/login?next=%2F")
		b.step("/wechat/callback?code=x&state=" + flow.NewState())
	}))
	b.visit("/a")
	commands := redis.Commands(func() { b.visit("/b") })
	require.Len(t, commands, 1)
	assert.Contains(t, strings.ToUpper(commands[0]), "GET")
}

func TestALoginClaimsIndexesSavesAndSettlesInThisOrder(t *testing.T) {
	redis := redistest.Start(t)
	s := newSite(t, WithRedis(redis.Pool()))
	b := s.browser()
	callback := b.authorize("/a")
	commands := redis.Commands(func() { b.step(callback) })
	var keys []string
	for _, command := range commands {
		key := strings.Fields(command)[1]
		if len(keys) == 0 || keys[len(keys)-1] != key {
			keys = append(keys, key)
		}
	}
	require.Len(t, keys, 4, "%v", commands)
	for i, prefix := range []string{"wechat:mark:", "wechat:user:", "scs:session:", "wechat:mark:"} {
		assert.True(t, strings.HasPrefix(keys[i], prefix), keys[i])
	}
}

func TestWhileRedisIsDownNobodyWithASessionIsLoggedOutOrSentToWeChat(t *testing.T) {
	redis := redistest.Start(t)
	s := newSite(t, WithRedis(redis.Pool()))
	b := s.browser()
	b.visit("/a")
	before := b.cookie(s.sessionCookie()).Value
	redis.Stop()

	page := b.step("/b")
	assert.Equal(t, http.StatusServiceUnavailable, page.StatusCode)
	assert.NotEmpty(t, page.Header.Get("Retry-After"))
	assert.Empty(t, page.Header.Get("Location"))
	assert.Empty(t, page.Header["Set-Cookie"])
	assert.Contains(t, page.body, "store_unavailable")

	script := b.fetch(http.MethodGet, "/api")
	assert.Equal(t, http.StatusServiceUnavailable, script.StatusCode)
	assert.JSONEq(t, `{"error":"unavailable","reason":"store_unavailable"}`, script.body)

	public := b.step("/public")
	assert.Equal(t, http.StatusOK, public.StatusCode, "public pages are served")
	assert.Contains(t, public.body, "logged-in=false")

	stranger := s.browser()
	assert.Equal(t, http.StatusSeeOther, stranger.step("/c").StatusCode, "an anonymous visit needs no Redis")
	callback := stranger.authorize("/c")
	failed := stranger.step(callback)
	assert.Equal(t, http.StatusServiceUnavailable, failed.StatusCode)
	assert.Nil(t, stranger.cookie(s.sessionCookie()))
	assert.Equal(t, 1, s.exchanges(), "the code is not spent")

	redis.Restart()
	assert.Equal(t, before, b.cookie(s.sessionCookie()).Value)
	assert.Contains(t, stranger.visit(callback).body, "url=/c logged-in=true", "a reload finishes the login")
}

func TestStepUpAsksForConsentOnAButtonAndKeepsTheUser(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	base := b.visit("/a")

	explained := b.visit("/profile")
	require.Equal(t, http.StatusOK, explained.StatusCode)
	assert.Contains(t, explained.body, `action="/wechat/upgrade"`)
	assert.Equal(t, 1, s.sim.Count("/connect/oauth2/authorize"), "nothing was asked of WeChat yet")

	script := b.fetch(http.MethodGet, "/profile")
	assert.Equal(t, http.StatusForbidden, script.StatusCode)
	assert.Contains(t, script.body, `"error":"scope_required"`)

	consent := b.post("/wechat/upgrade", url.Values{"next": {"/profile"}})
	profile := b.allow(consent)
	assert.Contains(t, profile.body, "url=/profile logged-in=true")
	assert.NotContains(t, profile.body, "nickname= ")
	openid := regexp.MustCompile(`openid=\S+`)
	assert.Equal(t, openid.FindString(base.body), openid.FindString(profile.body))
}

func TestStepUpRefusesAnotherUserAndKeepsTheFirst(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	base := b.visit("/a")
	consent := b.post("/wechat/upgrade", url.Values{"next": {"/profile"}})
	ticket := regexp.MustCompile(`name="ticket" value="([^"]+)"`).FindStringSubmatch(consent.body)
	require.NotNil(t, ticket)
	people := wechattest.DefaultPeople()
	form := url.Values{"ticket": {ticket[1]}, "answer": {"allow"}, "person": {people[1].Name}}

	got := b.post(s.sim.URL+"/connect/oauth2/authorize_reply", form)

	assert.Equal(t, http.StatusForbidden, got.StatusCode)
	assert.Contains(t, got.body, string(ReasonIdentityMismatch))
	assert.Equal(t, strings.Replace(base.body, "/a", "/b", 1), b.visit("/b").body)
}

func TestLogoutEndsTheSessionAndDoesNotLogInAgainSilently(t *testing.T) {
	redis := redistest.Start(t)
	s := newSite(t, WithRedis(redis.Pool()))
	b := s.browser()
	b.visit("/a")
	token := b.cookie(s.sessionCookie()).Value

	got := b.post("/wechat/logout", url.Values{"next": {"/public?x=1"}})
	assert.Contains(t, got.body, "url=/public?x=1 logged-in=false")
	assert.Nil(t, b.cookie(s.sessionCookie()))

	page := b.visit("/a")
	assert.Equal(t, http.StatusUnauthorized, page.StatusCode)
	assert.Contains(t, page.body, `href="/wechat/login?next=%2Fa&amp;again=1"`)
	assert.Contains(t, b.visit("/wechat/login?next=%2Fa&again=1").body, "url=/a logged-in=true")

	thief := s.browser()
	thief.setCookie(s.sessionCookie(), token)
	assert.Equal(t, http.StatusUnauthorized, thief.fetch(http.MethodGet, "/a").StatusCode, "the old cookie is worth nothing")
}

func TestAnotherSiteCannotLogAVisitorOut(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.visit("/a")
	for name, header := range map[string]http.Header{
		"by fetch metadata": {"Sec-Fetch-Site": {"cross-site"}, "Content-Type": {"application/x-www-form-urlencoded"}},
		"by origin":         {"Origin": {"https://evil.example"}, "Content-Type": {"application/x-www-form-urlencoded"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := b.do(b.client, http.MethodPost, "/wechat/logout", strings.NewReader("next=%2F"), header)
			assert.Equal(t, http.StatusForbidden, got.StatusCode)
			assert.Contains(t, b.visit("/a").body, "logged-in=true")
		})
	}
	assert.Equal(t, http.StatusMethodNotAllowed, b.step("/wechat/logout").StatusCode, "nor does a link")
}

func TestALoginRenewsTheSessionToken(t *testing.T) {
	redis := redistest.Start(t)
	s := newSite(t, WithRedis(redis.Pool()))
	s.server.Config.Handler = func() http.Handler {
		mux := s.routes().(*http.ServeMux)
		mux.Handle("/cart", s.auth.LoadWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if item := r.URL.Query().Get("put"); item != "" {
				s.auth.Sessions().Put(r.Context(), "cart", item)
			}
			_, _ = w.Write([]byte("cart=" + s.auth.Sessions().GetString(r.Context(), "cart")))
		})))
		return mux
	}()
	b := s.browser()
	b.visit("/cart?put=book")
	planted := b.cookie(s.sessionCookie()).Value

	b.visit("/a")

	assert.NotEqual(t, planted, b.cookie(s.sessionCookie()).Value)
	assert.Equal(t, "cart=book", b.visit("/cart").body, "what the visitor had stays")
	attacker := s.browser()
	attacker.setCookie(s.sessionCookie(), planted)
	assert.Contains(t, attacker.visit("/public").body, "logged-in=false")
}

func TestARedirectLoopEndsWithItsCause(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	// A browser that drops the session cookie and keeps all others.
	b.client.Jar = dropping{b.client.Jar, s.sessionCookie()}

	got := b.visit("/a")

	assert.Equal(t, http.StatusBadRequest, got.StatusCode)
	assert.Contains(t, got.body, string(ReasonSessionCookieNotReturned))
	assert.Equal(t, flow.MaxLogins, s.sim.Count("/connect/oauth2/authorize"))
	assert.Contains(t, s.logs.String(), "session cookie name="+s.sessionCookie()+" Secure=false")
}

func TestWithCookiesOffThereIsOneVisitToWeChat(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.client.Jar = nil

	got := b.visit("/a")

	assert.Equal(t, http.StatusBadRequest, got.StatusCode)
	assert.Contains(t, got.body, string(ReasonFlowCookieMissing))
	assert.Equal(t, 1, s.sim.Count("/connect/oauth2/authorize"))
}

// dropping is a jar that loses one cookie.
type dropping struct {
	http.CookieJar
	name string
}

func (d dropping) SetCookies(u *url.URL, cookies []*http.Cookie) {
	kept := cookies[:0:0]
	for _, c := range cookies {
		if c.Name != d.name {
			kept = append(kept, c)
		}
	}
	d.CookieJar.SetCookies(u, kept)
}

// A person who submits a form after the session has ended reads the response; a
// script reads JSON.
func TestAPersonWhoseFormComesTooLateReadsAPage(t *testing.T) {
	s := newMiniSite(t)
	ended := "Cookie: " + s.sessionCookie() + "=" + strings.Repeat("x", 43)
	form := []string{pageHeader, "Content-Type: application/x-www-form-urlencoded", "Content-Length: 0"}
	navigation := append([]string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}, form...)
	profile := "Cookie: " + s.sessionCookie() + "=" + s.session(aliceOpenID)
	for name, c := range map[string]struct {
		target string
		header []string
		status int
		reason Reason
		page   bool
	}{
		"a form":                             {"/pay", append(navigation, ended), 401, ReasonSessionUnknown, true},
		"a form of an old browser":           {"/pay", append(form, ended), 401, ReasonSessionUnknown, true},
		"a form without any cookie":          {"/pay", form, 401, ReasonNoSession, true},
		"a form behind HTTP Basic":           {"/pay", append(navigation, "Authorization: Basic eDp5"), 401, ReasonNoSession, true},
		"a form that needs the profile":      {"/profile", append(navigation, profile), 403, ReasonScopeRequired, true},
		"a form of ours by a wrong method":   {"/wechat/login", navigation, 405, ReasonMethodNotAllowed, true},
		"a form of another site's":           {"/wechat/logout", append([]string{"Origin: https://evil.example"}, form...), 403, ReasonCrossOrigin, true},
		"fetch":                              {"/pay", []string{"Accept: */*", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Content-Length: 0"}, 401, ReasonNoSession, false},
		"fetch that accepts a page":          {"/pay", append([]string{"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"}, form...), 401, ReasonNoSession, false},
		"XMLHttpRequest":                     {"/pay", append([]string{"X-Requested-With: XMLHttpRequest"}, form...), 401, ReasonNoSession, false},
		"a client that says nothing of HTML": {"/pay", []string{"Content-Length: 0"}, 401, ReasonNoSession, false},
	} {
		t.Run(name, func(t *testing.T) {
			got := s.wire(http.MethodPost, c.target, c.header...)
			assert.Equal(t, c.status, got.StatusCode)
			assert.Empty(t, got.Header["Set-Cookie"], "no login begins")
			if !c.page {
				assert.Equal(t, "application/json; charset=utf-8", got.Header.Get("Content-Type"))
				assert.Contains(t, got.body, `"reason":"`+string(c.reason)+`"`)
				return
			}
			assert.Equal(t, "text/html; charset=utf-8", got.Header.Get("Content-Type"))
			assert.Contains(t, got.body, string(c.reason))
			switch c.reason {
			case ReasonSessionUnknown, ReasonNoSession:
				assert.Contains(t, got.body, `href="/wechat/login?next=`)
			case ReasonScopeRequired:
				assert.Contains(t, got.body, `href="/wechat/upgrade?next=`)
			}
		})
	}
}

// What a proxy blanks instead of removing is not there.
func TestAnEmptyHeaderIsAnAbsentOne(t *testing.T) {
	s := newMiniSite(t)
	t.Run("Authorization", func(t *testing.T) {
		bearer := "Authorization: Bearer " + s.miniLogin(person(0))
		got := s.wire(http.MethodGet, "/a", "Authorization:", bearer)
		assert.Contains(t, got.body, "logged-in=true")
	})
	t.Run("X-Forwarded-Host", func(t *testing.T) {
		got := s.wire(http.MethodGet, "/a", pageHeader, "Host: inner.example", "X-Forwarded-Host:", "X-Forwarded-Host: "+s.auth.home.base.Host)
		assert.Contains(t, got.Header.Get("Location"), authorizeEndpoint, "the visit came by the base URL's host")
		got = s.wire(http.MethodGet, "/a", pageHeader, "Host: other.example", "X-Forwarded-Host:")
		assert.Equal(t, s.auth.home.base.String()+"/a", got.Header.Get("Location"))
	})
	t.Run("Origin of a preflight", func(t *testing.T) {
		assert.Equal(t, http.StatusUnauthorized, s.wire(http.MethodOptions, "/a", "Origin:", "Access-Control-Request-Method: POST").StatusCode)
		assert.Equal(t, http.StatusUnauthorized, s.wire(http.MethodOptions, "/a", "Origin: https://spa.example", "Access-Control-Request-Method:").StatusCode)
	})
	t.Run("Origin and Sec-Fetch-Site of a form", func(t *testing.T) {
		assert.Equal(t, http.StatusSeeOther, s.wire(http.MethodPost, "/wechat/logout", "Origin:", "Sec-Fetch-Site:", "Content-Length: 0").StatusCode)
	})
	t.Run("Accept-Language", func(t *testing.T) {
		got := s.wire(http.MethodGet, "/wechat/callback", pageHeader, "Accept-Language:", "Accept-Language: en")
		assert.Contains(t, got.body, `lang="en"`)
	})
	t.Run("Sec-Fetch-Dest of a callback", func(t *testing.T) {
		callback := callbackOf(s.pending("/a"), "code")
		assert.Equal(t, http.StatusBadRequest, s.wire(http.MethodGet, callback, "Sec-Fetch-Dest:").StatusCode, "in no frame")
		assert.Equal(t, http.StatusOK, s.wire(http.MethodGet, callback, "Sec-Fetch-Dest:", "Sec-Fetch-Dest: iframe").StatusCode, "to open it in the whole window")
	})
}

// Another account in the same browser: the login asks WeChat again, and the session
// stays until another one is saved.
func TestLoginAgain(t *testing.T) {
	const again = "/wechat/login?next=%2Fa&again=1"
	s := newSite(t)
	b := s.browser()
	require.Contains(t, b.visit("/a").body, "openid="+aliceOpenID)
	from := func(site string) answer {
		b.header.Set("Sec-Fetch-Site", site)
		b.header.Set("Sec-Fetch-Mode", "navigate")
		b.header.Set("Sec-Fetch-Dest", "document")
		defer func() {
			for _, name := range []string{"Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest"} {
				b.header.Del(name)
			}
		}()
		return b.step(again)
	}

	assert.Equal(t, "/a", b.step("/wechat/login?next=%2Fa").Header.Get("Location"), "without again the session is enough")
	for _, site := range []string{"cross-site", "same-site"} {
		got := from(site)
		assert.Equal(t, "/a", got.Header.Get("Location"), site)
		assert.Empty(t, got.flowCookies(), site)
	}
	assert.Equal(t, http.StatusUnauthorized, b.fetch(http.MethodGet, again).StatusCode)
	for _, site := range []string{"none", "same-origin"} {
		got := from(site)
		assert.Contains(t, got.Header.Get("Location"), authorizeEndpoint, site)
		assert.NotContains(t, got.Header.Get("Location"), "forcePopup", "a silent login has no dialog")
		assert.Empty(t, got.setOf(s.sessionCookie()), site)
	}
	assert.Contains(t, b.visit("/a").body, "openid="+aliceOpenID, "a login that was begun ends no session")

	s.sim.Hold(person(1))
	assert.Contains(t, b.visit(again).body, "url=/a logged-in=true openid="+bobOpenID)
	assert.Contains(t, b.visit("/b").body, "openid="+bobOpenID)

	asks := newSite(t, WithScope(client.ScopeUserInfo))
	other := asks.browser()
	other.allow(other.visit("/a"))
	require.Contains(t, other.visit("/a").body, "logged-in=true")
	assert.Contains(t, other.step(again).Header.Get("Location"), "&forcePopup=true#wechat_redirect", "who has agreed before is asked again")
	assert.NotContains(t, asks.browser().step(again).Header.Get("Location"), "forcePopup")
}

// The rule of internal/navigation, and the tokens of POST mini/login besides.
func TestIsPageVisit(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/orders?id=7", nil)
	r.Header = http.Header{"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}}
	ours := "Bearer " + session.BearerPrefix + strings.Repeat("x", session.TokenLength)
	for authorization, want := range map[string]bool{"": true, "Basic eDp5": true, "Bearer eyJhbGciOiJSUzI1NiJ9.e30.x": true, ours: false} {
		r.Header.Set("Authorization", authorization)
		assert.Equal(t, want, IsPageVisit(r), authorization)
	}
}
