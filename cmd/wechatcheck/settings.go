package main

import (
	"strings"

	"github.com/wechatauth/wechatauth/store"
)

// inChinese maps New's errors for the settings of this command to Chinese. The
// first row whose option and words occur in the line applies.
var inChinese = []struct{ option, words, chinese string }{
	{"WithBaseURL", "it is required", "未设置应用的访问地址：请设置 BASE_URL，例如 https://m.example.com。"},
	{"WithBaseURL", "10039", "BASE_URL 必须使用 https：明文 http 只能用于本机地址，开启“强制 https 校验”时微信会拒绝（10039）。"},
	{"WithBaseURL", "IP address", "BASE_URL 必须使用域名：微信的网页授权域名不接受 IP 地址（10003）。"},
	{"WithBaseURL", "leave out the port", "BASE_URL 不能带端口：微信会拒绝带端口的 redirect_uri（10003）。"},
	{"WithBaseURL", "", "BASE_URL 有误：只能由协议和域名组成，例如 https://m.example.com，不带用户名、路径、查询参数和片段。"},
	{"WithApp", "both are required", "请同时设置公众号的 AppID（WECHAT_APP_ID）和 AppSecret（WECHAT_APP_SECRET 或 -secret-file）。"},
	{"WithWebsiteApp", "set both", "请同时设置网站应用的 AppID（WECHAT_WEBSITE_APP_ID）和 AppSecret（WECHAT_WEBSITE_APP_SECRET），或都不设置。"},
	{"WithMiniProgram", "set both", "请同时设置小程序的 AppID（WECHAT_MINI_APP_ID）和 AppSecret（WECHAT_MINI_APP_SECRET），或都不设置。"},
	{"", "the form of an AppID", "AppSecret 的形式是 AppID，两者可能填反了。"},
	{"", "has a different one", "网站应用和小程序各有自己的 AppID，不能与其他账号共用。"},
	{"WithRedisURL", "", "REDIS_URL 有误：应形如 redis://127.0.0.1:6379/0 或 rediss://用户:密码@主机:6379/0。"},
	{"WithEndpoints", "", "WECHAT_URL 有误：必须使用 https，明文 http 只能用于本机地址。"},
	{"WithPathPrefix", "", "PATH_PREFIX 有误：路径前缀以斜杠开头和结尾，例如 /wechat/。"},
	{"WithApp", "", "公众号的设置有误：请检查 WECHAT_APP_ID（wx 加 16 位十六进制数）。"},
	{"WithWebsiteApp", "", "网站应用的设置有误：请检查 WECHAT_WEBSITE_APP_ID（wx 加 16 位十六进制数）。"},
	{"WithMiniProgram", "", "小程序的设置有误：请检查 WECHAT_MINI_APP_ID（wx 加 16 位十六进制数）。"},
}

// settingFindings returns New's errors for invalid settings, one per line.
func settingFindings(wrong error) (all []*store.Finding) {
	if wrong == nil {
		return nil
	}
	for line := range strings.Lines(wrong.Error()) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "wechatauth: ")
		all = append(all, &store.Finding{English: line, Chinese: chineseOf(line), Err: wrong})
	}
	return all
}

func chineseOf(line string) string {
	option, _, _ := strings.Cut(line, ":")
	for _, row := range inChinese {
		if (row.option == "" || row.option == option) && strings.Contains(line, row.words) {
			return option + "：" + row.chinese
		}
	}
	return "设置有误：" + line
}
