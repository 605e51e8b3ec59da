package login

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
)

func TestWithAccessCheck(t *testing.T) {
	var banned atomic.Bool
	s := authtest.NewSite(t, wechatauth.WithAccessCheck(func(_ context.Context, id wechatauth.Identity) error {
		if banned.Load() {
			return fmt.Errorf("banned for this test: %w", wechatauth.ErrForbidden)
		}
		return nil
	}, 0))
	b := s.Browser()
	assert.Contains(t, b.Visit("/a").Text, "logged-in=true")
	banned.Store(true)
	page := b.Visit("/a")
	assert.Equal(t, http.StatusForbidden, page.StatusCode)
	assert.Contains(t, page.Text, "not_authorized")
	assert.NotContains(t, page.Text, "banned for this test")
	assert.Contains(t, s.Logs.String(), "banned for this test")
	script := b.Fetch(http.MethodGet, "/a")
	assert.Equal(t, http.StatusForbidden, script.StatusCode)
	assert.JSONEq(t, `{"error":"forbidden","reason":"not_authorized"}`, script.Text[:len(script.Text)-1])
	assert.Contains(t, b.Visit("/public").Text, "logged-in=false")
	banned.Store(false)
	assert.Contains(t, b.Visit("/a").Text, "logged-in=true")
}

func TestWithAccessCheck_Cached(t *testing.T) {
	var asked atomic.Int32
	var result atomic.Pointer[error]
	s := authtest.NewSite(t, wechatauth.WithAccessCheck(func(context.Context, wechatauth.Identity) error {
		asked.Add(1)
		if err := result.Load(); err != nil {
			return *err
		}
		return nil
	}, time.Minute))
	b := s.Browser()
	for range 5 {
		b.Visit("/a")
	}
	assert.EqualValues(t, 1, asked.Load())
	s.Clock.Advance(time.Minute)
	refusal := wechatauth.ErrForbidden
	result.Store(&refusal)
	for range 5 {
		assert.Equal(t, http.StatusForbidden, b.Visit("/a").StatusCode)
	}
	assert.EqualValues(t, 6, asked.Load())
	result.Store(nil)
	assert.Equal(t, http.StatusOK, b.Visit("/a").StatusCode)
}

func TestWithOnLogin_Forbidden(t *testing.T) {
	s := authtest.NewSite(t, wechatauth.WithOnLogin(func(_ context.Context, id wechatauth.Identity) error {
		return fmt.Errorf("no account here: %w", wechatauth.ErrForbidden)
	}))
	b := s.Browser()
	got := b.Visit("/a")
	assert.Equal(t, http.StatusForbidden, got.StatusCode)
	assert.Contains(t, got.Text, "not_authorized")
	assert.NotContains(t, got.Text, "no account here")
	assert.Nil(t, b.Cookie(s.SessionCookie()))
}

// If the client disconnects while the function queries a database, that is not
// an error.
func TestWithAccessCheck_Disconnect(t *testing.T) {
	asking, ended := make(chan struct{}), make(chan struct{})
	var failure atomic.Bool
	s := authtest.NewSite(t, wechatauth.WithAccessCheck(func(ctx context.Context, _ wechatauth.Identity) error {
		if failure.Load() {
			return errors.New("database failed")
		}
		asking <- struct{}{}
		<-ctx.Done()
		return errors.New("query canceled")
	}, 0))
	handler := s.Server.Config.Handler
	b := s.Browser()
	callback := b.Authorize("/a")
	require.Equal(t, http.StatusSeeOther, b.Step(callback).StatusCode)
	s.Server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r)
		ended <- struct{}{}
	})
	for _, path := range []string{"/a", "/public"} { // RequireWeChat and LoadWeChat
		ctx, leave := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Base.String()+path, nil)
		require.NoError(t, err)
		r.AddCookie(b.Cookie(s.SessionCookie()))
		r.Header.Set("Accept", "text/html")
		go func() {
			<-asking
			leave()
		}()
		resp, err := s.Server.Client().Transport.RoundTrip(r)
		if err == nil {
			resp.Body.Close()
		}
		require.ErrorIs(t, err, context.Canceled, path)
		<-ended
		logged := lastLine(s.Logs.String())
		assert.Contains(t, logged, "client disconnected", path)
		assert.Contains(t, logged, "level=INFO", path)
	}
	assert.NotContains(t, s.Logs.String(), "level=ERROR")
	failure.Store(true)
	go func() { <-ended }()
	assert.Equal(t, http.StatusServiceUnavailable, b.Step("/a").StatusCode)
	assert.Contains(t, lastLine(s.Logs.String()), "level=ERROR")
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
