package wechatauth

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/store"
)

const (
	testAppID  = "wx00000000000000a1"
	testSecret = "app-secret-for-tests"
	testBase   = "https://m.example.com"
)

// right returns options that New takes, followed by more.
func right(more ...Option) []Option {
	return append([]Option{WithApp(testAppID, testSecret), WithBaseURL(testBase)}, more...)
}

// manager returns an scs manager that New takes for testBase, changed by f.
func manager(f func(*scs.SessionManager)) Option {
	m := scs.New()
	m.Cookie.Secure = true
	f(m)
	return WithSessionManager(m)
}

func TestEachWrongConfigurationGetsOneLineThatSaysWhatToSet(t *testing.T) {
	key := []byte("0123456789abcdefghijklmnopqrstuv")
	tests := map[string]struct {
		opts []Option
		want string
	}{
		"nothing at all but a base URL":    {[]Option{WithBaseURL(testBase)}, "WithApp: set the AppID and the AppSecret"},
		"no base URL":                      {[]Option{WithApp(testAppID, testSecret)}, "WithBaseURL: set where visitors reach the application"},
		"an AppID without its secret":      {right(WithApp(testAppID, "")), "WithApp: set the AppID and the AppSecret"},
		"a secret without its AppID":       {right(WithApp("", testSecret)), "WithApp: set the AppID and the AppSecret"},
		"an original id as AppID":          {right(WithApp("gh_0123456789ab", testSecret)), "WithApp: "},
		"an AppID with a space":            {right(WithApp(testAppID+" ", testSecret)), "WithApp: "},
		"half a website application":       {right(WithWebsiteApp("wx00000000000000b2", "")), "WithWebsiteApp: set both"},
		"the other half":                   {right(WithWebsiteApp("", testSecret)), "WithWebsiteApp: set both"},
		"a website application of nothing": {right(WithWebsiteApp("", "")), "WithWebsiteApp: set both"},
		"a mini program of nothing":        {right(WithMiniProgram("", "")), "WithMiniProgram: set both"},
		"that, by a third-party platform":  {right(WithComponent("wx00000000000000d4", tokenOf("")), WithFlowKeys(key), WithMiniProgram("", "")), "WithMiniProgram: set both"},
		"one AppID for both":               {right(WithWebsiteApp(testAppID, testSecret)), "WithWebsiteApp: a website application has an AppID of its own"},
		"a base URL without a scheme":      {right(WithBaseURL("m.example.com")), "WithBaseURL: "},
		"plain http":                       {right(WithBaseURL("http://m.example.com")), "10039"},
		"an IP address":                    {right(WithBaseURL("https://203.0.113.7")), "10003"},
		"an IPv6 address":                  {right(WithBaseURL("https://[2001:db8::1]")), "10003"},
		"a port":                           {right(WithBaseURL("https://m.example.com:8443")), "10003"},
		"a port that is none":              {right(WithBaseURL("https://m.example.com:99999")), "no valid port"},
		"an empty port":                    {right(WithBaseURL("https://m.example.com:")), "no valid port"},
		"a path":                           {right(WithBaseURL("https://m.example.com/shop")), "scheme and host only"},
		"a query":                          {right(WithBaseURL("https://m.example.com?a=b")), "scheme and host only"},
		"a fragment":                       {right(WithBaseURL("https://m.example.com#a")), "scheme and host only"},
		"an empty fragment":                {right(WithBaseURL("https://m.example.com#")), "scheme and host only"},
		"a user":                           {right(WithBaseURL("https://user@m.example.com")), "scheme and host only"},
		"a backslash":                      {right(WithBaseURL(`https://m.example.com\x`)), "is no URL of the form"},
		"trailing garbage":                 {right(WithBaseURL("https://m.example.com x")), "is no URL of the form"},
		"another scheme":                   {right(WithBaseURL("ftp://m.example.com")), "use https"},
		"another scheme on loopback":       {right(WithBaseURL("ftp://localhost")), "use http or https"},
		"a host that is none":              {right(WithBaseURL("https://-m-.example.com")), "is no host name"},
		"a wildcard host":                  {right(WithBaseURL("https://*.example.com")), "is no host name"},
		"an empty prefix":                  {right(WithPathPrefix("")), "WithPathPrefix: "},
		"the root as prefix":               {right(WithPathPrefix("/")), "WithPathPrefix: "},
		"two slashes as prefix":            {right(WithPathPrefix("//")), "WithPathPrefix: "},
		"a prefix without first slash":     {right(WithPathPrefix("wechat/")), "WithPathPrefix: "},
		"a prefix without last slash":      {right(WithPathPrefix("/wechat")), "WithPathPrefix: "},
		"a prefix with a dot segment":      {right(WithPathPrefix("/a/../")), "WithPathPrefix: "},
		"a prefix with an escape":          {right(WithPathPrefix("/a%2f/")), "WithPathPrefix: "},
		"the website's scope":              {right(WithScope(client.ScopeLogin)), "WithScope: "},
		"a scope that is none":             {right(WithScope("snsapi_everything")), "WithScope: "},
		"two homes for sessions":           {right(WithRedisURL("redis://127.0.0.1:6379"), WithStore(store.NewMemory())), "sessions have one home"},
		"a nil pool":                       {right(WithRedis(nil)), "WithRedis: the pool is nil"},
		"an empty Redis URL":               {right(WithRedisURL("")), "WithRedisURL: the URL is empty"},
		"a Redis URL of another kind":      {right(WithRedisURL("http://127.0.0.1:6379")), "WithRedisURL: "},
		"a nil store":                      {right(WithStore(nil)), "WithStore: the store is nil"},
		"a nil manager":                    {right(WithSessionManager(nil)), "WithSessionManager: the manager is nil"},
		"a manager as a literal":           {right(WithSessionManager(&scs.SessionManager{})), "make it with scs.New()"},
		"a manager and a lifetime":         {right(manager(func(*scs.SessionManager) {}), WithLifetime(time.Hour)), "on the manager itself"},
		"a manager and an idle timeout":    {right(manager(func(*scs.SessionManager) {}), WithIdleTimeout(time.Hour)), "on the manager itself"},
		"a manager and a cookie":           {right(manager(func(*scs.SessionManager) {}), WithCookie("a")), "on the manager itself"},
		"a manager without Secure":         {right(manager(func(m *scs.SessionManager) { m.Cookie.Secure = false })), "set Secure"},
		"a manager with Strict":            {right(manager(func(m *scs.SessionManager) { m.Cookie.SameSite = http.SameSiteStrictMode })), "SameSite=Strict"},
		"a manager with None":              {right(manager(func(m *scs.SessionManager) { m.Cookie.SameSite = http.SameSiteNoneMode })), "SameSite=None"},
		"a manager with a narrow path":     {right(manager(func(m *scs.SessionManager) { m.Cookie.Path = "/app" })), "does not cover the whole application"},
		"a manager with no path":           {right(manager(func(m *scs.SessionManager) { m.Cookie.Path = "" })), "does not cover the whole application"},
		"a manager with another domain":    {right(manager(func(m *scs.SessionManager) { m.Cookie.Domain = "example.org" })), "does not cover the base URL's host"},
		"a manager with a narrower domain": {right(manager(func(m *scs.SessionManager) { m.Cookie.Domain = "a.m.example.com" })), "does not cover the base URL's host"},
		"__Host- with a domain":            {right(manager(func(m *scs.SessionManager) { m.Cookie.Name, m.Cookie.Domain = "__Host-s", "m.example.com" })), "leave Domain empty"},
		"a manager with a bad name":        {right(manager(func(m *scs.SessionManager) { m.Cookie.Name = "a b" })), "is no cookie name"},
		"a manager with no name":           {right(manager(func(m *scs.SessionManager) { m.Cookie.Name = "" })), "is no cookie name"},
		"a manager that lives 240 years":   {right(manager(func(m *scs.SessionManager) { m.Lifetime = 240 * 365 * 24 * time.Hour })), "is not between 1m0s and 400 days"},
		"a manager that lives no time":     {right(manager(func(m *scs.SessionManager) { m.Lifetime = 0 })), "is not between 1m0s and 400 days"},
		"a manager idle beyond its life":   {right(manager(func(m *scs.SessionManager) { m.IdleTimeout = 48 * time.Hour })), "IdleTimeout"},
		"Secure on http":                   {[]Option{WithApp(testAppID, testSecret), WithBaseURL("http://localhost:8080"), manager(func(*scs.SessionManager) {})}, "not sent back over plain http"},
		"__Host- on http":                  {[]Option{WithApp(testAppID, testSecret), WithBaseURL("http://localhost:8080"), WithCookie("__Host-s")}, "over https only"},
		"__Secure- on http":                {[]Option{WithApp(testAppID, testSecret), WithBaseURL("http://localhost:8080"), WithCookie("__Secure-s")}, "over https only"},
		"a cookie name with a space":       {right(WithCookie("a b")), "is no cookie name"},
		"a cookie name with a semicolon":   {right(WithCookie("a;b")), "is no cookie name"},
		"an empty cookie name":             {right(WithCookie("")), "is no cookie name"},
		"a lifetime of a second":           {right(WithLifetime(time.Second)), "WithLifetime: 1s is not between"},
		"a negative lifetime":              {right(WithLifetime(-time.Hour)), "WithLifetime: "},
		"a lifetime of 401 days":           {right(WithLifetime(401 * 24 * time.Hour)), "WithLifetime: "},
		"an idle timeout of a second":      {right(WithIdleTimeout(time.Second)), "WithIdleTimeout: "},
		"an idle timeout beyond the life":  {right(WithIdleTimeout(25 * time.Hour)), "WithIdleTimeout: "},
		"a platform without keys":          {right(WithComponent("wx00000000000000d4", tokenOf(""))), "WithComponent: set WithFlowKeys too"},
		"a platform without a token":       {right(WithFlowKeys(key), WithComponent("wx00000000000000d4", nil)), "WithComponent: set the platform's AppID and the source"},
		"a profile of a minute":            {right(WithTokens(time.Minute)), "WithTokens: the age of a profile, 1m0s, is not between"},
		"a relay on plain http":            {right(WithRelay("http://auth.example.com/relay", key)), "WithRelay: "},
		"a relay with a query":             {right(WithRelay("https://auth.example.com/relay?a=b", key)), "WithRelay: "},
		"a relay and an embedded QR code":  {right(WithWebsiteApp("wx2", "s"), WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginEmbeddedQR}), WithRelay("https://auth.example.com/relay", key)), "WithRelay: use LoginWebsite instead of LoginEmbeddedQR"},
		"a relay without a key":            {right(WithRelay("https://auth.example.com/relay", nil)), "WithRelay: the key has 0 bytes"},
		"half a mini program":              {right(WithMiniProgram("wx00000000000000c3", "")), "WithMiniProgram: set both"},
		"a mini program that is the app":   {right(WithMiniProgram(testAppID, testSecret)), "WithMiniProgram: a mini program has an AppID of its own"},
		"accounts from nobody":             {[]Option{WithBaseURL(testBase), WithAccounts(nil)}, "WithAccounts: the resolver is nil"},
		"an account's AppID without wx":    {[]Option{WithBaseURL(testBase), WithAccounts(byHost(Account{AppID: "gh_0000000000bb", Secret: testSecret, BaseURL: testBase}))}, "does not begin with \"wx\""},
		"an account's AppID with a slash":  {[]Option{WithBaseURL(testBase), WithAccounts(byHost(Account{AppID: "wx/login", Secret: testSecret, BaseURL: testBase}))}, "does not begin with \"wx\""},
		"no accounts at all":               {[]Option{WithBaseURL(testBase), WithAccounts(byHost())}, "WithAccounts: give at least one account"},
		"an account without a secret":      {[]Option{WithBaseURL(testBase), WithAccounts(byHost(Account{AppID: testAppID, BaseURL: testBase}))}, "both are required"},
		"an account on plain http":         {[]Option{WithBaseURL(testBase), WithAccounts(byHost(Account{AppID: testAppID, Secret: testSecret, BaseURL: "http://localhost:80"}))}, "is not https"},
		"accounts beside an app":           {right(WithAccounts(byHost(Account{AppID: testAppID, Secret: testSecret, BaseURL: testBase}))), "leave WithApp, WithWebsiteApp and WithMiniProgram out"},
		"a snapshot policy that is none":   {right(WithSnapshotPolicy(7)), "WithSnapshotPolicy: "},
		"an interval without a function":   {right(WithAuthorize(nil, time.Minute)), "WithAuthorize: the function is nil"},
		"an interval of two hours":         {right(WithAuthorize(func(context.Context, Identity) error { return nil }, 2*time.Hour)), "WithAuthorize: the interval 2h0m0s is not between"},
		"session encryption and a manager": {right(manager(func(*scs.SessionManager) {}), WithSessionEncryption(key)), "wrap the manager's own store"},
		"a short session key":              {right(WithSessionEncryption(key[:8])), "WithSessionEncryption: key 1 has 8 bytes"},
		"encryption of a foreign store":    {right(WithStore(plain{store.NewMemory()}), WithSessionEncryption(key)), "does less than store.Sessions asks for"},
		"a short flow key":                 {right(WithFlowKeys(key[:31])), "WithFlowKeys: key 1 has 31 bytes"},
		"an empty flow key":                {right(WithFlowKeys(nil)), "WithFlowKeys: key 1 has 0 bytes"},
		"a flow key of one letter":         {right(WithFlowKeys(bytes.Repeat([]byte("a"), 32))), "WithFlowKeys: key 1 is not random"},
		"a typed flow key":                 {right(WithFlowKeys([]byte("changemechangemechangemechangeme"))), "WithFlowKeys: key 1 is not random"},
		"a short previous flow key":        {right(WithFlowKeys(key, key[:16])), "WithFlowKeys: key 2 has 16 bytes"},
		"an API on plain http":             {right(WithEndpoints(client.Endpoints{Open: "https://open.example.com", API: "http://169.254.169.254"})), "WithEndpoints: "},
		"an API that is a file":            {right(WithEndpoints(client.Endpoints{Open: "https://open.example.com", API: "file:///etc"})), "WithEndpoints: "},
		"a transport that is nil":          {right(WithWebsiteApp("wx00000000000000b2", testSecret), WithHTTPClient(&http.Client{Transport: (*http.Transport)(nil)})), "WithHTTPClient: "},
		"an option that is nil":            {right(nil), "option 3 is nil"},
		"a host in Unicode":                {right(WithBaseURL("https://m.微信.example")), `"m.xn--vuqz89a.example"`},
		"a host in Unicode capitals":       {right(WithBaseURL("https://MÜNCHEN.example")), `"xn--mnchen-3ya.example"`},
		"an account's base URL by http":    {[]Option{WithBaseURL(testBase), WithAccounts(byHost(Account{AppID: testAppID, Secret: testSecret, BaseURL: "http://m.example.com"}))}, "10039"},
		"an account's endpoints":           {[]Option{WithBaseURL(testBase), WithAccounts(byHost(Account{AppID: testAppID, Secret: testSecret, BaseURL: testBase, Endpoints: client.Endpoints{API: "file:///etc"}}))}, "WithAccounts: " + testAppID + ": WithEndpoints: "},
		"a verify file by another name":    {right(WithVerifyFile("../secret.txt", "x")), "WithVerifyFile: "},
		"an empty verify file":             {right(WithVerifyFile("MP_verify_0123456789abcdef.txt", "")), "WithVerifyFile: "},
	}
	require.GreaterOrEqual(t, len(tests), 40)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := New(tt.opts...)
			require.Error(t, err)
			assert.Contains(t, err.Error(), tt.want)
			assert.NotContains(t, err.Error(), testSecret)
			assert.Equal(t, 1, strings.Count(err.Error(), "\n")+1, "one line: %s", err)
			assert.True(t, strings.HasPrefix(err.Error(), "wechatauth: "))
		})
	}
}

