package returnto

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/returnto/returntotest"
)

// siteAt has its endpoints below prefix.
func siteAt(prefix string) Site {
	base, _ := url.Parse(returntotest.Origin)
	return Site{Base: base, Prefix: prefix, Endpoints: []string{"login", "callback", "upgrade", "logout", "mini/login"}}
}

func returnTarget(raw, prefix string) (target string, ok bool) {
	target, err := siteAt(prefix).Judge(raw)
	return target, err == nil
}

func TestJudge_hostile(t *testing.T) {
	rows := returntotest.Read(t, "hostile.txt")
	accepted := 0
	for _, row := range rows {
		target, ok := returnTarget(row.Raw, "/wechat/")
		if ok {
			accepted++
		}
		assert.False(t, ok, "accepted %q as %q", row.Raw, target)
		assert.Empty(t, target, "%q", row.Raw)
	}
	t.Logf("targets %d, accepted %d", len(rows), accepted)
}

func TestJudge_honest(t *testing.T) {
	rows := returntotest.Read(t, "honest.txt")
	rejected := 0
	for _, row := range rows {
		target, ok := returnTarget(row.Raw, "/wechat/")
		if !ok {
			rejected++
		}
		assert.True(t, ok, "rejected %q", row.Raw)
		assert.Equal(t, row.Want, target, "%q", row.Raw)
		assertHarmless(t, row.Raw, "/wechat/")
	}
	t.Logf("targets %d, honest-refused %d", len(rows), rejected)
}

