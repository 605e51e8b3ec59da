package identityheader

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/wechattest"
)

// An upstream is a server behind a reverse proxy behind the middleware. It
// records the requests it receives.
type upstream struct {
	server *httptest.Server

	mu   sync.Mutex
	seen []seenRequest
}

// A seenRequest holds the identity headers of a request as a CGI program sees
// them: with names in upper case and with underscores.
type seenRequest map[string][]string

func startUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{}
	u.server = httptest.NewServer(u)
	t.Cleanup(u.server.Close)
	return u
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // the trailer follows it
	got := seenRequest{}
	got.read(r.Header)
	got.read(r.Trailer)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.seen = append(u.seen, got)
	fmt.Fprint(w, "from upstream")
}

var notCGI = regexp.MustCompile(`[^A-Z0-9]`)

// read adds the headers that CGI would name HTTP_X_WECHAT_….
func (got seenRequest) read(h http.Header) {
	for name, values := range h {
		name = notCGI.ReplaceAllString(strings.ToUpper(name), "_")
		if strings.HasPrefix(name, "X_WECHAT") {
			got[name] = append(got[name], values...)
		}
	}
}

// take returns the requests since the last call.
func (u *upstream) take() []seenRequest {
	u.mu.Lock()
	defer u.mu.Unlock()
	seen := u.seen
	u.seen = nil
	return seen
}

// proxy returns net/http/httputil's reverse proxy to the upstream.
func (u *upstream) proxy() http.Handler {
	target, _ := url.Parse(u.server.URL)
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
}

// proxySite serves pages that all come from the upstream. outside wraps the
// middleware.
func proxySite(s *site, u *upstream, outside func(http.Handler) http.Handler) *site {
	s.t.Helper()
	behind := Handler(u.proxy(), s.auth)
	mux := http.NewServeMux()
	mux.Handle("/", s.auth.RequireWeChat(behind))
	mux.Handle("/profile", s.auth.RequireScope(client.ScopeUserInfo)(behind))
	mux.Handle("/public", s.auth.LoadWeChat(behind))
	return s.serve(outside(mux))
}

// forgeries are header lines as sent by an attacker, separated by CRLF.
// net/http itself responds to rejected ones with 400.
var forgeries = []struct {
	name, lines string
	rejected    bool
}{
	{"the name as documented", "X-WeChat-OpenID: forged", false},
	{"the name in lower case", "x-wechat-openid: forged", false},
	{"the name in upper case", "X-WECHAT-OPENID: forged", false},
	{"underscores for hyphens", "X_WeChat_OpenID: forged", false},
	{"one underscore", "X-WeChat_OpenID: forged", false},
	{"underscores in lower case", "x_wechat_openid: forged", false},
	{"dots for hyphens", "X.WeChat.OpenID: forged", false},
	{"tildes for hyphens", "X~WeChat~OpenID: forged", false},
	{"twice", "X-WeChat-OpenID: forged\r\nX-WeChat-OpenID: forged too", false},
	{"a list", "X-WeChat-OpenID: forged, forged too", false},
	{"a space before the name", " X-WeChat-OpenID: forged", true},
	{"a space after the name", "X-WeChat-OpenID : forged", true},
	{"on the continuation of another header", "X-A: b\r\n X-WeChat-OpenID: forged", false},
	{"a trailing space", "X-WeChat-OpenID: forged ", false},
	{"an empty value", "X-WeChat-OpenID: ", false},
	{"a value of 8 KB", "X-WeChat-OpenID: " + strings.Repeat("f", 8<<10), false},
	{"a bare CR in the value", "X-A: b\rX-WeChat-OpenID: forged", true},
	{"a bare LF in the value", "X-A: b\nX-WeChat-OpenID: forged", false},
	{"NUL in the value", "X-WeChat-OpenID: for\x00ged", true},
	{"dropped as hop-by-hop", "Connection: X-WeChat-OpenID, X_WeChat_OpenID", false},
	{"dropped as hop-by-hop, after another", "Connection: keep-alive, x-wechat-openid\r\nX-WeChat-OpenID: forged", false},
	{"announced as a trailer", "Transfer-Encoding: chunked\r\nTrailer: X-WeChat-OpenID", false},
	{"as a trailer that was not announced", "Transfer-Encoding: chunked\r\nTrailer: X-Sum", false},
	{"the unionid", "X-WeChat-UnionID: forged", false},
	{"the AppID", "X-WeChat-AppID: forged", false},
	{"the scope", "X-WeChat-Scope: snsapi_userinfo", false},
	{"the nickname in UTF-8", "X-WeChat-Nickname: 伪造", false},
	{"the nickname with an escaped newline", "X-WeChat-Nickname: a%0D%0AX-WeChat-OpenID: forged", false},
	{"an unused name with the prefix", "X-WeChat-Admin: 1", false},
}

