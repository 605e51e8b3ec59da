package e2e

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/wechattest"
)

// Selectors of the buttons.
const (
	upgradeButton = "form[action='/wechat/upgrade'] button"
	allowButton   = "button[value=allow]"
	refuseButton  = "button[value=refuse]"
	logoutButton  = "#logout"
	loginLink     = "a[href*='/wechat/login']"
)

// The first person of the simulator, who holds the phone.
var person = wechattest.DefaultPeople()[0].Name

func openIDOf(person string) string { return wechattest.OpenID(wechattest.DefaultAppID, person) }

func TestLogin(t *testing.T) {
	t.Parallel()
	site := startQuickstart(t)
	tb := openBrowser(t).tab()

	assert.Equal(t, shown{200, site.url + "/?from=menu"}, tb.open(site.url+"/?from=menu"))
	assert.Equal(t, openIDOf(person), tb.text("#openid"))
	assert.Equal(t, "snsapi_base", tb.text("#scope"))
	assert.Equal(t, site.url+"/?from=menu", eval[string](tb, "location.href"), "nothing of WeChat's is left in the address bar")
	assert.Empty(t, eval[string](tb, "document.cookie"), "cookies that a script of the page can read")
	assert.Equal(t, 1, tb.asked(site.sim+"/connect/oauth2/authorize"))

	tb.open(site.url + "/")
	assert.Equal(t, openIDOf(person), tb.text("#openid"))
	assert.Equal(t, 1, tb.asked(site.sim+"/connect/oauth2/authorize"), "a logged-in user is not redirected to WeChat")
}

func TestStepUp(t *testing.T) {
	t.Parallel()
	site := startQuickstart(t)
	tb := openBrowser(t).tab()
	tb.open(site.url + "/")

	assert.Equal(t, shown{200, site.url + "/wechat/upgrade?next=%2Fprofile"}, tb.click("a.button[href='/profile']"))
	consent := tb.click(upgradeButton)
	assert.True(t, strings.HasPrefix(consent.url, site.sim+"/connect/oauth2/authorize?"), consent.url)
	assert.Equal(t, shown{200, site.url + "/profile"}, tb.click(allowButton))

	assert.Equal(t, person, tb.text("#nickname"))
	assert.Equal(t, openIDOf(person), tb.text("#openid"))
	assert.Equal(t, "snsapi_userinfo", tb.text("#scope"))
	assert.Positive(t, eval[int](tb, "document.querySelector('#avatar').naturalWidth"), "the avatar is a picture")
}

func TestStepUp_Denied(t *testing.T) {
	t.Parallel()
	site := startQuickstart(t)
	tb := openBrowser(t).tab()
	tb.open(site.url + "/")
	tb.open(site.url + "/profile")
	tb.click(upgradeButton)

	refused := tb.click(refuseButton)
	assert.True(t, strings.HasPrefix(refused.url, site.sim), "there is no callback: %s", refused.url)
	assert.EqualValues(t, 200, refused.status)

	assert.Equal(t, shown{200, site.url + "/"}, tb.open(site.url+"/"))
	assert.Equal(t, openIDOf(person), tb.text("#openid"))
	assert.Equal(t, "snsapi_base", tb.text("#scope"))
	assert.Equal(t, 1, tb.asked(site.url+"/wechat/callback"), "callbacks, with the one of the first login")

	assert.Equal(t, shown{200, site.url + "/wechat/upgrade?next=%2Fprofile"}, tb.open(site.url+"/profile"), "the user may still allow it")
	tb.click(upgradeButton)
	assert.Equal(t, shown{200, site.url + "/profile"}, tb.click(allowButton))
}

func TestLogout(t *testing.T) {
	t.Parallel()
	site := startQuickstart(t)
	tb := openBrowser(t).tab()
	tb.open(site.url + "/")
	logins := tb.asked(site.sim + "/connect/oauth2/authorize")

	assert.Equal(t, shown{200, site.url + "/public"}, tb.click(logoutButton))
	assert.False(t, tb.has("#openid"))
	assert.True(t, tb.has(loginLink))

	assert.Equal(t, shown{401, site.url + "/?from=menu"}, tb.open(site.url+"/?from=menu"))
	tb.forgive("status of 401")
	assert.Equal(t, logins, tb.asked(site.sim+"/connect/oauth2/authorize"), "no silent login")
	assert.Equal(t, "You are logged out", tb.text("h1"))

	assert.Equal(t, shown{200, site.url + "/?from=menu"}, tb.click(loginLink))
	assert.Equal(t, openIDOf(person), tb.text("#openid"))
}

