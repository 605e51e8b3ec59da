package wechatauth

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// assertQuiet prints an error in every way, and the panic of RequireWeChat
// with it, and looks for the canaries.
func assertQuiet(t *testing.T, opts []Option) error {
	t.Helper()
	c := newCanaries()
	c.plant(theSecret, canarySecret)
	c.plant(theFlowKey, canaryFlowKey)
	c.plant(thePassword, canaryPassword)
	s := newSinks()
	_, err := New(opts...)
	if err != nil {
		s.spill("New", err)
		func() {
			defer func() { s.spill("RequireWeChat", recover()) }()
			RequireWeChat(opts...)
		}()
	}
	for _, seen := range s.all() {
		assert.Empty(t, c.hits(seen.text), seen.sink)
	}
	return err
}

const canarySecret = "CANARYappSecret0123456789abcdef0"

func TestT42_AWrongRedisURLIsRefusedWithoutItsPassword(t *testing.T) {
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
		"nothing but it":                   canaryPassword,
		"a Redis 6 user and two colons":    "redis://app:" + canaryPassword + "%:@127.0.0.1:6379/0",
		"an address of IPv6 that is wrong": "redis://:" + canaryPassword + "@[::1/0",
	} {
		t.Run(name, func(t *testing.T) {
			require.Error(t, assertQuiet(t, right(WithRedisURL(url))))
			_, err := store.NewPool(url)
			require.Error(t, err)
			assert.NotContains(t, err.Error(), canaryPassword)
		})
	}
}

func TestT42_NoWrongOptionRepeatsASecret(t *testing.T) {
	const app, other = wechattest.DefaultAppID, wechattest.DefaultWebsiteAppID
	base := WithBaseURL(testBase)
	for name, opts := range map[string][]Option{
		"a secret with a line break":              {base, WithApp(app, canarySecret+"\n")},
		"a secret with a space":                   {base, WithApp(app, " "+canarySecret)},
		"a secret that is too long":               {base, WithApp(app, strings.Repeat(canarySecret, 9))},
		"a secret without an AppID":               {base, WithApp("", canarySecret)},
		"a secret and AppID exchanged":            {base, WithApp(canarySecret, app)},
		"a secret and AppID of the website":       {base, WithApp(app, canarySecret), WithWebsiteApp(canarySecret, other)},
		"a secret and AppID of the mini program":  {base, WithApp(app, canarySecret), WithMiniProgram(canarySecret, other)},
		"a secret with an original id":            {base, WithApp("gh_0123456789ab", canarySecret)},
		"a secret of the website without AppID":   {base, WithApp(app, canarySecret), WithWebsiteApp("", canarySecret)},
		"one AppID twice":                         {base, WithApp(app, canarySecret), WithWebsiteApp(app, canarySecret)},
		"a secret as flow key":                    {base, WithApp(app, canarySecret), WithFlowKeys([]byte(canarySecret[:31]))},
		"a short flow key":                        right(WithFlowKeys([]byte(canaryFlowKey[:20]))),
		"a flow key of few letters":               right(WithFlowKeys([]byte(strings.Repeat(canaryPassword[:9], 5)))),
		"a short session key":                     right(WithSessionEncryption([]byte(canaryFlowKey[:20]))),
		"a Redis URL as base URL":                 {WithApp(app, canarySecret), WithBaseURL("redis://:" + canaryPassword + "@127.0.0.1:6379/0")},
		"a broken Redis URL as base URL":          {WithApp(app, canarySecret), WithBaseURL("redis://:" + canaryPassword + "%zz@127.0.0.1:6379/0")},
		"a base URL with a password":              {WithApp(app, canarySecret), WithBaseURL("https://user:" + canaryPassword + "@m.example.com")},
		"a base URL with a password and a space":  {WithApp(app, canarySecret), WithBaseURL("https://user:" + canaryPassword + "@m.example.com /")},
		"a base URL with a password and no host":  {WithApp(app, canarySecret), WithBaseURL("https://user:" + canaryPassword + "@")},
		"an API with a password":                  right(WithEndpoints(client.Endpoints{API: "https://user:" + canaryPassword + "@api.example.com"})),
		"an API with a password that is no URL":   right(WithEndpoints(client.Endpoints{API: "https://user:" + canaryPassword + "%zz@api.example.com"})),
		"an authorize page with a password":       right(WithEndpoints(client.Endpoints{Open: "https://user:" + canaryPassword + "@open.example.com"})),
		"a Redis URL and a store":                 right(WithRedisURL("redis://:"+canaryPassword+"@127.0.0.1:6379/0"), WithStore(store.NewMemory())),
		"a Redis URL and encryption with a short": right(WithRedisURL("redis://:"+canaryPassword+"@127.0.0.1:6379/0"), WithSessionEncryption([]byte("short"))),
		"several at once":                         {WithApp("", canarySecret), WithBaseURL("redis://:" + canaryPassword + "%zz@h"), WithRedisURL(":" + canaryPassword), WithFlowKeys([]byte(canaryFlowKey[:9]))},
	} {
		t.Run(name, func(t *testing.T) {
			require.Error(t, assertQuiet(t, opts))
		})
	}
}

func TestT42_ABaseURLThatIsWrongIsRepeatedWhereItHoldsNoPassword(t *testing.T) {
	_, err := New(right(WithBaseURL("m.example.com"))...)
	require.ErrorContains(t, err, `"m.example.com"`)
}

func TestT41_ARedirectOfWeChatsAPIIsNeverFollowed(t *testing.T) {
	clients := map[string][]Option{
		"its own client":      nil,
		"a client that would": {WithHTTPClient(&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return nil }})},
		"another transport":   {WithHTTPClient(&http.Client{Transport: tripping(http.DefaultTransport.RoundTrip)})},
	}
	statuses := []int{301, 302, 303, 307, 308, 300, 304, 305}
	for _, endpoint := range []string{tokenEndpoint, profileEndpoint, miniEndpoint} {
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
				assert.Zero(t, asked.Load(), "neither the secret nor the code has left")
				x.scan()
			})
		}
	}
}
