package client_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/wechattest"
)

func TestWithObserver(t *testing.T) {
	sim := wechattest.NewServer()
	defer sim.Close()
	var calls []client.Call
	c, err := client.New(wechattest.DefaultAppID, wechattest.DefaultSecret, client.WithEndpoints(sim.Endpoints()),
		client.WithObserver(func(_ context.Context, call client.Call) { calls = append(calls, call) }))
	require.NoError(t, err)

	_, err = c.Exchange(context.Background(), "never-given-out")
	require.Error(t, err)
	_, _ = c.Exchange(context.Background(), "") // not sent, so not reported

	require.Len(t, calls, 1)
	assert.Equal(t, wechattest.DefaultAppID, calls[0].AppID)
	assert.Equal(t, "sns/oauth2/access_token", calls[0].Endpoint)
	assert.Positive(t, calls[0].Duration)
	assert.Equal(t, err, calls[0].Err)
	assert.ErrorIs(t, calls[0].Err, client.ErrCodeInvalid)
}
