package client

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// wireMembers are the members of a good response to each call.
var wireMembers = map[string]string{
	"Exchange": `"access_token":"` + testToken + `","expires_in":7200,"refresh_token":"` + testFresh +
		`","openid":"` + testOpenID + `","scope":"snsapi_base"`,
	"Refresh": `"openid":"` + testOpenID + `","access_token":"` + testToken +
		`","expires_in":7200,"refresh_token":"` + testFresh + `","scope":"snsapi_base"`,
	"UserInfo": `"openid":"` + testOpenID + `","nickname":"N","sex":0,"language":"","city":"","province":"",` +
		`"country":"","headimgurl":"https:\/\/thirdwx.qlogo.cn\/mmopen\/vi_32\/x\/132","privilege":[]`,
	"CheckToken":   `"errcode":0,"errmsg":"ok"`,
	"Code2Session": `"openid":"` + testOpenID + `","session_key":"` + testKey + `"`,
	"PhoneNumber":  `"errcode":0,` + wirePhone,
}

const wirePhone = `"phone_info":{"phoneNumber":"13800138000","purePhoneNumber":"13800138000","countryCode":86,` +
	`"watermark":{"timestamp":1637744274,"appid":"` + testAppID + `"}}`

// callWithBody makes one call against a peer that always returns body.
func callWithBody(t *testing.T, call, body string) error {
	t.Helper()
	response := []byte(whole(body)) // before allocations are counted
	p := newRawPeer(t, func(c *rawConn) {
		for c.read() {
			if _, err := c.Write(response); err != nil {
				return
			}
		}
	})
	c, read := wireClient(t, p.url())
	var err error
	used := allocated(func() { err = callOnWire(t, call, c) })
	assert.LessOrEqual(t, read.Load(), int64(maxBody+8<<10), "bytes read")
	assert.LessOrEqual(t, used, uint64(1<<20), "bytes allocated")
	countSentTwice(t, call, p)
	return err
}

// countSentTwice ends the peer and returns how often the code was sent.
func countSentTwice(t *testing.T, call string, p *rawPeer) (sent int64) {
	t.Helper()
	if sent = p.sent(); sent > 1 {
		wire.sentTwice.Add(1)
		t.Errorf("%s sent the code %d times", call, sent)
	}
	return sent
}

