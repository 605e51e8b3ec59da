package wechattest

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"

	"github.com/wechatauth/wechatauth/client"
)

// An Environment is where in WeChat a page is opened from.
type Environment string

const (
	// Normal is a link in a chat: snsapi_userinfo shows the consent page.
	Normal Environment = "normal"
	// FromMenu is the account's own chat or menu: snsapi_userinfo is silent for
	// those who follow the account.
	FromMenu Environment = "menu"
	// Snapshot is a snapshot page (快照页): snsapi_userinfo is silent, and the
	// code is for a virtual user.
	//
	// WeChat also isolates the cookies and storage of a snapshot page and
	// deletes them when the user leaves. SnapshotVisit does the same. The
	// simulator cannot make a real browser do so; use a private window and
	// close it.
	Snapshot Environment = "snapshot"
)

// WithEnvironment sets where pages are opened from at first. The default is
// Normal.
func WithEnvironment(env Environment) Option { return func(c *config) { c.environment = env } }

// SetEnvironment sets where pages are opened from, for all browsers that have
// not chosen an environment on the control page. It panics if the environment
// does not exist.
func (s *Server) SetEnvironment(env Environment) {
	if !knownEnvironment(env) {
		panic("wechattest: unknown environment " + string(env))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.environment, s.scenario = env, ""
}

func knownEnvironment(env Environment) bool {
	return env == Normal || env == FromMenu || env == Snapshot
}

// SnapshotVisit opens a page as WeChat does in snapshot mode: as a virtual
// user, and with cookies separate from those of browser, which are empty at
// first and discarded afterwards. The result is the last page shown; the caller
// must close its body. SnapshotVisit returns an error if URL is empty, or if
// browser cannot connect or is redirected too often.
func (s *Server) SnapshotVisit(browser *http.Client, pageURL string) (*http.Response, error) {
	if s.URL == "" {
		return nil, errors.New("open snapshot page: URL is empty: after NewHandler, set it to the base URL of the simulator")
	}
	root, err := url.Parse(s.URL)
	if err != nil {
		return nil, fmt.Errorf("open snapshot page: %w", err)
	}
	apart := *browser
	if apart.Jar, err = cookiejar.New(nil); err != nil {
		return nil, fmt.Errorf("open snapshot page: %w", err)
	}
	for _, path := range cookiePaths {
		at := root.JoinPath(path)
		apart.Jar.SetCookies(at, []*http.Cookie{{Name: environmentCookie, Value: string(Snapshot), Path: at.Path}})
	}
	return apart.Get(pageURL)
}

// FullService taps 使用完整服务 on a snapshot page: the user consents, and browser
// opens the original page as that user. The result is the last page shown.
// FullService returns an error if URL is empty, or if browser cannot connect or
// is redirected too often. For an originalURL other than http or https, the
// result is an error page and not an error.
func (s *Server) FullService(browser *http.Client, originalURL string) (*http.Response, error) {
	if s.URL == "" {
		return nil, errors.New("open full service: URL is empty: after NewHandler, set it to the base URL of the simulator")
	}
	page, err := url.Parse(s.URL + "/sim/full-service")
	if err != nil {
		return nil, fmt.Errorf("open full service: %w", err)
	}
	return post(browser, page, "full-service", url.Values{"url": {originalURL}})
}

// virtual is the identity that a snapshot page gets instead of the user's.
type virtual struct {
	openID, unionID string
	flagged         bool // whether is_snapshotuser is sent
}

// virtualFor invents the identity for one visit of a snapshot page.
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
		v.unionID = UnionID(open, s.otherPerson(a.person).Name)
	case s.on(SnapshotSharedUnionID):
		v.unionID = identifier("virtual-unionid", open, "")
	default:
		v.unionID = identifier("virtual-unionid", open, visit)
	}
	return v
}

func (s *Server) otherPerson(p Person) Person {
	for _, other := range s.world.Load().cast {
		if other.Name != p.Name {
			return other
		}
	}
	return p
}

// consentNeeded reports whether the consent page is shown, and whether the code
// is for a virtual user. The silent cases come first; forcePopup and forceSnapShot
// have no effect on them.
func (s *Server) consentNeeded(a authorizeRequest, env Environment) (ask, snapshot bool) {
	if a.scope == client.ScopeBase {
		return false, env == Snapshot && s.on(SnapshotBase)
	}
	id := a.appID + "\x00" + a.person.Name
	switch {
	case s.granted[a.person.Name]:
		delete(s.granted, a.person.Name) // has just agreed to 使用完整服务
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

// fullService handles the consent of the user of a snapshot page, then opens
// the original page.
func (s *Server) fullService(w http.ResponseWriter, r *http.Request, c *Call) {
	u, err := url.Parse(r.FormValue("url"))
	if r.Method != http.MethodPost || err != nil || u.Scheme != "http" && u.Scheme != "https" {
		s.errorPage(w, r, c, &pageError{text: cannotOpen})
		return
	}
	s.mu.Lock()
	p := s.currentPerson(r)
	s.granted[p.Name] = true
	s.mu.Unlock()
	chooseEnvironment(w, r, Normal)
	s.outcome(c, 0, "full service")
	w.Header().Set("Location", u.String())
	w.WriteHeader(http.StatusSeeOther)
}
