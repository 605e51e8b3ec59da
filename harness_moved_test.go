package wechatauth

import (
	"net/http"
	"net/url"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
)

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

// User-Agents of browsers outside WeChat.
const (
	safariPhone   = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"
	chromeWindows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Safari/537.36"
)

// as is the browser with another User-Agent.
func (b *browser) as(userAgent string) *browser {
	b.header.Set("User-Agent", userAgent)
	return b
}

// patience is more than a busy machine needs. It is never waited out in a good
// run.
const patience = 20 * time.Second

// allocatedBy returns how many bytes of heap a call took, roughly.
func allocatedBy(call func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	call()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// allow agrees on the simulator's consent page that a browser was shown.
func (b *browser) allow(consent answer) answer {
	b.t.Helper()
	return b.answerConsent(consent, "allow")
}

func (b *browser) answerConsent(consent answer, choice string) answer {
	b.t.Helper()
	ticket := regexp.MustCompile(`name="ticket" value="([^"]+)"`).FindStringSubmatch(consent.body)
	require.NotNil(b.t, ticket, "this is no consent page: %s", consent.body)
	form := url.Values{"ticket": {ticket[1]}, "answer": {choice}}
	return b.post(b.site.sim.URL+"/connect/oauth2/authorize_reply", form)
}
