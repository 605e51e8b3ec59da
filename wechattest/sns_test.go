package wechattest_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/wechattest"
)

// with edits a list of name-value pairs: "-name" removes a pair.
func with(pairs []string, change ...string) []string {
	q := values(pairs)
	for i := 0; i < len(change); i++ {
		if name, drop := strings.CutPrefix(change[i], "-"); drop {
			q.Del(name)
			continue
		}
		q.Set(change[i], change[i+1])
		i++
	}
	var out []string
	for name := range q {
		out = append(out, name, q.Get(name))
	}
	return out
}

func TestExchangeErrcodes(t *testing.T) {
	tests := map[string]struct {
		opts   []wechattest.Option
		change []string
		want   int
	}{
		"success":                        {want: 0},
		"no appid":                       {change: []string{"-appid"}, want: 41002},
		"no secret":                      {change: []string{"-secret"}, want: 41004},
		"no code":                        {change: []string{"-code"}, want: 41008},
		"no grant_type":                  {change: []string{"-grant_type"}, want: 40002},
		"another grant_type":             {change: []string{"grant_type", "refresh_token"}, want: 40002},
		"unknown appid":                  {change: []string{"appid", "wxffffffffffffffff"}, want: 40013},
		"wrong secret":                   {change: []string{"secret", "wrong"}, want: 40125},
		"wrong secret, WrongSecret40001": {opts: []wechattest.Option{wechattest.WithQuirks(wechattest.WrongSecret40001)}, change: []string{"secret", "wrong"}, want: 40001},
		"unknown code":                   {change: []string{"code", "0bogus"}, want: 40029},
		"code of another account":        {change: []string{"appid", siteID, "secret", siteSecret}, want: 40029},
		"busy":                           {opts: []wechattest.Option{wechattest.WithFault(exchangePath, wechattest.Busy())}, want: -1},
		"appid before secret":            {change: []string{"-appid", "-secret"}, want: 41002},
		"secret before code":             {change: []string{"-secret", "-code"}, want: 41004},
		"missing before grant_type":      {change: []string{"-code", "grant_type", "x"}, want: 41008},
		"grant_type before appid":        {change: []string{"grant_type", "x", "appid", "wx"}, want: 40002},
		"appid before its secret":        {change: []string{"appid", "wx", "secret", "wrong"}, want: 40013},
		"secret before code validity":    {change: []string{"secret", "wrong", "code", "0bogus"}, want: 40125},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			sim := simulator(t, tt.opts...)
			pairs := []string{"appid", appID, "secret", secret, "code", code(t, sim, "snsapi_base"), "grant_type", "authorization_code"}
			a := get(t, sim, exchangePath, with(pairs, tt.change...)...)
			require.Equal(t, tt.want, a.errcode(), a)
			require.Equal(t, tt.want == 0, a["access_token"] != nil)
			require.Equal(t, tt.want == 0, a["errcode"] == nil, "only errors contain an errcode")
		})
	}
}

func TestExchange_AddressAndFrozenSecret(t *testing.T) {
	restricted := wechattest.Account{AppID: appID, Secret: secret, AllowedIPs: []string{"192.0.2.1"}}
	frozen := wechattest.Account{AppID: appID, Secret: secret, Frozen: true}
	tests := map[string]struct {
		opts    []wechattest.Option
		errcode int
		errmsg  string
	}{
		"address":                 {[]wechattest.Option{wechattest.WithAccount(restricted)}, 40164, "invalid ip 127.0.0.1 ipv6 ::ffff:127.0.0.1, not in whitelist"},
		"address, RefusedIP61004": {[]wechattest.Option{wechattest.WithAccount(restricted), wechattest.WithQuirks(wechattest.RefusedIP61004)}, 61004, "access clientip is not registered"},
		"frozen":                  {[]wechattest.Option{wechattest.WithAccount(frozen)}, 40243, "appsecret frozen"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			sim := simulator(t, tt.opts...)
			a := exchange(t, sim, code(t, sim, "snsapi_base"))
			require.Equal(t, tt.errcode, a.errcode())
			require.Contains(t, a.text("errmsg"), tt.errmsg)
		})
	}
}

