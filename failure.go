package wechatauth

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/page"
	"github.com/wechatauth/wechatauth/internal/redact"
	"github.com/wechatauth/wechatauth/internal/respond"
)

// Failure is why a visitor is not let through, and what he is answered.
type Failure struct {
	// Reason is one of the closed list.
	Reason Reason
	// Status is the HTTP status that goes with the reason: 401, 403 and other
	// 4xx where the visitor or the browser is concerned, 5xx where we or WeChat
	// are.
	Status int
	// Page is true for page visits, false for requests of scripts.
	Page bool
	// RetryURL starts again, where that can help; empty otherwise. Scripts get
	// the absolute URL of the login endpoint. With ReasonOpenInWeChat it is the
	// URL to open in WeChat.
	RetryURL string
	// Err is what went wrong, for the operator's eyes; may be nil. It holds no
	// secret, code or token.
	Err error
}

// What a 503 tells a client to wait, in seconds: a store may be back soon;
// WeChat's quotas are for a minute (45011), a day (45009) and a month (45040).
const (
	retryAfterSeconds       = 3
	retryAfterMinuteSeconds = 60
	retryAfterDaySeconds    = 3600
)

// retryAfter is how long to wait after a failure that time may mend.
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

// reasonOf returns the reason for an error of a mechanism below: a pending login
// that is not there, or WeChat's API.
func reasonOf(err error) Reason {
	switch {
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
	case client.KindRefused:
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

// challenge is the WWW-Authenticate that RFC 9110 requires of every 401. No
// browser knows the scheme, so none shows a dialog.
const challenge = "WeChat"

// stop answers a visitor who is not let through.
func (g *gate) stop(w http.ResponseWriter, r *http.Request, f Failure) {
	if f.Status == 0 {
		f.Status = f.Reason.status()
	}
	f.Err = redact.Tokens(f.Err)
	respond.NoStore(w.Header())
	if f.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", strconv.Itoa(f.retryAfter()))
	}
	if f.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", challenge)
	}
	switch {
	case g.errorHandler != nil:
		g.errorHandler(w, g.sessions.WithEmpty(r), f)
	case f.Page:
		p := Page{Kind: PageMessage, Status: f.Status, Reason: f.Reason, RetryURL: f.RetryURL}
		switch f.Reason {
		case ReasonLoggedOut:
			p.Kind = PageLoggedOut
		case ReasonOpenInWeChat:
			p.Kind, p.RetryURL, p.URL, p.QR = PageOpenInWeChat, "", f.RetryURL, page.QRCode(f.RetryURL)
		}
		g.page(w, r, p)
	default:
		writeJSON(w, f)
	}
}

// page writes a page in the visitor's language.
func (g *gate) page(w http.ResponseWriter, r *http.Request, p Page) {
	p.Lang = page.Language(r)
	if err := writePage(w, r, *g.pages.Load(), p); err != nil {
		g.report(r.Context(), Event{Kind: EventTrouble, Reason: p.Reason, Err: err, Detail: "the embedded page was shown instead"})
	}
}

// writeJSON answers a script:
//
//	{"error":"…","reason":"…","login_url":"…"}
//
// the last of them only where there is one.
func writeJSON(w http.ResponseWriter, f Failure) {
	b := make([]byte, 0, 192)
	b = appendJSON(append(b, `{"error":`...), errorWord(f))
	b = appendJSON(append(b, `,"reason":`...), string(f.Reason))
	if f.RetryURL != "" {
		b = appendJSON(append(b, `,"login_url":`...), f.RetryURL)
	}
	b = append(b, "}\n"...)
	values := &[...]string{"application/json; charset=utf-8", "nosniff", strconv.Itoa(len(b))}
	h := w.Header()
	h["Content-Type"], h["X-Content-Type-Options"], h["Content-Length"] = values[0:1:1], values[1:2:2], values[2:3:3]
	w.WriteHeader(f.Status)
	_, _ = w.Write(b) // a client that has gone needs no answer
}

// appendJSON appends a string as encoding/json writes it.
func appendJSON(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || strings.IndexByte(`"\<>&`, c) >= 0 {
			quoted, _ := json.Marshal(s) // a string always encodes
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// errorWord is what a script switches on; the reason says the rest.
func errorWord(f Failure) string {
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
