// Package returnto validates return URLs: where a browser may be redirected
// after a login, a logout or a step-up.
package returnto

import (
	"errors"
	"net/http"
	"net/url"
	"path"
	"strings"
	"unicode/utf8"
)

// MaxBytes is the maximum length of a return URL in bytes, counted as in
// Location, after the origin. Sealed into the flow cookie it still leaves room
// below the 4,096 bytes that browsers keep of one cookie.
const MaxBytes = 2048

// The reasons why a URL is not a return URL. The texts contain no part of the
// URL.
var (
	errLong      = errors.New("longer than 2048 bytes")
	errOutside   = errors.New("not a path of the base URL's host")
	errEndpoint  = errors.New("an endpoint of the middleware")
	errAuthority = errors.New("a path that browsers read as another host's")
	errPath      = errors.New("a path with a space, a control character, a dot segment or an invalid escape")
)

// A Site describes where return URLs may lead.
type Site struct {
	Base      *url.URL               // the origin, with no path
	Prefix    string                 // of the middleware's endpoints, such as "/wechat/"
	Endpoints []string               // below Prefix; no login may end at them
	Except    func(path string) bool // reports whether a login may end at this endpoint after all; may be nil
}

// Judge decides whether a browser may be sent to raw after a login, a logout or
// a step-up, and returns the bytes to put into Location.
//
// raw comes from a next parameter, already query-decoded, from a request, or
// from a flow cookie. A sealed URL is judged again, because another release may
// have sealed it.
//
// Judge accepts a path on the site's origin, optionally with the origin in
// front, which is removed, and optionally with a query and a fragment. As a
// browser resolves the path, and as a proxy or framework that decodes it once
// or twice more does, it must stay on that origin, so the path is judged
// strictly. Query and fragment cannot leave the origin and are opaque: a link
// in them, `//`, or a stray percent sign is left to the application.
//
// An odd path, such as "//orders", is on the site's origin only if it follows
// the origin. It is accepted with the origin in front, which it then keeps.
//
// One thing is removed. WeChat appends code and state to any redirect_uri on
// our domain that an authorize link names, so a link made by an attacker can
// leave a valid code in the URL of any page. A code and a state that together
// have the form of such a callback are removed; all other parameters keep their
// bytes and their order. A code without a state, or one of another form with a
// state of another form, belongs to the application.
//
// Set the result as Location directly. [http.Redirect] cleans the path after
// any check, which changes valid URLs (/a//b becomes /a/b) and turns rejected
// ones into escapes from the origin.
//
// Judge is pure, and returns its own results unchanged. Its errors contain no
// part of raw.
func (s Site) Judge(raw string) (target string, err error) {
	raw, absolute := s.withoutOrigin(withoutCallback(raw))
	if len(raw) > MaxBytes {
		return "", errLong
	}
	rawPath, rest := cutBefore(raw, "?#")
	if !strings.HasPrefix(rawPath, "/") {
		return "", errOutside
	}
	if s.Except != nil && s.Except(raw) {
		return raw, nil
	}
	if strings.Contains(rawPath, " ") || !validEscapes(rawPath) || hasControl(rest) {
		return "", errPath
	}
	odd, decoded := false, rawPath
	for range 3 { // as it is, decoded once, decoded twice
		switch {
		case !isPlain(decoded):
			return "", errPath
		case s.isOwnEndpoint(decoded):
			return "", errEndpoint
		}
		odd = odd || !staysOnOrigin(decoded)
		if !strings.Contains(decoded, "%") {
			break // decoded, it is what it is
		}
		decoded = decodeEscapes(decoded)
	}
	target = escapeBytes(rawPath) + escapeBytes(rest)
	switch {
	case len(target) > MaxBytes:
		return "", errLong
	case odd && !absolute:
		return "", errAuthority
	case odd:
		return s.origin() + target, nil
	}
	return target, nil
}

func (s Site) origin() string { return s.Base.Scheme + "://" + s.Base.Host }

