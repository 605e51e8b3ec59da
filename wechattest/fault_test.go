package wechattest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/wechattest"
)

// tryExchange makes one exchange and returns its result.
func tryExchange(ctx context.Context, sim *wechattest.Server, code string) (status int, text string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, sim.URL+"/"+exchangePath+"?"+values([]string{
		"appid", appID, "secret", secret, "code", code, "grant_type", "authorization_code",
	}).Encode(), nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

func TestServer_Fail(t *testing.T) {
	tests := map[string]struct {
		fault wechattest.Fault
		check func(t *testing.T, status int, text string, err error)
		spent bool
	}{
		"busy": {wechattest.Busy(), func(t *testing.T, status int, text string, err error) {
			require.Regexp(t, `^\{"errcode":-1,"errmsg":"system error, rid: `, text)
		}, false},
		"reset": {wechattest.Reset(), func(t *testing.T, status int, text string, err error) {
			require.ErrorIs(t, err, syscall.ECONNRESET)
		}, false},
		"reset after processing": {wechattest.Reset().AfterProcessing(), func(t *testing.T, status int, text string, err error) {
			require.ErrorIs(t, err, syscall.ECONNRESET)
		}, true},
		"502": {wechattest.BadGateway(), func(t *testing.T, status int, text string, err error) {
			require.Equal(t, http.StatusBadGateway, status)
			require.Contains(t, text, "<h1>502 Bad Gateway</h1>")
		}, false},
		"502 after processing": {wechattest.BadGateway().AfterProcessing(), func(t *testing.T, status int, text string, err error) {
			require.Equal(t, http.StatusBadGateway, status)
		}, true},
		"truncated": {wechattest.Truncated(), func(t *testing.T, status int, text string, err error) {
			require.True(t, strings.HasPrefix(text, `{"access_token":"`))
			require.NotContains(t, text, "}")
		}, true},
		"errcode 0": {wechattest.ErrcodeZero(), func(t *testing.T, status int, text string, err error) {
			require.Regexp(t, `^\{"access_token":.*"scope":"snsapi_base","errcode":0,"errmsg":"ok"\}$`, text)
		}, true},
		"raw": {wechattest.Raw(418, "text/plain", "tea"), func(t *testing.T, status int, text string, err error) {
			require.Equal(t, 418, status)
			require.Equal(t, "tea", text)
		}, false},
		"delay": {wechattest.Delay(time.Millisecond), func(t *testing.T, status int, text string, err error) {
			require.Contains(t, text, `"openid"`)
		}, true},
		"none": {wechattest.Fault{}, func(t *testing.T, status int, text string, err error) {
			require.Contains(t, text, `"openid"`)
		}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			sim := simulator(t)
			c := code(t, sim, "snsapi_base")
			sim.Fail("/"+exchangePath, tt.fault)
			status, text, err := tryExchange(t.Context(), sim, c)
			tt.check(t, status, text, err)
			a := exchange(t, sim, c) // the next call succeeds
			require.Equal(t, tt.spent, a.errcode() == 40163, a)
			require.Equal(t, !tt.spent, a.errcode() == 0, a)
		})
	}
	t.Run("errcode as a string", func(t *testing.T) {
		sim := simulator(t, wechattest.WithFault(exchangePath, wechattest.ErrcodeAsString()))
		_, text, err := tryExchange(t.Context(), sim, "0bogus")
		require.NoError(t, err)
		require.Regexp(t, `^\{"errcode":"40029","errmsg":`, text)
	})
	t.Run("40001 once, right after the exchange", func(t *testing.T) {
		sim := simulator(t)
		a := token(t, sim, "snsapi_userinfo")
		sim.Fail("sns/userinfo", wechattest.Fault{}, wechattest.Errcode(40001))
		require.Zero(t, profile(t, sim, a).errcode(), "the zero Fault has no effect")
		require.Equal(t, 40001, profile(t, sim, a).errcode())
		calls := sim.Journal()
		require.Equal(t, "errcode:40001", calls[len(calls)-1].Fault)
		require.Empty(t, calls[len(calls)-2].Fault)
		require.Zero(t, profile(t, sim, a).errcode())
	})
}

