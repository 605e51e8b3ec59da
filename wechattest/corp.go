package wechattest

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/wechatauth/wechatauth/client/wecom"
)

// The corp ID, and the AgentId and secret of the app, of [DefaultCorps].
const (
	DefaultCorpID     = "ww00000000000000e5"
	DefaultAgentID    = 1000002
	DefaultCorpSecret = "wecom-app-secret-for-tests"
)

// A Corp is a company in WeCom. Only CorpID and Apps are required.
type Corp struct {
	CorpID string `json:"corp_id"` // "ww" followed by 16 lower-case hexadecimal digits
	Name   string `json:"name"`    // shown on pages; the default is the corp ID
	Apps   []App  `json:"apps"`    // at least one

	// Members are the people who log in with a userid. Others log in with an
	// openid of the company.
	Members []Member `json:"members"`
	// Customers are the names of people who are not members and have an
	// external_userid.
	Customers []string `json:"customers"`
}

// An App is a self-built app of a company. Only AgentID and Secret are required.
type App struct {
	AgentID int    `json:"agent_id"` // unique in the company
	Secret  string `json:"secret"`   // unique in the company
	Name    string `json:"name"`     // shown on pages; the default is the AgentId

	// Domains are the trusted domains: hosts, with a port unless it is the
	// default one. The host of a callback must equal one of them exactly. If
	// Domains is empty, only loopback hosts with any port are trusted, or none
	// with WithStrictDomains.
	Domains []string `json:"domains"`
	// TrustedIPs are the addresses from which the app's token may be used.
	// Others get errcode 60020, except from gettoken. If it is empty, any
	// address may.
	TrustedIPs []string `json:"trusted_ips"`
	// Hidden are the names of members outside the app's visible range.
	Hidden []string `json:"hidden"`
	// Fields are the details that an administrator has selected for
	// snsapi_privateinfo: avatar, gender, mobile, email, biz_mail, qr_code and
	// address. The default is all of them.
	Fields []string `json:"fields"`
	// MiniProgram means that the app is linked to a mini program, so that
	// jscode2session works. Other apps get errcode 48002.
	MiniProgram bool `json:"mini_program"`
	// Disabled means that an administrator has disabled the app: 40001 from
	// gettoken, and 50003 from other calls.
	Disabled bool `json:"disabled"`
}

// A Member is a person in the contacts of a company.
type Member struct {
	Person string `json:"person"`  // the name of a Person
	UserID string `json:"user_id"` // unique regardless of case
	// LinkedCorp is the corp ID of a linked company to which the member belongs,
	// or "". Their userid is then "CORPID/userid".
	LinkedCorp string `json:"linked_corp"`
	// NoWeChat means that the member has not tied their WeChat to WeCom. In
	// WeChat, they then log in with an openid like a person who is no member.
	NoWeChat bool `json:"no_wechat"`
}

// DefaultCorps returns the companies of a simulator without [WithCorp]: one, with
// an app and with [DefaultPeople]. 小明 is a member, Lin is one outside the app's
// visible range, and 阿青 is a customer.
func DefaultCorps() []Corp {
	return []Corp{{
		CorpID: DefaultCorpID, Name: "青竹书店",
		Apps:      []App{{AgentID: DefaultAgentID, Secret: DefaultCorpSecret, Name: "书店后台", Hidden: []string{"Lin"}, MiniProgram: true}},
		Members:   []Member{{Person: "小明", UserID: "XiaoMing"}, {Person: "Lin", UserID: "lin.chen"}},
		Customers: []string{"阿青"},
	}}
}

// WithCorp adds companies in WeCom. They replace [DefaultCorps]. The option may
// be used several times.
func WithCorp(corps ...Corp) Option {
	return func(c *config) { c.corps = append(c.corps, corps...) }
}

// WeComEndpoints returns the base URLs for wecom.WithEndpoints. WeCom's hosts and
// WeChat's are one here. Like [Server.Endpoints], it panics if URL is empty.
func (s *Server) WeComEndpoints() wecom.Endpoints {
	e := s.Endpoints()
	return wecom.Endpoints{Open: e.Open, Login: e.Open, API: e.API}
}

