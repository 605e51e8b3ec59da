package wechatauth

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redact"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// recorder is an observer of everything.
type recorder struct {
	mu     sync.Mutex
	events []Event
	calls  []Call
}

func (o *recorder) Observe(_ context.Context, e Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = append(o.events, e)
}

func (o *recorder) ObserveCall(_ context.Context, c Call) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls = append(o.calls, c)
}

// logouts returns how many sessions were ended by their users.
func (o *recorder) logouts() (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range o.events {
		if e.Kind == EventLoggedOut {
			n++
		}
	}
	return n
}

// event returns the last event of a kind.
func (o *recorder) event(t *testing.T, kind EventKind) Event {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range slices.Backward(o.events) {
		if e.Kind == kind {
			return e
		}
	}
	t.Fatalf("no %s among %d events", kind, len(o.events))
	return Event{}
}

// call returns the last call of a name.
func (o *recorder) call(t *testing.T, name string) Call {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range slices.Backward(o.calls) {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no call %q among %d", name, len(o.calls))
	return Call{}
}

func TestAnObserverSeesEachStepOfALoginAndItsCalls(t *testing.T) {
	redis := redistest.Start(t)
	seen := &recorder{}
	s := newSite(t, WithRedis(redis.Pool()), WithObserver(seen))
	b := s.browser()

	require.Contains(t, b.visit("/orders?id=7").body, "logged-in=true")

	started, finished := seen.event(t, EventLoginStarted), seen.event(t, EventLoginFinished)
	assert.NotEmpty(t, started.Flow)
	assert.Equal(t, started.Flow, finished.Flow)
	assert.Equal(t, ChannelWeChat, finished.Channel)
	exchange := seen.call(t, "sns/oauth2/access_token")
	assert.Equal(t, Call{
		Target: CallWeChat, Name: "sns/oauth2/access_token", AppID: wechattest.DefaultAppID,
		Flow: started.Flow, Duration: exchange.Duration,
	}, exchange)
	assert.Positive(t, exchange.Duration)
	for _, op := range []string{"claim mark", "add to index", "commit session"} {
		call := seen.call(t, op)
		assert.Equal(t, CallStore, call.Target)
		assert.Equal(t, started.Flow, call.Flow, op)
		assert.Positive(t, call.Duration, op)
	}
	read := seen.call(t, "find session")
	assert.Empty(t, read.Flow, "of the page, not of the login")
	assert.Empty(t, read.Class)

	b.post("/wechat/logout", url.Values{"next": {"/public"}})
	seen.event(t, EventLoggedOut)

	_, err := s.auth.RevokeUser(context.Background(), wechattest.DefaultAppID, "o-somebody")
	require.NoError(t, err)
	seen.event(t, EventRevoked)
}

func TestAnObserverSeesHowLongALoginTookThatFailed(t *testing.T) {
	seen := &recorder{}
	s := newSite(t, WithObserver(seen))
	b := s.browser()
	callback := b.authorize("/")
	s.clock.Advance(7 * time.Second)
	u, err := url.Parse(callback)
	require.NoError(t, err)
	q := u.Query()
	q.Del("code")

	b.step(u.Path + "?" + q.Encode())

	failed := seen.event(t, EventLoginFailed)
	assert.Equal(t, ReasonRefusedByUser, failed.Reason)
	assert.InDelta(t, 7, failed.Duration.Seconds(), 1)
	assert.NotEmpty(t, failed.Flow)
}

func TestAnObserverSeesHowLongALoginOfAMiniProgramTook(t *testing.T) {
	seen := &recorder{}
	var s *site
	wait := func(context.Context, Identity) error { s.clock.Advance(1500 * time.Millisecond); return nil }
	s = newMiniSite(t, WithObserver(seen), WithOnLogin(wait))
	s.miniLogin(person(0))
	finished := seen.event(t, EventLoginFinished)
	assert.Equal(t, 1500*time.Millisecond, finished.Duration)
	assert.NotEmpty(t, finished.Flow)

	refuse := func(context.Context, Identity) error { s.clock.Advance(2 * time.Second); return ErrForbidden }
	s = newMiniSite(t, WithObserver(seen), WithOnLogin(refuse))
	s.request(http.MethodPost, "/wechat/mini/login", "", `{"code":"`+s.sim.JSCode(miniApp, person(0))+`"}`)
	failed := seen.event(t, EventLoginFailed)
	assert.Equal(t, ReasonNotAuthorized, failed.Reason)
	assert.Equal(t, 2*time.Second, failed.Duration)
	assert.Equal(t, seen.call(t, "sns/jscode2session").Flow, failed.Flow)
	assert.NotEmpty(t, failed.Flow)
	assert.Equal(t, miniApp, failed.AppID)
	assert.Equal(t, ChannelMiniProgram, failed.Channel)
}

func TestAnObserverSeesHowLongAScanTookOnBothSides(t *testing.T) {
	seen := &recorder{}
	s := newScanSite(t, WithObserver(seen))
	desk, phone := s.desk(), s.phoneOf(person(0))
	path, _ := s.show(desk, "/a")
	flow := seen.event(t, EventLoginStarted).Flow
	s.scan(phone, path)
	number := s.confirm(phone, path)
	s.clock.Advance(20 * time.Second)

	desk.enter("/a", wrong(number))
	onDesk := seen.event(t, EventLoginFailed)
	s.clock.Advance(20 * time.Second)
	phone.visit(path)
	onPhone := seen.event(t, EventLoginFailed)

	for want, e := range map[float64]Event{20: onDesk, 40: onPhone} {
		assert.Equal(t, ReasonScanNumber, e.Reason)
		assert.InDelta(t, want, e.Duration.Seconds(), 1)
		assert.Equal(t, flow, e.Flow)
		assert.Equal(t, s.auth.scope, e.Scope)
	}
}

func TestTheCallsOfAScanHaveItsFlow(t *testing.T) {
	seen := &recorder{}
	s := newScanSite(t, WithObserver(seen))
	desk, phone := s.desk(), s.phoneOf(person(0))
	path, _ := s.show(desk, "/a")
	flow := seen.event(t, EventLoginStarted).Flow
	s.scan(phone, path)
	number := s.confirm(phone, path)
	s.show(s.desk(), "/b") // of another login
	desk.enter("/a", number)
	assert.Equal(t, flow, seen.event(t, EventLoginFinished).Flow)
	assert.Equal(t, flow, seen.call(t, "commit session").Flow)
}

func TestAnObserverSeesWhoseSessionWasEndedAsFarAsItIsKnown(t *testing.T) {
	seen := &recorder{}
	last := func() Event {
		e := seen.event(t, EventLoggedOut)
		e.Kind = ""
		return e
	}
	s := newSite(t, WithObserver(seen))
	b := s.browser()
	b.visit("/")
	b.post("/wechat/logout", url.Values{})
	assert.Equal(t, Event{AppID: wechattest.DefaultAppID}, last(), "the endpoint deletes it unread")

	s = newSite(t, WithObserver(seen), WithWebsiteApp(wechattest.DefaultWebsiteAppID, wechattest.DefaultWebsiteSecret))
	leave := s.auth.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.NoError(t, s.auth.Logout(w, r))
	}))
	s.server.Config.Handler = leave
	b = s.browser()
	b.visit("/leave")
	openID := redact.OpenID(wechattest.OpenID(wechattest.DefaultAppID, person(0)))
	assert.Equal(t, Event{AppID: wechattest.DefaultAppID, Channel: ChannelWeChat, OpenID: openID}, last())
	b = s.browser()
	s.server.Config.Handler = s.routes()
	b.visit("/a")
	b.post("/wechat/logout", url.Values{})
	assert.Equal(t, Event{}, last(), "of either account")
	ended := seen.logouts()
	b.post("/wechat/logout", url.Values{})
	s.browser().post("/wechat/logout", url.Values{})
	s.holding(s.sessionCookie(), strings.Repeat("A", session.TokenLength)).post("/wechat/logout", url.Values{})
	assert.Equal(t, ended, seen.logouts(), "there was no session to end")

	s = newMiniSite(t, WithObserver(seen))
	s.request(http.MethodPost, "/wechat/logout", s.miniLogin(person(0)), "")
	assert.Equal(t, Event{AppID: miniApp, Channel: ChannelMiniProgram}, last())
}

