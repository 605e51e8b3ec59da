package client

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fixedToken is a token service that returns its tokens in turn.
type fixedToken struct {
	tokens []Secret
	stales []Secret
}

func (f *fixedToken) AccountToken(_ context.Context, stale Secret) (Secret, error) {
	f.stales = append(f.stales, stale)
	if len(f.tokens) == 0 {
		return Secret{}, errors.New("token service is down")
	}
	token := f.tokens[0]
	if len(f.tokens) > 1 {
		f.tokens = f.tokens[1:]
	}
	return token, nil
}

const signedByTestKey = "75c022993d64e3ac224c1c9d6f2b4c6eb53f22f6c7aa6be94428577d11d12fd5"

func TestClient_Code2Session(t *testing.T) {
	p := newFakePeer(t, always(`{"openid":"`+testOpenID+`","session_key":"`+testKey+`","unionid":"oU","errcode":0,"errmsg":""}`))
	session, err := p.client(t).Code2Session(t.Context(), testCode)
	require.NoError(t, err)
	assert.Equal(t, &MiniSession{OpenID: testOpenID, UnionID: "oU", SessionKey: NewSecret(testKey)}, session)
	assert.Equal(t, []string{"GET /sns/jscode2session?appid=" + testAppID +
		"&grant_type=authorization_code&js_code=" + testCode + "&secret=" + testSecret}, p.requests())
}

func TestClient_CheckSession(t *testing.T) {
	p := newFakePeer(t, always(`{"errcode":0,"errmsg":"ok"}`))
	c := p.client(t, WithAccountToken(&fixedToken{tokens: []Secret{NewSecret("A1")}}))
	require.NoError(t, c.CheckSession(t.Context(), testOpenID, testKey))
	assert.Equal(t, []string{"GET /wxa/checksession?access_token=A1&openid=" + testOpenID +
		"&sig_method=hmac_sha256&signature=" + signedByTestKey}, p.requests())

	dead := newFakePeer(t, always(`{"errcode":87009,"errmsg":"invalid signature rid: 1-2-3"}`))
	err := dead.client(t, WithAccountToken(&fixedToken{tokens: []Secret{NewSecret("A1")}})).CheckSession(t.Context(), testOpenID, testKey)
	assert.ErrorIs(t, err, ErrSessionKeyInvalid)
}

func TestClient_ResetSession(t *testing.T) {
	call := func(response string) (*MiniSession, error) {
		p := newFakePeer(t, always(response))
		session, err := p.client(t, WithAccountToken(&fixedToken{tokens: []Secret{NewSecret("A1")}})).ResetSession(t.Context(), testOpenID, testKey)
		assert.Equal(t, []string{"GET /wxa/resetusersessionkey?access_token=A1&openid=" + testOpenID +
			"&sig_method=hmac_sha256&signature=" + signedByTestKey}, p.requests())
		return session, err
	}
	session, err := call(`{"errcode":0,"errmsg":"ok","openid":"` + testOpenID + `","session_key":"bmV3IHNlc3Npb24ga2V5IQ=="}`)
	require.NoError(t, err)
	assert.Equal(t, "bmV3IHNlc3Npb24ga2V5IQ==", session.SessionKey.Reveal())
	_, err = call(`{"errcode":0,"errmsg":"ok","openid":"oOTHER","session_key":"x"}`)
	assert.ErrorIs(t, err, ErrBadResponse)
	_, err = call(`{"errcode":0,"errmsg":"ok"}`)
	assert.ErrorIs(t, err, ErrBadResponse)
	_, err = call(`{"errcode":-1,"errmsg":"system error"}`)
	assert.ErrorIs(t, err, ErrBusy)
}

