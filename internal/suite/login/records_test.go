package login

import (
	"encoding/json"
	"fmt"
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

// A 5xx response leaves one ERROR record with its reason, on every path and for
// every kind of request. So does a form, a ticket or a body that is malformed,
// at a lower level: otherwise an operator sees only a status.
func TestRejected_Records(t *testing.T) {
	s := authtest.NewScanSite(t, wechatauth.WithMiniProgram(authtest.MiniApp, wechattest.DefaultMiniProgramSecret))
	token := s.MiniLogin(authtest.Person(0))
	ticket := strings.TrimPrefix(s.Ticket(token, "/a"), s.Base.String())
	computer, phone := s.Computer(), s.PhoneOf(authtest.Person(0))
	path, _ := s.Show(computer, "/a")
	s.Scan(phone, path)
	desktop := s.Computer()
	s.Show(desktop, "/a")
	loggedIn := s.LoggedIn(authtest.AliceOpenID)
	pending := s.Browser()
	callback := pending.Authorize("/a")
	code := s.Sim.WXLogin(authtest.MiniApp, authtest.Person(0))

	// recordsOf returns what a request has logged, and its response.
	recordsOf := func(send func() authtest.Response) (string, authtest.Response) {
		before := len(s.Logs.String())
		got := send()
		return s.Logs.String()[before:], got
	}
	malformed := map[string]func() authtest.Response{
		"form": func() authtest.Response {
			return loggedIn.Do(loggedIn.Client, http.MethodPost, "/wechat/logout", strings.NewReader("%zz"), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
		},
		"ticket":   func() authtest.Response { return s.WebView().Step("/wechat/mini/enter?ticket=x") },
		"login":    func() authtest.Response { return s.Request(http.MethodPost, "/wechat/mini/login", "", "{") },
		"request":  func() authtest.Response { return s.Request(http.MethodPost, "/wechat/mini/ticket", token, "{") },
		"callback": func() authtest.Response { return s.Browser().Step("/wechat/callback?code=x") },
	}
	for name, send := range malformed {
		records, got := recordsOf(send)
		assert.Equal(t, http.StatusBadRequest, got.StatusCode, name)
		assert.Contains(t, records, "reason="+string(wechatauth.ReasonCallbackMalformed), name)
	}

	s.Redis.Stop()
	form := url.Values{"next": {"/a"}, "number": {"0000"}, "confirm": {"1"}}
	failing := map[string]func() authtest.Response{
		"page":               func() authtest.Response { return loggedIn.Step("/a") },
		"script":             func() authtest.Response { return loggedIn.Fetch(http.MethodGet, "/a") },
		"late form":          func() authtest.Response { return loggedIn.StepPost("/a", form) },
		"profile":            func() authtest.Response { return loggedIn.Step("/profile") },
		"bearer":             func() authtest.Response { return s.Request(http.MethodGet, "/a", token, "") },
		"login":              func() authtest.Response { return loggedIn.Step("/wechat/login?next=/a") },
		"callback":           func() authtest.Response { return pending.Step(callback) },
		"consent page":       func() authtest.Response { return loggedIn.Step("/wechat/upgrade?next=/profile") },
		"consent":            func() authtest.Response { return loggedIn.StepPost("/wechat/upgrade", form) },
		"logout":             func() authtest.Response { return loggedIn.StepPost("/wechat/logout", form) },
		"logout of a script": func() authtest.Response { return loggedIn.Fetch(http.MethodPost, "/wechat/logout") },
		"mini login": func() authtest.Response {
			return s.Request(http.MethodPost, "/wechat/mini/login", "", `{"code":"`+code+`"}`)
		},
		"mini ticket": func() authtest.Response {
			return s.Request(http.MethodPost, "/wechat/mini/ticket", token, `{"target":"/a"}`)
		},
		"mini enter":         func() authtest.Response { return s.WebView().Step(ticket) },
		"QR code":            func() authtest.Response { return s.Computer().Step("/wechat/scan?next=/a") },
		"QR code, again":     func() authtest.Response { return desktop.Step("/wechat/scan?next=/a") },
		"number":             func() authtest.Response { return desktop.StepPost("/wechat/scan", form) },
		"state of a QR code": func() authtest.Response { return desktop.Fetch(http.MethodGet, "/wechat/scan/status") },
		"phone's page":       func() authtest.Response { return phone.Step(path) },
		"confirmation":       func() authtest.Response { return phone.StepPost(path, form) },
	}
	for name, send := range failing {
		records, got := recordsOf(send)
		require.Equal(t, http.StatusServiceUnavailable, got.StatusCode, "%s: %s", name, got.Text)
		assert.Equal(t, 1, strings.Count(records, "level=ERROR"), "%s: %s", name, records)
		assert.Contains(t, records, "reason="+string(wechatauth.ReasonStoreUnavailable), name)
		assert.NotEmpty(t, got.Header.Get("Retry-After"), name)
	}
}

// A return URL that is not used leaves a record with the cause and its length,
// from wherever it came.
func TestReturnURL_Records(t *testing.T) {
	s := authtest.NewScanSite(t, wechatauth.WithMiniProgram(authtest.MiniApp, wechattest.DefaultMiniProgramSecret))
	token := s.MiniLogin(authtest.Person(0))
	for _, raw := range []string{"https://evil.example/a", "/" + strings.Repeat("a", 2100), `/a\..\b`, "/a\x01b", "/wechat/logout"} {
		next := url.Values{"next": {raw}}
		for name, send := range map[string]func() authtest.Response{
			"login": func() authtest.Response { return s.Browser().Step("/wechat/login?" + next.Encode()) },
			"login again": func() authtest.Response {
				return s.LoggedIn(authtest.AliceOpenID).Step("/wechat/login?again=1&" + next.Encode())
			},
			"consent": func() authtest.Response {
				return s.LoggedIn(authtest.AliceOpenID).Step("/wechat/upgrade?" + next.Encode())
			},
			"consent form": func() authtest.Response {
				return s.LoggedIn(authtest.AliceOpenID).StepPost("/wechat/upgrade", next)
			},
			"logout": func() authtest.Response { return s.LoggedIn(authtest.AliceOpenID).StepPost("/wechat/logout", next) },
			"scan":   func() authtest.Response { return s.Computer().Step("/wechat/scan?" + next.Encode()) },
			"number": func() authtest.Response { return s.Computer().StepPost("/wechat/scan", next) },
			"ticket": func() authtest.Response {
				body, _ := json.Marshal(map[string]string{"target": raw})
				return s.Request(http.MethodPost, "/wechat/mini/ticket", token, string(body))
			},
		} {
			before := len(s.Logs.String())
			got := send()
			records := s.Logs.String()[before:]
			assert.Less(t, got.StatusCode, 500, name)
			assert.Equal(t, 1, strings.Count(records, "return URL replaced by /"), "%s with %.40q: %s", name, raw, records)
			assert.Contains(t, records, fmt.Sprintf("%d bytes", len(raw)), "%s with %.40q", name, raw)
			assert.NotContains(t, records, "evil.example")
		}
	}
}
