package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/wechatauth/wechatauth/wechattest"
)

const (
	// grace is how long after the end of a fault a login may take.
	grace = 2 * time.Minute
	// again is the pause before a user retries after a 503.
	again = 500 * time.Millisecond
	// step is the pause between two actions of a user.
	step = 200 * time.Millisecond
)

// counts holds the counts of a soak.
type counts struct {
	mu                              sync.Mutex
	logins, visits, refused         int
	lostLogins, lostValues, revived int
	strangers, odd, wrong           int // wrong: responses that no fault may change
	notes                           []string
}

func (c *counts) add(n *int, note string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*n++
	if note != "" && len(c.notes) < 20 {
		c.notes = append(c.notes, time.Now().UTC().Format("15:04:05 ")+note)
	}
}

// A crowd is the users and strangers of one soak. They can be stopped between
// two of their steps, for a measurement.
type crowd struct {
	site   string
	counts *counts
	street *http.Transport // all connections to the application
	wg     sync.WaitGroup

	quiet sync.RWMutex // held for writing: no requests
	done  chan struct{}
}

func newCrowd(site string) *crowd {
	return &crowd{site: site, counts: &counts{}, street: &http.Transport{MaxIdleConnsPerHost: 64}, done: make(chan struct{})}
}

func (c *crowd) over() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// rest waits for d, but not longer than the soak.
func (c *crowd) rest(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.done:
	}
}

// hush stops the crowd between two steps and closes its connections, until the
// function that it returns is called.
func (c *crowd) hush() (goOn func()) {
	c.quiet.Lock()
	c.street.CloseIdleConnections()
	return c.quiet.Unlock
}

// A response is what a user sees.
type response struct {
	status int
	at     string // URL
	body   string
}

// A user is one browser with its cookies.
type user struct {
	crowd  *crowd
	client *http.Client
	name   string
}

func (c *crowd) user() *user {
	browser := wechattest.Browser(wechattest.IPhone)
	v := &user{crowd: c, name: fmt.Sprintf("v%d", rand.Uint64())}
	v.client = &http.Client{Jar: browser.Jar, Transport: page{c.street}, Timeout: 30 * time.Second}
	return v
}

// page gives requests the headers of a page visit in WeChat.
type page struct{ base http.RoundTripper }

func (p page) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for name, value := range map[string]string{
		"User-Agent": wechattest.IPhone, "Accept": "text/html",
		"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "same-origin",
	} {
		if r.Header.Get(name) == "" {
			r.Header.Set(name, value)
		}
	}
	return p.base.RoundTrip(r)
}