func TestWhoIsStoppedIsToldWithHisAccount(t *testing.T) {
	seen := &recorder{}
	redis := redistest.Start(t)
	s := newMiniSite(t, WithObserver(seen), WithRedis(redis.Pool()))
	token := s.miniLogin(person(0))
	b := s.browser()
	b.do(b.client, http.MethodPost, "/wechat/logout", nil, http.Header{"Sec-Fetch-Site": {"cross-site"}})
	crossed := seen.event(t, EventStopped)
	assert.Equal(t, ReasonCrossOrigin, crossed.Reason)
	assert.Equal(t, wechattest.DefaultAppID, crossed.AppID)

	redis.Stop()
	b.setCookie(s.sessionCookie(), strings.Repeat("a", session.TokenLength))
	b.visit("/")
	assert.Equal(t, wechattest.DefaultAppID, seen.event(t, EventStopped).AppID)
	s.request(http.MethodGet, "/", token, "")
	assert.Equal(t, miniApp, seen.event(t, EventStopped).AppID)
	b.visit("/public")
	assert.Equal(t, wechattest.DefaultAppID, seen.event(t, EventTrouble).AppID)
}

func TestARecordHasNoErrcodeWhereWeChatGaveNone(t *testing.T) {
	s := newSite(t)
	s.sim.Fail("sns/oauth2/access_token", wechattest.Truncated())
	s.browser().visit("/")
	logs := s.logs.String()
	assert.Contains(t, logs, "reason=upstream_error")
	assert.Contains(t, logs, "endpoint=sns/oauth2/access_token")
	assert.NotContains(t, logs, "errcode=")
	assert.NotContains(t, logs, "rid=")
}