// raw sends a request over a new connection exactly as given, and returns the
// status of the response.
func (s *site) raw(t *testing.T, method, target, lines string) int {
	t.Helper()
	conn, err := net.Dial("tcp", s.server.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	body := ""
	if strings.Contains(lines, "chunked") {
		body = "1\r\na\r\n0\r\nX-WeChat-OpenID: forged\r\nX-Sum: 1\r\n\r\n"
	}
	_, err = io.WriteString(conn, method+" "+target+" HTTP/1.1\r\nHost: "+s.base.Host+"\r\n"+lines+"\r\n\r\n"+body)
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	return resp.StatusCode
}

// truth returns the headers that the upstream must receive for the simulator's
// current person.
func truth() seenRequest {
	me := wechattest.DefaultPeople()[0]
	return seenRequest{
		"X_WECHAT_APPID":  {wechattest.DefaultAppID},
		"X_WECHAT_OPENID": {wechattest.OpenID(wechattest.DefaultAppID, me.Name)},
		"X_WECHAT_SCOPE":  {string(client.ScopeBase)},
	}
}

func TestHandler(t *testing.T) {
	t.Run("T34 forged headers", func(t *testing.T) { testForgedHeaders(t) })
	t.Run("T34 header names set by an outer handler", func(t *testing.T) { testRawHeaderNames(t) })
	t.Run("T34 forged headers over HTTP/2", func(t *testing.T) { testForgedHeadersHTTP2(t) })
	t.Run("T34 forged trailers", func(t *testing.T) { testForgedTrailers(t) })
	t.Run("T34 any nickname is one harmless header", func(t *testing.T) { testNicknames(t) })
	t.Run("T34 headers are unchanged without Handler", func(t *testing.T) { testWithoutHandler(t) })
	t.Run("T92 no credentials reach the upstream", func(t *testing.T) { testCredentials(t) })
	t.Run("T92 outer middleware has the cookies", func(t *testing.T) { testOuterMiddleware(t) })
}

func testForgedHeaders(t *testing.T) {
	u := startUpstream(t)
	s := proxySite(newSite(t), u, asItIs)
	me := s.browser()
	require.Equal(t, http.StatusOK, me.visit("/a").StatusCode)
	require.Equal(t, []seenRequest{truth()}, u.take())
	callback := mustParse(t, s.browser().authorize("/b"))
	cookies := me.cookies()
	preflight := "Origin: https://other.example\r\nAccess-Control-Request-Method: POST"

	routes := []struct {
		name, method, target, lines string
		status                      int // for a request that net/http accepts
		want                        []seenRequest
	}{
		{"through RequireWeChat, logged in", "GET", "/a", cookies, 200, []seenRequest{truth()}},
		{"a form through RequireWeChat", "POST", "/a", cookies, 200, []seenRequest{truth()}},
		{"a 401 from RequireWeChat", "GET", "/a", "Accept: */*", 401, nil},
		{"a redirect from RequireWeChat", "GET", "/a", "Accept: text/html", 303, nil},
		{"a preflight through RequireWeChat", "OPTIONS", "/a", preflight, 200, []seenRequest{{}}},
		{"a preflight with a session", "OPTIONS", "/a", preflight + "\r\n" + cookies, 200, []seenRequest{{}}},
		{"a route with a scope that is not granted", "GET", "/profile", cookies + "\r\nAccept: */*", 403, nil},
		{"an open route, anonymous", "GET", "/public", "Accept: text/html", 200, []seenRequest{{}}},
		{"an open route, logged in", "GET", "/public", cookies, 200, []seenRequest{truth()}},
		{"the callback", "GET", callback.RequestURI(), "Accept: text/html", 400, nil},
		{"the login", "GET", "/wechat/login", "Accept: text/html", 303, nil},
	}
	for _, route := range routes {
		t.Run(route.name, func(t *testing.T) {
			for _, f := range forgeries {
				status := s.raw(t, route.method, route.target, f.lines+"\r\n"+route.lines)
				seen := u.take()
				if f.rejected {
					assert.Equal(t, http.StatusBadRequest, status, f.name)
					assert.Empty(t, seen, f.name)
					continue
				}
				assert.Equal(t, route.status, status, f.name)
				assert.Equal(t, route.want, seen, f.name)
			}
		})
	}
	assert.GreaterOrEqual(t, len(forgeries), 24)
}

func asItIs(h http.Handler) http.Handler { return h }

func testRawHeaderNames(t *testing.T) {
	var forged http.Header
	planting := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for name, values := range forged {
				r.Header[name] = values
			}
			next.ServeHTTP(w, r)
			assert.Subset(t, r.Header, forged, "the original request is unchanged")
		})
	}
	u := startUpstream(t)
	s := proxySite(newSite(t), u, planting)
	me := s.browser()
	me.visit("/a")
	u.take()

	for _, name := range []string{
		"x_wechat_openid", "X-WECHAT-OPENID", "x-wechat-openid", " X-Wechat-Openid", "X-Wechat-Openid\t", "X-Wechat-Openid",
		"X.Wechat.Openid", "X_Wechat-Openid", "x-wechat-",
	} {
		forged = http.Header{name: {"forged"}, "connection": {name}}
		me.step("/a")
		me.step("/public")
		assert.Equal(t, []seenRequest{truth(), truth()}, u.take(), "%q", name)
		s.browser().step("/public")
		assert.Equal(t, []seenRequest{{}}, u.take(), "%q", name)
	}
}

