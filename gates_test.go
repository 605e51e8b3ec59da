package wechatauth

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

	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/scan"
	"github.com/wechatauth/wechatauth/wechattest"
)

// Two gates of two accounts on one host, made without knowing of each other.
func TestTwoGatesOnOneHostKeepTheirSessionsApart(t *testing.T) {
	sim := wechattest.NewServer(wechattest.WithAccount(
		wechattest.Account{AppID: wechattest.DefaultAppID, Secret: wechattest.DefaultSecret, Kind: wechattest.OfficialAccount},
		wechattest.Account{AppID: shopB, Secret: "secret-of-b", Kind: wechattest.OfficialAccount}))
	defer sim.Close()
	s := newSite(t, WithEndpoints(sim.Endpoints()))
	other, err := New(WithApp(shopB, "secret-of-b"), WithBaseURL(s.auth.base.String()), WithEndpoints(sim.Endpoints()), WithPathPrefix("/other/"))
	require.NoError(t, err)
	mux := s.routes().(*http.ServeMux)
	mux.Handle("/other/", other)
	mux.Handle("/b", other.RequireWeChat(http.HandlerFunc(echo)))
	mux.Handle("/both", s.auth.RequireWeChat(other.RequireWeChat(http.HandlerFunc(echo))))
	s.server.Config.Handler = mux
	b := s.browser()

	for range 3 {
		assert.Contains(t, b.visit("/a").body, "logged-in=true")
		assert.Contains(t, b.visit("/b").body, "logged-in=true")
	}
	assert.Equal(t, 2, sim.Count("/sns/oauth2/access_token"), "one login each")
	assert.Equal(t, http.StatusOK, b.fetch(http.MethodGet, "/both").StatusCode)
	assert.Contains(t, s.browser().visit("/both").body, "logged-in=true", "one inside the other")
}

func TestNewTellsEveryWrongOptionAtOnceAndANilOne(t *testing.T) {
	_, err := New(WithApp("gh_0123456789ab", testSecret), WithBaseURL("m.example.com"), WithPathPrefix("wechat"),
		WithLifetime(time.Second), WithRedisURL("foo"), WithFlowKeys([]byte("short")), WithSessionEncryption([]byte("s")))
	require.Error(t, err)
	for _, option := range []string{"WithApp", "WithBaseURL", "WithPathPrefix", "WithLifetime", "WithRedisURL", "WithFlowKeys", "WithSessionEncryption"} {
		assert.Contains(t, err.Error(), option+":")
	}
	assert.Len(t, strings.Split(err.Error(), "\n"), 7)

	_, err = New(append(right(), nil)...)
	assert.ErrorContains(t, err, "option 3 is nil")
}

func TestQuotasAreGivenTheirTime(t *testing.T) {
	for name, tt := range map[string]struct {
		code int
		want string
	}{"a minute's": {45011, "60"}, "a day's": {45009, "3600"}} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.sim.Fail("/sns/oauth2/access_token", wechattest.Errcode(tt.code))
			got := s.browser().visit("/a")
			assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
			assert.Equal(t, tt.want, got.Header.Get("Retry-After"))
		})
	}
}

func TestEndpointsMountedBehindStripPrefixAreToldToTheOperator(t *testing.T) {
	s := newSite(t)
	s.server.Config.Handler = http.StripPrefix("/wechat", s.auth)
	got := s.browser().step("/wechat/login")
	assert.Equal(t, http.StatusNotFound, got.StatusCode)
	assert.Contains(t, s.logs.String(), "http.StripPrefix")
}

