package wechatauth

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/wechatauth/wechatauth/internal/respond"
)

// ServeHTTP serves the endpoints below the path prefix. Mount it at the
// prefix, as in mux.Handle("/wechat/", auth); not behind http.StripPrefix.
//
//	GET  login?next=…    begins a login and returns to next; with again=1 also where
//	                     somebody is logged in, for another account in the same browser
//	GET  callback        where WeChat sends the visitor back
//	GET  upgrade?next=…  the page with the button
//	POST upgrade         asks WeChat for snsapi_userinfo; field next
//	POST logout          ends the session; field next
//	POST mini/login      WithMiniProgram: {"code":…} gives {"token":…,"expires_in":…}
//	POST mini/ticket     {"target":…} gives the {"url":…} that logs a web-view in, once
//	GET  mini/enter      that URL
//	POST mini/enter      the form of PageEnter, where a GET has to ask first
//	GET  scan?next=…     LoginScan: the page with the QR code, which the phone opens and
//	                     confirms at scan/ and the ticket
//	POST scan            its form: the number that the phone shows
//	GET  scan/status     what has become of that QR code, as JSON
//
// A missing or refused next means "/".
func (a *Auth) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if content, ok := a.verifyFile(r); ok {
		a.home.serveVerifyFile(w, r, content)
		return
	}
	if g, ok := a.forRequest(w, r); ok {
		g.serve(w, r)
	}
}

// serve serves the endpoints of an account.
func (g *gate) serve(w http.ResponseWriter, r *http.Request) {
	get := r.Method == http.MethodGet || r.Method == http.MethodHead
	post := r.Method == http.MethodPost
	switch name := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, g.prefix), g.path); {
	case name == "login" && get:
		g.serveLogin(w, r)
	case name == "callback" && r.Method == http.MethodGet:
		g.serveCallback(w, r)
	case name == "upgrade" && get:
		g.serveUpgradePage(w, r)
	case name == "upgrade" && post:
		g.serveUpgrade(w, r)
	case name == "logout" && post:
		g.serveLogout(w, r)
	case strings.HasPrefix(name, "mini/") && g.mini.client != nil:
		g.serveMini(w, r, name)
	case (name == "scan" || strings.HasPrefix(name, "scan/")) && g.scans():
		g.serveScans(w, r, name)
	case name == "login":
		g.methodNotAllowed(w, r, "GET, HEAD")
	case name == "callback":
		g.methodNotAllowed(w, r, "GET")
	case name == "upgrade":
		g.methodNotAllowed(w, r, "GET, HEAD, POST")
	case name == "logout":
		g.methodNotAllowed(w, r, "POST")
	default:
		g.notFound(w, r)
	}
}

// notFound tells the operator where the mistake may be: a visitor who comes
// back from WeChat to a path that is not served has lost his login.
func (g *gate) notFound(w http.ResponseWriter, r *http.Request) {
	if g.strayCallback(w, r) {
		return
	}
	e := Event{Reason: ReasonNotFound}
	if !strings.HasPrefix(r.URL.Path, g.prefix) {
		e.Detail = "the endpoints are mounted elsewhere than at the path prefix " + g.prefix + ", or behind http.StripPrefix"
	}
	g.stopped(r, e)
	g.stop(w, r, Failure{Reason: ReasonNotFound, Page: g.showsPage(r)})
}

// serveMini serves the endpoints of a mini program.
func (g *gate) serveMini(w http.ResponseWriter, r *http.Request, name string) {
	switch {
	case name == "mini/login" && r.Method == http.MethodPost:
		g.serveMiniLogin(w, r)
	case name == "mini/ticket" && r.Method == http.MethodPost:
		g.serveMiniTicket(w, r)
	case name == "mini/enter" && (r.Method == http.MethodGet || r.Method == http.MethodPost):
		g.serveMiniEnter(w, r)
	case name == "mini/login" || name == "mini/ticket":
		g.methodNotAllowed(w, r, "POST")
	case name == "mini/enter":
		g.methodNotAllowed(w, r, "GET, POST")
	default:
		g.stop(w, r, Failure{Reason: ReasonNotFound, Page: g.showsPage(r)})
	}
}

// serveScans serves the endpoints of LoginScan.
func (g *gate) serveScans(w http.ResponseWriter, r *http.Request, name string) {
	ticket, isPhone := g.scanTicketIn(r.URL.Path)
	get := r.Method == http.MethodGet
	switch {
	case name == "scan" && get:
		g.serveScan(w, r)
	case name == "scan" && r.Method == http.MethodPost:
		g.serveScanNumber(w, r)
	case name == "scan/status" && get:
		g.serveScanStatus(w, r)
	case isPhone && get:
		g.serveScanPhone(w, r, ticket)
	case isPhone && r.Method == http.MethodPost:
		g.serveScanAnswer(w, r, ticket)
	case name == "scan/status":
		g.methodNotAllowed(w, r, "GET")
	case name == "scan" || isPhone:
		g.methodNotAllowed(w, r, "GET, POST")
	default:
		g.stop(w, r, Failure{Reason: ReasonNotFound, Page: g.showsPage(r)})
	}
}

// verifyFile returns the content of the file that is asked for, if it is one.
// WeChat asks from addresses of its own, without cookies, at the root of the
// domain.
func (a *Auth) verifyFile(r *http.Request) (string, bool) {
	if len(a.verifyFiles) == 0 || len(r.URL.Path) < 2 {
		return "", false
	}
	content, ok := a.verifyFiles[r.URL.Path[1:]]
	return content, ok
}

func (g *gate) serveVerifyFile(w http.ResponseWriter, r *http.Request, content string) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		g.methodNotAllowed(w, r, "GET, HEAD")
		return
	}
	h := w.Header()
	respond.NoStore(h) // a new file shall not be shadowed by an old one in a cache
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(content)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write([]byte(content)) // who asked has gone: nobody is left to tell
	}
}
