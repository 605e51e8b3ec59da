package wechatauth

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/page"
)

// reasonsOfTheList reads the constants of reason.go from its source, so that
// none can be added without a text.
func reasonsOfTheList(t *testing.T) []Reason {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, 0)
	require.NoError(t, err)
	var reasons []Reason
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		require.Len(t, spec.Values, len(spec.Names), "every constant has its own value")
		for _, value := range spec.Values {
			literal, ok := value.(*ast.BasicLit)
			require.True(t, ok && literal.Kind == token.STRING, "a reason is a plain string")
			word, err := strconv.Unquote(literal.Value)
			require.NoError(t, err)
			reasons = append(reasons, Reason(word))
		}
		return true
	})
	require.Contains(t, reasons, ReasonNoSession)
	require.Contains(t, reasons, ReasonNotFound)
	return reasons
}

// servePage serves p from a real server and returns what a browser gets.
func servePage(t *testing.T, pages Pages, p Page) (*http.Response, string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = writePage(w, r, pages, p)
	}))
	defer server.Close()
	resp, err := server.Client().Get(server.URL)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(body)
}

// pageWords are those of internal/page/texts.json.
type pageWords struct {
	Title string   `json:"title"`
	Text  []string `json:"text"`
	Retry string   `json:"retry"`
}

func TestEveryReasonHasATextInBothLanguages(t *testing.T) {
	var texts struct {
		Reasons map[Reason]map[string]json.RawMessage `json:"reasons"`
	}
	b, err := os.ReadFile("internal/page/texts.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &texts))
	reasons := reasonsOfTheList(t)
	assert.Len(t, texts.Reasons, len(reasons), "a text for each reason of the list and no others")
	titles := map[string]Reason{}
	for _, reason := range reasons {
		t.Run(string(reason), func(t *testing.T) {
			text, ok := texts.Reasons[reason]
			require.True(t, ok, "no text for this reason")
			for _, lang := range []string{page.Chinese, page.English} {
				var words pageWords
				require.NoError(t, json.Unmarshal(text[lang], &words))
				require.NotEmpty(t, words.Title, lang)
				require.NotEmpty(t, words.Text, lang)
				require.NotEmpty(t, words.Retry, lang)
				assert.Empty(t, titles[words.Title], "another reason has this title")
				titles[words.Title] = reason

				_, body := servePage(t, nil, Page{Lang: lang, Reason: reason, RetryURL: "/wechat/login?next=%2Fa"})
				assert.Contains(t, body, `<html lang="`+lang+`">`)
				assert.Contains(t, body, "<title>"+html.EscapeString(words.Title)+"</title>")
				assert.Contains(t, body, "<h1>"+html.EscapeString(words.Title)+"</h1>")
				for _, paragraph := range words.Text {
					assert.Contains(t, body, "<p>"+html.EscapeString(paragraph)+"</p>")
				}
				assert.Contains(t, body, `<a class="button" href="/wechat/login?next=%2Fa">`+html.EscapeString(words.Retry)+"</a>")
				assert.Contains(t, body, "<code>"+string(reason)+"</code>")
				assert.NotContains(t, body, "<form")
			}
		})
	}
}

func TestTheKindsOfPagesAreThoseOfTheTemplates(t *testing.T) {
	for kind, template := range map[PageKind]page.Kind{
		PageMessage: page.Message, PageUpgrade: page.Upgrade, PageLoggedOut: page.LoggedOut, PageOpenInWeChat: page.OpenInWeChat,
		PageEmbeddedQR: page.EmbeddedQR, PageScan: page.ScanCode, PageScanConfirm: page.ScanConfirm, PageScanConfirmed: page.ScanConfirmed,
		PageScanNumber: page.ScanNumber, PageScanDone: page.ScanDone, PageEnter: page.Enter, pageReopen: page.Reopen,
	} {
		assert.EqualValues(t, template, kind)
	}
}

// What leads nowhere good is a table in internal/page; here it is asked for every link.
func TestLinksThatLeadNowhereGoodAreNotShown(t *testing.T) {
	for name, c := range map[string]struct {
		url   string
		shown bool
	}{
		"path":                       {"/wechat/login?next=%2F", true},
		"https URL":                  {"https://app.example.com/wechat/login", true},
		"javascript in odd spelling": {"JaVaScript:alert(1)", false},
		"other host without scheme":  {"//evil.example/a", false},
	} {
		t.Run(name, func(t *testing.T) {
			_, body := servePage(t, nil, Page{Lang: page.English, Reason: ReasonLoop, RetryURL: c.url})
			assert.Equal(t, c.shown, strings.Contains(body, "<a "))

			var seen Page
			servePage(t, func(w io.Writer, p Page) error {
				seen = p
				_, err := io.WriteString(w, "ok")
				return err
			}, Page{RetryURL: c.url, ActionURL: c.url})
			want := ""
			if c.shown {
				want = c.url
			}
			assert.Equal(t, want, seen.RetryURL, "a page of the user's own gets no worse links")
			assert.Equal(t, want, seen.ActionURL)
		})
	}
}

func TestAPageOfTheUsersOwnGetsAllThatThePageIsMadeOf(t *testing.T) {
	given := Page{
		Kind: PageUpgrade, Lang: page.English, Status: 202, RetryURL: "/r", ActionURL: "/a", Next: "/n",
		FormActions: []string{"https://sim.example"},
	}
	var got Page
	resp, body := servePage(t, func(w io.Writer, p Page) error {
		got = p
		_, err := io.WriteString(w, "<p>ours</p>")
		return err
	}, given)
	assert.Equal(t, given, got)
	assert.Equal(t, 202, resp.StatusCode)
	assert.Equal(t, "<p>ours</p>", body)
	assert.Contains(t, resp.Header.Get("Content-Security-Policy"), "form-action 'self' https://sim.example;")
}

// cspHash is the source of a Content-Security-Policy that allows a text.
func cspHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// styleOf is the style sheet of the pages.
func styleOf(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("internal/page/page.css")
	require.NoError(t, err)
	return string(b)
}
