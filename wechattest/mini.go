package wechattest

import (
	"crypto/subtle"
	"encoding/base64"
	"time"
)

// A sessionKey is the valid session_key of a person in a mini program.
type sessionKey struct {
	key     string
	expires time.Time
}

// WXLogin returns the result of wx.login in the mini program on the person's
// phone: a code for sns/jscode2session, valid for five minutes and one use. It
// panics if there is no such mini program or person.
func (s *Server) WXLogin(appID, person string) string { return s.miniCode(miniFlow, appID, person) }

// GetPhoneNumber returns the result of the phone number button: a code of 64
// hexadecimal digits for wxa/business/getuserphonenumber, valid for five
// minutes and one use. It panics if there is no such mini program or person.
func (s *Server) GetPhoneNumber(appID, person string) string {
	return s.miniCode(phoneFlow, appID, person)
}

func (s *Server) miniCode(f flow, appID, person string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, p := s.mustMini(appID, person)
	if f == miniFlow && s.on(SessionKeyRotates) {
		delete(s.keys, appID+"\x00"+p.Name)
	}
	return s.newCode(&grant{flow: f, appID: appID, person: p})
}

// code2Session serves sns/jscode2session.
func (s *Server) code2Session(c *call) response {
	code := c.get("js_code")
	a, errcode := s.credentials(c, code)
	if errcode != 0 {
		s.burn(code)
		return errcodeResponse(errcode)
	}
	return s.miniLogin(a, code)
}

func (s *Server) miniLogin(a Account, code string) response {
	g, errcode := s.spend(miniFlow, a.AppID, "", code)
	switch {
	case errcode != 0:
		return errcodeResponse(errcode)
	case g.person.HighRisk:
		return errcodeResponse(40226)
	}
	fields := []field{
		{"session_key", s.sessionKeyOf(a.AppID, g.person.Name).key},
		{"openid", OpenID(a.AppID, g.person.Name)},
	}
	if a.OpenPlatform != "" {
		fields = append(fields, field{"unionid", UnionID(a.OpenPlatform, g.person.Name)})
	}
	return grantFields(fields...)
}

func (s *Server) sessionKeyOf(appID, person string) *sessionKey {
	id := appID + "\x00" + person
	if k := s.keys[id]; k != nil && s.now().Before(k.expires) {
		return k
	}
	s.keys[id] = &sessionKey{key: s.newSessionKey(), expires: s.now().Add(sessionKeyLife)}
	return s.keys[id]
}

// newSessionKey returns 16 bytes in base64, 24 characters.
func (s *Server) newSessionKey() string {
	b := make([]byte, 16)
	for i := range b {
		b[i] = byte(s.rng.Uint32())
	}
	key := base64.StdEncoding.EncodeToString(b)
	s.secretKeys[key] = true
	return key
}

// signedSession checks the parameters of checksession and resetusersessionkey
// and returns the session_key they refer to.
func (s *Server) signedSession(c *call) (openID string, k *sessionKey, errcode int) {
	a, errcode := s.accountToken(c)
	if errcode != 0 {
		return "", nil, errcode
	}
	if c.get("openid") == "" {
		return "", nil, 41009
	}
	person, ok := s.personOf(a.AppID, c.get("openid"))
	if !ok {
		return "", nil, 40003
	}
	if c.get("sig_method") != "hmac_sha256" {
		return "", nil, 87008
	}
	k = s.keys[a.AppID+"\x00"+person]
	switch {
	case k == nil || !s.now().Before(k.expires):
		return "", nil, 87007
	case subtle.ConstantTimeCompare([]byte(c.get("signature")), []byte(SignSession(k.key))) != 1:
		return "", nil, 87009
	}
	return c.get("openid"), k, 0
}

func (s *Server) personOf(appID, openID string) (name string, ok bool) {
	for _, p := range s.world.Load().cast {
		if OpenID(appID, p.Name) == openID {
			return p.Name, true
		}
	}
	return "", false
}

// checkSession serves wxa/checksession.
func (s *Server) checkSession(c *call) response {
	if _, _, errcode := s.signedSession(c); errcode != 0 {
		return errcodeResponse(errcode)
	}
	return statusOK
}

// resetSession serves wxa/resetusersessionkey: the old key is invalid
// immediately, and the new one expires when the old one would have.
func (s *Server) resetSession(c *call) response {
	openID, k, errcode := s.signedSession(c)
	if errcode != 0 {
		return errcodeResponse(errcode)
	}
	k.key = s.newSessionKey()
	return ok(field{"openid", openID}, field{"session_key", k.key})
}

// phoneNumber serves wxa/business/getuserphonenumber. Only a code in the JSON
// body counts.
func (s *Server) phoneNumber(c *call) response {
	a, errcode := s.accountToken(c)
	if errcode != 0 {
		return errcodeResponse(errcode)
	}
	var code, openID string
	switch {
	case len(c.body) == 0 && c.get("code") == "":
		return errcodeResponse(44002)
	case len(c.body) > 0 && !readBody(c.body, map[string]any{"code": &code, "openid": &openID}):
		return errcodeResponse(47001)
	}
	c.entry.Code = mask(code)
	if g, ok := s.codes[code]; ok && openID != "" && OpenID(a.AppID, g.person.Name) != openID {
		return errcodeResponse(40003)
	}
	g, errcode := s.spend(phoneFlow, a.AppID, "", code)
	if errcode != 0 {
		return errcodeResponse(40029) // no other errcode is documented
	}
	var country any = "86"
	if s.on(CountryCodeNumber) {
		country = 86
	}
	return ok(field{"phone_info", []field{
		{"phoneNumber", g.person.Phone}, {"purePhoneNumber", g.person.Phone},
		{"countryCode", country}, s.watermark(a.AppID),
	}})
}
