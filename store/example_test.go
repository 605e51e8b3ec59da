package store_test

import (
	"context"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"

	"github.com/wechatauth/wechatauth/store"
)

// Sessions of scs in Redis, with a deadline for every call.
func ExampleNew() {
	pool, err := store.NewPool("redis://:password-for-tests@redis.internal:6379/0")
	if err != nil {
		log.Fatal(err)
	}
	sessions := scs.New()
	sessions.Store = store.New(pool, store.WithTimeout(500*time.Millisecond)) // opens no connection yet
	fmt.Printf("%T, %d connections at most\n", sessions.Store, pool.MaxActive)
	// Output: *store.Store, 64 connections at most
}

// A request that was in flight during a logout cannot bring the session back.
func ExampleUpdater() {
	ctx := context.Background()
	var sessions store.Sessions = store.NewMemory()
	token, tomorrow := "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", time.Now().Add(24*time.Hour)

	sessions.CommitCtx(ctx, token, []byte("logged in"), tomorrow)
	sessions.DeleteCtx(ctx, token) // the logout

	found, _ := sessions.UpdateCtx(ctx, token, []byte("still logged in"), tomorrow)
	fmt.Println(found)
	// Output: false
}

// End all sessions of a user, for example after a ban or a change of password.
func ExampleIndex() {
	ctx := context.Background()
	var sessions store.Sessions = store.NewMemory()
	token, tomorrow := "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", time.Now().Add(24*time.Hour)
	sessions.CommitCtx(ctx, token, []byte("logged in"), tomorrow)
	sessions.AddSession(ctx, "openid", token, tomorrow)

	tokens, err := sessions.SessionsOf(ctx, "openid")
	if err != nil {
		log.Fatal(err)
	}
	for _, token := range tokens {
		if err := sessions.DeleteCtx(ctx, token); err != nil {
			log.Fatal(err)
		}
		if err := sessions.RemoveSession(ctx, "openid", token); err != nil {
			log.Fatal(err)
		}
	}
	_, found, _ := sessions.FindCtx(ctx, token)
	fmt.Println(len(tokens), found)
	// Output: 1 false
}

// A store of another package has the same methods, which make more calls.
func ExampleAdapt() {
	sessions := store.Adapt(memstore.NewWithCleanupInterval(0))
	token := strings.Repeat("a", 43)
	found, err := sessions.UpdateCtx(context.Background(), token, []byte("record"), time.Now().Add(time.Hour))
	fmt.Println(found, err)
	// Output: false <nil>
}
