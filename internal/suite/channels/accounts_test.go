package channels

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/wechattest"
)

func TestAccounts_OneHost(t *testing.T) {
	sim, a, b := authtest.NewShops(t)
	s := authtest.NewShopsSite(t, sim, httptest.NewUnstartedServer(nil), authtest.ByPathPrefix(map[string]wechatauth.Account{"/a/": a, "/b/": b}))
	user := s.Browser()

	inA := user.Visit("/a/x")
	require.Contains(t, inA.Text, "url=/a/x logged-in=true")
	assert.Equal(t, http.StatusUnauthorized, user.Fetch(http.MethodGet, "/b/x").StatusCode, "the identity is of another account")
	inB := user.Visit("/b/x")
	require.Contains(t, inB.Text, "url=/b/x logged-in=true")
	openid := regexp.MustCompile(`openid=\S+`)
	assert.NotEqual(t, openid.FindString(inA.Text), openid.FindString(inB.Text))
	assert.Equal(t, http.StatusOK, user.Fetch(http.MethodGet, "/a/x").StatusCode, "both are logged in now")
	assert.Equal(t, http.StatusNotFound, user.Visit("/c").StatusCode)
	assert.Equal(t, http.StatusNotFound, user.Visit("/wechat/login/wxunknown").StatusCode)
}

func TestAccounts_PendingLogin(t *testing.T) {
	sim, a, b := authtest.NewShops(t)
	s := authtest.NewShopsSite(t, sim, httptest.NewUnstartedServer(nil), authtest.ByPathPrefix(map[string]wechatauth.Account{"/a/": a, "/b/": b}))
	user := s.Browser()
	callback := user.Authorize("/a/x")
	crossed := regexp.MustCompile(authtest.ShopA).ReplaceAllString(callback, authtest.ShopB)
	got := user.Step(crossed)
	assert.Equal(t, http.StatusBadRequest, got.StatusCode)
	assert.Zero(t, s.Exchanges())
	assert.Contains(t, user.Visit(callback).Text, "url=/a/x logged-in=true")
}

func TestAccounts_StrayCallback(t *testing.T) {
	sim, a, b := authtest.NewShops(t)
	s := authtest.NewShopsSite(t, sim, httptest.NewUnstartedServer(nil), authtest.ByPathPrefix(map[string]wechatauth.Account{"/a/": a, "/b/": b}), wechatauth.WithPathPrefix("/app/wechat/"))
	s.Server.Config.Handler = http.StripPrefix("/app", s.Server.Config.Handler)
	browser := s.Browser()

	got := browser.Visit("/app/a/x")

	assert.Equal(t, http.StatusInternalServerError, got.StatusCode)
	assert.Contains(t, got.Text, string(wechatauth.ReasonBadConfig))
	assert.Zero(t, s.Exchanges(), "the code is not used")
	assert.Regexp(t, `level=ERROR .*reason=bad_config`, s.Logs.String())
	assert.Contains(t, s.Logs.String(), "arrived at /wechat/callback/"+authtest.ShopA+" instead of /app/wechat/callback/"+authtest.ShopA)
	assert.Equal(t, http.StatusNotFound, s.Browser().Step(got.Request.URL.String()).StatusCode, "another browser's")
}

func TestAccounts_TwoHosts(t *testing.T) {
	sim, a, b := authtest.NewShops(t)
	server := httptest.NewUnstartedServer(nil)
	u, err := url.Parse("http://" + server.Listener.Addr().String())
	require.NoError(t, err)
	a.BaseURL, b.BaseURL = "http://127.0.0.1:"+u.Port(), "http://localhost:"+u.Port()
	s := authtest.NewShopsSite(t, sim, server, authtest.ByHost(a, b))
	user := s.Browser()

	assert.Contains(t, user.Visit(a.BaseURL+"/x").Text, "url=/x logged-in=true")
	cookie := user.Cookie(s.SessionCookie())
	require.NotNil(t, cookie)
	atB := s.Browser()
	bURL, err := url.Parse(b.BaseURL)
	require.NoError(t, err)
	atB.Client.Jar.SetCookies(bURL, []*http.Cookie{{Name: cookie.Name, Value: cookie.Value, Path: "/"}})
	assert.Equal(t, http.StatusUnauthorized, atB.Fetch(http.MethodGet, b.BaseURL+"/x").StatusCode, "a copied session cookie is not enough")
	assert.Contains(t, atB.Visit(b.BaseURL+"/x").Text, "url=/x logged-in=true")
	assert.Equal(t, "localhost:"+u.Port(), authtest.MustParse(t, atB.Trail[len(atB.Trail)-1]).Host)
}

// A changing resolver has one account, which can be changed.
type changing struct{ account wechatauth.Account }

func (c *changing) ResolveAppID(*http.Request) (string, error) { return c.account.AppID, nil }

func (c *changing) Account(_ context.Context, appID string) (wechatauth.Account, error) {
	if appID != c.account.AppID {
		return wechatauth.Account{}, errors.New("not this one")
	}
	return c.account, nil
}

