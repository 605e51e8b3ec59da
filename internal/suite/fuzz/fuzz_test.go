package fuzz

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/internal/redact"
	"github.com/wechatauth/wechatauth/internal/returnto"
	"github.com/wechatauth/wechatauth/internal/returnto/returntotest"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// A fuzzGate is a gate without a network: its WeChat accepts every code.
type fuzzGate struct {
	*wechatauth.Auth
	handler   http.Handler
	sessions  *store.Memory
	clock     *authtest.Clock
	cookies   *flow.Jar // as an attacker with the AppSecret makes them
	began     time.Time
	exchanges atomic.Int64

	mu      sync.Mutex
	details []string // of log records
}

func newFuzzGate(f *testing.F) *fuzzGate {
	f.Helper()
	g := &fuzzGate{clock: authtest.NewClock()}
	g.began = g.clock.Now()
	g.sessions = store.NewMemory(store.WithClock(g.clock.Now))
	auth, err := wechatauth.New(
		wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret), wechatauth.WithBaseURL("https://app.example.com"), wechatauth.WithStore(g.sessions),
		wechatauth.WithHTTPClient(&http.Client{Transport: g}), wechatauth.WithLogger(slog.New(g)), wechatauth.WithClock(g.clock.Now))
	require.NoError(f, err)
	g.Auth = auth
	g.cookies = authtest.NewJar(f, authtest.MustParse(f, "https://app.example.com"), wechattest.DefaultAppID, wechattest.DefaultSecret, "/wechat/callback", g.clock.Now)
	mux := http.NewServeMux()
	mux.Handle("/public", auth.LoadWeChat(http.HandlerFunc(authtest.Echo)))
	mux.Handle("/", auth.RequireWeChat(http.HandlerFunc(authtest.Echo)))
	g.handler = mux
	return g
}

// RoundTrip responds as WeChat.
func (g *fuzzGate) RoundTrip(r *http.Request) (*http.Response, error) {
	g.exchanges.Add(1)
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{}, Request: r,
		Body: io.NopCloser(strings.NewReader(`{"access_token":"access-token-for-tests","expires_in":7200,"openid":"` + authtest.AliceOpenID + `","scope":"snsapi_base"}`)),
	}, nil
}

// Enabled, Handle, WithAttrs and WithGroup make it a slog.Handler.
func (g *fuzzGate) Enabled(context.Context, slog.Level) bool { return true }
func (g *fuzzGate) WithAttrs([]slog.Attr) slog.Handler       { return g }
func (g *fuzzGate) WithGroup(string) slog.Handler            { return g }
func (g *fuzzGate) Handle(_ context.Context, r slog.Record) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != "error" && a.Value.Kind() == slog.KindString {
			g.details = append(g.details, a.Value.String())
		}
		return true
	})
	return nil
}

// next advances the clock by two minutes, so that no input meets what an
// earlier one has stored; after half a day it starts over.
func (g *fuzzGate) next() {
	if g.clock.Advance(2 * time.Minute); g.clock.Now().Sub(g.began) > 12*time.Hour {
		g.clock.Advance(-12 * time.Hour)
	}
	g.exchanges.Store(0)
	g.mu.Lock()
	g.details = nil
	g.mu.Unlock()
}

func (g *fuzzGate) pending() flow.Flow {
	return flow.Flow{
		State: flow.NewState(), Target: "/orders?id=7", AppID: wechattest.DefaultAppID, Scope: client.ScopeBase,
		Channel: wechatauth.ChannelWeChat, IssuedAt: g.clock.Now().UnixMilli(), Key: flow.NewKey(),
	}
}

// page sends a request as a browser does, without the checks of a server.
func (g *fuzzGate) page(t *testing.T, target *url.URL, header http.Header) *httptest.ResponseRecorder {
	t.Helper()
	r := &http.Request{Method: http.MethodGet, URL: target, Host: "app.example.com", Header: http.Header{"Accept": {"text/html"}}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	for name, values := range header {
		r.Header[name] = values
	}
	if host, ok := header["Host"]; ok {
		r.Host = host[0]
		delete(r.Header, "Host")
	}
	w := httptest.NewRecorder()
	allocated := authtest.AllocatedBy(func() { g.handler.ServeHTTP(w, r) })
	assert.LessOrEqual(t, allocated, uint64(1<<20), "bytes for one response")
	g.check(t, w)
	return w
}

var printableASCII = regexp.MustCompile(`^[ -~]*$`)

// check asserts what holds for every response.
func (g *fuzzGate) check(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	assert.Less(t, w.Code, http.StatusInternalServerError)
	for name, values := range w.Header() {
		for _, value := range values {
			assert.Regexp(t, printableASCII, value, name)
		}
	}
	assert.LessOrEqual(t, len(w.Header()["Set-Cookie"]), 30)
	if body := w.Body.Bytes(); !bytes.HasPrefix(body, []byte("url=")) { // the handler's own response
		assert.True(t, utf8.Valid(body))
	}
	location := w.Header().Get("Location")
	if location != "" && !strings.HasPrefix(location, "https://open.weixin.qq.com/connect/oauth2/authorize?") {
		assert.Empty(t, faultsOf(strings.TrimPrefix(location, returntotest.Origin)))
	}
}

// checkLog asserts that values of a request are safe to log.
func (g *fuzzGate) checkLog(t *testing.T) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, detail := range g.details {
		assert.Regexp(t, printableASCII, strings.TrimSuffix(detail, "…"))
		assert.Less(t, len(detail), 1000)
	}
}

