package wechatauth_test

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

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/wechattest"
)

// TestLogin checks that an anonymous page visit ends, logged in, at its URL.
func TestLogin(t *testing.T) {
	s := authtest.NewSite(t)
	b := s.Browser()

	got := b.Visit("/orders?id=7&q=%E4%BD%A0")

	assert.Equal(t, http.StatusOK, got.StatusCode)
	assert.Contains(t, got.Text, "url=/orders?id=7&q=%E4%BD%A0 logged-in=true openid=o")
	assert.Equal(t, 1, s.Exchanges())
	assert.NotContains(t, strings.Join(b.Trail[3:], " "), "code=", "the code is gone from the address bar")

	again := b.Visit("/other")
	assert.Contains(t, again.Text, "url=/other logged-in=true")
	assert.Len(t, b.Trail, 1, "the second page needs no redirect")
}

// TestLogin_hostCookies checks that a login over HTTPS uses __Host- cookies.
func TestLogin_hostCookies(t *testing.T) {
	s := authtest.NewTLSSite(t)
	b := s.Browser()

	got := b.Visit("/a")

	require.Equal(t, http.StatusOK, got.StatusCode, got.Text)
	require.NotNil(t, b.Cookie(s.SessionCookie()))
	assert.True(t, strings.HasPrefix(s.SessionCookie(), "__Host-wechat_session_"))
}

func TestRequireWeChat_script(t *testing.T) {
	s := authtest.NewSite(t)
	b := s.Browser()
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		t.Run(method, func(t *testing.T) {
			got := b.Fetch(method, "/api/me")
			assert.Equal(t, http.StatusUnauthorized, got.StatusCode)
			assert.JSONEq(t, `{"error":"login_required","reason":"no_session","login_url":"`+s.Base.String()+`/wechat/login"}`, got.Text)
			assert.Empty(t, got.Header["Set-Cookie"])
			assert.Equal(t, "no-store", got.Header.Get("Cache-Control"))
		})
	}
	assert.Empty(t, s.Sim.Journal())
}

// TestCallback_noFlowCookie checks that a callback without its flow cookie
// never reaches WeChat.
func TestCallback_noFlowCookie(t *testing.T) {
	s := authtest.NewSite(t)
	alice, mallory := s.Browser(), s.Browser()
	callback := alice.Authorize("/a")
	other, err := url.Parse(mallory.Authorize("/b"))
	require.NoError(t, err)

	tests := map[string]struct {
		browser *authtest.Browser
		url     string
		reason  wechatauth.Reason
	}{
		"from a browser that began nothing":      {s.Browser(), callback, wechatauth.ReasonFlowCookieMissing},
		"from a browser that began another one":  {mallory, callback, wechatauth.ReasonFlowCookieMissing},
		"with a state that was never issued":     {alice, "/wechat/callback?code=abc&state=" + flow.NewState(), wechatauth.ReasonFlowCookieMissing},
		"with an invented state":                 {alice, "/wechat/callback?code=abc&state=null", wechatauth.ReasonCallbackMalformed},
		"without a state":                        {alice, "/wechat/callback?code=abc", wechatauth.ReasonCallbackMalformed},
		"with two states":                        {alice, callback + "&state=" + other.Query().Get("state"), wechatauth.ReasonCallbackMalformed},
		"with two codes":                         {alice, callback + "&code=abc", wechatauth.ReasonCallbackMalformed},
		"with a code that is none":               {alice, strings.Replace(callback, "code=", "code=%3Cscript%3E", 1), wechatauth.ReasonCallbackMalformed},
		"with a query of nine thousand letters":  {alice, callback + "&x=" + strings.Repeat("a", 9000), wechatauth.ReasonCallbackMalformed},
		"with semicolons between the parameters": {alice, strings.ReplaceAll(callback, "&", ";"), wechatauth.ReasonCallbackMalformed},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := tt.browser.Step(tt.url)
			assert.Equal(t, http.StatusBadRequest, got.StatusCode)
			assert.Contains(t, got.Text, string(tt.reason))
			assert.Empty(t, got.Header["Set-Cookie"], "the pending login stays")
			assert.NotContains(t, got.Text, "<script>")
		})
	}
	assert.Zero(t, s.Exchanges())

	got := alice.Visit(callback)
	assert.Contains(t, got.Text, "url=/a logged-in=true", "after all that, the real callback still works")
}

