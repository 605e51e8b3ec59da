package threat

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"go/parser"
	"go/token"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/seal"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// openByHand opens a sealed value as the docs describe it, without the code
// under test, and returns its nonce too. head is the number of bytes before the
// nonce.
func openByHand(t *testing.T, secret, label string, box []byte, head int, additional []byte) (nonce, plain []byte) {
	t.Helper()
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, label, chacha20poly1305.KeySize)
	require.NoError(t, err)
	aead, err := chacha20poly1305.NewX(key)
	require.NoError(t, err)
	require.Equal(t, 24, aead.NonceSize())
	require.Greater(t, len(box), head+aead.NonceSize())
	nonce = box[head : head+aead.NonceSize()]
	plain, err = aead.Open(nil, nonce, box[head+aead.NonceSize():], additional)
	require.NoError(t, err)
	return nonce, plain
}

func TestSeal(t *testing.T) {
	// An anonymous page visit seals a cookie under a key that is used for
	// years. 2^32 random nonces of 96 bits are not safe, and a crawler makes as
	// many in weeks.
	t.Run("T97 192 random bits", func(t *testing.T) {
		key := "a key for session records, of 32 bytes or more"
		records := store.NewMemory()
		s := authtest.NewSite(t, wechatauth.WithStore(records), wechatauth.WithSessionEncryption([]byte(key)))
		nonces := map[string]bool{}
		last := map[string][]byte{}
		changes := map[string][]byte{"cookie": make([]byte, 24), "record": make([]byte, 24)} // the bits that differ among the nonces
		see := func(kind string, nonce []byte) {
			assert.False(t, nonces[string(nonce)], "a nonce was used twice")
			nonces[string(nonce)] = true
			for i := range last[kind] {
				changes[kind][i] |= last[kind][i] ^ nonce[i]
			}
			last[kind] = nonce
		}
		for range 64 {
			cookies := s.Browser().Step("/a").FlowCookies()
			require.Len(t, cookies, 1)
			box, err := base64.RawURLEncoding.DecodeString(cookies[0].Value)
			require.NoError(t, err)
			additional := bytes.Clone(box[:5]) // version and key id
			for _, part := range s.Cookies.Place("flow", cookies[0].Name) {
				additional = append(binary.BigEndian.AppendUint32(additional, uint32(len(part))), part...)
			}
			nonce, plain := openByHand(t, wechattest.DefaultSecret, "wechatauth v2 flow", box, 5, additional)
			assert.Contains(t, string(plain), `"r":"/a"`)
			see("cookie", nonce)

			b := s.Browser()
			require.Equal(t, http.StatusOK, b.Visit("/a").StatusCode)
			sessionToken := b.Cookie(s.SessionCookie()).Value
			record, found, err := records.FindCtx(context.Background(), s.StoreKey(sessionToken))
			require.NoError(t, err)
			require.True(t, found)
			nonce, plain = openByHand(t, key, "wechatauth session record v2", record, 1, []byte(s.StoreKey(sessionToken)))
			assert.Contains(t, string(plain), authtest.AliceOpenID)
			see("record", nonce)
		}
		for kind, all := range changes {
			for i, bits := range all {
				assert.Equal(t, byte(0xff), bits, "byte %d of the nonces of each %s", i, kind)
			}
		}
	})

	// One construction seals everything. AES is imported only where WeChat
	// encrypts what we read.
	t.Run("T97 one construction", func(t *testing.T) {
		sealers := map[string]bool{"internal/seal/seal.go": true, "store/encrypt.go": true}
		aes := map[string]bool{"client/crypto.go": true, "internal/mini/mini.go": true, "wechattest/payload.go": true}
		t.Chdir(authtest.Root)
		err := fs.WalkDir(os.DirFS("."), ".", func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
			require.NoError(t, err)
			for _, spec := range file.Imports {
				name, err := strconv.Unquote(spec.Path.Value)
				require.NoError(t, err)
				switch name {
				case "crypto/aes":
					assert.True(t, aes[path], "%s imports %s", path, name)
				case "crypto/cipher", "golang.org/x/crypto/chacha20poly1305":
					assert.True(t, sealers[path] || aes[path], "%s imports %s", path, name)
				}
			}
			return nil
		})
		require.NoError(t, err)
	})

	// A value sealed for one purpose, context or key opens for no other.
	t.Run("T97 purposes are separate", func(t *testing.T) {
		secret := "a key for tests, of 32 bytes or more"
		ring := func(purpose string) *seal.Ring {
			r, err := seal.New(purpose, []byte(secret))
			require.NoError(t, err)
			return r
		}
		purposes := []string{"flow", "kept", "relay", "outcome", "outcome target", "renewed", "scan", "enter"}
		for _, sealed := range purposes {
			box := ring(sealed).Seal([]byte("content"), "place")
			for _, opened := range purposes {
				_, err := ring(opened).Open(box, "place")
				assert.Equal(t, sealed == opened, err == nil, "sealed for %s, opened for %s", sealed, opened)
			}
		}

		ctx, inner := context.Background(), store.NewMemory()
		records, err := store.Encrypt(inner, []byte(secret))
		require.NoError(t, err)
		one, two := strings.Repeat("1", 43), strings.Repeat("2", 43)
		require.NoError(t, records.CommitCtx(ctx, one, []byte("record"), time.Now().Add(time.Hour)))
		box, _, err := inner.FindCtx(ctx, one)
		require.NoError(t, err)
		require.NoError(t, inner.CommitCtx(ctx, two, box, time.Now().Add(time.Hour)))
		_, _, err = records.FindCtx(ctx, two)
		assert.ErrorIs(t, err, store.ErrDecrypt, "a record under another token")
	})
}
