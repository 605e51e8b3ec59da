package wechattest_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/wechattest"
)

const (
	unknownApp  = "wxffffffffffffffff"
	wrongSecret = "another-secret-for-tests"
	elsewhere   = "192.0.2.7" // an address that is not this machine's
)

// accountWith adds the default accounts, with one of them changed.
func accountWith(appID string, change func(*wechattest.Account)) wechattest.Option {
	accounts := wechattest.DefaultAccounts()
	for i := range accounts {
		if accounts[i].AppID == appID {
			change(&accounts[i])
		}
	}
	return wechattest.WithAccount(accounts...)
}

func frozen(a *wechattest.Account)    { a.Frozen = true }
func addressed(a *wechattest.Account) { a.AllowedIPs = []string{elsewhere} }
func strange(a *wechattest.Account)   { a.Platforms = nil }

func only(opt wechattest.Option) []wechattest.Option { return []wechattest.Option{opt} }

// A misuse is a real mistake, and the error that package client must return for
// it.
type misuse struct {
	name string
	opts []wechattest.Option
	call func(a *caller) error
	code int
	want verdict // if empty, that of verdicts
}

// TestClient_Misuse makes the mistakes that WeChat's errcodes report, instead
// of scripting the errcodes.
func TestClient_Misuse(t *testing.T) {
	var responses atomic.Int64
	t.Run("endpoint", func(t *testing.T) {
		for path, rows := range map[string][]misuse{
			exchangePath:          exchangeMisuses(),
			refreshPath:           refreshMisuses(),
			userInfoPath:          userInfoMisuses(),
			checkTokenPath:        checkTokenMisuses(),
			code2SessionPath:      code2SessionMisuses(),
			checkSessionPath:      sessionMisuses((*caller).checkSession),
			resetSessionPath:      sessionMisuses((*caller).resetSession),
			numberPath:            phoneNumberMisuses(),
			stableTokenPath:       stableTokenMisuses(),
			platformExchangePath:  platformExchangeMisuses(),
			platformRefreshPath:   platformRefreshMisuses(),
			platformMiniLoginPath: platformMiniLoginMisuses(),
		} {
			t.Run(path, func(t *testing.T) {
				t.Parallel()
				for _, row := range rows {
					t.Run(row.name, func(t *testing.T) {
						a := newCaller(t, row.opts...)
						want := row.want
						if want == (verdict{}) {
							var known bool
							want, known = verdicts[row.code]
							require.True(t, known, "no verdict about %d", row.code)
						}
						a.assertRejected(row.call(a), path, row.code, want)
						responses.Add(1)
					})
				}
			})
		}
	})
	t.Logf("responses %d", responses.Load())
}

