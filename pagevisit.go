package wechatauth

import (
	"net/http"
	"strings"
)

// IsPageVisit reports whether r is a browser's visit of a page: a person who
// opens an address, follows a link or reloads, and whose browser will show the
// answer. Only such a request can be sent to WeChat to log in. Everything else
// that is anonymous is better told so with a status code: a script cannot
// follow a redirect to another origin, and every redirect costs a cookie.
//
// A visit is a GET or HEAD request that
//   - has the Sec-Fetch-Mode "navigate" and the Sec-Fetch-Dest "document", as
//     browsers since 2023 send them on https and to loopback hosts;
//   - or has the Sec-Fetch-Mode "navigate", no Sec-Fetch-Dest or "empty", and
//     accepts text/html: a service worker passes a visit to the network as
//     "empty", and Chromium 76 to 79, on which older web-views are built, did
//     not send the destination yet;
//   - or has no Sec-Fetch header at all and accepts text/html: an older
//     browser, or any browser on a plain http origin.
//
// It is no visit, whatever else it says, if it
//   - carries a bearer token of POST mini/login;
//   - carries any other Authorization and no Sec-Fetch-Mode "navigate": an API
//     client with its own credentials. Browsers add those of HTTP Basic to
//     every page of a site;
//   - carries Upgrade: a WebSocket;
//   - accepts text/event-stream: an EventSource;
//   - is a prefetch, a prerender or a preview (Sec-Purpose, Purpose, X-Purpose,
//     X-Moz): nobody has asked for the page yet;
//   - has the X-Requested-With "XMLHttpRequest". Any other value is left
//     alone: Android web-views send their app's package name with every page,
//     WeChat's is "com.tencent.mm".
//
// A header without a value counts as absent. An iframe, an image, a script,
// fetch, XMLHttpRequest and a service worker's own requests name another mode or
// destination and are no visits; an iframe whose request a service worker passes
// on cannot be distinguished from a page.
//
// It is assumed that browsers speak the truth about themselves. Any other
// client can send what it likes and gains nothing by it: the answer decides
// what it is shown, never what it may do. Without Sec-Fetch headers an iframe
// cannot be told from a page.
//
// See https://www.w3.org/TR/fetch-metadata/ for the Sec-Fetch headers and
// https://fetch.spec.whatwg.org/#sec-purpose-header for Sec-Purpose.
//
// IsPageVisit only reads the method and the header of r.
func IsPageVisit(r *http.Request) bool {
	return isRead(r) && !breaksOnRedirect(r) && !isXMLHttpRequest(r.Header) && isTopLevelNavigation(r.Header)
}

// isRead reports whether a browser can repeat the request as a page visit.
func isRead(r *http.Request) bool {
	return r.Method == http.MethodGet || r.Method == http.MethodHead
}

// breaksOnRedirect reports whether what asks cannot follow a redirect to a
// page of WeChat's, or nobody has asked.
func breaksOnRedirect(r *http.Request) bool {
	h := r.Header
	return hasOwnCredentials(r) || hasHeader(h, "Upgrade") || isSpeculative(h) || acceptsType(h, "text/event-stream")
}

// hasOwnCredentials reports whether an API client authenticates itself. A
// browser sends Authorization too, on a site behind HTTP Basic, and only the
// Sec-Fetch headers distinguish it then.
func hasOwnCredentials(r *http.Request) bool {
	if !hasHeader(r.Header, "Authorization") {
		return false
	}
	token, _ := bearer(r)
	return token != "" || headerOf(r.Header, "Sec-Fetch-Mode") != "navigate"
}

func isXMLHttpRequest(h http.Header) bool {
	return strings.EqualFold(headerOf(h, "X-Requested-With"), "XMLHttpRequest")
}

// isForm reports whether a page submits a form, whose response a person sees,
// as far as an old browser can be distinguished from a script.
func isForm(r *http.Request) bool {
	mode := headerOf(r.Header, "Sec-Fetch-Mode")
	return !isRead(r) && acceptsType(r.Header, "text/html") && !isXMLHttpRequest(r.Header) && (mode == "" || mode == "navigate")
}

// mayBePage reports whether a browser without Sec-Fetch headers leaves open
// that it asks for a page: the Accept header names pages, or anything at all.
func mayBePage(h http.Header) bool {
	if sendsFetchMetadata(h) || isXMLHttpRequest(h) {
		return false
	}
	accept := headerOf(h, "Accept")
	return accept == "" || accept == "*/*" || acceptsType(h, "text/html")
}

