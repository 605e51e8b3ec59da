package wechatauth_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/redact"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

func TestObserver(t *testing.T) {
	redis := redistest.Start(t)
	seen := &authtest.Recorder{}
	s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()), wechatauth.WithObserver(seen))
	b := s.Browser()

	require.Contains(t, b.Visit("/orders?id=7").Text, "logged-in=true")

	started, finished := seen.Event(t, wechatauth.EventLoginStarted), seen.Event(t, wechatauth.EventLoginFinished)
	assert.NotEmpty(t, started.Flow)
	assert.Equal(t, started.Flow, finished.Flow)
	assert.Equal(t, wechatauth.ChannelWeChat, finished.Channel)
	exchange := seen.Call(t, "sns/oauth2/access_token")
	assert.Equal(t, wechatauth.Call{
		Service: "wechat", Name: "sns/oauth2/access_token", AppID: wechattest.DefaultAppID,
		Flow: started.Flow, Duration: exchange.Duration,
	}, exchange)
	assert.Positive(t, exchange.Duration)
	for _, op := range []string{"claim mark", "add to index", "commit session"} {
		call := seen.Call(t, op)
		assert.Equal(t, "store", call.Service)
		assert.Equal(t, started.Flow, call.Flow, op)
		assert.Positive(t, call.Duration, op)
	}
	read := seen.Call(t, "find session")
	assert.Empty(t, read.Flow, "of the page, not of the login")
	assert.Empty(t, read.Class)

	b.Post("/wechat/logout", url.Values{"next": {"/public"}})
	seen.Event(t, wechatauth.EventLoggedOut)

	_, err := s.Auth.RevokeUser(context.Background(), wechattest.DefaultAppID, "o-unknown")
	require.NoError(t, err)
	seen.Event(t, wechatauth.EventRevoked)
}

// TestObserver_failedLogin checks that an observer receives the duration of a
// failed login.
func TestObserver_failedLogin(t *testing.T) {
	seen := &authtest.Recorder{}
	s := authtest.NewSite(t, wechatauth.WithObserver(seen))
	b := s.Browser()
	callback := b.Authorize("/")
	s.Clock.Advance(7 * time.Second)
	u, err := url.Parse(callback)
	require.NoError(t, err)
	q := u.Query()
	q.Del("code")

	b.Step(u.Path + "?" + q.Encode())

	failed := seen.Event(t, wechatauth.EventLoginFailed)
	assert.Equal(t, wechatauth.ReasonRefusedByUser, failed.Reason)
	assert.InDelta(t, 7, failed.Duration.Seconds(), 1)
	assert.NotEmpty(t, failed.Flow)
}

// TestObserver_miniProgram checks that an observer receives the duration of a
// mini program login.
func TestObserver_miniProgram(t *testing.T) {
	seen := &authtest.Recorder{}
	var s *authtest.Site
	wait := func(context.Context, wechatauth.Identity) error { s.Clock.Advance(1500 * time.Millisecond); return nil }
	s = authtest.NewMiniSite(t, wechatauth.WithObserver(seen), wechatauth.WithOnLogin(wait))
	s.MiniLogin(authtest.Person(0))
	finished := seen.Event(t, wechatauth.EventLoginFinished)
	assert.Equal(t, 1500*time.Millisecond, finished.Duration)
	assert.NotEmpty(t, finished.Flow)

	refuse := func(context.Context, wechatauth.Identity) error {
		s.Clock.Advance(2 * time.Second)
		return wechatauth.ErrForbidden
	}
	s = authtest.NewMiniSite(t, wechatauth.WithObserver(seen), wechatauth.WithOnLogin(refuse))
	s.Request(http.MethodPost, "/wechat/mini/login", "", `{"code":"`+s.Sim.WXLogin(authtest.MiniApp, authtest.Person(0))+`"}`)
	failed := seen.Event(t, wechatauth.EventLoginFailed)
	assert.Equal(t, wechatauth.ReasonNotAuthorized, failed.Reason)
	assert.Equal(t, 2*time.Second, failed.Duration)
	assert.Equal(t, seen.Call(t, "sns/jscode2session").Flow, failed.Flow)
	assert.NotEmpty(t, failed.Flow)
	assert.Equal(t, authtest.MiniApp, failed.AppID)
	assert.Equal(t, wechatauth.ChannelMiniProgram, failed.Channel)
}

// TestObserver_scan checks that an observer receives the duration of a scan on
// both sides.
func TestObserver_scan(t *testing.T) {
	seen := &authtest.Recorder{}
	s := authtest.NewScanSite(t, wechatauth.WithObserver(seen))
	computer, phone := s.Computer(), s.PhoneOf(authtest.Person(0))
	path, _ := s.Show(computer, "/a")
	flow := seen.Event(t, wechatauth.EventLoginStarted).Flow
	s.Scan(phone, path)
	number := s.Confirm(phone, path)
	s.Clock.Advance(20 * time.Second)

	computer.Enter("/a", authtest.WrongNumber(number))
	onDesk := seen.Event(t, wechatauth.EventLoginFailed)
	s.Clock.Advance(20 * time.Second)
	phone.Visit(path)
	onPhone := seen.Event(t, wechatauth.EventLoginFailed)

	for want, e := range map[float64]wechatauth.Event{20: onDesk, 40: onPhone} {
		assert.Equal(t, wechatauth.ReasonScanWrongNumber, e.Reason)
		assert.InDelta(t, want, e.Duration.Seconds(), 1)
		assert.Equal(t, flow, e.Flow)
		assert.Equal(t, client.ScopeBase, e.Scope)
	}
}