// A proxy that removes a prefix sends the callback to a path where there is no
// endpoint. A login that began there would come back to it for ever.
func TestStrayCallback(t *testing.T) {
	for name, mount := range map[string]func(s *site) http.Handler{
		"RequireWeChat": func(s *site) http.Handler { return s.auth.RequireWeChat(http.HandlerFunc(echo)) },
		"LoadWeChat": func(s *site) http.Handler {
			gate := s.auth.RequireWeChat(http.HandlerFunc(echo))
			open := s.auth.LoadWeChat(http.HandlerFunc(echo))
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/orders" {
					gate.ServeHTTP(w, r)
					return
				}
				open.ServeHTTP(w, r)
			})
		},
		"endpoints mounted elsewhere": func(s *site) http.Handler {
			mux := http.NewServeMux()
			mux.Handle("/wechat/", s.auth)
			mux.Handle("/", s.auth.RequireWeChat(http.HandlerFunc(echo)))
			return mux
		},
	} {
		t.Run(name, func(t *testing.T) {
			front := httptest.NewServer(nil)
			defer front.Close()
			s := newSite(t, WithBaseURL(front.URL), WithPathPrefix("/app/wechat/"))
			s.server.Config.Handler = mount(s)
			app, err := url.Parse(s.server.URL)
			require.NoError(t, err)
			front.Config.Handler = http.StripPrefix("/app", &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(app)
				r.Out.Host = r.In.Host
			}})
			b := s.browser()

			got := b.visit("/app/orders?id=7")

			assert.Equal(t, http.StatusInternalServerError, got.StatusCode)
			assert.Contains(t, got.body, string(ReasonBadConfig))
			assert.NotContains(t, got.body, "/app/wechat/callback")
			assert.Equal(t, 1, s.sim.Count(authorizeEndpoint))
			assert.Zero(t, s.exchanges(), "the code is not spent")
			record := s.logs.String()
			assert.Regexp(t, `level=ERROR .*reason=bad_config`, record)
			assert.Contains(t, record, "arrived at /wechat/callback instead of /app/wechat/callback")
			assert.NotContains(t, record, "code=")

			other := s.browser() // whose login it is not
			assert.NotEqual(t, http.StatusInternalServerError, other.step(got.Request.URL.String()).StatusCode)
		})
	}
	for name, spoil := range map[string]func(query, state string) string{
		"text behind the state": func(q, s string) string { return strings.Replace(q, s, s+"%23wechat_redirect", 1) },
		"a code that is none":   func(q, _ string) string { return strings.Replace(q, "code=", "code=%00", 1) },
		"another end of the state": func(q, s string) string {
			return strings.Replace(q, s, s[:flow.StateLength/2]+flow.NewState()[:flow.StateLength/2], 1)
		},
	} {
		t.Run("and "+name, func(t *testing.T) {
			s := newSite(t)
			b := s.browser()
			u := mustParse(t, b.authorize("/a"))
			got := b.step("/callback?" + spoil(u.RawQuery, u.Query().Get("state")))
			assert.Equal(t, http.StatusInternalServerError, got.StatusCode)
			assert.Contains(t, s.logs.String(), "arrived at /callback instead of /wechat/callback")
			assert.Contains(t, b.step("/callback?code=1&state="+flow.NewState()).Header.Get("Location"), authorizeEndpoint, "a page of the application's")
		})
	}
	t.Run("behind http.StripPrefix", func(t *testing.T) {
		s := newSite(t)
		mux := http.NewServeMux()
		mux.Handle("/wechat/", http.StripPrefix("/wechat", s.auth))
		mux.Handle("/", s.auth.RequireWeChat(http.HandlerFunc(echo)))
		s.server.Config.Handler = mux
		got := s.browser().visit("/a")
		assert.Equal(t, http.StatusInternalServerError, got.StatusCode)
		assert.Contains(t, s.logs.String(), "arrived at /callback instead of /wechat/callback")
	})
}

// The application's own handlers may stand below the path prefix: those of
// WeChat's servers often do.
func TestPathsBelowThePrefix(t *testing.T) {
	own := http.NewServeMux()
	own.HandleFunc("POST /wechat/message", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "success") })
	own.HandleFunc("/", echo)
	for name, c := range map[string]struct {
		opts  []Option
		owned []string
		app   []string
	}{
		"plain": {nil, []string{"login", "callback", "upgrade", "logout"},
			[]string{"", "message", "login/", "Login", "logins", "scan", "scan/status", "mini/login", "scan/" + strings.Repeat("a", 43)}},
		"mini program": {[]Option{WithMiniProgram(miniApp, wechattest.DefaultMiniProgramSecret)}, []string{"mini/login", "mini/ticket", "mini/enter"}, []string{"mini", "mini/", "mini/message"}},
		"scan":         {[]Option{WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginScan})}, []string{"scan", "scan/status", "scan/" + scan.TicketOf(flow.NewKey())}, []string{"scan/", "scan/message", "scanner"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, c.opts...)
			s.server.Config.Handler = s.auth.LoadWeChat(own)
			for _, path := range c.owned {
				assert.NotContains(t, s.wire(http.MethodDelete, "/wechat/"+path, pageHeader).body, "url=", path)
			}
			for _, path := range c.app {
				assert.Contains(t, s.wire(http.MethodDelete, "/wechat/"+path, pageHeader).body, "url=/wechat/"+path, path)
			}
			assert.Equal(t, "success", s.wire(http.MethodPost, "/wechat/message", "Content-Length: 0").body)
		})
	}

	s := newSite(t)
	s.server.Config.Handler = s.auth.RequireWeChat(own)
	assert.Equal(t, http.StatusUnauthorized, s.wire(http.MethodPost, "/pay/notify/secret", "Content-Length: 0").StatusCode)
	assert.Contains(t, s.logs.String(), "POST without a cookie to /pay;")
	assert.NotContains(t, s.logs.String(), "secret")
	assert.Equal(t, http.StatusUnauthorized, s.wire(http.MethodPost, "/wechat/message", "Content-Length: 0").StatusCode)
	assert.Contains(t, s.logs.String(), "POST without a cookie to /wechat;")
}
