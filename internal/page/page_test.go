package page

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// allTexts is every text by the name it has in the file of texts.
func allTexts() map[string]textSet {
	all := map[string]textSet{"upgrade": texts.Upgrade, "embedded": texts.Embedded,
		"scan": texts.Scan, "confirm": texts.Confirm, "done": texts.Done, "reopen": texts.Reopen, "unknown": texts.Unknown,
		"enter": texts.Enter, "typed": texts.Typed, "number": texts.Number}
	for reason, text := range texts.Reasons {
		all[reason] = text
	}
	for variant, text := range texts.Variants {
		all[variant] = text
	}
	return all
}

// servePage serves p from a real server and returns what a browser gets.
func servePage(t *testing.T, own Renderer, p Page) (*http.Response, string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = Write(w, r, own, p)
	}))
	defer server.Close()
	resp, err := server.Client().Get(server.URL)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(body)
}

func rendered(t *testing.T, p Page) string {
	t.Helper()
	var buf bytes.Buffer
	require.NoError(t, Embedded(&buf, p))
	return buf.String()
}

// Chinese texts are Chinese, and English texts are English.
func TestTexts_language(t *testing.T) {
	han := regexp.MustCompile(`\p{Han}`)
	for name, text := range allTexts() {
		for _, s := range text.Chinese.all() {
			assert.Regexp(t, han, s, name)
		}
		for _, s := range text.English.all() {
			assert.NotRegexp(t, han, strings.ReplaceAll(s, "使用完整服务", ""), name)
			assert.NotEmpty(t, s, name)
		}
		assert.Contains(t, []string{"person", "account", "done", "wait", "corner", "note"}, text.Icon, "%s: page.html draws it", name)
		assert.Len(t, text.English.Text, len(text.Chinese.Text), "%s: the languages say the same", name)
		assert.ElementsMatch(t, slices.Collect(maps.Keys(text.Chinese.Labels)), slices.Collect(maps.Keys(text.English.Labels)), name)
	}
}

// all is everything that the words say.
func (w Words) all() []string {
	all := append([]string{w.Title}, w.Text...)
	for _, s := range w.Labels {
		all = append(all, s)
	}
	return all
}

func TestTexts_jargon(t *testing.T) {
	jargon := regexp.MustCompile(`(?i)\b(session|token|state|callback|scope|code|openid|unionid|oauth|redirect|server|http|upstream|timeout|error|invalid|forbidden)\b|会话|令牌|回调|作用域|重定向|服务器|非法|错误|参数`)
	for name, text := range allTexts() {
		for _, words := range []Words{text.Chinese, text.English} {
			for _, s := range words.all() {
				assert.NotRegexp(t, jargon, strings.ReplaceAll(s, "QR code", ""), name)
			}
		}
	}
}

// The style sheet keeps Chinese clauses whole, so each has to fit a line of the
// narrowest phone: 320 px less the margins, at 17 px (title: about 20 px).
func TestTexts_width(t *testing.T) {
	breaks := regexp.MustCompile(`[，。、；：？！”]|“`)
	width := func(clause string) float64 {
		w := 1.0 // the mark that was split off
		for _, r := range clause {
			if r < 0x80 {
				w += 0.6
			} else {
				w++
			}
		}
		return w
	}
	for name, text := range allTexts() {
		for _, paragraph := range text.Chinese.Text {
			for _, clause := range breaks.Split(paragraph, -1) {
				assert.LessOrEqual(t, width(clause), 16.0, "%s: %s", name, clause)
			}
		}
		assert.LessOrEqual(t, width(text.Chinese.Title), 14.0, "%s: %s", name, text.Chinese.Title)
	}
}

// The snapshot page names the button and its place.
func TestPage_snapshot(t *testing.T) {
	zh := rendered(t, Page{Lang: Chinese, Reason: "snapshot_user"})
	assert.Contains(t, zh, "使用完整服务")
	assert.Contains(t, zh, "右下角")
	en := rendered(t, Page{Lang: English, Reason: "snapshot_user"})
	assert.Contains(t, en, "使用完整服务")
	assert.Contains(t, en, "bottom right")
}

// A page for a reason that cookies cause mentions cookies.
func TestPage_cookies(t *testing.T) {
	for _, reason := range []string{"loop", "session_cookie_not_returned", "flow_cookie_missing"} {
		assert.Contains(t, rendered(t, Page{Lang: Chinese, Reason: reason}), "Cookie")
		assert.Contains(t, strings.ToLower(rendered(t, Page{Lang: English, Reason: reason})), "allow cookies")
	}
}