func TestObserver_scanFlow(t *testing.T) {
	seen := &authtest.Recorder{}
	s := authtest.NewScanSite(t, wechatauth.WithObserver(seen))
	computer, phone := s.Computer(), s.PhoneOf(authtest.Person(0))
	path, _ := s.Show(computer, "/a")
	flow := seen.Event(t, wechatauth.EventLoginStarted).Flow
	s.Scan(phone, path)
	number := s.Confirm(phone, path)
	s.Show(s.Computer(), "/b") // of another login
	computer.Enter("/a", number)
	assert.Equal(t, flow, seen.Event(t, wechatauth.EventLoginFinished).Flow)
	assert.Equal(t, flow, seen.Call(t, "commit session").Flow)
}

// TestObserver_endedUser checks that events name the user whose session was
// ended, if known.
func TestObserver_endedUser(t *testing.T) {
	seen := &authtest.Recorder{}
	last := func() wechatauth.Event {
		e := seen.Event(t, wechatauth.EventLoggedOut)
		e.Kind = ""
		return e
	}
	s := authtest.NewSite(t, wechatauth.WithObserver(seen))
	b := s.Browser()
	b.Visit("/")
	b.Post("/wechat/logout", url.Values{})
	assert.Equal(t, wechatauth.Event{AppID: wechattest.DefaultAppID}, last(), "the endpoint deletes it unread")

	s = authtest.NewSite(t, wechatauth.WithObserver(seen), wechatauth.WithWebsiteApp(wechattest.DefaultWebsiteAppID, wechattest.DefaultWebsiteSecret))
	leave := s.Auth.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.NoError(t, s.Auth.Logout(w, r))
	}))
	s.Server.Config.Handler = leave
	b = s.Browser()
	b.Visit("/leave")
	openID := redact.OpenID(wechattest.OpenID(wechattest.DefaultAppID, authtest.Person(0)))
	assert.Equal(t, wechatauth.Event{AppID: wechattest.DefaultAppID, Channel: wechatauth.ChannelWeChat, OpenID: openID}, last())
	b = s.Browser()
	s.Server.Config.Handler = s.Routes()
	b.Visit("/a")
	b.Post("/wechat/logout", url.Values{})
	assert.Equal(t, wechatauth.Event{}, last(), "of either account")
	ended := seen.Logouts()
	b.Post("/wechat/logout", url.Values{})
	s.Browser().Post("/wechat/logout", url.Values{})
	s.Holding(s.SessionCookie(), strings.Repeat("A", session.TokenLength)).Post("/wechat/logout", url.Values{})
	assert.Equal(t, ended, seen.Logouts(), "there was no session to end")

	s = authtest.NewMiniSite(t, wechatauth.WithObserver(seen))
	s.Request(http.MethodPost, "/wechat/logout", s.MiniLogin(authtest.Person(0)), "")
	assert.Equal(t, wechatauth.Event{AppID: authtest.MiniApp, Channel: wechatauth.ChannelMiniProgram}, last())
}

// TestObserver_rejectedAccount checks that events of rejected requests name the
// account.
func TestObserver_rejectedAccount(t *testing.T) {
	seen := &authtest.Recorder{}
	redis := redistest.Start(t)
	s := authtest.NewMiniSite(t, wechatauth.WithObserver(seen), wechatauth.WithRedis(redis.Pool()))
	token := s.MiniLogin(authtest.Person(0))
	b := s.Browser()
	b.Do(b.Client, http.MethodPost, "/wechat/logout", nil, http.Header{"Sec-Fetch-Site": {"cross-site"}})
	crossed := seen.Event(t, wechatauth.EventRejected)
	assert.Equal(t, wechatauth.ReasonCrossOrigin, crossed.Reason)
	assert.Equal(t, wechattest.DefaultAppID, crossed.AppID)

	redis.Stop()
	b.SetCookie(s.SessionCookie(), strings.Repeat("a", session.TokenLength))
	b.Visit("/")
	assert.Equal(t, wechattest.DefaultAppID, seen.Event(t, wechatauth.EventRejected).AppID)
	s.Request(http.MethodGet, "/", token, "")
	assert.Equal(t, authtest.MiniApp, seen.Event(t, wechatauth.EventRejected).AppID)
	b.Visit("/public")
	assert.Equal(t, wechattest.DefaultAppID, seen.Event(t, wechatauth.EventDegraded).AppID)
}

