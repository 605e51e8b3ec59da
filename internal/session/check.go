package session

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/wechatauth/wechatauth/internal/flow"
)

const (
	// MinLifetime is the minimum session lifetime and the minimum idle timeout.
	MinLifetime = time.Minute
	// maxLifetime: browsers cap cookies at 400 days, and far larger values
	// overflow in stores.
	maxLifetime = 400 * 24 * time.Hour
)

// CheckLifetime checks a session lifetime.
func CheckLifetime(option string, d time.Duration) (errs []error) {
	if d < MinLifetime || d > maxLifetime {
		errs = append(errs, fmt.Errorf("%s: %v is not between %v and 400 days", option, d, MinLifetime))
	}
	return errs
}

// CheckManager returns errors for a manager whose sessions could not last: with
// each of these settings logins succeed but their sessions are never found,
// which causes a login loop.
func CheckManager(m *scs.SessionManager, base *url.URL) (errs []error) {
	if m == nil {
		return []error{errors.New("WithSessionManager: the manager is nil; make one with scs.New()")}
	}
	if m.Store == nil || m.Codec == nil {
		return []error{errors.New("WithSessionManager: the manager has no Store or no Codec; make it with scs.New() and change its fields")}
	}
	errs = append(errs, CheckLifetime("WithSessionManager: Lifetime", m.Lifetime)...)
	if m.IdleTimeout != 0 && (m.IdleTimeout < MinLifetime || m.IdleTimeout > m.Lifetime) {
		errs = append(errs, fmt.Errorf("WithSessionManager: IdleTimeout: %v is not between %v and the lifetime, %v", m.IdleTimeout, MinLifetime, m.Lifetime))
	}
	return append(errs, checkCookie("WithSessionManager: Cookie", &m.Cookie, base)...)
}

// CheckCookieName returns the errors of a session cookie with that name and
// this library's own attributes; see checkCookie.
func CheckCookieName(option, name string, base *url.URL) []error {
	return checkCookie(option, &scs.SessionCookie{
		Name: name, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: base == nil || base.Scheme == "https",
	}, base)
}

// checkCookie rejects a session cookie that browsers would not send back, or
// that scripts could read. base is the site, or nil if it is not known.
func checkCookie(option string, c *scs.SessionCookie, base *url.URL) (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(option+": "+format, args...)) }
	if base == nil { // any that fits
		base = &url.URL{Scheme: map[bool]string{true: "https", false: "http"}[c.Secure], Host: strings.TrimPrefix(c.Domain, ".")}
	}
	https := base.Scheme == "https"
	ours := flow.Prefix(https)
	if err := (&http.Cookie{Name: c.Name, Value: "x"}).Valid(); err != nil {
		bad("%q is no cookie name: use letters, digits, '-' and '_'", c.Name)
	}
	if word, taken := strings.CutPrefix(strings.ToLower(c.Name), strings.ToLower(ours)); taken && !strings.HasPrefix(word, "session") {
		bad("%q is a name of this library's own cookies; choose one that does not begin with %q", c.Name, ours)
	}
	if c.Secure && !https {
		bad("Secure cookies are not sent back over plain http; set Secure to false or the base URL to https")
	}
	if !c.Secure && https {
		bad("set Secure: the base URL is https")
	}
	if !c.HttpOnly {
		bad("set HttpOnly: without it, a script that gets into a page reads the session token")
	}
	switch c.SameSite {
	case http.SameSiteLaxMode:
	case http.SameSiteStrictMode:
		bad("SameSite=Strict cookies are not sent on the way back from WeChat; use http.SameSiteLaxMode")
	case http.SameSiteNoneMode:
		bad("SameSite=None lets other sites use the session; use http.SameSiteLaxMode")
	default:
		bad("SameSite is not set, and browsers differ in what that means; use http.SameSiteLaxMode")
	}
	if c.Path != "/" {
		bad("Path %q does not cover the whole application; use \"/\"", c.Path)
	}
	if c.Domain != "" && !domainCovers(c.Domain, base.Hostname()) {
		bad("Domain %q does not cover the base URL's host %s; leave it empty", c.Domain, base.Hostname())
	}
	for _, p := range []string{"__Host-", "__Secure-"} {
		if strings.HasPrefix(strings.ToLower(c.Name), strings.ToLower(p)) && !https {
			bad("browsers take a cookie named %s… over https only", p)
		}
	}
	if strings.HasPrefix(strings.ToLower(c.Name), "__host-") && c.Domain != "" {
		bad("browsers refuse a cookie named __Host-… that has a Domain; leave Domain empty")
	}
	return errs
}

func domainCovers(domain, host string) bool {
	domain = strings.ToLower(strings.TrimPrefix(domain, "."))
	return domain == host || strings.HasSuffix(host, "."+domain)
}
