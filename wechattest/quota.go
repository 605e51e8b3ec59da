package wechattest

import (
	"cmp"
	"time"
)

// A Quota limits the calls of one endpoint; zero means no limit. On the API
// host, calls are counted per AppID (that of the access_token if the call
// carries one), and the errcode is 45011 for the minute and 45009 for the day.
// Calls without a known token or AppID are counted together. On the authorize
// page, visits are counted per person, and page 10009 is shown. Minutes and
// days follow the simulator's clock.
type Quota struct {
	PerMinute int `json:"per_minute"` // calls in a clock minute
	PerDay    int `json:"per_day"`    // calls in a day of UTC
}

// WithQuota limits an endpoint: a path of the API host, or
// "connect/oauth2/authorize". WeChat's other pages have no known limit, so a
// quota for them makes NewServer panic. By default, nothing is limited except
// stable_token's forced refreshes, to 20 a day.
func WithQuota(endpoint string, q Quota) Option {
	return func(c *config) { c.quotas[endpointName(endpoint)] = q }
}

type window struct {
	minute, day       int64
	inMinute, inToday int
}

// overQuota counts one call and returns 45011 or 45009 if it exceeds the quota.
func (s *Server) overQuota(endpoint, who string) int {
	q, limited := s.cfg.quotas[endpoint]
	if !limited {
		return 0
	}
	id := endpoint + "\x00" + who
	w := s.windows[id]
	now := s.now().Unix()
	if minute := now / 60; w.minute != minute {
		w.minute, w.inMinute = minute, 0
	}
	if day := now / int64(24*time.Hour/time.Second); w.day != day {
		w.day, w.inToday = day, 0
	}
	w.inMinute++
	w.inToday++
	s.windows[id] = w
	switch {
	case q.PerMinute > 0 && w.inMinute > q.PerMinute:
		return 45011
	case q.PerDay > 0 && w.inToday > q.PerDay:
		return 45009
	}
	return 0
}

// quotaHolder returns the AppID for which a call to the API host counts.
func (s *Server) quotaHolder(c *call) string {
	if g, ok := s.codes[c.get("js_code")]; ok && s.on(QuotaPerUser) {
		return g.appID + "\x00" + g.person.Name
	}
	if l, ok := s.logins[c.get("access_token")]; ok {
		return l.appID
	}
	if t, ok := s.byAccountToken[c.get("access_token")]; ok {
		return t.appID
	}
	var own, platform string
	readBody(c.body, map[string]any{"appid": &own, "component_appid": &platform})
	return cmp.Or(own, platform, c.get("appid"))
}
