package wechattest_test

import (
	"encoding/json"
	"html"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/wechattest"
)

// controlState is the response to the control page's forms.
type controlState struct {
	Now                                     time.Time
	Person, Environment, Holder, Everywhere string
	Faults                                  []struct{ Endpoint, Fault string }
	Switches                                map[string]bool
	Calls                                   int
	Code, Scenario, Site                    string
}

func control(t *testing.T, browser *http.Client, sim *wechattest.Server, form string, pairs ...string) controlState {
	t.Helper()
	resp, err := browser.PostForm(sim.URL+"/sim/"+form, values(pairs))
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	var state controlState
	require.NoError(t, json.Unmarshal([]byte(body(t, resp)), &state))
	return state
}

func jar(t *testing.T) *http.Client {
	t.Helper()
	cookies, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &http.Client{Jar: cookies}
}

func TestControl_Person(t *testing.T) {
	sim := simulator(t)
	mine, others := jar(t), jar(t)
	state := control(t, mine, sim, "hold", "person", "Lin", "for", "browser")
	require.Equal(t, "Lin", state.Person)
	require.Equal(t, "小明", state.Holder)
	state = control(t, others, sim, "hold", "person", "阿青")
	require.Equal(t, "阿青", state.Person)

	for browser, want := range map[*http.Client]string{mine: "Lin", others: "阿青"} {
		wechat := phone()
		wechat.Jar = browser.Jar
		callback, err := sim.CallbackURL(wechat, authorizeURL(sim, loopback, "snsapi_base"))
		require.NoError(t, err)
		require.Equal(t, wechattest.OpenID(appID, want), exchange(t, sim, codeOf(t, callback))["openid"])
	}
	state = control(t, mine, sim, "hold", "person", "小明", "for", "all")
	require.Equal(t, "小明", state.Holder)
	require.Equal(t, "小明", state.Person)
	state = control(t, mine, sim, "advance", "by", "0s")
	require.Equal(t, "小明", state.Person, "the browser's choice is reset")
}

func TestControl_Environment(t *testing.T) {
	sim := simulator(t)
	mine := jar(t)
	state := control(t, mine, sim, "environment", "environment", "snapshot", "for", "browser")
	require.Equal(t, "snapshot", state.Environment)
	require.Equal(t, "normal", state.Everywhere)
	wechat := phone()
	wechat.Jar = mine.Jar
	resp, _ := open(t, wechat, authorizeURL(sim, loopback, "snsapi_userinfo"))
	require.Equal(t, http.StatusFound, resp.StatusCode)
	resp, _ = open(t, phone(), authorizeURL(sim, loopback, "snsapi_userinfo"))
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, "menu", control(t, mine, sim, "environment", "environment", "menu").Everywhere)
}

func TestControl_FaultsQuirksTime(t *testing.T) {
	sim := simulator(t)
	browser := jar(t)
	state := control(t, browser, sim, "fault", "endpoint", exchangePath, "fault", "errcode:45011", "times", "2")
	require.Len(t, state.Faults, 2)
	require.Equal(t, "errcode:45011", state.Faults[0].Fault)
	require.Equal(t, 45011, exchange(t, sim, "0bogus").errcode())
	require.Empty(t, control(t, browser, sim, "clear-faults").Faults)
	require.Equal(t, 40029, exchange(t, sim, "0bogus").errcode())

	require.True(t, control(t, browser, sim, "switch", "switch", "require-https", "on", "true").Switches["require-https"])
	require.Equal(t, 43003, exchange(t, sim, "0bogus").errcode())
	require.False(t, control(t, browser, sim, "switch", "switch", "require-https", "on", "false").Switches["require-https"])

	require.Equal(t, noon.Add(time.Hour), control(t, browser, sim, "advance", "by", "1h").Now)
	require.Equal(t, noon.Add(time.Hour), sim.Now())
}

func TestControl_CodesAndTokens(t *testing.T) {
	sim := simulator(t)
	browser := jar(t)
	a := miniSession(t, sim, control(t, browser, sim, "js-code", "appid", miniID, "person", "Lin").Code)
	require.Equal(t, wechattest.OpenID(miniID, "Lin"), a["openid"])
	number := post(t, sim, numberPath+"?access_token="+accountToken(t, sim, miniID, miniSecret),
		map[string]string{"code": control(t, browser, sim, "phone-code", "appid", miniID, "person", "Lin").Code})
	require.Zero(t, number.errcode())
	require.NotEmpty(t, control(t, browser, sim, "component-token", "appid", platform).Code)
	require.Contains(t, control(t, browser, sim, "verify-ticket", "appid", platform).Code, "ticket@@@")

	old := token(t, sim, "snsapi_userinfo")
	control(t, browser, sim, "change-password", "person", "小明")
	require.Equal(t, 42007, profile(t, sim, old).errcode())
}

