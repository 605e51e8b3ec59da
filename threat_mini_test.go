package wechatauth

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/scan"
	"github.com/wechatauth/wechatauth/internal/seal"
	"github.com/wechatauth/wechatauth/internal/singleflight"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

func TestT82_JunkLocksNoHonestUserOut(t *testing.T) {
	s := newMiniSite(t)
	official := s.exchanges()
	for range flood(2_000) {
		junk := `{"code":"` + flow.NewState() + `"}`
		assert.Equal(t, http.StatusUnauthorized, s.request(http.MethodPost, "/wechat/mini/login", "", junk).StatusCode)
		s.browser().step("/wechat/callback?code=" + flow.NewState() + "&state=" + flow.NewState())
		s.browser().step("/wechat/mini/enter?ticket=" + flow.NewState())
	}
	assert.Equal(t, official, s.exchanges(), "the account of web logins has no call to spare for junk")
	assert.Equal(t, http.StatusOK, s.request(http.MethodGet, "/api/me", s.miniLogin(person(0)), "").StatusCode)
	for i := range 3 {
		b := s.browser()
		b.setCookie("wechatsim_person", person(i))
		assert.Contains(t, b.visit("/a").body, "logged-in=true")
	}
}

// view is a mini program's web-view that sends no Sec-Fetch headers.
func (s *site) view() *browser { return s.browser().as(wechattest.IPhoneMiniProgram) }

// sent sends a GET with exactly this header, and follows nothing.
func (s *site) sent(path, userAgent string, header http.Header, cookies ...*http.Cookie) answer {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodGet, s.auth.base.String()+path, nil)
	require.NoError(s.t, err)
	r.Header = header.Clone()
	r.Header.Set("User-Agent", userAgent)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	resp, err := s.server.Client().Transport.RoundTrip(r)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return answer{resp, string(body)}
}

// fetched is how a browser asks: what for, on whose behalf, and whether ahead of
// a visit. An empty field is a header that is not sent.
type fetched struct{ site, dest, purpose string }

func (f fetched) header() http.Header {
	h := http.Header{"Accept": {"text/html,*/*;q=0.8"}}
	set := func(name, value string) {
		if value != "" {
			h.Set(name, value)
		}
	}
	mode := "no-cors"
	switch f.dest {
	case "document", "iframe", "frame", "embed", "object":
		mode = "navigate"
	case "empty":
		mode = "cors"
	case "":
		mode = ""
	}
	if mode != "navigate" && mode != "" {
		h.Set("Accept", "*/*")
	}
	set("Sec-Fetch-Site", f.site)
	set("Sec-Fetch-Mode", mode)
	set("Sec-Fetch-Dest", f.dest)
	if name, value, ok := strings.Cut(f.purpose, ": "); ok {
		h.Set(name, value)
	}
	return h
}

// newKeys returns the keys that were not there before.
func newKeys(redis *redistest.Server, before []any) (names []string) {
	for _, key := range redis.Do("KEYS", "*").([]any) {
		if !slices.ContainsFunc(before, func(old any) bool { return string(old.([]byte)) == string(key.([]byte)) }) {
			names = append(names, string(key.([]byte)))
		}
	}
	return names
}

func (f fetched) isVisit() bool { return f.dest == "document" && f.purpose == "" }

func allFetched() (all []fetched) {
	for _, site := range []string{"none", "same-origin", "same-site", "cross-site"} {
		for _, dest := range []string{"document", "iframe", "frame", "embed", "object", "image", "script", "style", "video", "empty"} {
			for _, purpose := range []string{"", "Sec-Purpose: prefetch", "Sec-Purpose: prefetch;prerender", "Purpose: prefetch", "X-Moz: prefetch", "X-Purpose: preview"} {
				all = append(all, fetched{site, dest, purpose})
			}
		}
	}
	return all
}

