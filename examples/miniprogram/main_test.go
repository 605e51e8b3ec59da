package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/wechattest"
)

// The client of the mini program runs in Node against the real server and a
// simulated WeChat.
func TestTheMiniProgramsClientLogsInOnceAndAgainWhenItHasTo(t *testing.T) {
	node, err := exec.LookPath("node")
	require.NoError(t, err, "please install nodejs")
	sim := wechattest.NewServer()
	defer sim.Close()
	server := httptest.NewUnstartedServer(nil)
	base := "http://" + server.Listener.Addr().String()
	auth, err := wechatauth.New(
		wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret),
		wechatauth.WithMiniProgram(wechattest.DefaultMiniProgramAppID, wechattest.DefaultMiniProgramSecret),
		wechatauth.WithBaseURL(base), wechatauth.WithEndpoints(sim.Endpoints()))
	require.NoError(t, err)
	server.Config.Handler = app(auth)
	server.Start()
	defer server.Close()
	person := wechattest.DefaultPeople()[0].Name
	phone := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, sim.JSCode(wechattest.DefaultMiniProgramAppID, person))
	}))
	defer phone.Close()

	run := exec.Command(node, "client/drive.js", base, phone.URL)
	stdout, err := run.Output()
	if exit, ok := err.(*exec.ExitError); ok {
		t.Fatalf("node: %s", exit.Stderr)
	}
	require.NoError(t, err)
	var got struct {
		Together          []int
		OpenID            string
		LoginsTogether    int
		AfterExpiry       []int
		LoginsAfterExpiry int
		WebView           string
		Storage           []string
		AfterLogout       int
	}
	require.NoError(t, json.Unmarshal(stdout, &got))

	assert.Equal(t, []int{200, 200, 200, 200, 200}, got.Together)
	assert.Equal(t, wechattest.OpenID(wechattest.DefaultMiniProgramAppID, person), got.OpenID)
	assert.Equal(t, 1, got.LoginsTogether, "five requests share one wx.login")
	assert.Equal(t, []int{200, 200, 200}, got.AfterExpiry)
	assert.Equal(t, 2, got.LoginsAfterExpiry, "and one more where the token is no longer taken")
	assert.Empty(t, got.Storage)
	assert.Equal(t, http.StatusUnauthorized, got.AfterLogout)
	assert.Equal(t, 2, sim.Count("/sns/jscode2session"))

	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	view := &http.Client{Jar: jar}
	resp, err := view.Get(got.WebView)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Equal(t, "/orders", resp.Request.URL.Path)
	assert.Contains(t, string(body), got.OpenID, "the web-view is the same user")
}
