package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/store"
)

const (
	appID    = "wx0000000000000000"
	openID   = "oAlicePqZ0123456789abcdefABC"
	patience = 10 * time.Second
)

var (
	anyUser   = &Audience{AppIDs: []string{appID}}
	errBroken = errors.New("broken on purpose")
)

// newOwn returns a Manager that owns its store, which is in memory.
func newOwn(t *testing.T) *Manager {
	t.Helper()
	return New(Config{
		Store: store.NewMemory(), Lifetime: time.Hour, CookieName: "session", Now: time.Now,
		Report: func(_ context.Context, err error) { t.Error(err) },
		Failed: func(http.ResponseWriter, *http.Request, error) {},
	})
}

// page responds with the openid and the number of visits. /login logs in.
func (m *Manager) page(t *testing.T) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, err := m.Load(r, anyUser, false)
		if !assert.NoError(t, err) {
			return
		}
		if r.URL.Path == "/login" {
			assert.NoError(t, m.LogIn(v, identity.Identity{AppID: appID, OpenID: openID, LoginAt: time.Now()}))
			_, err := m.SaveLogin(w, v)
			assert.NoError(t, err)
			return
		}
		m.Serve(w, r, v, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			m.manager.Put(r.Context(), "n", m.manager.GetInt(r.Context(), "n")+1)
			v := FromContext(r.Context())
			fmt.Fprintf(w, "%s %t %d", v.Identity.OpenID, v.In(), m.manager.GetInt(r.Context(), "n"))
		}), func(http.ResponseWriter, *http.Request, error) { t.Error("not saved") })
	})
}

// browser returns a client with a cookie jar, and a function that gets a path.
func browser(t *testing.T, server *httptest.Server) func(path string) string {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client := &http.Client{Jar: jar}
	return func(path string) string {
		resp, err := client.Get(server.URL + path)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return string(body)
	}
}

// If scs ever keeps its data elsewhere, sessions are decoded as they are loaded.
func TestManager(t *testing.T) {
	for name, keyKnown := range map[string]bool{"key of the data known": true, "key unknown": false} {
		t.Run(name, func(t *testing.T) {
			m := newOwn(t)
			require.NotNil(t, m.dataKey)
			if !keyKnown {
				m.dataKey, m.guard.dataKey = nil, nil
			}
			server := httptest.NewServer(m.page(t))
			defer server.Close()
			get := browser(t, server)
			assert.Equal(t, " false 1", get("/"))
			get("/login")
			assert.Equal(t, openID+" true 2", get("/"), "what was in the session stays")
			assert.Equal(t, openID+" true 3", get("/"))
			assert.Equal(t, " false 1", browser(t, server)("/"))
			n, err := m.Revoke(t.Context(), appID, openID)
			require.NoError(t, err)
			assert.Equal(t, 1, n)
			assert.Equal(t, " false 1", get("/"))
		})
	}
}

func TestLoad_nestedGates(t *testing.T) {
	m := newOwn(t)
	var decoded atomic.Int64
	m.decodeIdentity = func(appID, text string) (identity.Identity, error) {
		decoded.Add(1)
		return identity.Decode(appID, text)
	}
	v, err := m.NewSession(t.Context(), anyUser)
	require.NoError(t, err)
	require.NoError(t, m.LogIn(v, identity.Identity{AppID: appID, OpenID: openID, LoginAt: time.Now()}))
	saved, err := m.SaveLogin(httptest.NewRecorder(), v)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		inner   []*Audience
		between func(ctx context.Context)
		want    int64
	}{
		"one":                     {nil, nil, 1},
		"two":                     {[]*Audience{anyUser}, nil, 1},
		"three":                   {[]*Audience{anyUser, anyUser}, nil, 1},
		"another audience inside": {[]*Audience{{AppIDs: []string{"wx1", appID}}}, nil, 2},
		// It could have been the identity.
		"a value put in between": {[]*Audience{anyUser}, func(ctx context.Context) { m.manager.Put(ctx, "k", "v") }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			decoded.Store(0)
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.AddCookie(&http.Cookie{Name: "session", Value: saved.Token})
			v, err := m.Load(r, anyUser, false)
			require.NoError(t, err)
			for _, a := range c.inner {
				require.Equal(t, openID, v.Identity.OpenID)
				if c.between != nil {
					c.between(v.Context())
				}
				v, err = m.Load(r.WithContext(v.Context()), a, false)
				require.NoError(t, err)
			}
			assert.True(t, v.LoggedIn)
			assert.Equal(t, openID, v.Identity.OpenID)
			assert.Equal(t, c.want, decoded.Load())
		})
	}
}

