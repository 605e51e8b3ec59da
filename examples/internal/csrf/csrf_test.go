// Package csrf submits the forms of the library's pages through CSRF middleware,
// which protects the application's own forms.
package csrf

import (
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/gorilla/csrf"
	"github.com/justinas/nosurf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/wechattest"
)

var key = []byte("32-bytes-long-csrf-key-for-tests")

func gorilla(h http.Handler) http.Handler { return csrf.Protect(key)(h) }

func gorillaExempt(h http.Handler) http.Handler {
	protected := gorilla(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/wechat/") {
			r = csrf.UnsafeSkipCheck(r)
		}
		protected.ServeHTTP(w, r)
	})
}

func noSurf(h http.Handler) http.Handler { return nosurf.New(h) }

func noSurfExempt(h http.Handler) http.Handler {
	protected := nosurf.New(h)
	protected.ExemptRegexp("^/wechat/")
	return protected
}

func crossOrigin(h http.Handler) http.Handler { return http.NewCrossOriginProtection().Handler(h) }

type middleware = func(http.Handler) http.Handler

// serve starts a site that logs users in in all ways whose pages have a form. It
// is behind one middleware, and its own handlers are behind another.
func serve(t *testing.T, around, inside middleware) *authtest.ScanSite {
	t.Helper()
	s := authtest.NewTLSSite(t,
		wechatauth.WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginScan}),
		wechatauth.WithMiniProgram(authtest.MiniApp, wechattest.DefaultMiniProgramSecret))
	app := inside(http.HandlerFunc(authtest.Echo))
	mux := http.NewServeMux()
	mux.Handle("/wechat/", s.Auth)
	mux.Handle("/", s.Auth.RequireWeChat(app))
	mux.Handle("/profile", s.Auth.RequireScope(client.ScopeUserInfo)(app))
	s.Server.Config.Handler = around(mux)
	return &authtest.ScanSite{Site: s}
}

func none(h http.Handler) http.Handler { return h }

// An engine is how a browser describes a form's request.
type engine struct{ secFetch bool }

var engines = map[string]engine{
	"with Sec-Fetch headers":    {true},
	"without Sec-Fetch headers": {false}, // Chromium before 76, Safari before 16.4
}

var (
	form   = regexp.MustCompile(`(?s)<form method="post" action="([^"]+)".*?</form>`)
	hidden = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)
)

// submit submits the form of a page, with a field that the user has filled in.
func (e engine) submit(b *authtest.Browser, page authtest.Response, name, value string) authtest.Response {
	b.T.Helper()
	found := form.FindStringSubmatch(page.Text)
	require.NotNil(b.T, found, page.Text)
	fields := url.Values{}
	for _, f := range hidden.FindAllStringSubmatch(found[0], -1) {
		fields.Set(f[1], html.UnescapeString(f[2]))
	}
	if name != "" {
		fields.Set(name, value)
	}
	return e.post(b, page, html.UnescapeString(found[1]), fields)
}

// post sends a form with the headers that a browser sends from this page.
func (e engine) post(b *authtest.Browser, page authtest.Response, action string, fields url.Values) authtest.Response {
	b.T.Helper()
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	if page.Header.Get("Referrer-Policy") == "no-referrer" {
		header.Set("Origin", "null")
	} else {
		header.Set("Origin", b.Site.Base.String())
		header.Set("Referer", page.Request.URL.String())
	}
	if e.secFetch {
		header.Set("Sec-Fetch-Site", "same-origin")
		header.Set("Sec-Fetch-Mode", "navigate")
		header.Set("Sec-Fetch-Dest", "document")
	}
	return b.Do(b.Client, http.MethodPost, action, strings.NewReader(fields.Encode()), header)
}

