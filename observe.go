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
	// Duration is how long a login took, from its start; 0 otherwise.
	Duration time.Duration
	// Detail tells the operator what to look at; English, may be empty.
	Detail string
	// Err is what went wrong; nil where nothing did. A *client.Error in it has
	// WeChat's errcode and rid.
	Err error
}

// Observer is told of every event, in the goroutine of the request: it must
// be quick and safe for concurrent use.
type Observer interface {
	// Observe is called once for each event. ctx has the values of the
	// request's context.
	Observe(ctx context.Context, e Event)
}

// report writes the event to the log and tells the observer.
func (a *Auth) report(ctx context.Context, e Event) {
	e.Err = withoutTokens(e.Err)
	if a.observer != nil {
		a.observer.Observe(ctx, e)
	}
	level := e.level()
	if !a.log.Enabled(ctx, level) {
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
		attrs = append(attrs, slog.Int("errcode", we.Code), slog.String("rid", we.RID), slog.String("endpoint", we.Endpoint))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String("error", e.Err.Error()))
	}
	a.log.LogAttrs(ctx, level, "wechatauth: "+string(e.Kind), attrs...)
}

// level: errors are what an operator has to mend, warnings what he may want
// to look at, and the rest is everyday life.
func (e Event) level() slog.Level {
	switch e.Reason {
	case ReasonBadConfig, ReasonStoreUnavailable, ReasonLoop, ReasonSessionCookieNotReturned, ReasonSessionLost:
		return slog.LevelError
	case ReasonUpstreamError, ReasonUpstreamTimeout, ReasonRateLimited, ReasonStateMismatch, ReasonIdentityMismatch, ReasonScanNumber, ReasonScanForeign:
		return slog.LevelWarn
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
func flowID(appID, state string) string { return claimKey(appID, state)[:12] }