func TestListen(t *testing.T) {
	m := newOwn(t)
	gone, leave := context.WithCancel(t.Context())
	leave()
	m.recordTimeout(gone, context.DeadlineExceeded)
	assert.False(t, m.breakerOpen(), "the client has gone")
	m.recordTimeout(t.Context(), errBroken)
	assert.False(t, m.breakerOpen(), "a store that returns an error has responded")
	m.recordTimeout(t.Context(), context.DeadlineExceeded)
	assert.True(t, m.breakerOpen())
}

func TestNewManager(t *testing.T) {
	ours, theirs := newManager(), scs.New()
	assert.Equal(t, theirs.Cookie, ours.Cookie)
	assert.IsType(t, dataKeyOf(theirs), dataKeyOf(ours))
	keys := map[any]bool{dataKeyOf(theirs): true}
	for range 50 {
		keys[dataKeyOf(newManager())] = true
	}
	assert.Len(t, keys, 51, "no two managers read each other's sessions")
}

// guarded returns a manager of an application, with its guard.
func guarded() (*scs.SessionManager, *guardedStore) {
	m := scs.New()
	m.Store = store.NewMemory()
	return m, guardIn(m, time.Now)
}

// An own manager's ErrorFunc is not called for a session that ended meanwhile.
func TestGuardIn_errorFunc(t *testing.T) {
	m, calls := scs.New(), 0
	m.Store = store.NewMemory()
	m.ErrorFunc = func(w http.ResponseWriter, _ *http.Request, err error) { calls++; assert.ErrorIs(t, err, errBroken) }
	g := guardIn(m, time.Now)
	assert.Same(t, g, guardIn(m, time.Now), "a second gate uses the same one")
	m.ErrorFunc(nil, nil, fmt.Errorf("commit: %w", ErrGone))
	assert.Zero(t, calls)
	m.ErrorFunc(nil, nil, errBroken)
	assert.Equal(t, 1, calls)
}

// traced counts the traces that are left when the garbage has been collected.
func (g *guardedStore) traced() int {
	g.traces.mu.Lock()
	defer g.traces.mu.Unlock()
	return len(g.traces.of)
}

func TestTraces_garbage(t *testing.T) {
	m, g := guarded()
	server := httptest.NewUnstartedServer(m.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.Put(r.Context(), "seen", "yes")
		assert.NoError(t, m.RenewToken(r.Context()))
		if r.URL.RawQuery == "panic" {
			panic(http.ErrAbortHandler)
		}
	})))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	defer server.Close()
	get := browser(t, server)
	before := runtime.NumGoroutine()
	for range 500 {
		get("/")
		_, err := http.Get(server.URL + "/?panic")
		require.Error(t, err)
	}
	assert.Less(t, runtime.NumGoroutine(), before+100, "no goroutine is left of a request")
	server.CloseClientConnections()
	assert.Eventually(t, func() bool { runtime.GC(); return g.traced() < 10 }, patience, time.Millisecond)
}

// One context may load any number of sessions.
func TestTraces_bound(t *testing.T) {
	m, g := guarded()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 100 {
		first, err := m.Load(context.Background(), "")
		require.NoError(t, err)
		m.Put(first, "k", "v")
		token, _, err := m.Commit(first)
		require.NoError(t, err)
		loaded, err := m.Load(ctx, token)
		require.NoError(t, err)
		m.Put(loaded, "seen", "yes")
		_, _, err = m.Commit(loaded)
		require.NoError(t, err)
	}
	read := 0
	g.traces.lookIn(ctx.Done(), func(t *trace) { read = len(t.read) })
	assert.Equal(t, maxTraced, read)
}

