package leak

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/wechattest"
)

// A keySite is a leakSite whose application uses all methods of
// Auth.MiniProgram and prints every error.
type keySite struct {
	*leakSite
	app   *authtest.Browser // the mini program: no cookies
	token string            // the mini program's own

	broken bool // WeChat's responses hold brokenKey

	opened, stale, called atomic.Int64 // data, and phone numbers
	leak                  func(ctx context.Context, m *wechatauth.MiniProgram, w http.ResponseWriter)
}

func newKeySite(t *testing.T, patience time.Duration, opts ...wechatauth.Option) *keySite {
	t.Helper()
	x := &keySite{leakSite: newLeakSite(t, patience, opts...), leak: func(context.Context, *wechatauth.MiniProgram, http.ResponseWriter) {}}
	served := x.Server.Config.Handler
	mux := http.NewServeMux()
	mux.Handle("/", served)
	mux.Handle("/data", x.Auth.RequireWeChat(http.HandlerFunc(x.data)))
	x.Server.Config.Handler = mux
	x.app = x.person()
	x.app.Client.Jar = nil
	x.app.Header = http.Header{"Content-Type": {"application/json"}}
	return x
}

// data uses everything it is sent, and responds with and logs each error.
func (x *keySite) data(w http.ResponseWriter, r *http.Request) {
	m, err := x.Auth.MiniProgram(r.Context())
	if err != nil {
		x.report(w, err)
		return
	}
	x.sinks.spill("MiniProgram", m)
	x.sinks.spill("MiniProgram", *m)
	q := r.URL.Query()
	_, err = m.Decrypt(r.Context(), q.Get("data"), q.Get("iv"))
	x.report(w, err)
	count(&x.opened, err == nil)
	count(&x.stale, errors.Is(err, wechatauth.ErrSessionKeyStale))
	x.report(w, m.VerifySignature(r.Context(), q.Get("raw"), q.Get("sig")))
	if q.Has("phone") {
		_, err = m.PhoneNumber(r.Context(), q.Get("phone"))
		x.report(w, err)
		count(&x.called, err == nil)
	}
	x.leak(r.Context(), m, w)
}

func count(n *atomic.Int64, one bool) {
	if one {
		n.Add(1)
	}
}

func (x *keySite) report(w http.ResponseWriter, err error) {
	if err == nil {
		return
	}
	x.sinks.spill("errors", err)
	x.Log.Warn("mini program", "error", err)
	_, _ = fmt.Fprintf(w, "%v %+v %#v %q", err, err, err, err)
}

// login sends a code, twice, and keeps the token if there is one.
func (x *keySite) login() {
	code := x.Sim.WXLogin(authtest.MiniApp, "p")
	x.canaries.plant(theCode, code)
	for range 2 {
		x.open(x.app, http.MethodPost, "/wechat/mini/login", strings.NewReader(`{"code":"`+code+`"}`), nil)
	}
	if token := x.tokenOf(x.app); token != "" {
		x.token = token
	}
}

func (x *keySite) asApp() http.Header {
	return http.Header{"Authorization": {"Bearer " + session.BearerPrefix + x.token}}
}

// use requests the data that WeChat would give the mini program now, and the
// same damaged in each of its parts.
func (x *keySite) use() {
	p := x.Sim.UserPayload(authtest.MiniApp, "p")
	good := url.Values{"data": {p.EncryptedData}, "iv": {p.IV}, "raw": {p.RawData}, "sig": {p.Signature}, "phone": {x.Sim.GetPhoneNumber(authtest.MiniApp, "p")}}
	x.open(x.app, http.MethodGet, "/data?"+good.Encode(), nil, x.asApp())
	for part, wrong := range map[string]string{"data": p.EncryptedData[:40], "iv": "AAAA", "raw": p.RawData + " ", "sig": strings.Repeat("0", 40), "phone": "no-such-code"} {
		spoilt := url.Values{part: {wrong}}
		for name := range good {
			if name != part && name != "phone" {
				spoilt.Set(name, good.Get(name))
			}
		}
		x.open(x.app, http.MethodGet, "/data?"+spoilt.Encode(), nil, x.asApp())
	}
}

// live plays all of a mini program's login: made, used, expired, moved into a
// web-view, ended and revoked.
func (x *keySite) live() {
	x.login()
	x.open(x.app, http.MethodGet, "/api", nil, x.asApp())
	x.use()
	x.Sim.SetQuirk(wechattest.SessionKeyRotates, true)
	x.Sim.WXLogin(authtest.MiniApp, "p") // wx.login without a login here: the stored key is stale
	x.Sim.SetQuirk(wechattest.SessionKeyRotates, false)
	x.use()
	x.login()
	x.use()
	x.open(x.app, http.MethodPost, "/wechat/mini/ticket", strings.NewReader(`{"target":"/data"}`), x.asApp())
	x.open(x.app, http.MethodPost, "/wechat/mini/ticket", strings.NewReader(`{"target":`), x.asApp())
	webView := x.person().As(wechattest.AndroidMiniProgram)
	for range 2 {
		x.getAs(webView, "/wechat/mini/enter?ticket="+x.canaries.one(theTicket))
	}
	x.getAs(webView, "/data?data=a")
	x.script(webView, http.MethodGet, "/data?data=a")
	x.open(x.app, http.MethodPost, "/wechat/logout", nil, x.asApp())
	x.open(x.app, http.MethodGet, "/data", nil, x.asApp())
	x.login()
	_, err := x.Auth.RevokeUser(context.Background(), authtest.MiniApp, wechattest.OpenID(authtest.MiniApp, "p"))
	x.sinks.spillError("RevokeUser", err)
	x.open(x.app, http.MethodGet, "/data", nil, x.asApp())
}

