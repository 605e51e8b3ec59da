package site

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/accounts"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/nginxtest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

const base = "https://" + nginxtest.Host

// documented returns the configuration of nginx in the docs, with changes: pairs
// of an old and a new text.
func documented(t *testing.T, changes ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(authtest.Root, "docs/deployment.md"))
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)```nginx\n(server .*?)```").FindSubmatch(text)
	require.NotNil(t, block)
	config := string(block[1])
	for i := 0; i < len(changes); i += 2 {
		require.Contains(t, config, changes[i])
		config = strings.Replace(config, changes[i], changes[i+1], 1)
	}
	return config
}

// Texts of the documented configuration.
const (
	passHost  = "proxy_set_header Host $host;"
	passPath  = "proxy_pass http://127.0.0.1:8080;"
	bigBuffer = "proxy_buffer_size 16k;"
	inHTTPS   = "location / {"
	toHTTPS   = "return 301 https://$host$request_uri;"
)

// options are those of the application and of the process that checks it.
func options(sim *wechattest.Server, more ...wechatauth.Option) []wechatauth.Option {
	return append([]wechatauth.Option{
		wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret),
		wechatauth.WithBaseURL(base), wechatauth.WithEndpoints(sim.Endpoints()),
		wechatauth.WithLogger(slog.New(slog.DiscardHandler)),
	}, more...)
}

// wrapped serves a whole application that requires a login.
func wrapped(a *wechatauth.Auth) http.Handler {
	return a.RequireWeChat(http.HandlerFunc(authtest.Echo))
}

// routed serves the endpoints, and pages without a login.
func routed(prefix string) func(*wechatauth.Auth) http.Handler {
	return func(a *wechatauth.Auth) http.Handler {
		mux := http.NewServeMux()
		mux.Handle(prefix, a)
		mux.Handle("GET /{$}", http.HandlerFunc(authtest.Echo))
		return mux
	}
}

