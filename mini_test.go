package wechatauth

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/wechattest"
)

const miniApp = wechattest.DefaultMiniProgramAppID

func newMiniSite(t *testing.T, opts ...Option) *site {
	t.Helper()
	return newSite(t, append([]Option{WithMiniProgram(miniApp, wechattest.DefaultMiniProgramSecret)}, opts...)...)
}

// request asks as wx.request does: without cookies.
func (s *site) request(method, path, token, body string) answer {
	s.t.Helper()
	r, err := http.NewRequest(method, s.auth.base.String()+path, strings.NewReader(body))
	require.NoError(s.t, err)
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := s.server.Client().Transport.RoundTrip(r)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return answer{resp, string(b)}
}

func person(i int) string { return wechattest.DefaultPeople()[i].Name }

// miniLogin logs a person in and returns the token.
func (s *site) miniLogin(who string) string {
	s.t.Helper()
	got := s.request(http.MethodPost, "/wechat/mini/login", "", `{"code":"`+s.sim.JSCode(miniApp, who)+`"}`)
	require.Equal(s.t, http.StatusOK, got.StatusCode, got.body)
	var body map[string]any
	require.NoError(s.t, json.Unmarshal([]byte(got.body), &body))
	require.Len(s.t, body, 2, "a token and its life, and nothing else")
	assert.EqualValues(s.t, 86400, body["expires_in"])
	assert.Empty(s.t, got.Header["Set-Cookie"])
	return body["token"].(string)
}

func TestAMiniProgramLogsInAndPassesWithItsBearerToken(t *testing.T) {
	for name, opts := range map[string][]Option{
		"in memory":  nil,
		"over Redis": {WithRedis(redistest.Start(t).Pool())},
	} {
		t.Run(name, func(t *testing.T) {
			s := newMiniSite(t, opts...)
			token := s.miniLogin(person(0))

			got := s.request(http.MethodGet, "/api/me", token, "")
			assert.Contains(t, got.body, "logged-in=true")
			assert.Empty(t, got.Header["Set-Cookie"])

			out := s.request(http.MethodPost, "/wechat/logout", token, "")
			assert.Equal(t, http.StatusNoContent, out.StatusCode)
			assert.Empty(t, out.Header["Set-Cookie"], "no cookie, ever")
			after := s.request(http.MethodGet, "/api/me", token, "")
			assert.Equal(t, http.StatusUnauthorized, after.StatusCode)
			assert.Contains(t, after.body, "session_unknown")
		})
	}
}

func TestABearerTokenIsNoCookieAndACookieIsNoBearerToken(t *testing.T) {
	s := newMiniSite(t)
	token := s.miniLogin(person(0))
	b := s.browser()
	for _, value := range []string{token, strings.TrimPrefix(token, bearerPrefix)} {
		b.setCookie(s.sessionCookie(), value)
		assert.Equal(t, http.StatusUnauthorized, b.fetch(http.MethodGet, "/a").StatusCode)
	}
	b = s.browser()
	b.visit("/a")
	cookie := b.cookie(s.sessionCookie()).Value
	for _, value := range []string{cookie, bearerPrefix + cookie} {
		got := s.request(http.MethodGet, "/a", value, "")
		assert.Equal(t, http.StatusUnauthorized, got.StatusCode)
	}
	// A request with both is the bearer's, and with a bad one nobody's.
	both := func(token string) string {
		return b.do(b.client, http.MethodGet, "/public", nil, http.Header{"Authorization": {"Bearer " + token}}).body
	}
	assert.Contains(t, both(token), "logged-in=true")
	assert.Contains(t, both(token), "scope=", "the mini program's identity has no scope")
	assert.NotContains(t, both(token), "scope=snsapi_base")
	assert.Contains(t, both("wxm_nothing"), "logged-in=false")
}

func TestParallelLoginsWithOneCodeAreOneCall(t *testing.T) {
	s := newMiniSite(t)
	code := s.sim.JSCode(miniApp, person(0))
	release := s.sim.Block("/sns/jscode2session")
	bodies := make(chan string, 20)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			got := s.request(http.MethodPost, "/wechat/mini/login", "", `{"code":"`+code+`"}`)
			bodies <- got.body
		})
	}
	require.NoError(t, s.sim.Await(context.Background(), "/sns/jscode2session", 1))
	release()
	wg.Wait()
	close(bodies)
	tokens := map[string]bool{}
	for body := range bodies {
		tokens[body] = true
	}
	assert.Len(t, tokens, 1)
	assert.Equal(t, 1, s.sim.Count("/sns/jscode2session"))

	s.clock.Advance(outcomeTTL + time.Second)
	late := s.request(http.MethodPost, "/wechat/mini/login", "", `{"code":"`+code+`"}`)
	assert.Equal(t, http.StatusUnauthorized, late.StatusCode)
	assert.Contains(t, late.body, "code_used")
}

