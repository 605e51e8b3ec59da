package wechatauth

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/returnto"
	"github.com/wechatauth/wechatauth/internal/returnto/returntotest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// faultsOf judges a Location of a site at any origin.
func faultsOf(location string) []string {
	base, _ := url.Parse(returntotest.Origin)
	return returntotest.Faults(location, "/wechat/", returnto.Site{Base: base, Prefix: "/wechat/", Endpoints: ownEndpoints}.Judge)
}

// loginOf finishes a login that an answer began, and returns the answer to the
// callback.
func (s *site) loginOf(begun answer) answer {
	s.t.Helper()
	require.Equal(s.t, http.StatusSeeOther, begun.StatusCode, begun.body)
	cookies := begun.flowCookies()
	require.Len(s.t, cookies, 1)
	back := s.browser().step(begun.Header.Get("Location"))
	require.Equal(s.t, http.StatusFound, back.StatusCode, back.body)
	return s.wire(http.MethodGet, strings.TrimPrefix(back.Header.Get("Location"), s.auth.base.String()), pageHeader, cookieHeader(cookies...))
}

// keepers are the ways in which sessions are kept: by the gate's manager and by
// an application's, over stores that do much and little.
func keepers(t *testing.T) map[string]func() []Option {
	own := func(set func(m *scs.SessionManager)) func() []Option {
		return func() []Option {
			m := ownManager(store.New(redistest.Start(t).Pool()))
			set(m)
			return []Option{WithSessionManager(m)}
		}
	}
	return map[string]func() []Option{
		"in memory":  func() []Option { return nil },
		"over Redis": func() []Option { return []Option{WithRedis(redistest.Start(t).Pool())} },
		"over Redis, encrypted": func() []Option {
			return []Option{WithRedis(redistest.Start(t).Pool()), WithSessionEncryption(sessionKeyForTests)}
		},
		"own manager":                          own(func(*scs.SessionManager) {}),
		"own manager, hashed":                  own(func(m *scs.SessionManager) { m.HashTokenInStore = true }),
		"own manager, with an idle timeout":    own(func(m *scs.SessionManager) { m.IdleTimeout = time.Hour }),
		"own manager, this codec":              own(func(m *scs.SessionManager) { m.Codec = store.Codec{} }),
		"own manager, a store that does least": func() []Option { return []Option{WithSessionManager(ownManager(plain{store.NewMemory()}))} },
	}
}

// visitForToken logs in by visiting a page, and returns the session's token.
func (b *browser) visitForToken(target string) string {
	b.t.Helper()
	require.Contains(b.t, b.visit(target).body, "logged-in=true")
	return b.cookie(b.site.sessionCookie()).Value
}

// view is a mini program's web-view that sends no Sec-Fetch headers.
func (s *site) view() *browser { return s.browser().as(wechattest.IPhoneMiniProgram) }

// loaders are the ways in which an application's LoadAndSave and the wall can
// stand to each other.
var loaders = map[string]func(m *scs.SessionManager, a *Auth, h http.Handler) http.Handler{
	"no LoadAndSave": func(_ *scs.SessionManager, a *Auth, h http.Handler) http.Handler { return a.RequireWeChat(h) },
	"LoadAndSave outside": func(m *scs.SessionManager, a *Auth, h http.Handler) http.Handler {
		return m.LoadAndSave(a.RequireWeChat(h))
	},
	"LoadAndSave inside": func(m *scs.SessionManager, a *Auth, h http.Handler) http.Handler {
		return a.RequireWeChat(m.LoadAndSave(h))
	},
	"LoadAndSave between": func(m *scs.SessionManager, a *Auth, h http.Handler) http.Handler {
		return a.LoadWeChat(m.LoadAndSave(a.RequireWeChat(h)))
	},
}

// ownManager is one of an application's, over a store.
func ownManager(s scs.Store) *scs.SessionManager {
	m := scs.New()
	m.Store = s
	return m
}

// holding is a browser in which a cookie was planted.
func (s *site) holding(name, value string) *browser {
	b := s.browser()
	b.setCookie(name, value)
	return b
}

// waitOut returns a wait that takes no time: the site's clock goes on, and with
// it what is left until the context's deadline.
func (s *site) waitOut() func(ctx context.Context, d time.Duration) error {
	var mu sync.Mutex
	waited := map[context.Context]time.Duration{}
	return func(ctx context.Context, d time.Duration) error {
		mu.Lock()
		defer mu.Unlock()
		waited[ctx] += d
		if end, ok := ctx.Deadline(); ok && time.Until(end) < waited[ctx] {
			return context.DeadlineExceeded
		}
		s.clock.Advance(d)
		return ctx.Err()
	}
}

// tryStep is step where no answer is expected. The connection is a new one: a
// request on a kept one that dies is sent again by net/http.
func (b *browser) tryStep(target string) error {
	still := http.Client{Jar: b.client.Jar, Transport: &http.Transport{DisableKeepAlives: true}}
	still.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := still.Get(target)
	if err == nil {
		resp.Body.Close()
	}
	return err
}

const (
	tokenEndpoint   = "/sns/oauth2/access_token"
	profileEndpoint = "/sns/userinfo"
	miniEndpoint    = "/sns/jscode2session"
	refreshEndpoint = "/sns/oauth2/refresh_token"
)

// varies is how often the headers name Cookie in Vary.
func varies(h http.Header) (n int) {
	for _, line := range h["Vary"] {
		for field := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(field), "Cookie") {
				n++
			}
		}
	}
	return n
}

var sessionKeyForTests = []byte("session-key-for-tests-0123456789")

// observing is a function as an Observer.
type observing func(Event)

func (f observing) Observe(_ context.Context, e Event) { f(e) }
