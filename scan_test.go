package wechatauth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
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

	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/page"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/scan"
	"github.com/wechatauth/wechatauth/internal/seal"
	"github.com/wechatauth/wechatauth/internal/singleflight"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// scanSite is a site of two instances on one Redis: browsers on a desk talk to
// the first one, phones to the second.
type scanSite struct {
	*site
	redis *redistest.Server
}

func newScanSite(t *testing.T, opts ...Option) *scanSite {
	t.Helper()
	return newScanSiteWith(t, WithRedis, opts...)
}

// newScanSiteWith has each instance keep its sessions in Redis in this way.
func newScanSiteWith(t *testing.T, sessions func(*redis.Pool) Option, opts ...Option) *scanSite {
	t.Helper()
	server := redistest.Start(t)
	opts = append([]Option{sessions(server.Pool()), WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginScan})}, opts...)
	s := &scanSite{site: newSite(t, opts...), redis: server}
	first := s.server.Config.Handler
	second := *s.site
	second.auth = nil
	auth, err := New(append([]Option{
		WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret), WithBaseURL(s.auth.base.String()),
		WithEndpoints(s.sim.Endpoints()), withClock(s.clock.Now), WithLogger(s.auth.log),
	}, append(opts, sessions(server.Pool()))...)...)
	require.NoError(t, err)
	second.auth = auth
	routes := second.routes()
	s.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if environment.Of(r).InWeChat() {
			routes.ServeHTTP(w, r)
			return
		}
		first.ServeHTTP(w, r)
	})
	return s
}

func (s *scanSite) desk() *browser { return s.browser().as(chromeWindows) }

// phoneOf is the phone of a person of the simulator.
func (s *scanSite) phoneOf(person string) *browser {
	b := s.browser()
	b.setCookie("wechatsim_person", url.QueryEscape(person))
	return b
}

// held is what a browser's scan cookie holds.
func (s *scanSite) held(b *browser) scan.Cookie {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodGet, s.auth.base.String(), nil)
	require.NoError(s.t, err)
	c := b.cookie(s.auth.cookies.ScanName())
	require.NotNil(s.t, c, "the browser has no scan cookie")
	r.AddCookie(c)
	held, ok := s.auth.scanCookieOf(r)
	require.True(s.t, ok)
	return held
}

// show opens a page on a desk and returns what the QR code there stands for.
func (s *scanSite) show(desk *browser, target string) (path string, c scan.Cookie) {
	s.t.Helper()
	shown := desk.visit(target)
	require.Equal(s.t, http.StatusOK, shown.StatusCode, shown.body)
	c = s.held(desk)
	path = s.auth.scanPath(c.Ticket)
	body := html.UnescapeString(shown.body)
	require.Contains(s.t, body, string(page.QRCode(s.auth.base.String()+path)), "the QR code is the phone's page")
	require.NotContains(s.t, strings.ReplaceAll(body, string(page.QRCode(s.auth.base.String()+path)), ""), c.Ticket)
	return path, c
}

const scanButton = `<button type="submit" name="confirm" value="1">`

// scan opens the QR code on a phone, which asks whether to log the browser in.
func (s *scanSite) scan(phone *browser, path string) {
	s.t.Helper()
	page := phone.visit(path)
	require.Equal(s.t, http.StatusOK, page.StatusCode, page.body)
	require.Contains(s.t, page.body, scanButton)
}

var (
	confirmed   = url.Values{"confirm": {"1"}}
	shownNumber = regexp.MustCompile(`<p class="number"><strong>([0-9]{4})</strong></p>`)
)

// confirm presses the button on a phone, which then shows the number.
func (s *scanSite) confirm(phone *browser, path string) (number string) {
	s.t.Helper()
	page := phone.post(path, confirmed)
	shown := shownNumber.FindStringSubmatch(page.body)
	require.NotNil(s.t, shown, page.body)
	return shown[1]
}

// enter types a number into the page of the browser, whose target it has.
func (b *browser) enter(target, number string) answer {
	return b.post("/wechat/scan", url.Values{"next": {target}, "number": {number}})
}

// wrong returns a number that is not the right one.
func wrong(right string) string {
	if right == "0000" {
		return "0001"
	}
	return "0000"
}

// status asks as the page's script does, when the last look is no longer good.
func (s *scanSite) status(b *browser) string {
	s.t.Helper()
	s.clock.Advance(scan.Pause)
	return b.fetch(http.MethodGet, "/wechat/scan/status").body
}

// collect loads the page of the QR code again, as its script does.
func (b *browser) collect(target string) answer {
	return b.visit("/wechat/scan?next=" + url.QueryEscape(target) + "&wait=1")
}

