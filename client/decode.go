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

// What keeps the memory for 64 KiB of JSON bounded. WeChat's answers have
// about ten members, two levels and hardly a control byte.
const (
	maxDepth   = 16
	maxMembers = 128
	maxMended  = 4096     // control bytes in strings
	maxTexts   = 32       // that are read of a list
	maxText    = 16 << 10 // JSON of a string that is looked at
	maxNumber  = 64       // JSON of a number
)

const byteOrderMark = "\xef\xbb\xbf"

// answer is one JSON object from WeChat, its values undecoded.
type answer struct {
	endpoint string
	fields   map[string]json.RawMessage
}

// The keys that decide who somebody is, or whether a call succeeded, in answers
// and in what mini programs decrypt. A second spelling of one of them makes a
// text ambiguous: two parsers may read two different people in it.
var (
	answerKeys = []string{
		"openid", "unionid", "session_key", "access_token", "refresh_token",
		"scope", "is_snapshotuser", "errcode", "phone_info",
	}
	payloadKeys   = []string{"openId", "unionId", "phoneNumber", "purePhoneNumber", "countryCode", "watermark"}
	watermarkKeys = []string{"appid"}
)

// parseObject reads one JSON object and nothing else. Control bytes inside
// strings, which WeChat sends in names, are read as if they were escaped. Each
// of the decisive keys may occur once and in its own case only; of any other
// key the last one counts.
func parseObject(body []byte, decisive []string) (map[string]json.RawMessage, error) {
	body = bytes.TrimPrefix(body, []byte(byteOrderMark))
	body, err := repair(body)
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
		key, value, err := nextField(dec, decisive)
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

func nextField(dec *json.Decoder, decisive []string) (key string, value json.RawMessage, err error) {
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
			return "", nil, fmt.Errorf("spells the key %s in another case", known)
		}
	}
	return key, value, nil
}

