package wechattest

import (
	"io"
	"net"
	"net/http"
	"strings"
)

// apiEndpoints are the paths of api.weixin.qq.com that are simulated.
var apiEndpoints = []endpoint{
	{"sns/oauth2/access_token", snsFamily, "GET", (*Server).exchange},
	{"sns/oauth2/refresh_token", snsFamily, "GET", (*Server).refresh},
	{"sns/userinfo", snsFamily, "GET", (*Server).userInfo},
	{"sns/auth", snsFamily, "GET", (*Server).checkToken},
	{"sns/jscode2session", snsFamily, "GET", (*Server).code2Session},
}

// api serves one endpoint: note the call, wait at a gate, let a scripted fault
// have its turn, decide, write.
func (s *Server) api(e endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{request: r, query: r.URL.Query()}
		c.body, _ = io.ReadAll(io.LimitReader(r.Body, 64<<10)) // cut off or broken off: data format error
		if r.Method == http.MethodPost && strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
			if r.Body = io.NopCloser(strings.NewReader(string(c.body))); r.ParseForm() == nil && e.family == snsFamily {
				c.query = r.Form
			}
		}
		name := e.path
		if name == "" {
			name = strings.TrimPrefix(r.URL.Path, "/")
		}
		c.entry = s.note(r, name, c.query)
		if !s.pass(r, name) {
			return
		}
		fault := s.nextFault(name)
		if fault.before(s, w, r) {
			return
		}
		s.mu.Lock()
		a := s.decide(e, c, fault)
		c.entry.Errcode = a.code
		body, contentType := s.render(e.family, a, c), s.contentType(e.family)
		s.mu.Unlock()
		fault.write(s, w, r, contentType, body)
	})
}

func (s *Server) decide(e endpoint, c *call, f Fault) answer {
	if f.kind == faultErrcode {
		return refuse(f.code)
	}
	if !s.methodAllowed(e, c.request.Method) {
		if strings.HasPrefix(e.methods, "GET") {
			return refuse(43001)
		}
		return refuse(43002)
	}
	return e.answer(s, c)
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

func (s *Server) render(f family, a answer, c *call) string {
	if a.code != 0 {
		a.fields = []field{{"errcode", a.code}, {"errmsg", s.errmsg(f, a.code, remoteIP(c.request))}}
	}
	return a.encode()
}

func (s *Server) contentType(f family) string {
	if f == snsFamily && !s.on(JSONContentType) {
		return "text/plain"
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