// ask sends one request, and with follow also follows redirects.
func (v *user) ask(method, target string, follow bool) (response, error) {
	v.crowd.quiet.RLock()
	defer v.crowd.quiet.RUnlock()
	client := *v.client
	if !follow {
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	if !strings.HasPrefix(target, "http") {
		target = v.crowd.site + target
	}
	r, err := http.NewRequest(method, target, strings.NewReader(""))
	if err != nil {
		return response{}, err
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := client.Do(r)
	if err != nil {
		return response{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return response{status: resp.StatusCode, at: resp.Request.URL.String(), body: string(body)}, err
}

// session returns the user's session cookie, or nil.
func (v *user) session() *http.Cookie {
	site, _ := url.Parse(v.crowd.site)
	for _, c := range v.client.Jar.Cookies(site) {
		if strings.Contains(c.Name, "session") {
			return c
		}
	}
	return nil
}

// live logs in, puts a value into the cart, comes back several times and logs
// out. It retries each step that gets a 503.
func (v *user) live() {
	if !v.logIn() {
		return
	}
	cart := v.name
	if !v.until("put", func(got response) bool { return got.status == http.StatusOK }, http.MethodGet, "/cart?put="+cart) {
		return
	}
	for range 3 + rand.IntN(6) {
		v.crowd.rest(step)
		v.public()
		var got response
		if !v.until("visit", func(a response) bool { got = a; return a.status == http.StatusOK }, http.MethodGet, "/orders") {
			return
		}
		v.crowd.counts.add(&v.crowd.counts.visits, "")
		if !strings.HasSuffix(got.body, "cart="+cart) {
			v.crowd.counts.add(&v.crowd.counts.lostValues, "a cart was lost: "+got.body)
			return
		}
	}
	v.logOut()
}

// public requests a page whose response does not depend on Redis.
func (v *user) public() {
	counts := v.crowd.counts
	got, err := v.ask(http.MethodGet, "/public", false)
	switch {
	case err != nil:
		counts.add(&counts.wrong, "a public page: "+err.Error())
	case got.status != http.StatusOK:
		counts.add(&counts.wrong, fmt.Sprintf("a public page: %d", got.status))
	}
}

// logIn visits a page that requires a login until it is logged in. It reloads
// the current URL and starts again in turn.
func (v *user) logIn() bool {
	counts := v.crowd.counts
	target, began := "/orders", time.Now()
	for try := 0; ; try++ {
		got, err := v.ask(http.MethodGet, target, true)
		if err == nil && got.status == http.StatusOK && strings.Contains(got.body, "logged-in=true") {
			counts.add(&counts.logins, "")
			return true
		}
		switch {
		case err != nil:
			counts.add(&counts.odd, "a login: "+err.Error())
		case got.status == http.StatusServiceUnavailable:
			counts.add(&counts.refused, "")
		default:
			counts.add(&counts.odd, fmt.Sprintf("a login: %d at %s", got.status, path(got.at)))
		}
		if time.Since(began) > grace {
			counts.add(&counts.lostLogins, "a user could not log in")
			return false
		}
		target = "/orders"
		if try%2 == 0 && got.at != "" {
			target = got.at
		}
		wait(again)
	}
}

// until repeats a request, without following redirects, until the response is
// good. Only a 503 may precede it: a redirect to a login means that the session
// is lost.
func (v *user) until(what string, good func(response) bool, method, target string) bool {
	counts := v.crowd.counts
	for began := time.Now(); ; wait(again) {
		got, err := v.ask(method, target, false)
		switch {
		case err != nil:
			counts.add(&counts.odd, what+": "+err.Error())
		case good(got):
			return true
		case got.status == http.StatusServiceUnavailable:
			counts.add(&counts.refused, "")
		default:
			counts.add(&counts.lostLogins, fmt.Sprintf("%s: status %d for a logged-in user", what, got.status))
			return false
		}
		if time.Since(began) > grace {
			counts.add(&counts.lostLogins, what+": only 503 for two minutes")
			return false
		}
	}
}

// logOut ends the session, and checks that a copy of its cookie is no longer
// accepted.
func (v *user) logOut() {
	counts := v.crowd.counts
	copied := v.session()
	if !v.until("logout", func(a response) bool { return a.status == http.StatusSeeOther }, http.MethodPost, "/wechat/logout") {
		return
	}
	thief := v.crowd.user()
	site, _ := url.Parse(v.crowd.site)
	thief.client.Jar.SetCookies(site, []*http.Cookie{copied})
	for began := time.Now(); time.Since(began) < grace; wait(again) {
		got, err := thief.ask(http.MethodGet, "/orders", false)
		if err != nil || got.status == http.StatusServiceUnavailable {
			continue
		}
		if got.status == http.StatusOK {
			counts.add(&counts.revived, "a session outlived its logout")
		}
		return
	}
}

// come starts n users; when one ends, another starts.
func (c *crowd) come(n int) {
	for range n {
		c.wg.Go(func() {
			for !c.over() {
				c.user().live()
				c.rest(step)
			}
		})
	}
}

// flood sends strangers, in bursts.
func (c *crowd) flood() {
	const burst, pause = 500, 5 * time.Second
	c.wg.Go(func() {
		for !c.over() {
			for range burst {
				c.stranger()
				c.rest(2 * time.Millisecond)
			}
			c.rest(pause)
		}
	})
}

// stranger sends one request without a session, of a kind that costs Redis
// nothing.
func (c *crowd) stranger() {
	v := &user{crowd: c, client: &http.Client{Transport: page{c.street}, Timeout: 30 * time.Second}}
	kinds := []struct {
		target string
		status int
	}{
		{"/orders?id=7", http.StatusSeeOther},
		{"/public", http.StatusOK},
		{"/open", http.StatusOK},
		{"/wechat/login?next=%2Forders", http.StatusSeeOther},
		{"/wechat/callback?code=061abc&state=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", http.StatusBadRequest},
	}
	kind := kinds[rand.IntN(len(kinds))]
	got, err := v.ask(http.MethodGet, kind.target, false)
	switch {
	case err != nil:
		c.counts.add(&c.counts.wrong, "a stranger: "+err.Error())
	case got.status != kind.status:
		c.counts.add(&c.counts.wrong, fmt.Sprintf("a stranger at %s: %d", path(kind.target), got.status))
	default:
		c.counts.add(&c.counts.strangers, "")
	}
}

// leave ends the soak and waits for every user.
func (c *crowd) leave() {
	close(c.done)
	c.wg.Wait()
}

// path returns a URL's path, which has no secrets.
func path(at string) string {
	u, err := url.Parse(at)
	if err != nil {
		return "?"
	}
	return u.Path
}

func wait(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	<-t.C
}
