package wechatauth

import (
	"bufio"
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
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// scanSite is a site of two instances on one Redis: browsers on a desk talk to
// the first one, phones to the second.
type scanSite struct {
	*site
	redis *redistest.Server
	pool  *redis.Pool // of the first instance

	asked atomic.Int64 // the pause between two looks, once tick has replaced it
}

func (s *scanSite) pause() time.Duration { return time.Duration(s.asked.Load()) }

func newScanSite(t *testing.T, opts ...Option) *scanSite {
	t.Helper()
	return newScanSiteWith(t, WithRedis, opts...)
}

// newScanSiteWith has each instance keep its sessions in Redis in this way.
func newScanSiteWith(t *testing.T, sessions func(*redis.Pool) Option, opts ...Option) *scanSite {
	t.Helper()
	server := redistest.Start(t)
	pool := server.Pool()
	opts = append([]Option{sessions(pool), WithEnvironment(EnvironmentPolicy{DesktopBrowser: LoginScan})}, opts...)
	s := &scanSite{site: newSite(t, opts...), redis: server, pool: pool}
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
		if EnvironmentOf(r).inWeChat() {
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
func (s *scanSite) held(b *browser) scanCookie {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodGet, s.auth.base.String(), nil)
	require.NoError(s.t, err)
	c := b.cookie(s.auth.cookies.scanName())
	require.NotNil(s.t, c, "the browser has no scan cookie")
	r.AddCookie(c)
	held, ok := s.auth.cookies.scan(r)
	require.True(s.t, ok)
	return held
}

// show opens a page on a desk and returns what the QR code there stands for.
func (s *scanSite) show(desk *browser, target string) (path string, c scanCookie) {
	s.t.Helper()
	page := desk.visit(target)
	require.Equal(s.t, http.StatusOK, page.StatusCode, page.body)
	c = s.held(desk)
	path = s.auth.scanPath(c.Ticket)
	body := html.UnescapeString(page.body)
	require.Contains(s.t, body, string(qrCode(s.auth.base.String()+path)), "the QR code is the phone's page")
	require.Contains(s.t, body, "<strong>"+c.Number+"</strong>")
	require.NotContains(s.t, strings.ReplaceAll(body, string(qrCode(s.auth.base.String()+path)), ""), c.Ticket)
	return path, c
}

const scanField = `<input id="number" name="number" inputmode="numeric" pattern="[0-9]{2}" maxlength="2" autocomplete="off" required>`

// scan opens the QR code on a phone, which asks for the number.
func (s *scanSite) scan(phone *browser, path string) {
	s.t.Helper()
	page := phone.visit(path)
	require.Equal(s.t, http.StatusOK, page.StatusCode, page.body)
	require.Contains(s.t, page.body, scanField)
}

func number(n string) url.Values { return url.Values{"number": {n}} }

// other returns a number that is not the right one.
func other(right string) string {
	if right == "10" {
		return "11"
	}
	return "10"
}

func (s *scanSite) status(b *browser) string {
	s.t.Helper()
	got := b.fetch(http.MethodGet, "/wechat/scan/status")
	return got.body
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

	assert.Contains(t, phone.post(path, number(c.Number)).body, "登录已确认")
	assert.Equal(t, `{"state":"confirmed"}`, s.status(desk))
	anonymous := desk.visit("/public")
	assert.Contains(t, anonymous.body, "logged-in=false", "nothing but the page itself collects the login")
	done := desk.collect("/orders?id=7")
	assert.Contains(t, done.body, "url=/orders?id=7 logged-in=true openid="+wechattest.OpenID(wechattest.DefaultAppID, person(0)))
	assert.Contains(t, done.body, "scope=snsapi_base")
	assert.Nil(t, desk.cookie(s.auth.cookies.scanName()))
	assert.Contains(t, phone.visit("/public").body, "logged-in=true", "the phone has a session of its own")
	assert.NotEqual(t, phone.cookie(s.sessionCookie()).Value, desk.cookie(s.sessionCookie()).Value)
	assert.NotContains(t, s.logs.String(), c.Ticket)
	assert.Contains(t, s.logs.String(), "channel=scan")
}

func TestAScanWidensTheScopeOnThePhone(t *testing.T) {
	s := newScanSite(t)
	desk, phone := s.desk(), s.phoneOf(person(0))
	path, c := s.show(desk, "/profile")
	button := phone.visit(path)
	require.Contains(t, button.body, `<form method="post" action="/wechat/upgrade">`)
	consent := phone.post("/wechat/upgrade", url.Values{"next": {path}})
	require.Equal(t, s.sim.URL, consent.Request.URL.Scheme+"://"+consent.Request.URL.Host)
	s.sim.Hold(person(0))
	callback, err := s.sim.CallbackURL(wechattest.Browser(wechattest.IPhone), consent.Request.URL.String())
	require.NoError(t, err)
	assert.Contains(t, phone.visit(callback).body, scanField)
	phone.post(path, number(c.Number))
	assert.Contains(t, desk.visit("/wechat/scan?next=%2Fprofile&profile=1&wait=1").body, "url=/profile logged-in=true")
	assert.Contains(t, desk.visit("/profile").body, "nickname="+person(0))
}

// scanAttack is tried between a desk that shows a QR code and the phone of its
// owner. It returns whether it was refused.
type scanAttack func(s *scanSite, desk, phone *browser, path string, c scanCookie) bool

// refusedFor tells whether an answer is a refusal for a reason.
func refusedFor(got answer, reason Reason) bool {
	return got.StatusCode >= 400 && strings.Contains(got.body, "<code>"+string(reason)+"</code>")
}

func scanAttacks() map[string]scanAttack {
	return map[string]scanAttack{
		"scanned after two minutes": func(s *scanSite, desk, phone *browser, path string, c scanCookie) bool {
			s.clock.Advance(scanTTL)
			return refusedFor(phone.visit(path), ReasonScanExpired) && refusedFor(desk.collect("/a"), ReasonScanExpired)
		},
		"confirmed after two minutes": func(s *scanSite, desk, phone *browser, path string, c scanCookie) bool {
			s.scan(phone, path)
			s.clock.Advance(scanTTL)
			return refusedFor(phone.post(path, number(c.Number)), ReasonScanExpired)
		},
		"collected long after it was confirmed": func(s *scanSite, desk, phone *browser, path string, c scanCookie) bool {
			s.scan(phone, path)
			phone.post(path, number(c.Number))
			s.clock.Advance(scanTTL + scanGrace + time.Second)
			return refusedFor(desk.collect("/a"), ReasonScanExpired)
		},
		"scanned again after the login": func(s *scanSite, desk, phone *browser, path string, c scanCookie) bool {
			s.scan(phone, path)
			phone.post(path, number(c.Number))
			desk.collect("/a")
			return refusedFor(phone.visit(path), ReasonScanUsed) && refusedFor(s.phoneOf(person(1)).visit(path), ReasonScanUsed)
		},
		"collected again with a copied cookie": func(s *scanSite, desk, phone *browser, path string, c scanCookie) bool {
			thief := s.desk()
			thief.setCookie(s.auth.cookies.scanName(), desk.cookie(s.auth.cookies.scanName()).Value)
			s.scan(phone, path)
			phone.post(path, number(c.Number))
			desk.collect("/a")
			// As when the outcome, kept a minute for tabs of the same browser, is gone.
			outcome := claimKey(s.auth.official.appID, "scan "+c.State)
			require.NoError(s.t, s.auth.sessions.marks.DeleteMark(context.Background(), outcome))
			return refusedFor(thief.collect("/a"), ReasonScanUsed) && !strings.Contains(thief.visit("/public").body, "logged-in=true")
		},
		"a QR code forwarded to a stranger, who cannot see the number": func(s *scanSite, desk, phone *browser, path string, c scanCookie) bool {
			stranger := s.phoneOf(person(1))
			s.scan(stranger, path)
			wrong := refusedFor(stranger.post(path, number(other(c.Number))), ReasonScanNumber)
			second := refusedFor(stranger.post(path, number(c.Number)), ReasonScanUsed)
			return wrong && second && refusedFor(desk.collect("/a"), ReasonScanNumber)
		},
		"no number": func(s *scanSite, desk, phone *browser, path string, c scanCookie) bool {
			s.scan(phone, path)
			return refusedFor(phone.post(path, number("")), ReasonScanNumber) && refusedFor(desk.collect("/a"), ReasonScanNumber)
		},
		"two numbers at once": func(s *scanSite, desk, phone *browser, path string, c scanCookie) bool {
			s.scan(phone, path)
			return refusedFor(phone.post(path, url.Values{"number": {c.Number, other(c.Number)}}), ReasonScanNumber)
		},
		"another desk with a QR code of its own": func(s *scanSite, desk, phone *browser, path string, c scanCookie) bool {
			elsewhere := s.desk()
			s.show(elsewhere, "/b")
			s.scan(phone, path)
			phone.post(path, number(c.Number))
			return s.status(elsewhere) == `{"state":"waiting"}` && strings.Contains(elsewhere.collect("/b").body, "<strong>")
		},
		"another desk without a cookie": func(s *scanSite, desk, phone *browser, path string, c scanCookie) bool {
			s.scan(phone, path)
			phone.post(path, number(c.Number))
			elsewhere := s.desk()
			return s.status(elsewhere) == `{"state":"ended"}` && refusedFor(elsewhere.collect("/a"), ReasonScanExpired)
		},
		"the cookie under another name": func(s *scanSite, desk, phone *browser, path string, c scanCookie) bool {
			elsewhere := s.desk()
			s.show(elsewhere, "/b")
			elsewhere.setCookie(s.auth.cookies.trailName(), desk.cookie(s.auth.cookies.scanName()).Value)
			s.scan(phone, path)
			phone.post(path, number(c.Number))
			return !strings.Contains(elsewhere.visit("/a").body, "logged-in=true")
		},
		"somebody else scans what is scanned": func(s *scanSite, desk, phone *browser, path string, c scanCookie) bool {
			s.scan(phone, path)
			return refusedFor(s.phoneOf(person(1)).visit(path), ReasonScanForeign)
		},
		"somebody else confirms what is scanned": func(s *scanSite, desk, phone *browser, path string, c scanCookie) bool {
			s.scan(phone, path)
			foreign := s.phoneOf(person(1))
			foreign.visit("/a")
			return refusedFor(foreign.post(path, number(c.Number)), ReasonScanForeign) && s.status(desk) == `{"state":"scanned"}`
		},
		"confirmed without having been scanned": func(s *scanSite, desk, phone *browser, path string, c scanCookie) bool {
			phone.visit("/a")
			return refusedFor(phone.post(path, number(c.Number)), ReasonScanForeign) && s.status(desk) == `{"state":"waiting"}`
		},
		"collected after the phone's user was revoked": func(s *scanSite, desk, phone *browser, path string, c scanCookie) bool {
			s.scan(phone, path)
			phone.post(path, number(c.Number))
			_, err := s.auth.RevokeUser(context.Background(), wechattest.DefaultAppID, wechattest.OpenID(wechattest.DefaultAppID, person(0)))
			require.NoError(s.t, err)
			return refusedFor(desk.collect("/a"), ReasonSessionUnknown) && !strings.Contains(desk.visit("/public").body, "logged-in=true")
		},
		"collected after a logout on the phone": func(s *scanSite, desk, phone *browser, path string, c scanCookie) bool {
			s.scan(phone, path)
			phone.post(path, number(c.Number))
			phone.post("/wechat/logout", nil)
			return refusedFor(desk.collect("/a"), ReasonSessionUnknown)
		},
		"confirmed by nobody": func(s *scanSite, desk, phone *browser, path string, c scanCookie) bool {
			return refusedFor(s.browser().post(path, number(c.Number)), ReasonScanForeign) && refusedFor(desk.post(path, number(c.Number)), ReasonScanForeign)
		},
		"confirmed by a browser that was logged in by a scan": func(s *scanSite, desk, phone *browser, path string, c scanCookie) bool {
			s.scan(phone, path)
			phone.post(path, number(c.Number))
			desk.collect("/a")
			next, held := s.show(s.desk(), "/b")
			return refusedFor(desk.post(next, number(held.Number)), ReasonScanForeign)
		},
		"confirmed twice": func(s *scanSite, desk, phone *browser, path string, c scanCookie) bool {
			s.scan(phone, path)
			first := phone.post(path, number(c.Number))
			return first.StatusCode == http.StatusOK && refusedFor(phone.post(path, number(c.Number)), ReasonScanUsed)
		},
		"refused, then confirmed": func(s *scanSite, desk, phone *browser, path string, c scanCookie) bool {
			s.scan(phone, path)
			no := refusedFor(phone.post(path, url.Values{"refuse": {"1"}}), ReasonRefusedByUser)
			return no && refusedFor(phone.post(path, number(c.Number)), ReasonScanUsed) && refusedFor(desk.collect("/a"), ReasonRefusedByUser)
		},
		"confirmed by a form of another site": func(s *scanSite, desk, phone *browser, path string, c scanCookie) bool {
			s.scan(phone, path)
			got := phone.do(phone.client, http.MethodPost, path, strings.NewReader(number(c.Number).Encode()), http.Header{
				"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"},
			})
			return refusedFor(got, ReasonCrossOrigin) && s.status(desk) == `{"state":"scanned"}`
		},
		"a ticket that was guessed": func(s *scanSite, desk, phone *browser, path string, c scanCookie) bool {
			return refusedFor(phone.visit(s.auth.scanPath(scanTicketOf(newFlowKey()))), ReasonScanExpired)
		},
		"a confirmation written into the store": func(s *scanSite, desk, phone *browser, path string, c scanCookie) bool {
			box, err := newKeyring("kept", []byte("not the key of this site"))
			require.NoError(s.t, err)
			mark := scanEndMark(c.Ticket)
			forged := box.seal([]byte(`{"i":"{}"}`), mark)
			require.NoError(s.t, s.auth.sessions.marks.PutMark(context.Background(), mark, []byte(forged), time.Minute))
			return refusedFor(desk.collect("/a"), ReasonScanExpired)
		},
	}
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
	path, c := s.show(desk, "/a")
	phone := s.phoneOf(person(0))
	s.scan(phone, path)
	phone.post(path, number(c.Number))
	require.Contains(t, desk.collect("/a").body, "logged-in=true")

	path, c = s.show(desk, "/profile")
	stranger := s.phoneOf(person(1))
	require.Contains(t, stranger.visit(path).body, "/wechat/upgrade")
	consent := stranger.post("/wechat/upgrade", url.Values{"next": {path}})
	s.sim.Hold(person(1))
	callback, err := s.sim.CallbackURL(wechattest.Browser(wechattest.IPhone), consent.Request.URL.String())
	require.NoError(t, err)
	stranger.visit(callback)
	stranger.post(path, number(c.Number))
	assert.True(t, refusedFor(desk.collect("/profile"), ReasonIdentityMismatch))
	assert.Contains(t, desk.visit("/a").body, wechattest.OpenID(wechattest.DefaultAppID, person(0)), "the session stays with whom it was")
}

func TestAPhoneWhoseCodeWasUsedComesBackToTheConfirmation(t *testing.T) {
	s := newScanSite(t, WithEnvironment(EnvironmentPolicy{DesktopBrowser: LoginScan, WeChatWindows: LoginScan}))
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
	assert.Equal(t, qrCode(shown.URL), shown.QR)
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
	path, c := s.show(desk, "/a")
	s.scan(phone, path)
	phone.post(path, number(c.Number))
	got := desk.collect("/a")
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
	phone.post(path, number(c.Number))
	got := desk.collect("/orders?id=7")
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
	s := &scanSite{site: newSite(t, WithEnvironment(EnvironmentPolicy{DesktopBrowser: LoginScan}), func(c *config) {
		kept.Memory = store.NewMemory(store.WithClock(c.now))
		WithStore(kept)(c)
	})}
	s.auth.claims.wait = s.waitOut()
	desk, phone := s.desk(), s.phoneOf(person(0))
	path, c := s.show(desk, "/a")
	s.scan(phone, path)
	phone.post(path, number(c.Number))
	kept.armed.Store(true)
	require.Equal(t, http.StatusServiceUnavailable, desk.collect("/a").StatusCode)
	assert.Contains(t, desk.collect("/a").body, "url=/a logged-in=true")
}

func TestALogoutLeavesNoConfirmedQRCodeForTheNextPersonAtTheDesk(t *testing.T) {
	s := newScanSite(t)
	desk, phone := s.desk(), s.phoneOf(person(0))
	path, c := s.show(desk, "/a")
	s.scan(phone, path)
	phone.post(path, number(c.Number))
	desk.post("/wechat/logout", nil)
	next := desk.visit("/wechat/login?next=/b")
	assert.NotContains(t, next.body, "logged-in=true")
	assert.NotEqual(t, c.Ticket, s.held(desk).Ticket, "the next person gets a QR code of his own")
}

func TestTabsOfOneBrowserShareAQRCodeAndLandEachOnItsOwnTarget(t *testing.T) {
	s := newScanSite(t)
	desk, phone := s.desk(), s.phoneOf(person(0))
	path, c := s.show(desk, "/a")
	second, _ := s.show(desk, "/b")
	require.Equal(t, path, second)
	s.scan(phone, path)
	phone.post(path, number(c.Number))

	cookie := desk.cookie(s.auth.cookies.scanName()).Value
	got := make(chan string, 2)
	for _, target := range []string{"/a", "/b"} {
		tab := s.desk()
		tab.setCookie(s.auth.cookies.scanName(), cookie)
		go func() { got <- tab.collect(target).body }()
	}
	all := <-got + <-got
	assert.Contains(t, all, "url=/a logged-in=true")
	assert.Contains(t, all, "url=/b logged-in=true")
}

// Two hundred browsers show a QR code and listen to what becomes of it. While
// they do, all codes are scanned and confirmed; then all browsers hear of it, and
// are logged in. Requests that end are made by as many at a time as the machine
// can serve. The store has the time that a busy machine needs: a second, its
// default, is too little for a process that waits for its turn.
func TestTwoHundredScansAtOnce(t *testing.T) {
	const scans = 200
	atATime := 2 * runtime.GOMAXPROCS(0)
	patient := func(pool *redis.Pool) Option { return WithStore(store.New(pool, store.WithTimeout(time.Minute))) }
	s := newScanSiteWith(t, patient, func(c *config) { c.scanLook = time.Minute })
	confirmed := make(chan struct{})
	s.auth.claims.wait = func(ctx context.Context, d time.Duration) error {
		if d != scanPoll {
			return sleep(ctx, d)
		}
		select { // the second look is after the last confirmation
		case <-confirmed:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	type pair struct {
		desk, phone  *browser
		target, path string
		held         scanCookie
		heard        <-chan string
	}
	pairs := make([]*pair, scans)
	for i := range pairs {
		pairs[i] = &pair{desk: s.desk(), phone: s.phoneOf(person(i % 2)), target: fmt.Sprintf("/a?n=%d", i)}
	}
	together := func(step func(i int, p *pair)) {
		var wg sync.WaitGroup
		gate := make(chan struct{}, atATime)
		for i, p := range pairs {
			gate <- struct{}{}
			wg.Go(func() {
				defer func() { <-gate }()
				step(i, p)
			})
		}
		wg.Wait()
	}
	var listening, done atomic.Int64
	together(func(_ int, p *pair) {
		p.path, p.held = s.show(p.desk, p.target)
		_, p.heard = s.listen(t.Context(), p.desk)
		if assert.Equal(t, "waiting", <-p.heard) {
			listening.Add(1)
		}
	})
	require.EqualValues(t, scans, listening.Load(), "all streams are open, and stay so")
	together(func(_ int, p *pair) { s.scan(p.phone, p.path) })
	together(func(_ int, p *pair) {
		got := p.phone.post(p.path, number(p.held.Number))
		assert.Equal(t, http.StatusOK, got.StatusCode, "%s", regexp.MustCompile(`<code>.*</code>`).FindString(got.body))
	})
	close(confirmed)
	together(func(i int, p *pair) {
		assert.Equal(t, "confirmed", <-p.heard)
		want := "url=" + p.target + " logged-in=true openid=" + wechattest.OpenID(wechattest.DefaultAppID, person(i%2))
		if got := p.desk.collect(p.target); assert.True(t, strings.Contains(got.body, want), "%d: %s", i, got.Status) {
			done.Add(1)
		}
	})
	assert.EqualValues(t, scans, done.Load())
}

// listen opens the event stream of a browser and returns what it hears.
func (s *scanSite) listen(ctx context.Context, b *browser) (*http.Response, <-chan string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.auth.base.String()+"/wechat/scan/events", nil)
	require.NoError(s.t, err)
	r.Header.Set("User-Agent", chromeWindows)
	r.Header.Set("Accept", "text/event-stream")
	resp, err := b.client.Do(r)
	require.NoError(s.t, err)
	heard := make(chan string)
	go func() {
		defer close(heard)
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		for lines.Scan() {
			if state, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				heard <- state
			}
		}
	}()
	return resp, heard
}

// tick replaces the pause between two looks.
func (s *scanSite) tick() (look func()) {
	pause := make(chan struct{})
	s.auth.claims.wait = func(ctx context.Context, d time.Duration) error {
		s.asked.Store(int64(d))
		select {
		case <-pause:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return func() { pause <- struct{}{} }
}

func TestTheDeskHearsWhatThePhoneDoes(t *testing.T) {
	s := newScanSite(t)
	look := s.tick()
	desk, phone := s.desk(), s.phoneOf(person(0))
	path, c := s.show(desk, "/a")
	resp, heard := s.listen(t.Context(), desk)
	assert.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	assert.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
	assert.Equal(t, "waiting", <-heard)
	look()
	s.scan(phone, path)
	look()
	assert.Equal(t, "scanned", <-heard)
	assert.LessOrEqual(t, s.pause(), time.Second, "the desk shows it within a second")
	phone.post(path, number(c.Number))
	look()
	assert.Equal(t, "confirmed", <-heard)
	_, more := <-heard
	assert.False(t, more, "the stream ends with the last state")

	nobody, _ := s.listen(t.Context(), s.desk())
	assert.Equal(t, http.StatusNoContent, nobody.StatusCode)
}

func TestAnEventStreamEndsWithTheTicketTheBrowserAndTheServer(t *testing.T) {
	for name, end := range map[string]func(s *scanSite, cancel func(), look func()){
		"the ticket expires":    func(s *scanSite, _ func(), look func()) { s.clock.Advance(scanTTL); look() },
		"the browser leaves":    func(_ *scanSite, cancel func(), _ func()) { cancel() },
		"the server shuts down": func(s *scanSite, _ func(), _ func()) { require.NoError(s.t, s.server.Config.Shutdown(s.t.Context())) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScanSite(t)
			look := s.tick()
			ended := make(chan struct{})
			served := s.server.Config.Handler
			s.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				served.ServeHTTP(w, r)
				if r.URL.Path == "/wechat/scan/events" {
					close(ended)
				}
			})
			desk := s.desk()
			s.show(desk, "/a")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			_, heard := s.listen(ctx, desk)
			require.Equal(t, "waiting", <-heard)
			end(s, cancel, look)
			for range heard { // "ended", or nothing
			}
			<-ended
		})
	}
}

