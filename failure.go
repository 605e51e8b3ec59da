package wechatauth

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/flow"
)

// A Reason is one word for why a request was rejected or a login failed. The
// list is closed: pages, JSON, log records and observers use these and no
// others, so that what a user reports can be found in logs and metrics.
type Reason string

// The reasons, in the order in which a login meets them.
const (
	// Reasons of a request without a session, or without one that suffices for the
	// route.

	// ReasonNoSession means that the request has no session cookie, or that no
	// user of this account is logged in to its session, which may still have
	// values such as a shopping cart.
	ReasonNoSession Reason = "no_session"
	// ReasonSessionUnknown means that the session of the request has ended, was
	// revoked, or was evicted from the store; or that this is true of the
	// session that confirmed a QR code or requested a web-view ticket.
	ReasonSessionUnknown Reason = "session_unknown"
	// ReasonSessionCorrupt means that the session record could not be read. It
	// was deleted, so the next login succeeds. A record that no key of
	// WithSessionEncryption opens is reported with this reason too; it stays in
	// the store, and the response has ReasonSessionUnknown.
	ReasonSessionCorrupt Reason = "session_corrupt"
	// ReasonScopeRequired means that the user granted a narrower scope than the
	// route requires.
	ReasonScopeRequired Reason = "scope_required"
	// ReasonLoggedOut means that the user has just logged out, and is not
	// logged in again silently.
	ReasonLoggedOut Reason = "logged_out"

	// Reasons of a callback that is rejected before any call to WeChat.

	// ReasonCallbackMalformed means that code or state is absent, repeated or
	// malformed, or that a form, a web-view ticket or the body of a mini
	// program's request is malformed.
	ReasonCallbackMalformed Reason = "callback_malformed"
	// ReasonFlowCookieMissing means that the browser has no pending login for
	// the state: cookies are disabled, or the link comes from another browser.
	ReasonFlowCookieMissing Reason = "flow_cookie_missing"
	// ReasonStateMismatch means that the pending login in the browser was not
	// issued here, was altered, or belongs to another state.
	ReasonStateMismatch Reason = "state_mismatch"
	// ReasonStateExpired means that the pending login is older than ten
	// minutes.
	ReasonStateExpired Reason = "state_expired"
	// ReasonRefusedByUser means that the user denied the login, with WeChat or on
	// the phone that scanned a QR code.
	ReasonRefusedByUser Reason = "refused_by_user"

	// Reasons of a login that fails after a call to WeChat.

	// ReasonCodeUsed means that WeChat reports the code as used (40163), or
	// that a web-view's ticket or a mini program's code was used before.
	ReasonCodeUsed Reason = "code_used"
	// ReasonCodeExpired means that WeChat reports the code as invalid or
	// expired (40029, 42003).
	ReasonCodeExpired Reason = "code_expired"
	// ReasonSnapshotUser means that WeChat opened the page in snapshot mode and
	// returned a virtual identity.
	ReasonSnapshotUser Reason = "snapshot_user"
	// ReasonSnapshotSuspected means that the profile was granted and then
	// denied (48001), as seen with virtual identities that WeChat did not mark.
	ReasonSnapshotSuspected Reason = "snapshot_suspected"
	// ReasonIdentityMismatch means that a WeChat user other than the one who is
	// logged in gave the consent.
	ReasonIdentityMismatch Reason = "identity_mismatch"
	// ReasonUserBlocked means that WeChat does not let the user log in (40226,
	// 50002 to 50005).
	ReasonUserBlocked Reason = "user_blocked"
	// ReasonRateLimited means that WeChat's quota for the account is exceeded
	// (45009, 45011).
	ReasonRateLimited Reason = "rate_limited"
	// ReasonUpstreamTimeout means that WeChat did not respond in time.
	ReasonUpstreamTimeout Reason = "upstream_timeout"
	// ReasonUpstreamError means that WeChat's response is an error or invalid.
	ReasonUpstreamError Reason = "upstream_error"
	// ReasonBadConfig means that WeChat rejects the AppID, the AppSecret, the
	// server's address or a permission of the account. Only the operator can
	// fix it.
	ReasonBadConfig Reason = "bad_config"

	// Why data of a mini program could not be used.

	// ReasonSessionKeyStale means that the data was encrypted or signed with
	// another session_key than the stored one. The mini program has to log in
	// again.
	ReasonSessionKeyStale Reason = "session_key_stale"

	// Reasons of a login by scan code (LoginScan) that fails.

	// ReasonScanExpired means that the QR code is older than two minutes or
	// unknown.
	ReasonScanExpired Reason = "scan_expired"
	// ReasonScanUsed means that the login was denied or confirmed by another
	// user, or has been completed already.
	ReasonScanUsed Reason = "scan_used"
	// ReasonScanWrongNumber means that the number typed into the browser is not the one
	// that the phone shows. The QR code can no longer be used.
	ReasonScanWrongNumber Reason = "scan_wrong_number"
	// ReasonScanOtherUser means that another user scanned the QR code first, or
	// that the form was posted by a browser that did not scan it.
	ReasonScanOtherUser Reason = "scan_other_user"

	// Other reasons.

	// ReasonOpenInWeChat means that no login is possible in this browser. The
	// page shows how to open its URL in WeChat (environment.OpenInWeChat).
	ReasonOpenInWeChat Reason = "open_in_wechat"
	// ReasonLoop means that there were too many logins in a row without a
	// session that lasts, for an unknown cause.
	ReasonLoop Reason = "loop"
	// ReasonSessionCookieNotReturned means that logins succeed but the browser
	// does not send the session cookie back.
	ReasonSessionCookieNotReturned Reason = "session_cookie_not_returned"
	// ReasonSessionLost means that logins succeed and the cookie comes back,
	// but the session is no longer in the store.
	ReasonSessionLost Reason = "session_lost"
	// ReasonStoreUnavailable means that the session store is down or returns
	// errors. No session ends because of it.
	ReasonStoreUnavailable Reason = "store_unavailable"
	// ReasonNotAuthorized means that the function of WithAccessCheck or WithOnLogin
	// returned ErrForbidden.
	ReasonNotAuthorized Reason = "not_authorized"
	// ReasonApplicationError means that the application failed: the function of
	// WithAccessCheck or WithOnLogin returned an error other than ErrForbidden, or
	// it or the store panicked during a login.
	ReasonApplicationError Reason = "application_error"
	// ReasonUnknownAccount means that the resolver of WithAccounts has no
	// account for the request.
	ReasonUnknownAccount Reason = "unknown_account"
	// ReasonCrossOrigin means that a form was posted from another site, or that
	// a web-view ticket was opened from there or by no page visit.
	ReasonCrossOrigin Reason = "cross_origin"
	// ReasonMethodNotAllowed means that the endpoint does not support the
	// method.
	ReasonMethodNotAllowed Reason = "method_not_allowed"
	// ReasonNotFound means that there is no endpoint of this name.
	ReasonNotFound Reason = "not_found"
)

