package login

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/wechattest"
)

// Every page that explains a rejection leads on: its first link or button, once
// the cause is gone, ends logged in at the page that the user wanted. A browser
// that has no pending login cannot know it, and ends at "/", as do pages for which
// trying again cannot help: they lead home.
func TestNoDeadEnd(t *testing.T) {
	const wanted, exchange = "/orders?id=7&q=%E4%BD%A0", "/sns/oauth2/access_token"
	var databaseDown, denied atomic.Bool
	check := func(context.Context, wechatauth.Identity) error {
		switch {
		case databaseDown.Load():
			return errors.New("the database is down")
		case denied.Load():
			return wechatauth.ErrForbidden
		}
		return nil
	}
	failing := func(faults ...wechattest.Fault) func(*authtest.Site, *authtest.Browser) authtest.Response {
		return func(s *authtest.Site, b *authtest.Browser) authtest.Response {
			s.Sim.Fail(exchange, faults...)
			return b.Visit(wanted)
		}
	}
	lateForm := func(s *authtest.Site, b *authtest.Browser, path string) authtest.Response {
		return b.Do(b.Client, http.MethodPost, path, nil, http.Header{"Referer": {s.Base.String() + wanted}, "Accept": {"text/html"}})
	}
	stateOf := func(callback string) string { return authtest.MustParse(t, callback).Query().Get("state") }
	for name, c := range map[string]struct {
		fail func(s *authtest.Site, b *authtest.Browser) authtest.Response
		ends string
	}{
		"another browser": {func(s *authtest.Site, b *authtest.Browser) authtest.Response {
			return b.Visit(s.Browser().Authorize("/elsewhere"))
		}, "/"},
		"text at the end of the state": {func(_ *authtest.Site, b *authtest.Browser) authtest.Response {
			return b.Visit(b.Authorize(wanted) + "wx")
		}, wanted},
		"expired": {func(s *authtest.Site, b *authtest.Browser) authtest.Response {
			callback := b.Authorize(wanted)
			s.Clock.Advance(time.Hour)
			return b.Visit(callback)
		}, wanted},
		"denied": {func(_ *authtest.Site, b *authtest.Browser) authtest.Response {
			return b.Visit("/wechat/callback?state=" + stateOf(b.Authorize(wanted)))
		}, wanted},
		"denied with a code": {func(_ *authtest.Site, b *authtest.Browser) authtest.Response {
			return b.Visit("/wechat/callback?code=authdeny&state=" + stateOf(b.Authorize(wanted)))
		}, wanted},
		"code used":       {failing(wechattest.Errcode(40163), wechattest.Errcode(40163)), wanted},
		"code expired":    {failing(wechattest.Errcode(40029), wechattest.Errcode(40029)), wanted},
		"quota":           {failing(wechattest.Errcode(45011)), wanted},
		"WeChat down":     {failing(wechattest.Raw(http.StatusBadGateway, "text/html", "bad gateway")), wanted},
		"unknown errcode": {failing(wechattest.Errcode(99999)), wanted},
		"wrong AppSecret": {failing(wechattest.Errcode(40125)), "/"},
		"blocked":         {failing(wechattest.Errcode(40226)), "/"},
		"no endpoint":     {func(_ *authtest.Site, b *authtest.Browser) authtest.Response { return b.Visit("/wechat/unknown") }, "/"},
		"logout by GET":   {func(_ *authtest.Site, b *authtest.Browser) authtest.Response { return b.Visit("/wechat/logout") }, "/"},
		"form of another site": {func(_ *authtest.Site, b *authtest.Browser) authtest.Response {
			return b.Do(b.Client, http.MethodPost, "/wechat/logout", nil, http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Accept": {"text/html"}})
		}, "/"},
		"access check fails": {func(_ *authtest.Site, b *authtest.Browser) authtest.Response {
			b.Visit("/a")
			databaseDown.Store(true)
			defer databaseDown.Store(false)
			return b.Visit(wanted)
		}, wanted},
		"no access": {func(_ *authtest.Site, b *authtest.Browser) authtest.Response {
			b.Visit("/a")
			denied.Store(true)
			defer denied.Store(false)
			return b.Visit(wanted)
		}, wanted},
		"login without access": {func(_ *authtest.Site, b *authtest.Browser) authtest.Response {
			denied.Store(true)
			defer denied.Store(false)
			return b.Visit("/wechat/login?next=" + url.QueryEscape(wanted))
		}, wanted},
		"hook fails": {func(_ *authtest.Site, b *authtest.Browser) authtest.Response {
			databaseDown.Store(true)
			defer databaseDown.Store(false)
			return b.Visit(wanted)
		}, wanted},
		"logged out": {func(_ *authtest.Site, b *authtest.Browser) authtest.Response {
			b.Visit("/a")
			b.Post("/wechat/logout", nil)
			return b.Visit(wanted)
		}, wanted},
		"loop": {func(s *authtest.Site, b *authtest.Browser) authtest.Response {
			jar := b.Client.Jar
			b.Client.Jar = authtest.LossyJar{CookieJar: jar, Name: s.SessionCookie()}
			defer func() { b.Client.Jar = jar }()
			return b.Visit(wanted)
		}, wanted},
		"late form": {func(s *authtest.Site, b *authtest.Browser) authtest.Response { return lateForm(s, b, "/pay") }, wanted},
		"form that needs the profile": {func(s *authtest.Site, b *authtest.Browser) authtest.Response {
			b.Visit("/a")
			return lateForm(s, b, "/profile")
		}, wanted},
		"ticket used": {func(s *authtest.Site, b *authtest.Browser) authtest.Response {
			ticket := s.Ticket(s.MiniLogin(authtest.Person(0)), wanted)
			require.Contains(t, s.WebView().Visit(ticket).Text, "logged-in=true")
			return b.Visit(ticket)
		}, wanted},
		"ticket of an ended session": {func(s *authtest.Site, b *authtest.Browser) authtest.Response {
			token := s.MiniLogin(authtest.Person(0))
			ticket := s.Ticket(token, wanted)
			require.Equal(t, http.StatusNoContent, s.Request(http.MethodPost, "/wechat/logout", token, "").StatusCode)
			return b.Visit(ticket)
		}, wanted},
	} {
		t.Run(name, func(t *testing.T) {
			s := authtest.NewMiniSite(t, wechatauth.WithOnLogin(check), wechatauth.WithAccessCheck(check, 0))
			b := s.Browser()
			page := c.fail(s, b)
			s.Clock.Advance(authtest.FailureTTL + time.Second)
			for range 3 { // a consent, or a question, may come first
				require.Equal(t, "text/html; charset=utf-8", page.Header.Get("Content-Type"), page.Text)
				if authtest.ReasonOf(page) != page.Text {
					assert.Contains(t, page.Text, ">返回首页</a>")
				}
				next, found := b.Onward(page)
				require.True(t, found, "%s leads nowhere", authtest.ReasonOf(page))
				if page = next; strings.Contains(page.Text, `name="ticket"`) && page.Request.URL.Host != s.Base.Host {
					page = b.Allow(page) // WeChat's own page
				}
				if strings.HasPrefix(page.Text, "url=") {
					break
				}
			}
			assert.True(t, strings.HasPrefix(page.Text, "url="+c.ends+" logged-in=true"), page.Text)
		})
	}
}
