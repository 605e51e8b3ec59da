package wechatauth

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/seal"
)

// A flow is one pending login. It lives in a cookie of the browser that began
// it, sealed and named after its state, and nowhere else: a visitor who never
// comes back from WeChat costs no memory, tabs do not disturb each other, and
// any instance can finish what another one began.
type flow struct {
	State    string       `json:"s"`
	Target   string       `json:"r"`           // return target
	AppID    string       `json:"a"`           // whom the code is for
	Scope    client.Scope `json:"p"`           // as asked
	Channel  Channel      `json:"-"`           // of the account
	IssuedAt int64        `json:"t"`           // Unix milliseconds
	Attempt  int          `json:"n,omitempty"` // automatic restarts before this one
	OpenID   string       `json:"o,omitempty"` // step-up: who has to come back
	UnionID  string       `json:"u,omitempty"` // likewise, where he is known by another account
	Key      []byte       `json:"k"`           // opens the login's outcome
}

const (
	// flowTTL is twice what WeChat gives a code, and as long as it takes to
	// read a consent page. The limit is inside the seal, because Max-Age binds
	// only honest browsers.
	flowTTL = 10 * time.Minute
	// flowKept is how long the browser keeps the cookie. After flowTTL it is
	// no login, but it still has the return target.
	flowKept = 24 * time.Hour
	// clockSkew is how far the clocks of two instances may be apart.
	clockSkew = 5 * time.Minute

	// Five tabs are more than anybody opens before the first comes back, and
	// 4,096 bytes leave room in the 8 KiB that servers give all headers.
	maxFlows       = 5
	maxFlowBytes   = 4096
	maxFlowsOpened = 8 // decryptions that a request may cost for each kind of cookie

	maxFlowsDropped = 20

	stateLength = 32 // [A-Za-z0-9]: 190 bits, a quarter of what WeChat allows
	flowKeySize = 16
)

const stateAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// newState returns 32 random characters of WeChat's alphabet for state,
// [A-Za-z0-9].
func newState() string {
	out := make([]byte, 0, stateLength)
	buf := make([]byte, 2*stateLength)
	for {
		rand.Read(buf) // never fails: crypto/rand ends the program instead
		for _, b := range buf {
			// 248 is the largest multiple of 62 in a byte: what is above
			// would make the first characters likelier.
			if b >= 248 {
				continue
			}
			if out = append(out, stateAlphabet[b%62]); len(out) == stateLength {
				return string(out)
			}
		}
	}
}

func validState(s string) bool {
	if len(s) != stateLength {
		return false
	}
	return strings.Trim(s, stateAlphabet) == ""
}

func newFlowKey() []byte {
	key := make([]byte, flowKeySize)
	rand.Read(key) // never fails: crypto/rand ends the program instead
	return key
}

// A sealer encrypts the values of cookies, as [seal.Ring] does.
type sealer interface {
	Seal(plain []byte, place ...string) string
	Open(text string, place ...string) ([]byte, error)
}

// cookieJar writes and reads the cookies of pending logins.
type cookieJar struct {
	ring   sealer
	prefix string // "__Host-wechat_" on https, "wechat_" on plain http
	tag    string // ends the names that are not a flow's
	secure bool
	bound  []string // what every seal is bound to, beside the cookie's name
	now    func() time.Time

	// Names that every anonymous request is searched for.
	flows, trails, snapshots, logouts, hops string
}

func newCookieJar(ring sealer, prefix, tag string) *cookieJar {
	return &cookieJar{
		ring: ring, prefix: prefix, tag: tag,
		// Whoever lets cookies through by the beginning of their names lets the
		// trail through with the flows: a login that comes back is counted.
		// Behind that beginning a flow's name has 16 letters, the trail's 5 or 12.
		flows: prefix + "flow_", trails: prefix + "flow_trail" + tag,
		snapshots: prefix + "snapshot" + tag, logouts: prefix + "out" + tag, hops: prefix + "hop" + tag,
	}
}

// flowCookieName names the cookie after its state, so that tabs do not
// overwrite each other. Half the state tells logins apart well enough.
func (j *cookieJar) flowCookieName(state string) string {
	return j.flowPrefix() + state[:stateLength/2]
}

func (j *cookieJar) flowPrefix() string { return j.flows }

