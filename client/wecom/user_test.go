package wecom

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
)

func TestClient_UserInfo(t *testing.T) {
	const ok = `"errcode":0,"errmsg":"ok",`
	for body, want := range map[string]UserInfo{
		`{` + ok + `"userid":"ZhangSan"}`:                                   {UserID: "ZhangSan"},
		`{"userid":"ZhangSan"}`:                                             {UserID: "ZhangSan"},
		`{` + ok + `"userid":"zhang.san@corp_-1","openid":""}`:              {UserID: "zhang.san@corp_-1"},
		`{` + ok + `"UserId":"ZhangSan","DeviceId":"D1"}`:                   {UserID: "ZhangSan"},
		`{` + ok + `"userid":"wwfedcba0987654321/LiSi"}`:                    {UserID: "wwfedcba0987654321/LiSi", LinkedCorpID: "wwfedcba0987654321"},
		`{` + ok + `"openid":"oAAAA1","external_userid":"wmAAAA1"}`:         {OpenID: "oAAAA1", ExternalUserID: "wmAAAA1"},
		`{` + ok + `"OpenId":"oAAAA2"}`:                                     {OpenID: "oAAAA2"},
		`{` + ok + `"userid":"a","user_ticket":"` + testTicket + `","x":1}`: {UserID: "a"},
	} {
		p := newPeer(t, always(body))
		user, err := p.client(t).UserInfo(t.Context(), testCode)
		if !assert.NoError(t, err, body) {
			continue
		}
		if strings.Contains(body, testTicket) {
			assert.Equal(t, testTicket, user.Ticket.Reveal())
		}
		user.Ticket = client.Secret{}
		assert.Equal(t, want, *user, body)
		assert.Equal(t, want.UserID != "" && want.LinkedCorpID == "", user.IsMember())
	}
}

// A response that could be read as two users, or as none, is an error.
func TestClient_UserInfo_Ambiguous(t *testing.T) {
	for _, members := range []string{
		``, `"userid":""`, `"userid":null`, `"external_userid":"wmA"`, `"parent_userid":"p"`,
		`"userid":"a","openid":"oA"`, `"userid":"a","UserId":"b"`, `"UserId":"b","userid":"a"`, `"userid":"a","userid":"b"`,
		`"openid":"oA","OpenId":"oB"`, `"userid":["a"]`, `"userid":7`, `"userid":"a b"`, `"userid":"-a"`, `"userid":"a\u0000"`,
		`"userid":"/LiSi"`, `"userid":"corp/LiSi"`, `"userid":"wwa/"`, `"userid":"wwa/b/c"`, `"userid":"张三"`,
		`"userid":"` + strings.Repeat("a", 65) + `"`, `"openid":"o A"`, `"userid":"a","user_ticket":"t t"`,
	} {
		body := strings.TrimSuffix(`{"errcode":0,`+members, ",") + `}`
		p := newPeer(t, always(body))
		user, err := p.client(t).UserInfo(t.Context(), testCode)
		assert.ErrorIs(t, err, client.ErrBadResponse, body)
		assert.Nil(t, user)
	}
}

// A code is sent once, also while WeCom is busy; an unusable one is not sent.
func TestClient_UserInfo_Code(t *testing.T) {
	p := newPeer(t, always(errorBody(-1)))
	c := p.client(t)
	_, err := c.UserInfo(t.Context(), testCode)
	assert.ErrorIs(t, err, client.ErrBusy)
	assert.Equal(t, 1, p.counts["auth/getuserinfo"])
	for _, code := range []string{"", "a b", "a\n", strings.Repeat("a", 513), "码"} {
		_, err := c.UserInfo(t.Context(), code)
		assert.ErrorIs(t, err, client.ErrCodeInvalid)
		assert.Equal(t, client.KindRestart, failure(t, err).Kind())
		_, err = c.Code2Session(t.Context(), code)
		assert.ErrorIs(t, err, client.ErrCodeInvalid)
	}
	assert.Equal(t, 1, p.counts["auth/getuserinfo"])
}

