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
	// RefusedIP61004 answers 61004 instead of 40164 to an address that is not
	// allowed.
	RefusedIP61004 Switch = "refused-ip-61004"
	// RequireHTTPS answers 43003 to API calls over plain HTTP.
	RequireHTTPS Switch = "require-https"
	// QuotaPerUser counts jscode2session's quota per user, not per AppID.
	QuotaPerUser Switch = "quota-per-user"
	// RecentConsent asks nobody twice for the same account, unless
	// forcePopup=true.
	RecentConsent Switch = "recent-consent"

	// DoubledLater delivers a callback once more, one second after the first.
	// It takes a browser that runs scripts; see also Twice.
	DoubledLater Switch = "doubled-later"
	// DoubledAtOnce delivers a callback once more while the first is open.
	DoubledAtOnce Switch = "doubled-at-once"

	// SnapshotBase gives a virtual user also to snsapi_base.
	SnapshotBase Switch = "snapshot-base"
	// SnapshotUnflagged leaves is_snapshotuser out on a person's first
	// snapshot visit.
	SnapshotUnflagged Switch = "snapshot-unflagged"
	// SnapshotUserInfoDenied answers 48001 to sns/userinfo of a virtual user.
	SnapshotUserInfoDenied Switch = "snapshot-userinfo-denied"
	// SnapshotSharedUnionID gives all virtual users one unionid.
	SnapshotSharedUnionID Switch = "snapshot-shared-unionid"
	// SnapshotRealUnionID gives a virtual user somebody else's true unionid.
	SnapshotRealUnionID Switch = "snapshot-real-unionid"

	// SessionKeyRotates replaces the session_key on every wx.login.
	SessionKeyRotates Switch = "session-key-rotates"
	// WrongWatermark puts another AppID into mini program payloads.
	WrongWatermark Switch = "wrong-watermark"
	// CountryCodeString sends a phone number's countryCode as a string.
	CountryCodeString Switch = "country-code-string"
)

var switches = []Switch{
	LenientOrder, StateRequired, OmitEmptyState, RefusalCallback, ConnectRedirect,
	RecentConsent, DoubledLater, DoubledAtOnce,
	UsedCodeInvalid, FailureBurnsCode, WrongSecret40001, BaseUnionID,
	JSONContentType, AcceptPost, RotateRefreshToken, RefusedIP61004, RequireHTTPS, QuotaPerUser,
	SnapshotBase, SnapshotUnflagged, SnapshotUserInfoDenied, SnapshotSharedUnionID, SnapshotRealUnionID,
	SessionKeyRotates, WrongWatermark, CountryCodeString,
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
