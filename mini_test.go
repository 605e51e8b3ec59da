package wechatauth

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/internal/singleflight"
	"github.com/wechatauth/wechatauth/store"
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
	// The session's deadline is by the machine's clock, the answer by the site's,
	// which stood still meanwhile.
	assert.InDelta(s.t, 86400, body["expires_in"], 60)
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
	for _, value := range []string{token, strings.TrimPrefix(token, session.BearerPrefix)} {
		b.setCookie(s.sessionCookie(), value)
		assert.Equal(t, http.StatusUnauthorized, b.fetch(http.MethodGet, "/a").StatusCode)
	}
	b = s.browser()
	b.visit("/a")
	cookie := b.cookie(s.sessionCookie()).Value
	for _, value := range []string{cookie, session.BearerPrefix + cookie} {
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

func TestABearerTokenIsOneUnderTheManagersOwnLoadAndSaveToo(t *testing.T) {
	s := newMiniSite(t)
	s.server.Config.Handler = s.auth.Sessions().LoadAndSave(s.server.Config.Handler)
	token := s.miniLogin(person(0))
	b := s.browser()
	b.setCookie(s.sessionCookie(), strings.TrimPrefix(token, session.BearerPrefix))
	assert.Equal(t, http.StatusUnauthorized, b.fetch(http.MethodGet, "/a").StatusCode, "as a cookie, which scs has loaded")

	got := s.request(http.MethodGet, "/a", token, "")
	assert.Equal(t, http.StatusOK, got.StatusCode)
	assert.Empty(t, got.Header["Set-Cookie"])
	assert.Equal(t, http.StatusNoContent, s.request(http.MethodPost, "/wechat/logout", token, "").StatusCode)
	assert.Equal(t, http.StatusUnauthorized, s.request(http.MethodGet, "/a", token, "").StatusCode)
}

func TestFiftyLoginsWithOneCodeAtOnceAreOneCallAndOneToken(t *testing.T) {
	for name, tt := range map[string]struct {
		opts      []Option
		instances int
	}{
		"in memory":                   {nil, 1},
		"two instances on one Redis":  {[]Option{WithRedis(redistest.Start(t).Pool())}, 2},
		"Redis, and session at rest":  {[]Option{WithRedis(redistest.Start(t).Pool()), WithSessionEncryption(sessionKeyForTests)}, 2},
		"a hook that takes its time":  {[]Option{WithOnLogin(func(context.Context, Identity) error { runtime.Gosched(); return nil })}, 1},
		"a client that goes on alone": {[]Option{WithIdleTimeout(time.Hour)}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newMiniSite(t, tt.opts...)
			gates := s.instances(tt.instances, append([]Option{WithMiniProgram(miniApp, wechattest.DefaultMiniProgramSecret)}, tt.opts...)...)
			allWait, settled := make(chan struct{}), make(chan struct{})
			var waiting atomic.Int64
			for _, a := range gates {
				a.claims.Wait = func(ctx context.Context, d time.Duration) error {
					select {
					case <-settled:
					default:
						if waiting.Add(1) == 49 {
							close(allWait)
						}
						<-settled
					}
					return singleflight.Sleep(ctx, d)
				}
			}
			code := s.sim.JSCode(miniApp, person(0))
			release := s.sim.Block("/sns/jscode2session")
			bodies := make(chan string, 50)
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					bodies <- s.request(http.MethodPost, "/wechat/mini/login", "", `{"code":"`+code+`"}`).body
				})
			}
			<-allWait
			release()
			close(settled)
			wg.Wait()
			close(bodies)
			answers := map[string]bool{}
			for body := range bodies {
				answers[body] = true
			}
			require.Len(t, answers, 1)
			assert.Equal(t, 1, s.sim.Count("/sns/jscode2session"))
			for body := range answers {
				var got struct{ Token string }
				require.NoError(t, json.Unmarshal([]byte(body), &got), body)
				for range 2 * tt.instances {
					assert.Equal(t, http.StatusOK, s.request(http.MethodGet, "/api", got.Token, "").StatusCode)
				}
			}
		})
	}
}