func TestClient_Errcodes(t *testing.T) {
	for code, want := range map[int]struct {
		kind client.Kind
		is   error
	}{
		-1: {client.KindBusy, client.ErrBusy}, 45033: {client.KindBusy, client.ErrBusy}, 45009: {client.KindRateLimited, client.ErrRateLimited},
		40029: {client.KindRestart, client.ErrCodeInvalid}, 41008: {client.KindRestart, client.ErrCodeInvalid}, 42003: {client.KindRestart, client.ErrCodeInvalid},
		42022: {client.KindRestart, client.ErrCodeUsed}, 40163: {client.KindRestart, client.ErrCodeUsed},
		84014: {client.KindRestart, client.ErrTicketInvalid}, 84015: {client.KindRestart, client.ErrTicketInvalid},
		42013: {client.KindRestart, client.ErrSessionKeyInvalid},
		40003: {client.KindUserBlocked, client.ErrUserID}, 60111: {client.KindUserBlocked, client.ErrUserID},
		50002: {client.KindUserBlocked, client.ErrOutOfRange}, 60011: {client.KindUserBlocked, client.ErrOutOfRange}, 60030: {client.KindUserBlocked, client.ErrOutOfRange},
		50001: {client.KindConfiguration, client.ErrTrustedDomain}, 60020: {client.KindConfiguration, client.ErrIPNotAllowed},
		50003: {client.KindConfiguration, client.ErrNotAuthorized}, 48002: {client.KindConfiguration, client.ErrNotAuthorized},
		48005: {client.KindConfiguration, client.ErrNotAuthorized}, 301002: {client.KindConfiguration, client.ErrNotAuthorized}, 301007: {client.KindConfiguration, client.ErrNotAuthorized},
		40056: {client.KindConfiguration, client.ErrAppID}, 41001: {client.KindConfiguration, nil}, 40058: {client.KindConfiguration, nil},
		99999: {client.KindUnknown, nil},
	} {
		p := newPeer(t, always(errorBody(code)))
		_, err := p.client(t).UserInfo(t.Context(), testCode)
		e := failure(t, err)
		assert.Equal(t, code, e.Code)
		assert.Equal(t, want.kind, e.Kind(), code)
		if want.is != nil {
			assert.ErrorIs(t, err, want.is)
		}
		assert.Equal(t, "1700000000123456789012345", e.RID)
		assert.Equal(t, "some error [redacted] [redacted], from ip: 203.0.113.7", e.Message)
		for _, lang := range []client.Lang{client.LangEN, client.LangZhCN} {
			assert.NotEmpty(t, e.Text(lang))
			assert.NotContains(t, e.Text(lang), "203.0.113.7")
		}
	}
}

// The forms of errmsg seen so far.
func TestErrmsg(t *testing.T) {
	for errmsg, want := range map[string][2]string{
		"invalid code, hint: [1600000000_161_0123456789abcdef0123456789abcdef], from ip: 203.0.113.7, more info at https://open.work.weixin.qq.com/devtool/query?e=40029": {"invalid code, from ip: 203.0.113.7", "1600000000_161_0123456789abcdef0123456789abcdef"},
		"invalid code, hint: [1700000000123456789012345], more info at https://open.work.weixin.qq.com/devtool/query?e=40029":                                             {"invalid code", "1700000000123456789012345"},
		"invalid code": {"invalid code", ""},
	} {
		p := newPeer(t, always(fmt.Sprintf(`{"errcode":40029,"errmsg":%q}`, errmsg)))
		_, err := p.client(t).UserInfo(t.Context(), testCode)
		assert.Equal(t, want, [2]string{failure(t, err).Message, failure(t, err).RID})
	}
}

// Errors that are no JSON: a wrong base URL, and http in place of https.
func TestClient_HTTPStatus(t *testing.T) {
	for _, status := range []int{http.StatusNotFound, http.StatusMovedPermanently, http.StatusBadGateway} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "https://elsewhere.example"+r.URL.RequestURI())
			w.WriteHeader(status)
		}))
		c, err := New(testCorpID, testAgentID, testSecret, WithEndpoints(Endpoints{API: server.URL}))
		require.NoError(t, err)
		_, err = c.UserInfo(t.Context(), testCode)
		assert.Equal(t, status, failure(t, err).HTTPStatus)
		assertNoSecrets(t, err)
		server.Close()
	}
}

