package rueidisstore_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
	"github.com/wechatauth/wechatauth/store/rueidisstore"
)

// aclOfREADME gives the server the user of the README, with what is added.
func aclOfREADME(t *testing.T, server *redistest.Server, more ...any) {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, line, found := strings.Cut(string(text), "\nACL SETUSER ")
	require.True(t, found, "the README has no line of an ACL")
	line, _, _ = strings.Cut(line, "\n")
	args := []any{"SETUSER"}
	for _, word := range strings.Fields(line) {
		args = append(args, word)
	}
	server.Do("ACL", append(args, more...)...)
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

// rightsOfREADME are those that the README adds for listing all sessions and for
// this store, and where it says so, for Sentinels or a Cluster.
func rightsOfREADME(t *testing.T, where string) (rights []any) {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
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
	aclOfREADME(t, server, rightsOfREADME(t, "")...)
	t.Run("without near cache", func(t *testing.T) { storetest.Run(t, aclOpener(one(server))) })
	t.Run("with near cache", func(t *testing.T) { storetest.Run(t, aclOpener(one(server), nearCache())) })
}

func TestInAClusterTheStoreKeepsItsPromisesUnderTheACLOfTheREADME(t *testing.T) {
	cluster := redistest.StartCluster(t)
	for _, s := range cluster.Servers() {
		aclOfREADME(t, s, rightsOfREADME(t, "in a Cluster")...)
	}
	storetest.Run(t, aclOpener(rueidis.ClientOption{InitAddress: cluster.Addrs()[:3]}, nearCache()))
}

func TestBehindSentinelsTheStoreKeepsItsPromisesUnderTheACLOfTheREADME(t *testing.T) {
	group := redistest.StartSentinels(t)
	for _, s := range group.Servers() {
		aclOfREADME(t, s, rightsOfREADME(t, "behind Sentinels")...)
	}
	storetest.Run(t, aclOpener(behindSentinels(group), nearCache()))
}
