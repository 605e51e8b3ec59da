package leak

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/redisstore"
	"github.com/alexedwards/scs/v2"
	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// A leakFault is one thing that goes wrong. After run has caused it, a user
// takes the tour.
type leakFault struct {
	name  string
	want  string        // what is logged when the fault occurs
	redis time.Duration // how long its store waits for it; 0 without
	opts  func(t *testing.T) []wechatauth.Option
	made  func(t *testing.T) *leakSite // in place of redis and opts
	run   func(x *leakSite)

	endpoint string // of WeChat's, if only that one fails
}

func (f leakFault) site(t *testing.T) *leakSite {
	t.Helper()
	if f.made != nil {
		return f.made(t)
	}
	var opts []wechatauth.Option
	if f.opts != nil {
		opts = f.opts(t)
	}
	return newLeakSite(t, f.redis, opts...)
}

var leakFaults = concat(
	faultsOfWeChat(), faultsOfPeers(), faultsOfTheNetwork(), faultsOfCallbacks(), faultsOfRedis(), faultsOfForeignStores(), faultsOfHooks(),
)

func concat(lists ...[]leakFault) (all []leakFault) {
	for _, list := range lists {
		all = append(all, list...)
	}
	return all
}

func nothing(*leakSite) {}

// patienceForRedis is more than a busy machine needs.
const patienceForRedis = time.Second

func with(opts ...wechatauth.Option) func(*testing.T) []wechatauth.Option {
	return func(*testing.T) []wechatauth.Option { return opts }
}

// some returns the names of the faults of an endpoint: all of them for the
// exchange of a code, every third for the others, which share its code.
func some[V any](endpoint string, faults map[string]V) (names []string) {
	for i, name := range slices.Sorted(maps.Keys(faults)) {
		if endpoint == authtest.TokenEndpoint || i%3 == 0 {
			names = append(names, name)
		}
	}
	return names
}

// faultsOfWeChat returns the simulator's faults, at both endpoints.
func faultsOfWeChat() (all []leakFault) {
	for _, endpoint := range []string{authtest.TokenEndpoint, authtest.ProfileEndpoint, authtest.MiniEndpoint, authtest.RefreshEndpoint} {
		responses := map[string]struct {
			fault wechattest.Fault
			want  string
		}{
			"is busy":                          {wechattest.Busy(), "errcode=-1"},
			"reports an invalid code":          {wechattest.Errcode(40029), "errcode=40029"},
			"reports a used code":              {wechattest.Errcode(40163), "errcode=40163"},
			"reports a wrong AppSecret":        {wechattest.Errcode(40125), "errcode=40125"},
			"reports a wrong AppID":            {wechattest.Errcode(40013), "errcode=40013"},
			"rejects the server's address":     {wechattest.Errcode(40164), "errcode=40164"},
			"reports an exceeded quota":        {wechattest.Errcode(45009), "errcode=45009"},
			"reports a limited user":           {wechattest.Errcode(50002), "errcode=50002"},
			"returns an unknown errcode":       {wechattest.Errcode(99999), "errcode=99999"},
			"breaks the connection":            {wechattest.Reset(), "endpoint=sns/"},
			"breaks it after the work is done": {wechattest.Reset().AfterProcessing(), "endpoint=sns/"},
			"responds with 502":                {wechattest.BadGateway(), "HTTP status 502"},
			"sends half of it":                 {wechattest.Truncated(), "endpoint=sns/"},
			"returns an errcode in quotes":     {wechattest.Errcode(40001), "errcode=40001"},
			"sends nothing":                    {wechattest.Raw(200, "text/plain", ""), "response "},
			"sends null":                       {wechattest.Raw(200, "text/plain", "null"), "response "},
			"sends a page":                     {wechattest.Raw(200, "text/html", "<html>"), "response "},
			"responds with 429":                {wechattest.Raw(429, "text/plain", "slow down"), "HTTP status 429"},
			"sends too much":                   {wechattest.Raw(200, "text/plain", strings.Repeat("a", 70<<10)), "longer than 64 KiB"},
		}
		for _, name := range some(endpoint, responses) {
			a := responses[name]
			all = append(all, leakFault{name: "WeChat's " + endpoint + " " + name, want: a.want, endpoint: endpoint, run: func(x *leakSite) {
				// Twice, because an unusable code restarts the login.
				x.Sim.Fail(endpoint, a.fault, a.fault)
			}})
		}
	}
	return append(all,
		leakFault{name: "WeChat does not respond", want: "upstream_timeout", opts: with(wechatauth.WithHTTPClient(&http.Client{Timeout: 50 * time.Millisecond})),
			run: func(x *leakSite) { x.Sim.Fail(authtest.TokenEndpoint, wechattest.Hang()) }},
		leakFault{name: "WeChat does not respond for the profile", want: "endpoint=sns/userinfo", opts: with(wechatauth.WithHTTPClient(&http.Client{Timeout: 50 * time.Millisecond})),
			run: func(x *leakSite) {
				x.Sim.Fail(authtest.ProfileEndpoint, wechattest.Hang(), wechattest.Hang(), wechattest.Hang())
			}},
		leakFault{name: "WeChat gives a virtual user", want: "snapshot_user", run: func(x *leakSite) { x.Sim.SetEnvironment(wechattest.Snapshot) }},
		leakFault{name: "WeChat responds for another user", want: "response ", run: func(x *leakSite) {
			x.Sim.Fail(authtest.ProfileEndpoint, wechattest.Raw(200, "text/plain", `{"openid":"oSomebodyElse0123","nickname":"a"}`))
		}},
	)
}

