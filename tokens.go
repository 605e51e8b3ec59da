package wechatauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/internal/mini"
	"github.com/wechatauth/wechatauth/internal/redact"
	"github.com/wechatauth/wechatauth/internal/session"
)

const (
	// tokensTTL is the life of a refresh_token, from the login: refreshing does
	// not extend it.
	tokensTTL = 30 * 24 * time.Hour
	// refreshBefore is how much life an access_token has to have left.
	refreshBefore = 5 * time.Minute
	// profileRetry is how long a profile that could not be fetched is left.
	profileRetry = time.Hour
	// profileBudget is how long a visitor waits for a fresh profile.
	profileBudget = 2 * time.Second
	// revokedTTL is longer than a refresh takes: its call to WeChat ends within a
	// minute (see [client.WithTimeout]), and calls to the store have timeouts.
	revokedTTL = 5 * time.Minute
)

// ErrNoTokens: no tokens are kept for this visitor. He logged in before
// WithTokens was set, or last more than 30 days ago, or through a mini program;
// or RevokeUser has made an end since.
var ErrNoTokens = errors.New("wechatauth: no tokens are kept for this visitor")

// keptTokens is how tokens stand in the store, sealed and bound to the user.
type keptTokens struct {
	Access  string       `json:"a"`
	Refresh string       `json:"r"`
	Scope   client.Scope `json:"s"`
	Expiry  int64        `json:"e"` // of Access, Unix seconds
	End     int64        `json:"x"` // of Refresh, likewise
}

func tokensMark(user string) string { return "tokens " + user }

func revokedMark(user string) string { return "revoked " + user }

// keepTokens stores what an exchange or a refresh gave, until the refresh_token
// ends.
func (g *gate) keepTokens(ctx context.Context, appID string, t *client.Token, end time.Time) error {
	plain, err := json.Marshal(keptTokens{
		Access: t.AccessToken.Reveal(), Refresh: t.RefreshToken.Reveal(), Scope: t.Scope,
		Expiry: g.now().Add(t.ExpiresIn).Unix(), End: end.Unix(),
	})
	if err != nil {
		return err
	}
	user := session.User(appID, t.OpenID)
	return g.sessions.Marks().PutMark(ctx, tokensMark(user), []byte(g.keys.Seal(plain, "tokens", user)), end.Sub(g.now()))
}

// AccessToken returns the access_token of the logged-in visitor of a request,
// for calls of client with his OpenID, refreshed first if it has less than
// five minutes left. ErrNoTokens if none is kept. A *client.Error of
// client.KindRestart means that he has to log in again.
func (a *Auth) AccessToken(ctx context.Context) (client.Secret, error) {
	id, ok := IdentityFromContext(ctx)
	if !ok {
		return client.Secret{}, ErrNoTokens
	}
	g := a.gateOf(id.AppID)
	if g == nil {
		return client.Secret{}, ErrNoTokens
	}
	token, err := g.accessToken(ctx, identity.Identity(id))
	return token, redact.Tokens(err)
}

func (g *gate) accessToken(ctx context.Context, id identity.Identity) (client.Secret, error) {
	acc, ok := g.accountOf(id.AppID)
	if !ok {
		return client.Secret{}, ErrNoTokens
	}
	user := session.User(id.AppID, id.OpenID)
	sealed, found, err := g.sessions.Marks().Mark(ctx, tokensMark(user))
	if err != nil {
		return client.Secret{}, fmt.Errorf("find tokens: %w", err)
	}
	if !found {
		return client.Secret{}, ErrNoTokens
	}
	plain, err := g.keys.Open(string(sealed), "tokens", user)
	var kept keptTokens
	if err != nil || json.Unmarshal(plain, &kept) != nil {
		return client.Secret{}, ErrNoTokens
	}
	end := time.Unix(kept.End, 0)
	if !g.now().Before(end) { // the store's clock is not ours
		return client.Secret{}, ErrNoTokens
	}
	if g.now().Add(refreshBefore).Unix() < kept.Expiry {
		return client.NewSecret(kept.Access), nil
	}
	// Two requests may do this at once: WeChat answers both with the same
	// token, so there is nothing to wait for.
	fresh, err := acc.client.Refresh(ctx, kept.Refresh)
	if err != nil {
		return client.Secret{}, fmt.Errorf("refresh token: %w", err)
	}
	if fresh.OpenID != id.OpenID {
		return client.Secret{}, fmt.Errorf("refresh token: %w", ErrNoTokens)
	}
	if fresh.RefreshToken.IsZero() {
		fresh.RefreshToken = client.NewSecret(kept.Refresh)
	}
	if err := g.keepRefreshed(context.WithoutCancel(ctx), id.AppID, fresh, end); err != nil {
		return client.Secret{}, err
	}
	return fresh.AccessToken, nil
}

