package goredisstore_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/goredisstore"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
)

// aclOfDocs gives the server the user of docs/sessions.md, with what is added.
func aclOfDocs(t *testing.T, server *redistest.Server, more ...any) {
	t.Helper()
	server.Do("ACL", append([]any{"SETUSER"}, append(storetest.ACL(t, "../../docs/sessions.md"), more...)...)...)
}

// asWeChat is that user's way to the Redis that option names.
func asWeChat(option redis.UniversalOptions) redis.UniversalOptions {
	option.Username, option.Password = "wechat", "password"
	return patient(option)
}

// aclOpener opens stores whose keys that user may touch.
func aclOpener(option redis.UniversalOptions, opts ...goredisstore.Option) storetest.Opener {
	return func(t *testing.T) store.Sessions {
		prefix := goredisstore.WithPrefix(fmt.Sprintf("scs:session:%d:", stores.Add(1)))
		return open(t, asWeChat(option), append(opts, prefix)...)
	}
}

// rightsOfDocs are those that docs/sessions.md adds for listing all sessions and for
// this store, and where it says so, for Sentinels or a Cluster.
func rightsOfDocs(t *testing.T, where string) (rights []any) {
	t.Helper()
	text, err := os.ReadFile("../../docs/sessions.md")
	require.NoError(t, err)
	patterns := []string{"needs `([^`]+)` too", "`store/goredisstore` needs also `([^`]+)`"}
	if where != "" {
		patterns = append(patterns, where+" `([^`]+)`")
	}
	for _, pattern := range patterns {
		found := regexp.MustCompile(pattern).FindSubmatch(text)
		require.NotNil(t, found, pattern)
		for _, right := range strings.Fields(string(found[1])) {
			rights = append(rights, right)
		}
	}
	return rights
}

func TestTheStoreKeepsItsPromisesUnderTheACLOfTheREADME(t *testing.T) {
	server := redistest.Start(t)
	aclOfDocs(t, server, rightsOfDocs(t, "")...)
	storetest.Run(t, aclOpener(one(server)))
}

func TestInAClusterTheStoreKeepsItsPromisesUnderTheACLOfTheREADME(t *testing.T) {
	cluster := redistest.StartCluster(t)
	for _, s := range cluster.Servers() {
		aclOfDocs(t, s, rightsOfDocs(t, "in a Cluster")...)
	}
	storetest.Run(t, aclOpener(redis.UniversalOptions{Addrs: cluster.Addrs()[:3]}))
}

func TestBehindSentinelsTheStoreKeepsItsPromisesUnderTheACLOfTheREADME(t *testing.T) {
	group := redistest.StartSentinels(t)
	for _, s := range group.Servers() {
		aclOfDocs(t, s, rightsOfDocs(t, "")...)
	}
	storetest.Run(t, aclOpener(behindSentinels(group)))
}

func TestCheckNamesEveryRightThatIsMissing(t *testing.T) {
	server := redistest.Start(t)
	storetest.MissingRights(t, storetest.ACL(t, "../../docs/sessions.md"), func(t *testing.T, user []any) error {
		server.Do("ACL", append([]any{"SETUSER"}, user...)...)
		defer server.Do("ACL", "DELUSER", "wechat")
		return open(t, asWeChat(one(server))).Check(context.Background())
	})
	keys, _ := server.Do("KEYS", "*").([]any) // of those who may not delete
	for _, key := range keys {
		assert.Positive(t, server.Do("PTTL", key), "what the check leaves behind ends by itself")
	}
}

func TestCheckFindsAClockThatIsWrong(t *testing.T) {
	server := redistest.Start(t)
	for _, off := range []time.Duration{45 * time.Second, -45 * time.Second, 0} {
		s := open(t, one(server), goredisstore.WithClock(func() time.Time { return time.Now().Add(off) }))
		if err := s.Check(context.Background()); off == 0 {
			assert.NoError(t, err)
		} else {
			assert.ErrorContains(t, err, "45s apart")
		}
	}
}