// A page without a RetryURL has no link.
func TestPage_noRetryURL(t *testing.T) {
	for reason := range texts.Reasons {
		assert.NotContains(t, rendered(t, Page{Lang: Chinese, Reason: reason}), "<a ")
	}
}

// The consent page is a form with the return URL.
func TestPage_upgrade(t *testing.T) {
	for lang, submit := range map[string]string{Chinese: "前往微信授权", English: "Continue to WeChat"} {
		_, page := servePage(t, nil, Page{
			Kind: Upgrade, Lang: lang, ActionURL: "/wechat/upgrade", Next: "/orders?id=7&a=%22#top",
			RetryURL: "/wechat/login", Reason: "loop", Reference: "1234",
		})
		assert.Contains(t, page, `<form method="post" action="/wechat/upgrade">`)
		assert.Contains(t, page, `<input type="hidden" name="next" value="/orders?id=7&amp;a=%22#top">`)
		assert.Contains(t, page, `<button type="submit">`+submit+`</button>`)
		assert.NotContains(t, page, "<a ", "one way on")
		assert.NotContains(t, page, "<footer", "nothing went wrong")
	}
}

// The page after a logout has a link to log in again.
func TestPage_loggedOut(t *testing.T) {
	resp, page := servePage(t, nil, Page{Kind: LoggedOut, Lang: English, Reason: "logged_out", Reference: "1234", RetryURL: "/wechat/login"})
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.Contains(t, page, "<h1>You are logged out</h1>")
	assert.Contains(t, page, `<a class="button" href="/wechat/login">Log in again</a>`)
	assert.NotContains(t, page, "<footer", "nothing went wrong")
}

// A message has the operator's reference, and no word of the reason that a user
// sees.
func TestPage_reference(t *testing.T) {
	for lang, label := range map[string]string{Chinese: "问题编号：", English: "Reference: "} {
		_, page := servePage(t, nil, Page{Lang: lang, Reason: "store_unavailable", Reference: "2026-11-30 20:45:12 UTC a1b2c3d4e5f6"})
		assert.Contains(t, page, `<footer data-reason="store_unavailable">`+label+`<code>2026-11-30 20:45:12 UTC a1b2c3d4e5f6</code></footer>`)
		assert.Equal(t, 1, strings.Count(page, "store_unavailable"))
	}
}

// An unknown reason has the general text, and a reference too.
func TestPage_unknownReason(t *testing.T) {
	for _, reason := range []string{"", "made_up", "upgrade", "unknown", "<script>"} {
		_, page := servePage(t, nil, Page{Lang: English, Reason: reason, Reference: "1234"})
		assert.Contains(t, page, "<h1>Your login was not completed</h1>")
		assert.Contains(t, page, `<footer data-reason="">Reference: <code>1234</code></footer>`)
		assert.NotContains(t, page, "<form")
	}
}

// The page of an unknown language is in Chinese.
func TestPage_unknownLanguage(t *testing.T) {
	for _, lang := range []string{"", "fr", "zh", `"><script>`} {
		assert.Contains(t, rendered(t, Page{Lang: lang, Reason: "loop"}), `<html lang="zh-CN">`)
	}
}

// Hostile values are escaped.
func TestPage_escaping(t *testing.T) {
	hostile := []string{
		`"><script>alert(1)</script>`, `'><img src=x onerror=alert(1)>`, `</style><script>alert(1)</script>`,
		`</title><svg onload=alert(1)>`, `" onmouseover="alert(1)`, `<!--`, `{{.}}`, "\x00<b>", "\xff\xfe<b>", `javascript:alert(1)//<b>`,
	}
	// The tags of a page with their attributes' names: what must not change.
	shape := func(page string) []string {
		values := regexp.MustCompile(`="[^"]*"`)
		tags := regexp.MustCompile(`<[^>]*>`)
		return tags.FindAllString(values.ReplaceAllString(page, "="), -1)
	}
	for _, kind := range []Kind{Message, Upgrade, LoggedOut, Enter, Kind(99)} {
		for _, evil := range hostile {
			harmless := Page{Kind: kind, Lang: English, Reason: "loop", RetryURL: "/r", ActionURL: "/a", Next: "/n"}
			page := rendered(t, Page{
				Kind: kind, Lang: English, Reason: "loop",
				RetryURL: evil, ActionURL: evil, Next: evil, Hints: Hints{FormActions: []string{evil}},
			})
			assert.Equal(t, shape(rendered(t, harmless)), shape(page), "kind %d, %q", kind, evil)
			assert.NotContains(t, page, `href="javascript:`)
			assert.NotContains(t, page, `action="javascript:`)

			page = rendered(t, Page{Kind: kind, Lang: evil, Reason: evil, RetryURL: "/r", ActionURL: "/a", Next: "/n"})
			assert.NotContains(t, page, evil)
		}
	}
}

