package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/wechatauth/wechatauth/wechattest"
)

// baseURL is the configured URL of the sites. Nothing listens there: handlers
// are called directly, so no figure includes net/http's server.
const baseURL = "http://127.0.0.1:8080"

// pageTarget is the page that every user requests.
const pageTarget = "/orders?id=7"

// A response is a reusable ResponseWriter, so that no recorder is measured.
type response struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newResponse() *response { return &response{header: http.Header{}} }

func (a *response) reset() {
	clear(a.header)
	a.status = 0
	a.body.Reset()
}

func (a *response) Header() http.Header { return a.header }

func (a *response) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *response) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(b)
}

func (a *response) WriteString(s string) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.WriteString(s)
}

// A user repeats one request.
type user struct {
	request  *http.Request
	asked    *http.Request // the request that handlers get: a copy each time
	response *response
}

// newVisitor returns a user who requests the page as a browser inside WeChat
// does, with a cookie if there is one.
func newVisitor(cookie string) *user {
	r := httptest.NewRequest(http.MethodGet, baseURL+pageTarget, nil)
	r.Header.Set("User-Agent", wechattest.IPhone)
	r.Header.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
	r.Header.Set("Accept-Language", "zh-CN,zh-Hans;q=0.9")
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	return &user{request: r, asked: &http.Request{}, response: newResponse()}
}

// newScript returns a user whose page's script sends a request without a
// session.
func newScript() *user {
	v := newVisitor("")
	v.request.Header.Set("Accept", "*/*")
	v.request.Header.Set("Sec-Fetch-Mode", "cors")
	v.request.Header.Set("Sec-Fetch-Dest", "empty")
	v.request.Header.Set("Sec-Fetch-Site", "same-origin")
	return v
}

// ask calls the handler, and returns an error for any other status. The request
// is copied, because middleware of peers changes the one it gets.
func (v *user) ask(h http.Handler, status int) error {
	v.response.reset()
	*v.asked = *v.request
	h.ServeHTTP(v.response, v.asked)
	if v.response.status != status {
		return fmt.Errorf("the response is %d instead of %d: %.200s", v.response.status, status, v.response.body.String())
	}
	return nil
}
