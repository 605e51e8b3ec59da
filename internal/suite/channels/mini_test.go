package channels

import (
	"context"
	"encoding/json"
	"fmt"
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

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/internal/singleflight"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

func TestMini_Login(t *testing.T) {
	for name, opts := range map[string][]wechatauth.Option{
		"in memory":  nil,
		"over Redis": {wechatauth.WithRedis(redistest.Start(t).Pool())},
	} {
		t.Run(name, func(t *testing.T) {
			s := authtest.NewMiniSite(t, opts...)
			token := s.MiniLogin(authtest.Person(0))

			got := s.Request(http.MethodGet, "/api/me", token, "")
			assert.Contains(t, got.Text, "logged-in=true")
			assert.Empty(t, got.Header["Set-Cookie"])

			out := s.Request(http.MethodPost, "/wechat/logout", token, "")
			assert.Equal(t, http.StatusNoContent, out.StatusCode)
			assert.Empty(t, out.Header["Set-Cookie"], "no cookie, ever")
			after := s.Request(http.MethodGet, "/api/me", token, "")
			assert.Equal(t, http.StatusUnauthorized, after.StatusCode)
			assert.Contains(t, after.Text, "session_unknown")
		})
	}
}

func TestMini_BearerAndCookie(t *testing.T) {
	s := authtest.NewMiniSite(t)
	token := s.MiniLogin(authtest.Person(0))
	b := s.Browser()
	for _, value := range []string{token, strings.TrimPrefix(token, session.BearerPrefix)} {
		b.SetCookie(s.SessionCookie(), value)
		assert.Equal(t, http.StatusUnauthorized, b.Fetch(http.MethodGet, "/a").StatusCode)
	}
	b = s.Browser()
	b.Visit("/a")
	cookie := b.Cookie(s.SessionCookie()).Value
	for _, value := range []string{cookie, session.BearerPrefix + cookie} {
		got := s.Request(http.MethodGet, "/a", value, "")
		assert.Equal(t, http.StatusUnauthorized, got.StatusCode)
	}
	// The bearer token decides if a request has both; with an invalid one the
	// request is unauthenticated.
	both := func(token string) string {
		return b.Do(b.Client, http.MethodGet, "/public", nil, http.Header{"Authorization": {"Bearer " + token}}).Text
	}
	assert.Contains(t, both(token), "logged-in=true")
	assert.Contains(t, both(token), "scope=", "the mini program's identity has no scope")
	assert.NotContains(t, both(token), "scope=snsapi_base")
	assert.Contains(t, both("wxm_nothing"), "logged-in=false")
}

func TestMini_BearerUnderLoadAndSave(t *testing.T) {
	s := authtest.NewMiniSite(t)
	s.Server.Config.Handler = s.Auth.Sessions().LoadAndSave(s.Server.Config.Handler)
	token := s.MiniLogin(authtest.Person(0))
	b := s.Browser()
	b.SetCookie(s.SessionCookie(), strings.TrimPrefix(token, session.BearerPrefix))
	assert.Equal(t, http.StatusUnauthorized, b.Fetch(http.MethodGet, "/a").StatusCode, "as a cookie, which scs has loaded")

	got := s.Request(http.MethodGet, "/a", token, "")
	assert.Equal(t, http.StatusOK, got.StatusCode)
	assert.Empty(t, got.Header["Set-Cookie"])
	assert.Equal(t, http.StatusNoContent, s.Request(http.MethodPost, "/wechat/logout", token, "").StatusCode)
	assert.Equal(t, http.StatusUnauthorized, s.Request(http.MethodGet, "/a", token, "").StatusCode)
}

func TestMini_ConcurrentLogins(t *testing.T) {
	for name, tt := range map[string]struct {
		opts      []wechatauth.Option
		instances int
	}{
		"in memory":                   {nil, 1},
		"two instances on one Redis":  {[]wechatauth.Option{wechatauth.WithRedis(redistest.Start(t).Pool())}, 2},
		"Redis, and session at rest":  {[]wechatauth.Option{wechatauth.WithRedis(redistest.Start(t).Pool()), wechatauth.WithSessionEncryption(authtest.SessionKeyForTests)}, 2},
		"a slow hook":                 {[]wechatauth.Option{wechatauth.WithOnLogin(func(context.Context, wechatauth.Identity) error { runtime.Gosched(); return nil })}, 1},
		"a client that is not shared": {[]wechatauth.Option{wechatauth.WithIdleTimeout(time.Hour)}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := authtest.NewMiniSite(t, tt.opts...)
			s.Instances(tt.instances, append([]wechatauth.Option{wechatauth.WithMiniProgram(authtest.MiniApp, wechattest.DefaultMiniProgramSecret)}, tt.opts...)...)
			allWait, settled := make(chan struct{}), make(chan struct{})
			var waiting atomic.Int64
			s.Wait = func(ctx context.Context, d time.Duration) error {
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
			code := s.Sim.WXLogin(authtest.MiniApp, authtest.Person(0))
			release := s.Sim.Block("/sns/jscode2session")
			bodies := make(chan string, 50)
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					bodies <- s.Request(http.MethodPost, "/wechat/mini/login", "", `{"code":"`+code+`"}`).Text
				})
			}
			<-allWait
			release()
			close(settled)
			wg.Wait()
			close(bodies)
			distinct := map[string]bool{}
			for body := range bodies {
				distinct[body] = true
			}
			require.Len(t, distinct, 1)
			assert.Equal(t, 1, s.Sim.Count("/sns/jscode2session"))
			for body := range distinct {
				var got struct{ Token string }
				require.NoError(t, json.Unmarshal([]byte(body), &got), body)
				for range 2 * tt.instances {
					assert.Equal(t, http.StatusOK, s.Request(http.MethodGet, "/api", got.Token, "").StatusCode)
				}
			}
		})
	}
}