func TestControl_InvalidForms(t *testing.T) {
	sim := simulator(t)
	for form, pairs := range map[string][]string{
		"scenario":        {"scenario", "unknown"},
		"hold":            {"person", "unknown"},
		"environment":     {"environment", "nowhere"},
		"fault":           {"endpoint", exchangePath, "fault", "bogus"},
		"switch":          {"switch", "bogus"},
		"advance":         {"by", "-1h"},
		"change-password": {},
		"js-code":         {"appid", appID, "person", "Lin"},
		"phone-code":      {"appid", miniID, "person", "unknown"},
		"component-token": {"appid", appID},
	} {
		resp, err := http.PostForm(sim.URL+"/sim/"+form, values(pairs))
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, http.StatusBadRequest, resp.StatusCode, form)
	}
	for _, times := range []string{"0", "x", "1001"} {
		resp, err := http.PostForm(sim.URL+"/sim/fault", values([]string{"endpoint", exchangePath, "fault", "busy", "times", times}))
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, http.StatusBadRequest, resp.StatusCode, times)
	}
	resp, err := http.PostForm(sim.URL+"/sim/fault", values([]string{"endpoint", "bogus", "fault", "busy"}))
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)
}

func TestControl_CrossSite(t *testing.T) {
	sim := simulator(t)
	req, err := http.NewRequest(http.MethodPost, sim.URL+"/sim/hold?person=Lin", nil)
	require.NoError(t, err)
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusForbidden, resp.StatusCode)
}

func TestControlPage_Languages(t *testing.T) {
	sim := simulator(t)
	for lang, want := range map[string]string{
		"zh-CN,zh;q=0.9,en;q=0.8": "当前用户", "en-GB,en;q=0.9": "Current user", "": "当前用户",
	} {
		req, err := http.NewRequest(http.MethodGet, sim.URL+"/", nil)
		require.NoError(t, err)
		req.Header.Set("Accept-Language", lang)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.Equal(t, "/sim/", resp.Request.URL.Path)
		require.Contains(t, body(t, resp), want)
	}
	for _, sheet := range []string{"page.css", "control.css"} {
		resp, err := http.Get(sim.URL + "/sim/" + sheet)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, "text/css; charset=utf-8", resp.Header.Get("Content-Type"))
	}
}

func TestControlPage_NoSecrets(t *testing.T) {
	sim := simulator(t)
	resp, err := http.Get(sim.URL + "/sim/")
	require.NoError(t, err)
	page := body(t, resp)
	for _, a := range wechattest.DefaultAccounts() {
		require.Contains(t, page, a.AppID)
		require.NotContains(t, page, a.Secret)
	}
}

func TestControlPage_Pictures(t *testing.T) {
	far := "http://thirdwx.example/mmopen/1/132"
	sim := simulator(t, wechattest.WithPerson(append(wechattest.DefaultPeople(), wechattest.Person{Name: "far", AvatarURL: far}, wechattest.Person{Name: "none"})...))
	resp, page := open(t, phone(), authorizeURL(sim, loopback, "snsapi_userinfo"))
	found := regexp.MustCompile(`<img src="([^"]+)" alt="" referrerpolicy="no-referrer">`).FindAllStringSubmatch(page, -1)
	require.Len(t, found, 4, "a person without a picture is shown without one")
	for _, src := range found[:3] {
		picture, err := resp.Request.URL.Parse(src[1])
		require.NoError(t, err)
		got, err := http.Get(picture.String())
		require.NoError(t, err)
		require.Contains(t, body(t, got), "<svg")
	}
	require.Equal(t, far, found[3][1])
}

// submit posts a form of the control page as a browser without scripts does, and
// returns the page that follows.
func submit(t *testing.T, browser *http.Client, sim *wechattest.Server, form string, pairs ...string) (status int, page string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, sim.URL+"/sim/"+form, strings.NewReader(values(pairs).Encode()))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "text/html,application/xhtml+xml")
	resp, err := browser.Do(req)
	require.NoError(t, err)
	return resp.StatusCode, body(t, resp)
}