// instances makes the site so many processes, which take turns, and returns
// their gates.
func (s *site) instances(n int, opts ...Option) (gates []*Auth) {
	s.t.Helper()
	gates = append(gates, s.auth)
	served := []http.Handler{s.server.Config.Handler}
	for len(served) < n {
		other := *s
		auth, err := New(append([]Option{
			WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret), WithBaseURL(s.auth.base.String()),
			WithEndpoints(s.sim.Endpoints()), withClock(s.clock.Now), WithLogger(s.auth.log),
		}, opts...)...)
		require.NoError(s.t, err)
		other.auth = auth
		gates = append(gates, auth)
		served = append(served, other.routes())
	}
	var turn atomic.Int64
	s.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served[int(turn.Add(1))%n].ServeHTTP(w, r)
	})
	return gates
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

func TestDataThatNoKeyWouldOpenIsNoStaleKey(t *testing.T) {
	s := newMiniSite(t)
	var got error
	s.handle("/data", func(w http.ResponseWriter, r *http.Request) {
		m, err := s.auth.MiniProgram(r.Context())
		require.NoError(t, err)
		_, got = m.Decrypt(r.Context(), r.FormValue("data"), r.FormValue("iv"))
	})
	token := s.miniLogin(person(0))
	p := s.sim.UserPayload(miniApp, person(0))
	ask := func(data, iv string) error {
		s.request(http.MethodGet, "/data?"+url.Values{"data": {data}, "iv": {iv}}.Encode(), token, "")
		return got
	}
	require.NoError(t, ask(p.EncryptedData, p.IV))
	for name, bad := range map[string][2]string{
		"nothing":          {"", ""},
		"no base64":        {"!!", p.IV},
		"half a block":     {p.EncryptedData[:40], p.IV},
		"an iv of 3 bytes": {p.EncryptedData, "AAAA"},
		"escaped twice":    {url.QueryEscape(p.EncryptedData), p.IV},
	} {
		err := ask(bad[0], bad[1])
		assert.ErrorIs(t, err, client.ErrDecrypt, name)
		assert.NotErrorIs(t, err, ErrSessionKeyStale, name)
	}
	assert.ErrorIs(t, ask(p.EncryptedData[:64], p.IV), ErrSessionKeyStale, "whole blocks, of another key perhaps")
}

