package wechattest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/wechattest"
)

// goodSite is a small correct site: it redirects to WeChat once per page visit,
// and exchanges each code once.
type goodSite struct {
	wechat *client.Client
	base   string

	mu     sync.Mutex
	flows  map[string]*flow
	called int // how often the callback was requested
}

type flow struct {
	once   sync.Once
	openID string
	err    error
}

func newGoodSite(t *testing.T, sim *wechattest.Server) *goodSite {
	t.Helper()
	c, err := client.New(appID, secret, client.WithEndpoints(sim.Endpoints()))
	require.NoError(t, err)
	s := &goodSite{wechat: c, flows: map[string]*flow{}}
	s.base = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/cb" {
			s.callback(w, r)
			return
		}
		s.page(w, r)
	})
	return s
}

func (s *goodSite) page(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie("openid"); err == nil {
		fmt.Fprint(w, "hello ", c.Value)
		return
	}
	s.mu.Lock()
	state := fmt.Sprintf("state%d", len(s.flows))
	s.flows[state] = &flow{}
	s.mu.Unlock()
	http.Redirect(w, r, s.wechat.AuthorizeURL(s.base+"/cb", client.ScopeUserInfo, state), http.StatusSeeOther)
}

func (s *goodSite) callback(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.called++
	f := s.flows[r.FormValue("state")]
	s.mu.Unlock()
	if f == nil || r.FormValue("code") == "" {
		fmt.Fprint(w, "not logged in: no such flow")
		return
	}
	f.once.Do(func() { f.openID, f.err = s.login(r.Context(), r.FormValue("code")) })
	if f.err != nil {
		fmt.Fprint(w, "not logged in: ", f.err)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: "openid", Value: f.openID})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *goodSite) login(ctx context.Context, code string) (openID string, err error) {
	token, err := s.wechat.Exchange(context.WithoutCancel(ctx), code)
	if err != nil {
		return "", err
	}
	if token.Snapshot {
		return "", errors.New("a snapshot page")
	}
	s.wechat.UserInfo(ctx, token.AccessToken.Reveal(), token.OpenID, client.LangZhCN) // a login without a profile is still a login
	return token.OpenID, nil
}

func TestScenarios(t *testing.T) {
	names := map[string]bool{}
	running := simulator(t)
	for _, sc := range wechattest.Scenarios() {
		require.False(t, names[sc.Name], "duplicate name %s", sc.Name)
		names[sc.Name] = true
		t.Run(sc.Name, func(t *testing.T) { runScenario(t, simulator(t, wechattest.WithScenario(sc.Name)), sc) })
		t.Run(sc.Name+" after others", func(t *testing.T) {
			running.SetScenario(sc.Name)
			runScenario(t, running, sc)
		})
	}
}

func runScenario(t *testing.T, sim *wechattest.Server, sc wechattest.Scenario) {
	t.Helper()
	app := newGoodSite(t, sim)
	browser := phone()
	page, err := browser.Get(app.base + "/")
	require.NoError(t, err)
	if strings.HasPrefix(page.Request.URL.String(), sim.URL) {
		if shown, err := sim.Allow(browser, page); err == nil {
			page = shown
		}
	}
	text := ""
	if strings.HasPrefix(page.Request.URL.String(), app.base) {
		text = body(t, page)
	}
	require.Equal(t, sc.Reaches, app.called > 0)
	require.Equal(t, sc.Reaches, text != "")
	require.Equal(t, sc.LogsIn, strings.HasPrefix(text, "hello o"), text)
	require.Len(t, app.flows, 1, "no second redirect to WeChat")
	sim.AssertNoLeaks(t)
}

func TestSetScenario(t *testing.T) {
	own := wechattest.Account{AppID: "wx0123456789abcdef", Secret: "secret-of-the-team"}
	sim := simulator(t, wechattest.WithAccount(own), wechattest.WithPerson(wechattest.Person{Name: "Ada"}, wechattest.Person{Name: "Bo"}),
		wechattest.WithQuirks(wechattest.AcceptPost))
	state := func() controlState { return control(t, jar(t), sim, "advance", "by", "0s") }
	authorized := func() string {
		_, page := open(t, phone(), strings.ReplaceAll(authorizeURL(sim, loopback, "snsapi_userinfo"), appID, own.AppID))
		return page
	}
	sim.SetPerson("Bo")
	sim.Advance(time.Hour)
	before := len(sim.Journal())

	sim.SetScenario("account-banned")
	require.Contains(t, authorized(), "10004", "it changes the accounts of the options")
	require.Equal(t, "Bo", state().Person, "it is not about the user")
	sim.SetScenario("profile-emoji")
	require.NotContains(t, authorized(), "10004")
	require.Equal(t, "emoji", state().Person)
	require.Equal(t, "profile-emoji", state().Scenario)
	require.True(t, state().Switches["accept-post"], "as at the start")

	sim.SetQuirk(wechattest.AcceptPost, false)
	require.Empty(t, state().Scenario, "something was changed since")
	sim.Fail("sns/auth", wechattest.Busy())
	sim.SetEnvironment(wechattest.Snapshot)
	sim.SetScenario("plain")
	require.Empty(t, state().Faults)
	require.Equal(t, "normal", state().Everywhere)
	require.True(t, state().Switches["accept-post"])
	require.Equal(t, "Ada", state().Person, "the scenario's person is gone")
	require.Equal(t, noon.Add(time.Hour), sim.Now())
	require.Len(t, sim.Journal(), before+2)
	require.PanicsWithValue(t, `wechattest: unknown scenario "bogus"`, func() { sim.SetScenario("bogus") })
}

// A secret that a scenario has replaced is still one.
func TestSetScenario_Leaks(t *testing.T) {
	sim := simulator(t)
	for _, name := range []string{"account-secret-changed", "plain"} {
		sim.SetScenario(name)
	}
	for _, leaked := range []string{secret, "another-secret-for-tests"} {
		before := len(sim.Leaks())
		open(t, phone(), sim.URL+"/connect/oauth2/authorize?appid="+leaked)
		require.Greater(t, len(sim.Leaks()), before, leaked)
	}
}

func TestWithScenario_Unknown(t *testing.T) {
	require.PanicsWithValue(t, `wechattest: unknown scenario "bogus"`, func() { wechattest.NewHandler(wechattest.WithScenario("bogus")) })
}
