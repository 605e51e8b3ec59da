package client

//lint:file-ignore SA1019 a caller's transport may still set Dial or DialTLS

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client/internal/api"
)

func TestNew_Errors(t *testing.T) {
	platform := func(context.Context) (Secret, error) { return NewSecret("t"), nil }
	for name, row := range map[string]struct {
		appID, secret string
		opts          []Option
		want          string
	}{
		"no AppID":                  {"", testSecret, nil, `client: AppID is empty; copy the one that begins with "wx" from WeChat's console`},
		"the original id":           {"gh_0123456789ab", testSecret, nil, `client: AppID is an original id (gh_...); copy the AppID, which begins with "wx"`},
		"an AppID with a newline":   {testAppID + "\n", testSecret, nil, "client: AppID must be 1 to 64 letters, digits, - or _, without spaces"},
		"an AppID of 65 bytes":      {strings.Repeat("w", 65), testSecret, nil, "client: AppID must be 1 to 64 letters, digits, - or _, without spaces"},
		"no AppSecret":              {testAppID, "", nil, "client: AppSecret is empty; copy it from WeChat's console"},
		"an AppSecret with a space": {testAppID, testSecret + " ", nil, "client: AppSecret contains a space, line break or non-ASCII character"},
		"an AppSecret with newline": {testAppID, testSecret + "\n", nil, "client: AppSecret contains a space, line break or non-ASCII character"},
		"a huge AppSecret":          {testAppID, strings.Repeat("s", 129), nil, "client: AppSecret is longer than 128 bytes"},
		"no timeout":                {testAppID, testSecret, []Option{WithTimeout(0)}, "client: WithTimeout: must be between 1ms and 1m"},
		"an hour's timeout":         {testAppID, testSecret, []Option{WithTimeout(time.Hour)}, "client: WithTimeout: must be between 1ms and 1m"},
		"a nil client":              {testAppID, testSecret, []Option{WithHTTPClient(nil)}, "client: WithHTTPClient: nil client"},
		"a nil transport":           {testAppID, testSecret, []Option{WithHTTPClient(&http.Client{Transport: (*http.Transport)(nil)})}, "client: WithHTTPClient: Transport is a nil *http.Transport"},
		"a custom TLS dialer": {testAppID, testSecret, []Option{WithHTTPClient(&http.Client{Transport: &http.Transport{DialTLSContext: (&tls.Dialer{}).DialContext}})},
			"client: WithHTTPClient: Transport sets DialTLSContext or DialTLS, for which TLS 1.2 cannot be enforced; use DialContext and TLSClientConfig"},
		"a custom DialTLS": {testAppID, testSecret, []Option{WithHTTPClient(&http.Client{Transport: &http.Transport{DialTLS: (&tls.Dialer{}).Dial}})},
			"client: WithHTTPClient: Transport sets DialTLSContext or DialTLS, for which TLS 1.2 cannot be enforced; use DialContext and TLSClientConfig"},
		"a nil source":                {testAppID, testSecret, []Option{WithAccountToken(nil)}, "client: WithAccountToken: nil source"},
		"a nil option":                {testAppID, testSecret, []Option{nil}, "client: nil Option"},
		"no platform AppID":           {testAppID, "", []Option{WithComponent("", platform)}, `client: WithComponent: AppID is empty; copy the one that begins with "wx" from WeChat's console`},
		"no platform token":           {testAppID, "", []Option{WithComponent("wx2", nil)}, "client: WithComponent: nil token function"},
		"the first error is returned": {testAppID, testSecret, []Option{WithTimeout(0), WithHTTPClient(nil)}, "client: WithTimeout: must be between 1ms and 1m"},
		"a bad endpoint":              {testAppID, testSecret, []Option{WithEndpoints(Endpoints{API: "http://api.example"})}, "client: Endpoints.API must use https: http is allowed only for loopback hosts"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(row.appID, row.secret, row.opts...)
			assert.EqualError(t, err, row.want)
		})
	}
}