// hostile has peers that repeat what they were sent: a proxy's error page, a
// server of another protocol, an attacker in WeChat's place.
var hostile = map[string]func(said string) string{ // all bytes of the response; said is the request
	"in errmsg":             func(s string) string { return ok(`{"errcode":40125,"errmsg":"invalid ` + s + `"}`) },
	"in errmsg, in hex":     func(s string) string { return ok(`{"errcode":40125,"errmsg":"` + hexValues(s) + `"}`) },
	"in errmsg, with lines": func(s string) string { return ok(`{"errcode":99999,"errmsg":"a\n` + forgedLine + `\n` + s + `"}`) },
	"in rid":                func(s string) string { return ok(`{"errcode":99999,"errmsg":"a rid: ` + secretsIn(s)[0] + `"}`) },
	"in errcode":            func(s string) string { return ok(`{"errcode":"` + s + `"}`) },
	"in a name":             func(s string) string { return ok(`{"` + s + `":1,"` + s + `":2}`) },
	"in openid":             func(s string) string { return ok(`{"access_token":"a","openid":"` + s + `"}`) },
	"in expires_in": func(s string) string {
		return ok(`{"access_token":{"` + s + `":1},"openid":"` + s + `","expires_in":"` + s + `"}`)
	},
	"after the response":     func(s string) string { return ok(`{"errcode":0} ` + s) },
	"in place of a response": ok,
	"on a 502":               func(s string) string { return status("502 Bad Gateway", s) },
	"in the reason of a 500": func(s string) string { return status("500 "+s, s) },
	"in the status line":     func(s string) string { return "HTTP/1.1 " + s + "\r\n\r\n" },
	"in the protocol":        func(s string) string { return s + "\r\n\r\n" },
	"in a header":            func(s string) string { return "HTTP/1.1 200 OK\r\nX-A: " + s + "\r\nContent-Length: 1\r\n\r\na" },
	"in a malformed header":  func(s string) string { return "HTTP/1.1 200 OK\r\n" + s + "\r\n\r\n" },
	"in Content-Length":      func(s string) string { return "HTTP/1.1 200 OK\r\nContent-Length: " + s + "\r\n\r\n" },
	"in Transfer-Encoding":   func(s string) string { return "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + s + "\r\n\r\n" },
	"in a chunk":             func(s string) string { return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + s + "\r\n" },
	"in too many headers":    func(s string) string { return "HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat(s, 600) + "\r\n\r\n" },
	"in an early hint": func(s string) string {
		return "HTTP/1.1 103 Early Hints\r\nLink: <" + s + ">\r\n\r\n" + status("503 a", "")
	},
	"in a redirect": func(s string) string {
		return "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/?" + s + "\r\nContent-Length: 0\r\n\r\n"
	},
	"in a broken redirect": func(s string) string {
		return "HTTP/1.1 302 Found\r\nLocation: %zz" + s + "\r\nContent-Length: 0\r\n\r\n"
	},
	"in Content-Encoding": func(s string) string {
		return "HTTP/1.1 200 OK\r\nContent-Encoding: " + s + "\r\nContent-Length: 1\r\n\r\na"
	},
	"in switching protocols": func(s string) string {
		return "HTTP/1.1 101 " + s + "\r\nUpgrade: " + s + "\r\nConnection: Upgrade\r\n\r\n"
	},
	"in an unrequested response": func(s string) string {
		return "HTTP/1.1 401 a\r\nWWW-Authenticate: Basic realm=\"" + s + "\"\r\nContent-Length: 0\r\n\r\n"
	},
	"before it hangs up":     func(s string) string { return "HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{\"openid\":\"" + s },
	"in JSON inside of JSON": func(s string) string { return ok(`{"errcode":99999,"errmsg":"{\"url\":\"` + s + `\"}"}`) },
	"in an array":            func(s string) string { return ok(`["` + s + `"]`) },
	"in the scope":           func(s string) string { return ok(`{"access_token":"a b","openid":"o","scope":"` + s + `"}`) },
	"as a cookie":            func(s string) string { return "HTTP/1.1 403 a\r\nSet-Cookie: a=" + s + "\r\nContent-Length: 0\r\n\r\n" },
	"escaped once more":      func(s string) string { return ok(`{"errcode":99999,"errmsg":"` + url.QueryEscape(s) + `"}`) },
	"with the name elsewhere": func(s string) string {
		return ok(`{"errcode":99999,"errmsg":"` + strings.Join(secretsIn(s), " ") + `"}`)
	},
}

func ok(body string) string { return status("200 OK", body) }

func status(line, body string) string {
	return fmt.Sprintf("HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", line, len(body), body)
}

// secretsIn returns the values of a query that are secret, the longest first.
func secretsIn(query string) (all []string) {
	q, _ := url.ParseQuery(query)
	for _, name := range []string{"access_token", "refresh_token", "secret", "code", "js_code", "openid"} {
		all = append(all, q[name]...)
	}
	return all
}

func hexValues(query string) string {
	var b strings.Builder
	for _, v := range secretsIn(query) {
		b.WriteString(hex.EncodeToString([]byte(v)) + " ")
	}
	return b.String()
}

func faultsOfPeers() (all []leakFault) {
	for _, endpoint := range []string{authtest.TokenEndpoint, authtest.ProfileEndpoint, authtest.MiniEndpoint, authtest.RefreshEndpoint} {
		for _, name := range some(endpoint, hostile) {
			peer := hostile[name]
			all = append(all, leakFault{name: "a peer in place of WeChat repeats " + endpoint + "'s query " + name, want: "endpoint=" + endpoint[1:], endpoint: endpoint, run: func(x *leakSite) {
				x.respondFor(endpoint, peer)
			}})
		}
	}
	return all
}

// respondFor sends a response byte for byte in place of WeChat's.
func (x *leakSite) respondFor(endpoint string, respond func(said string) string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.peer = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != endpoint {
			return false
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return false
		}
		_, _ = io.WriteString(conn, respond(r.URL.RawQuery)) // some of these test a peer that hangs up early
		_ = conn.Close()
		return true
	}
}

func transport(rt http.RoundTripper) func(*testing.T) []wechatauth.Option {
	return with(wechatauth.WithHTTPClient(&http.Client{Transport: rt}))
}

// faultsOfTheNetwork returns faults between the application and WeChat.
func faultsOfTheNetwork() []leakFault {
	proxy := func(u string) *http.Transport {
		return &http.Transport{Proxy: func(*http.Request) (*url.URL, error) { return url.Parse(u) }}
	}
	elsewhere := func(api string) func(*testing.T) []wechatauth.Option {
		return with(wechatauth.WithEndpoints(client.Endpoints{Open: "https://open.example.com", API: api}))
	}
	return []leakFault{
		{name: "WeChat cannot be reached", want: "connection refused", run: func(x *leakSite) {
			x.get("/a") // logged in; the next login fails
			x.submit(x.b, "/wechat/logout", nil)
			x.api.Close()
		}},
		{name: "WeChat speaks no TLS", want: "login_started", opts: elsewhere("https://127.0.0.1:1"), run: nothing},
		{name: "a proxy cannot be reached", want: "connection refused", opts: transport(proxy("http://user:" + canaryPassword + "@127.0.0.1:1")), run: nothing},
		{name: "a proxy that cannot be chosen", want: "endpoint=sns/", run: nothing,
			opts: transport(&http.Transport{Proxy: func(r *http.Request) (*url.URL, error) { return nil, fmt.Errorf("no proxy for %s", r.URL) }})},
		{name: "a transport whose error has the URL", want: "endpoint=sns/", run: nothing,
			opts: transport(authtest.RoundTripper(func(r *http.Request) (*http.Response, error) {
				return nil, &url.Error{Op: "Get", URL: r.URL.String(), Err: fmt.Errorf("cannot send %s", r.URL)}
			}))},
		{name: "a transport whose error has the query in two parts", want: "endpoint=sns/", run: nothing,
			opts: transport(authtest.RoundTripper(func(r *http.Request) (*http.Response, error) {
				return nil, errors.Join(fmt.Errorf("cannot send %q", r.URL.Query()), fmt.Errorf("to %v", r.URL.RawQuery))
			}))},
		{name: "a transport whose body fails with the URL", want: "endpoint=sns/", run: nothing,
			opts: transport(authtest.RoundTripper(func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 200, Body: io.NopCloser(brokenReader{fmt.Errorf("cut off while reading %s", r.URL)})}, nil
			}))},
		{name: "a transport that panics", want: "panics", run: nothing,
			opts: transport(authtest.RoundTripper(func(*http.Request) (*http.Response, error) { panic("the transport panics on purpose") }))},
	}
}

