package channels

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/verifyfile"
)

// withFiles serves verification files around an application.
func withFiles(t *testing.T, app http.Handler, files map[string]string) http.Handler {
	t.Helper()
	all, err := verifyfile.Handler(app, files)
	require.NoError(t, err)
	return all
}

var oneFile = map[string]string{authtest.VerifyName: authtest.VerifyContent}

func TestVerifyFile(t *testing.T) {
	files := map[string]string{authtest.VerifyName: authtest.VerifyContent, "WW_verify_fedcba9876543210.txt": "second"}
	page := http.HandlerFunc(authtest.Echo)
	apps := map[string]func(*wechatauth.Auth) http.Handler{
		"around RequireWeChat":   func(a *wechatauth.Auth) http.Handler { return withFiles(t, a.RequireWeChat(page), files) },
		"around LoadWeChat":      func(a *wechatauth.Auth) http.Handler { return withFiles(t, a.LoadWeChat(page), files) },
		"next to a mounted Auth": func(a *wechatauth.Auth) http.Handler { return mounted(a, page, withFiles(t, nil, files)) },
		"around the Auth":        func(a *wechatauth.Auth) http.Handler { return withFiles(t, a, files) },
		"around a gate in a gate": func(a *wechatauth.Auth) http.Handler {
			return withFiles(t, a.RequireWeChat(a.RequireWeChat(page)), files)
		},
		"once in another": func(a *wechatauth.Auth) http.Handler {
			return withFiles(t, withFiles(t, a.RequireWeChat(page), files), nil)
		},
	}
	for name, app := range apps {
		t.Run(name, func(t *testing.T) {
			s := authtest.NewSiteServing(t, app)

			got := s.AsWeChat(t, http.MethodGet, "/"+authtest.VerifyName)
			assert.Equal(t, http.StatusOK, got.StatusCode)
			assert.Equal(t, authtest.VerifyContent, got.Text, "exactly the content from the console")
			assert.Equal(t, "text/plain; charset=utf-8", got.Header.Get("Content-Type"))
			assert.Equal(t, "nosniff", got.Header.Get("X-Content-Type-Options"))
			assert.EqualValues(t, len(authtest.VerifyContent), got.ContentLength)
			assert.Equal(t, "no-store", got.Header.Get("Cache-Control"))
			assert.Empty(t, got.Header["Set-Cookie"])

			head := s.AsWeChat(t, http.MethodHead, "/"+authtest.VerifyName)
			assert.Equal(t, http.StatusOK, head.StatusCode)
			assert.EqualValues(t, len(authtest.VerifyContent), head.ContentLength)
			assert.Empty(t, head.Text)

			for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
				refused := s.AsWeChat(t, method, "/"+authtest.VerifyName)
				assert.Equal(t, http.StatusMethodNotAllowed, refused.StatusCode, method)
				assert.Equal(t, "GET, HEAD", refused.Header.Get("Allow"))
				assert.NotContains(t, refused.Text, authtest.VerifyContent)
			}
			assert.Equal(t, authtest.VerifyContent, s.AsWeChat(t, http.MethodGet, "/"+authtest.VerifyName+"?a=b").Text)
			assert.Equal(t, "second", s.AsWeChat(t, http.MethodGet, "/WW_verify_fedcba9876543210.txt").Text)
			assert.Empty(t, s.Sim.Journal())
		})
	}
}

// mounted returns an application that mounts the paths of the Auth and of the
// files itself.
func mounted(a *wechatauth.Auth, page, files http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/wechat/", a)
	mux.Handle("/"+authtest.VerifyName, files)
	mux.Handle("/WW_verify_fedcba9876543210.txt", files)
	mux.Handle("/", a.RequireWeChat(page))
	return mux
}