// keyLeaks counts where a session_key can be read, as text or as the bytes it
// encodes, in every form that the scanner knows; and how many keys there were.
func (x *keySite) keyLeaks() (leaks, keys int) {
	x.T.Helper()
	x.finishRedis()
	stderr, err := os.ReadFile(os.Stderr.Name())
	require.NoError(x.T, err)
	x.sinks.add("stderr", string(stderr))
	x.sinks.add("printed", fmt.Sprintf("%v %+v %#v", x.Auth, x.Auth, *x.Auth))
	if x.redis != nil {
		if _, err := x.control.Do("PING"); err == nil {
			x.sinks.add("Redis", x.dumpAll())
		}
	}
	wanted := newCanaries()
	known := []string{}
	if x.broken {
		known = append(known, brokenKey)
	}
	for value, k := range x.canaries.values {
		if k == theKey && value != brokenKey {
			known = append(known, value)
		}
	}
	for _, value := range known {
		keys++
		wanted.plant(theKey, value, strings.ReplaceAll(value, "/", `\/`))
		if raw, err := base64.StdEncoding.DecodeString(value); err == nil {
			wanted.plant(theKey, string(raw))
		}
	}
	for _, s := range x.sinks.all() {
		for _, found := range wanted.hits(s.text) {
			if !strings.HasPrefix(found, string(theKey)) {
				continue // a forged line is another test's
			}
			leaks++
			x.T.Logf("%s in %s", found, s.sink)
		}
	}
	return leaks, keys
}

// dumpAll returns everything that a reader of Redis finds, whatever types its
// keys have.
func (x *keySite) dumpAll() string {
	var all bytes.Buffer
	reply, err := x.control.Do("KEYS", "*")
	require.NoError(x.T, err)
	for _, key := range reply.([]any) {
		dump, err := x.control.Do("DUMP", key)
		require.NoError(x.T, err)
		text, err := x.control.Do("GET", key)
		fmt.Fprintf(&all, "%s %s %s %v\n", key, dump, text, err)
	}
	return all.String()
}

const brokenKey = "Q0FOQVJZLWtleS0wMTIz" + "NA==" // what a broken response of WeChat holds

// brokenResponses are invalid responses of WeChat that hold a session_key.
var brokenResponses = map[string]string{
	"cut off":                     `{"session_key":"` + brokenKey + `","openid":`,
	"without an openid":           `{"session_key":"` + brokenKey + `"}`,
	"with an errcode":             `{"session_key":"` + brokenKey + `","openid":"o","errcode":40029,"errmsg":"` + brokenKey + `"}`,
	"with an unknown errcode":     `{"session_key":"` + brokenKey + `","errcode":"` + brokenKey + `"}`,
	"with a list":                 `{"session_key":["` + brokenKey + `"],"openid":"o"}`,
	"with a name":                 `{"session_key":{"` + brokenKey + `":1},"openid":"o"}`,
	"with the key for an openid":  `{"session_key":"` + brokenKey + `","openid":"` + brokenKey + `"}`,
	"with a key that is too long": `{"session_key":"` + brokenKey + brokenKey + `","openid":"o"}`,
	"nothing but the key":         brokenKey,
	"with something after it":     `{"session_key":"` + brokenKey + `","openid":"o"}` + brokenKey,
}

