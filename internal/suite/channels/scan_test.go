package channels

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/page"
	"github.com/wechatauth/wechatauth/internal/scan"
	"github.com/wechatauth/wechatauth/internal/seal"
	"github.com/wechatauth/wechatauth/internal/singleflight"
	"github.com/wechatauth/wechatauth/relay"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

func TestScan(t *testing.T) {
	s := authtest.NewScanSite(t)
	computer, phone := s.Computer(), s.PhoneOf(authtest.Person(0))
	path, c := s.Show(computer, "/orders?id=7")
	assert.Equal(t, `{"state":"waiting"}`, s.StatusOf(computer))
	assert.NotContains(t, computer.Visit("/public").Text, "logged-in=true")

	s.Clock.Advance(20 * time.Second)
	s.Scan(phone, path)
	confirm := phone.Visit(path)
	assert.Contains(t, confirm.Text, "Chrome · Windows")
	assert.Contains(t, confirm.Text, "20 秒前")
	assert.Equal(t, "same-origin", confirm.Header.Get("Referrer-Policy"))
	assert.Equal(t, `{"state":"scanned"}`, s.StatusOf(computer))
	assert.Contains(t, computer.Collect("/orders?id=7").Text, `data-state="scanned"`)

	number := s.Confirm(phone, path)
	assert.Equal(t, number, s.Confirm(phone, path), "sending the form again shows the same number")
	assert.Equal(t, `{"state":"confirmed"}`, s.StatusOf(computer))
	assert.Contains(t, computer.Visit("/public").Text, "logged-in=false")
	form := computer.Collect("/orders?id=7")
	assert.Contains(t, form.Text, `<input type="hidden" name="next" value="/orders?id=7">`)
	assert.Contains(t, form.Text, `<input id="number" name="number"`)
	assert.Equal(t, "same-origin", form.Header.Get("Referrer-Policy"))
	assert.Contains(t, computer.Visit("/public").Text, "logged-in=false", "the page asks for the phone's number")

	done := computer.Enter("/orders?id=7", " "+number+" ")
	assert.Contains(t, done.Text, "url=/orders?id=7 logged-in=true openid="+wechattest.OpenID(wechattest.DefaultAppID, authtest.Person(0)))
	assert.Contains(t, phone.Visit(path).Text, "另一台设备已登录")
	assert.Contains(t, done.Text, "scope=snsapi_base")
	assert.Nil(t, computer.Cookie(s.Cookies.ScanName()))
	assert.Contains(t, phone.Visit("/public").Text, "logged-in=true", "the phone has its own session")
	assert.NotEqual(t, phone.Cookie(s.SessionCookie()).Value, computer.Cookie(s.SessionCookie()).Value)
	assert.NotContains(t, s.Logs.String(), c.Ticket)
	assert.Contains(t, s.Logs.String(), "channel=scan")
}

// Another account in the same browser: a logged-in browser gets a QR code if
// its user asks for one, and keeps its session until another one is saved.
func TestScan_Again(t *testing.T) {
	const again = "/wechat/login?next=%2Fa&again=1"
	s := authtest.NewScanSite(t)
	computer, alice, bob := s.Computer(), s.PhoneOf(authtest.Person(0)), s.PhoneOf(authtest.Person(1))
	path, _ := s.Show(computer, "/a")
	s.Scan(alice, path)
	require.Contains(t, computer.Enter("/a", s.Confirm(alice, path)).Text, "openid="+authtest.AliceOpenID)

	for _, site := range []string{"cross-site", "same-site"} {
		computer.Header.Set("Sec-Fetch-Site", site)
		computer.Header.Set("Sec-Fetch-Mode", "navigate")
		computer.Header.Set("Sec-Fetch-Dest", "document")
		assert.Contains(t, computer.Visit("/wechat/scan?next=%2Fa&again=1").Text, "url=/a logged-in=true", site)
	}
	for _, name := range []string{"Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest"} {
		computer.Header.Del(name)
	}

	path, c := s.Show(computer, again)
	assert.Empty(t, c.OpenID, "another user may confirm")
	s.Scan(bob, path)
	assert.Contains(t, computer.Collect("/a").Text, `data-state="scanned"`, "the page waits, though the browser is logged in")
	assert.Contains(t, computer.Visit("/b").Text, "openid="+authtest.AliceOpenID)
	number := s.Confirm(bob, path)
	failed := computer.Enter("/a", authtest.WrongNumber(number))
	require.True(t, authtest.RefusedFor(failed, wechatauth.ReasonScanWrongNumber), failed.Text)
	assert.Contains(t, failed.Text, `href="/wechat/scan?next=%2Fa&amp;again=1"`)
	assert.Contains(t, computer.Visit("/b").Text, "openid="+authtest.AliceOpenID)

	path, _ = s.Show(computer, "/wechat/scan?next=%2Fa&again=1")
	s.Scan(bob, path)
	assert.Contains(t, computer.Enter("/a", s.Confirm(bob, path)).Text, "url=/a logged-in=true openid="+authtest.BobOpenID)
	assert.Contains(t, computer.Visit("/wechat/scan?next=%2Fa").Text, "url=/a logged-in=true openid="+authtest.BobOpenID, "without again the session is enough")
}

