package login

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/wechattest"
)

// A phone in a private network logs in over plain http at an IP address, every page
// says that the site is for trials, and so does the log.
func TestSandbox(t *testing.T) {
	const site, weChat = "192.168.77.20:8080", "192.168.77.20:8081"
	sim := wechattest.NewServer()
	t.Cleanup(sim.Close)
	logs := &authtest.Buffer{}
	auth, err := wechatauth.New(
		wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret),
		wechatauth.WithSandbox("192.168.77.20"), wechatauth.WithBaseURL("http://"+site),
		wechatauth.WithEndpoints(client.Endpoints{Open: "http://" + weChat, API: sim.URL}),
		wechatauth.WithLogger(slog.New(slog.NewTextHandler(logs, nil))),
		wechatauth.WithPages(func(w io.Writer, p wechatauth.Page) error {
			if p.Kind == wechatauth.PageLoggedOut {
				_, err := io.WriteString(w, `<!DOCTYPE html><html><BODY class="own"><h1>bye</h1></BODY></html>`)
				return err
			}
			return wechatauth.DefaultPages(w, p)
		}))
	require.NoError(t, err)
	assert.Contains(t, logs.String(), "WithSandbox: http://192.168.77.20:8080 is for trials in a private network")
	server := httptest.NewServer(auth.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := wechatauth.IdentityFromContext(r.Context())
		_, _ = io.WriteString(w, "openid "+id.OpenID)
	})))
	t.Cleanup(server.Close)

	// The network of the phone, which has these addresses. On plain http, browsers
	// send no Sec-Fetch headers.
	addresses := map[string]string{site: server.Listener.Addr().String(), weChat: strings.TrimPrefix(sim.URL, "http://")}
	wire := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addresses[addr])
	}}
	t.Cleanup(wire.CloseIdleConnections)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	phone := &http.Client{Jar: jar, Transport: wire}
	do := func(method, url string) (status int, text string) {
		r, err := http.NewRequest(method, url, nil)
		require.NoError(t, err)
		r.Header.Set("User-Agent", wechattest.Android)
		r.Header.Set("Accept", "text/html")
		r.Header.Set("Origin", "http://"+site)
		resp, err := phone.Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(body)
	}
	status, text := do(http.MethodGet, "http://"+site+"/a")
	assert.Equal(t, http.StatusOK, status, text)
	assert.True(t, strings.HasPrefix(text, "openid o"), text)
	assert.NotContains(t, text, "sandbox", "a page of the application")

	const banner = `<p class="sandbox" role="note">仅供测试，请勿使用真实账号。</p>`
	_, text = do(http.MethodGet, "http://"+site+"/wechat/callback?code=x&state=y")
	assert.Equal(t, 1, strings.Count(text, "<body>\n"+banner), text)
	_, text = do(http.MethodPost, "http://"+site+"/wechat/logout")
	assert.Contains(t, text, `<BODY class="own">`+"\n"+banner, "a page of the application's function")
}

func TestSandbox_invalid(t *testing.T) {
	for name, c := range map[string]struct {
		opts []wechatauth.Option
		want string
	}{
		"a public address":  {[]wechatauth.Option{wechatauth.WithSandbox("203.0.113.7"), wechatauth.WithBaseURL("http://203.0.113.7")}, `WithSandbox: "203.0.113.7" is no private IP address`},
		"a name":            {[]wechatauth.Option{wechatauth.WithSandbox("m.example.com"), wechatauth.WithBaseURL("http://m.example.com")}, `WithSandbox: "m.example.com" is no private IP address`},
		"nothing":           {[]wechatauth.Option{wechatauth.WithSandbox(""), wechatauth.WithBaseURL("https://m.example.com")}, `WithSandbox: "" is no private IP address`},
		"a metadata server": {[]wechatauth.Option{wechatauth.WithSandbox("169.254.169.254"), wechatauth.WithBaseURL("http://169.254.169.254")}, "is no private IP address"},
		"production":        {[]wechatauth.Option{wechatauth.WithSandbox("10.0.0.1"), wechatauth.WithBaseURL("https://m.example.com")}, "leave the option out in production"},
		"another address":   {[]wechatauth.Option{wechatauth.WithSandbox("10.0.0.1"), wechatauth.WithBaseURL("http://10.0.0.2:8080")}, "WithBaseURL: use https"},
		"no option":         {[]wechatauth.Option{wechatauth.WithBaseURL("http://10.0.0.1:8080")}, "WithBaseURL: use https"},
		"another WeChat":    {[]wechatauth.Option{wechatauth.WithBaseURL("https://m.example.com"), wechatauth.WithEndpoints(client.Endpoints{Open: "http://10.0.0.1"})}, "only WithSandbox allows"},
		"an API there":      {[]wechatauth.Option{wechatauth.WithSandbox("10.0.0.1"), wechatauth.WithBaseURL("http://10.0.0.1"), wechatauth.WithEndpoints(client.Endpoints{API: "http://10.0.0.1:1"})}, "Endpoints.API has an IP address of a private or special range"},
	} {
		_, err := wechatauth.New(append(c.opts, wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret))...)
		assert.ErrorContains(t, err, c.want, name)
	}
}