func TestT80_AGETChangesNothingUnlessItIsAPageVisit(t *testing.T) {
	redis := redistest.Start(t)
	s := newMiniSite(t, WithRedis(redis.Pool()), WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginScan}),
		WithVerifyFile("MP_verify_abcdefghijklmnop.txt", "abcdefghijklmnop"))
	token := s.miniLogin(person(0))
	anyVisit := fetched.isVisit
	ownVisit := func(f fetched) bool { return f.isVisit() && (f.site == "none" || f.site == "same-origin") }
	never := func(fetched) bool { return false }
	enter := "" // not used yet
	for name, get := range map[string]struct {
		path      func() string
		userAgent string
		may       func(fetched) bool
	}{
		"login":         {func() string { return "/wechat/login?next=/a" }, wechattest.IPhone, anyVisit},
		"login again":   {func() string { return "/wechat/login?next=/a&again=1" }, wechattest.IPhone, anyVisit},
		"walled page":   {func() string { return "/a" }, wechattest.IPhone, anyVisit},
		"scan":          {func() string { return "/wechat/scan?next=/a" }, chromeWindows, anyVisit},
		"scan, waiting": {func() string { return "/wechat/scan?next=/a&wait=1" }, chromeWindows, never},
		"scan status":   {func() string { return "/wechat/scan/status" }, chromeWindows, never},
		"phone's page":  {func() string { return "/wechat/scan/" + scan.TicketOf(flow.NewKey()) }, wechattest.IPhone, never},
		"callback":      {func() string { return "/wechat/callback?code=" + flow.NewState() + "&state=" + flow.NewState() }, wechattest.IPhone, never},
		"upgrade":       {func() string { return "/wechat/upgrade?next=/profile" }, wechattest.IPhone, never},
		"logout":        {func() string { return "/wechat/logout" }, wechattest.IPhone, never},
		"mini login":    {func() string { return "/wechat/mini/login" }, wechattest.IPhone, never},
		"mini ticket":   {func() string { return "/wechat/mini/ticket" }, wechattest.IPhone, never},
		"verify file":   {func() string { return "/MP_verify_abcdefghijklmnop.txt" }, wechattest.IPhone, never},
		"mini enter": {func() string {
			if enter == "" {
				enter = strings.TrimPrefix(s.ticket(token, "/a"), s.auth.base.String())
			}
			return enter
		}, wechattest.AndroidMiniProgram, ownVisit},
	} {
		t.Run(name, func(t *testing.T) {
			for _, f := range allFetched() {
				path := get.path()
				before := redis.Do("KEYS", "*").([]any)
				got := s.sent(path, get.userAgent, f.header())
				changed := len(got.Header["Set-Cookie"]) > 0 || len(newKeys(redis, before)) > 0
				assert.Equal(t, get.may(f), changed, "%+v: %s", f, got.Status)
				if path == enter && got.StatusCode == http.StatusSeeOther {
					enter = ""
				}
			}
		})
	}
	assert.Contains(t, s.view().visit(s.ticket(token, "/a")).body, "logged-in=true")
}

// The same for what is pending: a callback with its code, and a QR code that the
// phone of a user who is logged in opens.
func TestT80_AGETSpendsNothingPendingUnlessItIsAPageVisit(t *testing.T) {
	s := newScanSite(t)
	phone := s.phoneOf(person(0))
	require.Contains(t, phone.visit("/a").body, "logged-in=true")
	var b *browser
	callback, path, ticket := "", "", ""
	for _, f := range allFetched() {
		if callback == "" {
			b = s.browser()
			callback = strings.TrimPrefix(b.authorize("/a"), s.auth.base.String())
		}
		before := s.exchanges()
		got := s.sent(callback, wechattest.IPhone, f.header(), b.client.Jar.Cookies(s.auth.base)...)
		spent := s.exchanges() > before || len(got.Header["Set-Cookie"]) > 0
		inFrame := f.purpose == "" && slices.Contains([]string{"iframe", "frame", "embed", "object"}, f.dest) // as WeChat's QR code may be
		assert.Equal(t, f.isVisit() || inFrame, spent, "callback: %+v: %s", f, got.Status)
		if spent {
			callback = ""
		}

		if path == "" {
			var c scan.Cookie
			path, c = s.show(s.desk(), "/a")
			ticket = c.Ticket
		}
		got = s.sent(path, wechattest.IPhone, f.header(), phone.client.Jar.Cookies(s.auth.base)...)
		_, bound, err := s.auth.sessions.marks.Mark(context.Background(), "scan by "+ticket)
		require.NoError(t, err)
		assert.Equal(t, f.isVisit(), bound, "QR code: %+v: %s", f, got.Status)
		if bound {
			path = ""
		}
	}
}

