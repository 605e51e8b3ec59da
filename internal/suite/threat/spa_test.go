package threat

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
)

func TestReturnURL_Fragment(t *testing.T) {
	// A single-page application routes by fragments, which no server sees: it
	// sends the user to the login endpoint with the whole URL. The fragment
	// reaches the last redirect unchanged.
	t.Run("T26 reaches the last redirect", func(t *testing.T) {
		for next, location := range map[string]string{
			"%2Fapp%2F%23%2Forders%2F1":                  "/app/#/orders/1",
			"%2Fapp%2F%3Fa%3Db%23%2Forders%3Fid%3D7%26x": "/app/?a=b#/orders?id=7&x",
			"%2Fapp%2F%23%21%2Forders":                   "/app/#!/orders",
			"%2Fapp%2F%23%2F%E8%AE%A2%E5%8D%95%2F1":      "/app/#/%E8%AE%A2%E5%8D%95/1",
			"%2Fapp%2F%23%2Forders%3Fcode%3DS80":         "/app/#/orders?code=S80",
		} {
			t.Run(location, func(t *testing.T) {
				s := authtest.NewSite(t)
				b := s.Browser()

				callback := b.Authorize("/wechat/login?next=" + next)
				assert.Equal(t, location, b.Step(callback).Header.Get("Location"))
				assert.Equal(t, location, b.Step(callback).Header.Get("Location"), "and again after a reload")

				got := b.Visit("/wechat/login?next=" + next)
				assert.Contains(t, got.Text, "logged-in=true")
				want, err := url.Parse(s.Base.String() + location)
				require.NoError(t, err)
				assert.Equal(t, want.String(), got.Request.URL.String(), "the final URL for a user who is logged in")
				assert.Equal(t, 1, s.Sim.Count(authtest.AuthorizeEndpoint))
			})
		}
	})
}

func TestCode_Application(t *testing.T) {
	// Coupons and other sites' logins use "code" as a parameter too.
	t.Run("T21 parameter named code is not touched", func(t *testing.T) {
		for _, page := range []string{
			"/?code=S80", "/buy?code=S80", "/buy?code=S808996686&state=x", "/buy?state=open&code=S80", "/buy?code=S80&code=S81", "/buy?code=",
			"/public?code=S80&state=NSW", "/public?state=x", "/login?code=S80", "/callback?code=S80&state=github-0123456789",
		} {
			t.Run(page, func(t *testing.T) {
				s := authtest.NewSite(t)
				b := s.Browser()
				for _, user := range []string{"anonymous", "logged in"} {
					got := b.Visit(page)
					assert.Equal(t, http.StatusOK, got.StatusCode, user)
					assert.Contains(t, got.Text, "url="+page+" ", user)
					b.Visit("/a")
				}
				assert.LessOrEqual(t, s.Sim.Count(authtest.AuthorizeEndpoint), 1)
				assert.Equal(t, 1, s.Exchanges(), "and is never sent to WeChat")
			})
		}
	})
}

func TestPreflight(t *testing.T) {
	// A browser sends a preflight, without cookies, before a cross-origin
	// request that is not simple. It passes to the application, which handles
	// CORS; nothing else does.
	t.Run("T10 passes and starts no login", func(t *testing.T) {
		s := authtest.NewSite(t)
		var asked []string
		cors := s.Auth.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, known := wechatauth.IdentityFromContext(r.Context())
			assert.False(t, known)
			asked = append(asked, r.Method)
			w.Header().Set("Access-Control-Allow-Origin", "https://spa.example.com")
			w.Header().Set("Access-Control-Allow-Credentials", "true")
			w.WriteHeader(http.StatusNoContent)
		}))
		s.Server.Config.Handler = cors
		preflight := []string{"Origin: https://spa.example.com", "Access-Control-Request-Method: PUT", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"}
		for name, more := range map[string][]string{"without a cookie": nil, "with a session that is none": {authtest.CookieHeader(&http.Cookie{Name: s.SessionCookie(), Value: "x"})}} {
			got := s.Wire(http.MethodOptions, "/api/orders", append(preflight, more...)...)
			assert.Equal(t, http.StatusNoContent, got.StatusCode, name)
			assert.Equal(t, "https://spa.example.com", got.Header.Get("Access-Control-Allow-Origin"), name)
			assert.Empty(t, got.Header["Set-Cookie"], name)
		}
		require.Len(t, asked, 2)

		for name, request := range map[string][]string{
			"the request itself":        append([]string{"PUT", "Content-Length: 0"}, preflight[:1]...),
			"no origin":                 {"OPTIONS", preflight[1]},
			"no requested method":       {"OPTIONS", preflight[0]},
			"GET in a preflight's coat": append([]string{"GET"}, preflight...),
		} {
			got := s.Wire(request[0], "/api/orders", request[1:]...)
			assert.Equal(t, http.StatusUnauthorized, got.StatusCode, name)
			assert.Empty(t, got.Header["Set-Cookie"], name)
		}
		assert.Len(t, asked, 2, "none of these reached the application")
	})
}
