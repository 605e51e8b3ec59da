package repotest

import (
	"encoding/json"
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/page"
)

// pageWords are the texts of internal/page/texts.json.
type pageWords struct {
	Title  string            `json:"title"`
	Text   []string          `json:"text"`
	Labels map[string]string `json:"labels"`
}

func TestPageTexts(t *testing.T) {
	var texts struct {
		Reasons map[wechatauth.Reason]map[string]json.RawMessage `json:"reasons"`
	}
	b, err := os.ReadFile("internal/page/texts.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &texts))
	reasons := reasonNames(t)
	assert.Len(t, texts.Reasons, len(reasons), "a text for each reason, and no other texts")
	titles := map[string]wechatauth.Reason{}
	for _, reason := range reasons {
		t.Run(string(reason), func(t *testing.T) {
			text, ok := texts.Reasons[reason]
			require.True(t, ok, "no text for this reason")
			for _, lang := range []string{page.Chinese, page.English} {
				var words pageWords
				require.NoError(t, json.Unmarshal(text[lang], &words))
				require.NotEmpty(t, words.Title, lang)
				require.NotEmpty(t, words.Text, lang)
				require.NotEmpty(t, words.Labels["retry"], lang)
				assert.Empty(t, titles[words.Title], "another reason has this title")
				titles[words.Title] = reason

				w := httptest.NewRecorder()
				require.NoError(t, page.Write(w, httptest.NewRequest(http.MethodGet, "/", nil), nil,
					page.Page{Kind: page.Message, Lang: lang, Reason: string(reason), Reference: "1234", RetryURL: "/wechat/login?next=%2Fa"}))
				body := w.Body.String()
				assert.Contains(t, body, `<html lang="`+lang+`">`)
				assert.Contains(t, body, "<title>"+html.EscapeString(words.Title)+"</title>")
				assert.Contains(t, body, "<h1>"+html.EscapeString(words.Title)+"</h1>")
				for _, paragraph := range words.Text {
					assert.Contains(t, body, "<p>"+html.EscapeString(paragraph)+"</p>")
				}
				assert.Contains(t, body, `<a class="button" href="/wechat/login?next=%2Fa">`+html.EscapeString(words.Labels["retry"])+"</a>")
				assert.Contains(t, body, `<footer data-reason="`+string(reason)+`">`)
				assert.Contains(t, body, "<code>1234</code>")
				assert.NotContains(t, body, ">"+string(reason)+"<", "users see the reference only")
				assert.NotContains(t, body, "<form")
			}
		})
	}
}

func TestPageKinds(t *testing.T) {
	for kind, template := range map[wechatauth.PageKind]page.Kind{
		wechatauth.PageMessage: page.Message, wechatauth.PageConsent: page.Upgrade, wechatauth.PageLoggedOut: page.LoggedOut, wechatauth.PageOpenInWeChat: page.OpenInWeChat,
		wechatauth.PageEmbeddedQR: page.EmbeddedQR, wechatauth.PageScan: page.ScanCode, wechatauth.PageScanConfirm: page.ScanConfirm, wechatauth.PageScanConfirmed: page.ScanConfirmed,
		wechatauth.PageScanNumber: page.ScanNumber, wechatauth.PageScanDone: page.ScanDone, wechatauth.PageEnter: page.Enter,
	} {
		assert.EqualValues(t, template, kind)
	}
}