func TestHang(t *testing.T) {
	for name, fault := range map[string]wechattest.Fault{"hang": wechattest.Hang(), "after processing": wechattest.Hang().AfterProcessing(), "long delay": wechattest.Delay(time.Hour)} {
		t.Run(name, func(t *testing.T) {
			sim := simulator(t)
			sim.Fail(exchangePath, fault)
			ctx, cancel := context.WithCancel(t.Context())
			failed := make(chan error, 1)
			go func() {
				_, _, err := tryExchange(ctx, sim, "0bogus")
				failed <- err
			}()
			require.NoError(t, sim.WaitForCalls(soon(t), exchangePath, 1))
			cancel()
			require.ErrorIs(t, <-failed, context.Canceled)

			sim.Fail(exchangePath, fault)
			go func() {
				_, _, err := tryExchange(t.Context(), sim, "0bogus")
				failed <- err
			}()
			require.NoError(t, sim.WaitForCalls(soon(t), exchangePath, 2))
			sim.Close()
			require.Error(t, <-failed)
		})
	}
}

func TestServer_Block(t *testing.T) {
	sim := simulator(t)
	c := code(t, sim, "snsapi_base")
	release := sim.Block(exchangePath)
	responses := make(chan string, 1)
	go func() {
		_, text, _ := tryExchange(t.Context(), sim, c)
		responses <- text
	}()
	require.NoError(t, sim.WaitForCalls(soon(t), exchangePath, 1))
	require.Equal(t, 1, sim.Count(exchangePath), "the call is counted")
	require.Empty(t, responses, "the call is held")
	sim.Advance(5 * time.Minute)
	release()
	release()
	require.Contains(t, <-responses, "40029", "the call took effect only after the release: the code had expired")
	require.Equal(t, 40029, exchange(t, sim, c).errcode(), "later calls are not held")
}

func TestServer_WaitForCalls(t *testing.T) {
	sim := simulator(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, sim.WaitForCalls(ctx, exchangePath, 1), context.Canceled)
	sim.Close()
	require.ErrorContains(t, sim.WaitForCalls(t.Context(), exchangePath, 1), "closed")
}

func TestServer_PanicsOnUnknownNames(t *testing.T) {
	sim := simulator(t)
	for name, f := range map[string]func(){
		"Fail":             func() { sim.Fail("sns/oauth/access_token", wechattest.Busy()) },
		"Block":            func() { sim.Block("sns/oauth/access_token") },
		"SetPerson":        func() { sim.SetPerson("unknown") },
		"SetEnvironment":   func() { sim.SetEnvironment("nowhere") },
		"SetQuirk":         func() { sim.SetQuirk("nothing", true) },
		"WXLogin, person":  func() { sim.WXLogin(miniID, "unknown") },
		"WXLogin, account": func() { sim.WXLogin(appID, "Lin") },
		"GetPhoneNumber":   func() { sim.GetPhoneNumber(appID, "Lin") },
		"UserPayload":      func() { sim.UserPayload(appID, "Lin") },
		"ComponentToken":   func() { sim.ComponentToken(appID) },
		"VerifyTicket":     func() { sim.VerifyTicket(appID) },
		"ChangePassword":   func() { sim.ChangePassword("unknown") },
	} {
		require.Panics(t, f, name)
	}
}

func TestParseFault(t *testing.T) {
	for _, f := range []wechattest.Fault{
		wechattest.Busy(), wechattest.Errcode(40029), wechattest.Delay(3 * time.Second), wechattest.Hang(), wechattest.Reset(),
		wechattest.BadGateway(), wechattest.Truncated(), wechattest.ErrcodeAsString(), wechattest.ErrcodeZero(),
		wechattest.Hang().AfterProcessing(), wechattest.Reset().AfterProcessing(), wechattest.BadGateway().AfterProcessing(),
	} {
		parsed, err := wechattest.ParseFault(f.String())
		require.NoError(t, err)
		require.Equal(t, f, parsed)
	}
	for _, name := range []string{"", "bogus", "errcode", "errcode:x", "errcode:0", "delay", "delay:-1s"} {
		_, err := wechattest.ParseFault(name)
		require.Error(t, err, name)
	}
}