func TestAFrozenStoreHoldsNoEventStream(t *testing.T) {
	s := newScanSite(t)
	look := s.tick()
	const streams = 20
	var running sync.WaitGroup
	served := s.server.Config.Handler
	s.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		running.Add(1)
		defer running.Done()
		served.ServeHTTP(w, r)
	})
	var ears []<-chan string
	for range streams {
		desk := s.desk()
		s.show(desk, "/a")
		_, heard := s.listen(t.Context(), desk)
		require.Equal(t, "waiting", <-heard)
		ears = append(ears, heard)
	}
	assert.Equal(t, s.pool.ActiveCount(), s.pool.IdleCount(), "no stream holds a connection")
	s.redis.Freeze()
	for range streams {
		look()
	}
	for _, heard := range ears {
		_, more := <-heard
		assert.False(t, more, "the stream ends, and the browser polls")
	}
	desk := s.desk()
	assert.Equal(t, http.StatusServiceUnavailable, desk.visit("/wechat/scan?next=/a").StatusCode)
	running.Wait() // while the store is frozen still
	s.redis.Thaw()
	assert.Equal(t, http.StatusOK, desk.visit("/a").StatusCode)
}

func TestTheScanPageAllowsItsOwnScriptAndNothingElse(t *testing.T) {
	s := newScanSite(t)
	page := s.desk().visit("/a")
	scripts := regexp.MustCompile(`(?s)<script>(.*?)</script>`).FindAllStringSubmatch(page.body, -1)
	require.Len(t, scripts, 1)
	assert.Equal(t, "default-src 'none'; style-src "+pageCSSHash+"; script-src "+cspHash([]byte(scripts[0][1]))+
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
func TestAQRCodeHas128BitsTwoMinutesAndIsLookedAtTwiceASecond(t *testing.T) {
	s := newScanSite(t)
	longestLife := func() (longest int64) {
		for _, key := range s.redis.Do("KEYS", "wechat:mark:*").([]any) {
			left := s.redis.Do("PTTL", string(key.([]byte))).(int64)
			require.Positive(t, left, "no mark stays")
			longest = max(longest, left)
		}
		return longest
	}
	look := s.tick()
	desk := s.desk()
	path, c := s.show(desk, "/a")
	ticket, err := base64.RawURLEncoding.DecodeString(c.Ticket)
	require.NoError(t, err)
	assert.Len(t, ticket, 16)
	assert.LessOrEqual(t, longestLife(), int64(120_000))

	_, heard := s.listen(t.Context(), desk)
	require.Equal(t, "waiting", <-heard)
	s.clock.Advance(time.Minute + 59*time.Second)
	phone := s.phoneOf(person(0))
	s.scan(phone, path)
	look()
	require.Equal(t, "scanned", <-heard)
	assert.Equal(t, 500*time.Millisecond, s.pause())
	assert.Equal(t, http.StatusOK, phone.post(path, number(c.Number)).StatusCode)
	look()
	require.Equal(t, "confirmed", <-heard)
	assert.LessOrEqual(t, longestLife(), int64(150_000), "half a minute more to be collected")

	late, _ := s.show(s.desk(), "/a")
	s.clock.Advance(2 * time.Minute)
	assert.True(t, refusedFor(s.phoneOf(person(1)).visit(late), ReasonScanExpired))
}

func TestABrowserIsNamedByItsUserAgent(t *testing.T) {
	for userAgent, want := range map[string]string{
		chromeWindows: "Chrome · Windows",
		safariPhone:   "Safari · iPhone",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15":         "Safari · macOS",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Safari/537.36 Edg/132.0.0.0": "Edge · Windows",
		"Mozilla/5.0 (X11; Linux x86_64; rv:134.0) Gecko/20100101 Firefox/134.0":                                                        "Firefox · Linux",
		"<script>alert(1)</script>": "",
		"":                          "",
	} {
		assert.Equal(t, want, browserName(userAgent), userAgent)
	}
}

func TestThePhonesPageSaysNothingOfTheNumber(t *testing.T) {
	s := newScanSite(t)
	phone := s.phoneOf(person(0))
	pages, numbers := map[string]bool{}, map[string]bool{}
	for range 5 {
		path, c := s.show(s.desk(), "/a")
		s.scan(phone, path)
		pages[strings.ReplaceAll(phone.visit(path).body, c.Ticket, "")] = true
		numbers[c.Number] = true
	}
	require.Greater(t, len(numbers), 1)
	assert.Len(t, pages, 1, "whichever it is")
}

// A blind guess is right once in 90.
func TestTheNumberOfAScanIsOneOfNinety(t *testing.T) {
	seen := map[string]int{}
	for range 9000 {
		seen[newScanNumber()]++
	}
	assert.Len(t, seen, 90)
	for n, times := range seen {
		assert.Regexp(t, "^[1-9][0-9]$", n)
		assert.Less(t, times, 300, n)
	}
}
