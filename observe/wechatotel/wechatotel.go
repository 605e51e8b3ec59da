// Package wechatotel reports the events of wechatauth to OpenTelemetry: as
// spans in the trace of the request, for logins, other events, and calls to
// WeChat and to the session store; and as metrics of the same.
//
//	telemetry, err := wechatotel.New()
//	…
//	auth, err := wechatauth.New(append(opts, wechatauth.WithObserver(telemetry))...)
//
// Names, units and attributes follow the semantic conventions where those
// define them: error.type, db.system.name, db.operation.name,
// http.request.method, url.template, and the metric
// db.client.operation.duration. All others begin with "wechatauth.". The
// attribute wechatauth.flow has the same value in the traces of the requests
// that started and that completed a login, even on different instances.
//
// Spans and metrics never contain a secret, code, token or openid.
package wechatotel

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/wechatauth/wechatauth"
)

// Name is the instrumentation scope of all spans and metrics.
const Name = "github.com/wechatauth/wechatauth/observe/wechatotel"

// An Observer creates spans and metrics. Create one with [New]. An Observer is
// safe for concurrent use by multiple goroutines and may be shared by several
// Auths.
type Observer struct {
	tracer trace.Tracer
	system string

	events metric.Int64Counter
	logins metric.Float64Histogram
	wechat metric.Float64Histogram
	store  metric.Float64Histogram
}

var _ wechatauth.CallObserver = (*Observer)(nil)

// An Option configures an [Observer] created by [New].
type Option func(*config)

type config struct {
	tracers trace.TracerProvider
	meters  metric.MeterProvider
	system  string
}

// WithTracerProvider sets the provider for spans. The default is the global
// provider.
func WithTracerProvider(p trace.TracerProvider) Option { return func(c *config) { c.tracers = p } }

// WithMeterProvider sets the provider for metrics. The default is the global
// provider.
func WithMeterProvider(p metric.MeterProvider) Option { return func(c *config) { c.meters = p } }

// WithDBSystem sets db.system.name, the name of the session store. The default
// is "redis".
func WithDBSystem(name string) Option { return func(c *config) { c.system = name } }

