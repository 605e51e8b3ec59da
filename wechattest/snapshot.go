package wechattest

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"

	"github.com/wechatauth/wechatauth/client"
)

// Environment is from where a page was opened.
type Environment string

const (
	// Normal is a link in a chat: snsapi_userinfo shows the consent page.
	Normal Environment = "normal"
	// FromMenu is the account's own chat or menu: snsapi_userinfo is silent
	// for those who follow the account.
	FromMenu Environment = "menu"
	// Snapshot is a snapshot page: snsapi_userinfo is silent, and the code is
	// that of a virtual user who is nobody.
	//
	// WeChat also keeps a snapshot page's cookies and storage apart and drops
	// them when the visitor leaves. SnapshotVisit does so; a real browser cannot
	// be made to, so use a private window there and close it.
	Snapshot Environment = "snapshot"
)

// WithEnvironment says from where pages are opened at first. Default Normal.
func WithEnvironment(env Environment) Option { return func(c *config) { c.environment = env } }

// SetEnvironment says from where pages are opened from now on, by every browser that
// has not chosen for itself on the control page. It panics on an environment
// that does not exist.
func (s *Server) SetEnvironment(env Environment) {
	if !knownEnvironment(env) {
		panic("wechattest: unknown environment " + string(env))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.environment = env
}

func knownEnvironment(env Environment) bool {
	return env == Normal || env == FromMenu || env == Snapshot
}

// SnapshotVisit opens a page as WeChat opens it in snapshot mode: as a virtual
// user, and with cookies apart from those of browser, which begin empty and are
// gone after the visit. The answer is what is shown in the end; close its body.
// It fails if URL is not set, or if the browser does: no connection, or too many
// redirects.
func (s *Server) SnapshotVisit(browser *http.Client, pageURL string) (*http.Response, error) {
	if s.URL == "" {
		return nil, errors.New("visit a snapshot page: this simulator does not listen itself (NewHandler): set its URL to where it is mounted")
	}
	root, err := url.Parse(s.URL)
	if err != nil {
		return nil, fmt.Errorf("visit a snapshot page: %w", err)
	}
	apart := *browser
	if apart.Jar, err = cookiejar.New(nil); err != nil {
		return nil, fmt.Errorf("visit a snapshot page: %w", err)
	}
	for _, path := range cookiePaths {
		at := root.JoinPath(path)
		apart.Jar.SetCookies(at, []*http.Cookie{{Name: environmentCookie, Value: string(Snapshot), Path: at.Path}})
	}
	return apart.Get(pageURL)
}

// FullService taps 使用完整服务, which a visitor of a snapshot page does: the
// visitor agrees, and browser opens the original page as himself. The answer is
// what the browser is shown in the end. It fails if URL is not set, or if the
// browser does: no connection, or too many redirects. An originalURL that is
// not http or https is answered with an error page, which is no error.
func (s *Server) FullService(browser *http.Client, originalURL string) (*http.Response, error) {
	if s.URL == "" {
		return nil, errors.New("open the full service: this simulator does not listen itself (NewHandler): set its URL to where it is mounted")
	}
	page, err := url.Parse(s.URL + "/sim/full-service")
	if err != nil {
		return nil, fmt.Errorf("open the full service: %w", err)
	}
	return post(browser, page, "full-service", url.Values{"url": {originalURL}})
}

// virtual is the identity that a snapshot page gets instead of a person's.
type virtual struct {
	openID, unionID string
	flagged         bool // is_snapshotuser is sent
}

// virtualFor invents the identity of one snapshot visit.
func (s *Server) virtualFor(a authorizeRequest) *virtual {
	visit := a.person.Name + "\x00" + s.text(16)
	v := &virtual{
		openID:  identifier("virtual-openid", a.appID, visit),
		flagged: s.snapshots[a.person.Name] > 0 || !s.on(SnapshotUnflagged),
	}
	s.snapshots[a.person.Name]++
	open := a.account.OpenPlatform
	switch {
	case open == "":
	case s.on(SnapshotRealUnionID):
		v.unionID = UnionID(open, s.somebodyElse(a.person).Name)
	case s.on(SnapshotSharedUnionID):
		v.unionID = identifier("virtual-unionid", open, "")
	default:
		v.unionID = identifier("virtual-unionid", open, visit)
	}
	return v
}

func (s *Server) somebodyElse(p Person) Person {
	for _, other := range s.cfg.people {
		if other.Name != p.Name {
			return other
		}
	}
	return p
}

// consentNeeded reports whether the visitor is asked, and whether the code is
// for a virtual user. Special silent cases come first; forcePopup and
// forceSnapShot have no effect on them.
func (s *Server) consentNeeded(a authorizeRequest, env Environment) (ask, snapshot bool) {
	if a.scope == client.ScopeBase {
		return false, env == Snapshot && s.on(SnapshotBase)
	}
	id := a.appID + "\x00" + a.person.Name
	switch {
	case s.granted[a.person.Name]:
		delete(s.granted, a.person.Name) // agreed on 使用完整服务 just now
		return false, false
	case env == FromMenu && a.person.Follows:
		return false, false
	case s.consented[id] && s.on(RecentConsent) && !a.forcePopup:
		return false, false
	case env == Snapshot, a.forceSnap:
		return false, true
	}
	return true, false
}

// fullService is the consent of a snapshot visitor, then the original page.
func (s *Server) fullService(w http.ResponseWriter, r *http.Request, c *Call) {
	u, err := url.Parse(r.FormValue("url"))
	if r.Method != http.MethodPost || err != nil || u.Scheme != "http" && u.Scheme != "https" {
		s.errorPage(w, r, c, &refusal{text: cannotOpen})
		return
	}
	s.mu.Lock()
	p := s.visitor(r)
	s.granted[p.Name] = true
	s.mu.Unlock()
	chooseEnvironment(w, r, Normal)
	s.outcome(c, 0, "full service")
	w.Header().Set("Location", u.String())
	w.WriteHeader(http.StatusSeeOther)
}
