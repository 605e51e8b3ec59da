package wechatauth_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/accounts"
	"github.com/wechatauth/wechatauth/wechattest"
)

// An Auth serves its endpoints wherever a router routes the path prefix to it.
func ExampleAuth_ServeHTTP() {
	s := newSite()
	defer s.stop()
	auth, err := wechatauth.New(s.options()...)
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/wechat/", auth)
	mux.Handle("/orders", auth.RequireWeChat(http.HandlerFunc(hello)))
	s.serve(mux)

	s.show(wechattest.Browser(wechattest.IPhone), "/wechat/login?next=/orders")
	// Output: 200 /orders true
}

// An application may end a session itself, in addition to the logout endpoint.
func ExampleAuth_Logout() {
	s := newSite()
	defer s.stop()
	auth, err := wechatauth.New(s.options()...)
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("GET /bye", auth.LoadWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := auth.Logout(w, r); err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, "bye")
	})))
	mux.Handle("GET /me", auth.LoadWeChat(http.HandlerFunc(hello)))
	mux.Handle("GET /in", auth.RequireWeChat(http.HandlerFunc(hello)))
	mux.Handle("/wechat/", auth)
	s.serve(mux)

	browser := wechattest.Browser(wechattest.IPhone)
	s.show(browser, "/in")
	s.show(browser, "/bye")
	s.show(browser, "/me")
	// Output:
	// 200 /in true
	// 200 bye
	// 200 /me false
}

// WithTokens keeps the tokens that WeChat returned with the login, for calls of
// package client.
func ExampleAuth_AccessToken() {
	s := newSite()
	defer s.stop()
	auth, err := wechatauth.New(s.options(wechatauth.WithTokens(0))...)
	if err != nil {
		fmt.Println(err)
		return
	}
	s.serve(auth.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := auth.AccessToken(r.Context())
		fmt.Fprint(w, token, " ", err) // pass token.Reveal() to the calls of client
	})))

	s.show(wechattest.Browser(wechattest.IPhone), "/")
	// Output: 200 [redacted] <nil>
}

