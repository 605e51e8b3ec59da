package wechatauth

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// prefixes that an application may choose for our endpoints.
var testPrefixes = []string{"/wechat/", "/", "/auth/wx/"}

func TestHostileReturnTargetsAreRefused(t *testing.T) {
	rows := readTargets(t, "hostile.txt")
	accepted := 0
	for _, row := range rows {
		target, ok := returnTarget(row.raw, "/wechat/")
		if ok {
			accepted++
		}
		assert.False(t, ok, "accepted %q as %q", row.raw, target)
		assert.Empty(t, target, "%q", row.raw)
	}
	t.Logf("targets %d, accepted %d", len(rows), accepted)
}

func TestHonestReturnTargetsAreAccepted(t *testing.T) {
	rows := readTargets(t, "honest.txt")
	refused := 0
	for _, row := range rows {
		target, ok := returnTarget(row.raw, "/wechat/")
		if !ok {
			refused++
		}
		assert.True(t, ok, "refused %q", row.raw)
		assert.Equal(t, row.want, target, "%q", row.raw)
		assertHarmless(t, row.raw, "/wechat/")
	}
	t.Logf("targets %d, honest-refused %d", len(rows), refused)
}

func TestNoSpellingOfAReturnTargetLeavesTheOrigin(t *testing.T) {
	targets, accepted, escapes := 0, 0, 0
	for _, file := range []string{"hostile.txt", "either.txt", "honest.txt"} {
		for _, row := range readTargets(t, file) {
			for _, raw := range spellings(row.raw) {
				ok, faults := judge(raw, "/wechat/")
				targets++
				if ok {
					accepted++
				}
				if len(faults) > 0 {
					escapes++
					t.Errorf("%q: %s", raw, faults)
				}
			}
		}
	}
	require.NotZero(t, accepted, "every spelling was refused, so nothing was proved")
	t.Logf("targets %d, accepted %d, escapes %d", targets, accepted, escapes)
}

// Links as an application writes them: text of any script, escaped as
// net/url does it.
func TestGeneratedHonestLinksComeBackUnchanged(t *testing.T) {
	const links = 20_000
	refused := 0
	random := rand.New(rand.NewPCG(1, 2))
	text := func() string {
		alphabet := []rune("abcXYZ019-._~!$&'()*+,;=:@/?#[]%<>\"{}|^` 你好微信éß🎁\u3000")
		out := make([]rune, 1+random.IntN(8))
		for i := range out {
			out[i] = alphabet[random.IntN(len(alphabet))]
		}
		return string(out)
	}
	segment := func() string {
		for {
			// Text that is an escape or a dot segment of its own is refused.
			s := text()
			if !strings.Contains(s, "%") && !strings.HasPrefix(s, "/") && !strings.Contains("/"+s+"/", "/./") && !strings.Contains("/"+s+"/", "/../") {
				return url.PathEscape(s)
			}
		}
	}
	for range links {
		link := ""
		for range 1 + random.IntN(4) {
			link += "/" + segment()
		}
		if random.IntN(2) == 0 {
			link += "?" + url.Values{text(): {text()}, text(): {text(), text()}}.Encode()
		}
		if random.IntN(3) == 0 {
			link += "#" + url.PathEscape(text())
		}
		target, ok := returnTarget(link, "/wechat/")
		if !ok {
			refused++
		}
		assert.True(t, ok, "refused %q", link)
		assert.Equal(t, link, target)
	}
	t.Logf("targets %d, honest-refused %d", links, refused)
}

func TestReturnTargetLengthIsCountedAsItStandsInLocation(t *testing.T) {
	cases := map[string]struct {
		raw string
		ok  bool
	}{
		"2,048 bytes of path":               {"/" + strings.Repeat("a", 2047), true},
		"2,049 bytes of path":               {"/" + strings.Repeat("a", 2048), false},
		"2,048 bytes of query":              {"/?" + strings.Repeat("a", 2046), true},
		"2,049 bytes of query":              {"/?" + strings.Repeat("a", 2047), false},
		"2,048 bytes once escaped":          {"/a" + strings.Repeat("\u4f60", 227) + "bcd", true},
		"2,049 bytes once escaped":          {"/a" + strings.Repeat("\u4f60", 227) + "bcde", false},
		"2,048 bytes of slashes":            {"/a" + strings.Repeat("/", 2046), true},
		"65,537 bytes":                      {"/" + strings.Repeat("a", 65_536), false},
		"5,000 dot segments":                {"/" + strings.Repeat("../", 5_000) + "/evil.example", false},
		"600 dot segments":                  {"/" + strings.Repeat("../", 600) + "/evil.example", false},
		"600 encoded dot segments":          {"/" + strings.Repeat("%2e/", 500) + "/evil.example", false},
		"escapes nested 1,000 levels deep":  {"/%" + strings.Repeat("25", 1_000) + "2f", true},
		"a fragment that is 2,049 with all": {"/#" + strings.Repeat("a", 2047), false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			target, ok := returnTarget(c.raw, "/wechat/")
			assert.Equal(t, c.ok, ok)
			assert.LessOrEqual(t, len(target), 2048)
			assertHarmless(t, c.raw, "/wechat/")
		})
	}
}

