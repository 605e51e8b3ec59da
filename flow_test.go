package wechatauth

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/wechattest"
)

var oddTexts = []string{"", "/", "/orders?id=7&a=b", "/<script>", `/"\`, "/你好", "/\u2028\u2029", "/\xff\xfe", "/\x00\x1f\x7f\t\n", strings.Repeat(`"`, 300)}

func TestTheAddressOfWeChatsPageIsTheClientsOwn(t *testing.T) {
	a, err := New(WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret), WithBaseURL("https://app.example.com"))
	require.NoError(t, err)
	for _, scope := range []client.Scope{client.ScopeBase, client.ScopeUserInfo, client.ScopeLogin, "other"} {
		state := flow.NewState()
		assert.Equal(t, a.official.client.AuthorizeURL(a.redirectURI(), scope, state), a.authorizeURL(a.official, scope, state), scope)
	}
}

func TestAScriptsAnswerIsWrittenAsEncodingJSONWritesIt(t *testing.T) {
	for _, text := range oddTexts {
		want, err := json.Marshal(struct {
			Error    string `json:"error"`
			Reason   Reason `json:"reason"`
			LoginURL string `json:"login_url,omitempty"`
		}{"login_required", ReasonNoSession, text})
		require.NoError(t, err)
		w := httptest.NewRecorder()
		writeJSON(w, Failure{Reason: ReasonNoSession, Status: http.StatusUnauthorized, RetryURL: text})
		assert.Equal(t, string(want)+"\n", w.Body.String())
		assert.Equal(t, http.StatusUnauthorized, w.Code)
	}
}

// What one answer's headers are made of is that answer's alone.
func TestAHeaderThatAHandlerChangesIsNotTheNextAnswers(t *testing.T) {
	h, r := aGate(t)
	spoil := func(w http.ResponseWriter) {
		for _, values := range w.Header() {
			for i := range values {
				values[i] = "spoilt"
			}
			_ = append(values, "spoilt")
		}
	}
	for name, r := range map[string]*http.Request{"page": aRequest(), "script": aScript(), "logged in": r} {
		t.Run(name, func(t *testing.T) {
			first := httptest.NewRecorder()
			h.ServeHTTP(first, r)
			want := first.Header().Clone()
			spoil(first)
			second := httptest.NewRecorder()
			h.ServeHTTP(second, r)
			for _, header := range []string{"Vary", "Cache-Control", "Pragma", "Referrer-Policy", "Content-Type", "X-Content-Type-Options"} {
				assert.Equal(t, want[header], second.Header()[header], header)
			}
		})
	}
}

func TestAnAnonymousRequestAllocatesLittle(t *testing.T) {
	h, _ := aGate(t)
	w := &blank{header: http.Header{}}
	for name, c := range map[string]struct {
		r    *http.Request
		most float64
	}{"a page": {aRequest(), 22}, "a script": {aScript(), 10}} {
		got := testing.AllocsPerRun(200, func() { w.ask(h, c.r) })
		t.Log(name, got)
		assert.LessOrEqual(t, got, c.most, name)
	}
}