func TestT80_AnEntryOfWhichTheBrowserSaysTooLittleAsksFirst(t *testing.T) {
	s := newMiniSite(t)
	token := s.miniLogin(person(0))
	worker := http.Header{"Accept": {"text/html"}, "Sec-Fetch-Site": {"same-origin"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"empty"}}
	for name, tt := range map[string]struct {
		userAgent     string
		header        http.Header
		enters, shows bool
	}{
		"a web-view of a mini program on an old phone": {wechattest.IPhoneMiniProgram, http.Header{"Accept": {"text/html"}}, true, false},
		"Chromium 78 in a mini program":                {wechattest.AndroidMiniProgram, http.Header{"Accept": {"text/html"}, "Sec-Fetch-Site": {"none"}, "Sec-Fetch-Mode": {"navigate"}}, true, false},
		"an old browser, led here by a page":           {wechattest.IPhone, http.Header{"Accept": {"text/html"}}, false, true},
		"an old browser's image":                       {wechattest.IPhoneMiniProgram, http.Header{"Accept": {"image/webp,*/*"}}, false, false},
		"a service worker, for whoever began":          {wechattest.AndroidMiniProgram, worker, false, IsPageVisit(&http.Request{Method: http.MethodGet, Header: worker})},
	} {
		t.Run(name, func(t *testing.T) {
			enter := strings.TrimPrefix(s.ticket(token, "/a"), s.auth.base.String())
			got := s.sent(enter, tt.userAgent, tt.header)
			assert.Equal(t, tt.enters, got.setOf(s.sessionCookie()) != "", got.Status)
			assert.Equal(t, tt.shows, strings.Contains(got.body, `<form method="post" action="/wechat/mini/enter?ticket=`))
			if !tt.enters {
				assert.Contains(t, s.view().visit(enter).body, "logged-in=true", "nothing was spent")
			}
		})
	}
}

func TestT80_AnotherUsersSessionIsNotReplacedUnasked(t *testing.T) {
	s := newMiniSite(t)
	enter := s.ticket(s.miniLogin(person(0)), "/a?b=c")
	view := s.view()
	view.setCookie(s.sessionCookie(), s.session(bobOpenID))
	asked := view.step(enter)
	assert.Equal(t, http.StatusOK, asked.StatusCode)
	assert.Empty(t, asked.Header["Set-Cookie"])
	assert.Contains(t, view.visit("/b").body, bobOpenID)
	form := regexp.MustCompile(`action="([^"]+)"`).FindStringSubmatch(asked.body)
	require.NotEmpty(t, form, asked.body)

	for _, site := range []string{"cross-site", "same-site"} {
		forged := view.do(view.client, http.MethodPost, form[1], nil, http.Header{"Sec-Fetch-Site": {site}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}})
		assert.Equal(t, http.StatusForbidden, forged.StatusCode, site)
	}
	old := view.do(view.client, http.MethodPost, form[1], nil, http.Header{"Origin": {"https://evil.example"}})
	assert.Equal(t, http.StatusForbidden, old.StatusCode)
	assert.Contains(t, view.visit("/b").body, bobOpenID)

	assert.Contains(t, view.post(form[1], url.Values{"next": {"/elsewhere"}}).body, "url=/a?b=c logged-in=true openid="+wechattest.OpenID(miniApp, person(0)))
	assert.True(t, refusedFor(view.step(enter), ReasonCodeUsed))
	again := s.ticket(s.miniLogin(person(0)), "/a")
	assert.Equal(t, http.StatusSeeOther, view.step(again).StatusCode, "the same user is not asked")
}