// A reasonRow has the properties of a reason.
type reasonRow struct {
	status int        // of HTTP
	level  slog.Level // of the log: errors need an operator, warnings are worth a look
	remedy string     // of docs/errors.md, for an operator, if an event has no detail
}

var reasons = map[Reason]reasonRow{
	ReasonNoSession:                {http.StatusUnauthorized, slog.LevelInfo, ""},
	ReasonSessionUnknown:           {http.StatusUnauthorized, slog.LevelInfo, ""},
	ReasonSessionCorrupt:           {http.StatusUnauthorized, slog.LevelInfo, ""},
	ReasonScopeRequired:            {http.StatusForbidden, slog.LevelInfo, ""},
	ReasonLoggedOut:                {http.StatusUnauthorized, slog.LevelInfo, ""},
	ReasonCallbackMalformed:        {http.StatusBadRequest, slog.LevelInfo, "If every login fails: check whether a proxy drops or rewrites the query"},
	ReasonFlowCookieMissing:        {http.StatusBadRequest, slog.LevelInfo, "If every login fails: check whether the application is opened on another host than the base URL's, and whether a proxy drops Set-Cookie"},
	ReasonStateMismatch:            {http.StatusBadRequest, slog.LevelWarn, "If it started with a deployment: check whether all instances have the same AppSecret, or the same WithFlowKeys"},
	ReasonStateExpired:             {http.StatusBadRequest, slog.LevelInfo, "If every login fails: compare the clocks of the instances"},
	ReasonRefusedByUser:            {http.StatusForbidden, slog.LevelInfo, ""},
	ReasonCodeUsed:                 {http.StatusBadRequest, slog.LevelInfo, "If there are many: check whether all instances share one Redis, and whether a proxy redirects the callback"},
	ReasonCodeExpired:              {http.StatusBadRequest, slog.LevelInfo, "If every login fails: check whether the AppSecret belongs to the AppID that started the login"},
	ReasonSnapshotUser:             {http.StatusForbidden, slog.LevelInfo, ""},
	ReasonSnapshotSuspected:        {http.StatusForbidden, slog.LevelInfo, ""},
	ReasonIdentityMismatch:         {http.StatusForbidden, slog.LevelWarn, ""},
	ReasonUserBlocked:              {http.StatusForbidden, slog.LevelInfo, ""},
	ReasonRateLimited:              {http.StatusServiceUnavailable, slog.LevelWarn, ""},
	ReasonUpstreamTimeout:          {http.StatusGatewayTimeout, slog.LevelWarn, ""},
	ReasonUpstreamError:            {http.StatusBadGateway, slog.LevelWarn, ""},
	ReasonBadConfig:                {http.StatusInternalServerError, slog.LevelError, ""},
	ReasonSessionKeyStale:          {http.StatusConflict, slog.LevelInfo, ""},
	ReasonScanExpired:              {http.StatusBadRequest, slog.LevelInfo, ""},
	ReasonScanUsed:                 {http.StatusBadRequest, slog.LevelInfo, ""},
	ReasonScanWrongNumber:          {http.StatusForbidden, slog.LevelWarn, ""},
	ReasonScanOtherUser:            {http.StatusForbidden, slog.LevelWarn, ""},
	ReasonOpenInWeChat:             {http.StatusForbidden, slog.LevelInfo, ""},
	ReasonLoop:                     {http.StatusBadRequest, slog.LevelError, ""},
	ReasonSessionCookieNotReturned: {http.StatusBadRequest, slog.LevelError, ""},
	ReasonSessionLost:              {http.StatusBadRequest, slog.LevelError, ""},
	ReasonStoreUnavailable:         {http.StatusServiceUnavailable, slog.LevelError, ""},
	ReasonNotAuthorized:            {http.StatusForbidden, slog.LevelInfo, ""},
	ReasonApplicationError:         {http.StatusServiceUnavailable, slog.LevelError, ""},
	ReasonUnknownAccount:           {http.StatusNotFound, slog.LevelInfo, "Check whether the proxy passes Host, the path or the header unchanged"},
	ReasonCrossOrigin:              {http.StatusForbidden, slog.LevelInfo, "Post the form from a page under the base URL; the host in the browser must be the base URL's"},
	ReasonMethodNotAllowed:         {http.StatusMethodNotAllowed, slog.LevelInfo, ""},
	ReasonNotFound:                 {http.StatusNotFound, slog.LevelInfo, "If WeChat redirects here: check whether the Auth is mounted elsewhere, or behind http.StripPrefix"},
}