func TestQuotas(t *testing.T) {
	t.Run("per minute, per AppID", func(t *testing.T) {
		sim := simulator(t, wechattest.WithQuota(exchangePath, wechattest.Quota{PerMinute: 2}))
		for range 2 {
			require.Equal(t, 40029, exchange(t, sim, "0bogus").errcode())
		}
		a := exchange(t, sim, "0bogus")
		require.Equal(t, 45011, a.errcode())
		require.Contains(t, a.text("errmsg"), "api minute-quota reach limit mustslower retry next minute")
		other := []string{"appid", siteID, "secret", siteSecret, "code", "0bogus", "grant_type", "authorization_code"}
		require.Equal(t, 40029, get(t, sim, exchangePath, other...).errcode())
		sim.Advance(time.Minute)
		require.Equal(t, 40029, exchange(t, sim, "0bogus").errcode())
	})
	t.Run("per day", func(t *testing.T) {
		sim := simulator(t, wechattest.WithQuota(exchangePath, wechattest.Quota{PerDay: 1}))
		require.Equal(t, 40029, exchange(t, sim, "0bogus").errcode())
		sim.Advance(time.Hour)
		require.Equal(t, 45009, exchange(t, sim, "0bogus").errcode())
		sim.Advance(24 * time.Hour)
		require.Equal(t, 40029, exchange(t, sim, "0bogus").errcode())
	})
	t.Run("of the authorize page, per person", func(t *testing.T) {
		sim := simulator(t, wechattest.WithQuota(authorizePath, wechattest.Quota{PerMinute: 1}))
		code(t, sim, "snsapi_base")
		_, page := open(t, phone(), authorizeURL(sim, loopback, "snsapi_base"))
		require.Contains(t, page, "操作太频繁了，请稍后重试")
		sim.SetPerson("Lin")
		code(t, sim, "snsapi_base")
	})
	t.Run("per AppID of a token or body", func(t *testing.T) {
		user := func(path string) func(*wechattest.Server, string) response {
			return func(sim *wechattest.Server, id string) response {
				a := exchange(t, sim, code(t, sim, "snsapi_userinfo"))
				if id != appID {
					callback, err := sim.CallbackURL(computer(), qrURL(sim, loopback))
					require.NoError(t, err)
					a = siteToken(t, sim, codeOf(t, callback))
				}
				return get(t, sim, path, "access_token", a.text("access_token"), "openid", a.text("openid"))
			}
		}
		secrets := map[string]string{appID: secret, siteID: siteSecret}
		signed := func(path string) func(*wechattest.Server, string) response {
			return func(sim *wechattest.Server, id string) response {
				return get(t, sim, path, "access_token", accountToken(t, sim, id, secrets[id]))
			}
		}
		for path, call := range map[string]func(sim *wechattest.Server, id string) response{
			"sns/userinfo":            user("sns/userinfo"),
			"sns/auth":                user("sns/auth"),
			"wxa/checksession":        signed("wxa/checksession"),
			"wxa/resetusersessionkey": signed("wxa/resetusersessionkey"),
			numberPath: func(sim *wechattest.Server, id string) response {
				return post(t, sim, numberPath+"?access_token="+accountToken(t, sim, id, secrets[id]), map[string]string{"code": "0bogus"})
			},
			"cgi-bin/stable_token": func(sim *wechattest.Server, id string) response {
				return post(t, sim, "cgi-bin/stable_token", map[string]string{"appid": id})
			},
			"cgi-bin/component/api_component_token": func(sim *wechattest.Server, id string) response {
				return post(t, sim, "cgi-bin/component/api_component_token", map[string]string{"component_appid": id})
			},
		} {
			t.Run(path, func(t *testing.T) {
				sim := simulator(t, wechattest.WithQuota(path, wechattest.Quota{PerMinute: 1}))
				require.NotEqual(t, 45011, call(sim, appID).errcode())
				require.NotEqual(t, 45011, call(sim, siteID).errcode(), "another account has its own quota")
				require.Equal(t, 45011, call(sim, appID).errcode())
			})
		}
	})
	t.Run("not for other pages", func(t *testing.T) {
		for _, path := range []string{"connect/oauth2/authorize_reply", "connect/qrconnect", "connect/confirm", "connect/l/qrconnect"} {
			require.PanicsWithValue(t, `wechattest: quota: WeChat has no known limit for "`+path+`"`, func() {
				wechattest.NewHandler(wechattest.WithQuota(path, wechattest.Quota{PerMinute: 1}))
			})
		}
	})
	t.Run("jscode2session, per AppID or per user", func(t *testing.T) {
		minute := wechattest.WithQuota("sns/jscode2session", wechattest.Quota{PerMinute: 1})
		perApp := simulator(t, minute)
		require.Zero(t, miniSession(t, perApp, perApp.WXLogin(miniID, "Lin")).errcode())
		require.Equal(t, 45011, miniSession(t, perApp, perApp.WXLogin(miniID, "小明")).errcode())
		perUser := simulator(t, minute, wechattest.WithQuirks(wechattest.QuotaPerUser))
		require.Zero(t, miniSession(t, perUser, perUser.WXLogin(miniID, "Lin")).errcode())
		require.Zero(t, miniSession(t, perUser, perUser.WXLogin(miniID, "小明")).errcode())
		require.Equal(t, 45011, miniSession(t, perUser, perUser.WXLogin(miniID, "Lin")).errcode())
	})
}

