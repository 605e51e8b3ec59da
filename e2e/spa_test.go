package e2e

import (
	"fmt"
	"net/url"
	"regexp"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// startSPA starts the single-page application on a free port.
func startSPA(t *testing.T) (url string) {
	t.Helper()
	url, _ = startSPAWithSimulator(t)
	return url
}

func startSPAWithSimulator(t *testing.T) (url string, sim *wechatsim) {
	t.Helper()
	p := startProgram(t, spaBinary, "-addr", "127.0.0.1:0")
	found := regexp.MustCompile(`^Open (http://\S+) \(WeChat simulator: (http://\S+)\)$`).FindStringSubmatch(p.first)
	require.NotNil(t, found, "the first line is %q", p.first)
	return found[1], &wechatsim{program: p, url: found[2]}
}

// tap clicks without waiting for a page: a hash router loads none.
func (tb *tab) tap(selector string) {
	tb.t.Helper()
	eval[bool](tb, `document.querySelector("`+selector+`").click(), true`)
}

const (
	onHome    = `(document.querySelector("h1") || {innerText: ""}).innerText.startsWith("Welcome") && location.hash !== "#/me"`
	onAccount = `location.hash === "#/me" && (document.querySelector("#openid") || {innerText: ""}).innerText.startsWith("o")`
)

// where returns the URL without the host.
func (tb *tab) where() string {
	tb.t.Helper()
	return eval[string](tb, "location.pathname + location.search + location.hash")
}

func TestSPA_Login(t *testing.T) {
	site := startSPA(t)
	tb := openBrowser(t).tab()
	tb.open(site + "/?from=menu#/")
	tb.until(onHome)

	tb.tap("#to-me") // 401, to WeChat, and back
	tb.until(onAccount)
	tb.forgive("401")
	assert.Equal(t, "/?from=menu#/me", tb.where(), "the fragment is preserved")
	logins := tb.asked(site + "/wechat/login")
	assert.Equal(t, 1, logins)

	eval[bool](tb, "history.back(), true")
	tb.until(onHome)
	assert.Equal(t, "/?from=menu#/", tb.where(), "Back skips WeChat")
	tb.tap("#to-me")
	tb.until(onAccount)
	assert.Equal(t, logins, tb.asked(site+"/wechat/login"), "the session is kept")
}

func TestSPA_Logout(t *testing.T) {
	site := startSPA(t)
	tb := openBrowser(t).tab()
	tb.open(site + "/#/me")
	tb.until(onAccount)
	tb.forgive("401")
	logins := tb.asked(site + "/wechat/login")

	tb.tap("#logout")
	tb.until(onHome)
	tb.tap("#to-me")
	tb.until(`(document.querySelector("h1") || {innerText: ""}).innerText === "You are logged out"`)
	tb.forgive("401")
	assert.Equal(t, logins, tb.asked(site+"/wechat/login"), "there is no login without the user's request")

	tb.tap("#to-login")
	tb.until(onAccount)
	assert.Equal(t, "/#/me", tb.where())
}

func TestSPA_Profile(t *testing.T) {
	site := startSPA(t)
	tb := openBrowser(t).tab()
	tb.open(site + "/#/me")
	tb.until(onAccount)
	tb.forgive("401")

	tb.tap("#to-profile") // 403, to the page with the button
	tb.until(`location.pathname === "/wechat/upgrade"`)
	tb.forgive("403")
	tb.click("form button") // WeChat's consent
	tb.click(allowButton)   // given
	tb.until(`location.hash === "#/profile" && (document.querySelector("h1") || {innerText: ""}).innerText === "小明"`)
}

// holdAccount holds the response for the account, after it has arrived, until
// release is called.
const holdAccount = `
  const real = fetch, released = new Promise(resolve => window.release = resolve);
  let arrived = false;
  window.fetch = async (path, options) => {
    if (path !== "/api/me") return real(path, options);
    const response = await real(path), body = await response.json();
    arrived = true;
    await released;
    return {ok: response.ok, json: async () => body};
  }; true`

// releaseAccount returns after the page has handled the response.
const releaseAccount = `release(), new Promise(resolve => setTimeout(() => resolve(true), 0))`

// clickDuringLogin clicks after the page has begun to open the login.
const clickDuringLogin = `
  const fetched = fetch;
  let clicked = false;
  window.fetch = async (path, options) => {
    const response = await fetched(path, options), body = await response.json();
    return {ok: response.ok, json: async () => {
      setTimeout(() => { clicked = true; document.querySelector(%q).click(); }, 0);
      return body;
    }};
  }; true`

func TestSPA_LastClick(t *testing.T) {
	home := "nav a:first-child"
	site, sim := startSPAWithSimulator(t)
	b := openBrowser(t)
	b.tab()

	t.Run("a response arrives after a later click", func(t *testing.T) {
		tb := b.window(t)
		tb.open(site + "/#/me")
		tb.until(onAccount)
		tb.forgive("401")
		tb.tap(home)
		tb.until(onHome)

		eval[bool](tb, holdAccount)
		tb.tap("#to-me")
		tb.until("arrived")
		tb.tap(home)
		tb.until(onHome)
		_, err := chromedp.Run(tb.ctx, chromedp.Evaluate[bool](releaseAccount, chromedp.EvalAwaitPromise))
		require.NoError(t, err)
		assert.True(t, eval[bool](tb, onHome), "the last click is for this page")
		assert.Equal(t, "Home", tb.text("nav a[aria-current=page]"))
	})

	t.Run("a click while the login begins", func(t *testing.T) {
		tb := b.window(t)
		tb.open(site + "/#/")
		tb.until(onHome)
		sim.post("fault", url.Values{"endpoint": {"connect/oauth2/authorize"}, "fault": {"hang"}})
		// Once its navigation hangs, the page no longer responds to the test.
		eval[bool](tb, fmt.Sprintf(clickDuringLogin, home))
		tb.tap("#to-me")
		tb.until("clicked && " + onHome)
		tb.forgive("401")
	})
}