func TestAPhoneLogsInTheBrowserBesideIt(t *testing.T) {
	s := newScanSite(t, WithScanPlace(func(*http.Request) string { return "杭州\x00" + strings.Repeat("x", 90) }))
	desk, phone := s.desk(), s.phoneOf(person(0))
	path, c := s.show(desk, "/orders?id=7")
	assert.Equal(t, `{"state":"waiting"}`, s.status(desk))
	assert.NotContains(t, desk.visit("/public").body, "logged-in=true")

	s.clock.Advance(20 * time.Second)
	s.scan(phone, path)
	confirm := phone.visit(path)
	assert.Contains(t, confirm.body, "Chrome · Windows")
	assert.Contains(t, confirm.body, "<dd>杭州"+strings.Repeat("x", 58)+"</dd>")
	assert.Contains(t, confirm.body, "20 秒前")
	assert.Equal(t, "same-origin", confirm.Header.Get("Referrer-Policy"))
	assert.Equal(t, `{"state":"scanned"}`, s.status(desk))
	assert.Contains(t, desk.collect("/orders?id=7").body, `data-state="scanned"`)

	number := s.confirm(phone, path)
	assert.Equal(t, number, s.confirm(phone, path), "a form sent again shows the same")
	assert.Equal(t, `{"state":"confirmed"}`, s.status(desk))
	assert.Contains(t, desk.visit("/public").body, "logged-in=false")
	form := desk.collect("/orders?id=7")
	assert.Contains(t, form.body, `<input type="hidden" name="next" value="/orders?id=7">`)
	assert.Contains(t, form.body, `<input id="number" name="number"`)
	assert.Equal(t, "same-origin", form.Header.Get("Referrer-Policy"))
	assert.Contains(t, desk.visit("/public").body, "logged-in=false", "the phone's number is asked for")

	done := desk.enter("/orders?id=7", " "+number+" ")
	assert.Contains(t, done.body, "url=/orders?id=7 logged-in=true openid="+wechattest.OpenID(wechattest.DefaultAppID, person(0)))
	assert.Contains(t, phone.visit(path).body, "电脑已登录")
	assert.Contains(t, done.body, "scope=snsapi_base")
	assert.Nil(t, desk.cookie(s.auth.cookies.ScanName()))
	assert.Contains(t, phone.visit("/public").body, "logged-in=true", "the phone has a session of its own")
	assert.NotEqual(t, phone.cookie(s.sessionCookie()).Value, desk.cookie(s.sessionCookie()).Value)
	assert.NotContains(t, s.logs.String(), c.Ticket)
	assert.Contains(t, s.logs.String(), "channel=scan")
}

// Another account in the same browser: a browser that is logged in gets a QR code
// if its user asks for one, and the session stays until another one is saved.
func TestScanAgain(t *testing.T) {
	const again = "/wechat/login?next=%2Fa&again=1"
	s := newScanSite(t)
	desk, alice, bob := s.desk(), s.phoneOf(person(0)), s.phoneOf(person(1))
	path, _ := s.show(desk, "/a")
	s.scan(alice, path)
	require.Contains(t, desk.enter("/a", s.confirm(alice, path)).body, "openid="+aliceOpenID)

	for _, site := range []string{"cross-site", "same-site"} {
		desk.header.Set("Sec-Fetch-Site", site)
		desk.header.Set("Sec-Fetch-Mode", "navigate")
		desk.header.Set("Sec-Fetch-Dest", "document")
		assert.Contains(t, desk.visit("/wechat/scan?next=%2Fa&again=1").body, "url=/a logged-in=true", site)
	}
	for _, name := range []string{"Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest"} {
		desk.header.Del(name)
	}

	path, c := s.show(desk, again)
	assert.Empty(t, c.OpenID, "another user may confirm")
	s.scan(bob, path)
	assert.Contains(t, desk.collect("/a").body, `data-state="scanned"`, "the page waits, though the browser is logged in")
	assert.Contains(t, desk.visit("/b").body, "openid="+aliceOpenID)
	number := s.confirm(bob, path)
	failed := desk.enter("/a", wrong(number))
	require.True(t, refusedFor(failed, ReasonScanNumber), failed.body)
	assert.Contains(t, failed.body, `href="/wechat/scan?next=%2Fa&amp;again=1"`)
	assert.Contains(t, desk.visit("/b").body, "openid="+aliceOpenID)

	path, _ = s.show(desk, "/wechat/scan?next=%2Fa&again=1")
	s.scan(bob, path)
	assert.Contains(t, desk.enter("/a", s.confirm(bob, path)).body, "url=/a logged-in=true openid="+bobOpenID)
	assert.Contains(t, desk.visit("/wechat/scan?next=%2Fa").body, "url=/a logged-in=true openid="+bobOpenID, "without again the session is enough")
}

func TestAScanWidensTheScopeOnThePhone(t *testing.T) {
	s := newScanSite(t)
	desk, phone := s.desk(), s.phoneOf(person(0))
	path, _ := s.show(desk, "/profile")
	button := phone.visit(path)
	require.Contains(t, button.body, `<form method="post" action="/wechat/upgrade">`)
	consent := phone.post("/wechat/upgrade", url.Values{"next": {path}})
	require.Equal(t, s.sim.URL, consent.Request.URL.Scheme+"://"+consent.Request.URL.Host)
	s.sim.Hold(person(0))
	callback, err := s.sim.CallbackURL(wechattest.Browser(wechattest.IPhone), consent.Request.URL.String())
	require.NoError(t, err)
	assert.Contains(t, phone.visit(callback).body, scanButton)
	assert.Contains(t, desk.enter("/profile", s.confirm(phone, path)).body, "url=/profile logged-in=true")
	assert.Contains(t, desk.visit("/profile").body, "nickname="+person(0))
}

