package site

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wechatauth/wechatauth/internal/flow"
)

// firstLogin starts a login, and reports whether it did: otherwise nothing else
// can be checked.
func (c *check) firstLogin() (login *response, ok bool) {
	login = c.login()
	switch {
	case c.err != nil:
	case login.state() != "":
		return login, true
	case c.hops(login):
		return c.otherHost()
	case login.status >= http.StatusInternalServerError:
		c.add(unreachable, login.text())
	case c.redirected(login):
		c.add(redirected, bare(login.url), bare(login.location()))
	default:
		return c.mounted(login)
	}
	return nil, false
}

// hops reports whether the response redirects to the base URL's host, because
// the request seems to have another host or scheme.
func (c *check) hops(r *response) bool {
	to := r.location()
	_, set := r.cookie(c.Cookies.OtherHostName())
	return r.status == http.StatusSeeOther && sameOrigin(to, c.Base) && (set || to.Path == c.Prefix+"login"+c.Account)
}

func sameOrigin(a, b *url.URL) bool { return a.Scheme == b.Scheme && a.Host == b.Host }

// redirected reports whether a proxy redirects the base URL: to another origin,
// or the path to itself.
func (c *check) redirected(r *response) bool {
	to := r.location()
	return to.Host != "" && (!sameOrigin(to, c.Base) || to.Path == r.url.Path)
}

// otherHost finds out why the request seems to have another host or scheme, and
// starts a login all the same.
func (c *check) otherHost() (login *response, ok bool) {
	named := c.send(request{name: "login", query: url.Values{"next": {newNext()}}, header: map[string]string{"X-Forwarded-Host": c.Base.Host}})
	if c.noHost = !c.Cookies.Secure || named.state() != ""; c.noHost {
		c.add(hostRewritten)
	} else {
		c.add(schemeRewritten)
	}
	c.hop = true
	if login = c.login(); login.state() == "" {
		c.add(cookieRemoved)
		return nil, false
	}
	return login, true
}

// mounted finds out why the path of the login is not found. If a proxy removes
// the beginning of the path, the endpoints are found where it occurs twice.
func (c *check) mounted(plain *response) (login *response, ok bool) {
	for _, c.removed = range c.leading() {
		c.hop = true // changes nothing where Host is right
		if login = c.login(); login.state() == "" || !c.callback(login) {
			continue
		}
		c.add(prefixRemoved, c.Prefix, c.removed)
		c.hop = false
		if login = c.login(); c.hops(login) {
			return c.otherHost()
		}
		return login, login.state() != ""
	}
	c.add(notFound, bare(plain.url), plain.text(), c.Prefix)
	return nil, false
}

// location checks where a login leads.
func (c *check) location(login *response) {
	if got, want := leadsTo(login.location()), leadsTo(c.Authorize); got != want {
		c.add(otherRedirect, got, want)
	}
}

// leadsTo returns what distinguishes the login of a site from others.
func leadsTo(u *url.URL) string {
	q := u.Query()
	v := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawQuery: url.Values{"appid": {q.Get("appid")}, "redirect_uri": {q.Get("redirect_uri")}}.Encode()}
	text, _ := url.QueryUnescape(v.String()) // so that it can be read
	return clean(text)
}

// cookies checks both directions: the response of the login sets a cookie, and
// the callback gets it.
func (c *check) cookies(login *response) {
	name := c.Cookies.CookieName(login.state())
	set, ok := login.cookie(name)
	if !ok {
		c.add(setCookieRemoved)
		return // a cookie that arrives is seen by its deletion
	}
	if want, got := c.attributes(), attributesOf(set); want != got {
		c.add(setCookieChanged, got, want)
	}
	if c.removed != "" || c.callback(login) {
		return
	}
	for _, c.removed = range c.leading() {
		if c.callback(login) {
			c.add(prefixRemoved, c.Prefix, c.removed)
			return
		}
	}
	c.removed = ""
	cookie, query := c.arrives()
	switch {
	case !cookie:
		c.add(cookieRemoved)
	case !query:
		c.add(queryRemoved)
	default:
		c.add(callbackLost, bare(c.Base.JoinPath(c.Prefix, "callback", c.Account)))
	}
}

// arrives reports whether cookies and the query arrive at the login. Of these
// two cookies, the login deletes the first if it gets it, and the second only
// with the parameter "again".
func (c *check) arrives() (cookie, query bool) {
	out, counter := c.Cookies.LoggedOutName(), c.Cookies.LoginCounterName()
	login := c.send(request{
		name: "login", query: url.Values{"next": {newNext()}, "again": {"1"}},
		cookie: []string{out + "=1", counter + "=1"},
	})
	return login.deletes(out), login.deletes(counter)
}

// attributes returns those of the cookie of a pending login, as attributesOf.
func (c *check) attributes() string {
	return attributesOf(&http.Cookie{Path: "/", MaxAge: int(flow.CookieLife / time.Second), HttpOnly: true, Secure: c.Cookies.Secure, SameSite: http.SameSiteLaxMode})
}

func attributesOf(c *http.Cookie) string {
	_, attributes, _ := strings.Cut((&http.Cookie{
		Name: "x", Path: c.Path, Domain: c.Domain, MaxAge: c.MaxAge, HttpOnly: c.HttpOnly, Secure: c.Secure, SameSite: c.SameSite,
	}).String(), "; ")
	return attributes
}

