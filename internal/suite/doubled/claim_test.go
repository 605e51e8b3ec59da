package doubled

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/singleflight"
	"github.com/wechatauth/wechatauth/store"
)

// A deaf store executes the first lease request and loses its reply.
type deaf struct {
	*store.Memory
	claims atomic.Int32
}

func (d *deaf) PutMarkNX(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	won, err := d.Memory.PutMarkNX(ctx, key, value, ttl)
	if d.claims.Add(1) == 1 {
		return false, authtest.ErrBroken
	}
	return won, err
}

func TestLease_LostReply(t *testing.T) {
	d := &deaf{}
	s := authtest.NewSite(t, authtest.OnClock(func(now func() time.Time) wechatauth.Option {
		d.Memory = store.NewMemory(store.WithClock(now))
		return wechatauth.WithStore(d)
	}))
	s.Wait = s.WaitOut()
	b := s.Browser()
	callback := b.Authorize("/orders")
	require.Equal(t, http.StatusServiceUnavailable, b.Step(callback).StatusCode)
	began := s.Clock.Now()
	assert.Contains(t, b.Visit(callback).Text, "url=/orders logged-in=true")
	assert.Equal(t, 1, s.Exchanges())
	assert.LessOrEqual(t, s.Clock.Now().Sub(began), singleflight.Lease+singleflight.MaxPoll)
}

func TestDuplicateCallback_Wait(t *testing.T) {
	t.Run("T88 client disconnects", func(t *testing.T) {
		var failed atomic.Int32
		s := authtest.NewSite(t, wechatauth.WithObserver(authtest.ObserverFunc(func(e wechatauth.Event) {
			if e.Reason != "" {
				failed.Add(1)
			}
		})))
		waits := make(chan struct{}, 1)
		s.Wait = func(ctx context.Context, _ time.Duration) error {
			waits <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		}
		served, handler := make(chan struct{}, 1), s.Server.Config.Handler
		s.Server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			handler.ServeHTTP(w, r)
			served <- struct{}{}
		})
		b := s.Browser()
		callback := b.Authorize("/a")
		<-served
		release := s.Sim.Block("sns/oauth2/access_token")
		call := func(ctx context.Context) {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, callback, nil)
			assert.NoError(t, err)
			r.Header = b.Header.Clone()
			for _, c := range b.Client.Jar.Cookies(s.Base) {
				r.AddCookie(c)
			}
			if resp, err := s.Server.Client().Transport.RoundTrip(r); err == nil {
				resp.Body.Close()
			}
		}
		go call(t.Context())
		require.NoError(t, s.Sim.WaitForCalls(t.Context(), "sns/oauth2/access_token", 1))
		ctx, leave := context.WithCancel(t.Context())
		go call(ctx)
		<-waits
		leave()
		<-served
		assert.Zero(t, failed.Load())
		release()
		<-served
	})
}
