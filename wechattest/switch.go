package wechattest

import "slices"

// Switch is a behaviour on which the sources about WeChat disagree or are
// silent, or that only some users meet. All are off by default; With and
// Server.Switch turn them on.
type Switch string

const (
	// LenientOrder accepts the authorize parameters in any order.
	LenientOrder Switch = "lenient-order"
	// StateRequired shows 10013 when state is missing or empty.
	StateRequired Switch = "state-required"
	// OmitEmptyState leaves state out of the callback when it was empty;
	// otherwise it comes back as "state=".
	OmitEmptyState Switch = "omit-empty-state"
	// RefusalCallback is the older behaviour on refusal: the browser goes to
	// the callback with state and without code.
	RefusalCallback Switch = "refusal-callback"
	// ConnectRedirect answers authorize first with a 301 to the same URL and
	// connect_redirect=1.
	ConnectRedirect Switch = "connect-redirect"
	// UsedCodeInvalid answers 40029 instead of 40163 for a used code.
	UsedCodeInvalid Switch = "used-code-invalid"
	// FailureBurnsCode lets a failed exchange spend the code.
	FailureBurnsCode Switch = "failure-burns-code"
	// WrongSecret40001 answers 40001 instead of 40125 for a wrong secret.
	WrongSecret40001 Switch = "wrong-secret-40001"
	// BaseUnionID puts the unionid also into snsapi_base answers.
	BaseUnionID Switch = "base-unionid"
	// JSONContentType sends sns answers as application/json; encoding=utf-8
	// instead of text/plain.
	JSONContentType Switch = "json-content-type"
	// AcceptPost accepts POST forms on sns endpoints.
	AcceptPost Switch = "accept-post"
	// RotateRefreshToken gives out a new refresh_token, and voids the old one,
	// when an expired access_token is refreshed.
	RotateRefreshToken Switch = "rotate-refresh-token"
)

var switches = []Switch{
	LenientOrder, StateRequired, OmitEmptyState, RefusalCallback, ConnectRedirect,
	UsedCodeInvalid, FailureBurnsCode, WrongSecret40001, BaseUnionID,
	JSONContentType, AcceptPost, RotateRefreshToken,
}

func known(sw Switch) bool { return slices.Contains(switches, sw) }

// Switch turns a switch on or off while the simulator runs. It panics on a
// switch that does not exist.
func (s *Server) Switch(sw Switch, on bool) {
	if !known(sw) {
		panic("wechattest: unknown switch " + string(sw))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.switches[sw] = on
}

// on reports a switch. The caller holds s.mu.
func (s *Server) on(sw Switch) bool { return s.cfg.switches[sw] }
