package authtest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// A SwitchableStore keeps sessions in memory. A test can make all calls fail,
// or only writes.
type SwitchableStore struct {
	*store.Memory
	Down     atomic.Bool // every step fails
	ReadOnly atomic.Bool // writes fail
}

// ErrSwitchedOff is the error of a [SwitchableStore].
var ErrSwitchedOff = errors.New("the store is switched off for this test")

// NewSwitchableStore returns an empty store, which does not fail.
func NewSwitchableStore() *SwitchableStore { return &SwitchableStore{Memory: store.NewMemory()} }

func (s *SwitchableStore) fails(write bool) error {
	if s.Down.Load() || write && s.ReadOnly.Load() {
		return ErrSwitchedOff
	}
	return nil
}

// FindCtx implements [scs.CtxStore].
func (s *SwitchableStore) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	if err := s.fails(false); err != nil {
		return nil, false, err
	}
	return s.Memory.FindCtx(ctx, token)
}

// FindTTLCtx implements [store.Sessions].
func (s *SwitchableStore) FindTTLCtx(ctx context.Context, token string) ([]byte, time.Duration, bool, error) {
	if err := s.fails(false); err != nil {
		return nil, 0, false, err
	}
	return s.Memory.FindTTLCtx(ctx, token)
}

// CommitCtx implements [scs.CtxStore].
func (s *SwitchableStore) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	if err := s.fails(true); err != nil {
		return err
	}
	return s.Memory.CommitCtx(ctx, token, b, expiry)
}

// UpdateCtx implements [store.Sessions].
func (s *SwitchableStore) UpdateCtx(ctx context.Context, token string, b []byte, expiry time.Time) (bool, error) {
	if err := s.fails(true); err != nil {
		return false, err
	}
	return s.Memory.UpdateCtx(ctx, token, b, expiry)
}

// DeleteAndReportCtx implements [store.Sessions].
func (s *SwitchableStore) DeleteAndReportCtx(ctx context.Context, token string) (bool, error) {
	if err := s.fails(true); err != nil {
		return false, err
	}
	return s.Memory.DeleteAndReportCtx(ctx, token)
}

// PutMarkNX implements [store.Marks].
func (s *SwitchableStore) PutMarkNX(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if err := s.fails(false); err != nil {
		return false, err
	}
	return s.Memory.PutMarkNX(ctx, key, value, ttl)
}

// ErrBroken is the error of a store that a test breaks.
var ErrBroken = errors.New("the store is broken for this test")

// Handle adds a handler behind LoadWeChat to the site.
func (s *Site) Handle(pattern string, h http.HandlerFunc) {
	mux := s.Routes().(*http.ServeMux)
	mux.Handle(pattern, s.Auth.LoadWeChat(h))
	s.Server.Config.Handler = mux
}

// PlainStore hides the optional interfaces of a store.
type PlainStore struct{ scs.Store }

// Handle2 adds a second handler.
func (s *Site) Handle2(pattern string, h http.HandlerFunc) {
	s.Server.Config.Handler.(*http.ServeMux).Handle(pattern, s.Auth.LoadWeChat(h))
}

// Keepers returns the ways to keep sessions: with the gate's manager or an
// application's, over stores with and without optional interfaces.
func Keepers(t *testing.T) map[string]func() []wechatauth.Option {
	own := func(set func(m *scs.SessionManager)) func() []wechatauth.Option {
		return func() []wechatauth.Option {
			m := OwnManager(store.New(redistest.Start(t).Pool()))
			set(m)
			return []wechatauth.Option{wechatauth.WithSessionManager(m)}
		}
	}
	return map[string]func() []wechatauth.Option{
		"in memory": func() []wechatauth.Option { return nil },
		"over Redis": func() []wechatauth.Option {
			return []wechatauth.Option{wechatauth.WithRedis(redistest.Start(t).Pool())}
		},
		"over Redis, encrypted": func() []wechatauth.Option {
			return []wechatauth.Option{wechatauth.WithRedis(redistest.Start(t).Pool()), wechatauth.WithSessionEncryption(SessionKeyForTests)}
		},
		"own manager":                       own(func(*scs.SessionManager) {}),
		"own manager, hashed":               own(func(m *scs.SessionManager) { m.HashTokenInStore = true }),
		"own manager, with an idle timeout": own(func(m *scs.SessionManager) { m.IdleTimeout = time.Hour }),
		"own manager, this codec":           own(func(m *scs.SessionManager) { m.Codec = store.Codec{} }),
		"own manager, a store that does least": func() []wechatauth.Option {
			return []wechatauth.Option{wechatauth.WithSessionManager(OwnManager(PlainStore{store.NewMemory()}))}
		},
	}
}

