package session

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/wechatauth/wechatauth/internal/navigation"
	"github.com/wechatauth/wechatauth/internal/respond"
)

// responseWriter saves the session before the first byte of a response leaves,
// however the handler begins it. A session that cannot be saved gives one clean
// error in place of the handler's response. Informational responses (1xx) do not
// count as a beginning.
//
// The types below add exactly the optional interfaces that the underlying
// writer implements: routers take an optional interface as proof of the
// ability.
type responseWriter struct {
	http.ResponseWriter
	failed  func(http.ResponseWriter, *http.Request, error)
	request *http.Request
	visit   *Visit
	before  http.Header // the headers as the handler found them; nil for none

	began bool
	err   error // that ended the response

	vary, cacheControl [1]string // values of headers, in memory of this response
}

// Serve calls next with the visit's context, and saves the session before the
// response begins. If it cannot be saved, failed responds instead of next.
func (s *Manager) Serve(w http.ResponseWriter, r *http.Request, v *Visit, next http.Handler, failed func(http.ResponseWriter, *http.Request, error)) {
	around := FromContext(r.Context())
	r = r.WithContext(v.ctx)
	if v.mode == modeOuter && around.isOf(s) {
		respond.AddVary(w.Header(), "Cookie")
		v.around = around
		for outer := around; v.In() && outer != nil; outer = outer.around {
			outer.shows.Store(true)
		}
		next.ServeHTTP(w, r) // an outer gate does the rest
		return
	}
	rw := &v.ctx.writer
	out := rw.wrap(w, failed, r, v)
	served := false
	defer func() {
		if served {
			return
		}
		if err := s.abandon(v); err != nil {
			s.report(v.ctx, fmt.Errorf("%w: %w", ErrAbandoned, err))
		}
	}()
	next.ServeHTTP(out, r)
	served = true
	rw.end()
}

// flushWriter is a responseWriter over an http.Flusher.
type flushWriter struct{ responseWriter }

// hijackWriter is one over an http.Hijacker too.
type hijackWriter struct{ flushWriter }

// http1Writer is one over the writer of net/http for HTTP/1.
type http1Writer struct{ hijackWriter }

// http2Writer is a flushWriter over the writer of net/http for HTTP/2, or over
// another that notifies without being an http.Hijacker.
type http2Writer struct{ *flushWriter }

// pushWriter is a responseWriter over an http.Pusher that is nothing else, such
// as that of http.TimeoutHandler.
type pushWriter struct{ *responseWriter }

// wrap makes w the writer of a handler's response and returns the writer to
// pass to the handler.
func (w *http1Writer) wrap(inner http.ResponseWriter, failed func(http.ResponseWriter, *http.Request, error), r *http.Request, v *Visit) http.ResponseWriter {
	w.ResponseWriter, w.failed, w.request, w.visit = inner, failed, r, v
	h := inner.Header()
	if len(h) > 0 {
		w.before = h.Clone()
	}
	w.addVary(h)
	_, flushes := ability[http.Flusher](inner)
	_, hijacks := ability[http.Hijacker](inner)
	_, notifies := ability[closeNotifier](inner)
	_, pushes := ability[http.Pusher](inner)
	switch {
	case hijacks && notifies:
		return w
	case hijacks:
		return &w.hijackWriter
	case flushes && notifies:
		return http2Writer{&w.flushWriter}
	case flushes:
		return &w.flushWriter
	case pushes:
		return pushWriter{&w.responseWriter}
	}
	return &w.responseWriter
}

// closeNotifier is http.CloseNotifier, which routers look for although it is
// deprecated.
type closeNotifier interface{ CloseNotify() <-chan bool }

// ability returns the first of w and the writers it wraps that is a T.
func ability[T any](w http.ResponseWriter) (T, bool) {
	for {
		if able, ok := w.(T); ok {
			return able, true
		}
		wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			var none T
			return none, false
		}
		w = wrapper.Unwrap()
	}
}

// begin saves once. It returns the error that ended the response, if one did.
func (w *responseWriter) begin() error {
	if w.began {
		return w.err
	}
	w.began = true
	h := w.Header()
	w.addVary(h)
	said := saysWhoMayKeep(h)
	if err := w.visit.sessions.save(w.ResponseWriter, w.visit); err != nil {
		w.err = err
		clear(h)
		maps.Copy(h, w.before)
		w.failed(w.ResponseWriter, w.request, err)
		return err
	}
	if !said && (w.visit.In() || w.visit.shows.Load()) {
		w.addPrivate(h)
	}
	if w.visit.sessions.cookieSet(w.ResponseWriter) || w.visit.mode == modeOuter && w.visit.sessions.changed(w.visit) {
		keepPrivate(h)
	}
	return nil
}