type brokenReader struct{ err error }

func (r brokenReader) Read([]byte) (int, error) { return 0, r.err }

// faultsOfCallbacks returns the callbacks of another browser, or of a client
// that is no browser.
func faultsOfCallbacks() (all []leakFault) {
	const foreign = "flow_cookie_missing"
	changed := map[string]struct {
		change func(callback string) string
		want   string
	}{
		"as it is":                  {func(c string) string { return c }, foreign},
		"without its state":         {func(c string) string { return strings.Replace(c, "state=", "x=", 1) }, "callback_malformed"},
		"with its state twice":      {func(c string) string { return c + "&" + c[strings.Index(c, "state="):] }, "callback_malformed"},
		"with its code twice":       {func(c string) string { return c + "&" + c[strings.Index(c, "code="):] }, "callback_malformed"},
		"with code and state mixed": {func(c string) string { return strings.NewReplacer("code=", "state=", "state=", "code=").Replace(c) }, foreign},
		"with semicolons":           {func(c string) string { return strings.ReplaceAll(c, "&", ";") }, "callback_malformed"},
		"with 9,000 bytes":          {func(c string) string { return c + "&a=" + strings.Repeat("a", 9000) }, "callback_malformed"},
		"with half an escape":       {func(c string) string { return c + "%2" }, "callback_malformed"},
		"with an error":             {func(c string) string { return c + "&error=a&error_description=" + url.QueryEscape(c) }, foreign},
		"with a line break":         {func(c string) string { return c + "%0A" + url.QueryEscape("\n"+forgedLine) }, "callback_malformed"},
		"with a NUL":                {func(c string) string { return c + "%00" }, "callback_malformed"},
		"with itself as next":       {func(c string) string { return c + "&next=" + url.QueryEscape(c) }, foreign},
		"below another path":        {func(c string) string { return strings.Replace(c, "/callback", "/callback/x", 1) }, foreign},
		"as a login's next":         {func(c string) string { return strings.Replace(c, "/callback?", "/login?next=/wechat/callback?", 1) }, foreign},
		"as an upgrade's next":      {func(c string) string { return "/wechat/upgrade?next=" + url.QueryEscape(c) }, foreign},
		"on a page":                 {func(c string) string { return strings.Replace(c, "/wechat/callback", "/shop", 1) + "&a=1" }, foreign},
		"on a page, with capitals":  {func(c string) string { return strings.Replace(c, "/wechat/callback", "/shop", 1) + "&CODE=1" }, foreign},
	}
	for name, tt := range changed {
		all = append(all, leakFault{name: "a stranger opens a callback " + name, want: tt.want, run: func(x *leakSite) {
			callback := x.pendingCallback()
			for _, b := range []*authtest.Browser{x.person(), x.b} {
				x.getAs(b, tt.change(callback))
				x.script(b, http.MethodGet, tt.change(callback))
				x.script(b, http.MethodPost, tt.change(callback))
				x.script(b, http.MethodHead, tt.change(callback))
			}
			x.getAs(x.person(), callback)
		}})
	}
	header := func(name string, f func(x *leakSite, callback string) http.Header) leakFault {
		return leakFault{name: "a stranger sends a callback in " + name, want: "login_started", run: func(x *leakSite) {
			callback := x.pendingCallback()
			for _, target := range []string{"/a", "/public", "/wechat/login", "/wechat/callback", "/wechat/upgrade", "/wechat/x"} {
				x.open(x.person(), http.MethodGet, target, nil, f(x, callback))
				x.open(x.b, http.MethodGet, target, nil, f(x, callback))
			}
		}}
	}
	return append(all,
		header("its Referer", func(_ *leakSite, c string) http.Header { return http.Header{"Referer": {c}} }),
		header("its Host", func(_ *leakSite, c string) http.Header { return http.Header{"Host": {strings.SplitN(c, "?", 2)[1]}} }),
		header("X-Forwarded-Host", func(_ *leakSite, c string) http.Header { return http.Header{"X-Forwarded-Host": {c}} }),
		header("User-Agent and Accept-Language", func(_ *leakSite, c string) http.Header {
			return http.Header{"User-Agent": {"MicroMessenger " + c}, "Accept-Language": {c}}
		}),
		header("a cookie", func(x *leakSite, c string) http.Header {
			q := strings.ReplaceAll(strings.SplitN(c, "?", 2)[1], "&", ".")
			return http.Header{"Cookie": {x.SessionCookie() + "=" + q + "; " + x.Cookies.LoginCounterName() + "=" + q + "; wechat_ticket=" + q}}
		}),
		leakFault{name: "a flow cookie that was altered", want: "state_mismatch", run: func(x *leakSite) {
			callback := x.pendingCallback()
			for _, c := range x.b.Client.Jar.Cookies(x.Base) {
				x.b.SetCookie(c.Name, c.Value[:len(c.Value)-1])
			}
			x.get(callback)
		}},
		leakFault{name: "a flow cookie that is too old", want: "state_expired", run: func(x *leakSite) {
			callback := x.pendingCallback()
			x.Clock.Advance(11 * time.Minute)
			x.get(callback)
		}},
		leakFault{name: "a user who denies consent", want: "refused_by_user", run: func(x *leakSite) {
			x.get(strings.Replace(x.pendingCallback(), "code=", "code=authdeny&x=", 1))
		}},
		leakFault{name: "a session cookie of another's", want: "callback_malformed", run: func(x *leakSite) {
			x.get("/a")
			thief := x.person()
			token := x.b.Cookie(x.SessionCookie()).Value
			thief.SetCookie(x.SessionCookie(), token+"A")
			for _, target := range []string{"/wechat/callback?code=" + token + "&state=" + token, "/wechat/login?next=/a"} {
				x.getAs(thief, target)
			}
		}},
		leakFault{name: "a browser that loses its session cookie", want: "session_cookie_not_returned", run: func(x *leakSite) {
			b := x.person()
			b.Client.Jar = authtest.LossyJar{CookieJar: b.Client.Jar, Name: x.SessionCookie()}
			x.getAs(b, "/a")
		}},
		leakFault{name: "a Host that writes a log", want: "session_cookie_not_returned", run: func(x *leakSite) {
			b := x.person()
			b.Client.Jar = authtest.LossyJar{CookieJar: b.Client.Jar, Name: x.SessionCookie()}
			b.Header.Set("User-Agent", b.Header.Get("User-Agent")+"\t"+forgedLine)
			x.getAs(b, "/a?x="+url.QueryEscape("\n"+forgedLine))
		}},
		leakFault{name: "a form that is too large", want: "login_started", run: func(x *leakSite) {
			x.submit(x.b, "/wechat/upgrade", url.Values{"next": {strings.Repeat("a", 100<<10)}})
		}},
		leakFault{name: "a form on another site", want: "cross_origin", run: func(x *leakSite) {
			x.open(x.b, http.MethodPost, "/wechat/logout", nil, http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {x.pendingCallback()}})
		}},
		leakFault{name: "a form that is none", want: "login_started", run: func(x *leakSite) {
			x.open(x.b, http.MethodPost, "/wechat/upgrade", strings.NewReader(x.pendingCallback()+"%"), http.Header{
				"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"same-origin"}})
		}},
	)
}

// pendingCallback goes to WeChat and returns the callback without opening it.
func (x *leakSite) pendingCallback() string {
	still := *x.b.Client
	still.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if r.URL.Host == x.Base.Host {
			return http.ErrUseLastResponse
		}
		return nil
	}
	b := *x.b
	b.Client = &still
	x.getAs(&b, "/pending")
	require.NotEmpty(x.T, x.lastCallback())
	return x.lastCallback()
}