func exchangeMisuses() []misuse {
	redeem := func(a *caller, code string) error {
		_, err := a.account().Exchange(a.t.Context(), code)
		return err
	}
	fresh := func(a *caller) error { return redeem(a, code(a.t, a.sim, "snsapi_base")) }
	twice := func(a *caller) error {
		c := code(a.t, a.sim, "snsapi_base")
		require.NoError(a.t, redeem(a, c))
		return redeem(a, c)
	}
	badSecret := func(a *caller) error {
		_, err := a.client(appID, wrongSecret).Exchange(a.t.Context(), code(a.t, a.sim, "snsapi_base"))
		return err
	}
	return []misuse{
		{name: "a wrong AppSecret", call: badSecret, code: 40125},
		{name: "a wrong AppSecret, 40001", opts: only(wechattest.WithQuirks(wechattest.WrongSecret40001)), call: badSecret, code: 40001, want: aboutSecret},
		{name: "a wrong AppSecret uses up the code", opts: only(wechattest.WithQuirks(wechattest.FailureBurnsCode)), call: func(a *caller) error {
			c := code(a.t, a.sim, "snsapi_base")
			_, err := a.client(appID, wrongSecret).Exchange(a.t.Context(), c)
			require.ErrorIs(a.t, err, client.ErrAppSecret)
			return redeem(a, c)
		}, code: 40163},
		{name: "an unknown AppID", call: func(a *caller) error {
			_, err := a.client(unknownApp, secret).Exchange(a.t.Context(), code(a.t, a.sim, "snsapi_base"))
			return err
		}, code: 40013},
		{name: "a frozen AppSecret", opts: only(accountWith(appID, frozen)), call: fresh, code: 40243},
		{name: "a server of another address", opts: only(accountWith(appID, addressed)), call: fresh, code: 40164},
		{name: "a server of another address, 61004", opts: []wechattest.Option{accountWith(appID, addressed), wechattest.WithQuirks(wechattest.RefusedIP61004)}, call: fresh, code: 61004},
		{name: "a code that was never issued", call: func(a *caller) error { return redeem(a, "0bogus") }, code: 40029},
		{name: "a used code", call: twice, code: 40163},
		{name: "a used code, 40029", opts: only(wechattest.WithQuirks(wechattest.UsedCodeInvalid)), call: twice, code: 40029},
		{name: "a code five minutes old", call: func(a *caller) error {
			c := code(a.t, a.sim, "snsapi_base")
			a.sim.Advance(5 * time.Minute)
			return redeem(a, c)
		}, code: 40029},
		{name: "a website's code ten minutes old", call: func(a *caller) error {
			c := a.websiteCode()
			a.sim.Advance(10 * time.Minute)
			_, err := a.client(siteID, siteSecret).Exchange(a.t.Context(), c)
			return err
		}, code: 40029},
		{name: "a code of another AppID", call: func(a *caller) error { return redeem(a, a.websiteCode()) }, code: 40029},
		{name: "a code of wx.login", call: func(a *caller) error { return redeem(a, a.sim.WXLogin(miniID, "小明")) }, code: 40029},
		{name: "a code of a platform's login", call: func(a *caller) error { return redeem(a, a.platformCode()) }, code: 40029},
		{name: "plain HTTP", opts: only(wechattest.WithQuirks(wechattest.RequireHTTPS)), call: fresh, code: 43003},
		{name: "one call too many in a minute", opts: only(wechattest.WithQuota(exchangePath, wechattest.Quota{PerMinute: 1})), call: twice, code: 45011},
		{name: "one call too many in a day", opts: only(wechattest.WithQuota(exchangePath, wechattest.Quota{PerDay: 1})), call: twice, code: 45009},
	}
}

func (a *caller) websiteCode() string {
	callback, err := a.sim.CallbackURL(computer(), a.client(siteID, siteSecret).QRConnectURL(loopback, "s1"))
	require.NoError(a.t, err)
	return codeOf(a.t, callback)
}

func refreshMisuses() []misuse {
	renew := func(a *caller, token client.Secret) error {
		_, err := a.account().Refresh(a.t.Context(), token.Reveal())
		return err
	}
	return []misuse{
		{name: "an unknown token", call: func(a *caller) error { return renew(a, client.NewSecret("bogus")) }, code: 40030},
		{name: "an access token", call: func(a *caller) error { return renew(a, a.login(client.ScopeBase).AccessToken) }, code: 40030},
		{name: "a token of another AppID", call: func(a *caller) error {
			_, err := a.client(siteID, siteSecret).Refresh(a.t.Context(), a.login(client.ScopeBase).RefreshToken.Reveal())
			return err
		}, code: 40030},
		{name: "a token of a platform's login", call: func(a *caller) error { return renew(a, a.platformLogin().RefreshToken) }, code: 40030},
		{name: "a replaced token", opts: only(wechattest.WithQuirks(wechattest.RotateRefreshToken)), call: func(a *caller) error {
			token := a.login(client.ScopeBase).RefreshToken
			a.sim.Advance(2 * time.Hour)
			require.NoError(a.t, renew(a, token))
			return renew(a, token)
		}, code: 40030},
		{name: "an unknown AppID", call: func(a *caller) error {
			_, err := a.client(unknownApp, secret).Refresh(a.t.Context(), a.login(client.ScopeBase).RefreshToken.Reveal())
			return err
		}, code: 40013},
		{name: "a token 30 days old", call: func(a *caller) error {
			token := a.login(client.ScopeBase).RefreshToken
			a.sim.Advance(30 * 24 * time.Hour)
			return renew(a, token)
		}, code: 42002},
		{name: "a changed password", call: func(a *caller) error {
			token := a.login(client.ScopeBase).RefreshToken
			a.sim.ChangePassword("小明")
			return renew(a, token)
		}, code: 42007},
		{name: "plain HTTP", opts: only(wechattest.WithQuirks(wechattest.RequireHTTPS)), call: func(a *caller) error { return renew(a, client.NewSecret("bogus")) }, code: 43003},
	}
}

