package wechatauth_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/store"
)

// TestNew_wrongOptions checks that each wrong configuration gets one line that
// says what to set.
func TestNew_wrongOptions(t *testing.T) {
	key := []byte("0123456789abcdefghijklmnopqrstuv")
	tests := map[string]struct {
		opts []wechatauth.Option
		want string
	}{
		"nothing at all but a base URL":    {[]wechatauth.Option{wechatauth.WithBaseURL(authtest.TestBase)}, "WithApp: set the AppID and the AppSecret"},
		"no base URL":                      {[]wechatauth.Option{wechatauth.WithApp(authtest.TestAppID, authtest.TestSecret)}, "WithBaseURL: set the URL at which users reach the application"},
		"an AppID without its secret":      {authtest.RightOptions(wechatauth.WithApp(authtest.TestAppID, "")), "WithApp: set the AppID and the AppSecret"},
		"a secret without its AppID":       {authtest.RightOptions(wechatauth.WithApp("", authtest.TestSecret)), "WithApp: set the AppID and the AppSecret"},
		"an original id as AppID":          {authtest.RightOptions(wechatauth.WithApp("gh_0123456789ab", authtest.TestSecret)), "WithApp: "},
		"an AppID with a space":            {authtest.RightOptions(wechatauth.WithApp(authtest.TestAppID+" ", authtest.TestSecret)), "WithApp: "},
		"half a website application":       {authtest.RightOptions(wechatauth.WithWebsiteApp("wx00000000000000b2", "")), "WithWebsiteApp: set both"},
		"the other half":                   {authtest.RightOptions(wechatauth.WithWebsiteApp("", authtest.TestSecret)), "WithWebsiteApp: set both"},
		"a website application of nothing": {authtest.RightOptions(wechatauth.WithWebsiteApp("", "")), "WithWebsiteApp: set both"},
		"a mini program of nothing":        {authtest.RightOptions(wechatauth.WithMiniProgram("", "")), "WithMiniProgram: set both"},
		"that, by a third-party platform":  {[]wechatauth.Option{wechatauth.WithBaseURL(authtest.TestBase), wechatauth.WithFlowKeys(key), wechatauth.WithAccounts(authtest.OneAccount(wechatauth.Account{AppID: authtest.TestAppID, PlatformAppID: "wx00000000000000d4", PlatformToken: tokenOf(""), MiniProgramSecret: "s"}))}, "WithMiniProgram: set both"},
		"one AppID for both":               {authtest.RightOptions(wechatauth.WithWebsiteApp(authtest.TestAppID, authtest.TestSecret)), "WithWebsiteApp: " + authtest.TestAppID + " is the official account's AppID"},
		"a base URL without a scheme":      {authtest.RightOptions(wechatauth.WithBaseURL("m.example.com")), "WithBaseURL: "},
		"plain http":                       {authtest.RightOptions(wechatauth.WithBaseURL("http://m.example.com")), "10039"},
		"an IP address":                    {authtest.RightOptions(wechatauth.WithBaseURL("https://203.0.113.7")), "10003"},
		"an IPv6 address":                  {authtest.RightOptions(wechatauth.WithBaseURL("https://[2001:db8::1]")), "10003"},
		"a port":                           {authtest.RightOptions(wechatauth.WithBaseURL("https://m.example.com:8443")), "10003"},
		"a port that is none":              {authtest.RightOptions(wechatauth.WithBaseURL("https://m.example.com:99999")), "no valid port"},
		"an empty port":                    {authtest.RightOptions(wechatauth.WithBaseURL("https://m.example.com:")), "no valid port"},
		"a path":                           {authtest.RightOptions(wechatauth.WithBaseURL("https://m.example.com/shop")), "scheme and host only"},
		"a query":                          {authtest.RightOptions(wechatauth.WithBaseURL("https://m.example.com?a=b")), "scheme and host only"},
		"a fragment":                       {authtest.RightOptions(wechatauth.WithBaseURL("https://m.example.com#a")), "scheme and host only"},
		"an empty fragment":                {authtest.RightOptions(wechatauth.WithBaseURL("https://m.example.com#")), "scheme and host only"},
		"a user":                           {authtest.RightOptions(wechatauth.WithBaseURL("https://user@m.example.com")), "scheme and host only"},
		"a backslash":                      {authtest.RightOptions(wechatauth.WithBaseURL(`https://m.example.com\x`)), "is no URL of the form"},
		"trailing garbage":                 {authtest.RightOptions(wechatauth.WithBaseURL("https://m.example.com x")), "is no URL of the form"},
		"another scheme":                   {authtest.RightOptions(wechatauth.WithBaseURL("ftp://m.example.com")), "use https"},
		"another scheme on loopback":       {authtest.RightOptions(wechatauth.WithBaseURL("ftp://localhost")), "use http or https"},
		"a host that is none":              {authtest.RightOptions(wechatauth.WithBaseURL("https://-m-.example.com")), "is no host name"},
		"a wildcard host":                  {authtest.RightOptions(wechatauth.WithBaseURL("https://*.example.com")), "is no host name"},
		"an empty prefix":                  {authtest.RightOptions(wechatauth.WithPathPrefix("")), "WithPathPrefix: "},
		"the root as prefix":               {authtest.RightOptions(wechatauth.WithPathPrefix("/")), "WithPathPrefix: "},
		"two slashes as prefix":            {authtest.RightOptions(wechatauth.WithPathPrefix("//")), "WithPathPrefix: "},
		"a prefix without first slash":     {authtest.RightOptions(wechatauth.WithPathPrefix("wechat/")), "WithPathPrefix: "},
		"a prefix without last slash":      {authtest.RightOptions(wechatauth.WithPathPrefix("/wechat")), "WithPathPrefix: "},
		"a prefix with a dot segment":      {authtest.RightOptions(wechatauth.WithPathPrefix("/a/../")), "WithPathPrefix: "},
		"a prefix with an escape":          {authtest.RightOptions(wechatauth.WithPathPrefix("/a%2f/")), "WithPathPrefix: "},
		"the website's scope":              {authtest.RightOptions(wechatauth.WithScope(client.ScopeLogin)), "WithScope: "},
		"a scope that is none":             {authtest.RightOptions(wechatauth.WithScope("snsapi_everything")), "WithScope: "},
		"two homes for sessions":           {authtest.RightOptions(wechatauth.WithRedisURL("redis://127.0.0.1:6379"), wechatauth.WithStore(store.NewMemory())), "mutually exclusive (2 set)"},
		"a nil pool":                       {authtest.RightOptions(wechatauth.WithRedis(nil)), "WithRedis: the pool is nil"},
		"an empty Redis URL":               {authtest.RightOptions(wechatauth.WithRedisURL("")), "WithRedisURL: the URL is empty"},
		"a Redis URL of another kind":      {authtest.RightOptions(wechatauth.WithRedisURL("http://127.0.0.1:6379")), "WithRedisURL: "},
		"a nil store":                      {authtest.RightOptions(wechatauth.WithStore(nil)), "WithStore: the store is nil"},
		"a nil manager":                    {authtest.RightOptions(wechatauth.WithSessionManager(nil)), "WithSessionManager: the manager is nil"},
		"a manager as a literal":           {authtest.RightOptions(wechatauth.WithSessionManager(&scs.SessionManager{})), "make it with scs.New()"},
		"a manager and a lifetime":         {authtest.RightOptions(authtest.ManagerOption(func(*scs.SessionManager) {}), wechatauth.WithLifetime(time.Hour)), "on the manager itself"},
		"a manager and an idle timeout":    {authtest.RightOptions(authtest.ManagerOption(func(*scs.SessionManager) {}), wechatauth.WithIdleTimeout(time.Hour)), "on the manager itself"},
		"a manager and a cookie":           {authtest.RightOptions(authtest.ManagerOption(func(*scs.SessionManager) {}), wechatauth.WithCookie("a")), "on the manager itself"},
		"a manager without Secure":         {authtest.RightOptions(authtest.ManagerOption(func(m *scs.SessionManager) { m.Cookie.Secure = false })), "set Secure"},
		"a manager with Strict":            {authtest.RightOptions(authtest.ManagerOption(func(m *scs.SessionManager) { m.Cookie.SameSite = http.SameSiteStrictMode })), "SameSite=Strict"},
		"a manager with None":              {authtest.RightOptions(authtest.ManagerOption(func(m *scs.SessionManager) { m.Cookie.SameSite = http.SameSiteNoneMode })), "SameSite=None"},
		"a manager with a narrow path":     {authtest.RightOptions(authtest.ManagerOption(func(m *scs.SessionManager) { m.Cookie.Path = "/app" })), "does not cover the whole application"},
		"a manager with no path":           {authtest.RightOptions(authtest.ManagerOption(func(m *scs.SessionManager) { m.Cookie.Path = "" })), "does not cover the whole application"},
		"a manager with another domain":    {authtest.RightOptions(authtest.ManagerOption(func(m *scs.SessionManager) { m.Cookie.Domain = "example.org" })), "does not cover the base URL's host"},
		"a manager with a narrower domain": {authtest.RightOptions(authtest.ManagerOption(func(m *scs.SessionManager) { m.Cookie.Domain = "a.m.example.com" })), "does not cover the base URL's host"},
		"__Host- with a domain":            {authtest.RightOptions(authtest.ManagerOption(func(m *scs.SessionManager) { m.Cookie.Name, m.Cookie.Domain = "__Host-s", "m.example.com" })), "leave Domain empty"},
		"a manager with a bad name":        {authtest.RightOptions(authtest.ManagerOption(func(m *scs.SessionManager) { m.Cookie.Name = "a b" })), "is no cookie name"},
		"a manager with no name":           {authtest.RightOptions(authtest.ManagerOption(func(m *scs.SessionManager) { m.Cookie.Name = "" })), "is no cookie name"},
		"a manager that lives 240 years":   {authtest.RightOptions(authtest.ManagerOption(func(m *scs.SessionManager) { m.Lifetime = 240 * 365 * 24 * time.Hour })), "is not between 1m0s and 400 days"},
		"a manager that lives no time":     {authtest.RightOptions(authtest.ManagerOption(func(m *scs.SessionManager) { m.Lifetime = 0 })), "is not between 1m0s and 400 days"},
		"a manager idle beyond its life":   {authtest.RightOptions(authtest.ManagerOption(func(m *scs.SessionManager) { m.IdleTimeout = 48 * time.Hour })), "IdleTimeout"},
		"Secure on http":                   {[]wechatauth.Option{wechatauth.WithApp(authtest.TestAppID, authtest.TestSecret), wechatauth.WithBaseURL("http://localhost:8080"), authtest.ManagerOption(func(*scs.SessionManager) {})}, "not sent back over plain http"},
		"__Host- on http":                  {[]wechatauth.Option{wechatauth.WithApp(authtest.TestAppID, authtest.TestSecret), wechatauth.WithBaseURL("http://localhost:8080"), wechatauth.WithCookie("__Host-s")}, "over https only"},
		"__Secure- on http":                {[]wechatauth.Option{wechatauth.WithApp(authtest.TestAppID, authtest.TestSecret), wechatauth.WithBaseURL("http://localhost:8080"), wechatauth.WithCookie("__Secure-s")}, "over https only"},
		"a cookie name with a space":       {authtest.RightOptions(wechatauth.WithCookie("a b")), "is no cookie name"},
		"a cookie name with a semicolon":   {authtest.RightOptions(wechatauth.WithCookie("a;b")), "is no cookie name"},
		"an empty cookie name":             {authtest.RightOptions(wechatauth.WithCookie("")), "is no cookie name"},
		"a lifetime of a second":           {authtest.RightOptions(wechatauth.WithLifetime(time.Second)), "WithLifetime: 1s is not between"},
		"a negative lifetime":              {authtest.RightOptions(wechatauth.WithLifetime(-time.Hour)), "WithLifetime: "},
		"a lifetime of 401 days":           {authtest.RightOptions(wechatauth.WithLifetime(401 * 24 * time.Hour)), "WithLifetime: "},
		"an idle timeout of a second":      {authtest.RightOptions(wechatauth.WithIdleTimeout(time.Second)), "WithIdleTimeout: "},
		"an idle timeout beyond the life":  {authtest.RightOptions(wechatauth.WithIdleTimeout(25 * time.Hour)), "WithIdleTimeout: "},
		"a platform without keys":          {[]wechatauth.Option{wechatauth.WithBaseURL(authtest.TestBase), wechatauth.WithAccounts(authtest.OneAccount(wechatauth.Account{AppID: authtest.TestAppID, PlatformAppID: "wx00000000000000d4", PlatformToken: tokenOf("")}))}, "WithAccounts: " + authtest.TestAppID + ": PlatformAppID: set WithFlowKeys too"},
		"a platform without a token":       {[]wechatauth.Option{wechatauth.WithBaseURL(authtest.TestBase), wechatauth.WithFlowKeys(key), wechatauth.WithAccounts(authtest.OneAccount(wechatauth.Account{AppID: authtest.TestAppID, PlatformAppID: "wx00000000000000d4"}))}, "PlatformAppID: set PlatformToken too"},
		"a token of no platform":           {[]wechatauth.Option{wechatauth.WithBaseURL(authtest.TestBase), wechatauth.WithFlowKeys(key), wechatauth.WithAccounts(authtest.OneAccount(wechatauth.Account{AppID: authtest.TestAppID, Secret: authtest.TestSecret, PlatformToken: tokenOf("")}))}, "PlatformAppID: set PlatformToken too"},
		"a platform's AppID of letters":    {[]wechatauth.Option{wechatauth.WithBaseURL(authtest.TestBase), wechatauth.WithFlowKeys(key), wechatauth.WithAccounts(authtest.OneAccount(wechatauth.Account{AppID: authtest.TestAppID, PlatformAppID: "a b", PlatformToken: tokenOf("")}))}, "WithAccounts: " + authtest.TestAppID + ": WithApp: "},
		"an accent that hides text":        {authtest.RightOptions(wechatauth.WithBrand(wechatauth.Brand{Accent: "#777777"})), "WithBrand: the accent \"#777777\" has a contrast of 4.48:1 with white text and of 4.17:1 with dark text, where buttons need 4.5:1"},
		"a logo that is none":              {authtest.RightOptions(wechatauth.WithBrand(wechatauth.Brand{Logo: "logo.svg"})), "WithBrand: the logo is not an SVG, PNG, JPEG or WebP image"},
		"a script as home":                 {authtest.RightOptions(wechatauth.WithBrand(wechatauth.Brand{HomeURL: "javascript:alert(1)"})), "WithBrand: the home URL"},
		"an account's brand":               {[]wechatauth.Option{wechatauth.WithBaseURL(authtest.TestBase), wechatauth.WithAccounts(authtest.OneAccount(wechatauth.Account{AppID: authtest.TestAppID, Secret: authtest.TestSecret, Brand: wechatauth.Brand{Name: "a\nb"}}))}, "WithAccounts: " + authtest.TestAppID + ": WithBrand: the name"},
		"a profile of a minute":            {authtest.RightOptions(wechatauth.WithTokens(time.Minute)), "WithTokens: the age of a profile, 1m0s, is not between"},
		"a relay on plain http":            {authtest.RightOptions(wechatauth.WithRelay("http://auth.example.com/relay", key)), "WithRelay: "},
		"a relay with a query":             {authtest.RightOptions(wechatauth.WithRelay("https://auth.example.com/relay?a=b", key)), "WithRelay: "},
		"a relay and an embedded QR code":  {authtest.RightOptions(wechatauth.WithWebsiteApp("wx2", "s"), wechatauth.WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginEmbeddedQR}), wechatauth.WithRelay("https://auth.example.com/relay", key)), "WithRelay: use LoginWebsite instead of LoginEmbeddedQR"},
		"a relay without a key":            {authtest.RightOptions(wechatauth.WithRelay("https://auth.example.com/relay", nil)), "WithRelay: the key has 0 bytes"},
		"half a mini program":              {authtest.RightOptions(wechatauth.WithMiniProgram("wx00000000000000c3", "")), "WithMiniProgram: set both"},
		"a mini program that is the app":   {authtest.RightOptions(wechatauth.WithMiniProgram(authtest.TestAppID, authtest.TestSecret)), "WithMiniProgram: " + authtest.TestAppID + " is another account's AppID"},
		"a nil resolver":                   {[]wechatauth.Option{wechatauth.WithBaseURL(authtest.TestBase), wechatauth.WithAccounts(nil)}, "WithAccounts: the resolver is nil"},
		"an account's AppID without wx":    {[]wechatauth.Option{wechatauth.WithBaseURL(authtest.TestBase), wechatauth.WithAccounts(authtest.ByHost(wechatauth.Account{AppID: "gh_0000000000bb", Secret: authtest.TestSecret, BaseURL: authtest.TestBase}))}, "invalid AppID: must be \"wx\" followed by letters and digits"},
		"an account's AppID with a slash":  {[]wechatauth.Option{wechatauth.WithBaseURL(authtest.TestBase), wechatauth.WithAccounts(authtest.ByHost(wechatauth.Account{AppID: "wx/login", Secret: authtest.TestSecret, BaseURL: authtest.TestBase}))}, "invalid AppID: must be \"wx\" followed by letters and digits"},
		"no accounts at all":               {[]wechatauth.Option{wechatauth.WithBaseURL(authtest.TestBase), wechatauth.WithAccounts(authtest.ByHost())}, "WithAccounts: give at least one account"},
		"an account without a secret":      {[]wechatauth.Option{wechatauth.WithBaseURL(authtest.TestBase), wechatauth.WithAccounts(authtest.ByHost(wechatauth.Account{AppID: authtest.TestAppID, BaseURL: authtest.TestBase}))}, "both are required"},
		"an account on plain http":         {[]wechatauth.Option{wechatauth.WithBaseURL(authtest.TestBase), wechatauth.WithAccounts(authtest.ByHost(wechatauth.Account{AppID: authtest.TestAppID, Secret: authtest.TestSecret, BaseURL: "http://localhost:80"}))}, "is not https"},
		"accounts and an app":              {authtest.RightOptions(wechatauth.WithAccounts(authtest.ByHost(wechatauth.Account{AppID: authtest.TestAppID, Secret: authtest.TestSecret, BaseURL: authtest.TestBase}))), "leave WithApp, WithWebsiteApp and WithMiniProgram out"},
		"a snapshot policy that is none":   {authtest.RightOptions(wechatauth.WithSnapshotPolicy(7)), "WithSnapshotPolicy: "},
		"an interval without a function":   {authtest.RightOptions(wechatauth.WithAccessCheck(nil, time.Minute)), "WithAccessCheck: the function is nil"},
		"an interval of two hours":         {authtest.RightOptions(wechatauth.WithAccessCheck(func(context.Context, wechatauth.Identity) error { return nil }, 2*time.Hour)), "WithAccessCheck: the interval 2h0m0s is not between"},
		"session encryption and a manager": {authtest.RightOptions(authtest.ManagerOption(func(*scs.SessionManager) {}), wechatauth.WithSessionEncryption(key)), "wrap the manager's own store"},
		"a short session key":              {authtest.RightOptions(wechatauth.WithSessionEncryption(key[:8])), "WithSessionEncryption: key 1 has 8 bytes"},
		"encryption of a foreign store":    {authtest.RightOptions(wechatauth.WithStore(authtest.PlainStore{Store: store.NewMemory()}), wechatauth.WithSessionEncryption(key)), "does less than store.Sessions asks for"},
		"a short flow key":                 {authtest.RightOptions(wechatauth.WithFlowKeys(key[:31])), "WithFlowKeys: key 1 has 31 bytes"},
		"an empty flow key":                {authtest.RightOptions(wechatauth.WithFlowKeys(nil)), "WithFlowKeys: key 1 has 0 bytes"},
		"a flow key of one letter":         {authtest.RightOptions(wechatauth.WithFlowKeys(bytes.Repeat([]byte("a"), 32))), "WithFlowKeys: key 1 is not random"},
		"a typed flow key":                 {authtest.RightOptions(wechatauth.WithFlowKeys([]byte("changemechangemechangemechangeme"))), "WithFlowKeys: key 1 is not random"},
		"a short previous flow key":        {authtest.RightOptions(wechatauth.WithFlowKeys(key, key[:16])), "WithFlowKeys: key 2 has 16 bytes"},
		"an API on plain http":             {authtest.RightOptions(wechatauth.WithEndpoints(client.Endpoints{Open: "https://open.example.com", API: "http://169.254.169.254"})), "WithEndpoints: "},
		"an API that is a file":            {authtest.RightOptions(wechatauth.WithEndpoints(client.Endpoints{Open: "https://open.example.com", API: "file:///etc"})), "WithEndpoints: "},
		"a transport that is nil":          {authtest.RightOptions(wechatauth.WithWebsiteApp("wx00000000000000b2", authtest.TestSecret), wechatauth.WithHTTPClient(&http.Client{Transport: (*http.Transport)(nil)})), "WithHTTPClient: "},
		"an option that is nil":            {authtest.RightOptions(nil), "option 3 is nil"},
		"a host in Unicode":                {authtest.RightOptions(wechatauth.WithBaseURL("https://m.微信.example")), `"m.xn--vuqz89a.example"`},
		"a host in Unicode capitals":       {authtest.RightOptions(wechatauth.WithBaseURL("https://MÜNCHEN.example")), `"xn--mnchen-3ya.example"`},
		"an account's base URL by http":    {[]wechatauth.Option{wechatauth.WithBaseURL(authtest.TestBase), wechatauth.WithAccounts(authtest.ByHost(wechatauth.Account{AppID: authtest.TestAppID, Secret: authtest.TestSecret, BaseURL: "http://m.example.com"}))}, "10039"},
		"an account's endpoints":           {[]wechatauth.Option{wechatauth.WithBaseURL(authtest.TestBase), wechatauth.WithAccounts(authtest.ByHost(wechatauth.Account{AppID: authtest.TestAppID, Secret: authtest.TestSecret, BaseURL: authtest.TestBase, Endpoints: client.Endpoints{API: "file:///etc"}}))}, "WithAccounts: " + authtest.TestAppID + ": WithEndpoints: "},
	}
	require.GreaterOrEqual(t, len(tests), 40)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := wechatauth.New(tt.opts...)
			require.Error(t, err)
			assert.Contains(t, err.Error(), tt.want)
			assert.NotContains(t, err.Error(), authtest.TestSecret)
			assert.Equal(t, 1, strings.Count(err.Error(), "\n")+1, "one line: %s", err)
			assert.True(t, strings.HasPrefix(err.Error(), "wechatauth: "))
		})
	}
}

