package wechattest

import "slices"

// Quirk is a behavior on which the sources about WeChat disagree or are
// silent, or that only some users meet. All are off by default; WithQuirks and
// Server.SetQuirk turn them on.
type Quirk string

const (
	// LenientOrder accepts the authorize parameters in any order.
	LenientOrder Quirk = "lenient-order"
	// StateRequired shows 10013 when state is missing or empty.
	StateRequired Quirk = "state-required"
	// OmitEmptyState leaves state out of the callback when it was empty;
	// otherwise it comes back as "state=".
	OmitEmptyState Quirk = "omit-empty-state"
	// RefusalCallback is the older behaviour on refusal: the browser goes to
	// the callback with state and without code.
	RefusalCallback Quirk = "refusal-callback"
	// ConnectRedirect answers authorize first with a 301 to the same URL and
	// connect_redirect=1.
	ConnectRedirect Quirk = "connect-redirect"
	// UsedCodeInvalid answers 40029 instead of 40163 for a used code.
	UsedCodeInvalid Quirk = "used-code-invalid"
	// FailureBurnsCode lets a failed exchange spend the code.
	FailureBurnsCode Quirk = "failure-burns-code"
	// WrongSecret40001 answers 40001 instead of 40125 for a wrong secret.
	WrongSecret40001 Quirk = "wrong-secret-40001"
	// BaseUnionID puts the unionid also into snsapi_base answers.
	BaseUnionID Quirk = "base-unionid"
	// JSONContentType sends sns answers as application/json; encoding=utf-8
	// instead of text/plain.
	JSONContentType Quirk = "json-content-type"
	// AcceptPost accepts POST forms on sns endpoints.
	AcceptPost Quirk = "accept-post"
	// RotateRefreshToken gives out a new refresh_token, and voids the old one,
	// when an expired access_token is refreshed.
	RotateRefreshToken Quirk = "rotate-refresh-token"
	// RefusedIP61004 answers 61004 instead of 40164 to an address that is not
	// allowed.
	RefusedIP61004 Quirk = "refused-ip-61004"
	// RequireHTTPS answers 43003 to API calls over plain HTTP.
	RequireHTTPS Quirk = "require-https"
	// QuotaPerUser counts jscode2session's quota per user, not per AppID.
	QuotaPerUser Quirk = "quota-per-user"
	// RecentConsent asks nobody twice for the same account, unless
	// forcePopup=true.
	RecentConsent Quirk = "recent-consent"

	// DuplicateCallbackLater delivers a callback once more: in a browser that runs scripts
	// one second after the first, with Server.Allow when the first was answered.
	DuplicateCallbackLater Quirk = "doubled-later"
	// DuplicateCallbackAtOnce delivers a callback once more while the first is open, in a
	// browser that runs scripts and with Server.Allow alike; see also Twice.
	DuplicateCallbackAtOnce Quirk = "doubled-at-once"

	// SnapshotBase gives a virtual user also to snsapi_base.
	SnapshotBase Quirk = "snapshot-base"
	// SnapshotUnflagged leaves is_snapshotuser out on a person's first
	// snapshot visit.
	SnapshotUnflagged Quirk = "snapshot-unflagged"
	// SnapshotUserInfoDenied answers 48001 to sns/userinfo of a virtual user.
	SnapshotUserInfoDenied Quirk = "snapshot-userinfo-denied"
	// SnapshotSharedUnionID gives all virtual users one unionid.
	SnapshotSharedUnionID Quirk = "snapshot-shared-unionid"
	// SnapshotRealUnionID gives a virtual user somebody else's true unionid.
	SnapshotRealUnionID Quirk = "snapshot-real-unionid"

	// SessionKeyRotates replaces the session_key on every wx.login.
	SessionKeyRotates Quirk = "session-key-rotates"
	// WrongWatermark puts another AppID into mini program payloads.
	WrongWatermark Quirk = "wrong-watermark"
	// CountryCodeNumber sends a phone number's countryCode as a number, as in an
	// older example of WeChat's, instead of a string.
	CountryCodeNumber Quirk = "country-code-number"
)

// switchText is a switch with its words on the control page.
type switchText struct {
	name   Quirk
	ZH, EN string
}

// Name is the switch as it is called in forms and files.
func (t switchText) Name() Quirk { return t.name }

var switches = []switchText{
	{LenientOrder, "参数可以乱序", "parameters in any order"},
	{StateRequired, "state 为空报 10013", "10013 without a state"},
	{OmitEmptyState, "空 state 不回传", "an empty state is not echoed"},
	{RefusalCallback, "拒绝时带 state 回调（旧行为）", "refusal calls back with state (older)"},
	{ConnectRedirect, "先 301 加 connect_redirect=1", "301 with connect_redirect=1 first"},
	{RecentConsent, "同意过就不再询问", "nobody is asked twice"},
	{DuplicateCallbackLater, "回调两次，相隔 1 秒", "callback twice, one second apart"},
	{DuplicateCallbackAtOnce, "回调两次，同时", "callback twice, at once"},
	{UsedCodeInvalid, "用过的 code 报 40029", "40029 for a used code"},
	{FailureBurnsCode, "失败的交换也消耗 code", "a failed exchange spends the code"},
	{WrongSecret40001, "secret 错误报 40001", "40001 for a wrong secret"},
	{BaseUnionID, "snsapi_base 也给 unionid", "unionid with snsapi_base too"},
	{JSONContentType, "sns 用 JSON Content-Type", "sns answers as JSON by type"},
	{AcceptPost, "sns 接受 POST", "sns accepts POST"},
	{RotateRefreshToken, "refresh_token 轮换", "refresh_token rotates"},
	{RefusedIP61004, "IP 不允许时报 61004", "61004 for a refused address"},
	{RequireHTTPS, "API 要求 https", "the API wants https"},
	{QuotaPerUser, "jscode2session 按用户计配额", "jscode2session quota per user"},
	{SnapshotBase, "快照：snsapi_base 也是虚拟身份", "snapshot: virtual with snsapi_base too"},
	{SnapshotUnflagged, "快照：第一次没有 is_snapshotuser", "snapshot: no is_snapshotuser at first"},
	{SnapshotUserInfoDenied, "快照：userinfo 报 48001", "snapshot: 48001 from userinfo"},
	{SnapshotSharedUnionID, "快照：所有人共用一个 unionid", "snapshot: one unionid for all"},
	{SnapshotRealUnionID, "快照：unionid 是别人的真值", "snapshot: somebody else's true unionid"},
	{SessionKeyRotates, "每次 wx.login 换 session_key", "session_key changes with each wx.login"},
	{WrongWatermark, "数据水印是别的 AppID", "watermark of another AppID"},
	{CountryCodeNumber, "countryCode 是数字", "countryCode as a number"},
}

func knownSwitch(sw Quirk) bool {
	return slices.ContainsFunc(switches, func(t switchText) bool { return t.name == sw })
}

// SetQuirk turns a switch on or off while the simulator runs. It panics on a
// switch that does not exist.
func (s *Server) SetQuirk(sw Quirk, on bool) {
	if !knownSwitch(sw) {
		panic("wechattest: unknown switch " + string(sw))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.switches[sw] = on
}

// on reports a switch. The caller holds s.mu.
func (s *Server) on(sw Quirk) bool { return s.cfg.switches[sw] }
