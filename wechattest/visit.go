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

// Allow taps 允许 on the page that a browser got: a consent page, or a QR page
// (then the phone scans and confirms). It returns what the browser is shown in
// the end, after the callback and all its redirects. The page is read and
// closed.
//
// Where a switch doubles the callback, Allow delivers it twice, as the page's
// script does, and returns what is shown for the second: under DuplicateCallbackAtOnce
// both at the same time (see Twice); under DuplicateCallbackLater the second after the
// first was answered in full, without a pause.
//
// It fails if there is nothing to answer on the page, if the page cannot be
// read, or if the browser fails: no connection, or too many redirects. An
// error page of WeChat or of the site is an answer and no error.
func (s *Server) Allow(browser *http.Client, page *http.Response) (*http.Response, error) {
	return s.reply(browser, page, "allow")
}

// Refuse taps 拒绝. The answer is WeChat's page; the site is told nothing,
// unless RefusalCallback is on. It fails as Allow does.
func (s *Server) Refuse(browser *http.Client, page *http.Response) (*http.Response, error) {
	return s.reply(browser, page, "refuse")
}

var (
	ticketField = regexp.MustCompile(`name="ticket" value="(\w+)"`)
	onceMore    = regexp.MustCompile(`data-callback="([^"]+)" data-apart="(\d+)"`)
	uuidField   = regexp.MustCompile(`data-uuid="(\w+)"`)
)

func (s *Server) reply(browser *http.Client, page *http.Response, answer string) (*http.Response, error) {
	n, err := s.answerPage(browser, page, answer)
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

// inTurn delivers a callback, and once more when the first was answered.
func inTurn(browser *http.Client, callbackURL string) (second *http.Response, err error) {
	first, err := browser.Get(callbackURL)
	if err != nil {
		return nil, err
	}
	defer first.Body.Close()
	if _, err := io.Copy(io.Discard, first.Body); err != nil {
		return nil, fmt.Errorf("read what the first delivery was answered: %w", err)
	}
	return browser.Get(callbackURL)
}

// next is what a browser does after a page was answered: it shows something,
// or the page's script opens a URL.
type next struct {
	shown    *http.Response
	to       string
	delivery delivery
}

// delivery is how often, and how, a URL is opened.
type delivery int

const (
	once delivery = iota
	twiceAtOnce
	twiceInTurn
)

func (s *Server) answerPage(browser *http.Client, page *http.Response, answer string) (next, error) {
	defer page.Body.Close()
	body, err := io.ReadAll(page.Body)
	if err != nil {
		return next{}, fmt.Errorf("read WeChat's page: %w", err)
	}
	if m := ticketField.FindSubmatch(body); m != nil {
		return s.consentTo(browser, page.Request.URL, string(m[1]), answer)
	}
	if m := uuidField.FindSubmatch(body); m != nil {
		return s.scan(browser, page.Request.URL, string(m[1]), answer)
	}
	if m := onceMore.FindSubmatch(body); m != nil {
		n := next{to: html.UnescapeString(string(m[1])), delivery: twiceInTurn}
		if string(m[2]) == "0" {
			n.delivery = twiceAtOnce
		}
		return n, nil
	}
	return next{}, errors.New("there is nothing to answer on " + page.Request.URL.Path)
}

func (s *Server) consentTo(browser *http.Client, page *url.URL, ticket, answer string) (next, error) {
	shown, err := post(browser, page, "authorize_reply", url.Values{"ticket": {ticket}, "answer": {answer}})
	if err != nil {
		return next{}, err
	}
	stayed := shown.StatusCode == http.StatusOK && strings.HasSuffix(shown.Request.URL.Path, "/authorize_reply")
	if stayed && answer == "allow" {
		return s.answerPage(browser, shown, answer) // a doubled delivery
	}
	return next{shown: shown}, nil
}

// scan is what the phone does with a QR code, and then what the script of the
// QR page does.
func (s *Server) scan(browser *http.Client, page *url.URL, uuid, answer string) (next, error) {
	shown, err := post(browser, page, "confirm", url.Values{"uuid": {uuid}, "answer": {answer}})
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

func post(browser *http.Client, page *url.URL, action string, form url.Values) (*http.Response, error) {
	to, err := page.Parse(action)
	if err != nil {
		return nil, err
	}
	return browser.Post(to.String(), "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
}

// DeliverTwice delivers a callback as a WeChat client that repeats a slow navigation
// does: two requests at the same time, from one browser. It returns what the
// browser was shown for each, after redirects; the caller closes both. If
// either fails it returns that error, or both joined, and no answer.
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

// CallbackURL opens a page as the browser would, says yes to whatever WeChat
// asks, and stops before the callback: it returns the URL that the browser
// would open next. With it a test delivers a callback twice, late, or in
// another browser. It fails if WeChat shows a page without anything to answer
// instead, such as an error page, or if the browser fails.
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
	n, err := s.answerPage(&stopping, shown, "allow")
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
	return "", errors.New("WeChat did not send the browser to a callback: " + shown.Request.URL.Path)
}

// issued reports whether a URL carries a code of this simulator, as nothing but
// a callback does. Paths and hosts do not tell the two apart: a site may have
// pages below /connect/, and the simulator's host.
func (s *Server) issued(u *url.URL) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(u.Query()["code"], func(code string) bool { return s.codes[code] != nil })
}
