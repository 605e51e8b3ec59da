package wechattest

import (
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Allow taps 允许 on page: a consent page, or a QR code page (in which case the
// phone scans and confirms). It reads and closes page. It returns the last page
// that the browser shows, after the callback and all redirects.
//
// If a quirk duplicates the callback, Allow delivers it twice, as the page's
// script does, and returns the last page of the second delivery. With
// DuplicateCallbackAtOnce both are delivered at the same time (see
// [DeliverTwice]); with DuplicateCallbackLater the second follows the complete
// response to the first, without a pause.
//
// Allow returns an error if page has nothing to confirm or cannot be read, or
// if browser cannot connect or is redirected too often. An error page of WeChat
// or of the site is a result and not an error.
func (s *Server) Allow(browser *http.Client, page *http.Response) (*http.Response, error) {
	return s.reply(browser, page, "allow")
}

// Refuse taps 拒绝. The result is WeChat's page; the site is not notified, unless
// RefusalCallback is on. Refuse returns an error in the same cases as Allow.
func (s *Server) Refuse(browser *http.Client, page *http.Response) (*http.Response, error) {
	return s.reply(browser, page, "refuse")
}

var (
	ticketField = regexp.MustCompile(`name="ticket" value="(\w+)"`)
	onceMore    = regexp.MustCompile(`data-callback="([^"]+)" data-apart="(\d+)"`)
	uuidField   = regexp.MustCompile(`data-uuid="(\w+)"`)
)

func (s *Server) reply(browser *http.Client, page *http.Response, choice string) (*http.Response, error) {
	n, err := s.replyTo(browser, page, choice)
	switch {
	case err != nil:
		return nil, err
	case n.to == "":
		return n.shown, nil
	case n.delivery == once:
		return browser.Get(n.to)
	case n.delivery == twiceInTurn:
		return inTurn(browser, n.to)
	}
	first, second, err := DeliverTwice(browser, n.to)
	if err != nil {
		return nil, err
	}
	first.Body.Close()
	return second, nil
}

// inTurn delivers a callback, and again after the response to the first.
func inTurn(browser *http.Client, callbackURL string) (second *http.Response, err error) {
	first, err := browser.Get(callbackURL)
	if err != nil {
		return nil, err
	}
	defer first.Body.Close()
	if _, err := io.Copy(io.Discard, first.Body); err != nil {
		return nil, fmt.Errorf("read the response to the first delivery: %w", err)
	}
	return browser.Get(callbackURL)
}

// next is what a browser does after a reply to a page: it shows a page, or the
// page's script opens a URL.
type next struct {
	shown    *http.Response
	to       string
	delivery delivery
}

// A delivery is how a URL is opened, and how often.
type delivery int

const (
	once delivery = iota
	twiceAtOnce
	twiceInTurn
)

func (s *Server) replyTo(browser *http.Client, page *http.Response, choice string) (next, error) {
	defer page.Body.Close()
	body, err := io.ReadAll(page.Body)
	if err != nil {
		return next{}, fmt.Errorf("read WeChat's page: %w", err)
	}
	if m := ticketField.FindSubmatch(body); m != nil {
		return s.consentTo(browser, page.Request.URL, string(m[1]), choice)
	}
	if m := uuidField.FindSubmatch(body); m != nil {
		return s.scan(browser, page.Request.URL, string(m[1]), choice)
	}
	if m := onceMore.FindSubmatch(body); m != nil {
		n := next{to: html.UnescapeString(string(m[1])), delivery: twiceInTurn}
		if string(m[2]) == "0" {
			n.delivery = twiceAtOnce
		}
		return n, nil
	}
	return next{}, errors.New("nothing to confirm on " + page.Request.URL.Path)
}

func (s *Server) consentTo(browser *http.Client, page *url.URL, ticket, choice string) (next, error) {
	shown, err := postConsent(browser, page, ticket, choice)
	if err != nil {
		return next{}, err
	}
	stayed := shown.StatusCode == http.StatusOK && strings.HasSuffix(shown.Request.URL.Path, "/authorize_reply")
	if stayed && choice == "allow" {
		return s.replyTo(browser, shown, choice) // a duplicate callback
	}
	return next{shown: shown}, nil
}

// scan does what the phone does with a QR code, and then what the script of the
// QR code page does.
func (s *Server) scan(browser *http.Client, page *url.URL, uuid, choice string) (next, error) {
	shown, err := post(browser, page, "confirm", url.Values{"uuid": {uuid}, "answer": {choice}})
	if err != nil {
		return next{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	to := ""
	if t, ok := s.tickets[uuid]; ok {
		to = s.qrNext(t)
	}
	if to == "" {
		return next{shown: shown}, nil
	}
	shown.Body.Close()
	return next{to: to}, nil
}

func postConsent(browser *http.Client, page *url.URL, ticket, choice string) (*http.Response, error) {
	return post(browser, page, "authorize_reply", url.Values{"ticket": {ticket}, "answer": {choice}})
}

func post(browser *http.Client, page *url.URL, action string, form url.Values) (*http.Response, error) {
	to, err := page.Parse(action)
	if err != nil {
		return nil, err
	}
	return browser.Post(to.String(), "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
}

// DeliverTwice delivers a callback as WeChat's clients do when they repeat a
// slow navigation: two requests at the same time from one browser. It returns
// the last page of each, after redirects; the caller must close both. If either
// fails, DeliverTwice returns only the error, or both joined.
func DeliverTwice(browser *http.Client, callbackURL string) (first, second *http.Response, err error) {
	type shown struct {
		resp *http.Response
		err  error
	}
	other := make(chan shown, 1)
	go func() {
		resp, err := browser.Get(callbackURL)
		other <- shown{resp, err}
	}()
	first, err = browser.Get(callbackURL)
	repeated := <-other
	if err := errors.Join(err, repeated.err); err != nil {
		for _, resp := range []*http.Response{first, repeated.resp} {
			if resp != nil {
				resp.Body.Close()
			}
		}
		return nil, nil, err
	}
	return first, repeated.resp, nil
}

// CallbackURL opens a page as a browser would, allows whatever WeChat asks for,
// and stops before the callback: it returns the URL that the browser would open
// next. With it, a test can deliver a callback twice, late or in another
// browser. CallbackURL returns an error if WeChat shows a page with nothing to
// confirm, such as an error page, or if browser fails.
func (s *Server) CallbackURL(browser *http.Client, pageURL string) (string, error) {
	var callback string
	stopping := *browser
	stopping.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		if s.issued(next.URL) {
			callback = next.URL.String()
			return http.ErrUseLastResponse
		}
		if len(via) >= 10 {
			return errors.New("stopped after 10 redirects")
		}
		return nil
	}
	shown, err := stopping.Get(pageURL)
	if err != nil {
		return "", err
	}
	defer func() { shown.Body.Close() }()
	if callback != "" {
		return callback, nil
	}
	n, err := s.replyTo(&stopping, shown, "allow")
	if err != nil {
		return "", err
	}
	if n.shown != nil {
		shown = n.shown
	}
	switch {
	case callback != "":
		return callback, nil
	case n.to != "":
		return n.to, nil
	}
	return "", errors.New("WeChat did not redirect to a callback: " + shown.Request.URL.Path)
}

// issued reports whether a URL carries a code from this simulator, which only a
// callback does. Paths and hosts cannot distinguish the two: a site may have
// pages below /connect/ and use the simulator's host.
func (s *Server) issued(u *url.URL) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(u.Query()["code"], func(code string) bool { return s.codes[code] != nil })
}
