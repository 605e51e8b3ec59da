package wechattest

import "slices"

// A Quirk is a behavior on which the sources about WeChat disagree, that they
// do not mention, or that only some users experience. All quirks are off by
// default; turn them on with [WithQuirks] or [Server.SetQuirk].
type Quirk string

const (
	// LenientOrder accepts the authorize parameters in any order.
	LenientOrder Quirk = "lenient-order"
	// StateRequired shows 10013 when state is missing or empty.
	StateRequired Quirk = "state-required"
	// OmitEmptyState omits an empty state from the callback, which otherwise
	// contains "state=".
	OmitEmptyState Quirk = "omit-empty-state"
	// RefusalCallback simulates the older behavior when the user denies: the
	// browser opens the callback with state and without code.
	RefusalCallback Quirk = "refusal-callback"
	// ConnectRedirect makes authorize first redirect with a 301 to the same URL
	// with connect_redirect=1.
	ConnectRedirect Quirk = "connect-redirect"
	// UsedCodeInvalid returns 40029 instead of 40163 for a used code.
	UsedCodeInvalid Quirk = "used-code-invalid"
	// FailureBurnsCode makes a failed exchange use up the code.
	FailureBurnsCode Quirk = "failure-burns-code"
	// WrongSecret40001 returns 40001 instead of 40125 for a wrong secret.
	WrongSecret40001 Quirk = "wrong-secret-40001"
	// BaseUnionID includes the unionid in snsapi_base responses, too.
	BaseUnionID Quirk = "base-unionid"
	// JSONContentType sends sns responses as application/json; encoding=utf-8
	// instead of text/plain.
	JSONContentType Quirk = "json-content-type"
	// AcceptPost accepts POST forms on sns endpoints.
	AcceptPost Quirk = "accept-post"
	// RotateRefreshToken issues a new refresh_token, and invalidates the old
	// one, when an expired access_token is refreshed.
	RotateRefreshToken Quirk = "rotate-refresh-token"
	// RefusedIP61004 returns 61004 instead of 40164 to an address that is not
	// allowed.
	RefusedIP61004 Quirk = "refused-ip-61004"
	// RequireHTTPS returns 43003 for API calls over plain HTTP.
	RequireHTTPS Quirk = "require-https"
	// QuotaPerUser counts jscode2session's quota per user instead of per AppID.
	QuotaPerUser Quirk = "quota-per-user"
	// RecentConsent does not ask a user twice for the same account, unless
	// forcePopup=true.
	RecentConsent Quirk = "recent-consent"

	// DuplicateCallbackLater delivers a callback twice: in a browser that runs
	// scripts, one second after the first; with [Server.Allow], after the
	// response to the first.
	DuplicateCallbackLater Quirk = "doubled-later"
	// DuplicateCallbackAtOnce delivers a callback twice at the same time, both
	// in a browser that runs scripts and with [Server.Allow]; see also
	// [DeliverTwice].
	DuplicateCallbackAtOnce Quirk = "doubled-at-once"

	// SnapshotBase returns a virtual user for snsapi_base, too.
	SnapshotBase Quirk = "snapshot-base"
	// SnapshotUnflagged omits is_snapshotuser on a person's first visit of a
	// snapshot page.
	SnapshotUnflagged Quirk = "snapshot-unflagged"
	// SnapshotUserInfoDenied returns 48001 from sns/userinfo for a virtual
	// user.
	SnapshotUserInfoDenied Quirk = "snapshot-userinfo-denied"
	// SnapshotSharedUnionID gives all virtual users the same unionid.
	SnapshotSharedUnionID Quirk = "snapshot-shared-unionid"
	// SnapshotRealUnionID gives a virtual user another user's real unionid.
	SnapshotRealUnionID Quirk = "snapshot-real-unionid"

	// WeComUsedCode42022 makes WeCom return 42022 instead of 40029 for a used code.
	WeComUsedCode42022 Quirk = "wecom-used-code-42022"
	// WeComExpiredCode42003 makes WeCom return 42003 instead of 40029 for an
	// expired code.
	WeComExpiredCode42003 Quirk = "wecom-expired-code-42003"
	// WeComExpiredToken42001 makes WeCom return 42001 instead of 40014 for an
	// expired access_token.
	WeComExpiredToken42001 Quirk = "wecom-expired-token-42001"
	// WeComNewToken makes every gettoken of WeCom issue a new token. The others
	// remain valid.
	WeComNewToken Quirk = "wecom-new-token"
	// WeComOldTokenDies makes every gettoken of WeCom issue a new token and
	// invalidate the others.
	WeComOldTokenDies Quirk = "wecom-old-token-dies"
	// WeComOldKeys makes WeCom's getuserinfo return UserId, OpenId and DeviceId, as
	// its older path does.
	WeComOldKeys Quirk = "wecom-old-keys"
	// WeComGenderNumber sends a member's gender as a number instead of a string.
	WeComGenderNumber Quirk = "wecom-gender-number"
	// WeComAgentIDRequired shows an error page for snsapi_privateinfo without
	// agentid, which is otherwise treated as snsapi_base.
	WeComAgentIDRequired Quirk = "wecom-agentid-required"

	// SessionKeyRotates replaces the session_key on every wx.login.
	SessionKeyRotates Quirk = "session-key-rotates"
	// WrongWatermark puts a different AppID into mini program payloads.
	WrongWatermark Quirk = "wrong-watermark"
	// CountryCodeNumber sends a phone number's countryCode as a number, as in
	// an older example of WeChat's documentation, instead of a string.
	CountryCodeNumber Quirk = "country-code-number"
)

