package wechatprom_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/observe/wechatprom"
	"github.com/wechatauth/wechatauth/wechattest"
)

// A site is an application behind the middleware, with Redis, a WeChat
// simulator and a page for Prometheus to scrape.
type site struct {
	t       *testing.T
	sim     *wechattest.Server
	redis   *redistest.Server
	server  *httptest.Server
	metrics *wechatprom.Observer
}

func newSite(t *testing.T, opts ...wechatauth.Option) *site {
	t.Helper()
	s := &site{t: t, sim: wechattest.NewServer(), redis: redistest.Start(t), server: httptest.NewUnstartedServer(nil)}
	registry := prometheus.NewRegistry()
	var err error
	s.metrics, err = wechatprom.New(registry)
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.Handle("/", s.instance(opts...))
	s.server.Config.Handler = mux
	s.server.Start()
	t.Cleanup(func() { s.server.Close(); s.sim.Close() })
	return s
}

// instance returns the application of an instance of the site.
func (s *site) instance(opts ...wechatauth.Option) http.Handler {
	s.t.Helper()
	auth, err := wechatauth.New(append([]wechatauth.Option{
		wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret),
		wechatauth.WithMiniProgram(wechattest.DefaultMiniProgramAppID, wechattest.DefaultMiniProgramSecret),
		wechatauth.WithBaseURL("http://" + s.server.Listener.Addr().String()),
		wechatauth.WithEndpoints(s.sim.Endpoints()),
		wechatauth.WithRedis(s.redis.Pool()),
		wechatauth.WithObserver(s.metrics),
	}, opts...)...)
	require.NoError(s.t, err)
	return auth.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := wechatauth.IdentityFromContext(r.Context())
		fmt.Fprint(w, id.OpenID)
	}))
}

// browser returns a client that follows redirects as far as stop allows.
func (s *site) browser() *http.Client {
	jar, err := cookiejar.New(nil)
	require.NoError(s.t, err)
	return &http.Client{Jar: jar}
}

func (s *site) get(b *http.Client, target string) *http.Response {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodGet, target, nil)
	require.NoError(s.t, err)
	req.Header.Set("User-Agent", wechattest.IPhone)
	req.Header.Set("Accept", "text/html")
	resp, err := b.Do(req)
	require.NoError(s.t, err)
	require.NoError(s.t, resp.Body.Close())
	return resp
}

// deny returns from WeChat without a code.
func (s *site) deny() {
	s.t.Helper()
	b := s.browser()
	b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	to, err := url.Parse(s.get(b, s.server.URL+"/").Header.Get("Location"))
	require.NoError(s.t, err)
	state := to.Query().Get("state")
	resp := s.get(b, s.server.URL+"/wechat/callback?state="+state)
	require.Equal(s.t, http.StatusForbidden, resp.StatusCode)
}

// scrape reads the metrics as Prometheus does.
func (s *site) scrape() map[string]*dto.MetricFamily {
	s.t.Helper()
	resp, err := http.Get(s.server.URL + "/metrics")
	require.NoError(s.t, err)
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	require.NoError(s.t, err)
	return families
}

// find returns the only series of a family with all given labels.
func find(t *testing.T, families map[string]*dto.MetricFamily, family string, labels map[string]string) *dto.Metric {
	t.Helper()
	require.Contains(t, families, family)
	for _, m := range families[family].GetMetric() {
		fits := 0
		for _, pair := range m.GetLabel() {
			if want, ok := labels[pair.GetName()]; ok && want == pair.GetValue() {
				fits++
			}
		}
		if fits == len(labels) {
			return m
		}
	}
	t.Fatalf("%s has no series with %v: %v", family, labels, families[family])
	return nil
}

