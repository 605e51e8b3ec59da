package wechatauth

import (
	"bufio"
	"io"
	"maps"
	"net"
	"net/http"
)

// responseWriter saves the session before the first byte of an answer leaves,
// however the handler begins it: Write, WriteHeader, Flush, ReadFrom or
// Hijack. A session that cannot be saved gives one clean error instead of the
// handler's answer. Informational answers (1xx) do not count as a beginning.
type responseWriter struct {
	http.ResponseWriter
	save   func() error // commits, and sets the cookie
	fail   func(error)  // answers instead of the handler
	before http.Header  // the headers as the handler found them

	began  bool
	failed error
}

func newResponseWriter(w http.ResponseWriter, save func() error, fail func(error)) *responseWriter {
	return &responseWriter{ResponseWriter: w, save: save, fail: fail, before: w.Header().Clone()}
}

// begin saves once. It returns the error that ended the answer, if one did.
func (w *responseWriter) begin() error {
	if w.began {
		return w.failed
	}
	w.began = true
	if err := w.save(); err != nil {
		w.failed = err
		h := w.Header()
		clear(h)
		maps.Copy(h, w.before)
		w.fail(err)
	}
	return w.failed
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