// scanAttack is tried between a desk that shows a QR code and the phone of its
// owner. It returns whether it was refused.
type scanAttack func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool

// refusedFor tells whether an answer is a refusal for a reason.
func refusedFor(got answer, reason Reason) bool {
	return got.StatusCode >= 400 && strings.Contains(got.body, "<code>"+string(reason)+"</code>")
}

func scanAttacks() map[string]scanAttack {
	return map[string]scanAttack{
		"scanned after two minutes": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			s.clock.Advance(scan.TTL)
			return refusedFor(phone.visit(path), ReasonScanExpired) && refusedFor(desk.collect("/a"), ReasonScanExpired)
		},
		"confirmed after two minutes": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			s.scan(phone, path)
			s.clock.Advance(scan.TTL)
			return refusedFor(phone.post(path, confirmed), ReasonScanExpired)
		},
		"typed long after it was confirmed": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			s.scan(phone, path)
			n := s.confirm(phone, path)
			s.clock.Advance(scan.TTL + scan.Grace + time.Second)
			return refusedFor(desk.enter("/a", n), ReasonScanExpired)
		},
		"scanned again after the login": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			s.scan(phone, path)
			desk.enter("/a", s.confirm(phone, path))
			return refusedFor(s.phoneOf(person(1)).visit(path), ReasonScanUsed)
		},
		"typed again with a copied cookie": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			thief := s.desk()
			thief.setCookie(s.auth.cookies.ScanName(), desk.cookie(s.auth.cookies.ScanName()).Value)
			s.scan(phone, path)
			n := s.confirm(phone, path)
			desk.enter("/a", n)
			// As when the outcome, kept a minute for tabs of the same browser, is gone.
			outcome := singleflight.Key(s.auth.official.appID, "scan "+c.State)
			require.NoError(s.t, s.auth.sessions.Marks().DeleteMark(context.Background(), outcome))
			return refusedFor(thief.enter("/a", n), ReasonScanUsed) && !strings.Contains(thief.visit("/public").body, "logged-in=true")
		},
		"typed wrongly with a copied cookie, while the outcome of the login is there": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			thief := s.desk()
			thief.setCookie(s.auth.cookies.ScanName(), desk.cookie(s.auth.cookies.ScanName()).Value)
			s.scan(phone, path)
			n := s.confirm(phone, path)
			desk.enter("/a", n)
			return refusedFor(thief.enter("/a", wrong(n)), ReasonScanNumber) && !strings.Contains(thief.visit("/public").body, "logged-in=true")
		},
		"a QR code forwarded to a victim, whose phone alone shows the number": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			s.scan(phone, path)
			n := s.confirm(phone, path)
			guess := refusedFor(desk.enter("/a", wrong(n)), ReasonScanNumber)
			return guess && refusedFor(phone.visit(path), ReasonScanNumber) && refusedFor(desk.enter("/a", n), ReasonScanExpired)
		},
		"a second number after a wrong one, with a kept cookie": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			kept := s.desk()
			kept.setCookie(s.auth.cookies.ScanName(), desk.cookie(s.auth.cookies.ScanName()).Value)
			s.scan(phone, path)
			n := s.confirm(phone, path)
			first := refusedFor(desk.enter("/a", wrong(n)), ReasonScanNumber)
			outcome := singleflight.Key(s.auth.official.appID, "scan "+c.State)
			require.NoError(s.t, s.auth.sessions.Marks().DeleteMark(context.Background(), outcome))
			return first && refusedFor(kept.enter("/a", n), ReasonScanUsed)
		},
		"a picture of the whole screen of the browser": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			before := desk.collect("/a").body
			s.scan(phone, path)
			n := s.confirm(phone, path)
			return !strings.Contains(before, ">"+n+"<") && !strings.Contains(desk.collect("/a").body, ">"+n+"<")
		},
		"no number": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			s.scan(phone, path)
			s.confirm(phone, path)
			return refusedFor(desk.enter("/a", ""), ReasonScanNumber)
		},
		"a number before the phone has confirmed": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			s.scan(phone, path)
			got := desk.enter("/a", "0000")
			return strings.Contains(got.body, `data-state="scanned"`) && s.status(desk) == `{"state":"scanned"}`
		},
		"the number of another QR code": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			second := s.desk()
			other, _ := s.show(second, "/b")
			s.scan(phone, path)
			s.scan(phone, other)
			n, m := s.confirm(phone, path), s.confirm(phone, other)
			for n == m {
				third, _ := s.show(s.desk(), "/c")
				s.scan(phone, third)
				m = s.confirm(phone, third)
			}
			return refusedFor(desk.enter("/a", m), ReasonScanNumber)
		},
		"another desk with a QR code of its own": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			elsewhere := s.desk()
			s.show(elsewhere, "/b")
			s.scan(phone, path)
			n := s.confirm(phone, path)
			return s.status(elsewhere) == `{"state":"waiting"}` && strings.Contains(elsewhere.enter("/b", n).body, `data-state="waiting"`)
		},
		"another desk without a cookie": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			s.scan(phone, path)
			n := s.confirm(phone, path)
			elsewhere := s.desk()
			return s.status(elsewhere) == `{"state":"scan_expired"}` && refusedFor(elsewhere.enter("/a", n), ReasonScanExpired)
		},
		"the cookie under another name": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			elsewhere := s.desk()
			s.show(elsewhere, "/b")
			elsewhere.setCookie(s.auth.cookies.TrailName(), desk.cookie(s.auth.cookies.ScanName()).Value)
			s.scan(phone, path)
			elsewhere.enter("/a", s.confirm(phone, path))
			return !strings.Contains(elsewhere.visit("/public").body, "logged-in=true")
		},
		"somebody else scans what is scanned": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			s.scan(phone, path)
			return refusedFor(s.phoneOf(person(1)).visit(path), ReasonScanForeign)
		},
		"somebody else confirms what is scanned": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			s.scan(phone, path)
			foreign := s.phoneOf(person(1))
			foreign.visit("/a")
			return refusedFor(foreign.post(path, confirmed), ReasonScanForeign) && s.status(desk) == `{"state":"scanned"}`
		},
		"somebody else opens what is confirmed": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			s.scan(phone, path)
			s.confirm(phone, path)
			other := s.phoneOf(person(1))
			other.visit("/a")
			return refusedFor(other.visit(path), ReasonScanUsed) && refusedFor(s.browser().visit(path), ReasonScanUsed)
		},
		"confirmed without having been scanned": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			phone.visit("/a")
			return refusedFor(phone.post(path, confirmed), ReasonScanForeign) && s.status(desk) == `{"state":"waiting"}`
		},
		"typed after the phone's user was revoked": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			s.scan(phone, path)
			n := s.confirm(phone, path)
			_, err := s.auth.RevokeUser(context.Background(), wechattest.DefaultAppID, wechattest.OpenID(wechattest.DefaultAppID, person(0)))
			require.NoError(s.t, err)
			return refusedFor(desk.enter("/a", n), ReasonSessionUnknown) && !strings.Contains(desk.visit("/public").body, "logged-in=true")
		},
		"typed after a logout on the phone": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			s.scan(phone, path)
			n := s.confirm(phone, path)
			phone.post("/wechat/logout", nil)
			return refusedFor(desk.enter("/a", n), ReasonSessionUnknown)
		},
		"confirmed by nobody": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			return refusedFor(s.browser().post(path, confirmed), ReasonScanForeign) && refusedFor(desk.post(path, confirmed), ReasonScanForeign)
		},
		"confirmed by a browser that was logged in by a scan": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			s.scan(phone, path)
			desk.enter("/a", s.confirm(phone, path))
			next, _ := s.show(s.desk(), "/b")
			return refusedFor(desk.post(next, confirmed), ReasonScanForeign)
		},
		"refused, then confirmed": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			s.scan(phone, path)
			no := refusedFor(phone.post(path, url.Values{"refuse": {"1"}}), ReasonRefusedByUser)
			return no && refusedFor(phone.post(path, confirmed), ReasonScanUsed) && refusedFor(desk.collect("/a"), ReasonRefusedByUser)
		},
		"confirmed, then refused": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			s.scan(phone, path)
			n := s.confirm(phone, path)
			got := phone.post(path, url.Values{"refuse": {"1"}})
			return strings.Contains(got.body, n) && !strings.Contains(desk.visit("/public").body, "logged-in=true")
		},
		"neither confirmed nor refused": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			s.scan(phone, path)
			return strings.Contains(phone.post(path, nil).body, scanButton) && s.status(desk) == `{"state":"scanned"}`
		},
		"confirmed by a form of another site": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			s.scan(phone, path)
			return refusedFor(foreignForm(phone, path, confirmed), ReasonCrossOrigin) && s.status(desk) == `{"state":"scanned"}`
		},
		"the number by a form of another site": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			s.scan(phone, path)
			n := s.confirm(phone, path)
			return refusedFor(foreignForm(desk, "/wechat/scan", url.Values{"number": {n}}), ReasonCrossOrigin) && s.status(desk) == `{"state":"confirmed"}`
		},
		"a ticket that was guessed": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			return refusedFor(phone.visit(s.auth.scanPath(scan.TicketOf(flow.NewKey()))), ReasonScanExpired)
		},
		"the state of a ticket that the phone's page has not sealed": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			s.clock.Advance(scan.Pause)
			return phone.fetch(http.MethodGet, "/wechat/scan/status?phone="+c.Ticket).body == `{"state":"scan_expired"}`
		},
		"a confirmation written into the store": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			box, err := seal.New("kept", []byte("not the key of this site"))
			require.NoError(s.t, err)
			mark := scan.Mark("end", c.Ticket)
			forged := box.Seal([]byte(`{"i":"{}","n":"0000"}`), mark)
			require.NoError(s.t, s.auth.sessions.Marks().PutMark(context.Background(), mark, []byte(forged), time.Minute))
			return refusedFor(desk.enter("/a", "0000"), ReasonScanExpired)
		},
		"every mark of the ticket put in the place of every other": func(s *scanSite, desk, phone *browser, path string, c scan.Cookie) bool {
			s.scan(phone, path)
			n := s.confirm(phone, path)
			ctx, marks := context.Background(), s.auth.sessions.Marks()
			ended := scan.Mark("end", c.Ticket)
			places := []string{scan.Mark("record", c.Ticket), scan.Mark("by", c.Ticket), ended, scan.Mark("state", c.Ticket)}
			end, _, err := marks.Mark(ctx, ended)
			require.NoError(s.t, err)
			refused := true
			for _, from := range places {
				value, found, err := marks.Mark(ctx, from)
				require.NoError(s.t, err)
				require.True(s.t, found)
				if from == ended {
					continue
				}
				require.NoError(s.t, marks.PutMark(ctx, ended, value, time.Minute))
				refused = refused && !strings.Contains(s.withCookiesOf(desk).enter("/a", n).body, "logged-in=true")
			}
			shown := strings.Contains(string(end), n) || strings.Contains(string(end), wechattest.OpenID(wechattest.DefaultAppID, person(0)))
			return refused && !shown
		},
	}
}