func TestWeChatsAnswersToAMiniProgramHaveTheirStatus(t *testing.T) {
	tests := map[string]struct {
		fault  wechattest.Fault
		status int
		reason Reason
	}{
		"an unknown code":   {wechattest.Errcode(40029), http.StatusUnauthorized, ReasonCodeExpired},
		"a used code":       {wechattest.Errcode(40163), http.StatusUnauthorized, ReasonCodeUsed},
		"a blocked user":    {wechattest.Errcode(40226), http.StatusForbidden, ReasonUserBlocked},
		"the minute's rate": {wechattest.Errcode(45011), http.StatusTooManyRequests, ReasonRateLimited},
		"a wrong secret":    {wechattest.Errcode(40125), http.StatusInternalServerError, ReasonBadConfig},
		"a gateway":         {wechattest.BadGateway(), http.StatusBadGateway, ReasonUpstreamError},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newMiniSite(t)
			s.sim.Fail("/sns/jscode2session", tt.fault)
			got := s.request(http.MethodPost, "/wechat/mini/login", "", `{"code":"`+s.sim.JSCode(miniApp, person(0))+`"}`)
			assert.Equal(t, tt.status, got.StatusCode)
			assert.Contains(t, got.body, string(tt.reason))
			assert.Equal(t, tt.status == http.StatusTooManyRequests, got.Header.Get("Retry-After") != "")
		})
	}
}

func TestABadMiniLoginNeverReachesWeChat(t *testing.T) {
	s := newMiniSite(t)
	for name, body := range map[string]string{
		"nothing":     "",
		"no JSON":     "code=abc",
		"no code":     `{}`,
		"an array":    `["abc"]`,
		"a bad code":  `{"code":"a&secret=x"}`,
		"a long code": `{"code":"` + strings.Repeat("a", 129) + `"}`,
		"a flood":     `{"code":"` + strings.Repeat("a", 8<<10) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			got := s.request(http.MethodPost, "/wechat/mini/login", "", body)
			assert.Equal(t, http.StatusBadRequest, got.StatusCode)
		})
	}
	assert.Equal(t, http.StatusMethodNotAllowed, s.request(http.MethodGet, "/wechat/mini/login", "", "").StatusCode)
	assert.Equal(t, http.StatusNotFound, newSite(t).request(http.MethodPost, "/wechat/mini/login", "", `{"code":"abc"}`).StatusCode)
	assert.Empty(t, s.sim.Journal())
}

func TestTheSessionKeyStaysOnTheServerAndOpensData(t *testing.T) {
	redis := redistest.Start(t)
	s := newMiniSite(t, WithRedis(redis.Pool()))
	type result struct {
		plain       []byte
		err, forged error
	}
	var got result
	s.handle("/data", func(w http.ResponseWriter, r *http.Request) {
		m, err := s.auth.MiniProgram(r.Context())
		if err != nil {
			got = result{err: err}
			return
		}
		_ = r.ParseForm()
		got.plain, got.err = m.Decrypt(r.Context(), r.Form.Get("data"), r.Form.Get("iv"))
		if got.err == nil {
			got.err = m.VerifySignature(r.Context(), r.Form.Get("raw"), r.Form.Get("sig"))
		}
		got.forged = m.VerifySignature(r.Context(), r.Form.Get("raw")+" ", r.Form.Get("sig"))
	})
	token := s.miniLogin(person(0))
	payload := s.sim.UserPayload(miniApp, person(0))
	ask := func() {
		s.request(http.MethodGet, "/data?"+url.Values{
			"data": {payload.EncryptedData}, "iv": {payload.IV}, "raw": {payload.RawData}, "sig": {payload.Signature},
		}.Encode(), token, "")
	}
	ask()
	require.NoError(t, got.err)
	assert.Contains(t, string(got.plain), miniApp)
	assert.ErrorIs(t, got.forged, ErrSessionKeyStale)

	s.sim.Switch(wechattest.SessionKeyRotates, true)
	s.sim.JSCode(miniApp, person(0)) // wx.login without logging in: WeChat has another key now
	s.sim.Switch(wechattest.SessionKeyRotates, false)
	s.sim.Count("x")
	fresh := s.sim.JSCode(miniApp, person(0))
	_, err := s.auth.mini.client.Code2Session(context.Background(), fresh)
	require.NoError(t, err)
	payload = s.sim.UserPayload(miniApp, person(0))
	ask()
	assert.ErrorIs(t, got.err, ErrSessionKeyStale)

	b := s.browser()
	b.visit("/data")
	assert.ErrorIs(t, got.err, ErrNoMiniProgram, "a browser's visitor has no session_key")
	assert.NotContains(t, s.logs.String(), "session_key ")
}

