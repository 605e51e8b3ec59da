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
	elsewhere   = "192.0.2.7" // an address that is not ours
)

// accountWith declares the default accounts, one of them changed.
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

// misuse is one real mistake, and what package client is told and makes of it.
type misuse struct {
	name string
	opts []wechattest.Option
	ask  func(a *asker) error
	code int
	want verdict // empty: that of verdicts
}

// TestClientIsToldOfEveryMisuse makes the mistakes that WeChat's errcodes are
// about, instead of scripting the errcode.
func TestClientIsToldOfEveryMisuse(t *testing.T) {
	var answers atomic.Int64
	t.Run("endpoint", func(t *testing.T) {
		for path, rows := range map[string][]misuse{
			exchangePath:          exchangeMisuses(),
			refreshPath:           refreshMisuses(),
			userInfoPath:          userInfoMisuses(),
			checkTokenPath:        checkTokenMisuses(),
			code2SessionPath:      code2SessionMisuses(),
			checkSessionPath:      sessionMisuses((*asker).checkSession),
			resetSessionPath:      sessionMisuses((*asker).resetSession),
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
						a := newAsker(t, row.opts...)
						want := row.want
						if want == (verdict{}) {
							var known bool
							want, known = verdicts[row.code]
							require.True(t, known, "no verdict about %d", row.code)
						}
						a.assertRefused(row.ask(a), path, row.code, want)
						answers.Add(1)
					})
				}
			})
		}
	})
	t.Logf("answers %d", answers.Load())
}

func exchangeMisuses() []misuse {
	redeem := func(a *asker, code string) error {
		_, err := a.account().Exchange(a.t.Context(), code)
		return err
	}
	fresh := func(a *asker) error { return redeem(a, code(a.t, a.sim, "snsapi_base")) }
	twice := func(a *asker) error {
		c := code(a.t, a.sim, "snsapi_base")
		require.NoError(a.t, redeem(a, c))
		return redeem(a, c)
	}
	badSecret := func(a *asker) error {
		_, err := a.client(appID, wrongSecret).Exchange(a.t.Context(), code(a.t, a.sim, "snsapi_base"))
		return err
	}
	return []misuse{
		{name: "a wrong AppSecret", ask: badSecret, code: 40125},
		{name: "a wrong AppSecret, told otherwise", opts: only(wechattest.WithQuirks(wechattest.WrongSecret40001)), ask: badSecret, code: 40001, want: aboutSecret},
		{name: "a wrong AppSecret burns the code", opts: only(wechattest.WithQuirks(wechattest.FailureBurnsCode)), ask: func(a *asker) error {
			c := code(a.t, a.sim, "snsapi_base")
			_, err := a.client(appID, wrongSecret).Exchange(a.t.Context(), c)
			require.ErrorIs(a.t, err, client.ErrAppSecret)
			return redeem(a, c)
		}, code: 40163},
		{name: "an AppID of nobody", ask: func(a *asker) error {
			_, err := a.client(unknownApp, secret).Exchange(a.t.Context(), code(a.t, a.sim, "snsapi_base"))
			return err
		}, code: 40013},
		{name: "a frozen AppSecret", opts: only(accountWith(appID, frozen)), ask: fresh, code: 40243},
		{name: "a server of another address", opts: only(accountWith(appID, addressed)), ask: fresh, code: 40164},
		{name: "a server of another address, told otherwise", opts: []wechattest.Option{accountWith(appID, addressed), wechattest.WithQuirks(wechattest.RefusedIP61004)}, ask: fresh, code: 61004},
		{name: "a code that was never given out", ask: func(a *asker) error { return redeem(a, "0bogus") }, code: 40029},
		{name: "a code for the second time", ask: twice, code: 40163},
		{name: "a code for the second time, told otherwise", opts: only(wechattest.WithQuirks(wechattest.UsedCodeInvalid)), ask: twice, code: 40029},
		{name: "a code five minutes old", ask: func(a *asker) error {
			c := code(a.t, a.sim, "snsapi_base")
			a.sim.Advance(5 * time.Minute)
			return redeem(a, c)
		}, code: 40029},
		{name: "a website's code ten minutes old", ask: func(a *asker) error {
			c := a.websiteCode()
			a.sim.Advance(10 * time.Minute)
			_, err := a.client(siteID, siteSecret).Exchange(a.t.Context(), c)
			return err
		}, code: 40029},
		{name: "a code of another AppID", ask: func(a *asker) error { return redeem(a, a.websiteCode()) }, code: 40029},
		{name: "a code of wx.login", ask: func(a *asker) error { return redeem(a, a.sim.WXLogin(miniID, "小明")) }, code: 40029},
		{name: "a code that a platform asked for", ask: func(a *asker) error { return redeem(a, a.platformCode()) }, code: 40029},
		{name: "plain HTTP", opts: only(wechattest.WithQuirks(wechattest.RequireHTTPS)), ask: fresh, code: 43003},
		{name: "one call too many in a minute", opts: only(wechattest.WithQuota(exchangePath, wechattest.Quota{PerMinute: 1})), ask: twice, code: 45011},
		{name: "one call too many in a day", opts: only(wechattest.WithQuota(exchangePath, wechattest.Quota{PerDay: 1})), ask: twice, code: 45009},
	}
}