// Links with an unsafe URL are not shown.
func TestPage_links(t *testing.T) {
	for name, c := range map[string]struct {
		url   string
		shown bool
	}{
		"path":                       {"/wechat/login?next=%2F", true},
		"https URL":                  {"https://app.example.com/wechat/login", true},
		"http URL":                   {"http://127.0.0.1:8080/wechat/login", true},
		"empty":                      {"", false},
		"javascript":                 {"javascript:alert(1)", false},
		"javascript in odd spelling": {"JaVaScript:alert(1)", false},
		"javascript after a space":   {" javascript:alert(1)", false},
		"javascript with a tab":      {"java\tscript:alert(1)", false},
		"javascript with a host":     {"javascript://a.example/%0aalert(1)", false},
		"another scheme with a host": {"ftp://a.example/b", false},
		"data":                       {"data:text/html,<script>alert(1)</script>", false},
		"other host without scheme":  {"//evil.example/a", false},
		"backslash":                  {`/\evil.example`, false},
		"relative path":              {"login", false},
		"https without host":         {"https:/evil", false},
		"control byte":               {"/a\nb", false},
	} {
		t.Run(name, func(t *testing.T) {
			want := ""
			if c.shown {
				want = c.url
			}
			assert.Equal(t, want, Link(c.url))
		})
	}
}

// The headers of a page are exactly these.
func TestWrite_headers(t *testing.T) {
	policy := func(formAction string) string {
		return "default-src 'none'; style-src " + cssHash + "; form-action " + formAction + "; base-uri 'none'; frame-ancestors 'none'"
	}
	for name, c := range map[string]struct {
		page             Page
		policy, referrer string
	}{
		"message":    {Page{Kind: Message, Status: 400, Reason: "loop", Hints: Hints{FormActions: []string{"https://a.example"}}}, policy("'self'"), "no-referrer"},
		"logged out": {Page{Kind: LoggedOut, Status: 200, Reason: "logged_out"}, policy("'self'"), "no-referrer"},
		"upgrade":    {Page{Kind: Upgrade, Status: 200, ActionURL: "/u"}, policy("'self' https://open.weixin.qq.com"), "same-origin"},
		"enter":      {Page{Kind: Enter, Status: 200, ActionURL: "/e"}, policy("'self'"), "same-origin"},
		"upgrade at another authorize host": {
			Page{Kind: Upgrade, Status: 200, ActionURL: "/u", Hints: Hints{FormActions: []string{"http://127.0.0.1:8099/open", "https://[::1]:7"}}},
			policy("'self' http://127.0.0.1:8099 https://[::1]:7"), "same-origin",
		},
		"upgrade with origins that would break the policy": {
			Page{Kind: Upgrade, Status: 200, ActionURL: "/u", Hints: Hints{FormActions: []string{
				"", "*", "https:", "javascript:alert(1)", "https://a.example; script-src *", "https://*.example", "https://a.example\r\nX: y", "data:text/html,x", "https://ok.example/a b",
			}}},
			policy("'self' https://ok.example"), "same-origin",
		},
	} {
		t.Run(name, func(t *testing.T) {
			resp, body := servePage(t, nil, c.page)
			assert.Equal(t, c.page.Status, resp.StatusCode)
			assert.Equal(t, int64(len(body)), resp.ContentLength)
			resp.Header.Del("Date")
			assert.Equal(t, http.Header{
				"Content-Type":            {"text/html; charset=utf-8"},
				"Content-Length":          {strconv.Itoa(len(body))},
				"Cache-Control":           {"no-store"},
				"Pragma":                  {"no-cache"},
				"Referrer-Policy":         {c.referrer},
				"X-Content-Type-Options":  {"nosniff"},
				"X-Frame-Options":         {"DENY"},
				"Content-Security-Policy": {c.policy},
				"Vary":                    {"Cookie, Accept-Language"},
			}, resp.Header)
		})
	}
}