func TestNoControlByteGetsIntoAReturnTarget(t *testing.T) {
	const path, rest = "/a/b", "?c=d#e"
	for c := range 0x80 {
		if c >= 0x20 && c != 0x7f {
			continue
		}
		raw, once, twice := string(rune(c)), fmt.Sprintf("%%%02X", c), fmt.Sprintf("%%25%02x", c)
		for at := range len(path + rest) {
			_, ok := returnTarget((path + rest)[:at]+raw+(path + rest)[at:], "/wechat/")
			assert.False(t, ok, "byte %#02x at %d", c, at)
		}
		for at := 1; at <= len(path); at++ {
			_, ok := returnTarget(path[:at]+once+path[at:]+rest, "/wechat/")
			assert.False(t, ok, "%s at %d", once, at)
			_, ok = returnTarget(path[:at]+twice+path[at:]+rest, "/wechat/")
			assert.False(t, ok, "%s at %d", twice, at)
		}
		_, ok := returnTarget(path+rest+once, "/wechat/")
		assert.True(t, ok, "%s in the fragment", once)
	}
}

func TestOwnEndpointsAreNoReturnTargetUnderAnyPrefix(t *testing.T) {
	cases := []struct {
		prefix string
		raw    string
		ok     bool
	}{
		{"/", "/", true},
		{"/", "/a", true},
		{"/", "/login", false},
		{"/", "/callback/?code=1", false},
		{"/", "/mini/login", false},
		{"/", "/mini", true},
		{"/", "/loginhelp", true},
		{"/", "/a/login", true},
		{"/auth/wx/", "/auth/wx/callback", false},
		{"/auth/wx/", "/auth%2fwx%252fcallback", false},
		{"/auth/wx/", "/auth/wx", false},
		{"/auth/wx/", "/auth/", true},
		{"/auth/wx/", "/wechat/callback", true},
		{"/auth/wx", "/auth/wx/logout", false},
		{"/auth/wx", "/auth/wxlogout", true},
		{"/Auth/", "/auth/logout", false},
		{"/%E5%BE%AE/", "/%E5%BE%AE/logout", false},
		{"/微信/", "/%E5%BE%AE%E4%BF%A1/logout", false},
	}
	for _, c := range cases {
		t.Run(c.prefix+" "+c.raw, func(t *testing.T) {
			_, ok := returnTarget(c.raw, c.prefix)
			assert.Equal(t, c.ok, ok)
		})
	}
}

func TestHugeReturnTargetsAreRefusedWithoutCopyingThem(t *testing.T) {
	huge := strings.Repeat("/%41", 4<<20)
	hugeQuery := "/?" + huge
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	cases := map[string]func() bool{
		"a return target":            func() bool { _, ok := returnTarget(huge, "/wechat/"); return ok },
		"a return target, all query": func() bool { _, ok := returnTarget(hugeQuery, "/wechat/"); return ok },
		"a request target, path":     func() bool { r.RequestURI = huge; _, ok := requestTarget(r, "/wechat/"); return ok },
		"a request target, query": func() bool {
			r.RequestURI = hugeQuery
			_, ok := requestTarget(r, "/wechat/")
			return ok
		},
		"a request target, many & in it": func() bool {
			r.RequestURI = "/?" + strings.Repeat("&", 4000)
			_, ok := requestTarget(r, "/")
			return ok
		},
		"a request target, many # in it": func() bool {
			r.RequestURI = "/?" + strings.Repeat("#", 4000)
			_, ok := requestTarget(r, "/")
			return ok
		},
		"a request target, path of bytes": func() bool {
			r.RequestURI = "/" + strings.Repeat("\xff", 2000)
			_, ok := requestTarget(r, "/")
			return ok
		},
	}
	for name, call := range cases {
		t.Run(name, func(t *testing.T) {
			var ok bool
			allocated := allocatedBy(func() { ok = call() })
			assert.False(t, ok)
			assert.Less(t, allocated, uint64(1<<20))
		})
	}
}