func TestEndpoints_Defaults(t *testing.T) {
	c, err := New(testAppID, testSecret, WithEndpoints(Endpoints{Open: "https://sim.example/wx/"}))
	require.NoError(t, err)
	assert.Equal(t, Endpoints{Open: "https://sim.example/wx", API: "https://api.weixin.qq.com"}, c.endpoints)
}

func TestEndpoints_InvalidURLs(t *testing.T) {
	for _, good := range []string{
		"https://api.weixin.qq.com", "https://API.weixin.qq.com/", "https://a.example:8443", "https://a.example/p/q_1.0~x",
		"http://localhost", "http://LOCALHOST:8081", "http://127.0.0.1:1", "http://127.1.2.3:65535/x", "http://[::1]:80", "http://[::ffff:127.0.0.1]",
		"https://localhost", "https://203.0.113.7", "https://xn--fiqs8s.example", "https://api",
	} {
		_, err := api.BaseURL(good, "")
		assert.NoError(t, err, good)
	}
	for _, bad := range []string{
		"http://api.weixin.qq.com", "http://169.254.169.254", "https://169.254.169.254", "http://10.0.0.1", "https://10.0.0.1",
		"https://192.168.1.1", "https://172.16.0.1", "https://0.0.0.0", "http://0.0.0.0", "https://[::]", "https://[fe80::1]", "https://[fe80::1%25eth0]",
		"https://[fd00::1]", "https://224.0.0.1", "https://255.255.255.255", "https://[::ffff:10.0.0.1]",
		"https://2130706433", "https://0x7f000001", "https://017700000001", "https://127.1", "http://127.1", "https://1.2.3", "https://a.0x7f",
		"file:///etc/hostname", "gopher://a.example", "ftp://a.example", "javascript:alert(1)", "//a.example", "a.example", "/a", "https:a.example", "https:///a", "https://",
		"https://u:p@a.example", "https://u@a.example", "https://@a.example", "https://a.example/?x", "https://a.example?", "https://a.example/#f", "https://a.example#",
		`https://a.example\@evil.example`, "https://a.example:0", "https://a.example:99999", "https://a.example:", "https://a.example:x", "https://a.example:-1",
		"https://a.example/../b", "https://a.example/./b", "https://a.example//b", "https://a.example/%2e%2e/b", "https://a.example/a b", "https://a.example/a;b", "https://a.example//",
		"https://a..example", "https://.example", "https://a.example.", "https://-a.example", "https://a_b.example", "https://a*.example", "https://пример.example",
		"https://" + strings.Repeat("a", 64) + ".example", "https://" + strings.Repeat("a.", 127) + "example", " https://a.example", "https://a.example ", "https://a.example\n", "http://localhost.evil.example", "http://127.0.0.1.evil.example", "http://localhost.",
	} {
		_, err := api.BaseURL(bad, "")
		if assert.Error(t, err, bad) {
			assert.NotContains(t, err.Error(), "u:p")
			assert.NotContains(t, err.Error(), "\n")
		}
	}
}

func TestTransport_DefaultLimits(t *testing.T) {
	c, err := New(testAppID, testSecret)
	require.NoError(t, err)
	transport := c.transport.(*http.Transport)
	assert.Equal(t, 5*time.Second, c.timeout)
	assert.Equal(t, 3*time.Second, transport.TLSHandshakeTimeout)
	assert.Equal(t, 3*time.Second, transport.ResponseHeaderTimeout)
	assert.EqualValues(t, 64<<10, transport.MaxResponseHeaderBytes)
	assert.EqualValues(t, tls.VersionTLS12, transport.TLSClientConfig.MinVersion)
	assert.True(t, transport.DisableCompression)
	assert.False(t, transport.DisableKeepAlives)
}

