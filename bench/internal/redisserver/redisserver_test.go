package redisserver

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTaken(t *testing.T) {
	first, err := Start(t.Context())
	require.NoError(t, err)
	t.Cleanup(first.Close)

	second := &Server{port: first.port, dir: t.TempDir()}
	err = second.launch(t.Context())
	require.Error(t, err)
	assert.True(t, taken(err), err.Error())

	nowhere := &Server{port: first.port + 1, dir: t.TempDir() + "/absent"}
	err = nowhere.launch(t.Context())
	require.Error(t, err)
	assert.False(t, taken(err), err.Error())
}