// A page of the same host that came by plain http is whoever's is on the network.
// Browsers without Sec-Fetch headers name its scheme in Origin only.
func TestT80_AFormOfAPlainHTTPPageIsRefused(t *testing.T) {
	s := newTLSSite(t, WithMiniProgram(miniApp, wechattest.DefaultMiniProgramSecret))
	b := s.browser()
	require.Contains(t, b.visit("/a").body, "logged-in=true")
	for _, path := range []string{"/wechat/logout", "/wechat/upgrade", "/wechat/mini/enter?ticket=" + flow.NewState()} {
		forged := b.do(b.client, http.MethodPost, path, nil, http.Header{"Origin": {"http://" + s.auth.base.Host}})
		assert.Equal(t, http.StatusForbidden, forged.StatusCode, path)
	}
	assert.Contains(t, b.visit("/public").body, "logged-in=true")
	own := b.do(b.client, http.MethodPost, "/wechat/logout", nil, http.Header{"Origin": {s.auth.base.String()}})
	assert.NotEqual(t, http.StatusForbidden, own.StatusCode)
	assert.Contains(t, b.visit("/public").body, "logged-in=false")
}

// A redisWriter may do with a Redis what he likes. He knows the source, and has a
// login of his own; he has no key.
type redisWriter struct {
	*scanSite
	marks  *store.Store
	dumped map[string][2]any // of each key, what it holds and for how long

	session, token, enter, callback string
	pending                         []*http.Cookie // of the callback
	desk, number                    string         // of a scan that was confirmed: its cookie and what the phone shows
}

func newWriter(t *testing.T, opts ...Option) *redisWriter {
	t.Helper()
	s := newScanSite(t, append([]Option{WithMiniProgram(miniApp, wechattest.DefaultMiniProgramSecret), WithTokens(0)}, opts...)...)
	s.handle("/kept", func(w http.ResponseWriter, r *http.Request) {
		if secret, err := s.auth.AccessToken(r.Context()); err == nil {
			_, _ = io.WriteString(w, secret.Reveal())
		}
		if m, err := s.auth.MiniProgram(r.Context()); err == nil {
			key, _ := m.sessionKey(r.Context())
			_, _ = io.WriteString(w, key)
		}
	})
	s.auth.claims.Wait = func(context.Context, time.Duration) error { return context.DeadlineExceeded } // a claim that nobody made
	return &redisWriter{scanSite: s, marks: store.New(s.redis.Pool())}
}

// logIn logs a person in everywhere, and returns what only that person has.
func (x *redisWriter) logIn(i int) (secrets []string) {
	x.t.Helper()
	b := x.browser()
	b.setCookie("wechatsim_person", url.QueryEscape(person(i)))
	x.callback = b.authorize("/a")
	x.pending = b.client.Jar.Cookies(x.auth.base)
	require.Contains(x.t, b.visit(x.callback).body, "logged-in=true")
	x.session = b.cookie(x.sessionCookie()).Value
	x.token = x.miniLogin(person(i))
	x.enter = x.ticket(x.token, "/a")
	desk := x.scanSite.desk()
	path, _ := x.show(desk, "/a")
	x.scan(b, path)
	x.number = x.confirm(b, path)
	x.desk = desk.cookie(x.auth.cookies.ScanName()).Value
	web := b.visit("/kept").body
	mini := x.request(http.MethodGet, "/kept", x.token, "").body
	require.NotEmpty(x.t, web)
	require.NotEmpty(x.t, mini)
	return []string{web, mini, wechattest.OpenID(wechattest.DefaultAppID, person(i)), wechattest.OpenID(miniApp, person(i))}
}

// everywhere is all that the last person who logged in is shown.
func (x *redisWriter) everywhere() string {
	x.t.Helper()
	var all strings.Builder
	b := x.browser()
	b.setCookie(x.sessionCookie(), x.session)
	for _, path := range []string{"/public", "/kept"} {
		all.WriteString(b.step(path).body)
		all.WriteString(x.request(http.MethodGet, path, x.token, "").body)
	}
	back := x.browser()
	back.client.Jar.SetCookies(x.auth.base, x.pending)
	view := x.view()
	for b, url := range map[*browser]string{back: x.callback, view: x.enter} {
		if b.step(url).StatusCode == http.StatusSeeOther {
			all.WriteString(b.step("/public").body)
		}
	}
	return all.String() + x.scanned()
}

