package wechattest

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// controlState is what the control page shows and /sim/state answers.
type controlState struct {
	Now         time.Time       `json:"now"`
	Person      string          `json:"person"`      // who this browser is
	Environment Environment     `json:"environment"` // from where this browser opens pages
	Holder      string          `json:"holder"`      // everybody else
	Everywhere  Environment     `json:"everywhere"`  // everybody else
	Faults      []scriptedFault `json:"faults"`
	Switches    map[Quirk]bool  `json:"switches"`
	Calls       int             `json:"calls"`          // journal entries so far
	Code        string          `json:"code,omitempty"` // what was just issued
}

type scriptedFault struct {
	Endpoint string `json:"endpoint"`
	Fault    string `json:"fault"`
}

// controls are the forms of the control page, by path below /sim/. Each returns
// what it issued, if anything.
var controls = map[string]func(*Server, http.ResponseWriter, *http.Request) (issued string, err error){
	"hold":            (*Server).controlHold,
	"environment":     (*Server).controlEnvironment,
	"fault":           (*Server).controlFault,
	"clear-faults":    (*Server).controlClear,
	"switch":          (*Server).controlSwitch,
	"advance":         (*Server).controlAdvance,
	"change-password": (*Server).controlPassword,
	"js-code":         (*Server).controlMiniCode,
	"phone-code":      (*Server).controlMiniCode,
	"component-token": (*Server).controlPlatform,
	"verify-ticket":   (*Server).controlPlatform,
}

// controlRoutes serves the control page and its forms. Other sites' pages may
// not post to it.
func (s *Server) controlRoutes(mux *http.ServeMux) {
	own := http.NewCrossOriginProtection()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "sim/")
		w.WriteHeader(http.StatusFound)
	})
	mux.HandleFunc("GET /sim/{$}", s.controlPage)
	mux.HandleFunc("GET /sim/page.css", stylesheet)
	mux.HandleFunc("GET /sim/control.css", stylesheet)
	mux.HandleFunc("GET /sim/state", func(w http.ResponseWriter, r *http.Request) { writeJSON(w, s.controlState(r)) })
	mux.HandleFunc("GET /sim/journal", s.journalPoll)
	for name, change := range controls {
		mux.Handle("POST /sim/"+name, own.Handler(s.control(change)))
	}
}

// control carries out one form and answers with the new state as JSON, or, to
// a form without script, with the page.
func (s *Server) control(change func(*Server, http.ResponseWriter, *http.Request) (string, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		issued, err := change(s, w, r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if strings.Contains(r.Header.Get("Accept"), "text/html") {
			w.Header().Set("Location", "./")
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
		Now: s.now(), Person: s.visitor(r).Name, Environment: s.entrance(r),
		Holder: s.holder, Everywhere: s.environment,
		Switches: map[Quirk]bool{}, Faults: []scriptedFault{},
		Calls: s.journal.first + len(s.journal.calls),
	}
	for _, sw := range switches {
		state.Switches[sw.name] = s.on(sw.name)
	}
	for endpoint, queue := range s.faults {
		for _, f := range queue {
			state.Faults = append(state.Faults, scriptedFault{endpoint, f.String()})
		}
	}
	slices.SortStableFunc(state.Faults, func(a, b scriptedFault) int { return strings.Compare(a.Endpoint, b.Endpoint) })
	return state
}

// chosen corrects the state for a choice whose cookie is only on its way.
func (s *Server) chosen(state *controlState, r *http.Request) {
	if r.PostFormValue("for") != "browser" {
		return
	}
	if name := r.PostFormValue("person"); name != "" && strings.HasSuffix(r.URL.Path, "/hold") {
		state.Person = name
	}
	if env := r.PostFormValue("environment"); env != "" {
		state.Environment = Environment(env)
	}
}

func (s *Server) personNamed(r *http.Request) (string, error) {
	name := r.PostFormValue("person")
	if _, ok := s.people[name]; !ok {
		return "", fmt.Errorf("no person is called %q", name)
	}
	return name, nil
}

// controlHold takes person, and for: "browser" for the asking browser only.
func (s *Server) controlHold(w http.ResponseWriter, r *http.Request) (string, error) {
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

// controlEnvironment takes environment, and for likewise.
func (s *Server) controlEnvironment(w http.ResponseWriter, r *http.Request) (string, error) {
	env := Environment(r.PostFormValue("environment"))
	switch {
	case !knownEnvironment(env):
		return "", fmt.Errorf("no environment is called %q", env)
	case r.PostFormValue("for") == "browser":
		chooseEnvironment(w, r, env)
	default:
		forget(w, r, environmentCookie)
		s.SetEnvironment(env)
	}
	return "", nil
}

// controlFault takes endpoint, fault (a name of faultNames, or errcode:N) and
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
		return "", fmt.Errorf("times is a number from 1 to 1000")
	}
	name := endpointName(r.PostFormValue("endpoint"))
	if !slices.Contains(endpointNames(), name) {
		return "", fmt.Errorf("no endpoint is called %q", name)
	}
	s.Fail(name, slices.Repeat([]Fault{f}, times)...)
	return "", nil
}

func (s *Server) controlClear(http.ResponseWriter, *http.Request) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.faults)
	return "", nil
}

