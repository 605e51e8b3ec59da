package wechatauth

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/wechattest"
)

// Tests that count allocations, or need many answers, call a handler directly.
// Times are measured by the module in bench.

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

// hello answers with the openid, as a handler of an application does.
func hello(w http.ResponseWriter, openID string) {
	w.Header()["Content-Type"] = []string{"text/plain; charset=utf-8"}
	_, _ = w.Write([]byte(openID))
}

// aGateWith is aGate with so many values in the session that no handler asks for.
func aGateWith(t testing.TB, values int, opts ...Option) (http.Handler, *http.Request) {
	t.Helper()
	a, err := New(append([]Option{
		WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret), WithBaseURL("https://app.example.com"),
		WithLogger(slog.New(slog.DiscardHandler)),
	}, opts...)...)
	require.NoError(t, err)
	ctx, err := a.Sessions().Load(context.Background(), "")
	require.NoError(t, err)
	a.Sessions().Put(ctx, identity.Key(wechattest.DefaultAppID), identity.Encode(identity.Identity{
		OpenID: aliceOpenID, UnionID: "oFakeUnionidForTests00000000",
		Scope: client.ScopeBase, Channel: ChannelWeChat, LoginAt: time.Now(),
	}))
	for n := range values {
		a.Sessions().Put(ctx, fmt.Sprint("value ", n), n)
	}
	token, _, err := a.Sessions().Commit(ctx)
	require.NoError(t, err)
	r := aRequest()
	r.AddCookie(&http.Cookie{Name: a.Sessions().Cookie.Name, Value: token})
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

// bare is a handler without any gate.
func bare() (http.Handler, *http.Request) {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { hello(w, aliceOpenID) }), aRequest()
}

func encodeIdentity(id Identity) string { return identity.Encode(identity.Identity(id)) }

// guarded is what stands in front of the session store of a manager.
type guarded interface {
	scs.IterableCtxStore
	DropCtx(ctx context.Context, key string) (bool, error)
	Unwrap() scs.Store
}

// guardOf returns what stands in front of the session store.
func guardOf(a *Auth) guarded { return a.Sessions().Store.(guarded) }

// closeNotifier is http.CloseNotifier, which is deprecated.
type closeNotifier interface{ CloseNotify() <-chan bool }