// userTokenMisuses are those of every call that carries a user's token. unknown
// is the errcode for an unknown token.
func userTokenMisuses(call func(a *caller, token client.Secret, openID string) error, unknown int) []misuse {
	return []misuse{
		{name: "an unknown token", call: func(a *caller) error { return call(a, client.NewSecret("bogus"), "o1") }, code: unknown, want: aboutUserToken},
		{name: "a refresh token", call: func(a *caller) error {
			token := a.login(client.ScopeUserInfo)
			return call(a, token.RefreshToken, token.OpenID)
		}, code: unknown, want: aboutUserToken},
		{name: "the account's token", call: func(a *caller) error {
			return call(a, client.NewSecret(accountToken(a.t, a.sim, appID, secret)), wechattest.OpenID(appID, "小明"))
		}, code: unknown, want: aboutUserToken},
		{name: "a token two hours old", call: func(a *caller) error {
			token := a.login(client.ScopeUserInfo)
			a.sim.Advance(2 * time.Hour)
			return call(a, token.AccessToken, token.OpenID)
		}, code: 42001, want: aboutUserToken},
		{name: "another user's openid", call: func(a *caller) error {
			return call(a, a.login(client.ScopeUserInfo).AccessToken, wechattest.OpenID(appID, "Lin"))
		}, code: 40003},
		{name: "a changed password", call: func(a *caller) error {
			token := a.login(client.ScopeUserInfo)
			a.sim.ChangePassword("小明")
			return call(a, token.AccessToken, token.OpenID)
		}, code: 42007},
		{name: "plain HTTP", opts: only(wechattest.WithQuirks(wechattest.RequireHTTPS)), call: func(a *caller) error { return call(a, client.NewSecret("bogus"), "o1") }, code: 43003},
	}
}

func userInfoMisuses() []misuse {
	call := func(a *caller, token client.Secret, openID string) error {
		_, err := a.account().UserInfo(a.t.Context(), token.Reveal(), openID, client.LangEN)
		return err
	}
	own := func(a *caller) error {
		token := a.login(client.ScopeUserInfo)
		return call(a, token.AccessToken, token.OpenID)
	}
	return append(userTokenMisuses(call, 40001), []misuse{
		{name: "a token of scope snsapi_base", call: func(a *caller) error {
			token := a.login(client.ScopeBase)
			return call(a, token.AccessToken, token.OpenID)
		}, code: 48001},
		{name: "a snapshot page's virtual user", opts: []wechattest.Option{wechattest.WithEnvironment(wechattest.Snapshot), wechattest.WithQuirks(wechattest.SnapshotUserInfoDenied)}, call: own, code: 48001},
		{name: "a user who is restricted", opts: only(wechattest.WithPerson(wechattest.Person{Name: "小明", Limited: true})), call: own, code: 50002},
	}...)
}

func checkTokenMisuses() []misuse {
	return userTokenMisuses(func(a *caller, token client.Secret, openID string) error {
		return a.account().CheckToken(a.t.Context(), token.Reveal(), openID)
	}, 40014)
}

