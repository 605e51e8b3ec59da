package wechattest

import (
	"net/http"
	"net/url"
	"time"
)

// consent is a consent page that is open in somebody's browser.
type consent struct {
	authorizeRequest
	opened time.Time
}

// The cookies by which one browser chooses for itself. They are sent to the
// simulator's own pages only: on loopback all ports share one cookie jar.
const (
	personCookie      = "wechatsim_person"
	environmentCookie = "wechatsim_environment"
)

// cookiePaths are below the simulator's root.
var cookiePaths = []string{"/connect/", "/sim/"}

// visitor is the person who opened a page: chosen by cookie, or the one who
// holds the phone. The caller holds s.mu.
func (s *Server) visitor(r *http.Request) Person {
	if c, err := r.Cookie(personCookie); err == nil {
		if name, err := url.QueryUnescape(c.Value); err == nil {
			if p, ok := s.people[name]; ok {
				return p
			}
		}
	}
	return s.people[s.holder]
}

// entrance is from where a page was opened, likewise.
func (s *Server) entrance(r *http.Request) Environment {
	if c, err := r.Cookie(environmentCookie); err == nil && knownEnvironment(Environment(c.Value)) {
		return Environment(c.Value)
	}
	return s.environment
}

// choose makes this browser the phone of that person from now on.
func choose(w http.ResponseWriter, r *http.Request, person string) {
	setChoice(w, r, personCookie, url.QueryEscape(person))
}

func chooseEnvironment(w http.ResponseWriter, r *http.Request, env Environment) {
	setChoice(w, r, environmentCookie, string(env))
}

func setChoice(w http.ResponseWriter, r *http.Request, name, value string) {
	for _, path := range cookiePaths {
		http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: mount(r) + path, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	}
}

// authorizeReply takes the form of the consent page: ticket, answer ("allow"
// or "refuse") and person.
func (s *Server) authorizeReply(w http.ResponseWriter, r *http.Request, c *Call) {
	s.mu.Lock()
	pending, ok := s.pending[r.PostFormValue("ticket")]
	if r.Method != http.MethodPost || !ok {
		s.mu.Unlock()
		s.errorPage(w, r, c, &refusal{text: cannotOpen, hint: methodHint})
		return
	}
	delete(s.pending, r.PostFormValue("ticket"))
	a := pending.authorizeRequest
	if p, ok := s.people[r.PostFormValue("person")]; ok {
		a.person = p
		choose(w, r, p.Name)
	}
	if refused := s.judge(a); refused != nil { // a sandbox account, and who follows it
		s.mu.Unlock()
		s.errorPage(w, r, c, refused)
		return
	}
	var to string
	switch {
	case r.PostFormValue("answer") == "allow":
		s.consented[a.appID+"\x00"+a.person.Name] = true
		to = s.allow(a, nil)
	case s.on(RefusalCallback):
		to = refusalCallback(a)
	}
	s.mu.Unlock()
	if to == "" {
		s.cancelledPage(w, r, c)
		return
	}
	s.sendBack(w, r, c, to)
}
