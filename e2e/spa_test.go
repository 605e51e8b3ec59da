package e2e

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// startSPA starts the single-page application on a free port.
func startSPA(t *testing.T) (url string) {
	t.Helper()
	p := startProgram(t, spaBinary, "-addr", "127.0.0.1:0")
	url, found := strings.CutPrefix(p.first, "Open ")
	require.True(t, found, "the first line is %q", p.first)
	return url
}

// tap clicks without waiting for a page: a hash router loads none.
func (tb *tab) tap(selector string) {
	tb.t.Helper()
	eval[bool](tb, `document.querySelector("`+selector+`").click(), true`)
}

const (
	onHome    = `document.querySelector("h1")?.innerText.startsWith("Welcome") && location.hash !== "#/me"`
	onAccount = `location.hash === "#/me" && document.querySelector("#openid")?.innerText.startsWith("o")`
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
	tb.until(`document.querySelector("h1")?.innerText === "You are logged out"`)
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
	tb.until(`location.hash === "#/profile" && document.querySelector("h1")?.innerText === "小明"`)
}
