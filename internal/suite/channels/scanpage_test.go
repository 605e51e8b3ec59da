package channels

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/scan"
	"github.com/wechatauth/wechatauth/wechattest"
)

// The rest of the two minutes is on the page, without script too.
func TestScan_Left(t *testing.T) {
	s := authtest.NewScanSite(t)
	computer := s.Computer()
	s.Show(computer, "/a")
	for _, c := range []struct {
		after time.Duration
		want  string
	}{{0, "120"}, {41 * time.Second, "79"}, {78 * time.Second, "1"}} {
		s.Clock.Advance(c.after)
		got := computer.Visit("/wechat/scan?next=/a")
		assert.Contains(t, got.Text, `<p id="left" role="timer">二维码 `+c.want+` 秒后过期</p>`)
	}
}

// A denial says on both devices what has happened, and says so again after a
// reload. Another user learns only that the QR code was used.
func TestScan_Denied(t *testing.T) {
	for lang, title := range map[string][2]string{
		"zh-CN": {"已取消，电脑没有登录", "已在手机上取消登录"},
		"en":    {"Canceled. The computer is not logged in", "Login canceled on the phone"},
	} {
		t.Run(lang, func(t *testing.T) {
			s := authtest.NewScanSite(t)
			computer, phone, other := s.Computer(), s.PhoneOf(authtest.Person(0)), s.PhoneOf(authtest.Person(1))
			for _, b := range []*authtest.Browser{computer, phone} {
				b.Header.Set("Accept-Language", lang)
			}
			path, _ := s.Show(computer, "/a")
			s.Scan(phone, path)
			denied := phone.Post(path, url.Values{"refuse": {"1"}})
			assert.True(t, authtest.RefusedFor(denied, wechatauth.ReasonRefusedByUser))
			for _, got := range []authtest.Response{denied, phone.Visit(path)} {
				assert.Contains(t, got.Text, "<h1>"+title[0]+"</h1>")
				assert.Contains(t, got.Text, `<button type="button" id="close" hidden>`)
			}
			for range 2 { // anonymous, then logged in
				assert.True(t, authtest.RefusedFor(other.Visit(path), wechatauth.ReasonScanUsed))
				other.Visit("/a")
			}
			got := computer.Collect("/a")
			assert.Contains(t, got.Text, "<h1>"+title[1]+"</h1>")
			assert.Contains(t, got.Text, `<a class="button" href="/wechat/scan?next=%2Fa">`)
			assert.NotContains(t, got.Text, `id="close"`)
		})
	}
}

// The pages of both devices poll once a second. While Redis is down, an instance
// reports one of them in ten seconds.
func TestScan_PollsReported(t *testing.T) {
	s := authtest.NewScanSite(t)
	computer := s.Computer()
	s.Show(computer, "/a")
	s.Redis.Stop()
	for range 20 {
		s.Clock.Advance(time.Second)
		assert.Equal(t, http.StatusServiceUnavailable, computer.Fetch(http.MethodGet, "/wechat/scan/status").StatusCode)
	}
	assert.Equal(t, 2, strings.Count(s.Logs.String(), "reason=store_unavailable"))
	s.Redis.Restart()
	s.Clock.Advance(scan.Pause)
	assert.Equal(t, http.StatusOK, computer.Fetch(http.MethodGet, "/wechat/scan/status").StatusCode)
}

// On a computer, a user without access can log in as another one, with another
// phone. Inside WeChat, that would be the same user.
func TestNotAuthorized_OtherAccount(t *testing.T) {
	s := authtest.NewScanSite(t, wechatauth.WithAccessCheck(func(_ context.Context, id wechatauth.Identity) error {
		if id.Channel == wechatauth.ChannelScan && id.OpenID == wechattest.OpenID(wechattest.DefaultAppID, authtest.Person(0)) {
			return wechatauth.ErrForbidden
		}
		return nil
	}, 0))
	computer, alice, bob := s.Computer(), s.PhoneOf(authtest.Person(0)), s.PhoneOf(authtest.Person(1))
	path, _ := s.Show(computer, "/a")
	s.Scan(alice, path)
	denied := computer.Enter("/a", s.Confirm(alice, path))
	require.True(t, authtest.RefusedFor(denied, wechatauth.ReasonNotAuthorized), denied.Text)
	assert.Contains(t, denied.Text, `<a class="button" href="/wechat/login?next=%2Fa&amp;again=1">换个账号登录</a>`)
	assert.Contains(t, denied.Text, `<form method="post" action="/wechat/logout">`)

	shown, found := computer.Onward(denied)
	require.True(t, found)
	require.Contains(t, shown.Text, `class="qr"`, "not the same session")
	path = "/wechat/scan/" + s.Held(computer).Ticket
	s.Scan(bob, path)
	assert.Contains(t, computer.Enter("/a", s.Confirm(bob, path)).Text, "url=/a logged-in=true openid="+authtest.BobOpenID)
}