func TestCallback_flowCookie(t *testing.T) {
	tests := map[string]struct {
		age  time.Duration
		want wechatauth.Reason
	}{
		"just before ten minutes":                   {flow.LoginTTL - time.Second, ""},
		"for exactly ten minutes":                   {flow.LoginTTL, ""},
		"not a second longer":                       {flow.LoginTTL + time.Second, wechatauth.ReasonStateExpired},
		"not an hour longer":                        {flow.LoginTTL + time.Hour, wechatauth.ReasonStateExpired},
		"also where this clock is four minutes off": {-4 * time.Minute, ""},
		"not where it is six minutes off":           {-6 * time.Minute, wechatauth.ReasonStateExpired},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := authtest.NewSite(t)
			b := s.Browser()
			callback := b.Authorize("/a")
			s.Clock.Advance(tt.age)
			// The jar follows the real clock, so the cookie is still there.
			got := b.Step(callback)
			if tt.want == "" {
				assert.Equal(t, http.StatusSeeOther, got.StatusCode, got.Text)
				return
			}
			assert.Equal(t, http.StatusBadRequest, got.StatusCode)
			assert.Contains(t, got.Text, string(tt.want))
			assert.Zero(t, s.Exchanges())
		})
	}
}

// TestCallback_denied checks that a user who denies consent sees why and can
// try again.
func TestCallback_denied(t *testing.T) {
	tests := map[string]string{
		"without a code": `code=\w+&`,
		"an empty code":  `code=\w+`,
		"with authdeny":  `code=\w+`,
		"with an error":  `code=\w+`,
	}
	replace := map[string]string{"without a code": "", "an empty code": "code=", "with authdeny": "code=authdeny", "with an error": "error=access_denied"}
	for name, pattern := range tests {
		t.Run(name, func(t *testing.T) {
			s := authtest.NewSite(t)
			b := s.Browser()
			callback := b.Authorize("/a?b=c")
			got := b.Step(regexp.MustCompile(pattern).ReplaceAllString(callback, replace[name]))
			assert.Equal(t, http.StatusForbidden, got.StatusCode)
			assert.Contains(t, got.Text, "refused_by_user")
			assert.Contains(t, got.Text, `href="/wechat/login?next=%2Fa%3Fb%3Dc&amp;again=1"`)
			assert.Zero(t, s.Exchanges())
			assert.Contains(t, b.Visit("/wechat/login?next=%2Fa%3Fb%3Dc&again=1").Text, "url=/a?b=c logged-in=true")
		})
	}
	t.Run("the application's own page", func(t *testing.T) {
		s := authtest.NewSite(t, wechatauth.WithErrorHandler(func(w http.ResponseWriter, _ *http.Request, f wechatauth.Failure) {
			assert.Equal(t, wechatauth.ReasonRefusedByUser, f.Reason)
			assert.True(t, f.Page)
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprint(w, f.RetryURL)
		}))
		b := s.Browser()
		callback := b.Authorize("/a?b=c")
		got := b.Step(regexp.MustCompile(`code=\w+`).ReplaceAllString(callback, "code=authdeny"))
		assert.Equal(t, http.StatusTeapot, got.StatusCode)
		assert.Equal(t, "/wechat/login?next=%2Fa%3Fb%3Dc&again=1", got.Text)
		assert.Contains(t, b.Visit(got.Text).Text, "url=/a?b=c logged-in=true")
	})
}

// TestCallback_reload checks that reload and back after a login lead to its
// return URL.
func TestCallback_reload(t *testing.T) {
	s := authtest.NewSite(t)
	b := s.Browser()
	callback := b.Authorize("/orders?id=7")
	b.Visit(callback)

	got := b.Step(callback)

	assert.Equal(t, http.StatusSeeOther, got.StatusCode)
	assert.Equal(t, "/orders?id=7", got.Header.Get("Location"))
	assert.Equal(t, 1, s.Exchanges())

	stranger := s.Browser()
	assert.Equal(t, http.StatusBadRequest, stranger.Step(callback).StatusCode, "the link is worth nothing elsewhere")
	stranger.Visit("/b")
	assert.Equal(t, "/", stranger.Step(callback).Header.Get("Location"), "nor does it reveal to another user where it led")
}

