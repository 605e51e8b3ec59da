package client

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is a token, session_key or AppSecret. It prints as [redacted] in fmt,
// JSON and slog, so that it cannot reach a log by accident; where fmt calls no
// methods, for a verb that it does not know or a Secret in an unexported field,
// it prints an address. encoding/gob refuses it. [Secret.Reveal] returns the
// text. Decoding JSON into a Secret works as for a string.
//
// The zero value is the empty secret. Secrets do not compare with ==; see
// [Secret.Equal]. A Secret is immutable and safe for concurrent use.
type Secret struct {
	_    [0]func() // == would compare addresses
	text *string   // a pointer, because fmt prints what unexported fields hold
}

// NewSecret returns a Secret that holds text.
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

// Equal reports whether both hold the same text. Its time tells nothing but
// whether they are equally long.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// String returns [redacted].
func (s Secret) String() string { return redacted }

// GoString returns [redacted].
func (s Secret) GoString() string { return redacted }

// Format writes [redacted], whatever the verb. fmt does not ask it about %T, %p
// and, outside of fmt.Errorf, %w.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns [redacted].
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON returns "[redacted]".
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText returns [redacted].
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalText makes text the secret. The error is always nil.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}
