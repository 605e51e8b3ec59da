package wechatauth

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/wechatauth/wechatauth/client"
)

// An EventKind is the kind of an [Event]. The list is closed.
type EventKind string

const (
	// EventLoginStarted means that a login started: the browser was sent to
	// WeChat or shown a QR code.
	EventLoginStarted EventKind = "login_started"
	// EventLoginFinished means that a user is logged in.
	EventLoginFinished EventKind = "login_finished"
	// EventLoginFailed means that a login ended without a session, for the
	// Reason.
	EventLoginFailed EventKind = "login_failed"
	// EventLoggedOut means that a user ended a session.
	EventLoggedOut EventKind = "logged_out"
	// EventRevoked means that all sessions of a user were ended.
	EventRevoked EventKind = "revoked"
	// EventRejected means that a request was rejected for a reason that may
	// interest an operator, which is in Reason. Everyday rejections are not
	// reported: a 401 response, a missing scope, a page that asks the user to
	// open WeChat, an unsupported method.
	EventRejected EventKind = "rejected"
	// EventDegraded means that something failed but the request succeeded.
	EventDegraded EventKind = "degraded"
)

// An Event describes something that happened. It contains no secret, code,
// token or complete openid.
type Event struct {
	// Kind is what happened.
	Kind EventKind
	// Reason is why a login failed or a request was rejected. For an
	// EventDegraded, it is what failed, if there is a Reason for that. It is
	// empty otherwise.
	Reason Reason
	// Flow is the flow ID, which is the same in all events of a login, on all
	// instances. It is empty if there is no login.
	Flow string
	// AppID is that of the account, or empty if the event concerns none.
	AppID string
	// Channel is that of the login, or empty if there is none.
	Channel Channel
	// Scope is the scope that the login requests and, once it has finished, the
	// granted one. It is empty if there is no login.
	Scope client.Scope
	// OpenID is the first characters of the openid, or empty if it is unknown.
	OpenID string
	// Duration is the time from the start of a login, when the browser was sent
	// to WeChat, to its end, in milliseconds. It includes the time that the
	// user took, and is 0 unless Kind is EventLoginFinished or
	// EventLoginFailed.
	Duration time.Duration
	// Detail describes what happened or what to check, in English. It may be
	// empty.
	Detail string
	// Err is the error, or nil. A *client.Error in it has WeChat's errcode and
	// rid.
	Err error
}

// An Observer receives every event, in the goroutine of the request. It must be
// fast and safe for concurrent use. One that implements [CallObserver] also
// receives calls. The modules observe/wechatprom and observe/wechatotel provide
// observers for Prometheus and OpenTelemetry.
type Observer interface {
	// Observe is called once for each event. ctx has the values of the
	// request's context.
	Observe(ctx context.Context, e Event)
}

// A Call describes a call that a request needed, to WeChat's API or to the
// session store. It contains no secret, code, token, key or openid.
type Call struct {
	// Service is what was called: "wechat" for WeChat's API, "store" for the
	// session store.
	Service string
	// Name is WeChat's endpoint, such as "sns/oauth2/access_token", or the
	// operation of the store, such as "find session" (store.Call has the list).
	Name string
	// AppID is the account of a call to WeChat, and empty otherwise.
	AppID string
	// Flow is the flow ID of the login that the call is part of, or empty.
	Flow string
	// Duration is the time the call took, including retries.
	Duration time.Duration
	// Errcode is WeChat's, or 0 if it returned none.
	Errcode int
	// Class is the kind of the error in one word: the client.Kind of an error
	// of WeChat ("busy", "configuration", …) or the store.Class of one of the
	// store ("retry_now", "retry_fresh", "fail_closed", "configuration"). It is
	// empty if there is none.
	Class string
	// Err is the error, or nil if the call succeeded.
	Err error
}

// A CallObserver is an [Observer] that also receives each call. Without one,
// calls are not measured.
//
// Calls that an application's own session manager makes (WithSessionManager)
// are received only if the application wraps its store with store.Observe.
type CallObserver interface {
	Observer
	// ObserveCall is called after each call, in the goroutine that made it. It
	// must be fast and safe for concurrent use. ctx has the values of the
	// request's context.
	ObserveCall(ctx context.Context, c Call)
}

// multiObserver returns an observer that passes events and calls to all of these,
// in order. It ignores nil observers, and returns nil if there are no others.
func multiObserver(all []Observer) Observer {
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
	switch {
	case len(o.events) == 0:
		return nil
	case len(o.calls) == 0:
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

// eventsOnly are observers of which none receives calls, so that calls are not
// measured.
type eventsOnly struct{ all observers }

func (o eventsOnly) Observe(ctx context.Context, e Event) { o.all.Observe(ctx, e) }

// level returns Error if an operator must act, Warn if they may want to look,
// and Info otherwise.
func (e Event) level() slog.Level {
	if errors.Is(e.Err, errClientGone) {
		return slog.LevelInfo
	}
	if level := reasons[e.Reason].level; level != slog.LevelInfo {
		return level
	}
	switch e.Kind {
	case EventDegraded:
		return slog.LevelWarn
	case EventLoginStarted:
		return slog.LevelDebug
	}
	return slog.LevelInfo
}
