package client

import (
	"bytes"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const canary = "CANARYsecret"

// holders returns values that contain a Secret.
func holders() map[string]any {
	s := NewSecret(canary)
	return map[string]any{
		"a Secret":            s,
		"a *Secret":           &s,
		"a Token":             Token{AccessToken: s, RefreshToken: s},
		"a *Token":            &Token{AccessToken: s, RefreshToken: s},
		"a MiniSession":       MiniSession{SessionKey: s},
		"a *MiniSession":      &MiniSession{SessionKey: s},
		"a slice":             []Secret{s},
		"an array":            [1]Secret{s},
		"a map":               map[string]Secret{"k": s},
		"an exported field":   struct{ S Secret }{s},
		"an unexported field": struct{ s Secret }{s},
		"a pointer to one":    struct{ s *Secret }{&s},
		"a slice in a field":  struct{ s []Secret }{[]Secret{s}},
		"an interface":        struct{ v any }{s},
		"deep down":           map[string]any{"k": []any{struct{ t *Token }{&Token{AccessToken: s}}, Token{AccessToken: s}}},
		"joined errors":       errors.Join(errors.New("x"), fmt.Errorf("token %v, %v, %v: %w", s, Token{AccessToken: s}, []Secret{s}, errors.New("y"))),
	}
}

func assertNoCanary(t *testing.T, text, how string) {
	t.Helper()
	for _, form := range []string{canary, hex.EncodeToString([]byte(canary)), fmt.Sprint([]byte(canary))} {
		assert.False(t, strings.Contains(strings.ToLower(text), strings.ToLower(form)), "%s: %s", how, text)
	}
}

func TestSecret_Format(t *testing.T) {
	for name, v := range holders() {
		t.Run(name, func(t *testing.T) {
			for letter := 'A'; letter <= 'z'; letter++ {
				for _, flags := range []string{"", "+", "#", "-", " ", "0", "+#", "# ", "20", ".50", "-20.50", "[1]"} {
					verb := "%" + flags + string(letter)
					assertNoCanary(t, fmt.Sprintf(verb, v), verb)
					assertNoCanary(t, fmt.Errorf(verb, v).Error(), verb)
				}
			}
			assertNoCanary(t, fmt.Sprint(v), "Sprint")
			for _, format := range []string{"%*d", "%.*d", "%!", "%", "%[2]v", "none"} {
				assertNoCanary(t, fmt.Sprintf(format, v, v), format)
			}
		})
	}
}

func TestSecret_Encoders(t *testing.T) {
	for name, v := range holders() {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			out.WriteString(fmt.Sprint(json.NewEncoder(&out).Encode(v)))
			assertNoCanary(t, out.String(), "JSON")
			out.Reset()
			out.WriteString(fmt.Sprint(xml.NewEncoder(&out).Encode(v)))
			assertNoCanary(t, out.String(), "XML")
			out.Reset()
			out.WriteString(fmt.Sprint(gob.NewEncoder(&out).Encode(v)))
			assertNoCanary(t, out.String(), "gob")
			out.Reset()
			slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", v, slog.Group("g", "v", v))
			slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", v, slog.Group("g", "v", v))
			assertNoCanary(t, out.String(), "slog")
		})
	}
	assert.Error(t, gob.NewEncoder(&bytes.Buffer{}).Encode(NewSecret(canary)))
}

func TestSecret_Redacted(t *testing.T) {
	s := NewSecret(canary)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		assert.Equal(t, "[redacted]", fmt.Sprintf(verb, s), verb)
	}
	assert.Equal(t, "[redacted]", s.String())
	assert.Equal(t, "[redacted]", s.GoString())
	assert.Equal(t, "[redacted]", s.LogValue().String())
	data, err := json.Marshal(map[string]Secret{"k": s})
	require.NoError(t, err)
	assert.JSONEq(t, `{"k":"[redacted]"}`, string(data))
}

func TestSecret_Equal(t *testing.T) {
	var zero Secret
	assert.Equal(t, canary, NewSecret(canary).Reveal())
	assert.Empty(t, zero.Reveal())
	assert.True(t, zero.IsZero())
	assert.True(t, NewSecret("").IsZero())
	assert.False(t, NewSecret(canary).IsZero())
	assert.True(t, NewSecret(canary).Equal(NewSecret(strings.Clone(canary))))
	assert.True(t, zero.Equal(NewSecret("")))
	assert.False(t, NewSecret(canary).Equal(NewSecret(canary+"x")))
	assert.False(t, NewSecret(canary).Equal(zero))
}

func TestClient_Format(t *testing.T) {
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

func TestSecret_UnmarshalText(t *testing.T) {
	var v struct{ Key Secret }
	require.NoError(t, json.Unmarshal([]byte(`{"Key":"abc"}`), &v))
	assert.Equal(t, "abc", v.Key.Reveal())
	assert.Error(t, json.Unmarshal([]byte(`{"Key":7}`), &v))
}