// withoutOrigin removes the site's origin from an absolute URL.
func (s Site) withoutOrigin(raw string) (rest string, had bool) {
	if strings.HasPrefix(raw, "/") {
		return raw, false // nearly always: a path costs no memory
	}
	origin := s.origin()
	if len(raw) < len(origin) || !strings.EqualFold(raw[:len(origin)], origin) {
		return raw, false
	}
	rest = raw[len(origin):]
	port := ":443"
	if s.Base.Scheme == "http" {
		port = ":80"
	}
	if after, ok := strings.CutPrefix(rest, port); ok && s.Base.Port() == "" {
		rest = after // the same origin, as a server behind a proxy may write it
	}
	if rest == "" || rest[0] == '?' || rest[0] == '#' {
		rest = "/" + rest
	}
	return rest, true
}

// RequestURL returns path and query of a request as its client sent them, so
// that a login ends at the URL where it started.
//
// It uses r.RequestURI: r.URL.EscapedPath re-encodes a path that contains a
// byte it does not allow, "a%2Fb|c" as "a/b%7Cc", and a router or
// http.StripPrefix in front may have changed r.URL. In absolute form the host
// is chosen by the client, as r.Host is, and is removed.
func RequestURL(r *http.Request) string {
	raw := r.RequestURI
	switch {
	case raw == "": // not from a server
		raw = r.URL.RequestURI()
	case raw[0] != '/' && r.URL.Host != "": // absolute form
		_, raw, _ = strings.Cut(raw, "://")
		if i := strings.IndexAny(raw, "/?"); i >= 0 {
			raw = raw[i:]
		} else {
			raw = ""
		}
		if !strings.HasPrefix(raw, "/") {
			raw = "/" + raw
		}
	}
	return strings.ReplaceAll(raw, "#", "%23") // a request target has no fragment
}

// withoutCallback removes code and state of a WeChat callback from the query of a
// URL.
func withoutCallback(raw string) string {
	if len(raw) > 3*MaxBytes || !strings.Contains(raw, "state") {
		return raw // too long, whatever is taken out; nearly always: without a state
	}
	raw, fragment := cutBefore(raw, "#")
	path, query, asked := strings.Cut(raw, "?")
	if !asked {
		return raw + fragment
	}
	if stripped := stripCallbackPair(query); stripped != "" || query == "" {
		path += "?" + stripped
	}
	return path + fragment
}

// cutBefore splits s in front of one of the bytes.
func cutBefore(s, bytes string) (before, from string) {
	if i := strings.IndexAny(s, bytes); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

// stripCallbackPair removes the code and state parameters of a WeChat callback
// from a raw query, if both are present: a state of ours with anything that may
// be a code, or a code of the form that WeChat's have with any state, since the
// author of the link chooses the state and WeChat need not have been involved.
func stripCallbackPair(query string) string {
	if rest, ok := stripPair(query, looksLikeCode, looksLikeState); ok {
		return rest
	}
	if rest, ok := stripPair(query, looksLikeWeChatCode, isAnything); ok {
		return rest
	}
	return query
}

func stripPair(query string, isCode, isState func(string) bool) (rest string, ok bool) {
	if !strings.Contains(query, "code") || !strings.Contains(query, "state") {
		return "", false
	}
	var kept []string
	var codes, states int
	for param := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(param, "=")
		switch {
		case name == "code" && isCode(value):
			codes++
		case name == "state" && isState(value):
			states++
		default:
			kept = append(kept, param)
		}
	}
	return strings.Join(kept, "&"), codes > 0 && states > 0
}

const (
	alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	codeAlphabet = alphanumeric + "-_"
)

// looksLikeCode reports whether s is 1 to 128 letters, digits, "-" and "_";
// nothing else is ever taken for a code.
func looksLikeCode(s string) bool {
	return 1 <= len(s) && len(s) <= 128 && strings.Trim(s, codeAlphabet) == ""
}

// looksLikeState reports whether s is 32 letters and digits, the form of every
// state of ours.
func looksLikeState(s string) bool { return len(s) == 32 && strings.Trim(s, alphanumeric) == "" }

