package threat

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/mini"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/scan"
	"github.com/wechatauth/wechatauth/internal/seal"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/internal/singleflight"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/verifyfile"
	"github.com/wechatauth/wechatauth/wechattest"
)

func TestMiniLogin(t *testing.T) {
	t.Run("T82 invalid codes lock no user out", func(t *testing.T) {
		s := authtest.NewMiniSite(t)
		official := s.Exchanges()
		for range authtest.Flood(2_000) {
			junk := `{"code":"` + flow.NewState() + `"}`
			assert.Equal(t, http.StatusUnauthorized, s.Request(http.MethodPost, "/wechat/mini/login", "", junk).StatusCode)
			s.Browser().Step("/wechat/callback?code=" + flow.NewState() + "&state=" + flow.NewState())
			s.Browser().Step("/wechat/mini/enter?ticket=" + flow.NewState())
		}
		assert.Equal(t, official, s.Exchanges(), "invalid codes cost the account of web logins no call")
		assert.Equal(t, http.StatusOK, s.Request(http.MethodGet, "/api/me", s.MiniLogin(authtest.Person(0)), "").StatusCode)
		for i := range 3 {
			b := s.Browser()
			b.SetCookie("wechatsim_person", authtest.Person(i))
			assert.Contains(t, b.Visit("/a").Text, "logged-in=true")
		}
	})

	t.Run("T86 used code", func(t *testing.T) {
		for name, instances := range map[string]int{"one instance": 1, "two instances": 2} {
			t.Run(name, func(t *testing.T) {
				opts := []wechatauth.Option{wechatauth.WithRedis(redistest.Start(t).Pool())}
				s := authtest.NewMiniSite(t, opts...)
				s.Instances(instances, append([]wechatauth.Option{wechatauth.WithMiniProgram(authtest.MiniApp, wechattest.DefaultMiniProgramSecret)}, opts...)...)
				body := `{"code":"` + s.Sim.WXLogin(authtest.MiniApp, authtest.Person(0)) + `"}`
				require.Equal(t, http.StatusOK, s.Request(http.MethodPost, "/wechat/mini/login", "", body).StatusCode)
				for range 2 * instances {
					got := s.Request(http.MethodPost, "/wechat/mini/login", "", body)
					assert.Equal(t, http.StatusUnauthorized, got.StatusCode)
					assert.Contains(t, got.Text, "code_used")
					assert.NotContains(t, got.Text, session.BearerPrefix)
				}
				assert.Equal(t, 1, s.Sim.Count("/sns/jscode2session"))
			})
		}
	})

	// An attacker who can write to Redis and has a used code restores the
	// result of its login.
	t.Run("T86 restored result", func(t *testing.T) {
		redis := redistest.Start(t)
		marks := store.New(redis.Pool())
		s := authtest.NewMiniSite(t, wechatauth.WithRedis(redis.Pool()))
		ctx, code := context.Background(), s.Sim.WXLogin(authtest.MiniApp, authtest.Person(0))
		body, key := `{"code":"`+code+`"}`, singleflight.Key(authtest.MiniApp, "mini "+code)
		require.Equal(t, http.StatusOK, s.Request(http.MethodPost, "/wechat/mini/login", "", body).StatusCode)
		copied, found, err := marks.Mark(ctx, key)
		require.NoError(t, err)
		require.True(t, found)

		s.Clock.Advance(time.Minute + cookie.Skew + time.Second)
		require.NoError(t, marks.PutMark(ctx, key, []byte("claimed"), time.Hour))
		s.Wait = func(ctx context.Context, _ time.Duration) error { return marks.PutMark(ctx, key, copied, time.Hour) }
		got := s.Request(http.MethodPost, "/wechat/mini/login", "", body)
		assert.Equal(t, http.StatusUnauthorized, got.StatusCode)
		assert.NotContains(t, got.Text, session.BearerPrefix)
	})
}

// sent sends a GET with exactly this header, and follows no redirect.
func sent(s *authtest.Site, path, userAgent string, header http.Header, cookies ...*http.Cookie) authtest.Response {
	s.T.Helper()
	return sentBy(s, http.MethodGet, path, userAgent, header, cookies...)
}

