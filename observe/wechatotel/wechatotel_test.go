package wechatotel_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	api "go.opentelemetry.io/otel/trace"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/observe/wechatotel"
	"github.com/wechatauth/wechatauth/wechattest"
)

// A site is an application behind the middleware, with Redis, a WeChat
// simulator, and spans and metrics exported to memory. Each request has its own
// span, as with otelhttp. There are two instances: one serves the callbacks,
// the other everything else.
type site struct {
	t      *testing.T
	sim    *wechattest.Server
	redis  *redistest.Server
	server *httptest.Server
	spans  *tracetest.InMemoryExporter
	reader *metric.ManualReader
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{
		t: t, sim: wechattest.NewServer(), redis: redistest.Start(t), server: httptest.NewUnstartedServer(nil),
		spans: tracetest.NewInMemoryExporter(), reader: metric.NewManualReader(),
	}
	tracers := trace.NewTracerProvider(trace.WithSyncer(s.spans))
	telemetry, err := wechatotel.New(
		wechatotel.WithTracerProvider(tracers),
		wechatotel.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(s.reader))),
	)
	require.NoError(t, err)
	instance := func() http.Handler {
		auth, err := wechatauth.New(
			wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret),
			wechatauth.WithBaseURL("http://"+s.server.Listener.Addr().String()),
			wechatauth.WithEndpoints(s.sim.Endpoints()),
			wechatauth.WithRedis(s.redis.Pool()),
			wechatauth.WithObserver(telemetry),
		)
		require.NoError(t, err)
		return auth.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, _ := wechatauth.IdentityFromContext(r.Context())
			fmt.Fprint(w, id.OpenID)
		}))
	}
	mux := http.NewServeMux()
	mux.Handle("/", instance())
	mux.Handle("/wechat/callback", instance())
	requests := tracers.Tracer("requests")
	s.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, span := requests.Start(r.Context(), r.URL.Path, api.WithSpanKind(api.SpanKindServer))
		defer span.End()
		mux.ServeHTTP(w, r.WithContext(ctx))
	})
	s.server.Start()
	t.Cleanup(func() { s.server.Close(); s.sim.Close() })
	return s
}

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
	resp := s.get(b, s.server.URL+"/wechat/callback?state="+to.Query().Get("state"))
	require.Equal(s.t, http.StatusForbidden, resp.StatusCode)
}

// span returns the first span with the given name and attributes.
func (s *site) span(name string, want ...attribute.KeyValue) tracetest.SpanStub {
	s.t.Helper()
	for _, span := range s.spans.GetSpans() {
		if span.Name == name && hasAll(attribute.NewSet(span.Attributes...), want) {
			return span
		}
	}
	s.t.Fatalf("no span %q with %v", name, want)
	return tracetest.SpanStub{}
}

func hasAll(set attribute.Set, want []attribute.KeyValue) bool {
	return !slices.ContainsFunc(want, func(a attribute.KeyValue) bool {
		v, ok := set.Value(a.Key)
		return !ok || v != a.Value
	})
}

func flow(span tracetest.SpanStub) string {
	set := attribute.NewSet(span.Attributes...)
	v, _ := set.Value("wechatauth.flow")
	return v.AsString()
}

// metrics returns the metrics that an exporter would receive, by name.
func (s *site) metrics() map[string]metricdata.Metrics {
	s.t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(s.t, s.reader.Collect(context.Background(), &all))
	byName := map[string]metricdata.Metrics{}
	for _, scope := range all.ScopeMetrics {
		assert.Equal(s.t, wechatotel.Name, scope.Scope.Name)
		for _, m := range scope.Metrics {
			byName[m.Name] = m
		}
	}
	return byName
}

func counted(t *testing.T, m metricdata.Metrics, want ...attribute.KeyValue) int64 {
	t.Helper()
	var n int64
	for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
		if hasAll(p.Attributes, want) {
			n += p.Value
		}
	}
	return n
}