// caches checks that the same request starts two logins, also after a script's,
// which is rejected without a Set-Cookie, and that the response may not be stored.
func (c *check) caches(login *response) {
	query := login.url.Query()
	second := c.send(request{name: "login", query: query})
	query = url.Values{"next": {newNext()}}
	rejected := c.send(request{name: "login", query: query, header: map[string]string{"Accept": "application/json", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}})
	third := c.send(request{name: "login", query: query})
	switch {
	case second.state() != "" && second.state() == login.state() || hit(login.header):
		c.add(cached)
	case second.state() != "" && third.state() == "" && rejected.status == third.status:
		c.add(cached)
	case !slices.ContainsFunc(login.header.Values("Cache-Control"), func(line string) bool { return strings.Contains(line, "no-store") }):
		c.add(cacheControl, clean(strings.Join(login.header.Values("Cache-Control"), ", ")))
	}
}

// hit reports whether a cache says that it has sent the response: the URL was
// not requested before, so it ignores the query.
func hit(h http.Header) bool {
	for _, name := range []string{"Cache-Status", "Cf-Cache-Status", "X-Cache", "X-Cache-Status", "X-Proxy-Cache"} {
		if value := strings.ToLower(h.Get(name)); strings.Contains(value, "hit") {
			return true
		}
	}
	age, _ := strconv.Atoi(h.Get("Age"))
	return age > 0
}

// pages checks that pages, whose status is 200, are not cached: nginx caches
// such a response sooner than a redirect. A page has the language of the
// request; with pages of the application that have none, this finds nothing.
func (c *check) pages() {
	if slices.Contains(c.faults, cached) {
		return
	}
	next := newNext()
	page := func(query url.Values, language string) string {
		query.Set("next", next)
		r := c.send(request{name: "upgrade", query: query, header: map[string]string{"Accept-Language": language}})
		if r.status != http.StatusOK {
			return ""
		}
		return digits.ReplaceAllString(r.body, "") // the time
	}
	first := page(url.Values{}, "en")
	repeated := page(url.Values{}, "zh-CN")
	other := page(url.Values{"again": {"1"}}, "zh-CN")
	if first != "" && other != "" && first == repeated && first != other {
		c.add(cached)
	}
}

var digits = regexp.MustCompile(`[0-9]+`)

// large checks that large headers pass: a login with a long return URL, of a
// browser that has many pending logins.
func (c *check) large() {
	const cookies, valueBytes, nextBytes = 24, 80, 1900
	if c.err != nil {
		return
	}
	var sent []string
	for range cookies {
		sent = append(sent, c.Cookies.CookieName(flow.NewState())+"="+strings.Repeat("x", valueBytes))
	}
	login, err := c.try(request{name: "login", query: url.Values{"next": {newNext() + "&x=" + strings.Repeat("x", nextBytes)}}, cookie: sent})
	switch {
	case c.ctx.Err() != nil:
		c.err = err
	case err != nil:
		c.add(tooLarge, err)
	case login.state() == "" && !c.hops(login):
		c.add(tooLarge, login.text())
	}
}

// post checks that a form arrives, a logout without a session, and that the
// form of another site is rejected. Browsers in WeChat may send no Sec-Fetch-Site.
func (c *check) post() {
	if c.noHost && c.Account != "" || slices.Contains(c.faults, otherRedirect) {
		return // the application may not know the form's page as its own: see hostRewritten
	}
	next := newNext()
	logout := func(header map[string]string) (r *response, ok bool) {
		r = c.send(request{name: "logout", form: url.Values{"next": {next}}, header: header})
		return r, strings.HasSuffix(r.header.Get("Location"), next)
	}
	if r, ok := logout(nil); !ok {
		c.add(noPost, r.text())
		return
	}
	if _, ok := logout(map[string]string{"Origin": "https://another.example"}); ok {
		c.add(originRemoved)
	}
}

// plain checks that no login starts over plain http, where browsers reject the
// cookies.
func (c *check) plain() {
	if !c.Cookies.Secure || c.Base.Port() != "" || c.err != nil {
		return
	}
	c.hop = false
	r, err := c.try(request{name: "login", query: url.Values{"next": {newNext()}}, scheme: "http"})
	if err == nil && r.state() != "" { // an error: the port is closed
		c.add(plainHTTP)
	}
}

// clocks compares the clock of this process with those of the application, in
// the cookie of its login, and of the server in front.
func (c *check) clocks(login *response) {
	now := time.Now()
	date, err := http.ParseTime(login.header.Get("Date"))
	dated := err == nil && far(now, date)
	if dated {
		c.add(clockDiffers, "Date", difference(date, now))
	}
	set, ok := login.cookie(c.Cookies.CookieName(login.state()))
	if !ok || slices.Contains(c.faults, otherRedirect) {
		return
	}
	f, err := c.Cookies.OpenFlow(set)
	if err != nil {
		c.add(otherKeys)
		return
	}
	if issued := time.UnixMilli(f.IssuedAt); !dated && far(c.Cookies.Now(), issued) {
		c.add(clockDiffers, "Set-Cookie", difference(issued, c.Cookies.Now()))
	}
}

func difference(there, here time.Time) string {
	return there.Sub(here).Round(time.Second).String()
}