func (a *asker) websiteCode() string {
	callback, err := a.sim.CallbackURL(desk(), a.client(siteID, siteSecret).QRConnectURL(loopback, "s1"))
	require.NoError(a.t, err)
	return codeOf(a.t, callback)
}

func refreshMisuses() []misuse {
	renew := func(a *asker, token client.Secret) error {
		_, err := a.account().Refresh(a.t.Context(), token.Reveal())
		return err
	}
	return []misuse{
		{name: "no token of WeChat's", ask: func(a *asker) error { return renew(a, client.NewSecret("bogus")) }, code: 40030},
		{name: "an access token", ask: func(a *asker) error { return renew(a, a.login(client.ScopeBase).AccessToken) }, code: 40030},
		{name: "a token of another AppID", ask: func(a *asker) error {
			_, err := a.client(siteID, siteSecret).Refresh(a.t.Context(), a.login(client.ScopeBase).RefreshToken.Reveal())
			return err
		}, code: 40030},
		{name: "a token that a platform got", ask: func(a *asker) error { return renew(a, a.platformLogin().RefreshToken) }, code: 40030},
		{name: "a token that was replaced", opts: only(wechattest.WithQuirks(wechattest.RotateRefreshToken)), ask: func(a *asker) error {
			token := a.login(client.ScopeBase).RefreshToken
			a.sim.Advance(2 * time.Hour)
			require.NoError(a.t, renew(a, token))
			return renew(a, token)
		}, code: 40030},
		{name: "an AppID of nobody", ask: func(a *asker) error {
			_, err := a.client(unknownApp, secret).Refresh(a.t.Context(), a.login(client.ScopeBase).RefreshToken.Reveal())
			return err
		}, code: 40013},
		{name: "a token 30 days old", ask: func(a *asker) error {
			token := a.login(client.ScopeBase).RefreshToken
			a.sim.Advance(30 * 24 * time.Hour)
			return renew(a, token)
		}, code: 42002},
		{name: "a password that was changed", ask: func(a *asker) error {
			token := a.login(client.ScopeBase).RefreshToken
			a.sim.ChangePassword("小明")
			return renew(a, token)
		}, code: 42007},
		{name: "plain HTTP", opts: only(wechattest.WithQuirks(wechattest.RequireHTTPS)), ask: func(a *asker) error { return renew(a, client.NewSecret("bogus")) }, code: 43003},
	}
}

