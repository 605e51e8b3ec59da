package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"

	"github.com/alexedwards/scs/redisstore"
	"github.com/alexedwards/scs/v2/memstore"
	"github.com/gomodule/redigo/redis"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/bench/internal/redisserver"
	"github.com/wechatauth/wechatauth/store"
)

// A field has every contender, over one Redis and one simulator.
type field struct {
	redis  *redisserver.Server
	pool   *redis.Pool // of ours, and of every peer
	wechat *weChat

	memory  []*contender // authenticated requests, sessions in memory or in a cookie
	stored  []*contender // authenticated requests, sessions in Redis
	visits  []*contender // anonymous page visits
	scripts []*contender // anonymous requests of scripts

	cookies []string // of ours in Redis
	index   int      // bytes that Redis uses for a user with one session, besides the session
	closers []func()
}

// newField creates all contenders. The caller must close the result, even after
// an error.
func newField(ctx context.Context) (f *field, err error) {
	f = &field{wechat: newWeChat()}
	if f.redis, err = redisserver.Start(ctx); err != nil {
		return f, err
	}
	f.closers = append(f.closers, f.redis.Close)
	if f.pool, err = store.NewPool(f.redis.URL()); err != nil {
		return f, err
	}
	f.closers = append(f.closers, func() { f.pool.Close() })
	for _, set := range []func() error{f.setMemory, f.setStored, f.setAnonymous} {
		if err := set(); err != nil {
			return f, err
		}
	}
	return f, nil
}

func (f *field) close() {
	for i := len(f.closers) - 1; i >= 0; i-- {
		f.closers[i]()
	}
}

func (f *field) setMemory() error {
	scs, err := scsContender(memstore.New())
	if err != nil {
		return err
	}
	jwt, err := jwtContender()
	if err != nil {
		return err
	}
	ours, err := oursInMemory(f.wechat)
	if err != nil {
		return err
	}
	f.memory = []*contender{bare(), scs, jwt, ours}
	return nil
}

func (f *field) setStored() error {
	ours, cookies, err := oursInRedis(f.wechat, f.pool)
	if err != nil {
		return err
	}
	f.cookies = cookies
	if f.index, err = f.indexUsage(); err != nil {
		return err
	}
	near, nearStore, err := oursNear(f.wechat, f.redis.Addr(), cookies)
	if err != nil {
		return err
	}
	f.closers = append(f.closers, nearStore.Close)
	scs, err := scsContender(redisstore.New(f.pool))
	if err != nil {
		return err
	}
	gorilla, err := gorillaContender(f.pool)
	if err != nil {
		return err
	}
	f.stored = []*contender{redigoContender(f.pool, cookies), scs, gorilla, ours, near}
	return nil
}

func (f *field) setAnonymous() error {
	_, ours, err := newOurs(f.wechat, wechatauth.WithRedis(f.pool))
	if err != nil {
		return err
	}
	f.visits = []*contender{
		scsVisits(f.pool),
		anonymous("wechatauth", ours, http.StatusSeeOther, func() *user { return newVisitor("") }),
	}
	f.scripts = []*contender{
		anonymous("bare", sameResponse(ours, false), http.StatusUnauthorized, newScript),
		anonymous("bare-prepared", sameResponse(ours, true), http.StatusUnauthorized, newScript),
		anonymous("wechatauth", ours, http.StatusUnauthorized, newScript),
	}
	return nil
}

// sameResponse sends the same headers and bytes as a handler's response to an
// anonymous fetch, and does nothing else: as handlers do, with Header.Set, or
// with lists of values made in advance.
func sameResponse(h http.Handler, prepared bool) http.Handler {
	model := newResponse()
	h.ServeHTTP(model, newScript().request)
	type line struct {
		name   string
		values []string
	}
	var lines []line
	for name, values := range model.header {
		lines = append(lines, line{name, slices.Clone(values)})
	}
	body, status := bytes.Clone(model.body.Bytes()), model.status
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		for _, l := range lines {
			if prepared {
				header[l.name] = l.values
			} else {
				header.Set(l.name, l.values[0])
			}
		}
		w.WriteHeader(status)
		_, _ = w.Write(body)
	})
}

// newLoginSites returns our site and goth's, each with its own simulator,
// because a simulator remembers all its logins. Their sessions are in Redis.
// trips counts our round trips.
func (f *field) newLoginSites() (gothic, ours *loginSite, trips *atomic.Int64, err error) {
	wc := newWeChat()
	h, err := newGothic(wc, f.pool)
	if err != nil {
		return nil, nil, nil, err
	}
	gothic = newLoginSite("gothic", wc, h)
	trips = &atomic.Int64{}
	pool, err := countingPool(f.redis, trips)
	if err != nil {
		return nil, nil, nil, err
	}
	f.closers = append(f.closers, func() { pool.Close() })
	wc = newWeChat()
	if _, h, err = newOurs(wc, wechatauth.WithRedis(pool)); err != nil {
		return nil, nil, nil, err
	}
	return gothic, newLoginSite("wechatauth", wc, h), trips, nil
}

// visitWith sends one request with a cookie, to find out whether it belongs to
// a logged-in user.
func visitWith(h http.Handler, cookie string) (body string, err error) {
	v := newVisitor(cookie)
	if err := v.ask(h, http.StatusOK); err != nil {
		return "", fmt.Errorf("a visit after the login: %w", err)
	}
	return v.response.body.String(), nil
}