// sentBy is sent with another method.
func sentBy(s *authtest.Site, method, path, userAgent string, header http.Header, cookies ...*http.Cookie) authtest.Response {
	s.T.Helper()
	r, err := http.NewRequest(method, s.Base.String()+path, nil)
	require.NoError(s.T, err)
	r.Header = header.Clone()
	r.Header.Set("User-Agent", userAgent)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	resp, err := s.Server.Client().Transport.RoundTrip(r)
	require.NoError(s.T, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(s.T, err)
	return authtest.Response{Response: resp, Text: string(body)}
}

// A fetched describes how a browser sends a request: the initiator's site, the
// destination, and whether it is speculative. A header whose field is empty is
// not sent.
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

// endpointsOf returns the endpoints below the path prefix, from the source.
func endpointsOf(t *testing.T) (names []string) {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(authtest.Root, "auth.go"))
	require.NoError(t, err)
	table := regexp.MustCompile(`(?s)\nvar methods = map\[string\]string\{\n(.*?)\n\}`).FindSubmatch(source)
	require.NotNil(t, table)
	for _, row := range regexp.MustCompile(`(?m)^\t"([^"]+)":`).FindAllSubmatch(table[1], -1) {
		names = append(names, string(row[1]))
	}
	require.ElementsMatch(t, authtest.Endpoints, names)
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

func TestGET(t *testing.T) {
	t.Run("T80 changes nothing unless it is a page visit", func(t *testing.T) {
		redis := redistest.Start(t)
		s := authtest.NewMiniSite(t, wechatauth.WithRedis(redis.Pool()), wechatauth.WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginScan}))
		withFile, err := verifyfile.Handler(s.Server.Config.Handler, map[string]string{"MP_verify_abcdefghijklmnop.txt": "abcdefghijklmnop"})
		require.NoError(t, err)
		s.Server.Config.Handler = withFile
		token := s.MiniLogin(authtest.Person(0))
		session := &http.Cookie{Name: s.SessionCookie(), Value: s.Session(authtest.AliceOpenID)}
		anyVisit := fetched.isVisit
		ownVisit := func(f fetched) bool { return f.isVisit() && (f.site == "none" || f.site == "same-origin") }
		never := func(fetched) bool { return false }
		enter := "" // unused so far
		all := map[string]struct {
			path           func() string
			userAgent      string
			get, head, own func(fetched) bool // a GET, a HEAD, and a GET of a logged-in user
		}{
			"login":          {func() string { return "/wechat/login?next=/a" }, wechattest.IPhone, anyVisit, anyVisit, never},
			"login again":    {func() string { return "/wechat/login?next=/a&again=1" }, wechattest.IPhone, anyVisit, anyVisit, ownVisit},
			"protected page": {func() string { return "/a" }, wechattest.IPhone, anyVisit, anyVisit, never},
			"scan":           {func() string { return "/wechat/scan?next=/a" }, authtest.ChromeWindows, anyVisit, never, never},
			"scan again":     {func() string { return "/wechat/scan?next=/a&again=1" }, authtest.ChromeWindows, anyVisit, never, ownVisit},
			"scan, waiting":  {func() string { return "/wechat/scan?next=/a&wait=1" }, authtest.ChromeWindows, never, never, never},
			"scan status":    {func() string { return "/wechat/scan/status" }, authtest.ChromeWindows, never, never, never},
			"phone's page":   {func() string { return "/wechat/scan/" + scan.TicketOf(flow.NewKey()) }, wechattest.IPhone, never, never, never},
			"callback": {func() string { return "/wechat/callback?code=" + flow.NewState() + "&state=" + flow.NewState() },
				wechattest.IPhone, never, never, never},
			"upgrade":     {func() string { return "/wechat/upgrade?next=/profile" }, wechattest.IPhone, never, never, never},
			"logout":      {func() string { return "/wechat/logout" }, wechattest.IPhone, never, never, never},
			"mini login":  {func() string { return "/wechat/mini/login" }, wechattest.IPhone, never, never, never},
			"mini ticket": {func() string { return "/wechat/mini/ticket" }, wechattest.IPhone, never, never, never},
			"verify file": {func() string { return "/MP_verify_abcdefghijklmnop.txt" }, wechattest.IPhone, never, never, never},
			"mini enter": {func() string {
				if enter == "" {
					enter = strings.TrimPrefix(s.Ticket(token, "/a"), s.Base.String())
				}
				return enter
			}, wechattest.AndroidMiniProgram, ownVisit, never, never},
		}
		requested := map[string]bool{}
		for name, c := range all {
			requested[strings.TrimPrefix(authtest.MustParse(t, c.path()).Path, "/wechat/")] = true
			t.Run(name, func(t *testing.T) {
				for _, f := range allFetched() {
					for _, by := range []struct {
						method  string
						may     func(fetched) bool
						cookies []*http.Cookie
					}{{http.MethodHead, c.head, nil}, {http.MethodGet, c.own, []*http.Cookie{session}}, {http.MethodGet, c.get, nil}} {
						path := c.path()
						before := redis.Do("KEYS", "*").([]any)
						got := sentBy(s, by.method, path, c.userAgent, f.header(), by.cookies...)
						changed := len(got.Header["Set-Cookie"]) > 0 || len(newKeys(redis, before)) > 0
						assert.Equal(t, by.may(f), changed, "%s %+v %v: %s", by.method, f, by.cookies, got.Status)
						if path == enter && got.StatusCode == http.StatusSeeOther {
							enter = ""
						}
					}
				}
			})
		}
		for _, endpoint := range endpointsOf(t) {
			assert.True(t, requested[endpoint], "no request for %s", endpoint)
		}
		assert.Contains(t, s.WebView().Visit(s.Ticket(token, "/a")).Text, "logged-in=true")
		assert.Contains(t, s.Holding(session.Name, session.Value).Visit("/a").Text, "logged-in=true")
	})

	// The same holds for pending logins: a callback with its code, and a QR
	// code that the phone of a logged-in user opens.
	t.Run("T80 finishes no pending login unless it is a page visit", func(t *testing.T) {
		s := authtest.NewScanSite(t)
		marks := store.New(s.Redis.Pool())
		phone := s.PhoneOf(authtest.Person(0))
		require.Contains(t, phone.Visit("/a").Text, "logged-in=true")
		var b *authtest.Browser
		callback, path, ticket := "", "", ""
		for _, f := range allFetched() {
			if callback == "" {
				b = s.Browser()
				callback = strings.TrimPrefix(b.Authorize("/a"), s.Base.String())
			}
			before := s.Exchanges()
			got := sent(s.Site, callback, wechattest.IPhone, f.header(), b.Client.Jar.Cookies(s.Base)...)
			spent := s.Exchanges() > before || len(got.Header["Set-Cookie"]) > 0
			inFrame := f.purpose == "" && slices.Contains([]string{"iframe", "frame", "embed", "object"}, f.dest) // as WeChat's QR code may be
			assert.Equal(t, f.isVisit() || inFrame, spent, "callback: %+v: %s", f, got.Status)
			if spent {
				callback = ""
			}

			if path == "" {
				var c scan.Cookie
				path, c = s.Show(s.Computer(), "/a")
				ticket = c.Ticket
			}
			got = sent(s.Site, path, wechattest.IPhone, f.header(), phone.Client.Jar.Cookies(s.Base)...)
			_, bound, err := marks.Mark(context.Background(), scan.Mark("by", ticket))
			require.NoError(t, err)
			assert.Equal(t, f.isVisit(), bound, "QR code: %+v: %s", f, got.Status)
			if bound {
				path = ""
			}
		}
	})
}

