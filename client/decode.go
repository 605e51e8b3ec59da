package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits that bound the memory used for 64 KiB of JSON. WeChat's responses have
// about ten members, two levels and hardly any control bytes.
const (
	maxDepth    = 16
	maxMembers  = 128
	maxControls = 4096     // control bytes in strings
	maxTexts    = 32       // members read from a list
	maxText     = 16 << 10 // bytes of JSON read as a string
	maxNumber   = 64       // bytes of JSON read as a number
)

const byteOrderMark = "\xef\xbb\xbf"

// A jsonObject is a JSON object from WeChat whose values are not decoded yet.
type jsonObject struct {
	endpoint string
	fields   map[string]json.RawMessage
}

// The keys that determine the user's identity or whether a call succeeded, in
// responses and in the data that mini programs decrypt. A second spelling of
// one of them is ambiguous: two parsers could find two different users.
var (
	responseKeys = []string{
		"openid", "unionid", "session_key", "access_token", "refresh_token",
		"scope", "is_snapshotuser", "errcode", "phone_info",
	}
	payloadKeys   = []string{"openId", "unionId", "phoneNumber", "purePhoneNumber", "countryCode", "watermark"}
	watermarkKeys = []string{"appid"}
)

// parseObject parses a single JSON object. Control bytes inside strings, which
// WeChat sends in names, are read as if they were escaped. A decisive key may
// occur only once and only in its exact case; for any other key the last value
// counts.
func parseObject(body []byte, decisive []string) (map[string]json.RawMessage, error) {
	return parseKeys(body, decisive, false)
}

// parseKeys is like parseObject. With anyCase, a decisive key counts in any case
// and only once among all its spellings; fields has it as in decisive.
func parseKeys(body []byte, decisive []string, anyCase bool) (map[string]json.RawMessage, error) {
	body = bytes.TrimPrefix(body, []byte(byteOrderMark))
	body, err := escapeControls(body)
	if err != nil {
		return nil, err
	}
	if !json.Valid(body) {
		return nil, errors.New("is not JSON")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("is not a JSON object")
	}
	fields := map[string]json.RawMessage{}
	for members := 0; dec.More(); members++ {
		if members == maxMembers {
			return nil, errors.New("has too many members")
		}
		key, value, err := nextField(dec, decisive, anyCase)
		if err != nil {
			return nil, err
		}
		if _, twice := fields[key]; twice && slices.Contains(decisive, key) {
			return nil, fmt.Errorf("has the key %s twice", key)
		}
		fields[key] = value
	}
	return fields, nil
}

func nextField(dec *json.Decoder, decisive []string, anyCase bool) (key string, value json.RawMessage, err error) {
	token, err := dec.Token()
	if err != nil {
		return "", nil, errors.New("is not JSON")
	}
	key, _ = token.(string)
	if err := dec.Decode(&value); err != nil {
		return "", nil, errors.New("is not JSON")
	}
	for _, known := range decisive {
		if key != known && strings.EqualFold(key, known) {
			if anyCase {
				return known, value, nil
			}
			return "", nil, fmt.Errorf("has the key %s in a different case", known)
		}
	}
	return key, value, nil
}

// escapeControls escapes control bytes inside string literals. It returns an
// error for more than 4,096 of them and for nesting deeper than 16 levels. If
// there is nothing to escape, it returns body itself.
func escapeControls(body []byte) ([]byte, error) {
	var out []byte
	done, count, depth, inString, escaped := 0, 0, 0, false, false
	for i, c := range body {
		switch {
		case inString && c < 0x20:
			if count++; count > maxControls {
				return nil, errors.New("has too many control characters")
			}
			if out == nil {
				out = make([]byte, 0, len(body)+6*min(maxControls, len(body)-i))
			}
			out = append(out, body[done:i]...)
			if escaped { // a backslash before a raw control byte: escape the backslash too
				out = append(out, '\\')
			}
			out = fmt.Appendf(out, `\u%04x`, c)
			done, escaped = i+1, false
		case escaped:
			escaped = false
		case inString && c == '\\':
			escaped = true
		case c == '"':
			inString = !inString
		case !inString && (c == '{' || c == '['):
			if depth++; depth > maxDepth {
				return nil, errors.New("is nested too deeply")
			}
		case !inString && (c == '}' || c == ']'):
			depth--
		}
	}
	if out == nil {
		return body, nil
	}
	return append(out, body[done:]...), nil
}

// badResponse returns the error for a response that cannot be used. The text of
// err continues a sentence that begins with "response".
func (o *jsonObject) badResponse(err error) *Error { return badResponse(o.endpoint, err) }

// errcode returns the response's errcode; absent and null count as 0.
func (o *jsonObject) errcode() (int, error) {
	raw, ok := o.fields["errcode"]
	if !ok || string(raw) == "null" {
		return 0, nil
	}
	n, ok := o.integer("errcode")
	if !ok || n < math.MinInt32 || n > math.MaxInt32 {
		return 0, errors.New("has an errcode that is not a number")
	}
	return int(n), nil
}

// requireErrcode returns an error unless the response contains an explicit
// errcode. It is for responses that contain nothing else.
func (o *jsonObject) requireErrcode() error {
	if raw, ok := o.fields["errcode"]; !ok || string(raw) == "null" {
		return o.badResponse(errors.New("has no errcode"))
	}
	return nil
}

