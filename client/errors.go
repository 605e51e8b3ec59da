package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"regexp"
	"strings"
	"syscall"
)

// A Kind classifies errors by what to do next.
type Kind int

const (
	KindUnknown       Kind = iota // the login fails: an unknown errcode, an unreadable response, or a call canceled by the caller
	KindRetry                     // a temporary failure: network, timeout, or an HTTP status other than 200
	KindBusy                      // WeChat is busy (errcode -1); retry soon
	KindRestart                   // start the login again: the code, token or session_key is used up, expired or for another account
	KindConfiguration             // the operator must act
	KindUserBlocked               // the user may not log in: blocked, frozen or closed
	KindRateLimited               // quota exhausted (45009, 45011, 45040, 45104, HTTP 429); retry in the next minute or on the next day
)

// String returns the kind as one word, for logs and metrics.
func (k Kind) String() string {
	names := [...]string{"unknown", "retry", "busy", "restart", "configuration", "user_blocked", "rate_limited"}
	if k < 0 || int(k) >= len(names) {
		return names[KindUnknown]
	}
	return names[k]
}

// Sentinel errors that an [*Error] matches with errors.Is. The errcodes 40001,
// 40014 and 42001 mean that a token is invalid. Which token depends on the
// endpoint: the third-party platform's at endpoints that contain component/,
// the account's below wxa/, and the user's at the others below sns/. At the endpoints of package
// wecom, the errcodes have WeCom's meanings.
var (
	ErrBusy              = errors.New("WeChat is busy")                                 // -1, 61450
	ErrCodeInvalid       = errors.New("code is invalid or expired")                     // 40029, 41008, 42003
	ErrCodeUsed          = errors.New("code was used before")                           // 40163
	ErrUserBlocked       = errors.New("WeChat blocks this user")                        // 40226, 50003; 50002 and 50004, except below cgi-bin/
	ErrTokenInvalid      = errors.New("token is invalid or expired")                    // 40030, 42002, 42007; 40014 and 42001, except for a platform's token; 40001 for a user's or account's token
	ErrOpenIDInvalid     = errors.New("openid is invalid")                              // 40003, 46004, 49003
	ErrSessionKeyInvalid = errors.New("session_key is invalid or expired")              // 87007, 87009
	ErrNotAuthorized     = errors.New("the call is not authorized")                     // 42005, 43016, 43104, 45102, 45103, 45501, 48001, 48004, 48009, 50001, 50007, 60006, 61007, 61016, 61017; 50002 and 50004 below cgi-bin/
	ErrAppID             = errors.New("AppID is invalid")                               // 40013
	ErrAppSecret         = errors.New("AppSecret is invalid or frozen")                 // 40125, 40243; 40001 where the AppSecret is sent
	ErrIPNotAllowed      = errors.New("this server's address is not on the allow-list") // 40090, 40164, 40187, 45032, 45035, 45073, 61004, 89501, 89502, 89503, 89504, 89505, 89506, 89507
	ErrComponent         = errors.New("third-party platform is not authorized")         // 40089, 40091, 40094, 42006, 61000, 61001, 61003, 61005, 61006, 61009, 61010, 61011, 61014, 61015, 61023, 61024, 61028, 61029; 40001, 40014 and 42001 for a platform's token
	ErrRateLimited       = errors.New("quota is used up")                               // 45009, 45011, 45040, 45104, HTTP 429
	ErrUserID            = errors.New("userid is unknown")                              // WeCom: 40003, 60111
	ErrOutOfRange        = errors.New("member is outside the app's visible range")      // WeCom: 50002, 60011, 60030
	ErrTrustedDomain     = errors.New("domain is not a trusted one of the app")         // WeCom: 50001, 80001, 85004
	ErrTicketInvalid     = errors.New("user_ticket is invalid or expired")              // WeCom: 84014, 84015
	ErrBadResponse       = errors.New("unusable response")                              // not a JSON object, ambiguous, or without an identity
)

// An Error is an error response from WeChat, or a failure to get a response.
// Its text, and that of the errors it wraps, never contains a secret, code,
// token or openid. With errors.Is, it matches the sentinels of this package,
// context.Canceled, context.DeadlineExceeded, io.ErrUnexpectedEOF and the
// syscall errors for refused and reset connections.
type Error struct {
	Code       int    // errcode; 0 if the response had none or there was no response
	Message    string // errmsg without the request ID or hint at its end, at most 300 bytes on one line; "" if it was longer than 2 KiB
	RID        string // WeChat's ID of the request, which its support asks for; "" if there was none
	Endpoint   string // such as "sns/oauth2/access_token"
	HTTPStatus int    // 0 if there was no response

	kind  Kind
	cause error
}

// Error describes the failure in one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("wechat: " + e.Endpoint)
	if e.Code != 0 {
		fmt.Fprintf(&b, ": errcode %d", e.Code)
	} else if e.HTTPStatus != 0 && e.HTTPStatus != 200 {
		fmt.Fprintf(&b, ": HTTP status %d", e.HTTPStatus)
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.RID != "" {
		b.WriteString(", rid " + e.RID)
	}
	if e.cause != nil {
		b.WriteString(": " + e.cause.Error())
	}
	return b.String()
}

// Kind classifies the error by what to do next.
func (e *Error) Kind() Kind {
	switch {
	case e.Code != 0:
		return lookup(e.Code, e.Endpoint).kind
	case e.cause != nil:
		return e.kind
	case e.HTTPStatus == 429:
		return KindRateLimited
	case e.HTTPStatus == 200:
		return KindUnknown
	}
	return KindRetry
}