// foreignForm posts a form as another site's page would make the browser do it.
func foreignForm(b *browser, path string, values url.Values) answer {
	return b.do(b.client, http.MethodPost, path, strings.NewReader(values.Encode()), http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"},
	})
}

// withCookiesOf is another browser with a copy of the scan cookie.
func (s *scanSite) withCookiesOf(b *browser) *browser {
	other := s.desk()
	other.setCookie(s.auth.cookies.ScanName(), b.cookie(s.auth.cookies.ScanName()).Value)
	return other
}

func TestEveryAttackOnAScanIsRefusedAndLogsNobodyIn(t *testing.T) {
	attacks, refused := 0, 0
	for name, attack := range scanAttacks() {
		attacks++
		t.Run(name, func(t *testing.T) {
			s := newScanSite(t)
			desk, phone := s.desk(), s.phoneOf(person(0))
			path, c := s.show(desk, "/a")
			if assert.True(t, attack(s, desk, phone, path, c)) {
				refused++
			}
			assert.NotContains(t, s.logs.String(), c.Ticket)
		})
	}
	assert.Equal(t, attacks, refused)
	t.Logf("scan-attacks %d refused %d", attacks, refused)
}

func TestAStepUpByAScanIsRefusedToAnotherPerson(t *testing.T) {
	s := newScanSite(t)
	desk := s.desk()
	path, _ := s.show(desk, "/a")
	phone := s.phoneOf(person(0))
	s.scan(phone, path)
	require.Contains(t, desk.enter("/a", s.confirm(phone, path)).body, "logged-in=true")

	path, _ = s.show(desk, "/profile")
	stranger := s.phoneOf(person(1))
	require.Contains(t, stranger.visit(path).body, "/wechat/upgrade")
	consent := stranger.post("/wechat/upgrade", url.Values{"next": {path}})
	s.sim.Hold(person(1))
	callback, err := s.sim.CallbackURL(wechattest.Browser(wechattest.IPhone), consent.Request.URL.String())
	require.NoError(t, err)
	stranger.visit(callback)
	assert.True(t, refusedFor(desk.enter("/profile", s.confirm(stranger, path)), ReasonIdentityMismatch))
	assert.True(t, refusedFor(stranger.visit(path), ReasonIdentityMismatch), "the phone shows why")
	assert.Contains(t, desk.visit("/a").body, wechattest.OpenID(wechattest.DefaultAppID, person(0)), "the session stays with whom it was")
}