func TestAWebViewsStepUpIsRefusedToAnotherPerson(t *testing.T) {
	s := newMiniSite(t)
	for i, want := range []string{"url=/profile logged-in=true", string(ReasonIdentityMismatch)} {
		view := s.browser().as(wechattest.AndroidMiniProgram)
		require.Contains(t, view.visit(s.ticket(s.miniLogin(person(0)), "/a")).body, "logged-in=true")
		view.setCookie("wechatsim_person", url.QueryEscape(person(i)))
		got := view.allow(view.post("/wechat/upgrade", url.Values{"next": {"/profile"}}))
		assert.Contains(t, got.body, want)
		stays := wechattest.OpenID([]string{wechattest.DefaultAppID, miniApp}[i], person(0))
		assert.Contains(t, view.visit("/a").body, stays)
	}
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

// ticket asks for the URL of a web-view.
func (s *site) ticket(token, target string) string {
	s.t.Helper()
	got := s.request(http.MethodPost, "/wechat/mini/ticket", token, `{"target":"`+target+`"}`)
	require.Equal(s.t, http.StatusOK, got.StatusCode, got.body)
	var body struct {
		URL       string `json:"url"`
		ExpiresIn int    `json:"expires_in"`
	}
	require.NoError(s.t, json.Unmarshal([]byte(got.body), &body))
	assert.Equal(s.t, 60, body.ExpiresIn)
	return body.URL
}

// A proxy in front, or the application's own scripts, may send a bearer token that
// is none of ours. It hides no cookie.
func TestBearerOfAnother(t *testing.T) {
	for name, opts := range map[string][]Option{"in memory": nil, "over Redis": {WithRedis(redistest.Start(t).Pool())}} {
		t.Run(name, func(t *testing.T) {
			s := newMiniSite(t, opts...)
			b := s.browser()
			b.header.Set("Authorization", "Bearer eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl")
			b.header.Set("Sec-Fetch-Mode", "navigate")
			b.header.Set("Sec-Fetch-Dest", "document")

			assert.Contains(t, b.visit("/a").body, "url=/a logged-in=true openid="+aliceOpenID)
			assert.Equal(t, 1, s.exchanges())
			assert.Contains(t, b.fetch(http.MethodPost, "/api").body, "logged-in=true")
			held := b.cookie(s.sessionCookie()).Value

			assert.Contains(t, b.post("/wechat/logout", nil).body, "您已退出登录")
			assert.Nil(t, b.cookie(s.sessionCookie()))
			b.header.Del("Authorization")
			b.setCookie(s.sessionCookie(), held)
			assert.Equal(t, http.StatusUnauthorized, b.fetch(http.MethodGet, "/api").StatusCode, "the session has ended, and not only its cookie")
			assert.Equal(t, http.StatusUnauthorized, s.request(http.MethodGet, "/api", "eyJhbGciOiJIUzI1NiJ9", "").StatusCode)
		})
	}
}

func TestATicketCarriesTheLoginIntoTheWebViewOnce(t *testing.T) {
	for name, opts := range map[string][]Option{"in memory": nil, "over Redis": {WithRedis(redistest.Start(t).Pool())}} {
		t.Run(name, func(t *testing.T) {
			s := newMiniSite(t, opts...)
			token := s.miniLogin(person(0))
			enter := s.ticket(token, "/orders?id=7")

			view := s.browser().as(wechattest.AndroidMiniProgram)
			got := view.visit(enter)
			assert.Contains(t, got.body, "url=/orders?id=7 logged-in=true openid="+wechattest.OpenID(miniApp, person(0)), "the mini program's own user")
			assert.Equal(t, s.auth.base.String()+"/orders?id=7", got.Request.URL.String(), "a clean URL")
			assert.Contains(t, view.visit("/b").body, "logged-in=true")
			assert.Equal(t, http.StatusOK, s.request(http.MethodGet, "/api", token, "").StatusCode, "and the mini program is logged in still")
			assert.Zero(t, s.sim.Count("/connect/oauth2/authorize"))

			for _, again := range []*browser{s.view(), view} {
				second := again.step(enter)
				assert.Equal(t, http.StatusUnauthorized, second.StatusCode)
				assert.True(t, refusedFor(second, ReasonCodeUsed), "used")
				assert.Contains(t, second.body, retryWanted, "a web-view that is loaded again goes on to its page")
				assert.Empty(t, second.setOf(s.sessionCookie()))
			}
		})
	}
}

func TestATicketThatIsNotOnesOwnLogsNobodyIn(t *testing.T) {
	type attempt func(s *site, token string) answer
	malformed := map[string]bool{"none": true, "the bearer token itself": true}
	for name, try := range map[string]attempt{
		"a minute later": func(s *site, token string) answer {
			enter := s.ticket(token, "/a")
			s.clock.Advance(enterTTL)
			return s.view().step(enter)
		},
		"a guessed one": func(s *site, _ string) answer {
			return s.view().step("/wechat/mini/enter?ticket=" + flow.NewState())
		},
		"an altered one": func(s *site, token string) answer {
			enter := s.ticket(token, "/a")
			last := enter[len(enter)-1]
			return s.view().step(enter[:len(enter)-1] + string(rune('a'+(last-'a'+1)%26)))
		},
		"none": func(s *site, _ string) answer { return s.view().step("/wechat/mini/enter") },
		"the bearer token itself": func(s *site, token string) answer {
			return s.view().step("/wechat/mini/enter?ticket=" + token)
		},
		"at the same moment as another": func(s *site, token string) answer {
			enter := s.ticket(token, "/a")
			var refused atomic.Pointer[answer]
			var wg sync.WaitGroup
			var in atomic.Int64
			for range 8 {
				b := s.view()
				wg.Go(func() {
					if got := b.step(enter); got.StatusCode == http.StatusSeeOther {
						in.Add(1)
					} else {
						refused.Store(&got)
					}
				})
			}
			wg.Wait()
			assert.EqualValues(s.t, 1, in.Load(), "one of them")
			return *refused.Load()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newMiniSite(t)
			got := try(s, s.miniLogin(person(0)))
			want, reason := http.StatusUnauthorized, ReasonCodeUsed
			if malformed[name] {
				want, reason = http.StatusBadRequest, ReasonCallbackMalformed
			}
			assert.Equal(t, want, got.StatusCode)
			assert.True(t, refusedFor(got, reason), got.body)
			assert.Empty(t, got.setOf(s.sessionCookie()))
		})
	}
}

