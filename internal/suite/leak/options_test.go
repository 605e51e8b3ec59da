package leak

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// assertQuiet prints an error with every verb, and the panic of RequireWeChat
// with it, and searches for the canaries.
func assertQuiet(t *testing.T, opts []wechatauth.Option) error {
	t.Helper()
	c := newCanaries()
	c.plant(theSecret, canarySecret)
	c.plant(theFlowKey, canaryFlowKey)
	c.plant(thePassword, canaryPassword)
	s := newSinks()
	_, err := wechatauth.New(opts...)
	if err != nil {
		s.spill("New", err)
		func() {
			defer func() { s.spill("RequireWeChat", recover()) }()
			wechatauth.RequireWeChat(opts...)
		}()
	}
	for _, seen := range s.all() {
		assert.Empty(t, c.hits(seen.text), seen.sink)
	}
	return err
}

const canarySecret = "CANARYappSecret0123456789abcdef0"

func TestNewError(t *testing.T) {
	t.Run("T42 Redis URL without its password", func(t *testing.T) {
		for name, url := range map[string]string{
			"a bad escape in the password":     "redis://:" + canaryPassword + "%zz@127.0.0.1:6379/0",
			"a bad escape before it":           "redis://:%zz" + canaryPassword + "@127.0.0.1:6379/0",
			"a bad escape in the user":         "redis://%zz:" + canaryPassword + "@127.0.0.1:6379/0",
			"a number sign in it":              "redis://:" + canaryPassword + "#a@127.0.0.1:6379/0",
			"a question mark in it":            "redis://:" + canaryPassword + "?a@127.0.0.1:6379/0",
			"a slash in it":                    "redis://:" + canaryPassword + "/a@127.0.0.1:6379/0",
			"a space in it":                    "redis://:" + canaryPassword + " a@127.0.0.1:6379/0",
			"a line break in it":               "redis://:" + canaryPassword + "\na@127.0.0.1:6379/0",
			"a bracket in it":                  "redis://:" + canaryPassword + "[@127.0.0.1:6379/0",
			"another scheme":                   "http://:" + canaryPassword + "@127.0.0.1:6379/0",
			"no scheme":                        ":" + canaryPassword + "@127.0.0.1:6379/0",
			"a scheme that begins with it":     canaryPassword + "://127.0.0.1",
			"no slashes":                       "redis:" + canaryPassword + "@127.0.0.1:6379/0",
			"a port that is none":              "redis://:" + canaryPassword + "@127.0.0.1:port/0",
			"a port that has it":               "redis://127.0.0.1:" + canaryPassword,
			"a database that is none":          "redis://:" + canaryPassword + "@127.0.0.1:6379/" + canaryPassword,
			"no host":                          "redis://:" + canaryPassword + "@/0",
			"a query with it":                  "redis://127.0.0.1:6379/0?password=" + canaryPassword,
			"nothing else":                     canaryPassword,
			"a Redis 6 user and two colons":    "redis://app:" + canaryPassword + "%:@127.0.0.1:6379/0",
			"an address of IPv6 that is wrong": "redis://:" + canaryPassword + "@[::1/0",
		} {
			t.Run(name, func(t *testing.T) {
				require.Error(t, assertQuiet(t, authtest.RightOptions(wechatauth.WithRedisURL(url))))
				_, err := store.NewPool(url)
				require.Error(t, err)
				assert.NotContains(t, err.Error(), canaryPassword)
			})
		}
	})

	t.Run("T42 repeats no secret", func(t *testing.T) {
		const app, other = wechattest.DefaultAppID, wechattest.DefaultWebsiteAppID
		base := wechatauth.WithBaseURL(authtest.TestBase)
		for name, opts := range map[string][]wechatauth.Option{
			"a secret with a line break":              {base, wechatauth.WithApp(app, canarySecret+"\n")},
			"a secret with a space":                   {base, wechatauth.WithApp(app, " "+canarySecret)},
			"a secret that is too long":               {base, wechatauth.WithApp(app, strings.Repeat(canarySecret, 9))},
			"a secret without an AppID":               {base, wechatauth.WithApp("", canarySecret)},
			"a secret and AppID exchanged":            {base, wechatauth.WithApp(canarySecret, app)},
			"a secret and AppID of the website":       {base, wechatauth.WithApp(app, canarySecret), wechatauth.WithWebsiteApp(canarySecret, other)},
			"a secret and AppID of the mini program":  {base, wechatauth.WithApp(app, canarySecret), wechatauth.WithMiniProgram(canarySecret, other)},
			"a secret with an original id":            {base, wechatauth.WithApp("gh_0123456789ab", canarySecret)},
			"a secret of the website without AppID":   {base, wechatauth.WithApp(app, canarySecret), wechatauth.WithWebsiteApp("", canarySecret)},
			"one AppID twice":                         {base, wechatauth.WithApp(app, canarySecret), wechatauth.WithWebsiteApp(app, canarySecret)},
			"a secret as flow key":                    {base, wechatauth.WithApp(app, canarySecret), wechatauth.WithFlowKeys([]byte(canarySecret[:31]))},
			"a short flow key":                        authtest.RightOptions(wechatauth.WithFlowKeys([]byte(canaryFlowKey[:20]))),
			"a flow key of few letters":               authtest.RightOptions(wechatauth.WithFlowKeys([]byte(strings.Repeat(canaryPassword[:9], 5)))),
			"a short session key":                     authtest.RightOptions(wechatauth.WithSessionEncryption([]byte(canaryFlowKey[:20]))),
			"a Redis URL as base URL":                 {wechatauth.WithApp(app, canarySecret), wechatauth.WithBaseURL("redis://:" + canaryPassword + "@127.0.0.1:6379/0")},
			"a broken Redis URL as base URL":          {wechatauth.WithApp(app, canarySecret), wechatauth.WithBaseURL("redis://:" + canaryPassword + "%zz@127.0.0.1:6379/0")},
			"a base URL with a password":              {wechatauth.WithApp(app, canarySecret), wechatauth.WithBaseURL("https://user:" + canaryPassword + "@m.example.com")},
			"a base URL with a password and a space":  {wechatauth.WithApp(app, canarySecret), wechatauth.WithBaseURL("https://user:" + canaryPassword + "@m.example.com /")},
			"a base URL with a password and no host":  {wechatauth.WithApp(app, canarySecret), wechatauth.WithBaseURL("https://user:" + canaryPassword + "@")},
			"an API with a password":                  authtest.RightOptions(wechatauth.WithEndpoints(client.Endpoints{API: "https://user:" + canaryPassword + "@api.example.com"})),
			"an API with a password that is no URL":   authtest.RightOptions(wechatauth.WithEndpoints(client.Endpoints{API: "https://user:" + canaryPassword + "%zz@api.example.com"})),
			"an authorize page with a password":       authtest.RightOptions(wechatauth.WithEndpoints(client.Endpoints{Open: "https://user:" + canaryPassword + "@open.example.com"})),
			"a Redis URL and a store":                 authtest.RightOptions(wechatauth.WithRedisURL("redis://:"+canaryPassword+"@127.0.0.1:6379/0"), wechatauth.WithStore(store.NewMemory())),
			"a Redis URL and encryption with a short": authtest.RightOptions(wechatauth.WithRedisURL("redis://:"+canaryPassword+"@127.0.0.1:6379/0"), wechatauth.WithSessionEncryption([]byte("short"))),
			"several at once":                         {wechatauth.WithApp("", canarySecret), wechatauth.WithBaseURL("redis://:" + canaryPassword + "%zz@h"), wechatauth.WithRedisURL(":" + canaryPassword), wechatauth.WithFlowKeys([]byte(canaryFlowKey[:9]))},
		} {
			t.Run(name, func(t *testing.T) {
				require.Error(t, assertQuiet(t, opts))
			})
		}
	})

	t.Run("T42 base URL without a password is repeated", func(t *testing.T) {
		_, err := wechatauth.New(authtest.RightOptions(wechatauth.WithBaseURL("m.example.com"))...)
		require.ErrorContains(t, err, `"m.example.com"`)
	})
}

