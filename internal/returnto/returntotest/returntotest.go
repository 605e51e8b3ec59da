// Package returntotest checks where a browser is redirected: it provides a
// model of a browser, and honest and hostile return URLs.
package returntotest

import (
	"embed"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Origin is the origin of the site.
const Origin = "https://app.example.com"

// Prefixes are path prefixes that an application may choose for our endpoints.
var Prefixes = []string{"/wechat/", "/", "/auth/wx/"}

// Faults returns what is wrong with a Location: a browser stays on Origin with
// it, also after one or two further decodings, it reaches no endpoint of ours,
// and judged again it comes out unchanged. A location begins with Origin only if
// its path alone would be rejected.
func Faults(location, prefix string, judge func(raw string) (string, error)) (faults []string) {
	report := func(format string, args ...any) {
		faults = append(faults, fmt.Sprintf("%q ", location)+fmt.Sprintf(format, args...))
	}
	form, path := relative, location
	if rest, ok := strings.CutPrefix(location, Origin); ok {
		form, path = behindOrigin, rest
		if _, err := judge(rest); err == nil {
			report("needs no origin in front")
		}
	}
	if !form.MatchString(path) {
		report("is not printable ASCII, or begins with two slashes")
	}
	if len(path) > 2048 {
		report("has %d bytes", len(path))
	}
	if again, err := judge(location); err != nil || again != location {
		report("judged again gives %q, %v", again, err)
	}
	read := location
	for decodings := range 3 {
		path, same := BrowserGoesTo(read)
		if !same {
			report("decoded %d times leaves the origin", decodings)
		}
		// The router decodes the path once more.
		if decodings < 2 && (reachesEndpoint(path, prefix) || reachesEndpoint(DecodeOnce(path), prefix)) {
			report("decoded %d times is an endpoint of ours", decodings)
		}
		read = DecodeOnce(read)
	}
	return faults
}

var (
	relative     = regexp.MustCompile(`^/($|[!-.0-\[\]-~][!-\[\]-~]*$)`)
	behindOrigin = regexp.MustCompile(`^/[!-\[\]-~]*$`)
)

var endpoints = func() map[string]*regexp.Regexp {
	all := map[string]*regexp.Regexp{}
	for _, prefix := range Prefixes {
		mount := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSuffix(prefix, "/")), "/", "/+")
		all[prefix] = regexp.MustCompile(`(?i)^` + mount + `/+(login|callback|upgrade|logout|mini/+login)(/|$)`)
	}
	return all
}()

func reachesEndpoint(path, prefix string) bool {
	return endpoints[prefix].MatchString(path)
}

// BrowserGoesTo returns the path to which a browser goes if
// https://app.example.com/wechat/ redirects it to location, and reports whether
// the origin is the same. It follows https://url.spec.whatwg.org/#url-parsing,
// which differs from net/url wherever it matters here.
func BrowserGoesTo(location string) (path string, same bool) {
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

// browserGoesToHost reads an authority, after any number of slashes.
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

// domainToASCII does the part of domain-to-ASCII that can turn a text into the
// site's host.
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
	}, DecodeOnce(host))
}

// resolveDots resolves dot segments, as a browser does, even if the dots are
// escaped or the slashes are backslashes.
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

// DecodeOnce decodes every escape, as a lenient proxy does.
func DecodeOnce(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	return regexpEscape.ReplaceAllStringFunc(s, func(escape string) string {
		b, _ := strconv.ParseUint(escape[1:], 16, 8)
		return string([]byte{byte(b)})
	})
}

//go:embed *.txt
var lists embed.FS

// BrowserWrites returns a request target as a browser writes it: it encodes what is not
// ASCII, and leaves every other byte as it is.
func BrowserWrites(raw string) string {
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

// Row is one line of a file of return URLs. Want is Raw unless the line has a
// second literal.
type Row struct{ Raw, Want string }

// Read returns the rows of a file: hostile.txt, either.txt, honest.txt or
// browser.txt.
func Read(t testing.TB, name string) []Row {
	t.Helper()
	content, err := lists.ReadFile(name)
	require.NoError(t, err)
	var rows []Row
	for number, line := range strings.Split(string(content), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		row, err := parseRow(line)
		require.NoError(t, err, "%s:%d", name, number+1)
		rows = append(rows, row)
	}
	require.NotEmpty(t, rows)
	return rows
}

func parseRow(line string) (Row, error) {
	quoted, err := strconv.QuotedPrefix(line)
	if err != nil {
		return Row{}, fmt.Errorf("read first literal: %w", err)
	}
	raw, err := strconv.Unquote(quoted)
	if err != nil {
		return Row{}, fmt.Errorf("unquote first literal: %w", err)
	}
	rest, ok := strings.CutPrefix(line[len(quoted):], " ")
	if !ok {
		if rest != "" {
			return Row{}, errors.New("unexpected text after the literal")
		}
		return Row{Raw: raw, Want: raw}, nil
	}
	want, err := strconv.Unquote(rest)
	if err != nil {
		return Row{}, fmt.Errorf("unquote second literal: %w", err)
	}
	return Row{Raw: raw, Want: want}, nil
}
