package leak

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/wechattest"
)

// A kind of value that must not appear outside of its place.
type kind string

const (
	theSecret   kind = "AppSecret"
	theFlowKey  kind = "flow key"
	thePassword kind = "Redis password"
	theCode     kind = "code"
	theState    kind = "state"
	theToken    kind = "access or refresh token"
	theSession  kind = "session token"
	theUser     kind = "openid or unionid"
	theNickname kind = "nickname"
	theKey      kind = "session_key"
	theTicket   kind = "ticket into the web-view"
)

const (
	canaryFlowKey  = "CANARY-flow-key-0123456789abcdef-XYZ"
	canaryPassword = "CANARYredisPassword7Qx"
	canaryNickname = "CANARYnick"
	forgedLine     = "level=ERROR msg=forged" // what a nickname or a Host tries to write into a log
)

// canaries holds the values of one test, some planted and some learned from
// responses.
type canaries struct {
	mu     sync.Mutex
	values map[string]kind
}

func newCanaries() *canaries { return &canaries{values: map[string]kind{}} }

func (c *canaries) plant(k kind, values ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range values {
		if len(v) >= 8 {
			c.values[v] = k
		}
	}
}

// one returns a canary of a kind, or "" if there is none.
func (c *canaries) one(k kind) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for value, have := range c.values {
		if have == k {
			return value
		}
	}
	return ""
}

// hits returns the canaries in a text, in any form, except those that belong
// there.
func (c *canaries) hits(text string, atHome ...kind) (found []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for value, k := range c.values {
		if slices.Contains(atHome, k) {
			continue
		}
		for form, spelling := range formsOf(value) {
			if strings.Contains(text, spelling) {
				found = append(found, string(k)+" ("+form+")")
			}
		}
	}
	if strings.Contains(text, "\n"+forgedLine) || strings.HasPrefix(text, forgedLine) {
		found = append(found, "a forged line")
	}
	return found
}

// formsOf returns the forms in which a value could be in a text: as it is,
// base64 in both alphabets and at each of the three offsets inside of a longer
// value, hex, and escaped for a URL.
func formsOf(v string) map[string]string {
	all := map[string]string{
		"plain":      v,
		"hex":        hex.EncodeToString([]byte(v)),
		"HEX":        strings.ToUpper(hex.EncodeToString([]byte(v))),
		"query":      url.QueryEscape(v),
		"path":       url.PathEscape(v),
		"percent":    strings.TrimSuffix(strings.ReplaceAll(fmt.Sprintf("%%% x", []byte(v)), " ", "%"), "%"),
		"quoted":     strings.Trim(fmt.Sprintf("%q", v), `"`),
		"byte slice": strings.Trim(fmt.Sprint([]byte(v)), "[]"),
	}
	for before := range 3 {
		padded := append(make([]byte, before), v...)
		from, to := (before*8+5)/6, len(padded)*8/6 // the part that depends on v alone
		all[fmt.Sprintf("base64 at %d", before)] = base64.RawStdEncoding.EncodeToString(padded)[from:to]
		all[fmt.Sprintf("base64url at %d", before)] = base64.RawURLEncoding.EncodeToString(padded)[from:to]
	}
	return all
}

// A sighting is a text that someone could read.
type sighting struct {
	sink, text string
	atHome     []kind // what may be in it
}

// sinks has all places where a text can come out.
type sinks struct {
	mu   sync.Mutex
	logs map[string]*bytes.Buffer
	seen map[string]*sighting // by their content: most texts come many times
}

func newSinks() *sinks { return &sinks{logs: map[string]*bytes.Buffer{}, seen: map[string]*sighting{}} }

// A sink is a writer into one of them.
type sink struct {
	to   *sinks
	name string
}

func (s sink) Write(p []byte) (int, error) {
	s.to.mu.Lock()
	defer s.to.mu.Unlock()
	if s.to.logs[s.name] == nil {
		s.to.logs[s.name] = &bytes.Buffer{}
	}
	return s.to.logs[s.name].Write(p)
}