func TestWebViewTicket(t *testing.T) {
	t.Run("T80 unknown initiator needs a confirmation", func(t *testing.T) {
		s := authtest.NewMiniSite(t)
		token := s.MiniLogin(authtest.Person(0))
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
			"a service worker, for any initiator":          {wechattest.AndroidMiniProgram, worker, false, wechatauth.IsPageVisit(&http.Request{Method: http.MethodGet, Header: worker})},
		} {
			t.Run(name, func(t *testing.T) {
				enter := strings.TrimPrefix(s.Ticket(token, "/a"), s.Base.String())
				got := sent(s, enter, tt.userAgent, tt.header)
				assert.Equal(t, tt.enters, got.SetOf(s.SessionCookie()) != "", got.Status)
				assert.Equal(t, tt.shows, strings.Contains(got.Text, `<form method="post" action="/wechat/mini/enter?ticket=`))
				if !tt.enters {
					assert.Contains(t, s.WebView().Visit(enter).Text, "logged-in=true", "the ticket is unused")
				}
			})
		}
	})

	t.Run("T80 session of another user needs a confirmation", func(t *testing.T) {
		s := authtest.NewMiniSite(t)
		enter := s.Ticket(s.MiniLogin(authtest.Person(0)), "/a?b=c")
		view := s.WebView()
		view.SetCookie(s.SessionCookie(), s.Session(authtest.BobOpenID))
		asked := view.Step(enter)
		assert.Equal(t, http.StatusOK, asked.StatusCode)
		assert.Empty(t, asked.Header["Set-Cookie"])
		assert.Contains(t, view.Visit("/b").Text, authtest.BobOpenID)
		form := regexp.MustCompile(`action="([^"]+)"`).FindStringSubmatch(asked.Text)
		require.NotEmpty(t, form, asked.Text)

		for _, site := range []string{"cross-site", "same-site"} {
			forged := view.Do(view.Client, http.MethodPost, form[1], nil, http.Header{"Sec-Fetch-Site": {site}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}})
			assert.Equal(t, http.StatusForbidden, forged.StatusCode, site)
		}
		old := view.Do(view.Client, http.MethodPost, form[1], nil, http.Header{"Origin": {"https://evil.example"}})
		assert.Equal(t, http.StatusForbidden, old.StatusCode)
		assert.Contains(t, view.Visit("/b").Text, authtest.BobOpenID)

		assert.Contains(t, view.Post(form[1], url.Values{"next": {"/elsewhere"}}).Text, "url=/a?b=c logged-in=true openid="+wechattest.OpenID(authtest.MiniApp, authtest.Person(0)))
		assert.True(t, authtest.RefusedFor(view.Step(enter), wechatauth.ReasonCodeUsed))
		again := s.Ticket(s.MiniLogin(authtest.Person(0)), "/a")
		assert.Equal(t, http.StatusSeeOther, view.Step(again).StatusCode, "the same user sees no question")
	})

	// A page of the same host that was loaded by plain http may come from
	// anyone on the network. Browsers without Sec-Fetch headers show the scheme
	// only in Origin.
	t.Run("T80 form of a plain HTTP page", func(t *testing.T) {
		s := authtest.NewTLSSite(t, wechatauth.WithMiniProgram(authtest.MiniApp, wechattest.DefaultMiniProgramSecret))
		b := s.Browser()
		require.Contains(t, b.Visit("/a").Text, "logged-in=true")
		for _, path := range []string{"/wechat/logout", "/wechat/upgrade", "/wechat/mini/enter?ticket=" + flow.NewState()} {
			forged := b.Do(b.Client, http.MethodPost, path, nil, http.Header{"Origin": {"http://" + s.Base.Host}})
			assert.Equal(t, http.StatusForbidden, forged.StatusCode, path)
		}
		assert.Contains(t, b.Visit("/public").Text, "logged-in=true")
		own := b.Do(b.Client, http.MethodPost, "/wechat/logout", nil, http.Header{"Origin": {s.Base.String()}})
		assert.NotEqual(t, http.StatusForbidden, own.StatusCode)
		assert.Contains(t, b.Visit("/public").Text, "logged-in=false")
	})

	t.Run("T81 expires even if the store keeps it", func(t *testing.T) {
		redis := redistest.Start(t)
		s := authtest.NewMiniSite(t, wechatauth.WithRedis(redis.Pool()))
		enter := s.Ticket(s.MiniLogin(authtest.Person(0)), "/a")
		for _, key := range redis.Do("KEYS", "wechat:mark:*").([]any) {
			redis.Do("PERSIST", string(key.([]byte)))
		}
		s.Clock.Advance(time.Minute + cookie.Skew + 2*time.Second)
		assert.True(t, authtest.RefusedFor(s.WebView().Step(enter), wechatauth.ReasonCodeUsed))
	})

	t.Run("T81 use is remembered until it has expired", func(t *testing.T) {
		redis := redistest.Start(t)
		s := authtest.NewMiniSite(t, wechatauth.WithRedis(redis.Pool()))
		enter := s.Ticket(s.MiniLogin(authtest.Person(0)), "/a")
		before := redis.Do("KEYS", "*").([]any)
		require.Contains(t, s.WebView().Visit(enter).Text, "logged-in=true")
		longest := int64(0)
		for _, key := range newKeys(redis, before) {
			if strings.HasPrefix(key, "wechat:mark:") {
				longest = max(longest, redis.Do("PTTL", key).(int64))
			}
		}
		assert.Greater(t, longest, (time.Minute + cookie.Skew + cookie.Skew/2).Milliseconds())
	})
}