func TestControlPage_WithoutScript(t *testing.T) {
	sim := simulator(t)
	browser := jar(t)
	see := func(form string, pairs ...string) string {
		t.Helper()
		status, page := submit(t, browser, sim, form+"?lang=en", pairs...)
		require.Equal(t, http.StatusOK, status)
		require.Contains(t, page, "<h2>Scenarios</h2>", "the language stays")
		for _, action := range regexp.MustCompile(`<form method="post" action="([^"]*)"`).FindAllStringSubmatch(page, -1) {
			if action[1] != "full-service" {
				require.Contains(t, action[1], "?lang=en")
			}
		}
		return page
	}
	require.Regexp(t, `value="Lin" checked`, see("hold", "person", "Lin", "for", "all"))
	require.Regexp(t, `value="snapshot" checked`, see("environment", "environment", "snapshot", "for", "browser"))
	require.Contains(t, see("fault", "endpoint", exchangePath, "fault", "busy", "times", "2"), `<li><strong>busy</strong> sns/oauth2/access_token × 2</li>`)
	require.NotContains(t, see("clear-faults"), "<li><strong>busy")
	page := see("switches", "accept-post", "on", "require-https", "on")
	require.Regexp(t, `name="accept-post" checked`, page)
	require.Regexp(t, `name="require-https" checked`, page)
	require.NotRegexp(t, `name="accept-post" checked`, see("switches"))
	require.Contains(t, see("advance", "by", "2h"), "14:00:00")
	require.Contains(t, see("reset-clock"), "12:00:00")
	require.Contains(t, see("scenario", "scenario", "throttled"), `value="throttled" aria-pressed="true"`)

	code := regexp.MustCompile(`<output id="issued" class="mono">(\w+)</output>`).FindStringSubmatch(see("js-code", "appid", miniID, "person", "Lin"))
	require.NotNil(t, code)
	require.Equal(t, wechattest.OpenID(miniID, "Lin"), miniSession(t, sim, code[1])["openid"])
	status, page := submit(t, browser, sim, "fault", "endpoint", "bogus", "fault", "busy")
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, page, `<p class="error" role="alert">unknown endpoint &#34;bogus&#34;</p>`)
}

// Without a script, the page shows the journal as it is now.
func TestControlPage_Journal(t *testing.T) {
	sim := simulator(t)
	exchange(t, sim, "0bogus-code")
	open(t, phone(), authorizeURL(sim, loopback, "snsapi_userinfo"))
	_, page := open(t, jar(t), sim.URL+"/sim/")
	require.Regexp(t, `(?s)<main class="columns">.*<section class="card journal" tabindex="0" role="region" aria-labelledby="journal-title">.*</main>`, page, "a landmark, and a region that the keyboard reaches")
	require.Regexp(t, `(?s)<li id="call-2">.*connect/oauth2/authorize</span><span class="result">授权页</span><span class="more">小明 · state ….*<li id="call-1" class="bad">.*sns/oauth2/access_token</span><span class="result">40029</span>`, page, "newest first")
	_, page = open(t, jar(t), sim.URL+"/sim/?lang=en")
	require.Contains(t, page, `<span class="result">consent page</span>`)
}

// Every scenario is a card that says in both languages what it does.
func TestControlPage_Scenarios(t *testing.T) {
	sim := simulator(t)
	_, chinese := open(t, jar(t), sim.URL+"/sim/?lang=zh")
	_, english := open(t, jar(t), sim.URL+"/sim/?lang=en")
	for _, sc := range slices.Concat(wechattest.Scenarios(), wechattest.WeComScenarios()) {
		card := regexp.MustCompile(`<button name="scenario" value="` + sc.Name + `" aria-pressed="\w+"><span class="what">([^<]+)</span>`)
		zh, en := card.FindStringSubmatch(chinese), card.FindStringSubmatch(english)
		require.NotNil(t, zh, sc.Name)
		require.NotNil(t, en, sc.Name)
		require.Equal(t, sc.About, html.UnescapeString(en[1]))
		require.Regexp(t, `\p{Han}`, zh[1])
	}
	require.Contains(t, chinese, `value="plain" aria-pressed="true"`)
	require.Equal(t, "snapshot", control(t, jar(t), sim, "scenario", "scenario", "snapshot").Scenario)
	require.Empty(t, control(t, jar(t), sim, "environment", "environment", "menu").Scenario)

	browser := jar(t)
	control(t, browser, sim, "environment", "environment", "normal", "for", "browser")
	require.Equal(t, "snapshot", control(t, browser, sim, "scenario", "scenario", "snapshot").Environment, "the browser's choice is reset")
}

