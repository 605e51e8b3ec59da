package wechattest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Fault is a failure or an abnormal response, simulated for one call. Script
// it with [Server.Fail].
type Fault struct {
	kind        faultKind
	code        int
	delay       time.Duration
	contentType string
	body        string
	processed   bool
}

type faultKind int

const (
	faultNone faultKind = iota
	faultErrcode
	faultDelay
	faultHang
	faultReset
	faultRaw
	faultTruncated
	faultCodeAsString
	faultCodeZero
)

// String returns the name of the fault. ParseFault accepts most of these names.
func (f Fault) String() string {
	name := [...]string{"none", "errcode", "delay", "hang", "reset", "raw", "truncated", "errcode-as-string", "errcode-zero"}[f.kind]
	switch {
	case f.kind == faultErrcode && f.code == -1:
		return "busy"
	case f.kind == faultErrcode:
		return fmt.Sprintf("errcode:%d", f.code)
	case f.kind == faultDelay:
		return "delay:" + f.delay.String()
	case f.kind == faultRaw && f.code == http.StatusBadGateway:
		name = "bad-gateway"
	}
	if f.processed && f.kind <= faultRaw {
		name += "-processed"
	}
	return name
}

// faultNames are the faults that the control page offers and configuration
// files may name.
var faultNames = []choice{
	{Name: "busy", ZH: "系统繁忙 -1", EN: "busy, errcode -1"},
	{Name: "errcode:40001", ZH: "40001（刚换取令牌后可能出现）", EN: "40001, as right after an exchange"},
	{Name: "errcode:40029", ZH: "40029 code 无效", EN: "40029, invalid code"},
	{Name: "errcode:40163", ZH: "40163 code 已使用", EN: "40163, code been used"},
	{Name: "errcode:45011", ZH: "45011 超出每分钟配额", EN: "45011, quota per minute"},
	{Name: "delay:3s", ZH: "延迟 3 秒", EN: "delayed by 3 seconds"},
	{Name: "delay:20s", ZH: "延迟 20 秒", EN: "delayed by 20 seconds"},
	{Name: "hang", ZH: "不响应", EN: "no response"},
	{Name: "reset", ZH: "连接重置", EN: "connection reset"},
	{Name: "reset-processed", ZH: "处理后重置连接", EN: "processed, then reset"},
	{Name: "hang-processed", ZH: "处理后不响应", EN: "processed, then no response"},
	{Name: "bad-gateway", ZH: "502 HTML", EN: "502 with HTML"},
	{Name: "truncated", ZH: "JSON 截断", EN: "truncated JSON"},
	{Name: "errcode-as-string", ZH: "errcode 为字符串", EN: "errcode as a string"},
	{Name: "errcode-zero", ZH: "成功时返回 errcode 0", EN: "errcode 0 on success"},
}

// ParseFault parses the name of a fault: busy, errcode:N, delay:DURATION, hang,
// reset, bad-gateway, truncated, errcode-as-string, errcode-zero,
// hang-processed, reset-processed or bad-gateway-processed. It returns an error
// for any other name, and for a number or duration that is malformed, zero or
// negative, except that errcodes may be negative.
func ParseFault(name string) (Fault, error) {
	base, processed := strings.CutSuffix(name, "-processed")
	kind, value, _ := strings.Cut(base, ":")
	var f Fault
	switch kind {
	case "busy":
		f = Busy()
	case "errcode":
		code, err := strconv.Atoi(value)
		if err != nil || code == 0 {
			return Fault{}, fmt.Errorf("fault %q: errcode must be a number, as in errcode:40029", name)
		}
		f = Errcode(code)
	case "delay":
		d, err := time.ParseDuration(value)
		if err != nil || d <= 0 {
			return Fault{}, fmt.Errorf("fault %q: delay must be a duration, as in delay:3s", name)
		}
		f = Delay(d)
	case "hang":
		f = Hang()
	case "reset":
		f = Reset()
	case "bad-gateway":
		f = BadGateway()
	case "truncated":
		f = Truncated()
	case "errcode-as-string":
		f = ErrcodeAsString()
	case "errcode-zero":
		f = ErrcodeZero()
	default:
		return Fault{}, fmt.Errorf("unknown fault %q", name)
	}
	if processed {
		f = f.AfterProcessing()
	}
	return f, nil
}

// Errcode responds with an errcode and has no other effect: a code sent with
// the call is not used up. On a page, code is the number of the error page.
func Errcode(code int) Fault { return Fault{kind: faultErrcode, code: code} }

// Busy responds with errcode -1.
func Busy() Fault { return Errcode(-1) }

// Delay responds as usual, but d later in real time.
func Delay(d time.Duration) Fault { return Fault{kind: faultDelay, delay: d} }

// Hang never responds; the caller must time out.
func Hang() Fault { return Fault{kind: faultHang} }

// Reset resets the connection without a response.
func Reset() Fault { return Fault{kind: faultReset} }

// BadGateway responds with a 502 and an HTML body, as a proxy in front of
// WeChat might.
func BadGateway() Fault {
	return Raw(http.StatusBadGateway, "text/html", "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>\n")
}

// Raw responds with the given status, Content-Type and body.
func Raw(status int, contentType, body string) Fault {
	return Fault{kind: faultRaw, code: status, contentType: contentType, body: body}
}

// Truncated responds as usual, but only with the first half of the bytes.
func Truncated() Fault { return Fault{kind: faultTruncated, processed: true} }

