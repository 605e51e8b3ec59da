package wechattest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/wechattest"
)

// Paths called by package client, in addition to those of sim_test.go.
const (
	userInfoPath          = "sns/userinfo"
	checkTokenPath        = "sns/auth"
	code2SessionPath      = "sns/jscode2session"
	checkSessionPath      = "wxa/checksession"
	resetSessionPath      = "wxa/resetusersessionkey"
	stableTokenPath       = "cgi-bin/stable_token"
	platformExchangePath  = "sns/oauth2/component/access_token"
	platformRefreshPath   = "sns/oauth2/component/refresh_token"
	platformMiniLoginPath = "sns/component/jscode2session"
)

// A verdict is the error that package client must return for an errcode.
type verdict struct {
	kind client.Kind
	is   error // the only sentinel that matches; nil for none
}

// verdicts are those of the errcodes that have the same meaning at every
// endpoint.
var verdicts = map[int]verdict{
	-1:    {client.KindBusy, client.ErrBusy},
	40002: {client.KindConfiguration, nil},
	40003: {client.KindRestart, client.ErrOpenIDInvalid},
	40013: {client.KindConfiguration, client.ErrAppID},
	40029: {client.KindRestart, client.ErrCodeInvalid},
	40030: {client.KindRestart, client.ErrTokenInvalid},
	40066: {client.KindConfiguration, nil},
	40090: {client.KindConfiguration, client.ErrIPNotAllowed},
	40094: {client.KindConfiguration, client.ErrComponent},
	40125: {client.KindConfiguration, client.ErrAppSecret},
	40163: {client.KindRestart, client.ErrCodeUsed},
	40164: {client.KindConfiguration, client.ErrIPNotAllowed},
	40226: {client.KindUserBlocked, client.ErrUserBlocked},
	40243: {client.KindConfiguration, client.ErrAppSecret},
	41001: {client.KindConfiguration, nil},
	41002: {client.KindConfiguration, nil},
	41003: {client.KindConfiguration, nil},
	41004: {client.KindConfiguration, nil},
	41008: {client.KindRestart, client.ErrCodeInvalid},
	41009: {client.KindConfiguration, nil},
	41018: {client.KindConfiguration, nil},
	41021: {client.KindConfiguration, nil},
	42002: {client.KindRestart, client.ErrTokenInvalid},
	42003: {client.KindRestart, client.ErrCodeInvalid},
	42007: {client.KindRestart, client.ErrTokenInvalid},
	43001: {client.KindConfiguration, nil},
	43002: {client.KindConfiguration, nil},
	43003: {client.KindConfiguration, nil},
	43104: {client.KindConfiguration, client.ErrNotAuthorized},
	44002: {client.KindConfiguration, nil},
	45009: {client.KindRateLimited, client.ErrRateLimited},
	45011: {client.KindRateLimited, client.ErrRateLimited},
	45035: {client.KindConfiguration, client.ErrIPNotAllowed},
	47001: {client.KindConfiguration, nil},
	48001: {client.KindConfiguration, client.ErrNotAuthorized},
	48004: {client.KindConfiguration, client.ErrNotAuthorized},
	50001: {client.KindRestart, client.ErrNotAuthorized},
	50002: {client.KindUserBlocked, client.ErrUserBlocked},
	61003: {client.KindConfiguration, client.ErrComponent},
	61004: {client.KindConfiguration, client.ErrIPNotAllowed},
	61007: {client.KindConfiguration, client.ErrNotAuthorized},
	61011: {client.KindConfiguration, client.ErrComponent},
	61024: {client.KindConfiguration, client.ErrComponent},
	61450: {client.KindBusy, client.ErrBusy},
	87007: {client.KindRestart, client.ErrSessionKeyInvalid},
	87008: {client.KindConfiguration, nil},
	87009: {client.KindRestart, client.ErrSessionKeyInvalid},
	89503: {client.KindConfiguration, client.ErrIPNotAllowed},
	89506: {client.KindConfiguration, client.ErrIPNotAllowed},
	89507: {client.KindConfiguration, client.ErrIPNotAllowed},
	99999: {client.KindUnknown, nil}, // an errcode that no list contains
}

// The meanings of 40001, 40014 and 42001 depend on whose secret or token the
// call carries.
var (
	aboutSecret       = verdict{client.KindConfiguration, client.ErrAppSecret}
	aboutUserToken    = verdict{client.KindRestart, client.ErrTokenInvalid}
	aboutAccountToken = verdict{client.KindConfiguration, client.ErrTokenInvalid}
	aboutPlatform     = verdict{client.KindConfiguration, client.ErrComponent}
)

