package wecom

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// FuzzUserInfoResponse sends responses to the exchange of a code. A user whom it
// returns has exactly one well-formed identity, and an error has no line breaks.
func FuzzUserInfoResponse(f *testing.F) {
	for _, body := range []string{
		`{"errcode":0,"errmsg":"ok","userid":"ZhangSan"}`, `{"userid":"wwfedcba0987654321/LiSi","user_ticket":"T"}`,
		`{"errcode":0,"openid":"oA","external_userid":"wmA"}`, `{"errcode":0,"UserId":"a","userid":"b"}`, `{"userid":"a","openid":"oA"}`,
		`{"errcode":40029,"errmsg":"invalid code, hint: [1700000000123456789012345], from ip: 203.0.113.7, more info at https://x"}`,
		"{\"userid\":\"a\x00\"}", `{"userid":null}`, `null`, `[]`, ``, `{"errcode":"-1"}`, `{"us\u0065rid":"b","userid":"a"}`,
	} {
		f.Add(body)
	}
	w := &onWire{}
	c, err := New(testCorpID, testAgentID, testSecret, WithHTTPClient(&http.Client{Transport: w}))
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, response string) {
		w.response = response
		user, err := c.UserInfo(t.Context(), testCode)
		if err != nil {
			assert.Nil(t, user)
			_ = failure(t, err)
			assert.NotContains(t, err.Error(), "\n")
			return
		}
		assert.True(t, (user.UserID == "") != (user.OpenID == ""), "%q", response)
		assert.Regexp(t, `^$|^((ww|wx|wp)[A-Za-z0-9_-]{0,62}/)?[A-Za-z0-9][A-Za-z0-9_@.-]{0,63}$`, user.UserID)
		assert.Regexp(t, `^[A-Za-z0-9_-]{0,64}$`, user.OpenID)
		assert.Regexp(t, `^[A-Za-z0-9_-]{0,64}$`, user.ExternalUserID)
		assert.Equal(t, strings.Contains(user.UserID, "/"), user.LinkedCorpID != "")
	})
}

// onWire responds to each call but gettoken with one response, without a network.
type onWire struct{ response string }

func (w *onWire) RoundTrip(r *http.Request) (*http.Response, error) {
	body := w.response
	if strings.HasSuffix(r.URL.Path, "/gettoken") {
		body = `{"access_token":"T","expires_in":7200}`
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r}, nil
}