// The Content-Security-Policy allows exactly the style that is served.
func TestWrite_stylePolicy(t *testing.T) {
	resp, body := servePage(t, nil, Page{Lang: English, Reason: "loop", RetryURL: "/"})
	styles := styleElements.FindAllStringSubmatch(body, -1)
	require.Len(t, styles, 1)
	assert.Contains(t, resp.Header.Get("Content-Security-Policy"), "style-src "+cspHash([]byte(styles[0][1]))+";")
	assert.NotContains(t, resp.Header.Get("Content-Security-Policy"), "unsafe")
	assert.NotContains(t, body, " style=")
	assert.NotContains(t, body, "<script")
	assert.NotContains(t, body, "url(", "nothing is fetched")
	assert.NotContains(t, body, "src=", "nothing is fetched")
}

func TestCSPHash(t *testing.T) {
	// printf 'p { color: red }' | openssl dgst -sha256 -binary | base64
	want := "'sha256-ngewhhP73WDIbgwseeu52VAAJgKdGUsu1IUQQsAm8m4='"
	assert.Equal(t, want, cspHash([]byte("p { color: red }")))
	assert.Equal(t, cspHash([]byte("a\nb\nc")), cspHash([]byte("a\r\nb\rc")), "browsers turn line ends into \\n before they hash")
}

// Vary is one line that names each field once.
func TestWrite_vary(t *testing.T) {
	for name, c := range map[string]struct {
		before []string
		want   string
	}{
		"nothing before":     {nil, "Cookie, Accept-Language"},
		"cookie before":      {[]string{"Cookie"}, "Cookie, Accept-Language"},
		"cookie in lower":    {[]string{"cookie"}, "cookie, Accept-Language"},
		"two lines":          {[]string{"Accept-Encoding", "Cookie"}, "Accept-Encoding, Cookie, Accept-Language"},
		"one line of two":    {[]string{"Cookie,Origin , "}, "Cookie, Origin, Accept-Language"},
		"cookie given twice": {[]string{"Cookie", "COOKIE, accept-language"}, "Cookie, accept-language"},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			for _, v := range c.before {
				w.Header().Add("Vary", v)
			}
			require.NoError(t, Write(w, httptest.NewRequest("GET", "/", nil), nil, Page{Reason: "loop"}))
			assert.Equal(t, []string{c.want}, w.Header().Values("Vary"))
		})
	}
}

// Headers set before Write are kept or replaced.
func TestWrite_earlierHeaders(t *testing.T) {
	w := httptest.NewRecorder()
	w.Header().Set("Set-Cookie", "a=; Max-Age=0")
	w.Header().Set("Retry-After", "5")
	w.Header().Set("Cache-Control", "public, max-age=600")
	w.Header().Add("Content-Security-Policy", "default-src *")
	w.Header().Set("Content-Length", "1")
	require.NoError(t, Write(w, httptest.NewRequest("GET", "/", nil), nil, Page{Reason: "loop", Status: 503}))
	assert.Equal(t, "a=; Max-Age=0", w.Header().Get("Set-Cookie"))
	assert.Equal(t, "5", w.Header().Get("Retry-After"))
	assert.Equal(t, []string{"no-store"}, w.Header().Values("Cache-Control"))
	require.Len(t, w.Header().Values("Content-Security-Policy"), 1)
	assert.NotContains(t, w.Header().Get("Content-Security-Policy"), "*")
	assert.Equal(t, strconv.Itoa(w.Body.Len()), w.Header().Get("Content-Length"))
}

// With a Content-Encoding, Write sets no Content-Length.
func TestWrite_compressed(t *testing.T) {
	w := httptest.NewRecorder()
	w.Header().Set("Content-Encoding", "gzip")
	require.NoError(t, Write(w, httptest.NewRequest("GET", "/", nil), nil, Page{Reason: "loop"}))
	assert.Empty(t, w.Header().Get("Content-Length"))
}

// The response to HEAD has the headers of GET and no body.
func TestWrite_head(t *testing.T) {
	p := Page{Lang: Chinese, Reason: "refused_by_user", Status: 403, RetryURL: "/wechat/login"}
	get, head := httptest.NewRecorder(), httptest.NewRecorder()
	require.NoError(t, Write(get, httptest.NewRequest("GET", "/", nil), nil, p))
	require.NoError(t, Write(head, httptest.NewRequest("HEAD", "/", nil), nil, p))
	assert.Equal(t, get.Code, head.Code)
	assert.Equal(t, get.Header(), head.Header())
	assert.NotZero(t, get.Body.Len())
	assert.Zero(t, head.Body.Len())
}

