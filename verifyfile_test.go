package wechatauth

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/session"
)

const (
	verifyName    = "MP_verify_0123456789abcdef.txt"
	verifyContent = "0123456789abcdef"
)

// asWeChat is WeChat's check of a domain: no cookies, no Accept, no browser.
func (s *site) asWeChat(t *testing.T, method, target string) answer {
	t.Helper()
	b := s.browser()
	b.client.Jar = nil
	b.header = http.Header{"User-Agent": {"Mozilla/4.0"}}
	return b.do(b.client, method, target, nil, nil)
}

func TestWeChatFindsItsVerifyFileAtTheRootWithoutALogin(t *testing.T) {
	file := WithVerifyFile(verifyName, verifyContent)
	page := http.HandlerFunc(echo)
	apps := map[string]func(*Auth) http.Handler{
		"through the gate":        func(a *Auth) http.Handler { return a.RequireWeChat(page) },
		"through LoadWeChat":      func(a *Auth) http.Handler { return a.LoadWeChat(page) },
		"from a mounted Auth":     func(a *Auth) http.Handler { return mounted(a, page) },
		"from the Auth alone":     func(a *Auth) http.Handler { return a },
		"behind a gate in a gate": func(a *Auth) http.Handler { return a.RequireWeChat(a.RequireWeChat(page)) },
	}
	for name, app := range apps {
		t.Run(name, func(t *testing.T) {
			s := siteServing(t, app, file, WithVerifyFile("WW_verify_fedcba9876543210.txt", "second"))

			got := s.asWeChat(t, http.MethodGet, "/"+verifyName)
			assert.Equal(t, http.StatusOK, got.StatusCode)
			assert.Equal(t, verifyContent, got.body, "exactly what the console gave, and no byte more")
			assert.Equal(t, "text/plain; charset=utf-8", got.Header.Get("Content-Type"))
			assert.Equal(t, "nosniff", got.Header.Get("X-Content-Type-Options"))
			assert.EqualValues(t, len(verifyContent), got.ContentLength)
			assert.Equal(t, "no-store", got.Header.Get("Cache-Control"))
			assert.Empty(t, got.Header["Set-Cookie"])

			head := s.asWeChat(t, http.MethodHead, "/"+verifyName)
			assert.Equal(t, http.StatusOK, head.StatusCode)
			assert.EqualValues(t, len(verifyContent), head.ContentLength)
			assert.Empty(t, head.body)

			for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
				refused := s.asWeChat(t, method, "/"+verifyName)
				assert.Equal(t, http.StatusMethodNotAllowed, refused.StatusCode, method)
				assert.Equal(t, "GET, HEAD", refused.Header.Get("Allow"))
				assert.NotContains(t, refused.body, verifyContent)
			}
			assert.Equal(t, verifyContent, s.asWeChat(t, http.MethodGet, "/"+verifyName+"?a=b").body)
			assert.Equal(t, "second", s.asWeChat(t, http.MethodGet, "/WW_verify_fedcba9876543210.txt").body)
			assert.Empty(t, s.sim.Journal())
		})
	}
}

// mounted is an application that gives the Auth its paths itself.
func mounted(a *Auth, page http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/wechat/", a)
	mux.Handle("/"+verifyName, a)
	mux.Handle("/WW_verify_fedcba9876543210.txt", a)
	mux.Handle("/", a.RequireWeChat(page))
	return mux
}

func TestTheVerifyFileOpensNoOtherPath(t *testing.T) {
	s := siteServing(t, func(a *Auth) http.Handler { return a.RequireWeChat(http.HandlerFunc(echo)) }, WithVerifyFile(verifyName, verifyContent))
	for _, path := range []string{
		"/MP_verify_0123456789abcdee.txt", "/MP_verify_0123456789abcdef.txt/", "/MP_verify_0123456789abcdef", "/mp_verify_0123456789abcdef.txt",
		"/a/" + verifyName, "//" + verifyName, "/./" + verifyName, "/" + verifyName + "/../admin", "/" + verifyName + "%00", "/" + verifyName + "/admin",
		"/" + verifyName + ";x", "/ " + verifyName, "/%2e/" + verifyName, "/admin?f=" + verifyName, "/admin%23/" + verifyName, "/",
	} {
		got := s.asWeChat(t, http.MethodGet, strings.ReplaceAll(path, " ", "%20"))
		assert.Equal(t, http.StatusUnauthorized, got.StatusCode, path)
		assert.NotContains(t, got.body, verifyContent, path)
	}
}

func TestTheVerifyFileIsThereWhileRedisIsDown(t *testing.T) {
	redis := redistest.Start(t)
	s := siteServing(t, func(a *Auth) http.Handler { return a.RequireWeChat(http.HandlerFunc(echo)) },
		WithVerifyFile(verifyName, verifyContent), WithRedis(redis.Pool()))
	require.Empty(t, redis.Commands(func() { s.asWeChat(t, http.MethodGet, "/"+verifyName) }))
	redis.Stop()
	b := s.browser()
	b.setCookie(s.sessionCookie(), strings.Repeat("a", session.TokenLength))
	assert.Equal(t, verifyContent, b.step("/"+verifyName).body)
}

func TestOnlyWhatWeChatsConsoleGivesIsAVerifyFile(t *testing.T) {
	long := strings.Repeat("a", maxVerifyFile)
	tests := map[string]struct {
		name, content string
		ok            bool
	}{
		"as the console gives it":         {verifyName, verifyContent, true},
		"of WeCom":                        {"WW_verify_0123456789abcdef.txt", verifyContent, true},
		"of a mini program's domain":      {"6ynZPDvfTF.txt", verifyContent, true},
		"of a platform's domain":          {"8512046523.txt", verifyContent, true},
		"robots.txt":                      {"robots.txt", verifyContent, false},
		"a dot file":                      {".abcdefghij.txt", verifyContent, false},
		"an encoded slash":                {"abcdefghij%2f.txt", verifyContent, false},
		"of 1,024 bytes":                  {verifyName, long, true},
		"of 1,025 bytes":                  {verifyName, long + "a", false},
		"empty":                           {verifyName, "", false},
		"a page":                          {"index.html", "a", false},
		"in a folder":                     {"a/" + verifyName, "a", false},
		"with a slash in front":           {"/" + verifyName, "a", false},
		"above the root":                  {"../" + verifyName, "a", false},
		"with a line break":               {verifyName + "\n", "a", false},
		"with a script":                   {"MP_verify_<script>.txt", "a", false},
		"with something after the ending": {verifyName + ".html", "a", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := New(right(WithVerifyFile(tt.name, tt.content))...)
			assert.Equal(t, tt.ok, err == nil, "%v", err)
		})
	}
}