// userTokenMisuses are those of every call that carries a user's token.
// unknown is what the endpoint says to a token that it does not know.
func userTokenMisuses(ask func(a *asker, token client.Secret, openID string) error, unknown int) []misuse {
	return []misuse{
		{name: "no token of WeChat's", ask: func(a *asker) error { return ask(a, client.NewSecret("bogus"), "o1") }, code: unknown, want: aboutUserToken},
		{name: "a refresh token", ask: func(a *asker) error {
			token := a.login(client.ScopeUserInfo)
			return ask(a, token.RefreshToken, token.OpenID)
		}, code: unknown, want: aboutUserToken},
		{name: "the account's token", ask: func(a *asker) error {
			return ask(a, client.NewSecret(accountToken(a.t, a.sim, appID, secret)), wechattest.OpenID(appID, "小明"))
		}, code: unknown, want: aboutUserToken},
		{name: "a token two hours old", ask: func(a *asker) error {
			token := a.login(client.ScopeUserInfo)
			a.sim.Advance(2 * time.Hour)
			return ask(a, token.AccessToken, token.OpenID)
		}, code: 42001, want: aboutUserToken},
		{name: "another user's openid", ask: func(a *asker) error {
			return ask(a, a.login(client.ScopeUserInfo).AccessToken, wechattest.OpenID(appID, "Lin"))
		}, code: 40003},
		{name: "a password that was changed", ask: func(a *asker) error {
			token := a.login(client.ScopeUserInfo)
			a.sim.ChangePassword("小明")
			return ask(a, token.AccessToken, token.OpenID)
		}, code: 42007},
		{name: "plain HTTP", opts: only(wechattest.WithQuirks(wechattest.RequireHTTPS)), ask: func(a *asker) error { return ask(a, client.NewSecret("bogus"), "o1") }, code: 43003},
	}
}

func userInfoMisuses() []misuse {
	ask := func(a *asker, token client.Secret, openID string) error {
		_, err := a.account().UserInfo(a.t.Context(), token.Reveal(), openID, client.LangEN)
		return err
	}
	own := func(a *asker) error {
		token := a.login(client.ScopeUserInfo)
		return ask(a, token.AccessToken, token.OpenID)
	}
	return append(userTokenMisuses(ask, 40001), []misuse{
		{name: "a token of scope snsapi_base", ask: func(a *asker) error {
			token := a.login(client.ScopeBase)
			return ask(a, token.AccessToken, token.OpenID)
		}, code: 48001},
		{name: "a snapshot page's virtual user", opts: []wechattest.Option{wechattest.WithEnvironment(wechattest.Snapshot), wechattest.WithQuirks(wechattest.SnapshotUserInfoDenied)}, ask: own, code: 48001},
		{name: "a user who is restricted", opts: only(wechattest.WithPerson(wechattest.Person{Name: "小明", Limited: true})), ask: own, code: 50002},
	}...)
}

func checkTokenMisuses() []misuse {
	return userTokenMisuses(func(a *asker, token client.Secret, openID string) error {
		return a.account().CheckToken(a.t.Context(), token.Reveal(), openID)
	}, 40014)
}