// TestObserver_noErrcode checks that a record has no errcode if WeChat returned
// none.
func TestObserver_noErrcode(t *testing.T) {
	s := authtest.NewSite(t)
	s.Sim.Fail("sns/oauth2/access_token", wechattest.Truncated())
	s.Browser().Visit("/")
	logs := s.Logs.String()
	assert.Contains(t, logs, "reason=upstream_error")
	assert.Contains(t, logs, "endpoint=sns/oauth2/access_token")
	assert.NotContains(t, logs, "errcode=")
	assert.NotContains(t, logs, "rid=")
}

func TestObserver_errorClasses(t *testing.T) {
	redis := redistest.Start(t)
	seen := &authtest.Recorder{}
	s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()), wechatauth.WithObserver(seen), wechatauth.WithApp(wechattest.DefaultAppID, "another-secret-for-tests"))
	b := s.Browser()
	b.Visit("/")
	refused := seen.Call(t, "sns/oauth2/access_token")
	assert.Equal(t, 40125, refused.Errcode)
	assert.Equal(t, "configuration", refused.Class)

	callback := b.Authorize("/wechat/login?again=1")
	redis.Stop()
	b.Step(callback)
	down := seen.Call(t, "claim mark")
	assert.Contains(t, []string{"retry_now", "retry_fresh"}, down.Class)
	assert.Error(t, down.Err)
	assert.Equal(t, wechatauth.ReasonStoreUnavailable, seen.Event(t, wechatauth.EventLoginFailed).Reason)
}

func TestObserver_loop(t *testing.T) {
	seen := &authtest.Recorder{}
	s := authtest.NewSite(t, wechatauth.WithObserver(seen))
	b := s.Browser()
	b.Client.Jar = authtest.LossyJar{CookieJar: b.Client.Jar, Name: s.SessionCookie()}
	b.Visit("/")
	assert.Equal(t, wechatauth.ReasonSessionCookieNotReturned, seen.Event(t, wechatauth.EventRejected).Reason)
}

func TestObserver_flowAcrossInstances(t *testing.T) {
	redis := redistest.Start(t)
	one, two := &authtest.Recorder{}, &authtest.Recorder{}
	s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()), wechatauth.WithObserver(one))
	logs := &authtest.Buffer{}
	other, err := wechatauth.New(
		wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret), wechatauth.WithBaseURL(s.Base.String()), wechatauth.WithEndpoints(s.Sim.Endpoints()),
		wechatauth.WithRedis(redis.Pool()), wechatauth.WithObserver(two), wechatauth.WithClock(s.Clock.Now),
		wechatauth.WithLogger(slog.New(slog.NewTextHandler(logs, nil))),
	)
	require.NoError(t, err)
	b := s.Browser()
	callback := b.Authorize("/")

	s.Server.Config.Handler = other // from now on, the other instance responds
	b.Visit(callback)

	flow := one.Event(t, wechatauth.EventLoginStarted).Flow
	assert.Equal(t, flow, two.Event(t, wechatauth.EventLoginFinished).Flow)
	assert.Equal(t, flow, two.Call(t, "sns/oauth2/access_token").Flow)
	assert.Contains(t, s.Logs.String(), "flow="+flow)
	assert.Contains(t, logs.String(), "flow="+flow)
}

// TestWithObserver checks that all observers receive events, in their order.
func TestWithObserver(t *testing.T) {
	var got []string
	note := func(name string) wechatauth.Observer {
		return authtest.ObserverFunc(func(e wechatauth.Event) { got = append(got, name+" "+string(e.Kind)) })
	}
	all := &authtest.Recorder{}
	s := authtest.NewSite(t, wechatauth.WithObserver(note("a"), nil, note("b"), all))
	require.Contains(t, s.Browser().Visit("/").Text, "logged-in=true")
	assert.Equal(t, []string{"a login_started", "b login_started", "a login_finished", "b login_finished"}, got)
	assert.Len(t, all.Events, 2)
	all.Call(t, "sns/oauth2/access_token")
}

func TestObserver_plainStore(t *testing.T) {
	seen := &authtest.Recorder{}
	s := authtest.NewSite(t, wechatauth.WithStore(memstore.NewWithCleanupInterval(0)), wechatauth.WithObserver(seen))
	b := s.Browser()
	require.Contains(t, b.Visit("/").Text, "logged-in=true")
	seen.Call(t, "commit session")
	seen.Call(t, "find session")
}

// TestObserver_ownManager checks that with the application's own manager, marks
// are reported and its store is used unwrapped.
func TestObserver_ownManager(t *testing.T) {
	inner := store.NewMemory()
	m := scs.New()
	m.Store = inner
	seen := &authtest.Recorder{}
	s := authtest.NewSite(t, wechatauth.WithSessionManager(m), wechatauth.WithObserver(seen))
	require.Contains(t, s.Browser().Visit("/").Text, "logged-in=true")
	seen.Call(t, "claim mark")
	assert.Same(t, inner, s.Auth.Sessions().Store.(interface{ Unwrap() scs.Store }).Unwrap())
}