// untouchable fails every touch.
type untouchable struct{ *store.Memory }

func (untouchable) TouchCtx(context.Context, string, time.Time) (bool, error) {
	return false, errBroken
}

func TestTouch_failed(t *testing.T) {
	m := store.NewMemory()
	g := newGuardedStore(untouchable{m}, time.Hour, time.Now)
	token := strings.Repeat("t", TokenLength)
	require.NoError(t, m.Commit(token, []byte("record"), time.Now().Add(time.Minute)))
	for range 2 {
		assert.ErrorIs(t, g.touch(t.Context(), token, time.Now().Add(time.Hour)), errBroken, "it is tried again")
	}
}

func TestRecent(t *testing.T) {
	r, now := tokenSet{life: time.Minute}, time.Now()
	assert.True(t, r.add("a", now))
	assert.False(t, r.add("a", now.Add(59*time.Second)))
	assert.True(t, r.add("a", now.Add(time.Minute)))
	r.forget("a")
	assert.True(t, r.add("a", now.Add(time.Minute)))
	for n := range 5 * tokenSetSize {
		r.add(fmt.Sprint(n), now.Add(time.Minute))
	}
	assert.LessOrEqual(t, len(r.young)+len(r.old), 2*tokenSetSize)
	assert.False(t, r.add(fmt.Sprint(5*tokenSetSize-1), now.Add(time.Minute)))
	assert.False(t, r.add(fmt.Sprint(4*tokenSetSize), now.Add(time.Minute)), "the younger ones are there still")
}

// A slowStore deletes sessions one by one, those without a record first, and lets
// a commit wait.
type slowStore struct {
	*store.Memory
	commits, goOn chan struct{} // a commit waits between the two
	between       func()        // called once, after the sessions without a record
}

func (s *slowStore) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	if s.commits != nil {
		close(s.commits)
		<-s.goOn
	}
	return s.Memory.CommitCtx(ctx, token, b, expiry)
}

func (s *slowStore) DeleteAndReportAllCtx(ctx context.Context, tokens []string) (dropped []string, err error) {
	var alive []string
	for _, token := range tokens {
		if _, found, _ := s.FindCtx(ctx, token); found {
			alive = append(alive, token)
		}
	}
	if s.between != nil {
		s.between()
		s.between = nil
	}
	return s.Memory.DeleteAndReportAllCtx(ctx, alive)
}

// A request gives the session another token while RevokeUser deletes one after the
// other: it has tried the new one before it is saved, and tries the old one after it
// is deleted.
func TestRevoke_betweenTwoDeletions(t *testing.T) {
	s := &slowStore{Memory: store.NewMemory()}
	m := New(Config{
		Store: s, Lifetime: time.Hour, CookieName: "session", Now: time.Now,
		Report: func(_ context.Context, err error) { t.Error(err) },
	})
	v, err := m.NewSession(t.Context(), anyUser)
	require.NoError(t, err)
	require.NoError(t, m.LogIn(v, identity.Identity{AppID: appID, OpenID: openID, LoginAt: time.Now()}))
	saved, err := m.SaveLogin(httptest.NewRecorder(), v)
	require.NoError(t, err)

	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.AddCookie(&http.Cookie{Name: "session", Value: saved.Token})
	v, err = m.Load(r, anyUser, false)
	require.NoError(t, err)
	require.True(t, v.LoggedIn)
	require.NoError(t, m.manager.RenewToken(v.Context()))
	s.commits, s.goOn = make(chan struct{}), make(chan struct{})
	renewed := make(chan error)
	go func() { renewed <- m.save(httptest.NewRecorder(), v) }()
	<-s.commits
	s.between = func() {
		close(s.goOn)
		assert.NoError(t, <-renewed)
	}
	n, err := m.Revoke(t.Context(), appID, openID)
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	all, err := s.All()
	require.NoError(t, err)
	assert.Empty(t, all, "no session is left")
}