// TestJudge_spellings rejects every spelling of a URL that leaves the origin.
func TestJudge_spellings(t *testing.T) {
	targets, accepted, escapes := 0, 0, 0
	for _, file := range []string{"hostile.txt", "either.txt", "honest.txt"} {
		for _, row := range returntotest.Read(t, file) {
			for _, raw := range spellings(row.Raw) {
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
	require.NotZero(t, accepted, "every spelling was rejected, so nothing was proved")
	t.Logf("targets %d, accepted %d, escapes %d", targets, accepted, escapes)
}

// Links as an application writes them: text of any script, escaped as
// net/url does it.
func TestJudge_generated(t *testing.T) {
	const links = 20_000
	rejected := 0
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
			// Text that by itself is an escape or a dot segment is rejected.
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
			rejected++
		}
		assert.True(t, ok, "rejected %q", link)
		assert.Equal(t, link, target)
	}
	t.Logf("targets %d, honest-refused %d", links, rejected)
}

// TestJudge_length counts the length of a return URL as it is sent in Location.
func TestJudge_length(t *testing.T) {
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

// TestJudge_controlBytes lets no control byte into a return URL.
func TestJudge_controlBytes(t *testing.T) {
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

// TestJudge_endpoints rejects the endpoints of the middleware under any prefix.
func TestJudge_endpoints(t *testing.T) {
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

// A path that is odd alone is accepted behind the origin, and keeps it.
func TestOddReturnURLs(t *testing.T) {
	const own = returntotest.Origin
	for raw, want := range map[string]string{
		own + "//orders?id=7":         own + "//orders?id=7",
		own + ":443//orders":          own + "//orders",
		"HTTPS://APP.example.com//a":  own + "//a",
		own + `/\evil.example`:        own + "/%5Cevil.example",
		own + "/%2fevil.example":      own + "/%2fevil.example",
		own + "/%252fevil.example":    own + "/%252fevil.example",
		own + "//evil.example/?a=//b": own + "//evil.example/?a=//b",
		own + "/orders":               "/orders",
		own + "?a=//evil.example":     "/?a=//evil.example",
	} {
		target, ok := returnTarget(raw, "/wechat/")
		assert.True(t, ok, "rejected %q", raw)
		assert.Equal(t, want, target, "%q", raw)
		assertHarmless(t, raw, "/wechat/")
	}
	for _, raw := range []string{own + ":443.evil.example/a", own + ":4430/a", own + ":443@evil.example/a", own + ".evil.example/a", own + "@evil.example/a"} {
		_, ok := returnTarget(raw, "/wechat/")
		assert.False(t, ok, "%q is another origin", raw)
	}
}

// TestJudge_huge rejects huge URLs without copying them.
func TestJudge_huge(t *testing.T) {
	huge := strings.Repeat("/%41", 4<<20)
	hugeQuery := "/?" + huge
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	cases := map[string]func() bool{
		"a return URL":            func() bool { _, ok := returnTarget(huge, "/wechat/"); return ok },
		"a return URL, all query": func() bool { _, ok := returnTarget(hugeQuery, "/wechat/"); return ok },
		"a request target, path":  func() bool { r.RequestURI = huge; _, ok := requestTarget(r, "/wechat/"); return ok },
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

// TestRequestURL maps request targets as sent on the wire to return URLs.
func TestRequestURL(t *testing.T) {
	const rejected = "" // the fallback
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

		{"two slashes", "//evil.example/a", rejected},
		{"two slashes and no path", "//evil.example", rejected},
		{"two slashes, encoded host", "//%65vil.example/", rejected},
		{"two slashes, address", "//[::1]/", rejected},
		{"two slashes, encoded slash", "//evil.example%2f..", rejected},
		{"two slashes and a backslash", `//evil.example\@app/`, rejected},
		{"three slashes", "///evil.example", rejected},
		{"slash and backslash", `/\evil.example`, rejected},
		{"slash and encoded backslash", "/%5cevil.example", rejected},
		{"slash and encoded slash", "/%2fevil.example", rejected},
		{"slash, encoded slash, slash", "/%2f/evil.example", rejected},
		{"slash, encoded tab, slash", "/%09/evil.example", rejected},
		{"slash and twice encoded slash", "/%252fevil.example", rejected},
		{"dot segment", "/.//evil.example", rejected},
		{"dots segment", "/..//evil.example", rejected},
		{"dots segment behind a name", "/a/..//evil.example", rejected},
		{"encoded dots segment", "/%2e%2e//evil.example", rejected},
		{"encoded NUL", "/a%00b", rejected},
		{"encoded line end", "/a%0d%0aSet-Cookie:x=1", rejected},
		{"asterisk", "*", rejected},
		{"own endpoint", "/wechat/callback?code=1&state=2", rejected},
		{"own endpoint, encoded", "/wechat%2flogout", rejected},
		{"too long", "/" + strings.Repeat("a", 2048), rejected},
		{"query too long", "/?" + strings.Repeat("a", 4097), rejected},

		{"absolute form", "http://evil.example/x?y=1", "/x?y=1"},
		{"absolute form, own host", "https://app.example.com/x", "/x"},
		{"absolute form without a path", "http://evil.example", "/"},
		{"absolute form without a path, with a query", "http://evil.example?x=1", "/?x=1"},
		{"absolute form, two slashes", "http://evil.example//x", rejected},
		{"absolute form, slash and backslash", `http://evil.example/\x`, rejected},
		{"absolute form, user information", "http://a:b@evil.example/x", "/x"},
		{"absolute form, opaque", "http:evil.example", rejected},
		{"script", "javascript:alert(1)", rejected},

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
			if c.want == rejected {
				assert.Equal(t, "rejected", response.Header.Get("Verdict"), "Location %q", response.Header.Get("Location"))
				return
			}
			assert.Equal(t, c.want, response.Header.Get("Location"))
			again := sendRaw(t, server, http.MethodGet, response.Header.Get("Location"))
			assert.Equal(t, c.want, again.Header.Get("Location"), "the browser requests its return URL and is redirected elsewhere")
		})
	}
}

// TestRequestURL_origin sends request targets over a socket: none leads to another origin.
func TestRequestURL_origin(t *testing.T) {
	server := startReturnTargetServer(t)
	targets, accepted, escapes := 0, 0, 0
	for _, file := range []string{"hostile.txt", "either.txt", "honest.txt"} {
		for _, row := range returntotest.Read(t, file) {
			if row.Raw == "" || strings.ContainsAny(row.Raw, " \r\n") {
				continue // ends the request line
			}
			if file == "honest.txt" && strings.Contains(row.Raw, "#") {
				continue // no browser sends a fragment
			}
			response := sendRaw(t, server, http.MethodGet, row.Raw)
			targets++
			if response.StatusCode == http.StatusBadRequest {
				assert.NotEqual(t, "honest.txt", file, "the server rejected %q", row.Raw)
				continue
			}
			location := response.Header.Get("Location")
			faults := returntotest.Faults(location, "/wechat/", siteAt("/wechat/").Judge)
			if len(faults) > 0 {
				escapes++
			}
			assert.Empty(t, faults, "%q", row.Raw)
			if response.Header.Get("Verdict") == "accepted" {
				accepted++
			}
			if file == "honest.txt" {
				assert.Equal(t, "accepted", response.Header.Get("Verdict"), "%q", row.Raw)
				assert.Equal(t, returntotest.DecodeOnce(row.Want), returntotest.DecodeOnce(location), "%q", row.Raw)
			}
		}
	}
	require.NotZero(t, accepted)
	t.Logf("targets %d, accepted %d, escapes %d", targets, accepted, escapes)
}

func FuzzReturnTarget(f *testing.F) {
	for _, file := range []string{"hostile.txt", "either.txt", "honest.txt"} {
		for _, row := range returntotest.Read(f, file) {
			f.Add(row.Raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw string) {
		for _, prefix := range returntotest.Prefixes {
			allocated := allocatedBy(func() { returnTarget(raw, prefix) })
			assert.LessOrEqual(t, allocated, uint64(1<<20))
			assertHarmless(t, raw, prefix)
		}
	})
}

func FuzzRequestTarget(f *testing.F) {
	for _, file := range []string{"hostile.txt", "either.txt", "honest.txt"} {
		for _, row := range returntotest.Read(f, file) {
			f.Add(row.Raw)
		}
	}
	f.Add("/shop?a=1&code=071AbC&state=abcdefghijklmnopqrstuvwxyz012345")
	f.Add("http://evil.example//x")
	callbackPair := regexp.MustCompile(`[?&]code=[A-Za-z0-9_-]{1,128}(&.*)?&state=[A-Za-z0-9]{32}(&|$)|[?&]state=[A-Za-z0-9]{32}(&.*)?&code=[A-Za-z0-9_-]{1,128}(&|$)`)
	f.Fuzz(func(t *testing.T, raw string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + raw + " HTTP/1.1\r\nHost: app.example.com\r\n\r\n")))
		if err != nil {
			return // net/http responds to it
		}
		for _, prefix := range returntotest.Prefixes {
			var target string
			var ok bool
			allocated := allocatedBy(func() { target, ok = requestTarget(r, prefix) })
			assert.LessOrEqual(t, allocated, uint64(1<<20))
			if !ok {
				assert.Empty(t, target)
				continue
			}
			assert.Empty(t, returntotest.Faults(target, prefix, siteAt(prefix).Judge), "%q under %q", raw, prefix)
			assert.NotContains(t, target, "#", "a request target has no fragment")
			assert.False(t, callbackPair.MatchString(target), "%q kept a code and a state", target)
			again, ok := requestTarget(httptest.NewRequest(http.MethodGet, target, nil), prefix)
			assert.True(t, ok, "%q is rejected when asked for", target)
			assert.Equal(t, target, again)
		}
	})
}

func FuzzRequestURL(f *testing.F) {
	f.Add("/files/a%2Fb|c")
	f.Add("/a?b=c")
	f.Fuzz(func(t *testing.T, raw string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + raw + " HTTP/1.1\r\nHost: app.example.com\r\n\r\n")))
		if err != nil || r.RequestURI != raw || !strings.HasPrefix(raw, "/") || strings.ContainsAny(raw, "#\\") || strings.Contains(raw, "code=") {
			return // net/http responds to it, a browser does not write it, or something is taken out
		}
		if target, ok := requestTarget(r, "/wechat/"); ok {
			assert.Equal(t, returntotest.BrowserWrites(raw), target)
		}
	})
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
		return true, returntotest.Faults(target, prefix, siteAt(prefix).Judge)
	}
	if target != "" {
		faults = append(faults, fmt.Sprintf("rejected, and yet %q is returned", target))
	}
	return false, faults
}

// spellings returns s in many disguises: escaped and decoded up to twice, in
// another case, with other slashes, with things put before, between and behind.
func spellings(s string) []string {
	all := []string{s, returntotest.DecodeOnce(s), returntotest.DecodeOnce(returntotest.DecodeOnce(s)), strings.ToUpper(s), strings.ToLower(s)}
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
		if strings.IndexByte(alphanumeric, c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

func requestTarget(r *http.Request, prefix string) (target string, ok bool) {
	return returnTarget(RequestURL(r), prefix)
}

// startReturnTargetServer redirects every request with 303 to its own URL, or
// to the fallback if that is rejected.
func startReturnTargetServer(t *testing.T) (address string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target, ok := requestTarget(r, "/wechat/")
		verdict := "accepted"
		if !ok {
			target, verdict = "/", "rejected"
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
