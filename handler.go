package wechatauth

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/navigation"
	"github.com/wechatauth/wechatauth/internal/returnto"
)

const (
	maxFormBytes = 16 << 10 // of our own forms, which have one field

	// callbackBudget bounds a callback from the claim, once it is won, to the
	// answer, whatever the browser does meanwhile.
	callbackBudget = 8 * time.Second
	// saveBudget is how long a callback tries to save a session for which a
	// code was spent.
	saveBudget = 3 * time.Second
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

func (g *gate) methodNotAllowed(w http.ResponseWriter, r *http.Request, allow string) {
	w.Header().Set("Allow", allow)
	g.stop(w, r, Failure{Reason: ReasonMethodNotAllowed, Page: g.showsPage(r)})
}

// nextOf reads the return target of a form or a query.
func (g *gate) nextOf(r *http.Request, values url.Values) string {
	return g.returnTo(r, values.Get("next"))
}

// returnTo returns the return URL for what a client wrote, and "/" for none.
func (g *gate) returnTo(r *http.Request, raw string) string {
	target, err := g.judge(raw)
	if err == nil {
		return target
	}
	if raw != "" {
		g.reportDropped(r, raw, err)
	}
	return "/"
}

// judge decides whether a login may end at raw: at a return URL, or at the one
// endpoint of ours where that makes sense, the phone's page of a scan.
func (g *gate) judge(raw string) (target string, err error) {
	return returnto.Site{Base: g.base, Prefix: g.prefix, Endpoints: ownEndpoints, Except: g.isScanPage}.Judge(raw)
}

// landing returns where a login ends that was begun for target. It is judged
// again: the seal proves that it was ours, not that the release that wrote it
// had no fault.
func (g *gate) landing(target string) string {
	target, err := g.judge(target)
	if err != nil {
		return "/"
	}
	return target
}

// reportDropped logs that a login ends at "/" instead of where it should.
func (g *gate) reportDropped(r *http.Request, raw string, why error) {
	g.report(r.Context(), Event{Kind: EventTrouble, AppID: g.appIDFor(r), Detail: fmt.Sprintf("return URL replaced by /: %v, %d bytes", why, len(raw))})
}

// navigates is the page-visit rule for our own endpoints. They are nothing
// but pages, so a client too old or too simple to say what it asks for is
// believed, unless something shows that it is no person's visit.
func (g *gate) navigates(r *http.Request) bool {
	return g.isPage(r) || navigation.MayBePage(r)
}

func (g *gate) unavailable(w http.ResponseWriter, r *http.Request, err error) {
	g.stopped(r, Event{Reason: ReasonStoreUnavailable, Err: err})
	g.stop(w, r, Failure{Reason: ReasonStoreUnavailable, Page: true, Err: err})
}

// formActions are the origins that the button's form leads over: WeChat's, and
// the relay's on the way back where consent was given before.
func (g *gate) formActions() []string {
	if g.relay == nil {
		return []string{g.openOrigin()}
	}
	return []string{g.openOrigin(), g.relay.url}
}

// openOrigin is where WeChat's authorize page is: the form's redirect has to
// be allowed to go there.
func (g *gate) openOrigin() string {
	u, err := url.Parse(g.official.client.AuthorizeURL(g.redirectURI(), client.ScopeBase, "x"))
	if err != nil {
		return client.DefaultOpen
	}
	return u.Scheme + "://" + u.Host
}

// ownForm reads a form that was posted from our own pages, and answers one
// that was not.
func (g *gate) ownForm(w http.ResponseWriter, r *http.Request) (url.Values, bool) {
	err := g.origin.Check(navigation.Origin(r))
	if err == nil && g.base.Scheme == "https" && strings.HasPrefix(strings.ToLower(navigation.Header(r.Header, "Origin")), "http://") {
		// net/http compares hosts only, and anyone on the network makes such a page.
		err = errors.New("form of a page that came by plain http")
	}
	if err != nil {
		g.stopped(r, Event{Reason: ReasonCrossOrigin, Err: err})
		g.stop(w, r, Failure{Reason: ReasonCrossOrigin, Page: g.showsPage(r), Err: err})
		return nil, false
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	if err := r.ParseForm(); err != nil {
		g.stop(w, r, Failure{Reason: ReasonCallbackMalformed, Page: g.showsPage(r), Err: err})
		return nil, false
	}
	return r.Form, true
}
