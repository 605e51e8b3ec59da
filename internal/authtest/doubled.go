package authtest

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/wechattest"
)

const (
	TokenEndpoint   = "/sns/oauth2/access_token"
	ProfileEndpoint = "/sns/userinfo"
	MiniEndpoint    = "/sns/jscode2session"
	RefreshEndpoint = "/sns/oauth2/refresh_token"
)

// A RoundTripper is a RoundTripper supplied by the application.
type RoundTripper func(*http.Request) (*http.Response, error)

func (f RoundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Instance returns another instance of the site, for the same users.
func (s *Site) Instance(opts ...wechatauth.Option) *wechatauth.Auth {
	s.T.Helper()
	a, err := wechatauth.New(append([]wechatauth.Option{
		wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret), wechatauth.WithBaseURL(s.Base.String()),
		wechatauth.WithEndpoints(s.Sim.Endpoints()), wechatauth.WithLogger(s.Log), wechatauth.WithClock(s.Clock.Now),
		WithWait(func(ctx context.Context, d time.Duration) error { return s.Wait(ctx, d) }),
	}, opts...)...)
	require.NoError(s.T, err)
	return a
}

// A Conn is a kept-alive connection for requests in sequence.
type Conn struct {
	conn net.Conn
	in   *bufio.Reader
}

func Dial(t *testing.T, address string) *Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return &Conn{conn, bufio.NewReader(conn)}
}

// Ask sends a request as it is, and returns nil if there is no response.
func (l *Conn) Ask(request string) *http.Response {
	if _, err := io.WriteString(l.conn, request); err != nil {
		return nil
	}
	resp, err := http.ReadResponse(l.in, nil)
	if err != nil {
		return nil
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp
}

// WaitOut returns a wait that takes no time: it advances the site's clock, and
// shortens what is left until the context's deadline.
func (s *Site) WaitOut() func(ctx context.Context, d time.Duration) error {
	var mu sync.Mutex
	waited := map[context.Context]time.Duration{}
	return func(ctx context.Context, d time.Duration) error {
		mu.Lock()
		defer mu.Unlock()
		waited[ctx] += d
		if end, ok := ctx.Deadline(); ok && time.Until(end) < waited[ctx] {
			return context.DeadlineExceeded
		}
		s.Clock.Advance(d)
		return ctx.Err()
	}
}

// TryStep is Step without an expected response. The connection is a new one:
// net/http repeats a request on a kept-alive connection that breaks.
func (b *Browser) TryStep(target string) error {
	still := http.Client{Jar: b.Client.Jar, Transport: &http.Transport{DisableKeepAlives: true}}
	still.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := still.Get(target)
	if err == nil {
		resp.Body.Close()
	}
	return err
}
