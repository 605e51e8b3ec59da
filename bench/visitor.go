package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/wechatauth/wechatauth/wechattest"
)

// baseURL is where the sites believe to be. Nothing listens there: handlers are
// called directly, so that no figure is one of net/http's server.
const baseURL = "http://127.0.0.1:8080"

// pageTarget is what every visitor wants to see.
const pageTarget = "/orders?id=7"

// An answer is a ResponseWriter that is used again and again, so that no
// recorder is measured along.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newAnswer() *answer { return &answer{header: http.Header{}} }

func (a *answer) reset() {
	clear(a.header)
	a.status = 0
	a.body.Reset()
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(b)
}

func (a *answer) WriteString(s string) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.WriteString(s)
}

// A visitor asks for one thing again and again.
type visitor struct {
	request *http.Request
	asked   *http.Request // the one that is handed out: a copy each time
	answer  *answer
}

// newVisitor asks for the page as a browser inside WeChat does, with a cookie if
// there is one.
func newVisitor(cookie string) *visitor {
	r := httptest.NewRequest(http.MethodGet, baseURL+pageTarget, nil)
	r.Header.Set("User-Agent", wechattest.IPhone)
	r.Header.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
	r.Header.Set("Accept-Language", "zh-CN,zh-Hans;q=0.9")
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	return &visitor{request: r, asked: &http.Request{}, answer: newAnswer()}
}

// newScript asks as a page's script does, without a session.
func newScript() *visitor {
	v := newVisitor("")
	v.request.Header.Set("Accept", "*/*")
	v.request.Header.Set("Sec-Fetch-Mode", "cors")
	v.request.Header.Set("Sec-Fetch-Dest", "empty")
	v.request.Header.Set("Sec-Fetch-Site", "same-origin")
	return v
}

// ask lets the handler answer, and reports another status than the wanted one.
// The request is copied, because middleware of peers changes the one it is
// given.
func (v *visitor) ask(h http.Handler, status int) error {
	v.answer.reset()
	*v.asked = *v.request
	h.ServeHTTP(v.answer, v.asked)
	if v.answer.status != status {
		return fmt.Errorf("the answer is %d instead of %d: %.200s", v.answer.status, status, v.answer.body.String())
	}
	return nil
}