// serve starts the application.
func serve(t *testing.T, app func(*wechatauth.Auth) http.Handler, opts []wechatauth.Option) (addr string) {
	t.Helper()
	auth, err := wechatauth.New(opts...)
	require.NoError(t, err)
	server := httptest.NewServer(app(auth))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// checkSite returns the names of the findings of another process.
func checkSite(t *testing.T, client *http.Client, opts []wechatauth.Option) (names []string) {
	t.Helper()
	auth, err := wechatauth.New(append(opts, wechatauth.WithHTTPClient(client))...)
	require.NoError(t, err)
	err = auth.CheckSite(context.Background())
	if err == nil {
		return nil
	}
	var found *wechatauth.CheckError
	require.ErrorAs(t, err, &found)
	for _, f := range found.Findings {
		t.Log(f.English)
		names = append(names, nameOf(t, f))
		assert.NotContains(t, f.English+f.Chinese, "%!", "the arguments of a text")
		assert.NotContains(t, f.English+f.Chinese, wechattest.DefaultSecret)
		for _, server := range []string{"nginx", "Caddy", "CDN"} {
			assert.Regexp(t, "; "+server+"[:,] ", f.English)
			assert.Regexp(t, "；"+server+"[：、]", f.Chinese)
		}
	}
	return names
}

func nameOf(t *testing.T, f *store.Finding) string {
	t.Helper()
	m := regexp.MustCompile(`^site \S+: ([^:]+): `).FindStringSubmatch(f.English)
	require.NotNil(t, m, f.English)
	return m[1]
}

func TestCheckSite(t *testing.T) {
	const strict = "proxy_ignore_headers Cache-Control Expires Set-Cookie Vary; proxy_cache cache; "
	shop := []wechatauth.Option{wechatauth.WithPathPrefix("/shop/wechat/")}
	for name, tt := range map[string]struct {
		changes []string // of the documented configuration
		app     func(*wechatauth.Auth) http.Handler
		opts    []wechatauth.Option // of both processes
		server  []wechatauth.Option // of the application only
		want    []string
	}{
		"documented":         {},
		"documented, routed": {app: routed("/wechat/")},
		"documented, shop":   {opts: shop},
		"options": {opts: []wechatauth.Option{
			wechatauth.WithScope(client.ScopeUserInfo), wechatauth.WithWebsiteApp(wechattest.DefaultWebsiteAppID, wechattest.DefaultWebsiteSecret),
			wechatauth.WithCookie("__Host-s"), wechatauth.WithRelay("https://relay.example.com/", []byte("0123456789abcdefghijklmnopqrstuv")),
			wechatauth.WithFlowKeys([]byte("0123456789abcdefghijklmnopqrstuv")), wechatauth.WithPageVisit(func(*http.Request) bool { return false }),
			wechatauth.WithErrorHandler(func(w http.ResponseWriter, _ *http.Request, _ wechatauth.Failure) {
				http.Error(w, "no", http.StatusTeapot)
			}),
			wechatauth.WithPages(func(w io.Writer, _ wechatauth.Page) error { _, err := w.Write([]byte("page")); return err }),
		}},
		"HTTP/1.0 and gzip": {changes: []string{"proxy_http_version 1.1;", "gzip on;"}},
		"a larger buffer":   {changes: []string{bigBuffer, "proxy_buffer_size 8k;"}},
		"scheme and Host forwarded": {changes: []string{passHost,
			"proxy_set_header X-Forwarded-Host $host; proxy_set_header X-Forwarded-Proto $scheme;"}},

		"down":            {changes: []string{passPath, "proxy_pass http://127.0.0.1:1;"}, want: []string{"cannot be reached"}},
		"wrong name":      {changes: []string{"server_name m.example.com;", "server_name m.example.com; ssl_reject_handshake on;"}, want: []string{"cannot be reached"}},
		"redirect to www": {changes: []string{inHTTPS, "return 301 https://www.example.com$request_uri; " + inHTTPS}, want: []string{"BASE_URL is redirected"}},
		"static files":    {changes: []string{inHTTPS, "location /wechat/ { root /nowhere; } " + inHTTPS}, want: []string{"endpoints not found"}},
		"not mounted":     {app: routed("/elsewhere/"), want: []string{"endpoints not found"}},
		"login of the application": {app: func(*wechatauth.Auth) http.Handler {
			return http.RedirectHandler("/login", http.StatusSeeOther)
		}, want: []string{"endpoints not found"}},
		"prefix removed":         {changes: []string{inHTTPS, "location /wechat/ { proxy_pass http://127.0.0.1:8080/; " + passHost + " proxy_buffer_size 16k; proxy_buffers 8 16k; } " + inHTTPS}, want: []string{"path prefix is removed"}},
		"prefix removed, routed": {changes: []string{inHTTPS, "location /wechat/ { proxy_pass http://127.0.0.1:8080/; " + passHost + " proxy_buffer_size 16k; proxy_buffers 8 16k; } " + inHTTPS}, app: routed("/wechat/"), want: []string{"path prefix is removed"}},
		"prefix removed in part": {changes: []string{inHTTPS, "location /shop/ { proxy_pass http://127.0.0.1:8080/; " + passHost + " proxy_buffer_size 16k; proxy_buffers 8 16k; } " + inHTTPS}, app: routed("/shop/wechat/"), opts: shop, want: []string{"path prefix is removed"}},
		"another base URL":       {server: []wechatauth.Option{wechatauth.WithBaseURL("https://www.example.com")}, changes: []string{passHost, "proxy_set_header Host www.example.com;"}, want: []string{"redirect_uri differs"}},
		"another account":        {server: []wechatauth.Option{wechatauth.WithApp("wx00000000000000f7", "secret-for-tests")}, want: []string{"redirect_uri differs"}},
		"Host":                   {changes: []string{passHost, ""}, want: []string{"Host is rewritten"}},
		"Host, routed":           {changes: []string{passHost, ""}, app: routed("/wechat/"), want: []string{"Host is rewritten"}},
		"scheme":                 {changes: []string{passHost, passHost + " proxy_set_header X-Forwarded-Proto http;"}, want: []string{"scheme is rewritten"}},
		"Set-Cookie removed":     {changes: []string{passHost, passHost + " proxy_hide_header Set-Cookie;"}, want: []string{"Set-Cookie is removed"}},
		"Path of Set-Cookie":     {changes: []string{passHost, passHost + " proxy_cookie_path / /app/;"}, want: []string{"Set-Cookie is changed"}},
		"Secure of Set-Cookie":   {changes: []string{passHost, passHost + " proxy_cookie_flags ~ nosecure;"}, want: []string{"Set-Cookie is changed"}},
		"SameSite of Set-Cookie": {changes: []string{passHost, passHost + " proxy_cookie_flags ~ samesite=strict;"}, want: []string{"Set-Cookie is changed"}},
		"Domain of Set-Cookie":   {changes: []string{passHost, passHost + ` proxy_cookie_path / "/; Domain=example.com";`}, want: []string{"Set-Cookie is changed"}},
		"Cookie":                 {changes: []string{passHost, passHost + ` proxy_set_header Cookie "";`}, want: []string{"Cookie is removed"}},
		"query":                  {changes: []string{passPath, "proxy_pass http://127.0.0.1:8080$uri;"}, want: []string{"query is removed"}},
		"callback":               {changes: []string{inHTTPS, "location /wechat/callback { return 403; } " + inHTTPS}, want: []string{"callback does not arrive"}},
		"error pages":            {changes: []string{passHost, passHost + " proxy_intercept_errors on; error_page 403 /403.html;"}, want: []string{"callback does not arrive"}},
		"redirects cached":       {changes: []string{passHost, passHost + strict + "proxy_cache_valid any 1m;"}, want: []string{"responses are cached"}},
		"pages cached":           {changes: []string{passHost, passHost + strict + "proxy_cache_valid 1m;"}, want: []string{"responses are cached"}},
		"rejections cached":      {changes: []string{passHost, passHost + "proxy_ignore_headers Cache-Control; proxy_cache cache; proxy_cache_valid any 1m;"}, want: []string{"responses are cached"}},
		"cached without query":   {changes: []string{passHost, passHost + strict + "proxy_cache_valid any 1m; proxy_cache_key $uri;"}, want: []string{"responses are cached"}},
		"cached elsewhere":       {changes: []string{passHost, passHost + " add_header X-Cache HIT always;"}, want: []string{"responses are cached"}},
		"Cache-Control":          {changes: []string{passHost, passHost + ` proxy_hide_header Cache-Control; add_header Cache-Control "public, max-age=600" always;`}, want: []string{"Cache-Control is changed"}},
		"small response buffer":  {changes: []string{bigBuffer, "proxy_buffer_size 4k;"}, want: []string{"large headers are rejected"}},
		"small request buffer":   {changes: []string{inHTTPS, "large_client_header_buffers 4 2k; " + inHTTPS}, want: []string{"large headers are rejected"}},
		"Origin":                 {changes: []string{passHost, passHost + ` proxy_set_header Origin "";`}, want: []string{"Origin is removed"}},
		"no POST":                {changes: []string{passPath, passPath + " limit_except GET { deny all; }"}, want: []string{"POST does not arrive"}},
		"http":                   {changes: []string{toHTTPS, "location / { " + passPath + " " + passHost + " proxy_buffer_size 16k; proxy_buffers 8 16k; }"}, want: []string{"plain http is not redirected"}},
		"http, scheme forwarded": {changes: []string{toHTTPS, "location / { " + passPath + " " + passHost + " proxy_buffer_size 16k; proxy_buffers 8 16k; proxy_set_header X-Forwarded-Proto $scheme; }"}},
		"keys":                   {server: []wechatauth.Option{wechatauth.WithFlowKeys([]byte("0123456789abcdefghijklmnopqrstuv"))}, want: []string{"flow keys differ"}},
		"clock ahead":            {server: []wechatauth.Option{wechatauth.WithClock(func() time.Time { return time.Now().Add(time.Hour) })}, want: []string{"clocks differ"}},
		"clock behind":           {server: []wechatauth.Option{wechatauth.WithClock(func() time.Time { return time.Now().Add(-6 * time.Minute) })}, want: []string{"clocks differ"}},
		"clock within five":      {server: []wechatauth.Option{wechatauth.WithClock(func() time.Time { return time.Now().Add(-4 * time.Minute) })}},
		"clock of the proxy": {app: func(a *wechatauth.Auth) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
				wrapped(a).ServeHTTP(w, r)
			})
		}, changes: []string{passHost, passHost + " proxy_pass_header Date;"}, want: []string{"clocks differ"}},
		"a bare proxy_pass and more": {changes: []string{passHost, "proxy_cookie_path / /app/; limit_except GET { deny all; }", bigBuffer, ""}, want: []string{"Host is rewritten", "Set-Cookie is changed", "large headers are rejected", "POST does not arrive"}},
		"Host and Cookie":            {changes: []string{passHost, `proxy_set_header Cookie "";`}, want: []string{"Host is rewritten", "Cookie is removed"}},
		"Host, prefix and Path":      {changes: []string{inHTTPS, "location /wechat/ { proxy_pass http://127.0.0.1:8080/; proxy_buffer_size 16k; proxy_buffers 8 16k; proxy_cookie_path / /app/; } " + inHTTPS}, app: routed("/wechat/"), want: []string{"path prefix is removed", "Host is rewritten", "Set-Cookie is changed"}},
		"scheme, buffer and POST":    {changes: []string{passHost, passHost + " proxy_set_header X-Forwarded-Proto http; limit_except GET { deny all; }", bigBuffer, ""}, want: []string{"scheme is rewritten", "large headers are rejected", "POST does not arrive"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sim := wechattest.NewServer()
			t.Cleanup(sim.Close)
			if tt.app == nil {
				tt.app = wrapped
			}
			addr := serve(t, tt.app, options(sim, append(tt.opts, tt.server...)...))
			nginx := nginxtest.Start(t, documented(t, tt.changes...), addr)
			assert.Equal(t, tt.want, checkSite(t, nginx.Client(t), options(sim, tt.opts...)))
		})
	}
}