// TestCallback_duplicates sends a hundred concurrent callbacks: one exchange, a
// hundred logins.
func TestCallback_duplicates(t *testing.T) {
	s := authtest.NewSite(t)
	b := s.Browser()
	callback := b.Authorize("/a")
	release := s.Sim.Block("/sns/oauth2/access_token")

	jar := b.Client.Jar.Cookies(s.Base)
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
			resp, err := s.Server.Client().Transport.RoundTrip(r)
			if err != nil {
				results <- result{status: err.Error()}
				return
			}
			resp.Body.Close()
			got := result{status: resp.Status, location: resp.Header.Get("Location")}
			for _, c := range resp.Cookies() {
				if c.Name == s.SessionCookie() {
					got.session = c.Value
				}
			}
			results <- got
		})
	}
	require.NoError(t, s.Sim.WaitForCalls(context.Background(), "/sns/oauth2/access_token", 1))
	release()
	wg.Wait()
	close(results)
	sessions := map[string]bool{}
	for got := range results {
		assert.Equal(t, "303 See Other", got.status)
		assert.Equal(t, "/a", got.location)
		sessions[got.session] = true
	}
	assert.Equal(t, 1, s.Exchanges())
	require.Len(t, sessions, 1, "one login is one session")
	for token := range sessions {
		b.SetCookie(s.SessionCookie(), token)
		assert.Contains(t, b.Visit("/b").Text, "logged-in=true")
	}
}

func TestLogin_fiveTabs(t *testing.T) {
	s := authtest.NewSite(t)
	b := s.Browser()
	var callbacks []string
	targets := []string{"/1", "/2", "/3", "/4", "/5"}
	for _, target := range targets {
		callbacks = append(callbacks, b.Authorize(target))
	}
	for i := len(targets) - 1; i >= 0; i-- {
		assert.Equal(t, targets[i], b.Step(callbacks[i]).Header.Get("Location"))
	}
	assert.Contains(t, b.Visit("/6").Text, "logged-in=true")
}

// TestLogin_twentyTabs checks that of twenty tabs the newest five are kept.
func TestLogin_twentyTabs(t *testing.T) {
	s := authtest.NewSite(t)
	b := s.Browser()
	var callbacks []string
	for i := range 20 {
		callbacks = append(callbacks, b.Authorize(fmt.Sprintf("/tab/%d?q=%s", i, strings.Repeat("a", 300))))
		s.Clock.Advance(time.Second)
	}
	for i, callback := range callbacks {
		got := b.Step(callback)
		if i < 15 {
			assert.Equal(t, http.StatusBadRequest, got.StatusCode, "tab %d", i)
			assert.Contains(t, got.Text, "flow_cookie_missing")
			assert.Contains(t, got.Text, `href="/wechat/login?next=%2F&amp;again=1"`, "a clean way to start again")
			continue
		}
		assert.Equal(t, http.StatusSeeOther, got.StatusCode, "tab %d", i)
		assert.Contains(t, got.Header.Get("Location"), fmt.Sprintf("/tab/%d?", i), "each on its own target")
	}
	assert.Contains(t, b.Visit("/wechat/login?next=%2Ftab%2F3&again=1").Text, "url=/tab/3 logged-in=true", "starting again asks WeChat once more")
	assert.Equal(t, 5+1, s.Exchanges())
}