func TestControlPage_Application(t *testing.T) {
	sim := simulator(t)
	_, page := open(t, jar(t), sim.URL+"/sim/")
	require.Regexp(t, `id="site" href=""[^>]* hidden>`, page)
	open(t, phone(), authorizeURL(sim, "https://other.example.com/cb", "snsapi_base"))
	_, page = open(t, jar(t), sim.URL+"/sim/")
	require.Regexp(t, `id="site" href=""`, page, "a callback that is not allowed")
	open(t, phone(), authorizeURL(sim, loopback, "snsapi_userinfo"))
	_, page = open(t, jar(t), sim.URL+"/sim/")
	origin, err := url.Parse(loopback)
	require.NoError(t, err)
	require.Regexp(t, `id="site" href="http://`+origin.Host+`/"[^>]*noopener">`, page)

	sim = simulator(t, wechattest.WithSite("https://shop.example.com/"))
	open(t, phone(), authorizeURL(sim, loopback, "snsapi_userinfo"))
	require.Equal(t, "https://shop.example.com/", control(t, jar(t), sim, "advance", "by", "0s").Site)
	require.Panics(t, func() { wechattest.NewHandler(wechattest.WithSite("javascript:alert(1)")) })
}

func TestControl_ResetClock(t *testing.T) {
	sim := simulator(t)
	callback, err := sim.CallbackURL(phone(), authorizeURL(sim, loopback, "snsapi_base"))
	require.NoError(t, err)
	control(t, jar(t), sim, "advance", "by", "720h")
	require.Equal(t, noon, control(t, jar(t), sim, "reset-clock").Now)
	require.Zero(t, exchange(t, sim, codeOf(t, callback)).errcode(), "the code has not expired")
}

func TestJournal_LongPoll(t *testing.T) {
	sim := simulator(t, wechattest.WithPollHold(time.Hour))
	type page struct {
		Calls []wechattest.Call
		Last  int
	}
	follow := func(after string) (p page) {
		resp, err := http.Get(sim.URL + "/sim/journal?after=" + after)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal([]byte(body(t, resp)), &p))
		return p
	}
	news := make(chan page, 1)
	go func() { news <- follow("0") }()
	exchange(t, sim, "0bogus")
	first := <-news
	require.Equal(t, exchangePath, first.Calls[0].Endpoint)
	go func() { news <- follow("1") }()
	get(t, sim, "sns/auth")
	require.Equal(t, page{Calls: sim.Journal()[1:], Last: 2}, <-news)
	require.Len(t, follow("99").Calls, 2, "a client that knows more calls than there are gets all")
}

func TestNewHandler_WithoutURL(t *testing.T) {
	sim := wechattest.NewHandler().(*wechattest.Server)
	require.PanicsWithValue(t, "wechattest: Endpoints: URL is empty: after NewHandler, set it to the base URL of the simulator",
		func() { sim.Endpoints() }, "empty base URLs would mean the real WeChat")
	_, err := sim.FullService(phone(), loopback)
	require.ErrorContains(t, err, "set it to the base URL of the simulator")

	srv := httptest.NewServer(sim)
	t.Cleanup(srv.Close)
	sim.URL = srv.URL
	c, err := client.New(miniID, miniSecret, client.WithEndpoints(sim.Endpoints()))
	require.NoError(t, err)
	session, err := c.Code2Session(t.Context(), sim.WXLogin(miniID, "Lin"))
	require.NoError(t, err)
	require.Equal(t, wechattest.OpenID(miniID, "Lin"), session.OpenID)
}