func TestCode_SingleUse(t *testing.T) {
	t.Run("used", func(t *testing.T) {
		sim := simulator(t)
		c := code(t, sim, "snsapi_base")
		require.Zero(t, exchange(t, sim, c).errcode())
		a := exchange(t, sim, c)
		require.Equal(t, 40163, a.errcode())
		require.Regexp(t, `^code been used, rid: [0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}$`, a.text("errmsg"))
	})
	t.Run("used, UsedCodeInvalid", func(t *testing.T) {
		sim := simulator(t, wechattest.WithQuirks(wechattest.UsedCodeInvalid))
		c := code(t, sim, "snsapi_base")
		require.Zero(t, exchange(t, sim, c).errcode())
		require.Equal(t, 40029, exchange(t, sim, c).errcode())
	})
	t.Run("a failed exchange does not use it up", func(t *testing.T) {
		sim := simulator(t)
		c := code(t, sim, "snsapi_base")
		require.Equal(t, 40125, get(t, sim, exchangePath, "appid", appID, "secret", "wrong", "code", c, "grant_type", "authorization_code").errcode())
		require.Zero(t, exchange(t, sim, c).errcode())
	})
	t.Run("FailureBurnsCode", func(t *testing.T) {
		sim := simulator(t, wechattest.WithQuirks(wechattest.FailureBurnsCode))
		c := code(t, sim, "snsapi_base")
		require.Equal(t, 40125, get(t, sim, exchangePath, "appid", appID, "secret", "wrong", "code", c, "grant_type", "authorization_code").errcode())
		require.Equal(t, 40163, exchange(t, sim, c).errcode())
	})
	t.Run("one of ten concurrent exchanges succeeds", func(t *testing.T) {
		sim := simulator(t)
		c := code(t, sim, "snsapi_base")
		release := sim.Block(exchangePath)
		responses := make(chan response, 10)
		for range 10 {
			go func() { responses <- exchange(t, sim, c) }()
		}
		require.NoError(t, sim.WaitForCalls(soon(t), exchangePath, 10))
		release()
		won := 0
		for range 10 {
			if a := <-responses; a.errcode() == 0 {
				won++
			}
		}
		require.Equal(t, 1, won)
	})
}

func TestCode_Expiry(t *testing.T) {
	website := func(t *testing.T, sim *wechattest.Server) func() response {
		callback, err := sim.CallbackURL(computer(), qrURL(sim, loopback))
		require.NoError(t, err)
		u, err := url.Parse(callback)
		require.NoError(t, err)
		return func() response {
			return get(t, sim, exchangePath, "appid", siteID, "secret", siteSecret, "code", u.Query().Get("code"), "grant_type", "authorization_code")
		}
	}
	official := func(t *testing.T, sim *wechattest.Server) func() response {
		c := code(t, sim, "snsapi_base")
		return func() response { return exchange(t, sim, c) }
	}
	mini := func(t *testing.T, sim *wechattest.Server) func() response {
		c := sim.WXLogin(miniID, "Lin")
		return func() response { return miniSession(t, sim, c) }
	}
	for name, tt := range map[string]struct {
		begin func(*testing.T, *wechattest.Server) func() response
		life  time.Duration
	}{
		"official account, five minutes": {official, 5 * time.Minute},
		"website, ten minutes":           {website, 10 * time.Minute},
		"mini program, five minutes":     {mini, 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			sim := simulator(t)
			redeem, late := tt.begin(t, sim), tt.begin(t, sim)
			sim.Advance(tt.life - time.Second)
			require.Zero(t, redeem().errcode())
			sim.Advance(time.Second)
			a := late()
			require.Equal(t, 40029, a.errcode())
			require.Contains(t, a.text("errmsg"), "invalid code, rid: ")
		})
	}
}

func TestCode_OtherFlow(t *testing.T) {
	sim := simulator(t)
	require.Equal(t, 40029, miniSession(t, sim, code(t, sim, "snsapi_base")).errcode())
	require.Equal(t, 40029, exchange(t, sim, sim.WXLogin(miniID, "Lin")).errcode())
	require.Equal(t, 40029, miniSession(t, sim, sim.GetPhoneNumber(miniID, "Lin")).errcode())
	pairs := []string{"appid", appID, "secret", secret, "grant_type", "authorization_code"}
	onBehalf := code(t, sim, "snsapi_base", "&state=s1", "&state=s1&component_appid="+platform)
	require.Equal(t, 40029, get(t, sim, exchangePath, with(pairs, "code", onBehalf)...).errcode())
}

