package authtest

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/wechattest"
)

var SessionKeyForTests = []byte("session-key-for-tests-0123456789")

const MiniApp = wechattest.DefaultMiniProgramAppID

func NewMiniSite(t *testing.T, opts ...wechatauth.Option) *Site {
	t.Helper()
	return NewSite(t, append([]wechatauth.Option{wechatauth.WithMiniProgram(MiniApp, wechattest.DefaultMiniProgramSecret)}, opts...)...)
}

// Request sends a request as wx.request does: without cookies.
func (s *Site) Request(method, path, token, body string) Response {
	s.T.Helper()
	r, err := http.NewRequest(method, s.Base.String()+path, strings.NewReader(body))
	require.NoError(s.T, err)
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := s.Server.Client().Transport.RoundTrip(r)
	require.NoError(s.T, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(s.T, err)
	return Response{resp, string(b)}
}

func Person(i int) string { return wechattest.DefaultPeople()[i].Name }

// MiniLogin logs a person in and returns the token.
func (s *Site) MiniLogin(who string) string {
	s.T.Helper()
	got := s.Request(http.MethodPost, "/wechat/mini/login", "", `{"code":"`+s.Sim.WXLogin(MiniApp, who)+`"}`)
	require.Equal(s.T, http.StatusOK, got.StatusCode, got.Text)
	var body map[string]any
	require.NoError(s.T, json.Unmarshal([]byte(got.Text), &body))
	require.Len(s.T, body, 2, "a token and its lifetime, and nothing else")
	// The session's deadline is by the machine's clock, the response by the
	// site's, which did not advance.
	assert.InDelta(s.T, 86400, body["expires_in"], 60)
	assert.Empty(s.T, got.Header["Set-Cookie"])
	return body["token"].(string)
}

// Ticket requests the URL of a web-view.
func (s *Site) Ticket(token, target string) string {
	s.T.Helper()
	got := s.Request(http.MethodPost, "/wechat/mini/ticket", token, `{"target":"`+target+`"}`)
	require.Equal(s.T, http.StatusOK, got.StatusCode, got.Text)
	var body struct {
		URL       string `json:"url"`
		ExpiresIn int    `json:"expires_in"`
	}
	require.NoError(s.T, json.Unmarshal([]byte(got.Text), &body))
	assert.Equal(s.T, 60, body.ExpiresIn)
	return body.URL
}

// WebView returns a mini program's web-view that sends no Sec-Fetch headers.
func (s *Site) WebView() *Browser { return s.Browser().As(wechattest.IPhoneMiniProgram) }

// Instances makes the site n processes that serve in turn, and returns the Auth
// of each.
func (s *Site) Instances(n int, opts ...wechatauth.Option) (auths []*wechatauth.Auth) {
	s.T.Helper()
	auths = append(auths, s.Auth)
	served := []http.Handler{s.Server.Config.Handler}
	for len(served) < n {
		other := *s
		other.Auth = s.Instance(opts...)
		auths = append(auths, other.Auth)
		served = append(served, other.Routes())
	}
	var turn atomic.Int64
	s.Server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served[int(turn.Add(1))%n].ServeHTTP(w, r)
	})
	return auths
}
