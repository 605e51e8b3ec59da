package wechattest

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/wechatauth/wechatauth/client/wecom"
)

const (
	corpCodeLife = 5 * time.Minute
	ticketLife   = 30 * time.Minute
	// wrongSecretsPerHour is how many wrong secrets an address may send before
	// WeCom bans it for an hour, according to WeCom's staff.
	wrongSecretsPerHour = 2000
)

// weCom is the state of companies and their members.
type weCom struct {
	corpTokens   map[string]*corpToken
	corpTickets  map[string]*userTicket
	corpConsents map[string]time.Time // to snsapi_privateinfo, by company, app and person
	wrongSecrets map[string]*banned   // by address
}

func newWeCom() weCom {
	return weCom{corpTokens: map[string]*corpToken{}, corpTickets: map[string]*userTicket{}, corpConsents: map[string]time.Time{}, wrongSecrets: map[string]*banned{}}
}

// A corpToken is an access_token of an app.
type corpToken struct {
	token   string
	corp    *Corp
	app     *App
	expires time.Time
}

// A userTicket is a user_ticket for getuserdetail.
type userTicket struct {
	corp    *Corp
	app     *App
	person  string
	expires time.Time
}

type banned struct {
	count int
	since time.Time
}

// base64URL returns n random characters of the base64url alphabet.
func (s *Server) base64URL(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(s.rng.Uint32())
	}
	return base64.RawURLEncoding.EncodeToString(b)[:n]
}

// corpGetToken serves cgi-bin/gettoken. Repeated calls return the same token,
// unless WeComNewToken is on: https://developer.work.weixin.qq.com/document/path/91039.
func (s *Server) corpGetToken(c *call) response {
	corp, ip := s.corp(c.get("corpid")), remoteIP(c.request)
	c.entry.AppID = maskAppID(c.get("corpid"))
	if b := s.wrongSecrets[ip]; b != nil && b.count >= wrongSecretsPerHour && s.now().Before(b.since.Add(time.Hour)) {
		return errcodeResponse(45009)
	}
	switch {
	case c.get("corpsecret") == "":
		return errcodeResponse(41004)
	case c.get("corpid") == "":
		return errcodeResponse(41002)
	case corp == nil:
		return errcodeResponse(40013)
	}
	i := slices.IndexFunc(corp.Apps, func(a App) bool { return a.Secret == c.get("corpsecret") })
	if i < 0 || corp.Apps[i].Disabled {
		return errcodeResponse(s.wrongSecret(ip, c.get("corpsecret")))
	}
	t := s.issueCorpToken(corp, &corp.Apps[i])
	return ok(field{"access_token", t.token}, field{"expires_in", int(t.expires.Sub(s.now()) / time.Second)})
}

// wrongSecret counts a wrong secret for an hour, and returns the errcode.
func (s *Server) wrongSecret(ip, secret string) int {
	b := s.wrongSecrets[ip]
	if b == nil || !s.now().Before(b.since.Add(time.Hour)) {
		b = &banned{since: s.now()}
		s.wrongSecrets[ip] = b
	}
	b.count++
	for _, corp := range s.cfg.corps {
		if slices.ContainsFunc(corp.Apps, func(a App) bool { return a.Secret == secret && !a.Disabled }) {
			return 40091
		}
	}
	return 40001
}

func (s *Server) issueCorpToken(corp *Corp, app *App) *corpToken {
	for _, t := range s.corpTokens {
		if t.corp != corp || t.app != app || !s.now().Before(t.expires) {
			continue
		}
		if !s.on(WeComNewToken) && !s.on(WeComOldTokenDies) {
			return t
		}
		if s.on(WeComOldTokenDies) {
			t.expires = s.now()
		}
	}
	t := &corpToken{token: s.base64URL(corpTokenLen), corp: corp, app: app, expires: s.now().Add(accessLife)}
	s.corpTokens[t.token] = t
	return t
}

const corpTokenLen = 214 // WeCom promises at most 512

// EndCorpTokens makes WeCom reject all access_tokens that its apps have so far,
// as WeCom reserves the right to do before they expire.
func (s *Server) EndCorpTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.corpTokens {
		t.expires = s.now()
	}
}

