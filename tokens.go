package wechatauth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/internal/mini"
	"github.com/wechatauth/wechatauth/internal/redact"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/internal/tokens"
)

const (
	// refreshBefore is how long before its expiry an access_token is refreshed.
	refreshBefore = 5 * time.Minute
	// profileRetry is the time after which fetching a profile that failed is
	// retried.
	profileRetry = time.Hour
	// profileBudget is how long a request waits for a fresh profile.
	profileBudget = 2 * time.Second
)

// storedTokens returns the store of WeChat's tokens.
func (g *gate) storedTokens() tokens.Store {
	return tokens.Store{Marks: g.sessions.Marks(), Keys: g.keys, Now: g.now}
}

// AccessToken returns the access_token of the user of a request, for calls of
// package client with their OpenID. It is refreshed first if it expires within
// five minutes. AccessToken returns [ErrNoTokens] if none is stored, and a
// *client.Error of client.KindRestart if the user has to log in again.
func (a *Auth) AccessToken(ctx context.Context) (client.Secret, error) {
	id, ok := IdentityFromContext(ctx)
	if !ok {
		return client.Secret{}, ErrNoTokens
	}
	g := a.gateOfUser(id.AppID)
	if g == nil {
		return client.Secret{}, ErrNoTokens
	}
	token, err := g.accessToken(ctx, identity.Identity(id))
	return token, redact.Tokens(err)
}

func (g *gate) accessToken(ctx context.Context, id identity.Identity) (client.Secret, error) {
	acc, ok := g.accountByAppID(id.AppID)
	if !ok {
		return client.Secret{}, ErrNoTokens
	}
	user := session.User(id.AppID, id.OpenID)
	kept, found, err := g.storedTokens().Find(ctx, user)
	if err != nil {
		return client.Secret{}, fmt.Errorf("find tokens: %w", err)
	}
	if !found {
		return client.Secret{}, ErrNoTokens
	}
	if g.now().Add(refreshBefore).Before(kept.Expiry) {
		return kept.Access, nil
	}
	// Two requests may do this at the same time: WeChat returns the same token to
	// both, so neither waits for the other.
	fresh, err := acc.client.Refresh(ctx, kept.Refresh.Reveal())
	if err != nil {
		return client.Secret{}, fmt.Errorf("refresh token: %w", err)
	}
	if fresh.OpenID != id.OpenID {
		return client.Secret{}, fmt.Errorf("refresh token: %w", ErrNoTokens)
	}
	if fresh.RefreshToken.IsZero() {
		fresh.RefreshToken = kept.Refresh
	}
	switch err := g.storedTokens().PutRefreshed(context.WithoutCancel(ctx), user, fresh, kept.End); {
	case errors.Is(err, tokens.ErrRevoked): // the error says whether they could be deleted again
		return client.Secret{}, fmt.Errorf("%w: %w", ErrNoTokens, err)
	case err != nil:
		return client.Secret{}, err
	}
	return fresh.AccessToken, nil
}

// endTokens deletes what is stored for a user besides sessions: the tokens and the
// session_key of a mini program. A login stores them before its session, so a login
// whose session RevokeUser has found cannot store them again. They are deleted
// whatever the options: another program with other options may have stored them.
func (a *Auth) endTokens(ctx context.Context, appID, openID string) error {
	user := session.User(appID, openID)
	marks := a.sessions.Marks()
	return errors.Join(tokens.Forget(ctx, marks, user), marks.DeleteMark(ctx, mini.SessionKeyMark(user)))
}

// profileStale reports whether a visit's profile is old enough to be fetched.
func (g *gate) profileStale(v *session.Visit) bool {
	return g.profileMaxAge > 0 && !v.Unsaved() && v.Identity.Channel != ChannelMiniProgram &&
		v.Identity.Grants(client.ScopeUserInfo) && g.now().Sub(v.Identity.ProfileAt) > g.profileMaxAge
}

// refreshProfile fetches the profile of a visit again. If that fails, the
// request proceeds with the old one. If the application's LoadAndSave wraps the
// middleware, it saves the session.
func (g *gate) refreshProfile(v *session.Visit) {
	ctx, cancel := context.WithTimeout(v.Context(), profileBudget)
	defer cancel()
	id := v.Identity
	err := g.fetchProfile(ctx, &id)
	if err != nil {
		g.report(v.Context(), Event{Kind: EventDegraded, AppID: id.AppID, OpenID: redact.OpenID(id.OpenID), Detail: "the profile could not be fetched again", Err: err})
		// The profile is then stale again after profileRetry.
		id.ProfileAt = g.now().Add(profileRetry - g.profileMaxAge)
	}
	if id.UnionID != v.Identity.UnionID && g.onLogin != nil {
		if err := g.onLogin(v.Context(), Identity(id)); err != nil {
			id.UnionID = v.Identity.UnionID // so that the hook is called again
			g.report(v.Context(), Event{Kind: EventDegraded, Reason: hookReason(err), AppID: id.AppID, Detail: "the WithOnLogin function rejected a newly available unionid", Err: err})
		}
	}
	g.sessions.UpdateIdentity(v, id)
}

func (g *gate) fetchProfile(ctx context.Context, id *identity.Identity) error {
	token, err := g.accessToken(ctx, *id)
	if err != nil {
		return err
	}
	acc, _ := g.accountByAppID(id.AppID) // there, or there would be no token
	info, err := acc.client.UserInfo(ctx, token.Reveal(), id.OpenID, client.LangZhCN)
	if err != nil {
		return err
	}
	setProfile(id, info, g.now())
	return nil
}

// setProfile copies what WeChat returned for the user.
func setProfile(id *identity.Identity, info *client.UserInfo, now time.Time) {
	id.Nickname, id.AvatarURL = info.Nickname, info.AvatarURL
	id.ProfileAt = time.Unix(now.Unix(), 0)
	if info.UnionID != "" {
		id.UnionID = info.UnionID
	}
}