func TestExchange_Body(t *testing.T) {
	sim := simulator(t)
	resp, err := http.Get(sim.URL + "/" + exchangePath + "?" + values([]string{
		"appid", appID, "secret", secret, "code", code(t, sim, "snsapi_userinfo"), "grant_type", "authorization_code",
	}).Encode())
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, "text/plain", resp.Header.Get("Content-Type"))
	token := `[1-9][0-9]_[0-9A-Za-z]{107}`
	require.Regexp(t, `^\{"access_token":"`+token+`","expires_in":7200,"refresh_token":"`+token+
		`","openid":"o[0-9A-Za-z_-]{27}","scope":"snsapi_userinfo","unionid":"o[0-9A-Za-z_-]{27}"\}$`, body(t, resp))
}

func TestUnionID(t *testing.T) {
	unbound := wechattest.WithAccount(wechattest.Account{AppID: appID, Secret: secret})
	tests := map[string]struct {
		opts  []wechattest.Option
		scope string
		want  bool
	}{
		"userinfo":             {nil, "snsapi_userinfo", true},
		"base":                 {nil, "snsapi_base", false},
		"base, BaseUnionID":    {[]wechattest.Option{wechattest.WithQuirks(wechattest.BaseUnionID)}, "snsapi_base", true},
		"userinfo, unbound":    {[]wechattest.Option{unbound}, "snsapi_userinfo", false},
		"unbound, BaseUnionID": {[]wechattest.Option{unbound, wechattest.WithQuirks(wechattest.BaseUnionID)}, "snsapi_base", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			sim := simulator(t, tt.opts...)
			a := token(t, sim, tt.scope)
			_, has := a["unionid"]
			require.Equal(t, tt.want, has)
			if tt.scope == "snsapi_userinfo" {
				_, has := profile(t, sim, a)["unionid"]
				require.Equal(t, tt.want, has)
			}
		})
	}
}

func TestOpenID(t *testing.T) {
	require.Regexp(t, `^o[A-Za-z0-9_-]{27}$`, wechattest.OpenID(appID, "Lin"))
	require.NotEqual(t, wechattest.OpenID(appID, "Lin"), wechattest.OpenID(siteID, "Lin"))
	require.NotEqual(t, wechattest.OpenID(appID, "Lin"), wechattest.OpenID(appID, "小明"))
	one, two := simulator(t, wechattest.WithSeed(1)), simulator(t, wechattest.WithSeed(2))
	require.Equal(t, token(t, one, "snsapi_base")["openid"], token(t, two, "snsapi_base")["openid"])
	session := miniSession(t, one, one.WXLogin(miniID, "小明"))
	require.NotEqual(t, token(t, one, "snsapi_base")["openid"], session["openid"])
	require.Equal(t, token(t, one, "snsapi_userinfo")["unionid"], session["unionid"])
}

func refreshed(t *testing.T, sim *wechattest.Server, a response) response {
	t.Helper()
	return get(t, sim, refreshPath, "appid", appID, "grant_type", "refresh_token", "refresh_token", a.text("refresh_token"))
}

func TestRefreshErrcodes(t *testing.T) {
	tests := map[string]struct {
		later  time.Duration
		change []string
		want   int
	}{
		"success, and no secret": {want: 0},
		"no appid":               {change: []string{"-appid"}, want: 41002},
		"no refresh_token":       {change: []string{"-refresh_token"}, want: 41003},
		"another grant_type":     {change: []string{"grant_type", "authorization_code"}, want: 40002},
		"unknown appid":          {change: []string{"appid", "wxffffffffffffffff"}, want: 40013},
		"another account":        {change: []string{"appid", siteID}, want: 40030},
		"unknown refresh_token":  {change: []string{"refresh_token", "10_bogus"}, want: 40030},
		"just before the end":    {later: 30*24*time.Hour - time.Second, want: 0},
		"thirty days":            {later: 30 * 24 * time.Hour, want: 42002},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			sim := simulator(t)
			first := token(t, sim, "snsapi_userinfo")
			sim.Advance(tt.later)
			pairs := []string{"appid", appID, "grant_type", "refresh_token", "refresh_token", first.text("refresh_token")}
			a := get(t, sim, refreshPath, with(pairs, tt.change...)...)
			require.Equal(t, tt.want, a.errcode(), a)
			if tt.want == 0 {
				require.Equal(t, first["openid"], a["openid"])
				require.NotContains(t, a, "unionid")
			}
		})
	}
	t.Run("an access_token", func(t *testing.T) {
		sim := simulator(t)
		a := token(t, sim, "snsapi_base")
		require.Equal(t, 40030, get(t, sim, refreshPath, "appid", appID, "grant_type", "refresh_token", "refresh_token", a.text("access_token")).errcode())
	})
}