// TestLogin_instances starts a login on one instance and completes it on
// another.
func TestLogin_instances(t *testing.T) {
	redis := redistest.Start(t)
	one := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()))
	other, err := wechatauth.New(
		wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret),
		wechatauth.WithBaseURL(one.Base.String()), wechatauth.WithEndpoints(one.Sim.Endpoints()), wechatauth.WithRedisURL(redis.URL()))
	require.NoError(t, err)
	second := httptest.NewServer(other.RequireWeChat(http.HandlerFunc(authtest.Echo)))
	defer second.Close()
	b := one.Browser()

	callback := b.Authorize("/a")
	got := b.Step(strings.Replace(callback, one.Server.URL, second.URL, 1))

	assert.Equal(t, http.StatusSeeOther, got.StatusCode, got.Text)
	assert.Equal(t, "/a", got.Header.Get("Location"))
	assert.Contains(t, b.Visit("/a").Text, "logged-in=true", "the first instance knows the session")
	assert.Contains(t, b.Visit(second.URL+"/b").Text, "logged-in=true", "and so does the second")
}

// TestRedisCalls_visit checks that an anonymous visit makes no Redis call, an
// authenticated one makes one.
func TestRedisCalls_visit(t *testing.T) {
	redis := redistest.Start(t)
	s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()))
	b := s.Browser()
	require.Empty(t, redis.Commands(func() {
		b.Step("/a")
		b.Fetch(http.MethodGet, "/api")
		b.Step("/public")
		b.Step("/wechat/login?next=%2F")
		b.Step("/wechat/callback?code=x&state=" + flow.NewState())
	}))
	b.Visit("/a")
	commands := redis.Commands(func() { b.Visit("/b") })
	require.Len(t, commands, 1)
	assert.Contains(t, strings.ToUpper(commands[0]), "GET")
}

// TestRedisCalls_login checks the order of a login's calls: lease, index,
// session, shared result.
func TestRedisCalls_login(t *testing.T) {
	redis := redistest.Start(t)
	s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()))
	b := s.Browser()
	callback := b.Authorize("/a")
	commands := redis.Commands(func() { b.Step(callback) })
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

// TestRequireWeChat_storeDown checks that while Redis is down no user with a
// session is logged out or redirected to WeChat.
func TestRequireWeChat_storeDown(t *testing.T) {
	redis := redistest.Start(t)
	s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()))
	b := s.Browser()
	b.Visit("/a")
	before := b.Cookie(s.SessionCookie()).Value
	redis.Stop()

	page := b.Step("/b")
	assert.Equal(t, http.StatusServiceUnavailable, page.StatusCode)
	assert.NotEmpty(t, page.Header.Get("Retry-After"))
	assert.Empty(t, page.Header.Get("Location"))
	assert.Empty(t, page.Header["Set-Cookie"])
	assert.Contains(t, page.Text, "store_unavailable")

	script := b.Fetch(http.MethodGet, "/api")
	assert.Equal(t, http.StatusServiceUnavailable, script.StatusCode)
	assert.JSONEq(t, `{"error":"unavailable","reason":"store_unavailable"}`, script.Text)

	public := b.Step("/public")
	assert.Equal(t, http.StatusOK, public.StatusCode, "public pages are served")
	assert.Contains(t, public.Text, "logged-in=false")

	stranger := s.Browser()
	assert.Equal(t, http.StatusSeeOther, stranger.Step("/c").StatusCode, "an anonymous visit needs no Redis")
	callback := stranger.Authorize("/c")
	failed := stranger.Step(callback)
	assert.Equal(t, http.StatusServiceUnavailable, failed.StatusCode)
	assert.Nil(t, stranger.Cookie(s.SessionCookie()))
	assert.Equal(t, 1, s.Exchanges(), "the code is not spent")

	redis.Restart()
	assert.Equal(t, before, b.Cookie(s.SessionCookie()).Value)
	assert.Contains(t, stranger.Visit(callback).Text, "url=/c logged-in=true", "a reload finishes the login")
}

