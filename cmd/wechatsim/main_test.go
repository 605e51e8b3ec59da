package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/command"
	"github.com/wechatauth/wechatauth/internal/command/commandtest"
	"github.com/wechatauth/wechatauth/wechattest"
)

// start runs the program on a free port and returns its base URL and a function
// that interrupts it.
func start(t *testing.T, args ...string) (base string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, append([]string{"-addr", "127.0.0.1:0"}, args...), w)
		w.CloseWithError(io.EOF)
		ended <- err
	}()
	line, err := bufio.NewReader(r).ReadString('\n')
	require.NoError(t, err)
	m := regexp.MustCompile(`^wechatsim: open base URL (http://[\d.:]+), api base URL (http://[\d.:]+), control page (http://[\d.:]+/)\n$`).FindStringSubmatch(line)
	require.NotNil(t, m, line)
	return m[1], func() error {
		cancel()
		return <-ended
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(b)
}

func TestRun(t *testing.T) {
	base, stop := start(t)
	require.Contains(t, get(t, base+"/sns/auth"), `"errcode":41001`)
	require.Contains(t, get(t, base+"/connect/oauth2/authorize"), "请在微信客户端打开链接")
	require.Contains(t, get(t, base+"/"), "当前用户")
	require.NoError(t, stop())
	_, err := http.Get(base + "/")
	require.Error(t, err, "the program has stopped")
}

func TestRun_StopDuringLongPoll(t *testing.T) {
	base, stop := start(t)
	page := get(t, base+"/connect/qrconnect?appid="+wechattest.DefaultWebsiteAppID+
		"&redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fcb&response_type=code&scope=snsapi_login&state=s")
	uuid := regexp.MustCompile(`data-uuid="(\w+)"`).FindStringSubmatch(page)
	require.NotNil(t, uuid, page)
	polled := make(chan error, 1)
	go func() {
		resp, err := http.Get(base + "/connect/l/qrconnect?uuid=" + uuid[1])
		if err == nil {
			resp.Body.Close()
		}
		polled <- err
	}()
	require.Regexp(t, `"connect/l/qrconnect".*"open":true`, get(t, base+"/sim/journal?after=1"), "the call has arrived")
	require.NoError(t, stop())
	<-polled
}

func TestRun_PrintedURLs(t *testing.T) {
	for _, args := range [][]string{{"-addr", "localhost:0"}, {"-expose", "-addr", ":0"}, {"-expose", "-addr", "0.0.0.0:0"}} {
		base, stop := start(t, args...)
		require.Regexp(t, `^http://127\.0\.0\.1:\d+$`, base)
		c, err := client.New(wechattest.DefaultAppID, wechattest.DefaultSecret, client.WithEndpoints(client.Endpoints{Open: base, API: base}))
		require.NoError(t, err)
		require.ErrorIs(t, c.CheckToken(t.Context(), "10_bogus", "obogus"), client.ErrTokenInvalid)
		require.NoError(t, stop())
	}
}

func TestRun_FlagsAndFile(t *testing.T) {
	for name, text := range map[string]string{"sim.json": `{"people": [{"name": "Ada"}]}`, "sim.yaml": "people:\n  - name: Ada\n"} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), name)
			require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
			base, stop := start(t, "-any-browser", "-config", file, "-scenario", "snapshot")
			require.Contains(t, get(t, base+"/connect/oauth2/authorize"), "appid不能为空")
			require.Contains(t, get(t, base+"/sim/state"), `"person":"Ada","environment":"snapshot"`)
			require.NoError(t, stop())
		})
	}
}

func TestRun_Errors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sim.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"people": [{}]}`), 0o600))
	over, cancel := context.WithCancel(t.Context())
	cancel() // an unnoticed mistake ends immediately, too
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"argument":           {[]string{"serve"}, `unexpected argument "serve"`},
		"scenario":           {[]string{"-scenario", "list"}, "snapshot-real-unionid"},
		"no file":            {[]string{"-config", filepath.Join(t.TempDir(), "none")}, "-config"},
		"file":               {[]string{"-config", file}, "person without a name"},
		"site":               {[]string{"-site", "example.com"}, "must be an http or https URL"},
		"address":            {[]string{"-addr", "bogus:-1"}, "listen"},
		"every interface":    {[]string{"-addr", ":0"}, "-addr :0 is not loopback: other machines could log in as any user; use 127.0.0.1:0, or -expose"},
		"every IPv4 address": {[]string{"-addr", "0.0.0.0:0"}, "is not loopback"},
		"every IPv6 address": {[]string{"-addr", "[::]:0"}, "is not loopback"},
		"invalid port":       {[]string{"-strict-domains", "-addr", "127.0.0.1:99999"}, "listen"},
	} {
		t.Run(name, func(t *testing.T) {
			err := run(over, tt.args, io.Discard)
			require.ErrorContains(t, err, tt.want)
			require.ErrorAs(t, err, new(*command.UsageError))
		})
	}
}

func TestCommand(t *testing.T) {
	program := commandtest.Build(t, "wechatsim")
	program.Usage(t, []string{"-addr", "0.0.0.0:0"}, []string{"-config", filepath.Join(t.TempDir(), "none")})

	unknown := program.Run(t, nil, "-scenario", "list")
	require.Equal(t, 2, unknown.Code)
	require.Empty(t, unknown.Stdout)
	require.Regexp(t, `^wechatsim: -scenario: choose one of\n(  [a-z0-9-]+ +\S.*\n)+Run wechatsim -h for usage\.\n$`, unknown.Stderr)

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	failed := program.Run(t, nil, "-addr", taken.Addr().String())
	require.Equal(t, 1, failed.Code)
	require.Empty(t, failed.Stdout)
	require.Regexp(t, `^wechatsim: listen: .*address already in use\n$`, failed.Stderr)
}