// corpToken returns the token of a call, which WeCom checks before anything else.
func (s *Server) corpToken(c *call) (*corpToken, int) {
	text := c.request.URL.Query().Get("access_token")
	t := s.corpTokens[text]
	switch {
	case text == "":
		return nil, 41001
	case t == nil:
		return nil, 40014
	case !s.now().Before(t.expires) && s.on(WeComExpiredToken42001):
		return nil, 42001
	case !s.now().Before(t.expires):
		return nil, 40014
	case len(t.app.TrustedIPs) > 0 && !slices.Contains(t.app.TrustedIPs, remoteIP(c.request)):
		return nil, 60020
	case t.app.Disabled:
		return nil, 50003
	}
	c.entry.AppID = t.corp.CorpID
	return t, 0
}

// spendCorp redeems a code for a company and flow, once.
func (s *Server) spendCorp(f flow, t *corpToken, code string) (*grant, int) {
	g, ok := s.codes[code]
	switch {
	case code == "":
		return nil, 41008
	case !ok || g.flow != f || g.appID != t.corp.CorpID:
		return nil, 40029
	case g.used && s.on(WeComUsedCode42022):
		return nil, 42022
	case !g.used && !s.now().Before(g.expires) && s.on(WeComExpiredCode42003):
		return nil, 42003
	case g.used, !s.now().Before(g.expires):
		return nil, 40029
	case f == corpFlow && (!s.trusts(t.app, g.corp.host) || g.corp.app != nil && g.corp.app != t.app):
		s.burn(code)
		return nil, 50001
	}
	g.used = true
	return g, 0
}

// corpUserInfo serves cgi-bin/auth/getuserinfo:
// https://developer.work.weixin.qq.com/document/path/98177.
func (s *Server) corpUserInfo(c *call) response { return s.corpIdentity(c, s.on(WeComOldKeys)) }

// corpUserInfoOld serves cgi-bin/user/getuserinfo, which other libraries call. It
// spells the keys in another way.
func (s *Server) corpUserInfoOld(c *call) response { return s.corpIdentity(c, true) }

func (s *Server) corpIdentity(c *call, old bool) response {
	t, errcode := s.corpToken(c)
	if errcode != 0 {
		s.burn(c.get("code"))
		return errcodeResponse(errcode)
	}
	g, errcode := s.spendCorp(corpFlow, t, c.get("code"))
	if errcode != 0 {
		return errcodeResponse(errcode)
	}
	userID, openID := "userid", "openid"
	if old {
		userID, openID = "UserId", "OpenId"
	}
	var fields []field
	if m := t.corp.member(g.person.Name); m != nil && !(g.corp.inWeChat && m.NoWeChat) {
		fields = append(fields, field{userID, m.userID()})
		if g.scope == wecom.ScopePrivateInfo {
			ticket := s.base64URL(128)
			s.corpTickets[ticket] = &userTicket{t.corp, t.app, g.person.Name, s.now().Add(ticketLife)}
			fields = append(fields, field{"user_ticket", ticket})
		}
	} else {
		fields = append(fields, field{openID, OpenID(t.corp.CorpID, g.person.Name)})
		if slices.Contains(t.corp.Customers, g.person.Name) {
			fields = append(fields, field{"external_userid", ExternalUserID(t.corp.CorpID, g.person.Name)})
		}
	}
	if old {
		fields = append(fields, field{"DeviceId", "device-" + s.text(16)})
	}
	return ok(fields...)
}

// corpUserDetail serves cgi-bin/auth/getuserdetail:
// https://developer.work.weixin.qq.com/document/path/96443.
func (s *Server) corpUserDetail(c *call) response {
	t, errcode := s.corpToken(c)
	if errcode != 0 {
		return errcodeResponse(errcode)
	}
	var text string
	if len(c.body) == 0 || !readBody(c.body, map[string]any{"user_ticket": &text}) {
		return errcodeResponse(40058)
	}
	ticket := s.corpTickets[text]
	switch {
	case text == "":
		return errcodeResponse(40063)
	case ticket == nil || ticket.corp != t.corp || ticket.app != t.app:
		return errcodeResponse(84015)
	case !s.now().Before(ticket.expires):
		return errcodeResponse(84014)
	case !t.app.sees(ticket.person):
		return errcodeResponse(60011)
	}
	return ok(s.detailFields(c, t, ticket.person)...)
}