func TestAPhoneWhoseCodeWasUsedComesBackToTheConfirmation(t *testing.T) {
	s := newScanSite(t, WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginScan, environment.WeChatWindows: environment.LoginScan}))
	path, _ := s.show(s.desk(), "/a")
	phone := s.phoneOf(person(0)).as(wechattest.Windows)
	s.sim.Fail("/sns/oauth2/access_token", wechattest.Errcode(40163))
	s.scan(phone, path)
	assert.Equal(t, 2, s.exchanges())

	second := s.phoneOf(person(1)).as(wechattest.Windows)
	path, _ = s.show(s.desk(), "/a")
	s.sim.Fail("/sns/oauth2/access_token", wechattest.Errcode(40163), wechattest.Errcode(40163))
	failed := second.visit(path)
	require.True(t, refusedFor(failed, ReasonCodeUsed), failed.body)
	again := regexp.MustCompile(`href="(/wechat/login[^"]*)"`).FindStringSubmatch(failed.body)
	require.NotNil(t, again)
	s.scan(second, html.UnescapeString(again[1])) // and so does who tries again himself
}

func TestOnesOwnScanPageCanDrawTheQRCodeItself(t *testing.T) {
	var shown Page
	s := newScanSite(t, WithPages(func(w io.Writer, p Page) error {
		shown = p
		return errors.New("the default page, please")
	}))
	desk := s.desk()
	path, _ := s.show(desk, "/a")
	assert.Equal(t, PageScan, shown.Kind)
	assert.Equal(t, s.auth.base.String()+path, shown.URL)
	assert.Equal(t, page.QRCode(shown.URL), shown.QR)
}

