package client

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// A Secret is a token, session_key or AppSecret. It prints as [redacted] with
// fmt, encoding/json and log/slog, so that it does not reach a log by accident.
// If fmt calls no methods, as for an unknown verb or an unexported field, it
// prints an address. encoding/gob returns an error. Use [Secret.Reveal] to get
// the text. A Secret is decoded from JSON like a string.
//
// The zero value is the empty secret. Secrets cannot be compared with ==; use
// [Secret.Equal]. A Secret is immutable and safe for concurrent use by multiple
// goroutines.
type Secret struct {
	_    [0]func() // == would compare addresses
	text *string   // a pointer, because fmt prints the contents of unexported fields
}

// NewSecret returns a Secret with the given text.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{text: &text}
}

// Reveal returns the secret's text.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// Equal reports whether s and other have the same text. Its running time
// depends only on whether their lengths are equal.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// String returns [redacted].
func (s Secret) String() string { return redacted }

// GoString returns [redacted].
func (s Secret) GoString() string { return redacted }

// Format writes [redacted], regardless of the verb. fmt does not call it for
// %T, %p and, outside fmt.Errorf, %w.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns [redacted].
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON returns "[redacted]".
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText returns [redacted].
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalText sets the secret to text. It always returns nil.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}