// A status that a page cannot have is replaced.
func TestWrite_invalidStatus(t *testing.T) {
	for name, c := range map[string]struct {
		page Page
		want int
	}{
		"given":                {Page{Status: 508}, 508},
		"message without one":  {Page{}, 500},
		"upgrade without one":  {Page{Kind: Upgrade}, 200},
		"log out without one":  {Page{Kind: LoggedOut}, 200},
		"below every status":   {Page{Status: -1}, 500},
		"informational status": {Page{Status: 101}, 500},
		"above every status":   {Page{Status: 1000}, 500},
	} {
		t.Run(name, func(t *testing.T) {
			resp, _ := servePage(t, nil, c.page)
			assert.Equal(t, c.want, resp.StatusCode)
		})
	}
}

// A custom page may have the script of the built-in page, and no other.
func TestWrite_customScript(t *testing.T) {
	for kind, connect := range map[Kind]string{OpenInWeChat: "", ScanCode: "; connect-src 'self'", ScanConfirmed: "; connect-src 'self'"} {
		resp, _ := servePage(t, func(w io.Writer) error {
			_, err := io.WriteString(w, "<script>alert(1)</script><script>"+string(Script(Page{Kind: kind}))+"</script>")
			return err
		}, Page{Kind: kind})
		assert.Contains(t, resp.Header.Get("Content-Security-Policy"), "; script-src "+cspHash([]byte(Script(Page{Kind: kind})))+connect+"; form-action")
	}
	assert.Empty(t, Script(Page{Kind: Message}))
}

// The labels of a message choose its script: that of the countdown, or that of
// the button which closes WeChat's browser.
func TestWrite_labelScripts(t *testing.T) {
	for name, c := range map[string]struct {
		page Page
		want string // in the body and in the policy
	}{
		"a page that tries again":      {Page{Lang: English, Reason: "store_unavailable", RetryURL: "/a", Hints: Hints{Wait: 3}}, "retry.js"},
		"on the phone":                 {Page{Lang: English, Reason: "scan_expired", Hints: Hints{Variant: OnPhone}}, "close.js"},
		"the phone's last page":        {Page{Kind: ScanDone, Lang: English}, "close.js"},
		"on the computer":              {Page{Lang: English, Reason: "scan_expired", Hints: Hints{Variant: OnComputer}}, ""},
		"scanned by a camera":          {Page{Kind: OpenInWeChat, Lang: English, URL: "/a", Hints: Hints{Variant: ByCamera}}, ""},
		"a page without a time":        {Page{Lang: English, Reason: "store_unavailable", RetryURL: "/a"}, ""},
		"texts that were set before":   {Page{Lang: English, Reason: "loop", Words: Words{Labels: map[string]string{"wait": "in 7 s"}}}, "retry.js"},
		"an address to open in WeChat": {Page{Kind: OpenInWeChat, Lang: English, URL: "/a"}, "copy.js"},
	} {
		t.Run(name, func(t *testing.T) {
			resp, body := servePage(t, nil, c.page)
			policy := resp.Header.Get("Content-Security-Policy")
			if c.want == "" {
				assert.NotContains(t, body, "<script")
				assert.NotContains(t, policy, "script-src")
				return
			}
			script := mustReadFile(c.want)
			assert.Contains(t, body, "<script>"+string(script)+"</script>")
			assert.Contains(t, policy, "; script-src "+cspHash(script)+";")
		})
	}
}