// looksLikeWeChatCode reports whether s is 32 letters and digits, the form of
// every code seen so far.
func looksLikeWeChatCode(s string) bool { return looksLikeState(s) }

func isAnything(string) bool { return true }

// isPlain reports whether a path, in one of its readings, has no control
// character (browsers drop tabs and line ends, which joins separated slashes)
// and no dot segment.
func isPlain(p string) bool {
	if hasControl(p) || hasC1Control(p) {
		return false
	}
	for segment := range strings.SplitSeq(p, "/") {
		if segment == "." || segment == ".." {
			return false
		}
	}
	return true
}

// staysOnOrigin reports whether a path, in one of its readings, is a path to
// every reader: no authority ("//"), no backslash (browsers read it as a slash).
func staysOnOrigin(p string) bool {
	second, _ := utf8.DecodeRuneInString(strings.TrimPrefix(p, "/"))
	return !strings.HasPrefix(p, "//") && !strings.Contains(p, `\`) && !isSlashLookalike(second)
}

// isOwnEndpoint reports whether a path, in one of its readings, leads to an
// endpoint of ours or to the prefix itself: a user redirected there would log
// in again, log out, or see nothing. A router or proxy in front may ignore
// case, doubled slashes and a trailing slash, so isOwnEndpoint does too. Other
// paths below the prefix are the application's.
func (s Site) isOwnEndpoint(p string) bool {
	prefix := s.Prefix
	if i := strings.IndexAny(p, "?#"); i >= 0 {
		p = p[:i] // only a decoded reading has them
	}
	p = strings.TrimRight(p, " ") // browsers drop spaces at the end of Location
	p = strings.ToLower(path.Clean(p))
	if !strings.HasPrefix(prefix, "/") {
		prefix = "/" + prefix
	}
	mount := strings.ToLower(path.Clean(prefix))
	if p == mount {
		return mount != "/"
	}
	below, ok := strings.CutPrefix(p, mount)
	if !ok || (mount != "/" && below[0] != '/') {
		return false
	}
	below = strings.TrimPrefix(below, "/")
	for _, name := range s.Endpoints {
		if rest, ok := strings.CutPrefix(below, name); ok && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return false
}

// isSlashLookalike reports whether Unicode normalization turns r into a slash
// or a backslash, or r represents one. They matter right after the first slash
// only, where they would make "//".
func isSlashLookalike(r rune) bool {
	return strings.ContainsRune("\u2044\u2215\u29f5\u29f8\ufe68\uff0f\uff3c", r)
}

// hasControl reports whether s contains an ASCII control byte.
func hasControl(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return true
		}
	}
	return false
}

// hasC1Control reports whether s contains one of U+0080 to U+009F, which
// include the line end U+0085.
func hasC1Control(s string) bool {
	for _, r := range s {
		if 0x80 <= r && r <= 0x9f {
			return true
		}
	}
	return false
}

// validEscapes reports whether every percent sign begins an escape.
func validEscapes(s string) bool {
	for i := range len(s) {
		if s[i] == '%' && !isEscape(s[i:]) {
			return false
		}
	}
	return true
}

func isEscape(s string) bool {
	return len(s) >= 3 && s[0] == '%' && isHex(s[1]) && isHex(s[2])
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// decodeEscapes decodes every escape and leaves other percent signs alone, as
// lenient readers do.
func decodeEscapes(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if !isEscape(s[i:]) {
			b.WriteByte(s[i])
			continue
		}
		b.WriteByte(unhex(s[i+1])<<4 | unhex(s[i+2]))
		i += 2
	}
	return b.String()
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	default:
		return c - 'a' + 10
	}
}

// escapeBytes percent-encodes space, backslash and non-ASCII bytes, which a
// browser would encode or, the backslash, might read as a slash. Everything
// else keeps its bytes.
func escapeBytes(s string) string {
	const upperHex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c == ' ' || c == '\\' || c >= utf8.RuneSelf {
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&0xf])
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