// Request targets as they stand on the wire, and what a visitor is sent back to.
func TestRawRequestTargetsBecomeReturnTargets(t *testing.T) {
	const refused = "" // the fallback
	state := strings.Repeat("aB3", 10) + "xy"
	cases := []struct {
		name string
		raw  string
		want string
	}{
		{"root", "/", "/"},
		{"path and query", "/orders?id=7", "/orders?id=7"},
		{"empty query", "/a?", "/a?"},
		{"encoded Chinese", "/%E4%BD%A0?x=%E5%A5%BD", "/%E4%BD%A0?x=%E5%A5%BD"},
		{"raw Chinese", "/\u4f60\u597d?x=\u597d", "/%E4%BD%A0%E5%A5%BD?x=%E5%A5%BD"},
		{"encoded ideographic full stop", "/%E3%80%82/evil", "/%E3%80%82/evil"},
		{"raw ideographic full stop", "/\xe3\x80\x82evil", "/%E3%80%82evil"},
		{"doubled slashes inside", "/a//b", "/a//b"},
		{"encoded slash", "/a%2Fb%2fc", "/a%2Fb%2fc"},
		{"links in the query", "/a?next=//evil.example&u=https://evil.example/", "/a?next=//evil.example&u=https://evil.example/"},
		{"broken escape in the query", "/a?b=%zz", "/a?b=%zz"},
		{"backslash in the query", `/a?b=\\evil.example`, "/a?b=%5C%5Cevil.example"},
		{"user information in the path", "/;@evil.example", "/;@evil.example"},
		{"hash in the path is no fragment", "/a#//evil.example", "/a%23//evil.example"},
		{"hash in the query is no fragment", "/a?x=1#//evil.example", "/a?x=1%23//evil.example"},
		{"doubled question mark", "/a??b", "/a??b"},

		{"two slashes", "//evil.example/a", refused},
		{"two slashes and no path", "//evil.example", refused},
		{"two slashes, encoded host", "//%65vil.example/", refused},
		{"two slashes, address", "//[::1]/", refused},
		{"two slashes, encoded slash", "//evil.example%2f..", refused},
		{"two slashes and a backslash", `//evil.example\@app/`, refused},
		{"three slashes", "///evil.example", refused},
		{"slash and backslash", `/\evil.example`, refused},
		{"slash and encoded backslash", "/%5cevil.example", refused},
		{"slash and encoded slash", "/%2fevil.example", refused},
		{"slash, encoded slash, slash", "/%2f/evil.example", refused},
		{"slash, encoded tab, slash", "/%09/evil.example", refused},
		{"slash and twice encoded slash", "/%252fevil.example", refused},
		{"dot segment", "/.//evil.example", refused},
		{"dots segment", "/..//evil.example", refused},
		{"dots segment behind a name", "/a/..//evil.example", refused},
		{"encoded dots segment", "/%2e%2e//evil.example", refused},
		{"encoded NUL", "/a%00b", refused},
		{"encoded line end", "/a%0d%0aSet-Cookie:x=1", refused},
		{"asterisk", "*", refused},
		{"own endpoint", "/wechat/callback?code=1&state=2", refused},
		{"own endpoint, encoded", "/wechat%2flogout", refused},
		{"too long", "/" + strings.Repeat("a", 2048), refused},
		{"query too long", "/?" + strings.Repeat("a", 4097), refused},

		{"absolute form", "http://evil.example/x?y=1", "/x?y=1"},
		{"absolute form, own host", "https://app.example.com/x", "/x"},
		{"absolute form without a path", "http://evil.example", "/"},
		{"absolute form without a path, with a query", "http://evil.example?x=1", "/?x=1"},
		{"absolute form, two slashes", "http://evil.example//x", refused},
		{"absolute form, slash and backslash", `http://evil.example/\x`, refused},
		{"absolute form, user information", "http://a:b@evil.example/x", "/x"},
		{"absolute form, opaque", "http:evil.example", refused},
		{"script", "javascript:alert(1)", refused},

		{"callback pair alone", "/shop?code=071AbC_-x&state=" + state, "/shop"},
		{"callback pair in front", "/shop?code=071AbC&state=" + state + "&a=1", "/shop?a=1"},
		{"callback pair behind", "/shop?a=%31&b=%zz&code=071AbC&state=" + state, "/shop?a=%31&b=%zz"},
		{"callback pair apart and the other way round", "/shop?state=" + state + "&a=1;b&&code=071AbC&c", "/shop?a=1;b&&c"},
		{"callback pair given twice", "/shop?code=A&state=" + state + "&code=B&x&state=" + state, "/shop?x"},
		{"callback pair, longest code", "/shop?code=" + strings.Repeat("c", 128) + "&state=" + state, "/shop"},
		{"callback pair in a long query", "/?code=A&state=" + state + "&x=" + strings.Repeat("a", 2043), "/?x=" + strings.Repeat("a", 2043)},
		{"a code alone", "/buy?code=S80", "/buy?code=S80"},
		{"a state alone", "/buy?state=" + state, "/buy?state=" + state},
		{"a code and a state of another form", "/buy?code=S808996686&state=x", "/buy?code=S808996686&state=x"},
		{"a state of 31", "/buy?code=S80&state=" + state[:31], "/buy?code=S80&state=" + state[:31]},
		{"a state of 33", "/buy?code=S80&state=" + state + "a", "/buy?code=S80&state=" + state + "a"},
		{"a state with a dash", "/buy?code=S80&state=-" + state[1:], "/buy?code=S80&state=-" + state[1:]},
		{"an empty code", "/buy?code=&state=" + state, "/buy?code=&state=" + state},
		{"a code of 129", "/buy?code=" + strings.Repeat("c", 129) + "&state=" + state, "/buy?code=" + strings.Repeat("c", 129) + "&state=" + state},
		{"a code with an escape", "/buy?code=S%2080&state=" + state, "/buy?code=S%2080&state=" + state},
		{"other names", "/buy?xcode=S80&mystate=" + state, "/buy?xcode=S80&mystate=" + state},
		{"another case", "/buy?Code=S80&State=" + state, "/buy?Code=S80&State=" + state},
	}
	server := startReturnTargetServer(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			response := sendRaw(t, server, http.MethodGet, c.raw)
			require.Equal(t, http.StatusSeeOther, response.StatusCode)
			if c.want == refused {
				assert.Equal(t, "refused", response.Header.Get("Verdict"), "Location %q", response.Header.Get("Location"))
				return
			}
			assert.Equal(t, c.want, response.Header.Get("Location"))
			again := sendRaw(t, server, http.MethodGet, response.Header.Get("Location"))
			assert.Equal(t, c.want, again.Header.Get("Location"), "the browser asks for its target and is sent elsewhere")
		})
	}
}