// A redisWriter is an attacker who can write to Redis. They know the source and
// have a login, but no key.
type redisWriter struct {
	*authtest.ScanSite
	marks  *store.Store
	dumped map[string][2]any // the value and the remaining time of each key

	session, token, enter, callback string
	pending                         []*http.Cookie // of the callback
	computer, number                string         // the cookie of a confirmed scan, and the number on the phone
}

func newWriter(t *testing.T, opts ...wechatauth.Option) *redisWriter {
	t.Helper()
	s := authtest.NewScanSite(t, append([]wechatauth.Option{wechatauth.WithMiniProgram(authtest.MiniApp, wechattest.DefaultMiniProgramSecret), wechatauth.WithTokens(0)}, opts...)...)
	s.Handle("/kept", func(w http.ResponseWriter, r *http.Request) {
		if secret, err := s.Auth.AccessToken(r.Context()); err == nil {
			_, _ = io.WriteString(w, secret.Reveal())
		}
		if m, err := s.Auth.MiniProgram(r.Context()); err == nil {
			for i := range 2 { // the user whose session_key it is
				signed := s.Sim.UserPayload(authtest.MiniApp, authtest.Person(i))
				if m.VerifySignature(r.Context(), signed.RawData, signed.Signature) == nil {
					fmt.Fprintf(w, "session_key of %s,", authtest.Person(i))
				}
			}
		}
	})
	s.Wait = func(context.Context, time.Duration) error { return context.DeadlineExceeded } // a lease that no callback holds
	return &redisWriter{ScanSite: s, marks: store.New(s.Redis.Pool())}
}