// place is what the seal of a cookie is bound to.
func (j *cookieJar) place(purpose, name string) []string {
	return append([]string{purpose, name}, j.bound...)
}

// unseal opens a cookie that was sealed for this purpose under its own name.
func (j *cookieJar) unseal(name, value, purpose string) ([]byte, error) {
	if len(value) > maxFlowBytes {
		return nil, seal.ErrOpen
	}
	return j.ring.Open(value, j.place(purpose, name)...)
}

// find opens the cookie of this name. A neighbour on the same host can plant
// one beside ours: the first that opens is ours.
func (j *cookieJar) find(r *http.Request, purpose, name string) ([]byte, bool) {
	tried := 0
	for value := range cookieValues(r.Header, name) {
		if tried == maxFlowsOpened {
			break
		}
		tried++
		if plain, err := j.unseal(name, value, purpose); err == nil {
			return plain, true
		}
	}
	return nil, false
}

// seal returns v as the value of a cookie. JSON's escapes for HTML are left
// out: they would make six bytes of each "&" in a return target.
func (j *cookieJar) seal(v any, purpose, name string) (string, error) {
	var plain bytes.Buffer
	e := json.NewEncoder(&plain)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", err
	}
	return j.ring.Seal(plain.Bytes(), j.place(purpose, name)...), nil
}

// put sets the cookie of a new flow, and drops the oldest of those that the
// browser holds where there are too many.
func (j *cookieJar) put(w http.ResponseWriter, held []heldFlow, f flow) {
	name, value := j.sealFlow(f)
	for _, stale := range crowd(held, len(name)+len(value)) {
		j.drop(w, stale)
	}
	j.set(w, name, value, flowKept)
}

func (j *cookieJar) sealFlow(f flow) (name, value string) {
	name = j.flowCookieName(f.State)
	value = j.ring.Seal(f.json(), j.place("flow", name)...)
	if len(name)+len(value) > maxFlowBytes && f.Target != "/" {
		// A target of nothing but quotes outgrows the cookie, and the browser
		// would drop it whole. The login is worth more than the target.
		f.Target = "/"
		return j.sealFlow(f)
	}
	return name, value
}

// json encodes a flow as encoding/json does. It is written by hand, because every
// anonymous page visit makes one.
func (f flow) json() []byte {
	b := make([]byte, 0, 256+len(f.Target))
	b = appendText(append(b, `{"s":`...), f.State)
	b = appendText(append(b, `,"r":`...), f.Target)
	b = appendText(append(b, `,"a":`...), f.AppID)
	b = appendText(append(b, `,"p":`...), string(f.Scope))
	b = strconv.AppendInt(append(b, `,"t":`...), f.IssuedAt, 10)
	if f.Attempt != 0 {
		b = strconv.AppendInt(append(b, `,"n":`...), int64(f.Attempt), 10)
	}
	if f.OpenID != "" {
		b = appendText(append(b, `,"o":`...), f.OpenID)
	}
	if f.UnionID != "" {
		b = appendText(append(b, `,"u":`...), f.UnionID)
	}
	b = base64.StdEncoding.AppendEncode(append(b, `,"k":"`...), f.Key)
	return append(b, `"}`...)
}