// TestWire_ResponseShapes sends bodies to every call. In them $ stands for the
// members of a good response.
func TestWire_ResponseShapes(t *testing.T) {
	const good, bad = "", "bad"
	deep := func(n int) string {
		return `{$,"x":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + `}`
	}
	for _, row := range []struct{ name, body, want string }{
		{"valid", `{$}`, good},
		{"unknown members of every type", `{"a":1,"b":null,"c":[1,{"d":true}],$,"e":{"openid":"x"}}`, good},
		{"unknown members twice", `{"a":1,"a":2,$}`, good},
		{"white space all around", " \r\n\t{ $ }\r\n ", good},
		{"a byte order mark", "\xef\xbb\xbf{$}", good},
		{"errmsg without errcode", `{$,"errmsg":"ok"}`, good},
		{"a raw control byte in an unknown string", "{$,\"x\":\"a\x14b\"}", good},
		{"a raw control byte in an unknown key", "{$,\"x\x01\":1}", good},
		{"invalid UTF-8 in an unknown string", "{$,\"x\":\"\xff\xfe\"}", good},
		{"a lone surrogate in an unknown string", `{$,"x":"\ud800"}`, good},
		{"nested 16 deep", deep(16), good},
		{"nested 17 deep", deep(17), bad},
		{"nested 10,001 deep", deep(10001), bad},
		{"nested 30,000 deep and cut off", `{$,"x":` + strings.Repeat("[", 30000), bad},
		{"60 KiB of leading white space", strings.Repeat(" ", 60<<10) + `{$}`, good},
		{"64 KiB of leading white space", strings.Repeat(" ", 64<<10) + `{$}`, bad},
		{"1 MiB of leading white space", strings.Repeat(" ", 1<<20) + `{$}`, bad},
		{"an unknown member of 1 MiB", `{$,"x":"` + strings.Repeat("a", 1<<20) + `"}`, bad},
		{"trailing garbage", `{$}x`, bad},
		{"a second object", `{$}{"openid":"oOTHER"}`, bad},
		{"a second object on a second line", "{$}\n{}", bad},
		{"a NUL byte after the object", "{$}\x00", bad},
		{"cut off", `{$`, bad},
		{"cut off in a string", `{$,"x":"`, bad},
		{"a trailing comma", `{$,}`, bad},
		{"single quotes", `{'openid':'x'}`, bad},
		{"a comment", `{$/**/}`, bad},
		{"NaN", `{$,"x":NaN}`, bad},
		{"JSONP", `callback({$});`, bad},
		{"empty", ``, bad},
		{"one space", ` `, bad},
		{"null", `null`, bad},
		{"true", `true`, bad},
		{"a number", `1`, bad},
		{"a string", `"x"`, bad},
		{"an empty list", `[]`, bad},
		{"a list with the object", `[{$}]`, bad},
		{"an empty object", `{}`, bad},
		{"an object in an object", `{"data":{$}}`, bad},
		{"HTML", `<html><body>网络错误</body></html>`, bad},
		{"XML", `<xml><openid>x</openid></xml>`, bad},
		{"a query string", `access_token=x&openid=y`, bad},
		{"UTF-16", "\xff\xfe{\x00}\x00", bad},
		{"errcode in upper case", `{$,"ERRCODE":40029}`, bad},
		{"errcode that is text", `{$,"errcode":"none"}`, bad},
		{"errcode that is empty text", `{$,"errcode":""}`, bad},
		{"errcode true", `{$,"errcode":true}`, bad},
		{"errcode in a list", `{$,"errcode":[0]}`, bad},
		{"errcode 0.5", `{$,"errcode":0.5}`, bad},
		{"errcode 0x0p0", `{$,"errcode":"0x0p0"}`, bad},
		{"errcode with underscores", `{$,"errcode":"0x_0"}`, bad},
		{"errcode 1e-400", `{$,"errcode":1e-400}`, bad},
		{"errcode -0.01e-400", `{$,"errcode":"-0.01e-400"}`, bad},
		{"errcode Inf", `{$,"errcode":"Inf"}`, bad},
		{"errcode 0e-400", `{$,"errcode":0e-400}`, good},
		{"errcode 1e400", `{$,"errcode":1e400}`, bad},
		{"errcode beyond 32 bits", `{$,"errcode":9007199254740993}`, bad},
		{"errcode beyond 16 KiB of zeros", `{$,"errcode":"` + strings.Repeat("0", 17000) + `40029"}`, bad},
		{"errcode beyond 16 KiB of blanks", `{$,"errcode":"0` + strings.Repeat(" ", 17000) + `40029"}`, bad},
		{"errcode of 65 bytes", `{$,"errcode":"` + strings.Repeat("0", 63) + `"}`, bad},
		{"errcode of 64 bytes", `{$,"errcode":"` + strings.Repeat("0", 62) + `"}`, good},
		{"errcode twice", `{"errcode":0,$,"errcode":0}`, bad},
		{"errcode twice, once escaped", `{"errcode":0,"err\u0063ode":40029,$}`, bad},
	} {
		t.Run(row.name, func(t *testing.T) {
			for call, members := range wireMembers {
				want := row.want
				if strings.Contains(members, "errcode") && strings.HasPrefix(row.name, "errcode") {
					want = bad // the row's errcode makes two
				}
				err := callWithBody(t, call, strings.Replace(row.body, "$", members, 1))
				if want == good {
					assert.NoError(t, err, call)
					continue
				}
				assert.ErrorIs(t, err, ErrBadResponse, call)
				assert.Equal(t, KindUnknown, kindOf(t, err), call)
			}
		})
		wire.responses.Add(1)
	}
}

// TestWire_ResponseMemory sends every call 64 KiB that are designed to use many
// times that in memory. $ stands for the members of a good response.
func TestWire_ResponseMemory(t *testing.T) {
	fill := func(before, repeated, after string) string {
		return before + strings.Repeat(repeated, (63<<10)/len(repeated)) + after
	}
	var keys strings.Builder
	for i := 0; keys.Len() < 62<<10; i++ {
		fmt.Fprintf(&keys, `,"%x":0`, i)
	}
	for name, body := range map[string]string{
		"a long list of numbers":            fill(`{$,"privilege":[1`, ",1", `]}`),
		"a long list of texts":              fill(`{$,"privilege":["a"`, `,"a"`, `]}`),
		"a long list of empty lists":        fill(`{$,"privilege":[[]`, `,[]`, `]}`),
		"a long text in a list":             fill(`{$,"privilege":["`, "长", `"]}`),
		"a nickname of control bytes":       fill(`{$,"nickname":"`, "\x01", `"}`),
		"a nickname of escaped ones":        fill(`{$,"nickname":"`, `\u0001`, `"}`),
		"a nickname of bad UTF-8":           fill(`{$,"nickname":"`, "\xff", `"}`),
		"a long nickname":                   fill(`{$,"nickname":"`, "a", `"}`),
		"a key of control bytes":            fill(`{$,"`, "\x01", `":1}`),
		"many keys":                         `{$` + keys.String() + `}`,
		"one key many times":                fill(`{$`, `,"k":0`, `}`),
		"many keys in an object":            `{$,"phone_info":{"a":0` + keys.String() + `}}`,
		"an errmsg of control bytes":        fill(`{"errcode":40029,"errmsg":"`, "\x01", `"}`),
		"an errmsg of 4,096 control bytes":  `{"errcode":40029,"errmsg":"` + strings.Repeat("\x01", 4096) + strings.Repeat("a", 59<<10) + `"}`,
		"an errmsg of escaped ones":         fill(`{"errcode":40029,"errmsg":"`, `\u0001`, `"}`),
		"an errmsg of bad UTF-8":            fill(`{"errcode":40029,"errmsg":"`, "\xff", `"}`),
		"a long errmsg":                     fill(`{"errcode":40029,"errmsg":"`, "长", `"}`),
		"an errmsg of 2 KiB":                `{"errcode":40029,"errmsg":"` + strings.Repeat("a", 2<<10) + `"}`,
		"an errmsg that repeats an openid":  fill(`{"errcode":40029,"errmsg":"`, "openid=x ", `"}`),
		"an errmsg of the shortest secrets": fill(`{"errcode":40029,"errmsg":"`, "code= ", `"}`),
		"an errcode of many digits":         fill(`{$,"errcode":`, "1", `}`),
		"a long openid":                     fill(`{$,"unionid":"`, "\xff", `"}`),
		"an error with long tokens":         longTokens,
		"a watermark of control bytes": `{"errcode":0,"phone_info":{"phoneNumber":"1","watermark":{"appid":"` + testAppID + `","x":"` +
			strings.Repeat("\x01", maxControls) + strings.Repeat("a", 56<<10) + `"}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			for call, members := range wireMembers {
				_ = callWithBody(t, call, strings.Replace(body, "$", members, 1)) // which checks the bytes allocated
			}
		})
		wire.responses.Add(1)
	}
}

// longTokens is an error response with four values that are expensive to spell
// in all forms, and an errmsg too short to contain any of them.
var longTokens = `{"errcode":40029,"errmsg":"m","session_key":"` + strings.Repeat("%", 15900) +
	`","access_token":"` + strings.Repeat("&", 15900) + `","refresh_token":"` + strings.Repeat("+", 15900) +
	`","openid":"` + strings.Repeat("?", 12<<10) + `"}`

func kindOf(t *testing.T, err error) Kind {
	t.Helper()
	var e *Error
	require.True(t, errors.As(err, &e), "%v", err)
	return e.Kind()
}

func TestWire_ErrcodeBeatsIdentity(t *testing.T) {
	for _, row := range []struct {
		name, errcode string
		code          int // 0: the call succeeds
	}{
		{"a number", `40029`, 40029},
		{"a string", `"40029"`, 40029},
		{"a string with a blank", `" 40029"`, 40029},
		{"a fraction of zero", `40029.0`, 40029},
		{"scientific", `4.0029e4`, 40029},
		{"unknown", `99999`, 99999},
		{"unknown and negative", `-41`, -41},
		{"zero", `0`, 0},
		{"zero as a string", `"0"`, 0},
		{"zero with a fraction", `0.0`, 0},
		{"null", `null`, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, call := range []string{"Exchange", "Refresh", "UserInfo", "Code2Session"} {
				for _, body := range []string{
					`{` + wireMembers[call] + `,"errcode":` + row.errcode + `,"errmsg":"m"}`,
					`{"errcode":` + row.errcode + `,"errmsg":"m",` + wireMembers[call] + `}`,
				} {
					err := callWithBody(t, call, body)
					if row.code == 0 {
						assert.NoError(t, err, call)
						continue
					}
					var e *Error
					require.True(t, errors.As(err, &e), call)
					assert.Equal(t, row.code, e.Code, call)
				}
			}
		})
		wire.responses.Add(1)
	}
}

func TestWire_AmbiguousIdentity(t *testing.T) {
	const openid = `"openid":"` + testOpenID + `"`
	for _, row := range []struct{ name, instead string }{
		{"missing", `"x":0`},
		{"empty", `"openid":""`},
		{"null", `"openid":null`},
		{"a number", `"openid":123456`},
		{"true", `"openid":true`},
		{"a list", `"openid":["` + testOpenID + `"]`},
		{"an object", `"openid":{"openid":"` + testOpenID + `"}`},
		{"65 characters", `"openid":"` + strings.Repeat("o", 65) + `"`},
		{"10 KiB", `"openid":"` + strings.Repeat("o", 10<<10) + `"`},
		{"a blank", `"openid":" "`},
		{"blanks around it", `"openid":" ` + testOpenID + ` "`},
		{"line break and header", `"openid":"a\r\nX: y"`},
		{"raw line break", "\"openid\":\"a\r\nX: y\""},
		{"raw control byte", "\"openid\":\"" + testOpenID + "\x14\""},
		{"raw control byte after a backslash", "\"openid\":\"" + testOpenID + "\\\x14\""},
		{"NUL", `"openid":"a\u0000b"`},
		{"not ASCII", `"openid":"оTEST"`},
		{"invalid UTF-8", "\"openid\":\"o\xff\""},
		{"a lone surrogate", `"openid":"o\udc00"`},
		{"a slash", `"openid":"o\/x"`},
		{"a colon", `"openid":"o:x"`},
		{"a glob", `"openid":"o*"`},
		{"the same twice", openid + `,` + openid},
		{"another one twice", openid + `,"openid":"oOTHER"`},
		{"twice, once escaped", openid + `,"opeN\u0069d":"oOTHER"`},
		{"twice, once escaped in the same case", openid + `,"open\u0069d":"oOTHER"`},
		{"in upper case only", `"OPENID":"` + testOpenID + `"`},
		{"in upper case too", openid + `,"OPENID":"oOTHER"`},
		{"in camel case too", openid + `,"openId":"oOTHER"`},
		{"unionid malformed", openid + `,"unionid":"u x"`},
		{"unionid of 65 characters", openid + `,"unionid":"` + strings.Repeat("o", 65) + `"`},
		{"unionid a number", openid + `,"unionid":1`},
		{"unionid twice", openid + `,"unionid":"oA","unionid":"oB"`},
		{"unionid in another case", openid + `,"unionId":"oB"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, call := range []string{"Exchange", "Refresh", "UserInfo", "Code2Session"} {
				body := strings.Replace("{"+wireMembers[call]+"}", openid, row.instead, 1)
				err := callWithBody(t, call, body)
				assert.ErrorIs(t, err, ErrBadResponse, call)
				assert.Equal(t, KindUnknown, kindOf(t, err), call)
			}
		})
		wire.responses.Add(1)
	}
}

func TestWire_UserInfo_OtherUser(t *testing.T) {
	for _, other := range []string{"oOTHER", strings.ToLower(testOpenID), testOpenID + "x", testOpenID[:27]} {
		err := callWithBody(t, "UserInfo", `{"openid":"`+other+`","nickname":"N"}`)
		assert.ErrorIs(t, err, ErrBadResponse, other)
		wire.responses.Add(1)
	}
}

func TestWire_MalformedTokens(t *testing.T) {
	for _, row := range []struct{ name, call, was, is string }{
		{"no access_token", "Exchange", `"access_token":"` + testToken + `"`, `"x":0`},
		{"an empty access_token", "Exchange", `"access_token":"` + testToken + `"`, `"access_token":""`},
		{"an access_token with a space", "Exchange", testToken, "a b"},
		{"an access_token with a line break", "Exchange", testToken, `a\nb`},
		{"an access_token that is a number", "Exchange", `"` + testToken + `"`, `1`},
		{"an access_token twice", "Exchange", `"expires_in"`, `"access_token":"b","expires_in"`},
		{"an access_token in another case", "Exchange", `"expires_in"`, `"accesS_token":"b","expires_in"`},
		{"a refresh_token with a space", "Exchange", testFresh, "a b"},
		{"a refresh_token that is a list", "Refresh", `"` + testFresh + `"`, `[]`},
		{"a scope twice", "Exchange", `"scope"`, `"scope":"snsapi_userinfo","scope"`},
		{"a scope in another case", "Exchange", `"scope"`, `"SCOPE":"snsapi_userinfo","scope"`},
		{"is_snapshotuser twice", "Exchange", `"scope"`, `"is_snapshotuser":1,"is_snapshotuser":0,"scope"`},
		{"is_snapshotuser in another case", "Exchange", `"scope"`, `"is_snapshotUser":1,"scope"`},
		{"no session_key", "Code2Session", `"session_key":"` + testKey + `"`, `"x":0`},
		{"an empty session_key", "Code2Session", testKey, ``},
		{"a session_key with a control byte", "Code2Session", testKey, "a\x01b"},
		{"a session_key twice", "Code2Session", `"session_key"`, `"session_key":"x","session_key"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := callWithBody(t, row.call, strings.Replace("{"+wireMembers[row.call]+"}", row.was, row.is, 1))
			assert.ErrorIs(t, err, ErrBadResponse)
		})
		wire.responses.Add(1)
	}
}

func TestWire_TokenSpellings(t *testing.T) {
	const members = `"access_token":"T","openid":"oU"`
	plain := Token{AccessToken: NewSecret("T"), OpenID: "oU"}
	with := func(change func(*Token)) Token { token := plain; change(&token); return token }
	lasting := func(d time.Duration) Token { return with(func(t *Token) { t.ExpiresIn = d }) }
	snapshot := with(func(t *Token) { t.Snapshot = true })
	for _, row := range []struct {
		body string
		want Token
	}{
		{`{` + members + `}`, plain},
		{`{` + members + `,"refresh_token":null,"scope":null,"unionid":null,"is_snapshotuser":null}`, plain},
		{`{` + members + `,"refresh_token":"","scope":"","unionid":""}`, plain},
		{`{` + members + `,"expires_in":7200}`, lasting(2 * time.Hour)},
		{`{` + members + `,"expires_in":"7200"}`, lasting(2 * time.Hour)},
		{`{` + members + `,"expires_in":7200.0}`, lasting(2 * time.Hour)},
		{`{` + members + `,"expires_in":7.2e3}`, lasting(2 * time.Hour)},
		{`{` + members + `,"expires_in":-1}`, plain},
		{`{` + members + `,"expires_in":0}`, plain},
		{`{` + members + `,"expires_in":0.5}`, plain},
		{`{` + members + `,"expires_in":null}`, plain},
		{`{` + members + `,"expires_in":"soon"}`, plain},
		{`{` + members + `,"expires_in":[7200]}`, plain},
		{`{` + members + `,"expires_in":2147483648}`, lasting(30 * 24 * time.Hour)},
		{`{` + members + `,"expires_in":9223372036854775807}`, lasting(30 * 24 * time.Hour)},
		{`{` + members + `,"expires_in":1e400}`, lasting(30 * 24 * time.Hour)},
		{`{` + members + `,"expires_in":-1e400}`, plain},
		{`{` + members + `,"scope":"snsapi_base,snsapi_userinfo"}`, with(func(t *Token) { t.Scope = "snsapi_base,snsapi_userinfo" })},
		{`{` + members + `,"scope":" snsapi_base, snsapi_userinfo"}`, with(func(t *Token) { t.Scope = "snsapi_base,snsapi_userinfo" })},
		{`{` + members + `,"scope":"snsapi_base\n"}`, plain},
		{`{` + members + `,"scope":["snsapi_base"]}`, plain},
		{`{` + members + `,"is_snapshotuser":1}`, snapshot},
		{`{` + members + `,"is_snapshotuser":"1"}`, snapshot},
		{`{` + members + `,"is_snapshotuser":true}`, snapshot},
		{`{` + members + `,"is_snapshotuser":"true"}`, snapshot},
		{`{` + members + `,"is_snapshotuser":2}`, snapshot},
		{`{` + members + `,"is_snapshotuser":[]}`, snapshot},
		{`{` + members + `,"is_snapshotuser":"0x0p0"}`, snapshot},
		{`{` + members + `,"is_snapshotuser":1e-400}`, snapshot},
		{`{` + members + `,"is_snapshotuser":"` + strings.Repeat("0", 17000) + `1"}`, snapshot},
		{`{` + members + `,"is_snapshotuser":"` + strings.Repeat("0", 64) + `"}`, snapshot},
		{`{` + members + `,"is_snapshotuser":"FALSE"}`, plain},
		{`{` + members + `,"is_snapshotuser":" False "}`, plain},
		{`{` + members + `,"is_snapshotuser":0}`, plain},
		{`{` + members + `,"is_snapshotuser":"0"}`, plain},
		{`{` + members + `,"is_snapshotuser":false}`, plain},
		{`{` + members + `,"is_snapshotuser":""}`, plain},
	} {
		t.Run(shorten(row.body), func(t *testing.T) {
			p := newRawPeer(t, func(c *rawConn) { c.read(); c.respond(row.body) })
			c, _ := wireClient(t, p.url())
			token, err := c.Exchange(t.Context(), testCode)
			require.NoError(t, err)
			assert.Equal(t, &row.want, token)
		})
		wire.responses.Add(1)
	}
}

func TestWire_ProfileTexts(t *testing.T) {
	long := strings.Repeat("长", 200)
	for _, row := range []struct{ name, members, nickname, avatar string }{
		{"plain", `"nickname":"Band"`, "Band", ""},
		{"cut within an escape", `"nickname":"b` + strings.Repeat(`\u0001`, 9000) + `"`, "b", ""},
		{"no nickname", `"x":0`, "", ""},
		{"nickname null", `"nickname":null`, "", ""},
		{"nickname a number", `"nickname":42`, "42", ""},
		{"nickname a list", `"nickname":["a"]`, "", ""},
		{"nickname twice", `"nickname":"a","nickname":"b"`, "b", ""},
		{"raw control byte", "\"nickname\":\"a\x14b\"", "ab", ""},
		{"every raw control byte", "\"nickname\":\"" + allControlBytes() + "z\"", "z", ""},
		{"raw control byte after a backslash", "\"nickname\":\"a\\\x14b\"", `a\b`, ""},
		{"escaped control character", `"nickname":"a\u0007b\u0000"`, "ab", ""},
		{"invalid UTF-8", "\"nickname\":\"a\xffb\"", "ab", ""},
		{"GBK bytes", "\"nickname\":\"\xce\xd2\xca\xc7x\"", "x", ""},
		{"a lone surrogate", `"nickname":"a\ud83db"`, "ab", ""},
		{"emoji", `"nickname":"👨‍👩‍👧 \ud83d\ude00"`, "👨‍👩‍👧 😀", ""},
		{"bidi override", `"nickname":"a\u202etxt.exe"`, "atxt.exe", ""},
		{"byte order mark", `"nickname":"\ufeffa"`, "a", ""},
		{"zero width only", `"nickname":"\u200b\u200d\ufeff"`, "", ""},
		{"a deleted account", `"nickname":"用户已经注销"`, "用户已经注销", ""},
		{"200 runes", `"nickname":"` + long + `"`, strings.Repeat("长", 128), ""},
		{"60 KiB", `"nickname":"` + strings.Repeat("n", 60<<10) + `"`, strings.Repeat("n", 128), ""},
		{"the usual avatar", `"headimgurl":"https:\/\/thirdwx.qlogo.cn\/mmopen\/x\/132"`, "", "https://thirdwx.qlogo.cn/mmopen/x/132"},
		{"an old avatar", `"headimgurl":"http://wx.qlogo.cn/mmopen/x/0"`, "", "https://wx.qlogo.cn/mmopen/x/0"},
		{"no avatar", `"headimgurl":""`, "", ""},
		{"avatar null", `"headimgurl":null`, "", ""},
		{"avatar with a script", `"headimgurl":"javascript:alert(1)"`, "", ""},
		{"avatar in data", `"headimgurl":"data:image/png;base64,AAAA"`, "", ""},
		{"avatar without a scheme", `"headimgurl":"//evil.example/a"`, "", ""},
		{"avatar on a metadata service", `"headimgurl":"http://169.254.169.254/latest"`, "", ""},
		{"avatar on this machine", `"headimgurl":"http://localhost/a"`, "", ""},
		{"avatar on IPv6", `"headimgurl":"http://[::1]/a"`, "", ""},
		{"avatar on a port", `"headimgurl":"https://a.example:8443/a"`, "", ""},
		{"avatar with a user", `"headimgurl":"https://thirdwx.qlogo.cn@evil.example/a"`, "", ""},
		{"avatar that breaks out of an attribute", `"headimgurl":"https://a.example/\" onload=\"x"`, "", ""},
		{"avatar with a quote", `"headimgurl":"https://a.example/'x"`, "", ""},
		{"avatar with control bytes", "\"headimgurl\":\"https://a.example/\x01\"", "", ""},
		{"avatar of garbage", "\"headimgurl\":\"\xff\xfe\xfd\"", "", ""},
		{"avatar of 10 KiB", `"headimgurl":"https://a.example/` + strings.Repeat("a", 10<<10) + `"`, "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newRawPeer(t, func(c *rawConn) { c.read(); c.respond(`{"openid":"` + testOpenID + `",` + row.members + `}`) })
			c, _ := wireClient(t, p.url())
			info, err := c.UserInfo(t.Context(), testToken, testOpenID, "")
			require.NoError(t, err)
			assert.Equal(t, row.nickname, info.Nickname)
			assert.Equal(t, row.avatar, info.AvatarURL)
		})
		wire.responses.Add(1)
	}
}

func allControlBytes() string {
	var b strings.Builder
	for c := range byte(0x20) {
		b.WriteByte(c)
	}
	return b.String()
}

func TestWire_ErrmsgTails(t *testing.T) {
	for _, row := range []struct{ errmsg, message, rid string }{
		{"invalid code, rid: 65c17d8c-5cf05990-781aabe9", "invalid code", "65c17d8c-5cf05990-781aabe9"},
		{"invalid signature rid: 65c17d8c-5cf05990-781aabe9", "invalid signature", "65c17d8c-5cf05990-781aabe9"},
		{"invalid code hint: [mGhbWV0sf-LxnVma] rid: 65f3e9f7-77cf1a1c-0dd74a0e", "invalid code", "65f3e9f7-77cf1a1c-0dd74a0e"},
		{"code been used, hints: [ req_id: MdoBRh4FE-_iqKea ]", "code been used", "MdoBRh4FE-_iqKea"},
		{"not authorized hint: [BZcV0a01294731]", "not authorized", "BZcV0a01294731"},
		{"invalid ip 1.2.3.4 ipv6 ::ffff:1.2.3.4, not in whitelist rid: 61a-b-c", "invalid ip 1.2.3.4 ipv6 ::ffff:1.2.3.4, not in whitelist", "61a-b-c"},
		// As published by users.
		{"invalid code, hints: [ req_id: uHgEgP.Ce-H8C1Va ]", "invalid code", "uHgEgP.Ce-H8C1Va"},
		{"code been used, hints: [ req_id: g1g.Va0830s104 ]", "code been used", "g1g.Va0830s104"},
		{"code been used, hints: [ req_id: 7_5aDa0305th56 ]", "code been used", "7_5aDa0305th56"},
		{"access_token missing, hints: [ req_id: l5m0085ns54 ]", "access_token missing", "l5m0085ns54"},
		{"access_token expired hints: [6HOC7Z3Me-_7iY3!]", "access_token expired", "6HOC7Z3Me-_7iY3!"},
		{"access_token expired hint: [_azUMA0760vr19]", "access_token expired", "_azUMA0760vr19"},
		{"api unauthorized hints: [bAkCBeijRa-MEZNRa!]", "api unauthorized", "bAkCBeijRa-MEZNRa!"},
		{"api unauthorized rid: 5f64075c-2e34d024-58475aa6", "api unauthorized", "5f64075c-2e34d024-58475aa6"},
		{"invalid credential, access_token is invalid or not latest hint: [fhbTHA0611vr54!]", "invalid credential, access_token is invalid or not latest", "fhbTHA0611vr54!"},
		{"invalid credential, access_token is invalid or not latest rid: 62c66213-76542f8c-06b14179", "invalid credential, access_token is invalid or not latest", "62c66213-76542f8c-06b14179"},
		{"invalid ip 111.199.187.71 ipv6 ::ffff:111.199.187.71, not in whitelist hint: [H.BDtZFFE-Q7bNKA] rid: 5f283869-46321ea1-07d7260c", "invalid ip 111.199.187.71 ipv6 ::ffff:111.199.187.71, not in whitelist", "5f283869-46321ea1-07d7260c"},
		{"invalid ip 119.33.28.152, not in whitelist hint: [g_G8404063055]", "invalid ip 119.33.28.152, not in whitelist", "g_G8404063055"},
		{`invalid appsecret, view more at http:\/\/t.cn\/RAEkdVq, hints: [ req_id: 5.OFZRLnRa-CJ6sWa ]`, "invalid appsecret, view more at http://t.cn/RAEkdVq", "5.OFZRLnRa-CJ6sWa"},
		{`invalid appsecret, view more at http:\/\/t.cn\/RAEkdVq hint: [BepdbOwFE-3zAnFa] rid: 5f236e23-0ee231ea-5c4a7398`, "invalid appsecret, view more at http://t.cn/RAEkdVq", "5f236e23-0ee231ea-5c4a7398"},
		{"invalid code hint: [a b]", "invalid code hint: [a b]", ""},
		{"system error", "system error", ""},
		{"", "", ""},
		{"rid: ", "rid:", ""},
		{strings.Repeat("x", 400) + ", rid: a-b-c", strings.Repeat("x", 297) + "...", "a-b-c"},
		{`two\nlines\u0000and\u202emore`, "two lines and more", ""},
	} {
		t.Run(row.errmsg, func(t *testing.T) {
			err := callWithBody(t, "Exchange", `{"errcode":40029,"errmsg":"`+row.errmsg+`"}`)
			var e *Error
			require.True(t, errors.As(err, &e))
			assert.Equal(t, row.message, e.Message)
			assert.Equal(t, row.rid, e.RID)
		})
		wire.responses.Add(1)
	}
}

func TestWire_RedactsRequestSecrets(t *testing.T) {
	for _, template := range []string{
		"%s", "invalid code: %s", "x%sx", "code=%s&x", "secret=%s", `{\"code\":\"%s\"}`, "rid: %s", "hint: [%s]",
		strings.Repeat("x", 290) + "%s",
	} {
		for call, secrets := range map[string][]string{
			"Exchange":     {testCode, testSecret},
			"Refresh":      {testFresh},
			"UserInfo":     {testToken, testOpenID},
			"CheckToken":   {testToken, testOpenID},
			"Code2Session": {testCode, testSecret},
		} {
			for _, secret := range secrets {
				err := callWithBody(t, call, fmt.Sprintf(`{"errcode":40029,"errmsg":"`+template+`"}`, secret))
				assert.ErrorIs(t, err, ErrCodeInvalid, "callOnWire has checked for the secret")
			}
		}
		wire.responses.Add(1)
	}
}

func TestWire_RedactsResponseSecrets(t *testing.T) {
	for _, field := range []string{"session_key", "access_token", "refresh_token", "openid", "unionid"} {
		t.Run(field, func(t *testing.T) {
			err := callWithBody(t, "Code2Session", `{"`+field+`":"secret-of-the-response==","errcode":40029,"errmsg":"no secret-of-the-response== here"}`)
			assert.ErrorIs(t, err, ErrCodeInvalid)
			assert.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), "secret-of-the-response")
		})
		wire.responses.Add(1)
	}
}

func TestWire_RetryWhenBusy(t *testing.T) {
	for call, want := range map[string]int64{
		"Exchange": 1, "Code2Session": 1, "PhoneNumber": 1, "Refresh": 2, "UserInfo": 2, "CheckToken": 2,
	} {
		t.Run(call, func(t *testing.T) {
			p := newRawPeer(t, func(c *rawConn) {
				for c.read() && c.respond(`{"errcode":-1,"errmsg":"system error"}`) {
				}
			})
			c, _ := wireClient(t, p.url())
			err := callOnWire(t, call, c)
			assert.ErrorIs(t, err, ErrBusy)
			assert.Equal(t, KindBusy, kindOf(t, err))
			assert.Equal(t, want, p.requests.Load())
		})
		wire.responses.Add(1)
	}
	t.Run("the second response is used", func(t *testing.T) {
		first := true
		p := newRawPeer(t, func(c *rawConn) {
			for c.read() {
				if first {
					first = false
					c.respond(`{"errcode":-1,"errmsg":"system error"}`)
					continue
				}
				c.respond("{" + wireMembers["UserInfo"] + "}")
			}
		})
		c, _ := wireClient(t, p.url())
		assert.NoError(t, callOnWire(t, "UserInfo", c))
	})
}
