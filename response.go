package wechatauth

import (
	"bufio"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
)

// responseWriter saves the session before the first byte of an answer leaves,
// however the handler begins it: Write, WriteHeader, Flush, ReadFrom or
// Hijack. A session that cannot be saved gives one clean error instead of the
// handler's answer. Informational answers (1xx) do not count as a beginning.
type responseWriter struct {
	http.ResponseWriter
	gate    *Auth
	request *http.Request
	visit   *visit
	before  http.Header // the headers as the handler found them; nil for none

	began  bool
	failed error

	vary, cacheControl [1]string // values of headers, in memory of this answer's own
}

// wrap makes w the writer of a handler's answer.
func (w *responseWriter) wrap(inner http.ResponseWriter, a *Auth, r *http.Request, v *visit) {
	w.ResponseWriter, w.gate, w.request, w.visit = inner, a, r, v
	h := inner.Header()
	if len(h) > 0 {
		w.before = h.Clone()
	}
	w.addVary(h)
}

// begin saves once. It returns the error that ended the answer, if one did.
func (w *responseWriter) begin() error {
	if w.began {
		return w.failed
	}
	w.began = true
	h := w.Header()
	w.addVary(h)
	said := saysWhoMayKeep(h)
	if err := w.gate.sessions.save(w.ResponseWriter, w.visit); err != nil {
		w.failed = err
		clear(h)
		maps.Copy(h, w.before)
		w.gate.stopUnsaved(w.ResponseWriter, w.request, err)
		return err
	}
	// What a logged-in visitor is shown is his own, and so is a session
	// cookie, unless the handler says otherwise.
	if !said && (w.visit.loggedIn || w.gate.sessions.cookieSet(w.ResponseWriter)) {
		w.addPrivate(h)
	}
	return nil
}

// addVary says that the answer depends on the cookie.
func (w *responseWriter) addVary(h http.Header) {
	if len(h["Vary"]) > 0 {
		addVary(h, "Cookie")
		return
	}
	w.vary[0] = "Cookie"
	h["Vary"] = w.vary[:]
}

// addPrivate keeps the answer out of caches that many share.
func (w *responseWriter) addPrivate(h http.Header) {
	if len(h["Cache-Control"]) > 0 {
		h.Add("Cache-Control", "private")
		return
	}
	w.cacheControl[0] = "private"
	h["Cache-Control"] = w.cacheControl[:]
}

// saysWhoMayKeep reports whether a handler has set Cache-Control. What scs adds
// there with a cookie does not count: many caches ignore it.
func saysWhoMayKeep(h http.Header) bool {
	return slices.ContainsFunc(h["Cache-Control"], func(v string) bool { return v != `no-cache="Set-Cookie"` })
}

// end saves where the handler wrote nothing at all.
func (w *responseWriter) end() { _ = w.begin() }

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

// ReadFrom keeps sendfile: io.Copy finds the inner writer's own ReadFrom.
func (w *responseWriter) ReadFrom(r io.Reader) (int64, error) {
	if err := w.begin(); err != nil {
		return 0, err
	}
	return io.Copy(w.ResponseWriter, r)
}

// FlushError is what http.ResponseController calls.
func (w *responseWriter) FlushError() error {
	if err := w.begin(); err != nil {
		return err
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

func (w *responseWriter) Flush() { _ = w.FlushError() }

func (w *responseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if err := w.begin(); err != nil {
		return nil, nil, err
	}
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

func (w *responseWriter) Push(target string, opts *http.PushOptions) error {
	if p, ok := w.ResponseWriter.(http.Pusher); ok {
		return p.Push(target, opts)
	}
	return http.ErrNotSupported
}

// Unwrap lets http.ResponseController reach the rest: deadlines, full duplex.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