// ExternalUserID returns the external_userid of a customer of a company. Their
// openid is that of [OpenID] for the corp ID.
func ExternalUserID(corpID, person string) string {
	return "wm" + identifier("external", corpID, person) + "ab"
}

var (
	corpIDForm = regexp.MustCompile(`^ww[0-9a-f]{16}$`)
	userIDForm = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z_.@-]{0,63}$`)
	appFields  = []string{"avatar", "gender", "mobile", "email", "biz_mail", "qr_code", "address"}
)

// completeCorps fills in defaults, or returns an error if a company is invalid.
func (c *config) completeCorps() error {
	seen := map[string]bool{}
	for i, corp := range c.corps {
		done, err := corp.complete()
		if err != nil {
			return fmt.Errorf("corp %s: %w", corp.CorpID, err)
		}
		if seen[corp.CorpID] {
			return fmt.Errorf("duplicate corp %s", corp.CorpID)
		}
		seen[corp.CorpID], c.corps[i] = true, done
	}
	return nil
}

func (c Corp) complete() (Corp, error) {
	if !corpIDForm.MatchString(c.CorpID) {
		return c, errors.New(`invalid corp ID: must be "ww" followed by 16 lower-case hexadecimal digits`)
	}
	if len(c.Apps) == 0 {
		return c, errors.New("no apps")
	}
	if c.Name == "" {
		c.Name = c.CorpID
	}
	agents, secrets := map[int]bool{}, map[string]bool{}
	c.Apps = slices.Clone(c.Apps)
	for i := range c.Apps {
		a := &c.Apps[i]
		switch {
		case a.AgentID <= 0 || agents[a.AgentID]:
			return c, fmt.Errorf("app %d: AgentId must be positive and unique", a.AgentID)
		case a.Secret == "" || secrets[a.Secret]:
			return c, fmt.Errorf("app %d: secret must not be empty or that of another app", a.AgentID)
		}
		agents[a.AgentID], secrets[a.Secret] = true, true
		if a.Name == "" {
			a.Name = fmt.Sprint(a.AgentID)
		}
		if a.Fields == nil {
			a.Fields = appFields
		}
		for _, d := range a.Domains {
			if strings.ContainsAny(d, "/ ") {
				return c, fmt.Errorf("app %d: domain %q: must be a host, without a scheme and path", a.AgentID, d)
			}
		}
	}
	users, people := map[string]bool{}, map[string]bool{}
	for _, m := range c.Members {
		id := strings.ToLower(m.userID())
		if !userIDForm.MatchString(m.UserID) || users[id] || people[m.Person] {
			return c, fmt.Errorf("member %q: userid %q must be well-formed and unique, and so must be the person", m.Person, m.UserID)
		}
		users[id], people[m.Person] = true, true
	}
	return c, nil
}

// userID returns the userid in responses.
func (m Member) userID() string {
	if m.LinkedCorp != "" {
		return m.LinkedCorp + "/" + m.UserID
	}
	return m.UserID
}

func (c *Corp) app(agentID int) *App {
	i := slices.IndexFunc(c.Apps, func(a App) bool { return a.AgentID == agentID })
	if i < 0 {
		return nil
	}
	return &c.Apps[i]
}

// member returns the member that a person is, or nil.
func (c *Corp) member(person string) *Member {
	i := slices.IndexFunc(c.Members, func(m Member) bool { return m.Person == person })
	if i < 0 {
		return nil
	}
	return &c.Members[i]
}

func (a *App) sees(person string) bool { return !slices.Contains(a.Hidden, person) }

// corp returns a company by its corp ID, or nil.
func (s *Server) corp(corpID string) *Corp {
	i := slices.IndexFunc(s.cfg.corps, func(c Corp) bool { return c.CorpID == corpID })
	if i < 0 {
		return nil
	}
	return &s.cfg.corps[i]
}
