package wechattest

import (
	"net/http"
	"net/url"
	"time"
)

// A consent is a consent page that is open in a browser.
type consent struct {
	authorizeRequest
	opened time.Time
}

// The cookies with which a browser overrides the settings. They are sent only
// to the simulator's own pages: on loopback, all ports share one cookie jar.
const (
	personCookie      = "wechatsim_person"
	environmentCookie = "wechatsim_environment"
)

// cookiePaths are relative to the simulator's root.
var cookiePaths = []string{"/connect/", "/wwlogin/", "/wwopen/", "/sim/"}

// currentPerson returns the person who opened a page: the one chosen by cookie,
// otherwise the current one. The caller holds s.mu.
func (s *Server) currentPerson(r *http.Request) Person {
	if c, err := r.Cookie(personCookie); err == nil {
		if name, err := url.QueryUnescape(c.Value); err == nil {
			if p, ok := s.world.Load().people[name]; ok {
				return p
			}
		}
	}
	return s.world.Load().people[s.holder]
}

// currentEnvironment returns the environment in which a page was opened: the
// one chosen by cookie, otherwise the current one. The caller holds s.mu.
func (s *Server) currentEnvironment(r *http.Request) Environment {
	if c, err := r.Cookie(environmentCookie); err == nil && knownEnvironment(Environment(c.Value)) {
		return Environment(c.Value)
	}
	return s.environment
}

// choose sets the person for this browser.
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

// authorizeReply handles the form of the consent page: the ticket, the person
// and their choice ("allow" or "refuse").
func (s *Server) authorizeReply(w http.ResponseWriter, r *http.Request, c *Call) {
	s.mu.Lock()
	pending, ok := s.pending[r.PostFormValue("ticket")]
	if r.Method != http.MethodPost || !ok {
		s.mu.Unlock()
		s.errorPage(w, r, c, &pageError{text: cannotOpen, hint: methodHint})
		return
	}
	delete(s.pending, r.PostFormValue("ticket"))
	a := pending.authorizeRequest
	if p, ok := s.world.Load().people[r.PostFormValue("person")]; ok {
		a.person = p
		choose(w, r, p.Name)
	}
	if pageErr := s.judge(a); pageErr != nil { // a sandbox account, depending on who follows it
		s.mu.Unlock()
		s.errorPage(w, r, c, pageErr)
		return
	}
	var to string
	switch {
	case r.PostFormValue("answer") == "allow":
		s.consented[a.appID+"\x00"+a.person.Name] = true
		to = s.allow(a, nil)
	case s.on(RefusalCallback):
		to = deniedCallback(a)
	}
	s.mu.Unlock()
	if to == "" {
		s.deniedPage(w, r, c)
		return
	}
	s.sendBack(w, r, c, to)
}
