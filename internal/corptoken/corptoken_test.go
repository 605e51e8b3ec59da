package corptoken

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/client/wecom"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/seal"
	"github.com/wechatauth/wechatauth/internal/singleflight"
	"github.com/wechatauth/wechatauth/store"
)

const (
	corpID = "ww1234567890abcdef"
	secret = "app-secret-for-tests-0123456789abcdefghijkl"
)

func testKeys(t *testing.T, text string) *seal.Ring {
	t.Helper()
	keys, err := seal.New("kept", []byte(text))
	require.NoError(t, err)
	return keys
}

// A lab is a cache over a store in memory, with one clock for both. Waiting moves
// the clock.
type lab struct {
	*Cache
	mu     sync.Mutex
	now    time.Time
	waited time.Duration
	issued int
	life   time.Duration
	err    error
}

func newLab(t *testing.T) *lab {
	l := &lab{now: time.Unix(1_700_000_000, 0), life: 2 * time.Hour}
	l.Cache = &Cache{Marks: store.NewMemory(store.WithClock(l.clock)), Keys: testKeys(t, "a secret of thirty-two bytes ....."), Now: l.clock}
	l.Wait = func(ctx context.Context, d time.Duration) error {
		l.advance(d)
		l.waited += d
		return ctx.Err()
	}
	return l
}

func (l *lab) clock() time.Time { l.mu.Lock(); defer l.mu.Unlock(); return l.now }

func (l *lab) advance(d time.Duration) { l.mu.Lock(); defer l.mu.Unlock(); l.now = l.now.Add(d) }

func (l *lab) fetch(context.Context) (client.Secret, time.Duration, error) {
	l.issued++
	if l.err != nil {
		return client.Secret{}, 0, l.err
	}
	return client.NewSecret(fmt.Sprintf("token %d", l.issued)), l.life, nil
}

func (l *lab) token(t *testing.T, stale string) (string, time.Duration) {
	t.Helper()
	token, life, err := l.Token(t.Context(), "app", client.NewSecret(stale), l.fetch)
	require.NoError(t, err)
	return token.Reveal(), life
}

// A token is replaced between ten and five minutes before it expires.
func TestCache_Expiry(t *testing.T) {
	l := newLab(t)
	_, life := l.token(t, "")
	assert.Greater(t, life, 2*time.Hour-margin-jitter-time.Second)
	assert.LessOrEqual(t, life, 2*time.Hour-margin)
	l.advance(2*time.Hour - margin - jitter - time.Second)
	got, _ := l.token(t, "")
	assert.Equal(t, "token 1", got)
	l.advance(jitter + time.Second)
	got, _ = l.token(t, "")
	assert.Equal(t, "token 2", got)

	l.life = time.Minute
	l.advance(3 * time.Hour)
	_, life = l.token(t, "")
	assert.Equal(t, 30*time.Second, life, "a short life is used by half")
	l.advance(29 * time.Second)
	got, _ = l.token(t, "")
	assert.Equal(t, "token 3", got)
	l.advance(time.Second)
	got, _ = l.token(t, "")
	assert.Equal(t, "token 4", got)
	assert.Zero(t, l.waited)
}

// A stale token is replaced once for all instances, and not again within a minute.
func TestCache_Stale(t *testing.T) {
	l := newLab(t)
	l.token(t, "")
	got, _ := l.token(t, "token 1")
	assert.Equal(t, "token 2", got)
	got, _ = l.token(t, "token 1")
	assert.Equal(t, "token 2", got, "another instance has replaced it")
	for range 5 {
		got, _ = l.token(t, "token 2")
		assert.Equal(t, "token 2", got)
	}
	assert.Equal(t, 2, l.issued)
	l.advance(rejectedTime)
	got, _ = l.token(t, "token 2")
	assert.Equal(t, "token 3", got)
}

// An instance that dies while it gets a token delays the others until its lease
// ends, and not at all while there is a valid token.
func TestCache_DeadInstance(t *testing.T) {
	l := newLab(t)
	die := func() {
		dead := make(chan struct{})
		go func() {
			defer close(dead)
			_, _, _ = l.Token(context.Background(), "app", client.Secret{}, func(context.Context) (client.Secret, time.Duration, error) {
				runtime.Goexit()
				panic("not reached")
			})
		}()
		<-dead
	}
	die()
	got, _ := l.token(t, "")
	assert.Equal(t, "token 1", got)
	assert.GreaterOrEqual(t, l.waited, Lease-maxPoll)
	assert.LessOrEqual(t, l.waited, Lease+maxPoll)

	l.waited = 0
	l.advance(2*time.Hour - margin)
	die()
	got, life := l.token(t, "")
	assert.Equal(t, "token 1", got)
	assert.Equal(t, meanwhile, life)
	assert.Zero(t, l.waited)
	l.advance(Lease)
	got, _ = l.token(t, "")
	assert.Equal(t, "token 2", got)
}

