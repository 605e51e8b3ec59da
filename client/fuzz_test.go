package client

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// addResponseSeeds adds valid and invalid responses to the corpus.
func addResponseSeeds(f *testing.F, members string) {
	for _, body := range []string{
		`{$}`, "\xef\xbb\xbf{$}", `{$}{$}`, `{$`, `null`, `[]`, ``, `{}`, `[{$}]`, `{$,$}`,
		`{$,"errcode":0}`, `{$,"errcode":"40029","errmsg":"invalid code, rid: 1-2-3"}`, `{$,"ERRCODE":1}`,
		`{$,"openid":"oB"}`, `{$,"OpenID":"oB"}`, `{$,"open\u0069d":"oB"}`, `{$,"unionid":"oU"}`, `{$,"unionid":null}`,
		"{$,\"nickname\":\"\x00\x14\\\x14\xff\"}", `{$,"nickname":"\ud800\u202e"}`, `{$,"expires_in":1e400}`,
		`{$,"headimgurl":"javascript:alert(1)"}`, `{$,"is_snapshotuser":"1"}`, `{$,"x":[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]}`,
	} {
		f.Add([]byte(strings.ReplaceAll(body, "$", members)))
	}
	f.Add([]byte(longTokens))
}

// lenient parses the members of body as encoding/json would, after escaping
// control bytes.
func lenient(body []byte) (members map[string]any) {
	body, err := escapeControls([]byte(strings.TrimPrefix(string(body), "\xef\xbb\xbf")))
	if err != nil {
		return nil
	}
	_ = json.Unmarshal(body, &members)
	return members
}

// readForFuzz parses a body and checks the error and the memory used.
func readForFuzz(t *testing.T, endpoint string, body []byte) *jsonObject {
	var obj *jsonObject
	var err error
	used := allocated(func() { obj, err = request{endpoint: endpoint}.read(body) })
	if len(body) <= maxBody { // more is never read from the wire
		assert.LessOrEqual(t, used, uint64(1<<20), "bytes allocated")
	}
	if err == nil {
		return obj
	}
	var e *Error
	require.True(t, errors.As(err, &e))
	assert.True(t, e.Code != 0 || errors.Is(err, ErrBadResponse), "%v", err)
	assert.LessOrEqual(t, len(e.Message), maxErrorText)
	assert.True(t, utf8.ValidString(err.Error()))
	assert.NotContains(t, err.Error(), "\n")
	return nil
}

func FuzzTokenResponse(f *testing.F) {
	addResponseSeeds(f, `"access_token":"T","expires_in":7200,"refresh_token":"R","openid":"oA","scope":"snsapi_base"`)
	f.Fuzz(func(t *testing.T, body []byte) {
		obj := readForFuzz(t, "sns/oauth2/access_token", body)
		if obj == nil {
			return
		}
		var token *Token
		var err error
		assert.LessOrEqual(t, allocated(func() { token, err = obj.token() }), uint64(1<<20), "bytes allocated")
		if err != nil {
			assert.Nil(t, token)
			assert.ErrorIs(t, err, ErrBadResponse)
			return
		}
		plain := lenient(body)
		assert.Regexp(t, `^[A-Za-z0-9_-]{1,64}$`, token.OpenID)
		assert.Equal(t, plain["openid"], token.OpenID, "another parser reads another user")
		assert.Equal(t, plain["access_token"], token.AccessToken.Reveal())
		if token.UnionID != "" {
			assert.Equal(t, plain["unionid"], token.UnionID)
		}
		if plain["is_snapshotuser"] == float64(1) {
			assert.True(t, token.Snapshot)
		}
		assert.GreaterOrEqual(t, token.ExpiresIn, 0*maxExpiresIn)
		assert.LessOrEqual(t, token.ExpiresIn, maxExpiresIn)
	})
}

func FuzzUserInfoResponse(f *testing.F) {
	addResponseSeeds(f, `"openid":"oA","nickname":"N","sex":1,"headimgurl":"http://thirdwx.qlogo.cn/x/132","privilege":["a"]`)
	own := Endpoints{Open: DefaultOpen, API: DefaultAPI}
	f.Fuzz(func(t *testing.T, body []byte) {
		obj := readForFuzz(t, "sns/userinfo", body)
		if obj == nil {
			return
		}
		var info *UserInfo
		var err error
		used := allocated(func() { info, err = obj.userInfo("oA", own) })
		assert.True(t, used <= 1<<20 || len(body) > maxBody, "%d bytes allocated", used)
		if err != nil {
			assert.Nil(t, info)
			assert.ErrorIs(t, err, ErrBadResponse)
			return
		}
		assert.Equal(t, "oA", info.OpenID)
		assert.Equal(t, "oA", lenient(body)["openid"])
		assert.True(t, info.AvatarURL == "" || strings.HasPrefix(info.AvatarURL, "https://"), "%q", info.AvatarURL)
		assert.NotRegexp(t, "[\\x00-\\x20\"'<>`\\\\]", info.AvatarURL)
		for _, text := range append([]string{info.Nickname, info.City, info.Province, info.Country, info.Language}, info.Privilege...) {
			assert.True(t, utf8.ValidString(text))
			assert.LessOrEqual(t, utf8.RuneCountInString(text), maxDisplayRunes)
			assert.Equal(t, text, displayText(text))
		}
	})
}

