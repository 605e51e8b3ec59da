package wechatauth

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
)

func TestAuthorizeStopsWhoIsNotWanted(t *testing.T) {
	var banned atomic.Bool
	s := newSite(t, WithAuthorize(func(_ context.Context, id Identity) error {
		if banned.Load() {
			return fmt.Errorf("banned for this test: %w", ErrForbidden)
		}
		return nil
	}, 0))
	b := s.browser()
	assert.Contains(t, b.visit("/a").body, "logged-in=true")
	banned.Store(true)
	page := b.visit("/a")
	assert.Equal(t, http.StatusForbidden, page.StatusCode)
	assert.Contains(t, page.body, "not_authorized")
	assert.NotContains(t, page.body, "banned for this test")
	assert.Contains(t, s.logs.String(), "banned for this test")
	script := b.fetch(http.MethodGet, "/a")
	assert.Equal(t, http.StatusForbidden, script.StatusCode)
	assert.JSONEq(t, `{"error":"forbidden","reason":"not_authorized"}`, script.body[:len(script.body)-1])
	assert.Contains(t, b.visit("/public").body, "logged-in=false")
	banned.Store(false)
	assert.Contains(t, b.visit("/a").body, "logged-in=true")
}

func TestAuthorizeIsAskedOncePerIntervalAndARefusalIsNotRemembered(t *testing.T) {
	var asked atomic.Int32
	var answer atomic.Pointer[error]
	s := newSite(t, WithAuthorize(func(context.Context, Identity) error {
		asked.Add(1)
		if err := answer.Load(); err != nil {
			return *err
		}
		return nil
	}, time.Minute))
	b := s.browser()
	for range 5 {
		b.visit("/a")
	}
	assert.EqualValues(t, 1, asked.Load())
	s.clock.Advance(time.Minute)
	refusal := ErrForbidden
	answer.Store(&refusal)
	for range 5 {
		assert.Equal(t, http.StatusForbidden, b.visit("/a").StatusCode)
	}
	assert.EqualValues(t, 6, asked.Load())
	answer.Store(nil)
	assert.Equal(t, http.StatusOK, b.visit("/a").StatusCode)
}

func TestOnLoginMayRefuseALogin(t *testing.T) {
	s := newSite(t, WithOnLogin(func(_ context.Context, id Identity) error { return fmt.Errorf("no account here: %w", ErrForbidden) }))
	b := s.browser()
	got := b.visit("/a")
	assert.Equal(t, http.StatusForbidden, got.StatusCode)
	assert.Contains(t, got.body, "not_authorized")
	assert.NotContains(t, got.body, "no account here")
	assert.Nil(t, b.cookie(s.sessionCookie()))
}

// A client that disconnects while the function asks a database is not an error.
func TestWithAuthorize_clientGone(t *testing.T) {
	asking, ended := make(chan struct{}), make(chan struct{})
	var failure atomic.Bool
	s := newSite(t, WithAuthorize(func(ctx context.Context, _ Identity) error {
		if failure.Load() {
			return errors.New("database failed")
		}
		asking <- struct{}{}
		<-ctx.Done()
		return errors.New("query canceled")
	}, 0))
	handler := s.server.Config.Handler
	b := s.browser()
	callback := b.authorize("/a")
	require.Equal(t, http.StatusSeeOther, b.step(callback).StatusCode)
	s.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r)
		ended <- struct{}{}
	})
	for _, path := range []string{"/a", "/public"} { // RequireWeChat and LoadWeChat
		ctx, leave := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.auth.base.String()+path, nil)
		require.NoError(t, err)
		r.AddCookie(b.cookie(s.sessionCookie()))
		r.Header.Set("Accept", "text/html")
		go func() {
			<-asking
			leave()
		}()
		resp, err := s.server.Client().Transport.RoundTrip(r)
		if err == nil {
			resp.Body.Close()
		}
		require.ErrorIs(t, err, context.Canceled, path)
		<-ended
		logged := lastLine(s.logs.String())
		assert.Contains(t, logged, "client disconnected", path)
		assert.Contains(t, logged, "level=INFO", path)
	}
	assert.NotContains(t, s.logs.String(), "level=ERROR")
	failure.Store(true)
	go func() { <-ended }()
	assert.Equal(t, http.StatusServiceUnavailable, b.step("/a").StatusCode)
	assert.Contains(t, lastLine(s.logs.String()), "level=ERROR")
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