func TestScan_StepUp(t *testing.T) {
	s := authtest.NewScanSite(t)
	computer, phone := s.Computer(), s.PhoneOf(authtest.Person(0))
	path, _ := s.Show(computer, "/profile")
	button := phone.Visit(path)
	require.Contains(t, button.Text, `<form method="post" action="/wechat/upgrade">`)
	consent := phone.Post("/wechat/upgrade", url.Values{"next": {path}})
	require.Equal(t, s.Sim.URL, consent.Request.URL.Scheme+"://"+consent.Request.URL.Host)
	s.Sim.SetPerson(authtest.Person(0))
	callback, err := s.Sim.CallbackURL(wechattest.Browser(wechattest.IPhone), consent.Request.URL.String())
	require.NoError(t, err)
	assert.Contains(t, phone.Visit(callback).Text, authtest.ScanButton)
	assert.Contains(t, computer.Enter("/profile", s.Confirm(phone, path)).Text, "url=/profile logged-in=true")
	assert.Contains(t, computer.Visit("/profile").Text, "nickname="+authtest.Person(0))
}

// A scanAttack is an attack between a computer that shows a QR code and the
// phone of its owner. It reports whether the attack was rejected.
type scanAttack func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool

func scanAttacks() map[string]scanAttack {
	return map[string]scanAttack{
		"scanned after two minutes": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			s.Clock.Advance(scan.TTL)
			return authtest.RefusedFor(phone.Visit(path), wechatauth.ReasonScanExpired) && authtest.RefusedFor(computer.Collect("/a"), wechatauth.ReasonScanExpired)
		},
		"confirmed after two minutes": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			s.Scan(phone, path)
			s.Clock.Advance(scan.TTL)
			return authtest.RefusedFor(phone.Post(path, authtest.Confirmed), wechatauth.ReasonScanExpired)
		},
		"typed long after it was confirmed": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			s.Scan(phone, path)
			n := s.Confirm(phone, path)
			s.Clock.Advance(scan.TTL + scan.Grace + time.Second)
			return authtest.RefusedFor(computer.Enter("/a", n), wechatauth.ReasonScanExpired)
		},
		"scanned again after the login": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			s.Scan(phone, path)
			computer.Enter("/a", s.Confirm(phone, path))
			return authtest.RefusedFor(s.PhoneOf(authtest.Person(1)).Visit(path), wechatauth.ReasonScanUsed)
		},
		"typed again with a copied cookie": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			thief := s.Computer()
			thief.SetCookie(s.Cookies.ScanName(), computer.Cookie(s.Cookies.ScanName()).Value)
			s.Scan(phone, path)
			n := s.Confirm(phone, path)
			computer.Enter("/a", n)
			// As if the result, kept for a minute for tabs of the same browser,
			// had expired.
			outcome := singleflight.Key(s.AppID, "scan "+c.State)
			require.NoError(s.T, s.Marks().DeleteMark(context.Background(), outcome))
			return authtest.RefusedFor(thief.Enter("/a", n), wechatauth.ReasonScanUsed) && !strings.Contains(thief.Visit("/public").Text, "logged-in=true")
		},
		"a wrong number with a copied cookie, while the shared result is there": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			thief := s.Computer()
			thief.SetCookie(s.Cookies.ScanName(), computer.Cookie(s.Cookies.ScanName()).Value)
			s.Scan(phone, path)
			n := s.Confirm(phone, path)
			computer.Enter("/a", n)
			return authtest.RefusedFor(thief.Enter("/a", authtest.WrongNumber(n)), wechatauth.ReasonScanWrongNumber) && !strings.Contains(thief.Visit("/public").Text, "logged-in=true")
		},
		"a QR code forwarded to a victim, whose phone alone shows the number": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			s.Scan(phone, path)
			n := s.Confirm(phone, path)
			guess := authtest.RefusedFor(computer.Enter("/a", authtest.WrongNumber(n)), wechatauth.ReasonScanWrongNumber)
			return guess && authtest.RefusedFor(phone.Visit(path), wechatauth.ReasonScanWrongNumber) && authtest.RefusedFor(computer.Enter("/a", n), wechatauth.ReasonScanExpired)
		},
		"a second number after a wrong one, with a kept cookie": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			kept := s.Computer()
			kept.SetCookie(s.Cookies.ScanName(), computer.Cookie(s.Cookies.ScanName()).Value)
			s.Scan(phone, path)
			n := s.Confirm(phone, path)
			first := authtest.RefusedFor(computer.Enter("/a", authtest.WrongNumber(n)), wechatauth.ReasonScanWrongNumber)
			outcome := singleflight.Key(s.AppID, "scan "+c.State)
			require.NoError(s.T, s.Marks().DeleteMark(context.Background(), outcome))
			return first && authtest.RefusedFor(kept.Enter("/a", n), wechatauth.ReasonScanUsed)
		},
		"a picture of the whole screen of the browser": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			before := computer.Collect("/a").Text
			s.Scan(phone, path)
			n := s.Confirm(phone, path)
			return !strings.Contains(before, ">"+n+"<") && !strings.Contains(computer.Collect("/a").Text, ">"+n+"<")
		},
		"no number": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			s.Scan(phone, path)
			s.Confirm(phone, path)
			return authtest.RefusedFor(computer.Enter("/a", ""), wechatauth.ReasonScanWrongNumber)
		},
		"a number before the phone has confirmed": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			s.Scan(phone, path)
			got := computer.Enter("/a", "0000")
			return strings.Contains(got.Text, `data-state="scanned"`) && s.StatusOf(computer) == `{"state":"scanned"}`
		},
		"the number of another QR code": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			second := s.Computer()
			other, _ := s.Show(second, "/b")
			s.Scan(phone, path)
			s.Scan(phone, other)
			n, m := s.Confirm(phone, path), s.Confirm(phone, other)
			for n == m {
				third, _ := s.Show(s.Computer(), "/c")
				s.Scan(phone, third)
				m = s.Confirm(phone, third)
			}
			return authtest.RefusedFor(computer.Enter("/a", m), wechatauth.ReasonScanWrongNumber)
		},
		"another computer with another QR code": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			elsewhere := s.Computer()
			s.Show(elsewhere, "/b")
			s.Scan(phone, path)
			n := s.Confirm(phone, path)
			return s.StatusOf(elsewhere) == `{"state":"waiting"}` && strings.Contains(elsewhere.Enter("/b", n).Text, `data-state="waiting"`)
		},
		"another computer without a cookie": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			s.Scan(phone, path)
			n := s.Confirm(phone, path)
			elsewhere := s.Computer()
			return s.StatusOf(elsewhere) == `{"state":"scan_expired"}` && authtest.RefusedFor(elsewhere.Enter("/a", n), wechatauth.ReasonScanExpired)
		},
		"the cookie under another name": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			elsewhere := s.Computer()
			s.Show(elsewhere, "/b")
			elsewhere.SetCookie(s.Cookies.LoginCounterName(), computer.Cookie(s.Cookies.ScanName()).Value)
			s.Scan(phone, path)
			elsewhere.Enter("/a", s.Confirm(phone, path))
			return !strings.Contains(elsewhere.Visit("/public").Text, "logged-in=true")
		},
		"another user scans a scanned code": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			s.Scan(phone, path)
			return authtest.RefusedFor(s.PhoneOf(authtest.Person(1)).Visit(path), wechatauth.ReasonScanOtherUser)
		},
		"another user confirms a scanned code": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			s.Scan(phone, path)
			foreign := s.PhoneOf(authtest.Person(1))
			foreign.Visit("/a")
			return authtest.RefusedFor(foreign.Post(path, authtest.Confirmed), wechatauth.ReasonScanOtherUser) && s.StatusOf(computer) == `{"state":"scanned"}`
		},
		"another user opens a confirmed code": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			s.Scan(phone, path)
			s.Confirm(phone, path)
			other := s.PhoneOf(authtest.Person(1))
			other.Visit("/a")
			return authtest.RefusedFor(other.Visit(path), wechatauth.ReasonScanUsed) && authtest.RefusedFor(s.Browser().Visit(path), wechatauth.ReasonScanUsed)
		},
		"confirmed without having been scanned": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			phone.Visit("/a")
			return authtest.RefusedFor(phone.Post(path, authtest.Confirmed), wechatauth.ReasonScanOtherUser) && s.StatusOf(computer) == `{"state":"waiting"}`
		},
		"typed after the phone's user was revoked": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			s.Scan(phone, path)
			n := s.Confirm(phone, path)
			_, err := s.Auth.RevokeUser(context.Background(), wechattest.DefaultAppID, wechattest.OpenID(wechattest.DefaultAppID, authtest.Person(0)))
			require.NoError(s.T, err)
			return authtest.RefusedFor(computer.Enter("/a", n), wechatauth.ReasonSessionUnknown) && !strings.Contains(computer.Visit("/public").Text, "logged-in=true")
		},
		"typed after a logout on the phone": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			s.Scan(phone, path)
			n := s.Confirm(phone, path)
			phone.Post("/wechat/logout", nil)
			return authtest.RefusedFor(computer.Enter("/a", n), wechatauth.ReasonSessionUnknown)
		},
		"not confirmed": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			return authtest.RefusedFor(s.Browser().Post(path, authtest.Confirmed), wechatauth.ReasonScanOtherUser) && authtest.RefusedFor(computer.Post(path, authtest.Confirmed), wechatauth.ReasonScanOtherUser)
		},
		"confirmed by a browser that was logged in by a scan": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			s.Scan(phone, path)
			computer.Enter("/a", s.Confirm(phone, path))
			next, _ := s.Show(s.Computer(), "/b")
			return authtest.RefusedFor(computer.Post(next, authtest.Confirmed), wechatauth.ReasonScanOtherUser)
		},
		"denied, then confirmed": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			s.Scan(phone, path)
			no := authtest.RefusedFor(phone.Post(path, url.Values{"refuse": {"1"}}), wechatauth.ReasonRefusedByUser)
			return no && authtest.RefusedFor(phone.Post(path, authtest.Confirmed), wechatauth.ReasonRefusedByUser) && authtest.RefusedFor(computer.Collect("/a"), wechatauth.ReasonRefusedByUser)
		},
		"confirmed, then denied": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			s.Scan(phone, path)
			n := s.Confirm(phone, path)
			got := phone.Post(path, url.Values{"refuse": {"1"}})
			return strings.Contains(got.Text, n) && !strings.Contains(computer.Visit("/public").Text, "logged-in=true")
		},
		"neither confirmed nor denied": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			s.Scan(phone, path)
			return strings.Contains(phone.Post(path, nil).Text, authtest.ScanButton) && s.StatusOf(computer) == `{"state":"scanned"}`
		},
		"confirmed by a form of another site": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			s.Scan(phone, path)
			return authtest.RefusedFor(foreignForm(phone, path, authtest.Confirmed), wechatauth.ReasonCrossOrigin) && s.StatusOf(computer) == `{"state":"scanned"}`
		},
		"the number by a form of another site": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			s.Scan(phone, path)
			n := s.Confirm(phone, path)
			return authtest.RefusedFor(foreignForm(computer, "/wechat/scan", url.Values{"number": {n}}), wechatauth.ReasonCrossOrigin) && s.StatusOf(computer) == `{"state":"confirmed"}`
		},
		"a ticket that was guessed": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			return authtest.RefusedFor(phone.Visit("/wechat/scan/"+scan.TicketOf(flow.NewKey())), wechatauth.ReasonScanExpired)
		},
		"the state of a ticket that the phone's page has not sealed": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			s.Clock.Advance(scan.Pause)
			return phone.Fetch(http.MethodGet, "/wechat/scan/status?phone="+c.Ticket).Text == `{"state":"scan_expired"}`+"\n"
		},
		"a confirmation written into the store": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			box, err := seal.New("kept", []byte("not the key of this site"))
			require.NoError(s.T, err)
			mark := scan.Mark("end", c.Ticket)
			forged := box.Seal([]byte(`{"i":"{}","n":"0000"}`), mark)
			require.NoError(s.T, s.Marks().PutMark(context.Background(), mark, []byte(forged), time.Minute))
			return authtest.RefusedFor(computer.Enter("/a", "0000"), wechatauth.ReasonScanExpired)
		},
		"every mark of the scan code exchanged with every other": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string, c scan.Cookie) bool {
			s.Scan(phone, path)
			n := s.Confirm(phone, path)
			ctx, marks := context.Background(), s.Marks()
			ended := scan.Mark("end", c.Ticket)
			places := []string{scan.Mark("record", c.Ticket), scan.Mark("by", c.Ticket), ended, scan.Mark("state", c.Ticket)}
			end, _, err := marks.Mark(ctx, ended)
			require.NoError(s.T, err)
			refused := true
			for _, from := range places {
				value, found, err := marks.Mark(ctx, from)
				require.NoError(s.T, err)
				require.True(s.T, found)
				if from == ended {
					continue
				}
				require.NoError(s.T, marks.PutMark(ctx, ended, value, time.Minute))
				refused = refused && !strings.Contains(withCookiesOf(s, computer).Enter("/a", n).Text, "logged-in=true")
			}
			shown := strings.Contains(string(end), n) || strings.Contains(string(end), wechattest.OpenID(wechattest.DefaultAppID, authtest.Person(0)))
			return refused && !shown
		},
	}
}

