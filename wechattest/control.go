package wechattest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// controlState is the state shown on the control page and returned by
// /sim/state.
type controlState struct {
	Now         time.Time       `json:"now"`
	Person      string          `json:"person"`      // the person for this browser
	Environment Environment     `json:"environment"` // the environment for this browser
	Holder      string          `json:"holder"`      // the person for all other browsers
	Everywhere  Environment     `json:"everywhere"`  // the environment for all other browsers
	Scenario    string          `json:"scenario"`    // the one that applies, if nothing was changed since
	Site        string          `json:"site"`        // the URL of the application, if known
	Faults      []scriptedFault `json:"faults"`
	Switches    map[Quirk]bool  `json:"switches"`
	Calls       int             `json:"calls"`          // journal entries so far
	Code        string          `json:"code,omitempty"` // the code just issued
}

type scriptedFault struct {
	Endpoint string `json:"endpoint"`
	Fault    string `json:"fault"`
}

// controls handle the forms of the control page, by path below /sim/. Each
// returns the code it issued, if any.
var controls = map[string]func(*Server, http.ResponseWriter, *http.Request) (issued string, err error){
	"scenario":        (*Server).controlScenario,
	"hold":            (*Server).controlPerson,
	"environment":     (*Server).controlEnvironment,
	"fault":           (*Server).controlFault,
	"clear-faults":    (*Server).controlClear,
	"switch":          (*Server).controlQuirk,
	"switches":        (*Server).controlQuirks,
	"advance":         (*Server).controlAdvance,
	"reset-clock":     (*Server).controlReset,
	"change-password": (*Server).controlPassword,
	"js-code":         (*Server).controlMiniCode,
	"phone-code":      (*Server).controlMiniCode,
	"component-token": (*Server).controlPlatform,
	"verify-ticket":   (*Server).controlPlatform,
}

// controlRoutes serves the control page and its forms. It rejects posts from
// pages of other sites.
func (s *Server) controlRoutes(mux *http.ServeMux) {
	own := http.NewCrossOriginProtection()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "sim/")
		w.WriteHeader(http.StatusFound)
	})
	mux.HandleFunc("GET /sim/{$}", func(w http.ResponseWriter, r *http.Request) { s.controlPage(w, r, "", nil) })
	mux.HandleFunc("GET /sim/page.css", stylesheet)
	mux.HandleFunc("GET /sim/control.css", stylesheet)
	mux.HandleFunc("GET /sim/state", func(w http.ResponseWriter, r *http.Request) { writeJSON(w, s.controlState(r)) })
	mux.HandleFunc("GET /sim/journal", s.journalPoll)
	for name, change := range controls {
		mux.Handle("POST /sim/"+name, own.Handler(s.control(change)))
	}
}

// control handles one form. It responds with the new state as JSON or, to a
// form without script, with the control page, which shows an error or a code.
func (s *Server) control(change func(*Server, http.ResponseWriter, *http.Request) (string, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		issued, err := change(s, w, r)
		page := strings.Contains(r.Header.Get("Accept"), "text/html")
		switch {
		case page && (err != nil || issued != ""):
			s.controlPage(w, r, issued, err)
			return
		case err != nil:
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		case page:
			w.Header().Set("Location", "./"+language(r)+"#"+path.Base(r.URL.Path))
			w.WriteHeader(http.StatusSeeOther)
			return
		}
		state := s.controlState(r)
		state.Code = issued
		s.chosen(&state, r)
		writeJSON(w, state)
	})
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(v)
}

func (s *Server) controlState(r *http.Request) controlState {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := controlState{
		Now: s.now(), Person: s.currentPerson(r).Name, Environment: s.currentEnvironment(r),
		Holder: s.holder, Everywhere: s.environment, Scenario: s.scenario, Site: cmp.Or(s.cfg.site, s.site),
		Switches: map[Quirk]bool{}, Faults: []scriptedFault{},
		Calls: s.journal.first + len(s.journal.calls),
	}
	for _, q := range quirkTexts {
		state.Switches[q.name] = s.on(q.name)
	}
	for endpoint, queue := range s.faults {
		for _, f := range queue {
			state.Faults = append(state.Faults, scriptedFault{endpoint, f.String()})
		}
	}
	slices.SortStableFunc(state.Faults, func(a, b scriptedFault) int { return strings.Compare(a.Endpoint, b.Endpoint) })
	return state
}