func TestJournal_MasksSecrets(t *testing.T) {
	sim := simulator(t)
	c := code(t, sim, "snsapi_userinfo", "state=s1", "state=abcdefghijkl")
	a := exchange(t, sim, c)
	profile(t, sim, a)
	miniSession(t, sim, sim.WXLogin(miniID, "Lin"))

	calls := sim.Journal()
	require.Len(t, calls, 5)
	require.Equal(t, wechattest.Call{
		Time: noon, Method: "GET", Endpoint: authorizePath, AppID: appID, Person: "小明", State: "abcd…", Outcome: "consent page",
	}, calls[0])
	require.Equal(t, "connect/oauth2/authorize_reply", calls[1].Endpoint)
	require.Equal(t, wechattest.Call{Time: noon, Method: "GET", Endpoint: exchangePath, AppID: appID, Code: c[:4] + "…"}, calls[2])
	for _, call := range calls {
		for _, s := range []string{c, secret, a.text("access_token"), a.text("refresh_token"), "abcdefghijkl"} {
			require.NotContains(t, fmt.Sprint(call), s)
		}
	}
	exchange(t, sim, "short")
	last := sim.Journal()[5]
	require.Equal(t, "…", last.Code)
	require.Equal(t, 40029, last.Errcode)
	require.Equal(t, 2, sim.Count("/"+exchangePath))
}