func TestObserver_Scrape(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	require.Equal(t, http.StatusOK, s.get(b, s.server.URL+"/orders").StatusCode)
	s.deny()
	s.redis.Stop()
	require.Equal(t, http.StatusServiceUnavailable, s.get(b, s.server.URL+"/orders").StatusCode)

	got := s.scrape()

	events := func(event, reason string) float64 {
		return find(t, got, "wechatauth_events_total", map[string]string{"event": event, "reason": reason}).GetCounter().GetValue()
	}
	assert.Equal(t, 2.0, events("login_started", ""))
	assert.Equal(t, 1.0, events("login_finished", ""))
	assert.Equal(t, 1.0, events("login_failed", "refused_by_user"))
	assert.Equal(t, 1.0, events("rejected", "store_unavailable"))

	login := find(t, got, "wechatauth_login_duration_seconds", map[string]string{"channel": "wechat", "reason": ""})
	assert.Equal(t, uint64(1), login.GetHistogram().GetSampleCount())
	exchange := find(t, got, "wechatauth_wechat_call_duration_seconds", map[string]string{"endpoint": "sns/oauth2/access_token", "errcode": "", "class": ""})
	assert.Equal(t, uint64(1), exchange.GetHistogram().GetSampleCount())
	find(t, got, "wechatauth_store_call_duration_seconds", map[string]string{"operation": "commit session", "class": ""})
	down := find(t, got, "wechatauth_store_call_duration_seconds", map[string]string{"operation": "find session", "class": "retry_now"})
	assert.Positive(t, down.GetHistogram().GetSampleCount())
}

func TestObserver_MiniProgramFailure(t *testing.T) {
	s := newSite(t)
	resp, err := http.Post(s.server.URL+"/wechat/mini/login", "application/json", strings.NewReader(`{"code":"unknown"}`))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)

	labels := map[string]string{"channel": "mini_program", "reason": "code_expired"}
	got := s.scrape()
	assert.Equal(t, 1.0, find(t, got, "wechatauth_events_total", labels).GetCounter().GetValue())
	assert.Equal(t, uint64(1), find(t, got, "wechatauth_login_duration_seconds", labels).GetHistogram().GetSampleCount())
}

func TestErrcodeLabels(t *testing.T) {
	s := newSite(t)
	s.sim.Fail("sns/oauth2/access_token", wechattest.Errcode(40164))
	s.get(s.browser(), s.server.URL+"/")
	s.sim.Fail("sns/oauth2/access_token", wechattest.Errcode(123456789))
	s.get(s.browser(), s.server.URL+"/")

	got := s.scrape()
	find(t, got, "wechatauth_wechat_call_duration_seconds", map[string]string{"errcode": "40164", "class": "configuration"})
	find(t, got, "wechatauth_wechat_call_duration_seconds", map[string]string{"errcode": "other"})
}

func TestNew_AlreadyRegistered(t *testing.T) {
	registry := prometheus.NewRegistry()
	_, err := wechatprom.New(registry)
	require.NoError(t, err)
	_, err = wechatprom.New(registry)
	assert.ErrorContains(t, err, "wechatprom: register metrics")
}

var (
	selector = regexp.MustCompile(`(wechatauth_[a-z_]+)(?:\{([^}]*)\})?`)
	label    = regexp.MustCompile(`([a-z_]+)\s*(=~|!~|!=|=)"([^"]*)"`)
	grouping = regexp.MustCompile(`by \(([^)]*)\)`)
)

func TestDashboard_Queries(t *testing.T) {
	s := newSite(t)
	s.get(s.browser(), s.server.URL+"/")
	families := s.scrape()
	var dashboard struct {
		Title  string
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	text, err := os.ReadFile("dashboard.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &dashboard))

	used := map[string]bool{}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			for _, name := range familiesIn(t, families, target.Expr) {
				used[name] = true
			}
		}
	}
	for name := range families {
		assert.True(t, used[name], "no panel shows %s", name)
	}
}

