package wechatauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/alexedwards/scs/v2"

	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/store"
)

// load finds the session of a request.
func (g *gate) load(r *http.Request) (*session.Visit, error) {
	return g.sessions.Load(r, &g.audience, false)
}

// setSessions makes the sessions that the options describe.
func (a *Auth) setSessions(c *config) error {
	made := session.Config{Observe: c.observed, Now: c.now, Report: a.reportSession, Failed: a.stopLoadAndSave}
	if c.mgrSet {
		if c.manager.IdleTimeout > 0 {
			c.logger.Warn("wechatauth: WithSessionManager: with IdleTimeout, scs writes the whole session and its cookie on every request: of two at once the later one undoes what the other put, and a response that arrives after that of a login replaces the new cookie by the old one; prefer WithIdleTimeout")
		}
		if domain := strings.TrimPrefix(c.manager.Cookie.Domain, "."); domain != "" {
			c.logger.Warn("wechatauth: WithSessionManager: Cookie.Domain sends the session token to every host below " + domain + "; leave it empty unless all of them are trusted")
		}
		made.Manager = c.manager
		a.sessions = session.New(made)
		return nil
	}
	inner, err := c.sessionStore()
	if err != nil {
		return err
	}
	if made.Store, err = c.encrypted(inner); err != nil {
		return err
	}
	if c.idle != nil {
		made.Idle = *c.idle
	}
	made.Lifetime = DefaultLifetime
	if c.lifetime != nil {
		made.Lifetime = *c.lifetime
	}
	made.CookieName = cookiePrefix(a.home.base) + "session" + a.home.cookieTag(c.appID)
	if c.cookieName != nil {
		made.CookieName = *c.cookieName
	}
	made.Secure = a.home.base.Scheme == "https"
	a.sessions = session.New(made)
	return nil
}

// reportSession reports an error of a session that no request fails for.
func (a *Auth) reportSession(ctx context.Context, err error) {
	e := Event{Kind: EventTrouble, Reason: ReasonStoreUnavailable, Err: err}
	if errors.Is(err, session.ErrDamaged) || errors.Is(err, session.ErrUnopened) {
		e.Reason = ReasonSessionCorrupt
	}
	a.report(ctx, e)
}

// stopLoadAndSave responds where the LoadAndSave of the gate's own manager failed.
func (a *Auth) stopLoadAndSave(w http.ResponseWriter, r *http.Request, err error) {
	a.report(r.Context(), Event{Kind: EventStopped, Reason: ReasonStoreUnavailable, Err: err, Detail: "LoadAndSave could not load or save the session"})
	http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
}

// sessionStore opens the store that the options name; in memory without one.
func (c *config) sessionStore() (scs.Store, error) {
	switch {
	case c.storeSet:
		return c.store, nil
	case c.poolSet:
		return store.New(c.pool, store.WithClock(c.now)), nil
	case c.redisURL != nil:
		pool, err := store.NewPool(*c.redisURL)
		if err != nil {
			return nil, fmt.Errorf("WithRedisURL: %w", err)
		}
		return store.New(pool, store.WithClock(c.now)), nil
	}
	return store.NewMemory(store.WithClock(c.now)), nil
}

// encrypted wraps the store with WithSessionEncryption.
func (c *config) encrypted(inner scs.Store) (scs.Store, error) {
	if !c.sessionKeysSet {
		return inner, nil
	}
	whole, ok := inner.(store.Sessions)
	if !ok {
		return nil, fmt.Errorf("WithSessionEncryption: %T does less than store.Sessions asks for; use a store of package store", inner)
	}
	sealed, err := store.Encrypt(whole, c.sessionKeys...)
	if err != nil {
		return nil, fmt.Errorf("WithSessionEncryption: %w", err)
	}
	return sealed, nil
}
