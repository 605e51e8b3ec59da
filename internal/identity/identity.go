// Package identity encodes an identity as it is stored in a session.
package identity

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/record"
)

// Channel is how a user logged in.
type Channel string

// An Identity mirrors wechatauth.Identity, which is converted to it and back.
type Identity struct {
	AppID     string
	OpenID    string
	UnionID   string
	Scope     client.Scope
	Channel   Channel
	Nickname  string
	AvatarURL string
	ProfileAt time.Time
	LoginAt   time.Time
	Snapshot  bool // such an identity is not encoded
}

// Grants reports whether the identity's scope is sufficient for a route that
// requires want. A website login (snsapi_login) includes the profile.
func (id Identity) Grants(want client.Scope) bool {
	granted := client.Token{Scope: id.Scope}
	switch want {
	case "", client.ScopeBase:
		return true
	case client.ScopeUserInfo:
		return granted.HasScope(client.ScopeUserInfo) || granted.HasScope(client.ScopeLogin)
	}
	return granted.HasScope(want)
}

// SameUser reports whether two identities belong to the same person, as far as
// WeChat's ids show it.
func (id Identity) SameUser(as Identity) bool {
	return id.AppID == as.AppID && id.OpenID == as.OpenID || id.UnionID != "" && id.UnionID == as.UnionID
}

// Key returns the key of an identity in a session. It has the AppID, so that two
// gates on one manager never read each other's identities.
func Key(appID string) string { return record.Prefix + appID }

const (
	// version is the first character, because a session may outlive the release
	// that wrote it. The fields follow, each on a line: login time, openid,
	// unionid, scope, channel, nickname, avatar, time of the profile. Empty
	// ones at the end are omitted. Times are Unix seconds in base 36.
	version    = '2'
	fieldCount = 8
)

// shortWords abbreviate the words that nearly every identity has.
var shortWords = map[string]string{
	string(client.ScopeBase): "b", string(client.ScopeUserInfo): "u", string(client.ScopeLogin): "l",
	"wechat": "w", "website": "q", "scan": "s", "mini_program": "m",
}

func shortWord(word string) string {
	if short, ok := shortWords[word]; ok {
		return short
	}
	if longWord(word) != word {
		return "=" + word
	}
	return word
}

// longWord reverses shortWord. A switch, because this runs with every request.
func longWord(word string) string {
	switch word {
	case "b":
		return string(client.ScopeBase)
	case "u":
		return string(client.ScopeUserInfo)
	case "l":
		return string(client.ScopeLogin)
	case "w":
		return "wechat"
	case "q":
		return "website"
	case "s":
		return "scan"
	case "m":
		return "mini_program"
	}
	return strings.TrimPrefix(word, "=")
}

// intoLine and outOfLine keep a field to one line.
var (
	intoLine  = strings.NewReplacer("\\", "\\\\", "\n", "\\n")
	outOfLine = strings.NewReplacer("\\\\", "\\", "\\n", "\n")
)

// Encode returns an identity as one text, which any session codec can hold.
func Encode(id Identity) string {
	profile := ""
	if !id.ProfileAt.IsZero() {
		profile = strconv.FormatInt(id.ProfileAt.Unix(), 36)
	}
	fields := []string{
		strconv.FormatInt(id.LoginAt.Unix(), 36), id.OpenID, id.UnionID, shortWord(string(id.Scope)), shortWord(string(id.Channel)),
		id.Nickname, id.AvatarURL, profile,
	}
	for i, field := range fields {
		fields[i] = intoLine.Replace(field)
	}
	return string(version) + strings.TrimRight(strings.Join(fields, "\n"), "\n")
}

// ErrCorrupt is returned by [Decode].
var ErrCorrupt = errors.New("identity: corrupt record")

// Decode returns the identity of a text that [Encode] returned. If the version is
// unknown or the openid is missing, it returns [ErrCorrupt]: the user is anonymous
// then and logs in again.
func Decode(appID, s string) (Identity, error) {
	if s == "" || s[0] != version {
		return Identity{}, ErrCorrupt
	}
	var fields [fieldCount]string
	rest, more := s[1:], true
	for i := range fields {
		fields[i], rest, more = strings.Cut(rest, "\n")
		if strings.Contains(fields[i], "\\") {
			fields[i] = outOfLine.Replace(fields[i])
		}
		if !more {
			break
		}
	}
	login, err := strconv.ParseInt(fields[0], 36, 64)
	if err != nil || more || fields[1] == "" {
		return Identity{}, ErrCorrupt
	}
	id := Identity{
		AppID: appID, OpenID: fields[1], UnionID: fields[2], Scope: client.Scope(longWord(fields[3])), Channel: Channel(longWord(fields[4])),
		Nickname: fields[5], AvatarURL: fields[6], LoginAt: time.Unix(login, 0),
	}
	if fields[7] != "" {
		profile, err := strconv.ParseInt(fields[7], 36, 64)
		if err != nil {
			return Identity{}, ErrCorrupt
		}
		id.ProfileAt = time.Unix(profile, 0)
	}
	return id, nil
}