// chosen adjusts the state for a choice of the form, whose cookie is being set or
// deleted.
func (s *Server) chosen(state *controlState, r *http.Request) {
	form, mine := path.Base(r.URL.Path), r.PostFormValue("for") == "browser"
	switch {
	case form == "hold" && mine:
		state.Person = r.PostFormValue("person")
	case form == "environment" && mine:
		state.Environment = Environment(r.PostFormValue("environment"))
	}
	if form == "scenario" || form == "hold" && !mine {
		state.Person = state.Holder
	}
	if form == "scenario" || form == "environment" && !mine {
		state.Environment = state.Everywhere
	}
}

func (s *Server) personNamed(r *http.Request) (string, error) {
	name := r.PostFormValue("person")
	people := s.world.Load().people
	if _, ok := people[name]; !ok {
		return "", fmt.Errorf("unknown person %q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(people)), ", "))
	}
	return name, nil
}

// controlScenario reads scenario. The scenario applies to all browsers.
func (s *Server) controlScenario(w http.ResponseWriter, r *http.Request) (string, error) {
	forget(w, r, personCookie)
	forget(w, r, environmentCookie)
	return "", s.setScenario(r.PostFormValue("scenario"))
}

// controlPerson reads person, and for: "browser" to affect this browser only.
func (s *Server) controlPerson(w http.ResponseWriter, r *http.Request) (string, error) {
	name, err := s.personNamed(r)
	switch {
	case err != nil:
		return "", err
	case r.PostFormValue("for") == "browser":
		choose(w, r, name)
	default:
		forget(w, r, personCookie)
		s.SetPerson(name)
	}
	return "", nil
}

// controlEnvironment reads environment, and for, as controlPerson does.
func (s *Server) controlEnvironment(w http.ResponseWriter, r *http.Request) (string, error) {
	env := Environment(r.PostFormValue("environment"))
	switch {
	case !knownEnvironment(env):
		return "", fmt.Errorf("unknown environment %q", env)
	case r.PostFormValue("for") == "browser":
		chooseEnvironment(w, r, env)
	default:
		forget(w, r, environmentCookie)
		s.SetEnvironment(env)
	}
	return "", nil
}

// controlFault reads endpoint, fault (a name of faultNames, or errcode:N) and
// times.
func (s *Server) controlFault(w http.ResponseWriter, r *http.Request) (string, error) {
	f, err := ParseFault(r.PostFormValue("fault"))
	if err != nil {
		return "", err
	}
	times, err := strconv.Atoi(r.PostFormValue("times"))
	if r.PostFormValue("times") == "" {
		times, err = 1, nil
	}
	if err != nil || times < 1 || times > 1000 {
		return "", fmt.Errorf("times must be a number from 1 to 1000")
	}
	name := endpointName(r.PostFormValue("endpoint"))
	if !slices.Contains(endpointNames(), name) {
		return "", fmt.Errorf("unknown endpoint %q", name)
	}
	s.Fail(name, slices.Repeat([]Fault{f}, times)...)
	return "", nil
}

func (s *Server) controlClear(http.ResponseWriter, *http.Request) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.faults)
	s.scenario = ""
	return "", nil
}

// controlQuirk reads switch, and on: "true" or "false".
func (s *Server) controlQuirk(w http.ResponseWriter, r *http.Request) (string, error) {
	q := Quirk(r.PostFormValue("switch"))
	if !knownQuirk(q) {
		return "", fmt.Errorf("unknown quirk %q", q)
	}
	s.SetQuirk(q, r.PostFormValue("on") == "true")
	return "", nil
}

// controlQuirks turns on the quirks whose names are fields, and all others off.
func (s *Server) controlQuirks(w http.ResponseWriter, r *http.Request) (string, error) {
	r.ParseForm() // a malformed form counts as absent
	for _, q := range quirkTexts {
		s.SetQuirk(q.name, r.PostForm.Has(string(q.name)))
	}
	return "", nil
}

// controlReset sets the clock to the time of [WithClock].
func (s *Server) controlReset(http.ResponseWriter, *http.Request) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offset = 0
	s.wake()
	return "", nil
}

// controlAdvance reads by, a duration such as 5m or 720h.
func (s *Server) controlAdvance(w http.ResponseWriter, r *http.Request) (string, error) {
	by, err := time.ParseDuration(r.PostFormValue("by"))
	if err != nil || by < 0 {
		return "", fmt.Errorf("by must be a duration such as 5m or 720h")
	}
	s.Advance(by)
	return "", nil
}

