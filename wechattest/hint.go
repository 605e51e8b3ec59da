package wechattest

import "strings"

// bilingual is a text for developers in both languages of the pages.
type bilingual struct{ zh, en string }

func (b bilingual) in(english bool) string {
	if english {
		return b.en
	}
	return b.zh
}

var (
	notWeChatHint = bilingual{
		"授权页只在微信里打开：请求的 User-Agent 里没有 MicroMessenger。本地用桌面浏览器调试时，打开“任意浏览器”选项（WithAnyBrowser 或 -any-browser）。",
		"The authorize page opens in WeChat only: there is no MicroMessenger in the User-Agent. For local work with a desktop browser turn on WithAnyBrowser or -any-browser.",
	}
	insideHint = bilingual{
		"手机微信里不能用网站应用登录：请用公众号的 AppID 走 /connect/oauth2/authorize。",
		"A website application cannot log in inside WeChat on a phone: use the official account's AppID and /connect/oauth2/authorize.",
	}
	refusedHint = bilingual{
		"和真实的微信一样，网站不会收到任何通知。开关 refusal-callback 可模拟旧行为：只带 state 回调。",
		"As with the real WeChat the site is told nothing. The switch refusal-callback gives the older behaviour: a callback with state only.",
	}
	orderHint = bilingual{
		"参数必须按 appid、redirect_uri、response_type=code、scope、state 的顺序出现，各一次；之后才是 connect_redirect、forcePopup、forceSnapShot，component_appid 在最后。redirect_uri 没有编码时，它里面的 & 也会造成这个错误。",
		"The parameters come in the order appid, redirect_uri, response_type=code, scope, state, each once; after them connect_redirect, forcePopup, forceSnapShot, and component_appid last. An & in a redirect_uri that was not encoded has the same effect.",
	}
	unknownAppHint = bilingual{
		"模拟器里没有这个 AppID。用 WithAccount 或配置文件声明它。",
		"The simulator has no such AppID. Declare it with WithAccount or in the configuration file.",
	}
	scopeHint = bilingual{
		"公众号只有 snsapi_base 和 snsapi_userinfo，网站应用只有 snsapi_login。",
		"Official accounts have snsapi_base and snsapi_userinfo only, website applications snsapi_login only.",
	}
	stateHint = bilingual{
		"state 最多 128 字节，只用字母和数字。其余的放在服务器端。",
		"state is at most 128 bytes of letters and digits. Keep everything else on your server.",
	}
	kindHint = bilingual{
		"扫码登录要用网站应用的 AppID，并且是 GET 请求、response_type=code。",
		"QR login takes the AppID of a website application, a GET and response_type=code.",
	}
	methodHint = bilingual{"这个页面不接受这样的请求：方法不对，或者页面已经用过。", "This page does not take such a request: the method is wrong, or the page was answered before."}
)

// hints say what to mend, by the number of the error page.
var hints = map[int]bilingual{
	1:     {"gh_ 开头的是原始 ID，不是 AppID。", "What begins with gh_ is the original id, not the AppID."},
	10004: {"这个帐号被设为封禁。", "This account is set to banned."},
	10005: {"帐号没有这个 scope：类型不对、未认证，或 Scopes 里没有它。", "The account does not own this scope: wrong kind, not verified, or not among its Scopes."},
	10006: {"测试号只允许关注者登录：选一个已关注的人。", "A sandbox account admits followers only: choose a person who follows it."},
	10009: {"超过了 connect/oauth2/authorize 的配额，等一分钟。", "More visits than the quota of connect/oauth2/authorize allows: wait a minute."},
	10010: {"没有 scope。redirect_uri 未编码时，其中的 # 会截断后面的参数。", "scope is missing. A # in a redirect_uri that was not encoded cuts off the rest."},
	10015: {"帐号的 Platforms 里没有这个 component_appid。", "This component_appid is not among the Platforms of the account."},
	10016: {"这里要用公众号的 AppID；网站应用请用 /connect/qrconnect。", "The AppID of an official account is wanted here; a website application uses /connect/qrconnect."},
}

// domainHint says what was asked and what is configured.
func domainHint(a authorizeRequest, domains []string) bilingual {
	allowed := strings.Join(domains, ", ")
	if allowed == "" {
		return bilingual{
			"回调地址是 " + a.redirectURI + "。这个帐号没有配置域名，所以只允许本机回调（WithStrictDomains 时一律不允许）。",
			"The callback is " + a.redirectURI + ". The account has no domain configured, so only loopback callbacks are allowed (none under WithStrictDomains).",
		}
	}
	return bilingual{
		"回调地址是 " + a.redirectURI + "，配置的域名是 " + allowed + "。主机名必须完全相同，不能带端口；redirect_uri 只编码一次。",
		"The callback is " + a.redirectURI + ", configured is " + allowed + ". The host has to be the same, without a port; encode redirect_uri once.",
	}
}
