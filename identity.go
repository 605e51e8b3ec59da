package wechatauth

import (
	"context"
	"log/slog"
	"time"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/internal/redact"
	"github.com/wechatauth/wechatauth/internal/session"
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

// An Identity is who a user is to WeChat. Store users by AppID and OpenID;
// nicknames are neither unique nor stable.
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

// LogValue shows the identity in logs without the whole openid.
func (id Identity) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("appid", id.AppID),
		slog.String("openid", redact.OpenID(id.OpenID)),
		slog.String("scope", string(id.Scope)),
		slog.String("channel", string(id.Channel)),
	)
}

// IdentityFromContext returns the identity of the user. Behind RequireWeChat
// and RequireScope there is one, except for CORS preflight requests and for
// users whom [SnapshotAnonymous] lets pass: then it returns false, and for the
// latter an Identity with only Snapshot set. Behind LoadWeChat there is one if
// the user is logged in.
func IdentityFromContext(ctx context.Context) (Identity, bool) {
	v := session.FromContext(ctx)
	switch {
	case v == nil:
		return Identity{}, false
	case v.In():
		return Identity(v.Identity), true // does not compile if they differ
	}
	return Identity{Snapshot: v.Identity.Snapshot}, false
}