// Every wrong option has its line, whatever else is wrong: the base URL, too.
func TestNew_severalWrongOptions(t *testing.T) {
	_, err := wechatauth.New(wechatauth.WithBaseURL("http://m.example.com"), wechatauth.WithScope("x"))
	require.Error(t, err)
	assert.Len(t, strings.Split(err.Error(), "\n"), 3, "%s", err)

	short := []byte("short")
	all := map[string]wechatauth.Option{
		"WithBaseURL":        wechatauth.WithBaseURL("https://m.example.com/shop"),
		"WithApp":            wechatauth.WithApp("gh_0123456789ab", authtest.TestSecret),
		"WithWebsiteApp":     wechatauth.WithWebsiteApp("wx00000000000000b2", ""),
		"WithMiniProgram":    wechatauth.WithMiniProgram("", authtest.TestSecret),
		"WithPathPrefix":     wechatauth.WithPathPrefix("wechat"),
		"WithScope":          wechatauth.WithScope("x"),
		"WithSnapshotPolicy": wechatauth.WithSnapshotPolicy(7),
		"WithRelay":          wechatauth.WithRelay("ftp://x", []byte("0123456789abcdefghijklmnopqrstuv")),
		"WithFlowKeys":       wechatauth.WithFlowKeys(short),
		"WithAccessCheck":    wechatauth.WithAccessCheck(nil, time.Minute),
		"WithLifetime":       wechatauth.WithLifetime(time.Second),
		"WithCookie":         wechatauth.WithCookie("a b"),
		"WithRedisURL":       wechatauth.WithRedisURL("http://x"),
		"WithEndpoints":      wechatauth.WithEndpoints(client.Endpoints{API: "file:///etc"}),
		"WithHTTPClient":     wechatauth.WithHTTPClient(&http.Client{Transport: (*http.Transport)(nil)}),
	}
	opts := []wechatauth.Option{nil}
	for _, opt := range all {
		opts = append(opts, opt)
	}
	_, err = wechatauth.New(opts...)
	require.Error(t, err)
	for option := range all {
		assert.Equal(t, 1, strings.Count(err.Error(), "wechatauth: "+option+": "), "%s: %s", option, err)
	}
	assert.Contains(t, err.Error(), "wechatauth: option 1 is nil")
	assert.Len(t, strings.Split(err.Error(), "\n"), len(all)+1, "%s", err)

	embedded := wechatauth.WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginEmbeddedQR})
	_, err = wechatauth.New(authtest.RightOptions(embedded, wechatauth.WithRelay("ftp://x", short), wechatauth.WithAccessCheck(nil, 2*time.Hour))...)
	require.Error(t, err)
	for option, wrong := range map[string]int{"WithRelay": 3, "WithAccessCheck": 2} {
		assert.Equal(t, wrong, strings.Count(err.Error(), "wechatauth: "+option+": "), "%s: %s", option, err)
	}

	_, err = wechatauth.New(wechatauth.WithBaseURL("http://m.example.com"), wechatauth.WithSessionManager(&scs.SessionManager{}), wechatauth.WithCookie("a b"))
	assert.ErrorContains(t, err, "make it with scs.New()", "a manager is checked even if the base URL is wrong")
	_, err = wechatauth.New(authtest.RightOptions(wechatauth.WithFlowKeys(short), wechatauth.WithStore(authtest.PlainStore{Store: store.NewMemory()}), wechatauth.WithSessionEncryption(short))...)
	for _, want := range []string{"WithFlowKeys: key 1", "WithSessionEncryption: key 1", "WithSessionEncryption: authtest.PlainStore does less"} {
		assert.ErrorContains(t, err, want, "a key says nothing about the store")
	}
	_, err = wechatauth.New(wechatauth.WithBaseURL("ftp://m.example.com"), wechatauth.WithScope("x"), wechatauth.WithEndpoints(client.Endpoints{API: "file:///etc"}),
		wechatauth.WithAccounts(authtest.ByHost(wechatauth.Account{AppID: authtest.ShopA, BaseURL: "http://a.example.com"}, wechatauth.Account{AppID: authtest.ShopB, Secret: authtest.TestSecret, MiniProgramAppID: "wx0000000000000b99", BaseURL: "https://b.example.com"})))
	require.Error(t, err)
	for _, want := range []string{"wechatauth: WithBaseURL: use https", "WithScope: ", "WithEndpoints: ", authtest.ShopA + ": WithApp: ", authtest.ShopA + ": WithBaseURL: use https", authtest.ShopB + ": WithMiniProgram: "} {
		assert.Equal(t, 1, strings.Count(err.Error(), want), "%s: %s", want, err)
	}
}