func (s *sinks) add(sink, text string, atHome ...kind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[fmt.Sprint(sink, atHome, text)] = &sighting{sink, text, atHome}
}

// all returns the texts, those of one sink with the same permissions joined.
func (s *sinks) all() []sighting {
	s.mu.Lock()
	defer s.mu.Unlock()
	joined := map[string]*bytes.Buffer{}
	var all []sighting
	for _, seen := range s.seen {
		key := fmt.Sprint(seen.sink, seen.atHome)
		if joined[key] == nil {
			joined[key] = &bytes.Buffer{}
			all = append(all, sighting{sink: seen.sink, text: key, atHome: seen.atHome})
		}
		joined[key].WriteString(seen.text + "\n")
	}
	for i := range all {
		all[i].text = joined[all[i].text].String()
	}
	for name, b := range s.logs {
		all = append(all, sighting{sink: name, text: b.String()})
	}
	return all
}

// log returns what operators read.
func (s *sinks) log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.logs["log"] == nil {
		return ""
	}
	return s.logs["log"].String()
}

// spill prints a value with every verb, and each error that it wraps.
func (s *sinks) spill(sink string, v any) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		s.add(sink, fmt.Sprintf(verb, v))
	}
	data, err := json.Marshal(v)
	s.add(sink, fmt.Sprintf("%s %v", data, err))
	var line bytes.Buffer
	slog.New(slog.NewJSONHandler(&line, nil)).Info("spilled", "value", v)
	slog.New(slog.NewTextHandler(&line, nil)).Info("spilled", "value", v)
	s.add(sink, line.String())

	switch e := v.(type) {
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			s.spill(sink, inner)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			s.spill(sink, inner)
		}
	}
}

// A leakSite is an application with canaries in every secret place and a reader
// at every sink.
type leakSite struct {
	*authtest.Site
	canaries *canaries
	sinks    *sinks
	front    *httptest.Server // WeChat, watched: what browsers see
	api      *httptest.Server // what the site calls
	b        *authtest.Browser
	store    *authtest.SwitchableStore
	redis    *redistest.Server // nil without
	control  redis.Conn
	watching <-chan struct{} // closed when the monitor has seen all

	mu       sync.Mutex
	peer     func(w http.ResponseWriter, r *http.Request) bool // responds for WeChat if it returns true
	observe  func(wechatauth.Event)
	onLogin  func()                       // called between exchange and save
	callback string                       // the last one that WeChat redirected to
	owners   map[string]*authtest.Browser // of session tokens
}

// leakUser is a person whose nickname tries to write its own log line. They
// follow the account and come from its menu, so that WeChat returns the profile
// without asking.
func leakUser() wechattest.Person {
	return wechattest.Person{Name: "p", Follows: true, NicknameJSON: canaryNickname + `\n` + forgedLine + `\u001b[31m`}
}

// newLeakSite starts a leakSite with sessions in memory; or in Redis, with
// patience as the timeout of a store that does not respond.
func newLeakSite(t *testing.T, patience time.Duration, opts ...wechatauth.Option) *leakSite {
	t.Helper()
	return newLeakSiteOver(t, patience, nil, opts...)
}