var sentinels = []error{
	client.ErrBusy, client.ErrCodeInvalid, client.ErrCodeUsed, client.ErrUserBlocked, client.ErrTokenInvalid,
	client.ErrOpenIDInvalid, client.ErrSessionKeyInvalid, client.ErrNotAuthorized, client.ErrAppID, client.ErrAppSecret,
	client.ErrIPNotAllowed, client.ErrComponent, client.ErrRateLimited, client.ErrBadResponse,
}

// A caller calls a simulator through package client and records the responses.
type caller struct {
	t    *testing.T
	sim  *wechattest.Server
	body string // the last response body
}

func newCaller(t *testing.T, opts ...wechattest.Option) *caller {
	return &caller{t: t, sim: simulator(t, opts...)}
}

func (a *caller) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	a.body, resp.Body = string(body), io.NopCloser(bytes.NewReader(body))
	return resp, err
}

func (a *caller) client(appID, secret string, opts ...client.Option) *client.Client {
	return newClient(a.t, a.sim, appID, secret, append(opts, client.WithHTTPClient(&http.Client{Transport: a}))...)
}

func (a *caller) account() *client.Client { return a.client(appID, secret) }
func (a *caller) mini() *client.Client    { return a.client(miniID, miniSecret) }

// asPlatform returns a client that acts for an account with a token of the
// platform.
func (a *caller) asPlatform(appID, token string) *client.Client {
	return a.client(appID, "", client.WithComponent(platform, func(context.Context) (client.Secret, error) {
		return client.NewSecret(token), nil
	}))
}

// givenToken always supplies the same account token.
type givenToken string

func (g givenToken) AccountToken(context.Context, client.Secret) (client.Secret, error) {
	return client.NewSecret(string(g)), nil
}

func (a *caller) miniWith(accountToken string) *client.Client {
	return a.client(miniID, miniSecret, client.WithAccountToken(givenToken(accountToken)))
}

// login completes a login with a scope.
func (a *caller) login(scope client.Scope) *client.Token {
	token, err := a.account().Exchange(a.t.Context(), code(a.t, a.sim, string(scope)))
	require.NoError(a.t, err)
	return token
}

// platformCode returns the code of a login started by the platform.
func (a *caller) platformCode() string {
	callback, err := a.sim.CallbackURL(phone(), a.asPlatform(appID, "unused").AuthorizeURL(loopback, client.ScopeBase, "s1"))
	require.NoError(a.t, err)
	return codeOf(a.t, callback)
}

func (a *caller) platformLogin() *client.Token {
	token, err := a.asPlatform(appID, a.sim.ComponentToken(platform)).Exchange(a.t.Context(), a.platformCode())
	require.NoError(a.t, err)
	return token
}

// miniLogin completes a mini program login of the current person.
func (a *caller) miniLogin() *client.MiniSession {
	session, err := a.mini().Code2Session(a.t.Context(), a.sim.WXLogin(miniID, "小明"))
	require.NoError(a.t, err)
	return session
}

// assertRejected checks all properties of the error for an errcode.
func (a *caller) assertRejected(err error, endpoint string, code int, want verdict) {
	a.t.Helper()
	var e *client.Error
	if !assert.ErrorAs(a.t, err, &e) {
		return
	}
	assert.Equal(a.t, code, e.Code)
	assert.Equal(a.t, endpoint, e.Endpoint)
	assert.Equal(a.t, want.kind, e.Kind(), "kind %s", e.Kind())
	for _, sentinel := range sentinels {
		assert.Equal(a.t, sentinel == want.is, errors.Is(err, sentinel), "is %q", sentinel)
	}
	assert.Regexp(a.t, `^[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}$`, e.RID)
	assert.Contains(a.t, a.body, "rid: "+e.RID, "the rid that was sent")
	assert.NotEmpty(a.t, e.Message)
	assert.NotRegexp(a.t, `rid:|hint`, e.Message)
}