func code2SessionMisuses() []misuse {
	redeem := func(a *caller, code string) error {
		_, err := a.mini().Code2Session(a.t.Context(), code)
		return err
	}
	fresh := func(a *caller) error { return redeem(a, a.sim.WXLogin(miniID, "小明")) }
	twice := func(a *caller) error {
		c := a.sim.WXLogin(miniID, "小明")
		require.NoError(a.t, redeem(a, c))
		return redeem(a, c)
	}
	badSecret := func(a *caller) error {
		_, err := a.client(miniID, wrongSecret).Code2Session(a.t.Context(), a.sim.WXLogin(miniID, "小明"))
		return err
	}
	return []misuse{
		{name: "a wrong AppSecret", call: badSecret, code: 40125},
		{name: "a wrong AppSecret, 40001", opts: only(wechattest.WithQuirks(wechattest.WrongSecret40001)), call: badSecret, code: 40001, want: aboutSecret},
		{name: "an unknown AppID", call: func(a *caller) error {
			_, err := a.client(unknownApp, miniSecret).Code2Session(a.t.Context(), a.sim.WXLogin(miniID, "小明"))
			return err
		}, code: 40013},
		{name: "a frozen AppSecret", opts: only(accountWith(miniID, frozen)), call: fresh, code: 40243},
		{name: "a server of another address", opts: only(accountWith(miniID, addressed)), call: fresh, code: 40164},
		{name: "a code that was never issued", call: func(a *caller) error { return redeem(a, "0bogus") }, code: 40029},
		{name: "a code of the phone number button", call: func(a *caller) error { return redeem(a, a.sim.GetPhoneNumber(miniID, "小明")) }, code: 40029},
		{name: "a code of a web login", call: func(a *caller) error { return redeem(a, code(a.t, a.sim, "snsapi_base")) }, code: 40029},
		{name: "a used code", call: twice, code: 40163},
		{name: "a used code, 40029", opts: only(wechattest.WithQuirks(wechattest.UsedCodeInvalid)), call: twice, code: 40029},
		{name: "a code five minutes old", call: func(a *caller) error {
			c := a.sim.WXLogin(miniID, "小明")
			a.sim.Advance(5 * time.Minute)
			return redeem(a, c)
		}, code: 40029},
		{name: "a high-risk user", opts: only(wechattest.WithPerson(wechattest.Person{Name: "小明", HighRisk: true})), call: fresh, code: 40226},
		{name: "one call too many in a minute", opts: only(wechattest.WithQuota(code2SessionPath, wechattest.Quota{PerMinute: 1})), call: twice, code: 45011},
		{name: "plain HTTP", opts: only(wechattest.WithQuirks(wechattest.RequireHTTPS)), call: fresh, code: 43003},
	}
}

func (a *caller) checkSession(c *client.Client, openID, key string) error {
	return c.CheckSession(a.t.Context(), openID, key)
}

func (a *caller) resetSession(c *client.Client, openID, key string) error {
	_, err := c.ResetSession(a.t.Context(), openID, key)
	return err
}

// accountTokenMisuses are those of every call that carries an account token.
func accountTokenMisuses(call func(a *caller, c *client.Client) error) []misuse {
	return []misuse{
		{name: "an unknown account token", call: func(a *caller) error { return call(a, a.miniWith("bogus")) }, code: 40001, want: aboutAccountToken},
		{name: "a user's token", call: func(a *caller) error {
			return call(a, a.miniWith(a.login(client.ScopeBase).AccessToken.Reveal()))
		}, code: 40001, want: aboutAccountToken},
		{name: "an account token two hours old", call: func(a *caller) error {
			token := accountToken(a.t, a.sim, miniID, miniSecret)
			a.sim.Advance(2 * time.Hour)
			return call(a, a.miniWith(token))
		}, code: 42001, want: aboutAccountToken},
	}
}

