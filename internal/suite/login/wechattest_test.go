package login

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/wechattest"
)

// fetched returns the response to a script, and its body.
func fetched(t *testing.T, browser *http.Client, method, target string, body io.Reader) (*http.Response, string) {
	t.Helper()
	resp, err := wechattest.Fetch(browser, method, target, body)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(text)
}

func TestWechattestLogin(t *testing.T) {
	for name, tt := range map[string]struct {
		page string
		opts []wechatauth.Option
		sim  []wechattest.Option
	}{
		"silently":                   {page: "/a"},
		"with the profile":           {page: "/profile"},
		"with the profile at once":   {page: "/a", opts: []wechatauth.Option{wechatauth.WithScope(client.ScopeUserInfo)}},
		"at the login endpoint":      {page: "/wechat/login?next=/public"},
		"a callback delivered twice": {page: "/a", sim: []wechattest.Option{wechattest.WithQuirks(wechattest.DuplicateCallbackAtOnce)}},
		"and later":                  {page: "/profile", sim: []wechattest.Option{wechattest.WithQuirks(wechattest.DuplicateCallbackLater)}},
		"one more redirect":          {page: "/a", sim: []wechattest.Option{wechattest.WithQuirks(wechattest.ConnectRedirect)}},
	} {
		t.Run(name, func(t *testing.T) {
			s := authtest.StartSite(t, wechattest.NewServer(tt.sim...), httptest.NewUnstartedServer(nil), tt.opts...)
			browsers := map[string]*http.Client{}
			for _, p := range wechattest.DefaultPeople() {
				browsers[p.Name] = wechattest.Login(t, s.Base.String()+tt.page, p.Name)
			}
			openID := func(person string) string { return "openid=" + wechattest.OpenID(s.AppID, person) }
			for person, browser := range browsers {
				_, got := fetched(t, browser, http.MethodGet, s.Base.String()+"/b", nil)
				assert.Contains(t, got, openID(person))
			}
			s.Clock.Advance(25 * time.Hour)
			for person, browser := range browsers {
				resp, _ := fetched(t, browser, http.MethodGet, s.Base.String()+"/b", nil)
				assert.Equal(t, http.StatusUnauthorized, resp.StatusCode, "expired")
				if name == "silently" {
					again, err := browser.Get(s.Base.String() + "/b")
					require.NoError(t, err)
					text, err := io.ReadAll(again.Body)
					require.NoError(t, err)
					again.Body.Close()
					assert.Contains(t, string(text), openID(person), "the browser stays the person's")
				}
			}
			s.Sim.AssertNoLeaks(t)
		})
	}

	t.Run("the current person", func(t *testing.T) {
		s := authtest.NewSite(t)
		s.Sim.SetPerson(authtest.Person(1))
		_, got := fetched(t, wechattest.Login(t, s.Base.String()+"/a", ""), http.MethodGet, s.Base.String()+"/profile", nil)
		assert.Contains(t, got, "scope_required", "it did not consent")
		_, got = fetched(t, wechattest.Login(t, s.Base.String()+"/a", ""), http.MethodGet, s.Base.String()+"/a", nil)
		assert.Contains(t, got, wechattest.OpenID(s.AppID, authtest.Person(1)))
	})

	t.Run("on https", func(t *testing.T) {
		s := authtest.NewTLSSite(t)
		before := http.DefaultTransport
		t.Cleanup(func() { http.DefaultTransport = before })
		http.DefaultTransport = s.Server.Client().Transport // which trusts the site's certificate
		_, got := fetched(t, wechattest.Login(t, s.Base.String()+"/profile", "Lin"), http.MethodGet, s.Base.String()+"/profile", nil)
		assert.Contains(t, got, "nickname=Lin")
	})

	t.Run("a simulator below a prefix", func(t *testing.T) {
		sim := httptest.NewServer(http.StripPrefix("/below", wechattest.NewHandler()))
		defer sim.Close()
		at := client.Endpoints{Open: sim.URL + "/below", API: sim.URL + "/below"}
		s := authtest.NewSite(t, wechatauth.WithEndpoints(at))
		_, got := fetched(t, wechattest.Login(t, s.Base.String()+"/profile", "Lin"), http.MethodGet, s.Base.String()+"/profile", nil)
		assert.Contains(t, got, "nickname=Lin")
	})
}

// ended is a test that Login ends.
type ended struct{ strings.Builder }

