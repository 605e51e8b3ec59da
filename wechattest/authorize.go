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

// authorizeRequest is what an authorize or qrconnect URL asks for.
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
}

// refusal is an error page: WeChat's number, 0 for none, and its words. The
// English ones are a translation.
type refusal struct {
	code int
	text bilingual
	hint bilingual // for the developer; empty means that of the code
}

var (
	cannotOpen  = bilingual{"该链接无法访问", "This link cannot be opened"}
	badScope    = bilingual{"Scope 参数错误或没有 Scope 权限", "The scope is wrong, or the account may not use it"}
	badAppID    = bilingual{"AppID 参数错误", "The AppID is wrong"}
	stateTooBig = bilingual{"state 参数过长", "The state parameter is too long"}
	qrIsExpired = bilingual{"二维码已过期", "The QR code has expired"}
)

// pageErrors are the texts of WeChat's numbered error pages.
var pageErrors = map[int]bilingual{
	10003: {"redirect_uri域名与后台配置不一致", "The domain of redirect_uri is not the configured one"},
	10004: {"此公众号被封禁", "This official account is banned"},
	10005: {"此公众号并没有这些scope的权限", "This official account may not use these scopes"},
	10006: {"必须关注此测试号", "You have to follow this test account"},
	10009: {"操作太频繁了，请稍后重试", "Too many attempts, try again later"},
	10010: {"scope不能为空", "scope must not be empty"},
	10011: {"redirect_uri不能为空", "redirect_uri must not be empty"},
	10012: {"appid不能为空", "appid must not be empty"},
	10013: {"state不能为空", "state must not be empty"},
	10015: {"公众号未授权第三方平台，请检查授权状态", "The official account has not authorized the third-party platform"},
	10016: {"不支持微信开放平台的Appid，请使用公众号Appid", "An open-platform AppID does not work here, use an official account's"},
}

func numbered(code int) *refusal { return &refusal{code: code, text: pageErrors[code]} }

// The documented order, and what may follow it in any order.
var (
	authorizeOrder  = []string{"appid", "redirect_uri", "response_type", "scope", "state"}
	authorizeExtras = []string{"component_appid", "connect_redirect", "forcePopup", "forceSnapShot", "uin", "key", "pass_ticket", "version"}
)

// inOrder reports whether a raw query has the documented parameters in their
// order, each at most once, then only known extras, component_appid last.
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

// parseAuthorize reads and judges an authorize URL for the person who opens it.
func (s *Server) parseAuthorize(r *http.Request, p Person) (authorizeRequest, *refusal) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	a := authorizeRequest{
		appID: q.Get("appid"), redirectURI: q.Get("redirect_uri"), scope: client.Scope(q.Get("scope")),
		state: q.Get("state"), platform: q.Get("component_appid"),
		forcePopup: q.Get("forcePopup") == "true", forceSnap: q.Get("forceSnapShot") == "true", person: p,
	}
	var ok bool
	a.account, ok = s.accounts[a.appID]
	switch {
	case s.overQuota("connect/oauth2/authorize", p.Name) != 0:
		return a, numbered(10009)
	case a.appID == "":
		return a, numbered(10012)
	case q.Get("redirect_uri") == "":
		return a, numbered(10011)
	case a.scope == "":
		return a, numbered(10010)
	case a.state == "" && s.on(StateRequired):
		return a, numbered(10013)
	case err != nil, !s.on(LenientOrder) && !inOrder(r.URL.RawQuery), q.Get("response_type") != "code":
		return a, &refusal{text: cannotOpen, hint: orderHint}
	case strings.HasPrefix(a.appID, "gh_"):
		return a, numbered(1)
	case !ok:
		return a, &refusal{text: badAppID, hint: unknownAppHint}
	case a.account.Kind != OfficialAccount:
		return a, numbered(10016)
	}
	return a, s.judge(a)
}