func code2SessionMisuses() []misuse {
	redeem := func(a *asker, code string) error {
		_, err := a.mini().Code2Session(a.t.Context(), code)
		return err
	}
	fresh := func(a *asker) error { return redeem(a, a.sim.WXLogin(miniID, "小明")) }
	twice := func(a *asker) error {
		c := a.sim.WXLogin(miniID, "小明")
		require.NoError(a.t, redeem(a, c))
		return redeem(a, c)
	}
	badSecret := func(a *asker) error {
		_, err := a.client(miniID, wrongSecret).Code2Session(a.t.Context(), a.sim.WXLogin(miniID, "小明"))
		return err
	}
	return []misuse{
		{name: "a wrong AppSecret", ask: badSecret, code: 40125},
		{name: "a wrong AppSecret, told otherwise", opts: only(wechattest.WithQuirks(wechattest.WrongSecret40001)), ask: badSecret, code: 40001, want: aboutSecret},
		{name: "an AppID of nobody", ask: func(a *asker) error {
			_, err := a.client(unknownApp, miniSecret).Code2Session(a.t.Context(), a.sim.WXLogin(miniID, "小明"))
			return err
		}, code: 40013},
		{name: "a frozen AppSecret", opts: only(accountWith(miniID, frozen)), ask: fresh, code: 40243},
		{name: "a server of another address", opts: only(accountWith(miniID, addressed)), ask: fresh, code: 40164},
		{name: "a code that was never given out", ask: func(a *asker) error { return redeem(a, "0bogus") }, code: 40029},
		{name: "a code of the phone number button", ask: func(a *asker) error { return redeem(a, a.sim.GetPhoneNumber(miniID, "小明")) }, code: 40029},
		{name: "a code of a web login", ask: func(a *asker) error { return redeem(a, code(a.t, a.sim, "snsapi_base")) }, code: 40029},
		{name: "a code for the second time", ask: twice, code: 40163},
		{name: "a code for the second time, told otherwise", opts: only(wechattest.WithQuirks(wechattest.UsedCodeInvalid)), ask: twice, code: 40029},
		{name: "a code five minutes old", ask: func(a *asker) error {
			c := a.sim.WXLogin(miniID, "小明")
			a.sim.Advance(5 * time.Minute)
			return redeem(a, c)
		}, code: 40029},
		{name: "a high-risk user", opts: only(wechattest.WithPerson(wechattest.Person{Name: "小明", HighRisk: true})), ask: fresh, code: 40226},
		{name: "one call too many in a minute", opts: only(wechattest.WithQuota(code2SessionPath, wechattest.Quota{PerMinute: 1})), ask: twice, code: 45011},
		{name: "plain HTTP", opts: only(wechattest.WithQuirks(wechattest.RequireHTTPS)), ask: fresh, code: 43003},
	}
}

func (a *asker) checkSession(c *client.Client, openID, key string) error {
	return c.CheckSession(a.t.Context(), openID, key)
}

func (a *asker) resetSession(c *client.Client, openID, key string) error {
	_, err := c.ResetSession(a.t.Context(), openID, key)
	return err
}

// accountTokenMisuses are those of every call that carries the account's token.
func accountTokenMisuses(ask func(a *asker, c *client.Client) error) []misuse {
	return []misuse{
		{name: "no account token of WeChat's", ask: func(a *asker) error { return ask(a, a.miniWith("bogus")) }, code: 40001, want: aboutAccountToken},
		{name: "a user's token", ask: func(a *asker) error {
			return ask(a, a.miniWith(a.login(client.ScopeBase).AccessToken.Reveal()))
		}, code: 40001, want: aboutAccountToken},
		{name: "an account token two hours old", ask: func(a *asker) error {
			token := accountToken(a.t, a.sim, miniID, miniSecret)
			a.sim.Advance(2 * time.Hour)
			return ask(a, a.miniWith(token))
		}, code: 42001, want: aboutAccountToken},
	}
}

func sessionMisuses(ask func(a *asker, c *client.Client, openID, key string) error) []misuse {
	openID := wechattest.OpenID(miniID, "小明")
	rows := accountTokenMisuses(func(a *asker, c *client.Client) error { return ask(a, c, openID, "key") })
	return append(rows, []misuse{
		{name: "a key that was never given out", ask: func(a *asker) error {
			a.miniLogin()
			return ask(a, a.mini(), openID, "key")
		}, code: 87009},
		{name: "a key that was replaced", ask: func(a *asker) error {
			old := a.miniLogin()
			_, err := a.mini().ResetSession(a.t.Context(), openID, old.SessionKey.Reveal())
			require.NoError(a.t, err)
			return ask(a, a.mini(), openID, old.SessionKey.Reveal())
		}, code: 87009},
		{name: "a user who never logged in", ask: func(a *asker) error { return ask(a, a.mini(), openID, "key") }, code: 87007},
		{name: "a key of long ago", ask: func(a *asker) error {
			old := a.miniLogin()
			a.sim.Advance(365 * 24 * time.Hour)
			return ask(a, a.mini(), openID, old.SessionKey.Reveal())
		}, code: 87007},
		{name: "an openid of another AppID", ask: func(a *asker) error {
			return ask(a, a.mini(), wechattest.OpenID(appID, "小明"), a.miniLogin().SessionKey.Reveal())
		}, code: 40003},
	}...)
}