// logIn logs a person in by every channel and returns the values that only that
// person has.
func (x *redisWriter) logIn(i int) (secrets []string) {
	x.T.Helper()
	b := x.Browser()
	b.SetCookie("wechatsim_person", url.QueryEscape(authtest.Person(i)))
	x.callback = b.Authorize("/a")
	x.pending = b.Client.Jar.Cookies(x.Base)
	require.Contains(x.T, b.Visit(x.callback).Text, "logged-in=true")
	x.session = b.Cookie(x.SessionCookie()).Value
	x.token = x.MiniLogin(authtest.Person(i))
	x.enter = x.Ticket(x.token, "/a")
	computer := x.ScanSite.Computer()
	path, _ := x.Show(computer, "/a")
	x.Scan(b, path)
	x.number = x.Confirm(b, path)
	x.computer = computer.Cookie(x.Cookies.ScanName()).Value
	web := b.Visit("/kept").Text
	mini := x.Request(http.MethodGet, "/kept", x.token, "").Text
	require.NotEmpty(x.T, web)
	require.NotEmpty(x.T, mini)
	return []string{web, mini, wechattest.OpenID(wechattest.DefaultAppID, authtest.Person(i)), wechattest.OpenID(authtest.MiniApp, authtest.Person(i))}
}

// everywhere returns all pages that the last person who logged in sees.
func (x *redisWriter) everywhere() string {
	x.T.Helper()
	var all strings.Builder
	b := x.Browser()
	b.SetCookie(x.SessionCookie(), x.session)
	for _, path := range []string{"/public", "/kept"} {
		all.WriteString(b.Step(path).Text)
		all.WriteString(x.Request(http.MethodGet, path, x.token, "").Text)
	}
	back := x.Browser()
	back.Client.Jar.SetCookies(x.Base, x.pending)
	view := x.WebView()
	for b, url := range map[*authtest.Browser]string{back: x.callback, view: x.enter} {
		if b.Step(url).StatusCode == http.StatusSeeOther {
			all.WriteString(b.Step("/public").Text)
		}
	}
	return all.String() + x.scanned()
}

// scanned returns the page of a browser that the last person logs in with a QR
// code.
func (x *redisWriter) scanned() string {
	x.T.Helper()
	computer := x.ScanSite.Computer()
	computer.SetCookie(x.Cookies.ScanName(), x.computer)
	return computer.Enter("/a", x.number).Text
}