// newLeakSiteOver is like newLeakSite, but stores sessions as the option sets.
func newLeakSiteOver(t *testing.T, patience time.Duration, sessions wechatauth.Option, opts ...wechatauth.Option) *leakSite {
	t.Helper()
	x := &leakSite{
		canaries: newCanaries(), sinks: newSinks(),
		store: authtest.NewSwitchableStore(), owners: map[string]*authtest.Browser{}, onLogin: func() {},
		Site: &authtest.Site{
			T: t, Server: httptest.NewUnstartedServer(nil), Logs: &authtest.Buffer{}, Clock: authtest.NewClock(),
			Sim: wechattest.NewServer(wechattest.WithPerson(leakUser()), wechattest.WithEnvironment(wechattest.FromMenu)),
		},
	}
	x.canaries.plant(theSecret, wechattest.DefaultSecret, wechattest.DefaultWebsiteSecret, wechattest.DefaultMiniProgramSecret)
	x.canaries.plant(theFlowKey, canaryFlowKey)
	x.canaries.plant(theNickname, canaryNickname)
	x.canaries.plant(theUser,
		wechattest.OpenID(wechattest.DefaultAppID, "p"), wechattest.UnionID(wechattest.DefaultOpenPlatform, "p"))
	x.captureProcess()
	x.front = httptest.NewUnstartedServer(http.HandlerFunc(x.wechat))
	x.front.Config.ErrorLog = log.New(io.Discard, "", 0) // WeChat's own errors
	x.front.Start()
	t.Cleanup(x.front.Close)
	x.api = httptest.NewUnstartedServer(x.front.Config.Handler)
	x.api.Config.ErrorLog = x.front.Config.ErrorLog
	x.api.Start()
	t.Cleanup(x.api.Close)

	x.observe = func(e wechatauth.Event) { x.sinks.spill("events", e); x.sinks.spillError("events", e.Err) }
	logger := slog.New(bothFormats{
		slog.NewTextHandler(sink{x.sinks, "log"}, &slog.HandlerOptions{Level: slog.LevelDebug}),
		slog.NewJSONHandler(sink{x.sinks, "log"}, &slog.HandlerOptions{Level: slog.LevelDebug})})
	defaults := []wechatauth.Option{
		wechatauth.WithEndpoints(client.Endpoints{Open: x.front.URL, API: x.api.URL}),
		wechatauth.WithScope(client.ScopeUserInfo), wechatauth.WithTokens(0), wechatauth.WithFlowKeys([]byte(canaryFlowKey)),
		wechatauth.WithWebsiteApp(wechattest.DefaultWebsiteAppID, wechattest.DefaultWebsiteSecret),
		wechatauth.WithMiniProgram(wechattest.DefaultMiniProgramAppID, wechattest.DefaultMiniProgramSecret),
		wechatauth.WithObserver(authtest.ObserverFunc(x.observe)),
		wechatauth.WithOnLogin(func(context.Context, wechatauth.Identity) error { x.onLogin(); return nil }),
		wechatauth.WithLogger(logger),
	}
	switch {
	case sessions != nil:
		defaults = append(defaults, sessions)
	case patience > 0:
		x.startRedis()
		defaults = append(defaults, wechatauth.WithStore(quickStore(x.T, x.redisURL(), patience)))
	default:
		defaults = append(defaults, wechatauth.WithStore(x.store))
	}
	x.Start("http://"+x.Server.Listener.Addr().String(), append(defaults, opts...)...)
	x.Log, x.Cookies = logger, x.Jar(x.AppID, canaryFlowKey, "/wechat/callback")
	x.Wait = func(context.Context, time.Duration) error { return authtest.ErrSwitchedOff }
	x.Server.Config.ErrorLog = log.New(sink{x.sinks, "ErrorLog"}, "", 0)
	x.Server.Config.Handler = x.app()
	x.Server.Start()
	x.b = x.person()
	return x
}

func (s *sinks) spillError(sink string, err error) {
	if err != nil {
		s.spill(sink, err)
	}
}

// A bothFormats handler writes each record as text and as JSON.
type bothFormats struct{ text, json slog.Handler }

func (h bothFormats) Enabled(ctx context.Context, l slog.Level) bool { return h.text.Enabled(ctx, l) }

func (h bothFormats) Handle(ctx context.Context, r slog.Record) error {
	return errors.Join(h.text.Handle(ctx, r), h.json.Handle(ctx, r))
}

func (h bothFormats) WithAttrs(attrs []slog.Attr) slog.Handler {
	return bothFormats{h.text.WithAttrs(attrs), h.json.WithAttrs(attrs)}
}

func (h bothFormats) WithGroup(name string) slog.Handler {
	return bothFormats{h.text.WithGroup(name), h.json.WithGroup(name)}
}

