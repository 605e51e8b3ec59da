package flow

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/seal"
)

var oddTexts = []string{"", "/", "/orders?id=7&a=b", "/<script>", `/"\`, "/你好", "/\u2028\u2029", "/\xff\xfe", "/\x00\x1f\x7f\t\n", strings.Repeat(`"`, 300)}

// A flow is encoded as encoding/json encodes it.
func TestFlow_json(t *testing.T) {
	for _, text := range oddTexts {
		for name, f := range map[string]Flow{
			"the least": {State: NewState(), Target: text, Key: NewKey()},
			"all": {
				State: NewState(), Target: text, AppID: text, Scope: client.Scope(text), IssuedAt: -1, Attempt: 1,
				OpenID: text + "o", UnionID: text + "u", Key: []byte{0, 255},
			},
		} {
			var want bytes.Buffer
			e := json.NewEncoder(&want)
			e.SetEscapeHTML(false)
			require.NoError(t, e.Encode(f))
			assert.Equal(t, want.String(), string(f.json())+"\n", "%s, %q", name, text)
		}
	}
}

// The trail's name begins like those of the pending logins.
func TestJar_Held_trail(t *testing.T) {
	for _, tag := range []string{"", "_AbC-9_"} {
		j := NewJar(&cookie.Jar{}, "__Host-wechat_", tag)
		assert.Empty(t, j.Pending(&http.Request{Header: http.Header{"Cookie": {j.LoginCounterName() + "=x"}}}), tag)
	}
}

// A sixth pending login replaces the oldest one, even if its cookie has room.
func TestJar_Put_limit(t *testing.T) {
	ring, err := seal.New("flow", []byte("a key for tests, of 32 bytes or more"))
	require.NoError(t, err)
	j := NewJar(&cookie.Jar{Ring: ring, Now: time.Now}, "wechat_", "")
	header := http.Header{}
	var first string
	for n := range MaxFlows + 1 {
		w := httptest.NewRecorder()
		f := Flow{State: NewState(), Target: "/", IssuedAt: int64(n + 1), Key: NewKey()}
		if n == 0 {
			first = j.CookieName(f.State)
		}
		require.NoError(t, j.Put(w, j.Pending(&http.Request{Header: header}), f))
		set := w.Result().Cookies()
		if n < MaxFlows {
			require.Len(t, set, 1)
			header.Add("Cookie", set[0].Name+"="+set[0].Value)
			continue
		}
		require.Len(t, set, 2)
		assert.Equal(t, first, set[0].Name)
		assert.Negative(t, set[0].MaxAge)
	}
}