// scanned is what a browser is shown that the last person logs in by a QR code.
func (x *redisWriter) scanned() string {
	x.t.Helper()
	desk := x.scanSite.desk()
	desk.setCookie(x.auth.cookies.ScanName(), x.desk)
	return desk.enter("/a", x.number).body
}

func (x *redisWriter) dump() {
	x.dumped = map[string][2]any{}
	for _, key := range x.redis.Do("KEYS", "*").([]any) {
		name := string(key.([]byte))
		x.dumped[name] = [2]any{x.redis.Do("DUMP", name), x.redis.Do("PTTL", name)}
	}
}

// restore makes Redis what it was; over is written instead of a key's own value.
func (x *redisWriter) restore() {
	x.redis.Do("FLUSHALL")
	for key := range x.dumped {
		x.put(key, key)
	}
}

func (x *redisWriter) put(key, of string) {
	x.redis.Do("RESTORE", key, max(x.dumped[of][1].(int64), 60_000), x.dumped[of][0], "REPLACE")
}

func TestT78_AWriterOfRedisBecomesNobodyElse(t *testing.T) {
	x := newWriter(t, WithSessionEncryption(sessionKeyForTests))
	alices := x.logIn(0)
	malloryBegins := x.logIn(1)
	x.dump()
	for _, own := range malloryBegins {
		require.Contains(t, x.everywhere(), own)
		x.restore()
	}
	require.Contains(t, x.scanned(), malloryBegins[2])
	x.restore()
	judge := func(what string) {
		t.Helper()
		shown := x.everywhere()
		for _, secret := range alices {
			assert.NotContains(t, shown, secret, what)
		}
	}
	kinds := map[string]bool{}
	for to := range x.dumped {
		kinds[regexp.MustCompile(`^[a-z]+:[a-z]+`).FindString(to)] = true
		for from := range x.dumped {
			if from != to {
				x.put(to, from)
				judge("the value of " + from + " at " + to)
				x.restore()
			}
		}
		value, isText := x.redis.Do("EVAL", "return redis.call('TYPE', KEYS[1]).ok == 'string' and redis.call('GET', KEYS[1])", 1, to).([]byte)
		for n := 0; isText && n < len(value); n += 1 + len(value)/7 {
			x.redis.Do("SET", to, value[:n], "KEEPTTL")
			judge(to + " cut short")
			x.restore()
		}
	}
	assert.GreaterOrEqual(t, len(x.dumped), 2*(2+1+1+2+2+4), "for each of two: sessions, outcome, entry, tokens and session_key, indexes, scan")
	t.Logf("kinds %v", slices.Sorted(maps.Keys(kinds)))
}