func TestOnlyWeChatOpensTheQRCode(t *testing.T) {
	s := newScanSite(t)
	path, _ := s.show(s.desk(), "/a")
	camera := s.browser().as(safariPhone).visit(path)
	assert.Equal(t, http.StatusForbidden, camera.StatusCode)
	assert.Contains(t, camera.body, s.auth.base.String()+path, "to open in WeChat")
	assert.Contains(t, s.phoneOf(person(0)).visit("/wechat/scan?next=/a").body, "url=/a logged-in=true", "the desk's page in WeChat is a login")
	assert.Equal(t, http.StatusNotFound, newSite(t).browser().visit("/wechat/scan?next=/a").StatusCode)
}

func TestHooksHearOfAScanAndMayRefuseIt(t *testing.T) {
	var channels sync.Map
	s := newScanSite(t, WithOnLogin(func(_ context.Context, id Identity) error {
		channels.Store(id.Channel, true)
		if id.Channel == ChannelScan {
			return fmt.Errorf("not on a desk: %w", ErrForbidden)
		}
		return nil
	}))
	desk, phone := s.desk(), s.phoneOf(person(0))
	path, _ := s.show(desk, "/a")
	s.scan(phone, path)
	got := desk.enter("/a", s.confirm(phone, path))
	assert.True(t, refusedFor(got, ReasonNotAuthorized), got.body)
	_, heard := channels.Load(ChannelScan)
	assert.True(t, heard)
	assert.Contains(t, desk.visit("/public").body, "logged-in=false")
}

func TestAScanWhoseSessionCannotBeSavedBeginsAgain(t *testing.T) {
	var s *scanSite
	s = newScanSite(t, WithOnLogin(func(_ context.Context, id Identity) error {
		if id.Channel == ChannelScan {
			s.redis.Do("CONFIG", "SET", "maxmemory", "1")
		}
		return nil
	}))
	desk, phone := s.desk(), s.phoneOf(person(0))
	path, c := s.show(desk, "/orders?id=7")
	s.scan(phone, path)
	got := desk.enter("/orders?id=7", s.confirm(phone, path))
	assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
	assert.True(t, refusedFor(got, ReasonStoreUnavailable), got.body)
	assert.Contains(t, s.logs.String(), "reason=store_unavailable")
	assert.Contains(t, html.UnescapeString(got.body), `href="/wechat/login?next=%2Forders%3Fid%3D7&again=1"`)

	s.redis.Do("CONFIG", "SET", "maxmemory", "0")
	assert.Contains(t, desk.visit("/public").body, "logged-in=false", "the QR code is spent")
	assert.Equal(t, http.StatusOK, desk.visit("/wechat/login?next=%2Forders%3Fid%3D7&again=1").StatusCode)
	assert.NotEqual(t, c.Ticket, s.held(desk).Ticket, "the button leads to a new one")
}

// deafWhenArmed obeys one PutMarkNX and does not say so.
type deafWhenArmed struct {
	*store.Memory
	armed atomic.Bool
}

func (d *deafWhenArmed) PutMarkNX(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	won, err := d.Memory.PutMarkNX(ctx, key, value, ttl)
	if d.armed.CompareAndSwap(true, false) {
		return false, errBroken
	}
	return won, err
}

func TestAScanWhoseClaimsReplyWasLostIsFreeAfterItsLease(t *testing.T) {
	kept := &deafWhenArmed{}
	s := &scanSite{site: newSite(t, WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginScan}), func(c *config) {
		kept.Memory = store.NewMemory(store.WithClock(c.now))
		WithStore(kept)(c)
	})}
	s.auth.claims.Wait = s.waitOut()
	desk, phone := s.desk(), s.phoneOf(person(0))
	path, _ := s.show(desk, "/a")
	s.scan(phone, path)
	n := s.confirm(phone, path)
	kept.armed.Store(true)
	require.Equal(t, http.StatusServiceUnavailable, desk.enter("/a", n).StatusCode)
	assert.Contains(t, desk.enter("/a", n).body, "url=/a logged-in=true")
}

