package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestASecretPrintsAsRedactedInEveryVerb(t *testing.T) {
	const canary = "CANARYsecret"
	s := Secret(canary)
	values := []any{s, &s, []Secret{s}, map[string]Secret{"k": s}, Token{AccessToken: s}, &MiniSession{SessionKey: s}}
	for _, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%10.3s", "%T %v"} {
			text := fmt.Sprintf(verb, v, v)
			assert.NotContains(t, text, canary, verb)
			assert.NotContains(t, text, fmt.Sprintf("%x", canary), verb)
		}
		data, err := json.Marshal(v)
		require.NoError(t, err)
		assert.NotContains(t, string(data), canary)
		for _, handler := range []func(*bytes.Buffer) slog.Handler{
			func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
			func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		} {
			var log bytes.Buffer
			slog.New(handler(&log)).Info("m", "v", v)
			assert.NotContains(t, log.String(), canary)
		}
	}
	assert.Equal(t, canary, s.Reveal())
}

func TestAClientPrintsWithoutItsSecret(t *testing.T) {
	const canary = "CANARYsecret"
	c, err := New(testAppID, canary)
	require.NoError(t, err)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		for _, v := range []any{c, struct{ c *Client }{c}, struct{ c Client }{*c}} {
			assert.NotContains(t, fmt.Sprintf(verb, v), canary, verb)
		}
	}
	data, err := json.Marshal(map[string]any{"client": c})
	require.NoError(t, err)
	assert.NotContains(t, string(data), canary)
}

func TestASecretIsReadFromJSONLikeAString(t *testing.T) {
	var v struct{ Key Secret }
	require.NoError(t, json.Unmarshal([]byte(`{"Key":"abc"}`), &v))
	assert.Equal(t, "abc", v.Key.Reveal())
}
