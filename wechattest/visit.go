package wechattest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// Allow taps 允许 on the page that a browser got: a consent page, or a QR page
// (then the phone scans and confirms). It returns what the browser is shown in
// the end, after the callback and all its redirects. The page is read and
// closed.
func (s *Server) Allow(browser *http.Client, page *http.Response) (*http.Response, error) {
	return s.reply(browser, page, "allow")
}

// Refuse taps 拒绝. The answer is WeChat's page; the site is told nothing.
func (s *Server) Refuse(browser *http.Client, page *http.Response) (*http.Response, error) {
	return s.reply(browser, page, "refuse")
}

var (
	ticketField = regexp.MustCompile(`name="ticket" value="(\w+)"`)
	uuidField   = regexp.MustCompile(`data-uuid="(\w+)"`)
)

func (s *Server) reply(browser *http.Client, page *http.Response, answer string) (*http.Response, error) {
	to, shown, err := s.answerPage(browser, page, answer)
	if err != nil || to == "" {
		return shown, err
	}
	return browser.Get(to)
}

// answerPage answers a page. A consent page is left by a redirect, which the
// browser has followed; the script of a QR page goes to a URL itself, and then
// that URL is returned.
func (s *Server) answerPage(browser *http.Client, page *http.Response, answer string) (to string, shown *http.Response, err error) {
	defer page.Body.Close()
	body, err := io.ReadAll(page.Body)
	if err != nil {
		return "", nil, fmt.Errorf("read WeChat's page: %w", err)
	}
	if m := ticketField.FindSubmatch(body); m != nil {
		shown, err = post(browser, page.Request.URL, "authorize_reply", url.Values{"ticket": {string(m[1])}, "answer": {answer}})
		return "", shown, err
	}
	if m := uuidField.FindSubmatch(body); m != nil {
		return s.scan(browser, page.Request.URL, string(m[1]), answer)
	}
	return "", nil, errors.New("neither a consent page nor a QR page: " + page.Request.URL.Path)
}

// scan is what the phone does with a QR code, and then what the script of the
// QR page does.
func (s *Server) scan(browser *http.Client, page *url.URL, uuid, answer string) (to string, shown *http.Response, err error) {
	shown, err = post(browser, page, "confirm", url.Values{"uuid": {uuid}, "answer": {answer}})
	if err != nil || answer != "allow" {
		return "", shown, err
	}
	shown.Body.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.tickets[uuid]
	if !ok || t.status != qrConfirmed {
		return "", nil, errors.New("the QR code was not confirmed")
	}
	before, after := s.callback(t.authorizeRequest)
	return before + t.code + after, nil, nil
}

func post(browser *http.Client, page *url.URL, action string, form url.Values) (*http.Response, error) {
	to, err := page.Parse(action)
	if err != nil {
		return nil, err
	}
	return browser.Post(to.String(), "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
}

// CallbackURL opens a page as the browser would, says yes to whatever WeChat
// asks, and stops before the callback: it returns the URL that the browser
// would open next. With it a test delivers a callback twice, late, or in
// another browser.
func (s *Server) CallbackURL(browser *http.Client, pageURL string) (string, error) {
	var callback string
	stopping := *browser
	stopping.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		if wechatPage(via[len(via)-1].URL) && !wechatPage(next.URL) {
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
	to, reply, err := s.answerPage(&stopping, shown, "allow")
	if err != nil || to != "" {
		return to, err
	}
	shown = reply
	if callback == "" {
		return "", errors.New("WeChat did not send the browser to a callback: " + shown.Request.URL.Path)
	}
	return callback, nil
}

func wechatPage(u *url.URL) bool { return strings.HasPrefix(u.Path, "/connect/") }
