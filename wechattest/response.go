package wechattest

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// A family is the WeChat backend that serves an endpoint. Families differ in
// Content-Type and in the tail of errmsg.
type family int

const (
	snsFamily family = iota
	cgiFamily
	phoneFamily
	corpFamily // WeCom
)

// An endpoint is one path of the API host.
type endpoint struct {
	path    string
	family  family
	methods string // allowed methods, separated by a space
	respond func(*Server, *call) response
}

// A call is one request to the API host with its parsed parameters.
type call struct {
	request *http.Request
	query   url.Values
	body    []byte
	entry   *Call
}

func (c *call) get(name string) string { return c.query.Get(name) }

// A response is the result of a call: an errcode, or fields in order.
type response struct {
	code   int
	fields []field
}

type field struct {
	name  string
	value any // string, int, []string, []field, rawJSON
}

// rawJSON is a value that is written unchanged.
type rawJSON string

func errcodeResponse(code int) response { return response{code: code} }
func grantFields(f ...field) response   { return response{fields: f} }

// ok returns a success with an explicit errcode 0, as wxa and sns/auth send it.
func ok(f ...field) response {
	return response{fields: append([]field{{"errcode", 0}, {"errmsg", "ok"}}, f...)}
}

var statusOK = ok()

func unknownPath(*Server, *call) response { return errcodeResponse(40066) }

// errmsgs are WeChat's own texts, as far as they are known; see errmsg for the
// rest.
var errmsgs = map[int]string{
	-1:    "system error",
	40001: "invalid credential, access_token is invalid or not latest",
	40002: "invalid grant_type",
	40003: "invalid openid",
	40013: "invalid appid",
	40014: "invalid access_token",
	40029: "invalid code",
	40030: "invalid refresh_token",
	40066: "invalid url",
	40090: "invalid request source (bad client ip)",
	40094: "invalid component credential",
	40125: "invalid appsecret",
	40163: "code been used",
	40226: "code blocked",
	40243: "appsecret frozen",
	41001: "access_token missing",
	41002: "appid missing",
	41003: "refresh_token missing",
	41004: "appsecret missing",
	41008: "missing code",
	41009: "missing openid",
	41018: "missing component_appid",
	41019: "missing component_appsecret",
	41021: "missing component_access_token",
	42001: "access_token expired",
	42002: "refresh_token expired",
	42003: "code expired",
	42007: "access_token and refresh_token exception",
	43001: "require GET method",
	43002: "require POST method",
	43003: "require https",
	44002: "empty post data",
	45009: "reach max api daily quota limit",
	45011: "api minute-quota reach limit mustslower retry next minute",
	47001: "data format error",
	48001: "api unauthorized",
	50001: "user unauthorized",
	50002: "user limited",
	61003: "component is not authorized by this account",
	61004: "access clientip is not registered",
	61005: "component ticket is expired",
	61006: "component ticket is invalid",
	61011: "invalid component",
	87007: "session_key is not existed or expired",
	87008: "invalid sig_method",
	87009: "invalid signature",
}

// errmsg returns the text of an errcode with the tail of its family.
func (s *Server) errmsg(f family, code int, ip string) string {
	text, ok := errmsgs[code]
	switch {
	case code == 40164:
		text = fmt.Sprintf("invalid ip %s ipv6 ::ffff:%s, not in whitelist", ip, ip)
	case !ok:
		text = "error " + strconv.Itoa(code)
	}
	switch f {
	case snsFamily:
		return text + ", rid: " + s.rid()
	case phoneFamily:
		return fmt.Sprintf("%s hint: [%s-%s] rid: %s", text, s.text(7), s.text(6), s.rid())
	}
	return text + " rid: " + s.rid()
}

// rid returns a request id in WeChat's form, whose first group is the time in
// hexadecimal.
func (s *Server) rid() string {
	return fmt.Sprintf("%08x-%08x-%08x", uint32(s.now().Unix()), s.rng.Uint32(), s.rng.Uint32())
}

const alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// text returns n random characters of [0-9A-Za-z].
func (s *Server) text(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphanumeric[s.rng.IntN(len(alphanumeric))]
	}
	return string(b)
}

func (a response) encode() string {
	var b strings.Builder
	encode(&b, a.fields)
	return b.String()
}

// encode writes JSON as WeChat does: fields in order, slashes escaped,
// everything else except quotes and backslashes raw.
func encode(b *strings.Builder, value any) {
	switch v := value.(type) {
	case string:
		b.WriteString(`"` + wireEscaper.Replace(v) + `"`)
	case rawJSON:
		b.WriteString(string(v))
	case int:
		b.WriteString(strconv.Itoa(v))
	case []string:
		for i, s := range v {
			b.WriteString([]string{"[", ","}[min(i, 1)])
			encode(b, s)
		}
		b.WriteString([]string{"[]", "]"}[min(len(v), 1)])
	case []field:
		b.WriteByte('{')
		for i, f := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			encode(b, f.name)
			b.WriteByte(':')
			encode(b, f.value)
		}
		b.WriteByte('}')
	default:
		panic(fmt.Sprintf("wechattest: no wire form for %T", value))
	}
}

var wireEscaper = strings.NewReplacer(`"`, `\"`, `\`, `\\`, `/`, `\/`)