// faultsOf checks a Location of the site.
func faultsOf(location string) []string {
	base, _ := url.Parse(returntotest.Origin)
	return returntotest.Faults(location, "/wechat/", returnto.Site{Base: base, Prefix: "/wechat/", Endpoints: authtest.Endpoints}.Judge)
}

// An arbitrary cookie starts no login that was not started here, and ends none.
func FuzzFlowCookie(f *testing.F) {
	g := newFuzzGate(f)
	real := g.pending()
	sealed, err := g.cookies.Seal(real, "flow", g.cookies.CookieName(real.State))
	require.NoError(f, err)
	for _, value := range []string{
		"", "x", sealed, sealed[:40], sealed + "A", sealed + "=", `"` + sealed + `"`, strings.ToUpper(sealed), strings.Repeat("A", 5000), "%00", "a; b=c", "\x00\xff", "null",
	} {
		f.Add(value, []byte(`{"s":"STATE","r":"/a","a":"`+wechattest.DefaultAppID+`","p":"snsapi_base","c":"wechat","t":NOW,"k":"AAAAAAAAAAAAAAAAAAAAAA=="}`))
	}
	for _, plain := range []string{
		"", "null", "{}", "[]", `{"s":"STATE"}`, `{"s":"STATE","k":"AAAAAAAAAAAAAAAAAAAAAA=="}`, `{"s":"STATE","r":"//evil.example","a":"` + wechattest.DefaultAppID + `","t":NOW,"k":"AAAAAAAAAAAAAAAAAAAAAA=="}`,
		`{"s":"STATE","r":"\u0000","a":"x","t":9223372036854775807,"n":-1,"o":"x","k":"AAAAAAAAAAAAAAAAAAAAAA=="}`, `{"n":3,"t":NOW}`, `{"s":"STATE","i":"{\"v\":1,\"o\":\"x\"}","t":NOW,"k":"AAAAAAAAAAAAAAAAAAAAAA=="}`,
		strings.Repeat(`{"s":`, 500),
	} {
		f.Add("x", []byte(plain))
	}
	f.Fuzz(func(t *testing.T, value string, plain []byte) {
		g.next()
		fl := g.pending()
		callback := &url.URL{Path: "/wechat/callback", RawQuery: "code=code&state=" + fl.State}
		names := map[string]string{
			"flow": g.cookies.CookieName(fl.State), "trail": g.cookies.LoginCounterName(), "snapshot": g.cookies.SnapshotName(),
		}
		for _, name := range names {
			planted := http.Header{"Cookie": {name + "=" + value}}
			for _, target := range []*url.URL{callback, {Path: "/orders"}, {Path: "/wechat/login"}} {
				w := g.page(t, target, planted)
				assert.Empty(t, authtest.Response{Response: w.Result()}.SetOf(g.Sessions().Cookie.Name), "no user is logged in")
			}
		}
		assert.Zero(t, g.exchanges.Load(), "0 API")

		// The same holds for anything that another release may have sealed with
		// the real key.
		plain = bytes.ReplaceAll(plain, []byte("STATE"), []byte(fl.State))
		plain = bytes.ReplaceAll(plain, []byte("NOW"), strconv.AppendInt(nil, fl.IssuedAt, 10))
		for purpose, name := range names {
			own := http.Header{"Cookie": {name + "=" + g.cookies.Ring.Seal(plain, g.cookies.Place(purpose, name)...)}}
			g.page(t, callback, own)
			g.page(t, &url.URL{Path: "/orders"}, own)
			g.page(t, &url.URL{Path: "/wechat/login", RawQuery: "next=/a"}, own)
		}
	})
}

var stateForm = regexp.MustCompile(`^[A-Za-z0-9]{32}\z`)

