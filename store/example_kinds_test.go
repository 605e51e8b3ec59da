package store_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/gomodule/redigo/redis"

	"github.com/wechatauth/wechatauth/store"
)

// A pool with timeouts, whose fields may be changed before its first use.
func ExampleNewPool() {
	pool, err := store.NewPool("rediss://sessions:password-for-tests@redis.internal:6380/0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(pool.MaxActive, "by default")
	pool.MaxActive, pool.MaxIdle = 200, 200

	_, err = store.NewPool("redis.internal:6380") // a host, but no URL
	fmt.Println(err)
	// Output:
	// 64 by default
	// parse Redis URL: the scheme must be redis or, for TLS, rediss
}

// Sessions of one process, for tests and small tools.
func ExampleNewMemory() {
	sessions := store.NewMemory()
	_, found, err := sessions.FindCtx(context.Background(), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	fmt.Println(found, err)
	// Output: false <nil>
}

// An attacker with write access to the inner store cannot forge a session.
func ExampleEncrypt() {
	_, err := store.Encrypt(store.NewMemory(), []byte("too short"))
	fmt.Println(err)
	// Output: encrypt sessions: key 1 must be at least 32 random bytes
}

// Measure every call of a store.
func ExampleObserve() {
	sessions := store.Observe(store.NewMemory(), func(_ context.Context, c store.Call) {
		fmt.Println(c.Op, c.Err)
	})
	_, _, _ = sessions.Find("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	// Output: find session <nil>
}

// The class of an error determines whether a call may be repeated.
func ExampleClassOf() {
	fmt.Println(store.ClassOf(redis.Error("NOAUTH Authentication required.")))
	fmt.Println(store.ClassOf(context.DeadlineExceeded))
	fmt.Println(store.ClassOf(errors.New("something else")))
	// Output:
	// configuration
	// retry now
	// fail closed
}
