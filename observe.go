package wechatauth

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/redact"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/internal/singleflight"
	"github.com/wechatauth/wechatauth/store"
)

// EventKind names what happened. The list is closed.
type EventKind string

const (
	// EventLoginStarted: a visitor was sent to WeChat.
	EventLoginStarted EventKind = "login_started"
	// EventLoginFinished: a visitor came back and is logged in.
	EventLoginFinished EventKind = "login_finished"
	// EventLoginFailed: a login ended without a session; Reason says why.
	EventLoginFailed EventKind = "login_failed"
	// EventLoggedOut: a visitor ended his session.
	EventLoggedOut EventKind = "logged_out"
	// EventRevoked: all sessions of a user were ended.
	EventRevoked EventKind = "revoked"
	// EventStopped: a visitor was stopped at the gate; Reason says why. An
	// anonymous request that gets its 401 is no event.
	EventStopped EventKind = "stopped"
	// EventTrouble: something went wrong that the visitor did not notice.
	EventTrouble EventKind = "trouble"
)

// Event is one thing that happened. It holds no secret, code, token or whole
// openid.
type Event struct {
	// Kind is what happened.
	Kind EventKind
	// Reason is why a login failed or a visitor was stopped; empty otherwise.
	Reason Reason
	// Flow follows one login from start to end, across instances; empty where
	// there is none.
	Flow string
	// AppID is the account; empty where none is concerned.
	AppID string
	// Channel is that of the login; empty where there is none.
	Channel Channel
	// Scope is what the login asks for, and once it is finished what was
	// granted; empty where there is none.
	Scope client.Scope
	// OpenID is the first characters of the openid; empty while unknown.
	OpenID string
	// Duration is the time from the start of a login, when the browser was sent
	// to WeChat, to its end, in milliseconds; 0 if Kind is neither
	// EventLoginFinished nor EventLoginFailed. It includes the time that the
	// user took.
	Duration time.Duration
	// Detail tells the operator what to look at; English, may be empty.
	Detail string
	// Err is what went wrong; nil where nothing did. A *client.Error in it has
	// WeChat's errcode and rid.
	Err error
}

// Observer is told of every event, in the goroutine of the request: it must
// be quick and safe for concurrent use. One that is a [CallObserver] is told of
// calls too. Modules observe/wechatprom and observe/wechatotel have one each,
// for Prometheus and for OpenTelemetry.
type Observer interface {
	// Observe is called once for each event. ctx has the values of the
	// request's context.
	Observe(ctx context.Context, e Event)
}

// CallTarget is who was called.
type CallTarget string

const (
	// CallWeChat: WeChat's API.
	CallWeChat CallTarget = "wechat"
	// CallStore: the session store.
	CallStore CallTarget = "store"
)

// Call is one call that a request needed, to WeChat's API or to the session
// store. It holds no secret, code, token, key or openid.
type Call struct {
	// Target is who was called.
	Target CallTarget
	// Name is what was asked: WeChat's endpoint, such as
	// "sns/oauth2/access_token", or what the store did, such as "find session"
	// (store.Call has the list).
	Name string
	// AppID is the account of a call to WeChat; empty otherwise.
	AppID string
	// Flow is that of the login that the call is part of; empty where there is
	// none.
	Flow string
	// Duration is how long it took, repetitions included.
	Duration time.Duration
	// Errcode is WeChat's; 0 where it gave none.
	Errcode int
	// Class sorts what went wrong in one word: the client.Kind of an error of
	// WeChat ("busy", "configuration", …), the store.Class of one of the store
	// ("retry_now", "retry_fresh", "fail_closed", "configuration"). Empty where
	// nothing did.
	Class string
	// Err is what went wrong; nil where nothing did.
	Err error
}

// CallObserver is an [Observer] that is told of each call too. Without one
// nothing is measured, and calls cost what they cost by themselves.
//
// Calls of the session store that an application's own manager makes
// (WithSessionManager) are told only if the application wraps that store with
// store.Observe.
type CallObserver interface {
	Observer
	// ObserveCall is called once for each call, after it, in the goroutine that
	// made it: it must be quick and safe for concurrent use. ctx has the values
	// of the request's context.
	ObserveCall(ctx context.Context, c Call)
}

// Observers tells all of several observers, in their order; nil ones are left
// out.
func Observers(all ...Observer) Observer {
	var o observers
	for _, one := range all {
		if one == nil {
			continue
		}
		o.events = append(o.events, one)
		if c, ok := one.(CallObserver); ok {
			o.calls = append(o.calls, c)
		}
	}
	if len(o.calls) == 0 {
		return eventsOnly{o}
	}
	return o
}

type observers struct {
	events []Observer
	calls  []CallObserver
}

func (o observers) Observe(ctx context.Context, e Event) {
	for _, one := range o.events {
		one.Observe(ctx, e)
	}
}

func (o observers) ObserveCall(ctx context.Context, c Call) {
	for _, one := range o.calls {
		one.ObserveCall(ctx, c)
	}
}

