package client

import (
	"context"
	"errors"
	"strings"
)

// An errcodeInfo describes an errcode: its kind, the sentinel it matches, and a
// sentence for people.
type errcodeInfo struct {
	kind   Kind
	is     error
	en, zh string
}

// errcodes holds the errcodes that a login can return, from WeChat's global
// list of return codes
// (https://developers.weixin.qq.com/doc/oplatform/Return_codes/Return_code_descriptions_new.html)
// and from the documentation of the calls. Codes about media, menus, messages
// and other products, such as 41005 to 41007 and 43004, are omitted; their kind
// is KindUnknown.
var errcodes = map[int]errcodeInfo{
	-1:    {KindBusy, ErrBusy, "WeChat is busy. Try again in a moment.", "微信系统繁忙，请稍后再试。"},
	40001: {KindConfiguration, ErrAppSecret, "The AppSecret is wrong, or the token is invalid or no longer the latest. Check the AppSecret.", "AppSecret 错误，或 token 无效、已被更新。请检查 AppSecret。"},
	40002: {KindConfiguration, nil, "The grant_type is invalid.", "grant_type 不合法。"},
	40003: {KindRestart, ErrOpenIDInvalid, "The openid does not belong to this account. Log in again.", "openid 不属于该账号，请重新登录。"},
	40013: {KindConfiguration, ErrAppID, "The AppID is invalid. Check the AppID.", "AppID 不合法，请检查 AppID。"},
	40014: {KindRestart, ErrTokenInvalid, "The access token is invalid. Log in again.", "access_token 不合法，请重新登录。"},
	40029: {KindRestart, ErrCodeInvalid, "The code is invalid or has expired. Log in again.", "code 无效或已过期，请重新登录。"},
	40030: {KindRestart, ErrTokenInvalid, "The refresh token is invalid. Log in again.", "refresh_token 不合法，请重新登录。"},
	40033: {KindConfiguration, nil, "WeChat cannot read the request's body: it must not contain \\u escapes.", "请求内容无法解析：不能使用 \\u 转义。"},
	40035: {KindConfiguration, nil, "A parameter of the call is invalid.", "参数不合法。"},
	40066: {KindConfiguration, nil, "WeChat does not know this address. Check the endpoints.", "接口地址不合法，请检查接口地址配置。"},
	40089: {KindConfiguration, ErrComponent, "The third-party platform's AppID is invalid.", "第三方平台的 AppID 不合法。"},
	40090: {KindConfiguration, ErrIPNotAllowed, "This server's IP address is not allowed for the third-party platform. Add it to the allow-list.", "服务器 IP 不在第三方平台的白名单内，请添加。"},
	40091: {KindConfiguration, ErrComponent, "The third-party platform's ticket is invalid.", "第三方平台的 component_verify_ticket 不合法。"},
	40094: {KindConfiguration, ErrComponent, "The third-party platform's token is invalid.", "第三方平台的 component_access_token 不合法。"},
	40097: {KindConfiguration, nil, "A parameter of the call is wrong.", "参数有误。"},
	40101: {KindConfiguration, nil, "A parameter of the call is missing.", "缺少必填参数。"},
	40125: {KindConfiguration, ErrAppSecret, "The AppSecret is invalid. Check the AppSecret.", "AppSecret 不合法，请检查 AppSecret。"},
	40163: {KindRestart, ErrCodeUsed, "The code was used before. Log in again.", "code 已被使用，请重新登录。"},
	40164: {KindConfiguration, ErrIPNotAllowed, "This server's IP address is not on the account's allow-list. Add it in WeChat's console.", "服务器 IP 不在账号的 IP 白名单内，请在微信后台添加。"},
	40187: {KindConfiguration, ErrIPNotAllowed, "This server's IP address is invalid for the call. Check the allow-list.", "服务器 IP 不合法，请检查 IP 白名单。"},
	40188: {KindConfiguration, nil, "The scope is invalid.", "scope 不合法。"},
	40222: {KindConfiguration, nil, "This host of WeChat's API does not serve the call. Check the endpoints.", "该微信接口域名不支持此调用，请检查接口地址配置。"},
	40226: {KindUserBlocked, ErrUserBlocked, "WeChat regards this user as high-risk and does not let them log in.", "该用户被微信判定为高风险用户，禁止登录。"},
	40243: {KindConfiguration, ErrAppSecret, "The AppSecret is frozen. Unfreeze it in WeChat's console.", "AppSecret 已被冻结，请在微信后台解冻。"},
	41001: {KindConfiguration, nil, "The access token is missing.", "缺少 access_token。"},
	41002: {KindConfiguration, nil, "The AppID is missing.", "缺少 appid。"},
	41003: {KindConfiguration, nil, "The refresh token is missing.", "缺少 refresh_token。"},
	41004: {KindConfiguration, nil, "The AppSecret is missing.", "缺少 AppSecret。"},
	41008: {KindRestart, ErrCodeInvalid, "The code is missing. Log in again.", "缺少 code，请重新登录。"},
	41009: {KindConfiguration, nil, "The openid is missing.", "缺少 openid。"},
	41018: {KindConfiguration, nil, "The third-party platform's AppID is missing.", "缺少 component_appid。"},
	41019: {KindConfiguration, nil, "The third-party platform's secret is missing.", "缺少第三方平台的 AppSecret。"},
	41020: {KindConfiguration, nil, "The third-party platform's ticket is missing.", "缺少第三方平台的 component_verify_ticket。"},
	41021: {KindConfiguration, nil, "The third-party platform's token is missing.", "缺少 component_access_token。"},
	42001: {KindRestart, ErrTokenInvalid, "The access token has expired. Log in again.", "access_token 已过期，请重新登录。"},
	42002: {KindRestart, ErrTokenInvalid, "The refresh token has expired. Log in again.", "refresh_token 已过期，请重新登录。"},
	42003: {KindRestart, ErrCodeInvalid, "The code has expired. Log in again.", "code 已过期，请重新登录。"},
	42005: {KindConfiguration, ErrNotAuthorized, "The account's right to this call has expired.", "该账号的接口权限已过期。"},
	42006: {KindConfiguration, ErrComponent, "The third-party platform's token has expired.", "第三方平台的 component_access_token 已过期。"},
	42007: {KindRestart, ErrTokenInvalid, "The user has changed the WeChat password. Log in again.", "用户修改了微信密码，请重新登录。"},
	43001: {KindConfiguration, nil, "The call must be a GET.", "该接口需要使用 GET 请求。"},
	43002: {KindConfiguration, nil, "The call must be a POST.", "该接口需要使用 POST 请求。"},
	43003: {KindConfiguration, nil, "The call must use HTTPS.", "该接口需要使用 HTTPS。"},
	43016: {KindConfiguration, ErrNotAuthorized, "The mini program is not verified. Verify it in WeChat's console.", "小程序未认证，请在微信后台认证。"},
	43104: {KindConfiguration, ErrNotAuthorized, "This AppID has no permission for the call.", "该 AppID 没有调用此接口的权限。"},
	44002: {KindConfiguration, nil, "The request's body is empty.", "请求内容为空。"},
	45009: {KindRateLimited, ErrRateLimited, "The account's daily quota is used up. Try again tomorrow.", "账号当日调用次数已达上限，请明天再试。"},
	45011: {KindRateLimited, ErrRateLimited, "Too many calls within a minute. Try again in a minute.", "调用太频繁，请一分钟后再试。"},
	45032: {KindConfiguration, ErrIPNotAllowed, "This server's IP address is not on the account's allow-list. Add it in WeChat's console.", "服务器 IP 不在账号的 IP 白名单内，请在微信后台添加。"},
	45035: {KindConfiguration, ErrIPNotAllowed, "This server's IP address is not registered. Add it to the allow-list.", "服务器 IP 未登记，请添加到白名单。"},
	45040: {KindRateLimited, ErrRateLimited, "The account's monthly quota is used up. Try again next month.", "账号当月调用次数已达上限，请下月再试。"},
	45063: {KindConfiguration, nil, "The access token must be a mini program's.", "必须使用小程序的 access_token。"},
	45073: {KindConfiguration, ErrIPNotAllowed, "This server's IP address is not on the account's allow-list. Add it in WeChat's console.", "服务器 IP 不在账号的 IP 白名单内，请在微信后台添加。"},
	45102: {KindConfiguration, ErrNotAuthorized, "WeChat has temporarily blocked this call.", "该接口被微信暂时封禁。"},
	45103: {KindConfiguration, ErrNotAuthorized, "WeChat no longer supports this call.", "微信已不再支持该接口。"},
	45104: {KindRateLimited, ErrRateLimited, "The domain's quota is used up. Try again later.", "该域名的调用次数已达上限，请稍后再试。"},
	45501: {KindConfiguration, ErrNotAuthorized, "WeChat has temporarily blocked calls of this account.", "该账号的部分或全部调用被微信暂时封禁。"},
	46004: {KindRestart, ErrOpenIDInvalid, "The user does not exist. Log in again.", "用户不存在，请重新登录。"},
	47001: {KindConfiguration, nil, "WeChat cannot read the request's body.", "请求内容无法解析。"},
	47002: {KindConfiguration, nil, "WeChat cannot read the request's body: it must be UTF-8 without escapes.", "请求内容无法解析：应为 UTF-8，不能使用 \\u 转义。"},
	48001: {KindConfiguration, ErrNotAuthorized, "The account or the granted scope does not allow this call.", "账号没有该接口的权限，或授权的 scope 不包含此接口。"},
	48004: {KindConfiguration, ErrNotAuthorized, "WeChat has blocked this call for the account because of violations.", "账号因违规被微信封禁了该接口。"},
	48009: {KindConfiguration, ErrNotAuthorized, "WeChat has disabled this call.", "该接口已被微信停用。"},
	49001: {KindConfiguration, nil, "The access token belongs to another AppID.", "access_token 不属于该 AppID。"},
	49003: {KindRestart, ErrOpenIDInvalid, "The openid does not belong to this AppID. Log in again.", "openid 与 AppID 不匹配，请重新登录。"},
	50001: {KindRestart, ErrNotAuthorized, "The user has not authorized this. Log in again and allow it.", "用户未授权该操作，请重新登录并同意授权。"},
	50002: {KindUserBlocked, ErrUserBlocked, "The user's WeChat account is restricted.", "该用户的微信账号受限。"},
	50003: {KindUserBlocked, ErrUserBlocked, "WeChat does not accept this user; they may have to be on an allow-list.", "该用户不在允许名单中。"},
	50004: {KindUserBlocked, ErrUserBlocked, "WeChat does not let this user log in, perhaps because of a violation.", "该用户被微信限制登录，可能因违规受罚。"},
	50005: {KindUserBlocked, nil, "The user does not follow the account.", "用户未关注该公众号。"},
	50007: {KindConfiguration, ErrNotAuthorized, "WeChat has frozen the account. See the notices in WeChat's console.", "账号已被微信冻结，请查看微信后台的通知。"},
	60006: {KindRestart, ErrNotAuthorized, "The user has canceled the authorization. Log in again and allow it.", "用户取消了授权，请重新登录并同意授权。"},
	61000: {KindConfiguration, ErrComponent, "The third-party platform's type is invalid.", "第三方平台的类型不合法。"},
	61001: {KindConfiguration, ErrComponent, "The third-party platform's type does not fit its AppID.", "第三方平台的类型与其 AppID 不匹配。"},
	61003: {KindConfiguration, ErrComponent, "The account has not authorized the third-party platform.", "该账号未授权给此第三方平台。"},
	61004: {KindConfiguration, ErrIPNotAllowed, "This server's IP address is not registered. Add it to the allow-list.", "服务器 IP 未登记，请添加到白名单。"},
	61005: {KindConfiguration, ErrComponent, "The third-party platform's ticket has expired.", "第三方平台的 component_verify_ticket 已过期。"},
	61006: {KindConfiguration, ErrComponent, "The third-party platform's ticket is invalid.", "第三方平台的 component_verify_ticket 无效。"},
	61007: {KindConfiguration, ErrNotAuthorized, "The account has not granted this call to the third-party platform.", "该账号未将此接口授权给第三方平台。"},
	61009: {KindConfiguration, ErrComponent, "The account's authorization code is invalid.", "账号的授权码无效。"},
	61010: {KindConfiguration, ErrComponent, "The account's authorization code has expired.", "账号的授权码已过期。"},
	61011: {KindConfiguration, ErrComponent, "The third-party platform is invalid.", "第三方平台无效。"},
	61014: {KindConfiguration, ErrComponent, "The call requires the third-party platform's token.", "该接口必须使用 component_access_token。"},
	61015: {KindConfiguration, ErrComponent, "The call requires the account's token, not the third-party platform's.", "该接口必须使用账号的 access_token，不能使用 component_access_token。"},
	61016: {KindConfiguration, ErrNotAuthorized, "The third-party platform must confirm the permission set that this call belongs to.", "此接口所属的权限集需要第三方平台确认。"},
	61017: {KindConfiguration, ErrNotAuthorized, "The account has not granted the permission set that this call belongs to.", "该账号未授权此接口所属的权限集。"},
	61023: {KindConfiguration, ErrComponent, "The account's authorization of the third-party platform has ended.", "账号对第三方平台的授权已失效。"},
	61024: {KindConfiguration, ErrComponent, "For an account of a third-party platform, the call requires the platform's own token.", "第三方平台账号必须使用 component_access_token。"},
	61028: {KindConfiguration, ErrComponent, "The third-party platform is not published.", "第三方平台尚未全网发布。"},
	61029: {KindConfiguration, ErrComponent, "The third-party platform has to be published again.", "第三方平台需要重新全网发布。"},
	61450: {KindBusy, ErrBusy, "WeChat has a system error. Try again in a moment.", "微信系统错误，请稍后再试。"},
	87007: {KindRestart, ErrSessionKeyInvalid, "The session has expired. Log in again.", "登录状态已过期，请重新登录。"},
	87008: {KindConfiguration, nil, "The sig_method is invalid.", "sig_method 不合法。"},
	87009: {KindRestart, ErrSessionKeyInvalid, "The session is no longer valid. Log in again.", "登录状态已失效，请重新登录。"},
	89501: {KindConfiguration, ErrIPNotAllowed, "The account has a pending request to confirm an IP address; try again after that.", "该账号有待确认的 IP，请在管理员确认后重试。"},
	89502: {KindConfiguration, ErrIPNotAllowed, "Wait for an administrator of the account to confirm this server's IP address.", "请等待账号管理员确认此 IP。"},
	89503: {KindConfiguration, ErrIPNotAllowed, "An administrator of the account must confirm this server's IP address.", "此 IP 需要账号管理员确认。"},
	89504: {KindConfiguration, ErrIPNotAllowed, "An administrator of the account has not yet confirmed this server's IP address.", "此 IP 尚待账号管理员确认，请耐心等待。"},
	89505: {KindConfiguration, ErrIPNotAllowed, "An administrator of the account has not yet confirmed this server's IP address; try again later.", "此 IP 尚待账号管理员确认，请稍后重试。"},
	89506: {KindConfiguration, ErrIPNotAllowed, "An administrator has rejected this server's IP address twice; wait 24 hours.", "管理员已两次拒绝此 IP 的调用，请 24 小时后再试。"},
	89507: {KindConfiguration, ErrIPNotAllowed, "An administrator has rejected this server's IP address; wait one hour.", "管理员已拒绝此 IP 的调用，请一小时后再试。"},
}

