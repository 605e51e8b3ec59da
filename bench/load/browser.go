package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/wechatauth/wechatauth/wechattest"
)

func personName(n int) string { return fmt.Sprintf("user-%d", n) }

// The kinds of requests to the site. Requests to the simulator are not
// measured.
const (
	kindBegin    = "page, anonymous"
	kindCallback = "callback"
	kindPage     = "page, logged in"
	kindLogout   = "logout"
	kindAfter    = "fetch, logged out"
)

var kinds = []string{kindBegin, kindCallback, kindPage, kindLogout, kindAfter}

// A browser is a cookie jar with WeChat's User-Agent, for one person.
type browser struct {
	openID string
	client *http.Client
	times  map[string][]time.Duration // of the site's responses
	robin  http.RoundTripper
	in     bool // logged in
}

func newBrowser(n int, wechatURL string, robin http.RoundTripper) (*browser, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	at, err := url.Parse(wechatURL)
	if err != nil {
		return nil, err
	}
	jar.SetCookies(at, []*http.Cookie{{Name: "wechatsim_person", Value: personName(n), Path: "/"}})
	b := &browser{openID: wechattest.OpenID(wechattest.DefaultAppID, personName(n)), times: map[string][]time.Duration{}, robin: robin}
	b.client = &http.Client{Jar: jar, Transport: b, Timeout: time.Minute}
	return b, nil
}

// RoundTrip measures each response of the site until its last byte.
func (b *browser) RoundTrip(r *http.Request) (*http.Response, error) {
	start := time.Now()
	resp, err := b.robin.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if r.URL.Host == siteHost {
		kind := b.kindOf(r)
		b.times[kind] = append(b.times[kind], time.Since(start))
	}
	return resp, nil
}

func (b *browser) kindOf(r *http.Request) string {
	switch {
	case strings.HasSuffix(r.URL.Path, "/callback"):
		b.in = true
		return kindCallback
	case r.Method == http.MethodPost:
		b.in = false
		return kindLogout
	case r.Header.Get("Sec-Fetch-Mode") == "cors":
		return kindAfter
	case b.in:
		return kindPage
	}
	return kindBegin
}

// visit opens a page, which redirects through WeChat the first time.
func (b *browser) visit(ctx context.Context, target string) error {
	resp, body, err := b.do(ctx, http.MethodGet, target, map[string]string{
		"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "Accept-Language": "zh-CN,zh-Hans;q=0.9",
	})
	if err != nil {
		return fmt.Errorf("visit: %w", err)
	}
	if resp.StatusCode != http.StatusOK || body != "Hello, "+b.openID+"\n" || resp.Request.URL.RequestURI() != target {
		return fmt.Errorf("visit: status %d at %s: %.100q", resp.StatusCode, resp.Request.URL.Path, body)
	}
	return nil
}

// leave logs out, and checks that it worked.
func (b *browser) leave(ctx context.Context) error {
	stay := b.client.CheckRedirect
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	defer func() { b.client.CheckRedirect = stay }()
	resp, body, err := b.do(ctx, http.MethodPost, "/wechat/logout", map[string]string{
		"Content-Type": "application/x-www-form-urlencoded", "Origin": siteURL, "Sec-Fetch-Site": "same-origin",
		"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document",
	})
	if err != nil {
		return fmt.Errorf("logout: %w", err)
	}
	if resp.StatusCode != http.StatusSeeOther {
		return fmt.Errorf("logout: status %d: %.100q", resp.StatusCode, body)
	}
	resp, body, err = b.do(ctx, http.MethodGet, "/", map[string]string{
		"Accept": "*/*", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "same-origin",
	})
	if err != nil {
		return fmt.Errorf("after logout: %w", err)
	}
	if resp.StatusCode != http.StatusUnauthorized {
		return fmt.Errorf("after logout: status %d: %.100q", resp.StatusCode, body)
	}
	return nil
}

func (b *browser) do(ctx context.Context, method, target string, header map[string]string) (*http.Response, string, error) {
	r, err := http.NewRequestWithContext(ctx, method, siteURL+target, nil)
	if err != nil {
		return nil, "", err
	}
	r.Header.Set("User-Agent", wechattest.IPhone)
	for name, value := range header {
		r.Header.Set(name, value)
	}
	resp, err := b.client.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

// A pace determines when browsers send requests. The zero pace sends each one
// as soon as the last has a response.
type pace struct {
	arrivals time.Duration // over which the browsers start, evenly
	pause    time.Duration // of a browser, from one step to the next
}

// paceOf returns a pace with about rate requests to the site per second, once
// the first browsers are about to finish. Half of all browsers are active then.
func paceOf(rate float64, browsers, pages int) pace {
	if rate <= 0 {
		return pace{}
	}
	arrivals := time.Duration(float64(browsers*requestsOf(pages)) / rate * float64(time.Second))
	return pace{arrivals: arrivals, pause: arrivals / 2 / time.Duration(pages+1)}
}

// requestsOf returns how many requests one browser sends to the site: the page,
// the callback and the page again, the other pages, the logout, and the fetch
// after it.
func requestsOf(pages int) int { return 3 + pages + 2 }

// live runs all steps of a browser.
func (b *browser) live(ctx context.Context, n, pages int, start time.Time, pause time.Duration) error {
	for page := range pages + 1 { // the first is the login's
		if err := await(ctx, start.Add(time.Duration(page)*pause)); err != nil {
			return err
		}
		if err := b.visit(ctx, fmt.Sprintf("/?browser=%d&page=%d", n, page)); err != nil {
			return err
		}
	}
	if err := await(ctx, start.Add(time.Duration(pages+1)*pause)); err != nil {
		return err
	}
	return b.leave(ctx)
}

func await(ctx context.Context, at time.Time) error {
	d := time.Until(at)
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// drive runs all browsers, with about rate requests per second in all; 0 starts
// all at once and sends requests without pauses.
func (p *plant) drive(ctx context.Context, name string, set settings, rate float64) (*report, error) {
	pace := paceOf(rate, set.browsers, set.pages)
	browsers := make([]*browser, set.browsers)
	for n := range browsers {
		var err error
		if browsers[n], err = newBrowser(n, p.wechatURL, p.robin); err != nil {
			return nil, err
		}
	}
	before, err := p.state()
	if err != nil {
		return nil, err
	}
	p.part.Store(&part{name, p.robin.next.Load(), uint64(set.browsers * requestsOf(set.pages))})
	start := time.Now()
	errs := make([]error, len(browsers))
	var wg sync.WaitGroup
	for n, b := range browsers {
		arrival := start.Add(pace.arrivals * time.Duration(n) / time.Duration(set.browsers))
		wg.Go(func() { errs[n] = b.live(ctx, n, set.pages, arrival, pace.pause) })
	}
	wg.Wait()
	r := &report{name: name, rate: rate, browsers: set.browsers, pages: set.pages, took: time.Since(start), times: map[string][]time.Duration{}}
	after, err := p.state()
	if err != nil {
		return nil, err
	}
	r.cpu, r.commands = after.usage.since(before.usage), after.commandsSince(before)
	for n, b := range browsers {
		for kind, times := range b.times {
			r.times[kind] = append(r.times[kind], times...)
		}
		if errs[n] != nil {
			r.errors = append(r.errors, errs[n])
		}
	}
	r.sort()
	return r, ctx.Err()
}