// keyFaults returns faults around a login of a mini program.
func keyFaults() map[string]func(t *testing.T) *keySite {
	in := func(patience time.Duration, before func(x *keySite), opts ...wechatauth.Option) func(t *testing.T) *keySite {
		return func(t *testing.T) *keySite {
			x := newKeySite(t, patience, opts...)
			before(x)
			return x
		}
	}
	afterLogin := func(f func(x *keySite)) func(x *keySite) {
		return func(x *keySite) { x.live(); x.login(); f(x) }
	}
	onLogin := func(f func(x *keySite)) func(x *keySite) {
		return func(x *keySite) { x.onLogin = func() { x.onLogin = func() {}; f(x) } }
	}
	all := map[string]func(t *testing.T) *keySite{
		"nothing":                       in(patienceForRedis, func(*keySite) {}),
		"sessions in memory":            in(0, func(*keySite) {}),
		"sessions that are encrypted":   in(patienceForRedis, func(*keySite) {}, wechatauth.WithSessionEncryption(authtest.SessionKeyForTests)),
		"a hook that rejects":           in(patienceForRedis, func(*keySite) {}, wechatauth.WithOnLogin(func(_ context.Context, id wechatauth.Identity) error { return fmt.Errorf("not %+v", id) })),
		"a user who is rejected":        in(patienceForRedis, func(*keySite) {}, wechatauth.WithAccessCheck(func(_ context.Context, id wechatauth.Identity) error { return fmt.Errorf("not %+v", id) }, 0)),
		"Redis down after the exchange": in(patienceForRedis, onLogin(func(x *keySite) { x.redis.Stop() })),
		"Redis down after the login":    in(patienceForRedis, afterLogin(func(x *keySite) { x.redis.Stop() })),
		"Redis frozen":                  in(30*time.Millisecond, onLogin(func(x *keySite) { x.redis.Freeze() })),
		"Redis full":                    in(patienceForRedis, onLogin(func(x *keySite) { x.do("CONFIG", "SET", "maxmemory", "1") })),
		"Redis with lists for marks":    in(patienceForRedis, afterLogin(func(x *keySite) { x.spoilKeys("wechat:*") })),
		"Redis with damaged marks": in(patienceForRedis, afterLogin(func(x *keySite) {
			x.do("EVAL", `for _, k in ipairs(redis.call("KEYS", "wechat:mark:*")) do redis.call("SET", k, "x" .. redis.call("GET", k), "EX", 60) end`, 0)
		})),
		"a store that saves nothing": in(0, onLogin(func(x *keySite) { x.store.ReadOnly.Store(true) })),
		"a store that fails":         in(0, afterLogin(func(x *keySite) { x.store.Down.Store(true) })),
	}
	for name, resp := range brokenResponses {
		all["a response "+name] = in(patienceForRedis, func(x *keySite) {
			x.broken = true
			x.Sim.Fail(authtest.MiniEndpoint, wechattest.Raw(200, "text/plain", resp), wechattest.Raw(502, "text/html", resp), wechattest.Raw(200, "application/json", resp))
		})
	}
	for name, fault := range map[string]wechattest.Fault{
		"half of a response": wechattest.Truncated(), "a reset after the work": wechattest.Reset().AfterProcessing(), "a used code": wechattest.Errcode(40163),
		"a blocked user": wechattest.Errcode(40226), "a wrong secret": wechattest.Errcode(40125), "a gateway": wechattest.BadGateway(),
	} {
		all[name] = in(patienceForRedis, func(x *keySite) { x.Sim.Fail(authtest.MiniEndpoint, fault) })
	}
	return all
}

func TestSessionKey_Leaks(t *testing.T) {
	leaks, keys, places := 0, 0, 0
	for name, start := range keyFaults() {
		t.Run(name, func(t *testing.T) {
			x := start(t)
			x.live()
			l, k := x.keyLeaks()
			assert.Zero(t, l)
			assert.Positive(t, k, "WeChat returned a key to search for")
			leaks, keys, places = leaks+l, keys+k, places+1
			if name == "nothing" {
				assert.EqualValues(t, 3, x.called.Load(), "phone numbers, which need no session_key")
				assert.Greater(t, x.opened.Load(), int64(2), "data")
				assert.Greater(t, x.stale.Load(), int64(2), "data of another key")
			}
		})
	}
	assert.Positive(t, keys)
	t.Logf("session-keys %d at %d fault points, session-key-leaks %d", keys, places, leaks)
}

// Without this test, the count could be 0 because nothing is searched.
func TestSessionKey_LeakIsCounted(t *testing.T) {
	leaks := map[string]func(x *keySite, key string, w http.ResponseWriter){
		"a response":          func(_ *keySite, key string, w http.ResponseWriter) { fmt.Fprint(w, key) },
		"its bytes in base64": func(_ *keySite, key string, w http.ResponseWriter) { fmt.Fprintf(w, "%x", key) },
		"a cookie": func(_ *keySite, key string, w http.ResponseWriter) {
			http.SetCookie(w, &http.Cookie{Name: "a", Value: url.QueryEscape(key)})
		},
		"a log record": func(x *keySite, key string, _ http.ResponseWriter) { x.Log.Info("a", "key", key) },
		"JSON": func(_ *keySite, key string, w http.ResponseWriter) {
			_ = json.NewEncoder(w).Encode(map[string]string{"k": key})
		},
		"an error": func(x *keySite, key string, w http.ResponseWriter) {
			x.sinks.spill("errors", fmt.Errorf("a: %w", errors.New(key)))
		},
		"its own bytes, in Redis": func(x *keySite, key string, _ http.ResponseWriter) {
			raw, _ := base64.StdEncoding.DecodeString(key)
			x.do("SET", "a", raw)
		},
	}
	for name, leak := range leaks {
		t.Run(name, func(t *testing.T) {
			x := newKeySite(t, patienceForRedis)
			x.leak = func(_ context.Context, _ *wechatauth.MiniProgram, w http.ResponseWriter) {
				key := x.canaries.one(theKey)
				if assert.NotEmpty(t, key) {
					leak(x, key, w)
				}
			}
			x.login()
			x.use()
			found, _ := x.keyLeaks()
			assert.Positive(t, found)
		})
	}
}
