package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wechatauth/wechatauth/wechattest"
)

// A loginSite is an application that users log in to: from the page they
// request, through WeChat, to the session.
type loginSite struct {
	name    string
	wechat  *weChat
	handler http.Handler
	own     atomic.Int64 // nanoseconds of the site's own in all logins so far
	count   atomic.Int64 // logins measured
}

func newLoginSite(name string, wc *weChat, h http.Handler) *loginSite {
	return &loginSite{name: name, wechat: wc, handler: h}
}

// login logs one user in, and returns what the browser sends from then on. The
// site's own time is that of its two responses, without the time of WeChat's
// API in the second.
func (s *loginSite) login(person int) (cookies string, err error) {
	inside, _, cookies, err := s.step(s.handler, baseURL+pageTarget, "")
	if err != nil {
		return "", fmt.Errorf("%s: begin: %w", s.name, err)
	}
	back, _, _, err := s.step(s.wechat.sim, inside, personCookie+"="+personName(person))
	if err != nil {
		return "", fmt.Errorf("%s: authorize: %w", s.name, err)
	}
	_, _, cookies, err = s.step(s.handler, back, cookies)
	if err != nil {
		return "", fmt.Errorf("%s: callback: %w", s.name, err)
	}
	if cookies == "" {
		return "", fmt.Errorf("%s: no session cookie", s.name)
	}
	return cookies, nil
}

// step opens one URL, which must redirect.
func (s *loginSite) step(h http.Handler, target, have string) (location string, status int, cookies string, err error) {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Header.Set("User-Agent", wechattest.IPhone)
	r.Header.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
	if have != "" {
		r.Header.Set("Cookie", have)
	}
	a := newResponse()
	start, wechat := time.Now(), s.wechat.spent.Load()
	h.ServeHTTP(a, r)
	if h != s.wechat.sim {
		s.own.Add(int64(time.Since(start)) - (s.wechat.spent.Load() - wechat))
	}
	location = a.header.Get("Location")
	if a.status < 300 || a.status > 399 || location == "" {
		return "", a.status, "", fmt.Errorf("the response is %d: %.300s", a.status, a.body.String())
	}
	location, _, _ = strings.Cut(location, "#")
	return location, a.status, cookieHeader(a.header, have), nil
}