// controlSwitch takes switch, and on: "true" or "false".
func (s *Server) controlSwitch(w http.ResponseWriter, r *http.Request) (string, error) {
	sw := Quirk(r.PostFormValue("switch"))
	if !knownSwitch(sw) {
		return "", fmt.Errorf("no switch is called %q", sw)
	}
	s.SetQuirk(sw, r.PostFormValue("on") == "true")
	return "", nil
}

// controlAdvance takes by, a duration such as 5m or 720h.
func (s *Server) controlAdvance(w http.ResponseWriter, r *http.Request) (string, error) {
	by, err := time.ParseDuration(r.PostFormValue("by"))
	if err != nil || by < 0 {
		return "", fmt.Errorf("by is a duration such as 5m or 720h")
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

// controlMiniCode takes appid and person and issues a code.
func (s *Server) controlMiniCode(w http.ResponseWriter, r *http.Request) (string, error) {
	name, err := s.personNamed(r)
	if err != nil {
		return "", err
	}
	appID := r.PostFormValue("appid")
	if s.accounts[appID].Kind != MiniProgram {
		return "", fmt.Errorf("no mini program has the AppID %q", appID)
	}
	if strings.HasSuffix(r.URL.Path, "/phone-code") {
		return s.GetPhoneNumber(appID, name), nil
	}
	return s.WXLogin(appID, name), nil
}

// controlPlatform takes appid of a third-party platform.
func (s *Server) controlPlatform(w http.ResponseWriter, r *http.Request) (string, error) {
	appID := r.PostFormValue("appid")
	if s.accounts[appID].Kind != Component {
		return "", fmt.Errorf("no third-party platform has the AppID %q", appID)
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

// journalEntry is a call as the control page follows it.
type journalEntry struct {
	Call
	Number int  `json:"number"` // from 1
	Open   bool `json:"open"`   // not answered yet
}

// journalNews is what journalPoll answers.
type journalNews struct {
	Calls []journalEntry `json:"calls"` // by number
	Last  int            `json:"last"`  // calls so far
	Ended int            `json:"ended"` // of them, how many have ended
}

// journalPoll answers the calls after the one numbered by "after", as soon as
// there are any. Who also says in "ended" how many had ended by then gets the
// older calls that ended since as well.
func (s *Server) journalPoll(w http.ResponseWriter, r *http.Request) {
	after, _ := strconv.Atoi(r.FormValue("after")) // absent: from the start
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

// journalSince has at most the last 200 calls. The caller holds s.mu.
func (s *Server) journalSince(after, ended int) journalNews {
	j := &s.journal
	news := journalNews{Calls: []journalEntry{}, Last: j.first + len(j.calls), Ended: j.ended}
	if after > news.Last {
		after, ended = 0, 0 // of an earlier simulator
	}
	for i := max(len(j.calls)-200, 0); i < len(j.calls); i++ {
		c, number := j.calls[i], j.first+i+1
		if number > after || c.ended > ended {
			news.Calls = append(news.Calls, journalEntry{Call: *c, Number: number, Open: c.ended == 0})
		}
	}
	return news
}

// controlView is what the control page is rendered from.
type controlView struct {
	view
	State        controlState
	Base         string
	Environments []choice
	Endpoints    []string
	FaultNames   []choice
	Switches     []switchText
	Accounts     []Account
	Minis        []Account
}

type choice struct{ Name, ZH, EN, MoreZH, MoreEN string }

var environments = []choice{
	{string(Normal), "聊天里的链接", "A link in a chat", "第一次会看到授权页", "the consent page is shown"},
	{string(FromMenu), "公众号菜单", "The account's menu", "关注者静默授权", "silent for followers"},
	{string(Snapshot), "快照页", "A snapshot page", "虚拟身份，不是任何人", "a virtual user who is nobody"},
}

// Outcomes are the journal's words in the language of the page.
func (v controlView) Outcomes() map[string]string {
	if v.english {
		words := map[string]string{}
		for _, text := range []bilingual{cannotOpen, badScope, badAppID, stateTooBig, qrIsExpired} {
			words[text.zh] = text.en
		}
		return words
	}
	return map[string]string{
		"redirect to callback": "回调", "doubled callback": "回调两次", "consent page": "授权页", "QR page": "二维码页",
		"QR picture": "二维码", "scanned": "已扫码", "confirmed": "已确认", "refused": "已拒绝", "not WeChat": "不是微信",
		"full service": "完整服务",
	}
}

func (s *Server) controlPage(w http.ResponseWriter, r *http.Request) {
	v := controlView{
		view: view{english: english(r), People: s.cfg.people, Root: root(r)}, State: s.controlState(r), Base: baseURL(r),
		Environments: environments, Endpoints: endpointNames(), FaultNames: faultNames,
		Switches: switches, Accounts: s.cfg.accounts,
	}
	if lang := r.FormValue("lang"); lang != "" {
		v.english = lang == "en"
	}
	v.Title = v.T("模拟的微信", "WeChat, simulated")
	v.Person = Person{Name: v.State.Person}
	for _, a := range v.Accounts {
		if a.Kind == MiniProgram {
			v.Minis = append(v.Minis, a)
		}
	}
	s.render(w, "control", v)
}
