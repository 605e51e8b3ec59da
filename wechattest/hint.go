package wechattest

import "strings"

// A bilingual is a text for developers in both languages of the pages.
type bilingual struct{ zh, en string }

func (b bilingual) in(english bool) string {
	if english {
		return b.en
	}
	return b.zh
}

var (
	notWeChatHint = bilingual{
		"授权页只能在微信中打开，而请求的 User-Agent 不含 MicroMessenger。用桌面浏览器在本地调试时，请启用 WithAnyBrowser 或 -any-browser。",
		"The authorize page opens only in WeChat, and the User-Agent does not contain MicroMessenger. For local development with a desktop browser, use WithAnyBrowser or -any-browser.",
	}
	insideHint = bilingual{
		"手机微信中不能使用网站应用登录：请使用公众号的 AppID 和 /connect/oauth2/authorize。",
		"A website application cannot log in inside WeChat on a phone: use the official account's AppID and /connect/oauth2/authorize.",
	}
	deniedHint = bilingual{
		"与真实的微信一样，网站不会收到通知。开启 refusal-callback 可模拟旧行为：回调只带 state。",
		"As in the real WeChat, the site is not notified. The quirk refusal-callback simulates the older behavior: a callback with state only.",
	}
	orderHint = bilingual{
		"参数必须依次为 appid、redirect_uri、response_type=code、scope、state，各出现一次；其后可以是 connect_redirect、forcePopup、forceSnapShot，component_appid 在最后。redirect_uri 未编码时，其中的 & 也会导致此错误。",
		"The parameters must be appid, redirect_uri, response_type=code, scope and state, in this order and each once. connect_redirect, forcePopup and forceSnapShot may follow, and component_appid must be last. An & in an unencoded redirect_uri also causes this error.",
	}
	unknownAppHint = bilingual{
		"模拟器中没有此 AppID，请用 WithAccount 或配置文件添加。",
		"The simulator has no account with this AppID. Add it with WithAccount or in the configuration file.",
	}
	scopeHint = bilingual{
		"公众号只支持 snsapi_base 和 snsapi_userinfo，网站应用只支持 snsapi_login。",
		"Official accounts support only snsapi_base and snsapi_userinfo, website applications only snsapi_login.",
	}
	stateHint = bilingual{
		"state 最长 128 字节，只能包含字母和数字。其他数据请保存在服务器端。",
		"state may contain at most 128 letters and digits. Keep other data on your server.",
	}
	kindHint = bilingual{
		"扫码登录需使用网站应用的 AppID、GET 请求和 response_type=code。",
		"QR login requires the AppID of a website application, a GET request and response_type=code.",
	}
	methodHint = bilingual{"此页面不接受该请求：请求方法有误，或页面已提交过。", "This page does not accept the request: the method is wrong, or the page has already been used."}
)

// hints explain how to fix the error, by the number of the error page.
var hints = map[int]bilingual{
	1:     {"以 gh_ 开头的是原始 ID，不是 AppID。", "An id that begins with gh_ is the original id, not the AppID."},
	10004: {"该账号已被设为封禁状态。", "This account is set to banned."},
	10005: {"账号没有此 scope：账号类型不符、未认证，或 Scopes 中未包含。", "The account does not have this scope: it is of another kind, is not verified, or its Scopes do not contain it."},
	10006: {"测试号只允许关注者登录：请选择已关注的用户。", "Only followers can log in to a sandbox account: choose a person who follows it."},
	10009: {"已超出 connect/oauth2/authorize 的配额，请等待一分钟。", "The quota of connect/oauth2/authorize is exceeded: wait a minute."},
	10010: {"缺少 scope。redirect_uri 未编码时，其中的 # 会截断后面的参数。", "scope is missing. A # in an unencoded redirect_uri cuts off the parameters after it."},
	10015: {"账号的 Platforms 中没有此 component_appid。", "The account's Platforms do not contain this component_appid."},
	10016: {"此处需使用公众号的 AppID；网站应用请使用 /connect/qrconnect。", "Use the AppID of an official account here; website applications use /connect/qrconnect."},
}

// domainHint shows the requested callback and the configured domains.
func domainHint(a authorizeRequest, domains []string) bilingual {
	allowed := strings.Join(domains, ", ")
	if allowed == "" {
		return bilingual{
			"回调地址是 " + a.redirectURI + "。该账号未配置域名，因此只允许本机回调（启用 WithStrictDomains 时均不允许）。",
			"The callback is " + a.redirectURI + ". No domain is configured for the account, so only callbacks at loopback hosts and private IP addresses are allowed (none with WithStrictDomains).",
		}
	}
	return bilingual{
		"回调地址是 " + a.redirectURI + "，配置的域名是 " + allowed + "。主机名必须完全一致，不能带端口；redirect_uri 只能编码一次。",
		"The callback is " + a.redirectURI + ", the configured domain is " + allowed + ". The hosts must be identical, without a port. Encode redirect_uri exactly once.",
	}
}
