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

// initial returns the first character of a name, shown if there is no picture.
func initial(name string) string {
	for _, r := range name {
		return strings.ToUpper(string(r))
	}
	return "?"
}

// view is the data of a user's page.
type view struct {
	Title   string
	Root    string // the relative URL of the simulator's root
	Account Account
	People  []Person
	Person  Person
	Ticket  string // of a consent page, or the uuid of a QR code
	WeCom   bool   // the page is WeCom's

	qrView
	noticeView

	// Callback and AtOnce are for the page that delivers a callback twice.
	Callback string
	AtOnce   bool

	english bool
}

// qrView is the data of the QR code page: the QR code, and the parts of the
// callback URL before and after the authorization code.
type qrView struct {
	QR                     template.HTML
	Before, After, Refused string
	Embedded               bool
}

// noticeView is the data of a message from WeChat.
type noticeView struct {
	Warn          bool
	Heading, Text string
	Original      string // WeChat's own Chinese text, below a translation
	Code          int
	Hint          string
}

// T returns zh or en, depending on the language of the page.
func (v view) T(zh, en string) string {
	if v.english {
		return en
	}
	return zh
}

// Picture returns the URL of a person's picture, or "".
func (v view) Picture(p Person) string {
	if strings.HasPrefix(p.AvatarURL, "/") {
		return v.Root + p.AvatarURL[1:]
	}
	return p.AvatarURL
}

// About describes in a few words what is special about a person.
func (v view) About(p Person) string {
	var traits []string
	for _, t := range []struct {
		has    bool
		zh, en string
	}{
		{p.Follows, "已关注公众号", "follows the account"},
		{p.Deleted, "账号已注销", "account deleted"},
		{p.Limited, "账号受限", "account restricted"},
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
		r.ParseForm() // a malformed form counts as absent
		c := s.note(r, name, r.URL.Query())
		defer s.end(c)
		s.mu.Lock()
		s.inspect(r, name, r.PostForm.Encode())
		c.Person = s.currentPerson(r).Name
		s.mu.Unlock()
		s.pass(r, name)
		fault := s.nextFault(c)
		if fault.kind == faultErrcode {
			s.errorPage(w, r, c, numberedError(fault.code))
			return
		}
		if fault.before(s, w, r) {
			return
		}
		serve(w, r, c)
	})
}

func (s *Server) show(w http.ResponseWriter, r *http.Request, name string, v view) {
	v.english, v.People, v.Root = english(r), s.world.Load().cast, root(r)
	if v.Title == "" {
		v.Title = v.T("微信模拟器", "WeChat simulator")
	}
	s.render(w, http.StatusOK, name, v)
}

// root returns the relative URL from a page to the simulator's root, wherever
// that is mounted.
func root(r *http.Request) string { return strings.Repeat("../", strings.Count(r.URL.Path, "/")-1) }

func (s *Server) render(w http.ResponseWriter, status int, name string, v any) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name+".html", v); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(b.Bytes())
}

// errorPage shows WeChat's error page for users, followed by a hint for
// developers. As in the real WeChat, the status is 200. WeChat's text is in
// Chinese; it is shown below a translation, too.
func (s *Server) errorPage(w http.ResponseWriter, r *http.Request, c *Call, why *pageError) {
	s.outcome(c, why.code, why.text.zh)
	hint := why.hint
	if text, ok := hints[why.code]; hint == (bilingual{}) && ok {
		hint = text
	}
	v := view{english: english(r), noticeView: noticeView{Warn: true, Code: why.code}}
	v.Heading, v.Text, v.Hint = v.T("抱歉，出错了", "Something went wrong"), why.text.in(v.english), hint.in(v.english)
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
	v.Title, v.Heading = v.T("抱歉，出错了", "Something went wrong"), v.T(openInWeChat, "Open this link in WeChat")
	if v.english {
		v.Original = openInWeChat
	}
	s.show(w, r, "notice", v)
}

func (s *Server) deniedPage(w http.ResponseWriter, r *http.Request, c *Call) {
	s.outcome(c, 0, "denied")
	v := view{english: english(r), noticeView: noticeView{Warn: true}}
	v.Heading, v.Hint = v.T("已取消授权", "Authorization canceled"), deniedHint.in(v.english)
	s.show(w, r, "notice", v)
}

func (s *Server) confirmedPage(w http.ResponseWriter, r *http.Request, c *Call) {
	s.outcome(c, 0, "confirmed")
	v := view{english: english(r)}
	v.Heading, v.Text = v.T("已确认登录", "Login confirmed"), v.T("请返回电脑上的网页。", "Return to the page on your computer.")
	s.show(w, r, "notice", v)
}

func (s *Server) consentPage(w http.ResponseWriter, r *http.Request, c *Call, id string, a authorizeRequest) {
	s.outcome(c, 0, "consent page")
	s.show(w, r, "consent", view{Title: a.account.Name, Account: a.account, Person: a.person, Ticket: id, WeCom: a.corp != nil})
}