func testForgedHeadersHTTP2(t *testing.T) {
	u := startUpstream(t)
	s := proxySite(newTLSSite(t), u, asItIs)
	me := s.browser()
	first := me.visit("/a")
	require.Equal(t, http.StatusOK, first.StatusCode, first.body)
	require.Equal(t, 2, first.ProtoMajor)
	u.take()

	stranger := s.browser()
	callback := mustParse(t, s.browser().authorize("/b"))
	for _, f := range forgeries {
		if f.rejected || strings.Contains(f.lines, "\n ") || strings.Contains(f.lines, "b\n") {
			continue // net/http's client cannot send it
		}
		header := http.Header{}
		for line := range strings.SplitSeq(f.lines, "\r\n") {
			name, value, _ := strings.Cut(line, ": ")
			header[name] = append(header[name], value)
		}
		if header["Connection"] != nil {
			continue // not a valid HTTP/2 header
		}
		delete(header, "Transfer-Encoding")
		for _, tt := range []struct {
			browser *browser
			target  string
			want    []seenRequest
		}{
			{me, "/a", []seenRequest{truth()}},
			{me, "/public", []seenRequest{truth()}},
			{stranger, "/public", []seenRequest{{}}},
			{stranger, "/wechat/callback?code=abc&state=" + callback.Query().Get("state"), nil},
			{stranger, "/a", nil},
		} {
			// A rejected request gets its response before the body is read, so
			// none is sent.
			tt.browser.overHTTP2(t, tt.target, header, tt.want != nil)
			assert.Equal(t, tt.want, u.take(), "%s %s", f.name, tt.target)
		}
	}
}