func TestJournal_MasksMisplacedSecrets(t *testing.T) {
	sim := simulator(t)
	user := token(t, sim, "snsapi_base").text("access_token")
	key := miniSession(t, sim, sim.WXLogin(miniID, "Lin")).text("session_key")
	const elsewhere = "0123456789abcdef0123456789abcdef" // the AppSecret of an account that the simulator does not have
	tests := map[string]struct {
		request func()
		call    wechattest.Call
	}{
		"AppID and secret swapped": {
			func() { get(t, sim, exchangePath, "appid", secret, "secret", appID) }, wechattest.Call{Endpoint: exchangePath, AppID: "…"},
		},
		"swapped in a body": {
			func() { post(t, sim, "cgi-bin/stable_token", map[string]string{"appid": miniSecret}) },
			wechattest.Call{Method: "POST", Endpoint: "cgi-bin/stable_token", AppID: "…"},
		},
		"swapped in a platform's body": {
			func() {
				post(t, sim, "cgi-bin/component/api_component_token", map[string]string{"component_appid": platformKey})
			},
			wechattest.Call{Method: "POST", Endpoint: "cgi-bin/component/api_component_token", AppID: "…"},
		},
		"swapped at a page": {
			func() { open(t, computer(), sim.URL+"/connect/qrconnect?appid="+siteSecret) }, wechattest.Call{Endpoint: "connect/qrconnect", AppID: "…"},
		},
		"secret as a path":          {func() { get(t, sim, "sns/"+secret) }, wechattest.Call{Endpoint: "…"}},
		"secret as a path, encoded": {func() { get(t, sim, "sns/%256f"+secret[1:]) }, wechattest.Call{Endpoint: "…"}},
		"another secret as a path":  {func() { get(t, sim, "sns/"+elsewhere+"/x") }, wechattest.Call{Endpoint: "sns/…/x"}},
		"token as a path":           {func() { get(t, sim, "sns/"+user) }, wechattest.Call{Endpoint: "…"}},
		"session_key as a path":     {func() { get(t, sim, "sns/"+key) }, wechattest.Call{Endpoint: "…"}},
		"a mistyped path is kept":   {func() { get(t, sim, "sns/oauth/access_token") }, wechattest.Call{Endpoint: "sns/oauth/access_token"}},
		"an unknown AppID is kept":  {func() { get(t, sim, exchangePath, "appid", "wxffffffffffffffff") }, wechattest.Call{Endpoint: exchangePath, AppID: "wxffffffffffffffff"}},
		"an original ID is kept":    {func() { get(t, sim, exchangePath, "appid", "gh_0123456789ab") }, wechattest.Call{Endpoint: exchangePath, AppID: "gh_0123456789ab"}},
		"other values are masked":   {func() { get(t, sim, exchangePath, "appid", elsewhere) }, wechattest.Call{Endpoint: exchangePath, AppID: "…"}},
		"an extra slash is kept":    {func() { get(t, sim, "/sns/auth") }, wechattest.Call{Endpoint: "/sns/auth"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.request()
			calls := sim.Journal()
			last := calls[len(calls)-1]
			if tt.call.Method == "" {
				tt.call.Method = "GET"
			}
			require.Equal(t, tt.call, wechattest.Call{Method: last.Method, Endpoint: last.Endpoint, AppID: last.AppID})
		})
	}
}

func TestUnknownPaths(t *testing.T) {
	sim := simulator(t)
	stay := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, path := range []string{"//cgi-bin/stable_token", "/cgi-bin//stable_token", "/cgi-bin/./stable_token", "/sns/../cgi-bin/stable_token", "//connect/oauth2/authorize"} {
		resp, err := stay.Post(sim.URL+path, "application/json", strings.NewReader("{}"))
		require.NoError(t, err)
		require.Equal(t, 40066, decode(t, resp).errcode(), path)
		sim.AssertCalls(t, path, 1)
	}
	sim.AssertCalls(t, "cgi-bin/stable_token", 0)
}

// failures collects the failures that an assertion reports.
type failures struct{ bytes.Buffer }

func (f *failures) Helper()                           {}
func (f *failures) Errorf(format string, args ...any) { f.WriteString(format) }
func (f *failures) Fatalf(format string, args ...any) { f.WriteString(format) }