// foreignForm posts a form as another site's page would make the browser do it.
func foreignForm(b *authtest.Browser, path string, values url.Values) authtest.Response {
	return b.Do(b.Client, http.MethodPost, path, strings.NewReader(values.Encode()), http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"},
	})
}

// withCookiesOf returns another browser with a copy of the scan cookie.
func withCookiesOf(s *authtest.ScanSite, b *authtest.Browser) *authtest.Browser {
	other := s.Computer()
	other.SetCookie(s.Cookies.ScanName(), b.Cookie(s.Cookies.ScanName()).Value)
	return other
}

func TestScan_Attacks(t *testing.T) {
	attacks, refused := 0, 0
	for name, attack := range scanAttacks() {
		attacks++
		t.Run(name, func(t *testing.T) {
			s := authtest.NewScanSite(t)
			computer, phone := s.Computer(), s.PhoneOf(authtest.Person(0))
			path, c := s.Show(computer, "/a")
			if assert.True(t, attack(s, computer, phone, path, c)) {
				refused++
			}
			assert.NotContains(t, s.Logs.String(), c.Ticket)
		})
	}
	assert.Equal(t, attacks, refused)
	t.Logf("scan-attacks %d refused %d", attacks, refused)
}

// A session that has ended cannot start a login, and no hook is called.
func TestScan_EndedSession(t *testing.T) {
	var logins atomic.Int64
	s := authtest.NewScanSite(t, wechatauth.WithOnLogin(func(context.Context, wechatauth.Identity) error { logins.Add(1); return nil }))
	computer, phone := s.Computer(), s.PhoneOf(authtest.Person(0))
	path, _ := s.Show(computer, "/a")
	s.Scan(phone, path)
	n := s.Confirm(phone, path)
	phone.Post("/wechat/logout", nil)
	before := logins.Load()
	assert.True(t, authtest.RefusedFor(computer.Enter("/a", n), wechatauth.ReasonSessionUnknown))
	assert.Equal(t, before, logins.Load())
}

