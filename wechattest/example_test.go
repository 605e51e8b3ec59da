package wechattest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/wechattest"
)

// This site greets users by openid, and a test logs in to it.
func ExampleNewServer() {
	sim := wechattest.NewServer()
	defer sim.Close()
	wechat, err := client.New(wechattest.DefaultAppID, wechattest.DefaultSecret, client.WithEndpoints(sim.Endpoints()))
	if err != nil {
		fmt.Println(err)
		return
	}
	var site *httptest.Server
	site = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		code := r.FormValue("code")
		if code == "" {
			http.Redirect(w, r, wechat.AuthorizeURL(site.URL, client.ScopeBase, "state1"), http.StatusFound)
			return
		}
		token, err := wechat.Exchange(r.Context(), code)
		if err != nil {
			fmt.Fprint(w, err)
			return
		}
		fmt.Fprint(w, "hello ", token.OpenID)
	}))
	defer site.Close()

	resp, err := wechattest.Browser(wechattest.IPhone).Get(site.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	page, _ := io.ReadAll(resp.Body)
	fmt.Println(string(page) == "hello "+wechattest.OpenID(wechattest.DefaultAppID, "小明"))
	// Output: true
}

// WeChat asks the user for consent, and the user allows it.
func ExampleServer_Allow() {
	sim := wechattest.NewServer(wechattest.WithPerson(wechattest.Person{Name: "Lin"}))
	defer sim.Close()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "back with a code: ", r.FormValue("code") != "")
	}))
	defer site.Close()
	wechat, err := client.New(wechattest.DefaultAppID, wechattest.DefaultSecret, client.WithEndpoints(sim.Endpoints()))
	if err != nil {
		fmt.Println(err)
		return
	}

	browser := wechattest.Browser(wechattest.Android)
	page, err := browser.Get(wechat.AuthorizeURL(site.URL, client.ScopeUserInfo, "state1"))
	if err != nil {
		fmt.Println(err)
		return
	}
	resp, err := sim.Allow(browser, page)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	fmt.Println(string(text))
	// Output: back with a code: true
}

// The user denies consent: WeChat shows a page, and the site is not notified.
func ExampleServer_Refuse() {
	sim := wechattest.NewServer()
	defer sim.Close()
	requests := 0
	site := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests++ }))
	defer site.Close()
	wechat, err := client.New(wechattest.DefaultAppID, wechattest.DefaultSecret, client.WithEndpoints(sim.Endpoints()))
	if err != nil {
		fmt.Println(err)
		return
	}

	browser := wechattest.Browser(wechattest.IPhone)
	page, err := browser.Get(wechat.AuthorizeURL(site.URL, client.ScopeUserInfo, "state1"))
	if err != nil {
		fmt.Println(err)
		return
	}
	resp, err := sim.Refuse(browser, page)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Request.URL.Path, requests)
	for _, call := range sim.Journal() {
		fmt.Println(call.Endpoint, "-", call.Outcome)
	}
	// Output:
	// /connect/oauth2/authorize_reply 0
	// connect/oauth2/authorize - consent page
	// connect/oauth2/authorize_reply - denied
}

// A mini program login needs no browser.
func ExampleServer_WXLogin() {
	sim := wechattest.NewServer()
	defer sim.Close()
	wechat, err := client.New(wechattest.DefaultMiniProgramAppID, wechattest.DefaultMiniProgramSecret, client.WithEndpoints(sim.Endpoints()))
	if err != nil {
		fmt.Println(err)
		return
	}
	session, err := wechat.Code2Session(context.Background(), sim.WXLogin(wechattest.DefaultMiniProgramAppID, "Lin"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(session.OpenID == wechattest.OpenID(wechattest.DefaultMiniProgramAppID, "Lin"))
	// Output: true
}

// A simulator served below a prefix, as by cmd/wechatsim.
func ExampleNewHandler() {
	server := httptest.NewServer(wechattest.NewHandler(wechattest.WithAnyBrowser()))
	defer server.Close()
	wechat, err := client.New(wechattest.DefaultAppID, wechattest.DefaultSecret,
		client.WithEndpoints(client.Endpoints{Open: server.URL, API: server.URL}))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = wechat.Exchange(context.Background(), "a-code-never-issued")
	fmt.Println(errors.Is(err, client.ErrCodeInvalid))
	// Output: true
}
