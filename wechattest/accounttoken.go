package wechattest

import "time"

const (
	tokenOverlap    = 5 * time.Minute
	forcedInterval  = 30 * time.Second
	forcedPerDay    = 20
	accountTokenLen = 136 // WeChat promises no length
)

// An accountToken is a token of an account rather than of one of its users.
type accountToken struct {
	token    string
	appID    string
	expires  time.Time
	replaced bool // a newer token has replaced it, at expires
}

// replace ends the token when a newer one replaces it, unless it expires
// earlier.
func (t *accountToken) replace(at time.Time) {
	if t.expires.After(at) {
		t.expires, t.replaced = at, true
	}
}

// tokens holds the account tokens of one AppID. cgi-bin/token and stable_token
// are independent of each other.
type tokens struct {
	plain, stable *accountToken
	forced        time.Time // the last forced refresh
	forcedToday   int
}

func (s *Server) tokensOf(appID string) *tokens {
	if s.accountTokens[appID] == nil {
		s.accountTokens[appID] = &tokens{}
	}
	return s.accountTokens[appID]
}

func (s *Server) newAccountToken(appID string) *accountToken {
	t := &accountToken{token: s.prefixed(accountTokenLen), appID: appID, expires: s.now().Add(accessLife)}
	s.byAccountToken[t.token] = t
	return t
}

// accountToken returns the account whose token the call carries.
func (s *Server) accountToken(c *call) (Account, int) {
	t, ok := s.byAccountToken[c.request.URL.Query().Get("access_token")]
	switch {
	case c.request.URL.Query().Get("access_token") == "":
		return Account{}, 41001
	case !ok || s.world.Load().accounts[t.appID].Kind == Component:
		return Account{}, 40001
	case !s.now().Before(t.expires) && t.replaced:
		return Account{}, 40001 // "not latest"
	case !s.now().Before(t.expires):
		return Account{}, 42001
	}
	c.entry.AppID = t.appID
	return s.world.Load().accounts[t.appID], 0
}

func tokenFields(t *accountToken, now time.Time) response {
	return grantFields(field{"access_token", t.token}, field{"expires_in", int(t.expires.Sub(now) / time.Second)})
}

// plainToken serves cgi-bin/token. Each call issues a new token; the previous
// one remains valid for five minutes.
func (s *Server) plainToken(c *call) response {
	if errcode := missing(c.get("appid"), c.get("secret"), c.get("grant_type")); errcode != 0 {
		return errcodeResponse(errcode)
	}
	a, errcode := s.secret(c, c.get("appid"), c.get("secret"))
	if errcode != 0 {
		return errcodeResponse(errcode)
	}
	own := s.tokensOf(a.AppID)
	if own.plain != nil {
		own.plain.replace(s.now().Add(tokenOverlap))
	}
	own.plain = s.newAccountToken(a.AppID)
	return tokenFields(own.plain, s.now())
}

func missing(appID, secret, grantType string) int {
	switch {
	case appID == "":
		return 41002
	case secret == "":
		return 41004
	case grantType != "client_credential":
		return 40002
	}
	return 0
}

// stableToken serves cgi-bin/stable_token: a JSON POST that returns the same
// token until five minutes before it expires.
func (s *Server) stableToken(c *call) response {
	var grantType, appID, secret string
	var force bool
	in := map[string]any{"grant_type": &grantType, "appid": &appID, "secret": &secret, "force_refresh": &force}
	if len(c.body) > 0 && !readBody(c.body, in) {
		return errcodeResponse(47001)
	}
	c.entry.AppID = maskAppID(appID)
	if errcode := missing(appID, secret, grantType); errcode != 0 {
		return errcodeResponse(errcode)
	}
	a, errcode := s.secret(c, appID, secret)
	if errcode != 0 {
		return errcodeResponse(errcode)
	}
	own := s.tokensOf(a.AppID)
	if force && own.stable != nil {
		return s.forceStable(own)
	}
	if own.stable == nil || own.stable.expires.Sub(s.now()) <= tokenOverlap {
		own.stable = s.newAccountToken(a.AppID)
	}
	return tokenFields(own.stable, s.now())
}

// forceStable replaces the token immediately, at most 20 times a day and not
// twice within 30 seconds.
func (s *Server) forceStable(own *tokens) response {
	now := s.now()
	if !own.forced.IsZero() && now.Sub(own.forced) < forcedInterval {
		return tokenFields(own.stable, now)
	}
	if !sameDay(own.forced, now) {
		own.forcedToday = 0
	}
	if own.forcedToday >= forcedPerDay {
		return errcodeResponse(45009)
	}
	own.forcedToday++
	own.forced = now
	own.stable.replace(now)
	own.stable = s.newAccountToken(own.stable.appID)
	return tokenFields(own.stable, now)
}

func sameDay(a, b time.Time) bool {
	const day = 24 * 60 * 60
	return a.Unix()/day == b.Unix()/day
}
