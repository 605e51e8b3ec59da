package client

// weComEndpoints are the paths of WeCom's API that package wecom calls. Their
// errcodes have WeCom's meanings.
var weComEndpoints = map[string]bool{
	weComTokenEndpoint:                   true,
	"cgi-bin/auth/getuserinfo":           true,
	"cgi-bin/auth/getuserdetail":         true,
	"cgi-bin/user/get":                   true,
	"cgi-bin/miniprogram/jscode2session": true,
}

const weComTokenEndpoint = "cgi-bin/gettoken"

// weComErrcodes holds the errcodes that a WeCom login can return, from WeCom's
// global list of errcodes (https://developer.work.weixin.qq.com/document/path/90313)
// and from the documentation of the calls.
var weComErrcodes = map[int]errcodeInfo{
	-1:     {KindBusy, ErrBusy, "WeCom is busy. Try again in a moment.", "企业微信系统繁忙，请稍后再试。"},
	40001:  {KindConfiguration, ErrTokenInvalid, "The app's access token is invalid. Check that the secret belongs to this app.", "应用的 access_token 无效，请检查 Secret 是否属于此应用。"},
	40003:  {KindUserBlocked, ErrUserID, "WeCom does not know this userid. The member may have left the company.", "userid 不存在，该成员可能已离职。"},
	40013:  {KindConfiguration, ErrAppID, "The corp ID is invalid. Check the corp ID.", "企业 ID 不合法，请检查企业 ID。"},
	40014:  {KindConfiguration, ErrTokenInvalid, "The app's access token is invalid. Check that the secret belongs to this app and that the mini program is linked to it.", "应用的 access_token 无效，请检查 Secret 是否属于此应用、小程序是否已关联。"},
	40029:  {KindRestart, ErrCodeInvalid, "The code is invalid, was used before or has expired. Log in again.", "code 无效、已被使用或已过期，请重新登录。"},
	40056:  {KindConfiguration, ErrAppID, "The AgentId is invalid. Check the AgentId.", "AgentId 不合法，请检查 AgentId。"},
	40058:  {KindConfiguration, nil, "A parameter of the call is invalid.", "参数不合法。"},
	40063:  {KindConfiguration, nil, "A parameter of the call is empty.", "参数为空。"},
	40082:  {KindConfiguration, ErrTokenInvalid, "The suite's access token is invalid.", "suite_access_token 不合法。"},
	40091:  {KindConfiguration, ErrAppSecret, "The secret does not belong to this company. Check the secret.", "Secret 不属于该企业，请检查 Secret。"},
	40163:  {KindRestart, ErrCodeUsed, "The code was used before. Log in again.", "code 已被使用，请重新登录。"},
	41001:  {KindConfiguration, nil, "The access token is missing.", "缺少 access_token。"},
	41002:  {KindConfiguration, nil, "The corp ID is missing.", "缺少 corpid。"},
	41004:  {KindConfiguration, nil, "The secret is missing.", "缺少 corpsecret。"},
	41008:  {KindRestart, ErrCodeInvalid, "The code is missing. Log in again.", "缺少 code，请重新登录。"},
	42001:  {KindConfiguration, ErrTokenInvalid, "The app's access token has expired.", "应用的 access_token 已过期。"},
	42003:  {KindRestart, ErrCodeInvalid, "The code has expired. Log in again.", "code 已过期，请重新登录。"},
	42009:  {KindConfiguration, ErrTokenInvalid, "The suite's access token has expired.", "suite_access_token 已过期。"},
	42013:  {KindRestart, ErrSessionKeyInvalid, "The mini program is not logged in. Log in again.", "小程序未登录或登录已过期，请重新登录。"},
	42022:  {KindRestart, ErrCodeUsed, "The code was used before. Log in again.", "code 已被使用，请重新登录。"},
	45009:  {KindRateLimited, ErrRateLimited, "Too many calls, or this server's IP address is blocked after wrong secrets. Try again in a minute, or in an hour.", "调用太频繁，或服务器 IP 因 Secret 错误被暂时封禁，请在一分钟或一小时后再试。"},
	45033:  {KindBusy, ErrBusy, "Too many calls at the same time. Try again in a moment.", "并发调用过多，请稍后再试。"},
	48002:  {KindConfiguration, ErrNotAuthorized, "The app may not make this call. Check that the secret belongs to this app and that the mini program is linked to it.", "应用没有该接口的权限，请检查 Secret 是否属于此应用、小程序是否已关联。"},
	48005:  {KindConfiguration, ErrNotAuthorized, "WeCom has withdrawn this call.", "该接口已被企业微信停用。"},
	50001:  {KindConfiguration, ErrTrustedDomain, "The callback's host is not a trusted domain of this app. Set the domain in WeCom's console, and use the secret of the same app.", "回调地址的域名不是此应用的可信域名。请在企业微信管理后台设置，并使用同一应用的 Secret。"},
	50002:  {KindUserBlocked, ErrOutOfRange, "This member is outside the app's visible range. An administrator can add them.", "该成员不在应用的可见范围内，请联系管理员添加。"},
	50003:  {KindConfiguration, ErrNotAuthorized, "The app is disabled. Enable it in WeCom's console.", "应用已被停用，请在企业微信管理后台启用。"},
	60011:  {KindUserBlocked, ErrOutOfRange, "This member is outside the app's visible range. An administrator can add them.", "该成员不在应用的可见范围内，请联系管理员添加。"},
	60020:  {KindConfiguration, ErrIPNotAllowed, "This server's IP address is not a trusted IP of the app. Add it in WeCom's console.", "服务器 IP 不在应用的企业可信 IP 内，请在企业微信管理后台添加。"},
	60030:  {KindUserBlocked, ErrOutOfRange, "This member is outside the app's visible range. An administrator can add them.", "该成员不在应用的可见范围内，请联系管理员添加。"},
	60111:  {KindUserBlocked, ErrUserID, "WeCom does not know this userid. The member may have left the company.", "userid 不存在，该成员可能已离职。"},
	80001:  {KindConfiguration, ErrTrustedDomain, "The trusted domain is invalid or has no ICP filing.", "可信域名不合法或未备案。"},
	84014:  {KindRestart, ErrTicketInvalid, "The user_ticket has expired. Log in again.", "user_ticket 已过期，请重新登录。"},
	84015:  {KindRestart, ErrTicketInvalid, "The user_ticket is invalid. Log in again.", "user_ticket 无效，请重新登录。"},
	85004:  {KindConfiguration, ErrTrustedDomain, "The trusted domain was set too often this month.", "本月可信域名的设置次数已达上限。"},
	301002: {KindConfiguration, ErrNotAuthorized, "The access token belongs to another app. Check the secret.", "access_token 属于其他应用，请检查 Secret。"},
	301007: {KindConfiguration, ErrNotAuthorized, "WeCom has dissolved or banned the company.", "该企业已解散或被封禁。"},
}

// lookupWeCom returns the description of an errcode at an endpoint of WeCom.
// Where the secret is sent, 40001 means that it is wrong, and a repetition could
// ban this server's address for an hour.
func lookupWeCom(code int, endpoint string) errcodeInfo {
	if code == 40001 && endpoint == weComTokenEndpoint {
		return errcodeInfo{KindConfiguration, ErrAppSecret, "The secret is wrong or was reset, or the app is disabled. Check the secret.", "Secret 错误或已重置，或应用已停用。请检查 Secret。"}
	}
	if m, known := weComErrcodes[code]; known {
		return m
	}
	return kindInfo[KindUnknown]
}
