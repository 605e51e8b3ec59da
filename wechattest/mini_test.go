package wechattest_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/wechattest"
)

func TestCode2SessionErrcodes(t *testing.T) {
	tests := map[string]struct {
		opts   []wechattest.Option
		change []string
		want   int
	}{
		"success":          {want: 0},
		"no appid":         {change: []string{"-appid"}, want: 41002},
		"no secret":        {change: []string{"-secret"}, want: 41004},
		"no js_code":       {change: []string{"-js_code"}, want: 41008},
		"no grant_type":    {change: []string{"-grant_type"}, want: 40002},
		"unknown appid":    {change: []string{"appid", "wxffffffffffffffff"}, want: 40013},
		"wrong secret":     {change: []string{"secret", "wrong"}, want: 40125},
		"unknown code":     {change: []string{"js_code", "0bogus"}, want: 40029},
		"another account":  {change: []string{"appid", appID, "secret", secret}, want: 40029},
		"a high-risk user": {opts: []wechattest.Option{wechattest.WithPerson(wechattest.Person{Name: "Lin", HighRisk: true})}, want: 40226},
		"system error":     {opts: []wechattest.Option{wechattest.WithFault("sns/jscode2session", wechattest.Busy())}, want: -1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			sim := simulator(t, tt.opts...)
			pairs := []string{"appid", miniID, "secret", miniSecret, "js_code", sim.WXLogin(miniID, "Lin"), "grant_type", "authorization_code"}
			a := get(t, sim, "sns/jscode2session", with(pairs, tt.change...)...)
			require.Equal(t, tt.want, a.errcode(), a)
		})
	}
	t.Run("used", func(t *testing.T) {
		sim := simulator(t)
		c := sim.WXLogin(miniID, "Lin")
		require.Zero(t, miniSession(t, sim, c).errcode())
		require.Equal(t, 40163, miniSession(t, sim, c).errcode())
	})
}

func TestCode2Session(t *testing.T) {
	sim := simulator(t)
	a := miniSession(t, sim, sim.WXLogin(miniID, "Lin"))
	require.Equal(t, wechattest.OpenID(miniID, "Lin"), a["openid"])
	require.Equal(t, wechattest.UnionID(wechattest.DefaultOpenPlatform, "Lin"), a["unionid"])
	require.Len(t, a["session_key"], 24)
	key, err := base64.StdEncoding.DecodeString(a.text("session_key"))
	require.NoError(t, err)
	require.Len(t, key, 16)
	require.NotContains(t, a, "errcode")

	unbound := simulator(t, wechattest.WithAccount(wechattest.Account{AppID: miniID, Secret: miniSecret, Kind: wechattest.MiniProgram}))
	require.NotContains(t, miniSession(t, unbound, unbound.WXLogin(miniID, "Lin")), "unionid")
}

// signedCall makes one call of wxa/checksession or wxa/resetusersessionkey.
func signedCall(t *testing.T, sim *wechattest.Server, path, token, sessionKey string, change ...string) response {
	t.Helper()
	pairs := []string{"access_token", token, "openid", wechattest.OpenID(miniID, "Lin"), "sig_method", "hmac_sha256", "signature", wechattest.SignSession(sessionKey)}
	return get(t, sim, path, with(pairs, change...)...)
}

func TestSignedSessionErrcodes(t *testing.T) {
	for _, path := range []string{"wxa/checksession", "wxa/resetusersessionkey"} {
		tests := map[string]struct {
			later  time.Duration
			change []string
			want   int
		}{
			"success":                 {want: 0},
			"no account token":        {change: []string{"-access_token"}, want: 41001},
			"unknown account token":   {change: []string{"access_token", "10_bogus"}, want: 40001},
			"expired account token":   {later: 2 * time.Hour, want: 42001},
			"no openid":               {change: []string{"-openid"}, want: 41009},
			"unknown openid":          {change: []string{"openid", "obogus"}, want: 40003},
			"openid without a login":  {change: []string{"openid", wechattest.OpenID(miniID, "小明")}, want: 87007},
			"no sig_method":           {change: []string{"-sig_method"}, want: 87008},
			"sha1":                    {change: []string{"sig_method", "sha1"}, want: 87008},
			"no signature":            {change: []string{"-signature"}, want: 87009},
			"the signature of a text": {change: []string{"signature", wechattest.Sign("{}", "key")}, want: 87009},
		}
		for name, tt := range tests {
			t.Run(path+": "+name, func(t *testing.T) {
				sim := simulator(t)
				key := miniSession(t, sim, sim.WXLogin(miniID, "Lin")).text("session_key")
				token := accountToken(t, sim, miniID, miniSecret)
				sim.Advance(tt.later)
				require.Equal(t, tt.want, signedCall(t, sim, path, token, key, tt.change...).errcode())
			})
		}
	}
	t.Run("a user token", func(t *testing.T) {
		sim := simulator(t)
		user := token(t, sim, "snsapi_base").text("access_token")
		key := miniSession(t, sim, sim.WXLogin(miniID, "Lin")).text("session_key")
		require.Equal(t, 40001, signedCall(t, sim, "wxa/checksession", user, key).errcode())
	})
}