// accountFrozen is the errcode for a frozen account.
const accountFrozen = 50007

// kindInfo is used for errcodes that have no entry in errcodes, and for errors
// without an errcode.
var kindInfo = [...]errcodeInfo{
	KindUnknown:       {en: "WeChat returned an unexpected response.", zh: "微信返回了无法识别的内容。"},
	KindRetry:         {en: "WeChat could not be reached. Try again in a moment.", zh: "暂时无法连接微信，请稍后再试。"},
	KindBusy:          {en: "WeChat is busy. Try again in a moment.", zh: "微信系统繁忙，请稍后再试。"},
	KindRestart:       {en: "The login is no longer valid. Log in again.", zh: "登录已失效，请重新登录。"},
	KindConfiguration: {en: "Login with WeChat is not set up properly.", zh: "微信登录配置有误。"},
	KindUserBlocked:   {en: "WeChat does not let this user log in.", zh: "微信不允许该用户登录。"},
	KindRateLimited:   {en: "Too many logins at the moment. Try again later.", zh: "当前登录人数过多，请稍后再试。"},
}

// lookup returns the description of an errcode at an endpoint. 40001, 40014 and
// 42001 mean that the token of the call is invalid. That is either the user's,
// which a new login replaces, or the application's, which the operator must
// replace. 50002 and 50004 refer to the user. Below cgi-bin/, where calls carry
// no user's token, they refer to the account:
// https://developers.weixin.qq.com/community/minihome/doc/000602572104c8c5b8047be636bc00
func lookup(code int, endpoint string) errcodeInfo {
	if weComEndpoints[strings.TrimPrefix(endpoint, "/")] {
		return lookupWeCom(code, strings.TrimPrefix(endpoint, "/"))
	}
	m, known := errcodes[code]
	if !known {
		return kindInfo[KindUnknown]
	}
	switch endpoint = strings.TrimPrefix(endpoint, "/"); {
	case (code == 50002 || code == 50004) && strings.HasPrefix(endpoint, "cgi-bin/"):
		return errcodes[accountFrozen]
	case code != 40001 && code != 40014 && code != 42001:
	case code == 40001 && strings.HasPrefix(endpoint, "sns/") && !carriesAppProof(endpoint):
		return errcodeInfo{KindRestart, ErrTokenInvalid, "The access token is invalid. Log in again.", "access_token 无效，请重新登录。"}
	case strings.HasPrefix(endpoint, "wxa/"):
		return errcodeInfo{KindConfiguration, ErrTokenInvalid, "The account's access token is invalid.", "账号的 access_token 无效。"}
	case strings.Contains(endpoint, "component/"):
		return errcodeInfo{KindConfiguration, ErrComponent, "The third-party platform's token is invalid.", "第三方平台的 component_access_token 不合法。"}
	}
	return m
}

// carriesAppProof reports whether a call below sns/ authenticates the
// application rather than a user.
func carriesAppProof(endpoint string) bool {
	switch endpoint {
	case "sns/oauth2/access_token", "sns/jscode2session":
		return true
	}
	return strings.Contains(endpoint, "component/")
}

// Text returns a sentence that describes the error and what to do about it: in
// Chinese if lang is a Chinese language, otherwise in English. It contains
// nothing from the request or the response. Sentences for [KindConfiguration]
// are meant for operators; do not show them to users.
func (e *Error) Text(lang Lang) string {
	m := kindInfo[e.Kind()]
	if known := lookup(e.Code, e.Endpoint); e.Code != 0 && known.en != "" {
		m = known
	} else if errors.Is(e.cause, context.Canceled) {
		m = errcodeInfo{en: "The call was canceled.", zh: "请求已取消。"}
	}
	if strings.HasPrefix(string(lang), "zh") {
		return m.zh
	}
	return m.en
}
