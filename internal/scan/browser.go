package scan

import "strings"

// BrowserName returns the name of a browser to show on the phone, such as
// "Chrome · Windows", or an empty string if it is not known.
func BrowserName(userAgent string) string {
	name := firstIn(userAgent, "Edg", "Edge", "OPR/", "Opera", "HuaweiBrowser", "Huawei Browser", "QQBrowser", "QQ", "Firefox", "Firefox", "MicroMessenger", "WeChat", "wxwork", "WeCom", "Chrome", "Chrome", "Safari", "Safari")
	system := firstIn(userAgent, "OpenHarmony", "HarmonyOS", "HarmonyOS", "HarmonyOS", "Tizen", "Tizen", "Web0S", "webOS", "Windows", "Windows", "Android", "Android", "iPhone", "iPhone", "iPad", "iPad", "Mac OS X", "macOS", "CrOS", "ChromeOS", "Linux", "Linux")
	if name == "" || system == "" {
		return name + system
	}
	return name + " · " + system
}

// firstIn takes pairs of a word to look for and its meaning.
func firstIn(text string, pairs ...string) string {
	for i := 0; i < len(pairs); i += 2 {
		if strings.Contains(text, pairs[i]) {
			return pairs[i+1]
		}
	}
	return ""
}
