package threat

import (
	"context"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/scan"
	"github.com/wechatauth/wechatauth/wechattest"
)

// Three threats of pages that heal:
//
//   - T100, reload storms. While the store or WeChat's quota fails, each open page
//     requests itself again. A tab does so five times in a row, after waits that
//     double and differ, and only while it is visible (e2e); only the response to a
//     GET does so, and never for a URL with a code, nor for a quota of a day. Without
//     JavaScript, nothing is requested.
//   - T101, a QR code that is renewed for ever, or for an attacker. Only a tap of the
//     user gets a new one, with a new cookie; the old one stays expired, and another
//     site cannot read either.
//   - T102, a logout by another site. The page with the form to log out is shown in no
//     frame, and its form passes the same checks as every other.

// waits matches the countdown of a page.
var waits = regexp.MustCompile(`<p id="wait" role="timer" data-url="([^"]*)" hidden>(\d+) 秒后重试</p>`)

// retryOf returns the URL that a page requests by itself, and after how many
// seconds.
func retryOf(got authtest.Response) (target, seconds string) {
	m := waits.FindStringSubmatch(got.Text)
	if m == nil {
		return "", ""
	}
	return html.UnescapeString(m[1]), m[2]
}

func TestHeal_Retry(t *testing.T) {
	t.Run("T100 only where a reload is harmless", func(t *testing.T) {
		redis := redistest.Start(t)
		for name, c := range map[string]struct {
			fail   func(s *authtest.Site, b *authtest.Browser) authtest.Response
			target string // "" if the page does not request it by itself
			wait   string
			link   string // of the button; the target if empty
		}{
			"a page": {func(s *authtest.Site, b *authtest.Browser) authtest.Response {
				redis.Stop()
				return b.Visit("/orders?id=7&code=" + strings.Repeat("a", 32) + "&state=" + strings.Repeat("b", 32))
			}, "/orders?id=7", "3", ""},
			"the login": {func(s *authtest.Site, b *authtest.Browser) authtest.Response {
				redis.Stop()
				return b.Visit("/wechat/login?next=%2Fa")
			}, "/wechat/login?next=%2Fa", "3", ""},
			"a form gets a link only": {func(s *authtest.Site, b *authtest.Browser) authtest.Response {
				redis.Stop()
				return b.Do(b.Client, http.MethodPost, "/pay", nil, http.Header{"Referer": {s.Base.String() + "/cart"}, "Accept": {"text/html"}})
			}, "", "", "/cart"},
			"a logout gets a link only": {func(s *authtest.Site, b *authtest.Browser) authtest.Response {
				redis.Stop()
				return b.Do(b.Client, http.MethodPost, "/wechat/logout", nil, http.Header{"Referer": {s.Base.String() + "/cart"}, "Accept": {"text/html"}, "Sec-Fetch-Site": {"same-origin"}})
			}, "", "", "/cart"},
			"a callback starts a new login": {func(s *authtest.Site, b *authtest.Browser) authtest.Response {
				b.Client.Jar = s.Browser().Client.Jar
				callback := b.Authorize("/a")
				redis.Stop()
				return b.Visit(callback)
			}, "/wechat/login?next=%2Fa&again=1", "3", ""},
			"a quota of a minute": {func(s *authtest.Site, b *authtest.Browser) authtest.Response {
				b.Client.Jar = s.Browser().Client.Jar
				s.Sim.Fail(authtest.ExchangeEndpoint, wechattest.Errcode(45011))
				return b.Visit("/a")
			}, "/wechat/login?next=%2Fa&again=1", "60", ""},
			"a quota of a day gets a link only": {func(s *authtest.Site, b *authtest.Browser) authtest.Response {
				b.Client.Jar = s.Browser().Client.Jar
				s.Sim.Fail(authtest.ExchangeEndpoint, wechattest.Errcode(45009))
				return b.Visit("/a")
			}, "", "", "/wechat/login?next=%2Fa&again=1"},
		} {
			t.Run(name, func(t *testing.T) {
				s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()))
				b := s.Browser()
				require.Contains(t, b.Visit("/first").Text, "logged-in=true")
				got := c.fail(s, b)
				if !redis.Running() {
					redis.Restart()
				}
				require.Equal(t, http.StatusServiceUnavailable, got.StatusCode, got.Text)
				require.NotEmpty(t, got.Header.Get("Retry-After"))
				target, wait := retryOf(got)
				assert.Equal(t, c.target, target)
				assert.Equal(t, c.wait, wait)
				assert.Equal(t, c.target != "", strings.Contains(got.Header.Get("Content-Security-Policy"), "script-src"))
				link := c.link
				if link == "" {
					link = c.target
				}
				assert.Contains(t, html.UnescapeString(got.Text), `<a class="button" href="`+link+`">再试一次</a>`)
				assert.NotContains(t, got.Text, `http-equiv="refresh"`)
				assert.NotContains(t, link, "code=")
			})
		}
	})
}

