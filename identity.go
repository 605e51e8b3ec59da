package wechatauth

import (
	"context"
	"log/slog"
	"time"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/internal/redact"
)

// Channel is the way by which a visitor logged in.
type Channel = identity.Channel

const (
	// ChannelWeChat: inside WeChat, through the official account of WithApp.
	ChannelWeChat Channel = "wechat"
	// ChannelWebsite: in a browser outside WeChat, by the QR code of the
	// website application of WithWebsiteApp.
	ChannelWebsite Channel = "website"
	// ChannelScan: in a browser outside WeChat, by a QR code that was scanned and
	// confirmed by somebody logged in through the official account (LoginScan).
	ChannelScan Channel = "scan"
	// ChannelMiniProgram: in the mini program of WithMiniProgram.
	ChannelMiniProgram Channel = "mini_program"
)

// Identity is who a visitor is to WeChat. The pair of AppID and OpenID is the
// key to store users by; nicknames are neither unique nor stable.
type Identity struct {
	// AppID is the account that the visitor logged in to. The same person has
	// another OpenID for another AppID.
	AppID string
	// OpenID identifies the person for this AppID: 1 to 64 characters of
	// [A-Za-z0-9_-], compared case-sensitively. Never empty.
	OpenID string
	// UnionID identifies the person across all accounts that are bound to one
	// open-platform account. Empty when WeChat gives none, which is usual for
	// snsapi_base.
	UnionID string
	// Scope is what the visitor granted, as WeChat's token answer has it.
	Scope client.Scope
	// Channel is the way by which the visitor logged in.
	Channel Channel
	// Nickname is the display name at the time of login: valid UTF-8 without
	// control characters, at most 128 runes. Empty with snsapi_base.
	Nickname string
	// AvatarURL is an https URL, or empty. WeChat lets it die when the user
	// changes the picture.
	AvatarURL string
	// ProfileAt is when Nickname and AvatarURL were fetched, to the second; the
	// zero time where there is no profile.
	ProfileAt time.Time
	// LoginAt is when the login was completed, to the second.
	LoginAt time.Time
	// Snapshot is true only where a visitor in WeChat's snapshot mode was let
	// through without a login (SnapshotAnonymous); all else is empty then.
	Snapshot bool
}

// encodeIdentity and decodeIdentity stop compiling if Identity and its mirror
// differ.
func encodeIdentity(id Identity) string { return identity.Encode(identity.Identity(id)) }

func decodeIdentity(appID, text string) (Identity, error) {
	id, err := identity.Decode(appID, text)
	return Identity(id), err
}

// LogValue shows the identity in logs without the whole openid.
func (id Identity) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("appid", id.AppID),
		slog.String("openid", redact.OpenID(id.OpenID)),
		slog.String("scope", string(id.Scope)),
		slog.String("channel", string(id.Channel)),
	)
}

// grants reports whether the identity's scope is enough for a route that asks
// for want. A website login (snsapi_login) includes the profile.
func (id Identity) grants(want client.Scope) bool {
	granted := client.Token{Scope: id.Scope}
	switch want {
	case "", client.ScopeBase:
		return true
	case client.ScopeUserInfo:
		return granted.HasScope(client.ScopeUserInfo) || granted.HasScope(client.ScopeLogin)
	}
	return granted.HasScope(want)
}

// sameUser reports whether two identities are of one person, as far as WeChat
// says so.
func (id Identity) sameUser(as Identity) bool {
	return id.AppID == as.AppID && id.OpenID == as.OpenID || id.UnionID != "" && id.UnionID == as.UnionID
}

// contextKey is a pointer type, so that no other package can collide with it.
type contextKey struct{ name string }

var visitKey = &contextKey{"wechatauth visit"}

// IdentityFromContext returns the identity of the visitor. Behind RequireWeChat
// and RequireScope it is there, except for CORS preflights, which nobody has
// logged in for, and for visitors whom SnapshotAnonymous lets through: false,
// and an Identity with nothing but Snapshot set. Behind LoadWeChat it is there
// when the visitor is logged in. Safe for concurrent use.
func IdentityFromContext(ctx context.Context) (Identity, bool) {
	v, ok := ctx.Value(visitKey).(*visit)
	if !ok || !v.in() {
		return snapshotIdentity(ctx), false
	}
	return v.identity, true
}
