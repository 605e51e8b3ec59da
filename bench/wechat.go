package main

import (
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/wechatauth/wechatauth/wechattest"
)

const (
	appID     = wechattest.DefaultAppID
	appSecret = wechattest.DefaultSecret

	// wechatURL is the URL of the simulator. Nothing listens there: it is
	// called directly, as the sites are.
	wechatURL = "http://127.0.0.1:8081"

	// personCookie selects the person whose phone a browser is.
	personCookie = "wechatsim_person"
)

func personName(n int) string { return fmt.Sprintf("user-%d", n) }

func openIDOf(n int) string { return wechattest.OpenID(appID, personName(n)) }

func unionIDOf(n int) string {
	return wechattest.UnionID(wechattest.DefaultOpenPlatform, personName(n))
}

// A weChat is a simulator in this process, and the Transport to it. It measures
// its own time, which is WeChat's and not the site's.
type weChat struct {
	sim   http.Handler
	spent atomic.Int64 // nanoseconds
}

// newWeChat returns a simulator with maxVisitors people. It also returns
// unionids with snsapi_base, so that the smallest login has a complete
// identity.
func newWeChat() *weChat {
	people := make([]wechattest.Person, maxVisitors)
	for n := range people {
		people[n].Name = personName(n)
	}
	return &weChat{sim: wechattest.NewHandler(wechattest.WithPerson(people...), wechattest.WithQuirks(wechattest.BaseUnionID))}
}

// RoundTrip implements http.RoundTripper for the API calls of a site.
func (wc *weChat) RoundTrip(r *http.Request) (*http.Response, error) {
	start := time.Now()
	defer func() { wc.spent.Add(int64(time.Since(start))) }()
	a, asked := newResponse(), *r
	if asked.Body == nil {
		asked.Body = http.NoBody // as a server has it
	}
	wc.sim.ServeHTTP(a, &asked)
	return &http.Response{
		StatusCode: a.status, Status: http.StatusText(a.status), Header: a.header, Request: r,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		ContentLength: int64(a.body.Len()), Body: io.NopCloser(&a.body),
	}, nil
}

// client returns a client for WeChat's API.
func (wc *weChat) client() *http.Client { return &http.Client{Transport: wc, Timeout: 5 * time.Second} }