func TestMini_Status(t *testing.T) {
	tests := map[string]struct {
		fault  wechattest.Fault
		status int
		reason wechatauth.Reason
	}{
		"an unknown code":   {wechattest.Errcode(40029), http.StatusUnauthorized, wechatauth.ReasonCodeExpired},
		"a used code":       {wechattest.Errcode(40163), http.StatusUnauthorized, wechatauth.ReasonCodeUsed},
		"a blocked user":    {wechattest.Errcode(40226), http.StatusForbidden, wechatauth.ReasonUserBlocked},
		"the minute's rate": {wechattest.Errcode(45011), http.StatusTooManyRequests, wechatauth.ReasonRateLimited},
		"a wrong secret":    {wechattest.Errcode(40125), http.StatusInternalServerError, wechatauth.ReasonBadConfig},
		"a gateway":         {wechattest.BadGateway(), http.StatusBadGateway, wechatauth.ReasonUpstreamError},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := authtest.NewMiniSite(t)
			s.Sim.Fail("/sns/jscode2session", tt.fault)
			got := s.Request(http.MethodPost, "/wechat/mini/login", "", `{"code":"`+s.Sim.WXLogin(authtest.MiniApp, authtest.Person(0))+`"}`)
			assert.Equal(t, tt.status, got.StatusCode)
			assert.Contains(t, got.Text, string(tt.reason))
			assert.Equal(t, tt.status == http.StatusTooManyRequests, got.Header.Get("Retry-After") != "")
		})
	}
}

func TestMini_InvalidRequest(t *testing.T) {
	s := authtest.NewMiniSite(t)
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
			got := s.Request(http.MethodPost, "/wechat/mini/login", "", body)
			assert.Equal(t, http.StatusBadRequest, got.StatusCode)
		})
	}
	assert.Equal(t, http.StatusMethodNotAllowed, s.Request(http.MethodGet, "/wechat/mini/login", "", "").StatusCode)
	assert.Equal(t, http.StatusNotFound, authtest.NewSite(t).Request(http.MethodPost, "/wechat/mini/login", "", `{"code":"abc"}`).StatusCode)
	assert.Empty(t, s.Sim.Journal())
}

