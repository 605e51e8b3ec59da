package wechatauth

import (
	"crypto/cipher"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
)

// Floods: what a request may cost that nobody has logged in for.

// Sizes at which something is refused: one byte less, the limit, one more, and
// a megabyte. Nothing above a limit reaches WeChat or breaks a login.
func TestT58_EveryParameterHasALimitAndALoginSurvivesIt(t *testing.T) {
	t.Run("code", func(t *testing.T) {
		s := newSite(t)
		for n, want := range map[int]int{1: 303, maxCodeBytes - 1: 303, maxCodeBytes: 303, maxCodeBytes + 1: 400, 4096: 400} {
			f := s.pending("/a")
			if want == 303 {
				s.grant(1)
			}
			got := s.wire(http.MethodGet, callbackOf(f, strings.Repeat("c", n)), pageHeader, cookieHeader(s.flowCookie(f)))
			assert.Equal(t, want, got.StatusCode, "%d", n)
		}
		assert.Equal(t, 3, s.exchanges())
	})
	t.Run("callback query", func(t *testing.T) {
		s := newSite(t)
		for extra, want := range map[int]int{-1: 303, 0: 303, 1: 400, 500_000: 400} {
			f := s.pending("/a")
			query := strings.TrimPrefix(callbackOf(f, "code"), "/wechat/callback?") + "&x="
			if want == 303 {
				s.grant(1)
			}
			got := s.wire(http.MethodGet, "/wechat/callback?"+query+strings.Repeat("a", maxQueryBytes-len(query)+extra), pageHeader, cookieHeader(s.flowCookie(f)))
			assert.Equal(t, want, got.StatusCode, "%d", extra)
		}
		assert.Equal(t, 2, s.exchanges())
	})
	t.Run("return target", func(t *testing.T) {
		s := newSite(t)
		for n, want := range map[int]string{maxReturnTarget - 1: "itself", maxReturnTarget: "itself", maxReturnTarget + 1: "/", 500_000: "/"} {
			target := "/" + strings.Repeat("a", n-1)
			if want == "itself" {
				want = target
			}
			begun := s.wire(http.MethodGet, "/wechat/login?next="+target, pageHeader)
			assert.Equal(t, want, s.loginOf(begun).Header.Get("Location"), "%d", n)
			begun = s.wire(http.MethodGet, target, pageHeader)
			assert.Equal(t, want, s.loginOf(begun).Header.Get("Location"), "%d", n)
		}
	})
	t.Run("return target that takes room where it is sealed", func(t *testing.T) {
		s := newSite(t)
		for name, c := range map[string]struct{ target, want string }{
			"ampersands":   {"/?" + strings.Repeat("&", maxReturnTarget-2), ""},
			"brackets":     {"/?" + strings.Repeat("<>", maxReturnTarget/2-1), ""},
			"a few quotes": {`/?"a"="b"&` + strings.Repeat("c", 1500), ""},
			"all quotes":   {"/?" + strings.Repeat(`"`, maxReturnTarget-2), "/"},
		} {
			if c.want == "" {
				c.want = c.target
			}
			begun := s.wire(http.MethodGet, c.target, pageHeader)
			require.Len(t, begun.flowCookies(), 1, name)
			cookie := begun.flowCookies()[0]
			assert.LessOrEqual(t, len(cookie.Name)+len(cookie.Value), maxFlowBytes, "%s: browsers drop a larger cookie", name)
			assert.Equal(t, c.want, s.loginOf(begun).Header.Get("Location"), name)
		}
	})
	t.Run("ticket of a login that could not be saved", func(t *testing.T) {
		s := newSite(t)
		f := s.pending("/" + strings.Repeat("a", maxReturnTarget-1))
		w := cookieWriter{}
		require.NoError(t, s.auth.cookies.putTicket(w, f, Identity{
			AppID: f.AppID, OpenID: aliceOpenID, Scope: client.ScopeUserInfo, Channel: ChannelWeChat,
			Nickname: strings.Repeat("🌿", 128), AvatarURL: "https://thirdwx.qlogo.cn/" + strings.Repeat("a", 999),
		}))
		cookie := (&http.Response{Header: w.Header()}).Cookies()[0]
		assert.LessOrEqual(t, len(cookie.Name)+len(cookie.Value), maxFlowBytes)
		got := s.wire(http.MethodGet, "/b", pageHeader, cookieHeader(cookie))
		assert.NotEmpty(t, got.setOf(s.sessionCookie()), "it still is a login")
	})
	t.Run("logout form", func(t *testing.T) {
		s := newSite(t)
		for n, want := range map[int]int{maxFormBytes: 303, maxFormBytes + 1: 400, 1 << 20: 400} {
			body := "next=/public&x=" + strings.Repeat("a", n-len("next=/public&x="))
			got := s.wireLines("POST /wechat/logout HTTP/1.1", "Host: "+s.auth.base.Host, "Connection: close", "Sec-Fetch-Site: same-origin",
				"Content-Type: application/x-www-form-urlencoded", fmt.Sprint("Content-Length: ", len(body)), "", body)
			assert.Equal(t, want, got.StatusCode, "%d", n)
		}
	})
}

