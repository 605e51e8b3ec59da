package wechattest

import (
	"encoding/base64"
	"time"
)

// sessionKey is the one valid session_key of a person in a mini program.
type sessionKey struct {
	key     string
	expires time.Time
}

// JSCode is what wx.login gives the mini program on that person's phone: a
// code for sns/jscode2session. It panics if there is no such mini program or
// person.
func (s *Server) JSCode(appID, person string) string {
	return s.miniCode(miniFlow, appID, person)
}

func (s *Server) miniCode(f flow, appID, person string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.people[person]
	if !ok {
		panic("wechattest: no person is called " + person)
	}
	if s.accounts[appID].Kind != MiniProgram {
		panic("wechattest: no mini program has the AppID " + appID)
	}
	return s.newCode(&grant{flow: f, appID: appID, person: p})
}

// code2Session is sns/jscode2session.
func (s *Server) code2Session(c *call) answer {
	code := c.get("js_code")
	a, errcode := s.credentials(c, code)
	if errcode != 0 {
		s.burn(code)
		return refuse(errcode)
	}
	g, errcode := s.spend(miniFlow, a.AppID, "", code)
	if errcode != 0 {
		return refuse(errcode)
	}
	return s.miniLogin(a, g)
}

func (s *Server) miniLogin(a Account, g *grant) answer {
	if g.person.HighRisk {
		return refuse(40226)
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

const sessionKeyLife = 3 * 24 * time.Hour // WeChat publishes no figure

func (s *Server) sessionKeyOf(appID, person string) *sessionKey {
	id := appID + "\x00" + person
	if k := s.keys[id]; k != nil && s.now().Before(k.expires) {
		return k
	}
	s.keys[id] = &sessionKey{key: s.newSessionKey(), expires: s.now().Add(sessionKeyLife)}
	return s.keys[id]
}

// newSessionKey is 16 bytes in base64, 24 characters.
func (s *Server) newSessionKey() string {
	b := make([]byte, 16)
	for i := range b {
		b[i] = byte(s.rng.Uint32())
	}
	return base64.StdEncoding.EncodeToString(b)
}
