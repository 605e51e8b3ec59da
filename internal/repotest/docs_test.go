package repotest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// The tables of errors, in two languages.
var errorDocs = map[string]struct {
	lang             client.Lang
	reasons, errcode string // sections
}{
	"docs/errors.md":       {client.LangEN, "Reasons", "WeChat's errcodes"},
	"docs/errors.zh-CN.md": {client.LangZhCN, "原因码", "微信的 errcode"},
}

func TestDocs_Reasons(t *testing.T) {
	all := reasonRows(t)
	for file, doc := range errorDocs {
		listed := map[wechatauth.Reason]bool{}
		for _, row := range tableOf(t, file, doc.reasons) {
			reason := wechatauth.Reason(strings.Trim(row[0], "`"))
			assert.Equal(t, strconv.Itoa(all[reason].status), row[1], "%s: %s", file, reason)
			assert.NotEmpty(t, row[2], "%s: the cause of %s", file, reason)
			assert.NotEmpty(t, row[3], "%s: the remedy of %s", file, reason)
			listed[reason] = true
		}
		for reason := range all {
			assert.True(t, listed[reason], "%s has no row for %s", file, reason)
		}
		assert.Len(t, listed, len(all), file)
	}
}

// The log has the remedies of docs/errors.md, so that operators need not look
// them up.
func TestDocs_Remedies(t *testing.T) {
	rows := map[string]string{}
	for _, row := range tableOf(t, "docs/errors.md", errorDocs["docs/errors.md"].reasons) {
		rows[row[0]] = strings.ReplaceAll(row[3], "`", "")
	}
	reasons := reasonRows(t)
	for reason, row := range reasons {
		assert.Contains(t, rows["`"+string(reason)+"`"], row.remedy, reason)
	}

	s := newSite(t)
	b := wechattest.Browser(wechattest.IPhone)
	for path, reason := range map[string]wechatauth.Reason{
		s.authorize(wechattest.Browser(wechattest.IPhone), "/a"): wechatauth.ReasonFlowCookieMissing,
		"/wechat/nowhere":                   wechatauth.ReasonNotFound,
		"/wechat/callback?a=b":              wechatauth.ReasonCallbackMalformed,
		s.tampered(b, s.authorize(b, "/a")): wechatauth.ReasonStateMismatch,
	} {
		s.step(b, path)
		line := s.logs.last()
		assert.Contains(t, line, "reason="+string(reason))
		assert.Contains(t, line, "detail="+strconv.Quote(reasons[reason].remedy), reason)
	}
}

// tampered damages the pending login of a callback, and returns the callback.
func (s *site) tampered(b *http.Client, callback string) string {
	s.t.Helper()
	u, err := url.Parse(callback)
	require.NoError(s.t, err)
	spoiled := 0
	for _, c := range b.Jar.Cookies(u) {
		if strings.Contains(c.Name, "wechat_flow_") && strings.HasPrefix(u.Query().Get("state"), c.Name[strings.LastIndexByte(c.Name, '_')+1:]) {
			spoiled++
			b.Jar.SetCookies(u, []*http.Cookie{{Name: c.Name, Value: c.Value[1:] + "A", Path: "/"}})
		}
	}
	require.Equal(s.t, 1, spoiled)
	return callback
}