// Each page of a rejection has a link home and one to the support. The link home
// is its button if nothing else can help.
func TestPage_nextStep(t *testing.T) {
	brand := Brand{HomeURL: "https://m.example.com/", SupportURL: "mailto:help@example.com"}
	const home, support = `<a href="https://m.example.com/"`, `<a href="mailto:help@example.com">`
	for _, lang := range []string{Chinese, English} {
		for reason := range texts.Reasons {
			alone := rendered(t, Page{Lang: lang, Reason: reason, Brand: brand})
			assert.Contains(t, alone, home+` class="button">`, reason)
			assert.Contains(t, alone, support, reason)
			for name, p := range map[string]Page{
				"a link":     {RetryURL: "/a"},
				"a form":     {ActionURL: "/wechat/logout"},
				"a button":   {Hints: Hints{Variant: OnPhone}},
				"an address": {Kind: OpenInWeChat, URL: "/a"},
				"logged out": {Kind: LoggedOut, RetryURL: "/a"},
			} {
				p.Lang, p.Reason, p.Brand = lang, reason, brand
				body := rendered(t, p)
				assert.Contains(t, body, home+">", name)
				assert.Contains(t, body, support, name)
			}
		}
	}
	none := rendered(t, Page{Lang: English, Reason: "loop", Brand: Brand{HomeURL: "/"}, Words: Words{Labels: map[string]string{}}})
	assert.NotContains(t, none, "<a ", "a function of WithPages has removed the labels")
}

// A text that says "scan" has a QR code, and the other way round.
func TestPage_openInWeChat(t *testing.T) {
	qr := QRCode("https://m.example.com/a")
	for lang, scan := range map[string]string{Chinese: "扫", English: "scan"} {
		for _, c := range []struct {
			page  Page
			scans bool
			copy  bool
		}{
			{Page{QR: qr}, true, true},
			{Page{}, false, true},
			{Page{Hints: Hints{Variant: ByCamera}}, true, false}, // that of the computer
		} {
			c.page.Kind, c.page.Lang, c.page.URL = OpenInWeChat, lang, "https://m.example.com/a"
			body := rendered(t, c.page)
			_, body, _ = strings.Cut(body, "<main")
			body, _, _ = strings.Cut(body, "<script>")
			assert.Equal(t, c.scans, strings.Contains(strings.ToLower(body), scan), body)
			assert.Equal(t, c.copy, strings.Contains(body, `id="copy"`))
			assert.Equal(t, c.copy, strings.Contains(body, "https://m.example.com/a</p>"))
			assert.Equal(t, c.page.QR != "", strings.Contains(body, "<img"))
			assert.Equal(t, 3, strings.Count(body, "<li>"), "steps")
		}
	}
}

// A custom page is served.
func TestWrite_customPage(t *testing.T) {
	given := Page{Kind: Upgrade, Lang: English, Status: 202, Hints: Hints{FormActions: []string{"https://sim.example"}}}
	resp, body := servePage(t, func(w io.Writer) error {
		_, err := io.WriteString(w, "<style>a{}</style><STYLE media=\"print\">b{}\n</STYLE ><styles>c{}</styles><p>ours</p>")
		return err
	}, given)
	assert.Equal(t, 202, resp.StatusCode)
	assert.Contains(t, body, "<p>ours</p>")
	assert.Equal(t, "default-src 'none'; style-src 'self' "+cspHash([]byte("a{}"))+" "+cspHash([]byte("b{}\n"))+
		"; img-src 'self' data:; font-src 'self'; form-action 'self' https://sim.example; base-uri 'none'; frame-ancestors 'none'",
		resp.Header.Get("Content-Security-Policy"))
	assert.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
}

// If a custom page fails, the complete default page is served.
func TestWrite_customPageFails(t *testing.T) {
	cause := errors.New("template is broken")
	p := Page{Lang: English, Reason: "store_unavailable", Status: 503, RetryURL: "/wechat/login"}
	wantResp, wantBody := servePage(t, nil, p)
	for name, own := range map[string]Renderer{
		"an error":               func(io.Writer) error { return cause },
		"an error half way":      func(w io.Writer) error { _, _ = io.WriteString(w, "<p>half"); return cause },
		"a panic half way":       func(w io.Writer) error { _, _ = io.WriteString(w, "<p>half"); panic(cause) },
		"a panic with nil":       func(io.Writer) error { panic(nil) },
		"an abort":               func(io.Writer) error { panic(http.ErrAbortHandler) },
		"nothing written at all": func(io.Writer) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			resp, body := servePage(t, own, p)
			assert.Equal(t, wantBody, body)
			assert.Equal(t, 503, resp.StatusCode)
			assert.Equal(t, wantResp.Header.Get("Content-Security-Policy"), resp.Header.Get("Content-Security-Policy"))

			err := Write(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil), own, p)
			assert.ErrorContains(t, err, "render page: ")
		})
	}
}

// The error of a custom page is wrapped.
func TestWrite_customPageError(t *testing.T) {
	cause := errors.New("template is broken")
	err := Write(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil), func(io.Writer) error { return cause }, Page{})
	assert.ErrorIs(t, err, cause)
}