// faultsOfRedis returns faults before a login, and between the exchange and the
// save.
func faultsOfRedis() (all []leakFault) {
	breaks := map[string]struct {
		do   func(x *leakSite)
		want string
	}{
		"is down":                {func(x *leakSite) { x.redis.Stop() }, "connection refused"},
		"is frozen":              {func(x *leakSite) { x.redis.Freeze() }, "timeout"},
		"is a replica by now":    {func(x *leakSite) { x.do("REPLICAOF", "127.0.0.1", "1") }, "READONLY"},
		"is full":                {func(x *leakSite) { x.do("CONFIG", "SET", "maxmemory", "1") }, "OOM"},
		"has another password":   {func(x *leakSite) { x.newUser("resetpass", ">anotherPassword") }, "WRONGPASS"},
		"has lost the user":      {func(x *leakSite) { x.do("ACL", "DELUSER", "app") }, "WRONGPASS"},
		"forbids SET":            {func(x *leakSite) { x.newUser("-set") }, "NOPERM"},
		"forbids the keys":       {func(x *leakSite) { x.newUser("resetkeys", "~other:*") }, "NOPERM"},
		"forbids everything":     {func(x *leakSite) { x.newUser("-@all") }, "NOPERM"},
		"requires more replicas": {func(x *leakSite) { x.do("CONFIG", "SET", "min-replicas-to-write", "1") }, "NOREPLICAS"},
	}
	for name, br := range breaks {
		patience := patienceForRedis
		if name == "is frozen" {
			patience = 30 * time.Millisecond
		}
		all = append(all,
			leakFault{name: "Redis " + name, want: br.want, redis: patience, run: func(x *leakSite) {
				x.get("/a")
				x.pendingCallbackOf(x.person())
				br.do(x)
				x.get("/a?put=1")
				x.get(x.lastCallback())
			}},
			leakFault{name: "Redis " + name + " between exchange and save", want: br.want, redis: patience, run: func(x *leakSite) {
				x.onLogin = func() { x.onLogin = func() {}; br.do(x) }
				x.get("/a")
			}})
	}
	return append(all,
		leakFault{name: "Redis has marks of another type", want: "WRONGTYPE", redis: patienceForRedis, run: func(x *leakSite) {
			x.get("/a")
			x.spoilKeys("wechat:*")
		}},
		leakFault{name: "Redis has a session of another type", want: "login_finished", redis: patienceForRedis, run: func(x *leakSite) {
			x.get("/a")
			x.spoilKeys("scs:session:*")
			x.get("/b")
		}},
		leakFault{name: "Redis has a damaged session", want: "session_corrupt", redis: patienceForRedis, run: func(x *leakSite) {
			x.get("/a")
			x.do("EVAL", `for _, k in ipairs(redis.call("KEYS", "scs:session:*")) do redis.call("SET", k, "damaged " .. redis.call("GET", k), "EX", 60) end`, 0)
			x.get("/b")
		}},
		leakFault{name: "Redis closes the connection", want: "login_finished", redis: patienceForRedis, run: func(x *leakSite) {
			x.get("/a")
			x.do("CLIENT", "KILL", "USER", "app")
			x.get("/b")
		}},
		leakFault{name: "Redis cannot be reached from the start", want: "connection refused", run: nothing,
			opts: atRedis(func(*testing.T) string { return "127.0.0.1:1" })},
		leakFault{name: "Redis has another password from the start", want: "WRONGPASS", run: nothing,
			opts: atRedis(func(t *testing.T) string {
				return listen(t, reply("-WRONGPASS invalid username-password pair or user is disabled.\r\n"))
			})},
		leakFault{name: "Redis repeats the password in its error", want: "unknown command", run: nothing,
			opts: atRedis(func(t *testing.T) string {
				return listen(t, reply("-ERR unknown command 'AUTH', with args beginning with: 'app' '"+canaryPassword+"' \r\n"))
			})},
		leakFault{name: "Redis is a server that repeats everything", want: "store_unavailable", run: nothing,
			opts: atRedis(func(t *testing.T) string { return listen(t, func(conn net.Conn) { _, _ = io.Copy(conn, conn) }) })},
		leakFault{name: "Redis is a web server", want: "no Redis speaks at this address", run: nothing,
			opts: atRedis(func(t *testing.T) string { return listen(t, reply("HTTP/1.1 400 Bad Request\r\n\r\n")) })},
		leakFault{name: "Redis repeats the password where no reply is", want: "no Redis speaks at this address", run: nothing,
			opts: atRedis(func(t *testing.T) string { return listen(t, reply("AUTH app "+canaryPassword+"\r\n")) })},
		leakFault{name: "Redis speaks no TLS", want: "tls: ", run: nothing, opts: func(t *testing.T) []wechatauth.Option {
			return []wechatauth.Option{wechatauth.WithStore(quickStore(t, "rediss://app:"+canaryPassword+"@"+listen(t, reply("-ERR a\r\n")), patienceForRedis))}
		}},
		leakFault{name: "Redis has GET under another name", want: "unknown command", made: func(t *testing.T) *leakSite {
			return renamed(t, func(x *leakSite) wechatauth.Option {
				return wechatauth.WithStore(quickStore(x.T, x.redisURL(), patienceForRedis))
			})
		}, run: func(x *leakSite) { x.get("/a") }},
	)
}