// FuzzDecrypt decrypts arbitrary data, and valid encryptions of arbitrary text.
func FuzzDecrypt(f *testing.F) {
	f.Add(keyB, encryptedB, ivB, appB)
	f.Add(keyC, encryptedC, ivC, appC)
	f.Add(keyC, encryptedB, ivC, appC)
	f.Add("", "", "", "")
	f.Add(keyC, `{"watermark":{"appid":"`+appC+`"}}`, ivC, appC)
	f.Add(keyC, `{"watermark":{"appid":"`+appC+`"},"watermark":{"appid":"wx2"}}`, ivC, appC)
	f.Add(keyC, "{\"nickName\":\"\x14\",\"watermark\":{\"appid\":\""+appC+"\"}}", ivC, appC)
	f.Add(keyC, "\xef\xbb\xbf\xef\xbb\xbf{\"watermark\":{\"appid\":\""+appC+"\"}}", ivC, appC)
	f.Add(keyC+"\n", encryptedC, ivC, appC)
	f.Fuzz(func(t *testing.T, key, data, iv, appID string) {
		if len(key)+len(data)+len(iv) > 64<<10 {
			return // longer inputs may use proportionally more memory
		}
		for _, v := range [][3]string{{key, data, iv}, {keyC, sealed(t, data), ivC}} {
			var plaintext []byte
			var err error
			used := allocated(func() { plaintext, err = Decrypt(v[0], v[1], v[2], appID) })
			assert.LessOrEqual(t, used, uint64(1<<20), "bytes allocated")
			if err != nil {
				assert.Nil(t, plaintext)
				assert.True(t, errors.Is(err, ErrDecrypt) || errors.Is(err, ErrWatermark), "%v", err)
				continue
			}
			var payload struct{ Watermark struct{ AppID string } }
			require.NoError(t, json.Unmarshal(plaintext, &payload), "%q", plaintext)
			assert.Equal(t, appID, payload.Watermark.AppID)
			assert.NotEmpty(t, appID)
			_, err = base64.StdEncoding.DecodeString(v[0])
			assert.NoError(t, err)
		}
	})
}

func FuzzErrmsgRedaction(f *testing.F) {
	f.Add("invalid code, rid: 65c17d8c-5cf05990-781aabe9", testCode)
	f.Add("code "+testCode+" been used, hints: [ req_id: "+testCode+" ]", testCode)
	f.Add("secret="+testSecret+"&code=x", testSecret)
	f.Add(strings.Repeat("x", 290)+testToken+", rid: "+testToken, testToken)
	f.Add("a\x00"+testOpenID+"\u202e\n\xff", testOpenID)
	f.Add(base64.RawStdEncoding.EncodeToString([]byte(testSecret)), testSecret)
	f.Fuzz(func(t *testing.T, errmsg, secret string) {
		if len(secret) < 6 || !isToken(secret) || strings.ContainsAny(secret, "[]") || strings.Contains("..."+redacted, secret) {
			return // shorter ones protect nothing, and the marker itself may appear
		}
		body, err := json.Marshal(map[string]any{"errcode": 40029, "errmsg": errmsg})
		require.NoError(t, err)
		if len(body) > maxBody || len(secret) > 64<<10 {
			return
		}
		used := allocated(func() {
			_, err = request{endpoint: "sns/x", query: map[string][]string{"code": {secret}}}.read(body)
		})
		assert.LessOrEqual(t, used, uint64(1<<20), "bytes allocated")
		var e *Error
		require.True(t, errors.As(err, &e))
		require.Equal(t, 40029, e.Code)
		for _, text := range []string{e.Message, e.RID} {
			assert.False(t, strings.Contains(text, secret), "%q is in %q", secret, text)
			assert.False(t, strings.Contains(strings.ToLower(text), "secret="), "%q", text)
			assert.False(t, strings.Contains(text, fmt.Sprintf("%x", secret)), "%q", text)
			assert.True(t, utf8.ValidString(text))
			assert.NotContains(t, text, "\n")
			assert.LessOrEqual(t, len(text), maxErrorText)
		}
	})
}