// Timeout reports whether a timeout of the client, the context or the
// connection caused the error.
func (e *Error) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.As(e.cause, &t) && t.Timeout()
}

// Is reports whether target is the sentinel of the errcode.
func (e *Error) Is(target error) bool {
	if e.Code != 0 {
		return target != nil && lookup(e.Code, e.Endpoint).is == target
	}
	return target == ErrRateLimited && e.HTTPStatus == 429
}

// Unwrap returns the cause of a failure without an errcode, or nil.
func (e *Error) Unwrap() error { return e.cause }

// badResponse returns the error for a response that cannot be used. The text of
// err continues a sentence that begins with "response".
func badResponse(endpoint string, err error) *Error {
	return &Error{Endpoint: endpoint, HTTPStatus: 200, kind: KindUnknown,
		cause: &fault{text: "response " + err.Error(), is: []error{ErrBadResponse}}}
}

// notSentError returns the error for a call that was not made because WeChat
// would reject it.
func (req request) notSentError(kind Kind, cause error) *Error {
	return &Error{Endpoint: req.endpoint, kind: kind,
		cause: &fault{text: "not sent: " + cause.Error(), is: []error{cause}}}
}

// tokenError returns the error for a call that was not made because the
// function or service that supplies its token failed. The text of that failure
// may contain anything, so it is redacted.
func (c *Client) tokenError(req request, name string, err error) *Error {
	kind := KindRetry
	var inner *Error
	if errors.As(err, &inner) {
		kind = inner.Kind()
	} else if errors.Is(err, context.Canceled) {
		kind = KindUnknown
	}
	text := redactURLs(err.Error(), append(req.sensitive(), c.secret()))
	return &Error{Endpoint: req.endpoint, kind: kind,
		cause: &fault{text: "no " + name + ": " + shorten(text), hidden: func() error { return err }, timeout: isTimeout(err)}}
}

// transportError returns the error for a call without a response. It rewrites
// the text of net/http's error, which may contain the whole URL and, once the
// peer or a proxy has responded, text from there.
func (req request) transportError(err error, peerSpoke bool) *Error {
	var withURL *url.Error
	for errors.As(err, &withURL) {
		err = withURL.Err
	}
	text := "the response is not HTTP or its headers are longer than 64 KiB"
	if !peerSpoke || isLocalError(err) {
		text = shorten(redactURLs(err.Error(), req.sensitive()))
	}
	f := &fault{text: text, timeout: isTimeout(err)}
	for _, known := range []error{
		context.Canceled, context.DeadlineExceeded, io.ErrUnexpectedEOF, io.EOF,
		syscall.ECONNREFUSED, syscall.ECONNRESET,
	} {
		if errors.Is(err, known) {
			f.is = append(f.is, known)
		}
	}
	kind := KindRetry
	if errors.Is(err, context.Canceled) {
		kind = KindUnknown
	}
	return &Error{Endpoint: req.endpoint, kind: kind, cause: f}
}

// isLocalError reports whether the text of err contains nothing from the peer.
func isLocalError(err error) bool {
	var op *net.OpError
	var refused *proxyError
	var certificate *tls.CertificateVerificationError
	return isTimeout(err) || errors.As(err, &op) || errors.Is(err, context.Canceled) ||
		errors.As(err, &refused) || errors.As(err, &certificate) ||
		err == io.EOF || err == io.ErrUnexpectedEOF
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// A fault is a cause with a safe text. It unwraps only to errors with safe
// texts; the hidden error can be matched but not printed.
type fault struct {
	text    string
	is      []error
	hidden  func() error // a func, so that printing the struct's fields does not reveal it
	timeout bool
}

func (f *fault) Error() string   { return f.text }
func (f *fault) Timeout() bool   { return f.timeout }
func (f *fault) Unwrap() []error { return f.is }

func (f *fault) Is(target error) bool { return f.hidden != nil && errors.Is(f.hidden(), target) }
func (f *fault) As(target any) bool   { return f.hidden != nil && errors.As(f.hidden(), target) }

// weComTail matches the tail of WeCom's errmsg: ", hint: [X], from ip: A, more
// info at URL". The address remains: the operator has to allow it.
var weComTail = regexp.MustCompile(`[,\s]*\bhint: ?\[([0-9A-Za-z_.-]{1,64})\](, from ip: ?[0-9A-Fa-f.:]{1,45})?(?:, more info at \S*)?\s*$`)

// The tails of errmsg seen so far: ", rid: X", " rid: X", " hint: [Y] rid: X",
// ", hints: [ req_id: X ]", " hints: [X]" and " hint: [X]". Ids in brackets may
// contain '.' and end in '!'.
var (
	ridTail  = regexp.MustCompile(`[,\s]*\brid: ?([0-9A-Za-z_.!-]{1,64})\s*$`)
	hintTail = regexp.MustCompile(`[,\s]*\bhints?: ?\[ *(?:req_id: *)?([0-9A-Za-z_.!-]{1,64}) *\]\s*$`)
)

// splitErrmsg separates WeChat's message from the id of the request.
func splitErrmsg(errmsg string) (message, rid string) {
	if m := weComTail.FindStringSubmatch(errmsg); m != nil {
		return strings.TrimSpace(strings.TrimSuffix(errmsg, m[0])) + m[2], m[1]
	}
	message = errmsg
	if m := ridTail.FindStringSubmatchIndex(message); m != nil {
		message, rid = message[:m[0]], message[m[2]:m[3]]
	}
	if m := hintTail.FindStringSubmatchIndex(message); m != nil {
		if rid == "" {
			rid = message[m[2]:m[3]]
		}
		message = message[:m[0]]
	}
	return strings.TrimSpace(message), rid
}
