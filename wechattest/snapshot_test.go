package wechattest_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/wechattest"
)

func TestSnapshot(t *testing.T) {
	for name, begin := range map[string]func(*wechattest.Server) []string{
		"by environment":   func(sim *wechattest.Server) []string { sim.SetEnvironment(wechattest.Snapshot); return nil },
		"by forceSnapShot": func(*wechattest.Server) []string { return []string{"&state=s1", "&state=s1&forceSnapShot=true"} },
	} {
		t.Run(name, func(t *testing.T) {
			sim := simulator(t)
			change := begin(sim)
			one, two := token(t, sim, "snsapi_userinfo", change...), token(t, sim, "snsapi_userinfo", change...)
			require.EqualValues(t, 1, one["is_snapshotuser"])
			require.Equal(t, "snsapi_userinfo", one["scope"])
			require.Regexp(t, `^o[A-Za-z0-9_-]{27}$`, one["openid"])
			require.Regexp(t, `^o[A-Za-z0-9_-]{27}$`, one["unionid"])
			require.NotEqual(t, one["openid"], two["openid"], "each visit has its own openid")
			require.NotEqual(t, one["unionid"], two["unionid"])
			for _, p := range wechattest.DefaultPeople() {
				require.NotEqual(t, wechattest.OpenID(appID, p.Name), one["openid"])
				require.NotEqual(t, wechattest.UnionID(wechattest.DefaultOpenPlatform, p.Name), one["unionid"])
			}
			a := profile(t, sim, one)
			require.Equal(t, one["openid"], a["openid"])
			require.Equal(t, "微信用户", a["nickname"])
			require.Empty(t, a["headimgurl"])
		})
	}
}

func TestSnapshot_Quirks(t *testing.T) {
	snapshots := func(t *testing.T, sw wechattest.Quirk, scope string) (*wechattest.Server, response, response) {
		sim := simulator(t, wechattest.WithEnvironment(wechattest.Snapshot), wechattest.WithQuirks(sw))
		first := token(t, sim, scope)
		sim.SetPerson("Lin")
		return sim, first, token(t, sim, scope)
	}
	t.Run("the same unionid for all", func(t *testing.T) {
		_, one, two := snapshots(t, wechattest.SnapshotSharedUnionID, "snsapi_userinfo")
		require.Equal(t, one["unionid"], two["unionid"])
		require.NotEqual(t, one["openid"], two["openid"])
	})
	t.Run("another user's unionid", func(t *testing.T) {
		_, one, _ := snapshots(t, wechattest.SnapshotRealUnionID, "snsapi_userinfo")
		require.Equal(t, wechattest.UnionID(wechattest.DefaultOpenPlatform, "Lin"), one["unionid"])
	})
	t.Run("no flag the first time", func(t *testing.T) {
		sim, one, _ := snapshots(t, wechattest.SnapshotUnflagged, "snsapi_userinfo")
		require.NotContains(t, one, "is_snapshotuser")
		require.EqualValues(t, 1, token(t, sim, "snsapi_userinfo")["is_snapshotuser"])
	})
	t.Run("no profile", func(t *testing.T) {
		sim, one, _ := snapshots(t, wechattest.SnapshotUserInfoDenied, "snsapi_userinfo")
		require.Equal(t, 48001, profile(t, sim, one).errcode())
	})
	t.Run("not for snsapi_base", func(t *testing.T) {
		_, one, _ := snapshots(t, wechattest.SnapshotUserInfoDenied, "snsapi_base")
		require.Equal(t, wechattest.OpenID(appID, "小明"), one["openid"])
		require.NotContains(t, one, "is_snapshotuser")
	})
	t.Run("SnapshotBase", func(t *testing.T) {
		_, one, _ := snapshots(t, wechattest.SnapshotBase, "snsapi_base")
		require.EqualValues(t, 1, one["is_snapshotuser"])
		require.NotEqual(t, wechattest.OpenID(appID, "小明"), one["openid"])
	})
}

func TestServer_FullService(t *testing.T) {
	sim := simulator(t)
	var app string
	app = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if c := r.FormValue("code"); c != "" {
			http.SetCookie(w, &http.Cookie{Name: "openid", Value: exchange(t, sim, c).text("openid")})
			http.Redirect(w, r, "/article", http.StatusSeeOther)
			return
		}
		cookie, err := r.Cookie("openid")
		if err != nil {
			http.Redirect(w, r, authorizeURL(sim, app+"/cb", "snsapi_userinfo"), http.StatusSeeOther)
			return
		}
		w.Write([]byte(cookie.Value))
	})
	browser := phone()
	var virtual []string
	for range 2 {
		snapshot, err := sim.SnapshotVisit(browser, app+"/article")
		require.NoError(t, err)
		virtual = append(virtual, body(t, snapshot))
	}
	require.NotEqual(t, wechattest.OpenID(appID, "小明"), virtual[0])
	require.NotEqual(t, virtual[0], virtual[1], "the cookies of the first visit are gone")
	at, err := url.Parse(app)
	require.NoError(t, err)
	require.Empty(t, browser.Jar.Cookies(at), "they were never in the browser")

	full, err := sim.FullService(browser, app+"/article")
	require.NoError(t, err)
	require.Equal(t, "/article", full.Request.URL.Path)
	require.Equal(t, wechattest.OpenID(appID, "小明"), body(t, full))

	resp, _ := open(t, browser, authorizeURL(sim, loopback, "snsapi_userinfo"))
	require.Equal(t, http.StatusOK, resp.StatusCode, "the consent is for one login, and the browser has left snapshot mode")
}

func TestServer_FullService_Scheme(t *testing.T) {
	sim := simulator(t)
	for _, to := range []string{"", "javascript:alert(1)", "/relative", "ftp://example.com/"} {
		resp, err := http.PostForm(sim.URL+"/sim/full-service", url.Values{"url": {to}})
		require.NoError(t, err)
		require.Contains(t, body(t, resp), "该链接无法访问", to)
	}
}
