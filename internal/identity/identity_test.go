package identity

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
)

const openID = "oAlicePqZ0123456789abcdefABC"

// TestEncode decodes what Encode returned.
func TestEncode(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	for name, id := range map[string]Identity{
		"openid only":        {OpenID: "o1", LoginAt: at},
		"login at no time":   {OpenID: "o1", LoginAt: time.Unix(time.Time{}.Unix(), 0)},
		"base":               {OpenID: openID, UnionID: "u1", Scope: client.ScopeBase, Channel: "wechat", LoginAt: at},
		"userinfo":           {OpenID: openID, Scope: client.ScopeUserInfo, Channel: "scan", Nickname: "小明 🙂", AvatarURL: "https://wx.qlogo.cn/a?b=c", ProfileAt: at, LoginAt: at},
		"website":            {OpenID: openID, Scope: client.ScopeLogin, Channel: "website", ProfileAt: time.Unix(0, 0), LoginAt: at},
		"mini program":       {OpenID: openID, Channel: "mini_program", LoginAt: at},
		"two scopes":         {OpenID: openID, Scope: "snsapi_base,snsapi_userinfo", Channel: "other", LoginAt: at},
		"a scope of 1 sign":  {OpenID: openID, Scope: "b", Channel: "u", LoginAt: at},
		"a name of lines":    {OpenID: openID, Nickname: "\n\n", LoginAt: at},
		"a name with a line": {OpenID: openID, Nickname: "a\nb", AvatarURL: "x", LoginAt: at},
		"a picture alone":    {OpenID: openID, AvatarURL: "https://wx.qlogo.cn/a", LoginAt: at},
	} {
		t.Run(name, func(t *testing.T) {
			id.AppID = "wx1"
			got, err := Decode("wx1", Encode(id))
			require.NoError(t, err)
			assert.Equal(t, id, got)
		})
	}
	for word, short := range shortWords {
		assert.Equal(t, word, longWord(short))
	}
	for name, text := range map[string]string{
		"nothing": "", "version only": "2", "no openid": "2sy1nq8", "empty openid": "2sy1nq8\n\nu1", "no time": "2\no1", "no number": "2?\no1", "a number too large": "2zzzzzzzzzzzzzzzz\no1",
		"more than all": "2sy1nq8\no1\n\n\n\n\n\n\n", "a profile at no time": "2sy1nq8\no1\n\n\n\n\n\n?", "another version": "3sy1nq8\no1", "old, another version": `{"v":2,"o":"o1"}`,
	} {
		_, err := Decode("wx1", text)
		assert.ErrorIs(t, err, ErrCorrupt, name)
	}
}

func TestKey(t *testing.T) {
	assert.NotEqual(t, Key("wx1"), Key("wx2"), "gates of two accounts share a session")
}

// A text that decodes has an openid, and encoding it again loses nothing.
func FuzzDecode(f *testing.F) {
	for _, text := range []string{
		"2sy1nq8\no123\n\nb\nw", "20\n0", "2sy1nq8", "2sy1nq8\n", "2\no123", "3sy1nq8\no123", "2sy1nq8\no123\n\n\n\n\n\nz!", `{"v":1,"o":"o123"}`, "", "2", strings.Repeat("\n", 10_000),
		"2sy1nq8\no1\n\n==b\n=\na\\nb\\\\\nhttps://wx.qlogo.cn/a\n-1", "2-1\no1\n\n=b\nx\\y",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, err := Decode("wx1", text)
		if err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			require.Zero(t, id)
			return
		}
		require.NotEmpty(t, id.OpenID)
		require.Equal(t, "wx1", id.AppID)
		require.False(t, id.Snapshot)
		again, err := Decode("wx1", Encode(id))
		require.NoError(t, err)
		require.Equal(t, id, again)
	})
}
