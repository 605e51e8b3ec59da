package main

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
	"github.com/gomodule/redigo/redis"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/store"
)

// memoryFigures prints the memory of a session in this process, and of an
// unused instance.
func (f *field) memoryFigures(rs *rounds) error {
	record, err := redis.Bytes(f.redis.Do("GET", ourKey(f.cookies[0])))
	if err != nil {
		return fmt.Errorf("read a session record: %w", err)
	}
	theirs, err := redis.Bytes(f.redis.Do("GET", scsKey(named(f.stored, "scs").users[0].request.Header.Get("Cookie"))))
	if err != nil {
		return fmt.Errorf("read a session record: %w", err)
	}
	rs.figure("RedisIndexPerUser/who=wechatauth", "B", float64(f.index))
	const n = 50_000
	for _, c := range []struct {
		name   string
		store  scs.Store
		record []byte
	}{
		{"MemoryPerSession/store=memory/who=wechatauth", store.NewMemory(), record},
		{"MemoryPerSession/store=memory/who=scs", memstore.NewWithCleanupInterval(0), theirs},
	} {
		used := heapAfter(func() any {
			expiry := time.Now().Add(time.Hour)
			for i := range n {
				_ = c.store.Commit(tokenOf(i), append([]byte(nil), c.record...), expiry)
			}
			return c.store
		})
		rs.figure(c.name, "B/session", float64(used)/n)
	}
	const instances = 50
	before := runtime.NumGoroutine()
	used := heapAfter(func() any {
		all := make([]*wechatauth.Auth, instances)
		for i := range all {
			all[i], _, err = newOurs(f.wechat, wechatauth.WithRedis(f.pool))
		}
		return all
	})
	if err != nil {
		return err
	}
	rs.figure("IdleInstance/who=wechatauth", "B/instance", float64(used)/instances)
	rs.figure("IdleInstance/goroutines/who=wechatauth", "goroutines/instance", float64(runtime.NumGoroutine()-before)/instances)
	return nil
}

// heapAfter returns by how much the heap grows by what f makes and holds.
func heapAfter(f func() any) int64 {
	before := heap()
	held := f()
	after := heap()
	runtime.KeepAlive(held)
	return after - before
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// figure prints a line of one figure that benchstat reads.
func (rs *rounds) figure(name, unit string, value float64) {
	rs.print(name, testing.BenchmarkResult{N: 1, Extra: map[string]float64{unit: value}}, false)
}

// tokenOf returns a token of scs's form.
func tokenOf(n int) string { return fmt.Sprintf("%043d", n) }

// growth measures the authenticated request with a growing number of sessions
// in Redis, and of concurrent users.
func (f *field) growth(rs *rounds, set settings) error {
	sessions := []int{1, 1_000, 1_000_000}
	users := []int{1, 100, 10_000}
	if set.quick() {
		sessions[2] = 100_000
	}
	if err := f.growSessions(rs, sessions); err != nil {
		return err
	}
	return f.growVisitors(rs, users)
}

// growSessions fills Redis with copies of a real record, under different
// tokens, and measures users with any of these tokens.
func (f *field) growSessions(rs *rounds, sizes []int) error {
	record, err := redis.Bytes(f.redis.Do("GET", ourKey(f.cookies[0])))
	if err != nil {
		return fmt.Errorf("read a session record: %w", err)
	}
	conn, err := redis.Dial("tcp", f.redis.Addr())
	if err != nil {
		return fmt.Errorf("connect to redis-server: %w", err)
	}
	defer conn.Close()
	name, _ := sessionCookie(f.cookies[0])
	h := named(f.stored, "wechatauth").handler
	written, start := 0, 0
	for _, size := range sizes {
		if err := fill(conn, record, written, size); err != nil {
			return err
		}
		written = size
		used, err := f.redis.Memory()
		if err != nil {
			return err
		}
		if size == 1 {
			start = used // including what the connection uses
		}
		v, i := newVisitor(""), 0
		err = rs.run(measurement{
			name: fmt.Sprintf("Growth/sessions=%d/who=wechatauth", size), users: 1,
			visit: func(int) error {
				i = (i + 7919) % size // a prime: all of them come, unordered
				v.request.Header.Set("Cookie", name+"="+tokenOf(i))
				return v.ask(h, 200)
			},
			extra: func(b *testing.B) {
				if size > 1 {
					b.ReportMetric(float64(used-start)/float64(size-1), "redisB/session")
				}
			},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// boundTo returns a record of package store with the checksum of another key: a
// byte, eight bytes of the key's SHA-256, and the session.
func boundTo(key string, record []byte) []byte {
	sum := sha256.Sum256([]byte(key))
	bound := append([]byte{record[0]}, sum[:8]...)
	return append(bound, record[len(bound):]...)
}

// fill writes the sessions from one number to another, in pipelines.
func fill(conn redis.Conn, record []byte, from, to int) error {
	const batch = 1000
	for at := from; at < to; at += batch {
		end := min(at+batch, to)
		for n := at; n < end; n++ {
			key := keyPrefix + hashed(tokenOf(n))
			if err := conn.Send("SET", key, boundTo(key, record), "PX", 3_600_000); err != nil {
				return fmt.Errorf("fill Redis: %w", err)
			}
		}
		if err := conn.Flush(); err != nil {
			return fmt.Errorf("fill Redis: %w", err)
		}
		for n := at; n < end; n++ {
			if _, err := conn.Receive(); err != nil {
				return fmt.Errorf("fill Redis: %w", err)
			}
		}
	}
	return nil
}

// growVisitors measures a growing number of concurrent users, each with three
// requests.
func (f *field) growVisitors(rs *rounds, sizes []int) error {
	for _, size := range sizes {
		for _, who := range []string{"scs", "wechatauth", "wechatauth-near"} {
			result, err := rush(crowdOf(named(f.stored, who), size), max(3*size, 2000))
			if err != nil {
				return err
			}
			rs.print(fmt.Sprintf("Growth/concurrent=%d/who=%s", size, who), result, false)
		}
	}
	return nil
}

// rush makes all users of a contender send requests at the same time, n in all.
// A request that waits for Redis longer than its store allows gets a 503: these
// are counted, and are not among the requests per second. Any other wrong
// response is an error.
func rush(crowd *contender, n int) (testing.BenchmarkResult, error) {
	size := len(crowd.users)
	times := newTimes(size, n)
	var refused atomic.Int64
	runtime.GC()
	start := time.Now()
	err := each(size, n, times, func(user int) error {
		err := crowd.visit(user)
		if err != nil && crowd.users[user].response.status == http.StatusServiceUnavailable {
			refused.Add(1)
			return nil
		}
		return err
	})
	took := time.Since(start)
	served := int64(n) - refused.Load()
	return testing.BenchmarkResult{N: n, T: took, Extra: map[string]float64{
		"p50-ns": float64(times.quantile(0.50)), "p99-ns": float64(times.quantile(0.99)),
		"req/s": float64(served) / took.Seconds(), "refused": float64(refused.Load()),
	}}, err
}

// crowdOf returns a contender with this number of users, each with their own
// request.
func crowdOf(c *contender, size int) *contender {
	crowd := *c
	crowd.users = make([]*user, size)
	for n := range crowd.users {
		crowd.users[n] = newVisitor(c.users[n%len(c.users)].request.Header.Get("Cookie"))
	}
	return &crowd
}
