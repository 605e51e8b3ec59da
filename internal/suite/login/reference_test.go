package login

import (
	"net/http"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/wechattest"
)

// The reference on a page leads to the log: the time, and the flow of a login
// that failed.
func TestPage_Reference(t *testing.T) {
	var events authtest.Recorder
	s := authtest.NewSite(t, wechatauth.WithObserver(&events))
	reference := func(page authtest.Response) string {
		found := regexp.MustCompile(`问题编号：<code>([^<]+)</code>`).FindStringSubmatch(page.Text)
		require.NotNil(t, found, page.Text)
		return found[1]
	}
	now := s.Clock.Now().UTC().Format("2006-01-02 15:04:05 UTC")

	t.Run("a login that failed", func(t *testing.T) {
		b := s.Browser()
		s.Sim.Fail(authtest.ExchangeEndpoint, wechattest.Errcode(40226))
		page := b.Visit("/a")
		require.Equal(t, http.StatusForbidden, page.StatusCode)
		failed := events.Event(t, wechatauth.EventLoginFailed)
		require.NotEmpty(t, failed.Flow)
		assert.Equal(t, now+" "+failed.Flow, reference(page))
		assert.Equal(t, failed.Flow, events.Event(t, wechatauth.EventLoginStarted).Flow)
	})
	t.Run("a login of another browser", func(t *testing.T) {
		page := s.Browser().Step("/wechat/callback?code=x&state=" + regexp.MustCompile(`state=([^&#]+)`).FindStringSubmatch(s.Browser().Step("/a").Header.Get("Location"))[1])
		require.Equal(t, http.StatusBadRequest, page.StatusCode)
		assert.Equal(t, now, reference(page))
	})
}
