package storetest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/faultproxy"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
)

// Doubled checks that a reply that is out of step, because a proxy sends an
// earlier one twice, is never used for another key, and that nothing is deleted
// because of it. open returns a store for the Redis at addr.
func Doubled(t *testing.T, open func(t *testing.T, addr string) store.Sessions) {
	ctx := context.Background()
	server := redistest.Start(t)
	proxy, err := faultproxy.StartReplies(server.Addr())
	require.NoError(t, err)
	t.Cleanup(proxy.Close)

	alice, bob := Token(), Token()
	reads := map[string]func(s store.Sessions, who, token string) (string, error){
		"FindCtx": func(s store.Sessions, _, token string) (string, error) {
			b, _, err := s.FindCtx(ctx, token)
			return string(b), err
		},
		"FindTTLCtx": func(s store.Sessions, _, token string) (string, error) {
			b, _, _, err := s.FindTTLCtx(ctx, token)
			return string(b), err
		},
		"Mark": func(s store.Sessions, who, _ string) (string, error) {
			b, _, err := s.Mark(ctx, who)
			return string(b), err
		},
		"SessionsOf": func(s store.Sessions, who, token string) (string, error) {
			tokens, err := s.SessionsOf(ctx, who)
			if slices.Equal(tokens, []string{token}) {
				return who, err
			}
			return strings.Join(tokens, " "), err
		},
	}
	doubled := map[string]func(s store.Sessions) error{
		"AddSession": func(s store.Sessions) error { return s.AddSession(ctx, "alice", alice, soon()) },
		"CommitCtx":  func(s store.Sessions) error { return s.CommitCtx(ctx, alice, []byte("alice"), soon()) },
		"PutMark":    func(s store.Sessions) error { return s.PutMark(ctx, "alice", []byte("alice"), time.Hour) },
		"TouchCtx":   func(s store.Sessions) error { _, err := s.TouchCtx(ctx, alice, soon()); return err },
	}
	for name, read := range reads {
		doubled[name] = func(s store.Sessions) error { _, err := read(s, "alice", alice); return err }
	}
	for first, double := range doubled {
		for then, read := range reads {
			for _, late := range []bool{false, true} {
				name := first + " then " + then
				if late {
					name += ", late"
				}
				t.Run(name, func(t *testing.T) {
					proxy.Edit(nil)
					server.Do("FLUSHALL")
					s := open(t, proxy.Addr())
					for who, token := range map[string]string{"alice": alice, "bob": bob} {
						require.NoError(t, s.CommitCtx(ctx, token, []byte(who), soon()))
						require.NoError(t, s.PutMark(ctx, who, []byte(who), time.Hour))
						require.NoError(t, s.AddSession(ctx, who, token, soon()))
					}
					keys := server.Do("DBSIZE")

					var extra []byte
					times := 0
					proxy.Edit(func(command []string, reply []byte) []byte {
						if command[0] == "HELLO" || command[0] == "CLIENT" {
							return reply
						}
						times++
						switch {
						case times == 1 && late:
							extra = reply
						case times == 1:
							return append(slices.Clone(reply), reply...)
						case times == 2 && late:
							return append(extra, reply...)
						}
						return reply
					})
					require.NoError(t, double(s))
					for range 3 {
						got, err := read(s, "bob", bob)
						require.NoError(t, err)
						assert.Equal(t, "bob", got)
					}
					assert.Equal(t, keys, server.Do("DBSIZE"))
				})
			}
		}
	}
	t.Run("a record under another token", func(t *testing.T) {
		proxy.Edit(nil)
		server.Do("FLUSHALL")
		s := open(t, proxy.Addr())
		require.NoError(t, s.CommitCtx(ctx, alice, []byte("alice"), soon()))
		server.Do("COPY", "scs:session:"+alice, "scs:session:"+bob)
		b, found, err := s.FindCtx(ctx, bob)
		require.ErrorIs(t, err, store.ErrDecrypt)
		assert.False(t, found)
		assert.Nil(t, b)
		_, _, _, err = s.FindTTLCtx(ctx, bob)
		require.ErrorIs(t, err, store.ErrDecrypt)
		all, err := s.AllCtx(ctx)
		require.NoError(t, err)
		assert.Equal(t, map[string][]byte{alice: []byte("alice")}, all)
		assert.EqualValues(t, 1, server.Do("EXISTS", "scs:session:"+bob))
	})
}
