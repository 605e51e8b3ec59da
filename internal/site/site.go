// Package site requests the endpoints of a site as a browser does, and finds
// what servers between users and the middleware change in a login.
package site

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/redact"
	"github.com/wechatauth/wechatauth/store"
)

// A Site is what is known of a site without a request.
type Site struct {
	Base      *url.URL
	Prefix    string   // of the endpoints' paths
	Account   string   // the end of the endpoints' paths: "/" and the AppID, or empty
	Authorize *url.URL // where logins lead: the page of WeChat, with AppID and redirect_uri
	Cookies   *flow.Jar
	Transport http.RoundTripper // nil for the default one
}

// ErrKeys is the error of the finding that the site's cookies cannot be opened.
var ErrKeys = errors.New("site: the flow cookie cannot be opened")

const (
	// timeout is the time limit for one request.
	timeout = 10 * time.Second
	// maxBody is how much of a page is compared.
	maxBody = 256 << 10

	userAgent = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 MicroMessenger/8.0.49(0x18003137) NetType/WIFI Language/zh_CN wechatcheck"
)

// Check returns what is wrong between this process and the middleware. It
// starts a few logins, one of which it cancels; it spends no code.
func (s Site) Check(ctx context.Context) []*store.Finding {
	c := &check{Site: s, ctx: ctx, http: &http.Client{
		Transport: s.Transport, Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if login, ok := c.firstLogin(); ok {
		c.location(login)
		c.cookies(login)
		c.caches(login)
		c.pages()
		c.large()
		c.post()
		c.plain()
		c.clocks(login)
	}
	if c.err != nil {
		c.add(unreachable, c.err)
	}
	return c.found
}

// A check is one run of [Site.Check].
type check struct {
	Site
	ctx    context.Context
	http   *http.Client
	err    error // of a request; there are no more after it
	found  []*store.Finding
	faults []*fault // of found

	removed string // the beginning of paths that a proxy removes
	hop     bool   // the cookie that follows a redirect to the base URL's host is sent
	noHost  bool   // Host is rewritten
}

// A response is what a browser receives.
type response struct {
	status int
	header http.Header
	body   string
	url    *url.URL // that was requested
}

// A request is an endpoint's path and what is sent to it.
type request struct {
	name   string
	query  url.Values
	form   url.Values // for a POST
	cookie []string
	header map[string]string
	scheme string // in place of the base URL's
}

// send sends a request, and returns an empty response if it fails.
func (c *check) send(r request) *response {
	if c.err != nil {
		return &response{}
	}
	answer, err := c.try(r)
	if err != nil {
		c.err = err
		return &response{}
	}
	return answer
}

func (c *check) try(r request) (*response, error) {
	u := *c.Base
	u.Path, u.RawQuery = c.removed+c.Prefix+r.name+c.Account, r.query.Encode()
	if r.scheme != "" {
		u.Scheme = r.scheme
	}
	method, body := http.MethodGet, ""
	if r.form != nil {
		method, body = http.MethodPost, r.form.Encode()
	}
	req, err := http.NewRequestWithContext(c.ctx, method, u.String(), strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Accept", "text/html")
	if r.form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", c.Base.String())
	}
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	if c.hop {
		r.cookie = append(slices.Clone(r.cookie), c.Cookies.OtherHostName()+"=1")
	}
	if len(r.cookie) > 0 {
		req.Header.Set("Cookie", strings.Join(r.cookie, "; "))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var withURL *url.Error // with the state in it
		if errors.As(err, &withURL) {
			err = withURL.Err
		}
		return nil, err
	}
	defer resp.Body.Close()
	read, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	return &response{resp.StatusCode, resp.Header, string(read), &u}, err
}

// login starts a login with a return URL that no other request has, so that no
// user gets what a cache keeps of it.
func (c *check) login(cookies ...string) *response {
	return c.send(request{name: "login", query: url.Values{"next": {newNext()}}, cookie: cookies})
}

func newNext() string { return "/?wechatcheck=" + rand.Text() }

// callback reports whether the callback that cancels a login reaches its
// endpoint with path, query and cookie: its response then deletes the cookie.
func (c *check) callback(login *response) bool {
	name := c.Cookies.CookieName(login.state())
	sent, ok := login.cookie(name)
	if !ok {
		return false
	}
	answer := c.send(request{
		name: "callback", query: url.Values{"error": {"access_denied"}, "state": {login.state()}},
		cookie: []string{name + "=" + sent.Value},
	})
	return answer.deletes(name)
}

// location returns where the response redirects to, or an empty URL.
func (r *response) location() *url.URL {
	if r.status/100 == 3 {
		if u, err := r.url.Parse(r.header.Get("Location")); err == nil {
			return u
		}
	}
	return &url.URL{}
}

// state returns the state of the login that the response starts, or "".
func (r *response) state() string {
	if q := r.location().Query(); r.status == http.StatusSeeOther && q.Has("redirect_uri") && flow.ValidState(q.Get("state")) {
		return q.Get("state")
	}
	return ""
}

func (r *response) cookie(name string) (*http.Cookie, bool) {
	for _, c := range (&http.Response{Header: r.header}).Cookies() {
		if c.Name == name {
			return c, true
		}
	}
	return nil, false
}

func (r *response) deletes(name string) bool {
	c, ok := r.cookie(name)
	return ok && c.MaxAge < 0
}

// text is the status of the response and where it redirects to, for a finding.
func (r *response) text() string {
	text := strings.TrimSpace(strconv.Itoa(r.status) + " " + http.StatusText(r.status))
	if to := r.location(); to.Host != "" {
		text += " (" + bare(to) + ")"
	}
	return text
}

// bare returns a URL without its query, which may have a state, as text that
// can be printed.
func bare(u *url.URL) string {
	v := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	return clean(v.String())
}

// clean returns text of a response that can be printed. It is long enough for a
// URL.
func clean(s string) string {
	if len(s) > 100 {
		return redact.Clean(s[:100]) + clean(s[100:min(len(s), 500)])
	}
	return redact.Clean(s)
}

// leading returns the beginnings of the path prefix that a proxy may remove:
// for "/shop/wechat/", "/shop" and "/shop/wechat".
func (s Site) leading() (all []string) {
	for i, b := range s.Prefix {
		if b == '/' && i > 0 {
			all = append(all, s.Prefix[:i])
		}
	}
	return all
}

// far reports whether two times differ by more than logins tolerate.
func far(a, b time.Time) bool { return a.Sub(b).Abs() > cookie.Skew }