func TestClient_PhoneNumber(t *testing.T) {
	const number = `{"errcode":0,"errmsg":"ok","phone_info":{"phoneNumber":"+8613800138000","purePhoneNumber":"13800138000",` +
		`"countryCode":86,"watermark":{"timestamp":1637744274,"appid":"` + testAppID + `"}}}`
	p := newFakePeer(t, always(number))
	phone, err := p.client(t, WithAccountToken(&fixedToken{tokens: []Secret{NewSecret("A1")}})).PhoneNumber(t.Context(), testCode)
	require.NoError(t, err)
	assert.Equal(t, &PhoneNumber{Number: "+8613800138000", PureNumber: "13800138000", CountryCode: "86",
		IssuedAt: time.Unix(1637744274, 0)}, phone)
	assert.Equal(t, []string{"POST /wxa/business/getuserphonenumber?access_token=A1"}, p.requests())
	assert.Equal(t, []string{`{"code":"` + testCode + `"}`}, p.bodies)
	assert.Equal(t, "application/json", p.received[0].Header.Get("Content-Type"))

	for name, change := range map[string][2]string{
		"another AppID":     {testAppID, "wx0000000000000009"},
		"no watermark":      {`"watermark"`, `"x"`},
		"no number":         {`"phoneNumber":"+8613800138000"`, `"phoneNumber":""`},
		"a number twice":    {`"countryCode"`, `"phoneNumber":"1","countryCode"`},
		"no phone_info":     {`"phone_info"`, `"x"`},
		"phone_info a list": {`{"phoneNumber"`, `[{"phoneNumber"`},
	} {
		p := newFakePeer(t, always(strings.Replace(number, change[0], change[1], 1)))
		_, err := p.client(t, WithAccountToken(&fixedToken{tokens: []Secret{NewSecret("A1")}})).PhoneNumber(t.Context(), testCode)
		assert.ErrorIs(t, err, ErrBadResponse, name)
	}
}

func TestClient_PhoneNumber_OddFields(t *testing.T) {
	p := newFakePeer(t, always(`{"errcode":"0","phone_info":{"phoneNumber":13800138000,"countryCode":"86",`+
		`"watermark":{"timestamp":"1637744274","appid":"`+testAppID+`"}}}`))
	phone, err := p.client(t, WithAccountToken(&fixedToken{tokens: []Secret{NewSecret("A1")}})).PhoneNumber(t.Context(), testCode)
	require.NoError(t, err)
	assert.Equal(t, &PhoneNumber{Number: "13800138000", CountryCode: "86", IssuedAt: time.Unix(1637744274, 0)}, phone)
}

func TestAccountToken_RejectedOnce(t *testing.T) {
	for _, code := range []string{"40001", "40014", "42001"} {
		source := &fixedToken{tokens: []Secret{NewSecret("OLD"), NewSecret("NEW")}}
		p := newFakePeer(t, func(r *http.Request, _ string) string {
			if r.URL.Query().Get("access_token") == "OLD" {
				return `{"errcode":` + code + `,"errmsg":"m"}`
			}
			return `{"errcode":0,"errmsg":"ok"}`
		})
		require.NoError(t, p.client(t, WithAccountToken(source)).CheckSession(t.Context(), testOpenID, testKey), code)
		assert.Equal(t, []Secret{{}, NewSecret("OLD")}, source.stales)
	}
	source := &fixedToken{tokens: []Secret{NewSecret("OLD"), NewSecret("NEW")}}
	p := newFakePeer(t, always(`{"errcode":42001,"errmsg":"m"}`))
	err := p.client(t, WithAccountToken(source)).CheckSession(t.Context(), testOpenID, testKey)
	assert.Equal(t, KindConfiguration, kindOf(t, err))
	assert.Len(t, p.requests(), 2)
	source = &fixedToken{tokens: []Secret{NewSecret("OLD")}}
	p = newFakePeer(t, always(`{"errcode":42001,"errmsg":"m"}`))
	err = p.client(t, WithAccountToken(source)).CheckSession(t.Context(), testOpenID, testKey)
	assert.ErrorIs(t, err, ErrTokenInvalid)
	assert.Len(t, p.requests(), 1, "the same token is not tried again")
}

func TestAccountToken_SourceError(t *testing.T) {
	p := newFakePeer(t, always(`{"errcode":0}`))
	err := p.client(t, WithAccountToken(&fixedToken{})).CheckSession(t.Context(), testOpenID, testKey)
	assert.EqualError(t, err, "wechat: wxa/checksession: no account token: token service is down")
	assert.Equal(t, KindRetry, kindOf(t, err))
	err = p.client(t, WithAccountToken(&fixedToken{tokens: []Secret{{}}})).CheckSession(t.Context(), testOpenID, testKey)
	assert.Equal(t, KindConfiguration, kindOf(t, err))
	assert.Empty(t, p.requests())
}
