package rueidisstore_test

import (
	"fmt"
	"log"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/redis/rueidis"

	"github.com/wechatauth/wechatauth/store/rueidisstore"
)

// Store sessions behind Sentinel. Password is the password of Redis; set
// Sentinel.Password if the Sentinels have one.
func ExampleNew() {
	sessions, err := rueidisstore.New(rueidis.ClientOption{
		InitAddress: []string{"sentinel-1:26379", "sentinel-2:26379", "sentinel-3:26379"},
		Password:    "password-for-tests",
		Sentinel:    rueidis.SentinelOption{MasterSet: "sessions"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer sessions.Close()

	// Or wechatauth.WithStore(sessions).
	manager := scs.New()
	manager.Store = sessions
	fmt.Printf("%T connects with the first session\n", manager.Store)
	// Output: *rueidisstore.Store connects with the first session
}

// Store sessions in a Redis Cluster, of which a few nodes are enough to find the
// others, and read them from memory for at most a minute.
func ExampleWithNearCache() {
	sessions, err := rueidisstore.New(
		rueidis.ClientOption{InitAddress: []string{"redis-1:6379", "redis-2:6379"}},
		rueidisstore.WithNearCache(32<<20, time.Minute))
	if err != nil {
		log.Fatal(err)
	}
	defer sessions.Close()

	_, err = rueidisstore.New(rueidis.ClientOption{InitAddress: []string{"redis-1:6379"}}, rueidisstore.WithNearCache(0, time.Minute))
	fmt.Println(err)
	// Output: new session store: WithNearCache: maxBytes 0 and maxAge 1m0s must both be positive
}