// CallbackDomain returns the domain to enter in WeChat's console.
func ExampleAuth_CallbackDomain() {
	auth, err := wechatauth.New(
		wechatauth.WithApp("wx00000000000000a1", "app-secret-for-tests"),
		wechatauth.WithBaseURL("https://m.example.com"),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("网页授权域名:", auth.CallbackDomain())
	// Output: 网页授权域名: m.example.com
}

func ExampleAuth_CallbackDomains() {
	auth, err := wechatauth.New(
		wechatauth.WithBaseURL("https://www.example.com"),
		wechatauth.WithAccounts(accounts.ByHost(
			wechatauth.Account{AppID: "wx00000000000000a1", Secret: "app-secret-for-tests", BaseURL: "https://north.example.com"},
			wechatauth.Account{AppID: "wx00000000000000f7", Secret: "app-secret-for-tests", BaseURL: "https://south.example.com"},
		)),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(auth.CallbackDomains())
	// Output: map[wx00000000000000a1:north.example.com wx00000000000000f7:south.example.com]
}

// A mini program logs in with the code of wx.login and sends the token with
// each request. Operations that need its session_key are done on the server.
func ExampleAuth_MiniProgram() {
	s := newSite()
	defer s.stop()
	auth, err := wechatauth.New(s.options(
		wechatauth.WithMiniProgram(wechattest.DefaultMiniProgramAppID, wechattest.DefaultMiniProgramSecret),
	)...)
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/wechat/", auth)
	mux.Handle("POST /api/phone", auth.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mini, err := auth.MiniProgram(r.Context())
		if err != nil {
			http.Error(w, "for the mini program only", http.StatusForbidden)
			return
		}
		number, err := mini.PhoneNumber(r.Context(), r.FormValue("code"))
		if err != nil {
			http.Error(w, "try again", http.StatusBadGateway)
			return
		}
		fmt.Println(number.CountryCode)
	})))
	s.serve(mux)

	app, person := wechattest.DefaultMiniProgramAppID, wechattest.DefaultPeople()[0].Name
	login, err := http.Post(s.URL+"/wechat/mini/login", "application/json", strings.NewReader(`{"code":"`+s.wechat.WXLogin(app, person)+`"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer login.Body.Close()
	var session struct{ Token string }
	if err := json.NewDecoder(login.Body).Decode(&session); err != nil {
		fmt.Println(err)
		return
	}
	ask, _ := http.NewRequest(http.MethodPost, s.URL+"/api/phone?code="+s.wechat.GetPhoneNumber(app, person), nil)
	ask.Header.Set("Authorization", "Bearer "+session.Token)
	resp, err := http.DefaultClient.Do(ask)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	// Output: 86
}

// The middleware adds the identity to the request's context.
func ExampleIdentityFromContext() {
	s := newSite()
	defer s.stop()
	requireLogin := wechatauth.RequireWeChat(s.options()...)
	s.serve(requireLogin(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, ok := wechatauth.IdentityFromContext(r.Context())
		fmt.Fprint(w, ok, " ", id.AppID, " ", id.Channel, " ", id.Scope)
	})))

	s.show(wechattest.Browser(wechattest.IPhone), "/")
	// Output: 200 true wx00000000000000a1 wechat snsapi_base
}

// A test calls a handler as any user, without a login.
func ExampleContextWithIdentity() {
	orders := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, ok := wechatauth.IdentityFromContext(r.Context())
		fmt.Fprint(w, ok, " ", id.Nickname)
	})
	for _, user := range []wechatauth.Identity{
		{AppID: wechattest.DefaultAppID, OpenID: "o1", Nickname: "Lin"},
		{}, // not logged in
	} {
		r := httptest.NewRequest(http.MethodGet, "/orders", nil)
		w := httptest.NewRecorder()
		orders.ServeHTTP(w, r.WithContext(wechatauth.ContextWithIdentity(r.Context(), user)))
		fmt.Println(w.Body)
	}
	// Output:
	// true Lin
	// false
}

// Page visits are redirected to WeChat; everything else gets a 401.
func ExampleIsPageVisit() {
	page := httptest.NewRequest(http.MethodGet, "/", nil)
	page.Header.Set("Accept", "text/html,*/*;q=0.8")
	script := httptest.NewRequest(http.MethodGet, "/", nil)
	script.Header.Set("Sec-Fetch-Mode", "cors")
	fmt.Println(wechatauth.IsPageVisit(page), wechatauth.IsPageVisit(script))
	// Output: true false
}

// One text of the page that is shown after a logout, in both languages.
func ExampleDefaultPages() {
	pages := func(w io.Writer, p wechatauth.Page) error {
		if p.Kind == wechatauth.PageLoggedOut {
			p.Title = "Goodbye"
		}
		return wechatauth.DefaultPages(w, p)
	}
	var page strings.Builder
	if err := pages(&page, wechatauth.Page{Kind: wechatauth.PageLoggedOut, Lang: "en"}); err != nil {
		panic(err)
	}
	fmt.Println(strings.Contains(page.String(), "<h1>Goodbye</h1>"))
	// Output: true
}

// printer is an observer that prints the kinds of events and the names of
// calls.
type printer struct{}

func (printer) Observe(_ context.Context, e wechatauth.Event) { fmt.Println(e.Kind) }

func (printer) ObserveCall(_ context.Context, c wechatauth.Call) {
	if c.Service == "wechat" {
		fmt.Println(c.Name, c.Errcode)
	}
}

// An observer that also implements ObserveCall receives calls.
func ExampleWithObserver() {
	s := newSite()
	defer s.stop()
	requireLogin := wechatauth.RequireWeChat(s.options(
		wechatauth.WithObserver(printer{}), // and others, such as those of observe/wechatprom
	)...)
	s.serve(requireLogin(http.HandlerFunc(hello)))

	s.show(wechattest.Browser(wechattest.IPhone), "/")
	// Output:
	// login_started
	// sns/oauth2/access_token 0
	// login_finished
	// 200 / true
}
