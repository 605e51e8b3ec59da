package wechattest

import (
	"fmt"
	"strings"
	"time"

	"github.com/wechatauth/wechatauth/client"
)

const (
	codeLife        = 5 * time.Minute  // official account, mini program, phone number
	websiteCodeLife = 10 * time.Minute // website application
	accessLife      = 2 * time.Hour
	refreshLife     = 30 * 24 * time.Hour
)

// A flow is the purpose of a code. A code is valid for one flow only.
type flow int

const (
	webFlow flow = iota
	miniFlow
	phoneFlow
	corpFlow     // WeCom: authorize and web login
	corpMiniFlow // WeCom: wx.qy.login
)

// A grant is an issued code.
type grant struct {
	flow     flow
	appID    string
	platform string // component_appid of a code issued to a platform
	person   Person
	scope    client.Scope
	snapshot *virtual     // set if the code was issued on a snapshot page
	corp     *corpRequest // of corpFlow
	expires  time.Time
	used     bool
}

// A login is the result of exchanging a code.
type login struct {
	appID, platform  string
	openID, unionID  string
	person           Person
	scope            client.Scope
	snapshot         *virtual
	access, refresh  string // the latest
	accessExpires    time.Time
	refreshExpires   time.Time
	passwordsChanged int // the person's count at the time of issue
}

// newCode issues a code: 32 alphanumerics that start with 0, or 64 lower-case
// hexadecimal digits for a phone number.
func (s *Server) newCode(g *grant) string {
	life := codeLife
	if s.world.Load().accounts[g.appID].Kind == WebsiteApp {
		life = websiteCodeLife
	}
	g.expires = s.now().Add(life)
	code := "0" + s.text(31)
	if g.flow == phoneFlow {
		code = fmt.Sprintf("%016x%016x%016x%016x", s.rng.Uint64(), s.rng.Uint64(), s.rng.Uint64(), s.rng.Uint64())
	}
	if g.flow == corpFlow || g.flow == corpMiniFlow {
		code = s.base64URL(43)
	}
	s.codes[code] = g
	s.sweep()
	return code
}

// spend redeems a code for its AppID and flow, once. Used codes are kept, to
// distinguish 40163 from 40029.
func (s *Server) spend(f flow, appID, platform, code string) (*grant, int) {
	g, ok := s.codes[code]
	switch {
	case !ok || g.flow != f || g.appID != appID || g.platform != platform:
		return nil, 40029
	case g.used && !s.on(UsedCodeInvalid):
		return nil, 40163
	case g.used, !s.now().Before(g.expires):
		return nil, 40029
	}
	g.used = true
	return g, 0
}

// burn uses up the code of a failed exchange if FailureBurnsCode is on.
func (s *Server) burn(code string) {
	if g, ok := s.codes[code]; ok && s.on(FailureBurnsCode) {
		g.used = true
	}
}

// newToken returns a user token: 110 characters.
func (s *Server) newToken() string { return s.prefixed(110) }

// prefixed returns a token of n characters: two digits, an underscore, text.
func (s *Server) prefixed(n int) string {
	return fmt.Sprintf("%02d_", 10+s.rng.IntN(90)) + s.text(n-3)
}

// credentials checks appid, secret and the caller's address, in the order in
// which WeChat is assumed to check them.
func (s *Server) credentials(c *call, code string) (Account, int) {
	switch {
	case c.get("appid") == "":
		return Account{}, 41002
	case c.get("secret") == "":
		return Account{}, 41004
	case code == "":
		return Account{}, 41008
	case c.get("grant_type") != "authorization_code":
		return Account{}, 40002
	}
	return s.secret(c, c.get("appid"), c.get("secret"))
}

func (s *Server) secret(c *call, appID, secret string) (Account, int) {
	a, ok := s.world.Load().accounts[appID]
	switch {
	case !ok:
		return a, 40013
	case a.Secret != secret && s.on(WrongSecret40001):
		return a, 40001
	case a.Secret != secret:
		return a, 40125
	case a.Frozen:
		return a, 40243
	case !addressAllowed(a, c) && s.on(RefusedIP61004):
		return a, 61004
	case !addressAllowed(a, c):
		return a, 40164
	}
	return a, 0
}

// exchange serves sns/oauth2/access_token.
func (s *Server) exchange(c *call) response {
	code := c.get("code")
	a, errcode := s.credentials(c, code)
	if errcode != 0 {
		s.burn(code)
		return errcodeResponse(errcode)
	}
	return s.webLogin(a, "", code)
}

func (s *Server) webLogin(a Account, platform, code string) response {
	g, errcode := s.spend(webFlow, a.AppID, platform, code)
	if errcode != 0 {
		return errcodeResponse(errcode)
	}
	return s.tokenResponse(s.newLogin(a, g))
}