// overHTTP2 sends a request, optionally with a body and a trailer.
func (b *browser) overHTTP2(t *testing.T, target string, header http.Header, withBody bool) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, b.site.base.String()+target, nil)
	require.NoError(t, err)
	if withBody {
		req.Method, req.Body = http.MethodPost, io.NopCloser(strings.NewReader("a"))
		req.Trailer = http.Header{"X-Sum": {"1"}, "X-Wechat-Openid": {"forged"}}
	}
	for name, values := range header {
		if name != "Trailer" {
			req.Header[name] = values
		}
	}
	resp, err := b.client.Do(req)
	require.NoError(t, err)
	require.Equal(t, 2, resp.ProtoMajor)
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
}

func testForgedTrailers(t *testing.T) {
	for name, lines := range map[string]string{
		"announced":         "Trailer: X-WeChat-OpenID, X-Sum",
		"not announced":     "Trailer: X-Sum",
		"as a trailer only": "X-A: b",
	} {
		t.Run(name, func(t *testing.T) {
			var before, after http.Header
			s := newSite(t)
			s.serve(s.auth.LoadWeChat(Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				before = r.Trailer.Clone()
				body, err := io.ReadAll(r.Body)
				assert.NoError(t, err)
				assert.Equal(t, "a", string(body))
				after = r.Trailer
			}), s.auth)))
			require.Equal(t, http.StatusOK, s.raw(t, "POST", "/", "Transfer-Encoding: chunked\r\n"+lines))
			assert.NotContains(t, before, "X-Wechat-Openid")
			assert.NotContains(t, after, "X-Wechat-Openid")
			if strings.Contains(lines, "X-Sum") {
				assert.Equal(t, http.Header{"X-Sum": {"1"}}, after, "other trailers are kept")
			}
		})
	}
	t.Run("body closed without reading", func(t *testing.T) {
		var after http.Header
		s := newSite(t)
		s.serve(s.auth.LoadWeChat(Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			assert.NoError(t, r.Body.Close())
			after = r.Trailer
		}), s.auth)))
		require.Equal(t, http.StatusOK, s.raw(t, "POST", "/", "Transfer-Encoding: chunked\r\nTrailer: X-Sum"))
		assert.Equal(t, http.Header{"X-Sum": {"1"}}, after)
	})
}

func testNicknames(t *testing.T) {
	tests := map[string]struct{ nickname, json, want string }{
		"in UTF-8":           {nickname: "小明 🌿", want: "小明 🌿"},
		"with a newline":     {json: `a\r\nX-WeChat-OpenID: forged`, want: "a X-WeChat-OpenID: forged"},
		"with a percent":     {nickname: "100%0D%0A", want: "100%0D%0A"},
		"of quotes and tags": {nickname: `"<script>'`, want: `"<script>'`},
		"invisible":          {nickname: "\u200b", want: ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			u := startUpstream(t)
			sim := wechattest.NewServer(wechattest.WithPerson(wechattest.Person{Name: "p", Nickname: tt.nickname, NicknameJSON: tt.json}))
			defer sim.Close()
			s := proxySite(newSite(t, wechatauth.WithEndpoints(sim.Endpoints())), u, asItIs)
			b := s.browser()
			consent := b.post("/wechat/upgrade", url.Values{"next": {"/profile"}})
			ticket := regexp.MustCompile(`name="ticket" value="([^"]+)"`).FindStringSubmatch(consent.body)
			require.NotNil(t, ticket, consent.body)
			b.post(sim.URL+"/connect/oauth2/authorize_reply", url.Values{"ticket": {ticket[1]}, "answer": {"allow"}})

			seen := u.take()
			require.Len(t, seen, 1)
			assert.Equal(t, []string{wechattest.OpenID(wechattest.DefaultAppID, "p")}, seen[0]["X_WECHAT_OPENID"])
			if tt.want == "" {
				assert.NotContains(t, seen[0], "X_WECHAT_NICKNAME")
				return
			}
			require.Len(t, seen[0]["X_WECHAT_NICKNAME"], 1)
			escaped := seen[0]["X_WECHAT_NICKNAME"][0]
			assert.Regexp(t, `^[!-~]+$`, escaped)
			got, err := url.PathUnescape(escaped)
			require.NoError(t, err)
			assert.Equal(t, tt.want, got)
		})
	}
}

