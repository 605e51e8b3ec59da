package wechatauth

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/internal/redact"
	"github.com/wechatauth/wechatauth/internal/session"
)

// A Channel is the way by which a user logged in.
type Channel = identity.Channel

const (
	// ChannelWeChat means inside WeChat, with the official account of WithApp.
	ChannelWeChat Channel = "wechat"
	// ChannelWebsite means in a browser outside WeChat, with the QR code of the
	// website application of WithWebsiteApp.
	ChannelWebsite Channel = "website"
	// ChannelScan means in a browser outside WeChat, with a QR code that was
	// confirmed by a user of the official account (environment.LoginScan).
	ChannelScan Channel = "scan"
	// ChannelMiniProgram means in the mini program of WithMiniProgram.
	ChannelMiniProgram Channel = "mini_program"
)

// An Identity is what WeChat returned about a user. Use AppID and OpenID
// together as the key of a user; nicknames are neither unique nor stable.
type Identity struct {
	// AppID is the account that the user logged in to. The same user has
	// another OpenID for another AppID.
	AppID string
	// OpenID identifies the user for this AppID: 1 to 64 characters of
	// [A-Za-z0-9_-], compared case-sensitively. It is never empty.
	OpenID string
	// UnionID identifies the user across all accounts of one open platform
	// account. It is empty if WeChat returns none, as is usual for snsapi_base.
	UnionID string
	// Scope is what the user granted, as WeChat returned it.
	Scope client.Scope
	// Channel is the way by which the user logged in.
	Channel Channel
	// Nickname is the display name at the time of login: valid UTF-8 without
	// control characters, at most 128 runes. It is empty with snsapi_base.
	Nickname string
	// AvatarURL is an https URL, or empty. It stops working when the user
	// changes the avatar.
	AvatarURL string
	// ProfileAt is when Nickname and AvatarURL were fetched, to the second, or
	// the zero time.
	ProfileAt time.Time
	// LoginAt is when the login was completed, to the second.
	LoginAt time.Time
	// Snapshot is true only if WeChat opened the page in snapshot mode and the
	// policy is SnapshotAnonymous. All other fields are then empty.
	Snapshot bool
}

// LogValue returns the identity without the complete openid.
func (id Identity) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("appid", id.AppID),
		slog.String("openid", redact.OpenID(id.OpenID)),
		slog.String("scope", string(id.Scope)),
		slog.String("channel", string(id.Channel)),
	)
}

// IdentityFromContext returns the identity of the user. Behind RequireWeChat
// and RequireScope there is one, except for CORS preflight requests and, with
// [SnapshotAnonymous], for users in snapshot mode: then it returns false, and
// for the latter an Identity with only Snapshot set. Behind LoadWeChat there is
// one if the user is logged in.
func IdentityFromContext(ctx context.Context) (Identity, bool) {
	v := session.FromContext(ctx)
	switch {
	case v == nil:
		if id, _ := ctx.Value(identityKey{}).(*Identity); id != nil {
			return *id, id.OpenID != ""
		}
		return Identity{}, false
	case v.In():
		return Identity(v.Identity), true // does not compile if they differ
	}
	return Identity{Snapshot: v.Identity.Snapshot}, false
}

// identityKey is the key of the identity of ContextWithIdentity.
type identityKey struct{}

// ContextWithIdentity returns a context for tests of a handler without a login:
// [IdentityFromContext] returns id, and true if it has an OpenID. It creates no
// session, so methods of [Auth.Sessions] have none to read. A handler behind
// RequireWeChat, RequireScope or LoadWeChat never gets id: there, an identity
// comes from a session only. Use wechattest.Login to test whole logins.
func ContextWithIdentity(ctx context.Context, id Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, &id)
}

// withoutIdentity removes an identity of ContextWithIdentity from a request, so
// that no handler or hook behind the middleware gets it.
func withoutIdentity(r *http.Request) *http.Request {
	if id, _ := r.Context().Value(identityKey{}).(*Identity); id == nil {
		return r
	}
	return r.WithContext(context.WithValue(r.Context(), identityKey{}, (*Identity)(nil)))
}
