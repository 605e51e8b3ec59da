package wechattest

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/client/wecom"
)

// A corpRequest is what a WeCom login adds to an authorizeRequest, whose account
// has the names for the pages.
type corpRequest struct {
	corp     *Corp
	app      *App // nil if snsapi_base was requested without an AgentId or with an unknown one
	host     string
	inWeChat bool // the page is open in personal WeChat
	web      bool // web login, which gives no user_ticket
	oldPage  bool // wwopen/sso/qrConnect
}

// WeCom's texts. Those of pages without a stored copy are translations of what
// users report.
var (
	openInWeCom    = bilingual{"请在企业微信客户端打开链接", "Open this link in WeCom"}
	untrusted      = bilingual{"redirect_uri 需使用应用可信域名", "redirect_uri must use a trusted domain of the app"}
	badAgentID     = bilingual{"无效的agentid参数", "Invalid agentid"}
	noCorp         = bilingual{"appid 参数错误", "Invalid appid"}
	noPermission   = bilingual{"没有权限登录此应用", "You have no permission to log in to this app"}
	weComHint      = bilingual{"授权页只能在企业微信（或微信）中打开，而请求的 User-Agent 两者都不是。桌面浏览器请使用 /wwlogin/sso/login。", "The authorize page opens only in WeCom (or WeChat), and the User-Agent is of neither. In a desktop browser, use /wwlogin/sso/login."}
	rangeHint      = bilingual{"该用户不是成员，或不在应用的可见范围内。", "This person is not a member, or is outside the app's visible range."}
	weComLoginHint = bilingual{"需要 login_type=CorpApp、appid（企业 ID）、agentid 和 redirect_uri；redirect_type=callback 未模拟。", "The page requires login_type=CorpApp, appid (the corp ID), agentid and redirect_uri. redirect_type=callback is not simulated."}
)

// weComConsentLife is how long WeCom remembers a consent to snsapi_privateinfo.
const weComConsentLife = 30 * 24 * time.Hour

// isCorp reports whether an authorize URL is WeCom's: its appid is a corp ID.
func isCorp(r *http.Request) bool { return strings.HasPrefix(r.URL.Query().Get("appid"), "ww") }

// inWeCom and inAnyWeChat report what browser has sent a request: WeCom also
// names MicroMessenger.
func inWeCom(r *http.Request) bool {
	return strings.Contains(strings.ToLower(r.UserAgent()), "wxwork/")
}
func inAnyWeChat(r *http.Request) bool {
	return inWeCom(r) || strings.Contains(strings.ToLower(r.UserAgent()), "micromessenger")
}

// corpAuthorize serves /connect/oauth2/authorize for a corp ID. The order of the
// parameters does not matter to WeCom:
// https://developer.work.weixin.qq.com/document/path/91022.
func (s *Server) corpAuthorize(w http.ResponseWriter, r *http.Request, c *Call) {
	if !s.cfg.anyBrowser && !inAnyWeChat(r) {
		s.errorPage(w, r, c, &pageError{text: openInWeCom, hint: weComHint})
		return
	}
	s.mu.Lock()
	a, pageErr := s.parseCorpAuthorize(r)
	if pageErr != nil {
		s.mu.Unlock()
		s.errorPage(w, r, c, pageErr)
		return
	}
	if a.scope != wecom.ScopePrivateInfo || s.now().Before(s.corpConsents[corpConsentKey(a)].Add(weComConsentLife)) {
		to := s.allow(a, nil)
		s.mu.Unlock()
		s.sendBack(w, r, c, to)
		return
	}
	s.askAndUnlock(w, r, c, a)
}

// corpConsentKey names a consent to snsapi_privateinfo, which requires an app.
func corpConsentKey(a authorizeRequest) string {
	return a.appID + "\x00" + strconv.Itoa(a.corp.app.AgentID) + "\x00" + a.person.Name
}

// parseCorpAuthorize parses and checks an authorize URL of WeCom.
func (s *Server) parseCorpAuthorize(r *http.Request) (authorizeRequest, *pageError) {
	q := r.URL.Query()
	a := s.corpRequestOf(r)
	scope := client.Scope(q.Get("scope"))
	switch {
	case a.corp.corp == nil:
		return a, &pageError{text: noCorp, hint: unknownAppHint}
	case a.redirectURI == "", q.Get("response_type") != "code", r.Method != http.MethodGet:
		return a, &pageError{text: cannotOpen, hint: orderHint}
	case len(a.state) > 128:
		return a, &pageError{text: stateTooBig, hint: stateHint}
	case scope != client.ScopeBase && scope != wecom.ScopePrivateInfo && scope != client.ScopeUserInfo:
		return a, &pageError{text: badScope, hint: scopeHint}
	}
	a.scope = client.ScopeBase // snsapi_userinfo has left the documentation, and is assumed to work like it
	switch private := scope == wecom.ScopePrivateInfo; {
	case private && q.Get("agentid") == "" && s.on(WeComAgentIDRequired), private && q.Get("agentid") != "" && a.corp.app == nil:
		return a, &pageError{text: badAgentID, hint: unknownAppHint}
	case private && q.Get("agentid") != "":
		a.scope = scope
	}
	return a, s.judgeCorp(a)
}

