// Package wechatprom shows Prometheus what a wechatauth gate does: logins with
// their reasons and durations, calls to WeChat with their errcodes, and calls
// to the session store with the class of their errors.
//
//	metrics, err := wechatprom.New(prometheus.DefaultRegisterer)
//	…
//	auth, err := wechatauth.New(append(opts, wechatauth.WithObserver(metrics))...)
//
// It registers these, durations in seconds:
//
//	wechatauth_events_total{event,reason,channel}
//	wechatauth_login_duration_seconds{channel,reason}
//	wechatauth_wechat_call_duration_seconds{endpoint,errcode,class}
//	wechatauth_store_call_duration_seconds{operation,class}
//
// Labels come from closed lists, so the number of series is bounded, whatever
// visitors send; AppIDs, openids and flow ids are no labels. reason, errcode and
// class are empty where nothing went wrong. The file dashboard.json of this
// module is a Grafana dashboard of these metrics.
package wechatprom

import (
	"context"
	"fmt"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wechatauth/wechatauth"
)

// Observer counts and measures. Make it with [New]. Safe for concurrent use; one
// Observer serves any number of gates.
type Observer struct {
	events *prometheus.CounterVec
	logins *prometheus.HistogramVec
	wechat *prometheus.HistogramVec
	store  *prometheus.HistogramVec
}

var _ wechatauth.CallObserver = (*Observer)(nil)

// Buckets of the histograms, in seconds. A login includes the visitor's time on
// WeChat's page and is pending for ten minutes at most; a call to WeChat ends
// after five seconds unless told otherwise.
var (
	loginBuckets = []float64{1, 2, 5, 10, 20, 30, 60, 120, 300, 600}
	wechatBucket = []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	storeBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .05, .1, .5, 1, 5}
)

// New makes an Observer and registers its metrics. The error is the
// registerer's, if the metrics are there already for example.
func New(registerer prometheus.Registerer) (*Observer, error) {
	o := &Observer{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wechatauth_events_total", Help: "What happened at the login wall.",
		}, []string{"event", "reason", "channel"}),
		logins: histogram("wechatauth_login_duration_seconds", "How long logins took, from the redirect to WeChat to their end.", loginBuckets, "channel", "reason"),
		wechat: histogram("wechatauth_wechat_call_duration_seconds", "How long calls to WeChat's API took.", wechatBucket, "endpoint", "errcode", "class"),
		store:  histogram("wechatauth_store_call_duration_seconds", "How long calls to the session store took.", storeBuckets, "operation", "class"),
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

// Observe implements wechatauth.Observer.
func (o *Observer) Observe(_ context.Context, e wechatauth.Event) {
	o.events.WithLabelValues(string(e.Kind), string(e.Reason), string(e.Channel)).Inc()
	if e.Duration > 0 && (e.Kind == wechatauth.EventLoginFinished || e.Kind == wechatauth.EventLoginFailed) {
		o.logins.WithLabelValues(string(e.Channel), string(e.Reason)).Observe(e.Duration.Seconds())
	}
}

// ObserveCall implements wechatauth.CallObserver.
func (o *Observer) ObserveCall(_ context.Context, c wechatauth.Call) {
	switch c.Service {
	case wechatauth.ServiceWeChat:
		o.wechat.WithLabelValues(c.Name, errcode(c.Errcode), c.Class).Observe(c.Duration.Seconds())
	case wechatauth.ServiceStore:
		o.store.WithLabelValues(c.Name, c.Class).Observe(c.Duration.Seconds())
	}
}

// errcode as a label. WeChat has some hundred of them; one that is far out of
// its range is not WeChat's, and shall not make a series of its own.
func errcode(code int) string {
	switch {
	case code == 0:
		return ""
	case code < -1 || code > 9_999_999:
		return "other"
	}
	return strconv.Itoa(code)
}
