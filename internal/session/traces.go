package session

import (
	"context"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"time"
	"weak"

	"github.com/alexedwards/scs/v2"
)

// traces replace the tracks of requests whose session scs's LoadAndSave loads:
// on a route without a gate, or around one. Such a request is identified by
// what its contexts have in common. The contexts of LoadAndSave share the Done
// channel of the request, and all that are derived from them share scs's data
// of the session. A context that is never done, such as context.Background, has
// no such channel; what it has read is not known.
type traces struct {
	mu sync.Mutex
	of map[traceKey]*trace
}

// traceKey is the memory that a channel or a pointer refers to. It does not keep
// it from being collected; the trace goes with it.
type traceKey = weak.Pointer[byte]

// trace is what one request has done.
type trace struct {
	read []string // tokens of records that it has read or written, the newest
	held []string // tokens of records that are deleted when the session is saved
}

// maxTraced is how many tokens a trace remembers. A request reads one, and one
// for each MergeSession; a program may load many in one context.
const maxTraced = 16

// keyOf returns the key of a channel or a pointer.
func keyOf(p any) (key traceKey, memory *byte) {
	memory = (*byte)(reflect.ValueOf(p).UnsafePointer())
	return weak.Make(memory), memory
}

// noteIn calls f with the trace of a channel or a pointer, and makes one if there
// is none.
func (ts *traces) noteIn(p any, f func(*trace)) {
	key, memory := keyOf(p)
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := ts.of[key]
	if t == nil {
		if ts.of == nil {
			ts.of = map[traceKey]*trace{}
		}
		t = &trace{}
		ts.of[key] = t
		runtime.AddCleanup(memory, ts.forget, key)
	}
	f(t)
}

func (ts *traces) forget(key traceKey) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.of, key)
}

// lookIn calls f with the trace of a channel or a pointer, if there is one.
func (ts *traces) lookIn(p any, f func(*trace)) {
	key, _ := keyOf(p)
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t := ts.of[key]; t != nil {
		f(t)
	}
}

// dataIn returns scs's data of the session in the context; nil if there is none.
func (g *guardedStore) dataIn(ctx context.Context) any {
	if g.dataKey == nil {
		return nil
	}
	return ctx.Value(g.dataKey)
}

// noteRead notes that the request has read or written a record.
func (g *guardedStore) noteRead(ctx context.Context, token string) {
	note := func(t *trace) {
		if slices.Contains(t.read, token) {
			return
		}
		if len(t.read) == maxTraced {
			t.read = slices.Delete(t.read, 0, 1)
		}
		t.read = append(t.read, token)
	}
	if data := g.dataIn(ctx); data != nil {
		g.traces.noteIn(data, note)
	}
	// Contexts that were canceled before they were used share one channel.
	if done := ctx.Done(); done != nil && ctx.Err() == nil {
		g.traces.noteIn(done, note)
	}
}

// hasRead reports whether the request has read or written the record.
func (g *guardedStore) hasRead(ctx context.Context, token string) (read bool) {
	look := func(t *trace) { read = read || slices.Contains(t.read, token) }
	if data := g.dataIn(ctx); data != nil {
		g.traces.lookIn(data, look)
	}
	if done := ctx.Done(); done != nil {
		g.traces.lookIn(done, look)
	}
	return read
}

// isHeld reports whether the deletion of the record is deferred.
func (g *guardedStore) isHeld(ctx context.Context, token string) (held bool) {
	if data := g.dataIn(ctx); data != nil {
		g.traces.lookIn(data, func(t *trace) { held = slices.Contains(t.held, token) })
	}
	return held
}

// commitUntracked is CommitCtx without a track. The session is added to the
// index, because no gate sees it if its token is new.
func (g *guardedStore) commitUntracked(ctx context.Context, token string, b []byte, expiry time.Time) error {
	if err := g.indexUsers(ctx, token, b); err != nil {
		return err
	}
	write := g.inner.CommitCtx
	if g.hasRead(ctx, token) {
		write = g.overwrite
	}
	if err := write(ctx, token, b, expiry); err != nil {
		return err
	}
	g.noteRead(ctx, token) // if it is written once more, it must still be there
	ended, err := g.dropTraced(ctx)
	if ended {
		_, _ = g.DeleteAndReportCtx(ctx, token) // no response names this token
		return ErrGone
	}
	return err
}

// indexUsers makes a session findable by each user in it.
func (g *guardedStore) indexUsers(ctx context.Context, token string, b []byte) error {
	deadline, values, err := g.manager.Codec.Decode(b)
	if err != nil {
		return nil // written by hand, not a session
	}
	for name, value := range values {
		user, ok := userOf(name, value)
		if !ok {
			continue
		}
		if err := g.inner.AddSession(ctx, user, token, deadline); err != nil {
			return err
		}
	}
	return nil
}

// deleteUntracked is DeleteCtx without a track. The deletion waits for the
// session to be saved if scs is about to do that.
func (g *guardedStore) deleteUntracked(ctx context.Context, token string) error {
	_, savesNext := deleter()
	if data := g.dataIn(ctx); data != nil && savesNext {
		g.traces.noteIn(data, func(t *trace) { t.held = append(t.held, token) })
		return nil
	}
	if _, err := g.dropTraced(ctx); err != nil {
		return err
	}
	_, err := g.DeleteAndReportCtx(ctx, token)
	return err
}

// dropTraced deletes the records whose deletion was deferred, and reports
// whether one that the request had read was already gone.
func (g *guardedStore) dropTraced(ctx context.Context) (ended bool, err error) {
	data := g.dataIn(ctx)
	if data == nil {
		return false, nil
	}
	var held []string
	g.traces.lookIn(data, func(t *trace) { held, t.held = t.held, nil })
	for i, token := range held {
		found, err := g.DeleteAndReportCtx(ctx, token)
		if err != nil {
			g.traces.noteIn(data, func(t *trace) { t.held = append(t.held, held[i:]...) })
			return ended, err
		}
		ended = ended || !found && g.hasRead(ctx, token)
	}
	return ended, nil
}

// deleter reports whether scs itself deletes a record, in a method of its
// manager, and whether it saves the session after that, as RenewToken and
// MergeSession do and Destroy does not. The store interface does not show this,
// so the name of the calling function is used. A caller without a name, as in a
// stripped program, is not taken for scs: its deletions take effect
// immediately.
func deleter() (byScs, savesNext bool) {
	var callers [8]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(3, callers[:])])
	for {
		frame, more := frames.Next()
		switch frame.Function {
		case "":
		case destroy:
			return true, false
		case renewToken, mergeSession:
			return true, true
		}
		if !more {
			return false, false
		}
	}
}

var (
	destroy      = nameOf((*scs.SessionManager).Destroy)
	renewToken   = nameOf((*scs.SessionManager).RenewToken)
	mergeSession = nameOf((*scs.SessionManager).MergeSession)
)

func nameOf(f any) string { return runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name() }