func TestMini_SessionKey(t *testing.T) {
	redis := redistest.Start(t)
	s := authtest.NewMiniSite(t, wechatauth.WithRedis(redis.Pool()))
	type result struct {
		plain       []byte
		err, forged error
	}
	var got result
	s.Handle("/data", func(w http.ResponseWriter, r *http.Request) {
		m, err := s.Auth.MiniProgram(r.Context())
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
	token := s.MiniLogin(authtest.Person(0))
	payload := s.Sim.UserPayload(authtest.MiniApp, authtest.Person(0))
	ask := func() {
		s.Request(http.MethodGet, "/data?"+url.Values{
			"data": {payload.EncryptedData}, "iv": {payload.IV}, "raw": {payload.RawData}, "sig": {payload.Signature},
		}.Encode(), token, "")
	}
	ask()
	require.NoError(t, got.err)
	assert.Contains(t, string(got.plain), authtest.MiniApp)
	assert.ErrorIs(t, got.forged, wechatauth.ErrSessionKeyStale)

	s.Sim.SetQuirk(wechattest.SessionKeyRotates, true)
	s.Sim.WXLogin(authtest.MiniApp, authtest.Person(0)) // wx.login without a login here: WeChat now has another key
	s.Sim.SetQuirk(wechattest.SessionKeyRotates, false)
	s.Sim.Count("x")
	fresh := s.Sim.WXLogin(authtest.MiniApp, authtest.Person(0))
	alone, err := client.New(authtest.MiniApp, wechattest.DefaultMiniProgramSecret, client.WithEndpoints(s.Sim.Endpoints()))
	require.NoError(t, err)
	_, err = alone.Code2Session(context.Background(), fresh)
	require.NoError(t, err)
	payload = s.Sim.UserPayload(authtest.MiniApp, authtest.Person(0))
	ask()
	assert.ErrorIs(t, got.err, wechatauth.ErrSessionKeyStale)

	b := s.Browser()
	b.Visit("/data")
	assert.ErrorIs(t, got.err, wechatauth.ErrNotMiniProgram, "a browser's user has no session_key")
	assert.NotContains(t, s.Logs.String(), "session_key ")
}

func TestMini_InvalidData(t *testing.T) {
	s := authtest.NewMiniSite(t)
	var got error
	s.Handle("/data", func(w http.ResponseWriter, r *http.Request) {
		m, err := s.Auth.MiniProgram(r.Context())
		require.NoError(t, err)
		_, got = m.Decrypt(r.Context(), r.FormValue("data"), r.FormValue("iv"))
	})
	token := s.MiniLogin(authtest.Person(0))
	p := s.Sim.UserPayload(authtest.MiniApp, authtest.Person(0))
	ask := func(data, iv string) error {
		s.Request(http.MethodGet, "/data?"+url.Values{"data": {data}, "iv": {iv}}.Encode(), token, "")
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
		assert.NotErrorIs(t, err, wechatauth.ErrSessionKeyStale, name)
	}
	assert.ErrorIs(t, ask(p.EncryptedData[:64], p.IV), wechatauth.ErrSessionKeyStale, "whole blocks, possibly of another key")
}

func TestMini_StepUpOfAnotherUser(t *testing.T) {
	s := authtest.NewMiniSite(t)
	for i, want := range []string{"url=/profile logged-in=true", string(wechatauth.ReasonIdentityMismatch)} {
		view := s.Browser().As(wechattest.AndroidMiniProgram)
		require.Contains(t, view.Visit(s.Ticket(s.MiniLogin(authtest.Person(0)), "/a")).Text, "logged-in=true")
		view.SetCookie("wechatsim_person", url.QueryEscape(authtest.Person(i)))
		got := view.Allow(view.Post("/wechat/upgrade", url.Values{"next": {"/profile"}}))
		assert.Contains(t, got.Text, want)
		stays := wechattest.OpenID([]string{wechattest.DefaultAppID, authtest.MiniApp}[i], authtest.Person(0))
		assert.Contains(t, view.Visit("/a").Text, stays)
	}
}

func TestMini_PhoneNumber(t *testing.T) {
	s := authtest.NewMiniSite(t)
	var number string
	var failed error
	s.Handle("/phone", func(w http.ResponseWriter, r *http.Request) {
		m, err := s.Auth.MiniProgram(r.Context())
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
	s.Request(http.MethodGet, "/phone?code="+s.Sim.GetPhoneNumber(authtest.MiniApp, authtest.Person(0)), s.MiniLogin(authtest.Person(0)), "")
	require.NoError(t, failed)
	assert.NotEmpty(t, number)
}

// A proxy in front, or the application's own scripts, may send a bearer token
// that is not ours. It does not hide the session cookie.
func TestMini_ForeignBearer(t *testing.T) {
	for name, opts := range map[string][]wechatauth.Option{"in memory": nil, "over Redis": {wechatauth.WithRedis(redistest.Start(t).Pool())}} {
		t.Run(name, func(t *testing.T) {
			s := authtest.NewMiniSite(t, opts...)
			b := s.Browser()
			b.Header.Set("Authorization", "Bearer eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl")
			b.Header.Set("Sec-Fetch-Mode", "navigate")
			b.Header.Set("Sec-Fetch-Dest", "document")

			assert.Contains(t, b.Visit("/a").Text, "url=/a logged-in=true openid="+authtest.AliceOpenID)
			assert.Equal(t, 1, s.Exchanges())
			assert.Contains(t, b.Fetch(http.MethodPost, "/api").Text, "logged-in=true")
			held := b.Cookie(s.SessionCookie()).Value

			assert.Contains(t, b.Post("/wechat/logout", nil).Text, "您已退出登录")
			assert.Nil(t, b.Cookie(s.SessionCookie()))
			b.Header.Del("Authorization")
			b.SetCookie(s.SessionCookie(), held)
			assert.Equal(t, http.StatusUnauthorized, b.Fetch(http.MethodGet, "/api").StatusCode, "the session has ended, not only its cookie")
			assert.Equal(t, http.StatusUnauthorized, s.Request(http.MethodGet, "/api", "eyJhbGciOiJIUzI1NiJ9", "").StatusCode)
		})
	}
}

func TestWebView_TicketOnce(t *testing.T) {
	for name, opts := range map[string][]wechatauth.Option{"in memory": nil, "over Redis": {wechatauth.WithRedis(redistest.Start(t).Pool())}} {
		t.Run(name, func(t *testing.T) {
			s := authtest.NewMiniSite(t, opts...)
			token := s.MiniLogin(authtest.Person(0))
			enter := s.Ticket(token, "/orders?id=7")

			view := s.Browser().As(wechattest.AndroidMiniProgram)
			got := view.Visit(enter)
			assert.Contains(t, got.Text, "url=/orders?id=7 logged-in=true openid="+wechattest.OpenID(authtest.MiniApp, authtest.Person(0)), "the mini program's own user")
			assert.Equal(t, s.Base.String()+"/orders?id=7", got.Request.URL.String(), "a clean URL")
			assert.Contains(t, view.Visit("/b").Text, "logged-in=true")
			assert.Equal(t, http.StatusOK, s.Request(http.MethodGet, "/api", token, "").StatusCode, "and the mini program is still logged in")
			assert.Zero(t, s.Sim.Count("/connect/oauth2/authorize"))

			for _, again := range []*authtest.Browser{s.WebView(), view} {
				second := again.Step(enter)
				assert.Equal(t, http.StatusUnauthorized, second.StatusCode)
				assert.True(t, authtest.RefusedFor(second, wechatauth.ReasonCodeUsed), "used")
				assert.Contains(t, second.Text, authtest.RetryWanted, "a web-view that is loaded again offers its page")
				assert.Empty(t, second.SetOf(s.SessionCookie()))
			}
		})
	}
}

func TestWebView_InvalidTicket(t *testing.T) {
	type attempt func(s *authtest.Site, token string) authtest.Response
	malformed := map[string]bool{"none": true, "the bearer token itself": true}
	for name, try := range map[string]attempt{
		"a minute later": func(s *authtest.Site, token string) authtest.Response {
			enter := s.Ticket(token, "/a")
			s.Clock.Advance(time.Minute)
			return s.WebView().Step(enter)
		},
		"a guessed ticket": func(s *authtest.Site, _ string) authtest.Response {
			return s.WebView().Step("/wechat/mini/enter?ticket=" + flow.NewState())
		},
		"an altered ticket": func(s *authtest.Site, token string) authtest.Response {
			enter := s.Ticket(token, "/a")
			last := enter[len(enter)-1]
			return s.WebView().Step(enter[:len(enter)-1] + string(rune('a'+(last-'a'+1)%26)))
		},
		"none": func(s *authtest.Site, _ string) authtest.Response { return s.WebView().Step("/wechat/mini/enter") },
		"the bearer token itself": func(s *authtest.Site, token string) authtest.Response {
			return s.WebView().Step("/wechat/mini/enter?ticket=" + token)
		},
		"at the same moment as another": func(s *authtest.Site, token string) authtest.Response {
			enter := s.Ticket(token, "/a")
			var refused atomic.Pointer[authtest.Response]
			var wg sync.WaitGroup
			var in atomic.Int64
			for range 8 {
				b := s.WebView()
				wg.Go(func() {
					if got := b.Step(enter); got.StatusCode == http.StatusSeeOther {
						in.Add(1)
					} else {
						refused.Store(&got)
					}
				})
			}
			wg.Wait()
			assert.EqualValues(s.T, 1, in.Load(), "one of them")
			return *refused.Load()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := authtest.NewMiniSite(t)
			got := try(s, s.MiniLogin(authtest.Person(0)))
			want, reason := http.StatusUnauthorized, wechatauth.ReasonCodeUsed
			if malformed[name] {
				want, reason = http.StatusBadRequest, wechatauth.ReasonCallbackMalformed
			}
			assert.Equal(t, want, got.StatusCode)
			assert.True(t, authtest.RefusedFor(got, reason), got.Text)
			assert.Empty(t, got.SetOf(s.SessionCookie()))
		})
	}
}

func TestWebView_TicketExpiryAndReturnURL(t *testing.T) {
	s := authtest.NewMiniSite(t)
	token := s.MiniLogin(authtest.Person(0))
	enter := s.Ticket(token, "/a")
	s.Clock.Advance(time.Minute - time.Second)
	assert.Equal(t, "/a", s.WebView().Step(enter).Header.Get("Location"))
	for _, target := range []string{"//evil.example", "https://evil.example/", "/wechat/logout", `/\\evil.example`, ""} {
		assert.Equal(t, "/", s.WebView().Step(s.Ticket(token, target)).Header.Get("Location"), target)
	}

	got := s.Request(http.MethodPost, "/wechat/mini/ticket", "", `{"target":"/"}`)
	assert.Equal(t, http.StatusUnauthorized, got.StatusCode)
	b := s.Browser()
	b.Visit("/a")
	assert.Equal(t, http.StatusUnauthorized, b.Fetch(http.MethodPost, "/wechat/mini/ticket").StatusCode, "a cookie gets no ticket")
}

func TestWebView_TicketOfEndedSession(t *testing.T) {
	for name, end := range map[string]func(s *authtest.Site, token string){
		"revoked": func(s *authtest.Site, _ string) {
			_, err := s.Auth.RevokeUser(context.Background(), authtest.MiniApp, wechattest.OpenID(authtest.MiniApp, authtest.Person(0)))
			require.NoError(s.T, err)
		},
		"logged out": func(s *authtest.Site, token string) {
			require.Equal(s.T, http.StatusNoContent, s.Request(http.MethodPost, "/wechat/logout", token, "").StatusCode)
		},
		"over": func(s *authtest.Site, _ string) { s.Clock.Advance(40 * time.Second) },
	} {
		for where, sessions := range map[string]func() []wechatauth.Option{
			"in memory": func() []wechatauth.Option { return nil },
			"over Redis": func() []wechatauth.Option {
				return []wechatauth.Option{wechatauth.WithRedis(redistest.Start(t).Pool())}
			},
			"encrypted": func() []wechatauth.Option {
				return []wechatauth.Option{wechatauth.WithRedis(redistest.Start(t).Pool()), wechatauth.WithSessionEncryption(authtest.SessionKeyForTests)}
			},
			"in a manager of the application's": func() []wechatauth.Option {
				m := scs.New()
				m.Store, m.HashTokenInStore = store.NewMemory(), true
				return []wechatauth.Option{wechatauth.WithSessionManager(m)}
			},
		} {
			t.Run(name+" "+where, func(t *testing.T) {
				s := authtest.NewMiniSite(t, sessions()...)
				token, other := s.MiniLogin(authtest.Person(0)), s.MiniLogin(authtest.Person(1))
				if name == "over" {
					s.Clock.Advance(s.Auth.Sessions().Lifetime - 30*time.Second)
				}
				enter, others := s.Ticket(token, "/a"), s.Ticket(other, "/a")
				end(s, token)
				got := s.WebView().Step(enter)
				assert.Equal(t, http.StatusUnauthorized, got.StatusCode)
				assert.True(t, authtest.RefusedFor(got, wechatauth.ReasonSessionUnknown), got.Text)
				assert.Empty(t, got.SetOf(s.SessionCookie()))
				if name != "over" {
					view := s.WebView()
					assert.Contains(t, view.Visit(others).Text, "logged-in=true", "another user's ticket still works")
					assert.True(t, authtest.RefusedFor(view.Step(enter), wechatauth.ReasonSessionUnknown), "without a confirmation page")
				}
			})
		}
	}
}

func TestWebView_GuessedTicket(t *testing.T) {
	redis := redistest.Start(t)
	s := authtest.NewMiniSite(t, wechatauth.WithRedis(redis.Pool()))
	for range 20 {
		s.WebView().Step("/wechat/mini/enter?ticket=" + flow.NewState())
	}
	assert.EqualValues(t, 0, redis.Do("DBSIZE"))
}

func TestWebView_NotSaved(t *testing.T) {
	redis := redistest.Start(t)
	kept := &gatedSaves{Store: store.New(redis.Pool())}
	s := authtest.NewMiniSite(t, wechatauth.WithStore(kept))
	enter := s.Ticket(s.MiniLogin(authtest.Person(0)), "/orders?id=7")
	kept.full.Store(true)
	view := s.Browser().As(wechattest.AndroidMiniProgram)
	got := view.Step(enter)
	assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
	assert.True(t, authtest.RefusedFor(got, wechatauth.ReasonStoreUnavailable), got.Text)
	kept.full.Store(false)
	assert.Contains(t, view.Visit(enter).Text, "url=/orders?id=7 logged-in=true openid="+wechattest.OpenID(authtest.MiniApp, authtest.Person(0)), "by a reload")
	assert.True(t, authtest.RefusedFor(s.WebView().Step(enter), wechatauth.ReasonCodeUsed), "once")
}

// A gatedSaves is a store that saves no session while it is full.
type gatedSaves struct {
	*store.Store
	full atomic.Bool
}

func (g *gatedSaves) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	if g.full.Load() {
		return authtest.ErrBroken
	}
	return g.Store.CommitCtx(ctx, token, b, expiry)
}

func (g *gatedSaves) DoBatch(ctx context.Context, b store.Batch) error {
	if g.full.Load() {
		return authtest.ErrBroken
	}
	return g.Store.DoBatch(ctx, b)
}

func TestMini_RequestOfBrowser(t *testing.T) {
	s := authtest.NewMiniSite(t)
	var got error
	data := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, got = s.Auth.MiniProgram(r.Context()) })
	s.Handle("/data", data)
	s.Handle2("/within", s.Auth.RequireWeChat(data).ServeHTTP)
	token := s.MiniLogin(authtest.Person(0))
	view := s.Browser().As(wechattest.AndroidMiniProgram)
	require.Contains(t, view.Visit(s.Ticket(token, "/a")).Text, "logged-in=true openid="+wechattest.OpenID(authtest.MiniApp, authtest.Person(0)))
	for _, path := range []string{"/data", "/within"} {
		view.Visit(path)
		assert.ErrorIs(t, got, wechatauth.ErrNotMiniProgram, "a web-view's session is in a cookie")
		s.Request(http.MethodGet, path, token, "")
		assert.NoError(t, got)
	}
}