func measured(t *testing.T, m metricdata.Metrics, want ...attribute.KeyValue) uint64 {
	t.Helper()
	require.Equal(t, "s", m.Unit)
	var n uint64
	for _, p := range m.Data.(metricdata.Histogram[float64]).DataPoints {
		if hasAll(p.Attributes, want) {
			n += p.Count
		}
	}
	return n
}

func TestObserver_SpansAndMetrics(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	require.Equal(t, http.StatusOK, s.get(b, s.server.URL+"/orders").StatusCode)
	s.deny()
	s.redis.Stop()
	require.Equal(t, http.StatusServiceUnavailable, s.get(b, s.server.URL+"/orders").StatusCode)

	started := s.span("wechatauth login_started")
	login := s.span("wechatauth login", attribute.String("wechatauth.event", "login_finished"), attribute.String("wechatauth.channel", "wechat"))
	exchange := s.span("GET sns/oauth2/access_token", attribute.String("url.template", "sns/oauth2/access_token"), attribute.String("http.request.method", "GET"))
	saved := s.span("commit session", attribute.String("db.system.name", "redis"), attribute.String("db.operation.name", "commit session"))
	callback := s.span("/wechat/callback")
	for _, span := range []tracetest.SpanStub{login, exchange, saved} {
		assert.Equal(t, flow(started), flow(span), span.Name)
		assert.Equal(t, callback.SpanContext.TraceID(), span.SpanContext.TraceID(), "%s is not in the trace of its request", span.Name)
		assert.Equal(t, callback.SpanContext.SpanID(), span.Parent.SpanID(), span.Name)
		assert.Equal(t, codes.Unset, span.Status.Code, span.Name)
		assert.False(t, span.EndTime.Before(span.StartTime), span.Name)
	}
	assert.Equal(t, api.SpanKindClient, exchange.SpanKind)
	failed := s.span("wechatauth login", attribute.String("error.type", "refused_by_user"))
	assert.Equal(t, codes.Error, failed.Status.Code)
	down := s.span("find session", attribute.String("error.type", "retry_now"))
	assert.Equal(t, codes.Error, down.Status.Code)
	s.span("wechatauth rejected", attribute.String("wechatauth.reason", "store_unavailable"))

	m := s.metrics()
	assert.EqualValues(t, 2, counted(t, m["wechatauth.events"], attribute.String("wechatauth.event", "login_started")))
	assert.EqualValues(t, 1, counted(t, m["wechatauth.events"], attribute.String("wechatauth.event", "login_failed"), attribute.String("wechatauth.reason", "refused_by_user")))
	assert.EqualValues(t, 1, counted(t, m["wechatauth.events"], attribute.String("wechatauth.reason", "store_unavailable")))
	assert.Positive(t, measured(t, m["wechatauth.login.duration"], attribute.String("wechatauth.channel", "wechat")))
	assert.EqualValues(t, 1, measured(t, m["wechatauth.wechat.call.duration"], attribute.String("url.template", "sns/oauth2/access_token")))
	assert.Positive(t, measured(t, m["db.client.operation.duration"], attribute.String("db.operation.name", "commit session")))
	assert.Positive(t, measured(t, m["db.client.operation.duration"], attribute.String("db.operation.name", "find session"), attribute.String("error.type", "retry_now")))
}