// repair escapes control bytes inside string literals, and refuses more than
// 4,096 of them and nesting deeper than 16. It returns body itself when there is
// nothing to mend.
func repair(body []byte) ([]byte, error) {
	var mended []byte
	done, count, depth, inString, escaped := 0, 0, 0, false, false
	for i, c := range body {
		switch {
		case inString && c < 0x20:
			if count++; count > maxMended {
				return nil, errors.New("has too many control characters")
			}
			if mended == nil {
				mended = make([]byte, 0, len(body)+6*min(maxMended, len(body)-i))
			}
			mended = append(mended, body[done:i]...)
			if escaped { // a backslash before a raw control byte: make it a backslash of its own
				mended = append(mended, '\\')
			}
			mended = fmt.Appendf(mended, `\u%04x`, c)
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
	if mended == nil {
		return body, nil
	}
	return append(mended, body[done:]...), nil
}

// refused is the error for an answer that cannot be used; err completes a
// sentence that begins with "answer".
func (a *answer) refused(err error) *Error { return badAnswer(a.endpoint, err) }

// errcode returns the answer's errcode; absent and null count as 0.
func (a *answer) errcode() (int, error) {
	raw, ok := a.fields["errcode"]
	if !ok || string(raw) == "null" {
		return 0, nil
	}
	n, ok := a.integer("errcode")
	if !ok || n < math.MinInt32 || n > math.MaxInt32 {
		return 0, errors.New("has an errcode that is no number")
	}
	return int(n), nil
}

// confirmed wants the explicit errcode 0 of answers that carry nothing else.
func (a *answer) confirmed() error {
	if raw, ok := a.fields["errcode"]; !ok || string(raw) == "null" {
		return a.refused(errors.New("has no errcode"))
	}
	return nil
}

func (a *answer) requireIdentifier(key string, to *string) error {
	if err := a.optionalIdentifier(key, to); err != nil {
		return err
	}
	if *to == "" {
		return fmt.Errorf("has no %s", key)
	}
	return nil
}

func (a *answer) optionalIdentifier(key string, to *string) error {
	s, err := a.strict(key)
	if err != nil {
		return err
	}
	if s != "" && !isIdentifier(s) {
		return fmt.Errorf("has a malformed %s", key)
	}
	*to = s
	return nil
}

func (a *answer) requireToken(key string, to *Secret) error {
	if err := a.optionalToken(key, to); err != nil {
		return err
	}
	if to.IsZero() {
		return fmt.Errorf("has no %s", key)
	}
	return nil
}

func (a *answer) optionalToken(key string, to *Secret) error {
	s, err := a.strict(key)
	if err != nil {
		return err
	}
	if s != "" && !isToken(s) {
		return fmt.Errorf("has a malformed %s", key)
	}
	*to = NewSecret(s)
	return nil
}

// strict reads a string that must not be anything else; absent and null are "".
func (a *answer) strict(key string) (string, error) {
	raw, ok := a.fields[key]
	if !ok {
		return "", nil
	}
	if len(raw) > maxText {
		return "", fmt.Errorf("has a malformed %s", key)
	}
	var s *string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", fmt.Errorf("has a %s that is no string", key)
	}
	if s == nil {
		return "", nil
	}
	return *s, nil
}

// text reads a string or a number as text, not much more than 16 KiB of it;
// anything else is "".
func (a *answer) text(key string) string { return looseText(a.fields[key]) }

// secrets are what the answer itself brought, which its errmsg may repeat.
func (a *answer) secrets() (values []string) {
	for _, key := range []string{"session_key", "access_token", "refresh_token", "openid", "unionid"} {
		values = append(values, a.text(key))
	}
	return values
}

// plain reads text of printable ASCII; anything else is "".
func (a *answer) plain(key string) string {
	if s := a.text(key); isToken(s) {
		return s
	}
	return ""
}

// texts reads the first 32 members of a list as text; anything else is an
// empty list.
func (a *answer) texts(key string) []string {
	dec := json.NewDecoder(bytes.NewReader(a.fields[key]))
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

// cut returns the first 16 KiB of a longer string. Where that would end within
// an escape, it ends before it.
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

// decimal is a JSON number, a leading + and zeros apart. ParseFloat knows more:
// hexadecimal, underscores, Inf.
var decimal = regexp.MustCompile(`^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// mantissa returns how long s is without its exponent.
func mantissa(s string) int {
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		return i
	}
	return len(s)
}

// integer reads a whole number in any spelling: 7200, "7200", 7200.0, 7.2e3.
// What exceeds the range is the nearest value in it. More than 64 bytes are no
// number: text would cut them, and leave another one.
func (a *answer) integer(key string) (n int64, ok bool) {
	if len(a.fields[key]) > maxNumber {
		return 0, false
	}
	s := strings.TrimSpace(a.text(key))
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, true
	}
	if !decimal.MatchString(s) {
		return 0, false
	}
	f, _ := strconv.ParseFloat(s, 64) // what is out of range becomes an infinity
	switch {
	case f == 0 && strings.ContainsAny(s[:mantissa(s)], "123456789"):
		return 0, false // too small to tell from 0
	case f >= math.MaxInt64:
		return math.MaxInt64, true
	case f <= math.MinInt64:
		return math.MinInt64, true
	}
	return int64(f), f == math.Trunc(f)
}

// seconds reads a duration between 0 and most; what is no number is 0.
func (a *answer) seconds(key string, most time.Duration) time.Duration {
	n, ok := a.integer(key)
	if !ok || n <= 0 {
		return 0
	}
	if n >= int64(most/time.Second) {
		return most
	}
	return time.Duration(n) * time.Second
}

// flag reads 1, "1" and true alike, and 0, "0", "", false and "False". What it
// cannot read is set: a flag warns of something.
func (a *answer) flag(key string) bool {
	raw, ok := a.fields[key]
	if !ok || string(raw) == "null" || string(raw) == "false" {
		return false
	}
	var text string
	if len(raw) <= maxText && json.Unmarshal(raw, &text) == nil {
		if text = strings.TrimSpace(text); text == "" || strings.EqualFold(text, "false") {
			return false
		}
	}
	n, isNumber := a.integer(key)
	return !isNumber || n != 0
}

// isIdentifier tells openids, unionids and AppIDs: [A-Za-z0-9_-]{1,64}.
func isIdentifier(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlphanumeric(c) && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// isCode tells what may be a code: no length is promised, so 1 to 512 printable
// ASCII bytes.
func isCode(s string) bool { return len(s) <= 512 && isToken(s) }

// isToken tells non-empty printable ASCII without spaces, up to 4 KiB.
func isToken(s string) bool {
	if s == "" || len(s) > 4096 {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