func TestRefresh(t *testing.T) {
	sim := simulator(t)
	first := token(t, sim, "snsapi_userinfo")
	sim.Advance(2*time.Hour - time.Second)
	second := refreshed(t, sim, first)
	require.Equal(t, first["access_token"], second["access_token"])
	require.Equal(t, first["refresh_token"], second["refresh_token"])

	sim.Advance(2*time.Hour - time.Second)
	require.Zero(t, profile(t, sim, second).errcode(), "its lifetime began again")
	sim.Advance(time.Second)
	require.Equal(t, 42001, profile(t, sim, second).errcode())
	third := refreshed(t, sim, second)
	require.NotEqual(t, first["access_token"], third["access_token"])
	require.Equal(t, first["refresh_token"], third["refresh_token"])
	require.Zero(t, profile(t, sim, third).errcode())
	require.Equal(t, 42001, profile(t, sim, second).errcode(), "the old one remains expired")

	sim.Advance(30 * 24 * time.Hour)
	require.Equal(t, 42002, refreshed(t, sim, third).errcode(), "refreshing did not extend the refresh_token")
}

func TestRotateRefreshToken(t *testing.T) {
	sim := simulator(t, wechattest.WithQuirks(wechattest.RotateRefreshToken))
	first := token(t, sim, "snsapi_base")
	sim.Advance(2 * time.Hour)
	second := refreshed(t, sim, first)
	require.NotEqual(t, first["refresh_token"], second["refresh_token"])
	require.Equal(t, 40030, refreshed(t, sim, first).errcode())
	require.Zero(t, refreshed(t, sim, second).errcode())
}

func TestServer_ChangePassword(t *testing.T) {
	sim := simulator(t)
	old := token(t, sim, "snsapi_userinfo")
	sim.ChangePassword("小明")
	require.Equal(t, 42007, refreshed(t, sim, old).errcode())
	require.Equal(t, 42007, profile(t, sim, old).errcode())
	require.Zero(t, profile(t, sim, token(t, sim, "snsapi_userinfo")).errcode(), "a new login works")
	sim.SetPerson("Lin")
	require.Zero(t, profile(t, sim, token(t, sim, "snsapi_userinfo")).errcode())
}

func TestUserInfoErrcodes(t *testing.T) {
	for path, unknown := range map[string]int{"sns/userinfo": 40001, "sns/auth": 40014} {
		tests := map[string]struct {
			later  time.Duration
			change []string
			want   int
		}{
			"success":                  {want: 0},
			"no access_token":          {change: []string{"-access_token"}, want: 41001},
			"no openid":                {change: []string{"-openid"}, want: 41009},
			"unknown token":            {change: []string{"access_token", "10_bogus"}, want: unknown},
			"another openid":           {change: []string{"openid", wechattest.OpenID(appID, "Lin")}, want: 40003},
			"expired token":            {later: 2 * time.Hour, want: 42001},
			"unknown token, no openid": {change: []string{"access_token", "10_bogus", "-openid"}, want: unknown},
			"expired token, no openid": {later: 2 * time.Hour, change: []string{"-openid"}, want: 42001},
		}
		for name, tt := range tests {
			t.Run(path+": "+name, func(t *testing.T) {
				sim := simulator(t)
				a := token(t, sim, "snsapi_userinfo")
				sim.Advance(tt.later)
				pairs := []string{"access_token", a.text("access_token"), "openid", a.text("openid"), "lang", "zh_CN"}
				require.Equal(t, tt.want, get(t, sim, path, with(pairs, tt.change...)...).errcode())
			})
		}
	}
	t.Run("base scope has no profile", func(t *testing.T) {
		sim := simulator(t)
		a := profile(t, sim, token(t, sim, "snsapi_base"))
		require.Equal(t, 48001, a.errcode())
		require.Contains(t, a.text("errmsg"), "api unauthorized, rid: ")
	})
	t.Run("a limited user", func(t *testing.T) {
		sim := simulator(t, wechattest.WithPerson(wechattest.Person{Name: "Lin", Limited: true}))
		require.Equal(t, 50002, profile(t, sim, token(t, sim, "snsapi_userinfo")).errcode())
	})
	t.Run("a refresh_token", func(t *testing.T) {
		sim := simulator(t)
		a := token(t, sim, "snsapi_userinfo")
		a["access_token"] = a["refresh_token"]
		require.Equal(t, 40001, profile(t, sim, a).errcode())
	})
	t.Run("an account token", func(t *testing.T) {
		sim := simulator(t)
		a := token(t, sim, "snsapi_userinfo")
		a["access_token"] = accountToken(t, sim, appID, secret)
		require.Equal(t, 40001, profile(t, sim, a).errcode())
	})
}

