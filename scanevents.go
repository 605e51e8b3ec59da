package wechatauth

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// How the browser that shows a QR code learns that the phone has answered. It
// listens to server-sent events (scan/events); where a proxy holds these back
// or the connection ends, it polls (scan/status); without script, it loads its
// page again every few seconds. Behind all three is the same look at the marks.

// The states of a ticket, in the browser's eyes.
const (
	scanWaiting   = "waiting"
	scanScanned   = "scanned"   // the phone has it open
	scanConfirmed = "confirmed" // the page loads again and is logged in
	scanEnded     = "ended"     // the page loads again and says why
)

const (
	// scanPoll is the pause between two looks: what happened on the phone shows
	// on the desk within a second.
	scanPoll = 500 * time.Millisecond
	// scanBeat is how many looks pass before something is sent anyway, which
	// keeps proxies from ending the connection.
	scanBeat = 20
	// scanLookBudget bounds one look at the store, and with it how long a store
	// that hangs can hold a request.
	scanLookBudget = 2 * time.Second
	// scanWriteBudget is how long a browser that takes nothing is written to.
	scanWriteBudget = 10 * time.Second
)

// scanState looks at the ticket of a browser. No connection of the store is
// held between two looks.
func (a *Auth) scanState(ctx context.Context, c scanCookie) (state string, end scanEnd, err error) {
	ctx, cancel := context.WithTimeout(ctx, a.scanLook)
	defer cancel()
	mark := scanEndMark(c.Ticket)
	box, found, err := a.sessions.marks.Mark(ctx, mark)
	if err != nil {
		return "", end, err
	}
	if found {
		plain, err := a.keys.open(string(box), mark)
		if err != nil || json.Unmarshal(plain, &end) != nil || (end.Reason == "" && end.Identity == "") {
			end = scanEnd{Reason: ReasonScanExpired} // nothing that we wrote
		}
		if end.Reason != "" {
			return scanEnded, end, nil
		}
		return scanConfirmed, end, nil
	}
	if a.scanExpired(c.IssuedAt) {
		return scanEnded, scanEnd{Reason: ReasonScanExpired}, nil
	}
	_, scanned, err := a.sessions.marks.Mark(ctx, scanByMark(c.Ticket))
	if err != nil {
		return "", end, err
	}
	if scanned {
		return scanScanned, end, nil
	}
	return scanWaiting, end, nil
}

// serveScanStatus answers {"state":"waiting"}, or another of the states.
func (a *Auth) serveScanStatus(w http.ResponseWriter, r *http.Request) {
	state := scanEnded
	if c, ok := a.cookies.scan(r); ok {
		var err error
		if state, _, err = a.scanState(r.Context(), c); err != nil {
			a.stop(w, r, Failure{Reason: ReasonStoreUnavailable, Err: err})
			return
		}
	}
	a.writeMini(w, map[string]any{"state": state})
}

// serveScanEvents sends an event "state" whenever the state is another one, and
// ends with the last one, when the browser leaves, when the server shuts down,
// and when the store cannot be asked: the browser then polls.
func (a *Auth) serveScanEvents(w http.ResponseWriter, r *http.Request) {
	c, ok := a.cookies.scan(r)
	if !ok {
		setNoStore(w.Header())
		w.WriteHeader(http.StatusNoContent) // tells an EventSource not to come back
		return
	}
	ctx, leave := a.shutdowns.context(r)
	defer leave()
	stream := newEventStream(w)
	defer stream.close()
	sent := ""
	for look := 1; ; look++ {
		state, _, err := a.scanState(ctx, c)
		switch {
		case err != nil && sent == "":
			a.stop(w, r, Failure{Reason: ReasonStoreUnavailable, Err: err})
			return
		case err != nil:
			return
		case state != sent:
			err = stream.send("event: state\ndata: " + state + "\n\n")
		case look%scanBeat == 0:
			err = stream.send(":\n\n")
		}
		if sent = state; err != nil || state == scanConfirmed || state == scanEnded {
			return
		}
		if a.claims.wait(ctx, scanPoll) != nil {
			return
		}
	}
}

// eventStream is an answer of the type text/event-stream.
type eventStream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

func newEventStream(w http.ResponseWriter) *eventStream {
	return &eventStream{w: w, control: http.NewResponseController(w)}
}

func (s *eventStream) send(text string) error {
	if !s.begun {
		s.begun = true
		h := s.w.Header()
		setNoStore(h)
		h.Set("Content-Type", "text/event-stream")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Accel-Buffering", "no") // nginx would hold the events back
	}
	// The server's own WriteTimeout counts from the request's beginning. Where
	// the deadline cannot be moved, it stays.
	_ = s.control.SetWriteDeadline(time.Now().Add(scanWriteBudget))
	if _, err := fmt.Fprint(s.w, text); err != nil {
		return err
	}
	return s.control.Flush()
}

func (s *eventStream) close() {
	if s.begun {
		_ = s.control.SetWriteDeadline(time.Time{}) // the connection's next answer is not ours
	}
}

// shutdowns ends answers that take long when their server shuts down: the
// server would wait for them, and they for nothing. Safe for concurrent use.
type shutdowns struct {
	mu      sync.Mutex
	servers map[*http.Server]context.Context // ends with the shutdown
}

// context is the request's context, which ends with the server's shutdown too.
// The caller calls leave when it has answered.
func (s *shutdowns) context(r *http.Request) (ctx context.Context, leave func()) {
	ctx, cancel := context.WithCancel(r.Context())
	server, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok {
		return ctx, cancel
	}
	stop := context.AfterFunc(s.of(server), cancel)
	return ctx, func() { stop(); cancel() }
}

func (s *shutdowns) of(server *http.Server) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx, ok := s.servers[server]; ok {
		return ctx
	}
	ctx, cancel := context.WithCancel(context.Background())
	if s.servers == nil {
		s.servers = map[*http.Server]context.Context{}
	}
	s.servers[server] = ctx
	server.RegisterOnShutdown(cancel)
	return ctx
}