func TestHeal_Renew(t *testing.T) {
	t.Run("T101 only the user's tap renews a QR code", func(t *testing.T) {
		s := authtest.NewScanSite(t)
		computer := s.Computer()
		path, first := s.Show(computer, "/orders?id=7")
		page := computer.Visit("/wechat/scan?next=%2Forders%3Fid%3D7")
		renew := regexp.MustCompile(`id="renew" href="([^"]*)"`).FindStringSubmatch(page.Text)
		require.NotNil(t, renew)
		assert.Equal(t, "/wechat/scan?next=%2Forders%3Fid%3D7", html.UnescapeString(renew[1]))

		s.Clock.Advance(scan.TTL)
		assert.Equal(t, `{"state":"scan_expired"}`, s.StatusOf(computer))
		assert.Equal(t, first.Ticket, s.Held(computer).Ticket, "a poll gets no new one")
		framed := computer.Do(computer.Client, http.MethodGet, renew[1], nil, http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"no-cors"}, "Sec-Fetch-Dest": {"image"}})
		assert.Equal(t, http.StatusUnauthorized, framed.StatusCode)
		assert.Equal(t, first.Ticket, s.Held(computer).Ticket, "nor does a picture in another site's page")

		renewed := computer.Visit(html.UnescapeString(renew[1]))
		assert.Equal(t, "DENY", renewed.Header.Get("X-Frame-Options"))
		second := s.Held(computer)
		assert.NotEqual(t, first.Ticket, second.Ticket)
		assert.NotEqual(t, first.Key, second.Key)
		assert.True(t, authtest.RefusedFor(s.PhoneOf(authtest.Person(0)).Visit(path), wechatauth.ReasonScanExpired))
	})
}

func TestHeal_Logout(t *testing.T) {
	t.Run("T102 form to log out is of this site only", func(t *testing.T) {
		s := authtest.NewSite(t, wechatauth.WithAccessCheck(func(context.Context, wechatauth.Identity) error { return wechatauth.ErrForbidden }, 0))
		b := s.Browser()
		page := b.Visit("/orders?id=7")
		require.True(t, authtest.RefusedFor(page, wechatauth.ReasonNotAuthorized), page.Text)
		assert.Contains(t, page.Text, `<form method="post" action="/wechat/logout">`)
		assert.Contains(t, page.Text, `<input type="hidden" name="next" value="/orders?id=7">`)
		assert.Equal(t, "DENY", page.Header.Get("X-Frame-Options"))
		assert.Contains(t, page.Header.Get("Content-Security-Policy"), "form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		assert.Equal(t, "same-origin", page.Header.Get("Referrer-Policy"), "else old browsers send Origin: null")

		form := strings.NewReader(url.Values{"next": {"/orders?id=7"}}.Encode())
		foreign := b.Do(b.Client, http.MethodPost, "/wechat/logout", form, http.Header{
			"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"},
		})
		assert.True(t, authtest.RefusedFor(foreign, wechatauth.ReasonCrossOrigin))
		assert.True(t, authtest.RefusedFor(b.Visit("/orders?id=7"), wechatauth.ReasonNotAuthorized), "still logged in")

		own := b.Do(b.Client, http.MethodPost, "/wechat/logout", strings.NewReader(url.Values{"next": {"/orders?id=7"}}.Encode()), http.Header{
			"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"same-origin"},
		})
		assert.Equal(t, http.StatusUnauthorized, own.StatusCode, "no silent login as the same user")
		assert.Equal(t, "/orders?id=7", own.Request.URL.RequestURI())
		assert.Nil(t, b.Cookie(s.SessionCookie()))
	})
}

// A page that explains an error of the application is requested again, too.
func TestHeal_ApplicationError(t *testing.T) {
	failing := true
	s := authtest.NewSite(t, wechatauth.WithAccessCheck(func(context.Context, wechatauth.Identity) error {
		if failing {
			return authtest.ErrBroken
		}
		return nil
	}, 0))
	b := s.Browser()
	got := b.Visit("/orders?id=7")
	require.True(t, authtest.RefusedFor(got, wechatauth.ReasonApplicationError), got.Text)
	target, wait := retryOf(got)
	assert.Equal(t, "/orders?id=7", target)
	assert.Equal(t, "3", wait)
	failing = false
	s.Clock.Advance(3 * time.Second)
	assert.Contains(t, b.Visit(target).Text, "logged-in=true")
}
