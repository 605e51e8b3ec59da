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

// ticket is a QR code on somebody's screen.
type ticket struct {
	authorizeRequest
	status  int // what the long poll answers: 408, 404, 405, 403
	code    string
	expires time.Time
}

const (
	qrWaiting   = 408
	qrScanned   = 404
	qrConfirmed = 405
	qrRefused   = 403
	qrExpired   = 402

	qrLife = 5 * time.Minute
)

// qrConnect is /connect/qrconnect: the page with the QR code, for any browser.
func (s *Server) qrConnect(w http.ResponseWriter, r *http.Request, c *Call) {
	s.mu.Lock()
	a, refused := s.parseQRConnect(r)
	if refused != nil {
		s.mu.Unlock()
		s.errorPage(w, r, c, refused)
		return
	}
	uuid := s.text(16)
	s.tickets[uuid] = &ticket{authorizeRequest: a, status: qrWaiting, expires: s.now().Add(qrLife)}
	s.sweep()
	s.mu.Unlock()
	if strings.HasPrefix(r.Header.Get("Accept"), "application/json") {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]string{"uuid": uuid})
		return
	}
	s.qrPage(w, r, c, uuid, a)
}

func (s *Server) qrPage(w http.ResponseWriter, r *http.Request, c *Call, uuid string, a authorizeRequest) {
	s.outcome(c, 0, "QR page")
	v := view{Account: a.account, Ticket: uuid, english: english(r), qrView: qrView{Embedded: embedded(r)}}
	v.Title = v.T("微信登录（模拟）", "WeChat login (simulated)")
	s.mu.Lock()
	v.Before, v.After = s.callback(a)
	if s.on(RefusalCallback) {
		v.Refused = refusalCallback(a)
	}
	s.mu.Unlock()
	if m, ok := encodeQR(baseURL(r) + "/connect/confirm?uuid=" + uuid); ok {
		v.QR = template.HTML(m.svg())
	}
	s.show(w, r, "qr", v)
}

// embedded reports whether wxLogin.js shows the page in an iframe and wants
// the whole window to go to the callback.
func embedded(r *http.Request) bool {
	return r.FormValue("login_type") == "jssdk" && r.FormValue("self_redirect") != "true"
}

// qrImage is /connect/qrcode/<uuid>, the picture alone.
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

// phonePage is the phone beside the QR code, before it has scanned.
func (s *Server) phonePage(w http.ResponseWriter, r *http.Request, c *Call) {
	s.show(w, r, "phone", view{Ticket: r.FormValue("uuid")})
}

// baseURL is how the asker reached the simulator.
func baseURL(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host + mount(r)
	}
	return "http://" + r.Host + mount(r)
}

// mount is the path below which the asker finds the simulator, such as
// "/wechat": what http.StripPrefix took away.
func mount(r *http.Request) string {
	asked, _, _ := strings.Cut(r.RequestURI, "?")
	prefix, found := strings.CutSuffix(asked, r.URL.EscapedPath())
	if !found || !strings.HasPrefix(prefix, "/") {
		return ""
	}
	return prefix
}

// phoneWeChat reports whether the browser is WeChat's own on a phone, where a
// website application has no rights; its desktop clients show the QR page.
func phoneWeChat(r *http.Request) bool {
	agent := strings.ToLower(r.UserAgent())
	return strings.Contains(agent, "micromessenger") && !strings.Contains(agent, "windowswechat") && !strings.Contains(agent, "macwechat")
}

func (s *Server) parseQRConnect(r *http.Request) (authorizeRequest, *refusal) {
	q := r.URL.Query()
	a := authorizeRequest{
		appID: q.Get("appid"), redirectURI: q.Get("redirect_uri"), scope: client.Scope(q.Get("scope")),
		state: q.Get("state"),
	}
	var ok bool
	a.account, ok = s.accounts[a.appID]
	switch {
	case a.appID == "":
		return a, numbered(10012)
	case a.redirectURI == "":
		return a, numbered(10011)
	case a.scope == "":
		return a, numbered(10010)
	case phoneWeChat(r):
		return a, &refusal{code: 10005, text: pageErrors[10005], hint: insideHint}
	case !ok:
		return a, &refusal{text: badAppID, hint: unknownAppHint}
	case q.Get("response_type") != "code" && q.Get("login_type") != "jssdk", a.account.Kind != WebsiteApp, r.Method != http.MethodGet:
		return a, &refusal{text: cannotOpen, hint: kindHint}
	case a.scope != client.ScopeLogin || !a.account.owns(a.scope):
		return a, &refusal{text: badScope, hint: scopeHint}
	case !s.callbackAllowed(a):
		return a, &refusal{text: cannotOpen, hint: domainHint(a, s.domains(a))}
	}
	return a, nil
}

// confirm is what the phone opens after scanning. GET marks the ticket as
// scanned and shows the page; POST takes its form: uuid, answer, person.
func (s *Server) confirm(w http.ResponseWriter, r *http.Request, c *Call) {
	s.mu.Lock()
	t, ok := s.tickets[r.FormValue("uuid")]
	if !ok || !s.now().Before(t.expires) || t.status == qrConfirmed || t.status == qrRefused {
		s.mu.Unlock()
		s.errorPage(w, r, c, &refusal{text: qrIsExpired})
		return
	}
	t.person = s.visitor(r)
	if p, ok := s.people[r.PostFormValue("person")]; ok {
		t.person = p
		choose(w, r, p.Name)
	}
	answer := r.PostFormValue("answer")
	switch {
	case r.Method != http.MethodPost:
		t.status = qrScanned
	case answer == "allow":
		t.status = qrConfirmed
		t.code = s.newCode(&grant{flow: webFlow, appID: t.appID, person: t.person, scope: t.scope})
	default:
		t.status = qrRefused
	}
	s.wake()
	a := t.authorizeRequest
	s.mu.Unlock()
	switch {
	case r.Method != http.MethodPost:
		s.outcome(c, 0, "scanned")
		s.show(w, r, "confirm", view{Title: a.account.Name, Account: a.account, Person: a.person, Ticket: r.FormValue("uuid")})
	case answer == "allow":
		s.confirmedPage(w, r, c)
	default:
		s.cancelledPage(w, r, c)
	}
}

// qrPoll is the long poll behind the QR page. It answers as soon as there is
// something else to say than last, and 408 after a while.
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

// qrNext is where the QR page goes, empty for nowhere.
func (s *Server) qrNext(t *ticket) string {
	switch {
	case t.status == qrConfirmed:
		before, after := s.callback(t.authorizeRequest)
		return before + t.code + after
	case t.status == qrRefused && s.on(RefusalCallback):
		return refusalCallback(t.authorizeRequest)
	}
	return ""
}