func TestDocs_Errcodes(t *testing.T) {
	codes := regexp.MustCompile(`(?m)^\t(-?\d+): +\{`).FindAllStringSubmatch(readFile(t, "client/errcodes.go"), -1)
	require.NotEmpty(t, codes)
	reasons := map[string]string{} // that WeChat's errcodes lead to
	s := newSite(t, withMiniProgram())
	for _, m := range codes {
		code, err := strconv.Atoi(m[1])
		require.NoError(t, err)
		s.sim.Fail("/sns/jscode2session", wechattest.Errcode(code))
		var got struct{ Reason string }
		body := s.miniLogin(s.sim.WXLogin(wechattest.DefaultMiniProgramAppID, person(0))).body
		require.NoError(t, json.Unmarshal([]byte(body), &got), body)
		reasons[m[1]] = got.Reason
	}
	for file, doc := range errorDocs {
		rows := map[string][]string{}
		for _, row := range tableOf(t, file, doc.errcode) {
			rows[row[0]] = row
		}
		for _, m := range codes {
			code, err := strconv.Atoi(m[1])
			require.NoError(t, err)
			e := &client.Error{Code: code, Endpoint: "sns/oauth2/access_token"}
			if 87000 <= code && code < 88000 {
				e.Endpoint = "wxa/checksession"
			}
			row := rows[m[1]]
			if assert.NotNil(t, row, "%s has no row for %d", file, code) {
				assert.Equal(t, e.Text(doc.lang), row[1], "%s: %d", file, code)
				assert.Equal(t, "`"+reasons[m[1]]+"`", row[2], "%s: %d", file, code)
			}
		}
		assert.Len(t, rows, len(codes), file)
	}
}

// TestDocs_Translations checks that a translation has the same headings, the
// same blocks of code, and paragraph by paragraph, item by item and row by row
// the same code, numbers and links. A heading of several pages has one
// translation, and a Chinese page links to Chinese pages.
func TestDocs_Translations(t *testing.T) {
	headings := map[string]string{} // with the translation of each
	translations := 0
	for _, file := range markdownFiles(t) {
		original, found := strings.CutSuffix(file, ".zh-CN.md")
		if !found {
			continue
		}
		translations++
		original += ".md"
		require.Equal(t, outline(t, original), outline(t, file), "%s and its original", file)
		assert.Equal(t, allBlocks(t, original), allBlocks(t, file), "%s and its original", file)
		all, translated := paragraphs(t, original), paragraphs(t, file)
		require.Len(t, translated, len(all), file)
		for i, p := range all {
			assert.Equal(t, facts(p), facts(translated[i]), "%s:\n%s\n%s", file, p, translated[i])
			if !strings.HasPrefix(p, "#") {
				continue
			}
			if before, found := headings[p]; found {
				assert.Equal(t, before, translated[i], "%s: the heading of %q", file, p)
			}
			headings[p] = translated[i]
		}
		for _, target := range linksOf(withoutCode(readFile(t, file))) {
			sibling := strings.TrimSuffix(path.Join(path.Dir(file), target), ".md") + ".zh-CN.md"
			if path.Base(target) != path.Base(original) && strings.HasSuffix(target, ".md") && !strings.HasSuffix(target, ".zh-CN.md") {
				assert.NoFileExists(t, sibling, "%s links to the English page", file)
			}
		}
	}
	assert.NotZero(t, translations)
	assert.NotEmpty(t, headings)
	t.Logf("headings %d", len(headings))
}

// paragraphs returns the lines of a file that are not code: its headings, rows,
// items and paragraphs.
func paragraphs(t *testing.T, file string) (all []string) {
	t.Helper()
	text := regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(readFile(t, file), "")
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

var (
	inlineCode = regexp.MustCompile("`[^`]+`")
	numeral    = regexp.MustCompile(`\d+(?:[.,]\d+)*`)
)

// facts returns what a translation must not change: code, links and numbers.
func facts(paragraph string) (all []string) {
	all = inlineCode.FindAllString(paragraph, -1)
	rest := inlineCode.ReplaceAllString(paragraph, "")
	for _, target := range linksOf(rest) {
		target = strings.Replace(target, ".zh-CN.", ".", 1)
		all = append(all, strings.ReplaceAll(target, "/lang/zh-CN/", "/spec/v2.0.0.html"))
	}
	rest = htmlLink.ReplaceAllString(markdownLink.ReplaceAllString(rest, ""), "")
	all = append(all, numeral.FindAllString(autoLink.ReplaceAllString(rest, ""), -1)...)
	slices.Sort(all)
	return all
}

// outline returns the structure of a file: the levels of its headings, and the
// number of table rows and list items under each.
func outline(t *testing.T, file string) (all []string) {
	t.Helper()
	text := regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(readFile(t, file), "```")
	rows, items := 0, 0
	flush := func() {
		all = append(all, "rows "+strconv.Itoa(rows), "items "+strconv.Itoa(items))
		rows, items = 0, 0
	}
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "#"):
			flush()
			all = append(all, strings.SplitN(line, " ", 2)[0])
		case strings.HasPrefix(line, "|"):
			rows++
		case strings.HasPrefix(line, "- "):
			items++
		case strings.HasPrefix(line, "```"):
			all = append(all, "code")
		}
	}
	flush()
	return all
}

