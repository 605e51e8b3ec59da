package wechattest

import (
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// Login returns a browser in WeChat in which a person is logged in at a site. It
// opens pageURL, a page that requires a login, or the site's login endpoint,
// and follows the redirects through the simulator and back. It presses the
// buttons of the page that asks for the profile and of WeChat's consent page.
// The browser stays the person's: it logs in again as that person when the
// session has expired. An empty person is the simulator's current one.
//
// If the page that is shown in the end is WeChat's or has a status above 399,
// Login ends the test and reports that page, without the query of its URL.
func Login(t TB, pageURL, person string) *http.Client {
	t.Helper()
	w := &walk{person: person, browser: Browser(IPhone)}
	if err := w.open(pageURL); err != nil {
		path, _, _ := strings.Cut(pageURL, "?")
		t.Fatalf("wechattest: log in at %s: %v", path, err)
	}
	return w.browser
}

// Fetch sends a request as a script on a page of the same site does, with the
// Accept and Sec-Fetch headers of fetch. A body is sent as application/json.
// The caller must close the body of the response.
func Fetch(browser *http.Client, method, target string, body io.Reader) (*http.Response, error) {
	r, err := http.NewRequest(method, target, body)
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"Accept": "*/*", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "same-origin",
	} {
		r.Header.Set(name, value)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if method != http.MethodGet && method != http.MethodHead {
		r.Header.Set("Origin", r.URL.Scheme+"://"+r.URL.Host)
	}
	return browser.Do(r)
}

// A walk is a login of one person in one browser.
type walk struct {
	person    string
	browser   *http.Client
	simulator *url.URL // nil until the site redirects to it
}

// open opens a page and does what the person does with each page shown.
func (w *walk) open(pageURL string) error {
	browser := *w.browser
	browser.CheckRedirect = w.redirected
	resp, err := browser.Get(pageURL)
	for range 5 {
		if err != nil {
			return withoutURL(err)
		}
		page, err2 := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err2 != nil {
			return fmt.Errorf("read %s: %w", resp.Request.URL.Path, err2)
		}
		var pressed bool
		if resp, pressed, err = w.press(&browser, resp, string(page)); !pressed {
			return w.judge(resp, string(page))
		}
	}
	return errors.New("the site asks for consent again and again")
}

// redirected stops before WeChat itself, and chooses the person when the site
// redirects to the simulator for the first time.
func (w *walk) redirected(next *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("stopped after 10 redirects")
	}
	root, ok := strings.CutSuffix(next.URL.Path, "/connect/oauth2/authorize")
	if !ok || w.simulator != nil {
		return nil
	}
	if next.URL.Hostname() == "open.weixin.qq.com" {
		return errors.New("the site redirects to WeChat itself; configure it with the Endpoints of a simulator")
	}
	w.simulator = &url.URL{Scheme: next.URL.Scheme, Host: next.URL.Host, Path: root}
	if w.person == "" {
		return nil
	}
	return w.choosePerson()
}

// choosePerson sets the person for this browser only, as the control page does.
func (w *walk) choosePerson() error {
	form := url.Values{"person": {w.person}, "for": {"browser"}}
	r, err := http.NewRequest(http.MethodPost, w.simulator.JoinPath("sim/hold").String(), strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	resp, err := w.browser.Do(r)
	if err != nil {
		return withoutURL(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	switch {
	case err != nil:
		return err
	case resp.StatusCode == http.StatusBadRequest:
		return errors.New(strings.TrimSpace(string(text))) // an unknown person
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s is not a simulator: its control page responded with %s", w.simulator.Host, resp.Status)
	}
	return nil
}

var (
	upgradeForm = regexp.MustCompile(`<form method="post" action="([^"]+)"[^>]*>\s*<input type="hidden" name="next" value="([^"]*)">`)
	pageTitle   = regexp.MustCompile(`<title>([^<]{1,100})`)
	pageReason  = regexp.MustCompile(`(?:data-reason=|"reason":)"(\w+)"`)
)

// press presses the button of a page that asks for consent. It reports whether
// there is one; otherwise the response is shown.
func (w *walk) press(browser *http.Client, shown *http.Response, page string) (resp *http.Response, pressed bool, err error) {
	at := shown.Request.URL
	if !w.isWeChat(at) {
		form := upgradeForm.FindStringSubmatch(page)
		if form == nil || !strings.Contains(at.Path, "/upgrade") {
			return shown, false, nil
		}
		resp, err = post(browser, at, html.UnescapeString(form[1]), url.Values{"next": {html.UnescapeString(form[2])}})
		return resp, true, err
	}
	if m := ticketField.FindStringSubmatch(page); m != nil {
		resp, err = postConsent(browser, at, m[1], "allow")
		return resp, true, err
	}
	m := onceMore.FindStringSubmatch(page)
	if m == nil {
		return shown, false, nil
	}
	callback := html.UnescapeString(m[1])
	if m[2] != "0" {
		resp, err = inTurn(browser, callback)
		return resp, true, err
	}
	first, resp, err := DeliverTwice(browser, callback)
	if err == nil {
		first.Body.Close()
	}
	return resp, true, err
}

func (w *walk) isWeChat(u *url.URL) bool {
	return w.simulator != nil && u.Host == w.simulator.Host && strings.HasPrefix(u.Path, w.simulator.Path+"/connect/")
}

// judge returns an error unless the page shown last is the site's, after a login.
func (w *walk) judge(shown *http.Response, page string) error {
	what := fmt.Sprintf("%s responded with %s", shown.Request.URL.Path, shown.Status)
	if m := pageTitle.FindStringSubmatch(page); m != nil {
		what += fmt.Sprintf(", %q", html.UnescapeString(m[1]))
	}
	if m := pageReason.FindStringSubmatch(page); m != nil {
		what += ", reason " + m[1]
	}
	switch {
	case w.isWeChat(shown.Request.URL):
		return errors.New("WeChat's page " + what)
	case shown.StatusCode >= http.StatusBadRequest:
		return errors.New(what)
	case w.simulator == nil:
		return errors.New(what + " without a login; open a page that requires one")
	}
	return nil
}

// withoutURL removes the URL from the error of a client: that of a callback has
// a code.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return withoutURL(u.Err)
	}
	return err
}