func TestNoRequestOnTheWireIsSentToAnotherOrigin(t *testing.T) {
	server := startReturnTargetServer(t)
	targets, accepted, escapes := 0, 0, 0
	for _, file := range []string{"hostile.txt", "either.txt", "honest.txt"} {
		for _, row := range readTargets(t, file) {
			if row.raw == "" || strings.ContainsAny(row.raw, " \r\n") {
				continue // ends the request line
			}
			if file == "honest.txt" && strings.Contains(row.raw, "#") {
				continue // no browser sends a fragment
			}
			response := sendRaw(t, server, http.MethodGet, row.raw)
			targets++
			if response.StatusCode == http.StatusBadRequest {
				assert.NotEqual(t, "honest.txt", file, "the server refused %q", row.raw)
				continue
			}
			location := response.Header.Get("Location")
			faults := faultsOf(location, "/wechat/")
			if len(faults) > 0 {
				escapes++
			}
			assert.Empty(t, faults, "%q", row.raw)
			if response.Header.Get("Verdict") == "accepted" {
				accepted++
			}
			if file == "honest.txt" {
				assert.Equal(t, "accepted", response.Header.Get("Verdict"), "%q", row.raw)
				assert.Equal(t, decodeOnce(row.want), decodeOnce(location), "%q", row.raw)
			}
		}
	}
	require.NotZero(t, accepted)
	t.Logf("targets %d, accepted %d, escapes %d", targets, accepted, escapes)
}

// The browser of these tests against what Node.js 20's WHATWG URL parser made
// of the same strings. The file records, for each string, the path on the own
// origin that it leads to, or "elsewhere".
func TestTheBrowserOfTheseTestsReadsLocationsAsRealOnesDo(t *testing.T) {
	elsewhere := 0
	rows := readTargets(t, "browser.txt")
	for _, row := range rows {
		path, same := browserGoesTo(row.raw)
		if row.want == "elsewhere" {
			elsewhere++
			assert.False(t, same, "%q leads to %q", row.raw, path)
			continue
		}
		assert.True(t, same, "%q leads elsewhere", row.raw)
		assert.Equal(t, decodeOnce(row.want), decodeOnce(path), "%q", row.raw)
	}
	require.NotZero(t, elsewhere)
	t.Logf("locations %d, elsewhere %d", len(rows), elsewhere)
}

func FuzzReturnTarget(f *testing.F) {
	for _, file := range []string{"hostile.txt", "either.txt", "honest.txt"} {
		for _, row := range readTargets(f, file) {
			f.Add(row.raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw string) {
		for _, prefix := range testPrefixes {
			allocated := allocatedBy(func() { returnTarget(raw, prefix) })
			assert.LessOrEqual(t, allocated, uint64(1<<20))
			assertHarmless(t, raw, prefix)
		}
	})
}

func FuzzRequestTarget(f *testing.F) {
	for _, file := range []string{"hostile.txt", "either.txt", "honest.txt"} {
		for _, row := range readTargets(f, file) {
			f.Add(row.raw)
		}
	}
	f.Add("/shop?a=1&code=071AbC&state=abcdefghijklmnopqrstuvwxyz012345")
	f.Add("http://evil.example//x")
	callbackPair := regexp.MustCompile(`[?&]code=[A-Za-z0-9_-]{1,128}(&.*)?&state=[A-Za-z0-9]{32}(&|$)|[?&]state=[A-Za-z0-9]{32}(&.*)?&code=[A-Za-z0-9_-]{1,128}(&|$)`)
	f.Fuzz(func(t *testing.T, raw string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + raw + " HTTP/1.1\r\nHost: app.example.com\r\n\r\n")))
		if err != nil {
			return // net/http answers it
		}
		for _, prefix := range testPrefixes {
			var target string
			var ok bool
			allocated := allocatedBy(func() { target, ok = requestTarget(r, prefix) })
			assert.LessOrEqual(t, allocated, uint64(1<<20))
			if !ok {
				assert.Empty(t, target)
				continue
			}
			assert.Empty(t, faultsOf(target, prefix), "%q under %q", raw, prefix)
			assert.NotContains(t, target, "#", "a request target has no fragment")
			assert.False(t, callbackPair.MatchString(target), "%q kept a code and a state", target)
			again, ok := requestTarget(httptest.NewRequest(http.MethodGet, target, nil), prefix)
			assert.True(t, ok, "%q is refused when asked for", target)
			assert.Equal(t, target, again)
		}
	})
}

// browserWrites is a request target as a browser writes it: it encodes what is not
// ASCII, and leaves every other byte as it is.
func browserWrites(raw string) string {
	var b strings.Builder
	for i := range len(raw) {
		if raw[i] >= 0x80 {
			fmt.Fprintf(&b, "%%%02X", raw[i])
			continue
		}
		b.WriteByte(raw[i])
	}
	return b.String()
}