func phoneNumberMisuses() []misuse {
	redeem := func(a *asker, code string) error {
		_, err := a.mini().PhoneNumber(a.t.Context(), code)
		return err
	}
	rows := accountTokenMisuses(func(a *asker, c *client.Client) error {
		_, err := c.PhoneNumber(a.t.Context(), a.sim.GetPhoneNumber(miniID, "小明"))
		return err
	})
	return append(rows, []misuse{
		{name: "a code that was never given out", ask: func(a *asker) error { return redeem(a, "0bogus") }, code: 40029},
		{name: "a code of wx.login", ask: func(a *asker) error { return redeem(a, a.sim.WXLogin(miniID, "小明")) }, code: 40029},
		{name: "a code for the second time", ask: func(a *asker) error {
			c := a.sim.GetPhoneNumber(miniID, "小明")
			require.NoError(a.t, redeem(a, c))
			return redeem(a, c)
		}, code: 40029},
		{name: "a code five minutes old", ask: func(a *asker) error {
			c := a.sim.GetPhoneNumber(miniID, "小明")
			a.sim.Advance(5 * time.Minute)
			return redeem(a, c)
		}, code: 40029},
	}...)
}

func stableTokenMisuses() []misuse {
	ask := func(a *asker, appID, secret string) error {
		_, err := a.client(appID, secret).PhoneNumber(a.t.Context(), "0bogus")
		return err
	}
	own := func(a *asker) error { return ask(a, miniID, miniSecret) }
	badSecret := func(a *asker) error { return ask(a, miniID, wrongSecret) }
	return []misuse{
		{name: "a wrong AppSecret", ask: badSecret, code: 40125},
		{name: "a wrong AppSecret, told otherwise", opts: only(wechattest.WithQuirks(wechattest.WrongSecret40001)), ask: badSecret, code: 40001, want: aboutSecret},
		{name: "an AppID of nobody", ask: func(a *asker) error { return ask(a, unknownApp, miniSecret) }, code: 40013},
		{name: "a frozen AppSecret", opts: only(accountWith(miniID, frozen)), ask: own, code: 40243},
		{name: "a server of another address", opts: only(accountWith(miniID, addressed)), ask: own, code: 40164},
		{name: "a server of another address, told otherwise", opts: []wechattest.Option{accountWith(miniID, addressed), wechattest.WithQuirks(wechattest.RefusedIP61004)}, ask: own, code: 61004},
		{name: "plain HTTP", opts: only(wechattest.WithQuirks(wechattest.RequireHTTPS)), ask: own, code: 43003},
	}
}

// platformMisuses are those of every call that a platform makes for the
// account target; they are found out before its code or token is looked at.
func platformMisuses(target string, ask func(a *asker, c *client.Client, value string) error) []misuse {
	with := func(target string, token func(a *asker) string) func(a *asker) error {
		return func(a *asker) error { return ask(a, a.asPlatform(target, token(a)), "0bogus") }
	}
	own := func(a *asker) string { return a.sim.ComponentToken(platform) }
	return []misuse{
		{name: "no platform token of WeChat's", ask: with(target, func(*asker) string { return "bogus" }), code: 40094},
		{name: "a platform token two hours old", ask: with(target, func(a *asker) string {
			token := a.sim.ComponentToken(platform)
			a.sim.Advance(2 * time.Hour)
			return token
		}), code: 42001, want: aboutPlatform},
		{name: "an account's token", ask: with(target, func(a *asker) string { return accountToken(a.t, a.sim, miniID, miniSecret) }), code: 48001},
		{name: "an AppID of nobody", ask: with(unknownApp, own), code: 40013},
		{name: "a platform at another address", opts: only(accountWith(platform, addressed)), ask: with(target, own), code: 61004},
		{name: "an account that has not authorized the platform", opts: only(accountWith(target, strange)), ask: with(target, own), code: 61003},
		{name: "plain HTTP", opts: only(wechattest.WithQuirks(wechattest.RequireHTTPS)), ask: with(target, own), code: 43003},
	}
}

