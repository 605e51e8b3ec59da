package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/wechattest"
)

// TestMain runs main if a test starts this binary as the real program.
func TestMain(m *testing.M) {
	if os.Getenv("QUICKSTART_TEST_MAIN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// patience bounds every wait, so that a hung test ends with an explanation. A
// passing run never waits that long.
const patience = time.Minute

var (
	freePorts = []string{"-addr", "127.0.0.1:0", "-sim-addr", "127.0.0.1:0"}
	openLine  = regexp.MustCompile(`^Open (http://127\.0\.0\.1:\d+) \(WeChat simulator: (http://127\.0\.0\.1:\d+)\)\n$`)
)

// program is a call of run in this process.
type program struct {
	t    *testing.T
	line string // the first line printed
	stop context.CancelFunc
	done chan struct{} // closed when it has ended
	err  error         // the error it ended with
}

func start(t *testing.T, env map[string]string, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p := &program{t: t, stop: cancel, done: make(chan struct{})}
	out, in := io.Pipe()
	logs := &syncBuffer{}
	go func() {
		defer close(p.done)
		p.err = run(ctx, args, func(name string) string { return env[name] }, in, logs)
		in.Close()
	}()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, p.await())
		if t.Failed() {
			t.Logf("log:\n%s", logs)
		}
	})
	var err error
	p.line, err = bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err, logs.String())
	return p
}

// startSimulated starts the program with a WeChat simulator on free ports.
func startSimulated(t *testing.T, args ...string) (site, sim string, p *program) {
	t.Helper()
	p = start(t, nil, append(args, freePorts...)...)
	found := openLine.FindStringSubmatch(p.line)
	require.NotNil(t, found, p.line)
	return found[1], found[2], p
}

func (p *program) await() error {
	p.t.Helper()
	select {
	case <-p.done:
		return p.err
	case <-time.After(patience):
		return errors.New("the program did not stop")
	}
}

// curl returns a client that behaves like `curl -L -b jar -A
// "…MicroMessenger…"`.
func curl(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: curlHeaders{transport}}
}

type curlHeaders struct{ http.RoundTripper }

func (c curlHeaders) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header = http.Header{"User-Agent": {wechattest.IPhone}, "Accept": {"*/*"}, "Cookie": r.Header["Cookie"]}
	return c.RoundTripper.RoundTrip(r)
}

func get(t *testing.T, c *http.Client, url string) (*http.Response, string) {
	t.Helper()
	resp, err := c.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(body)
}

var openID = wechattest.OpenID(wechattest.DefaultAppID, wechattest.DefaultPeople()[0].Name)

func TestCurl(t *testing.T) {
	site, _, _ := startSimulated(t)
	client := curl(t)

	resp, body := get(t, client, site+"/")
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.Equal(t, site+"/", resp.Request.URL.String())
	assert.Contains(t, body, openID)

	resp, body = get(t, client, site+"/api/me")
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	var me map[string]string
	require.NoError(t, json.Unmarshal([]byte(body), &me))
	assert.Equal(t, map[string]string{
		"appid": wechattest.DefaultAppID, "openid": openID, "unionid": "", "scope": "snsapi_base", "nickname": "",
	}, me)
}

func TestAPI_Unauthenticated(t *testing.T) {
	site, _, _ := startSimulated(t)

	resp, body := get(t, curl(t), site+"/api/me")
	assert.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	assert.Equal(t, "application/json; charset=utf-8", resp.Header.Get("Content-Type"))
	assert.Empty(t, resp.Header.Values("Set-Cookie"))
	assert.JSONEq(t, `{"error":"login_required","reason":"no_session","login_url":"`+site+`/wechat/login"}`, body)
}

func TestPublicPage(t *testing.T) {
	site, _, _ := startSimulated(t)
	client := curl(t)

	resp, body := get(t, client, site+"/public")
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.Equal(t, site+"/public", resp.Request.URL.String())
	assert.Contains(t, body, "You are not logged in.")
	assert.Empty(t, resp.Header.Values("Set-Cookie"))

	get(t, client, site+"/")
	_, body = get(t, client, site+"/public")
	assert.Contains(t, body, openID)
}

func TestLanguage(t *testing.T) {
	site, sim, _ := startSimulated(t)
	for accept, want := range map[string]string{
		"zh-CN,zh;q=0.9": "公开页面", "zh-TW": "公开页面", "en-US,en;q=0.9": "Public page", "": "Public page",
	} {
		req, err := http.NewRequest(http.MethodGet, site+"/public", nil)
		require.NoError(t, err)
		req.Header.Set("Accept-Language", accept)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		require.NoError(t, err)
		assert.Contains(t, string(body), want, "Accept-Language: %s", accept)
		assert.Contains(t, string(body), `<a id="simulator" href="`+sim+`/">`, "Accept-Language: %s", accept)
		assert.Contains(t, resp.Header.Values("Vary"), "Accept-Language")
	}
}

// The control page of the simulator links to the site, and the site to it.
func TestSimulatorLink(t *testing.T) {
	site, sim, _ := startSimulated(t)
	_, body := get(t, http.DefaultClient, sim+"/")
	assert.Contains(t, body, `id="site" href="`+site+`"`)
}

func TestAvatars_Served(t *testing.T) {
	_, sim, _ := startSimulated(t)
	seen := map[string]bool{}
	for _, p := range people(sim) {
		resp, body := get(t, http.DefaultClient, p.AvatarURL)
		assert.Equal(t, http.StatusOK, resp.StatusCode, p.Name)
		assert.Equal(t, "image/svg+xml", resp.Header.Get("Content-Type"), p.Name)
		assert.False(t, seen[body], "%s has another person's avatar", p.Name)
		seen[body] = true
	}
	resp, _ := get(t, http.DefaultClient, sim+"/avatar/unknown")
	assert.Equal(t, http.StatusNotFound, resp.StatusCode)
}

