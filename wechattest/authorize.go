package wechattest

import (
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/wechatauth/wechatauth/client"
)

// An authorizeRequest holds the parameters of an authorize or qrconnect URL.
type authorizeRequest struct {
	account     Account
	appID       string
	redirectURI string
	scope       client.Scope
	state       string
	platform    string // component_appid
	forcePopup  bool
	forceSnap   bool
	person      Person
	corp        *corpRequest // set for WeCom
}

// A pageError is an error page: WeChat's number, or 0 if there is none, and its
// text. The English texts are translations.
type pageError struct {
	code int
	text bilingual
	hint bilingual // for the developer; if empty, the hint for the code is used
}

var (
	cannotOpen  = bilingual{"该链接无法访问", "This link cannot be opened"}
	badScope    = bilingual{"Scope 参数错误或没有 Scope 权限", "Invalid scope, or the account does not have it"}
	badAppID    = bilingual{"AppID 参数错误", "Invalid AppID"}
	stateTooBig = bilingual{"state 参数过长", "The state parameter is too long"}
	qrIsExpired = bilingual{"二维码已过期", "The QR code has expired"}
)

// pageErrors are the texts of WeChat's numbered error pages.
var pageErrors = map[int]bilingual{
	10003: {"redirect_uri域名与后台配置不一致", "The domain of redirect_uri does not match the configured one"},
	10004: {"此公众号被封禁", "This official account is banned"},
	10005: {"此公众号并没有这些scope的权限", "This official account does not have these scopes"},
	10006: {"必须关注此测试号", "Follow this test account to log in"},
	10009: {"操作太频繁了，请稍后重试", "Too many attempts. Try again later."},
	10010: {"scope不能为空", "scope must not be empty"},
	10011: {"redirect_uri不能为空", "redirect_uri must not be empty"},
	10012: {"appid不能为空", "appid must not be empty"},
	10013: {"state不能为空", "state must not be empty"},
	10015: {"公众号未授权第三方平台，请检查授权状态", "The official account has not authorized the third-party platform"},
	10016: {"不支持微信开放平台的Appid，请使用公众号Appid", "Open-platform AppIDs are not supported. Use the AppID of an official account."},
}

func numberedError(code int) *pageError { return &pageError{code: code, text: pageErrors[code]} }

// The parameters in their documented order, and those that may follow in any
// order.
var (
	authorizeOrder  = []string{"appid", "redirect_uri", "response_type", "scope", "state"}
	authorizeExtras = []string{"component_appid", "connect_redirect", "forcePopup", "forceSnapShot", "uin", "key", "pass_ticket", "version"}
)

// inOrder reports whether a raw query has the documented parameters in order,
// each at most once, followed only by known optional ones, with component_appid
// last.
func inOrder(rawQuery string) bool {
	place, last := 0, ""
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(rawQuery, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if seen[name] || last == "component_appid" {
			return false
		}
		seen[name], last = true, name
		i := slices.Index(authorizeOrder, name)
		switch {
		case i >= place:
			place = i + 1
		case i >= 0 || !slices.Contains(authorizeExtras, name):
			return false
		default:
			place = len(authorizeOrder)
		}
	}
	return true
}

// parseAuthorize parses and checks an authorize URL for the person who opens
// it.
func (s *Server) parseAuthorize(r *http.Request, p Person) (authorizeRequest, *pageError) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	a := authorizeRequest{
		appID: q.Get("appid"), redirectURI: q.Get("redirect_uri"), scope: client.Scope(q.Get("scope")),
		state: q.Get("state"), platform: q.Get("component_appid"),
		forcePopup: q.Get("forcePopup") == "true", forceSnap: q.Get("forceSnapShot") == "true", person: p,
	}
	var ok bool
	a.account, ok = s.world.Load().accounts[a.appID]
	switch {
	case s.overQuota("connect/oauth2/authorize", p.Name) != 0:
		return a, numberedError(10009)
	case a.appID == "":
		return a, numberedError(10012)
	case q.Get("redirect_uri") == "":
		return a, numberedError(10011)
	case a.scope == "":
		return a, numberedError(10010)
	case a.state == "" && s.on(StateRequired):
		return a, numberedError(10013)
	case err != nil, !s.on(LenientOrder) && !inOrder(r.URL.RawQuery), q.Get("response_type") != "code":
		return a, &pageError{text: cannotOpen, hint: orderHint}
	case strings.HasPrefix(a.appID, "gh_"):
		return a, numberedError(1)
	case !ok:
		return a, &pageError{text: badAppID, hint: unknownAppHint}
	case a.account.Kind != OfficialAccount:
		return a, numberedError(10016)
	}
	return a, s.judge(a)
}