// TestStepUp checks that a step-up asks for consent on a button and keeps the
// user.
func TestStepUp(t *testing.T) {
	s := authtest.NewSite(t)
	b := s.Browser()
	base := b.Visit("/a")

	explained := b.Visit("/profile")
	require.Equal(t, http.StatusOK, explained.StatusCode)
	assert.Contains(t, explained.Text, `action="/wechat/upgrade"`)
	assert.Equal(t, 1, s.Sim.Count("/connect/oauth2/authorize"), "WeChat has not been called yet")

	script := b.Fetch(http.MethodGet, "/profile")
	assert.Equal(t, http.StatusForbidden, script.StatusCode)
	assert.Contains(t, script.Text, `"error":"scope_required"`)

	consent := b.Post("/wechat/upgrade", url.Values{"next": {"/profile"}})
	profile := b.Allow(consent)
	assert.Contains(t, profile.Text, "url=/profile logged-in=true")
	assert.NotContains(t, profile.Text, "nickname= ")
	openid := regexp.MustCompile(`openid=\S+`)
	assert.Equal(t, openid.FindString(base.Text), openid.FindString(profile.Text))
}

// TestStepUp_otherUser checks that a step-up rejects another user and keeps the
// first.
func TestStepUp_otherUser(t *testing.T) {
	s := authtest.NewSite(t)
	b := s.Browser()
	base := b.Visit("/a")
	consent := b.Post("/wechat/upgrade", url.Values{"next": {"/profile"}})
	ticket := regexp.MustCompile(`name="ticket" value="([^"]+)"`).FindStringSubmatch(consent.Text)
	require.NotNil(t, ticket)
	people := wechattest.DefaultPeople()
	form := url.Values{"ticket": {ticket[1]}, "answer": {"allow"}, "person": {people[1].Name}}

	got := b.Post(s.Sim.URL+"/connect/oauth2/authorize_reply", form)

	assert.Equal(t, http.StatusForbidden, got.StatusCode)
	assert.Contains(t, got.Text, string(wechatauth.ReasonIdentityMismatch))
	assert.Equal(t, strings.Replace(base.Text, "/a", "/b", 1), b.Visit("/b").Text)
}

// TestLogout checks that logout ends the session and is not followed by a
// silent login.
func TestLogout(t *testing.T) {
	redis := redistest.Start(t)
	s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()))
	b := s.Browser()
	b.Visit("/a")
	token := b.Cookie(s.SessionCookie()).Value

	got := b.Post("/wechat/logout", url.Values{"next": {"/public?x=1"}})
	assert.Contains(t, got.Text, "url=/public?x=1 logged-in=false")
	assert.Nil(t, b.Cookie(s.SessionCookie()))

	page := b.Visit("/a")
	assert.Equal(t, http.StatusUnauthorized, page.StatusCode)
	assert.Contains(t, page.Text, `href="/wechat/login?next=%2Fa&amp;again=1"`)
	assert.Contains(t, b.Visit("/wechat/login?next=%2Fa&again=1").Text, "url=/a logged-in=true")

	thief := s.Browser()
	thief.SetCookie(s.SessionCookie(), token)
	assert.Equal(t, http.StatusUnauthorized, thief.Fetch(http.MethodGet, "/a").StatusCode, "the old cookie is worth nothing")
}

func TestLogout_crossSite(t *testing.T) {
	s := authtest.NewSite(t)
	b := s.Browser()
	b.Visit("/a")
	for name, header := range map[string]http.Header{
		"by fetch metadata": {"Sec-Fetch-Site": {"cross-site"}, "Content-Type": {"application/x-www-form-urlencoded"}},
		"by origin":         {"Origin": {"https://evil.example"}, "Content-Type": {"application/x-www-form-urlencoded"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := b.Do(b.Client, http.MethodPost, "/wechat/logout", strings.NewReader("next=%2F"), header)
			assert.Equal(t, http.StatusForbidden, got.StatusCode)
			assert.Contains(t, b.Visit("/a").Text, "logged-in=true")
		})
	}
	assert.Equal(t, http.StatusMethodNotAllowed, b.Step("/wechat/logout").StatusCode, "nor does a link")
}