func sessionMisuses(call func(a *caller, c *client.Client, openID, key string) error) []misuse {
	openID := wechattest.OpenID(miniID, "小明")
	rows := accountTokenMisuses(func(a *caller, c *client.Client) error { return call(a, c, openID, "key") })
	return append(rows, []misuse{
		{name: "a key that was never issued", call: func(a *caller) error {
			a.miniLogin()
			return call(a, a.mini(), openID, "key")
		}, code: 87009},
		{name: "a replaced key", call: func(a *caller) error {
			old := a.miniLogin()
			_, err := a.mini().ResetSession(a.t.Context(), openID, old.SessionKey.Reveal())
			require.NoError(a.t, err)
			return call(a, a.mini(), openID, old.SessionKey.Reveal())
		}, code: 87009},
		{name: "a user who never logged in", call: func(a *caller) error { return call(a, a.mini(), openID, "key") }, code: 87007},
		{name: "an expired key", call: func(a *caller) error {
			old := a.miniLogin()
			a.sim.Advance(365 * 24 * time.Hour)
			return call(a, a.mini(), openID, old.SessionKey.Reveal())
		}, code: 87007},
		{name: "an openid of another AppID", call: func(a *caller) error {
			return call(a, a.mini(), wechattest.OpenID(appID, "小明"), a.miniLogin().SessionKey.Reveal())
		}, code: 40003},
	}...)
}

func phoneNumberMisuses() []misuse {
	redeem := func(a *caller, code string) error {
		_, err := a.mini().PhoneNumber(a.t.Context(), code)
		return err
	}
	rows := accountTokenMisuses(func(a *caller, c *client.Client) error {
		_, err := c.PhoneNumber(a.t.Context(), a.sim.GetPhoneNumber(miniID, "小明"))
		return err
	})
	return append(rows, []misuse{
		{name: "a code that was never issued", call: func(a *caller) error { return redeem(a, "0bogus") }, code: 40029},
		{name: "a code of wx.login", call: func(a *caller) error { return redeem(a, a.sim.WXLogin(miniID, "小明")) }, code: 40029},
		{name: "a used code", call: func(a *caller) error {
			c := a.sim.GetPhoneNumber(miniID, "小明")
			require.NoError(a.t, redeem(a, c))
			return redeem(a, c)
		}, code: 40029},
		{name: "a code five minutes old", call: func(a *caller) error {
			c := a.sim.GetPhoneNumber(miniID, "小明")
			a.sim.Advance(5 * time.Minute)
			return redeem(a, c)
		}, code: 40029},
	}...)
}

func stableTokenMisuses() []misuse {
	call := func(a *caller, appID, secret string) error {
		_, err := a.client(appID, secret).PhoneNumber(a.t.Context(), "0bogus")
		return err
	}
	own := func(a *caller) error { return call(a, miniID, miniSecret) }
	badSecret := func(a *caller) error { return call(a, miniID, wrongSecret) }
	return []misuse{
		{name: "a wrong AppSecret", call: badSecret, code: 40125},
		{name: "a wrong AppSecret, 40001", opts: only(wechattest.WithQuirks(wechattest.WrongSecret40001)), call: badSecret, code: 40001, want: aboutSecret},
		{name: "an unknown AppID", call: func(a *caller) error { return call(a, unknownApp, miniSecret) }, code: 40013},
		{name: "a frozen AppSecret", opts: only(accountWith(miniID, frozen)), call: own, code: 40243},
		{name: "a server of another address", opts: only(accountWith(miniID, addressed)), call: own, code: 40164},
		{name: "a server of another address, 61004", opts: []wechattest.Option{accountWith(miniID, addressed), wechattest.WithQuirks(wechattest.RefusedIP61004)}, call: own, code: 61004},
		{name: "plain HTTP", opts: only(wechattest.WithQuirks(wechattest.RequireHTTPS)), call: own, code: 43003},
	}
}

// platformMisuses are those of every call that a platform makes for the account
// target; they are detected before the code or token.
func platformMisuses(target string, call func(a *caller, c *client.Client, value string) error) []misuse {
	with := func(target string, token func(a *caller) string) func(a *caller) error {
		return func(a *caller) error { return call(a, a.asPlatform(target, token(a)), "0bogus") }
	}
	own := func(a *caller) string { return a.sim.ComponentToken(platform) }
	return []misuse{
		{name: "an unknown platform token", call: with(target, func(*caller) string { return "bogus" }), code: 40094},
		{name: "a platform token two hours old", call: with(target, func(a *caller) string {
			token := a.sim.ComponentToken(platform)
			a.sim.Advance(2 * time.Hour)
			return token
		}), code: 42001, want: aboutPlatform},
		{name: "an account's token", call: with(target, func(a *caller) string { return accountToken(a.t, a.sim, miniID, miniSecret) }), code: 48001},
		{name: "an unknown AppID", call: with(unknownApp, own), code: 40013},
		{name: "a platform at another address", opts: only(accountWith(platform, addressed)), call: with(target, own), code: 61004},
		{name: "an account that has not authorized the platform", opts: only(accountWith(target, strange)), call: with(target, own), code: 61003},
		{name: "plain HTTP", opts: only(wechattest.WithQuirks(wechattest.RequireHTTPS)), call: with(target, own), code: 43003},
	}
}

