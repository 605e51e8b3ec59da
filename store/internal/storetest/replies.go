package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/faultproxy"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
)

// canary is part of every unexpected reply.
const canary = "oCanary-of-a-whole-openid-28"

// misreplies has one reply of each type, and some that look like one.
func misreplies() map[string]string {
	bulk := fmt.Sprintf("$%d\r\n%s\r\n", len(canary), canary)
	return map[string]string{
		"simple string":                  "+" + canary + "\r\n",
		"OK":                             "+OK\r\n",
		"error":                          "-ERR " + canary + "\r\n",
		"error with the value as code":   "-" + strings.ToUpper(canary) + " " + canary + "\r\n",
		"error without a code":           "-" + canary + "\r\n",
		"error that repeats the command": "-ERR unknown command 'SET', with args beginning with: '" + canary + "'\r\n",
		"error of another user":          "-NOPERM User " + canary + " has no permissions to run the '" + canary + "' command\r\n",
		"error of a moved key":           "-MOVED 1 127.0.0.1:1 " + canary + "\r\n",
		"integer":                        ":7\r\n",
		"negative integer":               ":-7\r\n",
		"largest integer":                ":9223372036854775807\r\n",
		"larger integer":                 ":99999999999999999999999999\r\n",
		"integer that is none":           ":" + canary + "\r\n",
		"bulk string":                    bulk,
		"empty bulk string":              "$0\r\n\r\n",
		"bulk string with a number":      "$2\r\n12\r\n",
		"nil":                            "$-1\r\n",
		"nil array":                      "*-1\r\n",
		"empty array":                    "*0\r\n",
		"array":                          "*1\r\n" + bulk,
		"array of two":                   "*2\r\n" + bulk + bulk,
		"array of integers":              "*2\r\n:1\r\n:2\r\n",
		"nested array":                   "*2\r\n" + bulk + "*1\r\n" + bulk,
		"array of nil":                   "*2\r\n$-1\r\n$-1\r\n",
		"array with an error":            "*2\r\n" + bulk + "-ERR " + canary + "\r\n",
		"no RESP":                        "?" + canary + "\r\n",
		"null of RESP3":                  "_\r\n",
		"map":                            "%1\r\n" + bulk + bulk,
		"set":                            "~1\r\n" + bulk,
		"boolean":                        "#t\r\n",
		"double":                         ",1.5\r\n",
		"double that is none":            "," + canary + "\r\n",
		"big number":                     "(" + canary + "\r\n",
		"verbatim string":                fmt.Sprintf("=%d\r\ntxt:%s\r\n", len(canary)+4, canary),
		"blob error":                     fmt.Sprintf("!%d\r\n%s\r\n", len(canary), canary),
		"negative length":                "$-7\r\n",
		"length of all memory":           "$9223372036854775807\r\n",
		"negative array":                 "*-7\r\n",
		"array of all memory":            "*9223372036854775807\r\n",
		"negative map":                   "%-1\r\n",
		"streamed string":                "$?\r\n;5\r\nhello\r\n;0\r\n",
		"subscription":                   ">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n",
		"reply with attributes":          "|1\r\n" + bulk + bulk + bulk,
	}
}

// calls are all methods of a store.
func calls(s store.Sessions, token string) map[string]func() error {
	ctx := context.Background()
	record, later := []byte("record"), time.Now().Add(time.Hour)
	var batch store.Batch
	batch.AddSession("user", token, later)
	batch.Commit(token, record, later)
	batch.PutMark("mark", record, time.Hour)
	batch.RemoveSession("user", token)
	batch.Delete(token)
	all := map[string]func() error{
		"AddSession":            func() error { return s.AddSession(ctx, "user", token, later) },
		"All":                   func() error { _, err := s.All(); return err },
		"AllCtx":                func() error { _, err := s.AllCtx(ctx); return err },
		"Commit":                func() error { return s.Commit(token, record, later) },
		"CommitCtx":             func() error { return s.CommitCtx(ctx, token, record, later) },
		"Delete":                func() error { return s.Delete(token) },
		"DeleteCtx":             func() error { return s.DeleteCtx(ctx, token) },
		"DeleteMark":            func() error { return s.DeleteMark(ctx, "mark") },
		"DeleteAndReportAllCtx": func() error { _, err := s.DeleteAndReportAllCtx(ctx, []string{token, Token()}); return err },
		"DeleteAndReportCtx":    func() error { _, err := s.DeleteAndReportCtx(ctx, token); return err },
		"Find":                  func() error { _, _, err := s.Find(token); return err },
		"FindCtx":               func() error { _, _, err := s.FindCtx(ctx, token); return err },
		"FindTTLCtx":            func() error { _, _, _, err := s.FindTTLCtx(ctx, token); return err },
		"Mark":                  func() error { _, _, err := s.Mark(ctx, "mark"); return err },
		"PutMark":               func() error { return s.PutMark(ctx, "mark", record, time.Hour) },
		"PutMarkNX":             func() error { _, err := s.PutMarkNX(ctx, "mark", record, time.Hour); return err },
		"RemoveSession":         func() error { return s.RemoveSession(ctx, "user", token) },
		"SessionsOf":            func() error { _, err := s.SessionsOf(ctx, "user"); return err },
		"TouchCtx":              func() error { _, err := s.TouchCtx(ctx, token, later); return err },
		"UpdateCtx":             func() error { _, err := s.UpdateCtx(ctx, token, record, later); return err },
	}
	if c, ok := s.(store.Checker); ok {
		all["Check"] = func() error { return c.Check(ctx) }
	}
	if b, ok := s.(store.Batcher); ok {
		all["DoBatch"] = func() error { return b.DoBatch(ctx, batch) }
	}
	return all
}