func (a *asker) platformExchange(c *client.Client, code string) error {
	_, err := c.Exchange(a.t.Context(), code)
	return err
}

func (a *asker) platformRefresh(c *client.Client, token string) error {
	_, err := c.Refresh(a.t.Context(), token)
	return err
}

func (a *asker) platformMiniLogin(c *client.Client, code string) error {
	_, err := c.Code2Session(a.t.Context(), code)
	return err
}

// forAccount acts for an account as it should.
func (a *asker) forAccount(appID string) *client.Client {
	return a.asPlatform(appID, a.sim.ComponentToken(platform))
}

func platformExchangeMisuses() []misuse {
	redeem := func(a *asker, code string) error { return a.platformExchange(a.forAccount(appID), code) }
	return append(platformMisuses(appID, (*asker).platformExchange), []misuse{
		{name: "a code that was never given out", ask: func(a *asker) error { return redeem(a, "0bogus") }, code: 40029},
		{name: "a code that the account asked for", ask: func(a *asker) error { return redeem(a, code(a.t, a.sim, "snsapi_base")) }, code: 40029},
		{name: "a code for the second time", ask: func(a *asker) error {
			c := a.platformCode()
			require.NoError(a.t, redeem(a, c))
			return redeem(a, c)
		}, code: 40163},
		{name: "a code five minutes old", ask: func(a *asker) error {
			c := a.platformCode()
			a.sim.Advance(5 * time.Minute)
			return redeem(a, c)
		}, code: 40029},
	}...)
}

func platformRefreshMisuses() []misuse {
	renew := func(a *asker, token client.Secret) error {
		return a.platformRefresh(a.forAccount(appID), token.Reveal())
	}
	return append(platformMisuses(appID, (*asker).platformRefresh), []misuse{
		{name: "no token of WeChat's", ask: func(a *asker) error { return renew(a, client.NewSecret("bogus")) }, code: 40030},
		{name: "a token that the account got", ask: func(a *asker) error { return renew(a, a.login(client.ScopeBase).RefreshToken) }, code: 40030},
		{name: "a token 30 days old", ask: func(a *asker) error {
			token := a.platformLogin().RefreshToken
			a.sim.Advance(30 * 24 * time.Hour)
			return renew(a, token)
		}, code: 42002},
		{name: "a password that was changed", ask: func(a *asker) error {
			token := a.platformLogin().RefreshToken
			a.sim.ChangePassword("小明")
			return renew(a, token)
		}, code: 42007},
	}...)
}

func platformMiniLoginMisuses() []misuse {
	redeem := func(a *asker, code string) error { return a.platformMiniLogin(a.forAccount(miniID), code) }
	return append(platformMisuses(miniID, (*asker).platformMiniLogin), []misuse{
		{name: "a code of the phone number button", ask: func(a *asker) error { return redeem(a, a.sim.GetPhoneNumber(miniID, "小明")) }, code: 40029},
		{name: "a code for the second time", ask: func(a *asker) error {
			c := a.sim.WXLogin(miniID, "小明")
			require.NoError(a.t, redeem(a, c))
			return redeem(a, c)
		}, code: 40163},
		{name: "a high-risk user", opts: only(wechattest.WithPerson(wechattest.Person{Name: "小明", HighRisk: true})), ask: func(a *asker) error {
			return redeem(a, a.sim.WXLogin(miniID, "小明"))
		}, code: 40226},
	}...)
}
