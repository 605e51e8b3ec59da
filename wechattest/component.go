package wechattest

import (
	"slices"
	"time"
)

const verifyTicketLife = 12 * time.Hour

// VerifyTicket returns the component_verify_ticket that WeChat would push to a
// third-party platform now. It is valid for 12 hours. VerifyTicket panics if
// there is no such platform.
func (s *Server) VerifyTicket(platform string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mustPlatform(platform)
	t := "ticket@@@" + s.text(64)
	s.verifyTickets[t] = &accountToken{token: t, appID: platform, expires: s.now().Add(verifyTicketLife)}
	return t
}

// ComponentToken returns a component_access_token of a third-party platform, as
// api_component_token would. It panics if there is no such platform.
func (s *Server) ComponentToken(platform string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mustPlatform(platform)
	return s.newAccountToken(platform).token
}

func (s *Server) mustPlatform(appID string) {
	if s.world.Load().accounts[appID].Kind != Component {
		panic("wechattest: no third-party platform with AppID " + appID)
	}
}

// componentToken serves cgi-bin/component/api_component_token.
func (s *Server) componentToken(c *call) response {
	var appID, secret, ticket string
	if len(c.body) == 0 {
		return errcodeResponse(44002)
	}
	if !readBody(c.body, map[string]any{"component_appid": &appID, "component_appsecret": &secret, "component_verify_ticket": &ticket}) {
		return errcodeResponse(47001)
	}
	c.entry.AppID = maskAppID(appID)
	a := s.world.Load().accounts[appID]
	t := s.verifyTickets[ticket]
	switch {
	case appID == "":
		return errcodeResponse(41018)
	case secret == "":
		return errcodeResponse(41004)
	case a.Kind != Component:
		return errcodeResponse(61011)
	case a.Secret != secret:
		return errcodeResponse(40125)
	case !addressAllowed(a, c):
		return errcodeResponse(61004)
	case t == nil || t.appID != appID:
		return errcodeResponse(61006)
	case !s.now().Before(t.expires):
		return errcodeResponse(61005)
	}
	token := s.newAccountToken(appID)
	return grantFields(field{"component_access_token", token.token}, field{"expires_in", int(accessLife / time.Second)})
}

// onBehalf checks the parameters with which a platform acts for an account; no
// secret of the account is used. value is the code or refresh_token, and
// missingValue is the errcode if it is absent.
func (s *Server) onBehalf(c *call, grantType, value string, missingValue int) (Account, int) {
	platform, token := c.get("component_appid"), c.get("component_access_token")
	switch {
	case c.get("appid") == "":
		return Account{}, 41002
	case value == "":
		return Account{}, missingValue
	case platform == "":
		return Account{}, 41018
	case token == "":
		return Account{}, 41021
	case c.get("grant_type") != grantType:
		return Account{}, 40002
	}
	a, ok := s.world.Load().accounts[c.get("appid")]
	t := s.byAccountToken[token]
	switch {
	case !ok:
		return a, 40013
	case t != nil && s.world.Load().accounts[t.appID].Kind != Component:
		return a, 48001 // the account's own token instead of the platform's
	case t == nil || t.appID != platform:
		return a, 40094
	case !s.now().Before(t.expires):
		return a, 42001
	case !addressAllowed(s.world.Load().accounts[platform], c):
		return a, 61004
	case !slices.Contains(a.Platforms, platform):
		return a, 61003
	}
	return a, 0
}

func addressAllowed(a Account, c *call) bool {
	return len(a.AllowedIPs) == 0 || slices.Contains(a.AllowedIPs, remoteIP(c.request))
}

// componentExchange serves sns/oauth2/component/access_token.
func (s *Server) componentExchange(c *call) response {
	a, errcode := s.onBehalf(c, "authorization_code", c.get("code"), 41008)
	if errcode != 0 {
		s.burn(c.get("code"))
		return errcodeResponse(errcode)
	}
	return s.webLogin(a, c.get("component_appid"), c.get("code"))
}

// componentRefresh serves sns/oauth2/component/refresh_token.
func (s *Server) componentRefresh(c *call) response {
	a, errcode := s.onBehalf(c, "refresh_token", c.get("refresh_token"), 41003)
	if errcode != 0 {
		return errcodeResponse(errcode)
	}
	return s.renew(c.get("refresh_token"), a.AppID, c.get("component_appid"))
}

// componentCode2Session serves sns/component/jscode2session.
func (s *Server) componentCode2Session(c *call) response {
	a, errcode := s.onBehalf(c, "authorization_code", c.get("js_code"), 41008)
	if errcode != 0 {
		s.burn(c.get("js_code"))
		return errcodeResponse(errcode)
	}
	return s.miniLogin(a, c.get("js_code"))
}
