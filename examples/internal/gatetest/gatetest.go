// Package gatetest serves an application behind the middleware to tests, over
// HTTP/1.1 and over HTTP/2.
package gatetest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/wechattest"
)

// A Site is an application behind LoadWeChat on a real server.
type Site struct {
	*httptest.Server
	t *testing.T
}

// Serve starts the application that app returns, behind LoadWeChat. app puts
// its values into the session before it writes.
func Serve(t *testing.T, http2 bool, app func(auth *wechatauth.Auth) http.Handler) *Site {
	t.Helper()
	sim := wechattest.NewServer()
	server := httptest.NewUnstartedServer(nil)
	scheme := "http://"
	if http2 {
		scheme, server.EnableHTTP2 = "https://", true
	}
	auth, err := wechatauth.New(
		wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret),
		wechatauth.WithBaseURL(scheme+server.Listener.Addr().String()),
		wechatauth.WithEndpoints(sim.Endpoints()),
	)
	require.NoError(t, err)
	server.Config.Handler = auth.LoadWeChat(app(auth))
	if http2 {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(func() { server.Close(); sim.Close() })
	return &Site{server, t}
}

// Get returns the body of a page, whose response must contain the session
// cookie.
func (s *Site) Get(path string) string {
	s.t.Helper()
	resp, err := s.Client().Get(s.URL + path)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	assert.Equal(s.t, http.StatusOK, resp.StatusCode, path)
	assert.Len(s.t, resp.Cookies(), 1, "%s: the session is saved before the response begins", path)
	return string(body)
}

// Hijacked sends a request whose handler hijacks the connection, and returns
// what it receives.
func (s *Site) Hijacked(path string) string {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	require.NoError(s.t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, s.Listener.Addr())
	require.NoError(s.t, err)
	line, err := bufio.NewReader(conn).ReadString('\n')
	require.NoError(s.t, err)
	return line
}

// TakeOver writes a line to a hijacked connection and closes it.
func TakeOver(conn net.Conn, buf *bufio.ReadWriter, err error) {
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = buf.WriteString("taken over\n")
	_ = buf.Flush()
}
