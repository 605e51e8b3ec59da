package authtest

import (
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/relay"
	"github.com/wechatauth/wechatauth/wechattest"
)

// NewRelayedSite starts a site whose account is configured for the relay's
// domain only.
func NewRelayedSite(t *testing.T) (*Site, *httptest.Server) {
	t.Helper()
	key := []byte("0123456789abcdefghijklmnopqrstuv")
	front := httptest.NewUnstartedServer(nil)
	server := httptest.NewUnstartedServer(nil)
	relayURL := "http://" + front.Listener.Addr().String() + "/relay"
	handler, err := relay.New(key, "http://"+server.Listener.Addr().String()+"/wechat/callback")
	require.NoError(t, err)
	front.Config.Handler = handler
	front.Start()
	t.Cleanup(front.Close)
	s := StartSite(t, wechattest.NewServer(), server, wechatauth.WithRelay(relayURL, key))
	return s, front
}
