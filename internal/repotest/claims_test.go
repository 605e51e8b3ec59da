package repotest

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/wechattest"
)

// A claim is a sentence of a page and of its translation, with tests that fail
// if it is not true.
type claim struct {
	english, chinese string
	tests            []string
}

// claims has the claims of a page's prose, by the page's name.
var claims = map[string][]claim{
	"security": {
		{
			"a cookie identifies a session or a pending login, never a user", "Cookie 只标识会话或进行中的登录，不标识用户",
			[]string{"TestForgedCookies/T77 every purpose is covered", "TestForgedCookies/T77 stolen AppSecret", "TestForgedCookies/T76 AppSecret of another account", "TestForgedCookies/T76 two gates on one manager"},
		},
		{
			"encrypted with XChaCha20-Poly1305 and random nonces of 192 bits", "使用 XChaCha20-Poly1305 和 192 位随机 nonce 加密",
			[]string{"TestSeal/T97 one construction", "TestSeal/T97 192 random bits", "TestSeal/T97 purposes are separate"},
		},
		{"**The minute after a login.**", "**登录之后的一分钟。**", []string{"TestSharedResult/T06 kept for a minute"}},
		{"No login by QR code can stop this", "任何扫码登录都无法防范", []string{"TestScan_Relayed"}},
		{
			"require a second proof in `WithAccessCheck` if `Identity.Channel` is `ChannelScan`", "在 `Identity.Channel` 为 `ChannelScan` 时由 `WithAccessCheck` 要求二次验证",
			[]string{"TestScan_Relayed"},
		},
	},
	"getting-started": {
		{"`WithBaseURL` accepts IP addresses for loopback only", "`WithBaseURL` 只接受本机回环 IP", []string{"internal/repotest/TestDocs_IPAddress"}},
	},
	"deployment": {
		{
			"chi's `Logger` and most others log the query", "chi 的 `Logger` 和多数日志组件会记录查询参数",
			[]string{"internal/repotest/TestDocs_AccessLog"},
		},
		{"nginx writes the whole request to its error log too", "nginx 还会把整个请求写入错误日志", []string{"internal/repotest/TestDocs_AccessLog"}},
		{"(in chi, use a `Group` for the other routes)", "（在 chi 中，把其他路由放进 `Group`）", []string{"examples/chi/TestLogger"}},
		{"Log only paths", "请只记录路径", []string{"internal/repotest/TestDocs_AccessLog", "internal/repotest/TestDocs_OuterMiddleware"}},
	},
	"routers": {
		{"these requests fail with `callback_malformed`", "请求会因 `callback_malformed` 失败", []string{"TestMaxBytesReader"}},
		{"works without configuration, inside `RequireWeChat` or around it", "无需配置，放在 `RequireWeChat` 之内或之外均可", []string{"examples/internal/csrf/TestForms"}},
		{
			"the endpoints' forms have no token", "各接口的表单没有这种 token",
			[]string{"examples/internal/csrf/TestForms", "examples/internal/csrf/TestForms_NotExempt"},
		},
	},
}

// protectionClaims has one claim for each item of what is protected, in its order.
var protectionClaims = []claim{
	{"**The callback.**", "**回调。**", []string{"TestCallback/T01 login of another browser", "TestCallback/T04 captured URL in another browser", "TestFlowCookie/T08 expires by its sealed time", "TestInvalidCallback/T24 never reaches WeChat or Redis"}},
	{"**The session.**", "**会话。**", []string{"TestLogin/T13 planted session", "TestLogin_hostCookies", "TestLogout/T15 request in flight"}},
	{"**Redirects.**", "**跳转。**", []string{"TestReturnURL/T26 rejected and login still succeeds", "TestReturnURL/T28 sealed value is checked again", "TestRequestHeaders/T33 redirect_uri does not depend on them"}},
	{"**Duplicate callbacks.**", "**重复回调。**", []string{"TestDuplicateCallback/T06 hundred at once", "TestDuplicateCallback/T06 leader dies"}},
	{"**Snapshot mode.**", "**快照页。**", []string{"TestSnapshot/T19 virtual user is not logged in"}},
	{"**Redirect loops.**", "**循环跳转。**", []string{"TestRedirectLoop/T30 rejected after three logins"}},
	{"**Failures.**", "**故障。**", []string{"TestRequireWeChat_storeDown", "TestFaultMatrix", "TestProfile_Invalid"}},
	{"**Caches.**", "**缓存。**", []string{"TestResponse/T36 is not cached", "TestCacheControl/T36 set by the handler", "TestCacheControl/T94 public page with a session cookie"}},
	{"**Secrets.**", "**敏感信息。**", []string{"TestLeak/T40 no secret reaches any sink"}},
}