func TestPhoneNumber(t *testing.T) {
	s := newMiniSite(t)
	var number string
	var failed error
	s.handle("/phone", func(w http.ResponseWriter, r *http.Request) {
		m, err := s.auth.MiniProgram(r.Context())
		if err != nil {
			failed = err
			return
		}
		p, err := m.PhoneNumber(r.Context(), r.URL.Query().Get("code"))
		if err != nil {
			failed = err
			return
		}
		number = p.PureNumber
	})
	s.request(http.MethodGet, "/phone?code="+s.sim.PhoneCode(miniApp, person(0)), s.miniLogin(person(0)), "")
	require.NoError(t, failed)
	assert.NotEmpty(t, number)
}

func TestATicketCarriesTheLoginIntoTheWebViewOnce(t *testing.T) {
	s := newMiniSite(t)
	token := s.miniLogin(person(0))
	got := s.request(http.MethodPost, "/wechat/mini/ticket", token, `{"target":"/orders?id=7"}`)
	require.Equal(t, http.StatusOK, got.StatusCode, got.body)
	var body struct {
		URL string `json:"url"`
	}
	require.NoError(t, json.Unmarshal([]byte(got.body), &body))

	elsewhere := s.browser()
	elsewhere.header.Set("Sec-Fetch-Site", "cross-site")
	assert.Equal(t, http.StatusBadRequest, elsewhere.step(body.URL).StatusCode, "not from a link of another site")

	view := s.browser()
	assert.Contains(t, view.visit(body.URL).body, "url=/orders?id=7 logged-in=true")
	assert.Equal(t, "/orders", mustParse(t, view.trail[len(view.trail)-1]).Path)
	assert.Contains(t, view.visit("/b").body, "logged-in=true")
	assert.Zero(t, s.sim.Count("/connect/oauth2/authorize"))

	second := s.browser().step(body.URL)
	assert.Equal(t, http.StatusBadRequest, second.StatusCode)
	assert.Contains(t, second.body, "code_used")

	late := s.request(http.MethodPost, "/wechat/mini/ticket", token, `{"target":"//evil.example"}`)
	require.NoError(t, json.Unmarshal([]byte(late.body), &body))
	s.clock.Advance(enterTTL + time.Second)
	assert.Equal(t, http.StatusBadRequest, s.browser().step(body.URL).StatusCode, "good for a minute")

	assert.Equal(t, http.StatusUnauthorized, s.request(http.MethodPost, "/wechat/mini/ticket", "", `{"target":"/"}`).StatusCode)
	b := s.browser()
	b.visit("/a")
	assert.Equal(t, http.StatusUnauthorized, b.fetch(http.MethodPost, "/wechat/mini/ticket").StatusCode, "a cookie makes no ticket")
}

func TestRevokeUserEndsAMiniProgramsSessionsToo(t *testing.T) {
	s := newMiniSite(t)
	var openID string
	s.handle("/id", func(w http.ResponseWriter, r *http.Request) {
		id, _ := IdentityFromContext(r.Context())
		openID = id.OpenID
	})
	token := s.miniLogin(person(0))
	s.request(http.MethodGet, "/id", token, "")
	n, err := s.auth.RevokeUser(context.Background(), miniApp, openID)
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	assert.Equal(t, http.StatusUnauthorized, s.request(http.MethodGet, "/a", token, "").StatusCode)
}

func TestOnLoginMayRefuseAMiniProgramsUser(t *testing.T) {
	s := newMiniSite(t, WithOnLogin(func(context.Context, Identity) error { return errors.New("not here") }))
	got := s.request(http.MethodPost, "/wechat/mini/login", "", `{"code":"`+s.sim.JSCode(miniApp, person(0))+`"}`)
	assert.Equal(t, http.StatusForbidden, got.StatusCode)
	assert.Contains(t, got.body, "not_authorized")
	assert.NotContains(t, got.body, "not here")
}
