package main

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/command/commandtest"
	"github.com/wechatauth/wechatauth/internal/nginxtest"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/wechattest"
)

// check runs the command in a valid environment with changes.
func check(t *testing.T, changes map[string]string, args ...string) (code int, out string) {
	t.Helper()
	sim := wechattest.NewServer()
	defer sim.Close()
	env := map[string]string{
		"WECHAT_APP_ID": wechattest.DefaultAppID, "WECHAT_APP_SECRET": wechattest.DefaultSecret,
		"BASE_URL": "https://m.example.com", "WECHAT_URL": sim.URL, "LANG": "en_US.UTF-8",
	}
	maps.Copy(env, changes)
	var buf bytes.Buffer // stdout and stderr
	code = run(context.Background(), args, func(name string) string { return env[name] }, &buf, &buf)
	for _, name := range []string{"WECHAT_APP_SECRET", "WECHAT_WEBSITE_APP_SECRET", "WECHAT_MINI_APP_SECRET"} {
		if env[name] != "" {
			assert.NotContains(t, buf.String(), env[name])
		}
	}
	return code, buf.String()
}

func TestRun_NoProblems(t *testing.T) {
	redis := redistest.Start(t)
	code, out := check(t, map[string]string{
		"REDIS_URL":             redis.URL(),
		"WECHAT_WEBSITE_APP_ID": wechattest.DefaultWebsiteAppID, "WECHAT_WEBSITE_APP_SECRET": wechattest.DefaultWebsiteSecret,
		"WECHAT_MINI_APP_ID": wechattest.DefaultMiniProgramAppID, "WECHAT_MINI_APP_SECRET": wechattest.DefaultMiniProgramSecret,
	})
	assert.Zero(t, code)
	assert.Equal(t, "No problems found.\n"+
		"In WeChat's console, enter as 网页授权域名: m.example.com\n"+
		"For the website application, enter as 授权回调域: m.example.com\nPASS\n", out)

	code, out = check(t, map[string]string{"REDIS_URL": redis.URL(), "LANG": "zh_CN.UTF-8"})
	assert.Zero(t, code)
	assert.Equal(t, "检查通过，未发现问题。\n请在微信公众平台“网页授权域名”中填写：m.example.com\nPASS\n", out)
}

func TestRun_AllProblems(t *testing.T) {
	redis := redistest.Start(t, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
	wrong := map[string]string{"REDIS_URL": redis.URL(), "WECHAT_APP_SECRET": "another-secret-for-tests"}

	code, out := check(t, wrong, "-lang", "en")
	assert.Equal(t, 1, code)
	assert.Contains(t, out, "1. session store: Redis evicts sessions")
	assert.Contains(t, out, "2. WithApp: WeChat rejects the account")
	assert.Regexp(t, "\nFAIL\n$", out)

	code, out = check(t, wrong, "-lang", "zh")
	assert.Equal(t, 1, code)
	assert.Contains(t, out, "1. 会话存储：内存写满时 Redis 会淘汰会话")
	assert.Contains(t, out, "2. WithApp：微信拒绝了该账号")
	assert.Contains(t, out, "请检查 AppSecret")
}

func TestRun_SecretFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte(wechattest.DefaultSecret+"\n"), 0o600))
	code, out := check(t, map[string]string{"WECHAT_APP_SECRET": ""}, "-secret-file", file)
	assert.Zero(t, code, out)
	assert.Contains(t, out, "sessions are stored in memory")
}

func TestRun_InvalidSetting(t *testing.T) {
	redis := redistest.Start(t, "--maxmemory", "100mb", "--maxmemory-policy", "volatile-lru")
	wrong := map[string]string{"REDIS_URL": redis.URL(), "BASE_URL": "http://m.example.com", "WECHAT_APP_SECRET": "another-secret-for-tests"}

	code, out := check(t, wrong)
	assert.Equal(t, 1, code)
	assert.Contains(t, out, "1. WithBaseURL: use https")
	assert.Contains(t, out, "2. session store: Redis evicts sessions")
	assert.Contains(t, out, "3. WithApp: WeChat rejects the account")
	assert.NotContains(t, out, "example.com\n", "no domain to enter is known")

	wrong["LANG"] = "zh_CN.UTF-8"
	_, out = check(t, wrong)
	assert.Contains(t, out, "1. WithBaseURL：BASE_URL 必须使用 https")
	assert.Contains(t, out, "2. 会话存储：内存写满时 Redis 会淘汰会话")
	assert.Contains(t, out, "3. WithApp：微信拒绝了该账号")

	half := map[string]string{"REDIS_URL": "http://127.0.0.1", "WECHAT_MINI_APP_ID": wechattest.DefaultMiniProgramAppID, "WECHAT_APP_SECRET": "another-secret-for-tests"}
	_, out = check(t, half)
	assert.Contains(t, out, "WithMiniProgram: set both")
	assert.Contains(t, out, "WithRedisURL: ")
	assert.Contains(t, out, "WithApp: WeChat rejects the account")
	assert.Contains(t, out, "网页授权域名: m.example.com")
}