func TestDocs_Metrics(t *testing.T) {
	s := newSite(t)
	s.get(s.browser(), s.server.URL+"/")
	docs, err := os.ReadFile("../../docs/observability.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(docs), "\n## OpenTelemetry\n")
	require.True(t, found)
	var listed []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z.]+)` \\| (?:counter|histogram)").FindAllStringSubmatch(section, -1) {
		listed = append(listed, m[1])
	}
	assert.ElementsMatch(t, slices.Collect(maps.Keys(s.metrics())), listed)
}

func TestDocs_SpanAttributes(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	s.get(b, s.server.URL+"/orders")
	s.deny()
	s.sim.Fail("sns/oauth2/access_token", wechattest.Errcode(40164))
	s.get(s.browser(), s.server.URL+"/")
	s.redis.Stop()
	s.get(b, s.server.URL+"/orders")

	type kindOfSpan struct {
		kind  api.SpanKind
		names map[string]bool
	}
	had := map[string]kindOfSpan{}
	for _, span := range s.spans.GetSpans() {
		set := attribute.NewSet(span.Attributes...)
		row := ""
		switch {
		case set.HasValue("db.operation.name"):
			row = "find session"
		case set.HasValue("url.template"):
			row = "GET sns/oauth2/access_token"
		case set.HasValue("wechatauth.event") && span.Name != "wechatauth login":
			row = "wechatauth login_started"
		case set.HasValue("wechatauth.event"):
			row = "wechatauth login"
		default:
			continue // the span of a request
		}
		if had[row].names == nil {
			had[row] = kindOfSpan{span.SpanKind, map[string]bool{}}
		}
		assert.Equal(t, had[row].kind, span.SpanKind, span.Name)
		for _, a := range span.Attributes {
			had[row].names[string(a.Key)] = true
		}
	}

	docs, err := os.ReadFile("../../docs/observability.md")
	require.NoError(t, err)
	rows := regexp.MustCompile("(?m)^\\| `([a-zA-Z0-9_/ ]+)`.* \\| (internal|client) \\| (.*) \\|$").FindAllStringSubmatch(string(docs), -1)
	require.Len(t, rows, len(had))
	for _, row := range rows {
		require.Contains(t, had, row[1])
		if strings.HasPrefix(row[3], "the same") {
			assert.Subset(t, slices.Collect(maps.Keys(had["wechatauth login"].names)), slices.Collect(maps.Keys(had[row[1]].names)), row[1])
			continue
		}
		assert.Equal(t, row[2], had[row[1]].kind.String(), row[1])
		var listed []string
		for _, m := range regexp.MustCompile("`([a-z_.]+)`").FindAllStringSubmatch(row[3], -1) {
			listed = append(listed, m[1])
		}
		assert.ElementsMatch(t, slices.Collect(maps.Keys(had[row[1]].names)), listed, row[1])
	}
}

func TestObserver_Errcode(t *testing.T) {
	s := newSite(t)
	s.sim.Fail("sns/oauth2/access_token", wechattest.Errcode(40164))
	s.get(s.browser(), s.server.URL+"/")
	failed := s.span("GET sns/oauth2/access_token", attribute.String("error.type", "40164"), attribute.Int("wechatauth.errcode", 40164))
	assert.Contains(t, failed.Status.Description, "40164")
	assert.EqualValues(t, 1, measured(t, s.metrics()["wechatauth.wechat.call.duration"], attribute.String("error.type", "40164")))
}

func TestWithDBSystem(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	telemetry, err := wechatotel.New(wechatotel.WithDBSystem("valkey"), wechatotel.WithTracerProvider(trace.NewTracerProvider(trace.WithSyncer(spans))))
	require.NoError(t, err)
	telemetry.ObserveCall(context.Background(), wechatauth.Call{Service: "store", Name: "find session"})
	require.Len(t, spans.GetSpans(), 1)
	assert.Contains(t, spans.GetSpans()[0].Attributes, attribute.String("db.system.name", "valkey"))
}

func ExampleNew() {
	spans := tracetest.NewInMemoryExporter()
	telemetry, err := wechatotel.New(
		wechatotel.WithTracerProvider(trace.NewTracerProvider(trace.WithSyncer(spans))), // the default is the global provider
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	auth, err := wechatauth.New(
		wechatauth.WithApp("wx00000000000000a1", "app-secret-for-tests"),
		wechatauth.WithBaseURL("https://m.example.com"),
		wechatauth.WithObserver(telemetry),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	r := httptest.NewRequest("GET", "https://m.example.com/", nil)
	r.Header.Set("Accept", "text/html")
	auth.RequireWeChat(nil).ServeHTTP(httptest.NewRecorder(), r)
	fmt.Println(spans.GetSpans()[0].Name)
	// Output: wechatauth login_started
}