// isTopLevelNavigation reports whether the browser says, or its silence leaves
// possible, that the answer becomes the page of a tab.
func isTopLevelNavigation(h http.Header) bool {
	if !sendsFetchMetadata(h) {
		return acceptsType(h, "text/html")
	}
	if headerOf(h, "Sec-Fetch-Mode") != "navigate" {
		return false
	}
	dest := headerOf(h, "Sec-Fetch-Dest")
	return dest == "document" || (dest == "" || dest == "empty") && acceptsType(h, "text/html")
}

func sendsFetchMetadata(h http.Header) bool {
	return hasHeader(h, "Sec-Fetch-Mode") || hasHeader(h, "Sec-Fetch-Dest") || hasHeader(h, "Sec-Fetch-Site") || hasHeader(h, "Sec-Fetch-User")
}

// isOwnWish reports whether no other site sent the browser here, as far as the
// browser says: the address bar, or a page of this origin.
func isOwnWish(r *http.Request) bool {
	site := headerOf(r.Header, "Sec-Fetch-Site")
	return site == "" || site == "none" || site == "same-origin"
}

// isSpeculative reports whether the browser fetches ahead of a visit that may
// never happen.
func isSpeculative(h http.Header) bool {
	for _, name := range [...]string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		for _, value := range h[name] {
			value = strings.ToLower(value)
			if strings.Contains(value, "prefetch") || strings.Contains(value, "prerender") || strings.Contains(value, "preview") {
				return true
			}
		}
	}
	return false
}

// mayNavigate reports whether the browser leaves open that somebody sees the
// response, in a tab or in a frame. Chromium 76 to 79 call the visit of a frame
// "nested-navigate".
func mayNavigate(h http.Header) bool {
	mode := headerOf(h, "Sec-Fetch-Mode")
	return !isSpeculative(h) && (mode == "" || strings.HasSuffix(mode, "navigate"))
}

// An opener is what made a browser ask for a page.
type opener int

const (
	openedElsewhere opener = iota // another origin; or the request is not a page visit
	openedPerhaps                 // the browser does not say
	openedHere                    // the user, the app around a web-view, or this origin
)

// openerOf tells what made a browser ask for a page. "none" is said of a visit
// that no page has started, as the address bar and a mini program do, and never
// of a frame. Browsers without Sec-Fetch headers do not say; a mini program's
// web-view (WKWebView before iOS 16.4) shows nothing but pages of its own
// account's domains, and no page elsewhere can take on its User-Agent.
// A service worker's fetch of a page is its own site's, whoever started the
// visit.
func openerOf(r *http.Request) opener {
	site, dest := headerOf(r.Header, "Sec-Fetch-Site"), headerOf(r.Header, "Sec-Fetch-Dest")
	switch {
	case !IsPageVisit(r) || site != "" && site != "none" && site != "same-origin":
		return openedElsewhere
	case dest == "empty" || site == "" && EnvironmentOf(r) != MiniProgramWebView:
		return openedPerhaps
	}
	return openedHere
}

// isPreflight reports whether r is a CORS preflight: the browser asks, without
// cookies, whether a script may send the request it has in mind. It can never
// be logged in, so the application's CORS handler has to answer it.
// See https://fetch.spec.whatwg.org/#cors-preflight-request.
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && hasHeader(r.Header, "Origin") && hasHeader(r.Header, "Access-Control-Request-Method")
}

// acceptsType reports whether Accept names the media type itself. A wildcard does
// not count: every script and every image sends one.
func acceptsType(h http.Header, mediaType string) bool {
	for _, value := range h["Accept"] {
		for item := range strings.SplitSeq(value, ",") {
			name, _, _ := strings.Cut(item, ";")
			if strings.EqualFold(strings.TrimSpace(name), mediaType) {
				return true
			}
		}
	}
	return false
}

// hasHeader reports whether a header of this name, in its canonical form, has a
// value.
func hasHeader(h http.Header, name string) bool { return headerOf(h, name) != "" }

// headerOf returns the first value of a header, for a name in its canonical
// form. Proxies blank headers that they should remove, so an empty value is
// none.
func headerOf(h http.Header, name string) string {
	for _, value := range h[name] {
		if value = strings.TrimSpace(value); value != "" {
			return value
		}
	}
	return ""
}