// loginOf finishes a login that an answer began, and returns the answer to the
// callback.
func (s *site) loginOf(begun answer) answer {
	s.t.Helper()
	require.Equal(s.t, http.StatusSeeOther, begun.StatusCode, begun.body)
	cookies := begun.flowCookies()
	require.Len(s.t, cookies, 1)
	back := s.browser().step(begun.Header.Get("Location"))
	require.Equal(s.t, http.StatusFound, back.StatusCode, back.body)
	return s.wire(http.MethodGet, strings.TrimPrefix(back.Header.Get("Location"), s.auth.base.String()), pageHeader, cookieHeader(cookies...))
}

// countedAEAD counts how often something is opened.
type countedAEAD struct {
	cipher.AEAD
	opens, bytes *atomic.Int64
}

func (c countedAEAD) Open(dst, nonce, ciphertext, additionalData []byte) ([]byte, error) {
	c.opens.Add(1)
	c.bytes.Add(int64(len(ciphertext)))
	return c.AEAD.Open(dst, nonce, ciphertext, additionalData)
}

// countOpens counts the decryptions of the site's cookies, and their bytes.
func (s *site) countOpens() (opens, bytes *atomic.Int64) {
	opens, bytes = new(atomic.Int64), new(atomic.Int64)
	k := &s.auth.cookies.ring.keys[0]
	k.aead = countedAEAD{k.aead, opens, bytes}
	return opens, bytes
}

func TestT59_ACookieFloodCostsEightDecryptionsOfEachKindAtMost(t *testing.T) {
	s := newSite(t)
	s.server.Config.MaxHeaderBytes = 8 << 20
	f := s.pending("/a")
	real := s.flowCookie(s.pending("/b"))
	opens, size := s.countOpens()
	flood := func(n int, name func(i int) string, value string) string {
		var b strings.Builder
		b.WriteString("Cookie: ")
		for i := range n {
			fmt.Fprintf(&b, "%s=%s; ", name(i), value)
		}
		return strings.TrimSuffix(b.String(), "; ")
	}
	state := func(i int) string { return fmt.Sprintf("wechat_flow_%016d", i) }
	own := func(int) string { return s.auth.cookies.flowCookieName(f.State) }
	long := real.Value + strings.Repeat("A", 100_000)
	cases := map[string]struct {
		target, cookies string
		status          int
	}{
		"10,000 of the callback's own name":     {callbackOf(f, "code"), flood(10_000, own, real.Value), 400},
		"2,900 of the callback's own name":      {callbackOf(f, "code"), flood(2_900, own, real.Value), 400},
		"2,900 pending logins at a page visit":  {"/a", flood(2_900, state, real.Value), 303},
		"2,900 pending logins at the login":     {"/wechat/login", flood(2_900, state, real.Value), 303},
		"2,900 trails":                          {"/a", flood(2_900, func(int) string { return "wechat_trail" }, real.Value), 303},
		"2,900 tickets":                         {"/a", flood(2_900, func(int) string { return "wechat_ticket" }, real.Value), 303},
		"2,900 snapshot marks":                  {"/a", flood(2_900, func(int) string { return "wechat_snapshot" }, real.Value), 303},
		"a pending login of 100 KB":             {callbackOf(f, "code"), flood(1, own, long), 400},
		"eight trails of 100 KB":                {"/a", flood(8, func(int) string { return "wechat_trail" }, long), 303},
		"eight tickets of 100 KB":               {"/a", flood(8, func(int) string { return "wechat_ticket" }, long), 303},
		"eight snapshot marks of 100 KB":        {"/a", flood(8, func(int) string { return "wechat_snapshot" }, long), 303},
		"names of ours with a megabyte of name": {"/a", flood(1, func(int) string { return "wechat_flow_" + strings.Repeat("x", 1<<20) }, "x"), 303},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			opens.Store(0)
			size.Store(0)
			got := s.wire(http.MethodGet, c.target, pageHeader, c.cookies)
			assert.Equal(t, c.status, got.StatusCode)
			assert.LessOrEqual(t, opens.Load(), int64(maxFlowsOpened))
			assert.LessOrEqual(t, size.Load(), int64(maxFlowsOpened*maxFlowBytes))
			assert.LessOrEqual(t, len(got.Header["Set-Cookie"]), 30, "the answer does not grow with the flood")
			answered := 0
			for _, line := range got.Header["Set-Cookie"] {
				answered += len(line)
			}
			assert.Less(t, answered, 8<<10, "a proxy in front takes the answer")
		})
	}
	assert.Zero(t, s.exchanges())
}

// quietGate is a gate for floods: it logs nothing below a warning.
func (s *site) quietGate(opts ...Option) http.Handler {
	a := s.instance(append([]Option{WithLogger(slog.New(slog.DiscardHandler))}, opts...)...)
	return a.RequireScope(client.ScopeBase)(http.HandlerFunc(echo))
}

// hit asks a handler without a network, for floods of a hundred thousand.
func hit(h http.Handler, target string, header http.Header) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Header = header
	h.ServeHTTP(w, r)
	return w
}