// appendText appends a string as JSON. The escapes for HTML are left out: they
// would make six bytes of each "&" in a return target.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			var quoted bytes.Buffer
			e := json.NewEncoder(&quoted)
			e.SetEscapeHTML(false)
			_ = e.Encode(s) // a string always encodes
			return append(b, bytes.TrimSuffix(quoted.Bytes(), []byte("\n"))...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// A heldFlow is a flow cookie that a request brought.
type heldFlow struct {
	name string
	size int
	flow flow // the zero flow where it does not open, or was not tried
}

// held returns the flow cookies of a request, the newest first: browsers send
// the oldest first, and many tabs may begin within a second. What does not open
// comes last; it is another account's, perhaps, on the same host.
func (j *cookieJar) held(r *http.Request) []heldFlow {
	if !slices.ContainsFunc(r.Header["Cookie"], func(line string) bool { return strings.Contains(line, j.flowPrefix()) }) {
		return nil
	}
	var all []heldFlow
	opened := 0
	for _, c := range slices.Backward(r.Cookies()) {
		if len(c.Name) != len(j.flowPrefix())+stateLength/2 || !strings.HasPrefix(c.Name, j.flowPrefix()) {
			continue
		}
		h := heldFlow{name: c.Name, size: len(c.Name) + len(c.Value)}
		if opened < maxFlowsOpened {
			opened++
			h.flow, _ = j.open(c) // the zero flow on an error
		}
		all = append(all, h)
	}
	slices.SortStableFunc(all, func(a, b heldFlow) int { return cmp.Compare(b.flow.IssuedAt, a.flow.IssuedAt) })
	return all
}

// crowd returns the names of the flow cookies that have to go before one of
// size bytes is added: the last of those held. Of a flood it names
// maxFlowsDropped: the answer has to pass the proxies in front, and the rest
// goes with the next one.
func crowd(held []heldFlow, size int) []string {
	var drop []string
	kept := 1
	for _, h := range held {
		if size += h.size; kept >= maxFlows || size > maxFlowBytes {
			size -= h.size
			if len(drop) < maxFlowsDropped {
				drop = append(drop, h.name)
			}
			continue
		}
		kept++
	}
	return drop
}

// get finds the pending login of a state among the request's cookies. The
// reason is empty if it is there, opens, and is not expired. Otherwise the flow
// is good for its return target only.
func (j *cookieJar) get(r *http.Request, state string) (flow, Reason) {
	name := j.flowCookieName(state)
	tried, other := 0, flow{}
	for _, c := range r.CookiesNamed(name) {
		if tried++; tried > maxFlowsOpened {
			break
		}
		// A neighbour on the same host can plant a cookie of this name beside
		// ours: the first one that opens is ours.
		f, err := j.open(c)
		if err != nil {
			continue
		}
		if subtle.ConstantTimeCompare([]byte(f.State), []byte(state)) != 1 {
			other = f
			continue
		}
		if j.expired(f) {
			return f, ReasonStateExpired
		}
		return f, ""
	}
	if tried == 0 {
		return flow{}, ReasonFlowCookieMissing
	}
	return other, ReasonStateMismatch
}

// named returns the newest pending login whose cookie's name occurs in the
// query: text that was added to the state does not hide it. It is for the
// return target of a callback that is no login; the state is not compared.
func (j *cookieJar) named(r *http.Request) flow {
	for _, h := range j.held(r) {
		if h.flow.State != "" && strings.Contains(r.URL.RawQuery, strings.TrimPrefix(h.name, j.flowPrefix())) {
			return h.flow
		}
	}
	return flow{}
}

func (j *cookieJar) open(c *http.Cookie) (flow, error) {
	var f flow
	plain, err := j.unseal(c.Name, c.Value, "flow")
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(plain, &f); err != nil || !validState(f.State) || len(f.Key) != flowKeySize {
		return flow{}, seal.ErrOpen
	}
	return f, nil
}

func (j *cookieJar) expired(f flow) bool { return !isFresh(j.now(), f.IssuedAt, flowTTL) }

// isFresh reports whether something issued at a time in Unix milliseconds, by an
// instance whose clock may differ, is valid at now.
func isFresh(now time.Time, issuedAt int64, ttl time.Duration) bool {
	age := time.UnixMilli(now.UnixMilli()).Sub(time.UnixMilli(issuedAt)) // it saturates
	return age <= ttl && age >= -clockSkew
}

// set gives the browser a cookie. The line is written by hand, as
// http.Cookie.String writes it, because values are ours: base64url, or "1".
func (j *cookieJar) set(w http.ResponseWriter, name, value string, life time.Duration) {
	const most = len("=; Path=/; Max-Age=; HttpOnly; Secure; SameSite=Lax") + 20
	var line strings.Builder
	line.Grow(len(name) + len(value) + most)
	line.WriteString(name)
	line.WriteByte('=')
	line.WriteString(value)
	line.WriteString("; Path=/; Max-Age=")
	line.WriteString(strconv.FormatInt(int64(life/time.Second), 10))
	line.WriteString("; HttpOnly")
	if j.secure {
		line.WriteString("; Secure")
	}
	line.WriteString("; SameSite=Lax")
	w.Header().Add("Set-Cookie", line.String())
}

func (j *cookieJar) drop(w http.ResponseWriter, name string) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Path: "/", MaxAge: -1,
		Secure: j.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}
