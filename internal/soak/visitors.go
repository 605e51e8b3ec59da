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
	// again is the pause before a visitor who was told to come later does.
	again = 500 * time.Millisecond
	// step is the pause between two things that a visitor does.
	step = 200 * time.Millisecond
)

// counts is what a soak has seen.
type counts struct {
	mu                              sync.Mutex
	logins, visits, refused         int
	lostLogins, lostValues, revived int
	strangers, odd, wrong           int // wrong: of answers that no fault may change
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

// crowd is the visitors and strangers of one soak. They can be stopped between
// two of their steps, for a measurement.
type crowd struct {
	site   string
	counts *counts
	street *http.Transport // all connections to the application
	wg     sync.WaitGroup

	quiet sync.RWMutex // held for writing: nobody asks anything
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

// rest waits for d; not longer than the soak.
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

// answer is what a visitor sees.
type answer struct {
	status int
	at     string // URL
	body   string
}

// visitor is one browser with its cookies.
type visitor struct {
	crowd  *crowd
	client *http.Client
	name   string
}

func (c *crowd) visitor() *visitor {
	browser := wechattest.Browser(wechattest.IPhone)
	v := &visitor{crowd: c, name: fmt.Sprintf("v%d", rand.Uint64())}
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

// ask sends one request; with follow it goes wherever it is led.
func (v *visitor) ask(method, target string, follow bool) (answer, error) {
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
		return answer{}, err
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{status: resp.StatusCode, at: resp.Request.URL.String(), body: string(body)}, err
}

// session is the visitor's session cookie; nil without one.
func (v *visitor) session() *http.Cookie {
	site, _ := url.Parse(v.crowd.site)
	for _, c := range v.client.Jar.Cookies(site) {
		if strings.Contains(c.Name, "session") {
			return c
		}
	}
	return nil
}

// live is a visitor's life: he logs in, puts something into his cart, comes back
// some times and logs out. What he was answered 503, he tries again.
func (v *visitor) live() {
	if !v.logIn() {
		return
	}
	cart := v.name
	if !v.until("put", func(got answer) bool { return got.status == http.StatusOK }, http.MethodGet, "/cart?put="+cart) {
		return
	}
	for range 3 + rand.IntN(6) {
		v.crowd.rest(step)
		v.public()
		var got answer
		if !v.until("visit", func(a answer) bool { got = a; return a.status == http.StatusOK }, http.MethodGet, "/orders") {
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

// public asks for a page that anybody gets, whatever Redis does.
func (v *visitor) public() {
	counts := v.crowd.counts
	got, err := v.ask(http.MethodGet, "/public", false)
	switch {
	case err != nil:
		counts.add(&counts.wrong, "a public page: "+err.Error())
	case got.status != http.StatusOK:
		counts.add(&counts.wrong, fmt.Sprintf("a public page: %d", got.status))
	}
}

// logIn visits the wall until it is let through. It goes on by reloading where
// it is and by visiting anew, in turns.
func (v *visitor) logIn() bool {
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
			counts.add(&counts.lostLogins, "a visitor did not get in")
			return false
		}
		target = "/orders"
		if try%2 == 0 && got.at != "" {
			target = got.at
		}
		wait(again)
	}
}

// until asks without following until the answer is good. Only 503 may come
// before: whoever is sent to log in again has lost his login.
func (v *visitor) until(what string, good func(answer) bool, method, target string) bool {
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
			counts.add(&counts.lostLogins, fmt.Sprintf("%s: answered %d, and was logged in", what, got.status))
			return false
		}
		if time.Since(began) > grace {
			counts.add(&counts.lostLogins, what+": no answer but 503 in two minutes")
			return false
		}
	}
}

// logOut ends the session, and looks whether a copy of its cookie is worth
// anything.
func (v *visitor) logOut() {
	counts := v.crowd.counts
	copied := v.session()
	if !v.until("logout", func(a answer) bool { return a.status == http.StatusSeeOther }, http.MethodPost, "/wechat/logout") {
		return
	}
	thief := v.crowd.visitor()
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

// come sets n visitors going; when one leaves, another comes.
func (c *crowd) come(n int) {
	for range n {
		c.wg.Go(func() {
			for !c.over() {
				c.visitor().live()
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

// stranger sends one request without a session, of one of the kinds that cost
// Redis nothing.
func (c *crowd) stranger() {
	v := &visitor{crowd: c, client: &http.Client{Transport: page{c.street}, Timeout: 30 * time.Second}}
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

// leave lets everybody come to an end.
func (c *crowd) leave() {
	close(c.done)
	c.wg.Wait()
}

// path is a URL without what may be secret in it.
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