func TestScan_StepUpOfAnotherUser(t *testing.T) {
	s := authtest.NewScanSite(t)
	computer := s.Computer()
	path, _ := s.Show(computer, "/a")
	phone := s.PhoneOf(authtest.Person(0))
	s.Scan(phone, path)
	require.Contains(t, computer.Enter("/a", s.Confirm(phone, path)).Text, "logged-in=true")

	path, _ = s.Show(computer, "/profile")
	stranger := s.PhoneOf(authtest.Person(1))
	require.Contains(t, stranger.Visit(path).Text, "/wechat/upgrade")
	consent := stranger.Post("/wechat/upgrade", url.Values{"next": {path}})
	s.Sim.SetPerson(authtest.Person(1))
	callback, err := s.Sim.CallbackURL(wechattest.Browser(wechattest.IPhone), consent.Request.URL.String())
	require.NoError(t, err)
	stranger.Visit(callback)
	assert.True(t, authtest.RefusedFor(computer.Enter("/profile", s.Confirm(stranger, path)), wechatauth.ReasonIdentityMismatch))
	assert.True(t, authtest.RefusedFor(stranger.Visit(path), wechatauth.ReasonIdentityMismatch), "the phone shows why")
	assert.Contains(t, computer.Visit("/a").Text, wechattest.OpenID(wechattest.DefaultAppID, authtest.Person(0)), "the session still belongs to the same user")
}

