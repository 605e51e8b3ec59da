package wechattest

import (
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/wechatauth/wechatauth/client"
)

// A ticket is a QR code shown on a screen.
type ticket struct {
	authorizeRequest
	status  int // the result of the long poll: 408, 404, 405, 403
	code    string
	expires time.Time
}

const (
	qrWaiting   = 408
	qrScanned   = 404
	qrConfirmed = 405
	qrDenied    = 403
	qrExpired   = 402

	qrLife = 5 * time.Minute
)

// qrConnect serves /connect/qrconnect: the page with the QR code, for any
// browser.
func (s *Server) qrConnect(w http.ResponseWriter, r *http.Request, c *Call) {
	s.mu.Lock()
	a, pageErr := s.parseQRConnect(r)
	if pageErr != nil {
		s.mu.Unlock()
		s.errorPage(w, r, c, pageErr)
		return
	}
	uuid := s.newTicket(a)
	s.mu.Unlock()
	if strings.HasPrefix(r.Header.Get("Accept"), "application/json") {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]string{"uuid": uuid})
		return
	}
	s.qrPage(w, r, c, uuid, a)
}

// newTicket returns the uuid of a new QR code. The caller holds s.mu.
func (s *Server) newTicket(a authorizeRequest) (uuid string) {
	uuid = s.text(16)
	s.tickets[uuid] = &ticket{authorizeRequest: a, status: qrWaiting, expires: s.now().Add(qrLife)}
	s.sweep()
	return uuid
}

func (s *Server) qrPage(w http.ResponseWriter, r *http.Request, c *Call, uuid string, a authorizeRequest) {
	s.outcome(c, 0, "QR page")
	v := view{Account: a.account, Ticket: uuid, english: english(r), qrView: qrView{Embedded: embedded(r)}}
	v.Title = v.T("微信登录（模拟）", "WeChat login (simulated)")
	if v.WeCom = a.corp != nil; v.WeCom {
		v.Title, v.Embedded = v.T("企业微信登录（模拟）", "WeCom login (simulated)"), panel(r)
	}
	s.mu.Lock()
	v.Before, v.After = s.callback(a)
	if s.refusalCallback(a) {
		v.Refused = deniedCallback(a)
	}
	s.mu.Unlock()
	if m, ok := encodeQR(baseURL(r) + "/connect/confirm?uuid=" + uuid); ok {
		v.QR = template.HTML(m.svg())
	}
	s.show(w, r, "qr", v)
}

// embedded reports whether wxLogin.js shows the page in an iframe and needs the
// top window to open the callback.
func embedded(r *http.Request) bool {
	return r.FormValue("login_type") == "jssdk" && r.FormValue("self_redirect") != "true"
}

// panel reports whether a panel of @wecom/jssdk shows the page in a frame and
// needs the top window to open the callback, which is the default.
func panel(r *http.Request) bool {
	return r.FormValue("version") != "" && r.FormValue("redirect_type") != "self"
}

// refusalCallback reports whether a denial leads to the callback, with state and
// without code. WeCom documents that for its older page.
func (s *Server) refusalCallback(a authorizeRequest) bool {
	return s.on(RefusalCallback) || a.corp != nil && a.corp.oldPage
}

// qrImage serves /connect/qrcode/<uuid>, the picture alone.
func (s *Server) qrImage(w http.ResponseWriter, r *http.Request, c *Call) {
	m, ok := encodeQR(baseURL(r) + "/connect/confirm?uuid=" + r.PathValue("uuid"))
	if !ok {
		http.NotFound(w, r)
		return
	}
	s.outcome(c, 0, "QR picture")
	w.Header().Set("Content-Type", "image/svg+xml")
	io.WriteString(w, m.svg())
}

// phonePage shows the phone next to the QR code, before it has scanned.
func (s *Server) phonePage(w http.ResponseWriter, r *http.Request, c *Call) {
	s.show(w, r, "phone", view{Ticket: r.FormValue("uuid")})
}

// baseURL returns the base URL at which the client reached the simulator.
func baseURL(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host + mount(r)
	}
	return "http://" + r.Host + mount(r)
}

// mount returns the path at which the client reaches the simulator, such as
// "/wechat": the prefix that http.StripPrefix removed.
func mount(r *http.Request) string {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	prefix, found := strings.CutSuffix(path, r.URL.EscapedPath())
	if !found || !strings.HasPrefix(prefix, "/") {
		return ""
	}
	return prefix
}

// phoneWeChat reports whether the browser is WeChat's own on a phone, which
// website applications cannot use; WeChat's desktop clients show the QR code
// page.
func phoneWeChat(r *http.Request) bool {
	agent := strings.ToLower(r.UserAgent())
	return strings.Contains(agent, "micromessenger") && !strings.Contains(agent, "windowswechat") && !strings.Contains(agent, "macwechat")
}

