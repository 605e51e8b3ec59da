package session

import (
	"crypto/sha256"
	"encoding/gob"
	"net/http"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/internal/record"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// firstCodec writes records as the first version of this library did.
type firstCodec struct{ scs.GobCodec }

func (c firstCodec) Encode(deadline time.Time, values map[string]any) ([]byte, error) {
	b, err := c.GobCodec.Encode(deadline, values)
	sum := sha256.Sum256(b)
	return append(append(b, "\x00wx1"...), sum[:8]...), err
}

func TestCodec_OldRecords(t *testing.T) {
	now := time.Now().Unix()
	identities := map[string]string{
		"of today": textOf(t, wechatauth.Identity{OpenID: authtest.AliceOpenID, UnionID: "unionid-1", Scope: client.ScopeUserInfo, Channel: wechatauth.ChannelWeChat, Nickname: "小明", LoginAt: time.Unix(now, 0)}),
	}
	for codecName, codec := range map[string]scs.Codec{"scs's own codec": scs.GobCodec{}, "our first codec": firstCodec{}, "this codec": store.Codec{}} {
		for identityName, text := range identities {
			t.Run(codecName+", identity "+identityName, func(t *testing.T) {
				m := store.NewMemory()
				s := authtest.NewSite(t, wechatauth.WithStore(m))
				s.Handle("/put", func(w http.ResponseWriter, r *http.Request) {
					assert.Equal(t, []string{"book"}, s.Auth.Sessions().Get(r.Context(), "cart"))
					s.Auth.Sessions().Put(r.Context(), "n", s.Auth.Sessions().GetInt(r.Context(), "n")+1)
					authtest.Echo(w, r)
				})
				b, err := codec.Encode(s.Clock.Now().Add(time.Hour), map[string]any{
					identity.Key(wechattest.DefaultAppID): text, "cart": []string{"book"}, "n": 1,
				})
				require.NoError(t, err)
				const token = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
				require.NoError(t, m.Commit(session.HashToken(token), b, s.Clock.Now().Add(time.Hour)))
				user := s.Browser()
				user.SetCookie(s.SessionCookie(), token)

				for range 2 {
					assert.Contains(t, user.Step("/a").Text, "logged-in=true openid="+authtest.AliceOpenID+" nickname=小明 scope=snsapi_userinfo")
				}
				kept, _, err := m.Find(session.HashToken(token))
				require.NoError(t, err)
				assert.Equal(t, b, kept, "an unchanged session is not written")
				assert.Contains(t, user.Step("/put").Text, "logged-in=true")
				written, _, err := m.Find(session.HashToken(token))
				require.NoError(t, err)
				_, err = record.Open(written)
				assert.NoError(t, err, "a changed one is written in the new form")
				assert.Contains(t, user.Step("/profile").Text, "logged-in=true openid="+authtest.AliceOpenID+" nickname=小明 scope=snsapi_userinfo")
				assert.Zero(t, s.Exchanges())
			})
		}
	}
}

func textOf(t testing.TB, id wechatauth.Identity) string {
	t.Helper()
	return authtest.EncodeIdentity(id)
}

func TestCodec_OwnManager(t *testing.T) {
	m := scs.New()
	m.Store, m.Codec = store.NewMemory(), store.Codec{}
	s := authtest.NewSite(t, wechatauth.WithSessionManager(m))
	b := s.Browser()
	b.Visit("/a")
	assert.Contains(t, b.Step("/b").Text, "logged-in=true openid="+authtest.AliceOpenID)
	raw, found, err := m.Store.Find(b.Cookie(m.Cookie.Name).Value)
	require.NoError(t, err)
	require.True(t, found)
	_, err = record.Open(raw)
	assert.NoError(t, err)
}

// sameIdentity is what an application that uses scs alone would store.
type sameIdentity struct {
	OpenID, UnionID string
	LoginAt         time.Time
}

func TestCodec_Size(t *testing.T) {
	gob.Register(sameIdentity{})
	id := wechatauth.Identity{AppID: wechattest.DefaultAppID, OpenID: "oFakeOpenidForTests000000000", UnionID: "oFakeUnionidForTests00000000", Scope: client.ScopeBase, Channel: wechatauth.ChannelWeChat, LoginAt: time.Now()}
	deadline := time.Now().Add(wechatauth.DefaultLifetime).UTC()
	ours, err := store.Codec{}.Encode(deadline, map[string]any{identity.Key(id.AppID): textOf(t, id)})
	require.NoError(t, err)
	gobs, err := scs.GobCodec{}.Encode(deadline, map[string]any{"identity": sameIdentity{id.OpenID, id.UnionID, id.LoginAt}})
	require.NoError(t, err)
	t.Log("bytes", len(ours), "gob", len(gobs))
	assert.LessOrEqual(t, 10*len(ours), 4*len(gobs))

	server := redistest.Start(t)
	s := store.New(server.Pool())
	const token = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	require.NoError(t, s.Commit(token, ours, deadline))
	taken, err := redis.Int(server.Do("MEMORY", "USAGE", "scs:session:"+token), nil)
	require.NoError(t, err)
	t.Log("memory", taken)
	assert.LessOrEqual(t, taken, 512)
}