func TestScan_UsedCode(t *testing.T) {
	s := authtest.NewScanSite(t, wechatauth.WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginScan, environment.WeChatWindows: environment.LoginScan}))
	path, _ := s.Show(s.Computer(), "/a")
	phone := s.PhoneOf(authtest.Person(0)).As(wechattest.Windows)
	s.Sim.Fail("/sns/oauth2/access_token", wechattest.Errcode(40163))
	s.Scan(phone, path)
	assert.Equal(t, 2, s.Exchanges())

	second := s.PhoneOf(authtest.Person(1)).As(wechattest.Windows)
	path, _ = s.Show(s.Computer(), "/a")
	s.Sim.Fail("/sns/oauth2/access_token", wechattest.Errcode(40163), wechattest.Errcode(40163))
	failed := second.Visit(path)
	require.True(t, authtest.RefusedFor(failed, wechatauth.ReasonCodeUsed), failed.Text)
	again := regexp.MustCompile(`href="(/wechat/login[^"]*)"`).FindStringSubmatch(failed.Text)
	require.NotNil(t, again)
	s.Scan(second, html.UnescapeString(again[1])) // and so does a user who tries again
}

func TestScan_OwnPage(t *testing.T) {
	var shown wechatauth.Page
	s := authtest.NewScanSite(t, wechatauth.WithPages(func(w io.Writer, p wechatauth.Page) error {
		shown = p
		return errors.New("the default page, please")
	}))
	computer := s.Computer()
	path, _ := s.Show(computer, "/a")
	assert.Equal(t, wechatauth.PageScan, shown.Kind)
	assert.Equal(t, s.Base.String()+path, shown.URL)
	assert.Equal(t, page.QRCode(shown.URL), shown.QR)
}

func TestScan_OtherBrowser(t *testing.T) {
	s := authtest.NewScanSite(t)
	path, _ := s.Show(s.Computer(), "/a")
	camera := s.Browser().As(authtest.SafariPhone).Visit(path)
	assert.Equal(t, http.StatusForbidden, camera.StatusCode)
	assert.Contains(t, camera.Text, "请用微信扫码登录")
	assert.NotContains(t, camera.Text, "<img", "a phone cannot scan its own screen")
	assert.NotContains(t, camera.Text, "<script", "there is nothing to copy")
	assert.Contains(t, s.PhoneOf(authtest.Person(0)).Visit("/wechat/scan?next=/a").Text, "url=/a logged-in=true", "the computer's page, opened in WeChat, starts a login")
	assert.Equal(t, http.StatusNotFound, authtest.NewSite(t).Browser().Visit("/wechat/scan?next=/a").StatusCode)
}

func TestScan_Hooks(t *testing.T) {
	var channels sync.Map
	s := authtest.NewScanSite(t, wechatauth.WithOnLogin(func(_ context.Context, id wechatauth.Identity) error {
		channels.Store(id.Channel, true)
		if id.Channel == wechatauth.ChannelScan {
			return fmt.Errorf("not on a computer: %w", wechatauth.ErrForbidden)
		}
		return nil
	}))
	computer, phone := s.Computer(), s.PhoneOf(authtest.Person(0))
	path, _ := s.Show(computer, "/a")
	s.Scan(phone, path)
	got := computer.Enter("/a", s.Confirm(phone, path))
	assert.True(t, authtest.RefusedFor(got, wechatauth.ReasonNotAuthorized), got.Text)
	_, heard := channels.Load(wechatauth.ChannelScan)
	assert.True(t, heard)
	assert.Contains(t, computer.Visit("/public").Text, "logged-in=false")
}

func TestScan_NotSaved(t *testing.T) {
	var s *authtest.ScanSite
	s = authtest.NewScanSite(t, wechatauth.WithOnLogin(func(_ context.Context, id wechatauth.Identity) error {
		if id.Channel == wechatauth.ChannelScan {
			s.Redis.Do("CONFIG", "SET", "maxmemory", "1")
		}
		return nil
	}))
	computer, phone := s.Computer(), s.PhoneOf(authtest.Person(0))
	path, c := s.Show(computer, "/orders?id=7")
	s.Scan(phone, path)
	got := computer.Enter("/orders?id=7", s.Confirm(phone, path))
	assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
	assert.True(t, authtest.RefusedFor(got, wechatauth.ReasonStoreUnavailable), got.Text)
	assert.Contains(t, s.Logs.String(), "reason=store_unavailable")
	assert.Contains(t, html.UnescapeString(got.Text), `href="/wechat/login?next=%2Forders%3Fid%3D7&again=1"`)

	s.Redis.Do("CONFIG", "SET", "maxmemory", "0")
	assert.Contains(t, computer.Visit("/public").Text, "logged-in=false", "the QR code is used")
	assert.Equal(t, http.StatusOK, computer.Visit("/wechat/login?next=%2Forders%3Fid%3D7&again=1").StatusCode)
	assert.NotEqual(t, c.Ticket, s.Held(computer).Ticket, "the button leads to a new one")
}

// A deafWhenArmed store executes one PutMarkNX and loses its reply.
type deafWhenArmed struct {
	*store.Memory
	armed atomic.Bool
}

func (d *deafWhenArmed) PutMarkNX(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	won, err := d.Memory.PutMarkNX(ctx, key, value, ttl)
	if d.armed.CompareAndSwap(true, false) {
		return false, authtest.ErrBroken
	}
	return won, err
}