func TestResetSession(t *testing.T) {
	sim := simulator(t)
	old := miniSession(t, sim, sim.WXLogin(miniID, "Lin")).text("session_key")
	sim.Advance(48 * time.Hour)
	a := signedCall(t, sim, "wxa/resetusersessionkey", accountToken(t, sim, miniID, miniSecret), old)
	fresh := a.text("session_key")
	require.Equal(t, wechattest.OpenID(miniID, "Lin"), a["openid"])
	require.NotEqual(t, old, fresh)
	token := accountToken(t, sim, miniID, miniSecret)
	require.Equal(t, 87009, signedCall(t, sim, "wxa/checksession", token, old).errcode(), "the old key is invalid")
	require.Zero(t, signedCall(t, sim, "wxa/checksession", token, fresh).errcode())
	sim.Advance(24 * time.Hour)
	require.Equal(t, 87007, signedCall(t, sim, "wxa/checksession", accountToken(t, sim, miniID, miniSecret), fresh).errcode())
}

func TestSessionKeyRotates(t *testing.T) {
	login := func(sim *wechattest.Server) string {
		return miniSession(t, sim, sim.WXLogin(miniID, "Lin")).text("session_key")
	}
	stays := simulator(t)
	require.Equal(t, login(stays), login(stays))

	rotates := simulator(t, wechattest.WithQuirks(wechattest.SessionKeyRotates))
	old := login(rotates)
	payload := rotates.PhonePayload(miniID, "Lin")
	_, err := client.Decrypt(old, payload.EncryptedData, payload.IV, miniID)
	require.NoError(t, err)
	fresh := login(rotates)
	require.NotEqual(t, old, fresh)
	_, err = client.Decrypt(fresh, payload.EncryptedData, payload.IV, miniID)
	require.Error(t, err, "data encrypted before the login cannot be decrypted after it")
	require.Equal(t, 87009, signedCall(t, rotates, "wxa/checksession", accountToken(t, rotates, miniID, miniSecret), old).errcode())
}

func TestPayloads(t *testing.T) {
	sim := simulator(t)
	key := miniSession(t, sim, sim.WXLogin(miniID, "Lin")).text("session_key")
	user := sim.UserPayload(miniID, "Lin")
	require.True(t, client.VerifySignature(key, user.RawData, user.Signature))
	plain, err := client.Decrypt(key, user.EncryptedData, user.IV, miniID)
	require.NoError(t, err)
	var got struct {
		OpenID, NickName, UnionID string
		Watermark                 struct {
			Timestamp int64
			AppID     string
		}
	}
	require.NoError(t, json.Unmarshal(plain, &got))
	require.Equal(t, miniID, got.Watermark.AppID)
	require.Equal(t, wechattest.OpenID(miniID, "Lin"), got.OpenID)
	require.Equal(t, wechattest.UnionID(wechattest.DefaultOpenPlatform, "Lin"), got.UnionID)
	require.Equal(t, "微信用户", got.NickName)
	require.Equal(t, noon.Unix(), got.Watermark.Timestamp)

	number := sim.PhonePayload(miniID, "Lin")
	plain, err = client.Decrypt(key, number.EncryptedData, number.IV, miniID)
	require.NoError(t, err)
	require.Contains(t, string(plain), `"countryCode":"86"`)

	sim.SetQuirk(wechattest.WrongWatermark, true)
	foreign := sim.PhonePayload(miniID, "Lin")
	_, err = client.Decrypt(key, foreign.EncryptedData, foreign.IV, miniID)
	require.ErrorIs(t, err, client.ErrWatermark)
}