// VisitForToken logs in by visiting a page, and returns the session's token.
func (b *Browser) VisitForToken(target string) string {
	b.T.Helper()
	require.Contains(b.T, b.Visit(target).Text, "logged-in=true")
	return b.Cookie(b.Site.SessionCookie()).Value
}

// Loaders has the ways to combine an application's LoadAndSave with the
// middleware.
var Loaders = map[string]func(m *scs.SessionManager, a *wechatauth.Auth, h http.Handler) http.Handler{
	"no LoadAndSave": func(_ *scs.SessionManager, a *wechatauth.Auth, h http.Handler) http.Handler {
		return a.RequireWeChat(h)
	},
	"LoadAndSave outside": func(m *scs.SessionManager, a *wechatauth.Auth, h http.Handler) http.Handler {
		return m.LoadAndSave(a.RequireWeChat(h))
	},
	"LoadAndSave inside": func(m *scs.SessionManager, a *wechatauth.Auth, h http.Handler) http.Handler {
		return a.RequireWeChat(m.LoadAndSave(h))
	},
	"LoadAndSave between": func(m *scs.SessionManager, a *wechatauth.Auth, h http.Handler) http.Handler {
		return a.LoadWeChat(m.LoadAndSave(a.RequireWeChat(h)))
	},
}

// OwnManager returns a manager of an application's, over a store.
func OwnManager(s scs.Store) *scs.SessionManager {
	m := scs.New()
	m.Store = s
	return m
}

// Ungated has the ways in which scs's own LoadAndSave serves a request.
var Ungated = map[string]func(m *scs.SessionManager, a *wechatauth.Auth, h http.Handler) http.Handler{
	"no gate": func(m *scs.SessionManager, _ *wechatauth.Auth, h http.Handler) http.Handler { return m.LoadAndSave(h) },
	"no gate, a timeout inside": func(m *scs.SessionManager, _ *wechatauth.Auth, h http.Handler) http.Handler {
		return m.LoadAndSave(http.TimeoutHandler(h, Patience, ""))
	},
	"no gate, a timeout around": func(m *scs.SessionManager, _ *wechatauth.Auth, h http.Handler) http.Handler {
		return http.TimeoutHandler(m.LoadAndSave(h), Patience, "")
	},
	"around the gate": func(m *scs.SessionManager, a *wechatauth.Auth, h http.Handler) http.Handler {
		return m.LoadAndSave(a.LoadWeChat(h))
	},
	"around the gate, a timeout between": func(m *scs.SessionManager, a *wechatauth.Auth, h http.Handler) http.Handler {
		return m.LoadAndSave(http.TimeoutHandler(a.LoadWeChat(h), Patience, ""))
	},
}

// UngatedKeepers returns managers whose LoadAndSave serves requests.
func UngatedKeepers(t *testing.T) map[string]func() []wechatauth.Option {
	redis := redistest.Start(t)
	sites := 0
	own := func(set func(m *scs.SessionManager)) func() []wechatauth.Option {
		return func() []wechatauth.Option {
			sites++
			m := OwnManager(store.New(redis.Pool(), store.WithPrefix(fmt.Sprintf("site %d:", sites))))
			set(m)
			return []wechatauth.Option{wechatauth.WithSessionManager(m)}
		}
	}
	return map[string]func() []wechatauth.Option{
		"in memory":   func() []wechatauth.Option { return nil },
		"own manager": own(func(*scs.SessionManager) {}),
		"own manager, hashed, with an idle timeout and this codec": own(func(m *scs.SessionManager) {
			m.HashTokenInStore, m.IdleTimeout, m.Codec = true, time.Hour, store.Codec{}
		}),
		"own manager, a store that does least": func() []wechatauth.Option {
			return []wechatauth.Option{wechatauth.WithSessionManager(OwnManager(PlainStore{store.NewMemory()}))}
		},
	}
}

// ServeUngated serves "/slow" without the site's own gate.
func (s *Site) ServeUngated(wrap func(*scs.SessionManager, *wechatauth.Auth, http.Handler) http.Handler, h http.HandlerFunc) {
	mux := s.Routes().(*http.ServeMux)
	mux.Handle("/slow", wrap(s.Auth.Sessions(), s.Auth, h))
	s.Server.Config.Handler = mux
}

// Endings has the ways in which another request ends a session.
var Endings = map[string]func(s *Site, token string) error{
	"revoked": func(s *Site, _ string) error {
		_, err := s.Auth.RevokeUser(context.Background(), wechattest.DefaultAppID, AliceOpenID)
		return err
	},
	"logged out": func(s *Site, token string) error {
		s.Holding(s.SessionCookie(), token).Post("/wechat/logout", url.Values{})
		return nil
	},
}
