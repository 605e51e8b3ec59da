package navigation

import (
	"bufio"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	iOSWeChat     = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 MicroMessenger/8.0.48(0x1800302d) NetType/WIFI Language/zh_CN"
	androidWeChat = "Mozilla/5.0 (Linux; Android 13; V2203A; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/116.0.0.0 Mobile Safari/537.36 XWEB/1160065 MMWEBSDK/20231202 MicroMessenger/8.0.47.2560(0x28002F30) WeChat/arm64 Weixin NetType/WIFI Language/zh_CN ABI/arm64"
	desktopChrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36"

	safariAccept  = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	androidAccept = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/wxpic,image/tpg,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
)

// The requests are those of browsers and other clients, as "Name: value" lines.
func TestIsPageVisit(t *testing.T) {
	navigation := []string{"Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-User: ?1", "Sec-Fetch-Dest: document"}
	with := func(base []string, more ...string) []string { return append(slices.Clone(base), more...) }
	android := with(navigation, "User-Agent: "+androidWeChat, "Accept: "+androidAccept, "X-Requested-With: com.tencent.mm", "Upgrade-Insecure-Requests: 1")
	oldAndroid := []string{"User-Agent: " + androidWeChat, "Accept: " + androidAccept, "X-Requested-With: com.tencent.mm"}
	iOS := []string{"Sec-Fetch-Dest: document", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: none", "User-Agent: " + iOSWeChat, "Accept: " + safariAccept}
	oldIOS := []string{"User-Agent: " + iOSWeChat, "Accept: " + safariAccept, "Accept-Language: zh-CN,zh-Hans;q=0.9"}

	cases := []struct {
		name   string
		method string
		header []string
		want   bool
	}{
		// Visits.
		{"WeChat on Android", "GET", android, true},
		{"WeChat on Android, link from another site", "GET", with(android[4:], "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"), true},
		{"WeChat on Android, no Sec-Fetch headers", "GET", oldAndroid, true},
		{"WeChat on Android, Chromium 78 without destination", "GET", with(oldAndroid, "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-User: ?1"), true},
		{"WeChat on iOS", "GET", iOS, true},
		{"WeChat on iOS before 16.4", "GET", oldIOS, true},
		{"desktop Chrome", "GET", with(navigation, "User-Agent: "+desktopChrome, "Accept: "+androidAccept, `Sec-Ch-Ua: "Chromium";v="124"`), true},
		{"reload", "GET", with(android, "Cache-Control: max-age=0"), true},
		{"hard reload", "GET", with(iOS, "Cache-Control: no-cache", "Pragma: no-cache"), true},
		{"conditional reload", "GET", with(iOS, `If-None-Match: "1"`), true},
		{"service worker that passes a visit to the network", "GET", []string{"Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-User: ?1", "Sec-Fetch-Dest: empty", "Accept: " + safariAccept}, true},
		{"the same, link of the site", "GET", []string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: empty", "Accept: " + androidAccept}, true},
		{"navigation preload of a service worker", "GET", with(navigation, "Accept: "+safariAccept, "Service-Worker-Navigation-Preload: true"), true},
		{"HEAD of a page", "HEAD", oldIOS, true},
		{"HEAD navigation", "HEAD", iOS, true},
		{"navigation without Accept", "GET", navigation, true},
		{"navigation that accepts anything", "GET", with(navigation, "Accept: */*"), true},
		{"other app's web-view", "GET", with(oldAndroid[:2], "X-Requested-With: com.android.browser"), true},
		{"Accept in another case", "GET", []string{"Accept: TEXT/HTML"}, true},
		{"Accept with parameters and spaces", "GET", []string{"Accept: application/json;q=0.1 , text/html ; q=0.9"}, true},
		{"Accept in two lines", "GET", []string{"Accept: application/xml", "Accept: text/html"}, true},
		{"HTTP Basic in front of the site", "GET", with(iOS, "Authorization: Basic eDp5"), true},
		{"HTTP Digest in front of the site", "GET", with(navigation, "Authorization: Digest username=\"x\""), true},
		{"a token of the proxy in front", "GET", with(navigation, "Authorization: Bearer eyJhbGciOiJSUzI1NiJ9.e30.x"), true},
		{"HTTP Basic behind a service worker", "GET", []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: empty", "Accept: text/html", "Authorization: Basic eDp5"}, true},

		// Headers without a value, as proxies blank them.
		{"empty Authorization", "GET", with(oldIOS, "Authorization: "), true},
		{"empty Upgrade", "GET", with(oldIOS, "Upgrade: "), true},
		{"empty Purpose", "GET", with(iOS, "Purpose: ", "Sec-Purpose: ", "X-Purpose: ", "X-Moz: "), true},
		{"empty X-Requested-With", "GET", with(oldIOS, "X-Requested-With: "), true},
		{"empty Sec-Fetch headers", "GET", with(oldIOS, "Sec-Fetch-Site: ", "Sec-Fetch-Mode: ", "Sec-Fetch-Dest: ", "Sec-Fetch-User: "), true},
		{"empty destination", "GET", []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: ", "Accept: text/html"}, true},
		{"an empty line before each value", "GET", []string{"Sec-Fetch-Mode: ", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: ", "Sec-Fetch-Dest: document", "Accept: ", "Accept: text/html"}, true},
		{"an empty line before Upgrade", "GET", with(oldIOS, "Upgrade: ", "Upgrade: websocket"), false},
		{"an empty line before XMLHttpRequest", "GET", with(oldIOS, "X-Requested-With: ", "X-Requested-With: XMLHttpRequest"), false},

		// Other resources of a page.
		{"iframe", "GET", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe", "Accept: " + safariAccept}, false},
		{"frame", "GET", []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: frame", "Accept: " + safariAccept}, false},
		{"fenced frame", "GET", []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: fencedframe", "Accept: " + safariAccept}, false},
		{"object", "GET", []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: object", "Accept: " + safariAccept}, false},
		{"embed", "GET", []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: embed", "Accept: " + safariAccept}, false},
		{"iframe in Chromium 79", "GET", []string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: nested-navigate", "Accept: " + androidAccept}, false},
		{"image", "GET", []string{"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image", "Accept: image/avif,image/webp,*/*;q=0.8"}, false},
		{"image in an old browser", "GET", []string{"Accept: image/webp,*/*;q=0.8", "X-Requested-With: com.tencent.mm"}, false},
		{"image that claims text/html", "GET", []string{"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image", "Accept: text/html"}, false},
		{"script", "GET", []string{"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: script", "Accept: */*"}, false},
		{"style sheet", "GET", []string{"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: style", "Accept: text/css,*/*;q=0.1"}, false},
		{"font", "GET", []string{"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: font", "Accept: */*"}, false},
		{"video", "GET", []string{"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: video", "Accept: */*", "Range: bytes=0-"}, false},
		{"manifest", "GET", []string{"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: manifest", "Accept: */*"}, false},
		{"icon", "GET", []string{"Accept: image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5"}, false},

		// Scripts of a page.
		{"fetch", "GET", []string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Accept: */*"}, false},
		{"fetch, same-origin mode", "GET", []string{"Sec-Fetch-Mode: same-origin", "Sec-Fetch-Dest: empty", "Accept: */*"}, false},
		{"fetch that asks for HTML", "GET", []string{"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Accept: text/html"}, false},
		{"fetch in Chromium 78", "GET", []string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Accept: text/html"}, false},
		{"fetch in an old browser", "GET", []string{"Accept: */*"}, false},
		{"axios", "GET", []string{"Accept: application/json, text/plain, */*"}, false},
		{"XMLHttpRequest of jQuery", "GET", []string{"Accept: text/html, */*; q=0.01", "X-Requested-With: XMLHttpRequest"}, false},
		{"XMLHttpRequest in another case", "GET", with(iOS, "X-Requested-With: xmlhttprequest"), false},
		{"EventSource", "GET", []string{"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Accept: text/event-stream"}, false},
		{"EventSource in an old browser", "GET", []string{"Accept: text/event-stream, text/html"}, false},
		{"navigation that accepts an event stream", "GET", with(navigation, "Accept: text/html, text/event-stream;q=0.5"), false},
		{"WebSocket", "GET", []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-Websocket-Version: 13", "Sec-Fetch-Mode: websocket", "Sec-Fetch-Dest: empty"}, false},
		{"WebSocket in an old browser", "GET", with(oldIOS, "Connection: Upgrade", "Upgrade: websocket"), false},
		{"upgrade within a navigation", "GET", with(navigation, "Upgrade: h2c"), false},
		{"service worker script", "GET", []string{"Service-Worker: script", "Sec-Fetch-Mode: same-origin", "Sec-Fetch-Dest: serviceworker", "Accept: */*"}, false},
		{"service worker filling its cache", "GET", []string{"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Accept: */*"}, false},
		{"worker script", "GET", []string{"Sec-Fetch-Mode: same-origin", "Sec-Fetch-Dest: worker", "Accept: */*"}, false},

		// Ahead of a visit.
		{"prefetch", "GET", with(navigation, "Sec-Purpose: prefetch", "Accept: "+safariAccept), false},
		{"prefetch with a link element", "GET", []string{"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: empty", "Purpose: prefetch", "Accept: " + safariAccept}, false},
		{"prerender", "GET", with(navigation, "Sec-Purpose: prefetch;prerender"), false},
		{"prefetch through a proxy", "GET", with(navigation, "Sec-Purpose: prefetch;anonymous-client-ip"), false},
		{"prefetch in older Chromium", "GET", with(navigation, "Purpose: prefetch"), false},
		{"prefetch in another case", "GET", with(navigation, "Purpose: Prefetch"), false},
		{"prerender in older Chromium", "GET", with(navigation, "Purpose: prerender"), false},
		{"prefetch in Firefox", "GET", []string{"X-Moz: prefetch", "Accept: " + safariAccept}, false},
		{"preview in Safari", "GET", []string{"X-Purpose: preview", "Accept: " + safariAccept}, false},
		{"prefetch in the second line", "GET", with(navigation, "Purpose: x", "Purpose: prefetch"), false},

		// Other methods.
		{"form POST", "POST", with(iOS, "Content-Type: application/x-www-form-urlencoded", "Origin: https://app.example.com"), false},
		{"PUT", "PUT", iOS, false},
		{"DELETE", "DELETE", oldIOS, false},
		{"PATCH", "PATCH", oldIOS, false},
		{"OPTIONS", "OPTIONS", oldIOS, false},
		{"TRACE", "TRACE", oldIOS, false},
		{"method in lower case", "get", iOS, false},

		// Other clients.
		{"no header at all", "GET", nil, false},
		{"curl", "GET", []string{"User-Agent: curl/8.5.0", "Accept: */*"}, false},
		{"API client", "GET", []string{"Accept: application/json"}, false},
		{"API client with a token", "GET", []string{"Accept: text/html", "Authorization: Bearer x"}, false},
		{"API client with a password", "GET", []string{"Accept: text/html", "Authorization: Basic eDp5"}, false},
		{"fetch with a password", "GET", []string{"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Accept: text/html", "Authorization: Basic eDp5"}, false},
		{"mini program", "GET", []string{"User-Agent: " + androidWeChat, "Accept: */*", "Content-Type: application/json"}, false},
		{"health check", "GET", []string{"User-Agent: kube-probe/1.29", "Accept: */*"}, false},
		{"any text", "GET", []string{"Accept: text/*"}, false},
		{"longer media type", "GET", []string{"Accept: text/html-sandboxed"}, false},
		{"media type as a parameter", "GET", []string{`Accept: multipart/mixed;type=text/html`}, false},
		{"empty Accept", "GET", []string{"Accept: "}, false},

		// Half a set of Sec-Fetch headers.
		{"site only", "GET", []string{"Sec-Fetch-Site: none", "Accept: text/html"}, false},
		{"user only", "GET", []string{"Sec-Fetch-User: ?1", "Accept: text/html"}, false},
		{"destination only", "GET", []string{"Sec-Fetch-Dest: document", "Accept: text/html"}, false},
		{"destination empty, no HTML accepted", "GET", []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: empty", "Accept: */*"}, false},
		{"destination empty, no mode", "GET", []string{"Sec-Fetch-Dest: empty", "Accept: text/html"}, false},
		{"mode only, no HTML accepted", "GET", []string{"Sec-Fetch-Mode: navigate", "Accept: */*"}, false},
		{"mode in another case", "GET", []string{"Sec-Fetch-Mode: Navigate", "Sec-Fetch-Dest: document", "Accept: text/html"}, false},
		{"unknown mode", "GET", []string{"Sec-Fetch-Mode: hover", "Sec-Fetch-Dest: document", "Accept: text/html"}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := IsPageVisit(read(t, c.method, c.header))
			assert.Equal(t, c.want, got)
		})
	}
}

func TestIsPreflight(t *testing.T) {
	cases := []struct {
		name   string
		method string
		header []string
		want   bool
	}{
		{"preflight", "OPTIONS", []string{"Origin: https://spa.example.com", "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type", "Sec-Fetch-Mode: cors"}, true},
		{"preflight from a sandbox", "OPTIONS", []string{"Origin: null", "Access-Control-Request-Method: DELETE"}, true},
		{"no origin", "OPTIONS", []string{"Access-Control-Request-Method: POST"}, false},
		{"no method requested", "OPTIONS", []string{"Origin: https://spa.example.com"}, false},
		{"plain OPTIONS", "OPTIONS", nil, false},
		{"GET with the headers of one", "GET", []string{"Origin: https://spa.example.com", "Access-Control-Request-Method: POST"}, false},
		{"POST with the headers of one", "POST", []string{"Origin: https://spa.example.com", "Access-Control-Request-Method: POST"}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			assert.Equal(t, c.want, IsPreflight(read(t, c.method, c.header)))
			assert.False(t, c.want && IsPageVisit(read(t, c.method, c.header)), "a preflight is not a visit")
		})
	}
}

func FuzzIsPageVisit(f *testing.F) {
	f.Add("GET", "Accept", "text/html", "Sec-Fetch-Mode", "navigate")
	f.Add("GET", "Sec-Fetch-Dest", "document", "Sec-Fetch-Mode", "navigate")
	f.Add("HEAD", "Accept", "text/html;q=0.9, */*", "X-Requested-With", "com.tencent.mm")
	f.Add("GET", "Accept", "text/html", "Sec-Purpose", "prefetch;prerender")
	f.Add("GET", "Accept", "text/html", "Authorization", "")
	f.Add("GET", "Accept", "text/event-stream", "Upgrade", "websocket")
	f.Add("POST", "Accept", "text/html", "Origin", "null")
	f.Add("OPTIONS", "Origin", "null", "Access-Control-Request-Method", "PUT")
	f.Fuzz(func(t *testing.T, method, name1, value1, name2, value2 string) {
		if len(name1)+len(value1)+len(name2)+len(value2) > 64<<10 {
			return // more than servers take
		}
		r := &http.Request{Method: method, Header: http.Header{}}
		r.Header.Add(name1, value1)
		r.Header.Add(name2, value2)
		var visit, preflight bool
		if allocated := allocatedBy(func() { visit, preflight = IsPageVisit(r), IsPreflight(r) }); allocated > 1<<20 {
			t.Errorf("%d bytes allocated", allocated)
		}
		if visit && method != "GET" && method != "HEAD" {
			t.Errorf("%q is a visit", method)
		}
		if visit && preflight {
			t.Error("a preflight is a visit")
		}
		navigates := Header(r.Header, "Sec-Fetch-Mode") == "navigate" && Header(r.Header, "Sec-Fetch-Dest") == "document"
		if visit && !navigates && !strings.Contains(strings.ToLower(strings.Join(r.Header["Accept"], ",")), "text/html") {
			t.Error("a visit, without navigation headers and without text/html in Accept")
		}
		navigation := Header(r.Header, "Sec-Fetch-Mode") == "navigate"
		if visit && (Has(r.Header, "Upgrade") || Has(r.Header, "Authorization") && !navigation) {
			t.Error("carries Upgrade, or credentials without a navigation, and is a visit")
		}
		r.Header.Set("Upgrade", "x")
		if IsPageVisit(r) {
			t.Error("was given Upgrade and is a visit")
		}
		r.Header.Del("Upgrade")
		r.Method = http.MethodPost
		if IsPageVisit(r) {
			t.Error("a POST is a visit")
		}
	})
}

// TestRules tests the other rules with requests as browsers send them.
func TestRules(t *testing.T) {
	const site, mode, dest, accept = "Sec-Fetch-Site: ", "Sec-Fetch-Mode: ", "Sec-Fetch-Dest: ", "Accept: "
	rules := map[string]func(*http.Request) bool{
		"IsForm": IsForm, "MayBePage": MayBePage, "MayNavigate": MayNavigate, "IsOwnWish": IsOwnWish, "InFrame": InFrame,
		"opened here":                    func(r *http.Request) bool { return OpenerOf(r, false) == Here },
		"opened here, in a mini program": func(r *http.Request) bool { return OpenerOf(r, true) == Here },
		"opened perhaps":                 func(r *http.Request) bool { return OpenerOf(r, false) == Perhaps },
	}
	for _, c := range []struct {
		name   string
		method string
		header []string
		want   []string
	}{
		{"address bar", "GET", []string{site + "none", mode + "navigate", dest + "document", accept + "text/html"}, []string{"MayNavigate", "IsOwnWish", "opened here", "opened here, in a mini program"}},
		{"link of the site", "GET", []string{site + "same-origin", mode + "navigate", dest + "document"}, []string{"MayNavigate", "IsOwnWish", "opened here", "opened here, in a mini program"}},
		{"link of another site", "GET", []string{site + "cross-site", mode + "navigate", dest + "document"}, []string{"MayNavigate"}},
		{"link of a sibling", "GET", []string{site + "same-site", mode + "navigate", dest + "document"}, []string{"MayNavigate"}},
		{"service worker", "GET", []string{site + "same-origin", mode + "navigate", dest + "empty"}, []string{"MayNavigate", "IsOwnWish", "opened perhaps"}},
		{"iframe", "GET", []string{site + "cross-site", mode + "navigate", dest + "iframe"}, []string{"MayNavigate", "InFrame"}},
		{"frame", "GET", []string{site + "same-origin", mode + "navigate", dest + "frame"}, []string{"MayNavigate", "IsOwnWish", "InFrame", "opened here", "opened here, in a mini program"}},
		{"iframe in Chromium 79", "GET", []string{site + "cross-site", mode + "nested-navigate"}, []string{"MayNavigate"}},
		{"prerender", "GET", []string{site + "none", mode + "navigate", dest + "document", "Sec-Purpose: prefetch;prerender"}, []string{"IsOwnWish", "opened here", "opened here, in a mini program"}},
		{"old browser", "GET", []string{accept + "text/html"}, []string{"MayBePage", "MayNavigate", "IsOwnWish", "opened perhaps", "opened here, in a mini program"}},
		{"client that accepts anything", "GET", []string{accept + "*/*"}, []string{"MayBePage", "MayNavigate", "IsOwnWish", "opened perhaps", "opened here, in a mini program"}},
		{"no header at all", "GET", nil, []string{"MayBePage", "MayNavigate", "IsOwnWish", "opened perhaps", "opened here, in a mini program"}},
		{"API client", "GET", []string{accept + "application/json"}, []string{"MayNavigate", "IsOwnWish", "opened perhaps", "opened here, in a mini program"}},
		{"API client with a password", "GET", []string{accept + "text/html", "Authorization: Basic eDp5"}, []string{"MayNavigate", "IsOwnWish", "opened perhaps", "opened here, in a mini program"}},
		{"XMLHttpRequest", "GET", []string{accept + "text/html", "X-Requested-With: XMLHttpRequest"}, []string{"MayNavigate", "IsOwnWish", "opened perhaps", "opened here, in a mini program"}},
		{"form", "POST", []string{site + "same-origin", mode + "navigate", dest + "document", accept + "text/html"}, []string{"IsForm", "MayNavigate", "IsOwnWish", "opened here", "opened here, in a mini program"}},
		{"form of an old browser", "POST", []string{accept + "text/html"}, []string{"IsForm", "MayBePage", "MayNavigate", "IsOwnWish", "opened perhaps", "opened here, in a mini program"}},
		{"fetch", "POST", []string{site + "same-origin", mode + "cors", dest + "empty", accept + "text/html"}, []string{"IsOwnWish", "opened perhaps"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := read(t, c.method, c.header)
			var got []string
			for name, rule := range rules {
				if rule(r) {
					got = append(got, name)
				}
			}
			assert.ElementsMatch(t, c.want, got)
		})
	}
}

// read parses a request with exactly these header lines, as a server does.
func read(t *testing.T, method string, header []string) *http.Request {
	t.Helper()
	lines := append([]string{method + " /orders?id=7 HTTP/1.1", "Host: app.example.com"}, header...)
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.Join(lines, "\r\n") + "\r\n\r\n")))
	require.NoError(t, err)
	return r
}

// allocatedBy returns how many bytes of heap a call took, roughly.
func allocatedBy(call func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	call()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