func TestLogin_renewsToken(t *testing.T) {
	redis := redistest.Start(t)
	s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()))
	s.Server.Config.Handler = func() http.Handler {
		mux := s.Routes().(*http.ServeMux)
		mux.Handle("/cart", s.Auth.LoadWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if item := r.URL.Query().Get("put"); item != "" {
				s.Auth.Sessions().Put(r.Context(), "cart", item)
			}
			_, _ = w.Write([]byte("cart=" + s.Auth.Sessions().GetString(r.Context(), "cart")))
		})))
		return mux
	}()
	b := s.Browser()
	b.Visit("/cart?put=book")
	planted := b.Cookie(s.SessionCookie()).Value

	b.Visit("/a")

	assert.NotEqual(t, planted, b.Cookie(s.SessionCookie()).Value)
	assert.Equal(t, "cart=book", b.Visit("/cart").Text, "the user's values are kept")
	attacker := s.Browser()
	attacker.SetCookie(s.SessionCookie(), planted)
	assert.Contains(t, attacker.Visit("/public").Text, "logged-in=false")
}

// TestRedirectLoop checks that a redirect loop ends with a page that names its
// cause.
func TestRedirectLoop(t *testing.T) {
	s := authtest.NewSite(t)
	b := s.Browser()
	// A browser that drops the session cookie and keeps all others.
	b.Client.Jar = authtest.LossyJar{CookieJar: b.Client.Jar, Name: s.SessionCookie()}

	got := b.Visit("/a")

	assert.Equal(t, http.StatusBadRequest, got.StatusCode)
	assert.Contains(t, got.Text, string(wechatauth.ReasonSessionCookieNotReturned))
	assert.Equal(t, flow.MaxLogins, s.Sim.Count("/connect/oauth2/authorize"))
	assert.Contains(t, s.Logs.String(), "session cookie name="+s.SessionCookie()+" Secure=false")
}

// TestRedirectLoop_cookiesOff checks that with cookies off there is only one
// redirect to WeChat.
func TestRedirectLoop_cookiesOff(t *testing.T) {
	s := authtest.NewSite(t)
	b := s.Browser()
	b.Client.Jar = nil

	got := b.Visit("/a")

	assert.Equal(t, http.StatusBadRequest, got.StatusCode)
	assert.Contains(t, got.Text, string(wechatauth.ReasonFlowCookieMissing))
	assert.Equal(t, 1, s.Sim.Count("/connect/oauth2/authorize"))
}