func TestAnObserverSeesErrcodesAndTheClassesOfStoreErrors(t *testing.T) {
	redis := redistest.Start(t)
	seen := &recorder{}
	s := newSite(t, WithRedis(redis.Pool()), WithObserver(seen), WithApp(wechattest.DefaultAppID, "another-secret-for-tests"))
	b := s.browser()
	b.visit("/")
	refused := seen.call(t, "sns/oauth2/access_token")
	assert.Equal(t, 40125, refused.Errcode)
	assert.Equal(t, "configuration", refused.Class)

	callback := b.authorize("/wechat/login?again=1")
	redis.Stop()
	b.step(callback)
	down := seen.call(t, "claim mark")
	assert.Contains(t, []string{"retry_now", "retry_fresh"}, down.Class)
	assert.Error(t, down.Err)
	assert.Equal(t, ReasonStoreUnavailable, seen.event(t, EventLoginFailed).Reason)
}

func TestAnObserverSeesThatALoopWasStopped(t *testing.T) {
	seen := &recorder{}
	s := newSite(t, WithObserver(seen))
	b := s.browser()
	b.client.Jar = dropping{b.client.Jar, s.sessionCookie()}
	b.visit("/")
	assert.Equal(t, ReasonSessionCookieNotReturned, seen.event(t, EventStopped).Reason)
}

func TestTheFlowIDFollowsALoginAcrossInstancesInEventsAndLogs(t *testing.T) {
	redis := redistest.Start(t)
	one, two := &recorder{}, &recorder{}
	s := newSite(t, WithRedis(redis.Pool()), WithObserver(one))
	logs := &syncBuffer{}
	other, err := New(
		WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret), WithBaseURL(s.auth.home.base.String()), WithEndpoints(s.sim.Endpoints()),
		WithRedis(redis.Pool()), WithObserver(two), withClock(s.clock.Now),
		WithLogger(slog.New(slog.NewTextHandler(logs, nil))),
	)
	require.NoError(t, err)
	b := s.browser()
	callback := b.authorize("/")

	s.server.Config.Handler = other // from now on, the other instance answers
	b.visit(callback)

	flow := one.event(t, EventLoginStarted).Flow
	assert.Equal(t, flow, two.event(t, EventLoginFinished).Flow)
	assert.Equal(t, flow, two.call(t, "sns/oauth2/access_token").Flow)
	assert.Contains(t, s.logs.String(), "flow="+flow)
	assert.Contains(t, logs.String(), "flow="+flow)
}

func TestWithoutAnObserverNothingIsMeasuredAndAnEventCostsNothing(t *testing.T) {
	quiet := slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError}))
	auth, err := New(right(WithLogger(quiet))...)
	require.NoError(t, err)
	assert.IsType(t, &store.Memory{}, guardOf(auth).Unwrap(), "no wrapper")
	ctx := context.Background()
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		auth.report(ctx, Event{Kind: EventLoginStarted, Flow: "flow", AppID: testAppID})
	}))

	events, err := New(right(WithLogger(quiet), WithObserver(observing(func(Event) {})))...)
	require.NoError(t, err)
	assert.IsType(t, &store.Memory{}, guardOf(events).Unwrap(), "events alone need no wrapper")
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		events.report(ctx, Event{Kind: EventLoginStarted, Flow: "flow", AppID: testAppID})
	}))
}

func TestObserversTellAllAndMeasureOnlyForThoseWhoWantIt(t *testing.T) {
	var told []string
	note := func(name string) Observer { return observing(func(e Event) { told = append(told, name) }) }
	first := Observers(note("a"), nil, note("b"))
	first.Observe(context.Background(), Event{})
	assert.Equal(t, []string{"a", "b"}, told)
	_, ok := first.(CallObserver)
	assert.False(t, ok)

	all := &recorder{}
	second, ok := Observers(note("c"), all).(CallObserver)
	require.True(t, ok)
	second.ObserveCall(context.Background(), Call{Name: "find session"})
	second.Observe(context.Background(), Event{Kind: EventRevoked})
	assert.Len(t, all.calls, 1)
	assert.Len(t, all.events, 1)
}

func TestTheCallsOfAPlainScsStoreAreTold(t *testing.T) {
	seen := &recorder{}
	s := newSite(t, WithStore(memstore.NewWithCleanupInterval(0)), WithObserver(seen))
	b := s.browser()
	require.Contains(t, b.visit("/").body, "logged-in=true")
	seen.call(t, "commit session")
	seen.call(t, "find session")
}

func TestWithTheApplicationsOwnManagerMarksAreToldAndItsStoreIsAskedAsItIs(t *testing.T) {
	inner := store.NewMemory()
	m := scs.New()
	m.Store = inner
	seen := &recorder{}
	s := newSite(t, WithSessionManager(m), WithObserver(seen))
	require.Contains(t, s.browser().visit("/").body, "logged-in=true")
	seen.call(t, "claim mark")
	assert.Same(t, inner, guardOf(s.auth).Unwrap())
}