// The vectors are WeChat's own (A, B) and one made with openssl (C).
func TestEncrypt(t *testing.T) {
	t.Run("A, signature", func(t *testing.T) {
		raw := `{"nickName":"Band","gender":1,"language":"zh_CN","city":"Guangzhou","province":"Guangdong","country":"CN","avatarUrl":"http://wx.qlogo.cn/mmopen/vi_32/1vZvI39NWFQ9XM4LtQpFrQJ1xlgZxx3w7bQxKARol6503Iuswjjn6nIGBiaycAjAtpujxyzYsrztuuICqIM5ibXQ/0"}`
		require.Equal(t, "75e81ceda165f4ffa64f4068af58c64b8f54b88c", wechattest.Sign(raw, "HyVFkGl5F5OQWJZZaNzBBg=="))
	})
	t.Run("B, user", func(t *testing.T) {
		got, err := wechattest.Encrypt("tiihtNczf5v6AKRyjwEUhQ==", "r7BXXKkLb8qrSNn05n0qiA==", `{"openId":"oGZUI0egBJY1zhBYw2KhdUfwVJJE","nickName":"Band","gender":1,"language":"zh_CN","city":"Guangzhou","province":"Guangdong","country":"CN","avatarUrl":"http://wx.qlogo.cn/mmopen/vi_32/aSKcBBPpibyKNicHNTMM0qJVh8Kjgiak2AHWr8MHM4WgMEm7GFhsf8OYrySdbvAMvTsw3mo8ibKicsnfN5pRjl1p8HQ/0","unionId":"ocMvos6NjeKLIBqg5Mr9QjxrP1FA","watermark":{"timestamp":1477314187,"appid":"wx4f4bc4dec97d474b"}}`)
		require.NoError(t, err)
		require.Equal(t, "CiyLU1Aw2KjvrjMdj8YKliAjtP4gsMZMQmRzooG2xrDcvSnxIMXFufNstNGTyaGS9uT5geRa0W4oTOb1WT7fJlAC+oNPdbB+3hVbJSRgv+4lGOETKUQz6OYStslQ142dNCuabNPGBzlooOmB231qMM85d2/fV6ChevvXvQP8Hkue1poOFtnEtpyxVLW1zAo6/1Xx1COxFvrc2d7UL/lmHInNlxuacJXwu0fjpXfz/YqYzBIBzD6WUfTIF9GRHpOn/Hz7saL8xz+W//FRAUid1OksQaQx4CMs8LOddcQhULW4ucetDf96JcR3g0gfRK4PC7E/r7Z6xNrXd2UIeorGj5Ef7b1pJAYB6Y5anaHqZ9J6nKEBvB4DnNLIVWSgARns/8wR2SiRS7MNACwTyrGvt9ts8p12PKFdlqYTopNHR1Vf7XjfhQlVsAJdNiKdYmYVoKlaRv85IfVunYzO0IKXsyl7JCUjCpoG20f0a04COwfneQAGGwd5oa+T8yO5hzuyDb/XcxxmK01EpqOyuxINew==", got)
	})
	t.Run("C, phone number", func(t *testing.T) {
		got, err := wechattest.Encrypt("AAECAwQFBgcICQoLDA0ODw==", "EBESExQVFhcYGRobHB0eHw==", `{"phoneNumber":"13800138000","purePhoneNumber":"13800138000","countryCode":"86","watermark":{"timestamp":1700000000,"appid":"wx0000000000000001"}}`)
		require.NoError(t, err)
		require.Equal(t, "aLhedzo+Z6es5zW+YHo9susiHnaEYeAkbZXA6vB3xXwsEHApbzM53NsvIVPS8sbzE9Tu3cKoosCIaJ9ReH9c7q8xI4AFlJ8HTHrrdVC0WzSFVEG+Q/SUBzVOfvRAiCzg9pRwA0o1X/SBOShf2kiL8wNfdlkWY+I9rsvJLhx38KMuKKT/eXb9VaR4QFyKtt80/IjKxUoZr1C2aiPr9gug7g==", got)
	})
	t.Run("session proof", func(t *testing.T) {
		require.Equal(t, "46e043c5525c2d817c44be603d30837a808a1d930d038f6fdc3e62a201fed128", wechattest.SignSession("o0q0otL8aEzpcZL/FT9WsQ=="))
		require.Equal(t, "75c022993d64e3ac224c1c9d6f2b4c6eb53f22f6c7aa6be94428577d11d12fd5", wechattest.SignSession("AAECAwQFBgcICQoLDA0ODw=="))
	})
	t.Run("keys of the wrong form", func(t *testing.T) {
		for _, bad := range []string{"", "AAEC", "not base64!", "AAECAwQFBgcICQoLDA0ODxAR"} {
			_, err := wechattest.Encrypt(bad, "EBESExQVFhcYGRobHB0eHw==", "{}")
			require.Error(t, err)
			_, err = wechattest.Encrypt("AAECAwQFBgcICQoLDA0ODw==", bad, "{}")
			require.Error(t, err)
		}
	})
}

