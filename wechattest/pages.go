package wechattest

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"path"
	"strings"
)

//go:embed pages
var pageFiles embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"initial": initial,
}).ParseFS(pageFiles, "pages/*.html"))

// stylesheet serves /sim/page.css and /sim/control.css.
func stylesheet(w http.ResponseWriter, r *http.Request) {
	http.ServeFileFS(w, r, pageFiles, "pages/"+path.Base(r.URL.Path))
}

// initial is the first character of a name, for a face without a picture.
func initial(name string) string {
	for _, r := range name {
		return strings.ToUpper(string(r))
	}
	return "?"
}

// view is what a visitor's page is rendered from.
type view struct {
	Title   string
	Root    string // the relative URL of the simulator's root
	Account Account
	People  []Person
	Person  Person
	Ticket  string // of a consent page, or the uuid of a QR code

	qrView
	noticeView

	// Callback and AtOnce are of the page that delivers a callback twice.
	Callback string
	AtOnce   bool

	english bool
}

// qrView is what a page with a QR code shows: the code, and the parts of the
// callback URL before and after the authorization code.
type qrView struct {
	QR                     template.HTML
	Before, After, Refused string
	Embedded               bool
}

// noticeView is one of WeChat's own messages.
type noticeView struct {
	Warn          bool
	Heading, Text string
	Original      string // WeChat's own Chinese, beneath a translation
	Code          int
	Hint          string
}

// T chooses between the two languages of the pages.
func (v view) T(zh, en string) string {
	if v.english {
		return en
	}
	return zh
}

// Picture is the address of a person's picture, empty for none.
func (v view) Picture(p Person) string {
	if strings.HasPrefix(p.AvatarURL, "/") {
		return v.Root + p.AvatarURL[1:]
	}
	return p.AvatarURL
}

// About says in a few words what is special about a person.
func (v view) About(p Person) string {
	var traits []string
	for _, t := range []struct {
		has    bool
		zh, en string
	}{
		{p.Follows, "已关注公众号", "follows the account"},
		{p.Deleted, "帐号已注销", "account deleted"},
		{p.Limited, "帐号受限", "limited"},
		{p.HighRisk, "高风险用户", "high risk"},
	} {
		if t.has {
			traits = append(traits, v.T(t.zh, t.en))
		}
	}
	return strings.Join(traits, " · ")
}

// english reports whether a browser prefers English to Chinese.
func english(r *http.Request) bool {
	lang := strings.ToLower(r.Header.Get("Accept-Language"))
	zh, en := strings.Index(lang, "zh"), strings.Index(lang, "en")
	return en >= 0 && (zh < 0 || en < zh)
}

// page serves one path of the browser's host.
func (s *Server) page(name string, serve func(http.ResponseWriter, *http.Request, *Call)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		r.ParseForm() // what does not parse is not there
		c := s.note(r, name, r.URL.Query())
		defer s.end(c)
		s.mu.Lock()
		s.inspect(r, name, r.PostForm.Encode())
		c.Person = s.visitor(r).Name
		s.mu.Unlock()
		s.pass(r, name)
		fault := s.nextFault(c)
		if fault.kind == faultErrcode {
			s.errorPage(w, r, c, numbered(fault.code))
			return
		}
		if fault.before(s, w, r) {
			return
		}
		serve(w, r, c)
	})
}

func (s *Server) show(w http.ResponseWriter, r *http.Request, name string, v view) {
	v.english, v.People, v.Root = english(r), s.cfg.people, root(r)
	if v.Title == "" {
		v.Title = v.T("微信（模拟）", "WeChat (simulated)")
	}
	s.render(w, name, v)
}

// root leads from a page to the simulator's root, wherever that is mounted.
func root(r *http.Request) string { return strings.Repeat("../", strings.Count(r.URL.Path, "/")-1) }

func (s *Server) render(w http.ResponseWriter, name string, v any) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name+".html", v); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Write(b.Bytes())
}

// errorPage is WeChat's page for a visitor, with what a developer has to know
// below it. As in the field the status is 200. WeChat's words are Chinese; they
// stay on the page when a visitor is shown a translation.
func (s *Server) errorPage(w http.ResponseWriter, r *http.Request, c *Call, why *refusal) {
	s.outcome(c, why.code, why.text.zh)
	hint := why.hint
	if text, ok := hints[why.code]; hint == (bilingual{}) && ok {
		hint = text
	}
	v := view{english: english(r), noticeView: noticeView{Warn: true, Code: why.code}}
	v.Heading, v.Text, v.Hint = v.T("抱歉，出错了", "Oops! Something went wrong"), why.text.in(v.english), hint.in(v.english)
	v.Title = v.Heading
	if v.english {
		v.Original = why.text.zh
	}
	s.show(w, r, "notice", v)
}

const openInWeChat = "请在微信客户端打开链接"

func (s *Server) notWeChatPage(w http.ResponseWriter, r *http.Request, c *Call) {
	s.outcome(c, 0, "not WeChat")
	v := view{english: english(r), noticeView: noticeView{Warn: true, Hint: notWeChatHint.in(english(r))}}
	v.Title, v.Heading = v.T("抱歉，出错了", "Oops! Something went wrong"), v.T(openInWeChat, "Open this link in WeChat")
	if v.english {
		v.Original = openInWeChat
	}
	s.show(w, r, "notice", v)
}

func (s *Server) cancelledPage(w http.ResponseWriter, r *http.Request, c *Call) {
	s.outcome(c, 0, "refused")
	v := view{english: english(r), noticeView: noticeView{Warn: true}}
	v.Heading, v.Hint = v.T("已取消授权", "You refused"), refusedHint.in(v.english)
	s.show(w, r, "notice", v)
}

func (s *Server) confirmedPage(w http.ResponseWriter, r *http.Request, c *Call) {
	s.outcome(c, 0, "confirmed")
	v := view{english: english(r)}
	v.Heading, v.Text = v.T("已确认登录", "Confirmed"), v.T("请回到电脑上的网页。", "Go back to the page on the computer.")
	s.show(w, r, "notice", v)
}

func (s *Server) consentPage(w http.ResponseWriter, r *http.Request, c *Call, id string, a authorizeRequest) {
	s.outcome(c, 0, "consent page")
	s.show(w, r, "consent", view{Title: a.account.Name, Account: a.account, Person: a.person, Ticket: id})
}