func testWithoutHandler(t *testing.T) {
	var got http.Header
	s := newSite(t)
	s.serve(s.auth.LoadWeChat(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header })))
	s.raw(t, "GET", "/", "X-WeChat-OpenID: its own")
	assert.Equal(t, []string{"its own"}, got["X-Wechat-Openid"])
}

func FuzzIdentityHeaders(f *testing.F) {
	for _, forged := range forgeries {
		for line := range strings.SplitSeq(forged.lines, "\r\n") {
			name, value, _ := strings.Cut(line, ":")
			f.Add(name, value)
		}
	}
	f.Add("X-Forwarded-For", "203.0.113.7")
	f.Add("x-wechat", "")
	f.Add("Cookie", "a=b; wechat_session_x=y")
	f.Fuzz(func(t *testing.T, name, value string) {
		if len(name)+len(value) > 64<<10 {
			return // larger than servers accept
		}
		in := http.Header{name: {value}, "X-Forwarded-For": {"203.0.113.7"}}
		before := in.Clone()
		var out http.Header
		assert.LessOrEqual(t, allocatedBy(func() { out = headerForUpstream(in, "sid") }), uint64(1<<20), "bytes allocated")

		assert.Equal(t, before, in, "the caller's map is unchanged")
		assert.Equal(t, out, headerForUpstream(out, "sid"), "headerForUpstream is idempotent")
		assert.Contains(t, out, "X-Forwarded-For")
		got := seenRequest{}
		got.read(http.Header{textproto.TrimString(name): {value}})
		forged := false
		for seen := range got {
			forged = forged || strings.HasPrefix(seen, "X_WECHAT_")
		}
		if _, kept := out[name]; kept && forged {
			t.Errorf("%q is kept", name)
		}
		canonical := http.CanonicalHeaderKey(name)
		mayGo := canonical == "Connection" || canonical == "Cookie" || canonical == "Authorization"
		if _, kept := out[name]; !kept && !forged && !mayGo && isToken(name) {
			t.Errorf("%q is removed", name)
		}

		r := withIdentity(&http.Request{Header: in}, wechatauth.Identity{AppID: "wx", OpenID: "o1"}, true, "sid")
		seen := seenRequest{}
		seen.read(r.Header)
		assert.Equal(t, []string{"o1"}, seen["X_WECHAT_OPENID"])
		for _, list := range r.Header["Connection"] {
			assert.NotRegexp(t, `(?i)(^|,)\s*x[-_.]wechat[-_.]`, list)
		}
	})
}

// isToken reports whether net/http accepts a header with this name.
func isToken(name string) bool {
	return regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$").MatchString(name)
}