// newUser changes the rules of the application's Redis user, and makes it
// authenticate again.
func (x *leakSite) newUser(rules ...any) {
	x.do("ACL", append([]any{"SETUSER", "app"}, rules...)...)
	x.do("CLIENT", "KILL", "USER", "app")
}

// spoilKeys replaces values with lists.
func (x *leakSite) spoilKeys(pattern string) {
	x.do("EVAL", `for _, k in ipairs(redis.call("KEYS", ARGV[1])) do redis.call("DEL", k); redis.call("LPUSH", k, "a") end`, 0, pattern)
}

func (x *leakSite) pendingCallbackOf(b *authtest.Browser) {
	mine := x.b
	x.b = b
	x.pendingCallback()
	x.b = mine
}

func atRedis(addr func(t *testing.T) string) func(t *testing.T) []wechatauth.Option {
	return func(t *testing.T) []wechatauth.Option {
		return []wechatauth.Option{wechatauth.WithStore(quickStore(t, "redis://app:"+canaryPassword+"@"+addr(t), patienceForRedis))}
	}
}

func quickStore(t *testing.T, redisURL string, patience time.Duration) *store.Store {
	t.Helper()
	pool, err := store.NewPool(redisURL)
	require.NoError(t, err)
	t.Cleanup(func() { _ = pool.Close() })
	return store.New(pool, store.WithTimeout(patience))
}

