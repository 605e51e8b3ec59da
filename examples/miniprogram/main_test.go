package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os/exec"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/wechattest"
)

// site is the example on a real server with a WeChat simulator, and a URL that
// simulates the phone: it returns codes, and data encrypted by WeChat.
type site struct {
	sim         *wechattest.Server
	base, phone string
	sick        atomic.Bool // the server responds to the next logout with 503
	replayed    atomic.Bool // the next login reaches the server twice, and the client gets the second response
}

const miniApp = wechattest.DefaultMiniProgramAppID

func newSite(t *testing.T) *site {
	s := &site{sim: wechattest.NewServer()}
	t.Cleanup(s.sim.Close)
	server := httptest.NewUnstartedServer(nil)
	s.base = "http://" + server.Listener.Addr().String()
	auth, err := wechatauth.New(
		wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret),
		wechatauth.WithMiniProgram(miniApp, wechattest.DefaultMiniProgramSecret),
		wechatauth.WithBaseURL(s.base), wechatauth.WithEndpoints(s.sim.Endpoints()))
	require.NoError(t, err)
	routes := app(auth)
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wechat/logout" && s.sick.CompareAndSwap(true, false) {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if r.URL.Path == "/wechat/mini/login" && s.replayed.CompareAndSwap(true, false) {
			body, _ := io.ReadAll(r.Body)
			first := r.Clone(r.Context())
			first.Body, r.Body = io.NopCloser(bytes.NewReader(body)), io.NopCloser(bytes.NewReader(body))
			routes.ServeHTTP(httptest.NewRecorder(), first)
		}
		routes.ServeHTTP(w, r)
	})
	server.Start()
	t.Cleanup(server.Close)
	phone := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/data":
			p := s.sim.UserPayload(miniApp, person)
			_ = json.NewEncoder(w).Encode(map[string]string{"encryptedData": p.EncryptedData, "iv": p.IV})
		case "/login":
			s.sim.SetQuirk(wechattest.SessionKeyRotates, true)
			s.sim.WXLogin(miniApp, person)
			s.sim.SetQuirk(wechattest.SessionKeyRotates, false)
		case "/open":
			_ = json.NewEncoder(w).Encode(open(t, r.FormValue("url")))
		default:
			_, _ = io.WriteString(w, s.sim.WXLogin(miniApp, person))
		}
	}))
	t.Cleanup(phone.Close)
	s.phone = phone.URL
	return s
}

var person = wechattest.DefaultPeople()[0].Name

// page is the last page shown in a web-view.
type page struct{ Path, Body string }

// open opens a URL as a web-view does, with separate cookies.
func open(t *testing.T, url string) page {
	jar, err := cookiejar.New(nil)
	assert.NoError(t, err)
	r, err := http.NewRequest(http.MethodGet, url, nil)
	assert.NoError(t, err)
	r.Header = http.Header{"User-Agent": {wechattest.IPhoneMiniProgram}, "Accept": {"text/html"}}
	resp, err := (&http.Client{Jar: jar}).Do(r)
	if !assert.NoError(t, err) {
		return page{}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	assert.NoError(t, err)
	return page{resp.Request.URL.Path, string(body)}
}

// drive runs client/drive.js in Node and decodes its output.
func (s *site) drive(t *testing.T, what string, into any) {
	node, err := exec.LookPath("node")
	require.NoError(t, err, "install nodejs")
	stdout, err := exec.Command(node, "client/drive.js", s.base, s.phone, what).Output()
	if exit, ok := err.(*exec.ExitError); ok {
		t.Fatalf("node: %s", exit.Stderr)
	}
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(stdout, into))
}

// The client of the mini program runs in Node against the real server and a
// WeChat simulator.
func TestClient(t *testing.T) {
	s := newSite(t)
	s.sick.Store(true)
	var got struct {
		Together          []int
		OpenID            string
		LoginsTogether    int
		AfterExpiry       []int
		LoginsAfterExpiry int
		WebView           page
		FailedLogout      int
		Kept              bool
		Storage           []string
		AfterLogout       int
	}
	s.drive(t, "all", &got)

	assert.Equal(t, []int{200, 200, 200, 200, 200}, got.Together)
	assert.Equal(t, wechattest.OpenID(miniApp, person), got.OpenID)
	assert.Equal(t, 1, got.LoginsTogether, "five requests share one wx.login")
	assert.Equal(t, []int{200, 200, 200}, got.AfterExpiry)
	assert.Equal(t, 2, got.LoginsAfterExpiry, "one more login after the token is rejected")
	assert.Equal(t, http.StatusServiceUnavailable, got.FailedLogout)
	assert.True(t, got.Kept, "the token of a session that still exists is kept")
	assert.Empty(t, got.Storage)
	assert.Equal(t, http.StatusUnauthorized, got.AfterLogout)
	assert.Equal(t, 2, s.sim.Count("/sns/jscode2session"))
	assert.Equal(t, "/orders", got.WebView.Path)
	assert.Contains(t, got.WebView.Body, got.OpenID, "the web-view has the same user")
}

func TestClient_UsedCode(t *testing.T) {
	s := newSite(t)
	s.replayed.Store(true)
	var got struct{ OpenID string }
	s.drive(t, "login", &got)
	assert.Equal(t, wechattest.OpenID(miniApp, person), got.OpenID)
	assert.Equal(t, 2, s.sim.Count("/sns/jscode2session"), "one call for each code")
}

func TestClient_StaleSessionKey(t *testing.T) {
	type response struct {
		StatusCode int
		Data       struct {
			Error, OpenID string
			Profile       struct{ NickName string }
		}
	}
	var got struct {
		Fresh, Stale, Me, Renewed response
		Logins                    int
	}
	newSite(t).drive(t, "stale", &got)
	assert.Equal(t, http.StatusOK, got.Fresh.StatusCode)
	assert.NotEmpty(t, got.Fresh.Data.Profile.NickName)
	assert.Equal(t, http.StatusConflict, got.Stale.StatusCode)
	assert.Equal(t, "session_key_stale", got.Stale.Data.Error)
	assert.Equal(t, http.StatusOK, got.Me.StatusCode)
	assert.Equal(t, wechattest.OpenID(miniApp, person), got.Me.Data.OpenID)
	assert.Equal(t, 1, got.Logins, "the existing token was used")
	assert.Equal(t, got.Fresh, got.Renewed, "a new login fixes it")
}
