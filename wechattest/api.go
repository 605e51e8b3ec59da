package wechattest

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// apiEndpoints are the simulated paths of api.weixin.qq.com and, from gettoken
// on, of WeCom's qyapi.weixin.qq.com.
var apiEndpoints = []endpoint{
	{"sns/oauth2/access_token", snsFamily, "GET", (*Server).exchange},
	{"sns/oauth2/refresh_token", snsFamily, "GET", (*Server).refresh},
	{"sns/userinfo", snsFamily, "GET", (*Server).userInfo},
	{"sns/auth", snsFamily, "GET", (*Server).checkToken},
	{"sns/oauth2/component/access_token", snsFamily, "GET", (*Server).componentExchange},
	{"sns/oauth2/component/refresh_token", snsFamily, "GET", (*Server).componentRefresh},
	{"sns/jscode2session", snsFamily, "GET", (*Server).code2Session},
	{"sns/component/jscode2session", snsFamily, "GET", (*Server).componentCode2Session},
	{"wxa/checksession", cgiFamily, "GET", (*Server).checkSession},
	{"wxa/resetusersessionkey", cgiFamily, "GET", (*Server).resetSession},
	{"wxa/business/getuserphonenumber", phoneFamily, "POST", (*Server).phoneNumber},
	{"cgi-bin/token", cgiFamily, "GET", (*Server).plainToken},
	{"cgi-bin/stable_token", cgiFamily, "POST", (*Server).stableToken},
	{"cgi-bin/component/api_component_token", cgiFamily, "POST", (*Server).componentToken},
	{"cgi-bin/gettoken", corpFamily, "GET", (*Server).corpGetToken},
	{"cgi-bin/auth/getuserinfo", corpFamily, "GET", (*Server).corpUserInfo},
	{"cgi-bin/user/getuserinfo", corpFamily, "GET", (*Server).corpUserInfoOld},
	{"cgi-bin/auth/getuserdetail", corpFamily, "POST", (*Server).corpUserDetail},
	{"cgi-bin/user/get", corpFamily, "GET", (*Server).corpMember},
	{"cgi-bin/miniprogram/jscode2session", corpFamily, "GET", (*Server).corpCode2Session},
}

// endpointNames returns the paths that can be scripted and limited.
func endpointNames() (names []string) {
	for _, e := range apiEndpoints {
		names = append(names, e.path)
	}
	return append(names, "connect/oauth2/authorize", "connect/oauth2/authorize_reply", "connect/qrconnect", "connect/confirm", "connect/l/qrconnect",
		"wwlogin/sso/login", "wwlogin/sso/confirm", "wwlogin/sso/l/qrconnect", "wwopen/sso/qrConnect")
}

// api serves one endpoint: it records the call, waits while the endpoint is
// blocked, applies a scripted fault, computes the response and writes it.
func (s *Server) api(e endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, name := readCall(r, e), e.path
		if name == "" {
			s.mu.Lock()
			name = s.maskPath(r.URL.Path)
			s.mu.Unlock()
		}
		c.entry = s.note(r, name, c.query)
		defer s.end(c.entry)
		if fromBrowser(r) {
			s.mu.Lock()
			s.inspect(r, name, string(c.body))
			s.mu.Unlock()
		}
		s.pass(r, name)
		fault := s.nextFault(c.entry)
		if fault.before(s, w, r) {
			return
		}
		s.mu.Lock()
		a := s.decide(e, c, fault)
		c.entry.Errcode = a.code
		if e.family == corpFamily {
			a = s.corpHeaders(w, e, c, a)
		}
		body, contentType := s.encode(e.family, a, c), s.contentType(e.family)
		s.wake()
		s.mu.Unlock()
		fault.write(s, w, r, contentType, body)
	})
}

// readCall parses the parameters: the query, or a posted form on sns.
func readCall(r *http.Request, e endpoint) *call {
	c := &call{request: r, query: r.URL.Query()}
	c.body, _ = io.ReadAll(io.LimitReader(r.Body, 64<<10)) // a truncated body does not parse later
	form := strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded")
	if e.family == snsFamily && r.Method == http.MethodPost && form {
		if posted, err := url.ParseQuery(string(c.body)); err == nil {
			for name, values := range posted {
				c.query[name] = append(c.query[name], values...)
			}
		}
	}
	return c
}

func (s *Server) decide(e endpoint, c *call, f Fault) response {
	switch {
	case f.kind == faultErrcode:
		return errcodeResponse(f.code)
	case s.on(RequireHTTPS) && c.request.TLS == nil:
		return errcodeResponse(43003)
	case !s.methodAllowed(e, c.request.Method):
		if strings.HasPrefix(e.methods, "GET") {
			return errcodeResponse(43001)
		}
		return errcodeResponse(43002)
	}
	if errcode := s.overQuota(e.path, s.quotaHolder(c)); errcode != 0 {
		return errcodeResponse(errcode)
	}
	return e.respond(s, c)
}

func (s *Server) methodAllowed(e endpoint, method string) bool {
	if e.family == snsFamily && method == http.MethodPost && s.on(AcceptPost) {
		return true
	}
	for _, m := range strings.Fields(e.methods) {
		if m == method {
			return true
		}
	}
	return false
}

func (s *Server) encode(f family, a response, c *call) string {
	if a.code != 0 && f != corpFamily {
		a.fields = []field{{"errcode", a.code}, {"errmsg", s.errmsg(f, a.code, remoteIP(c.request))}}
	}
	return a.encode()
}

func (s *Server) contentType(f family) string {
	if f == snsFamily && !s.on(JSONContentType) {
		return "text/plain"
	}
	if f == corpFamily {
		return "application/json; charset=UTF-8"
	}
	return "application/json; encoding=utf-8"
}

func remoteIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
