package rueidisstore_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
	"github.com/wechatauth/wechatauth/store/rueidisstore"
)

// aclOfDocs gives the server the user of docs/sessions.md, with what is added.
func aclOfDocs(t *testing.T, server *redistest.Server, more ...any) {
	t.Helper()
	server.Do("ACL", append([]any{"SETUSER"}, append(storetest.ACL(t, "../../docs/sessions.md"), more...)...)...)
}

// asWeChat is that user's way to the Redis that option names.
func asWeChat(option rueidis.ClientOption) rueidis.ClientOption {
	option.Username, option.Password = "wechat", "password"
	return patient(option)
}

// aclOpener opens stores whose keys that user may touch.
func aclOpener(option rueidis.ClientOption, opts ...rueidisstore.Option) storetest.Opener {
	return func(t *testing.T) store.Sessions {
		prefix := rueidisstore.WithPrefix(fmt.Sprintf("scs:session:%d:", stores.Add(1)))
		return open(t, asWeChat(option), append(opts, prefix)...)
	}
}

// rightsOfDocs are those that docs/sessions.md adds for listing all sessions and for
// this store, and where it says so, for Sentinels or a Cluster.
func rightsOfDocs(t *testing.T, where string) (rights []any) {
	t.Helper()
	text, err := os.ReadFile("../../docs/sessions.md")
	require.NoError(t, err)
	patterns := []string{"needs `([^`]+)` too", "`store/rueidisstore` needs also `([^`]+)`"}
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
	t.Run("without near cache", func(t *testing.T) { storetest.Run(t, aclOpener(one(server))) })
	t.Run("with near cache", func(t *testing.T) { storetest.Run(t, aclOpener(one(server), nearCache())) })
}

func TestInAClusterTheStoreKeepsItsPromisesUnderTheACLOfTheREADME(t *testing.T) {
	cluster := redistest.StartCluster(t)
	for _, s := range cluster.Servers() {
		aclOfDocs(t, s, rightsOfDocs(t, "in a Cluster")...)
	}
	storetest.Run(t, aclOpener(rueidis.ClientOption{InitAddress: cluster.Addrs()[:3]}, nearCache()))
}

func TestBehindSentinelsTheStoreKeepsItsPromisesUnderTheACLOfTheREADME(t *testing.T) {
	group := redistest.StartSentinels(t)
	for _, s := range group.Servers() {
		aclOfDocs(t, s, rightsOfDocs(t, "behind Sentinels")...)
	}
	storetest.Run(t, aclOpener(behindSentinels(group), nearCache()))
}

// needed are those of the rights that a login needs. Redis 7 permits HELLO to
// all.
func needed(rights []any) []any {
	return slices.DeleteFunc(rights, func(right any) bool { return right == "+scan" || right == "+hello" })
}

func TestCheckNamesEveryRightThatIsMissing(t *testing.T) {
	server := redistest.Start(t)
	user := append(storetest.ACL(t, "../../docs/sessions.md"), needed(rightsOfDocs(t, ""))...)
	storetest.MissingRights(t, user, func(t *testing.T, user []any) error {
		server.Do("ACL", append([]any{"SETUSER"}, user...)...)
		defer server.Do("ACL", "DELUSER", "wechat")
		return open(t, asWeChat(one(server)), nearCache()).Check(context.Background())
	}, "+client", "+cluster", "+asking", "+role")
	keys, _ := server.Do("KEYS", "*").([]any) // of those who may not delete
	for _, key := range keys {
		assert.Positive(t, server.Do("PTTL", key), "what the check leaves behind ends by itself")
	}
}

func TestInAClusterCheckNamesEveryRightThatIsMissing(t *testing.T) {
	cluster := redistest.StartCluster(t)
	user := append(storetest.ACL(t, "../../docs/sessions.md"), needed(rightsOfDocs(t, "in a Cluster"))...)
	storetest.MissingRights(t, user, func(t *testing.T, user []any) error {
		for _, server := range cluster.Servers() {
			server.Do("ACL", "SETUSER", "wechat", "reset")
			server.Do("ACL", append([]any{"SETUSER"}, user...)...)
		}
		return open(t, asWeChat(rueidis.ClientOption{InitAddress: cluster.Addrs()[:3]}), nearCache()).Check(context.Background())
	}, "+client", "+cluster", "+asking", "+role")
}

func TestCheckFindsAClockThatIsWrong(t *testing.T) {
	server := redistest.Start(t)
	for _, off := range []time.Duration{45 * time.Second, -45 * time.Second, 0} {
		s := open(t, one(server), rueidisstore.WithClock(func() time.Time { return time.Now().Add(off) }))
		if err := s.Check(context.Background()); off == 0 {
			assert.NoError(t, err)
		} else {
			assert.ErrorContains(t, err, "45s apart")
		}
	}
}