// Every wrong option has its line, whatever else is wrong: the base URL, too.
func TestSeveralWrongOptionsAreToldTogether(t *testing.T) {
	_, err := New(WithBaseURL("http://m.example.com"), WithScope("x"))
	require.Error(t, err)
	assert.Len(t, strings.Split(err.Error(), "\n"), 3, "%s", err)

	short := []byte("short")
	all := map[string]Option{
		"WithBaseURL":        WithBaseURL("https://m.example.com/shop"),
		"WithApp":            WithApp("gh_0123456789ab", testSecret),
		"WithWebsiteApp":     WithWebsiteApp("wx00000000000000b2", ""),
		"WithMiniProgram":    WithMiniProgram("", testSecret),
		"WithPathPrefix":     WithPathPrefix("wechat"),
		"WithScope":          WithScope("x"),
		"WithSnapshotPolicy": WithSnapshotPolicy(7),
		"WithVerifyFile":     WithVerifyFile("../x", "y"),
		"WithRelay":          WithRelay("ftp://x", []byte("0123456789abcdefghijklmnopqrstuv")),
		"WithFlowKeys":       WithFlowKeys(short),
		"WithAuthorize":      WithAuthorize(nil, time.Minute),
		"WithLifetime":       WithLifetime(time.Second),
		"WithCookie":         WithCookie("a b"),
		"WithRedisURL":       WithRedisURL("http://x"),
		"WithEndpoints":      WithEndpoints(client.Endpoints{API: "file:///etc"}),
		"WithHTTPClient":     WithHTTPClient(&http.Client{Transport: (*http.Transport)(nil)}),
	}
	opts := []Option{nil}
	for _, opt := range all {
		opts = append(opts, opt)
	}
	_, err = New(opts...)
	require.Error(t, err)
	for option := range all {
		assert.Equal(t, 1, strings.Count(err.Error(), "wechatauth: "+option+": "), "%s: %s", option, err)
	}
	assert.Contains(t, err.Error(), "wechatauth: option 1 is nil")
	assert.Len(t, strings.Split(err.Error(), "\n"), len(all)+1, "%s", err)

	embedded := WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginEmbeddedQR})
	_, err = New(right(embedded, WithRelay("ftp://x", short), WithAuthorize(nil, 2*time.Hour))...)
	require.Error(t, err)
	for option, wrong := range map[string]int{"WithRelay": 3, "WithAuthorize": 2} {
		assert.Equal(t, wrong, strings.Count(err.Error(), "wechatauth: "+option+": "), "%s: %s", option, err)
	}

	_, err = New(WithBaseURL("http://m.example.com"), WithSessionManager(&scs.SessionManager{}), WithCookie("a b"))
	assert.ErrorContains(t, err, "make it with scs.New()", "a manager is looked at beside a wrong base URL")
	_, err = New(WithBaseURL("ftp://m.example.com"), WithScope("x"), WithEndpoints(client.Endpoints{API: "file:///etc"}),
		WithAccounts(byHost(Account{AppID: shopA, BaseURL: "http://a.example.com"}, Account{AppID: shopB, Secret: testSecret, MiniProgramAppID: miniOfB, BaseURL: "https://b.example.com"})))
	require.Error(t, err)
	for _, want := range []string{"wechatauth: WithBaseURL: use https", "WithScope: ", "WithEndpoints: ", shopA + ": WithApp: ", shopA + ": WithBaseURL: use https", shopB + ": WithMiniProgram: "} {
		assert.Equal(t, 1, strings.Count(err.Error(), want), "%s: %s", want, err)
	}
}

