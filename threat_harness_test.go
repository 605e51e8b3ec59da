package wechatauth

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// The threat suite: the tests whose names begin with the id of a threat. Each
// plays an attack, a fault or an odd browser against a real server, and says
// what has to come of it.

// wire sends one request through a socket of its own, byte for byte, and reads
// the answer. Host is the base URL's unless the header lines bring one.
func (s *site) wire(method, target string, header ...string) answer {
	s.t.Helper()
	lines := []string{method + " " + target + " HTTP/1.1"}
	if !strings.Contains(strings.ToLower("\n"+strings.Join(header, "\n")), "\nhost:") {
		lines = append(lines, "Host: "+s.auth.home.base.Host)
	}
	return s.wireLines(append(append(lines, header...), "Connection: close")...)
}

func (s *site) wireLines(lines ...string) answer {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.server.Listener.Addr().String())
	require.NoError(s.t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n\r\n")
	require.NoError(s.t, err)
	all, err := io.ReadAll(conn)
	require.NoError(s.t, err)
	method, _, _ := strings.Cut(lines[0], " ")
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(all)), &http.Request{Method: method})
	require.NoError(s.t, err, "%q", all)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return answer{resp, string(body)}
}

// Two people whom the simulator knows; the first holds the phone.
var (
	aliceOpenID = wechattest.OpenID(wechattest.DefaultAppID, wechattest.DefaultPeople()[0].Name)
)

// session puts a logged-in session into the store, and returns its token.
func (s *site) session(openID string) string {
	s.t.Helper()
	text := encodeIdentity(Identity{OpenID: openID, Scope: client.ScopeBase, Channel: ChannelWeChat, LoginAt: s.clock.Now()})
	return s.sessionWith(identity.Key(wechattest.DefaultAppID), text)
}

// storedAt is the key in Redis of the session of a token.
func (s *site) storedAt(token string) string { return "scs:session:" + s.auth.sessions.StoreKey(token) }

// sessionWith puts a session with one value into the store.
func (s *site) sessionWith(key string, value any) string {
	s.t.Helper()
	m := s.auth.Sessions()
	ctx, err := m.Load(context.Background(), "")
	require.NoError(s.t, err)
	m.Put(ctx, key, value)
	token, _, err := m.Commit(ctx)
	require.NoError(s.t, err)
	return token
}

// loggedIn is a browser with a logged-in session.
func (s *site) loggedIn(openID string) *browser {
	s.t.Helper()
	b := s.browser()
	b.setCookie(s.sessionCookie(), s.session(openID))
	return b
}

// untouched runs f and asserts that neither WeChat's API nor Redis was asked
// anything. It logs what it counted, for .ci/suite to add up.
func (s *site) untouched(t *testing.T, redis *redistest.Server, f func()) {
	t.Helper()
	before := s.apiCalls()
	commands := redis.Commands(f)
	assert.Empty(t, commands, "0 Redis")
	calls := s.apiCalls() - before
	assert.Zero(t, calls, "0 API")
	t.Logf("api-calls %d, redis-commands %d", calls, len(commands))
}

// apiCalls is how often WeChat's API was asked anything at all: what the
// journal has beside the pages that a browser sees.
func (s *site) apiCalls() (calls int) {
	for _, call := range s.sim.Journal() {
		if !strings.HasPrefix(call.Endpoint, "connect/") {
			calls++
		}
	}
	return calls
}

// faultyStore keeps sessions in memory, on the site's clock, so that leases and
// lifetimes pass without waiting; a test makes single steps fail or panic.
type faultyStore struct {
	*store.Memory
	mu     sync.Mutex
	faults map[string]func() error
}

func withFaultyStore(made **faultyStore) Option {
	return func(c *config) {
		*made = &faultyStore{Memory: store.NewMemory(store.WithClock(c.now)), faults: map[string]func() error{}}
		WithStore(*made)(c)
	}
}

// fail makes a step ("find", "commit", "drop", "claim", "settle") do f from now on;
// nil mends it.
func (s *faultyStore) fail(step string, f func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[step] = f
}

func (s *faultyStore) fault(step string) error {
	s.mu.Lock()
	f := s.faults[step]
	s.mu.Unlock()
	if f == nil {
		return nil
	}
	return f()
}

func (s *faultyStore) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	if err := s.fault("find"); err != nil {
		return nil, false, err
	}
	return s.Memory.FindCtx(ctx, token)
}

func (s *faultyStore) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	if err := s.fault("commit"); err != nil {
		return err
	}
	return s.Memory.CommitCtx(ctx, token, b, expiry)
}

func (s *faultyStore) UpdateCtx(ctx context.Context, token string, b []byte, expiry time.Time) (bool, error) {
	if err := s.fault("commit"); err != nil {
		return false, err
	}
	return s.Memory.UpdateCtx(ctx, token, b, expiry)
}

func (s *faultyStore) DropCtx(ctx context.Context, token string) (bool, error) {
	if err := s.fault("drop"); err != nil {
		return false, err
	}
	return s.Memory.DropCtx(ctx, token)
}

func (s *faultyStore) PutMarkNX(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if err := s.fault("claim"); err != nil {
		return false, err
	}
	return s.Memory.PutMarkNX(ctx, key, value, ttl)
}

func (s *faultyStore) PutMark(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := s.fault("settle"); err != nil {
		return err
	}
	return s.Memory.PutMark(ctx, key, value, ttl)
}

var errFault = errors.New("the store fails, because the test says so")

func failing() error { return errFault }
