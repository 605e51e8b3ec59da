package wechattest

import (
	"cmp"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// controlView is the data of the control page.
type controlView struct {
	view
	State        controlState
	Base         string
	Lang         string // the query with the chosen language, or ""
	Error        string // why a form was rejected
	Groups       []scenarioGroup
	Calls        []journalEntry // newest first
	Environments []choice
	Endpoints    []string
	FaultNames   []choice
	Quirks       []quirkText
	Accounts     []Account
	Corps        []Corp
	Minis        []Account
}

type choice struct{ Name, ZH, EN, MoreZH, MoreEN string }

var environments = []choice{
	{string(Normal), "聊天里的链接", "A link in a chat", "首次打开时显示授权页", "shows the consent page"},
	{string(FromMenu), "公众号菜单", "The account's menu", "关注者静默授权", "silent for followers"},
	{string(Snapshot), "快照页", "A snapshot page", "虚拟账号，不对应真实用户", "a virtual user"},
}

// Outcomes returns the texts of the journal's outcomes in the language of the
// page.
func (v controlView) Outcomes() map[string]string {
	if v.english {
		words := map[string]string{}
		for _, text := range []bilingual{cannotOpen, badScope, badAppID, stateTooBig, qrIsExpired} {
			words[text.zh] = text.en
		}
		return words
	}
	return map[string]string{
		"redirect to callback": "回调", "duplicate callback": "重复回调", "consent page": "授权页", "QR page": "二维码页",
		"QR picture": "二维码", "scanned": "已扫码", "confirmed": "已确认", "denied": "已拒绝", "not WeChat": "非微信浏览器",
		"full service": "使用完整服务",
	}
}

// List returns the scenarios of a group.
func (g scenarioGroup) List() []Scenario { return g.list() }

// A queuedFault is a scripted fault and how often it will occur.
type queuedFault struct {
	scriptedFault
	Times int
}

// Queue returns the scripted faults, equal ones together.
func (v controlView) Queue() (queue []queuedFault) {
	for _, f := range v.State.Faults {
		i := slices.IndexFunc(queue, func(q queuedFault) bool { return q.scriptedFault == f })
		if i < 0 {
			i, queue = len(queue), append(queue, queuedFault{scriptedFault: f})
		}
		queue[i].Times++
	}
	return queue
}

// Opens reports whether a group of scenarios is open: that of the current
// scenario, or the first.
func (v controlView) Opens(i int, g scenarioGroup) bool {
	return slices.ContainsFunc(g.List(), func(s Scenario) bool { return s.Name == v.State.Scenario }) || i == 0
}

// Describe describes a scenario.
func (v controlView) Describe(s Scenario) string { return v.T(s.zh, s.About) }

// language returns the query with the language that was chosen on the page, or
// "".
func language(r *http.Request) string {
	if lang := r.URL.Query().Get("lang"); lang == "en" || lang == "zh" {
		return "?lang=" + lang
	}
	return ""
}

// controlPage shows the control page, with a code just issued or the error of a
// form.
func (s *Server) controlPage(w http.ResponseWriter, r *http.Request, issued string, formErr error) {
	world := s.world.Load()
	v := controlView{
		view: view{english: english(r), People: world.cast, Root: root(r)}, State: s.controlState(r), Base: baseURL(r), Lang: language(r),
		Groups: scenarioGroups, Environments: environments, Endpoints: endpointNames(), FaultNames: faultNames,
		Quirks: quirkTexts, Accounts: world.list, Corps: world.corps,
	}
	if v.Lang != "" {
		v.english = v.Lang == "?lang=en"
	}
	v.Title = v.T("微信模拟器", "WeChat simulator")
	v.Person = Person{Name: v.State.Person}
	v.State.Code = issued
	for _, a := range v.Accounts {
		if a.Kind == MiniProgram {
			v.Minis = append(v.Minis, a)
		}
	}
	s.mu.Lock()
	v.Calls = s.journalSince(0, math.MaxInt).Calls
	s.mu.Unlock()
	slices.Reverse(v.Calls)
	status := http.StatusOK
	if formErr != nil {
		v.Error, status = formErr.Error(), http.StatusBadRequest
	}
	s.render(w, status, "control", v)
}

// Result is the result of a call in a few words: its errcode or its outcome.
func (v controlView) Result(e journalEntry) string {
	switch outcome := v.Outcomes()[e.Outcome]; {
	case e.Errcode != 0:
		return strconv.Itoa(e.Errcode)
	case e.Outcome != "":
		return cmp.Or(outcome, e.Outcome)
	case e.Open:
		return "…"
	case e.Fault != "":
		return ""
	}
	return "ok"
}

// More is what else the journal shows of a call.
func (v controlView) More(e journalEntry) string {
	parts := []string{e.Person, e.Fault}
	if e.State != "" {
		parts = slices.Insert(parts, 1, "state "+e.State)
	}
	if e.Code != "" {
		parts = slices.Insert(parts, 1, "code "+e.Code)
	}
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), " · ")
}
