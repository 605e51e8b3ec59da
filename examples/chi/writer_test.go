package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/stretchr/testify/assert"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/examples/internal/gatetest"
)

// chi's WrapResponseWriter checks which interfaces a writer implements, and
// provides the same ones.
func TestResponseWriter_Chi(t *testing.T) {
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			site := gatetest.Serve(t, http2, func(auth *wechatauth.Auth) http.Handler {
				r := chi.NewRouter()
				r.Use(func(next http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						auth.Sessions().Put(r.Context(), "seen", true)
						next.ServeHTTP(middleware.NewWrapResponseWriter(w, r.ProtoMajor), r)
					})
				})
				r.Get("/able", func(w http.ResponseWriter, _ *http.Request) {
					_, flushes := w.(http.Flusher)
					_, hijacks := w.(http.Hijacker)
					_, reads := w.(io.ReaderFrom)
					_, pushes := w.(http.Pusher)
					fmt.Fprint(w, flushes, hijacks, reads, pushes)
				})
				r.Get("/flush", func(w http.ResponseWriter, _ *http.Request) {
					for range 3 {
						fmt.Fprint(w, "part ")
						w.(http.Flusher).Flush()
					}
				})
				r.Get("/copy", func(w http.ResponseWriter, _ *http.Request) {
					_, err := io.Copy(w, io.LimitReader(strings.NewReader("a file"), 6))
					assert.NoError(t, err)
				})
				r.Get("/hijack", func(w http.ResponseWriter, _ *http.Request) { gatetest.TakeOver(w.(http.Hijacker).Hijack()) })
				return r
			})
			assert.Equal(t, "part part part ", site.Get("/flush"))
			assert.Equal(t, "a file", site.Get("/copy"))
			if http2 {
				assert.Equal(t, "true false false true", site.Get("/able"))
				return
			}
			assert.Equal(t, "true true true false", site.Get("/able"))
			assert.Equal(t, "taken over\n", site.Hijacked("/hijack"))
		})
	}
}