func (a *caller) platformExchange(c *client.Client, code string) error {
	_, err := c.Exchange(a.t.Context(), code)
	return err
}

func (a *caller) platformRefresh(c *client.Client, token string) error {
	_, err := c.Refresh(a.t.Context(), token)
	return err
}

func (a *caller) platformMiniLogin(c *client.Client, code string) error {
	_, err := c.Code2Session(a.t.Context(), code)
	return err
}

// forAccount returns a client that acts for an account correctly.
func (a *caller) forAccount(appID string) *client.Client {
	return a.asPlatform(appID, a.sim.ComponentToken(platform))
}

func platformExchangeMisuses() []misuse {
	redeem := func(a *caller, code string) error { return a.platformExchange(a.forAccount(appID), code) }
	return append(platformMisuses(appID, (*caller).platformExchange), []misuse{
		{name: "a code that was never issued", call: func(a *caller) error { return redeem(a, "0bogus") }, code: 40029},
		{name: "a code of the account's own login", call: func(a *caller) error { return redeem(a, code(a.t, a.sim, "snsapi_base")) }, code: 40029},
		{name: "a used code", call: func(a *caller) error {
			c := a.platformCode()
			require.NoError(a.t, redeem(a, c))
			return redeem(a, c)
		}, code: 40163},
		{name: "a code five minutes old", call: func(a *caller) error {
			c := a.platformCode()
			a.sim.Advance(5 * time.Minute)
			return redeem(a, c)
		}, code: 40029},
	}...)
}

func platformRefreshMisuses() []misuse {
	renew := func(a *caller, token client.Secret) error {
		return a.platformRefresh(a.forAccount(appID), token.Reveal())
	}
	return append(platformMisuses(appID, (*caller).platformRefresh), []misuse{
		{name: "an unknown token", call: func(a *caller) error { return renew(a, client.NewSecret("bogus")) }, code: 40030},
		{name: "a token of the account's own login", call: func(a *caller) error { return renew(a, a.login(client.ScopeBase).RefreshToken) }, code: 40030},
		{name: "a token 30 days old", call: func(a *caller) error {
			token := a.platformLogin().RefreshToken
			a.sim.Advance(30 * 24 * time.Hour)
			return renew(a, token)
		}, code: 42002},
		{name: "a changed password", call: func(a *caller) error {
			token := a.platformLogin().RefreshToken
			a.sim.ChangePassword("小明")
			return renew(a, token)
		}, code: 42007},
	}...)
}

func platformMiniLoginMisuses() []misuse {
	redeem := func(a *caller, code string) error { return a.platformMiniLogin(a.forAccount(miniID), code) }
	return append(platformMisuses(miniID, (*caller).platformMiniLogin), []misuse{
		{name: "a code of the phone number button", call: func(a *caller) error { return redeem(a, a.sim.GetPhoneNumber(miniID, "小明")) }, code: 40029},
		{name: "a used code", call: func(a *caller) error {
			c := a.sim.WXLogin(miniID, "小明")
			require.NoError(a.t, redeem(a, c))
			return redeem(a, c)
		}, code: 40163},
		{name: "a high-risk user", opts: only(wechattest.WithPerson(wechattest.Person{Name: "小明", HighRisk: true})), call: func(a *caller) error {
			return redeem(a, a.sim.WXLogin(miniID, "小明"))
		}, code: 40226},
	}...)
}