// keepRefreshed stores the tokens of a refresh, unless the user was revoked
// meanwhile. forget puts its mark before it deletes the tokens: either it deletes
// those stored here, or its mark is found after they were stored.
func (g *gate) keepRefreshed(ctx context.Context, appID string, t *client.Token, end time.Time) error {
	if err := g.keepTokens(ctx, appID, t, end); err != nil {
		return err
	}
	user := session.User(appID, t.OpenID)
	_, revoked, err := g.sessions.Marks().Mark(ctx, revokedMark(user))
	switch {
	case err == nil && !revoked:
		return nil
	case err == nil:
		err = ErrNoTokens
	}
	return errors.Join(err, g.sessions.Marks().DeleteMark(ctx, tokensMark(user)))
}

// forget deletes what is stored for a user besides sessions: the tokens and the
// session_key of a mini program. Their logins stored them before the session,
// so those that RevokeUser has ended cannot store them again. The program that
// revokes may have other options than the one that stored them.
func (a *Auth) forget(ctx context.Context, appID, openID string) error {
	user := session.User(appID, openID)
	return errors.Join(
		a.sessions.Marks().PutMark(ctx, revokedMark(user), []byte{1}, revokedTTL),
		a.sessions.Marks().DeleteMark(ctx, tokensMark(user)),
		a.sessions.Marks().DeleteMark(ctx, mini.SessionKeyMark(user)))
}

// profileDue reports whether a visit's profile is old enough to be fetched.
func (g *gate) profileDue(v *session.Visit) bool {
	return g.profileMaxAge > 0 && !v.Unsaved() && v.Identity.Channel != ChannelMiniProgram &&
		v.Identity.Grants(client.ScopeUserInfo) && g.now().Sub(v.Identity.ProfileAt) > g.profileMaxAge
}

// refreshProfile fetches the profile of a visit again. Whatever comes of it,
// the visitor goes on: this is for his picture, not for his login. A session
// that somebody further out has loaded is saved by him, as modified.
func (g *gate) refreshProfile(v *session.Visit) {
	ctx, cancel := context.WithTimeout(v.Context(), profileBudget)
	defer cancel()
	id := v.Identity
	err := g.fetchProfile(ctx, &id)
	if err != nil {
		g.report(v.Context(), Event{Kind: EventTrouble, AppID: id.AppID, OpenID: redact.OpenID(id.OpenID), Detail: "the profile could not be fetched again", Err: err})
		// Next time in an hour.
		id.ProfileAt = g.now().Add(profileRetry - g.profileMaxAge)
	}
	if id.UnionID != v.Identity.UnionID && g.onLogin != nil {
		if err := g.onLogin(v.Context(), Identity(id)); err != nil {
			id.UnionID = v.Identity.UnionID // to be told again
			g.report(v.Context(), Event{Kind: EventTrouble, Reason: hookReason(err), AppID: id.AppID, Detail: "WithOnLogin's function rejected a unionid that appeared", Err: err})
		}
	}
	g.sessions.Put(v, id)
}

func (g *gate) fetchProfile(ctx context.Context, id *identity.Identity) error {
	token, err := g.accessToken(ctx, *id)
	if err != nil {
		return err
	}
	acc, _ := g.accountOf(id.AppID) // there, or there would be no token
	info, err := acc.client.UserInfo(ctx, token.Reveal(), id.OpenID, client.LangZhCN)
	if err != nil {
		return err
	}
	setProfile(id, info, g.now())
	return nil
}

// setProfile takes over what WeChat tells of the user.
func setProfile(id *identity.Identity, info *client.UserInfo, now time.Time) {
	id.Nickname, id.AvatarURL = info.Nickname, info.AvatarURL
	id.ProfileAt = time.Unix(now.Unix(), 0)
	if info.UnionID != "" {
		id.UnionID = info.UnionID
	}
}
