package wechatprom_test

import (
	"context"
	"errors"
	"go/constant"
	"go/token"
	"go/types"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/wechattest"
)

// An alert is a rule of alerts.yml.
type alert struct {
	Alert, Expr, For string
	Annotations      struct{ Summary string }
}

func alerts(t *testing.T) []alert {
	t.Helper()
	file, err := os.Open("alerts.yml")
	require.NoError(t, err)
	defer file.Close()
	var rules struct {
		Groups []struct {
			Name  string
			Rules []alert
		}
	}
	dec := yaml.NewDecoder(file)
	dec.KnownFields(true)
	require.NoError(t, dec.Decode(&rules))
	require.Len(t, rules.Groups, 1)
	require.NotEmpty(t, rules.Groups[0].Rules)
	return rules.Groups[0].Rules
}

// aggregate is the only form in which the alerts read a metric.
var aggregate = regexp.MustCompile(`sum( by \(channel\))? ?\(increase\((wechatauth_[a-z_]+)\{([^}]*)\}\[\d+m\]\)\)`)

// firing returns the alerts whose expressions have a result if the counters rose
// from zero to the values of families within the range of each expression.
func firing(t *testing.T, families map[string]*dto.MetricFamily) (names []string) {
	t.Helper()
	for _, a := range alerts(t) {
		left, unless, _ := strings.Cut(a.Expr, " unless ")
		channels := []string{""}
		if strings.Contains(a.Expr, "by (channel)") {
			channels = valuesOf(t, "channel")
		}
		if slices.ContainsFunc(channels, func(channel string) bool {
			return holds(t, families, left, channel) && (unless == "" || !holds(t, families, unless, channel))
		}) {
			names = append(names, a.Alert)
		}
	}
	return names
}

// holds reports whether comparisons joined by "and" have a result. As in
// Prometheus, the sum of no series is no number, not zero.
func holds(t *testing.T, families map[string]*dto.MetricFamily, expr, channel string) bool {
	t.Helper()
	for _, comparison := range strings.Split(expr, " and ") {
		absent := false
		numbers := aggregate.ReplaceAllStringFunc(comparison, func(text string) string {
			m := aggregate.FindStringSubmatch(text)
			matchers := label.FindAllStringSubmatch(m[3], -1)
			if m[1] != "" {
				matchers = append(matchers, []string{"", "channel", "=", channel})
			}
			sum, series := 0.0, 0
			for _, one := range families[m[2]].GetMetric() {
				if matches(one, matchers) {
					sum, series = sum+one.GetCounter().GetValue(), series+1
				}
			}
			absent = absent || series == 0
			return strconv.FormatFloat(sum, 'f', -1, 64)
		})
		got, err := types.Eval(token.NewFileSet(), nil, token.NoPos, numbers)
		require.NoError(t, err, "%s: %s", comparison, numbers)
		if absent || !constant.BoolVal(got.Value) {
			return false
		}
	}
	return true
}

func matches(series *dto.Metric, matchers [][]string) bool {
	has := map[string]string{}
	for _, pair := range series.GetLabel() {
		has[pair.GetName()] = pair.GetValue()
	}
	for _, m := range matchers {
		equal := slices.Contains(strings.Split(m[3], "|"), has[m[1]])
		if equal == strings.HasPrefix(m[2], "!") {
			return false
		}
	}
	return true
}

// logIn visits the site in n new browsers, each as far as it gets.
func (s *site) logIn(n int) {
	s.t.Helper()
	for range n {
		b := s.browser()
		b.CheckRedirect = func(*http.Request, []*http.Request) error { return nil } // a loop has many
		s.get(b, s.server.URL+"/")
	}
}

// dropCookies puts a proxy in front of the site, which drops Set-Cookie of
// responses at paths with the prefix.
func (s *site) dropCookies(prefix string) {
	s.t.Helper()
	inner := httptest.NewServer(s.server.Config.Handler)
	s.t.Cleanup(inner.Close)
	to, err := url.Parse(inner.URL)
	require.NoError(s.t, err)
	s.server.Config.Handler = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host },
		ModifyResponse: func(r *http.Response) error {
			if strings.HasPrefix(r.Request.URL.Path, prefix) {
				r.Header.Del("Set-Cookie")
			}
			return nil
		},
	}
}