func TestVerifyFile_OtherPaths(t *testing.T) {
	s := authtest.NewSiteServing(t, func(a *wechatauth.Auth) http.Handler {
		return withFiles(t, a.RequireWeChat(http.HandlerFunc(authtest.Echo)), oneFile)
	})
	for _, path := range []string{
		"/MP_verify_0123456789abcdee.txt", "/MP_verify_0123456789abcdef.txt/", "/MP_verify_0123456789abcdef", "/mp_verify_0123456789abcdef.txt",
		"/a/" + authtest.VerifyName, "//" + authtest.VerifyName, "/./" + authtest.VerifyName, "/" + authtest.VerifyName + "/../admin", "/" + authtest.VerifyName + "%00", "/" + authtest.VerifyName + "/admin",
		"/" + authtest.VerifyName + ";x", "/ " + authtest.VerifyName, "/%2e/" + authtest.VerifyName, "/admin?f=" + authtest.VerifyName, "/admin%23/" + authtest.VerifyName, "/",
	} {
		got := s.AsWeChat(t, http.MethodGet, strings.ReplaceAll(path, " ", "%20"))
		assert.Equal(t, http.StatusUnauthorized, got.StatusCode, path)
		assert.NotContains(t, got.Text, authtest.VerifyContent, path)
	}
}

func TestVerifyFile_StoreDown(t *testing.T) {
	redis := redistest.Start(t)
	s := authtest.NewSiteServing(t, func(a *wechatauth.Auth) http.Handler {
		return withFiles(t, a.RequireWeChat(http.HandlerFunc(authtest.Echo)), oneFile)
	}, wechatauth.WithRedis(redis.Pool()))
	require.Empty(t, redis.Commands(func() { s.AsWeChat(t, http.MethodGet, "/"+authtest.VerifyName) }))
	redis.Stop()
	b := s.Browser()
	b.SetCookie(s.SessionCookie(), strings.Repeat("a", session.TokenLength))
	assert.Equal(t, authtest.VerifyContent, b.Step("/"+authtest.VerifyName).Text)
}

func TestVerifyFile_InvalidName(t *testing.T) {
	long := strings.Repeat("a", 1024)
	tests := map[string]struct {
		name, content string
		ok            bool
	}{
		"as the console gives it":         {authtest.VerifyName, authtest.VerifyContent, true},
		"of WeCom":                        {"WW_verify_0123456789abcdef.txt", authtest.VerifyContent, true},
		"of a mini program's domain":      {"6ynZPDvfTF.txt", authtest.VerifyContent, true},
		"of a platform's domain":          {"8512046523.txt", authtest.VerifyContent, true},
		"robots.txt":                      {"robots.txt", authtest.VerifyContent, false},
		"a dot file":                      {".abcdefghij.txt", authtest.VerifyContent, false},
		"an encoded slash":                {"abcdefghij%2f.txt", authtest.VerifyContent, false},
		"of 1,024 bytes":                  {authtest.VerifyName, long, true},
		"of 1,025 bytes":                  {authtest.VerifyName, long + "a", false},
		"empty":                           {authtest.VerifyName, "", false},
		"a page":                          {"index.html", "a", false},
		"in a folder":                     {"a/" + authtest.VerifyName, "a", false},
		"with a slash in front":           {"/" + authtest.VerifyName, "a", false},
		"above the root":                  {"../" + authtest.VerifyName, "a", false},
		"with a line break":               {authtest.VerifyName + "\n", "a", false},
		"with a script":                   {"MP_verify_<script>.txt", "a", false},
		"with something after the ending": {authtest.VerifyName + ".html", "a", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := verifyfile.Handler(http.NotFoundHandler(), map[string]string{tt.name: tt.content})
			assert.Equal(t, tt.ok, err == nil, "%v", err)
			if err != nil {
				assert.True(t, strings.HasPrefix(err.Error(), "verifyfile: "), "%s", err)
			}
		})
	}
	_, err := verifyfile.Handler(nil, map[string]string{"verify.html": "", authtest.VerifyName: "", "8512046523.txt": "right"})
	assert.Len(t, strings.Split(err.Error(), "\n"), 3, "one line for each mistake: %s", err)
}

func TestVerifyFile_LaterChange(t *testing.T) {
	files := maps.Clone(oneFile)
	s := authtest.NewSiteServing(t, func(a *wechatauth.Auth) http.Handler {
		return withFiles(t, a.RequireWeChat(http.HandlerFunc(authtest.Echo)), files)
	})
	files["admin"] = "not checked"
	assert.Equal(t, http.StatusUnauthorized, s.AsWeChat(t, http.MethodGet, "/admin").StatusCode)
	assert.Equal(t, authtest.VerifyContent, s.AsWeChat(t, http.MethodGet, "/"+authtest.VerifyName).Text)
}