// captureProcess reads the standard log and stderr until the test ends.
func (x *leakSite) captureProcess() {
	file, err := os.Create(filepath.Join(x.T.TempDir(), "stderr"))
	require.NoError(x.T, err)
	stderr, writer, flags, logger := os.Stderr, log.Writer(), log.Flags(), slog.Default()
	os.Stderr = file
	slog.SetDefault(slog.New(slog.NewTextHandler(sink{x.sinks, "default slog"}, nil)))
	log.SetOutput(io.MultiWriter(file, sink{x.sinks, "standard log"}))
	x.T.Cleanup(func() {
		slog.SetDefault(logger)
		log.SetOutput(writer)
		log.SetFlags(flags)
		os.Stderr = stderr
		_ = file.Close()
	})
}

// app returns the application: pages that show nothing about their user, and
// log it.
func (x *leakSite) app() http.Handler {
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, ok := wechatauth.IdentityFromContext(r.Context())
		slog.Info("page", "ok", ok, "user", id)
		if r.URL.Query().Has("put") {
			x.Auth.Sessions().Put(r.Context(), "seen", r.URL.Query().Get("put"))
		}
		if r.URL.Query().Has("token") {
			token, err := x.Auth.AccessToken(r.Context())
			x.sinks.spill("AccessToken", token)
			x.sinks.spillError("AccessToken", err)
			var we *client.Error
			if errors.As(err, &we) {
				x.Log.Warn("no token", "error", err, "errcode", we.Code, "endpoint", we.Endpoint)
			}
		}
		if r.URL.Query().Has("odd") {
			x.Auth.Sessions().Put(r.Context(), "odd", oddValue{r.URL.Path})
		}
		if r.URL.Query().Has("panic") {
			panic("the handler panics on purpose")
		}
		_, _ = io.WriteString(w, "a page")
	})
	mux := http.NewServeMux()
	mux.Handle("/", x.Auth.RequireWeChat(page))
	mux.Handle("/profile", x.Auth.RequireScope(client.ScopeUserInfo)(page))
	mux.Handle("/public", x.Auth.LoadWeChat(page))
	return mux
}

// wechat passes calls to the simulator and reads the responses.
func (x *leakSite) wechat(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if strings.HasPrefix(r.URL.Path, "/sns/") {
		x.canaries.plant(theCode, append(q["code"], q["js_code"]...)...)
		x.canaries.plant(theToken, append(q["access_token"], q["refresh_token"]...)...)
		x.sinks.add("WeChat's access log", r.URL.String(), theSecret, theCode, theToken, theUser)
		x.sinks.add("headers to WeChat", fmt.Sprint(r.Header))
	}
	x.mu.Lock()
	peer := x.peer
	x.mu.Unlock()
	if peer != nil && peer(w, r) {
		return
	}
	tee := &teeWriter{ResponseWriter: w}
	defer func() { x.learn(tee.body.String()) }() // also of a call that ends in a reset
	x.Sim.ServeHTTP(tee, r)
}

// A teeWriter keeps what is written.
type teeWriter struct {
	http.ResponseWriter
	body bytes.Buffer
}

func (w *teeWriter) Write(p []byte) (int, error) {
	w.body.Write(p)
	return w.ResponseWriter.Write(p)
}

func (w *teeWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

var answeredFields = regexp.MustCompile(`"(access_token|refresh_token|openid|unionid|session_key)":"([^"]+)"`)

// learn plants what WeChat returned.
func (x *leakSite) learn(body string) {
	for _, m := range answeredFields.FindAllStringSubmatch(body, -1) {
		switch m[1] {
		case "access_token", "refresh_token":
			x.canaries.plant(theToken, m[2])
		case "session_key":
			x.canaries.plant(theKey, strings.ReplaceAll(m[2], `\/`, "/"))
		default:
			x.canaries.plant(theUser, m[2])
		}
	}
}

// person returns a browser whose responses are all read.
func (x *leakSite) person() *authtest.Browser {
	b := x.Browser()
	b.Client.Transport = &reader{x: x, b: b, inner: b.Client.Transport}
	return b
}

// A reader reads the responses to a browser.
type reader struct {
	x     *leakSite
	b     *authtest.Browser
	inner http.RoundTripper
}

func (t *reader) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.inner.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	location, _ := url.Parse(resp.Header.Get("Location"))
	if location == nil {
		location = &url.URL{}
	}
	if r.URL.Host == t.x.Base.Host {
		t.x.canaries.plant(theState, location.Query().Get("state"))
		t.x.sinks.add("responses", t.body(r, string(body)))
		t.x.sinks.add("responses", t.headers(resp))
		return resp, err
	}
	if code := location.Query().Get("code"); code != "" {
		t.x.canaries.plant(theCode, code)
		t.x.mu.Lock()
		t.x.callback = location.String()
		t.x.mu.Unlock()
	}
	return resp, err
}