// ErrcodeAsString responds as usual, with errcode as a JSON string.
func ErrcodeAsString() Fault { return Fault{kind: faultCodeAsString, processed: true} }

// ErrcodeZero adds errcode 0 and errmsg ok to a successful response.
func ErrcodeZero() Fault { return Fault{kind: faultCodeZero, processed: true} }

// AfterProcessing returns the same fault for a response that is lost on the
// way: the call takes effect first, so its code is used up.
func (f Fault) AfterProcessing() Fault {
	f.processed = true
	return f
}

// Fail scripts the next calls of an endpoint: one fault for each call, after
// those scripted before. The zero Fault has no effect on its call. On pages,
// faults that change JSON have no effect. Fail panics if the endpoint does not
// exist.
func (s *Server) Fail(endpoint string, faults ...Fault) {
	mustEndpoint(endpoint)
	s.mu.Lock()
	defer s.mu.Unlock()
	name := endpointName(endpoint)
	s.faults[name], s.scenario = append(s.faults[name], faults...), ""
}

// WithFault scripts faults from the start; see [Server.Fail].
func WithFault(endpoint string, faults ...Fault) Option {
	return func(c *config) {
		name := endpointName(endpoint)
		c.faults[name] = append(c.faults[name], faults...)
	}
}

// nextFault returns the fault scripted for this call and records it in the
// journal.
func (s *Server) nextFault(c *Call) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	queue := s.faults[c.Endpoint]
	if len(queue) == 0 {
		return Fault{}
	}
	s.faults[c.Endpoint] = queue[1:]
	if queue[0].kind != faultNone {
		c.Fault = queue[0].String()
	}
	return queue[0]
}

// Block holds every call of an endpoint, after it was counted and before it
// takes effect, until release is called. release may be called more than once.
// Block panics if the endpoint does not exist.
func (s *Server) Block(endpoint string) (release func()) {
	mustEndpoint(endpoint)
	s.mu.Lock()
	defer s.mu.Unlock()
	name, gate := endpointName(endpoint), make(chan struct{})
	s.gates[name] = append(s.gates[name], gate)
	var once sync.Once
	return func() {
		once.Do(func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			for i, g := range s.gates[name] {
				if g == gate {
					s.gates[name] = append(s.gates[name][:i:i], s.gates[name][i+1:]...)
				}
			}
			close(gate)
		})
	}
}

// mustEndpoint panics on a typing error, which would otherwise make a test wait
// forever.
func mustEndpoint(endpoint string) {
	if !slices.Contains(endpointNames(), endpointName(endpoint)) {
		panic("wechattest: unknown endpoint " + endpoint)
	}
}

// pass waits while the endpoint is blocked. It aborts the connection if the
// caller disconnects or the simulator is closed.
func (s *Server) pass(r *http.Request, name string) {
	s.mu.Lock()
	gates := s.gates[name]
	s.mu.Unlock()
	for _, gate := range gates {
		if !s.wait(r, gate) {
			panic(http.ErrAbortHandler)
		}
	}
}

func (s *Server) wait(r *http.Request, c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	case <-s.done:
		return false
	case <-r.Context().Done():
		return false
	}
}

// before applies a fault that precedes the response, and reports whether the
// call has ended.
func (f Fault) before(s *Server, w http.ResponseWriter, r *http.Request) bool {
	if f.kind == faultDelay {
		elapsed := make(chan struct{})
		timer := time.AfterFunc(f.delay, func() { close(elapsed) })
		defer timer.Stop()
		if !s.wait(r, elapsed) {
			panic(http.ErrAbortHandler)
		}
		return false
	}
	if f.processed || f.kind == faultNone || f.kind == faultErrcode {
		return false
	}
	return f.spoil(s, w, r)
}

// spoil applies the fault. It returns false if the fault only changes the
// response.
func (f Fault) spoil(s *Server, w http.ResponseWriter, r *http.Request) bool {
	switch f.kind {
	case faultHang:
		s.wait(r, nil)
	case faultReset:
		if resetConnection(w) {
			return true
		}
	case faultRaw:
		w.Header().Set("Content-Type", f.contentType)
		w.WriteHeader(f.code)
		io.WriteString(w, f.body)
		return true
	default:
		return false
	}
	panic(http.ErrAbortHandler) // net/http closes the connection
}

// resetConnection closes the connection with a TCP reset, if it is accessible.
func resetConnection(w http.ResponseWriter) bool {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return false
	}
	defer conn.Close()
	if over, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = over.NetConn() // below TLS
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
		tcp.Close()
	}
	return true
}

// write writes the response, changed as the fault requires.
func (f Fault) write(s *Server, w http.ResponseWriter, r *http.Request, contentType, body string) {
	if f.processed && f.spoil(s, w, r) {
		return
	}
	switch f.kind {
	case faultTruncated:
		body = body[:len(body)/2]
	case faultCodeAsString:
		body = errcodeAsString(body)
	case faultCodeZero:
		if !strings.Contains(body, `"errcode"`) {
			body = strings.TrimSuffix(body, "}") + `,"errcode":0,"errmsg":"ok"}`
		}
	}
	w.Header().Set("Content-Type", contentType)
	io.WriteString(w, body)
}

var errcodeNumber = regexp.MustCompile(`"errcode":(-?\d+)`)

func errcodeAsString(body string) string {
	return errcodeNumber.ReplaceAllString(body, `"errcode":"$1"`)
}
