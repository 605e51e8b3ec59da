package goredisstore_test

import (
	"fmt"
	"log"

	"github.com/alexedwards/scs/v2"
	"github.com/redis/go-redis/v9"

	"github.com/wechatauth/wechatauth/store/goredisstore"
)

// Store sessions behind Sentinel. Password is the password of Redis,
// SentinelPassword that of the Sentinels, if they have one.
func ExampleNew() {
	sessions, err := goredisstore.New(redis.UniversalOptions{
		Addrs:      []string{"sentinel-1:26379", "sentinel-2:26379", "sentinel-3:26379"},
		MasterName: "sessions",
		Password:   "password-for-tests",
	})
	if err != nil {
		log.Fatal(err)
	}
	defer sessions.Close()

	// Or wechatauth.WithStore(sessions).
	manager := scs.New()
	manager.Store = sessions
	fmt.Printf("%T connects with the first session\n", manager.Store)
	// Output: *goredisstore.Store connects with the first session
}
