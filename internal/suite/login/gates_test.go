package login

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/scan"
	"github.com/wechatauth/wechatauth/wechattest"
)

// Two gates of two accounts on one host, created independently.
func TestTwoGates(t *testing.T) {
	sim := wechattest.NewServer(wechattest.WithAccount(
		wechattest.Account{AppID: wechattest.DefaultAppID, Secret: wechattest.DefaultSecret, Kind: wechattest.OfficialAccount},
		wechattest.Account{AppID: authtest.ShopB, Secret: "secret-of-b", Kind: wechattest.OfficialAccount}))
	defer sim.Close()
	s := authtest.NewSite(t, wechatauth.WithEndpoints(sim.Endpoints()))
	other, err := wechatauth.New(wechatauth.WithApp(authtest.ShopB, "secret-of-b"), wechatauth.WithBaseURL(s.Base.String()), wechatauth.WithEndpoints(sim.Endpoints()), wechatauth.WithPathPrefix("/other/"))
	require.NoError(t, err)
	mux := s.Routes().(*http.ServeMux)
	mux.Handle("/other/", other)
	mux.Handle("/b", other.RequireWeChat(http.HandlerFunc(authtest.Echo)))
	mux.Handle("/both", s.Auth.RequireWeChat(other.RequireWeChat(http.HandlerFunc(authtest.Echo))))
	s.Server.Config.Handler = mux
	b := s.Browser()

	for range 3 {
		assert.Contains(t, b.Visit("/a").Text, "logged-in=true")
		assert.Contains(t, b.Visit("/b").Text, "logged-in=true")
	}
	assert.Equal(t, 2, sim.Count("/sns/oauth2/access_token"), "one login each")
	assert.Equal(t, http.StatusOK, b.Fetch(http.MethodGet, "/both").StatusCode)
	assert.Contains(t, s.Browser().Visit("/both").Text, "logged-in=true", "one inside the other")
}

func TestNew_Errors(t *testing.T) {
	_, err := wechatauth.New(wechatauth.WithApp("gh_0123456789ab", authtest.TestSecret), wechatauth.WithBaseURL("m.example.com"), wechatauth.WithPathPrefix("wechat"),
		wechatauth.WithLifetime(time.Second), wechatauth.WithRedisURL("foo"), wechatauth.WithFlowKeys([]byte("short")), wechatauth.WithSessionEncryption([]byte("s")))
	require.Error(t, err)
	for _, option := range []string{"WithApp", "WithBaseURL", "WithPathPrefix", "WithLifetime", "WithRedisURL", "WithFlowKeys", "WithSessionEncryption"} {
		assert.Contains(t, err.Error(), option+":")
	}
	assert.Len(t, strings.Split(err.Error(), "\n"), 7)

	_, err = wechatauth.New(append(authtest.RightOptions(), nil)...)
	assert.ErrorContains(t, err, "option 3 is nil")
}

func TestRetryAfter(t *testing.T) {
	for name, tt := range map[string]struct {
		code int
		want string
	}{"a minute's": {45011, "60"}, "a day's": {45009, "3600"}} {
		t.Run(name, func(t *testing.T) {
			s := authtest.NewSite(t)
			s.Sim.Fail("/sns/oauth2/access_token", wechattest.Errcode(tt.code))
			got := s.Browser().Visit("/a")
			assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
			assert.Equal(t, tt.want, got.Header.Get("Retry-After"))
		})
	}
}

func TestStripPrefix(t *testing.T) {
	s := authtest.NewSite(t)
	s.Server.Config.Handler = http.StripPrefix("/wechat", s.Auth)
	got := s.Browser().Step("/wechat/login")
	assert.Equal(t, http.StatusNotFound, got.StatusCode)
	assert.Contains(t, s.Logs.String(), "http.StripPrefix")
}