func TestRightConfigurations(t *testing.T) {
	tests := map[string][]Option{
		"the least":                    right(),
		"loopback by name":             {WithApp(testAppID, testSecret), WithBaseURL("http://localhost:8080")},
		"loopback by address":          {WithApp(testAppID, testSecret), WithBaseURL("http://127.0.0.1:8080/")},
		"loopback by IPv6":             {WithApp(testAppID, testSecret), WithBaseURL("http://[::1]:8080")},
		"https with its own port":      {WithApp(testAppID, testSecret), WithBaseURL("https://m.example.com:443")},
		"upper case":                   {WithApp(testAppID, testSecret), WithBaseURL("HTTPS://M.Example.COM")},
		"another prefix":               right(WithPathPrefix("/auth/wx/")),
		"a manager of scs":             right(manager(func(*scs.SessionManager) {})),
		"a manager for the domain":     right(manager(func(m *scs.SessionManager) { m.Cookie.Domain = "example.com" })),
		"nil where nothing is wanted":  right(WithPages(nil), WithLogger(nil), WithPageVisit(nil), WithObserver(nil), WithHTTPClient(nil)),
		"an idle timeout of nought":    right(WithIdleTimeout(0)),
		"a Redis that is not there":    right(WithRedisURL("redis://127.0.0.1:1/0")),
		"the profile from the start":   right(WithScope(client.ScopeUserInfo)),
		"a file of WeChat's console":   right(WithVerifyFile("MP_verify_0123456789abcdef.txt", "0123456789abcdef")),
		"keys of thirty-two bytes":     right(WithFlowKeys([]byte("0123456789abcdefghijklmnopqrstuv"))),
		"a website application beside": right(WithWebsiteApp("wx00000000000000b2", testSecret)),
	}
	for name, opts := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := New(opts...)
			assert.NoError(t, err)
		})
	}
}

func TestRequireWeChatPanicsOnInvalidOptions(t *testing.T) {
	assert.PanicsWithError(t, "wechatauth: WithBaseURL: set where visitors reach the application, such as \"https://m.example.com\"; it is required", func() {
		RequireWeChat(WithApp(testAppID, testSecret))
	})
}
