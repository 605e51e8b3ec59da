package wechatauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/accounts"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// A site is a web server and a WeChat simulator, which replaces WeChat in these
// examples.
type site struct {
	*httptest.Server
	wechat *wechattest.Server
}

func newSite(opts ...wechattest.Option) *site {
	return &site{httptest.NewUnstartedServer(nil), wechattest.NewServer(opts...)}
}

// options returns the options that an application reads from its configuration.
func (s *site) options(more ...wechatauth.Option) []wechatauth.Option {
	return append([]wechatauth.Option{
		wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret),
		wechatauth.WithBaseURL("http://" + s.Listener.Addr().String()),
		wechatauth.WithEndpoints(s.wechat.Endpoints()),
	}, more...)
}

func (s *site) serve(h http.Handler) {
	s.Config.Handler = h
	s.Start()
}

func (s *site) stop() {
	s.Close()
	s.wechat.Close()
}

// show prints what a browser gets.
func (s *site) show(browser *http.Client, path string) {
	resp, err := browser.Get(s.URL + path)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.StatusCode, strings.ReplaceAll(strings.TrimSpace(string(body)), s.URL, "https://m.example.com"))
}

func hello(w http.ResponseWriter, r *http.Request) {
	id, ok := wechatauth.IdentityFromContext(r.Context())
	fmt.Fprintf(w, "%s %t %s", r.URL, ok, id.Nickname)
}

// A whole application behind the middleware, with one line around its handler.
// A user who visits a page returns to its URL, logged in.
func ExampleRequireWeChat() {
	s := newSite()
	defer s.stop()
	requireLogin := wechatauth.RequireWeChat(s.options()...)
	s.serve(requireLogin(http.HandlerFunc(hello)))

	s.show(wechattest.Browser(wechattest.IPhone), "/orders?id=7")
	// Output: 200 /orders?id=7 true
}

// A script cannot be redirected to WeChat. It gets a 401 response with the
// login URL; append "?next=" and the page to return to, and navigate the
// browser there.
func ExampleAuth_RequireWeChat() {
	s := newSite()
	defer s.stop()
	auth, err := wechatauth.New(s.options()...)
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/wechat/", auth)
	mux.Handle("GET /api/me", auth.RequireWeChat(http.HandlerFunc(hello)))
	s.serve(mux)

	s.show(http.DefaultClient, "/api/me")
	// Output: 401 {"error":"login_required","reason":"no_session","login_url":"https://m.example.com/wechat/login"}
}