func TestWebView_OnLogin(t *testing.T) {
	var calls atomic.Int64
	s := authtest.NewMiniSite(t, wechatauth.WithOnLogin(func(context.Context, wechatauth.Identity) error { calls.Add(1); return nil }))
	enter := s.Ticket(s.MiniLogin(authtest.Person(0)), "/a")
	before := strings.Count(s.Logs.String(), "event=login_finished")
	s.WebView().Visit(enter)
	assert.Equal(t, before+1, strings.Count(s.Logs.String(), "event=login_finished"))
	assert.EqualValues(t, 1, calls.Load(), "the hook was called for the mini program's login")
	s.WebView().Visit(enter)
	assert.Contains(t, s.Logs.String(), "event=login_failed reason=code_used")
	assert.NotContains(t, s.Logs.String(), strings.TrimPrefix(enter[strings.Index(enter, "="):], "="))
}

func TestWebView_TicketTTL(t *testing.T) {
	redis := redistest.Start(t)
	s := authtest.NewMiniSite(t, wechatauth.WithRedis(redis.Pool()))
	token := s.MiniLogin(authtest.Person(0))
	before := redis.Do("KEYS", "wechat:mark:*").([]any)
	s.Ticket(token, "/a")
	for _, key := range redis.Do("KEYS", "wechat:mark:*").([]any) {
		if !slices.ContainsFunc(before, func(old any) bool { return string(old.([]byte)) == string(key.([]byte)) }) {
			left := redis.Do("PTTL", string(key.([]byte))).(int64)
			assert.Positive(t, left)
			assert.LessOrEqual(t, left, time.Minute.Milliseconds())
		}
	}
	assert.Len(t, redis.Do("KEYS", "wechat:mark:*"), len(before)+1)
}

