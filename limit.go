package wechatauth

import (
	"fmt"
	"sync"
	"time"
)

// WithLoginsPerMinute bounds how many codes an instance hands to WeChat in a
// minute, per account: what is beyond it is answered 503 with
// ReasonRateLimited, and the code is not spent. WeChat itself stops at 50,000 a
// minute for an account. Default 0: no bound.
func WithLoginsPerMinute(n int) Option {
	return func(c *config) { c.loginsPerMinute = n }
}

func (c *config) validateLimit() error {
	if c.loginsPerMinute < 0 {
		return fmt.Errorf("WithLoginsPerMinute: %d is less than 0, which means no bound", c.loginsPerMinute)
	}
	return nil
}

// limiter counts within the minutes of the clock.
type limiter struct {
	max int
	now func() time.Time

	mu     sync.Mutex
	minute int64
	count  int
}

// take reports whether one more is within the bound.
func (l *limiter) take() bool {
	if l.max == 0 {
		return true
	}
	minute := l.now().Unix() / 60
	l.mu.Lock()
	defer l.mu.Unlock()
	if minute != l.minute {
		l.minute, l.count = minute, 0
	}
	if l.count >= l.max {
		return false
	}
	l.count++
	return true
}