// A person who submits a form after the session has ended reads the response; a
// script reads JSON.
func TestRequireWeChat_lateForm(t *testing.T) {
	s := authtest.NewMiniSite(t)
	ended := "Cookie: " + s.SessionCookie() + "=" + strings.Repeat("x", 43)
	form := []string{authtest.PageHeader, "Content-Type: application/x-www-form-urlencoded", "Content-Length: 0"}
	navigation := append([]string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}, form...)
	profile := "Cookie: " + s.SessionCookie() + "=" + s.Session(authtest.AliceOpenID)
	for name, c := range map[string]struct {
		target string
		header []string
		status int
		reason wechatauth.Reason
		page   bool
	}{
		"a form":                             {"/pay", append(navigation, ended), 401, wechatauth.ReasonSessionUnknown, true},
		"a form of an old browser":           {"/pay", append(form, ended), 401, wechatauth.ReasonSessionUnknown, true},
		"a form without any cookie":          {"/pay", form, 401, wechatauth.ReasonNoSession, true},
		"a form behind HTTP Basic":           {"/pay", append(navigation, "Authorization: Basic eDp5"), 401, wechatauth.ReasonNoSession, true},
		"a form that needs the profile":      {"/profile", append(navigation, profile), 403, wechatauth.ReasonScopeRequired, true},
		"a form of ours by a wrong method":   {"/wechat/login", navigation, 405, wechatauth.ReasonMethodNotAllowed, true},
		"a form of another site's":           {"/wechat/logout", append([]string{"Origin: https://evil.example"}, form...), 403, wechatauth.ReasonCrossOrigin, true},
		"fetch":                              {"/pay", []string{"Accept: */*", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Content-Length: 0"}, 401, wechatauth.ReasonNoSession, false},
		"fetch that accepts a page":          {"/pay", append([]string{"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"}, form...), 401, wechatauth.ReasonNoSession, false},
		"XMLHttpRequest":                     {"/pay", append([]string{"X-Requested-With: XMLHttpRequest"}, form...), 401, wechatauth.ReasonNoSession, false},
		"a client that says nothing of HTML": {"/pay", []string{"Content-Length: 0"}, 401, wechatauth.ReasonNoSession, false},
	} {
		t.Run(name, func(t *testing.T) {
			got := s.Wire(http.MethodPost, c.target, c.header...)
			assert.Equal(t, c.status, got.StatusCode)
			assert.Empty(t, got.Header["Set-Cookie"], "no login begins")
			if !c.page {
				assert.Equal(t, "application/json; charset=utf-8", got.Header.Get("Content-Type"))
				assert.Contains(t, got.Text, `"reason":"`+string(c.reason)+`"`)
				return
			}
			assert.Equal(t, "text/html; charset=utf-8", got.Header.Get("Content-Type"))
			assert.Contains(t, got.Text, string(c.reason))
			switch c.reason {
			case wechatauth.ReasonSessionUnknown, wechatauth.ReasonNoSession:
				assert.Contains(t, got.Text, `href="/wechat/login?next=`)
			case wechatauth.ReasonScopeRequired:
				assert.Contains(t, got.Text, `href="/wechat/upgrade?next=`)
			}
		})
	}
}

// A header that a proxy blanks instead of removing counts as absent.
func TestRequireWeChat_emptyHeader(t *testing.T) {
	s := authtest.NewMiniSite(t)
	t.Run("Authorization", func(t *testing.T) {
		bearer := "Authorization: Bearer " + s.MiniLogin(authtest.Person(0))
		got := s.Wire(http.MethodGet, "/a", "Authorization:", bearer)
		assert.Contains(t, got.Text, "logged-in=true")
	})
	t.Run("X-Forwarded-Host", func(t *testing.T) {
		got := s.Wire(http.MethodGet, "/a", authtest.PageHeader, "Host: inner.example", "X-Forwarded-Host:", "X-Forwarded-Host: "+s.Base.Host)
		assert.Contains(t, got.Header.Get("Location"), authtest.AuthorizeEndpoint, "the visit came by the base URL's host")
		got = s.Wire(http.MethodGet, "/a", authtest.PageHeader, "Host: other.example", "X-Forwarded-Host:")
		assert.Equal(t, s.Base.String()+"/a", got.Header.Get("Location"))
	})
	t.Run("Origin of a preflight", func(t *testing.T) {
		assert.Equal(t, http.StatusUnauthorized, s.Wire(http.MethodOptions, "/a", "Origin:", "Access-Control-Request-Method: POST").StatusCode)
		assert.Equal(t, http.StatusUnauthorized, s.Wire(http.MethodOptions, "/a", "Origin: https://spa.example", "Access-Control-Request-Method:").StatusCode)
	})
	t.Run("Origin and Sec-Fetch-Site of a form", func(t *testing.T) {
		assert.Equal(t, http.StatusSeeOther, s.Wire(http.MethodPost, "/wechat/logout", "Origin:", "Sec-Fetch-Site:", "Content-Length: 0").StatusCode)
		for _, foreign := range []string{"Origin: https://evil.example", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site"} {
			name, _, _ := strings.Cut(foreign, " ")
			got := s.Wire(http.MethodPost, "/wechat/logout", name, foreign, "Content-Length: 0")
			assert.Equal(t, http.StatusForbidden, got.StatusCode, foreign)
			assert.Empty(t, got.Header["Set-Cookie"], foreign)
		}
	})
	t.Run("Referer of a form", func(t *testing.T) {
		got := s.Wire(http.MethodPost, "/pay", authtest.PageHeader, "Referer:", "Referer: "+s.Base.String()+"/cart?id=7", "Content-Length: 0")
		assert.Contains(t, got.Text, `next=%2Fcart%3Fid%3D7`)
	})
	t.Run("User-Agent of a scan", func(t *testing.T) {
		s := authtest.NewScanSite(t)
		got := s.Wire(http.MethodGet, "/wechat/scan", authtest.PageHeader, "User-Agent:", "User-Agent: "+authtest.ChromeWindows)
		require.Len(t, got.Cookies(), 1)
		held, ok := s.ScanCookieOf(got.Cookies()[0])
		require.True(t, ok)
		assert.Contains(t, s.PhoneOf(authtest.Person(0)).Visit("/wechat/scan/"+held.Ticket).Text, "Chrome · Windows")
	})
	t.Run("Accept-Language", func(t *testing.T) {
		got := s.Wire(http.MethodGet, "/wechat/callback", authtest.PageHeader, "Accept-Language:", "Accept-Language: en")
		assert.Contains(t, got.Text, `lang="en"`)
	})
	t.Run("Sec-Fetch-Dest of a callback", func(t *testing.T) {
		callback := authtest.CallbackOf(s.Pending("/a"), "code")
		assert.Equal(t, http.StatusBadRequest, s.Wire(http.MethodGet, callback, "Sec-Fetch-Dest:").StatusCode, "in no frame")
		assert.Equal(t, http.StatusOK, s.Wire(http.MethodGet, callback, "Sec-Fetch-Dest:", "Sec-Fetch-Dest: iframe").StatusCode, "to open it in the whole window")
	})
}

// Another account in the same browser: the login goes to WeChat again, and the
// session stays until another one is saved.
func TestLoginAgain(t *testing.T) {
	const again = "/wechat/login?next=%2Fa&again=1"
	s := authtest.NewSite(t)
	b := s.Browser()
	require.Contains(t, b.Visit("/a").Text, "openid="+authtest.AliceOpenID)
	from := func(site string) authtest.Response {
		b.Header.Set("Sec-Fetch-Site", site)
		b.Header.Set("Sec-Fetch-Mode", "navigate")
		b.Header.Set("Sec-Fetch-Dest", "document")
		defer func() {
			for _, name := range []string{"Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest"} {
				b.Header.Del(name)
			}
		}()
		return b.Step(again)
	}

	assert.Equal(t, "/a", b.Step("/wechat/login?next=%2Fa").Header.Get("Location"), "without again the session is enough")
	for _, site := range []string{"cross-site", "same-site"} {
		got := from(site)
		assert.Equal(t, "/a", got.Header.Get("Location"), site)
		assert.Empty(t, got.FlowCookies(), site)
	}
	assert.Equal(t, http.StatusUnauthorized, b.Fetch(http.MethodGet, again).StatusCode)
	for _, site := range []string{"none", "same-origin"} {
		got := from(site)
		assert.Contains(t, got.Header.Get("Location"), authtest.AuthorizeEndpoint, site)
		assert.NotContains(t, got.Header.Get("Location"), "forcePopup", "a silent login has no dialog")
		assert.Empty(t, got.SetOf(s.SessionCookie()), site)
	}
	assert.Contains(t, b.Visit("/a").Text, "openid="+authtest.AliceOpenID, "a login that was begun ends no session")

	s.Sim.SetPerson(authtest.Person(1))
	assert.Contains(t, b.Visit(again).Text, "url=/a logged-in=true openid="+authtest.BobOpenID)
	assert.Contains(t, b.Visit("/b").Text, "openid="+authtest.BobOpenID)

	asks := authtest.NewSite(t, wechatauth.WithScope(client.ScopeUserInfo))
	other := asks.Browser()
	other.Allow(other.Visit("/a"))
	require.Contains(t, other.Visit("/a").Text, "logged-in=true")
	assert.Contains(t, other.Step(again).Header.Get("Location"), "&forcePopup=true#wechat_redirect", "consent is requested again, even after an earlier one")
	assert.NotContains(t, asks.Browser().Step(again).Header.Get("Location"), "forcePopup")
}

// The rule of internal/navigation, and the tokens of POST mini/login besides.
func TestIsPageVisit(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/orders?id=7", nil)
	r.Header = http.Header{"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}}
	ours := "Bearer " + session.BearerPrefix + strings.Repeat("x", session.TokenLength)
	for authorization, want := range map[string]bool{"": true, "Basic eDp5": true, "Bearer eyJhbGciOiJSUzI1NiJ9.e30.x": true, ours: false} {
		r.Header.Set("Authorization", authorization)
		assert.Equal(t, want, wechatauth.IsPageVisit(r), authorization)
	}
}