// judge applies the account's own rules.
func (s *Server) judge(a authorizeRequest) *pageError {
	if a.corp != nil {
		return s.judgeCorp(a)
	}
	switch {
	case len(a.state) > 128:
		return &pageError{text: stateTooBig, hint: stateHint}
	case a.account.Banned:
		return numberedError(10004)
	case a.scope != client.ScopeBase && a.scope != client.ScopeUserInfo:
		return &pageError{text: badScope, hint: scopeHint}
	case !a.account.owns(a.scope):
		return numberedError(10005)
	case a.platform != "" && !slices.Contains(a.account.Platforms, a.platform):
		return numberedError(10015)
	case !s.callbackAllowed(a):
		return &pageError{code: 10003, text: pageErrors[10003], hint: domainHint(a, s.domains(a))}
	case a.account.Sandbox && !a.person.Follows:
		return numberedError(10006)
	}
	return nil
}

// callbackAllowed reports whether redirect_uri is allowed, and notes its origin
// as that of the application.
func (s *Server) callbackAllowed(a authorizeRequest) bool {
	u, err := url.Parse(a.redirectURI)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Host == "" || !s.domainAllowed(a, u) {
		return false
	}
	if s.cfg.site == "" {
		s.site = u.Scheme + "://" + u.Host + "/"
	}
	return true
}

// domainAllowed reports whether the host of redirect_uri equals a configured
// domain, which has no port, and its path is below the configured one.
func (s *Server) domainAllowed(a authorizeRequest, u *url.URL) bool {
	domains := s.domains(a)
	if len(domains) == 0 {
		return !s.cfg.strictDomains && local(u.Hostname())
	}
	for _, d := range domains {
		host, prefix, _ := strings.Cut(d, "/")
		if strings.EqualFold(u.Host, host) && below(u.Path, prefix) {
			return true
		}
	}
	return false
}

// domains returns the configured callback domains: those of the platform that
// acts for the account, otherwise those of the account.
func (s *Server) domains(a authorizeRequest) []string {
	if a.platform != "" {
		return s.world.Load().accounts[a.platform].Domains
	}
	return a.account.Domains
}