func TestLogout_Back(t *testing.T) {
	t.Parallel()
	site := startQuickstart(t)
	tb := openBrowser(t).tab()
	tb.open(site.url + "/")
	tb.click(logoutButton)

	assert.Equal(t, shown{401, site.url + "/"}, tb.back())
	tb.forgive("status of 401")
	assert.Equal(t, "You are logged out", tb.text("h1"))
	assert.False(t, tb.has("#openid"))
}

func TestLogin_Link(t *testing.T) {
	t.Parallel()
	site := startQuickstart(t)
	tb := openBrowser(t).tab()

	assert.Equal(t, shown{200, site.url + "/public"}, tb.open(site.url+"/public"))
	assert.Zero(t, tb.asked(site.sim), "a public page makes no request to WeChat")
	assert.Equal(t, shown{200, site.url + "/"}, tb.click(loginLink))
	assert.Equal(t, openIDOf(person), tb.text("#openid"))
}

func TestLogin_History(t *testing.T) {
	t.Parallel()
	site := startQuickstart(t)
	tb := openBrowser(t).tab()
	tb.open(site.url + "/public")
	tb.open(site.url + "/")
	tb.click("a.button[href='/profile']")
	tb.click(upgradeButton)
	tb.click(allowButton)

	assert.Equal(t, shown{200, site.url + "/profile"}, tb.reload())
	history, err := chromedp.Run(tb.ctx, chromedp.NavigationEntries())
	require.NoError(t, err)
	for _, entry := range history.Entries {
		assert.NotContains(t, entry.URL, "code=", "a code in the browser's history")
	}
	for range history.CurrentIndex - 1 { // up to the blank page that a tab begins with
		assert.EqualValues(t, 200, tb.back().status)
	}
	assert.Equal(t, site.url+"/public", eval[string](tb, "location.href"))
	for eval[string](tb, "location.pathname") != "/profile" {
		assert.EqualValues(t, 200, tb.forward().status)
	}
	assert.Equal(t, shown{200, site.url + "/profile"}, tb.reload())
	assert.Equal(t, person, tb.text("#nickname"))
}

func TestTabs_Login(t *testing.T) {
	t.Parallel()
	site := startQuickstart(t)
	b := openBrowser(t)
	tabs := map[string]*tab{"1": b.tab(), "2": b.tab()}

	results := make(chan shown, len(tabs))
	for name, tb := range tabs {
		go func() {
			response, err := chromedp.Run(tb.ctx, chromedp.NavigateResponse(site.url+"/?tab="+name))
			if assert.NoError(t, err) {
				results <- shown{response.Status, response.URL}
			} else {
				results <- shown{}
			}
		}()
	}
	assert.ElementsMatch(t, []shown{{200, site.url + "/?tab=1"}, {200, site.url + "/?tab=2"}}, []shown{<-results, <-results})
	for name, tb := range tabs {
		assert.Equal(t, openIDOf(person), tb.text("#openid"), "tab %s", name)
	}
}

func TestTabs_Consent(t *testing.T) {
	t.Parallel()
	site := startQuickstart(t)
	b := openBrowser(t)
	first, second := b.tab(), b.tab()
	for _, tb := range []*tab{first, second} {
		tb.open(site.url + "/profile?tab=" + map[*tab]string{first: "1", second: "2"}[tb])
		tb.click(upgradeButton)
	}

	assert.Equal(t, shown{200, site.url + "/profile?tab=2"}, second.click(allowButton))
	assert.Equal(t, shown{200, site.url + "/profile?tab=1"}, first.click(allowButton))
	for _, tb := range []*tab{first, second} {
		assert.Equal(t, shown{200, eval[string](tb, "location.href")}, tb.reload())
		assert.Equal(t, person, tb.text("#nickname"))
	}
}

func TestStepUp_OtherUser(t *testing.T) {
	t.Parallel()
	site := startQuickstart(t)
	tb := openBrowser(t).tab()
	tb.open(site.url + "/")
	tb.open(site.url + "/profile")
	tb.click(upgradeButton)
	other := wechattest.DefaultPeople()[1].Name
	eval[bool](tb, "document.querySelector('input[name=person][value=\""+other+"\"]').checked = true")

	assert.EqualValues(t, 403, tb.click(allowButton).status)
	tb.forgive("status of 403")
	tb.open(site.url + "/")
	assert.Equal(t, openIDOf(person), tb.text("#openid"), "the session still belongs to the same user")
}