func TestForms(t *testing.T) {
	for name, tt := range map[string]struct{ around, inside middleware }{
		"gorilla/csrf inside":          {none, gorilla},
		"gorilla/csrf around":          {gorillaExempt, none},
		"nosurf inside":                {none, noSurf},
		"nosurf around":                {noSurfExempt, none},
		"CrossOriginProtection inside": {none, crossOrigin},
		"CrossOriginProtection around": {crossOrigin, none},
	} {
		for which, e := range engines {
			t.Run(name+", "+which, func(t *testing.T) {
				s := serve(t, tt.around, tt.inside)
				formsPass(t, s, e)
			})
		}
	}
}

// formsPass submits every form of the library's pages.
func formsPass(t *testing.T, s *authtest.ScanSite, e engine) {
	phone := s.Browser()
	require.Contains(t, phone.Visit("/").Text, "logged-in=true")

	// POST upgrade
	consent := e.submit(phone, phone.Visit("/profile"), "", "")
	require.Contains(t, phone.Allow(consent).Text, "url=/profile logged-in=true")

	// POST scan/TICKET and POST scan
	computer := s.Computer()
	path, _ := s.Show(computer, "/orders")
	confirmed := e.submit(phone, phone.Visit(path), "confirm", "1")
	number := authtest.ShownNumber.FindStringSubmatch(confirmed.Text)
	require.NotNil(t, number, confirmed.Text)
	require.Contains(t, e.submit(computer, computer.Collect("/orders"), "number", number[1]).Text, "url=/orders logged-in=true")

	// POST mini/login, POST mini/ticket and POST mini/enter
	view := s.WebView()
	require.Contains(t, view.Visit(s.Ticket(miniLogin(t, s, 0), "/a")).Text, "logged-in=true")
	other := view.Visit(s.Ticket(miniLogin(t, s, 1), "/b"))
	require.Contains(t, e.submit(view, other, "", "").Text,
		"url=/b logged-in=true openid="+wechattest.OpenID(authtest.MiniApp, authtest.Person(1)))

	// POST logout, from a page of the application
	require.Contains(t, e.post(phone, phone.Visit("/"), "/wechat/logout", nil).Text, "您已退出登录")
	assert.Equal(t, http.StatusUnauthorized, phone.Fetch(http.MethodGet, "/").StatusCode)

	// The application's own forms are protected as before.
	cross := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Origin": {"https://evil.example"}, "Sec-Fetch-Site": {"cross-site"}}
	bought := computer.Do(computer.Client, http.MethodPost, "/buy", strings.NewReader("n=1"), cross)
	assert.Contains(t, []int{http.StatusForbidden, nosurf.FailureCode}, bought.StatusCode)
	assert.NotContains(t, bought.Text, "url=/buy")
}

// miniLogin logs a person in as a mini program does, and returns the token. Unlike
// [authtest.Site.MiniLogin], it permits the cookie that nosurf sends with every
// response.
func miniLogin(t *testing.T, s *authtest.ScanSite, person int) string {
	t.Helper()
	got := s.Request(http.MethodPost, "/wechat/mini/login", "", `{"code":"`+s.Sim.WXLogin(authtest.MiniApp, authtest.Person(person))+`"}`)
	require.Equal(t, http.StatusOK, got.StatusCode, got.Text)
	var body struct{ Token string }
	require.NoError(t, json.Unmarshal([]byte(got.Text), &body))
	return body.Token
}

// Without an exemption, a middleware that requires a token rejects the forms.
func TestForms_NotExempt(t *testing.T) {
	for name, tt := range map[string]struct {
		around middleware
		status int
	}{
		"gorilla/csrf": {gorilla, http.StatusForbidden},
		"nosurf":       {noSurf, nosurf.FailureCode},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, tt.around, none)
			phone := s.Browser()
			require.Contains(t, phone.Visit("/").Text, "logged-in=true")
			got := engines["with Sec-Fetch headers"].submit(phone, phone.Visit("/profile"), "", "")
			assert.Equal(t, tt.status, got.StatusCode)
		})
	}
}
