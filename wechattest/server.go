package wechattest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wechatauth/wechatauth/client"
)

// A Server is a WeChat simulator. It is an http.Handler for the paths of both
// of WeChat's hosts. A Server is safe for concurrent use by multiple
// goroutines. Its methods by purpose:
//
//   - to act on WeChat's pages: [Server.Allow] and [Server.Refuse];
//     [Server.FullService] leaves snapshot mode; [Server.CallbackURL] stops
//     before the callback, which a test can then open late, in another browser
//     or, with [DeliverTwice], twice
//   - to choose the user: [Server.SetPerson], [Server.SetEnvironment] (where
//     pages are opened from), [Server.ChangePassword] (invalidates tokens)
//   - to control time: [Server.Advance] and [Server.Now], on top of the clock
//     of [WithClock]; lifetimes can be tested without waiting
//   - to cause faults: [Server.Fail] scripts them, [Server.SetQuirk] turns a
//     quirk on or off, [Server.Block] and [Server.WaitForCalls] hold calls and
//     wait for them; [Scenarios] returns the courses that a login can take, and
//     [Server.SetScenario] sets one up
//   - to inspect requests: [Server.Journal], [Server.Count],
//     [Server.AssertCalls], [Server.Leaks], [Server.AssertNoLeaks]
//   - for WeCom: [Server.WeComEndpoints], [Server.QYLogin],
//     [Server.EndCorpTokens]
//   - for mini programs and platforms: [Server.WXLogin],
//     [Server.GetPhoneNumber], [Server.UserPayload], [Server.PhonePayload],
//     [Server.VerifyTicket], [Server.ComponentToken]
//   - to connect: [Server.Endpoints], [Server.Client], [Server.Close]
//
// The functions [OpenID] and [UnionID] return a person's ids.
type Server struct {
	// URL is the base URL without a trailing slash. NewServer sets it. A
	// simulator from NewHandler does not know where it is mounted: set URL
	// before the first call of Endpoints or FullService.
	URL string

	opts  []Option // as passed to NewServer or NewHandler
	cfg   config
	world atomic.Pointer[world]
	mux   http.Handler
	http  *httptest.Server
	done  chan struct{} // closed by Close, to release all waiters
	close sync.Once

	mu      sync.Mutex    // guards what follows
	changed chan struct{} // closed and replaced on every change
	rng     *rand.Rand
	swept   int // number of calls of sweep
	visits
	grants
	script
}

// visits is the state of people, and the pages open in their browsers.
type visits struct {
	holder      string
	environment Environment
	granted     map[string]bool // people who have just agreed to 使用完整服务
	consented   map[string]bool // by AppID and person
	passwords   map[string]int  // how often each person has changed the password
	snapshots   map[string]int  // snapshot page visits by person

	pending map[string]*consent
	tickets map[string]*ticket
}

// grants holds the codes, tokens and keys that the simulator has issued.
type grants struct {
	codes          map[string]*grant
	logins         map[string]*login // by access_token and refresh_token
	keys           map[string]*sessionKey
	secretKeys     map[string]bool // every session_key
	accountTokens  map[string]*tokens
	byAccountToken map[string]*accountToken
	verifyTickets  map[string]*accountToken

	weCom
}

// script holds what a test has set up, and what it can inspect afterwards.
type script struct {
	offset  time.Duration // what Advance added to the clock
	journal journal
	leaks   []string
	windows map[string]window
	gates   map[string][]chan struct{}
	faults  map[string][]Fault

	scenario string // the one that applies, if nothing was changed since
	site     string // the application's URL, or the origin of the last callback
}

// NewServer starts a simulator on a free loopback port. It panics if the
// options are invalid, or if it cannot listen, as httptest.NewServer does. The
// caller must call Close.
func NewServer(opts ...Option) *Server {
	s := newServer(opts)
	s.http = httptest.NewUnstartedServer(s)
	if s.cfg.tls {
		s.http.StartTLS()
	} else {
		s.http.Start()
	}
	s.URL = s.http.URL
	return s
}

// NewHandler returns a simulator that does not listen. Mount it at the root of
// your server, or below a prefix removed by http.StripPrefix. It is a *Server,
// whose methods are available by a type assertion; set its URL first.
// NewHandler panics if the options are invalid.
func NewHandler(opts ...Option) http.Handler { return newServer(opts) }

func newServer(opts []Option) *Server {
	cfg, err := newConfig(opts)
	if err != nil {
		panic(fmt.Sprintf("wechattest: %v", err))
	}
	s := &Server{
		opts:    opts,
		cfg:     cfg,
		done:    make(chan struct{}),
		changed: make(chan struct{}),
		rng:     rand.New(rand.NewPCG(uint64(*cfg.seed), 0)),
		visits: visits{
			holder:      cfg.people[0].Name,
			environment: cfg.environment,
			granted:     map[string]bool{},
			consented:   map[string]bool{},
			passwords:   map[string]int{},
			snapshots:   map[string]int{},
			pending:     map[string]*consent{},
			tickets:     map[string]*ticket{},
		},
		grants: grants{
			codes:          map[string]*grant{},
			logins:         map[string]*login{},
			keys:           map[string]*sessionKey{},
			secretKeys:     map[string]bool{},
			accountTokens:  map[string]*tokens{},
			byAccountToken: map[string]*accountToken{},
			verifyTickets:  map[string]*accountToken{},
			weCom:          newWeCom(),
		},
		script: script{
			journal: journal{counts: map[string]int{}},
			windows: map[string]window{},
			gates:   map[string][]chan struct{}{},
			faults:  cfg.faults,
			site:    cfg.site,
		},
	}
	s.scenario = cfg.scenario()
	s.world.Store(newWorld(cfg))
	s.mux = s.routes()
	return s
}

