package access

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestDo(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	asked := 0
	for _, tt := range []struct {
		name     string
		interval time.Duration
		passes   time.Duration // between the two calls
		first    error
		want     int // calls of the function
	}{
		{"no interval", 0, 0, nil, 2},
		{"within the interval", time.Minute, time.Minute - 1, nil, 1},
		{"after the interval", time.Minute, time.Minute, nil, 2},
		{"after an error", time.Minute, 0, errors.New("no"), 2},
	} {
		asked = 0
		m := Cache{Interval: tt.interval, Now: func() time.Time { return now }}
		assert.Equal(t, tt.first, m.Do("app", "user", func() error { asked++; return tt.first }), tt.name)
		now = now.Add(tt.passes)
		assert.NoError(t, m.Do("app", "user", func() error { asked++; return nil }), tt.name)
		assert.Equal(t, tt.want, asked, tt.name)
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	m := Cache{Interval: time.Hour, Now: time.Now}
	for i := range maxUsers + 10 {
		assert.NoError(t, m.Do("app", strconv.Itoa(i), func() error { return nil }))
	}
	assert.Len(t, m.until, 10)
}

func TestDo_cost(t *testing.T) {
	m := Cache{Now: time.Now}
	openID := strconv.Itoa(1_700_000_000) + "ABCDEFGHIJKLMNOPQR"
	assert.Zero(t, testing.AllocsPerRun(10, func() {
		_ = m.Do("wx00000000000000a1", openID, func() error { return nil })
	}), "with no interval, nothing is kept")
}