var (
	bearerField = regexp.MustCompile(`"token":"wxm_([^"]+)"`)
	ticketField = regexp.MustCompile(`ticket=(\w+)`)
)

// body returns the body of a response, without what a mini program requests and
// gets.
func (t *reader) body(r *http.Request, body string) string {
	if m := bearerField.FindStringSubmatch(body); m != nil && strings.HasSuffix(r.URL.Path, "/mini/login") && t.x.owns(t.b, m[1]) {
		return bearerField.ReplaceAllString(body, "")
	}
	if m := ticketField.FindStringSubmatch(body); m != nil && strings.HasSuffix(r.URL.Path, "/mini/ticket") {
		t.x.canaries.plant(theTicket, m[1])
		return ticketField.ReplaceAllString(body, "")
	}
	return body
}

// headers prints the headers, except for the two places where a canary belongs:
// the state in the redirect to WeChat, and the session cookie in the browser
// that owns the session.
func (t *reader) headers(resp *http.Response) string {
	h := resp.Header.Clone()
	if to := h.Get("Location"); strings.HasPrefix(to, t.x.front.URL+"/connect/") || strings.HasPrefix(to, "https://open.example.com/connect/") {
		h.Set("Location", regexp.MustCompile(`state=\w+`).ReplaceAllString(to, "state="))
	}
	for i, c := range resp.Cookies() {
		if c.Name == t.x.SessionCookie() && c.Value != "" && t.x.owns(t.b, c.Value) {
			h["Set-Cookie"][i] = strings.Replace(h["Set-Cookie"][i], c.Value, "", 1)
		}
	}
	return fmt.Sprintf("%s %q", resp.Status, map[string][]string(h))
}

// owns reports whether a session token belongs to this browser, the first one
// that got it.
func (x *leakSite) owns(b *authtest.Browser, token string) bool {
	x.canaries.plant(theSession, token)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.owners[token] == nil {
		x.owners[token] = b
	}
	return x.owners[token] == b
}