// TestAlerts produces the outages that the alerts are for, and times without one.
func TestAlerts(t *testing.T) {
	const many, few = 24, 4
	errcode := func(s *site, code, n int) {
		for range n {
			s.sim.Fail("sns/oauth2/access_token", wechattest.Errcode(code))
		}
	}
	failing := func(context.Context, wechatauth.Identity) error { return errors.New("the database is down") }
	seen := map[string]bool{}
	for _, c := range []struct {
		name   string
		opts   []wechatauth.Option
		outage func(s *site)
		fire   []string
	}{
		{name: "no request", outage: func(*site) {}},
		{name: "all logins succeed", outage: func(s *site) { s.logIn(many) }},
		{name: "a few fail while it is quiet", outage: func(s *site) {
			s.dropCookies("/")
			s.logIn(few)
		}},
		{name: "a few of many fail", outage: func(s *site) {
			s.logIn(many)
			errcode(s, 40029, 2*few)
			s.logIn(few)
		}},
		{name: "many users decline", outage: func(s *site) {
			s.logIn(many)
			for range many {
				s.deny()
			}
		}},
		{name: "scanners request the callback", outage: func(s *site) {
			for range many {
				s.get(s.browser(), s.server.URL+"/wechat/callback?code=a")
			}
		}},
		{name: "WeChat rejects every code", outage: func(s *site) {
			s.logIn(1)
			errcode(s, 40029, 2*many) // each login is restarted once
			s.logIn(many)
		}, fire: []string{"WechatauthLoginsFail", "WechatauthLoginsDoNotFinish"}},
		{name: "WeChat rejects the AppSecret", outage: func(s *site) {
			errcode(s, 40125, many)
			s.logIn(many)
		}, fire: []string{"WechatauthBadConfig", "WechatauthLoginsFail", "WechatauthLoginsDoNotFinish"}},
		{name: "a proxy drops Set-Cookie", outage: func(s *site) {
			s.dropCookies("/")
			s.logIn(many)
		}, fire: []string{"WechatauthLoginsFail", "WechatauthFlowCookieMissing", "WechatauthLoginsDoNotFinish"}},
		{name: "a proxy drops Set-Cookie of callbacks", outage: func(s *site) {
			s.dropCookies("/wechat/callback")
			s.logIn(1)
		}, fire: []string{"WechatauthSessionsLost"}},
		{name: "instances with different keys", outage: func(s *site) {
			mux := http.NewServeMux()
			mux.Handle("/", s.server.Config.Handler)
			mux.Handle("/wechat/", s.instance(wechatauth.WithFlowKeys([]byte("the secret of another instance, 32"))))
			s.server.Config.Handler = mux
			s.logIn(many)
		}, fire: []string{"WechatauthLoginsFail", "WechatauthStateMismatch", "WechatauthLoginsDoNotFinish"}},
		{name: "Redis is down", outage: func(s *site) {
			s.redis.Stop()
			s.logIn(many)
		}, fire: []string{"WechatauthStoreUnavailable", "WechatauthLoginsFail", "WechatauthLoginsDoNotFinish"}},
		{name: "no callback arrives", outage: func(s *site) {
			for range many { // WeChat shows an error page
				b := s.browser()
				b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
				require.Equal(s.t, http.StatusSeeOther, s.get(b, s.server.URL+"/").StatusCode)
			}
		}, fire: []string{"WechatauthLoginsDoNotFinish"}},
		{name: "the application's function fails", opts: []wechatauth.Option{wechatauth.WithAccessCheck(failing, 0)}, outage: func(s *site) {
			s.logIn(1)
		}, fire: []string{"WechatauthApplicationError"}},
		{name: "WeChat rejects the mini program's codes", outage: func(s *site) {
			s.logIn(many)
			for range many {
				resp, err := http.Post(s.server.URL+"/wechat/mini/login", "application/json", strings.NewReader(`{"code":"unknown"}`))
				require.NoError(s.t, err)
				require.NoError(s.t, resp.Body.Close())
			}
		}, fire: []string{"WechatauthMiniProgramLoginsFail"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, c.opts...)
			c.outage(s)
			assert.ElementsMatch(t, c.fire, firing(t, s.scrape()))
		})
		for _, name := range c.fire {
			seen[name] = true
		}
	}
	for _, a := range alerts(t) {
		assert.True(t, seen[a.Alert], "no outage fires %s", a.Alert)
	}
}

func TestAlerts_Names(t *testing.T) {
	s := newSite(t)
	s.get(s.browser(), s.server.URL+"/")
	families := s.scrape()
	for _, a := range alerts(t) {
		familiesIn(t, families, a.Expr)
		assert.NotEmpty(t, a.Annotations.Summary, a.Alert)
	}
}

// TestDocs_Alerts checks that the docs explain each alert, in both languages.
func TestDocs_Alerts(t *testing.T) {
	var names []string
	for _, a := range alerts(t) {
		names = append(names, a.Alert)
	}
	for _, page := range []string{"../../docs/observability.md", "../../docs/observability.zh-CN.md"} {
		docs, err := os.ReadFile(page)
		require.NoError(t, err)
		var rows []string
		for _, m := range regexp.MustCompile("(?m)^\\| `(Wechatauth[A-Za-z]+)` \\|").FindAllStringSubmatch(string(docs), -1) {
			rows = append(rows, m[1])
		}
		assert.Equal(t, names, rows, page)
	}
}