// allBlocks returns the fenced blocks of a file in any language.
func allBlocks(t *testing.T, file string) (blocks []string) {
	t.Helper()
	return regexp.MustCompile("(?ms)^```.*?^```$").FindAllString(readFile(t, file), -1)
}

func TestDocs_ACL(t *testing.T) {
	line := regexp.MustCompile(`(?m)^ACL SETUSER (.*)$`).FindStringSubmatch(readFile(t, "docs/sessions.md"))
	require.NotNil(t, line)
	redis := redistest.Start(t)
	args := []any{"SETUSER"}
	for word := range strings.FieldsSeq(line[1]) {
		args = append(args, word)
	}
	conn := redis.Pool().Get()
	defer conn.Close()
	_, err := conn.Do("ACL", args...)
	require.NoError(t, err)

	s := newSite(t, wechatauth.WithRedisURL("redis://wechat:password@"+redis.Addr()+"/0"), wechatauth.WithIdleTimeout(wechatauth.DefaultLifetime/2))
	require.NoError(t, s.auth.Check(t.Context()))
	b := wechattest.Browser(wechattest.IPhone)
	m := regexp.MustCompile(`logged-in=true openid=(\S+)`).FindStringSubmatch(s.visit(b, "/").body)
	require.NotNil(t, m)
	n, err := s.auth.RevokeUser(t.Context(), wechattest.DefaultAppID, m[1])
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	assert.Equal(t, http.StatusSeeOther, s.step(b, "/").StatusCode)
}

// TestDocs_Linked checks that each page is in the index in both languages, and
// that a page and its translation link to each other.
func TestDocs_Linked(t *testing.T) {
	pages, err := filepath.Glob("docs/*.zh-CN.md")
	require.NoError(t, err)
	originals, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	require.Len(t, originals, 2*len(pages), "each page is there in both languages")
	assert.Contains(t, readFile(t, "README.md"), "](docs/README.md)")
	assert.Contains(t, readFile(t, "README.zh-CN.md"), "](docs/README.zh-CN.md)")
	for _, page := range pages {
		page = filepath.Base(page)
		original := strings.TrimSuffix(page, ".zh-CN.md") + ".md"
		assert.Contains(t, readFile(t, "docs/"+original), "\n[中文]("+page+")\n")
		assert.Contains(t, readFile(t, "docs/"+page), "\n[English]("+original+")\n")
		if original != "README.md" {
			assert.Contains(t, readFile(t, "docs/README.md"), "]("+original+")")
			assert.Contains(t, readFile(t, "docs/README.zh-CN.md"), "]("+page+")")
		}
	}
}

func TestDocs_ThreatTests(t *testing.T) {
	files := 0
	for _, row := range tableOf(t, "SECURITY.md", "Threats that are tested") {
		for _, m := range regexp.MustCompile("`([a-z_/]+\\.go)`").FindAllStringSubmatch(row[1], -1) {
			files++
			assert.FileExists(t, m[1])
		}
	}
	assert.NotZero(t, files)
}