// open sends a request and follows redirects. It may fail: many faults break
// connections.
func (x *leakSite) open(b *authtest.Browser, method, target string, body io.Reader, header http.Header) {
	if strings.HasPrefix(target, "/") {
		target = x.Base.String() + target
	}
	r, err := http.NewRequestWithContext(context.Background(), method, target, body)
	if err != nil {
		x.T.Errorf("the test's own URL %q: %v", target, err)
		return
	}
	for _, h := range []http.Header{b.Header, header} {
		maps.Copy(r.Header, h)
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	if resp, err := b.Client.Do(r); err == nil {
		resp.Body.Close()
	}
}

// calls makes the calls that the application makes itself.
func (x *leakSite) calls() {
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	defer func() { x.sinks.spill("Check", recover()) }() // one fault is a transport that panics
	x.sinks.spillError("Check", x.Auth.Check(ctx))
	_, err := x.Auth.RevokeUser(ctx, wechattest.DefaultAppID, "oSomebodyElse")
	x.sinks.spillError("RevokeUser", err)
}

// miniProgram logs a mini program in, sends requests to the application and
// opens its web-view. It takes the values it needs from the canaries.
func (x *leakSite) miniProgram() {
	app := x.person()
	app.Client.Jar = nil
	app.Header = http.Header{"Content-Type": {"application/json"}}
	code := x.Sim.WXLogin(wechattest.DefaultMiniProgramAppID, "p")
	x.canaries.plant(theCode, code)
	for range 2 { // the second time it is used
		x.open(app, http.MethodPost, "/wechat/mini/login", strings.NewReader(`{"code":"`+code+`"}`), nil)
	}
	x.open(app, http.MethodPost, "/wechat/mini/login", strings.NewReader(`{"code":"`+code), nil)
	signedIn := http.Header{"Authorization": {"Bearer " + session.BearerPrefix + x.tokenOf(app)}}
	x.open(app, http.MethodGet, "/api?put=3", nil, signedIn)
	x.open(app, http.MethodPost, "/wechat/mini/ticket", strings.NewReader(`{"target":"/a"}`), signedIn)
	webView := x.person().As(wechattest.AndroidMiniProgram)
	for range 2 {
		x.getAs(webView, "/wechat/mini/enter?ticket="+x.canaries.one(theTicket))
	}
	x.open(app, http.MethodPost, "/wechat/logout", nil, signedIn)
	x.open(app, http.MethodGet, "/api", nil, signedIn)
}

// tokenOf returns the session token of a browser, or "" if it has none.
func (x *leakSite) tokenOf(b *authtest.Browser) string {
	x.mu.Lock()
	defer x.mu.Unlock()
	for token, owner := range x.owners {
		if owner == b {
			return token
		}
	}
	return ""
}

func (x *leakSite) get(target string) { x.open(x.b, http.MethodGet, target, nil, nil) }
func (x *leakSite) getAs(b *authtest.Browser, target string) {
	x.open(b, http.MethodGet, target, nil, nil)
}

func (x *leakSite) script(b *authtest.Browser, method, target string) {
	x.open(b, method, target, nil, http.Header{"Accept": {"*/*"}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Dest": {"empty"}})
}

func (x *leakSite) submit(b *authtest.Browser, target string, form url.Values) {
	x.open(b, http.MethodPost, target, strings.NewReader(form.Encode()), http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"same-origin"},
	})
}

// visitsDuring makes the visits that a fault of one endpoint affects, and those
// that follow.
func (x *leakSite) visitsDuring(endpoint string) {
	x.get("/a?b=c")
	switch endpoint {
	case authtest.MiniEndpoint:
		x.miniProgram()
	case authtest.RefreshEndpoint:
		x.Clock.Advance(3 * time.Hour)
		x.get("/a?token=1")
	default:
		x.get("/a?put=1")
		x.get(x.lastCallback())
		x.getAs(x.person(), x.lastCallback())
		x.script(x.b, http.MethodGet, "/api")
	}
}

// tour does what a user does in a day, and what a stranger tries who has seen
// the user's URLs.
func (x *leakSite) tour() {
	x.get("/a?b=c")
	x.get("/a?put=1")
	x.get("/profile")
	x.get("/public?put=2")
	x.script(x.b, http.MethodGet, "/api")
	x.script(x.b, http.MethodPost, "/api")
	x.get("/wechat/upgrade?next=/a")
	x.submit(x.b, "/wechat/upgrade", url.Values{"next": {"/profile"}})
	if x.lastCallback() != "" {
		x.get(x.lastCallback())
		x.script(x.b, http.MethodPost, x.lastCallback())
		stranger := x.person()
		x.getAs(stranger, x.lastCallback())
		x.getAs(stranger, "/shop?a=1&"+strings.SplitN(x.lastCallback(), "?", 2)[1])
		x.script(stranger, http.MethodGet, x.lastCallback())
	}
	x.miniProgram()
	x.Clock.Advance(3 * time.Hour) // the access_token has expired by then
	x.get("/a?token=1")
	x.calls()
	x.submit(x.b, "/wechat/logout", url.Values{"next": {"/public"}})
	x.get("/a")
}

func (x *leakSite) lastCallback() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.callback
}