func TestPhoneNumber(t *testing.T) {
	const path = "wxa/business/getuserphonenumber"
	person := wechattest.WithPerson(wechattest.Person{Name: "Lin", Phone: "13800138000"})
	body := func(code string) map[string]string { return map[string]string{"code": code} }

	t.Run("success", func(t *testing.T) {
		sim := simulator(t, person)
		token, c := accountToken(t, sim, miniID, miniSecret), sim.GetPhoneNumber(miniID, "Lin")
		a := post(t, sim, path+"?access_token="+token, body(c))
		require.Equal(t, response{"errcode": 0.0, "errmsg": "ok", "phone_info": map[string]any{
			"phoneNumber": "13800138000", "purePhoneNumber": "13800138000", "countryCode": "86",
			"watermark": map[string]any{"timestamp": float64(noon.Unix()), "appid": miniID},
		}}, a)
		require.Equal(t, 40029, post(t, sim, path+"?access_token="+token, body(c)).errcode(), "once only")
	})
	t.Run("countryCode as a number", func(t *testing.T) {
		sim := simulator(t, person, wechattest.WithQuirks(wechattest.CountryCodeNumber))
		a := post(t, sim, path+"?access_token="+accountToken(t, sim, miniID, miniSecret), body(sim.GetPhoneNumber(miniID, "Lin")))
		require.Equal(t, 86.0, a["phone_info"].(map[string]any)["countryCode"])
	})
	t.Run("the code is 64 hexadecimal digits", func(t *testing.T) {
		sim := simulator(t)
		first, second := sim.GetPhoneNumber(miniID, "Lin"), sim.GetPhoneNumber(miniID, "Lin")
		require.Regexp(t, `^[0-9a-f]{64}$`, first)
		require.Regexp(t, `^[0-9a-f]{64}$`, second)
		require.NotEqual(t, first, second)
		require.Regexp(t, `^0[0-9A-Za-z]{31}$`, sim.WXLogin(miniID, "Lin"))
	})
	t.Run("five minutes", func(t *testing.T) {
		sim := simulator(t, person)
		c := sim.GetPhoneNumber(miniID, "Lin")
		sim.Advance(5 * time.Minute)
		require.Equal(t, 40029, post(t, sim, path+"?access_token="+accountToken(t, sim, miniID, miniSecret), body(c)).errcode())
	})
	for name, tt := range map[string]struct {
		query, body func(sim *wechattest.Server) string
		want        int
	}{
		"code in the query": {func(sim *wechattest.Server) string { return "&code=" + sim.GetPhoneNumber(miniID, "Lin") }, nil, 40029},
		"no body":           {nil, nil, 44002},
		"not JSON":          {nil, func(*wechattest.Server) string { return "code=1" }, 47001},
		"a login code":      {nil, func(sim *wechattest.Server) string { return `{"code":"` + sim.WXLogin(miniID, "Lin") + `"}` }, 40029},
		"another user's": {nil, func(sim *wechattest.Server) string {
			return `{"code":"` + sim.GetPhoneNumber(miniID, "Lin") + `","openid":"o"}`
		}, 40003},
		"no account token":      {func(*wechattest.Server) string { return "&access_token=" }, nil, 41001},
		"unknown account token": {func(*wechattest.Server) string { return "&access_token=10_bogus" }, nil, 40001},
	} {
		t.Run(name, func(t *testing.T) {
			sim := simulator(t, person)
			query, text := "", ""
			if tt.query != nil {
				query = tt.query(sim)
			}
			if tt.body != nil {
				text = tt.body(sim)
			}
			if !strings.Contains(query, "access_token") {
				query = "access_token=" + accountToken(t, sim, miniID, miniSecret) + query
			}
			resp, err := http.Post(sim.URL+"/"+path+"?"+query, "application/json", strings.NewReader(text))
			require.NoError(t, err)
			require.Equal(t, tt.want, decode(t, resp).errcode())
		})
	}
}