func (x *redisWriter) dump() {
	x.dumped = map[string][2]any{}
	for _, key := range x.Redis.Do("KEYS", "*").([]any) {
		name := string(key.([]byte))
		x.dumped[name] = [2]any{x.Redis.Do("DUMP", name), x.Redis.Do("PTTL", name)}
	}
}

// restore resets Redis to the earlier contents, with over in place of a key's
// own value.
func (x *redisWriter) restore() {
	x.Redis.Do("FLUSHALL")
	for key := range x.dumped {
		x.put(key, key)
	}
}

func (x *redisWriter) put(key, of string) {
	x.Redis.Do("RESTORE", key, max(x.dumped[of][1].(int64), 60_000), x.dumped[of][0], "REPLACE")
}

func TestRedisWriter(t *testing.T) {
	t.Run("T78 cannot become another user", func(t *testing.T) {
		x := newWriter(t, wechatauth.WithSessionEncryption(authtest.SessionKeyForTests))
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
			value, isText := x.Redis.Do("EVAL", "return redis.call('TYPE', KEYS[1]).ok == 'string' and redis.call('GET', KEYS[1])", 1, to).([]byte)
			for n := 0; isText && n < len(value); n += 1 + len(value)/7 {
				x.Redis.Do("SET", to, value[:n], "KEEPTTL")
				judge(to + " cut short")
				x.restore()
			}
		}
		assert.GreaterOrEqual(t, len(x.dumped), 2*(2+1+1+2+2+4), "for each of two: sessions, result, ticket, tokens and session_key, indexes, scan")
		t.Logf("kinds %v", slices.Sorted(maps.Keys(kinds)))
	})

	t.Run("T78 cannot choose a key", func(t *testing.T) {
		alice := wechatauth.Identity{AppID: authtest.MiniApp, OpenID: wechattest.OpenID(authtest.MiniApp, authtest.Person(0)), Channel: wechatauth.ChannelMiniProgram, LoginAt: time.Now()}
		text := authtest.EncodeIdentity(alice)
		const flowKey = "flow-key-for-tests-0123456789abcdefgh"
		for name, opts := range map[string][]wechatauth.Option{
			"sessions encrypted": {wechatauth.WithSessionEncryption(authtest.SessionKeyForTests)},
			"flow keys":          {wechatauth.WithFlowKeys([]byte(flowKey))},
			"neither":            nil,
		} {
			t.Run(name, func(t *testing.T) {
				x := newWriter(t, opts...)
				if name == "flow keys" {
					x.Cookies = x.Jar(x.AppID, flowKey, "/wechat/callback")
				}
				x.logIn(1)
				ctx := context.Background()
				ticket, code := flow.NewState(), flow.NewState()
				secrets := map[string][]byte{"the ticket": []byte(ticket), "the code": []byte(code), "a key that was made up": flow.NewKey(), "nothing": {}}
				if opts != nil {
					secrets["the AppSecret"] = []byte(wechattest.DefaultSecret)
				}
				plain, err := json.Marshal(map[string]any{"i": text, "r": "/public", "s": x.StoreKey(strings.TrimPrefix(x.token, session.BearerPrefix)), "t": x.Clock.Now().UnixMilli()})
				require.NoError(t, err)
				login, err := json.Marshal(map[string]any{"k": "chosen-by-the-writer", "e": x.Clock.Now().Add(time.Hour).Unix()})
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
							require.NoError(t, x.marks.PutMark(ctx, mini.Mark("enter", ticket), []byte(ring.Seal(plain, authtest.MiniApp)), time.Hour))
							assert.True(t, authtest.RefusedFor(x.WebView().Step("/wechat/mini/enter?ticket="+ticket), wechatauth.ReasonCodeUsed), whose)

							left, err := json.Marshal(map[string]any{"f": ring.Seal(login, singleflight.Key(authtest.MiniApp, "mini "+code))})
							require.NoError(t, err)
							require.NoError(t, x.marks.PutMark(ctx, singleflight.Key(authtest.MiniApp, "mini "+code), append([]byte{'o'}, left...), time.Hour))
							got := x.Request(http.MethodPost, "/wechat/mini/login", "", `{"code":"`+code+`"}`)
							assert.Equal(t, http.StatusUnauthorized, got.StatusCode, whose)
							assert.NotContains(t, got.Text, "chosen")
						}
					}
				}
			})
		}
	})
}
