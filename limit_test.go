package wechatauth

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestBeyondTheLoginsOfAMinuteNoCodeIsSpent(t *testing.T) {
	s := newMiniSite(t, WithLoginsPerMinute(2))
	s.clock.Advance(time.Minute - time.Duration(s.clock.Now().Unix()%60)*time.Second) // a minute begins
	for range 2 {
		assert.Contains(t, s.browser().visit("/a").body, "logged-in=true")
	}
	third := s.browser()
	callback := third.authorize("/a")
	got := third.step(callback)
	assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
	assert.Contains(t, got.body, "rate_limited")
	assert.NotEmpty(t, got.Header.Get("Retry-After"))
	assert.Equal(t, http.StatusTooManyRequests, s.request(http.MethodPost, "/wechat/mini/login", "", `{"code":"`+s.sim.JSCode(miniApp, person(0))+`"}`).StatusCode)
	assert.Equal(t, 2, s.exchanges())

	s.clock.Advance(time.Minute)
	assert.Contains(t, third.visit(callback).body, "logged-in=true", "a reload in the next minute finishes the login")
}