func TestServer_Leaks(t *testing.T) {
	sim := simulator(t)
	a := token(t, sim, "snsapi_base")
	key := miniSession(t, sim, sim.WXLogin(miniID, "Lin")).text("session_key")
	tests := map[string]struct {
		leak func() error
		want string
	}{
		"secret in redirect_uri": {func() error {
			_, err := sim.CallbackURL(phone(), authorizeURL(sim, loopback+"?s="+secret, "snsapi_base"))
			return err
		}, "the AppSecret of " + appID + " in the URL of a browser's request to connect/oauth2/authorize"},
		"token in redirect_uri, encoded twice": {func() error {
			_, err := sim.CallbackURL(phone(), authorizeURL(sim, loopback+"?s="+strings.Replace(a.text("access_token"), "_", "%5F", 1), "snsapi_base"))
			return err
		}, "a token in the URL"},
		"session_key in the Referer": {func() error {
			req, _ := http.NewRequest(http.MethodGet, authorizeURL(sim, loopback, "snsapi_base"), nil)
			req.Header.Set("Referer", "http://127.0.0.1/?k="+key)
			_, err := phone().Transport.RoundTrip(req)
			return err
		}, "a session_key in the Referer"},
		"secret in the path": {func() error {
			_, err := phone().Get(sim.URL + "/sns/" + secret)
			return err
		}, "the AppSecret of " + appID + " in the URL of a browser's request to …"},
		"secret after a stray percent sign": {func() error {
			req, _ := http.NewRequest(http.MethodGet, authorizeURL(sim, loopback, "snsapi_base"), nil)
			req.Header.Set("Referer", "http://127.0.0.1/?off=50%&s="+strings.ReplaceAll(secret, "-", "%2D"))
			_, err := phone().Transport.RoundTrip(req)
			return err
		}, "the AppSecret of " + appID + " in the Referer"},
		"an exchange by the browser itself": {func() error {
			_, err := phone().Get(sim.URL + "/" + exchangePath + "?secret=" + secret)
			return err
		}, "the AppSecret of " + appID + " in the URL of a browser's request to sns/oauth2/access_token"},
	}
	var report failures
	sim.AssertNoLeaks(&report)
	require.Empty(t, report.String(), "servers may send secrets")
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			before := len(sim.Leaks())
			require.NoError(t, tt.leak())
			leaks := sim.Leaks()
			require.Len(t, leaks, before+1)
			require.Contains(t, leaks[before], tt.want)
		})
	}
	sim.AssertNoLeaks(&report)
	require.NotEmpty(t, report.String())
}

func TestServer_Leaks_ShortSecret(t *testing.T) {
	for query, want := range map[string]int{
		"/secretary": 0, "/x?secret=1": 0, "/x?a=secrets": 0, "/x?a=top-secret": 0, "/x?a=secret_1": 0,
		"/x?a=secret": 1, "/x?a=secret&b=1": 1, "/x?a=secretary,secret": 1, "/x?a=%2Fsecret": 1, "/secret": 1,
	} {
		sim := simulator(t, wechattest.WithAccount(wechattest.Account{AppID: appID, Secret: "secret"}))
		open(t, phone(), authorizeURL(sim, "http://127.0.0.1:1"+query, "snsapi_base"))
		require.Len(t, sim.Leaks(), want, query)
	}
}

func TestServer_AssertCalls(t *testing.T) {
	sim := simulator(t)
	token(t, sim, "snsapi_base")
	sim.AssertCalls(t, exchangePath, 1)
	var report failures
	sim.AssertCalls(&report, exchangePath, 2)
	require.NotEmpty(t, report.String())
}

func TestWithSeed(t *testing.T) {
	run := func(seed int64) []string {
		sim := simulator(t, wechattest.WithSeed(seed))
		a := token(t, sim, "snsapi_userinfo")
		return []string{a.text("access_token"), a.text("refresh_token"), sim.WXLogin(miniID, "Lin"), get(t, sim, "sns/auth").text("errmsg")}
	}
	require.Equal(t, run(7), run(7))
	require.NotEqual(t, run(7), run(8))
}

func TestServer_Concurrent(t *testing.T) {
	sim := simulator(t)
	done := make(chan error, 8)
	for range 8 {
		go func() {
			callback, err := sim.CallbackURL(phone(), authorizeURL(sim, loopback, "snsapi_userinfo"))
			sim.SetPerson("Lin")
			sim.Advance(time.Second)
			sim.SetQuirk(wechattest.BaseUnionID, true)
			sim.Journal()
			sim.Leaks()
			if err == nil && !strings.Contains(callback, "code=") {
				err = errors.New(callback)
			}
			done <- err
		}()
	}
	for range 8 {
		require.NoError(t, <-done)
	}
}