// below reports whether a decoded path is at or below a prefix, before and
// after its dot segments are resolved.
func below(urlPath, prefix string) bool {
	prefix = "/" + strings.Trim(prefix, "/")
	resolved := path.Clean(strings.ReplaceAll(urlPath, `\`, "/"))
	return prefix == "/" || resolved == prefix || strings.HasPrefix(resolved, prefix+"/")
}

// local reports whether a host is this machine or has a private IP address.
func local(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && (ip.IsLoopback() || ip.IsPrivate()) || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// callback returns the callback URL: redirect_uri with code and state appended,
// before any fragment. It is in two parts, between which the code goes.
func (s *Server) callback(a authorizeRequest) (before, after string) {
	base, fragment, hasFragment := strings.Cut(a.redirectURI, "#")
	if a.state != "" || !s.on(OmitEmptyState) {
		after = "&state=" + url.QueryEscape(a.state)
	}
	if a.platform != "" {
		after += "&appid=" + a.appID
	}
	if hasFragment {
		after += "#" + fragment
	}
	return base + separator(base) + "code=", after
}

// deniedCallback returns the callback by which WeChat used to report a denial.
func deniedCallback(a authorizeRequest) string {
	base, _, _ := strings.Cut(a.redirectURI, "#")
	return base + separator(base) + "state=" + url.QueryEscape(a.state)
}

func separator(uri string) string {
	if strings.Contains(uri, "?") {
		return "&"
	}
	return "?"
}

// authorize serves /connect/oauth2/authorize.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request, c *Call) {
	if isCorp(r) {
		s.corpAuthorize(w, r, c)
		return
	}
	if r.Method != http.MethodGet {
		s.errorPage(w, r, c, &pageError{text: cannotOpen, hint: methodHint})
		return
	}
	if !s.cfg.anyBrowser && !strings.Contains(strings.ToLower(r.UserAgent()), "micromessenger") {
		s.notWeChatPage(w, r, c)
		return
	}
	if s.connectRedirect(w, r, c) {
		return
	}
	s.mu.Lock()
	a, pageErr := s.parseAuthorize(r, s.currentPerson(r))
	if pageErr != nil {
		s.mu.Unlock()
		s.errorPage(w, r, c, pageErr)
		return
	}
	ask, snapshot := s.consentNeeded(a, s.currentEnvironment(r))
	if !ask {
		var v *virtual
		if snapshot {
			v = s.virtualFor(a)
		}
		to := s.allow(a, v)
		s.mu.Unlock()
		s.sendBack(w, r, c, to)
		return
	}
	s.askAndUnlock(w, r, c, a)
}

// askAndUnlock shows the consent page. s.mu is held.
func (s *Server) askAndUnlock(w http.ResponseWriter, r *http.Request, c *Call, a authorizeRequest) {
	id := s.text(24)
	s.pending[id] = &consent{authorizeRequest: a, opened: s.now()}
	s.sweep()
	s.mu.Unlock()
	s.consentPage(w, r, c, id, a)
}

// connectRedirect first redirects the browser to the same URL with
// connect_redirect=1, if the quirk is on.
func (s *Server) connectRedirect(w http.ResponseWriter, r *http.Request, c *Call) bool {
	s.mu.Lock()
	on := s.on(ConnectRedirect)
	s.mu.Unlock()
	if !on || r.URL.Query().Has("connect_redirect") {
		return false
	}
	s.outcome(c, 0, "connect_redirect")
	w.Header().Set("Location", "?"+r.URL.RawQuery+"&connect_redirect=1")
	w.WriteHeader(http.StatusMovedPermanently)
	return true
}

// allow issues the code, for a virtual user if v is not nil, and returns the
// callback URL. The caller holds s.mu.
func (s *Server) allow(a authorizeRequest, v *virtual) string {
	before, after := s.callback(a)
	return before + s.newGrant(a, v) + after
}

func (s *Server) newGrant(a authorizeRequest, v *virtual) (code string) {
	if a.corp != nil {
		return s.grantCorp(a)
	}
	return s.newCode(&grant{
		flow: webFlow, appID: a.appID, platform: a.platform, person: a.person, scope: a.scope, snapshot: v,
	})
}

// sendBack redirects the browser to the callback with a 302, as WeChat is
// assumed to do, or with a page that opens the callback twice.
func (s *Server) sendBack(w http.ResponseWriter, r *http.Request, c *Call, to string) {
	s.mu.Lock()
	atOnce, later := s.on(DuplicateCallbackAtOnce), s.on(DuplicateCallbackLater)
	s.mu.Unlock()
	w.Header().Set("Cache-Control", "no-store")
	if atOnce || later {
		s.outcome(c, 0, "duplicate callback")
		s.show(w, r, "doubled", view{Callback: to, AtOnce: atOnce})
		return
	}
	s.outcome(c, 0, "redirect to callback")
	if r.Header.Get("Upgrade-Insecure-Requests") != "" && !strings.Contains(to, "#") {
		// Browsers keep #wechat_redirect across redirects, but WeChat's client
		// has removed it by now. An empty fragment makes a browser remove it
		// too.
		to += "#"
	}
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusFound)
}