// scan searches all sinks and returns how much it has read.
func (x *leakSite) scan() (hits, bytes int) {
	x.T.Helper()
	x.finishRedis()
	stderr, err := os.ReadFile(os.Stderr.Name())
	require.NoError(x.T, err)
	x.sinks.add("stderr", string(stderr))
	for _, printed := range []any{x.Auth, *x.Auth} {
		x.sinks.add("printed", fmt.Sprintf("%v %+v %#v %q", printed, printed, printed, printed))
	}
	for _, s := range x.sinks.all() {
		bytes += len(s.text)
		for _, found := range x.canaries.hits(s.text, s.atHome...) {
			hits++
			x.T.Errorf("%s in %s", found, s.sink)
		}
	}
	return hits, bytes
}

// startRedis runs a Redis whose password is the canary, and watches it.
func (x *leakSite) startRedis(args ...string) {
	x.canaries.plant(thePassword, canaryPassword)
	x.redis = redistest.Start(x.T, args...)
	conn, err := redis.Dial("tcp", x.redis.Addr())
	require.NoError(x.T, err)
	x.T.Cleanup(func() { _ = conn.Close() })
	x.control = conn
	x.do("ACL", "SETUSER", "app", "on", ">"+canaryPassword, "~*", "&*", "+@all")
	x.watchRedis()
}

func (x *leakSite) do(command string, args ...any) {
	x.T.Helper()
	_, err := x.control.Do(command, args...)
	require.NoError(x.T, err)
}

// redisURL returns the URL that the application uses.
func (x *leakSite) redisURL() string {
	return "redis://app:" + canaryPassword + "@" + x.redis.Addr() + "/0"
}

const lastWords = "that is all"

// watchRedis reads every command that Redis executes.
func (x *leakSite) watchRedis() {
	conn, err := redis.Dial("tcp", x.redis.Addr())
	require.NoError(x.T, err)
	_, err = conn.Do("MONITOR")
	require.NoError(x.T, err)
	done := make(chan struct{})
	x.watching = done
	x.T.Cleanup(func() { _ = conn.Close() })
	go func() {
		defer close(done)
		for {
			line, err := redis.String(conn.Receive())
			if err != nil || strings.Contains(line, lastWords) {
				return
			}
			x.sinks.add("MONITOR", line, atHomeInRedis(line)...)
		}
	}()
}

var (
	sessionCommand = regexp.MustCompile(`"(?i:GET|SET|PTTL|PEXPIRE|DEL|PEXPIREAT)" "scs:session:`)
	indexCommand   = regexp.MustCompile(`"Z[A-Z]+" "wechat:user:`)
)

// atHomeInRedis returns what belongs into a line: a session is stored under its
// token and holds its user; the index of a user lists the tokens.
func atHomeInRedis(line string) []kind {
	switch {
	case strings.Contains(line, " lua] "): // the test's own
		return []kind{theSession, theUser, theNickname}
	case sessionCommand.MatchString(line):
		return []kind{theSession, theUser, theNickname}
	case indexCommand.MatchString(line):
		return []kind{theSession}
	}
	return nil
}

// finishRedis waits until the monitor has shown everything, if there is a Redis
// that still responds.
func (x *leakSite) finishRedis() {
	if x.watching == nil {
		return
	}
	if _, err := redis.DoWithTimeout(x.control, time.Second, "ECHO", lastWords); err == nil {
		<-x.watching
	}
}

