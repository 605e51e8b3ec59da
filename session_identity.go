package wechatauth

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/record"
)

// An identity stands in the session as one text, so that any codec can keep it.
// It has a version, because a session may outlive the release that wrote it.

// identityKey is where the identity stands in the session. It has the AppID,
// so that two gates on one manager never read each other's identities.
func identityKey(appID string) string { return record.Prefix + appID }

const (
	// identityVersion is the first character. What follows are fields, each on
	// a line: login time, openid, unionid, scope, channel, nickname, picture,
	// time of the profile. Empty ones at the end are left out. Times are Unix
	// seconds in base 36.
	identityVersion = '2'
	identityFields  = 8
)

// shortWords stand for the words that nearly every identity has.
var shortWords = map[string]string{
	string(client.ScopeBase): "b", string(client.ScopeUserInfo): "u", string(client.ScopeLogin): "l",
	string(ChannelWeChat): "w", string(ChannelWebsite): "q", string(ChannelScan): "s", string(ChannelMiniProgram): "m",
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
		return string(ChannelWeChat)
	case "q":
		return string(ChannelWebsite)
	case "s":
		return string(ChannelScan)
	case "m":
		return string(ChannelMiniProgram)
	}
	return strings.TrimPrefix(word, "=")
}

// intoLine and outOfLine keep a field to one line.
var (
	intoLine  = strings.NewReplacer("\\", "\\\\", "\n", "\\n")
	outOfLine = strings.NewReplacer("\\\\", "\\", "\\n", "\n")
)

func encodeIdentity(id Identity) (string, error) {
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
	return string(identityVersion) + strings.TrimRight(strings.Join(fields, "\n"), "\n"), nil
}

var errRecord = errors.New("wechatauth: identity record is not readable")

// decodeIdentity reads a record. One of an unknown version, or without an
// openid, is an error: the visitor is anonymous then and logs in again.
func decodeIdentity(appID, s string) (Identity, error) {
	if s == "" || s[0] != identityVersion {
		return Identity{}, errRecord
	}
	var fields [identityFields]string
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
		return Identity{}, errRecord
	}
	id := Identity{
		AppID: appID, OpenID: fields[1], UnionID: fields[2], Scope: client.Scope(longWord(fields[3])), Channel: Channel(longWord(fields[4])),
		Nickname: fields[5], AvatarURL: fields[6], LoginAt: time.Unix(login, 0),
	}
	if fields[7] != "" {
		profile, err := strconv.ParseInt(fields[7], 36, 64)
		if err != nil {
			return Identity{}, errRecord
		}
		id.ProfileAt = time.Unix(profile, 0)
	}
	return id, nil
}
