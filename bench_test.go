package wechatauth

import (
	"context"
	"encoding/gob"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/alexedwards/scs/redisstore"
	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// blank is a ResponseWriter that is used again and again.
type blank struct {
	header http.Header
	body   []byte
	status int
}

func (b *blank) Header() http.Header { return b.header }
func (b *blank) WriteHeader(s int)   { b.status = s }
func (b *blank) Write(p []byte) (int, error) {
	b.body = append(b.body, p...)
	return len(p), nil
}

// ask lets a handler answer the same request again.
func (b *blank) ask(h http.Handler, r *http.Request) {
	clear(b.header)
	b.body, b.status = b.body[:0], http.StatusOK
	h.ServeHTTP(b, r)
}

// hello answers with the openid, as every handler of the benchmarks does.
func hello(w http.ResponseWriter, openID string) {
	w.Header()["Content-Type"] = []string{"text/plain; charset=utf-8"}
	_, _ = w.Write([]byte(openID))
}

// aGate is a gate with a logged-in session in its store, and the request of that
// visitor.
func aGate(t testing.TB, opts ...Option) (http.Handler, *http.Request) {
	t.Helper()
	return aGateWith(t, 0, opts...)
}

// aGateWith is aGate with so many values in the session that no handler asks for.
func aGateWith(t testing.TB, values int, opts ...Option) (http.Handler, *http.Request) {
	t.Helper()
	a, err := New(append([]Option{
		WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret), WithBaseURL("https://app.example.com"),
		WithLogger(slog.New(slog.DiscardHandler)),
	}, opts...)...)
	require.NoError(t, err)
	v, err := a.sessions.empty(context.Background())
	require.NoError(t, err)
	require.NoError(t, a.sessions.login(v, Identity{
		AppID: wechattest.DefaultAppID, OpenID: aliceOpenID, UnionID: "oFakeUnionidForTests00000000",
		Scope: client.ScopeBase, Channel: ChannelWeChat, LoginAt: time.Now(),
	}))
	for n := range values {
		a.Sessions().Put(v.ctx, fmt.Sprint("value ", n), n)
	}
	require.NoError(t, a.sessions.saveLogin(&blank{header: http.Header{}}, v))
	r := aRequest()
	r.AddCookie(&http.Cookie{Name: a.Sessions().Cookie.Name, Value: a.Sessions().Token(v.ctx)})
	return a.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := IdentityFromContext(r.Context())
		hello(w, id.OpenID)
	})), r
}

// aRequest is a page visit from inside WeChat.
func aRequest() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "https://app.example.com/orders?id=7", nil)
	r.Header.Set("User-Agent", wechattest.IPhone)
	r.Header.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
	r.Header.Set("Accept-Language", "zh-CN,zh-Hans;q=0.9")
	return r
}

// aScript is a request of a page's script.
func aScript() *http.Request {
	r := aRequest()
	r.Header.Set("Accept", "*/*")
	r.Header.Set("Sec-Fetch-Mode", "cors")
	r.Header.Set("Sec-Fetch-Dest", "empty")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return r
}

// bare is a handler without any gate.
func bare() (http.Handler, *http.Request) {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { hello(w, aliceOpenID) }), aRequest()
}

// scsAlone is an application that keeps the same identity in scs by itself.
func scsAlone(t testing.TB, s scs.Store) (http.Handler, *http.Request) {
	t.Helper()
	gob.Register(sameIdentity{})
	m := scs.New()
	m.Store = s
	ctx, err := m.Load(context.Background(), "")
	require.NoError(t, err)
	m.Put(ctx, "identity", sameIdentity{aliceOpenID, "oFakeUnionidForTests00000000", time.Now()})
	token, _, err := m.Commit(ctx)
	require.NoError(t, err)
	r := aRequest()
	r.AddCookie(&http.Cookie{Name: m.Cookie.Name, Value: token})
	return m.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := m.Get(r.Context(), "identity").(sameIdentity)
		hello(w, id.OpenID)
	})), r
}

// scsWithState is an application that notes the pending login of an anonymous
// visitor in a session of scs's.
func scsWithState(s scs.Store) (http.Handler, *http.Request) {
	m := scs.New()
	m.Store = s
	return m.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.Put(r.Context(), "state", newState())
		m.Put(r.Context(), "next", r.URL.RequestURI())
		w.Header().Set("Location", "https://open.weixin.qq.com/connect/oauth2/authorize?appid=wx")
		w.WriteHeader(http.StatusSeeOther)
	})), aRequest()
}

func run(b *testing.B, h http.Handler, r *http.Request) {
	b.Helper()
	w := &blank{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		w.ask(h, r)
	}
}

func BenchmarkAuthenticatedInMemory(b *testing.B) {
	b.Run("bare", func(b *testing.B) { h, r := bare(); run(b, h, r) })
	b.Run("scs", func(b *testing.B) { h, r := scsAlone(b, memstore.New()); run(b, h, r) })
	b.Run("ours", func(b *testing.B) { h, r := aGate(b); run(b, h, r) })
	b.Run("ours-idle", func(b *testing.B) { h, r := aGate(b, WithIdleTimeout(time.Hour)); run(b, h, r) })
}

func BenchmarkAuthenticatedInRedis(b *testing.B) {
	server := redistest.Start(b)
	pool := server.Pool()
	b.Run("get", func(b *testing.B) {
		key := "scs:session:" + server.URL()
		record := aRecord(b, Codec{})
		server.Do("SET", key, record)
		b.ReportAllocs()
		for b.Loop() {
			conn := pool.Get()
			_, err := redis.Bytes(conn.Do("GET", key))
			require.NoError(b, err)
			_ = conn.Close()
		}
	})
	b.Run("scs", func(b *testing.B) { h, r := scsAlone(b, redisstore.New(pool)); run(b, h, r) })
	b.Run("ours", func(b *testing.B) { h, r := aGate(b, WithRedis(pool)); run(b, h, r) })
	b.Run("ours-idle", func(b *testing.B) {
		h, r := aGate(b, WithRedis(pool), WithIdleTimeout(time.Hour))
		run(b, h, r)
	})
	b.Run("store", func(b *testing.B) {
		s := store.New(pool)
		_, r := aGate(b, WithStore(s))
		token := r.Cookies()[0].Value
		b.ReportAllocs()
		for b.Loop() {
			_, _, _ = s.FindCtx(r.Context(), token)
		}
	})
}

func BenchmarkAnonymous(b *testing.B) {
	server := redistest.Start(b)
	b.Run("page-scs", func(b *testing.B) { h, r := scsWithState(redisstore.New(server.Pool())); run(b, h, r) })
	b.Run("page-ours", func(b *testing.B) { h, _ := aGate(b, WithRedis(server.Pool())); run(b, h, aRequest()) })
	h, _ := aGate(b, WithRedis(server.Pool()))
	w := &blank{header: http.Header{}}
	w.ask(h, aScript())
	body, header := append([]byte(nil), w.body...), w.header.Clone()
	b.Run("script-bare", func(b *testing.B) {
		run(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for name, values := range header {
				w.Header().Set(name, values[0])
			}
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write(body)
		}), aScript())
	})
	b.Run("script-ours", func(b *testing.B) { run(b, h, aScript()) })
}