func TestATicketIsGoodUntilTheLastSecondAndForATargetOfTheSiteOnly(t *testing.T) {
	s := newMiniSite(t)
	token := s.miniLogin(person(0))
	enter := s.ticket(token, "/a")
	s.clock.Advance(enterTTL - time.Second)
	assert.Equal(t, "/a", s.view().step(enter).Header.Get("Location"))
	for _, target := range []string{"//evil.example", "https://evil.example/", "/wechat/logout", `/\\evil.example`, ""} {
		assert.Equal(t, "/", s.view().step(s.ticket(token, target)).Header.Get("Location"), target)
	}

	got := s.request(http.MethodPost, "/wechat/mini/ticket", "", `{"target":"/"}`)
	assert.Equal(t, http.StatusUnauthorized, got.StatusCode)
	b := s.browser()
	b.visit("/a")
	assert.Equal(t, http.StatusUnauthorized, b.fetch(http.MethodPost, "/wechat/mini/ticket").StatusCode, "a cookie makes no ticket")
}

func TestATicketIntoTheWebViewEndsWithTheSessionThatAskedForIt(t *testing.T) {
	for name, end := range map[string]func(s *site, token string){
		"revoked": func(s *site, _ string) {
			_, err := s.auth.RevokeUser(context.Background(), miniApp, wechattest.OpenID(miniApp, person(0)))
			require.NoError(s.t, err)
		},
		"logged out": func(s *site, token string) {
			require.Equal(s.t, http.StatusNoContent, s.request(http.MethodPost, "/wechat/logout", token, "").StatusCode)
		},
		"over": func(s *site, _ string) { s.clock.Advance(40 * time.Second) },
	} {
		for where, sessions := range map[string]func() []Option{
			"in memory":  func() []Option { return nil },
			"over Redis": func() []Option { return []Option{WithRedis(redistest.Start(t).Pool())} },
			"encrypted": func() []Option {
				return []Option{WithRedis(redistest.Start(t).Pool()), WithSessionEncryption(sessionKeyForTests)}
			},
			"in a manager of the application's": func() []Option {
				m := scs.New()
				m.Store, m.HashTokenInStore = store.NewMemory(), true
				return []Option{WithSessionManager(m)}
			},
		} {
			t.Run(name+" "+where, func(t *testing.T) {
				s := newMiniSite(t, sessions()...)
				token, other := s.miniLogin(person(0)), s.miniLogin(person(1))
				if name == "over" {
					s.clock.Advance(s.auth.sessions.SessionManager().Lifetime - 30*time.Second)
				}
				enter, others := s.ticket(token, "/a"), s.ticket(other, "/a")
				end(s, token)
				got := s.view().step(enter)
				assert.Equal(t, http.StatusUnauthorized, got.StatusCode)
				assert.True(t, refusedFor(got, ReasonSessionUnknown), got.body)
				assert.Empty(t, got.setOf(s.sessionCookie()))
				if name != "over" {
					assert.Contains(t, s.view().visit(others).body, "logged-in=true", "another's is another's")
				}
			})
		}
	}
}

func TestAGuessedTicketCostsTheStoreNothing(t *testing.T) {
	redis := redistest.Start(t)
	s := newMiniSite(t, WithRedis(redis.Pool()))
	for range 20 {
		s.view().step("/wechat/mini/enter?ticket=" + flow.NewState())
	}
	assert.EqualValues(t, 0, redis.Do("DBSIZE"))
}

