package wechattest

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"strings"
)

//go:embed pages
var pageFiles embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"initial": func(name string) string {
		for _, r := range name {
			return string(r)
		}
		return "?"
	},
}).ParseFS(pageFiles, "pages/*.html"))

// view is what every page is rendered from.
type view struct {
	EN       bool // English instead of Chinese
	Account  Account
	People   []Person
	Person   Person
	Scope    string
	Ticket   string // of a consent page, or the uuid of a QR code
	Before   string // the callback up to its code
	After    string // and from there on
	Callback string // of a doubled delivery
	AtOnce   bool
	Code     int
	Text     string
}

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
		s.mu.Lock()
		s.inspect(r, name, r.PostForm)
		c.Person = s.visitor(r).Name
		s.mu.Unlock()
		if !s.pass(r, name) {
			return
		}
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
	v.EN, v.People = english(r), s.cfg.people
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name+".html", v); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Write(b.Bytes())
}

func (s *Server) errorPage(w http.ResponseWriter, r *http.Request, c *Call, why *refusal) {
	s.outcome(c, why.code, why.text)
	s.show(w, r, "error", view{Code: why.code, Text: why.text})
}

func (s *Server) notWeChatPage(w http.ResponseWriter, r *http.Request, c *Call) {
	s.outcome(c, 0, "not WeChat")
	s.show(w, r, "notwechat", view{})
}

func (s *Server) consentPage(w http.ResponseWriter, r *http.Request, c *Call, id string, a authorizeRequest) {
	s.outcome(c, 0, "consent page")
	s.show(w, r, "consent", view{Account: a.account, Person: a.person, Scope: string(a.scope), Ticket: id})
}

func (s *Server) qrPage(w http.ResponseWriter, r *http.Request, uuid string, a authorizeRequest) {
	before, after := s.callback(a)
	s.show(w, r, "qr", view{Account: a.account, Ticket: uuid, Before: before, After: after})
}

func (s *Server) confirmPage(w http.ResponseWriter, r *http.Request, uuid string, a authorizeRequest) {
	s.show(w, r, "confirm", view{Account: a.account, Person: a.person, Scope: string(a.scope), Ticket: uuid})
}
