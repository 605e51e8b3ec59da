package authtest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/wechattest"
)

// A Blank is a reusable ResponseWriter, for tests that count allocations or
// need many responses. The module in bench measures times.
type Blank struct {
	Body   []byte
	Status int
	header http.Header
}

// NewBlank returns an empty Blank.
func NewBlank() *Blank { return &Blank{header: http.Header{}} }

// Header implements [http.ResponseWriter].
func (b *Blank) Header() http.Header { return b.header }

// WriteHeader implements [http.ResponseWriter].
func (b *Blank) WriteHeader(status int) { b.Status = status }

// Write implements [http.ResponseWriter].
func (b *Blank) Write(p []byte) (int, error) {
	b.Body = append(b.Body, p...)
	return len(p), nil
}

// Ask calls a handler with the same request again.
func (b *Blank) Ask(h http.Handler, r *http.Request) {
	clear(b.header)
	b.Body, b.Status = b.Body[:0], http.StatusOK
	h.ServeHTTP(b, r)
}

// NewGate returns a handler behind a login, without a server, and a request of
// a logged-in user. The handler responds with the openid.
func NewGate(t testing.TB, opts ...wechatauth.Option) (http.Handler, *http.Request) {
	t.Helper()
	return NewGateWith(t, 0, opts...)
}

// NewGateWith is [NewGate] with this number of values in the session, which no
// handler reads.
func NewGateWith(t testing.TB, values int, opts ...wechatauth.Option) (http.Handler, *http.Request) {
	t.Helper()
	a, err := wechatauth.New(append([]wechatauth.Option{
		wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret), wechatauth.WithBaseURL("https://app.example.com"),
		wechatauth.WithLogger(slog.New(slog.DiscardHandler)),
	}, opts...)...)
	require.NoError(t, err)
	ctx, err := a.Sessions().Load(context.Background(), "")
	require.NoError(t, err)
	a.Sessions().Put(ctx, identity.Key(wechattest.DefaultAppID), EncodeIdentity(wechatauth.Identity{
		OpenID: AliceOpenID, UnionID: "oFakeUnionidForTests00000000",
		Scope: client.ScopeBase, Channel: wechatauth.ChannelWeChat, LoginAt: time.Now(),
	}))
	for n := range values {
		a.Sessions().Put(ctx, fmt.Sprint("value ", n), n)
	}
	token, _, err := a.Sessions().Commit(ctx)
	require.NoError(t, err)
	r := PageRequest()
	r.AddCookie(&http.Cookie{Name: a.Sessions().Cookie.Name, Value: token})
	return a.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := wechatauth.IdentityFromContext(r.Context())
		hello(w, id.OpenID)
	})), r
}

// Bare returns a handler without a gate, and a request to it.
func Bare() (http.Handler, *http.Request) {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { hello(w, AliceOpenID) }), PageRequest()
}

// hello responds with the openid, as a handler of an application does.
func hello(w http.ResponseWriter, openID string) {
	w.Header()["Content-Type"] = []string{"text/plain; charset=utf-8"}
	_, _ = w.Write([]byte(openID))
}

// PageRequest returns a page visit from inside WeChat, to the site of
// [NewGate].
func PageRequest() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "https://app.example.com/orders?id=7", nil)
	r.Header.Set("User-Agent", wechattest.IPhone)
	r.Header.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
	r.Header.Set("Accept-Language", "zh-CN,zh-Hans;q=0.9")
	return r
}

// ScriptRequest returns a request of a page's script.
func ScriptRequest() *http.Request {
	r := PageRequest()
	r.Header.Set("Accept", "*/*")
	r.Header.Set("Sec-Fetch-Mode", "cors")
	r.Header.Set("Sec-Fetch-Dest", "empty")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return r
}
