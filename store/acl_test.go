package store_test

import (
	"context"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
)

// aclOfDocs creates the user of docs/sessions.md on the server, with more rights.
func aclOfDocs(t *testing.T, server *redistest.Server, more ...any) {
	t.Helper()
	server.Do("ACL", append([]any{"SETUSER"}, append(storetest.ACL(t), more...)...)...)
}

// asWeChat returns a pool that connects as that user.
func asWeChat(t *testing.T, server *redistest.Server) *redis.Pool {
	t.Helper()
	pool, err := store.NewPool("redis://wechat:password@" + server.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { pool.Close() })
	return pool
}

// With the rights that docs/sessions.md adds for Check, Check sees all
// settings.
func TestACL_check(t *testing.T) {
	server := redistest.Start(t, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
	aclOfDocs(t, server, "+time", "+config|get")
	err := store.New(asWeChat(t, server)).Check(context.Background())
	assert.ErrorContains(t, err, "maxmemory-policy allkeys-lru")
	assert.NotContains(t, err.Error(), "could not be seen")
}

// The ACL of docs/sessions.md permits Check, apart from its notes, and no
// access to other keys and commands.
func TestACL(t *testing.T) {
	server := redistest.Start(t)
	aclOfDocs(t, server)
	server.Do("SET", "another", "x")
	pool := asWeChat(t, server)
	err := store.New(pool).Check(context.Background())
	storetest.AssertNotes(t, err)
	conn := pool.Get()
	defer conn.Close()
	for _, command := range [][]any{
		{"GET", "another"}, {"SET", "another", "y"}, {"DEL", "another"},
		{"KEYS", "*"}, {"FLUSHALL"}, {"CONFIG", "SET", "maxmemory", "1"}, {"EVAL", "return 1", 0}, {"ACL", "WHOAMI"}, {"MONITOR"},
	} {
		_, err := conn.Do(command[0].(string), command[1:]...)
		assert.ErrorContains(t, err, "NOPERM", "%v", command)
	}
}