// An entry is sent when a call begins, and again when it has an outcome.
func TestJournal_EndOfOpenCall(t *testing.T) {
	sim := simulator(t, wechattest.WithPollHold(time.Hour))
	type entry struct {
		wechattest.Call
		Number int
		Open   bool
	}
	type page struct {
		Calls       []entry
		Last, Ended int
	}
	follow := func(query string) (p page) {
		resp, err := http.Get(sim.URL + "/sim/journal?" + query)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal([]byte(body(t, resp)), &p))
		return p
	}
	release := sim.Block(exchangePath)
	exchanged := make(chan response, 1)
	go func() { exchanged <- exchange(t, sim, "0bogus") }()
	first := follow("after=0&ended=0")
	require.Equal(t, 1, first.Last)
	require.True(t, first.Calls[0].Open)
	require.Zero(t, first.Calls[0].Errcode)

	release()
	require.Equal(t, 40029, (<-exchanged).errcode())
	second := follow("after=1&ended=0")
	require.Len(t, second.Calls, 1)
	require.Equal(t, 1, second.Calls[0].Number)
	require.False(t, second.Calls[0].Open)
	require.Equal(t, 40029, second.Calls[0].Errcode)
	require.Equal(t, 1, second.Ended)
}

func TestNewHandler_Prefix(t *testing.T) {
	sim := wechattest.NewHandler().(*wechattest.Server)
	srv := httptest.NewServer(http.StripPrefix("/wechat", sim))
	t.Cleanup(srv.Close)
	sim.URL = srv.URL + "/wechat"
	t.Run("Allow on a page", func(t *testing.T) {
		browser := phone()
		page, err := browser.Get(authorizeURL(sim, site(t), "snsapi_userinfo"))
		require.NoError(t, err)
		resp, err := sim.Allow(browser, page)
		require.NoError(t, err)
		require.Equal(t, "s1", query(t, resp).Get("state"))
	})
	t.Run("CallbackURL stops before the callback", func(t *testing.T) {
		for _, scope := range []string{"snsapi_base", "snsapi_userinfo"} {
			callback, err := sim.CallbackURL(phone(), authorizeURL(sim, loopback, scope))
			require.NoError(t, err)
			require.Contains(t, callback, loopback+"?code=0")
		}
	})
	t.Run("a person chosen by one browser", func(t *testing.T) {
		browser := jar(t)
		require.Equal(t, "Lin", control(t, browser, sim, "hold", "person", "Lin", "for", "browser").Person)
		control(t, browser, sim, "environment", "environment", "snapshot", "for", "browser")
		state := control(t, browser, sim, "advance", "by", "0s")
		require.Equal(t, "Lin", state.Person)
		require.Equal(t, "snapshot", state.Environment)

		wechat := phone()
		wechat.Jar = browser.Jar
		callback, err := sim.CallbackURL(wechat, authorizeURL(sim, loopback, "snsapi_base"))
		require.NoError(t, err)
		require.Equal(t, wechattest.OpenID(appID, "Lin"), exchange(t, sim, codeOf(t, callback))["openid"])

		control(t, browser, sim, "hold", "person", "小明")
		control(t, browser, sim, "environment", "environment", "normal")
		state = control(t, browser, sim, "advance", "by", "0s")
		require.Equal(t, "小明", state.Person, "the browser's choice is reset")
		require.Equal(t, "normal", state.Environment)
	})
	t.Run("pictures", func(t *testing.T) {
		callback, err := sim.CallbackURL(phone(), authorizeURL(sim, loopback, "snsapi_userinfo"))
		require.NoError(t, err)
		picture := profile(t, sim, exchange(t, sim, codeOf(t, callback))).text("headimgurl")
		require.Contains(t, picture, sim.URL+"/mmopen/")
		resp, err := http.Get(picture)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, http.StatusOK, resp.StatusCode)
	})
}

// CallbackURL must also stop if the site has the same host as the simulator.
func TestServer_CallbackURL_SiteBelowConnect(t *testing.T) {
	sim := simulator(t)
	var delivered atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/connect/wechat/callback", func(http.ResponseWriter, *http.Request) { delivered.Add(1) })
	mux.HandleFunc("/connect/wechat/start", func(w http.ResponseWriter, r *http.Request) {
		scope := r.FormValue("scope")
		http.Redirect(w, r, authorizeURL(sim, "http://"+r.Host+"/connect/wechat/callback", scope), http.StatusFound)
	})
	mux.Handle("/", sim)
	app := httptest.NewServer(mux)
	t.Cleanup(app.Close)
	for _, base := range []string{sim.URL, app.URL} {
		sim.URL = base // first on a separate host, then on the site's
		for _, scope := range []string{"snsapi_base", "snsapi_userinfo"} {
			callback, err := sim.CallbackURL(phone(), app.URL+"/connect/wechat/start?scope="+scope)
			require.NoError(t, err)
			require.Contains(t, callback, app.URL+"/connect/wechat/callback?code=0")
			require.Zero(t, delivered.Load())
		}
	}
}