// listen runs a server of some kind on a free port.
func listen(t *testing.T, serve func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				serve(conn)
				_ = conn.Close()
			}()
		}
	}()
	return l.Addr().String()
}

// reply responds to the first line with a text, and hangs up.
func reply(text string) func(net.Conn) {
	return func(conn net.Conn) {
		r := bufio.NewReader(conn)
		_, _ = r.ReadString('\n')
		_, _ = io.WriteString(conn, text)
	}
}

// faultsOfForeignStores returns faults of scs's own store, whose errors repeat
// the error of Redis, which repeats the session's key.
func faultsOfForeignStores() []leakFault {
	stores := map[string]func(x *leakSite) wechatauth.Option{
		"WithStore": func(x *leakSite) wechatauth.Option { return wechatauth.WithStore(redisstore.New(x.plainPool())) },
		"WithSessionManager": func(x *leakSite) wechatauth.Option {
			m := scs.New()
			m.Store = redisstore.New(x.plainPool())
			return wechatauth.WithSessionManager(m)
		},
		"WithSessionManager and hashed tokens": func(x *leakSite) wechatauth.Option {
			m := scs.New()
			m.Store, m.HashTokenInStore = redisstore.New(x.plainPool()), true
			return wechatauth.WithSessionManager(m)
		},
	}
	var all []leakFault
	for name, option := range stores {
		for _, command := range []string{"GET", "MULTI", "DEL"} {
			all = append(all, leakFault{name: "scs's own store by " + name + " has " + command + " under another name", want: "unknown command",
				made: func(t *testing.T) *leakSite { return renamedCommand(t, command, option) },
				run:  func(x *leakSite) { x.get("/a") },
			})
		}
	}
	return all
}