// attackClaims has one claim for each row of the table of attacks, in its order.
var attackClaims = []claim{
	{"login CSRF", "登录 CSRF", []string{"TestCallback/T01 login of another browser", "TestCallback/T02 planted pending login"}},
	{"once, within ten minutes", "只能用一次，十分钟内有效", []string{"TestCallback/T04 captured URL in another browser", "TestCallback/T05 repeated in the same browser", "TestFlowCookie/T08 expires by its sealed time", "TestInvalidCallback/T24 never reaches WeChat or Redis"}},
	{"session fixation", "会话固定", []string{"TestLogin/T13 planted session"}},
	{"open redirect", "开放重定向", []string{"TestReturnURL/T22 next stays on the site", "TestReturnURL/T26 rejected and login still succeeds", "TestReturnURL/T27 request target stays on the site", "TestReturnURL/T28 sealed value is checked again"}},
	{"choose the redirect_uri with a header", "用请求头指定 redirect_uri", []string{"TestRequestHeaders/T33 redirect_uri does not depend on them"}},
	{"restore a session after a logout", "退出登录后，用仍在处理的请求恢复会话", []string{"TestLogout/T15 request in flight", "TestLogout/T15 request in flight under LoadAndSave", "TestUngated/T79 ended session is not written"}},
	{"impersonate a user with headers", "用请求头冒充用户", []string{"identityheader/TestHandler/T34 forged headers", "identityheader/TestHandler/T34 forged trailers"}},
	{"from another site or from the host of another tenant", "发起用户授权", []string{"TestLogout/T73 not from another site", "TestAccounts_Form/T84 from another tenant", "TestAccounts_Form/T84 behind a proxy that rewrites Host"}},
	{"what an upstream server receives", "利用上游服务器收到的内容", []string{"identityheader/TestHandler/T92 no credentials reach the upstream"}},
	{"make a relay (`WithRelay`) send a code elsewhere", "使授权中转", []string{"relay/TestRelay/T95 only listed callbacks"}},
	{"from a sibling subdomain, a frame, an image or a prefetch", "同级子域名、iframe、图片、预加载", []string{"TestGET/T80 changes nothing unless it is a page visit", "TestWebViewTicket/T80 unknown initiator needs a confirmation", "TestWebViewTicket/T80 session of another user needs a confirmation"}},
	{"a used code gets no token", "已使用的 code 不能换取 token", []string{"TestMiniLogin/T86 used code", "TestMiniLogin/T86 restored result", "TestMini_ConcurrentLogins"}},
	{"become a user by writing to Redis", "通过写入 Redis 冒充用户", []string{"TestRedisWriter/T78 cannot become another user", "TestRedisWriter/T78 cannot choose a key"}},
	{"through a virtual identity", "通过虚拟账号", []string{"TestSnapshot/T19 virtual user is not logged in"}},
	{"duplicates, drops or reorders replies", "重复、丢失或打乱响应", []string{"TestRedisConn_DuplicateReply", "store/TestStore"}},
	{"Redis fails over to a replica that missed it", "Redis 故障转移到尚未收到删除操作的从节点", []string{"TestRevokeUser_Replica", "store/TestStore"}},
	{"read secrets in logs", "从日志中读取敏感信息", []string{"TestLeak/T40 no secret reaches any sink"}},
	{"fill Redis with anonymous visits", "用未登录的请求填满 Redis", []string{"TestFlood/T56 anonymous requests store nothing in Redis", "TestScan_AnonymousPageVisit", "TestScan_Limits"}},
	{"a forwarded QR code, a screenshot", "转发的二维码、截图", []string{"TestScan_Number/T96 not on the browser's pages", "TestScan_Number/T96 one attempt", "TestScan_Attacks"}},
	{"by scanning its QR code first", "抢先扫描受害者浏览器的二维码", []string{"TestScan_Attacks"}},
	{"through the brand of an account", "通过账号的品牌设置", []string{"TestBrand/T103 markup in a name", "TestBrand/T103 script in an SVG", "TestBrand/T104 schemes", "TestBrand/T104 a logo allows images of its origin"}},
	{"in a redirect loop", "陷入循环跳转", []string{"TestRedirectLoop/T30 rejected after three logins"}},
}

// attackerClaims has one claim for each attacker, in the order of their table.
var attackerClaims = []claim{
	{"a tenant of `WithAccounts`", "`WithAccounts` 的租户", []string{"TestForgedCookies/T76 AppSecret of another account", "TestAccounts_Crossing", "TestAccounts_QRCode/T76 user of another account", "TestAccounts_Form/T84 from another tenant"}},
	{"read access to Redis", "能读取 Redis", []string{"TestRedisReader/T98 finds no valid token", "TestLeakStore/T44 hashed and encrypted", "TestLeakStore/T45 no tokens or secrets"}},
	{"write access to Redis", "能写入 Redis", []string{"TestRedisWriter/T78 cannot become another user", "TestRedisWriter/T78 cannot choose a key", "TestRedisWriter_ReplacedToken/T81 valid for seconds"}},
	{"with the AppSecret", "持有 AppSecret", []string{"TestForgedCookies/T77 stolen AppSecret", "TestForgedCookies/T77 cookies of an attacker's instance", "TestForgedCookies/T77 scan cookie from a QR code"}},
	{"a sibling subdomain", "同级子域名", []string{"TestSessionCookie/T17 tossed by another host", "TestCallback/T02 planted pending login", "TestGET/T80 changes nothing unless it is a page visit", "TestLogout/T73 not from another site", "TestLogin_hostCookies"}},
}