func TestALogoutLeavesNoConfirmedQRCodeForTheNextPersonAtTheDesk(t *testing.T) {
	s := newScanSite(t)
	desk, phone := s.desk(), s.phoneOf(person(0))
	path, c := s.show(desk, "/a")
	s.scan(phone, path)
	s.confirm(phone, path)
	desk.post("/wechat/logout", nil)
	next := desk.visit("/wechat/login?next=/b")
	assert.NotContains(t, next.body, "logged-in=true")
	assert.NotEqual(t, c.Ticket, s.held(desk).Ticket, "the next person gets a QR code of his own")
}

func TestTabsOfOneBrowserShareAQRCodeAndLandEachOnItsOwnTarget(t *testing.T) {
	s := newScanSite(t)
	desk, phone := s.desk(), s.phoneOf(person(0))
	path, _ := s.show(desk, "/a")
	second, _ := s.show(desk, "/b")
	require.Equal(t, path, second)
	s.scan(phone, path)
	n := s.confirm(phone, path)

	cookie := desk.cookie(s.auth.cookies.ScanName()).Value
	got := make(chan string, 2)
	for _, target := range []string{"/a", "/b"} {
		tab := s.desk()
		tab.setCookie(s.auth.cookies.ScanName(), cookie)
		go func() { got <- tab.enter(target, n).body }()
	}
	all := <-got + <-got
	assert.Contains(t, all, "url=/a logged-in=true")
	assert.Contains(t, all, "url=/b logged-in=true")
}

// Two hundred browsers show a QR code while all codes are scanned, confirmed and
// used, by as many requests at a time as the machine can serve. The store has the
// time that a busy machine needs: a second, its default, is too little for a
// process that waits for its turn.
func TestTwoHundredScansAtOnce(t *testing.T) {
	const scans = 200
	atATime := 2 * runtime.GOMAXPROCS(0)
	patient := func(pool *redis.Pool) Option { return WithStore(store.New(pool, store.WithTimeout(time.Minute))) }
	s := newScanSiteWith(t, patient, func(c *config) { c.scanLook = time.Minute })
	var done atomic.Int64
	var steps [3]sync.WaitGroup // no one goes on before all have come so far
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
			desk, phone, target := s.desk(), s.phoneOf(person(i%2)), fmt.Sprintf("/a?n=%d", i)
			path, _ := s.show(desk, target)
			meet(0)
			s.scan(phone, path)
			meet(1)
			n := s.confirm(phone, path)
			meet(2)
			want := "url=" + target + " logged-in=true openid=" + wechattest.OpenID(wechattest.DefaultAppID, person(i%2))
			if got := desk.enter(target, n); assert.True(t, strings.Contains(got.body, want), "%d: %s", i, got.Status) {
				done.Add(1)
			}
		})
	}
	all.Wait()
	assert.EqualValues(t, scans, done.Load())
}

// reads is how many GETs Redis has executed.
func (s *scanSite) reads() (n int64) {
	s.t.Helper()
	stats, err := redis.String(s.redis.Do("INFO", "commandstats"), nil)
	require.NoError(s.t, err)
	if m := regexp.MustCompile(`cmdstat_get:calls=(\d+)`).FindStringSubmatch(stats); m != nil {
		n, err = strconv.ParseInt(m[1], 10, 64)
		require.NoError(s.t, err)
	}
	return n
}

// However many requests ask about one QR code, an instance looks twice a second.
func TestT88_PollsOfOneTicketCostOneReadAPause(t *testing.T) {
	s := newScanSite(t)
	desk := s.desk()
	path, _ := s.show(desk, "/a")
	phone := s.phoneOf(person(0))
	s.scan(phone, path)
	s.confirm(phone, path)
	sealed := regexp.MustCompile(`data-status="([^"]+)"`).FindStringSubmatch(phone.visit(path).body)
	require.NotNil(t, sealed)
	polls := map[string]func() string{
		"browser": func() string { return desk.fetch(http.MethodGet, "/wechat/scan/status").body },
		"phone":   func() string { return phone.fetch(http.MethodGet, html.UnescapeString(sealed[1])).body },
	}
	for name, poll := range polls {
		before := s.reads()
		for range 3 {
			s.clock.Advance(scan.Pause)
			var all sync.WaitGroup
			for range 50 {
				all.Go(func() { assert.Equal(t, `{"state":"confirmed"}`, poll()) })
			}
			all.Wait()
		}
		assert.EqualValues(t, 3, s.reads()-before, name)
	}
	before := s.reads()
	stranger := s.desk()
	for range 5 {
		assert.Equal(t, `{"state":"scan_expired"}`, s.status(stranger))
	}
	assert.EqualValues(t, before, s.reads(), "without a ticket of its own a request costs nothing")
}

func TestAFrozenStoreHoldsNoPollAndNoPage(t *testing.T) {
	s := newScanSite(t)
	desk := s.desk()
	s.show(desk, "/a")
	s.redis.Freeze()
	for range 3 {
		s.clock.Advance(scan.Pause)
		assert.Equal(t, http.StatusServiceUnavailable, desk.fetch(http.MethodGet, "/wechat/scan/status").StatusCode)
	}
	assert.Equal(t, http.StatusServiceUnavailable, desk.visit("/wechat/scan?next=/a").StatusCode)
	s.redis.Thaw()
	assert.Equal(t, http.StatusOK, desk.visit("/a").StatusCode)
	assert.Equal(t, `{"state":"waiting"}`, s.status(desk))
}

