package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/assert"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/examples/internal/gatetest"
)

// echo's Response.Flush panics if the writer does not implement http.Flusher.
func TestResponseWriter_Echo(t *testing.T) {
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			site := gatetest.Serve(t, http2, func(auth *wechatauth.Auth) http.Handler {
				e := echo.New()
				e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
					return func(c echo.Context) error {
						auth.Sessions().Put(c.Request().Context(), "seen", true)
						return next(c)
					}
				})
				e.GET("/flush", func(c echo.Context) error {
					for range 3 {
						fmt.Fprint(c.Response(), "part ")
						c.Response().Flush()
					}
					return nil
				})
				e.GET("/stream", func(c echo.Context) error { return c.Stream(http.StatusOK, "text/plain", strings.NewReader("a file")) })
				e.GET("/deadline", func(c echo.Context) error {
					rc := http.NewResponseController(c.Response())
					assert.NoError(t, rc.SetReadDeadline(time.Now().Add(time.Minute)))
					assert.NoError(t, rc.SetWriteDeadline(time.Now().Add(time.Minute)))
					return c.NoContent(http.StatusOK)
				})
				e.GET("/hijack", func(c echo.Context) error {
					conn, buf, err := c.Response().Hijack()
					if http2 {
						assert.ErrorIs(t, err, http.ErrNotSupported)
						return c.NoContent(http.StatusOK)
					}
					gatetest.TakeOver(conn, buf, err)
					return nil
				})
				return e
			})
			assert.Equal(t, "part part part ", site.Get("/flush"))
			assert.Equal(t, "a file", site.Get("/stream"))
			site.Get("/deadline")
			if http2 {
				site.Get("/hijack")
				return
			}
			assert.Equal(t, "taken over\n", site.Hijacked("/hijack"))
		})
	}
}