// A caller that gives up stops waiting.
func TestCache_Canceled(t *testing.T) {
	l := newLab(t)
	require.NoError(t, l.Marks.PutMark(t.Context(), leaseMark("app"), []byte("another instance"), time.Minute))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := l.Token(ctx, "app", client.Secret{}, l.fetch)
	assert.ErrorIs(t, err, context.Canceled)
	assert.Zero(t, l.issued)
}

// While WeCom is down, the current token is used as long as it is valid.
func TestCache_WeComDown(t *testing.T) {
	l := newLab(t)
	l.token(t, "")
	l.err = errors.New("down")
	l.advance(2*time.Hour - margin)
	for range 5 {
		got, life := l.token(t, "")
		assert.Equal(t, "token 1", got)
		assert.Equal(t, meanwhile, life)
	}
	assert.Equal(t, 2, l.issued, "the instances do not all try")
	l.advance(margin)
	_, _, err := l.Token(t.Context(), "app", client.Secret{}, l.fetch)
	assert.ErrorIs(t, err, l.err)
	l.err = nil
	got, _ := l.token(t, "")
	assert.Equal(t, "token 4", got, "a failure releases the lease")
}

// No instance calls WeCom for a minute after it has rejected the secret, and the
// error is the same on all of them.
func TestCache_WrongSecret(t *testing.T) {
	l := newLab(t)
	l.err = &client.Error{Code: 40001, Message: "invalid credential", RID: "hint", Endpoint: "cgi-bin/gettoken", HTTPStatus: 200}
	for range 5 {
		_, _, err := l.Token(t.Context(), "app", client.Secret{}, l.fetch)
		assert.ErrorIs(t, err, client.ErrAppSecret)
		assert.EqualError(t, err, l.err.Error())
		e, ok := err.(*client.Error)
		require.True(t, ok, "%T", err)
		assert.Equal(t, client.KindConfiguration, e.Kind())
	}
	assert.Equal(t, 1, l.issued)
	l.advance(rejectedTime)
	l.err = nil
	got, _ := l.token(t, "")
	assert.Equal(t, "token 2", got)
}

// An attacker who can read the store gets no token, and one who can write to it
// sets none.
func TestCache_Sealed(t *testing.T) {
	l := newLab(t)
	l.token(t, "")
	mark, found, err := l.Marks.Mark(t.Context(), tokenMark("app"))
	require.NoError(t, err)
	require.True(t, found)
	assert.NotContains(t, string(mark), "token")

	for name, forged := range map[string]string{
		"plain":       `{"k":"attacker's","f":1700000000000,"e":1800000000000}`,
		"another key": testKeys(t, "another secret of thirty-two bytes").Seal([]byte(`{"k":"attacker's","f":1700000000000,"e":1800000000000}`), tokenMark("app")),
		"moved":       l.Keys.Seal([]byte(`{"k":"another app's","f":1700000000000,"e":1800000000000}`), tokenMark("other")),
	} {
		require.NoError(t, l.Marks.PutMark(t.Context(), tokenMark("app"), []byte(forged), time.Hour))
		issued := l.issued
		got, _ := l.token(t, "")
		assert.Equal(t, fmt.Sprintf("token %d", issued+1), got, name)
	}
}

// weCom issues tokens and counts them.
func weCom(t *testing.T, issued *atomic.Int64) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/cgi-bin/gettoken" {
			fmt.Fprintf(w, `{"errcode":0,"errmsg":"ok","access_token":"token%d","expires_in":7200}`, issued.Add(1))
			return
		}
		fmt.Fprint(w, `{"errcode":0,"errmsg":"ok","userid":"ZhangSan"}`)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// 200 instances that start at the same time over one Redis get one token.
func TestCache_Instances(t *testing.T) {
	const instances = 200
	redis := redistest.Start(t)
	var issued atomic.Int64
	url := weCom(t, &issued)
	start := make(chan struct{})
	var all sync.WaitGroup
	for range instances {
		pool, err := store.NewPool("redis://" + redis.Addr())
		require.NoError(t, err)
		defer pool.Close()
		cache := &Cache{Marks: store.New(pool, store.WithTimeout(10*time.Second)), Keys: testKeys(t, "a secret of thirty-two bytes ....."), Now: time.Now, Wait: singleflight.Sleep}
		c, err := wecom.New(corpID, 1000002, secret, wecom.WithTokenCache(cache), wecom.WithTimeout(time.Minute),
			wecom.WithEndpoints(wecom.Endpoints{Open: url, Login: url, API: url}))
		require.NoError(t, err)
		all.Go(func() {
			<-start
			user, err := c.UserInfo(t.Context(), "code")
			if assert.NoError(t, err) {
				assert.Equal(t, "ZhangSan", user.UserID)
			}
		})
	}
	close(start)
	all.Wait()
	assert.EqualValues(t, 1, issued.Load(), "tokens")
	t.Logf("wecom: instances %d, tokens %d", instances, issued.Load())
}