func (x *leakSite) plainPool() *redis.Pool {
	addr := x.redis.Addr()
	pool := &redis.Pool{Dial: func() (redis.Conn, error) {
		return redis.Dial("tcp", addr, redis.DialUsername("app"), redis.DialPassword(canaryPassword))
	}}
	x.T.Cleanup(func() { _ = pool.Close() })
	return pool
}

func renamed(t *testing.T, option func(*leakSite) wechatauth.Option) *leakSite {
	return renamedCommand(t, "GET", option)
}

// redisForLeaks starts a Redis without a site.
func redisForLeaks(t *testing.T, args ...string) *leakSite {
	t.Helper()
	x := &leakSite{Site: &authtest.Site{T: t}, canaries: newCanaries(), sinks: newSinks()}
	x.startRedis(args...)
	return x
}

// renamedCommand starts a Redis that does not know a command under its own
// name.
func renamedCommand(t *testing.T, command string, option func(*leakSite) wechatauth.Option) *leakSite {
	redisOnly := redisForLeaks(t, "--rename-command", command, "HIDDEN"+command)
	x := newLeakSiteOver(t, 0, option(redisOnly))
	x.canaries.plant(thePassword, canaryPassword)
	x.redis, x.control = redisOnly.redis, redisOnly.control
	return x
}