// An arbitrary state either has our form and one meaning, or is invalid.
func FuzzState(f *testing.F) {
	g := newFuzzGate(f)
	for _, state := range []string{
		"", "null", "STATE", "abcdefghijklmnopqrstuvwxyz012345", "abcdefghijklmnopqrstuvwxyz01234", "abcdefghijklmnopqrstuvwxyz0123456", "abcdefghijklmnopqrstuvwxyz01234=",
		"abcdefghijklmnopqrstuvwxyz01234\n", strings.Repeat("\u212a", 32), strings.Repeat("0", 32), "../../../../../../../../../../..", strings.Repeat("a", 10_000), "\xff\xfe", "a&code=b",
	} {
		f.Add(state)
	}
	done := map[string]bool{} // logins that a repeated state would join
	f.Fuzz(func(t *testing.T, state string) {
		g.next()
		valid := stateForm.MatchString(state)
		assert.Equal(t, valid, flow.ValidState(state))
		query := "code=code&state=" + url.QueryEscape(state)
		fl := g.pending()
		name := g.cookies.CookieName(fl.State)
		if valid {
			name = g.cookies.CookieName(state)
			assert.NoError(t, (&http.Cookie{Name: name, Value: "x"}).Valid())
		}
		callback := &url.URL{Path: "/wechat/callback", RawQuery: query}
		w := g.page(t, callback, http.Header{"Cookie": {name + "=x"}})
		assert.Equal(t, valid, !strings.Contains(w.Body.String(), string(wechatauth.ReasonCallbackMalformed)))
		assert.Zero(t, g.exchanges.Load(), "0 API")
		if valid && !done[state] {
			done[state] = true
			fl.State = state
			sealed, err := g.cookies.Seal(fl, "flow", name)
			require.NoError(t, err)
			g.page(t, callback, http.Header{"Cookie": {name + "=" + sealed}})
			assert.Equal(t, int64(1), g.exchanges.Load(), "the login of this state")
		}
		assert.Regexp(t, stateForm, flow.NewState())
	})
}

var codeForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}\z`)

// exchangeable reports whether WeChat redirects with this query after the user
// has allowed the login of a state.
func exchangeable(query, state string) bool {
	values, err := url.ParseQuery(query)
	return err == nil && len(query) <= 8<<10 && slices.Equal(values["state"], []string{state}) && !values.Has("error") &&
		len(values["code"]) == 1 && codeForm.MatchString(values.Get("code")) && values.Get("code") != "authdeny"
}

// An arbitrary callback never reaches WeChat without the flow cookie of its
// state. With it, only the one code of a well-formed query does.
func FuzzCallback(f *testing.F) {
	g := newFuzzGate(f)
	for _, query := range []string{
		"code=code&state=STATE", "state=STATE", "state=STATE&code=authdeny", "error=access_denied&state=STATE", "code=&state=STATE", "code=a&code=b&state=STATE", "code=a&state=STATE&state=STATE",
		"code=a;state=STATE", "code=a%26secret=x&state=STATE", "code=../&state=STATE", "code=a&state=STATE%00", "code=a&state=STATE&x=%zz", "code[]=a&state=STATE", "", "&&&", "%", "code=a&state=STATE#",
		"code=" + strings.Repeat("c", 128) + "&state=STATE", "code=" + strings.Repeat("c", 129) + "&state=STATE", "code=a&state=STATE&" + strings.Repeat("x&", 4000),
	} {
		f.Add(query, "", true)
		f.Add(query, "session=x; a=b; ; =c; \"", false)
	}
	f.Fuzz(func(t *testing.T, query, cookies string, own bool) {
		g.next()
		fl := g.pending()
		name := g.cookies.CookieName(fl.State)
		query = strings.ReplaceAll(query, "STATE", fl.State)
		header := http.Header{"Cookie": {cookies}}
		if own {
			value, err := g.cookies.Seal(fl, "flow", name)
			require.NoError(t, err)
			header["Cookie"] = append(header["Cookie"], name+"="+value)
		}
		w := g.page(t, &url.URL{Path: "/wechat/callback", RawQuery: query}, header)

		if g.exchanges.Load() > 0 {
			assert.True(t, own && exchangeable(query, fl.State), "WeChat was called for %q", query)
			assert.Equal(t, int64(1), g.exchanges.Load())
		}
		if w.Code == http.StatusSeeOther {
			assert.Equal(t, "/orders?id=7", w.Header().Get("Location"))
			assert.Equal(t, int64(1), g.exchanges.Load(), "no login without WeChat's confirmation")
		}
		g.checkLog(t)
	})
}

// With arbitrary bytes in the store under a user's token, the user is logged in
// by a valid record or anonymous, and can always log in again.
func FuzzSessionRecord(f *testing.F) {
	g := newFuzzGate(f)
	good := aRecord(f, store.Codec{})
	plain := aRecord(f, scs.GobCodec{})
	for _, text := range []string{
		"2sy1nq8\no123\n\nb\nw", "20\n0", "2sy1nq8", "2sy1nq8\n", "2\no123", "3sy1nq8\no123", "2sy1nq8\no123\n\n\n\n\n\nz!", `{"v":1,"o":"o123"}`, "", "2", strings.Repeat("\n", 10_000),
	} {
		f.Add(good, uint16(0), text)
		f.Add(plain, uint16(100), text)
	}
	f.Add([]byte{0xfc, 0x7f, 0xff, 0xff, 0xff}, uint16(95), "")
	f.Add([]byte{}, uint16(0), "x")
	f.Add([]byte("garbage"), uint16(7), "x")
	token := strings.Repeat("A", session.TokenLength)
	f.Fuzz(func(t *testing.T, record []byte, at uint16, text string) {
		g.next()
		g.clock.Advance(g.began.Sub(g.clock.Now()))
		load := func(b []byte) string {
			require.NoError(t, g.sessions.Commit(session.HashToken(token), b, g.clock.Now().Add(time.Hour)))
			r := httptest.NewRequest(http.MethodGet, "https://app.example.com/public", nil)
			r.AddCookie(&http.Cookie{Name: g.Sessions().Cookie.Name, Value: token})
			w := httptest.NewRecorder()
			g.handler.ServeHTTP(w, r)
			require.Equal(t, http.StatusOK, w.Code)
			g.check(t, w)
			return w.Body.String()
		}
		if len(record) <= 1<<20 {
			// Arbitrary bytes may be scs's own records, which have no checksum.
			assert.LessOrEqual(t, authtest.AllocatedBy(func() { load(record) }), uint64(max(1<<20, 64*len(record))))
		}
		damaged := append([]byte(nil), good...)
		copy(damaged[int(at)%len(damaged):], record)
		for _, b := range [][]byte{damaged, good[:int(at)%len(good)]} {
			body := ""
			assert.LessOrEqual(t, authtest.AllocatedBy(func() { body = load(b) }), uint64(1<<20))
			if _, _, err := (store.Codec{}).Decode(b); err != nil {
				assert.Contains(t, body, "logged-in=false", "a damaged record has no user")
			}
		}

		_, err := identity.Decode(wechattest.DefaultAppID, text)
		b, encodeErr := store.Codec{}.Encode(g.clock.Now().Add(time.Hour), map[string]any{identity.Key(wechattest.DefaultAppID): text})
		require.NoError(t, encodeErr)
		if len(b) <= 1<<20 {
			assert.Equal(t, err == nil, strings.Contains(load(b), "logged-in=true"))
		}
	})
}

// Arbitrary header values are logged short and printable, and no response
// contains them.
func FuzzHeaderValues(f *testing.F) {
	g := newFuzzGate(f)
	for _, value := range []string{
		"", "app.example.com", "evil.example", "evil.example\r\nSet-Cookie: a=b", "app.example.com:443", "//evil.example", "<script>", "\x00\x1b[31m", "\u202e你好", strings.Repeat("a", 200),
		strings.Repeat("é", 60), "zh-CN,zh;q=0.9", "en;q=1.0000000000", "text/html", "a\tb", "\xff\xfe", "navigate", "[::1]:443", "@", "app.example.com.",
	} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		g.next()
		cleaned := redact.Clean(value)
		assert.LessOrEqual(t, len(cleaned), 100)
		assert.Regexp(t, printableASCII, cleaned)
		looping, err := g.cookies.Seal(flow.LoginCounter{Logins: flow.MaxLogins, At: g.clock.Now().UnixMilli()}, "trail", g.cookies.LoginCounterName())
		require.NoError(t, err)
		counted := g.cookies.LoginCounterName() + "=" + looping
		for _, name := range []string{"Host", "X-Forwarded-Host", "User-Agent", "Accept-Language", "Accept", "Referer", "Origin", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Purpose", "X-Requested-With", "Cookie"} {
			header := http.Header{"Cookie": {counted}}
			header[name] = append(header[name], value)
			for _, target := range []string{"/orders", "/wechat/callback"} {
				w := g.page(t, &url.URL{Path: target}, header)
				if len(value) > 16 {
					assert.NotContains(t, w.Body.String(), value, "%s at %s", name, target)
				}
			}
		}
		g.checkLog(t)
		for _, detail := range g.details {
			if len(value) > 100 {
				assert.NotContains(t, detail, value[:101])
			}
		}
		assert.Zero(t, g.exchanges.Load())
	})
}

// aRecord returns a session record with an identity in it.
func aRecord(f *testing.F, codec scs.Codec) []byte {
	f.Helper()
	b, err := codec.Encode(time.Unix(1_800_000_000, 0), map[string]any{
		"wechatauth.wx00000000000000a1": `{"v":1,"o":"` + authtest.AliceOpenID + `","s":"snsapi_base","c":"wechat","t":1700000000}`,
		"cart":                          []string{"book", "pen"}, "n": 3,
	})
	require.NoError(f, err)
	return b
}