func TestRealWeChat(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	site := freeAddr(t)
	p := start(t, map[string]string{
		"WECHAT_APP_ID": "wx1234567890abcdef", "WECHAT_APP_SECRET": "app-secret-for-tests", "BASE_URL": "https://shop.example.com",
	}, "-addr", site, "-sim-addr", taken.Addr().String())
	assert.Equal(t, "Open https://shop.example.com in WeChat\n", p.line)

	client := curl(t)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	req, err := http.NewRequest(http.MethodGet, "http://"+site+"/", nil)
	require.NoError(t, err)
	req.Host = "shop.example.com"
	resp, err := client.Do(req)
	require.NoError(t, err)
	resp.Body.Close()

	assert.Equal(t, http.StatusSeeOther, resp.StatusCode)
	to, err := url.Parse(resp.Header.Get("Location"))
	require.NoError(t, err)
	assert.Equal(t, "https://open.weixin.qq.com/connect/oauth2/authorize", to.Scheme+"://"+to.Host+to.Path)
	assert.Equal(t, "wx1234567890abcdef", to.Query().Get("appid"))
	assert.Equal(t, "https://shop.example.com/wechat/callback", to.Query().Get("redirect_uri"))
	assert.Equal(t, "wechat_redirect", to.Fragment)

	req, err = http.NewRequest(http.MethodGet, "http://"+site+"/public", nil)
	require.NoError(t, err)
	req.Host = "shop.example.com"
	resp, err = client.Do(req)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	require.NoError(t, err)
	assert.NotContains(t, string(body), "simulator")

	p.stop()
	assert.NoError(t, p.await())
}

func TestStop(t *testing.T) {
	site, sim, p := startSimulated(t)
	p.stop()
	require.NoError(t, p.await())
	for _, base := range []string{site, sim} {
		u, err := url.Parse(base)
		require.NoError(t, err)
		l, err := net.Listen("tcp", u.Host)
		require.NoError(t, err, base)
		l.Close()
	}
}

func TestRun_StartErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	busy := taken.Addr().String()

	cases := []struct {
		name string
		env  map[string]string
		args []string
		want string
	}{
		{"an unknown flag", nil, []string{"-port", "80"}, "flag provided but not defined: -port"},
		{"an unexpected argument", nil, []string{"serve"}, `unexpected argument "serve"`},
		{"the site's port is taken", nil, []string{"-addr", busy, "-sim-addr", "127.0.0.1:0"}, "the site cannot listen; choose another -addr"},
		{"the simulator's port is taken", nil, []string{"-addr", "127.0.0.1:0", "-sim-addr", busy}, "the WeChat simulator cannot listen; choose another -sim-addr"},
		{"an invalid Redis URL", nil, append([]string{"-redis", "localhost:6379"}, freePorts...), "WithRedisURL"},
		{"an app without a secret", map[string]string{"WECHAT_APP_ID": "wx1234567890abcdef", "BASE_URL": "https://shop.example.com"}, freePorts, "WECHAT_APP_SECRET"},
		{"an app without a base URL", map[string]string{"WECHAT_APP_ID": "wx1234567890abcdef", "WECHAT_APP_SECRET": "app-secret-for-tests"}, freePorts, "set BASE_URL"},
		{"a secret without an app", map[string]string{"WECHAT_APP_SECRET": "app-secret-for-tests", "BASE_URL": "https://shop.example.com"}, freePorts, "set WECHAT_APP_ID"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			err := run(ctx, c.args, func(name string) string { return c.env[name] }, io.Discard, io.Discard)
			require.ErrorContains(t, err, c.want)
			assert.NotContains(t, err.Error(), "\n", "one line")
			assert.NotContains(t, err.Error(), "app-secret-for-tests")
		})
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	err := run(t.Context(), []string{"-h"}, func(string) string { return "" }, &out, io.Discard)
	require.ErrorIs(t, err, flag.ErrHelp)
	var names []string
	for _, line := range regexp.MustCompile(`(?m)^  -(\S+)`).FindAllStringSubmatch(out.String(), -1) {
		names = append(names, line[1])
	}
	assert.Equal(t, []string{"addr", "redis", "sim-addr"}, names)
}

// process returns a command that runs the real program.
func process(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel) // stops the process if the test did not
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = []string{"QUICKSTART_TEST_MAIN=1"}
	return cmd
}

func TestProcess_Interrupt(t *testing.T) {
	cmd := process(t, freePorts...)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	found := openLine.FindStringSubmatch(line)
	require.NotNil(t, found, line)

	// Browsers open connections that they may never use.
	u, err := url.Parse(found[1])
	require.NoError(t, err)
	unused, err := net.Dial("tcp", u.Host)
	require.NoError(t, err)
	defer unused.Close()
	get(t, curl(t), found[1]+"/public")

	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	assert.NoError(t, cmd.Wait())
}

func TestProcess_ExitCode(t *testing.T) {
	assert.NoError(t, process(t, "-h").Run())

	mistaken := process(t, "-port", "80")
	var stderr bytes.Buffer
	mistaken.Stderr = &stderr
	var exit *exec.ExitError
	require.ErrorAs(t, mistaken.Run(), &exit)
	assert.Equal(t, 1, exit.ExitCode())
	assert.Equal(t, 1, bytes.Count(stderr.Bytes(), []byte("flag provided but not defined: -port")), stderr.String())
}

// freeAddr returns an address on which no one listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