func TestCheckToken(t *testing.T) {
	sim := simulator(t)
	a := token(t, sim, "snsapi_base")
	require.Equal(t, response{"errcode": 0.0, "errmsg": "ok"},
		get(t, sim, "sns/auth", "access_token", a.text("access_token"), "openid", a.text("openid")))
}

// rawProfile returns the exact body of sns/userinfo for one person.
func rawProfile(t *testing.T, p wechattest.Person) string {
	t.Helper()
	sim := simulator(t, wechattest.WithPerson(p))
	a := token(t, sim, "snsapi_userinfo")
	resp, err := http.Get(sim.URL + "/sns/userinfo?" + values([]string{"access_token", a.text("access_token"), "openid", a.text("openid")}).Encode())
	require.NoError(t, err)
	require.Equal(t, "text/plain", resp.Header.Get("Content-Type"))
	return strings.ReplaceAll(body(t, resp), strings.ReplaceAll(sim.URL, "/", `\/`), "BASE")
}

func TestUserInfo_Body(t *testing.T) {
	head := func(name string) string {
		return fmt.Sprintf(`{"openid":"%s","nickname":`, wechattest.OpenID(appID, name))
	}
	const places = `,"sex":0,"language":"","city":"","province":"","country":"","headimgurl":`
	tail := func(name string) string {
		return fmt.Sprintf(`,"privilege":[],"unionid":"%s"}`, wechattest.UnionID(wechattest.DefaultOpenPlatform, name))
	}
	tests := map[string]struct {
		person           wechattest.Person
		nickname, avatar string // including quotes
	}{
		"slashes are escaped":      {wechattest.Person{Name: "a", AvatarURL: "https://thirdwx.qlogo.cn/mmopen/vi_32/x/132"}, `"a"`, `"https:\/\/thirdwx.qlogo.cn\/mmopen\/vi_32\/x\/132"`},
		"http avatar":              {wechattest.Person{Name: "a", AvatarURL: "http://wx.qlogo.cn/x/0"}, `"a"`, `"http:\/\/wx.qlogo.cn\/x\/0"`},
		"quotes and backslashes":   {wechattest.Person{Name: "a", Nickname: `"\`}, `"\"\\"`, `""`},
		"emoji stay raw":           {wechattest.Person{Name: "a", Nickname: "👨‍👩‍👧"}, `"👨‍👩‍👧"`, `""`},
		"a raw control byte":       {wechattest.Person{Name: "a", Nickname: "x\x14y"}, "\"x\x14y\"", `""`},
		"an escaped control":       {wechattest.Person{Name: "a", NicknameJSON: `x\u0007y`}, `"x\u0007y"`, `""`},
		"invalid UTF-8":            {wechattest.Person{Name: "a", Nickname: "\xc4\xe3"}, "\"\xc4\xe3\"", `""`},
		"no nickname":              {wechattest.Person{Name: "a", NoNickname: true}, `""`, `""`},
		"deleted user":             {wechattest.Person{Name: "a", Deleted: true, AvatarURL: "https://x.example/"}, `"用户已经注销"`, `""`},
		"the simulator's pictures": {wechattest.Person{Name: "a", AvatarURL: "/mmopen/vi_32/a/132"}, `"a"`, `"BASE\/mmopen\/vi_32\/a\/132"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, head("a")+tt.nickname+places+tt.avatar+tail("a"), rawProfile(t, tt.person))
		})
	}
}