func TestClient_UserDetail(t *testing.T) {
	p := newPeer(t, always(`{"errcode":0,"errmsg":"ok","userid":"zhangsan","gender":"1","avatar":"http://wework.qpic.cn/a/0","qr_code":"https://open.work.weixin.qq.com/wwopen/userQRCode?vcode=v","mobile":"13800000000","email":"a@example.com","biz_mail":"a@corp.example","address":"Road\n1"}`))
	c := p.client(t)
	d, err := c.UserDetail(t.Context(), "ZhangSan", client.NewSecret(testTicket))
	require.NoError(t, err)
	assert.Equal(t, UserDetail{UserID: "zhangsan", Gender: 1, AvatarURL: "https://wework.qpic.cn/a/0", QRCodeURL: "https://open.work.weixin.qq.com/wwopen/userQRCode?vcode=v",
		Mobile: "13800000000", Email: "a@example.com", BizMail: "a@corp.example", Address: "Road 1"}, *d)
	assert.Equal(t, "POST /cgi-bin/auth/getuserdetail?access_token="+testToken+"1", p.requests[1])
	assert.JSONEq(t, `{"user_ticket":"`+testTicket+`"}`, p.bodies[1])

	p.reply = always(`{"errcode":0,"userid":"ZhangSan","gender":2,"avatar":"javascript:alert(1)"}`)
	d, err = c.UserDetail(t.Context(), "ZhangSan", client.NewSecret(testTicket))
	require.NoError(t, err)
	assert.Equal(t, UserDetail{UserID: "ZhangSan", Gender: 2}, *d)

	for _, body := range []string{`{"errcode":0}`, `{"errcode":0,"userid":"LiSi","mobile":"13800000000"}`} {
		p.reply = always(body)
		_, err = c.UserDetail(t.Context(), "ZhangSan", client.NewSecret(testTicket))
		assert.ErrorIs(t, err, client.ErrBadResponse)
	}
	p.reply = always(errorBody(84014))
	_, err = c.UserDetail(t.Context(), "ZhangSan", client.NewSecret(testTicket))
	assert.ErrorIs(t, err, client.ErrTicketInvalid)
	assertNoSecrets(t, err)
	sent := len(p.requests)
	_, err = c.UserDetail(t.Context(), "ZhangSan", client.Secret{})
	assert.ErrorIs(t, err, client.ErrTicketInvalid)
	assert.Len(t, p.requests, sent)
}

func TestClient_Member(t *testing.T) {
	p := newPeer(t, always(`{"errcode":0,"errmsg":"ok","userid":"ZhangSan","name":"张三\u202e","alias":"San","position":"Engineer","department":[1]}`))
	c := p.client(t)
	m, err := c.Member(t.Context(), "zhangsan")
	require.NoError(t, err)
	assert.Equal(t, Member{UserID: "ZhangSan", Name: "张三", Alias: "San", Position: "Engineer"}, *m)
	p.reply = always(`{"errcode":0,"userid":"LiSi"}`)
	_, err = c.Member(t.Context(), "ZhangSan")
	assert.ErrorIs(t, err, client.ErrBadResponse)
	p.reply = always(`{"errcode":60011,"errmsg":"no privilege to access/modify contact/party/agent, ZhangSan","department":[],"order":[]}`)
	_, err = c.Member(t.Context(), "ZhangSan")
	assert.ErrorIs(t, err, client.ErrOutOfRange)
	assertNoSecrets(t, err)
	_, err = c.Member(t.Context(), "wwfedcba0987654321/LiSi")
	assert.ErrorIs(t, err, client.ErrUserID, "not one of this company")
}

func TestClient_Code2Session(t *testing.T) {
	p := newPeer(t, always(`{"corpid":"`+testCorpID+`","userid":"ZhangSan","session_key":"AAAAAAAAAAAAAAAAAAAAAA==","errcode":0,"errmsg":"ok"}`))
	c := p.client(t)
	s, err := c.Code2Session(t.Context(), testCode)
	require.NoError(t, err)
	assert.Equal(t, "ZhangSan", s.UserID)
	assert.Equal(t, "AAAAAAAAAAAAAAAAAAAAAA==", s.SessionKey.Reveal())
	assert.Equal(t, "GET /cgi-bin/miniprogram/jscode2session?access_token="+testToken+"1&grant_type=authorization_code&js_code="+testCode, p.requests[1])
	for _, body := range []string{
		`{"corpid":"wwfedcba0987654321","userid":"ZhangSan","session_key":"K","errcode":0}`, `{"userid":"ZhangSan","session_key":"K"}`,
		`{"corpid":"` + testCorpID + `","session_key":"K"}`, `{"corpid":"` + testCorpID + `","userid":"ZhangSan"}`,
		`{"corpid":"` + testCorpID + `","userid":"wwfedcba0987654321/ZhangSan","session_key":"K"}`,
	} {
		p.reply = always(body)
		_, err := c.Code2Session(t.Context(), testCode)
		assert.ErrorIs(t, err, client.ErrBadResponse, body)
	}
}

func TestFoldUserID(t *testing.T) {
	assert.Equal(t, "zhangsan@x_1", FoldUserID("ZhangSan@X_1"))
	assert.Equal(t, "\u212a", FoldUserID("\u212a"), "the Kelvin sign is no k")
}