// faultsOfHooks returns faults of the application's own functions.
func faultsOfHooks() []leakFault {
	said := func(id wechatauth.Identity) error { return fmt.Errorf("no user for %q of %s", id.OpenID, id.UnionID) }
	failingPages := func(_ io.Writer, p wechatauth.Page) error { return fmt.Errorf("no page for %+v", p) }
	return []leakFault{
		{name: "WithOnLogin rejects", want: "no user", opts: with(wechatauth.WithOnLogin(func(_ context.Context, id wechatauth.Identity) error { return said(id) })), run: nothing},
		{name: "WithOnLogin panics", want: "panics", opts: with(wechatauth.WithOnLogin(func(context.Context, wechatauth.Identity) error { panic("the hook panics on purpose") })), run: nothing},
		{name: "WithOnLogin panics with nothing", want: "nil pointer", opts: with(wechatauth.WithOnLogin(func(context.Context, wechatauth.Identity) error { var p *wechatauth.Identity; return said(*p) })), run: nothing},
		{name: "WithAccessCheck rejects", want: "no user", opts: with(wechatauth.WithAccessCheck(func(_ context.Context, id wechatauth.Identity) error { return said(id) }, 0)), run: nothing},
		{name: "WithAccessCheck rejects with a wrapped error", want: "outer", opts: with(wechatauth.WithAccessCheck(func(_ context.Context, id wechatauth.Identity) error {
			return errors.Join(errors.New("outer"), fmt.Errorf("inner: %w", said(id)))
		}, 0)), run: nothing},
		{name: "WithAccessCheck panics", want: "panics", opts: with(wechatauth.WithAccessCheck(func(context.Context, wechatauth.Identity) error { panic("the hook panics on purpose") }, 0)), run: nothing},
		{name: "the observer panics", want: "panics", opts: with(wechatauth.WithObserver(authtest.ObserverFunc(func(wechatauth.Event) { panic("the observer panics on purpose") }))), run: nothing},
		{name: "the error handler prints everything", want: "callback_malformed", made: printingFailures, run: badVisits},
		{name: "the error handler panics", want: "panics", opts: with(wechatauth.WithErrorHandler(func(http.ResponseWriter, *http.Request, wechatauth.Failure) {
			panic("the handler panics on purpose")
		})), run: badVisits},
		{name: "the pages fail", want: "no page", opts: with(wechatauth.WithPages(failingPages)), run: badVisits},
		{name: "the pages panic", want: "render page: panic", opts: with(wechatauth.WithPages(func(io.Writer, wechatauth.Page) error { panic("the pages panic on purpose") })), run: badVisits},
		{name: "the pages write nothing", want: "nothing was written", opts: with(wechatauth.WithPages(func(io.Writer, wechatauth.Page) error { return nil })), run: badVisits},
		{name: "the page-visit rule panics", want: "panics", opts: with(wechatauth.WithPageVisit(func(*http.Request) bool { panic("the rule panics on purpose") })), run: nothing},
		{name: "a handler panics", want: "panics", run: func(x *leakSite) { x.get("/a"); x.get("/a?panic=1"); x.get("/public?panic=1&put=1") }},
		{name: "the store fails", want: "switched off", run: func(x *leakSite) { x.get("/a"); x.store.Down.Store(true) }},
		{name: "the store takes nothing", want: "switched off", run: func(x *leakSite) { x.get("/a"); x.store.ReadOnly.Store(true); x.get("/a?put=1") }},
		{name: "the store takes no login", want: "switched off", run: func(x *leakSite) { x.store.ReadOnly.Store(true) }},
		{name: "the store's error has the session's key", want: "cannot find", opts: func(*testing.T) []wechatauth.Option {
			return []wechatauth.Option{wechatauth.WithStore(talkative{authtest.NewSwitchableStore()})}
		}, run: nothing},
		{name: "the session's values cannot be encoded", want: "type not registered", run: func(x *leakSite) {
			x.get("/a")
			x.get("/a?odd=1")
		}},
	}
}

// badVisits makes requests that are rejected for different reasons.
func badVisits(x *leakSite) {
	callback := x.pendingCallback()
	x.getAs(x.person(), callback)
	x.get(callback + "&state=a")
	x.get("/wechat/other?" + strings.SplitN(callback, "?", 2)[1])
	x.Sim.Fail(authtest.TokenEndpoint, wechattest.Errcode(40125))
	x.get(callback)
	x.script(x.person(), http.MethodGet, "/api")
}

// printingFailures passes each Failure to a handler that prints all of it.
func printingFailures(t *testing.T) *leakSite {
	var x *leakSite
	x = newLeakSite(t, 0, wechatauth.WithErrorHandler(func(w http.ResponseWriter, _ *http.Request, f wechatauth.Failure) {
		x.sinks.spill("failures", f)
		x.sinks.spillError("failures", f.Err)
		w.WriteHeader(f.Status)
		_, _ = fmt.Fprintf(w, "%+v %v", f, f.Err)
	}))
	return x
}

// A talkative store puts too much into its errors.
type talkative struct{ *authtest.SwitchableStore }

func (s talkative) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	b, found, err := s.SwitchableStore.FindCtx(ctx, token)
	if found {
		return nil, false, fmt.Errorf("cannot find scs:session:%s, which has %d bytes", token, len(b))
	}
	return nil, false, err
}

func (s talkative) FindTTLCtx(ctx context.Context, token string) ([]byte, time.Duration, bool, error) {
	b, found, err := s.FindCtx(ctx, token)
	return b, 0, found, err
}

// An oddValue is of a type that is not registered with encoding/gob.
type oddValue struct{ Path string }