// TestDocs_MiniProgramStatus checks the line below the tables about the
// statuses of mini/login that differ from them.
func TestDocs_MiniProgramStatus(t *testing.T) {
	for reason, errcode := range map[wechatauth.Reason]int{wechatauth.ReasonCodeUsed: 40163, wechatauth.ReasonCodeExpired: 40029, wechatauth.ReasonRateLimited: 45011} {
		s := newSite(t, withMiniProgram())
		s.sim.Fail("/sns/jscode2session", wechattest.Errcode(errcode))
		got := s.miniLogin(s.sim.WXLogin(wechattest.DefaultMiniProgramAppID, person(0)))
		require.Contains(t, got.body, string(reason))
		require.NotEqual(t, reasonRows(t)[reason].status, got.StatusCode, "the line need not mention it")
		for _, file := range []string{"docs/errors.md", "docs/errors.zh-CN.md"} {
			line := regexp.MustCompile("(?m)^`POST /wechat/mini/login`.*$").FindString(readFile(t, file))
			assert.Regexp(t, "`"+string(reason)+"`[^0-9]* "+strconv.Itoa(got.StatusCode), line, file)
		}
	}
}

// TestDocs_ErrcodeRemarks checks that a missing parameter is one that this
// library sends, and only that.
func TestDocs_ErrcodeRemarks(t *testing.T) {
	for file, words := range map[string][2]string{
		"docs/errors.md": {"missing", "this library sends it"}, "docs/errors.zh-CN.md": {"缺少", "本库总会带上该参数"},
	} {
		remarks := 0
		for _, row := range tableOf(t, file, errorDocs[file].errcode) {
			if strings.Contains(row[3], words[1]) {
				remarks++
				assert.Contains(t, row[1], words[0], "%s: %s", file, row[0])
			}
		}
		assert.NotZero(t, remarks, file)
	}
}

func TestDocs_SecurityModel(t *testing.T) {
	rows := tableOf(t, "docs/security.md", "What each attacker can do")
	require.Len(t, rows, 5)
	for i, actor := range []string{"tenant", "read access to Redis", "write access to Redis", "with the AppSecret", "sibling subdomain"} {
		assert.Contains(t, rows[i][0], actor)
		require.Len(t, rows[i], 3)
		assert.NotEmpty(t, rows[i][1])
		assert.NotEmpty(t, rows[i][2])
	}
}

// The middleware that docs/routers.md names works around RequireWeChat.
func TestDocs_OuterMiddleware(t *testing.T) {
	manager := scs.New()
	manager.Cookie.Secure = false
	manager.ErrorFunc = func(http.ResponseWriter, *http.Request, error) { t.Error("the manager's ErrorFunc is called") }
	redis := redistest.Start(t)
	manager.Store = store.New(redis.Pool())
	s := newSite(t, wechatauth.WithSessionManager(manager))
	var logged []string
	requireLogin := s.server.Config.Handler
	s.server.Config.Handler = http.NewCrossOriginProtection().Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		logged = append(logged, r.URL.Path)
		r.Body = http.MaxBytesReader(w, r.Body, 16<<10) // as the docs say
		requireLogin.ServeHTTP(w, r)
	}))
	b := wechattest.Browser(wechattest.IPhone)
	require.Contains(t, s.visit(b, "/a").body, "logged-in=true")
	assert.Equal(t, []string{"/a", "/wechat/callback", "/a"}, logged, "a path has no code")

	form, err := http.NewRequest(http.MethodPost, s.server.URL+"/wechat/logout", nil)
	require.NoError(t, err)
	form.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"same-origin"}}
	resp, err := b.Do(form)
	require.NoError(t, err)
	assert.Equal(t, http.StatusUnauthorized, s.read(resp).StatusCode)
	require.Contains(t, s.visit(b, "/wechat/login?next=%2Fa&again=1").body, "logged-in=true")
	redis.Stop()
	assert.Equal(t, http.StatusServiceUnavailable, s.step(b, "/a").StatusCode)
}