// A world holds the accounts and people. A scenario replaces it.
type world struct {
	accounts map[string]Account // by AppID
	people   map[string]Person  // by name
	list     []Account
	cast     []Person
	corps    []Corp
	secrets  map[string]string // the AppIDs of all AppSecrets so far
}

func newWorld(cfg config) *world {
	w := &world{accounts: map[string]Account{}, people: map[string]Person{}, list: cfg.accounts, cast: cfg.people, corps: cfg.corps, secrets: map[string]string{}}
	for _, a := range cfg.accounts {
		w.accounts[a.AppID], w.secrets[a.Secret] = a, a.AppID
	}
	for _, p := range cfg.people {
		w.people[p.Name] = p
	}
	return w
}

// Close stops listening, releases held calls and waits for open ones.
func (s *Server) Close() {
	s.close.Do(func() { close(s.done) })
	if s.http != nil {
		s.http.Close()
	}
}

// Endpoints returns the base URLs for client.WithEndpoints. WeChat's two hosts
// are one here. Endpoints panics if URL is empty, because a client would use
// the real WeChat for empty base URLs.
func (s *Server) Endpoints() client.Endpoints {
	if s.URL == "" {
		panic("wechattest: Endpoints: URL is empty: after NewHandler, set it to the base URL of the simulator")
	}
	return client.Endpoints{Open: s.URL, API: s.URL}
}

// Client returns an http.Client that trusts the certificate of WithTLS.
func (s *Server) Client() *http.Client {
	if s.http == nil {
		return http.DefaultClient
	}
	return s.http.Client()
}

// ServeHTTP serves both of WeChat's hosts and the control page.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Advance moves the simulator's clock forward by d, on top of the
// clock of [WithClock].
func (s *Server) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offset += d
	s.wake() // a QR code of a long poll may have expired
}

// Now returns the simulator's time.
func (s *Server) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now()
}

// now is Now for callers that hold s.mu.
func (s *Server) now() time.Time { return s.cfg.clock().Add(s.offset) }

// SetPerson sets the current person, who opens all pages in browsers that have
// not chosen one by cookie. It panics if the name is unknown.
func (s *Server) SetPerson(name string) {
	s.mustPerson(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holder, s.scenario = name, ""
}

// sweep occasionally deletes what expired at least an hour ago, to limit memory
// in a long run. The caller holds s.mu.
func (s *Server) sweep() {
	const interval, keep = 1024, time.Hour
	if s.swept++; s.swept%interval != 0 {
		return
	}
	old := s.now().Add(-keep)
	maps.DeleteFunc(s.codes, func(_ string, g *grant) bool { return g.expires.Before(old) })
	maps.DeleteFunc(s.pending, func(_ string, c *consent) bool { return c.opened.Before(old) })
	maps.DeleteFunc(s.tickets, func(_ string, t *ticket) bool { return t.expires.Before(old) })
	maps.DeleteFunc(s.logins, func(_ string, l *login) bool { return l.refreshExpires.Before(old) })
	maps.DeleteFunc(s.corpTokens, func(_ string, t *corpToken) bool { return t.expires.Before(old) })
	maps.DeleteFunc(s.corpTickets, func(_ string, t *userTicket) bool { return t.expires.Before(old) })
	maps.DeleteFunc(s.byAccountToken, func(_ string, t *accountToken) bool { return t.expires.Before(old) })
}

// routes registers all paths; any other path returns 40066, like a mistyped API
// path.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for _, e := range apiEndpoints {
		mux.Handle("/"+e.path, s.api(e))
	}
	for name, serve := range map[string]func(http.ResponseWriter, *http.Request, *Call){
		"connect/oauth2/authorize":       s.authorize,
		"connect/oauth2/authorize_reply": s.authorizeReply,
		"connect/qrconnect":              s.qrConnect,
		"connect/confirm":                s.confirm,
		"connect/l/qrconnect":            s.qrPoll,
		"connect/phone":                  s.phonePage,
		"wwlogin/sso/login":              s.corpLogin,
		"wwlogin/sso/confirm":            s.confirm,
		"wwlogin/sso/l/qrconnect":        s.qrPoll,
		"wwlogin/sso/phone":              s.phonePage,
		"wwopen/sso/qrConnect":           s.corpLogin,
		"wwopen/sso/confirm":             s.confirm,
		"wwopen/sso/l/qrconnect":         s.qrPoll,
		"wwopen/sso/phone":               s.phonePage,
		"sim/full-service":               s.fullService,
	} {
		mux.Handle("/"+name, s.page(name, serve))
	}
	mux.Handle("/connect/qrcode/{uuid}", s.page("connect/qrcode", s.qrImage))
	mux.HandleFunc("/mmopen/", s.avatar)
	s.controlRoutes(mux)
	unknown := s.api(endpoint{path: "", family: cgiFamily, methods: "GET POST", respond: unknownPath})
	mux.Handle("/", unknown)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !clean(r.URL.EscapedPath()) {
			unknown.ServeHTTP(w, r) // a ServeMux would redirect
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// clean reports whether a path has no empty segments and no dot segments.
func clean(urlPath string) bool {
	return urlPath == path.Clean(urlPath) || urlPath == path.Clean(urlPath)+"/"
}