// eventsOnly are observers of which none wants to know of calls: then nothing
// has to be measured.
type eventsOnly struct{ all observers }

func (o eventsOnly) Observe(ctx context.Context, e Event) { o.all.Observe(ctx, e) }

// tellsOfWeChat is what the clients tell of their calls; nil if nobody wants to
// know.
func (c *config) tellsOfWeChat() func(context.Context, client.Call) {
	o, ok := c.observer.(CallObserver)
	if !ok {
		return nil
	}
	return func(ctx context.Context, call client.Call) {
		told := Call{
			Target: CallWeChat, Name: call.Endpoint, AppID: call.AppID, Flow: flowOf(ctx),
			Duration: call.Duration, Err: call.Err,
		}
		var we *client.Error
		if errors.As(call.Err, &we) {
			told.Errcode, told.Class = we.Code, we.Kind().String()
		}
		o.ObserveCall(ctx, told)
	}
}

// observed wraps the store so that the observer learns of its calls.
func (c *config) observed(inner scs.Store) scs.Store {
	o, ok := c.observer.(CallObserver)
	if !ok {
		return inner
	}
	return store.Observe(inner, func(ctx context.Context, call store.Call) {
		told := Call{Target: CallStore, Name: call.Op, Flow: flowOf(ctx), Duration: call.Duration, Err: redact.Tokens(call.Err)}
		if call.Err != nil {
			told.Class = strings.ReplaceAll(store.ClassOf(call.Err).String(), " ", "_")
		}
		o.ObserveCall(ctx, told)
	})
}

var flowKey = &contextKey{"wechatauth flow"}

// withFlow notes in the context which login is being finished, for what is told
// of the calls that it needs.
func withFlow(ctx context.Context, f flow.Flow) context.Context {
	return context.WithValue(ctx, flowKey, flowID(f.AppID, f.State))
}

// flowOf is the id of the login that a context is for; empty for none.
func flowOf(ctx context.Context) string {
	id, _ := ctx.Value(flowKey).(string)
	return id
}

// age returns how long ago a login began. The clocks of two instances may
// differ.
func (g *gate) age(f flow.Flow) time.Duration {
	if f.IssuedAt == 0 {
		return 0
	}
	return max(0, g.now().Sub(time.UnixMilli(f.IssuedAt)).Truncate(time.Millisecond))
}

// isHeard reports whether anybody is told of such an event: what only they would
// read need not be put together for each anonymous visit.
func (a *Auth) isHeard(e Event) bool {
	return a.observer != nil || a.logger.Enabled(context.Background(), e.level())
}

// report writes the event to the log and tells the observer.
func (a *Auth) report(ctx context.Context, e Event) {
	e.Err = redact.Tokens(e.Err)
	if e.Detail == "" {
		e.Detail = reasons[e.Reason].remedy
	}
	if e.Flow == "" {
		e.Flow = flowOf(ctx)
	}
	if a.observer != nil {
		a.observer.Observe(ctx, e)
	}
	level := e.level()
	if !a.logger.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 12)
	text := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	text("event", string(e.Kind))
	text("reason", string(e.Reason))
	text("flow", e.Flow)
	text("appid", e.AppID)
	text("channel", string(e.Channel))
	text("scope", string(e.Scope))
	text("openid", e.OpenID)
	if e.Duration > 0 {
		attrs = append(attrs, slog.Duration("duration", e.Duration))
	}
	text("detail", e.Detail)
	var we *client.Error
	if errors.As(e.Err, &we) {
		if we.Code != 0 {
			attrs = append(attrs, slog.Int("errcode", we.Code))
		}
		text("rid", we.RID)
		text("endpoint", we.Endpoint)
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String("error", e.Err.Error()))
	}
	a.logger.LogAttrs(ctx, level, "wechatauth: "+string(e.Kind), attrs...)
}

// stopped reports that a visitor was stopped, with his account where the event
// has none.
func (g *gate) stopped(r *http.Request, e Event) {
	e.Kind = EventStopped
	if e.AppID == "" {
		e.AppID = g.appIDFor(r)
	}
	g.report(r.Context(), e)
}

// appIDFor is the account that a request's visitor logs in to.
func (g *gate) appIDFor(r *http.Request) string {
	if _, sent := session.Bearer(r); sent && g.mini.client != nil {
		return g.mini.appID
	}
	return g.accountFor(r).appID
}

// level: errors are what an operator has to mend, warnings what he may want
// to look at, and the rest is everyday life.
func (e Event) level() slog.Level {
	if errors.Is(e.Err, errClientGone) {
		return slog.LevelInfo
	}
	if level := reasons[e.Reason].level; level != slog.LevelInfo {
		return level
	}
	switch e.Kind {
	case EventTrouble:
		return slog.LevelWarn
	case EventLoginStarted:
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// flowID is what logs show of a login: enough to follow it, and of no use to
// whoever would want to finish it.
func flowID(appID, state string) string { return singleflight.Key(appID, state)[:12] }