func TestNew_rightOptions(t *testing.T) {
	tests := map[string][]wechatauth.Option{
		"the least":                   authtest.RightOptions(),
		"loopback by name":            {wechatauth.WithApp(authtest.TestAppID, authtest.TestSecret), wechatauth.WithBaseURL("http://localhost:8080")},
		"loopback by address":         {wechatauth.WithApp(authtest.TestAppID, authtest.TestSecret), wechatauth.WithBaseURL("http://127.0.0.1:8080/")},
		"loopback by IPv6":            {wechatauth.WithApp(authtest.TestAppID, authtest.TestSecret), wechatauth.WithBaseURL("http://[::1]:8080")},
		"https with its own port":     {wechatauth.WithApp(authtest.TestAppID, authtest.TestSecret), wechatauth.WithBaseURL("https://m.example.com:443")},
		"upper case":                  {wechatauth.WithApp(authtest.TestAppID, authtest.TestSecret), wechatauth.WithBaseURL("HTTPS://M.Example.COM")},
		"another prefix":              authtest.RightOptions(wechatauth.WithPathPrefix("/auth/wx/")),
		"a manager of scs":            authtest.RightOptions(authtest.ManagerOption(func(*scs.SessionManager) {})),
		"a manager for the domain":    authtest.RightOptions(authtest.ManagerOption(func(m *scs.SessionManager) { m.Cookie.Domain = "example.com" })),
		"nil where nothing is wanted": authtest.RightOptions(wechatauth.WithPages(nil), wechatauth.WithLogger(nil), wechatauth.WithPageVisit(nil), wechatauth.WithClock(nil), wechatauth.WithObserver(nil), wechatauth.WithHTTPClient(nil)),
		"an idle timeout of nought":   authtest.RightOptions(wechatauth.WithIdleTimeout(0)),
		"a Redis that is not there":   authtest.RightOptions(wechatauth.WithRedisURL("redis://127.0.0.1:1/0")),
		"the profile from the start":  authtest.RightOptions(wechatauth.WithScope(client.ScopeUserInfo)),
		"keys of thirty-two bytes":    authtest.RightOptions(wechatauth.WithFlowKeys([]byte("0123456789abcdefghijklmnopqrstuv"))),
		"a website application too":   authtest.RightOptions(wechatauth.WithWebsiteApp("wx00000000000000b2", authtest.TestSecret)),
	}
	for name, opts := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := wechatauth.New(opts...)
			assert.NoError(t, err)
		})
	}
}

func TestRequireWeChatPanicsOnInvalidOptions(t *testing.T) {
	assert.PanicsWithError(t, "wechatauth: WithBaseURL: set the URL at which users reach the application, such as \"https://m.example.com\"; it is required", func() {
		wechatauth.RequireWeChat(wechatauth.WithApp(authtest.TestAppID, authtest.TestSecret))
	})
}

// tokenOf returns a source of one token, or of none.
func tokenOf(token string) func(context.Context) (client.Secret, error) {
	return func(context.Context) (client.Secret, error) {
		if token == "" {
			return client.Secret{}, errors.New("no token in this test")
		}
		return client.NewSecret(token), nil
	}
}

func TestNew_everyFaultOfAnOption(t *testing.T) {
	_, err := wechatauth.New(
		wechatauth.WithApp("wx0123456789abcdef", "app-secret-for-tests"),
		wechatauth.WithBaseURL("http://203.0.113.7:8080/shop"),
		wechatauth.WithPathPrefix("we chat"),
	)
	require.Error(t, err)
	for option, want := range map[string]int{"WithBaseURL: ": 4, "WithPathPrefix: ": 2} {
		assert.Equal(t, want, strings.Count(err.Error(), "wechatauth: "+option), "%s%v", option, err)
	}
}
