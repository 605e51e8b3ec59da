package wechattest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path"
	"sync"
	"time"

	"github.com/wechatauth/wechatauth/client"
)

// Server is a simulated WeChat. It is an http.Handler for the paths of both of
// WeChat's hosts. All methods are safe for concurrent use:
//
//   - answer a page: [Server.Allow] and [Server.Refuse]; [Server.FullService]
//     leaves a snapshot page; [Server.CallbackURL] stops before the callback,
//     to deliver it late, elsewhere or, with [DeliverTwice], doubled
//   - people: [Server.SetPerson] gives the phone to somebody else, [Server.SetEnvironment]
//     says from where pages are opened, [Server.ChangePassword] voids tokens
//   - time: the clock of [WithClock] plus what [Server.Advance] added, as
//     [Server.Now] tells; lifetimes are tested without waiting
//   - what goes wrong: [Server.Fail] scripts faults, [Server.SetQuirk] turns a
//     behaviour on or off, [Server.Block] and [Server.WaitForCalls] hold calls and
//     wait for them; [Scenarios] are whole ways in which a login goes
//   - what was asked: [Server.Journal], [Server.Count], [Server.AssertCalls],
//     [Server.Leaks], [Server.AssertNoLeaks]
//   - mini programs and platforms: [Server.WXLogin], [Server.GetPhoneNumber],
//     [Server.UserPayload], [Server.PhonePayload], [Server.VerifyTicket],
//     [Server.ComponentToken]
//   - where it is: [Server.Endpoints], [Server.Client], [Server.Close]
//
// Who an openid belongs to, [OpenID] and [UnionID] tell.
type Server struct {
	// URL is the base URL without a trailing slash. NewServer sets it. What
	// NewHandler made does not know where it is mounted: set it to where your
	// server listens, before the first use of Endpoints and FullService.
	URL string

	cfg      config
	accounts map[string]Account
	people   map[string]Person
	mux      http.Handler
	http     *httptest.Server
	done     chan struct{} // closed by Close: whoever waits gives up
	close    sync.Once

	mu      sync.Mutex    // guards what follows
	changed chan struct{} // closed and replaced on every change
	rng     *rand.Rand
	swept   int // calls of sweep so far
	visits
	grants
	script
}

// visits is what people do, and what is open in their browsers.
type visits struct {
	holder      string
	environment Environment
	granted     map[string]bool // people who agreed on 使用完整服务 just now
	consented   map[string]bool // by AppID and person
	passwords   map[string]int  // how often each person has changed it
	snapshots   map[string]int  // snapshot visits, by person

	pending map[string]*consent
	tickets map[string]*ticket
}

// grants is every code, token and key that the simulator has issued.
type grants struct {
	codes          map[string]*grant
	logins         map[string]*login // by every access_token and refresh_token
	keys           map[string]*sessionKey
	secretKeys     map[string]bool // every session_key
	accountTokens  map[string]*tokens
	byAccountToken map[string]*accountToken
	verifyTickets  map[string]*accountToken
}

// script is what a test has arranged, and what it can read afterwards.
type script struct {
	offset  time.Duration // what Advance added to the clock
	journal journal
	leaks   []string
	windows map[string]window
	gates   map[string][]chan struct{}
	faults  map[string][]Fault
}

// NewServer starts a simulator on a free loopback port. It panics if the
// options are invalid, as httptest.NewServer does if it cannot listen. The
// caller closes it.
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

// NewHandler returns a simulator that does not listen, to be mounted at the
// root of a server of your own, or below a prefix that http.StripPrefix takes
// away. It is a *Server, so a type assertion gives access to its methods; set
// its URL first. It panics if the options are invalid.
func NewHandler(opts ...Option) http.Handler { return newServer(opts) }

func newServer(opts []Option) *Server {
	cfg, err := newConfig(opts)
	if err != nil {
		panic(fmt.Sprintf("wechattest: %v", err))
	}
	s := &Server{
		cfg:      cfg,
		accounts: map[string]Account{},
		people:   map[string]Person{},
		done:     make(chan struct{}),
		changed:  make(chan struct{}),
		rng:      rand.New(rand.NewPCG(uint64(cfg.seed), 0)),
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
		},
		script: script{
			journal: journal{counts: map[string]int{}},
			windows: map[string]window{},
			gates:   map[string][]chan struct{}{},
			faults:  cfg.faults,
		},
	}
	for _, a := range cfg.accounts {
		s.accounts[a.AppID] = a
	}
	for _, p := range cfg.people {
		s.people[p.Name] = p
	}
	s.mux = s.routes()
	return s
}

// Close stops listening, lets every held call go and waits for open ones.
func (s *Server) Close() {
	s.close.Do(func() { close(s.done) })
	if s.http != nil {
		s.http.Close()
	}
}

// Endpoints are the two base URLs for client.WithEndpoints. The hosts that
// WeChat keeps apart are one here. It panics while URL is empty: to a client,
// empty base URLs are those of the real WeChat.
func (s *Server) Endpoints() client.Endpoints {
	if s.URL == "" {
		panic("wechattest: Endpoints: this simulator does not listen itself (NewHandler): set its URL to where it is mounted")
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

// ServeHTTP answers for both of WeChat's hosts and for the control page.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Advance moves the simulator's clock forward by d, on top of WithClock.
func (s *Server) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offset += d
	s.wake() // a long poll whose QR code has expired
}

// Now is the simulator's time.
func (s *Server) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now()
}

// now is Now for a caller who holds s.mu.
func (s *Server) now() time.Time { return s.cfg.clock().Add(s.offset) }

// SetPerson gives the phone to the person of that name: whoever opens a page and
// has not chosen a person by cookie is this one. It panics on an unknown name.
func (s *Server) SetPerson(name string) {
	s.mustPerson(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holder = name
}

// sweep forgets, now and then, what expired an hour ago or earlier, so that a
// long run does not fill the memory. The caller holds s.mu.
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
	maps.DeleteFunc(s.byAccountToken, func(_ string, t *accountToken) bool { return t.expires.Before(old) })
}

// routes names every path that is answered; other paths are 40066, as for a
// mistyped API path.
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
		"sim/full-service":               s.fullService,
	} {
		mux.Handle("/"+name, s.page(name, serve))
	}
	mux.Handle("/connect/qrcode/{uuid}", s.page("connect/qrcode", s.qrImage))
	mux.HandleFunc("/mmopen/", s.avatar)
	s.controlRoutes(mux)
	unknown := s.api(endpoint{path: "", family: cgiFamily, methods: "GET POST", answer: unknownPath})
	mux.Handle("/", unknown)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !clean(r.URL.EscapedPath()) {
			unknown.ServeHTTP(w, r) // a ServeMux would redirect
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// clean reports whether a path has no empty and no dot segments.
func clean(urlPath string) bool {
	return urlPath == path.Clean(urlPath) || urlPath == path.Clean(urlPath)+"/"
}