func TestAvatars(t *testing.T) {
	sim := simulator(t)
	a := profile(t, sim, token(t, sim, "snsapi_userinfo"))
	resp, err := http.Get(a.text("headimgurl"))
	require.NoError(t, err)
	require.Equal(t, "image/svg+xml", resp.Header.Get("Content-Type"))
	require.Contains(t, body(t, resp), "小")
	gone, err := http.Get(sim.URL + "/mmopen/vi_32/changed-since/132")
	require.NoError(t, err)
	gone.Body.Close()
	require.Equal(t, http.StatusNotFound, gone.StatusCode)
}

func TestErrmsgTails(t *testing.T) {
	sim := simulator(t)
	rid := fmt.Sprintf("%08x-[0-9a-f]{8}-[0-9a-f]{8}$", noon.Add(time.Hour).Unix())
	sim.Advance(time.Hour)
	require.Regexp(t, `^appid missing, rid: `+rid, get(t, sim, exchangePath).text("errmsg"))
	require.Regexp(t, `^appid missing rid: `+rid, get(t, sim, "cgi-bin/token").text("errmsg"))
	require.Regexp(t, `^access_token missing rid: `+rid, get(t, sim, "wxa/checksession").text("errmsg"))
	phoneNumber := post(t, sim, "wxa/business/getuserphonenumber?access_token="+accountToken(t, sim, miniID, miniSecret), map[string]string{"code": "bogus"})
	require.Regexp(t, `^invalid code hint: \[\w{7}-\w{6}\] rid: `+rid, phoneNumber.text("errmsg"))
}

func TestContentTypes(t *testing.T) {
	const json = "application/json; encoding=utf-8"
	for name, tt := range map[string]struct {
		opts []wechattest.Option
		path string
		want string
	}{
		"sns":                  {nil, "sns/auth", "text/plain"},
		"sns, JSONContentType": {[]wechattest.Option{wechattest.WithQuirks(wechattest.JSONContentType)}, "sns/auth", json},
		"cgi-bin":              {nil, "cgi-bin/token", json},
		"wxa":                  {nil, "wxa/checksession", json},
	} {
		t.Run(name, func(t *testing.T) {
			resp, err := http.Get(simulator(t, tt.opts...).URL + "/" + tt.path)
			require.NoError(t, err)
			resp.Body.Close()
			require.Equal(t, tt.want, resp.Header.Get("Content-Type"))
		})
	}
}

func TestMethodsPathsSchemes(t *testing.T) {
	paths := []string{exchangePath, refreshPath, "sns/userinfo", "sns/auth", "sns/jscode2session", "sns/component/jscode2session", "cgi-bin/token", "wxa/checksession"}
	for _, path := range paths {
		require.Equal(t, 43001, post(t, simulator(t), path, struct{}{}).errcode(), path)
	}
	for _, path := range []string{"cgi-bin/stable_token", "cgi-bin/component/api_component_token", "wxa/business/getuserphonenumber"} {
		require.Equal(t, 43002, get(t, simulator(t), path).errcode(), path)
	}
	require.Equal(t, 40066, get(t, simulator(t), "sns/oauth2/acces_token").errcode())
	require.Equal(t, 43003, get(t, simulator(t, wechattest.WithQuirks(wechattest.RequireHTTPS)), "sns/auth").errcode())
}

func TestAcceptPost(t *testing.T) {
	sim := simulator(t, wechattest.WithQuirks(wechattest.AcceptPost))
	resp, err := http.PostForm(sim.URL+"/"+exchangePath, values([]string{
		"appid", appID, "secret", secret, "code", code(t, sim, "snsapi_base"), "grant_type", "authorization_code",
	}))
	require.NoError(t, err)
	require.Zero(t, decode(t, resp).errcode())
}

func TestWithTLS(t *testing.T) {
	sim := simulator(t, wechattest.WithTLS(), wechattest.WithQuirks(wechattest.RequireHTTPS))
	require.True(t, strings.HasPrefix(sim.Endpoints().API, "https://127.0.0.1:"))
	require.Equal(t, 41001, get(t, sim, "sns/auth").errcode())
}

func TestBrowser_DefaultTransportReplaced(t *testing.T) {
	sim := simulator(t)
	replaced := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = replaced })
	http.DefaultTransport = roundTripper(func(*http.Request) (*http.Response, error) { return nil, errors.New("not a browser's") })
	resp, err := wechattest.Browser(wechattest.IPhone).Get(sim.URL)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