func (s *Server) newLogin(a Account, g *grant) *login {
	l := &login{
		appID: g.appID, platform: g.platform, person: g.person, scope: g.scope,
		passwordsChanged: s.passwords[g.person.Name],
		openID:           OpenID(g.appID, g.person.Name),
		access:           s.newToken(), refresh: s.newToken(),
		accessExpires: s.now().Add(accessLife), refreshExpires: s.now().Add(refreshLife),
	}
	if a.OpenPlatform != "" {
		l.unionID = UnionID(a.OpenPlatform, g.person.Name)
	}
	if g.snapshot != nil {
		l.openID, l.unionID, l.snapshot = g.snapshot.openID, g.snapshot.unionID, g.snapshot
	}
	s.logins[l.access], s.logins[l.refresh] = l, l
	return l
}

func (s *Server) tokenResponse(l *login) response {
	fields := loginFields(l)
	if l.unionID != "" && (l.scope != client.ScopeBase || s.on(BaseUnionID)) {
		fields = append(fields, field{"unionid", l.unionID})
	}
	if l.snapshot != nil && l.snapshot.flagged {
		fields = append(fields, field{"is_snapshotuser", 1})
	}
	return grantFields(fields...)
}

func loginFields(l *login) []field {
	return []field{
		{"access_token", l.access}, {"expires_in", int(accessLife / time.Second)},
		{"refresh_token", l.refresh}, {"openid", l.openID}, {"scope", string(l.scope)},
	}
}

// refresh serves sns/oauth2/refresh_token, which needs no secret. A valid
// access_token is extended; an expired one is replaced.
func (s *Server) refresh(c *call) response {
	switch {
	case c.get("appid") == "":
		return errcodeResponse(41002)
	case c.get("refresh_token") == "":
		return errcodeResponse(41003)
	case c.get("grant_type") != "refresh_token":
		return errcodeResponse(40002)
	case s.world.Load().accounts[c.get("appid")].AppID == "":
		return errcodeResponse(40013)
	}
	return s.renew(c.get("refresh_token"), c.get("appid"), "")
}

func (s *Server) renew(refreshToken, appID, platform string) response {
	l := s.logins[refreshToken]
	switch {
	case l == nil || l.refresh != refreshToken || l.appID != appID || l.platform != platform:
		return errcodeResponse(40030)
	case s.passwordChanged(l):
		return errcodeResponse(42007)
	case !s.now().Before(l.refreshExpires):
		return errcodeResponse(42002)
	}
	if !s.now().Before(l.accessExpires) {
		l.access = s.newToken()
		s.logins[l.access] = l
		if s.on(RotateRefreshToken) {
			l.refresh = s.newToken()
			s.logins[l.refresh] = l
		}
	}
	l.accessExpires = s.now().Add(accessLife)
	return grantFields(loginFields(l)...)
}

// userToken returns the login of an access_token that was issued for openid.
func (s *Server) userToken(c *call, unknown int) (*login, int) {
	token := c.get("access_token")
	l := s.logins[token]
	switch {
	case token == "":
		return nil, 41001
	case l == nil || l.refresh == token:
		return nil, unknown
	case s.passwordChanged(l):
		return nil, 42007
	case l.access != token || !s.now().Before(l.accessExpires):
		return nil, 42001
	case c.get("openid") == "":
		return nil, 41009
	case l.openID != c.get("openid"):
		return nil, 40003
	}
	return l, 0
}

// ChangePassword invalidates all tokens that the person's logins have so far
// (42007). It panics if the name is unknown.
func (s *Server) ChangePassword(person string) {
	s.mustPerson(person)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passwords[person]++
}

func (s *Server) passwordChanged(l *login) bool {
	return l.passwordsChanged != s.passwords[l.person.Name]
}

// userInfo serves sns/userinfo.
func (s *Server) userInfo(c *call) response {
	l, errcode := s.userToken(c, 40001)
	switch {
	case errcode != 0:
		return errcodeResponse(errcode)
	case l.scope == client.ScopeBase:
		return errcodeResponse(48001)
	case l.snapshot != nil && s.on(SnapshotUserInfoDenied):
		return errcodeResponse(48001)
	case l.person.Limited:
		return errcodeResponse(50002)
	}
	nickname, avatar := profile(l)
	if strings.HasPrefix(avatar, "/") {
		avatar = baseURL(c.request) + avatar
	}
	fields := []field{
		{"openid", l.openID}, {"nickname", nickname}, {"sex", 0}, {"language", ""},
		{"city", ""}, {"province", ""}, {"country", ""},
		{"headimgurl", avatar}, {"privilege", []string{}},
	}
	if l.unionID != "" {
		fields = append(fields, field{"unionid", l.unionID})
	}
	return grantFields(fields...)
}

// profile returns the profile for a login. A virtual user has the anonymous
// profile of mini programs, for lack of a better source.
func profile(l *login) (nickname any, avatarURL string) {
	switch {
	case l.snapshot != nil:
		return "微信用户", ""
	case l.person.NicknameJSON != "":
		return rawJSON(`"` + l.person.NicknameJSON + `"`), l.person.AvatarURL
	}
	return l.person.Nickname, l.person.AvatarURL
}

// checkToken serves sns/auth.
func (s *Server) checkToken(c *call) response {
	if _, errcode := s.userToken(c, 40014); errcode != 0 {
		return errcodeResponse(errcode)
	}
	return statusOK
}