func (s *Server) controlPassword(w http.ResponseWriter, r *http.Request) (string, error) {
	name, err := s.personNamed(r)
	if err != nil {
		return "", err
	}
	s.ChangePassword(name)
	return "", nil
}

// controlMiniCode reads appid and person, and issues a code.
func (s *Server) controlMiniCode(w http.ResponseWriter, r *http.Request) (string, error) {
	name, err := s.personNamed(r)
	if err != nil {
		return "", err
	}
	appID := r.PostFormValue("appid")
	if s.world.Load().accounts[appID].Kind != MiniProgram {
		return "", fmt.Errorf("no mini program with AppID %q", appID)
	}
	if strings.HasSuffix(r.URL.Path, "/phone-code") {
		return s.GetPhoneNumber(appID, name), nil
	}
	return s.WXLogin(appID, name), nil
}

// controlPlatform reads the appid of a third-party platform.
func (s *Server) controlPlatform(w http.ResponseWriter, r *http.Request) (string, error) {
	appID := r.PostFormValue("appid")
	if s.world.Load().accounts[appID].Kind != Component {
		return "", fmt.Errorf("no third-party platform with AppID %q", appID)
	}
	if strings.HasSuffix(r.URL.Path, "/verify-ticket") {
		return s.VerifyTicket(appID), nil
	}
	return s.ComponentToken(appID), nil
}

func forget(w http.ResponseWriter, r *http.Request, cookie string) {
	for _, path := range cookiePaths {
		http.SetCookie(w, &http.Cookie{Name: cookie, Path: mount(r) + path, MaxAge: -1})
	}
}

// A journalEntry is a call as shown on the control page.
type journalEntry struct {
	Call
	Number int  `json:"number"` // from 1
	Open   bool `json:"open"`   // without a response yet
	Failed bool `json:"failed"` // had a fault, or an error as the response
}

// fineOutcomes are the outcomes of pages that are not errors.
var fineOutcomes = []string{"", "redirect to callback", "duplicate callback", "connect_redirect", "consent page", "QR page", "QR picture", "scanned", "confirmed", "full service"}

func newEntry(c *Call, number int) journalEntry {
	return journalEntry{
		Call: *c, Number: number, Open: c.ended == 0,
		Failed: c.Errcode != 0 || c.Fault != "" || !slices.Contains(fineOutcomes, c.Outcome) && !strings.HasPrefix(c.Outcome, "wx_errcode"),
	}
}

// journalNews is the response of journalPoll.
type journalNews struct {
	Calls []journalEntry `json:"calls"` // in order of their numbers
	Last  int            `json:"last"`  // calls so far
	Ended int            `json:"ended"` // the number of calls that have ended
}

// journalPoll responds with the calls after number "after", as soon as there
// are any. If "ended" gives the number of calls that had ended by then, the
// response also contains older calls that have ended since.
func (s *Server) journalPoll(w http.ResponseWriter, r *http.Request) {
	after, _ := strconv.Atoi(r.FormValue("after")) // if absent, from the beginning
	ended, err := strconv.Atoi(r.FormValue("ended"))
	if err != nil {
		ended = math.MaxInt
	}
	hold := time.NewTimer(s.cfg.pollHold)
	defer hold.Stop()
	for {
		s.mu.Lock()
		news := s.journalSince(after, ended)
		changed := s.changed
		s.mu.Unlock()
		if len(news.Calls) > 0 || news.Last < after {
			writeJSON(w, news)
			return
		}
		select {
		case <-changed:
		case <-hold.C:
			writeJSON(w, news)
			return
		case <-s.done:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// journalSince returns at most the last 200 calls. The caller holds s.mu.
func (s *Server) journalSince(after, ended int) journalNews {
	j := &s.journal
	news := journalNews{Calls: []journalEntry{}, Last: j.first + len(j.calls), Ended: j.ended}
	if after > news.Last {
		after, ended = 0, 0 // from an earlier simulator
	}
	for i := max(len(j.calls)-200, 0); i < len(j.calls); i++ {
		c, number := j.calls[i], j.first+i+1
		if number > after || c.ended > ended {
			news.Calls = append(news.Calls, newEntry(c, number))
		}
	}
	return news
}