func (o *jsonObject) requireIdentifier(key string, to *string) error {
	if err := o.optionalIdentifier(key, to); err != nil {
		return err
	}
	if *to == "" {
		return fmt.Errorf("has no %s", key)
	}
	return nil
}

func (o *jsonObject) optionalIdentifier(key string, to *string) error {
	s, err := o.strict(key)
	if err != nil {
		return err
	}
	if s != "" && !isIdentifier(s) {
		return fmt.Errorf("has a malformed %s", key)
	}
	*to = s
	return nil
}

func (o *jsonObject) requireToken(key string, to *Secret) error {
	if err := o.optionalToken(key, to); err != nil {
		return err
	}
	if to.IsZero() {
		return fmt.Errorf("has no %s", key)
	}
	return nil
}

func (o *jsonObject) optionalToken(key string, to *Secret) error {
	s, err := o.strict(key)
	if err != nil {
		return err
	}
	if s != "" && !isToken(s) {
		return fmt.Errorf("has a malformed %s", key)
	}
	*to = NewSecret(s)
	return nil
}

// strict returns a string member, or "" if it is absent or null. Any other type
// is an error.
func (o *jsonObject) strict(key string) (string, error) {
	raw, ok := o.fields[key]
	if !ok {
		return "", nil
	}
	if len(raw) > maxText {
		return "", fmt.Errorf("has a malformed %s", key)
	}
	var s *string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", fmt.Errorf("has a %s that is not a string", key)
	}
	if s == nil {
		return "", nil
	}
	return *s, nil
}

// text returns a string or a number as text, at most about 16 KiB of it. For
// anything else it returns "".
func (o *jsonObject) text(key string) string { return looseText(o.fields[key]) }

// secrets returns the secrets in the response itself, which its errmsg may
// repeat.
func (o *jsonObject) secrets() (values []string) {
	for _, key := range []string{"session_key", "access_token", "refresh_token", "openid", "unionid", "userid", "user_ticket", "external_userid"} {
		values = append(values, o.text(key))
	}
	return values
}

// plain returns text of printable ASCII; for anything else it returns "".
func (o *jsonObject) plain(key string) string {
	if s := o.text(key); isToken(s) {
		return s
	}
	return ""
}

// texts returns the first 32 members of a list as text; for anything else it
// returns an empty list.
func (o *jsonObject) texts(key string) []string {
	dec := json.NewDecoder(bytes.NewReader(o.fields[key]))
	if open, err := dec.Token(); err != nil || open != json.Delim('[') {
		return nil
	}
	var texts []string
	for n := 0; n < maxTexts && dec.More(); n++ {
		var raw json.RawMessage
		if dec.Decode(&raw) != nil {
			return nil
		}
		if s := looseText(raw); s != "" {
			texts = append(texts, s)
		}
	}
	return texts
}

// cut returns the first 16 KiB of a longer string, or a little less so as not
// to end within an escape.
func cut(raw json.RawMessage) json.RawMessage {
	for end := maxText; end < len(raw) && end > maxText-len(`\u0000`); end-- {
		if short := append(raw[:end:end], '"'); json.Valid(short) {
			return short
		}
	}
	return raw
}

func looseText(raw json.RawMessage) string {
	raw = cut(raw)
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var n json.Number
	if json.Unmarshal(raw, &n) == nil {
		return n.String()
	}
	return ""
}

// decimal matches a JSON number, also with a leading + or leading zeros.
// ParseFloat alone would also accept hexadecimal, underscores and Inf.
var decimal = regexp.MustCompile(`^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// mantissa returns the length of s without its exponent.
func mantissa(s string) int {
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		return i
	}
	return len(s)
}

// integer returns a whole number in any spelling: 7200, "7200", 7200.0, 7.2e3.
// Values out of range become the nearest one in range. More than 64 bytes are
// not a number, because text would truncate them to a different number.
func (o *jsonObject) integer(key string) (n int64, ok bool) {
	if len(o.fields[key]) > maxNumber {
		return 0, false
	}
	s := strings.TrimSpace(o.text(key))
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, true
	}
	if !decimal.MatchString(s) {
		return 0, false
	}
	f, _ := strconv.ParseFloat(s, 64) // values out of range become infinite
	switch {
	case f == 0 && strings.ContainsAny(s[:mantissa(s)], "123456789"):
		return 0, false // too small to distinguish from 0
	case f >= math.MaxInt64:
		return math.MaxInt64, true
	case f <= math.MinInt64:
		return math.MinInt64, true
	}
	return int64(f), f == math.Trunc(f)
}

// seconds returns a duration between 0 and most; what is not a number is 0.
func (o *jsonObject) seconds(key string, most time.Duration) time.Duration {
	n, ok := o.integer(key)
	if !ok || n <= 0 {
		return 0
	}
	if n >= int64(most/time.Second) {
		return most
	}
	return time.Duration(n) * time.Second
}

// flag reads 1, "1" and true as true, and 0, "0", "", false and "False" as
// false. Unknown values are true, because flags are warnings.
func (o *jsonObject) flag(key string) bool {
	raw, ok := o.fields[key]
	if !ok || string(raw) == "null" || string(raw) == "false" {
		return false
	}
	var text string
	if len(raw) <= maxText && json.Unmarshal(raw, &text) == nil {
		if text = strings.TrimSpace(text); text == "" || strings.EqualFold(text, "false") {
			return false
		}
	}
	n, isNumber := o.integer(key)
	return !isNumber || n != 0
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
