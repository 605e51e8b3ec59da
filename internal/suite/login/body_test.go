package login

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/wechattest"
)

// An application may limit bodies to less than the endpoints read. The request
// then fails with an error that names the limit, and can be repeated: no session
// ends, and no code, number or ticket is spent.
func TestMaxBytesReader(t *testing.T) {
	s := authtest.NewScanSite(t, wechatauth.WithMiniProgram(authtest.MiniApp, wechattest.DefaultMiniProgramSecret))
	inner, limit := s.Server.Config.Handler, int64(4)
	s.Server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && limit > 0 {
			r.Body = http.MaxBytesReader(w, r.Body, limit)
		}
		inner.ServeHTTP(w, r)
	})
	unlimited := func(f func()) { limit = 0; f(); limit = 4 }
	failed := func(t *testing.T, got authtest.Response, contentType string) {
		t.Helper()
		assert.Equal(t, http.StatusBadRequest, got.StatusCode)
		assert.Equal(t, contentType, got.Header.Get("Content-Type"))
		assert.Contains(t, got.Text, string(wechatauth.ReasonCallbackMalformed))
		assert.Empty(t, got.Header["Set-Cookie"])
		record := s.Logs.String()
		record = record[strings.LastIndex(strings.TrimSpace(record), "\n")+1:]
		assert.Contains(t, record, "reason="+string(wechatauth.ReasonCallbackMalformed))
		assert.Contains(t, record, "http: request body too large")
	}
	const page, json = "text/html; charset=utf-8", "application/json; charset=utf-8"
	next := url.Values{"next": {"/a"}}

	t.Run("logout", func(t *testing.T) {
		b := s.LoggedIn(authtest.AliceOpenID)
		failed(t, b.StepPost("/wechat/logout", next), page)
		assert.Contains(t, b.Visit("/a").Text, "logged-in=true")
	})
	t.Run("consent", func(t *testing.T) {
		b := s.LoggedIn(authtest.AliceOpenID)
		failed(t, b.StepPost("/wechat/upgrade", next), page)
		unlimited(func() {
			assert.Contains(t, b.StepPost("/wechat/upgrade", next).Header.Get("Location"), authtest.AuthorizeEndpoint)
		})
	})
	t.Run("scan", func(t *testing.T) {
		computer, phone := s.Computer(), s.PhoneOf(authtest.Person(0))
		path, _ := s.Show(computer, "/a")
		s.Scan(phone, path)
		failed(t, phone.StepPost(path, authtest.Confirmed), page)
		number := ""
		unlimited(func() { number = s.Confirm(phone, path) })
		failed(t, computer.StepPost("/wechat/scan", url.Values{"next": {"/a"}, "number": {number}}), page)
		unlimited(func() { assert.Contains(t, computer.Enter("/a", number).Text, "logged-in=true") })
	})
	t.Run("mini program", func(t *testing.T) {
		body := `{"code":"` + s.Sim.WXLogin(authtest.MiniApp, authtest.Person(0)) + `"}`
		failed(t, s.Request(http.MethodPost, "/wechat/mini/login", "", body), json)
		assert.Zero(t, s.Sim.Count("/sns/jscode2session"))
		token := ""
		unlimited(func() {
			require.Equal(t, http.StatusOK, s.Request(http.MethodPost, "/wechat/mini/login", "", body).StatusCode)
			token = s.MiniLogin(authtest.Person(0))
		})
		failed(t, s.Request(http.MethodPost, "/wechat/mini/ticket", token, `{"target":"/a"}`), json)
		unlimited(func() { assert.Contains(t, s.WebView().Visit(s.Ticket(token, "/a")).Text, "logged-in=true") })
	})
}
