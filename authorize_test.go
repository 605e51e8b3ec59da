package wechatauth

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestAuthorizeStopsWhoIsNotWanted(t *testing.T) {
	var banned atomic.Bool
	s := newSite(t, WithAuthorize(func(_ context.Context, id Identity) error {
		if banned.Load() {
			return fmt.Errorf("banned for this test: %w", ErrForbidden)
		}
		return nil
	}))
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
	s := newSite(t, WithAuthorizeInterval(time.Minute), WithAuthorize(func(context.Context, Identity) error {
		asked.Add(1)
		if err := answer.Load(); err != nil {
			return *err
		}
		return nil
	}))
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
