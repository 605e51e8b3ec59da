// Package wechatprom exports the events of wechatauth to Prometheus: logins
// with their reasons and durations, calls to WeChat with their errcodes, and
// calls to the session store with their error classes.
//
//	metrics, err := wechatprom.New(prometheus.DefaultRegisterer)
//	…
//	auth, err := wechatauth.New(append(opts, wechatauth.WithObserver(metrics))...)
//
// It registers these metrics; durations are in seconds:
//
//	wechatauth_events_total{event,reason,channel}
//	wechatauth_login_duration_seconds{channel,reason}
//	wechatauth_wechat_call_duration_seconds{endpoint,errcode,class}
//	wechatauth_store_call_duration_seconds{operation,class}
//
// Label values come from fixed lists, so the number of time series is bounded,
// whatever is requested; AppIDs, openids and flow ids are not labels. reason,
// errcode and class are empty if there was no error. The file dashboard.json of
// this module is a Grafana dashboard for these metrics, and alerts.yml has alerts
// for Prometheus.
package wechatprom

import (
	"context"
	"fmt"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wechatauth/wechatauth"
)

// An Observer counts events and measures durations. Create one with [New]. An
// Observer is safe for concurrent use by multiple goroutines and may be shared
// by several Auths.
type Observer struct {
	events *prometheus.CounterVec
	logins *prometheus.HistogramVec
	wechat *prometheus.HistogramVec
	store  *prometheus.HistogramVec
}

var _ wechatauth.CallObserver = (*Observer)(nil)

// Buckets of the histograms, in seconds. A login includes the time that the
// user spends on WeChat's page and is pending for at most ten minutes; by
// default, a call to WeChat ends after five seconds.
var (
	loginBuckets = []float64{1, 2, 5, 10, 20, 30, 60, 120, 300, 600}
	wechatBucket = []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	storeBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .05, .1, .5, 1, 5}
)

// New returns a new Observer with its metrics registered. It returns an error
// if the registerer does, for example if the metrics are already registered.
func New(registerer prometheus.Registerer) (*Observer, error) {
	o := &Observer{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wechatauth_events_total", Help: "Events of logins and sessions.",
		}, []string{"event", "reason", "channel"}),
		logins: histogram("wechatauth_login_duration_seconds", "Duration of logins, from the redirect to WeChat to their end.", loginBuckets, "channel", "reason"),
		wechat: histogram("wechatauth_wechat_call_duration_seconds", "Duration of calls to WeChat's API.", wechatBucket, "endpoint", "errcode", "class"),
		store:  histogram("wechatauth_store_call_duration_seconds", "Duration of calls to the session store.", storeBuckets, "operation", "class"),
	}
	for _, c := range []prometheus.Collector{o.events, o.logins, o.wechat, o.store} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("wechatprom: register metrics: %w", err)
		}
	}
	return o, nil
}

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
}

// Observe implements [wechatauth.Observer].
func (o *Observer) Observe(_ context.Context, e wechatauth.Event) {
	o.events.WithLabelValues(string(e.Kind), string(e.Reason), string(e.Channel)).Inc()
	if e.Duration > 0 && (e.Kind == wechatauth.EventLoginFinished || e.Kind == wechatauth.EventLoginFailed) {
		o.logins.WithLabelValues(string(e.Channel), string(e.Reason)).Observe(e.Duration.Seconds())
	}
}

// ObserveCall implements [wechatauth.CallObserver].
func (o *Observer) ObserveCall(_ context.Context, c wechatauth.Call) {
	switch c.Service {
	case "wechat":
		o.wechat.WithLabelValues(c.Name, errcode(c.Errcode), c.Class).Observe(c.Duration.Seconds())
	case "store":
		o.store.WithLabelValues(c.Name, c.Class).Observe(c.Duration.Seconds())
	}
}

// errcode returns an errcode as a label. WeChat has several hundred; a value
// far out of range is not WeChat's and does not get a series.
func errcode(code int) string {
	switch {
	case code == 0:
		return ""
	case code < -1 || code > 9_999_999:
		return "other"
	}
	return strconv.Itoa(code)
}