func TestT78_NoKeyOfAWritersOwnSealsAnything(t *testing.T) {
	alice := Identity{AppID: miniApp, OpenID: wechattest.OpenID(miniApp, person(0)), Channel: ChannelMiniProgram, LoginAt: time.Now()}
	text := encodeIdentity(alice)
	for name, opts := range map[string][]Option{
		"sessions encrypted": {WithSessionEncryption(sessionKeyForTests)},
		"flow keys":          {WithFlowKeys([]byte("flow-key-for-tests-0123456789abcdefgh"))},
		"neither":            nil,
	} {
		t.Run(name, func(t *testing.T) {
			x := newWriter(t, opts...)
			x.logIn(1)
			ctx := context.Background()
			ticket, code := flow.NewState(), flow.NewState()
			secrets := map[string][]byte{"the ticket": []byte(ticket), "the code": []byte(code), "a key that was made up": flow.NewKey(), "nothing": {}}
			if opts != nil {
				secrets["the AppSecret"] = []byte(wechattest.DefaultSecret)
			}
			plain, err := json.Marshal(enter{Identity: text, Target: "/public", Session: x.auth.sessions.storeKey(strings.TrimPrefix(x.token, bearerPrefix)), IssuedAt: x.clock.Now().UnixMilli()})
			require.NoError(t, err)
			login, err := json.Marshal(outcome{Token: "chosen-by-the-writer", Expiry: x.clock.Now().Add(time.Hour).Unix()})
			require.NoError(t, err)
			for whose, secret := range secrets {
				for _, purpose := range []string{"enter", "outcome", "kept", "flow"} {
					ring, err := seal.New(purpose, secret)
					require.NoError(t, err)
					rings := []*seal.Ring{ring}
					for _, with := range []struct{ purpose, key string }{{"enter", ticket}, {"outcome", code}} {
						rings = append(rings, ring.With(with.purpose, []byte(with.key)))
					}
					for _, ring := range rings {
						require.NoError(t, x.marks.PutMark(ctx, enterMark(ticket), []byte(ring.Seal(plain, miniApp)), time.Hour))
						assert.True(t, refusedFor(x.view().step("/wechat/mini/enter?ticket="+ticket), ReasonCodeUsed), whose)

						left, err := json.Marshal(boxes{Flow: ring.Seal(login, singleflight.Key(miniApp, "mini "+code))})
						require.NoError(t, err)
						require.NoError(t, x.marks.PutMark(ctx, singleflight.Key(miniApp, "mini "+code), singleflight.Settled(left), time.Hour))
						got := x.request(http.MethodPost, "/wechat/mini/login", "", `{"code":"`+code+`"}`)
						assert.Equal(t, http.StatusUnauthorized, got.StatusCode, whose)
						assert.NotContains(t, got.body, "chosen")
					}
				}
			}
		})
	}
}

func TestT81_AnEntryThatTheStoreKeepsEndsWithItsTime(t *testing.T) {
	redis := redistest.Start(t)
	s := newMiniSite(t, WithRedis(redis.Pool()))
	enter := s.ticket(s.miniLogin(person(0)), "/a")
	for _, key := range redis.Do("KEYS", "wechat:mark:*").([]any) {
		redis.Do("PERSIST", string(key.([]byte)))
	}
	s.clock.Advance(enterTTL + cookie.Skew + 2*time.Second)
	assert.True(t, refusedFor(s.view().step(enter), ReasonCodeUsed))
}

func TestT81_AnEntryIsRememberedLongerThanItIsGood(t *testing.T) {
	redis := redistest.Start(t)
	s := newMiniSite(t, WithRedis(redis.Pool()))
	enter := s.ticket(s.miniLogin(person(0)), "/a")
	before := redis.Do("KEYS", "*").([]any)
	require.Contains(t, s.view().visit(enter).body, "logged-in=true")
	longest := int64(0)
	for _, key := range newKeys(redis, before) {
		if strings.HasPrefix(key, "wechat:mark:") {
			longest = max(longest, redis.Do("PTTL", key).(int64))
		}
	}
	assert.Greater(t, longest, (enterTTL + cookie.Skew + cookie.Skew/2).Milliseconds())
}

func TestT86_AUsedCodeGivesNobodyAToken(t *testing.T) {
	for name, instances := range map[string]int{"one instance": 1, "two instances": 2} {
		t.Run(name, func(t *testing.T) {
			opts := []Option{WithRedis(redistest.Start(t).Pool())}
			s := newMiniSite(t, opts...)
			s.instances(instances, append([]Option{WithMiniProgram(miniApp, wechattest.DefaultMiniProgramSecret)}, opts...)...)
			body := `{"code":"` + s.sim.JSCode(miniApp, person(0)) + `"}`
			require.Equal(t, http.StatusOK, s.request(http.MethodPost, "/wechat/mini/login", "", body).StatusCode)
			for range 2 * instances {
				got := s.request(http.MethodPost, "/wechat/mini/login", "", body)
				assert.Equal(t, http.StatusUnauthorized, got.StatusCode)
				assert.Contains(t, got.body, "code_used")
				assert.NotContains(t, got.body, bearerPrefix)
			}
			assert.Equal(t, 1, s.sim.Count("/sns/jscode2session"))
		})
	}
}
