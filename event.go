package wechatauth

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/wechatauth/wechatauth/client"
)

// EventKind names what happened. The list is closed.
type EventKind string

const (
	// EventLoginStarted means that a login started: the browser was sent to
	// WeChat or shown a QR code.
	EventLoginStarted EventKind = "login_started"
	// EventLoginFinished: a visitor came back and is logged in.
	EventLoginFinished EventKind = "login_finished"
	// EventLoginFailed: a login ended without a session; Reason says why.
	EventLoginFailed EventKind = "login_failed"
	// EventLoggedOut: a visitor ended his session.
	EventLoggedOut EventKind = "logged_out"
	// EventRevoked: all sessions of a user were ended.
	EventRevoked EventKind = "revoked"
	// EventStopped means that a request was rejected for a reason that may
	// interest an operator, which is in Reason. What users meet every day is
	// not reported: a 401 response, a scope that is still missing, a page that
	// asks to open WeChat, an unsupported method.
	EventStopped EventKind = "stopped"
	// EventTrouble: something went wrong that the visitor did not notice.
	EventTrouble EventKind = "trouble"
)

// Event is one thing that happened. It holds no secret, code, token or whole
// openid.
type Event struct {
	// Kind is what happened.
	Kind EventKind
	// Reason is why a login failed or a request was rejected, and of an
	// EventTrouble what failed, where there is a word for it. It is empty
	// otherwise.
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