func TestScanner(t *testing.T) {
	t.Run("T40 finds each canary in each form", func(t *testing.T) {
		c := newCanaries()
		c.plant(theSecret, "CANARY_secret-/+0123")
		const value = "CANARY_secret-/+0123"
		texts := map[string]string{
			"plain":                 "secret=" + value + "&",
			"base64":                base64.StdEncoding.EncodeToString([]byte(value)),
			"base64 inside, 1":      base64.StdEncoding.EncodeToString([]byte("a" + value + "b")),
			"base64url inside, 2":   base64.URLEncoding.EncodeToString([]byte("ab" + value + "bcd")),
			"base64url inside, 3":   base64.RawURLEncoding.EncodeToString([]byte("abc" + value)),
			"hex":                   fmt.Sprintf("%x", value),
			"HEX":                   fmt.Sprintf("%X", value),
			"escaped for a query":   url.QueryEscape(value),
			"escaped for a path":    url.PathEscape("/" + value),
			"escaped byte for byte": "%43%41%4e%41%52%59%5f%73%65%63%72%65%74%2d%2f%2b%30%31%32%33",
			"as a Go byte slice":    fmt.Sprint([]byte("a" + value + "b")),
			"quoted":                fmt.Sprintf("%q", value),
			"in JSON in an error":   fmt.Errorf("a: %w", errors.New(value)).Error(),
		}
		for name, text := range texts {
			t.Run(name, func(t *testing.T) {
				assert.NotEmpty(t, c.hits(text))
				assert.Empty(t, c.hits(text, theSecret), "it belongs here")
			})
		}
		assert.NotEmpty(t, c.hits("a\n"+forgedLine))
		assert.Empty(t, c.hits("CANARY_secret-/+012 and other text"))
	})

	t.Run("T40 finds a leak into each sink", func(t *testing.T) {
		leak := map[string]func(x *leakSite){
			"log":          func(x *leakSite) { x.Log.Error("a", "b", canaryPassword) },
			"standard log": func(*leakSite) { log.Print(canaryPassword) },
			"default slog": func(*leakSite) { slog.Error("a", "b", errors.New(canaryPassword)) },
			"ErrorLog":     func(x *leakSite) { x.Server.Config.ErrorLog.Print(canaryPassword) },
			"stderr":       func(*leakSite) { fmt.Fprint(os.Stderr, canaryPassword) },
			"events": func(x *leakSite) {
				x.observe(wechatauth.Event{Err: fmt.Errorf("a: %w", errors.New(canaryPassword))})
			},
			"responses": func(x *leakSite) { x.get("/wechat/login?next=/a%3Fb=" + canaryPassword) },
			"MONITOR":   func(x *leakSite) { x.do("GET", canaryPassword) },
		}
		for name, f := range leak {
			t.Run(name, func(t *testing.T) {
				x := newLeakSite(t, patienceForRedis)
				x.tour()
				f(x)
				x.finishRedis()
				stderr, err := os.ReadFile(os.Stderr.Name())
				require.NoError(t, err)
				x.sinks.add("stderr", string(stderr))
				found := map[string]bool{}
				for _, s := range x.sinks.all() {
					if len(x.canaries.hits(s.text, s.atHome...)) > 0 {
						found[s.sink] = true
					}
				}
				assert.Contains(t, found, name)
			})
		}
	})
}

func TestLeak(t *testing.T) {
	t.Run("T40 no secret reaches any sink", func(t *testing.T) {
		require.GreaterOrEqual(t, len(leakFaults), 60)
		points, hits, read := 0, 0, 0
		planted := map[kind]int{}
		for _, fault := range leakFaults {
			t.Run(fault.name, func(t *testing.T) {
				x := fault.site(t)
				fault.run(x)
				if fault.endpoint != "" {
					x.visitsDuring(fault.endpoint)
				} else {
					x.tour()
				}
				if !strings.Contains(x.sinks.log()+x.processLog(), fault.want) {
					t.Errorf("the fault did not occur: no record has %q", fault.want)
				}
				h, n := x.scan()
				points, hits, read = points+1, hits+h, read+n
				for _, k := range x.canaries.values {
					planted[k]++
				}
			})
		}
		for _, k := range []kind{theSecret, theFlowKey, thePassword, theCode, theState, theToken, theSession, theUser, theNickname, theKey, theTicket} {
			assert.GreaterOrEqual(t, planted[k], points/8, "%s", k)
		}
		t.Logf("canaries: fault points %d, hits %d, bytes read %d, values %v", points, hits, read, planted)
	})
}

// processLog returns what net/http and others have logged.
func (x *leakSite) processLog() string {
	x.sinks.mu.Lock()
	defer x.sinks.mu.Unlock()
	var all strings.Builder
	for _, name := range []string{"ErrorLog", "standard log"} {
		if b := x.sinks.logs[name]; b != nil {
			all.WriteString(b.String())
		}
	}
	return all.String()
}