// status is the HTTP status of a reason.
func (r Reason) status() int {
	if row, ok := reasons[r]; ok {
		return row.status
	}
	return http.StatusBadRequest
}

// A Failure describes a rejected request and the response to it.
type Failure struct {
	// Reason is why the request was rejected.
	Reason Reason
	// Status is the HTTP status of the reason: 4xx if the user or the browser
	// can change something, 5xx otherwise.
	Status int
	// Page reports whether the response is a page, as it is to a page visit or
	// a form. Other responses are JSON.
	Page bool
	// RetryURL is the URL at which to try again, or at which another user can log
	// in if the reason is ReasonNotAuthorized; it is empty if that cannot help.
	// For JSON it is the absolute URL of the endpoint login or, for a missing
	// scope, upgrade. For ReasonOpenInWeChat it is the URL to open in WeChat.
	RetryURL string
	// Err is the error for the operator, or nil. It contains no secret, code or
	// token.
	Err error
}

// Retry-After values in seconds. A store may be back soon; WeChat's quotas are per
// minute (45011), per day (45009) and per month (45040).
const (
	retryAfterSeconds       = 3
	retryAfterMinuteSeconds = 60
	retryAfterDaySeconds    = 3600
)

// retryAfter returns how long to wait after a failure that may pass, in
// seconds.
func (f Failure) retryAfter() int {
	var we *client.Error
	switch {
	case f.Reason != ReasonRateLimited:
		return retryAfterSeconds
	case errors.As(f.Err, &we) && (we.Code == 45009 || we.Code == 45040):
		return retryAfterDaySeconds
	}
	return retryAfterMinuteSeconds
}