// TestClient_Errcodes scripts the errcodes that WeChat documents for an
// endpoint or that were seen there.
func TestClient_Errcodes(t *testing.T) {
	var responses atomic.Int64
	everywhere := []int{-1, 40066, 43003, 45009, 45011, 61450, 99999}
	endpoints := []struct {
		name, path string
		call       func(a *caller) error
		token      verdict // what 40001, 40014 and 42001 mean here
		codes      []int   // in addition to those of all endpoints
	}{
		{"Exchange", exchangePath, func(a *caller) error {
			_, err := a.account().Exchange(t.Context(), "0bogus")
			return err
		}, aboutSecret, []int{40001, 40002, 40013, 40029, 40125, 40163, 40164, 40243, 41002, 41004, 41008, 42003, 43001, 45035, 48004, 61004, 89503, 89506, 89507}},
		{"Refresh", refreshPath, func(a *caller) error {
			_, err := a.account().Refresh(t.Context(), "bogus")
			return err
		}, aboutUserToken, []int{40001, 40002, 40013, 40014, 40029, 40030, 41002, 41003, 42001, 42002, 42007, 43001}},
		{"UserInfo", userInfoPath, func(a *caller) error {
			_, err := a.account().UserInfo(t.Context(), "bogus", "o1", client.LangEN)
			return err
		}, aboutUserToken, []int{40001, 40003, 40014, 41001, 41009, 42001, 42007, 43001, 48001, 48004, 50001, 50002}},
		{"CheckToken", checkTokenPath, func(a *caller) error {
			return a.account().CheckToken(t.Context(), "bogus", "o1")
		}, aboutUserToken, []int{40001, 40003, 40014, 41001, 41009, 42001, 42007, 43001}},
		{"Code2Session", code2SessionPath, func(a *caller) error {
			_, err := a.mini().Code2Session(t.Context(), "0bogus")
			return err
		}, aboutSecret, []int{40001, 40002, 40013, 40029, 40125, 40163, 40164, 40226, 40243, 41002, 41004, 41008, 43001, 61004}},
		{"CheckSession", checkSessionPath, func(a *caller) error {
			return a.mini().CheckSession(t.Context(), "o1", "key")
		}, aboutAccountToken, []int{40001, 40003, 40014, 41001, 41009, 42001, 43001, 43104, 48001, 48004, 61007, 87007, 87008, 87009}},
		{"ResetSession", resetSessionPath, func(a *caller) error {
			_, err := a.mini().ResetSession(t.Context(), "o1", "key")
			return err
		}, aboutAccountToken, []int{40001, 40003, 40014, 41001, 41009, 42001, 43001, 43104, 48001, 48004, 61007, 87007, 87008, 87009}},
		{"PhoneNumber", numberPath, func(a *caller) error {
			_, err := a.mini().PhoneNumber(t.Context(), "0bogus")
			return err
		}, aboutAccountToken, []int{40001, 40003, 40013, 40014, 40029, 41001, 42001, 43002, 43104, 44002, 47001, 48001, 48004, 61007}},
		{"the account's token", stableTokenPath, func(a *caller) error {
			return a.mini().CheckSession(t.Context(), "o1", "key")
		}, aboutSecret, []int{40001, 40002, 40013, 40125, 40164, 40243, 41002, 41004, 43002, 44002, 45035, 47001, 61004, 89503, 89506, 89507}},
		{"Exchange for a platform", platformExchangePath, func(a *caller) error {
			_, err := a.asPlatform(appID, "bogus").Exchange(t.Context(), "0bogus")
			return err
		}, aboutPlatform, []int{40001, 40002, 40013, 40014, 40029, 40090, 40094, 40163, 41002, 41004, 41008, 41018, 41021, 42001, 43001, 48001, 61003, 61004, 61007, 61011, 61024}},
		{"Refresh for a platform", platformRefreshPath, func(a *caller) error {
			_, err := a.asPlatform(appID, "bogus").Refresh(t.Context(), "bogus")
			return err
		}, aboutPlatform, []int{40001, 40002, 40013, 40014, 40030, 40090, 40094, 41002, 41003, 41018, 41021, 42001, 42002, 42007, 43001, 61003, 61004, 61007, 61011, 61024}},
		{"Code2Session for a platform", platformMiniLoginPath, func(a *caller) error {
			_, err := a.asPlatform(miniID, "bogus").Code2Session(t.Context(), "0bogus")
			return err
		}, aboutPlatform, []int{40001, 40002, 40013, 40014, 40029, 40090, 40094, 40163, 40226, 41002, 41004, 41008, 41018, 41021, 42001, 43001, 48001, 61003, 61004, 61007, 61011, 61024}},
	}
	t.Run("endpoint", func(t *testing.T) {
		for _, e := range endpoints {
			t.Run(e.name, func(t *testing.T) {
				t.Parallel()
				for _, code := range append(everywhere[:len(everywhere):len(everywhere)], e.codes...) {
					t.Run(fmt.Sprint(code), func(t *testing.T) {
						a := newCaller(t)
						fault := wechattest.Errcode(code)
						a.sim.Fail(e.path, fault, fault) // the client may retry when busy, or with a new token
						want, known := verdicts[code]
						if !known {
							want = e.token
						}
						a.assertRejected(e.call(a), e.path, code, want)
						responses.Add(1)
					})
				}
			})
		}
	})
	t.Logf("responses %d", responses.Load())
}
