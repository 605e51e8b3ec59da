// Package navigation interprets a browser's request headers: whether the
// request is a page visit, what started it, and whether a user sees the
// response.
package navigation

import (
	"net/http"
	"strings"
)

// IsPageVisit reports whether r is a browser request for a top-level document.
// The rule is documented at the root package's function of this name, which
// adds that a bearer token of ours is not a browser's.
func IsPageVisit(r *http.Request) bool {
	return IsRead(r) && !breaksOnRedirect(r) && !isXMLHttpRequest(r.Header) && isTopLevelNavigation(r.Header)
}

// IsRead reports whether a browser can repeat the request as a page visit.
func IsRead(r *http.Request) bool {
	return r.Method == http.MethodGet || r.Method == http.MethodHead
}

// breaksOnRedirect reports whether the client cannot follow a redirect to a
// page of WeChat's, or the request was not started by a user.
func breaksOnRedirect(r *http.Request) bool {
	h := r.Header
	return hasOwnCredentials(r) || Has(h, "Upgrade") || isSpeculative(h) || acceptsType(h, "text/event-stream")
}

// hasOwnCredentials reports whether an API client authenticates itself. A
// browser sends Authorization too, on a site behind HTTP Basic, and only the
// Sec-Fetch headers distinguish it then.
func hasOwnCredentials(r *http.Request) bool {
	return Has(r.Header, "Authorization") && Header(r.Header, "Sec-Fetch-Mode") != "navigate"
}

func isXMLHttpRequest(h http.Header) bool {
	return strings.EqualFold(Header(h, "X-Requested-With"), "XMLHttpRequest")
}

// IsForm reports whether a page submits a form, whose response a person sees,
// as far as an old browser can be distinguished from a script.
func IsForm(r *http.Request) bool {
	mode := Header(r.Header, "Sec-Fetch-Mode")
	return !IsRead(r) && acceptsType(r.Header, "text/html") && !isXMLHttpRequest(r.Header) && (mode == "" || mode == "navigate")
}

// MayBePage reports whether a request without Sec-Fetch headers may be for a
// page: the Accept header names pages, or any type.
func MayBePage(r *http.Request) bool {
	h := r.Header
	if sendsFetchMetadata(h) || isXMLHttpRequest(h) || breaksOnRedirect(r) {
		return false
	}
	accept := Header(h, "Accept")
	return accept == "" || accept == "*/*" || acceptsType(h, "text/html")
}

// isTopLevelNavigation reports whether the response becomes the page of a tab,
// according to the browser, or may become one if the browser does not say.
func isTopLevelNavigation(h http.Header) bool {
	if !sendsFetchMetadata(h) {
		return acceptsType(h, "text/html")
	}
	if Header(h, "Sec-Fetch-Mode") != "navigate" {
		return false
	}
	dest := Header(h, "Sec-Fetch-Dest")
	return dest == "document" || (dest == "" || dest == "empty") && acceptsType(h, "text/html")
}

func sendsFetchMetadata(h http.Header) bool {
	return Has(h, "Sec-Fetch-Mode") || Has(h, "Sec-Fetch-Dest") || Has(h, "Sec-Fetch-Site") || Has(h, "Sec-Fetch-User")
}

// IsOwnWish reports whether, according to the browser, no other site started
// the request: it comes from the address bar or a page of this origin.
func IsOwnWish(r *http.Request) bool {
	site := Header(r.Header, "Sec-Fetch-Site")
	return site == "" || site == "none" || site == "same-origin"
}

// isSpeculative reports whether the browser prefetches for a visit that may
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

// MayNavigate reports whether a user may see the response, in a tab or in a
// frame, as far as the browser's headers show. Chromium 76 to 79 call the visit
// of a frame "nested-navigate".
func MayNavigate(r *http.Request) bool {
	mode := Header(r.Header, "Sec-Fetch-Mode")
	return !isSpeculative(r.Header) && (mode == "" || strings.HasSuffix(mode, "navigate"))
}

// An Opener is what made a browser request a page.
type Opener int

// The values of Opener.
const (
	Elsewhere Opener = iota // another origin
	Perhaps                 // the browser does not say
	Here                    // the user, the app around a web-view, or this origin
)

// OpenerOf returns what made a browser request the page that r visits. Browsers
// send "none" for a visit that no page has started, as the address bar and a
// mini program do, and never for a frame. Browsers without Sec-Fetch headers do
// not say; a mini program's web-view (WKWebView before iOS 16.4) shows only
// pages of the account's domains, and no page of another origin can set its
// User-Agent. A service worker's fetch of a page counts as its own site's,
// whichever page started the visit.
func OpenerOf(r *http.Request, miniProgramWebView bool) Opener {
	switch {
	case !IsOwnWish(r):
		return Elsewhere
	case Header(r.Header, "Sec-Fetch-Dest") == "empty" || !Has(r.Header, "Sec-Fetch-Site") && !miniProgramWebView:
		return Perhaps
	}
	return Here
}

// InFrame reports whether the response is shown in a frame of another page.
func InFrame(r *http.Request) bool {
	dest := Header(r.Header, "Sec-Fetch-Dest")
	return dest == "iframe" || dest == "frame"
}

// IsPreflight reports whether r is a CORS preflight, with which a browser asks,
// without cookies, whether a script may send a request. It can never be
// authenticated, so the application's CORS handler must respond to it. See
// https://fetch.spec.whatwg.org/#cors-preflight-request.
func IsPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && Has(r.Header, "Origin") && Has(r.Header, "Access-Control-Request-Method")
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

// Has reports whether a header of this name, in its canonical form, has a
// value.
func Has(h http.Header, name string) bool { return Header(h, name) != "" }

// Header returns the first value of a header, for a name in its canonical
// form. Proxies blank headers that they should remove, so an empty value is
// none.
func Header(h http.Header, name string) string {
	for _, value := range h[name] {
		if value = strings.TrimSpace(value); value != "" {
			return value
		}
	}
	return ""
}

// Origin returns a request that has only the headers of r that describe its
// origin. [http.CrossOriginProtection] reads the first line of a header only.
func Origin(r *http.Request) *http.Request {
	said := http.Header{}
	for _, name := range [...]string{"Origin", "Sec-Fetch-Site"} {
		said.Set(name, Header(r.Header, name))
	}
	return &http.Request{Method: r.Method, URL: r.URL, Host: r.Host, Header: said}
}
