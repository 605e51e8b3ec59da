package wechatauth

import (
	"net/http"
	"path"
	"strings"

	"github.com/wechatauth/wechatauth/internal/siteurl"
)

// ServeHTTP serves the endpoints below the path prefix. Mount it at the
// prefix, as in mux.Handle("/wechat/", auth); not behind http.StripPrefix.
//
//	GET  login?next=…    starts a login and returns to next; with again=1 also if a
//	                     user is logged in, to switch users
//	GET  callback        WeChat's redirect_uri
//	GET  upgrade?next=…  the page with the button
//	POST upgrade         asks WeChat for snsapi_userinfo; field next
//	POST logout          ends the session; field next
//	POST mini/login      WithMiniProgram: {"code":…} gives {"token":…,"expires_in":…}
//	POST mini/ticket     {"target":…} gives the {"url":…} that logs in a web-view, once
//	GET  mini/enter      that URL
//	POST mini/enter      the form of PageEnter, which confirms that login
//	GET  scan?next=…     LoginScan: the page with the QR code, which the phone opens and
//	                     confirms at scan/ and its id
//	POST scan            the form of that page: the number shown on the phone
//	GET  scan/status     the state of the QR code as JSON
//
// If next is missing or rejected, "/" is used.
func (a *Auth) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r = withoutIdentity(r)
	if g, ok := a.gateForEndpoint(w, r); ok {
		g.serve(w, r)
	}
}

// serve serves the endpoints of an account.
func (g *gate) serve(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, g.prefix), g.path)
	if ticket, ok := g.scanTicketIn(r.URL.Path); ok {
		g.servePhone(w, r, ticket)
		return
	}
	if kind, _, _ := strings.Cut(name, "/"); kind == "mini" && g.mini.client == nil || kind == "scan" && !g.scans() {
		g.notFound(w, r)
		return
	}
	switch name + " " + r.Method {
	case "login GET", "login HEAD":
		g.serveLogin(w, r)
	case "callback GET":
		g.serveCallback(w, r)
	case "upgrade GET", "upgrade HEAD":
		g.serveUpgradePage(w, r)
	case "upgrade POST":
		g.serveUpgrade(w, r)
	case "logout POST":
		g.serveLogout(w, r)
	case "mini/login POST":
		g.serveMiniLogin(w, r)
	case "mini/ticket POST":
		g.serveMiniTicket(w, r)
	case "mini/enter GET", "mini/enter POST":
		g.serveMiniEnter(w, r)
	case "scan GET":
		g.serveScan(w, r)
	case "scan POST":
		g.serveScanNumber(w, r)
	case "scan/status GET":
		g.serveScanStatus(w, r)
	default:
		if allow, ok := methods[name]; ok {
			g.rejectMethod(w, r, allow)
			return
		}
		g.notFound(w, r)
	}
}

// notFound responds with 404. A callback of this browser's login at such a path is
// reported with its likely cause, since that login is lost.
func (g *gate) notFound(w http.ResponseWriter, r *http.Request) {
	if g.strayCallback(w, r) {
		return
	}
	e := Event{Reason: ReasonNotFound}
	if !strings.HasPrefix(r.URL.Path, g.prefix) {
		e.Detail = "the endpoints are mounted elsewhere than at the path prefix " + g.prefix + ", or behind http.StripPrefix"
	}
	g.reportRejected(r, e)
	g.reject(w, r, Failure{Reason: ReasonNotFound, Page: g.showsPage(r)})
}

// gateForEndpoint returns the gate of the request's account, and responds if there is
// none. A callback from whose path a proxy has removed a prefix still ends in its
// AppID, so that strayCallback can report the cause.
func (a *Auth) gateForEndpoint(w http.ResponseWriter, r *http.Request) (*gate, bool) {
	g, err := a.gateFor(r)
	if err == nil {
		return g, true
	}
	if appID := path.Base(r.URL.Path); siteurl.IsAppID(appID) {
		if g, err := a.gateByAppID(r.Context(), appID); err == nil && g.strayCallback(w, r) {
			return nil, false
		}
	}
	a.home.rejectReported(w, r, Event{Reason: ReasonUnknownAccount, Err: err}, a.showsPage(r))
	return nil, false
}
