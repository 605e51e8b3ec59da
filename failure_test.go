package wechatauth

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var oddTexts = []string{"", "/", "/orders?id=7&a=b", "/<script>", `/"\`, "/你好", "/\u2028\u2029", "/\xff\xfe", "/\x00\x1f\x7f\t\n", strings.Repeat(`"`, 300)}

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