// judge applies the rules of the account itself.
func (s *Server) judge(a authorizeRequest) *refusal {
	switch {
	case len(a.state) > 128:
		return &refusal{text: stateTooBig, hint: stateHint}
	case a.account.Banned:
		return numbered(10004)
	case a.scope != client.ScopeBase && a.scope != client.ScopeUserInfo:
		return &refusal{text: badScope, hint: scopeHint}
	case !a.account.owns(a.scope):
		return numbered(10005)
	case a.platform != "" && !slices.Contains(a.account.Platforms, a.platform):
		return numbered(10015)
	case !s.callbackAllowed(a):
		return &refusal{code: 10003, text: pageErrors[10003], hint: domainHint(a, s.domains(a))}
	case a.account.Sandbox && !a.person.Follows:
		return numbered(10006)
	}
	return nil
}

// callbackAllowed is the rule for redirect_uri: http or https, the host equal
// to a configured domain, no port, below the configured path.
func (s *Server) callbackAllowed(a authorizeRequest) bool {
	u, err := url.Parse(a.redirectURI)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Host == "" {
		return false
	}
	domains := s.domains(a)
	if len(domains) == 0 {
		return !s.cfg.strictDomains && loopback(u.Hostname())
	}
	for _, d := range domains {
		host, prefix, _ := strings.Cut(d, "/")
		if strings.EqualFold(u.Host, host) && below(u.Path, prefix) {
			return true
		}
	}
	return false
}

// domains are the configured callback domains: of the platform that acts for
// an account, else of the account.
func (s *Server) domains(a authorizeRequest) []string {
	if a.platform != "" {
		return s.accounts[a.platform].Domains
	}
	return a.account.Domains
}

// below reports whether a decoded path is at or under a prefix, also once its
// dot segments are resolved.
func below(urlPath, prefix string) bool {
	prefix = "/" + strings.Trim(prefix, "/")
	resolved := path.Clean(strings.ReplaceAll(urlPath, `\`, "/"))
	return prefix == "/" || resolved == prefix || strings.HasPrefix(resolved, prefix+"/")
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// callback is where the browser goes with a code: redirect_uri with code and
// state appended, before a fragment. It comes in two parts, for the code goes
// between them.
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

// refusalCallback is the older way to tell a site about a refusal.
func refusalCallback(a authorizeRequest) string {
	base, _, _ := strings.Cut(a.redirectURI, "#")
	return base + separator(base) + "state=" + url.QueryEscape(a.state)
}

func separator(uri string) string {
	if strings.Contains(uri, "?") {
		return "&"
	}
	return "?"
}

// authorize is /connect/oauth2/authorize.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request, c *Call) {
	if r.Method != http.MethodGet {
		s.errorPage(w, r, c, &refusal{text: cannotOpen, hint: methodHint})
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
	a, refused := s.parseAuthorize(r, s.visitor(r))
	if refused != nil {
		s.mu.Unlock()
		s.errorPage(w, r, c, refused)
		return
	}
	ask, snapshot := s.consentNeeded(a, s.entrance(r))
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
	id := s.text(24)
	s.pending[id] = &consent{authorizeRequest: a, opened: s.now()}
	s.sweep()
	s.mu.Unlock()
	s.consentPage(w, r, c, id, a)
}

// connectRedirect first sends the browser to the same URL with a mark, if the
// switch is on.
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
// callback. The caller holds s.mu.
func (s *Server) allow(a authorizeRequest, v *virtual) string {
	before, after := s.callback(a)
	return before + s.newCode(&grant{
		flow: webFlow, appID: a.appID, platform: a.platform, person: a.person, scope: a.scope, snapshot: v,
	}) + after
}

// sendBack sends the browser on with a 302, as WeChat is taken to do, or with
// a page that does it twice.
func (s *Server) sendBack(w http.ResponseWriter, r *http.Request, c *Call, to string) {
	s.mu.Lock()
	atOnce, later := s.on(DuplicateCallbackAtOnce), s.on(DuplicateCallbackLater)
	s.mu.Unlock()
	w.Header().Set("Cache-Control", "no-store")
	if atOnce || later {
		s.outcome(c, 0, "doubled callback")
		s.show(w, r, "doubled", view{Callback: to, AtOnce: atOnce})
		return
	}
	s.outcome(c, 0, "redirect to callback")
	if r.Header.Get("Upgrade-Insecure-Requests") != "" && !strings.Contains(to, "#") {
		// A browser carries #wechat_redirect on through redirects; WeChat's client
		// has dropped it by now. An empty fragment makes a browser drop it too.
		to += "#"
	}
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusFound)
}