func TestScan_LostReply(t *testing.T) {
	kept := &deafWhenArmed{}
	s := &authtest.ScanSite{Site: authtest.NewSite(t, wechatauth.WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginScan}), authtest.OnClock(func(now func() time.Time) wechatauth.Option {
		kept.Memory = store.NewMemory(store.WithClock(now))
		return wechatauth.WithStore(kept)
	}))}
	s.Wait = s.WaitOut()
	computer, phone := s.Computer(), s.PhoneOf(authtest.Person(0))
	path, _ := s.Show(computer, "/a")
	s.Scan(phone, path)
	n := s.Confirm(phone, path)
	kept.armed.Store(true)
	require.Equal(t, http.StatusServiceUnavailable, computer.Enter("/a", n).StatusCode)
	assert.Contains(t, computer.Enter("/a", n).Text, "url=/a logged-in=true")
}

func TestScan_Logout(t *testing.T) {
	s := authtest.NewScanSite(t)
	computer, phone := s.Computer(), s.PhoneOf(authtest.Person(0))
	path, c := s.Show(computer, "/a")
	s.Scan(phone, path)
	s.Confirm(phone, path)
	computer.Post("/wechat/logout", nil)
	next := computer.Visit("/wechat/login?next=/b")
	assert.NotContains(t, next.Text, "logged-in=true")
	assert.NotEqual(t, c.Ticket, s.Held(computer).Ticket, "the next user gets a new QR code")
}

func TestScan_Tabs(t *testing.T) {
	s := authtest.NewScanSite(t)
	computer, phone := s.Computer(), s.PhoneOf(authtest.Person(0))
	path, _ := s.Show(computer, "/a")
	second, _ := s.Show(computer, "/b")
	require.Equal(t, path, second)
	s.Scan(phone, path)
	n := s.Confirm(phone, path)

	cookie := computer.Cookie(s.Cookies.ScanName()).Value
	got := make(chan string, 2)
	for _, target := range []string{"/a", "/b"} {
		tab := s.Computer()
		tab.SetCookie(s.Cookies.ScanName(), cookie)
		go func() { got <- tab.Enter(target, n).Text }()
	}
	all := <-got + <-got
	assert.Contains(t, all, "url=/a logged-in=true")
	assert.Contains(t, all, "url=/b logged-in=true")
}

// Two hundred browsers show a QR code while all codes are scanned, confirmed
// and used, by as many concurrent requests as the machine can serve. The store
// has a longer timeout: its default of a second is too little for a process
// that waits for CPU time on a busy machine.
func TestScan_TwoHundred(t *testing.T) {
	const scans = 200
	atATime := 2 * runtime.GOMAXPROCS(0)
	patient := func(pool *redis.Pool) wechatauth.Option {
		return wechatauth.WithStore(store.New(pool, store.WithTimeout(time.Minute)))
	}
	s := authtest.NewScanSiteWith(t, patient, authtest.WithScanLook(time.Minute))
	var done atomic.Int64
	var steps [3]sync.WaitGroup // each step starts when all have finished the one before
	for i := range steps {
		steps[i].Add(scans)
	}
	var all sync.WaitGroup
	gate := make(chan struct{}, atATime)
	meet := func(i int) {
		<-gate
		steps[i].Done()
		steps[i].Wait()
		gate <- struct{}{}
	}
	for i := range scans {
		all.Go(func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			computer, phone, target := s.Computer(), s.PhoneOf(authtest.Person(i%2)), fmt.Sprintf("/a?n=%d", i)
			path, _ := s.Show(computer, target)
			meet(0)
			s.Scan(phone, path)
			meet(1)
			n := s.Confirm(phone, path)
			meet(2)
			want := "url=" + target + " logged-in=true openid=" + wechattest.OpenID(wechattest.DefaultAppID, authtest.Person(i%2))
			if got := computer.Enter(target, n); assert.True(t, strings.Contains(got.Text, want), "%d: %s", i, got.Status) {
				done.Add(1)
			}
		})
	}
	all.Wait()
	assert.EqualValues(t, scans, done.Load())
}

// reads returns how many GETs Redis has executed.
func reads(s *authtest.ScanSite) (n int64) {
	s.T.Helper()
	stats, err := redis.String(s.Redis.Do("INFO", "commandstats"), nil)
	require.NoError(s.T, err)
	if m := regexp.MustCompile(`cmdstat_get:calls=(\d+)`).FindStringSubmatch(stats); m != nil {
		n, err = strconv.ParseInt(m[1], 10, 64)
		require.NoError(s.T, err)
	}
	return n
}

func TestScan_Polls(t *testing.T) {
	// However many requests poll one QR code, an instance reads the store twice
	// a second.
	t.Run("T88 one read per pause", func(t *testing.T) {
		s := authtest.NewScanSite(t)
		computer := s.Computer()
		path, _ := s.Show(computer, "/a")
		phone := s.PhoneOf(authtest.Person(0))
		s.Scan(phone, path)
		s.Confirm(phone, path)
		sealed := regexp.MustCompile(`data-status="([^"]+)"`).FindStringSubmatch(phone.Visit(path).Text)
		require.NotNil(t, sealed)
		polls := map[string]func() string{
			"browser": func() string { return computer.Fetch(http.MethodGet, "/wechat/scan/status").Text },
			"phone":   func() string { return phone.Fetch(http.MethodGet, html.UnescapeString(sealed[1])).Text },
		}
		for name, poll := range polls {
			before := reads(s)
			for range 3 {
				s.Clock.Advance(scan.Pause)
				var all sync.WaitGroup
				for range 50 {
					all.Go(func() { assert.Equal(t, `{"state":"confirmed"}`+"\n", poll()) })
				}
				all.Wait()
			}
			assert.EqualValues(t, 3, reads(s)-before, name)
		}
		before := reads(s)
		stranger := s.Computer()
		for range 5 {
			assert.Equal(t, `{"state":"scan_expired"}`, s.StatusOf(stranger))
		}
		assert.EqualValues(t, before, reads(s), "without a scan code a request costs nothing")
	})
}

