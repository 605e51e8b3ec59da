package client

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wechatauth/wechatauth/client/internal/api"
)

// Do reads a decisive key in any case, once. The calls of this package, whose
// keys are in one case, reject another case.
func TestClient_Do(t *testing.T) {
	for body, want := range map[string]string{
		`{"userid":"a"}`:              "a",
		`{"UserId":"a"}`:              "a",
		`{"UserId":"a","UserName":1}`: "a",
		`{"UserId":"b","userid":"a"}`: "",
		`{"userid":"a","USERID":"a"}`: "",
		`{"ErrCode":0,"userid":"a"}`:  "a",
		`{"ErrCode":40029}`:           "",
	} {
		p := newFakePeer(t, always(body))
		var got string
		err := p.client(t).Do(t.Context(), api.Request{
			Endpoint: "cgi-bin/auth/getuserinfo", Query: url.Values{"code": {testCode}}, Keys: []string{"userid"},
			Read: func(o api.Object) (err error) { got, err = o.String("userid"); return err },
		})
		if want == "" {
			assert.Error(t, err, body)
			continue
		}
		assert.NoError(t, err, body)
		assert.Equal(t, want, got, body)
	}
}

// The errcodes of WeCom's calls have WeCom's meanings, in both languages.
func TestError_WeCom(t *testing.T) {
	for code, m := range weComErrcodes {
		e := &Error{Code: code, Endpoint: "cgi-bin/auth/getuserinfo"}
		assert.Equal(t, m.kind, e.Kind(), code)
		assert.Equal(t, m.en, e.Text(LangEN))
		assert.Equal(t, m.zh, e.Text(LangZhCN))
		assert.NotEqual(t, m.en, m.zh)
		if m.is != nil {
			assert.ErrorIs(t, e, m.is)
		}
	}
	assert.ErrorIs(t, &Error{Code: 40001, Endpoint: "cgi-bin/gettoken"}, ErrAppSecret)
	assert.ErrorIs(t, &Error{Code: 40001, Endpoint: "cgi-bin/user/get"}, ErrTokenInvalid)
	assert.Equal(t, KindUnknown, (&Error{Code: 40030, Endpoint: "cgi-bin/user/get"}).Kind(), "a code of WeChat only")
	assert.Equal(t, KindRestart, (&Error{Code: 40014, Endpoint: "sns/userinfo"}).Kind(), "WeChat's meaning")
}