// Bucket boundaries in seconds. Those of calls are recommended by the semantic
// conventions for database and HTTP clients. Logins include the time that users
// spend on WeChat's page.
var (
	loginBuckets  = metric.WithExplicitBucketBoundaries(1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
	wechatBuckets = metric.WithExplicitBucketBoundaries(.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10)
	storeBuckets  = metric.WithExplicitBucketBoundaries(.001, .005, .01, .05, .1, .5, 1, 5, 10)
)

// New returns a new Observer. It returns an error if the meter provider does.
func New(opts ...Option) (*Observer, error) {
	c := config{system: "redis"}
	for _, opt := range opts {
		opt(&c)
	}
	if c.tracers == nil {
		c.tracers = otel.GetTracerProvider()
	}
	if c.meters == nil {
		c.meters = otel.GetMeterProvider()
	}
	o := &Observer{tracer: c.tracers.Tracer(Name), system: c.system}
	if err := o.setMetrics(c.meters.Meter(Name)); err != nil {
		return nil, fmt.Errorf("wechatotel: create metrics: %w", err)
	}
	return o, nil
}

func (o *Observer) setMetrics(m metric.Meter) (err error) {
	if o.events, err = m.Int64Counter("wechatauth.events", metric.WithUnit("{event}"), metric.WithDescription("Events of logins and sessions.")); err != nil {
		return err
	}
	if o.logins, err = m.Float64Histogram("wechatauth.login.duration", metric.WithUnit("s"), loginBuckets, metric.WithDescription("Duration of logins, from the redirect to WeChat to their end.")); err != nil {
		return err
	}
	if o.wechat, err = m.Float64Histogram("wechatauth.wechat.call.duration", metric.WithUnit("s"), wechatBuckets, metric.WithDescription("Duration of calls to WeChat's API.")); err != nil {
		return err
	}
	o.store, err = m.Float64Histogram("db.client.operation.duration", metric.WithUnit("s"), storeBuckets, metric.WithDescription("Duration of database client operations."))
	return err
}

// Observe implements [wechatauth.Observer].
func (o *Observer) Observe(ctx context.Context, e wechatauth.Event) {
	kind, reason := attribute.String("wechatauth.event", string(e.Kind)), attribute.String("wechatauth.reason", string(e.Reason))
	channel := attribute.String("wechatauth.channel", string(e.Channel))
	o.events.Add(ctx, 1, metric.WithAttributes(set(kind, reason, channel)...))

	name, ends := "wechatauth "+string(e.Kind), false
	switch e.Kind {
	case wechatauth.EventLoginFinished, wechatauth.EventLoginFailed:
		name, ends = "wechatauth login", true
	}
	failure := attribute.String("error.type", string(e.Reason))
	if ends && e.Duration > 0 {
		o.logins.Record(ctx, e.Duration.Seconds(), metric.WithAttributes(set(channel, failure)...))
	}
	o.span(ctx, name, trace.SpanKindInternal, e.Duration, string(e.Reason), e.Err,
		kind, reason, channel, failure,
		attribute.String("wechatauth.flow", e.Flow), attribute.String("wechatauth.appid", e.AppID),
		attribute.String("wechatauth.scope", string(e.Scope)),
	)
}

// ObserveCall implements [wechatauth.CallObserver].
func (o *Observer) ObserveCall(ctx context.Context, c wechatauth.Call) {
	failure := attribute.String("error.type", errorType(c))
	flow := attribute.String("wechatauth.flow", c.Flow)
	switch c.Service {
	case "wechat":
		attrs := []attribute.KeyValue{attribute.String("url.template", c.Name), failure}
		if c.Errcode != 0 {
			attrs = append(attrs, attribute.Int("wechatauth.errcode", c.Errcode))
		}
		o.wechat.Record(ctx, c.Duration.Seconds(), metric.WithAttributes(set(attrs...)...))
		method := method(c.Name)
		attrs = append(attrs, attribute.String("http.request.method", method), attribute.String("wechatauth.appid", c.AppID), flow)
		o.span(ctx, method+" "+c.Name, trace.SpanKindClient, c.Duration, c.Class, c.Err, attrs...)
	case "store":
		attrs := []attribute.KeyValue{attribute.String("db.system.name", o.system), attribute.String("db.operation.name", c.Name), failure}
		o.store.Record(ctx, c.Duration.Seconds(), metric.WithAttributes(set(attrs...)...))
		o.span(ctx, c.Name, trace.SpanKindClient, c.Duration, c.Class, c.Err, append(attrs, flow)...)
	}
}

// span creates a span of something that has just ended.
func (o *Observer) span(ctx context.Context, name string, kind trace.SpanKind, took time.Duration, class string, err error, attrs ...attribute.KeyValue) {
	end := time.Now()
	_, span := o.tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithTimestamp(end.Add(-took)), trace.WithAttributes(set(attrs...)...))
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	} else if class != "" {
		span.SetStatus(codes.Error, class)
	}
	span.End(trace.WithTimestamp(end))
}

// set returns the non-empty attributes.
func set(attrs ...attribute.KeyValue) []attribute.KeyValue {
	kept := make([]attribute.KeyValue, 0, len(attrs))
	for _, a := range attrs {
		if a.Value.Type() != attribute.STRING || a.Value.AsString() != "" {
			kept = append(kept, a)
		}
	}
	return kept
}

// errorType returns WeChat's errcode if there is one, like a status code for
// HTTP, and otherwise the class.
func errorType(c wechatauth.Call) string {
	if c.Errcode != 0 {
		return strconv.Itoa(c.Errcode)
	}
	return c.Class
}

// method returns the HTTP method of an endpoint: GET below sns/ and for the
// calls with a session_key, POST with JSON for the others.
func method(endpoint string) string {
	if strings.HasPrefix(endpoint, "sns/") || strings.HasPrefix(endpoint, "wxa/checksession") || strings.HasPrefix(endpoint, "wxa/resetusersessionkey") {
		return "GET"
	}
	return "POST"
}