// TestCheckSite_instances checks a load balancer whose second instance has other
// keys. Requests alternate.
func TestCheckSite_instances(t *testing.T) {
	sim := wechattest.NewServer()
	defer sim.Close()
	first := serve(t, wrapped, options(sim))
	second := serve(t, wrapped, options(sim, wechatauth.WithFlowKeys([]byte("0123456789abcdefghijklmnopqrstuv"))))
	for _, tt := range []struct {
		servers string
		want    []string
	}{
		{"server " + first + "; server " + first + ";", nil},
		{"server " + first + "; server " + second + ";", []string{"callback does not arrive"}},
		{"server " + second + "; server " + first + ";", []string{"callback does not arrive", "flow keys differ"}},
	} {
		config := "upstream app { " + tt.servers + " }\n" + documented(t, passPath, "proxy_pass http://app;")
		nginx := nginxtest.Start(t, config, "")
		assert.Equal(t, tt.want, checkSite(t, nginx.Client(t), options(sim)), tt.servers)
	}
}

// TestCheckSite_docs checks that the docs list every finding, and that the table
// above has each.
func TestCheckSite_docs(t *testing.T) {
	file := func(name string) string {
		text, err := os.ReadFile(filepath.Join(authtest.Root, name))
		require.NoError(t, err)
		return string(text)
	}
	names := func(pattern, text string) (all []string) {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			all = append(all, m[1])
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	all := names(`(?m)^\t\t"([\w ,-]+): `, file("internal/site/findings.go"))
	assert.Len(t, all, 20)
	var shown []string
	for _, m := range regexp.MustCompile(`want: +\[\]string\{(.*?)\}`).FindAllStringSubmatch(file("internal/suite/site/site_test.go"), -1) {
		shown = append(shown, names(`"([^"]+)"`, m[1])...)
	}
	slices.Sort(shown)
	assert.Equal(t, all, slices.Compact(shown), "TestCheckSite")
	for _, page := range []string{"docs/deployment.md", "docs/deployment.zh-CN.md"} {
		_, table, _ := strings.Cut(file(page), "wechatcheck -site\n```")
		table, _, _ = strings.Cut(table, "```")
		var rows []string
		for line := range strings.Lines(table) {
			if cell, _, ok := strings.Cut(strings.TrimPrefix(line, "| "), " |"); ok && strings.HasPrefix(line, "| `") {
				rows = append(rows, names("`([^`]+)`", cell)...)
			}
		}
		slices.Sort(rows)
		assert.Equal(t, all, rows, page)
	}
}

// TestCheckSite_events checks that a check makes no call to WeChat or to the
// session store, and what observers of the application receive.
func TestCheckSite_events(t *testing.T) {
	sim := wechattest.NewServer()
	defer sim.Close()
	seen := &authtest.Recorder{}
	addr := serve(t, wrapped, options(sim, wechatauth.WithObserver(seen)))
	nginx := nginxtest.Start(t, documented(t), addr)
	assert.Empty(t, checkSite(t, nginx.Client(t), options(sim)))
	assert.Empty(t, sim.Journal())
	assert.Empty(t, seen.Calls)
	counts := map[wechatauth.EventKind]int{}
	for _, e := range seen.Events {
		counts[e.Kind]++
	}
	assert.Equal(t, map[wechatauth.EventKind]int{wechatauth.EventLoginStarted: 4, wechatauth.EventLoginFailed: 1, wechatauth.EventRejected: 1}, counts)
	assert.Equal(t, wechatauth.ReasonRefusedByUser, seen.Event(t, wechatauth.EventLoginFailed).Reason)
	assert.Equal(t, wechatauth.ReasonCrossOrigin, seen.Event(t, wechatauth.EventRejected).Reason)
}

// TestCheckSite_accounts checks each base URL once, and names the one with a
// fault.
func TestCheckSite_accounts(t *testing.T) {
	const other = "https://n.example.com"
	sim, a, b := authtest.NewShops(t)
	a.BaseURL, b.BaseURL = base, other
	again := a
	again.AppID = "wx0000000000000ccc"
	opts := []wechatauth.Option{
		wechatauth.WithAccounts(accounts.ByPathPrefix(map[string]wechatauth.Account{"/a/": a, "/b/": b, "/c/": again})),
		wechatauth.WithBaseURL(base), wechatauth.WithEndpoints(sim.Endpoints()), wechatauth.WithLogger(slog.New(slog.DiscardHandler)),
	}
	seen := &authtest.Recorder{}
	addr := serve(t, wrapped, append(opts, wechatauth.WithObserver(seen)))
	config := documented(t)
	for _, fault := range []string{"", `proxy_set_header Cookie "";`} {
		broken := documented(t, "server_name m.example.com;", "server_name n.example.com;", passHost, passHost+fault)
		nginx := nginxtest.Start(t, config+broken, addr)
		auth, err := wechatauth.New(append(opts, wechatauth.WithHTTPClient(nginx.Client(t, "n.example.com")))...)
		require.NoError(t, err)
		if err = auth.CheckSite(context.Background()); fault == "" {
			assert.NoError(t, err)
			continue
		}
		var found *wechatauth.CheckError
		require.ErrorAs(t, err, &found)
		require.Len(t, found.Findings, 1, "%v", err)
		assert.Contains(t, found.Findings[0].English, "site "+other+": Cookie is removed: ")
		assert.Contains(t, found.Findings[0].Chinese, "站点 "+other+"：Cookie 被删除：")
	}
	failed := map[string]int{}
	for _, e := range seen.Events {
		if e.Kind == wechatauth.EventLoginFailed && e.Reason == wechatauth.ReasonRefusedByUser {
			failed[e.AppID]++
		}
	}
	assert.Equal(t, map[string]int{a.AppID: 2, b.AppID: 1}, failed, "the third account has the base URL of the first")
}

// TestCheckSite_unlisted checks that a resolver without a list of accounts is no
// success.
func TestCheckSite_unlisted(t *testing.T) {
	_, a, _ := authtest.NewShops(t)
	auth, err := wechatauth.New(wechatauth.WithAccounts(struct{ wechatauth.AccountResolver }{accounts.ByPathPrefix(map[string]wechatauth.Account{"/a/": a})}),
		wechatauth.WithBaseURL(base), wechatauth.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	assert.ErrorContains(t, auth.CheckSite(context.Background()), "site: nothing was checked: ")
}

// TestCheckSite_baseURLs checks base URLs with a port and an IPv6 address.
func TestCheckSite_baseURLs(t *testing.T) {
	sim := wechattest.NewServer()
	defer sim.Close()
	for _, base := range []string{"http://127.0.0.1:4711", "http://[::1]", "https://[::1]", "http://localhost"} {
		opts := options(sim, wechatauth.WithBaseURL(base))
		host := strings.TrimPrefix(strings.TrimPrefix(base, "https://"), "http://")
		config := documented(t, "server_name m.example.com;", "server_name _;", "proxy_set_header Host $host;", "proxy_set_header Host $http_host;",
			toHTTPS, "location / { "+passPath+" proxy_set_header Host $http_host; proxy_buffer_size 16k; proxy_buffers 8 16k; }")
		nginx := nginxtest.Start(t, config, serve(t, wrapped, opts))
		client := nginx.Client(t, strings.Trim(host, "[]"))
		if name, _, err := net.SplitHostPort(host); err == nil {
			client = nginx.Client(t, name)
			transport := client.Transport.(*http.Transport)
			transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, nginx.HTTP)
			}
		}
		want := []string(nil)
		if strings.HasPrefix(base, "https") {
			want = []string{"plain http is not redirected"}
		}
		assert.Equal(t, want, checkSite(t, client, opts), base)
	}
}