func TestAPIRedirect(t *testing.T) {
	t.Run("T41 is not followed", func(t *testing.T) {
		clients := map[string][]wechatauth.Option{
			"its own client":      nil,
			"a client that would": {wechatauth.WithHTTPClient(&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return nil }})},
			"another transport":   {wechatauth.WithHTTPClient(&http.Client{Transport: authtest.RoundTripper(http.DefaultTransport.RoundTrip)})},
		}
		statuses := []int{301, 302, 303, 307, 308, 300, 304, 305}
		for _, endpoint := range []string{authtest.TokenEndpoint, authtest.ProfileEndpoint, authtest.MiniEndpoint} {
			for name, opts := range clients {
				t.Run(endpoint+", "+name, func(t *testing.T) {
					var asked atomic.Int32
					elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
					defer elsewhere.Close()
					x := newLeakSite(t, 0, opts...)
					var status, redirects atomic.Int32
					x.peer = func(w http.ResponseWriter, r *http.Request) bool {
						if r.URL.Path != endpoint {
							return false
						}
						redirects.Add(1)
						w.Header().Set("Location", elsewhere.URL+"/?"+r.URL.RawQuery)
						w.WriteHeader(int(status.Load()))
						return true
					}
					for _, s := range statuses {
						status.Store(int32(s))
						before := redirects.Load()
						x.getAs(x.person(), "/a")
						x.miniProgram()
						assert.Greater(t, redirects.Load(), before, "%d", s)
					}
					assert.Zero(t, asked.Load(), "neither the secret nor the code was sent")
					x.scan()
				})
			}
		}
	})
}