func TestATicketWhoseSessionCannotBeSavedIsNotLost(t *testing.T) {
	redis := redistest.Start(t)
	kept := &gatedSaves{Store: store.New(redis.Pool())}
	s := newMiniSite(t, WithStore(kept))
	enter := s.ticket(s.miniLogin(person(0)), "/orders?id=7")
	kept.full.Store(true)
	view := s.browser().as(wechattest.AndroidMiniProgram)
	got := view.step(enter)
	assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
	assert.True(t, refusedFor(got, ReasonStoreUnavailable), got.body)
	kept.full.Store(false)
	assert.Contains(t, view.visit(enter).body, "url=/orders?id=7 logged-in=true openid="+wechattest.OpenID(miniApp, person(0)), "by a reload")
	assert.True(t, refusedFor(s.view().step(enter), ReasonCodeUsed), "once")
}

// gatedSaves is a store that saves no session while it is full.
type gatedSaves struct {
	*store.Store
	full atomic.Bool
}

func (g *gatedSaves) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	if g.full.Load() {
		return errBroken
	}
	return g.Store.CommitCtx(ctx, token, b, expiry)
}

func (g *gatedSaves) DoBatch(ctx context.Context, b store.Batch) error {
	if g.full.Load() {
		return errBroken
	}
	return g.Store.DoBatch(ctx, b)
}

func TestOnlyABearerTokenHasAMiniProgram(t *testing.T) {
	s := newMiniSite(t)
	var got error
	data := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, got = s.auth.MiniProgram(r.Context()) })
	s.handle("/data", data)
	s.handle2("/within", s.auth.RequireWeChat(data).ServeHTTP)
	token := s.miniLogin(person(0))
	view := s.browser().as(wechattest.AndroidMiniProgram)
	require.Contains(t, view.visit(s.ticket(token, "/a")).body, "logged-in=true openid="+wechattest.OpenID(miniApp, person(0)))
	for _, path := range []string{"/data", "/within"} {
		view.visit(path)
		assert.ErrorIs(t, got, ErrNoMiniProgram, "a web-view's session is a cookie's")
		s.request(http.MethodGet, path, token, "")
		assert.NoError(t, got)
	}
}

func TestAWebViewsLoginIsTold(t *testing.T) {
	var told atomic.Int64
	s := newMiniSite(t, WithOnLogin(func(context.Context, Identity) error { told.Add(1); return nil }))
	enter := s.ticket(s.miniLogin(person(0)), "/a")
	before := strings.Count(s.logs.String(), "event=login_finished")
	s.view().visit(enter)
	assert.Equal(t, before+1, strings.Count(s.logs.String(), "event=login_finished"))
	assert.EqualValues(t, 1, told.Load(), "it is the mini program's login, which the hook has heard of")
	s.view().visit(enter)
	assert.Contains(t, s.logs.String(), "event=login_failed reason=code_used")
	assert.NotContains(t, s.logs.String(), strings.TrimPrefix(enter[strings.Index(enter, "="):], "="))
}

func TestTheStoreForgetsATicketWithItsMinute(t *testing.T) {
	redis := redistest.Start(t)
	s := newMiniSite(t, WithRedis(redis.Pool()))
	token := s.miniLogin(person(0))
	before := redis.Do("KEYS", "wechat:mark:*").([]any)
	s.ticket(token, "/a")
	for _, key := range redis.Do("KEYS", "wechat:mark:*").([]any) {
		if !slices.ContainsFunc(before, func(old any) bool { return string(old.([]byte)) == string(key.([]byte)) }) {
			left := redis.Do("PTTL", string(key.([]byte))).(int64)
			assert.Positive(t, left)
			assert.LessOrEqual(t, left, enterTTL.Milliseconds())
		}
	}
	assert.Len(t, redis.Do("KEYS", "wechat:mark:*"), len(before)+1)
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
	s := newMiniSite(t, WithOnLogin(func(context.Context, Identity) error { return fmt.Errorf("not here: %w", ErrForbidden) }))
	got := s.request(http.MethodPost, "/wechat/mini/login", "", `{"code":"`+s.sim.JSCode(miniApp, person(0))+`"}`)
	assert.Equal(t, http.StatusForbidden, got.StatusCode)
	assert.Contains(t, got.body, "not_authorized")
	assert.NotContains(t, got.body, "not here")
}