// One page requires nickname and avatar; all others need the openid only. The
// user presses a button first, then WeChat asks for consent.
func ExampleAuth_RequireScope() {
	s := newSite()
	defer s.stop()
	auth, err := wechatauth.New(s.options()...)
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/wechat/", auth)
	mux.Handle("GET /profile", auth.RequireScope(client.ScopeUserInfo)(http.HandlerFunc(hello)))
	s.serve(mux)

	browser := wechattest.Browser(wechattest.IPhone)
	if _, err := browser.Get(s.URL + "/profile"); err != nil { // shows the button
		fmt.Println(err)
		return
	}
	consent, err := browser.PostForm(s.URL+"/wechat/upgrade", url.Values{"next": {"/profile"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	page, err := s.wechat.Allow(browser, consent)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer page.Body.Close()
	body, _ := io.ReadAll(page.Body)
	fmt.Println(string(body) == "/profile true "+wechattest.DefaultPeople()[0].Name)
	// Output: true
}

// A public page that shows whether a user is logged in.
func ExampleAuth_LoadWeChat() {
	s := newSite()
	defer s.stop()
	auth, err := wechatauth.New(s.options()...)
	if err != nil {
		fmt.Println(err)
		return
	}
	s.serve(auth.LoadWeChat(http.HandlerFunc(hello)))

	browser := wechattest.Browser(wechattest.IPhone)
	s.show(browser, "/news")
	s.show(browser, "/wechat/login?next=/news")
	// Output:
	// 200 /news false
	// 200 /news true
}

// The application's own values are kept in the same session and need no further
// setup: they are saved before the response begins.
func ExampleAuth_Sessions() {
	s := newSite()
	defer s.stop()
	auth, err := wechatauth.New(s.options()...)
	if err != nil {
		fmt.Println(err)
		return
	}
	count := func(w http.ResponseWriter, r *http.Request) {
		visits := auth.Sessions().GetInt(r.Context(), "visits") + 1
		auth.Sessions().Put(r.Context(), "visits", visits)
		fmt.Fprint(w, visits)
	}
	s.serve(auth.RequireWeChat(http.HandlerFunc(count)))

	browser := wechattest.Browser(wechattest.IPhone)
	s.show(browser, "/")
	s.show(browser, "/")
	// Output:
	// 200 1
	// 200 2
}

// RevokeUser ends all sessions of a user, in every browser.
func ExampleAuth_RevokeUser() {
	s := newSite()
	defer s.stop()
	auth, err := wechatauth.New(s.options()...)
	if err != nil {
		fmt.Println(err)
		return
	}
	s.serve(auth.RequireWeChat(http.HandlerFunc(hello)))
	s.show(wechattest.Browser(wechattest.IPhone), "/")
	s.show(wechattest.Browser(wechattest.Windows), "/")

	person := wechattest.OpenID(wechattest.DefaultAppID, wechattest.DefaultPeople()[0].Name)
	fmt.Println(auth.RevokeUser(context.Background(), wechattest.DefaultAppID, person))
	// Output:
	// 200 / true
	// 200 / true
	// 2 <nil>
}

// The error has a line for every wrong option, which says what to set.
func ExampleNew() {
	_, err := wechatauth.New(
		wechatauth.WithApp(wechattest.DefaultAppID, ""),
		wechatauth.WithBaseURL("https://m.example.com/shop"),
	)
	fmt.Println(err)
	// Output:
	// wechatauth: WithApp: set the AppID and the AppSecret of the official account; both are required
	// wechatauth: WithBaseURL: give scheme and host only, without user, path, query or fragment
}

// Check finds problems that need the network, at startup: it tests the session
// store, and whether WeChat knows the account.
func ExampleAuth_Check() {
	s := newSite()
	defer s.stop()
	auth, err := wechatauth.New(s.options()...)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(auth.Check(context.Background()))
	// Output: <nil>
}

// CheckSite finds what is changed between users and the middleware. Here, the
// program itself removes the path prefix of the endpoints.
func ExampleAuth_CheckSite() {
	s := newSite()
	defer s.stop()
	auth, err := wechatauth.New(s.options()...)
	if err != nil {
		fmt.Println(err)
		return
	}
	s.serve(http.StripPrefix("/wechat", auth.RequireWeChat(http.HandlerFunc(hello))))

	err = auth.CheckSite(context.Background())
	if found := new(wechatauth.CheckError); errors.As(err, &found) {
		for _, f := range found.Findings {
			problem, _, _ := strings.Cut(f.English, ";") // before what to change
			fmt.Println(strings.ReplaceAll(problem, s.URL, "https://m.example.com"))
		}
	}
	// Output: site https://m.example.com: path prefix is removed: requests to /wechat/ arrive without /wechat, so every login ends with bad_config
}

// Two official accounts on one site, each with its own part of it. A user who
// is logged in to one is anonymous to the other.
func ExampleWithAccounts() {
	north := wechatauth.Account{AppID: "wx00000000000000e1", Secret: "north-secret-for-tests"}
	south := wechatauth.Account{AppID: "wx00000000000000e2", Secret: "south-secret-for-tests"}
	s := newSite(wechattest.WithAccount(
		wechattest.Account{AppID: north.AppID, Secret: north.Secret},
		wechattest.Account{AppID: south.AppID, Secret: south.Secret},
	))
	defer s.stop()
	requireLogin := wechatauth.RequireWeChat(
		wechatauth.WithBaseURL("http://"+s.Listener.Addr().String()),
		wechatauth.WithEndpoints(s.wechat.Endpoints()),
		wechatauth.WithAccounts(accounts.ByPathPrefix(map[string]wechatauth.Account{"/north/": north, "/south/": south})),
	)
	s.serve(requireLogin(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := wechatauth.IdentityFromContext(r.Context())
		fmt.Fprint(w, r.URL, " ", id.AppID)
	})))

	browser := wechattest.Browser(wechattest.IPhone)
	s.show(browser, "/north/orders")
	s.show(browser, "/south/orders")
	// Output:
	// 200 /north/orders wx00000000000000e1
	// 200 /south/orders wx00000000000000e2
}

// WithOnLogin is used to find or create the application's own user, or to
// reject one.
func ExampleWithOnLogin() {
	s := newSite()
	defer s.stop()
	auth, err := wechatauth.New(s.options(
		wechatauth.WithOnLogin(func(_ context.Context, id wechatauth.Identity) error {
			if id.OpenID == wechattest.OpenID(wechattest.DefaultAppID, wechattest.DefaultPeople()[0].Name) {
				return fmt.Errorf("this user is banned: %w", wechatauth.ErrForbidden)
			}
			return nil
		}),
		wechatauth.WithErrorHandler(func(w http.ResponseWriter, _ *http.Request, f wechatauth.Failure) {
			http.Error(w, string(f.Reason), f.Status)
		}),
	)...)
	if err != nil {
		fmt.Println(err)
		return
	}
	s.serve(auth.RequireWeChat(http.HandlerFunc(hello)))

	s.show(wechattest.Browser(wechattest.IPhone), "/")
	// Output: 403 not_authorized
}

// An application that already uses scs passes its manager. The middleware loads
// and saves the sessions.
func ExampleWithSessionManager() {
	s := newSite()
	defer s.stop()
	sessions := scs.New()
	sessions.Store = store.NewMemory()
	sessions.Lifetime = 12 * time.Hour
	sessions.Cookie.Name = "shop"
	auth, err := wechatauth.New(s.options(wechatauth.WithSessionManager(sessions))...)
	if err != nil {
		fmt.Println(err)
		return
	}
	s.serve(auth.RequireWeChat(http.HandlerFunc(hello)))

	s.show(wechattest.Browser(wechattest.IPhone), "/cart")
	// Output: 200 /cart true
}