// A quirkText is a quirk with its texts on the control page.
type quirkText struct {
	name   Quirk
	ZH, EN string
}

// Name returns the name of the quirk in forms and files.
func (t quirkText) Name() Quirk { return t.name }

var quirkTexts = []quirkText{
	{LenientOrder, "参数顺序不限", "accept parameters in any order"},
	{StateRequired, "state 为空时显示 10013", "show 10013 without a state"},
	{OmitEmptyState, "回调不带空 state", "omit an empty state from the callback"},
	{RefusalCallback, "拒绝时带 state 回调（旧行为）", "call back with state on denial (older)"},
	{ConnectRedirect, "先 301 跳转并添加 connect_redirect=1", "redirect with connect_redirect=1 first"},
	{RecentConsent, "已授权的用户不再询问", "ask each user only once"},
	{DuplicateCallbackLater, "重复回调，间隔 1 秒", "duplicate callback after one second"},
	{DuplicateCallbackAtOnce, "重复回调，同时到达", "duplicate callback at the same time"},
	{UsedCodeInvalid, "已使用的 code 返回 40029", "return 40029 for a used code"},
	{FailureBurnsCode, "换取失败时 code 也失效", "use up the code if the exchange fails"},
	{WrongSecret40001, "secret 错误时返回 40001", "return 40001 for a wrong secret"},
	{BaseUnionID, "snsapi_base 也返回 unionid", "return the unionid for snsapi_base, too"},
	{JSONContentType, "sns 使用 JSON Content-Type", "use a JSON Content-Type for sns"},
	{AcceptPost, "sns 接受 POST", "accept POST for sns"},
	{RotateRefreshToken, "刷新时更换 refresh_token", "rotate refresh_token"},
	{RefusedIP61004, "IP 不在白名单时返回 61004", "return 61004 for an address not allowed"},
	{RequireHTTPS, "接口要求 https", "require https for the API"},
	{QuotaPerUser, "jscode2session 按用户计算配额", "count jscode2session's quota per user"},
	{SnapshotBase, "快照页：snsapi_base 也返回虚拟账号", "snapshot: virtual user for snsapi_base, too"},
	{SnapshotUnflagged, "快照页：首次不返回 is_snapshotuser", "snapshot: omit is_snapshotuser the first time"},
	{SnapshotUserInfoDenied, "快照页：userinfo 返回 48001", "snapshot: return 48001 from userinfo"},
	{SnapshotSharedUnionID, "快照页：所有用户共用一个 unionid", "snapshot: same unionid for all users"},
	{SnapshotRealUnionID, "快照页：返回其他用户的真实 unionid", "snapshot: another user's real unionid"},
	{WeComUsedCode42022, "企业微信：已使用的 code 返回 42022", "WeCom: return 42022 for a used code"},
	{WeComExpiredCode42003, "企业微信：过期的 code 返回 42003", "WeCom: return 42003 for an expired code"},
	{WeComExpiredToken42001, "企业微信：过期的 token 返回 42001", "WeCom: return 42001 for an expired token"},
	{WeComNewToken, "企业微信：每次 gettoken 返回新 token", "WeCom: new token from every gettoken"},
	{WeComOldTokenDies, "企业微信：新 token 使旧 token 失效", "WeCom: a new token invalidates the old one"},
	{WeComOldKeys, "企业微信：返回 UserId、OpenId（旧接口）", "WeCom: keys UserId and OpenId (older)"},
	{WeComGenderNumber, "企业微信：gender 为数字", "WeCom: gender as a number"},
	{WeComAgentIDRequired, "企业微信：privateinfo 缺少 agentid 时报错", "WeCom: require agentid for privateinfo"},
	{SessionKeyRotates, "每次 wx.login 更换 session_key", "replace session_key on every wx.login"},
	{WrongWatermark, "水印中的 AppID 错误", "wrong AppID in the watermark"},
	{CountryCodeNumber, "countryCode 为数字", "countryCode as a number"},
}

func knownQuirk(q Quirk) bool {
	return slices.ContainsFunc(quirkTexts, func(t quirkText) bool { return t.name == q })
}

// SetQuirk turns a quirk on or off. It panics if the quirk does not exist.
func (s *Server) SetQuirk(q Quirk, on bool) {
	if !knownQuirk(q) {
		panic("wechattest: unknown quirk " + string(q))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.quirks[q], s.scenario = on, ""
}

// on reports whether a quirk is on. The caller holds s.mu.
func (s *Server) on(q Quirk) bool { return s.cfg.quirks[q] }