// addVary adds Vary: Cookie, because the response depends on the cookie.
func (w *responseWriter) addVary(h http.Header) {
	if len(h["Vary"]) > 0 {
		respond.AddVary(h, "Cookie")
		return
	}
	w.vary[0] = "Cookie"
	h["Vary"] = w.vary[:]
}

// addPrivate keeps the response to a logged-in user out of shared caches and
// makes the browser revalidate it, because the session may have ended.
func (w *responseWriter) addPrivate(h http.Header) {
	if navigation.Has(h, "Cache-Control") {
		h.Add("Cache-Control", "private, no-cache")
		return
	}
	w.cacheControl[0] = "private, no-cache"
	h["Cache-Control"] = w.cacheControl[:]
}

// saysWhoMayKeep reports whether a handler has set how its response may be
// cached. A header without a value and "no-transform" do not. What scs adds
// with a cookie does not count either: many caches ignore it.
func saysWhoMayKeep(h http.Header) bool {
	return navigation.Has(h, "Expires") || slices.ContainsFunc(h["Cache-Control"], func(line string) bool {
		return slices.ContainsFunc(splitDirectives(line), func(d string) bool {
			return d != "" && d != `no-cache="Set-Cookie"` && !strings.EqualFold(d, "no-transform")
		})
	})
}

// keepPrivate keeps a response with a session cookie out of shared caches,
// whatever the handler has set. It deletes the headers that only shared caches
// read.
func keepPrivate(h http.Header) {
	private := false
	var kept []string
	for _, line := range h["Cache-Control"] {
		directives := slices.DeleteFunc(splitDirectives(line), func(d string) bool {
			name, _, _ := strings.Cut(strings.ToLower(d), "=")
			private = private || d != "" && strings.EqualFold(d, "private")
			return name == "public" || name == "s-maxage" || name == ""
		})
		if len(directives) > 0 {
			kept = append(kept, strings.Join(directives, ", "))
		}
	}
	if !private {
		kept = append(kept, "private")
	}
	h["Cache-Control"] = kept
	for name := range h {
		switch lower := strings.ToLower(name); {
		case strings.HasSuffix(lower, "-cache-control"), lower == "surrogate-control", lower == "edge-control", lower == "x-accel-expires":
			delete(h, name)
		}
	}
}

// splitDirectives splits a line of Cache-Control at the commas outside of
// quotes.
func splitDirectives(line string) []string {
	quoted := false
	fields := strings.FieldsFunc(line, func(c rune) bool {
		quoted = quoted != (c == '"')
		return c == ',' && !quoted
	})
	for i := range fields {
		fields[i] = strings.TrimSpace(fields[i])
	}
	return fields
}

// end saves if the handler wrote nothing at all.
func (w *responseWriter) end() {
	if down := w.visit.down; w.began && w.err == nil && down != nil && w.visit.sessions.changed(w.visit) {
		w.visit.sessions.report(w.request.Context(), fmt.Errorf("%w: %w", ErrLost, down))
	}
	_ = w.begin()
}

func (w *responseWriter) WriteHeader(status int) {
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	if w.begin() == nil {
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *responseWriter) Write(b []byte) (int, error) {
	if err := w.begin(); err != nil {
		return 0, err
	}
	return w.ResponseWriter.Write(b)
}

// WriteString implements io.StringWriter.
func (w *responseWriter) WriteString(s string) (int, error) {
	if err := w.begin(); err != nil {
		return 0, err
	}
	return io.WriteString(w.ResponseWriter, s)
}

// ReadFrom keeps sendfile: io.Copy finds the inner writer's own ReadFrom.
func (w *responseWriter) ReadFrom(r io.Reader) (int64, error) {
	if err := w.begin(); err != nil {
		return 0, err
	}
	return io.Copy(w.ResponseWriter, r)
}

// Unwrap lets http.ResponseController reach the rest: deadlines, full duplex.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// FlushError is what http.ResponseController calls.
func (w *flushWriter) FlushError() error {
	if err := w.begin(); err != nil {
		return err
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

func (w *flushWriter) Flush() { _ = w.FlushError() }

func (w *hijackWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if err := w.begin(); err != nil {
		return nil, nil, err
	}
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

func (w *responseWriter) closeNotify() <-chan bool {
	notifier, _ := ability[closeNotifier](w.ResponseWriter)
	return notifier.CloseNotify()
}

func (w *http1Writer) CloseNotify() <-chan bool { return w.closeNotify() }

func (w http2Writer) CloseNotify() <-chan bool { return w.closeNotify() }

func (w *responseWriter) push(target string, opts *http.PushOptions) error {
	pusher, ok := ability[http.Pusher](w.ResponseWriter)
	if !ok {
		return http.ErrNotSupported
	}
	return pusher.Push(target, opts)
}

func (w http2Writer) Push(target string, opts *http.PushOptions) error { return w.push(target, opts) }

func (w pushWriter) Push(target string, opts *http.PushOptions) error { return w.push(target, opts) }