func TestScan_FrozenStore(t *testing.T) {
	s := authtest.NewScanSite(t)
	computer := s.Computer()
	s.Show(computer, "/a")
	s.Redis.Freeze()
	for range 3 {
		s.Clock.Advance(scan.Pause)
		assert.Equal(t, http.StatusServiceUnavailable, computer.Fetch(http.MethodGet, "/wechat/scan/status").StatusCode)
	}
	assert.Equal(t, http.StatusServiceUnavailable, computer.Visit("/wechat/scan?next=/a").StatusCode)
	s.Redis.Thaw()
	assert.Equal(t, http.StatusOK, computer.Visit("/a").StatusCode)
	assert.Equal(t, `{"state":"waiting"}`, s.StatusOf(computer))
}

func TestScan_CSP(t *testing.T) {
	s := authtest.NewScanSite(t)
	page := s.Computer().Visit("/a")
	scripts := regexp.MustCompile(`(?s)<script>(.*?)</script>`).FindAllStringSubmatch(page.Text, -1)
	require.Len(t, scripts, 1)
	assert.Equal(t, "default-src 'none'; style-src "+authtest.CSPHash(authtest.StyleOf(t))+"; script-src "+authtest.CSPHash(scripts[0][1])+
		"; connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'", page.Header.Get("Content-Security-Policy"))
	assert.Contains(t, page.Text, `<noscript><meta http-equiv="refresh" content="3; url=/wechat/scan?next=%2Fa&amp;wait=1"></noscript>`, "without script")
}

func TestScan_AnonymousPageVisit(t *testing.T) {
	s := authtest.NewScanSite(t)
	got := s.Computer().Step("/orders?id=7")
	assert.Equal(t, "/wechat/scan?next=%2Forders%3Fid%3D7", got.Header.Get("Location"))
	assert.EqualValues(t, 0, s.Redis.Do("DBSIZE"))
	computer := s.Computer()
	for range 3 {
		computer.Visit("/orders?id=7")
	}
	assert.EqualValues(t, 1, s.Redis.Do("DBSIZE"), "one mark for one QR code")
}

// The numbers are written out here, so a change of one is noticed.
func TestScan_Limits(t *testing.T) {
	s := authtest.NewScanSite(t)
	longestLife := func() (longest int64) {
		for _, key := range s.Redis.Do("KEYS", "wechat:mark:*").([]any) {
			left := s.Redis.Do("PTTL", string(key.([]byte))).(int64)
			require.Positive(t, left, "every mark has an expiry")
			longest = max(longest, left)
		}
		return longest
	}
	computer := s.Computer()
	path, c := s.Show(computer, "/a")
	ticket, err := base64.RawURLEncoding.DecodeString(c.Ticket)
	require.NoError(t, err)
	assert.Len(t, ticket, 16)
	s.Clock.Advance(time.Minute + 59*time.Second)
	phone := s.PhoneOf(authtest.Person(0))
	s.Scan(phone, path)
	n := s.Confirm(phone, path)
	assert.LessOrEqual(t, longestLife(), int64(180_000))
	s.Clock.Advance(time.Minute)
	assert.Contains(t, computer.Enter("/a", n).Text, "logged-in=true")
	assert.Equal(t, 500*time.Millisecond, scan.Pause)

	late, _ := s.Show(s.Computer(), "/a")
	s.Clock.Advance(2 * time.Minute)
	assert.True(t, authtest.RefusedFor(s.PhoneOf(authtest.Person(1)).Visit(late), wechatauth.ReasonScanExpired))
}

func TestScan_Number(t *testing.T) {
	// A screenshot of the browser, taken at any time, contains nothing that
	// completes its login.
	t.Run("T96 not on the browser's pages", func(t *testing.T) {
		s := authtest.NewScanSite(t)
		phone := s.PhoneOf(authtest.Person(0))
		pages, numbers := map[string]bool{}, map[string]bool{}
		for range 5 {
			computer := s.Computer()
			path, _ := s.Show(computer, "/a")
			waiting := computer.Collect("/a")
			s.Scan(phone, path)
			scanned := computer.Collect("/a")
			n := s.Confirm(phone, path)
			form := computer.Collect("/a")
			for _, page := range []authtest.Response{waiting, scanned, form} {
				assert.NotContains(t, page.Text+fmt.Sprint(page.Header), ">"+n+"<")
			}
			pages[form.Text] = true
			numbers[n] = true
		}
		require.Greater(t, len(numbers), 1)
		assert.Len(t, pages, 1, "the form is the same for every number")
	})

	// The number must be right at the first attempt.
	t.Run("T96 one attempt", func(t *testing.T) {
		s := authtest.NewScanSite(t)
		computer, phone := s.Computer(), s.PhoneOf(authtest.Person(0))
		path, _ := s.Show(computer, "/a")
		s.Scan(phone, path)
		n := s.Confirm(phone, path)
		kept := withCookiesOf(s, computer)
		require.True(t, authtest.RefusedFor(computer.Enter("/a", authtest.WrongNumber(n)), wechatauth.ReasonScanWrongNumber))
		assert.Nil(t, computer.Cookie(s.Cookies.ScanName()))
		assert.True(t, authtest.RefusedFor(phone.Visit(path), wechatauth.ReasonScanWrongNumber), "the phone shows it")
		for range 3 {
			s.Clock.Advance(authtest.FailureTTL + time.Second)
			assert.NotContains(t, kept.Enter("/a", n).Text, "logged-in=true")
		}
		next, _ := s.Show(computer, "/a")
		assert.NotEqual(t, path, next, "there is a new QR code")
		s.Scan(phone, next)
		assert.Contains(t, computer.Enter("/a", s.Confirm(phone, next)).Text, "logged-in=true")
	})
}