func (s *Server) parseQRConnect(r *http.Request) (authorizeRequest, *pageError) {
	q := r.URL.Query()
	a := authorizeRequest{
		appID: q.Get("appid"), redirectURI: q.Get("redirect_uri"), scope: client.Scope(q.Get("scope")),
		state: q.Get("state"),
	}
	var ok bool
	a.account, ok = s.world.Load().accounts[a.appID]
	switch {
	case a.appID == "":
		return a, numberedError(10012)
	case a.redirectURI == "":
		return a, numberedError(10011)
	case a.scope == "":
		return a, numberedError(10010)
	case phoneWeChat(r):
		return a, &pageError{code: 10005, text: pageErrors[10005], hint: insideHint}
	case !ok:
		return a, &pageError{text: badAppID, hint: unknownAppHint}
	case q.Get("response_type") != "code" && q.Get("login_type") != "jssdk", a.account.Kind != WebsiteApp, r.Method != http.MethodGet:
		return a, &pageError{text: cannotOpen, hint: kindHint}
	case a.scope != client.ScopeLogin || !a.account.owns(a.scope):
		return a, &pageError{text: badScope, hint: scopeHint}
	case !s.callbackAllowed(a):
		return a, &pageError{text: cannotOpen, hint: domainHint(a, s.domains(a))}
	}
	return a, nil
}

// confirm serves the page that the phone opens after scanning. GET marks the
// ticket as scanned and shows the page; POST handles its form: the uuid, the
// person and their choice ("allow" or "refuse").
func (s *Server) confirm(w http.ResponseWriter, r *http.Request, c *Call) {
	s.mu.Lock()
	t, ok := s.tickets[r.FormValue("uuid")]
	if !ok || !s.now().Before(t.expires) || t.status == qrConfirmed || t.status == qrDenied {
		s.mu.Unlock()
		s.errorPage(w, r, c, &pageError{text: qrIsExpired})
		return
	}
	t.person = s.currentPerson(r)
	if p, ok := s.world.Load().people[r.PostFormValue("person")]; ok {
		t.person = p
		choose(w, r, p.Name)
	}
	choice := r.PostFormValue("answer")
	if pageErr := s.judgeScan(t); pageErr != nil && choice == "allow" {
		s.mu.Unlock()
		s.errorPage(w, r, c, pageErr)
		return
	}
	switch {
	case r.Method != http.MethodPost:
		t.status = qrScanned
	case choice == "allow":
		t.status = qrConfirmed
		t.code = s.newGrant(t.authorizeRequest, nil)
	default:
		t.status = qrDenied
	}
	s.wake()
	a := t.authorizeRequest
	s.mu.Unlock()
	switch {
	case r.Method != http.MethodPost:
		s.outcome(c, 0, "scanned")
		s.show(w, r, "confirm", view{Title: a.account.Name, Account: a.account, Person: a.person, Ticket: r.FormValue("uuid"), WeCom: a.corp != nil})
	case choice == "allow":
		s.confirmedPage(w, r, c)
	default:
		s.deniedPage(w, r, c)
	}
}

// judgeScan returns the error page for a person outside the visible range of
// WeCom's app. They see it when they confirm: the form may choose another person.
func (s *Server) judgeScan(t *ticket) *pageError {
	if t.corp == nil {
		return nil
	}
	return s.judgeCorp(t.authorizeRequest)
}

// qrPoll serves the long poll of the QR code page. It responds as soon as the
// status differs from last, and with 408 after a while.
func (s *Server) qrPoll(w http.ResponseWriter, r *http.Request, c *Call) {
	hold := time.NewTimer(s.cfg.pollHold)
	defer hold.Stop()
	for {
		s.mu.Lock()
		status, code, news := s.qrStatus(r.FormValue("uuid"), r.FormValue("last"))
		changed := s.changed
		s.mu.Unlock()
		if news {
			s.writePoll(w, c, status, code)
			return
		}
		select {
		case <-changed:
		case <-hold.C:
			s.writePoll(w, c, status, code)
			return
		case <-s.done:
			return
		case <-r.Context().Done():
			return
		}
	}
}

func (s *Server) qrStatus(uuid, last string) (status int, code string, news bool) {
	t, ok := s.tickets[uuid]
	if !ok || !s.now().Before(t.expires) {
		return qrExpired, "", true
	}
	waiting := t.status == qrWaiting || t.status == qrScanned && last == "404"
	if waiting {
		return qrWaiting, "", false
	}
	return t.status, t.code, true
}

func (s *Server) writePoll(w http.ResponseWriter, c *Call, status int, code string) {
	s.outcome(c, 0, fmt.Sprintf("wx_errcode=%d", status))
	w.Header().Set("Content-Type", "text/javascript")
	w.Header().Set("Cache-Control", "no-store")
	io.WriteString(w, fmt.Sprintf("window.wx_errcode=%d;window.wx_code='%s';", status, code))
}

// qrNext returns the URL that the QR code page opens next, or "".
func (s *Server) qrNext(t *ticket) string {
	switch {
	case t.status == qrConfirmed:
		before, after := s.callback(t.authorizeRequest)
		return before + t.code + after
	case t.status == qrDenied && s.refusalCallback(t.authorizeRequest):
		return deniedCallback(t.authorizeRequest)
	}
	return ""
}
