package wechattest

import (
	"fmt"
	"net/http"
	"strconv"
)

// corpErrmsgs are WeCom's texts, as far as they are known.
var corpErrmsgs = map[int]string{
	-1: "system busy", 40001: "invalid credential", 40003: "invalid userid", 40013: "invalid corpid", 40014: "invalid access_token",
	40029: "invalid code", 41001: "access_token missing", 41002: "corpid missing", 41004: "corpsecret missing", 42001: "access_token expired",
	45009: "api freq out of limit", 45033: "api concurrent out of limit", 48002: "api forbidden", 50001: "redirect_uri unauthorized",
	60011: "no privilege to access/modify contact/party/agent", 60020: "not allow to access from your ip", 60111: "userid not found",
	301002: "not allow operate another agent with this accesstoken",
}

// corpErrmsg returns the text of an errcode. Its hint has 25 digits, of which the
// first ten are the time in Unix seconds. Some calls return 40014 without it.
func (s *Server) corpErrmsg(path string, code int, ip string) string {
	text, known := corpErrmsgs[code]
	if !known {
		text = "error " + strconv.Itoa(code)
	}
	if code == 40014 && path == "cgi-bin/user/get" {
		return text
	}
	hint := fmt.Sprintf("%010d%015d", s.now().Unix(), s.rng.Int64N(1e15))
	return fmt.Sprintf("%s, hint: [%s], from ip: %s, more info at https://open.work.weixin.qq.com/devtool/query?e=%d", text, hint, ip, code)
}

// corpErrorFields returns the members of an error response. user/get fills in the
// lists of a member.
func (s *Server) corpErrorFields(path string, code int, ip string) []field {
	fields := []field{{"errcode", code}, {"errmsg", s.corpErrmsg(path, code, ip)}}
	if path == "cgi-bin/user/get" {
		for _, name := range []string{"department", "order", "is_leader_in_dept", "direct_leader"} {
			fields = append(fields, field{name, []string{}})
		}
	}
	return fields
}

// corpHeaders returns a response with the members of an error, and repeats its
// errcode and errmsg in the headers. That successful responses have them too is
// assumed.
func (s *Server) corpHeaders(w http.ResponseWriter, e endpoint, c *call, a response) response {
	errmsg := "ok"
	if a.code != 0 {
		a.fields = s.corpErrorFields(e.path, a.code, remoteIP(c.request))
		errmsg = a.fields[1].value.(string)
	}
	w.Header().Set("Error-Code", strconv.Itoa(a.code))
	w.Header().Set("Error-Msg", errmsg)
	return a
}