// A proxy that removes a prefix sends the callback to a path without an
// endpoint. A login started there would return to it forever.
func TestStrayCallback(t *testing.T) {
	for name, mount := range map[string]func(s *authtest.Site) http.Handler{
		"RequireWeChat": func(s *authtest.Site) http.Handler { return s.Auth.RequireWeChat(http.HandlerFunc(authtest.Echo)) },
		"LoadWeChat": func(s *authtest.Site) http.Handler {
			gate := s.Auth.RequireWeChat(http.HandlerFunc(authtest.Echo))
			open := s.Auth.LoadWeChat(http.HandlerFunc(authtest.Echo))
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/orders" {
					gate.ServeHTTP(w, r)
					return
				}
				open.ServeHTTP(w, r)
			})
		},
		"endpoints mounted elsewhere": func(s *authtest.Site) http.Handler {
			mux := http.NewServeMux()
			mux.Handle("/wechat/", s.Auth)
			mux.Handle("/", s.Auth.RequireWeChat(http.HandlerFunc(authtest.Echo)))
			return mux
		},
	} {
		t.Run(name, func(t *testing.T) {
			front := httptest.NewServer(nil)
			defer front.Close()
			s := authtest.NewSite(t, wechatauth.WithBaseURL(front.URL), wechatauth.WithPathPrefix("/app/wechat/"))
			s.Base = authtest.MustParse(t, front.URL)
			s.Server.Config.Handler = mount(s)
			app, err := url.Parse(s.Server.URL)
			require.NoError(t, err)
			front.Config.Handler = http.StripPrefix("/app", &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(app)
				r.Out.Host = r.In.Host
			}})
			b := s.Browser()

			got := b.Visit("/app/orders?id=7")

			assert.Equal(t, http.StatusInternalServerError, got.StatusCode)
			assert.Contains(t, got.Text, string(wechatauth.ReasonBadConfig))
			assert.NotContains(t, got.Text, "/app/wechat/callback")
			assert.Equal(t, 1, s.Sim.Count(authtest.AuthorizeEndpoint))
			assert.Zero(t, s.Exchanges(), "the code is not used")
			record := s.Logs.String()
			assert.Regexp(t, `level=ERROR .*reason=bad_config`, record)
			assert.Contains(t, record, "arrived at /wechat/callback instead of /app/wechat/callback")
			assert.NotContains(t, record, "code=")

			other := s.Browser() // of another login
			assert.NotEqual(t, http.StatusInternalServerError, other.Step(got.Request.URL.String()).StatusCode)
		})
	}
	for name, spoil := range map[string]func(query, state string) string{
		"text behind the state": func(q, s string) string { return strings.Replace(q, s, s+"%23wechat_redirect", 1) },
		"an invalid code":       func(q, _ string) string { return strings.Replace(q, "code=", "code=%00", 1) },
		"another end of the state": func(q, s string) string {
			return strings.Replace(q, s, s[:flow.StateLength/2]+flow.NewState()[:flow.StateLength/2], 1)
		},
	} {
		t.Run("and "+name, func(t *testing.T) {
			s := authtest.NewSite(t)
			b := s.Browser()
			u := authtest.MustParse(t, b.Authorize("/a"))
			got := b.Step("/callback?" + spoil(u.RawQuery, u.Query().Get("state")))
			assert.Equal(t, http.StatusInternalServerError, got.StatusCode)
			assert.Contains(t, s.Logs.String(), "arrived at /callback instead of /wechat/callback")
			assert.Contains(t, b.Step("/callback?code=1&state="+flow.NewState()).Header.Get("Location"), authtest.AuthorizeEndpoint, "a page of the application's")
		})
	}
	t.Run("behind http.StripPrefix", func(t *testing.T) {
		s := authtest.NewSite(t)
		mux := http.NewServeMux()
		mux.Handle("/wechat/", http.StripPrefix("/wechat", s.Auth))
		mux.Handle("/", s.Auth.RequireWeChat(http.HandlerFunc(authtest.Echo)))
		s.Server.Config.Handler = mux
		got := s.Browser().Visit("/a")
		assert.Equal(t, http.StatusInternalServerError, got.StatusCode)
		assert.Contains(t, s.Logs.String(), "arrived at /callback instead of /wechat/callback")
	})
}

// The application's own handlers may be below the path prefix, as handlers for
// WeChat's servers often are.
func TestPathsBelowThePrefix(t *testing.T) {
	own := http.NewServeMux()
	own.HandleFunc("POST /wechat/message", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "success") })
	own.HandleFunc("/", authtest.Echo)
	for name, c := range map[string]struct {
		opts  []wechatauth.Option
		owned []string
		app   []string
	}{
		"plain": {nil, []string{"login", "callback", "upgrade", "logout"},
			[]string{"", "message", "login/", "Login", "logins", "scan", "scan/status", "mini/login", "scan/" + strings.Repeat("a", 43)}},
		"mini program": {[]wechatauth.Option{wechatauth.WithMiniProgram(authtest.MiniApp, wechattest.DefaultMiniProgramSecret)}, []string{"mini/login", "mini/ticket", "mini/enter"}, []string{"mini", "mini/", "mini/message"}},
		"scan":         {[]wechatauth.Option{wechatauth.WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginScan})}, []string{"scan", "scan/status", "scan/" + scan.TicketOf(flow.NewKey())}, []string{"scan/", "scan/message", "scanner"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := authtest.NewSite(t, c.opts...)
			s.Server.Config.Handler = s.Auth.LoadWeChat(own)
			for _, path := range c.owned {
				assert.NotContains(t, s.Wire(http.MethodDelete, "/wechat/"+path, authtest.PageHeader).Text, "url=", path)
			}
			for _, path := range c.app {
				assert.Contains(t, s.Wire(http.MethodDelete, "/wechat/"+path, authtest.PageHeader).Text, "url=/wechat/"+path, path)
			}
			assert.Equal(t, "success", s.Wire(http.MethodPost, "/wechat/message", "Content-Length: 0").Text)
		})
	}

	s := authtest.NewSite(t)
	s.Server.Config.Handler = s.Auth.RequireWeChat(own)
	assert.Equal(t, http.StatusUnauthorized, s.Wire(http.MethodPost, "/pay/notify/secret", "Content-Length: 0").StatusCode)
	assert.Contains(t, s.Logs.String(), "POST without a cookie to /pay;")
	assert.NotContains(t, s.Logs.String(), "secret")
	assert.Equal(t, http.StatusUnauthorized, s.Wire(http.MethodPost, "/wechat/message", "Content-Length: 0").StatusCode)
	assert.Contains(t, s.Logs.String(), "POST without a cookie to /wechat;")
}