func (e *ended) Helper()                           {}
func (e *ended) Errorf(format string, args ...any) { fmt.Fprintf(e, format, args...) }
func (e *ended) Fatalf(format string, args ...any) {
	fmt.Fprintf(e, format, args...)
	panic(e)
}

func TestWechattestLogin_Failure(t *testing.T) {
	rejecting := wechatauth.WithAccessCheck(func(_ context.Context, _ wechatauth.Identity) error { return wechatauth.ErrForbidden }, 0)
	for name, tt := range map[string]struct {
		page, person string
		opts         []wechatauth.Option
		change       func(*authtest.Site)
		want         string
	}{
		"an unknown person":      {"/a", "Zoe", nil, nil, `unknown person "Zoe"; there are `},
		"a page without a login": {"/public", "Lin", nil, nil, "/public responded with 200 OK without a login; open a page that requires one"},
		"a user who is rejected": {"/a", "Lin", []wechatauth.Option{rejecting}, nil, "/a responded with 403 Forbidden"},
		"with its reason":        {"/a", "Lin", []wechatauth.Option{rejecting}, nil, "reason not_authorized"},
		"a wrong AppSecret": {"/a", "Lin", nil, func(s *authtest.Site) {
			s.Sim.Fail("sns/oauth2/access_token", wechattest.Errcode(40125))
		}, "/wechat/callback responded with "},
		"WeChat's error page": {"/a", "Lin", []wechatauth.Option{wechatauth.WithApp("wx0000000000000999", "another-secret-for-tests")}, nil,
			"WeChat's page /connect/oauth2/authorize responded with "},
		"WeChat itself": {"/a", "Lin", []wechatauth.Option{wechatauth.WithEndpoints(client.Endpoints{})}, nil,
			"the site redirects to WeChat itself; configure it with the Endpoints of a simulator"},
		"no simulator": {"/a", "Lin", nil, func(s *authtest.Site) { s.Sim.Close() }, "connection refused"},
		"no site":      {"/a", "Lin", nil, func(s *authtest.Site) { s.Server.Close() }, "connection refused"},
		"something else at its address": {"/a", "Lin", []wechatauth.Option{wechatauth.WithEndpoints(client.Endpoints{Open: notASimulator(t), API: notASimulator(t)})}, nil,
			"is not a simulator: its control page responded with 404 Not Found"},
	} {
		t.Run(name, func(t *testing.T) {
			s := authtest.NewSite(t, tt.opts...)
			if tt.change != nil {
				tt.change(s)
			}
			e := &ended{}
			assert.Panics(t, func() { wechattest.Login(e, s.Base.String()+tt.page+"?ticket=hidden", tt.person) })
			assert.True(t, strings.HasPrefix(e.String(), "wechattest: log in at "+s.Base.String()+tt.page+": "), "%s", e)
			assert.Contains(t, e.String(), tt.want)
			for _, secret := range []string{"hidden", "code=", "state=", wechattest.DefaultSecret, wechattest.OpenID(s.AppID, "Lin"), "?"} {
				assert.NotContains(t, e.String(), secret)
			}
		})
	}
}

func notASimulator(t *testing.T) string {
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	return server.URL
}

func TestWechattestFetch(t *testing.T) {
	s := authtest.NewSite(t)
	resp, text := fetched(t, wechattest.Browser(wechattest.IPhone), http.MethodGet, s.Base.String()+"/a", nil)
	assert.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	assert.Contains(t, text, `"error":"login_required"`)
	assert.Empty(t, s.Sim.Journal(), "a script is not redirected")

	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprint(w, r.Method, " ", string(body))
		for _, name := range []string{"Accept", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Fetch-Site", "Content-Type", "Origin"} {
			fmt.Fprintf(w, " %s=%s", name, r.Header.Get(name))
		}
		if r.UserAgent() != wechattest.Android {
			fmt.Fprint(w, r.UserAgent())
		}
	}))
	defer echo.Close()
	browser := wechattest.Browser(wechattest.Android)
	const script = " Accept=*/* Sec-Fetch-Mode=cors Sec-Fetch-Dest=empty Sec-Fetch-Site=same-origin "
	_, text = fetched(t, browser, http.MethodGet, echo.URL, nil)
	assert.Equal(t, "GET "+script+"Content-Type= Origin=", text)
	_, text = fetched(t, browser, http.MethodPost, echo.URL, strings.NewReader(`{"id":7}`))
	assert.Equal(t, `POST {"id":7}`+script+"Content-Type=application/json Origin="+echo.URL, text)
	_, err := wechattest.Fetch(browser, http.MethodGet, ":", nil)
	assert.Error(t, err)
}
