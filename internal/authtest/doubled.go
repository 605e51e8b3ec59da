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

// RoundTripper is a RoundTripper of the application's own.
type RoundTripper func(*http.Request) (*http.Response, error)

func (f RoundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Instance is another instance of the site, for the same visitors.
func (s *Site) Instance(opts ...wechatauth.Option) *wechatauth.Auth {
	s.T.Helper()
	a, err := wechatauth.New(append([]wechatauth.Option{
		wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret), wechatauth.WithBaseURL(s.Base.String()),
		wechatauth.WithEndpoints(s.Sim.Endpoints()), wechatauth.WithLogger(s.Log), WithClock(s.Clock.Now),
		WithWait(func(ctx context.Context, d time.Duration) error { return s.Wait(ctx, d) }),
	}, opts...)...)
	require.NoError(s.T, err)
	return a
}

// Conn is a connection that is kept open, for one request after the other.
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

// Ask sends a request as it stands; nil if there is no answer.
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

// WaitOut returns a wait that takes no time: the site's clock goes on, and with
// it what is left until the context's deadline.
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

// TryStep is step where no answer is expected. The connection is a new one: a
// request on a kept one that dies is sent again by net/http.
func (b *Browser) TryStep(target string) error {
	still := http.Client{Jar: b.Client.Jar, Transport: &http.Transport{DisableKeepAlives: true}}
	still.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := still.Get(target)
	if err == nil {
		resp.Body.Close()
	}
	return err
}