func FuzzRequestURL(f *testing.F) {
	f.Add("/files/a%2Fb|c")
	f.Add("/a?b=c")
	f.Fuzz(func(t *testing.T, raw string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + raw + " HTTP/1.1\r\nHost: app.example.com\r\n\r\n")))
		if err != nil || r.RequestURI != raw || !strings.HasPrefix(raw, "/") || strings.ContainsAny(raw, "#\\") || strings.Contains(raw, "code=") {
			return // net/http answers it, a browser does not write it, or something is taken out
		}
		if target, ok := requestTarget(r, "/wechat/"); ok {
			assert.Equal(t, browserWrites(raw), target)
		}
	})
}

// Every byte, raw and encoded, in a path and in a query: the login ends at the URL
// that was asked for, byte for byte as a browser writes it.
func TestReturnURLRoundTrip(t *testing.T) {
	s := newSite(t)
	s.server.Config.Handler = s.auth.RequireWeChat(http.HandlerFunc(echo))
	base, ended := s.auth.base.String(), 0
	for b := range 256 {
		for _, place := range []string{"/files/a%%2Fb%sc", "/files/a?b=%s&c"} {
			for _, written := range []string{string([]byte{byte(b)}), fmt.Sprintf("%%%02X", b), fmt.Sprintf("%%%02x", b)} {
				raw := fmt.Sprintf(place, written)
				if raw[7:] == "a%2Fb#c" || strings.Contains(raw, "=#") {
					continue // a fragment, which no browser sends
				}
				begun := s.wire(http.MethodGet, raw, pageHeader)
				if len(written) == 1 && (b <= ' ' || b == 0x7f || b == '%' && strings.HasPrefix(place, "/files/a%%")) {
					assert.Equal(t, http.StatusBadRequest, begun.StatusCode, "%q", raw)
					continue
				}
				want := browserWrites(raw)
				inPath := strings.HasPrefix(place, "/files/a%%")
				switch {
				case inPath && len(written) > 1 && (b < ' ' || b == 0x7f):
					want = "/" // a control character
				case inPath && b == '\\':
					want = base + strings.ReplaceAll(raw, `\`, "%5C")
				case b == '\\':
					want = strings.ReplaceAll(raw, `\`, "%5C")
				}
				got := s.loginOf(begun).Header.Get("Location")
				assert.Equal(t, want, got, "%q", raw)
				ended++
			}
		}
	}
	assert.Greater(t, ended, 1200)
	assert.Equal(t, "/files/a%2Fb|c", s.loginOf(s.wire(http.MethodGet, "/files/a%2Fb|c", pageHeader)).Header.Get("Location"))
}

// Routers and http.StripPrefix in front may change r.URL; the browser asked for
// what it asked for.
func TestReturnURLBehindRouters(t *testing.T) {
	s := newSite(t)
	gate := s.auth.RequireWeChat(http.HandlerFunc(echo))
	rewritten := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path, r.URL.RawPath = "/inner", ""
		gate.ServeHTTP(w, r)
	})
	mux := http.NewServeMux()
	mux.Handle("/wechat/", s.auth)
	mux.Handle("/app/", http.StripPrefix("/app", gate))
	mux.Handle("/old/", rewritten)
	s.server.Config.Handler = mux
	for _, raw := range []string{"/app/orders?id=7", "/app/a%2Fb|c", "/old/a%2Fb|c?x=|"} {
		assert.Equal(t, raw, s.loginOf(s.wire(http.MethodGet, raw, pageHeader)).Header.Get("Location"))
	}
	absolute := s.wireLines("GET http://"+s.auth.base.Host+"/app/a%2Fb|c HTTP/1.1", "Host: "+s.auth.base.Host, pageHeader, "Connection: close")
	assert.Equal(t, "/app/a%2Fb|c", s.loginOf(absolute).Header.Get("Location"))
}

// A return URL may have the site's own origin in front. What is refused is
// logged, with the reason and the length and nothing of what it holds.
func TestReturnURLWithOrigin(t *testing.T) {
	s := newMiniSite(t)
	s.server.Config.Handler = s.auth.RequireWeChat(http.HandlerFunc(echo))
	base := s.auth.base.String()
	session := cookieHeader(&http.Cookie{Name: s.sessionCookie(), Value: s.session(aliceOpenID)})
	for next, c := range map[string]struct{ want, why string }{
		base + "/orders?id=7#a":                   {"/orders?id=7#a", ""},
		strings.ToUpper(base) + "/orders":         {"/orders", ""},
		base:                                      {"/", ""},
		base + "?a=b":                             {"/?a=b", ""},
		base + "#/route":                          {"/#/route", ""},
		"":                                        {"/", ""},
		base + ".evil.example/secret":             {"/", "not a path of the base URL's host"},
		base + "@evil.example/secret":             {"/", "not a path of the base URL's host"},
		base + "1/secret":                         {"/", "not a path of the base URL's host"},
		base + "//evil.example/secret":            {"/", "a path that browsers read as another host's"},
		base + `/\evil.example/secret`:            {"/", "a path that browsers read as another host's"},
		base + "/wechat/logout?secret":            {"/", "an endpoint of the middleware"},
		"https://evil.example/secret":             {"/", "not a path of the base URL's host"},
		"//evil.example/secret":                   {"/", "a path that browsers read as another host's"},
		"/secret/../a":                            {"/", "a path with a space, a control character, a dot segment or an invalid escape"},
		"/secret" + strings.Repeat("a", 2042):     {"/", "longer than 2048 bytes"},
		"/secret" + strings.Repeat("\u4f60", 227): {"/", "longer than 2048 bytes"},
	} {
		logged := len(s.logs.String())
		got := s.wire(http.MethodGet, "/wechat/login?next="+url.QueryEscape(next), pageHeader, session)
		assert.Equal(t, c.want, got.Header.Get("Location"), "%q", next)
		record := s.logs.String()[logged:]
		if c.why == "" {
			assert.NotContains(t, record, "return URL", "%q", next)
			continue
		}
		rest, _ := strings.CutPrefix(next, base)
		assert.Contains(t, record, fmt.Sprintf(`detail="return URL replaced by /: %s, %d bytes"`, c.why, len(rest)), "%q", next)
		assert.NotContains(t, record, "secret")
	}

	proxied := newSite(t, WithBaseURL("https://m.example.com"))
	session = cookieHeader(&http.Cookie{Name: proxied.sessionCookie(), Value: proxied.session(aliceOpenID)})
	for next, want := range map[string]string{
		"https://m.example.com:443/orders?id=7":         "/orders?id=7",
		"https://M.example.com:443":                     "/",
		"https://m.example.com:443?a=b":                 "/?a=b",
		"https://m.example.com:443@evil.example/a":      "/",
		"https://m.example.com:443.evil.example/a":      "/",
		"https://m.example.com:4430/a":                  "/",
		"https://m.example.com:80/a":                    "/",
		"https://m.example.com:443//evil.example/a":     "/",
		`https://m.example.com:443/\evil.example/a`:     "/",
		"https://m.example.com:443:443/a":               "/",
		"https://m.example.com./a":                      "/",
		"https://user@m.example.com/a":                  "/",
		"https://m.example.com:443https://evil.example": "/",
	} {
		got := proxied.wire(http.MethodGet, "/wechat/login?next="+url.QueryEscape(next), "Host: m.example.com", pageHeader, session)
		assert.Equal(t, want, got.Header.Get("Location"), "%q", next)
	}

	logged := len(s.logs.String())
	assert.Equal(t, "/", s.loginOf(s.wire(http.MethodGet, "/secret/../a", pageHeader)).Header.Get("Location"))
	assert.Contains(t, s.logs.String()[logged:], "return URL replaced by /: a path with a space")

	hop := s.wire(http.MethodGet, "//orders?id=7", pageHeader, "Host: other.example")
	assert.NotContains(t, hop.Header.Get("Location"), "other.example")

	form := s.wire(http.MethodPost, "/pay", pageHeader, "Content-Length: 0", "Referer: "+base+"/cart?id=7")
	assert.Contains(t, form.body, `href="/wechat/login?next=%2Fcart%3Fid%3D7&amp;again=1"`, "the page with the form, which a GET shows")
	form = s.wire(http.MethodPost, "/pay", pageHeader, "Content-Length: 0", "Referer: https://evil.example/cart")
	assert.Contains(t, form.body, `href="/wechat/login?next=%2F&amp;again=1"`)

	ticket := s.request(http.MethodPost, "/wechat/mini/ticket", s.miniLogin(person(0)), `{"target":"`+base+`/orders?id=7"}`)
	var entry struct{ URL string }
	require.NoError(t, json.Unmarshal([]byte(ticket.body), &entry))
	assert.Equal(t, "/orders?id=7", s.wire(http.MethodGet, strings.TrimPrefix(entry.URL, base), pageHeader, "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document").Header.Get("Location"))
}

// A request's own path that a browser could take for another host's ends at itself,
// behind the base URL.
func TestReturnURLOfOddPath(t *testing.T) {
	s := newSite(t)
	s.server.Config.Handler = s.auth.RequireWeChat(http.HandlerFunc(echo))
	base := s.auth.base.String()
	for raw, want := range map[string]string{
		"//orders?id=7": base + "//orders?id=7",
		"//orders?code=A1&state=" + strings.Repeat("aB3d", 8): base + "//orders",
		"/files/a%5Cb":     base + "/files/a%5Cb",
		"/%5Cfiles":        base + "/%5Cfiles",
		"/%EF%BC%8Ffiles":  base + "/%EF%BC%8Ffiles",
		"//wechat/logout":  "/",
		"//wechat//logout": "/",
		"//a/../b":         "/",
		"//a%00b":          "/",
	} {
		begun := s.wire(http.MethodGet, raw, pageHeader)
		got := s.loginOf(begun)
		assert.Equal(t, want, got.Header.Get("Location"), "%q", raw)
		if want != "/" {
			again := s.wire(http.MethodGet, strings.TrimPrefix(want, base), pageHeader, cookieHeader(got.Cookies()...))
			assert.Contains(t, again.body, "logged-in=true", "%q", raw)
		}
	}
}

// assertHarmless judges raw and asserts what must hold whatever the verdict.
func assertHarmless(t testing.TB, raw, prefix string) {
	t.Helper()
	_, faults := judge(raw, prefix)
	assert.Empty(t, faults, "%q under %q", raw, prefix)
}

// judge returns the verdict on raw, and what is wrong with it.
func judge(raw, prefix string) (accepted bool, faults []string) {
	target, ok := returnTarget(raw, prefix)
	if ok {
		return true, faultsOf(target, prefix)
	}
	if target != "" {
		faults = append(faults, fmt.Sprintf("refused, and yet %q is returned", target))
	}
	return false, faults
}

// faultsOf checks what holds for every Location: a browser stays on the own
// origin with it, also after one or two further decodings, it reaches no
// endpoint of ours, and judged again it comes out unchanged.
func faultsOf(target, prefix string) (faults []string) {
	report := func(format string, args ...any) {
		faults = append(faults, fmt.Sprintf("%q ", target)+fmt.Sprintf(format, args...))
	}
	if !regexpTarget.MatchString(target) {
		report("is not printable ASCII, or begins with two slashes")
	}
	if len(target) > 2048 {
		report("has %d bytes", len(target))
	}
	if again, ok := returnTarget(target, prefix); !ok || again != target {
		report("judged again gives %q, %v", again, ok)
	}
	read := target
	for decodings := range 3 {
		path, same := browserGoesTo(read)
		if !same {
			report("decoded %d times leaves the origin", decodings)
		}
		// The router decodes the path once more.
		if decodings < 2 && (reachesOwnEndpoint(path, prefix) || reachesOwnEndpoint(decodeOnce(path), prefix)) {
			report("decoded %d times is an endpoint of ours", decodings)
		}
		read = decodeOnce(read)
	}
	return faults
}

var regexpTarget = regexp.MustCompile(`^/($|[!-.0-\[\]-~][!-\[\]-~]*$)`)

var regexpsOwnEndpoint = func() map[string]*regexp.Regexp {
	all := map[string]*regexp.Regexp{}
	for _, prefix := range testPrefixes {
		mount := strings.TrimSuffix(prefix, "/")
		all[prefix] = regexp.MustCompile(`(?i)^` + regexp.QuoteMeta(mount) + `/+(login|callback|upgrade|logout|mini/+login)(/|$)`)
	}
	return all
}()

func reachesOwnEndpoint(path, prefix string) bool {
	return regexpsOwnEndpoint[prefix].MatchString(path)
}

// browserGoesTo says where a browser goes that gets location from a page of
// https://app.example.com/wechat/: the path, and whether the origin is the
// same. It follows https://url.spec.whatwg.org/#url-parsing, which differs from
// net/url wherever it matters here.
func browserGoesTo(location string) (path string, same bool) {
	s := strings.TrimFunc(location, func(r rune) bool { return r <= ' ' })
	s = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(s)
	if scheme, rest, absolute := cutScheme(s); absolute {
		if scheme != "https" {
			return "", false
		}
		if strings.HasPrefix(rest, "//") {
			return browserGoesToHost(rest)
		}
		s = rest // the base's own scheme without // is relative
	}
	if len(s) >= 2 && strings.ContainsRune(`/\`, rune(s[0])) && strings.ContainsRune(`/\`, rune(s[1])) {
		return browserGoesToHost(s)
	}
	if i := strings.IndexAny(s, "?#"); i >= 0 {
		s = s[:i]
	}
	switch {
	case s == "":
		return "/wechat/callback", true
	case s[0] == '/' || s[0] == '\\':
		return resolveDots(s), true
	default:
		return resolveDots("/wechat/" + s), true
	}
}

func cutScheme(s string) (scheme, rest string, ok bool) {
	match := regexpScheme.FindString(s)
	if match == "" {
		return "", s, false
	}
	return strings.ToLower(strings.TrimSuffix(match, ":")), s[len(match):], true
}

var regexpScheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:`)

// browserGoesToHost reads an authority, however many slashes stand before it.
func browserGoesToHost(s string) (path string, same bool) {
	authority, tail := strings.TrimLeft(s, `/\`), ""
	if i := strings.IndexAny(authority, `/\?#`); i >= 0 {
		authority, tail = authority[:i], authority[i:]
	}
	host := authority[strings.LastIndex(authority, "@")+1:]
	host, port, hasPort := strings.Cut(host, ":")
	if hasPort && port != "" {
		if number, err := strconv.ParseUint(port, 10, 16); err != nil || number != 443 {
			return "", false
		}
	}
	if i := strings.IndexAny(tail, "?#"); i >= 0 {
		tail = tail[:i]
	}
	return resolveDots(tail), domainToASCII(host) == "app.example.com"
}

// domainToASCII does as much of it as can turn a text into the own host.
func domainToASCII(host string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\u3002' || r == '\uff61':
			return '.'
		case r == '\u00ad' || r == '\u200b' || r == '\u2060' || r == '\ufeff':
			return -1
		case '\uff01' <= r && r <= '\uff5e':
			r -= 0xfee0
		}
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, decodeOnce(host))
}

// resolveDots resolves dot segments, which a browser also sees where the dots
// are escaped and the slashes are backslashes.
func resolveDots(path string) string {
	var out []string
	segments := strings.Split(strings.TrimPrefix(strings.ReplaceAll(path, `\`, "/"), "/"), "/")
	for i, segment := range segments {
		last := i == len(segments)-1
		switch strings.ReplaceAll(strings.ToLower(segment), "%2e", ".") {
		case ".":
		case "..":
			out = out[:max(0, len(out)-1)]
		default:
			out = append(out, segment)
			continue
		}
		if last {
			out = append(out, "")
		}
	}
	return "/" + strings.Join(out, "/")
}

var regexpEscape = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)

// decodeOnce decodes every escape, as a lenient proxy does.
func decodeOnce(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	return regexpEscape.ReplaceAllStringFunc(s, func(escape string) string {
		b, _ := strconv.ParseUint(escape[1:], 16, 8)
		return string([]byte{byte(b)})
	})
}

// spellings returns s in many disguises: escaped and decoded up to twice, in
// another case, with other slashes, with things put before, between and behind.
func spellings(s string) []string {
	all := []string{s, decodeOnce(s), decodeOnce(decodeOnce(s)), strings.ToUpper(s), strings.ToLower(s)}
	for _, encode := range []func(string) string{url.QueryEscape, url.PathEscape, escapeEveryByte, escapeSpecials, strings.ToLower} {
		once := encode(s)
		twice := encode(once)
		all = append(all, once, twice, "/"+once, "/"+twice)
		if strings.HasPrefix(s, "/") {
			once = "/" + encode(s[1:])
			all = append(all, once, "/"+encode(once[1:]))
		}
	}
	for _, slash := range []string{`\`, "%2f", "%2F", "%5c", "%252f", "%255C", "%25252f", "\uff0f", "\u2044", "/./", "/%2e%2e/", "/\t/", "/%09/", "//"} {
		all = append(all, strings.ReplaceAll(s, "/", slash), "/"+strings.ReplaceAll(s, "/", slash), strings.Replace(s, "/", "/"+slash, 1))
	}
	for _, before := range []string{"/", "//", `/\`, `\`, "/.", "/..", "/a/..", "/a", "/?", "/#", "/;", "/@", "/%2f", "/%2e%2e", "/%3f/..", "/wechat/..", "https:", "https:/", "https://", "https://app.example.com", "\u00a0", "\ufeff"} {
		all = append(all, before+s)
	}
	for _, c := range []byte("\x00\t\n\v\r\x1f \x7f") {
		for at := range min(3, len(s)+1) {
			for _, form := range []string{"%c", "%%%02x", "%%25%02x"} {
				all = append(all, s[:at]+fmt.Sprintf(form, c)+s[at:])
			}
		}
		all = append(all, s+string(c))
	}
	return all
}

func escapeEveryByte(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, "%%%02x", c)
	}
	return b.String()
}

func escapeSpecials(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if isAlphanumeric(c) {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// targetRow is one line of a file of return targets. want is raw unless the
// line has a second literal.
type targetRow struct{ raw, want string }

func readTargets(t testing.TB, name string) []targetRow {
	t.Helper()
	content, err := fs.ReadFile(os.DirFS(filepath.Join("testdata", "returnto")), name)
	require.NoError(t, err)
	var rows []targetRow
	for number, line := range strings.Split(string(content), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		row, err := parseTargetRow(line)
		require.NoError(t, err, "%s:%d", name, number+1)
		rows = append(rows, row)
	}
	require.NotEmpty(t, rows)
	return rows
}

func parseTargetRow(line string) (targetRow, error) {
	quoted, err := strconv.QuotedPrefix(line)
	if err != nil {
		return targetRow{}, fmt.Errorf("read first literal: %w", err)
	}
	raw, err := strconv.Unquote(quoted)
	if err != nil {
		return targetRow{}, fmt.Errorf("unquote first literal: %w", err)
	}
	rest, ok := strings.CutPrefix(line[len(quoted):], " ")
	if !ok {
		if rest != "" {
			return targetRow{}, errors.New("unexpected text after the literal")
		}
		return targetRow{raw: raw, want: raw}, nil
	}
	want, err := strconv.Unquote(rest)
	if err != nil {
		return targetRow{}, fmt.Errorf("unquote second literal: %w", err)
	}
	return targetRow{raw: raw, want: want}, nil
}

// startReturnTargetServer answers every request with 303 to its own target,
// and with the fallback where that is refused.
func requestTarget(r *http.Request, prefix string) (target string, ok bool) {
	return returnTarget(requestURL(r), prefix)
}

func startReturnTargetServer(t *testing.T) (address string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target, ok := requestTarget(r, "/wechat/")
		verdict := "accepted"
		if !ok {
			target, verdict = "/", "refused"
		}
		w.Header().Set("Location", target)
		w.Header().Set("Verdict", verdict)
		w.WriteHeader(http.StatusSeeOther)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// sendRaw sends a request through a socket with this very request target and
// these very header lines.
func sendRaw(t *testing.T, address, method, requestTarget string, header ...string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer conn.Close()
	lines := append([]string{method + " " + requestTarget + " HTTP/1.1", "Host: app.example.com"}, header...)
	_, err = io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\nConnection: close\r\n\r\n")
	require.NoError(t, err)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response
}

// allocatedBy returns how many bytes of heap a call took, roughly.
func allocatedBy(call func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	call()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