// corpRequestOf reads the parameters that WeCom's pages share.
func (s *Server) corpRequestOf(r *http.Request) authorizeRequest {
	q := r.URL.Query()
	agent, _ := strconv.Atoi(q.Get("agentid"))
	a := authorizeRequest{
		appID: q.Get("appid"), redirectURI: q.Get("redirect_uri"), state: q.Get("state"), person: s.currentPerson(r),
		corp: &corpRequest{corp: s.corp(q.Get("appid")), inWeChat: inAnyWeChat(r) && !inWeCom(r)},
	}
	if u, err := url.Parse(a.redirectURI); err == nil {
		a.corp.host = u.Host
	}
	a.account = Account{AppID: a.appID, Name: a.appID}
	if a.corp.corp != nil {
		a.account.Name = a.corp.corp.Name
		if a.corp.app = a.corp.corp.app(agent); a.corp.app != nil {
			a.account.Name = a.corp.app.Name
		}
	}
	return a
}

// judgeCorp applies the rules of the company and the app to a login.
func (s *Server) judgeCorp(a authorizeRequest) *pageError {
	apps := a.corp.corp.Apps
	if a.corp.app != nil {
		apps = []App{*a.corp.app}
	}
	u, err := url.Parse(a.redirectURI)
	trusted := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.User == nil &&
		slices.ContainsFunc(apps, func(app App) bool { return s.trusts(&app, u.Host) })
	switch {
	case !trusted:
		return &pageError{text: untrusted, hint: domainHint(a, apps[0].Domains)}
	case (a.scope == wecom.ScopePrivateInfo || a.corp.web && a.person.Name != "") && !s.inRange(a):
		return &pageError{text: noPermission, hint: rangeHint}
	}
	return nil
}

// inRange reports whether the person is a member whom the app may see.
func (s *Server) inRange(a authorizeRequest) bool {
	return a.corp.app != nil && a.corp.corp.member(a.person.Name) != nil && a.corp.app.sees(a.person.Name)
}

// trusts reports whether a host with its port is a trusted domain of an app.
func (s *Server) trusts(app *App, host string) bool {
	if len(app.Domains) == 0 {
		u := url.URL{Host: host}
		return !s.cfg.strictDomains && local(u.Hostname())
	}
	return slices.ContainsFunc(app.Domains, func(d string) bool { return strings.EqualFold(d, host) })
}

// grantCorp issues the code of a WeCom login. The caller holds s.mu.
func (s *Server) grantCorp(a authorizeRequest) string {
	if a.scope == wecom.ScopePrivateInfo {
		s.corpConsents[corpConsentKey(a)] = s.now()
	}
	return s.newCode(&grant{flow: corpFlow, appID: a.appID, person: a.person, scope: a.scope, corp: a.corp})
}

// corpLogin serves /wwlogin/sso/login and the older /wwopen/sso/qrConnect: the
// page with the QR code, for any browser, also in the frame of @wecom/jssdk:
// https://developer.work.weixin.qq.com/document/path/98152.
func (s *Server) corpLogin(w http.ResponseWriter, r *http.Request, c *Call) {
	q := r.URL.Query()
	s.mu.Lock()
	a := s.corpRequestOf(r)
	a.scope, a.corp.web, a.corp.oldPage = client.ScopeBase, true, strings.HasSuffix(r.URL.Path, "/qrConnect")
	a.person = Person{} // the one who scans the code is not known yet
	var pageErr *pageError
	switch {
	case a.corp.app == nil || a.redirectURI == "" || r.Method != http.MethodGet,
		!a.corp.oldPage && q.Get("login_type") != "CorpApp", q.Get("redirect_type") == "callback":
		pageErr = &pageError{text: cannotOpen, hint: weComLoginHint}
	default:
		pageErr = s.judgeCorp(a)
	}
	if pageErr != nil {
		s.mu.Unlock()
		s.errorPage(w, r, c, pageErr)
		return
	}
	uuid := s.newTicket(a)
	s.mu.Unlock()
	s.qrPage(w, r, c, uuid, a)
}