func TestAccounts_Pages(t *testing.T) {
	sim, a, b := authtest.NewShops(t)
	elsewhere, _, _ := authtest.NewShops(t)
	defer elsewhere.Close()
	pages := func(text string) func(io.Writer, wechatauth.Page) error {
		return func(w io.Writer, p wechatauth.Page) error {
			_, err := io.WriteString(w, text+" "+string(p.Reason))
			return err
		}
	}
	a.Pages = pages("the page of A")
	b.Endpoints, b.Pages = elsewhere.Endpoints(), pages("the page of B")
	s := authtest.NewShopsSite(t, sim, httptest.NewUnstartedServer(nil), authtest.ByPathPrefix(map[string]wechatauth.Account{"/a/": a, "/b/": b}))
	sim.Fail(authtest.ExchangeEndpoint, wechattest.Errcode(45011))

	assert.Equal(t, "the page of A rate_limited", s.Browser().Visit("/a/x").Text)
	assert.Contains(t, s.Browser().Visit("/b/x").Text, "logged-in=true", "A's quota is not B's")
	assert.Equal(t, 1, sim.Count("/sns/oauth2/access_token"))
	assert.Equal(t, 1, elsewhere.Count("/sns/oauth2/access_token"))
	assert.Equal(t, "the page of B callback_malformed", s.Browser().Visit("/wechat/callback/"+authtest.ShopB).Text)
}

func TestAccounts_ChangedPages(t *testing.T) {
	sim, a, _ := authtest.NewShops(t)
	page := func(text string) func(io.Writer, wechatauth.Page) error {
		return func(w io.Writer, _ wechatauth.Page) error { _, err := io.WriteString(w, text); return err }
	}
	resolver := &changing{account: a}
	s := authtest.NewShopsSite(t, sim, httptest.NewUnstartedServer(nil), resolver)
	for _, text := range []string{"one", "another"} {
		resolver.account.Pages = page(text)
		assert.Equal(t, text, s.Browser().Visit("/wechat/callback/"+authtest.ShopA).Text)
	}
	resolver.account.Pages = nil
	assert.Contains(t, s.Browser().Visit("/wechat/callback/"+authtest.ShopA).Text, "callback_malformed", "the embedded page")
}

func TestAccounts_Changed(t *testing.T) {
	sim, a, b := authtest.NewShops(t)
	resolver := &changing{account: a}
	s := authtest.NewShopsSite(t, sim, httptest.NewUnstartedServer(nil), resolver, wechatauth.WithEndpoints(sim.Endpoints()))
	user := s.Browser()
	assert.Contains(t, user.Visit("/x").Text, "logged-in=true")
	resolver.account = b
	assert.Contains(t, user.Visit("/x").Text, "logged-in=true")
	assert.Equal(t, 2, s.Exchanges())
	resolver.account = wechatauth.Account{AppID: authtest.ShopB}
	assert.Equal(t, http.StatusNotFound, user.Visit("/x").StatusCode, "an account without a secret is not served")
	assert.Contains(t, s.Logs.String(), "both are required")
}

// Every page that explains a failure leads back to the account and the page where
// the user was, on one host and on several.
func TestAccounts_NoDeadEnd(t *testing.T) {
	for layout, of := range mallLayouts() {
		for name, fail := range map[string]func(m *mall, b *authtest.Browser, at stall) authtest.Response{
			"text at the end of the state": func(_ *mall, b *authtest.Browser, at stall) authtest.Response {
				return b.Visit(b.Authorize(at.origin+at.page) + "wx")
			},
			"expired": func(m *mall, b *authtest.Browser, at stall) authtest.Response {
				callback := b.Authorize(at.origin + at.page)
				m.Clock.Advance(time.Hour)
				return b.Visit(callback)
			},
			"code used": func(m *mall, b *authtest.Browser, at stall) authtest.Response {
				m.Sim.Fail("/sns/oauth2/access_token", wechattest.Errcode(40163), wechattest.Errcode(40163))
				return b.Visit(at.origin + at.page)
			},
			"logged out": func(_ *mall, b *authtest.Browser, at stall) authtest.Response {
				b.Visit(at.origin + at.page)
				b.Do(b.Client, http.MethodPost, at.origin+"/wechat/logout/"+at.account.AppID, nil, http.Header{"Origin": {at.origin}})
				return b.Visit(at.origin + at.page)
			},
			"late form": func(_ *mall, b *authtest.Browser, at stall) authtest.Response {
				return b.Do(b.Client, http.MethodPost, at.origin+at.page+"/pay", nil, http.Header{"Referer": {at.origin + at.page}})
			},
			"ticket used": func(m *mall, b *authtest.Browser, at stall) authtest.Response {
				ticket := m.join(at).ticket
				enter := at.origin + "/wechat/mini/enter/" + at.account.AppID + "?ticket=" + ticket
				m.WebView().Visit(enter)
				return b.Visit(enter)
			},
		} {
			t.Run(layout+", "+name, func(t *testing.T) {
				m := newMall(t, of)
				at, b := m.shops[1], m.Browser()
				page := fail(m, b, at)
				m.Clock.Advance(authtest.FailureTTL + time.Second)
				for range 3 { // a question may come first
					next, found := b.Onward(page)
					require.True(t, found, page.Text)
					if page = next; strings.HasPrefix(page.Text, "url=") {
						break
					}
				}
				assert.Equal(t, at.origin+at.page, page.Request.URL.String())
				assert.Contains(t, page.Text, "logged-in=true openid="+wechattest.OpenID(at.account.AppID, authtest.Person(0)))
			})
		}
	}
}