func TestWrite_concurrent(t *testing.T) {
	want := rendered(t, Page{Lang: Chinese, Reason: "loop"})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			w := httptest.NewRecorder()
			_ = Write(w, httptest.NewRequest("GET", "/", nil), nil, Page{Lang: Chinese, Reason: "loop"})
			assert.Equal(t, want, w.Body.String())
		})
	}
	wg.Wait()
}

// The language of a page is negotiated with Accept-Language.
func TestLanguage(t *testing.T) {
	filler := strings.Repeat("fr;q=0.1,", 1+maxAcceptLanguage/len("fr;q=0.1,"))
	for name, c := range map[string]struct {
		header []string
		want   string
	}{
		"nothing said":                      {nil, Chinese},
		"an empty header":                   {[]string{""}, Chinese},
		"any language":                      {[]string{"*"}, Chinese},
		"WeChat in Chinese":                 {[]string{"zh-CN,zh-Hans;q=0.9"}, Chinese},
		"WeChat in English":                 {[]string{"en-US,en;q=0.9"}, English},
		"Chinese of Taiwan":                 {[]string{"zh-TW"}, Chinese},
		"Chinese in traditional script":     {[]string{"zh-Hant-HK, en;q=0.5"}, Chinese},
		"upper case":                        {[]string{"ZH-cn;Q=0.9, EN;Q=0.8"}, Chinese},
		"a language whose name begins zh":   {[]string{"zha"}, English},
		"English first, Chinese second":     {[]string{"en-US,en;q=0.9,zh-CN;q=0.8"}, English},
		"Chinese better liked, named later": {[]string{"en;q=0.2, zh;q=0.21"}, Chinese},
		"liked alike, English first":        {[]string{"en, zh"}, English},
		"liked alike, Chinese first":        {[]string{"zh;q=0.5, en;q=0.5"}, Chinese},
		"only another language":             {[]string{"ja"}, English},
		"another language and any":          {[]string{"fr, *;q=0.5"}, English},
		"another language, then Chinese":    {[]string{"ja, zh;q=0.1"}, Chinese},
		"Chinese refused":                   {[]string{"zh;q=0"}, English},
		"Chinese refused, any other":        {[]string{"zh;q=0, *"}, English},
		"English refused":                   {[]string{"en;q=0, *"}, Chinese},
		"English refused, another liked":    {[]string{"en;q=0, zh;q=0.001"}, Chinese},
		"another refused":                   {[]string{"fr;q=0"}, Chinese},
		"spaces and tabs":                   {[]string{" en ;\tq = 0.9 , zh ; q=0.8"}, English},
		"two header lines":                  {[]string{"zh;q=0.5", "en"}, English},
		"quality above one":                 {[]string{"en;q=2, zh;q=0.1"}, Chinese},
		"quality of four digits":            {[]string{"en;q=0.9999, zh;q=0.1"}, Chinese},
		"quality that is not a number":      {[]string{"en;q=NaN, zh;q=0.1"}, Chinese},
		"negative quality":                  {[]string{"en;q=-1, zh;q=0.1"}, Chinese},
		"quality in hexadecimal":            {[]string{"en;q=0x1p-1, zh;q=0.1"}, Chinese},
		"quality without a value":           {[]string{"en;q=, zh;q=0.1"}, Chinese},
		"another parameter":                 {[]string{"en;level=1, zh;q=0.1"}, Chinese},
		"one with three zeros":              {[]string{"en;q=1.000, zh;q=0.9"}, English},
		"only commas":                       {[]string{",,,"}, Chinese},
		"markup":                            {[]string{`"><script>`}, Chinese},
		"markup after a language":           {[]string{`en"><script>, zh;q=0.1`}, Chinese},
		"underscores":                       {[]string{"zh_TW, en_US;q=0.9"}, Chinese},
		"far too long":                      {[]string{filler + "zh"}, English},
		"cut in the middle of a quality":    {[]string{"zh;q=0.5," + strings.Repeat(" ", maxAcceptLanguage-15) + "en;q=1.0000"}, Chinese},
		"too long and without a comma":      {[]string{strings.Repeat("e", 2*maxAcceptLanguage)}, Chinese},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header["Accept-Language"] = c.header
			assert.Equal(t, c.want, Language(r))
		})
	}
}
