package threat

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/store"
)

func TestDuplicateCallback(t *testing.T) {
	// A second login of the same user stores more than its result. A duplicate
	// callback must find all of it, whatever optional interfaces the store has.
	t.Run("T06 second login", func(t *testing.T) {
		for kind, opts := range authtest.Keepers(t) {
			t.Run(kind, func(t *testing.T) {
				s := authtest.NewSite(t, opts()...)
				b := s.Browser()
				old := b.VisitForToken("/a")
				callback := b.Authorize("/wechat/login?next=/b&again=1")
				late := s.Browser()
				for _, c := range b.Client.Jar.Cookies(s.Base) {
					late.SetCookie(c.Name, c.Value)
				}
				s.Wait = func(context.Context, time.Duration) error { return context.DeadlineExceeded }
				exchanges := s.Exchanges()
				first, second := b.Step(callback), late.Step(callback)
				assert.Equal(t, http.StatusSeeOther, first.StatusCode)
				assert.Equal(t, http.StatusSeeOther, second.StatusCode, second.Text)
				assert.Equal(t, first.Header.Get("Location"), second.Header.Get("Location"))
				assert.Equal(t, b.Cookie(s.SessionCookie()).Value, late.Cookie(s.SessionCookie()).Value)
				assert.Equal(t, exchanges+1, s.Exchanges())
				assert.Contains(t, s.Holding(s.SessionCookie(), old).Step("/public").Text, "logged-in=true", "a request in flight has the old cookie")
			})
		}
	})

	// If the old session cannot be deleted, the login still succeeds.
	t.Run("T06 old session cannot be deleted", func(t *testing.T) {
		s := authtest.NewSite(t, wechatauth.WithStore(undeletable{store.NewMemory()}))
		b := s.Browser()
		b.VisitForToken("/a")
		callback := b.Authorize("/wechat/login?next=/b&again=1")
		late := s.Browser()
		for _, c := range b.Client.Jar.Cookies(s.Base) {
			late.SetCookie(c.Name, c.Value)
		}
		s.Wait = func(context.Context, time.Duration) error { return context.DeadlineExceeded }
		assert.Equal(t, "/b", b.Step(callback).Header.Get("Location"))
		assert.Equal(t, "/b", late.Step(callback).Header.Get("Location"))
		assert.Equal(t, b.Cookie(s.SessionCookie()).Value, late.Cookie(s.SessionCookie()).Value)
	})
}

// An undeletable is a store in which nothing can be deleted.
type undeletable struct{ *store.Memory }

func (undeletable) DeleteCtx(context.Context, string) error { return authtest.ErrBroken }

func (undeletable) DeleteAndReportCtx(context.Context, string) (bool, error) {
	return false, authtest.ErrBroken
}