// New's errors are recognized by their words. Each row of inChinese has a case.
func TestRun_Chinese(t *testing.T) {
	all := ""
	for name, tt := range map[string]struct {
		changes map[string]string
		want    string
	}{
		"no AppID":               {map[string]string{"WECHAT_APP_ID": ""}, "WithApp：请同时设置公众号的 AppID"},
		"a broken AppID":         {map[string]string{"WECHAT_APP_ID": "gh 1"}, "WithApp：公众号的设置有误"},
		"swapped":                {map[string]string{"WECHAT_APP_ID": "secret-for-tests", "WECHAT_APP_SECRET": wechattest.DefaultAppID}, "WithApp：AppSecret 的形式是 AppID"},
		"half a website":         {map[string]string{"WECHAT_WEBSITE_APP_ID": wechattest.DefaultWebsiteAppID}, "WithWebsiteApp：请同时设置"},
		"half a mini program":    {map[string]string{"WECHAT_MINI_APP_ID": wechattest.DefaultMiniProgramAppID}, "WithMiniProgram：请同时设置"},
		"one AppID for two":      {map[string]string{"WECHAT_MINI_APP_ID": wechattest.DefaultAppID, "WECHAT_MINI_APP_SECRET": "secret-for-tests"}, "WithMiniProgram：网站应用和小程序各有自己的 AppID"},
		"no base URL":            {map[string]string{"BASE_URL": ""}, "WithBaseURL：未设置"},
		"a base URL of http":     {map[string]string{"BASE_URL": "http://m.example.com"}, "WithBaseURL：BASE_URL 必须使用 https"},
		"a broken website":       {map[string]string{"WECHAT_WEBSITE_APP_ID": "gh 1", "WECHAT_WEBSITE_APP_SECRET": "secret-for-tests"}, "WithWebsiteApp：网站应用的设置有误"},
		"a broken mini program":  {map[string]string{"WECHAT_MINI_APP_ID": "gh 1", "WECHAT_MINI_APP_SECRET": "secret-for-tests"}, "WithMiniProgram：小程序的设置有误"},
		"an address as base URL": {map[string]string{"BASE_URL": "https://203.0.113.7"}, "WithBaseURL：BASE_URL 必须使用域名"},
		"a base URL with a port": {map[string]string{"BASE_URL": "https://m.example.com:8443"}, "WithBaseURL：BASE_URL 不能带端口"},
		"a base URL with a path": {map[string]string{"BASE_URL": "https://m.example.com/shop"}, "WithBaseURL：BASE_URL 有误"},
		"an invalid Redis URL":   {map[string]string{"REDIS_URL": "http://127.0.0.1"}, "WithRedisURL：REDIS_URL 有误"},
		"an invalid prefix":      {map[string]string{"PATH_PREFIX": "wechat"}, "WithPathPrefix：PATH_PREFIX 有误"},
		"a WeChat on plain http": {map[string]string{"WECHAT_URL": "http://203.0.113.7"}, "WithEndpoints：WECHAT_URL 有误"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out := check(t, tt.changes, "-lang", "zh")
			all += out
			assert.Equal(t, 1, code)
			assert.Contains(t, out, "1. "+tt.want)
			assert.NotRegexp(t, "[a-z]+ [a-z]+ [a-z]+ [a-z]+", out, "no English sentence")
		})
	}
	for _, row := range inChinese {
		assert.Contains(t, all, row.chinese, "no case shows it")
	}
}

func TestRun_Note(t *testing.T) {
	redis := redistest.Start(t)
	redis.Do("ACL", "SETUSER", "default", "-config")
	code, out := check(t, map[string]string{"REDIS_URL": redis.URL()})
	assert.Zero(t, code)
	assert.Contains(t, out, "No problems found.\nNote: session store: the eviction policy of Redis could not be seen")
}

// TestRun_site checks the way to an application through nginx, with and without
// its AppSecret, and with a fault.
func TestRun_site(t *testing.T) {
	sim := wechattest.NewServer()
	defer sim.Close()
	start := func(fault string) (env map[string]string) {
		app := httptest.NewUnstartedServer(nil)
		t.Cleanup(app.Close)
		nginx := nginxtest.Start(t, "server { listen 80; location / { proxy_pass http://127.0.0.1:8080; proxy_set_header Host $http_host; proxy_buffer_size 16k; proxy_buffers 8 16k; "+fault+" } }", app.Listener.Addr().String())
		auth, err := wechatauth.New(wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret), wechatauth.WithBaseURL("http://"+nginx.HTTP),
			wechatauth.WithEndpoints(sim.Endpoints()), wechatauth.WithPathPrefix("/shop/wechat/"), wechatauth.WithLogger(slog.New(slog.DiscardHandler)))
		require.NoError(t, err)
		app.Config.Handler = auth.RequireWeChat(http.NotFoundHandler())
		app.Start()
		return map[string]string{"BASE_URL": "http://" + nginx.HTTP, "WECHAT_URL": sim.URL, "PATH_PREFIX": "/shop/wechat/"}
	}
	env := start("")
	code, out := check(t, env, "-site")
	assert.Zero(t, code)
	assert.Equal(t, "No problems found.\nPASS\n", out)

	env["WECHAT_APP_SECRET"] = ""
	code, out = check(t, env, "-site")
	assert.Zero(t, code)
	assert.Contains(t, out, "No problems found.\nNote: keys and clocks were not compared")
	_, out = check(t, env, "-site", "-lang", "zh")
	assert.Contains(t, out, "检查通过，未发现问题。\n注意：未比较密钥和时钟")

	env["WECHAT_APP_ID"] = ""
	code, out = check(t, env, "-site")
	assert.Equal(t, 1, code)
	assert.Contains(t, out, "1. WithApp: ")

	code, out = check(t, start("proxy_hide_header Set-Cookie;"), "-site", "-lang", "zh")
	assert.Equal(t, 1, code)
	assert.Regexp(t, "^1. 站点 http://127.0.0.1:[0-9]+：Set-Cookie 被删除：.*\nFAIL\n$", out)
}