// familiesIn returns the families used in a query. They and the labels in the
// query must exist.
func familiesIn(t *testing.T, families map[string]*dto.MetricFamily, query string) (names []string) {
	t.Helper()
	found := selector.FindAllStringSubmatch(query, -1)
	require.NotEmpty(t, found, query)
	for _, m := range found {
		family := familyOf(families, m[1])
		require.NotNil(t, family, "%s uses %s", query, m[1])
		names = append(names, family.GetName())
		known := labelsOf(family)
		for _, l := range label.FindAllStringSubmatch(m[2], -1) {
			assert.Contains(t, known, l[1], query)
			for _, value := range strings.Split(l[3], "|") {
				assert.Contains(t, valuesOf(t, l[1]), value, "%s uses %s", query, l[1])
			}
		}
		for _, by := range grouping.FindAllStringSubmatch(query, -1) {
			for _, name := range strings.Split(by[1], ",") {
				assert.Contains(t, known, strings.TrimSpace(name), query)
			}
		}
	}
	return names
}

// valuesOf returns the closed list of values of a label; "" means none.
func valuesOf(t *testing.T, label string) []string {
	t.Helper()
	values := []string{""}
	list, ok := map[string]struct{ files, value string }{
		"event":    {"../../event.go", `\bEventKind = "([a-z_]+)"`},
		"reason":   {"../../failure.go", `\bReason = "([a-z_]+)"`},
		"channel":  {"../../identity.go", `\bChannel = "([a-z_]+)"`},
		"endpoint": {"../../client/*.go", `"((?:sns|wxa|cgi-bin)/[a-z0-9_/]+)"`},
	}[label]
	if !ok {
		return values
	}
	files, err := filepath.Glob(list.files)
	require.NoError(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(list.value).FindAllStringSubmatch(string(text), -1) {
			values = append(values, m[1])
		}
	}
	return values
}

func TestLabelValues(t *testing.T) {
	assert.Contains(t, valuesOf(t, "event"), "login_failed")
	assert.Contains(t, valuesOf(t, "reason"), "session_lost")
	assert.Contains(t, valuesOf(t, "channel"), "mini_program")
	assert.Contains(t, valuesOf(t, "endpoint"), "sns/oauth2/access_token")
	assert.NotContains(t, valuesOf(t, "event"), "store")
}

func TestDocs_MetricsAndLabels(t *testing.T) {
	s := newSite(t)
	s.get(s.browser(), s.server.URL+"/")
	families := s.scrape()
	docs, err := os.ReadFile("../../docs/observability.md")
	require.NoError(t, err)

	listed := 0
	for _, row := range regexp.MustCompile("(?m)^\\| `(wechatauth_[a-z_]+)` \\| (counter|histogram) \\| (.*) \\|$").FindAllStringSubmatch(string(docs), -1) {
		listed++
		family := families[row[1]]
		require.NotNil(t, family, row[1])
		assert.Equal(t, row[2], strings.ToLower(family.GetType().String()), row[1])
		var labels []string
		for _, m := range regexp.MustCompile("`([a-z]+)`").FindAllStringSubmatch(row[3], -1) {
			labels = append(labels, m[1])
		}
		assert.ElementsMatch(t, labelsOf(family)[1:], labels, row[1])
	}
	assert.Len(t, families, listed)
}

// familyOf returns the family of a metric name; a histogram has three names.
func familyOf(families map[string]*dto.MetricFamily, name string) *dto.MetricFamily {
	if f, ok := families[name]; ok && f.GetType() != dto.MetricType_HISTOGRAM {
		return f
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if f, ok := families[strings.TrimSuffix(name, suffix)]; ok && strings.HasSuffix(name, suffix) && f.GetType() == dto.MetricType_HISTOGRAM {
			return f
		}
	}
	return nil
}

func labelsOf(family *dto.MetricFamily) []string {
	names := []string{"le"}
	for _, pair := range family.GetMetric()[0].GetLabel() {
		names = append(names, pair.GetName())
	}
	return names
}