// reasonOf returns the reason for an error of a pending login or of WeChat's
// API.
func reasonOf(err error) Reason {
	switch {
	case errors.Is(err, flow.ErrMalformed):
		return ReasonCallbackMalformed
	case errors.Is(err, flow.ErrMissing):
		return ReasonFlowCookieMissing
	case errors.Is(err, flow.ErrMismatch):
		return ReasonStateMismatch
	case errors.Is(err, flow.ErrExpired):
		return ReasonStateExpired
	}
	var we *client.Error
	if !errors.As(err, &we) {
		return ReasonUpstreamError
	}
	switch we.Code {
	case 40163:
		return ReasonCodeUsed
	case 40029, 41008, 42003:
		return ReasonCodeExpired
	}
	switch we.Kind() {
	case client.KindRestart:
		return ReasonCodeExpired
	case client.KindConfiguration:
		return ReasonBadConfig
	case client.KindUserBlocked:
		return ReasonUserBlocked
	case client.KindRateLimited:
		return ReasonRateLimited
	}
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return ReasonUpstreamTimeout
	}
	return ReasonUpstreamError
}

// hookReason returns the reason for the error of a hook.
func hookReason(err error) Reason {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, ErrForbidden):
		return ReasonNotAuthorized
	}
	return ReasonApplicationError
}

// jsonError returns the value of "error" in a JSON response. Scripts switch on it;
// the reason is more precise.
func jsonError(f Failure) string {
	switch {
	case f.Reason == ReasonScopeRequired:
		return "scope_required"
	case f.Status == http.StatusUnauthorized:
		return "login_required"
	case f.Status == http.StatusForbidden:
		return "forbidden"
	case f.Status >= http.StatusInternalServerError:
		return "unavailable"
	}
	return "bad_request"
}

// Errors, for errors.Is.
var (
	// ErrForbidden is returned by the functions of WithOnLogin and WithAccessCheck to
	// reject a user: the request gets 403 Forbidden with ReasonNotAuthorized. An
	// error may wrap it; its text is logged and not shown. Any other error means
	// that the function failed: the request gets 503 with ReasonApplicationError
	// and Retry-After, and the error is logged at level ERROR.
	ErrForbidden = errors.New("wechatauth: forbidden")
	// ErrNotMiniProgram is returned by [Auth.MiniProgram] if the request was
	// not authenticated with a mini program's bearer token. A web-view is
	// authenticated with a cookie, so it has none.
	ErrNotMiniProgram = errors.New("wechatauth: the request is not a logged-in mini program's")
	// ErrSessionKeyStale means that data was encrypted or signed with a
	// session_key other than the newest one that is stored. This happens if the
	// mini program called wx.login after it got the data, or before that
	// without sending the code to POST mini/login. The mini program must call
	// wx.login, log in again, and request the data from WeChat again. Use
	// [ReasonSessionKeyStale] in responses of your own.
	ErrSessionKeyStale = errors.New("wechatauth: session_key is stale")
	// ErrNoTokens is returned by [Auth.AccessToken] if no tokens are stored for the
	// user: they logged in before WithTokens was set, more than 30 days ago or
	// through a mini program, or were revoked.
	ErrNoTokens = errors.New("wechatauth: no tokens are stored for this user")
)

// errClientGone means that the client disconnected while a function of the
// application ran, so that its error is not the application's.
var errClientGone = errors.New("client disconnected")