// Misreplies checks that no error of a store contains any part of a reply, for
// each command that it sends and each type of reply, with all of its methods. If
// only is not nil, the other commands are left out. open returns a store for the
// proxy in front of the server. Misreplies returns the commands that were sent.
func Misreplies(t *testing.T, server *redistest.Server, only []string, open func(t *testing.T, addr string) store.Sessions) []string {
	proxy, err := faultproxy.StartReplies(server.Addr())
	require.NoError(t, err)
	t.Cleanup(proxy.Close)
	commands := sentBy(t, proxy, open)
	for _, name := range commands {
		if only != nil && !slices.Contains(only, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			for kind, reply := range misreplies() {
				var replaced atomic.Int64
				s, token := open(t, proxy.Addr()), Token()
				server.Do("FLUSHALL")
				proxy.Edit(func(command []string, real []byte) []byte {
					if strings.EqualFold(command[0], name) {
						replaced.Add(1)
						return []byte(reply)
					}
					return real
				})
				said := ""
				for method, call := range calls(s, token) {
					for err := range chain(call()) {
						said += err.Error() + "\n"
						assert.NotContains(t, strings.ToLower(err.Error()), strings.ToLower(canary),
							"%s, where the reply to %s is %s", method, name, kind)
					}
				}
				// go-redis works without HELLO, so nothing has
				// failed.
				if kind == "error of a moved key" && name != "CLIENT" && (name != "HELLO" || said != "") {
					assert.Contains(t, said, "MOVED", "%s", kind)
				}
				if kind == "array of nil" && !slices.Contains(connects, name) && name != "CONFIG" {
					assert.Contains(t, said, name+": unexpected reply: got an array, want ", "%s", kind)
				}
				assert.NotZero(t, replaced.Load(), "%s is never sent", name)
				proxy.Edit(nil)
			}
		})
	}
	return commands
}

// connects lists the commands whose replies the client library reads itself.
var connects = []string{"CLIENT", "CLUSTER", "HELLO", "SELECT"}

// sentBy returns the names of the commands that all methods of a store send.
func sentBy(t *testing.T, proxy *faultproxy.Replies, open func(t *testing.T, addr string) store.Sessions) []string {
	var mu sync.Mutex
	sent := map[string]bool{}
	proxy.Edit(func(command []string, real []byte) []byte {
		mu.Lock()
		defer mu.Unlock()
		sent[strings.ToUpper(command[0])] = true
		return real
	})
	for _, call := range calls(open(t, proxy.Addr()), Token()) {
		_ = call()
	}
	proxy.Edit(nil)
	mu.Lock()
	defer mu.Unlock()
	return slices.Sorted(maps.Keys(sent))
}

// testMisreplies uses a server with a database number and a replica. The commands
// for the nodes of a Cluster are covered in package store.
func testMisreplies(t *testing.T, c Client, config Config) {
	server, replica := redistest.Start(t, "--repl-diskless-sync-delay", "0"), redistest.Start(t)
	awaitReplica(t, server, replica)
	needed := append([]string{
		"CONFIG", "DEL", "GET", "PEXPIRE", "PING", "PTTL", "SCAN", "SELECT", "SET", "TIME", "ZADD", "ZRANGE", "ZREM", "ZREMRANGEBYSCORE",
	}, c.Commands...)
	config.Database = 1
	// rueidis sends UNSUBSCRIBE over a connection that has waited, whose
	// replies are then not counted.
	if c.Module != "store/rueidisstore" {
		config.Acks, needed = 1, append(needed, "WAIT")
	}
	open := func(t *testing.T, addr string) store.Sessions {
		config.Addrs = []string{addr}
		return c.Open(t, config)
	}
	assert.Subset(t, Misreplies(t, server, nil, open), needed)
	t.Run("all methods", func(t *testing.T) {
		all, whole := calls(open(t, server.Addr()), Token()), reflect.TypeFor[store.Sessions]()
		for i := range whole.NumMethod() {
			assert.Contains(t, all, whole.Method(i).Name)
		}
	})
}

// chain yields an error and all that it wraps.
func chain(err error) func(func(error) bool) {
	return func(yield func(error) bool) {
		for todo := []error{err}; len(todo) > 0; {
			one := todo[0]
			todo = todo[1:]
			if one == nil {
				continue
			}
			if !yield(one) {
				return
			}
			todo = append(todo, errors.Unwrap(one))
			if several, ok := one.(interface{ Unwrap() []error }); ok {
				todo = append(todo, several.Unwrap()...)
			}
		}
	}
}