func TestTheScanPageAllowsItsOwnScriptAndNothingElse(t *testing.T) {
	s := newScanSite(t)
	page := s.desk().visit("/a")
	scripts := regexp.MustCompile(`(?s)<script>(.*?)</script>`).FindAllStringSubmatch(page.body, -1)
	require.Len(t, scripts, 1)
	assert.Equal(t, "default-src 'none'; style-src "+cspHash(styleOf(t))+"; script-src "+cspHash(scripts[0][1])+
		"; connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'", page.Header.Get("Content-Security-Policy"))
	assert.Contains(t, page.body, `<noscript><meta http-equiv="refresh" content="3; url=/wechat/scan?next=%2Fa&amp;wait=1"></noscript>`, "without script")
}

func TestAnAnonymousPageVisitOfAScanSiteCostsTheStoreNothingBeforeItsQRCodeIsShown(t *testing.T) {
	s := newScanSite(t)
	got := s.desk().step("/orders?id=7")
	assert.Equal(t, "/wechat/scan?next=%2Forders%3Fid%3D7", got.Header.Get("Location"))
	assert.EqualValues(t, 0, s.redis.Do("DBSIZE"))
	desk := s.desk()
	for range 3 {
		desk.visit("/orders?id=7")
	}
	assert.EqualValues(t, 1, s.redis.Do("DBSIZE"), "one mark for one QR code")
}

// The numbers are written out here, so that changing one is noticed.
func TestAQRCodeHas128BitsTwoMinutesAndAMinuteForTheNumber(t *testing.T) {
	s := newScanSite(t)
	longestLife := func() (longest int64) {
		for _, key := range s.redis.Do("KEYS", "wechat:mark:*").([]any) {
			left := s.redis.Do("PTTL", string(key.([]byte))).(int64)
			require.Positive(t, left, "no mark stays")
			longest = max(longest, left)
		}
		return longest
	}
	desk := s.desk()
	path, c := s.show(desk, "/a")
	ticket, err := base64.RawURLEncoding.DecodeString(c.Ticket)
	require.NoError(t, err)
	assert.Len(t, ticket, 16)
	s.clock.Advance(time.Minute + 59*time.Second)
	phone := s.phoneOf(person(0))
	s.scan(phone, path)
	n := s.confirm(phone, path)
	assert.LessOrEqual(t, longestLife(), int64(180_000))
	s.clock.Advance(time.Minute)
	assert.Contains(t, desk.enter("/a", n).body, "logged-in=true")
	assert.Equal(t, 500*time.Millisecond, scan.Pause)

	late, _ := s.show(s.desk(), "/a")
	s.clock.Advance(2 * time.Minute)
	assert.True(t, refusedFor(s.phoneOf(person(1)).visit(late), ReasonScanExpired))
}

// A screenshot of the browser, taken at any time, shows nothing that logs it in.
func TestT96_NoPageOfTheBrowserHoldsTheNumber(t *testing.T) {
	s := newScanSite(t)
	phone := s.phoneOf(person(0))
	pages, numbers := map[string]bool{}, map[string]bool{}
	for range 5 {
		desk := s.desk()
		path, _ := s.show(desk, "/a")
		waiting := desk.collect("/a")
		s.scan(phone, path)
		scanned := desk.collect("/a")
		n := s.confirm(phone, path)
		form := desk.collect("/a")
		for _, page := range []answer{waiting, scanned, form} {
			assert.NotContains(t, page.body+fmt.Sprint(page.Header), ">"+n+"<")
		}
		pages[form.body] = true
		numbers[n] = true
	}
	require.Greater(t, len(numbers), 1)
	assert.Len(t, pages, 1, "the form is the same for every number")
}

// The number decides, and one try is all there is.
func TestT96_TheNumberOfThePhoneIsAskedForOnce(t *testing.T) {
	s := newScanSite(t)
	desk, phone := s.desk(), s.phoneOf(person(0))
	path, _ := s.show(desk, "/a")
	s.scan(phone, path)
	n := s.confirm(phone, path)
	kept := s.withCookiesOf(desk)
	require.True(t, refusedFor(desk.enter("/a", wrong(n)), ReasonScanNumber))
	assert.Nil(t, desk.cookie(s.auth.cookies.ScanName()))
	assert.True(t, refusedFor(phone.visit(path), ReasonScanNumber), "the phone is told")
	for range 3 {
		s.clock.Advance(failureTTL + time.Second)
		assert.NotContains(t, kept.enter("/a", n).body, "logged-in=true")
	}
	next, _ := s.show(desk, "/a")
	assert.NotEqual(t, path, next, "there is a new QR code")
	s.scan(phone, next)
	assert.Contains(t, desk.enter("/a", s.confirm(phone, next)).body, "logged-in=true")
}