func TestRun_ThirdPartyPlatform(t *testing.T) {
	_, out := check(t, map[string]string{"WECHAT_APP_SECRET": ""})
	assert.Contains(t, out, "公众号开发域名")
}

func TestRun_CommandLine(t *testing.T) {
	for name, tt := range map[string]struct {
		changes map[string]string
		args    []string
		code    int
		want    string
	}{
		"no settings":             {map[string]string{"WECHAT_APP_ID": "", "BASE_URL": ""}, nil, 1, "WithBaseURL"},
		"an unknown flag":         {nil, []string{"-secret", "x"}, 2, "Run wechatcheck -h for usage."},
		"an argument":             {nil, []string{"now"}, 2, "unexpected argument"},
		"a missing file":          {nil, []string{"-secret-file", "nowhere"}, 2, "nowhere"},
		"help":                    {nil, []string{"-h"}, 0, "file with the AppSecret"},
		"help in Chinese":         {map[string]string{"LANG": "zh_CN.UTF-8"}, []string{"-h"}, 0, "存有 AppSecret 的文件"},
		"help, in Chinese":        {nil, []string{"-lang=zh", "-h"}, 0, "用法：wechatcheck"},
		"an argument, in Chinese": {nil, []string{"-lang", "zh", "now"}, 2, "wechatcheck: 多余的参数 \"now\"\n用法见 wechatcheck -h。\n"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out := check(t, tt.changes, tt.args...)
			assert.Equal(t, tt.code, code)
			assert.Contains(t, out, tt.want)
		})
	}
}

// testSite checks the command over TLS, with and without trust in the
// certificate.
func testSite(t *testing.T, program commandtest.Program) {
	sim := wechattest.NewServer()
	defer sim.Close()
	app := httptest.NewUnstartedServer(nil)
	defer app.Close()
	nginx := nginxtest.Start(t, "server { listen 443 ssl; location / { proxy_pass http://127.0.0.1:8080; proxy_set_header Host $http_host; proxy_buffer_size 8k; } }", app.Listener.Addr().String())
	auth, err := wechatauth.New(wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret), wechatauth.WithBaseURL("https://"+nginx.HTTPS),
		wechatauth.WithEndpoints(sim.Endpoints()), wechatauth.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	app.Config.Handler = auth
	app.Start()

	env := []string{"WECHAT_APP_ID=" + wechattest.DefaultAppID, "WECHAT_APP_SECRET=" + wechattest.DefaultSecret,
		"BASE_URL=https://" + nginx.HTTPS, "WECHAT_URL=" + sim.URL, "PATH_PREFIX=", "LANG=en_US.UTF-8"}
	passed := program.Run(t, append(env, "SSL_CERT_FILE="+nginx.Certificate), "-site")
	assert.Equal(t, "No problems found.\nPASS\n", passed.Stdout)
	assert.Zero(t, passed.Code)

	failed := program.Run(t, env, "-site")
	assert.Equal(t, 1, failed.Code)
	assert.Contains(t, failed.Stdout, "cannot be reached: tls: failed to verify certificate")
}

func TestCommand(t *testing.T) {
	program := commandtest.Build(t, "wechatcheck")
	t.Run("site", func(t *testing.T) { testSite(t, program) })
	program.Usage(t, []string{"-secret-file", "nowhere"}, []string{"-timeout", "soon"})

	sim := wechattest.NewServer()
	defer sim.Close()
	env := []string{"WECHAT_APP_ID=" + wechattest.DefaultAppID, "WECHAT_APP_SECRET=" + wechattest.DefaultSecret,
		"BASE_URL=https://m.example.com", "WECHAT_URL=" + sim.URL, "REDIS_URL=", "LANG=en_US.UTF-8"}
	passed := program.Run(t, env)
	assert.Zero(t, passed.Code)
	assert.Equal(t, "PASS", passed.LastLine())
	assert.Empty(t, passed.Stderr)

	failed := program.Run(t, append(env, "BASE_URL=http://m.example.com"))
	assert.Equal(t, 1, failed.Code)
	assert.Equal(t, "FAIL", failed.LastLine())
	assert.Contains(t, failed.Stdout, "1. WithBaseURL: ")
	assert.Empty(t, failed.Stderr)
}