func TestWithHTTPClient_Limits(t *testing.T) {
	yours := &http.Transport{MaxResponseHeaderBytes: 1 << 30, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS10, ServerName: "s"}}
	c, err := New(testAppID, testSecret, WithHTTPClient(&http.Client{Transport: yours}))
	require.NoError(t, err)
	transport := c.transport.(*http.Transport)
	assert.EqualValues(t, 64<<10, transport.MaxResponseHeaderBytes)
	assert.EqualValues(t, tls.VersionTLS12, transport.TLSClientConfig.MinVersion)
	assert.Equal(t, "s", transport.TLSClientConfig.ServerName)
	assert.True(t, transport.DisableCompression)
	assert.EqualValues(t, 1<<30, yours.MaxResponseHeaderBytes)
	assert.EqualValues(t, tls.VersionTLS10, yours.TLSClientConfig.MinVersion)
	assert.False(t, yours.DisableCompression)
	wider := http.DefaultTransport.(*http.Transport).Clone()
	wider.ResponseHeaderTimeout = time.Minute
	c, err = New(testAppID, testSecret, WithHTTPClient(&http.Client{Transport: wider}))
	require.NoError(t, err)
	transport = c.transport.(*http.Transport)
	assert.Equal(t, 3*time.Second, transport.TLSHandshakeTimeout)
	assert.Equal(t, 3*time.Second, transport.ResponseHeaderTimeout)
	assert.Equal(t, 10*time.Second, wider.TLSHandshakeTimeout)
	stricter := &http.Transport{MaxResponseHeaderBytes: 1024, ResponseHeaderTimeout: time.Second, TLSHandshakeTimeout: time.Second, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13}}
	c, err = New(testAppID, testSecret, WithHTTPClient(&http.Client{Transport: stricter}))
	require.NoError(t, err)
	transport = c.transport.(*http.Transport)
	assert.EqualValues(t, 1024, transport.MaxResponseHeaderBytes)
	assert.Equal(t, time.Second, transport.ResponseHeaderTimeout)
	assert.Equal(t, time.Second, transport.TLSHandshakeTimeout)
	assert.EqualValues(t, tls.VersionTLS13, transport.TLSClientConfig.MinVersion)
}

func TestWithHTTPClient_DialTimeout(t *testing.T) {
	for name, endpoint := range map[string]string{"plain": "http://localhost:1", "TLS": "https://localhost:1"} {
		for how, proxy := range map[string]func(*http.Request) (*url.URL, error){
			"direct":        nil,
			"through HTTP":  http.ProxyURL(&url.URL{Scheme: "http", Host: "localhost:2"}),
			"through HTTPS": http.ProxyURL(&url.URL{Scheme: "https", Host: "localhost:2"}),
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				calls := 0
				c, err := New(testAppID, testSecret, WithTimeout(time.Minute), WithEndpoints(Endpoints{API: endpoint}),
					WithHTTPClient(&http.Client{Transport: &http.Transport{Proxy: proxy, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
						calls++
						deadline, ok := ctx.Deadline()
						assert.True(t, ok)
						assert.LessOrEqual(t, time.Until(deadline), 2*time.Second)
						return nil, errors.New("no")
					}}}))
				require.NoError(t, err)
				_, err = c.Exchange(t.Context(), testCode)
				assert.Error(t, err)
				assert.Equal(t, 1, calls)
			})
		}
	}
}

func TestClient_Exchange_HTTP2(t *testing.T) {
	var protocol string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protocol = r.Proto
		_, _ = w.Write([]byte(tokenResponse))
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	c, err := New(testAppID, testSecret, WithEndpoints(Endpoints{API: server.URL}), WithHTTPClient(server.Client()))
	require.NoError(t, err)
	token, err := c.Exchange(t.Context(), testCode)
	require.NoError(t, err)
	assert.Equal(t, testOpenID, token.OpenID)
	assert.Equal(t, "HTTP/2.0", protocol)
}