func TestDocs_Claims(t *testing.T) {
	_, tests := threatTests(t)
	count := 0
	check := func(c claim, english, chinese string) {
		count++
		assert.True(t, strings.Contains(english, c.english), "the page does not say %q; change the claim with it", c.english)
		assert.True(t, strings.Contains(chinese, c.chinese), "the page does not say %q; change the claim with it", c.chinese)
		assert.NotEmpty(t, c.tests, c.english)
		for _, name := range c.tests {
			assert.True(t, tests[name], "%q is proved by a test that is gone: %s", c.english, name)
		}
	}
	for page, all := range claims {
		for _, c := range all {
			check(c, readFile(t, "docs/"+page+".md"), readFile(t, "docs/"+page+".zh-CN.md"))
		}
	}
	for sections, all := range map[[2]string][]claim{
		{"Attacks and defenses", "攻击与防护"}:         attackClaims,
		{"What each attacker can do", "各类攻击者的能力"}: attackerClaims,
	} {
		english, chinese := tableOf(t, "docs/security.md", sections[0]), tableOf(t, "docs/security.zh-CN.md", sections[1])
		require.Len(t, english, len(all), "rows of %s without a claim, or claims without a row", sections[0])
		require.Len(t, chinese, len(all), sections[1])
		for i, c := range all {
			check(c, strings.Join(english[i], " "), strings.Join(chinese[i], " "))
		}
	}
	english, chinese := itemsOf(t, "docs/security.md", "What is protected"), itemsOf(t, "docs/security.zh-CN.md", "已防护的内容")
	require.Len(t, english, len(protectionClaims), "items without a claim, or claims without an item")
	require.Len(t, chinese, len(protectionClaims))
	for i, c := range protectionClaims {
		check(c, english[i], chinese[i])
	}
	t.Logf("claims %d", count)
}

// itemsOf returns the items of a section's list.
func itemsOf(t *testing.T, file, section string) (items []string) {
	t.Helper()
	for line := range strings.Lines(sectionOf(t, file, section)) {
		if strings.HasPrefix(line, "- ") {
			items = append(items, line)
		}
	}
	return items
}

func TestDocs_IPAddress(t *testing.T) {
	for base, valid := range map[string]bool{
		"https://203.0.113.7": false, "https://[2001:db8::1]": false, "https://10.0.0.7": false, "http://127.0.0.1:8080": true, "http://[::1]:8080": true,
	} {
		_, err := wechatauth.New(wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret), wechatauth.WithBaseURL(base))
		if valid {
			assert.NoError(t, err)
			continue
		}
		assert.ErrorContains(t, err, "use a host name", base)
	}
}

// The format of docs/deployment.md, filled in by the rules of nginx, has nothing
// of a callback's query. nginx's own format has all of it.
func TestDocs_AccessLog(t *testing.T) {
	s := newSite(t)
	callback, err := url.Parse(s.authorize(wechattest.Browser(wechattest.IPhone), "/a"))
	require.NoError(t, err)
	request := http.MethodGet + " " + callback.RequestURI() + " HTTP/1.1"
	variables := map[string]string{
		"remote_addr": "203.0.113.7", "remote_user": "-", "time_local": "30/Nov/2026:20:00:00 +0000", "status": "303", "body_bytes_sent": "0",
		"request_method": http.MethodGet, "uri": callback.Path, "request_uri": callback.RequestURI(), "request": request,
		"args": callback.RawQuery, "query_string": callback.RawQuery, "http_referer": "-", "http_user_agent": wechattest.IPhone,
	}
	filled := func(format string) string {
		return regexp.MustCompile(`\$(\w+)`).ReplaceAllStringFunc(format, func(name string) string {
			value, known := variables[name[1:]]
			assert.True(t, known, "a variable that this test does not know: %s", name)
			return value
		})
	}
	const combined = `$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"`
	for _, file := range []string{"docs/deployment.md", "docs/deployment.zh-CN.md"} {
		format := regexp.MustCompile(`log_format (\w+) '([^']+)';`).FindStringSubmatch(readFile(t, file))
		require.NotNil(t, format, file)
		assert.Contains(t, readFile(t, file), "access_log /var/log/nginx/access.log "+format[1]+";")
		assert.Regexp(t, `error_log /var/log/nginx/error.log crit;`, readFile(t, file), "level error has whole requests")
		line := filled(format[2])
		assert.Contains(t, line, "GET /wechat/callback")
		for _, parameter := range []string{"code", "state"} {
			value := callback.Query().Get(parameter)
			require.NotEmpty(t, value)
			assert.NotContains(t, line, value, file)
			assert.Contains(t, filled(combined), value, "as the page says")
		}
	}
}