func TestMini_RevokeUser(t *testing.T) {
	s := authtest.NewMiniSite(t)
	var openID string
	s.Handle("/id", func(w http.ResponseWriter, r *http.Request) {
		id, _ := wechatauth.IdentityFromContext(r.Context())
		openID = id.OpenID
	})
	token := s.MiniLogin(authtest.Person(0))
	s.Request(http.MethodGet, "/id", token, "")
	n, err := s.Auth.RevokeUser(context.Background(), authtest.MiniApp, openID)
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	assert.Equal(t, http.StatusUnauthorized, s.Request(http.MethodGet, "/a", token, "").StatusCode)
}

func TestMini_OnLogin(t *testing.T) {
	s := authtest.NewMiniSite(t, wechatauth.WithOnLogin(func(context.Context, wechatauth.Identity) error {
		return fmt.Errorf("not here: %w", wechatauth.ErrForbidden)
	}))
	got := s.Request(http.MethodPost, "/wechat/mini/login", "", `{"code":"`+s.Sim.WXLogin(authtest.MiniApp, authtest.Person(0))+`"}`)
	assert.Equal(t, http.StatusForbidden, got.StatusCode)
	assert.Contains(t, got.Text, "not_authorized")
	assert.NotContains(t, got.Text, "not here")
}
