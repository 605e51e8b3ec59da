package main

import (
	_ "embed"
	"encoding/json"
	"html/template"
	"net/http"
	"strings"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
)

//go:embed site.html
var siteHTML string

//go:embed icon.svg
var iconSVG []byte

var pages = template.Must(template.New("site").Parse(siteHTML))

// site returns the application: two pages that require a login, a public one
// and an API. The pages link to the control page of the WeChat simulator at sim,
// unless that is empty.
func site(auth *wechatauth.Auth, sim string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/wechat/", auth)
	mux.Handle("GET /{$}", auth.RequireWeChat(page("home", sim)))
	mux.Handle("GET /profile", auth.RequireScope(client.ScopeUserInfo)(page("profile", sim)))
	mux.Handle("GET /public", auth.LoadWeChat(page("public", sim)))
	mux.Handle("GET /api/me", auth.RequireWeChat(http.HandlerFunc(me)))
	mux.HandleFunc("GET /favicon.ico", icon) // browsers request it by themselves
	return mux
}

// isPage extends the default: pages and API have different paths here, so a
// page visit may also come from curl, which accepts anything.
func isPage(r *http.Request) bool {
	if wechatauth.IsPageVisit(r) {
		return true
	}
	return r.Header.Get("Accept") == "*/*" && r.Header.Get("Sec-Fetch-Mode") == "" &&
		r.Header.Get("Authorization") == "" && r.Header.Get("Upgrade") == "" &&
		!strings.HasPrefix(r.URL.Path, "/api/")
}

// view is the data of the page.
type view struct {
	Page     string
	Chinese  bool
	LoggedIn bool
	Identity wechatauth.Identity
	Sim      string
}

// T returns the text in the user's language.
func (v view) T(chinese, english string) string {
	if v.Chinese {
		return chinese
	}
	return english
}

func page(name, sim string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, ok := wechatauth.IdentityFromContext(r.Context())
		chinese := strings.HasPrefix(strings.ToLower(r.Header.Get("Accept-Language")), "zh")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Add("Vary", "Accept-Language")
		if err := pages.Execute(w, view{name, chinese, ok, id, sim}); err != nil {
			return // the client has disconnected
		}
	})
}

// me returns the identity of the user as JSON.
func me(w http.ResponseWriter, r *http.Request) {
	id, _ := wechatauth.IdentityFromContext(r.Context())
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(map[string]any{ // the client may have disconnected
		"appid":    id.AppID,
		"openid":   id.OpenID,
		"unionid":  id.UnionID,
		"scope":    id.Scope,
		"nickname": id.Nickname,
	})
}

func icon(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "image/svg+xml")
	w.Header().Set("Cache-Control", "public, max-age=86400")
	_, _ = w.Write(iconSVG) // the client may have disconnected
}
