package login

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/wechattest"
)

func TestAuthorizeURL(t *testing.T) {
	s := authtest.NewSite(t, authtest.WithWebsite(), wechatauth.WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginWebsite}))
	own, err := client.New(s.AppID, "any", client.WithEndpoints(s.Sim.Endpoints()))
	require.NoError(t, err)
	website, err := client.New(wechattest.DefaultWebsiteAppID, "any", client.WithEndpoints(s.Sim.Endpoints()))
	require.NoError(t, err)
	asks := func(scope client.Scope) func(state string) string {
		return func(state string) string { return own.AuthorizeURL(s.CallbackURL(), scope, state) }
	}
	for name, c := range map[string]struct {
		begun authtest.Response
		want  func(state string) string
	}{
		"a page":                   {s.Browser().Step("/a"), asks(client.ScopeBase)},
		"the profile":              {s.LoggedIn(authtest.AliceOpenID).StepPost("/wechat/upgrade", url.Values{"next": {"/profile"}}), asks(client.ScopeUserInfo)},
		"a website, on a computer": {s.Browser().As(authtest.ChromeWindows).Step("/a"), func(state string) string { return website.QRConnectURL(s.CallbackURL(), state) }},
	} {
		t.Run(name, func(t *testing.T) {
			location := c.begun.Header.Get("Location")
			assert.Equal(t, c.want(authtest.MustParse(t, location).Query().Get("state")), location)
		})
	}
}

// The header values of one response are not shared with any other.
func TestResponseHeader_NotShared(t *testing.T) {
	h, r := authtest.NewGate(t)
	spoil := func(w http.ResponseWriter) {
		for _, values := range w.Header() {
			for i := range values {
				values[i] = "spoilt"
			}
			_ = append(values, "spoilt")
		}
	}
	for name, r := range map[string]*http.Request{"page": authtest.PageRequest(), "script": authtest.ScriptRequest(), "logged in": r} {
		t.Run(name, func(t *testing.T) {
			first := httptest.NewRecorder()
			h.ServeHTTP(first, r)
			want := first.Header().Clone()
			spoil(first)
			second := httptest.NewRecorder()
			h.ServeHTTP(second, r)
			for _, header := range []string{"Vary", "Cache-Control", "Pragma", "Referrer-Policy", "Content-Type", "X-Content-Type-Options"} {
				assert.Equal(t, want[header], second.Header()[header], header)
			}
		})
	}
}

func TestAnonymousRequest_Allocs(t *testing.T) {
	h, _ := authtest.NewGate(t)
	w := authtest.NewBlank()
	for name, c := range map[string]struct {
		r    *http.Request
		most float64
	}{"a page": {authtest.PageRequest(), 22}, "a script": {authtest.ScriptRequest(), 10}} {
		got := testing.AllocsPerRun(200, func() { w.Ask(h, c.r) })
		t.Log(name, got)
		assert.LessOrEqual(t, got, c.most, name)
	}
}