// Chromium applies a page's form-action to every redirect that follows a form,
// and the relay is on the way back from WeChat.
func TestScan_ProfileByRelay(t *testing.T) {
	key := []byte("a relay key of thirty-two bytes ..")
	var leads http.Handler
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { leads.ServeHTTP(w, r) }))
	t.Cleanup(front.Close)
	s := authtest.NewScanSite(t, wechatauth.WithRelay(front.URL+"/relay", key))
	var err error
	leads, err = relay.New(key, s.Base.String()+"/wechat/callback")
	require.NoError(t, err)

	path, _ := s.Show(s.Computer(), "/wechat/scan?next=/profile&profile=1")
	got := s.PhoneOf(authtest.Person(0)).Visit(path)
	assert.Contains(t, got.Text, `action="/wechat/upgrade"`)
	assert.Contains(t, got.Header.Get("Content-Security-Policy"), "form-action 'self' "+s.Sim.URL+" "+front.URL+";")
}

// No QR code stops a page that shows a live one and asks for the number, as
// docs/security.md says. What it advises does: a second proof for the channel.
func TestScan_Relayed(t *testing.T) {
	var proved atomic.Bool
	for _, second := range []bool{false, true} {
		s := authtest.NewScanSite(t, wechatauth.WithAccessCheck(func(_ context.Context, id wechatauth.Identity) error {
			if second && id.Channel == wechatauth.ChannelScan && !proved.Load() {
				return wechatauth.ErrForbidden
			}
			return nil
		}, 0))
		attacker, victim := s.Computer(), s.PhoneOf(authtest.Person(0))
		path, _ := s.Show(attacker, "/a")
		s.Scan(victim, path)
		relayed := s.Confirm(victim, path)
		got := attacker.Enter("/a", relayed)
		assert.Equal(t, !second, strings.Contains(got.Text, "logged-in=true openid="+authtest.AliceOpenID), got.Text)
		assert.Contains(t, victim.Visit("/a").Text, "logged-in=true")
		proved.Store(true)
		assert.Contains(t, attacker.Visit("/a").Text, "logged-in=true")
		proved.Store(false)
	}
}

// A QR code that ends without a login leads to a new one, and that to the page
// that the user wanted.
func TestScan_NoDeadEnd(t *testing.T) {
	const wanted = "/orders?id=7"
	for name, end := range map[string]func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string) authtest.Response{
		"expired": func(s *authtest.ScanSite, computer, _ *authtest.Browser, _ string) authtest.Response {
			s.Clock.Advance(time.Hour)
			return computer.Visit("/wechat/scan?wait=1&next=" + url.QueryEscape(wanted))
		},
		"denied": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string) authtest.Response {
			s.Scan(phone, path)
			phone.Post(path, url.Values{"refuse": {"1"}})
			return computer.Visit("/wechat/scan?wait=1&next=" + url.QueryEscape(wanted))
		},
		"wrong number": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string) authtest.Response {
			s.Scan(phone, path)
			return computer.Enter(wanted, authtest.WrongNumber(s.Confirm(phone, path)))
		},
		"used elsewhere": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string) authtest.Response {
			s.Scan(phone, path)
			other := withCookiesOf(s, computer)
			other.Enter(wanted, authtest.WrongNumber(s.Confirm(phone, path)))
			s.Clock.Advance(time.Minute)
			return computer.Enter(wanted, "0000")
		},
		"phone logged out": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string) authtest.Response {
			s.Scan(phone, path)
			n := s.Confirm(phone, path)
			phone.Post("/wechat/logout", nil)
			return computer.Enter(wanted, n)
		},
		"late number": func(s *authtest.ScanSite, computer, phone *authtest.Browser, path string) authtest.Response {
			s.Scan(phone, path)
			n := s.Confirm(phone, path)
			s.Clock.Advance(time.Hour)
			return computer.Enter(wanted, n)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := authtest.NewScanSite(t)
			computer, phone := s.Computer(), s.PhoneOf(authtest.Person(0))
			path, _ := s.Show(computer, wanted)
			page := end(s, computer, phone, path)
			require.GreaterOrEqual(t, page.StatusCode, 400, page.Text)
			shown, found := computer.Onward(page)
			require.True(t, found, page.Text)
			require.Contains(t, shown.Text, `class="qr"`)
			next := "/wechat/scan/" + s.Held(computer).Ticket
			require.NotEqual(t, path, next)
			owner := s.PhoneOf(authtest.Person(0))
			s.Scan(owner, next)
			number := s.Confirm(owner, next)
			form := computer.Visit(shown.Request.URL.String())
			target := regexp.MustCompile(`name="next" value="([^"]*)"`).FindStringSubmatch(form.Text)
			require.NotNil(t, target, form.Text)
			assert.Contains(t, computer.Enter(html.UnescapeString(target[1]), number).Text, "url="+wanted+" logged-in=true")
		})
	}
}
