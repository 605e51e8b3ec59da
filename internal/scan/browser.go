package scan

import "strings"

// BrowserName names a browser to the person who is about to log it in, such as
// "Chrome · Windows"; empty where it is not a known one.
func BrowserName(userAgent string) string {
	name := firstIn(userAgent, "Edg", "Edge", "OPR/", "Opera", "HuaweiBrowser", "Huawei Browser", "QQBrowser", "QQ", "Firefox", "Firefox", "MicroMessenger", "WeChat", "wxwork", "WeCom", "Chrome", "Chrome", "Safari", "Safari")
	system := firstIn(userAgent, "OpenHarmony", "HarmonyOS", "HarmonyOS", "HarmonyOS", "Tizen", "Tizen", "Web0S", "webOS", "Windows", "Windows", "Android", "Android", "iPhone", "iPhone", "iPad", "iPad", "Mac OS X", "macOS", "CrOS", "ChromeOS", "Linux", "Linux")
	if name == "" || system == "" {
		return name + system
	}
	return name + " · " + system
}

// firstIn takes pairs of a word to look for and what it stands for.
func firstIn(text string, pairs ...string) string {
	for i := 0; i < len(pairs); i += 2 {
		if strings.Contains(text, pairs[i]) {
			return pairs[i+1]
		}
	}
	return ""
}
