package main

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/assert"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/examples/internal/gatetest"
)

// gin asserts optional interfaces of the writer without checking, for example
// http.CloseNotifier in Context.Stream.
func TestResponseWriter_Gin(t *testing.T) {
	gin.SetMode(gin.ReleaseMode)
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			site := gatetest.Serve(t, http2, func(auth *wechatauth.Auth) http.Handler {
				r := gin.New()
				r.Use(func(c *gin.Context) { auth.Sessions().Put(c.Request.Context(), "seen", true) })
				r.GET("/stream", func(c *gin.Context) {
					n := 0
					c.Stream(func(w io.Writer) bool { n++; _, _ = io.WriteString(w, "part "); return n < 3 })
				})
				r.GET("/events", func(c *gin.Context) { c.SSEvent("message", "hello"); c.Writer.Flush() })
				r.GET("/string", func(c *gin.Context) { _, _ = c.Writer.WriteString("a string") })
				r.GET("/reader", func(c *gin.Context) {
					c.DataFromReader(http.StatusOK, 6, "text/plain", strings.NewReader("a file"), nil)
				})
				r.GET("/push", func(c *gin.Context) {
					if pusher := c.Writer.Pusher(); pusher != nil {
						_ = pusher.Push("/string", nil) // current clients reject pushes
						c.String(http.StatusOK, "pushes")
						return
					}
					c.String(http.StatusOK, "does not push")
				})
				r.GET("/hijack", func(c *gin.Context) { gatetest.TakeOver(c.Writer.Hijack()) })
				r.GET("/closed", func(c *gin.Context) {
					assert.NotNil(t, c.Writer.CloseNotify())
					c.Status(http.StatusOK)
				})
				return r
			})
			assert.Equal(t, "part part part ", site.Get("/stream"))
			assert.Equal(t, "event:message\ndata:hello\n\n", site.Get("/events"))
			assert.Equal(t, "a string", site.Get("/string"))
			assert.Equal(t, "a file", site.Get("/reader"))
			site.Get("/closed")
			if http2 {
				assert.Equal(t, "pushes", site.Get("/push"))
				return
			}
			assert.Equal(t, "does not push", site.Get("/push"))
			assert.Equal(t, "taken over\n", site.Hijacked("/hijack"))
		})
	}
}