// allocatedBy returns how many bytes a call allocates.
func allocatedBy(call func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	call()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// An upstream server with the user's cookie or token could act as the user at
// this site. Cookies and tokens of others must arrive unchanged.
func testCredentials(t *testing.T) {
	var seen http.Header
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header }))
	t.Cleanup(upstream.Close)
	target := mustParse(t, upstream.URL)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	own := scs.New()
	own.Cookie.Name, own.Cookie.Secure = "sid", false
	for name, start := range map[string]func() *site{
		"the default manager":  func() *site { return newSite(t) },
		"over https":           func() *site { return newTLSSite(t) },
		"a custom cookie name": func() *site { return newTLSSite(t, wechatauth.WithCookie("who")) },
		"a custom manager":     func() *site { return newSite(t, wechatauth.WithSessionManager(own)) },
	} {
		t.Run(name, func(t *testing.T) {
			s := start()
			mux := http.NewServeMux()
			for path, middleware := range map[string]func(http.Handler) http.Handler{
				"/": s.auth.RequireWeChat, "/scoped": s.auth.RequireScope(client.ScopeBase), "/profile": s.auth.RequireScope(client.ScopeUserInfo), "/public": s.auth.LoadWeChat,
			} {
				mux.Handle(path, middleware(Handler(proxy, s.auth)))
			}
			s.serve(mux)

			// All cookies that the middleware sets: for a session, for pending
			// logins, for a logout and for a scan.
			b := s.browser()
			b.step("/a")
			b.visit("/profile")
			b.post("/wechat/upgrade", url.Values{"next": {"/a"}})
			b.post("/wechat/logout", url.Values{})
			b.visit("/wechat/login?next=/a&again=1")
			require.Equal(t, http.StatusOK, b.step("/a").StatusCode)
			b.setCookie("theme", "dark")
			b.setCookie("lang", "zh")
			for _, c := range b.client.Jar.Cookies(s.base) {
				require.True(t, strings.HasPrefix(strings.TrimPrefix(c.Name, "__Host-"), "wechat_") || c.Name == s.sessionCookie() || c.Name == "theme" || c.Name == "lang", c.Name)
			}
			require.NotEmpty(t, b.cookie(s.sessionCookie()))

			for _, path := range []string{"/a", "/scoped", "/public"} {
				seen = nil
				b.fetch(http.MethodGet, path)
				require.NotNil(t, seen, path)
				cookies := strings.Split(strings.Join(seen["Cookie"], "; "), "; ")
				assert.ElementsMatch(t, []string{"theme=dark", "lang=zh"}, cookies, path)
				assert.NotEmpty(t, seen.Get(OpenID), path)
			}
			seen = nil
			b.do(http.MethodOptions, "/a", "", http.Header{"Origin": {"https://a.example"}, "Access-Control-Request-Method": {"PUT"}})
			assert.NotContains(t, seen["Cookie"][0], b.cookie(s.sessionCookie()), "a preflight must not carry cookies")

			seen = nil
			s.request(http.MethodGet, "/a", s.miniLogin(), "")
			assert.NotEmpty(t, seen.Get(OpenID))
			assert.NotContains(t, seen, "Authorization")
			for _, foreign := range []string{"Bearer another-token", "Basic dTpw"} {
				b.do(http.MethodGet, "/public", "", http.Header{"Authorization": {foreign}})
				assert.Equal(t, []string{foreign}, seen["Authorization"], "other tokens are passed on")
			}
		})
	}
}

// Nested middleware, its endpoints and Logout must find the cookies that only
// the upstream does not receive. Each Handler removes those of its Auth.
func testOuterMiddleware(t *testing.T) {
	s := newSite(t)
	inner := s.newAuth(wechatauth.WithPathPrefix("/inner/"), wechatauth.WithSessionManager(s.auth.Sessions()))
	other := scs.New()
	other.Cookie.Name, other.Cookie.Secure = "sid", false
	own := s.newAuth(wechatauth.WithPathPrefix("/own/"), wechatauth.WithSessionManager(other))
	var seen http.Header
	page := Handler(Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { seen = r.Header; echo(w, r) }), s.auth), own)
	mux := http.NewServeMux()
	mux.Handle("/", s.auth.RequireWeChat(s.auth.LoadWeChat(page)))
	mux.Handle("/inner/", inner)
	mux.Handle("/inside", inner.RequireWeChat(page))
	mux.Handle("/own/", own)
	mux.Handle("/apart", own.RequireWeChat(page))
	mux.HandleFunc("/leave", func(w http.ResponseWriter, r *http.Request) { assert.NoError(t, own.Logout(w, r)) })
	s.serve(s.auth.LoadWeChat(mux))

	b := s.browser()
	for _, path := range []string{"/a", "/inside", "/apart"} {
		require.Contains(t, b.visit(path).body, "url="+path+" logged-in=true")
		assert.Empty(t, seen["Cookie"], path)
		assert.NotEmpty(t, seen.Get(OpenID), path)
	}
	assert.Contains(t, b.step("/apart").body, "logged-in=true")
	b.fetch(http.MethodPost, "/leave")
	assert.Equal(t, http.StatusUnauthorized, b.fetch(http.MethodGet, "/apart").StatusCode)
	assert.Contains(t, b.step("/a").body, "logged-in=true")

	token := s.miniLogin()
	assert.Contains(t, s.request(http.MethodGet, "/a", token, "").body, "logged-in=true")
	assert.Empty(t, seen["Authorization"])
}
