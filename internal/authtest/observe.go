package authtest

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/wechatauth/wechatauth"
)

// An ObserverFunc is a function as an Observer.
type ObserverFunc func(wechatauth.Event)

func (f ObserverFunc) Observe(_ context.Context, e wechatauth.Event) { f(e) }

// A Recorder is an observer that records everything.
type Recorder struct {
	mu     sync.Mutex
	Events []wechatauth.Event
	Calls  []wechatauth.Call
}

func (o *Recorder) Observe(_ context.Context, e wechatauth.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.Events = append(o.Events, e)
}

func (o *Recorder) ObserveCall(_ context.Context, c wechatauth.Call) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.Calls = append(o.Calls, c)
}

// Logouts returns how many sessions were ended by their users.
func (o *Recorder) Logouts() (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range o.Events {
		if e.Kind == wechatauth.EventLoggedOut {
			n++
		}
	}
	return n
}

// Event returns the last event of a kind.
func (o *Recorder) Event(t *testing.T, kind wechatauth.EventKind) wechatauth.Event {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range slices.Backward(o.Events) {
		if e.Kind == kind {
			return e
		}
	}
	t.Fatalf("no %s among %d events", kind, len(o.Events))
	return wechatauth.Event{}
}

// Call returns the last call of a name.
func (o *Recorder) Call(t *testing.T, name string) wechatauth.Call {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range slices.Backward(o.Calls) {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no call %q among %d", name, len(o.Calls))
	return wechatauth.Call{}
}