// detailFields are a member's details; those that the administrator has not
// selected are left out, and the gender is then unknown.
func (s *Server) detailFields(c *call, t *corpToken, person string) []field {
	p, m := s.world.Load().people[person], t.corp.member(person)
	gender := any("0")
	if slices.Contains(t.app.Fields, "gender") {
		gender = "1"
		if s.on(WeComGenderNumber) {
			gender = 1
		}
	}
	avatar := p.AvatarURL
	if strings.HasPrefix(avatar, "/") {
		avatar = baseURL(c.request) + avatar
	}
	fields := []field{{"userid", m.userID()}, {"gender", gender}}
	for _, f := range []field{
		{"avatar", avatar},
		{"qr_code", "https://open.work.weixin.qq.com/wwopen/userQRCode?vcode=" + strings.ToLower(m.UserID)},
		{"mobile", p.Phone}, {"email", m.UserID + "@example.com"}, {"biz_mail", m.UserID + "@corp.example.com"}, {"address", "青竹路 1 号"},
	} {
		if slices.Contains(t.app.Fields, f.name) {
			fields = append(fields, f)
		}
	}
	return fields
}

// corpMember serves cgi-bin/user/get, which looks up userids regardless of case:
// https://developer.work.weixin.qq.com/document/path/96255.
func (s *Server) corpMember(c *call) response {
	t, errcode := s.corpToken(c)
	if errcode != 0 {
		return errcodeResponse(errcode)
	}
	id := c.get("userid")
	i := slices.IndexFunc(t.corp.Members, func(m Member) bool { return m.LinkedCorp == "" && strings.EqualFold(m.UserID, id) })
	switch {
	case id == "":
		return errcodeResponse(40063)
	case !userIDForm.MatchString(id):
		return errcodeResponse(40003)
	case i < 0:
		return errcodeResponse(60111)
	case !t.app.sees(t.corp.Members[i].Person):
		return errcodeResponse(60011)
	}
	m := t.corp.Members[i]
	return ok(field{"userid", m.UserID}, field{"name", s.world.Load().people[m.Person].Nickname}, field{"department", rawJSON("[1]")},
		field{"position", ""}, field{"alias", ""}, field{"status", 1})
}

// QYLogin returns the result of wx.qy.login in a mini program that is open in
// WeCom: a code for cgi-bin/miniprogram/jscode2session, valid for five minutes
// and one use. It panics if there is no such company or member.
func (s *Server) QYLogin(corpID, person string) string {
	s.mustPerson(person)
	corp := s.corp(corpID)
	if corp == nil || corp.member(person) == nil {
		panic(fmt.Sprintf("wechattest: corp %q has no member %q", corpID, person))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newCode(&grant{flow: corpMiniFlow, appID: corpID, person: s.world.Load().people[person]})
}

// corpCode2Session serves cgi-bin/miniprogram/jscode2session:
// https://developer.work.weixin.qq.com/document/path/92423.
func (s *Server) corpCode2Session(c *call) response {
	t, errcode := s.corpToken(c)
	switch {
	case errcode != 0:
		return errcodeResponse(errcode)
	case !t.app.MiniProgram:
		return errcodeResponse(48002)
	case c.get("grant_type") != "authorization_code":
		return errcodeResponse(40058)
	}
	g, errcode := s.spendCorp(corpMiniFlow, t, c.get("js_code"))
	if errcode != 0 {
		return errcodeResponse(errcode)
	}
	return response{fields: []field{
		{"corpid", t.corp.CorpID}, {"userid", t.corp.member(g.person.Name).userID()},
		{"session_key", s.sessionKeyOf(t.corp.CorpID, g.person.Name).key}, {"errcode", 0}, {"errmsg", "ok"},
	}}
}

// corpTokenForm matches tokens and tickets.
var corpTokenForm = regexp.MustCompile(`[0-9A-Za-z_-]{100,}`)

// secretOfCorp names the first secret of an app in text. The caller holds s.mu.
func (s *Server) secretOfCorp(text string) string {
	for _, corp := range s.cfg.corps {
		for _, a := range corp.Apps {
			if holds(text, a.Secret) {
				return "the secret of an app of " + corp.CorpID
			}
		}
	}
	for _, t := range corpTokenForm.FindAllString(text, -1) {
		if s.corpTokens[t] != nil {
			return "a token of WeCom"
		}
		if s.corpTickets[t] != nil {
			return "a user_ticket"
		}
	}
	return ""
}
