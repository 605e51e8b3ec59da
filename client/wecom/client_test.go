package wecom

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
)

func TestNew_Errors(t *testing.T) {
	for want, args := range map[string]struct {
		corp, secret string
		agent        int
		opt          Option
	}{
		"wecom: corp ID is empty":                            {"", testSecret, 1, WithTimeout(time.Second)},
		"wecom: corp ID must be":                             {"gh_1234567890", testSecret, 1, WithTimeout(time.Second)},
		"wecom: AgentId must be positive":                    {testCorpID, testSecret, 0, WithTimeout(time.Second)},
		"wecom: secret is empty":                             {testCorpID, "", 1, WithTimeout(time.Second)},
		"wecom: AppSecret contains a space":                  {testCorpID, testSecret + "\n", 1, WithTimeout(time.Second)},
		"wecom: nil Option":                                  {testCorpID, testSecret, 1, nil},
		"wecom: WithTimeout: must be between":                {testCorpID, testSecret, 1, WithTimeout(time.Hour)},
		"wecom: WithHTTPClient: nil client":                  {testCorpID, testSecret, 1, WithHTTPClient(nil)},
		"wecom: WithTokenCache: nil cache":                   {testCorpID, testSecret, 1, WithTokenCache(nil)},
		"wecom: Endpoints.Login must use https":              {testCorpID, testSecret, 1, WithEndpoints(Endpoints{Login: "http://login.example.com"})},
		"wecom: Endpoints.API must begin with https":         {testCorpID, testSecret, 1, WithEndpoints(Endpoints{API: "qyapi.example.com"})},
		"wecom: Endpoints.Open must not contain a user name": {testCorpID, testSecret, 1, WithEndpoints(Endpoints{Open: "https://u:p@open.example.com"})},
	} {
		_, err := New(args.corp, args.agent, args.secret, args.opt)
		if assert.Error(t, err, want) {
			assert.Contains(t, err.Error(), want)
			assert.NotContains(t, err.Error(), testSecret)
		}
	}
}

func TestClient_Format(t *testing.T) {
	c, err := New(testCorpID, testAgentID, testSecret)
	require.NoError(t, err)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		assert.Equal(t, "wecom.Client(ww1234567890abcdef 1000002)", fmt.Sprintf(verb, c))
	}
	assert.NotContains(t, fmt.Sprintf("%+v", *c), testSecret)
}

func TestClient_AuthorizeURL(t *testing.T) {
	c, err := New(testCorpID, testAgentID, testSecret)
	require.NoError(t, err)
	callback := "https://oa.example.com:8443/auth/wecom/callback?a=b c"
	assert.Equal(t, "https://open.weixin.qq.com/connect/oauth2/authorize?appid=ww1234567890abcdef"+
		"&redirect_uri=https%3A%2F%2Foa.example.com%3A8443%2Fauth%2Fwecom%2Fcallback%3Fa%3Db%20c&response_type=code"+
		"&scope=snsapi_base&state=8f0c1d2e&agentid=1000002#wechat_redirect", c.AuthorizeURL(callback, client.ScopeBase, "8f0c1d2e"))
	assert.Contains(t, c.AuthorizeURL(callback, ScopePrivateInfo, "s"), "&scope=snsapi_privateinfo&state=s&agentid=1000002#")
}

func TestClient_LoginURL(t *testing.T) {
	c, err := New(testCorpID, testAgentID, testSecret)
	require.NoError(t, err)
	want := "https://login.work.weixin.qq.com/wwlogin/sso/login?login_type=CorpApp&appid=ww1234567890abcdef&agentid=1000002" +
		"&redirect_uri=https%3A%2F%2Foa.example.com%2Fcb&state=8f0c1d2e"
	assert.Equal(t, want, c.LoginURL("https://oa.example.com/cb", "8f0c1d2e", ""))
	assert.Equal(t, want+"&lang=en", c.LoginURL("https://oa.example.com/cb", "8f0c1d2e", client.LangEN))
	assert.Equal(t, want+"&lang=zh", c.LoginURL("https://oa.example.com/cb", "8f0c1d2e", client.LangZhCN))

	private, err := New(testCorpID, testAgentID, testSecret, WithEndpoints(Endpoints{Open: "https://wecom.example.com/open/", Login: "https://login.example.com"}))
	require.NoError(t, err)
	assert.Contains(t, private.AuthorizeURL("https://a.example", client.ScopeBase, "s"), "https://wecom.example.com/open/connect/oauth2/authorize?")
	assert.Contains(t, private.LoginURL("https://a.example", "s", ""), "https://login.example.com/wwlogin/sso/login?")
}

type failing struct{}

func (failing) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, fmt.Errorf("no route to %s", r.URL)
}

// The error of a transport repeats the URL, in which the secret or the token is.
func TestClient_TransportErrors(t *testing.T) {
	c, err := New(testCorpID, testAgentID, testSecret, WithHTTPClient(&http.Client{Transport: failing{}}))
	require.NoError(t, err)
	_, err = c.UserInfo(t.Context(), testCode)
	e := failure(t, err)
	assert.Equal(t, "cgi-bin/gettoken", e.Endpoint)
	assert.Equal(t, client.KindRetry, e.Kind())
	assertNoSecrets(t, err)

	var calls []client.Call
	p := newPeer(t, always(""))
	c = p.client(t, WithObserver(func(_ context.Context, call client.Call) { calls = append(calls, call) }))
	_, err = c.UserInfo(t.Context(), testCode)
	assertNoSecrets(t, err)
	assert.ErrorIs(t, err, client.ErrBadResponse)
	if assert.Len(t, calls, 2) {
		assert.Equal(t, []string{testCorpID, "cgi-bin/gettoken"}, []string{calls[0].AppID, calls[0].Endpoint})
		assert.Equal(t, []string{testCorpID, "cgi-bin/auth/getuserinfo"}, []string{calls[1].AppID, calls[1].Endpoint})
		assert.Equal(t, err, calls[1].Err)
	}
}
