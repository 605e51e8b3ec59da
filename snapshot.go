package wechatauth

import (
	"net/http"

	"github.com/wechatauth/wechatauth/internal/flow"
)

// SnapshotPolicy says what a visitor in WeChat's snapshot mode (快照页) is
// shown. WeChat opens a page that way when it asks for snsapi_userinfo too
// early. The openid it then gives is a virtual one, which may belong to nobody
// or to somebody else, so no policy makes a login of it.
type SnapshotPolicy int

const (
	// SnapshotPage shows a page that explains the button "使用完整服务", by
	// which the visitor opens the same URL for real. The default.
	SnapshotPage SnapshotPolicy = iota
	// SnapshotAnonymous lets page visits through without an identity:
	// IdentityFromContext returns false, and an Identity with Snapshot set.
	SnapshotAnonymous
	// SnapshotRefuse answers 403 with ReasonSnapshotUser to everything.
	SnapshotRefuse
)

// WithSnapshotPolicy sets what a visitor in snapshot mode is shown. Default
// SnapshotPage.
func WithSnapshotPolicy(p SnapshotPolicy) Option {
	return func(c *config) { c.snapshot = p }
}

// leaveAsSnapshot ends a flow that brought a virtual identity: back to the
// return target, whose URL is the one that "使用完整服务" opens.
func (g *gate) leaveAsSnapshot(w http.ResponseWriter, r *http.Request, f flow.Flow, reason Reason) {
	g.report(r.Context(), Event{Kind: EventLoginFailed, Reason: reason, Flow: flowID(f.AppID, f.State), AppID: f.AppID, Channel: f.Channel, Scope: f.Scope, Duration: g.age(f)})
	g.cookies.MarkSnapshot(w)
	g.leave(w, r, f, g.landing(f.Target))
}
