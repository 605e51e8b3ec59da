package client

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Vectors from
// https://developers.weixin.qq.com/miniprogram/dev/framework/open-ability/signature.html
// and its demo (A and B), and one of this project (C).
const (
	rawDataA   = `{"nickName":"Band","gender":1,"language":"zh_CN","city":"Guangzhou","province":"Guangdong","country":"CN","avatarUrl":"http://wx.qlogo.cn/mmopen/vi_32/1vZvI39NWFQ9XM4LtQpFrQJ1xlgZxx3w7bQxKARol6503Iuswjjn6nIGBiaycAjAtpujxyzYsrztuuICqIM5ibXQ/0"}`
	keyA       = "HyVFkGl5F5OQWJZZaNzBBg=="
	signatureA = "75e81ceda165f4ffa64f4068af58c64b8f54b88c"

	appB       = "wx4f4bc4dec97d474b"
	keyB       = "tiihtNczf5v6AKRyjwEUhQ=="
	ivB        = "r7BXXKkLb8qrSNn05n0qiA=="
	encryptedB = "CiyLU1Aw2KjvrjMdj8YKliAjtP4gsMZMQmRzooG2xrDcvSnxIMXFufNstNGTyaGS9uT5geRa0W4oTOb1WT7fJlAC+oNPdbB+3hVbJSRgv+4lGOETKUQz6OYStslQ142dNCuabNPGBzlooOmB231qMM85d2/fV6ChevvXvQP8Hkue1poOFtnEtpyxVLW1zAo6/1Xx1COxFvrc2d7UL/lmHInNlxuacJXwu0fjpXfz/YqYzBIBzD6WUfTIF9GRHpOn/Hz7saL8xz+W//FRAUid1OksQaQx4CMs8LOddcQhULW4ucetDf96JcR3g0gfRK4PC7E/r7Z6xNrXd2UIeorGj5Ef7b1pJAYB6Y5anaHqZ9J6nKEBvB4DnNLIVWSgARns/8wR2SiRS7MNACwTyrGvt9ts8p12PKFdlqYTopNHR1Vf7XjfhQlVsAJdNiKdYmYVoKlaRv85IfVunYzO0IKXsyl7JCUjCpoG20f0a04COwfneQAGGwd5oa+T8yO5hzuyDb/XcxxmK01EpqOyuxINew=="
	plaintextB = `{"openId":"oGZUI0egBJY1zhBYw2KhdUfwVJJE","nickName":"Band","gender":1,"language":"zh_CN","city":"Guangzhou","province":"Guangdong","country":"CN","avatarUrl":"http://wx.qlogo.cn/mmopen/vi_32/aSKcBBPpibyKNicHNTMM0qJVh8Kjgiak2AHWr8MHM4WgMEm7GFhsf8OYrySdbvAMvTsw3mo8ibKicsnfN5pRjl1p8HQ/0","unionId":"ocMvos6NjeKLIBqg5Mr9QjxrP1FA","watermark":{"timestamp":1477314187,"appid":"wx4f4bc4dec97d474b"}}`
	sha256B    = "3237d8a5dbd413523c194882c7156544d8a06e2afcc97383cc300c17bd09391b"

	appC       = "wx0000000000000001"
	keyC       = "AAECAwQFBgcICQoLDA0ODw=="
	ivC        = "EBESExQVFhcYGRobHB0eHw=="
	encryptedC = "aLhedzo+Z6es5zW+YHo9susiHnaEYeAkbZXA6vB3xXwsEHApbzM53NsvIVPS8sbzE9Tu3cKoosCIaJ9ReH9c7q8xI4AFlJ8HTHrrdVC0WzSFVEG+Q/SUBzVOfvRAiCzg9pRwA0o1X/SBOShf2kiL8wNfdlkWY+I9rsvJLhx38KMuKKT/eXb9VaR4QFyKtt80/IjKxUoZr1C2aiPr9gug7g=="
	plaintextC = `{"phoneNumber":"13800138000","purePhoneNumber":"13800138000","countryCode":"86","watermark":{"timestamp":1700000000,"appid":"wx0000000000000001"}}`
)

func TestWire_Decrypt(t *testing.T) {
	for name, v := range map[string]struct{ app, key, iv, encrypted, plaintext string }{
		"B": {appB, keyB, ivB, encryptedB, plaintextB},
		"C": {appC, keyC, ivC, encryptedC, plaintextC},
	} {
		plaintext, err := Decrypt(v.key, v.encrypted, v.iv, v.app)
		require.NoError(t, err, name)
		assert.Equal(t, v.plaintext, string(plaintext), name)
		wire.vectors.Add(1)
	}
	sum := sha256.Sum256([]byte(plaintextB))
	assert.Equal(t, sha256B, hex.EncodeToString(sum[:]))
	assert.Len(t, plaintextB, 393)
}

func TestWire_VerifySignature(t *testing.T) {
	assert.True(t, VerifySignature(keyA, rawDataA, signatureA))
	assert.True(t, VerifySignature(keyC,
		`{"nickName":"测试用户","gender":0,"language":"","city":"","province":"","country":"","avatarUrl":""}`,
		"7eb127351c3884a195ad62d29b207bc8cf997f0f"))
	const official = "o0q0otL8aEzpcZL/FT9WsQ=="
	assert.Equal(t, "654571f79995b2ce1e149e53c0a33dc39c0a74090db514261454e8dbe432aa0b", sign(official, `{"foo":"bar"}`))
	assert.Equal(t, "46e043c5525c2d817c44be603d30837a808a1d930d038f6fdc3e62a201fed128", signEmpty(official))
	assert.Equal(t, "75c022993d64e3ac224c1c9d6f2b4c6eb53f22f6c7aa6be94428577d11d12fd5", signEmpty(keyC))
	wire.vectors.Add(5)
}

func TestWire_VerifySignature_Mismatch(t *testing.T) {
	for name, v := range map[string]struct{ key, raw, signature string }{
		"empty signature":          {keyA, rawDataA, ""},
		"another key":              {keyC, rawDataA, signatureA},
		"one byte more":            {keyA, rawDataA + " ", signatureA},
		"upper case":               {keyA, rawDataA, strings.ToUpper(signatureA)},
		"cut short":                {keyA, rawDataA, signatureA[:39]},
		"longer":                   {keyA, rawDataA, signatureA + "0"},
		"no session_key":           {"", "x", "11f6ad8ec52a2984abaafd7c3b516503785c2072"}, // SHA-1 of "x"
		"session_key in the data":  {"", rawDataA + keyA, signatureA},
		"nothing at all":           {"", "", "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
		"the HMAC of checksession": {keyC, "", signEmpty(keyC)},
	} {
		assert.False(t, VerifySignature(v.key, v.raw, v.signature), name)
		wire.vectors.Add(1)
	}
}

// encrypt is the inverse of Decrypt; it appends the given padding.
func encrypt(t testing.TB, plaintext, padding []byte) string {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(keyC)
	require.NoError(t, err)
	iv, err := base64.StdEncoding.DecodeString(ivC)
	require.NoError(t, err)
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	data := append(bytes.Clone(plaintext), padding...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(data, data)
	return base64.StdEncoding.EncodeToString(data)
}

func pkcs7(plaintext []byte) []byte {
	n := aes.BlockSize - len(plaintext)%aes.BlockSize
	return bytes.Repeat([]byte{byte(n)}, n)
}

func sealed(t testing.TB, plaintext string) string {
	return encrypt(t, []byte(plaintext), pkcs7([]byte(plaintext)))
}

func TestWire_Decrypt_Corrupt(t *testing.T) {
	const mark = `"watermark":{"appid":"` + appC + `"}`
	flipped := func(s string, at int) string {
		data, err := base64.StdEncoding.DecodeString(s)
		require.NoError(t, err)
		data[(at+len(data))%len(data)] ^= 1
		return base64.StdEncoding.EncodeToString(data)
	}
	whole := func(n int) []byte { // plaintext that leaves exactly n bytes for padding
		text := []byte(`{` + mark + `}`)
		for (len(text)+n)%aes.BlockSize != 0 {
			text = append(text, ' ')
		}
		return text
	}
	for _, row := range []struct {
		name, key, encrypted, iv, app string
		want                          error
	}{
		{"another AppID", keyB, encryptedB, ivB, appC, ErrWatermark},
		{"no AppID", keyB, encryptedB, ivB, "", ErrWatermark},
		{"the AppID in another case", keyB, encryptedB, ivB, strings.ToUpper(appB), ErrWatermark},
		{"another session_key", keyC, encryptedB, ivB, appB, ErrDecrypt},
		{"another iv", keyB, encryptedB, ivC, appB, ErrDecrypt},
		{"no session_key", "", encryptedB, ivB, appB, ErrDecrypt},
		{"no iv", keyB, encryptedB, "", appB, ErrDecrypt},
		{"no data", keyB, "", ivB, appB, ErrDecrypt},
		{"a session_key of 15 bytes", base64.StdEncoding.EncodeToString(make([]byte, 15)), encryptedB, ivB, appB, ErrDecrypt},
		{"a session_key of 17 bytes", base64.StdEncoding.EncodeToString(make([]byte, 17)), encryptedB, ivB, appB, ErrDecrypt},
		{"a session_key of 24 bytes", base64.StdEncoding.EncodeToString(make([]byte, 24)), encryptedB, ivB, appB, ErrDecrypt},
		{"a session_key of 32 bytes", base64.StdEncoding.EncodeToString(make([]byte, 32)), encryptedB, ivB, appB, ErrDecrypt},
		{"an iv of 15 bytes", keyB, encryptedB, base64.StdEncoding.EncodeToString(make([]byte, 15)), appB, ErrDecrypt},
		{"an iv of 32 bytes", keyB, encryptedB, base64.StdEncoding.EncodeToString(make([]byte, 32)), appB, ErrDecrypt},
		{"data of 15 bytes", keyB, base64.StdEncoding.EncodeToString(make([]byte, 15)), ivB, appB, ErrDecrypt},
		{"data of 17 bytes", keyB, base64.StdEncoding.EncodeToString(make([]byte, 17)), ivB, appB, ErrDecrypt},
		{"data cut by a block", keyB, base64.StdEncoding.EncodeToString(make([]byte, 16)), ivB, appB, ErrDecrypt},
		{"data of 1 MiB", keyB, base64.StdEncoding.EncodeToString(make([]byte, 1<<20)), ivB, appB, ErrDecrypt},
		{"a line break in the data", keyB, encryptedB[:76] + "\n" + encryptedB[76:], ivB, appB, ErrDecrypt},
		{"a carriage return in the data", keyB, encryptedB[:76] + "\r\n" + encryptedB[76:], ivB, appB, ErrDecrypt},
		{"a line break after the data", keyB, encryptedB + "\n", ivB, appB, ErrDecrypt},
		{"a line break in the key", keyB[:4] + "\n" + keyB[4:], encryptedB, ivB, appB, ErrDecrypt},
		{"a line break in the iv", keyB, encryptedB, ivB + "\n", appB, ErrDecrypt},
		{"a space in the data", keyB, encryptedB[:8] + " " + encryptedB[9:], ivB, appB, ErrDecrypt},
		{"URL-safe base64", keyB, strings.NewReplacer("+", "-", "/", "_").Replace(encryptedB), ivB, appB, ErrDecrypt},
		{"plus signs lost to spaces", keyB, strings.ReplaceAll(encryptedB, "+", " "), ivB, appB, ErrDecrypt},
		{"base64 without its padding", keyB, strings.TrimRight(encryptedB, "="), ivB, appB, ErrDecrypt},
		{"base64 with loose bits at its end", keyB[:21] + "R==", encryptedB, ivB, appB, ErrDecrypt},
		{"the last byte changed", keyB, flipped(encryptedB, -1), ivB, appB, ErrDecrypt},
		{"padding 0", keyC, encrypt(t, whole(16), make([]byte, 16)), ivC, appC, ErrDecrypt},
		{"padding 17", keyC, encrypt(t, whole(32), bytes.Repeat([]byte{17}, 32)), ivC, appC, ErrDecrypt},
		{"padding 32", keyC, encrypt(t, whole(32), bytes.Repeat([]byte{32}, 32)), ivC, appC, ErrDecrypt},
		{"padding 255", keyC, encrypt(t, whole(16), bytes.Repeat([]byte{255}, 16)), ivC, appC, ErrDecrypt},
		{"padding with one wrong byte", keyC, encrypt(t, whole(4), []byte{4, 3, 4, 4}), ivC, appC, ErrDecrypt},
		{"padding with a wrong first byte", keyC, encrypt(t, whole(4), []byte{0, 4, 4, 4}), ivC, appC, ErrDecrypt},
		{"no padding", keyC, encrypt(t, whole(0), nil), ivC, appC, ErrDecrypt},
		{"nothing but padding", keyC, sealed(t, ""), ivC, appC, ErrDecrypt},
		{"not JSON", keyC, sealed(t, "hello"), ivC, appC, ErrDecrypt},
		{"JSON that is not an object", keyC, sealed(t, `[{`+mark+`}]`), ivC, appC, ErrDecrypt},
		{"two objects", keyC, sealed(t, `{`+mark+`}{}`), ivC, appC, ErrDecrypt},
		{"no watermark", keyC, sealed(t, `{"openId":"o"}`), ivC, appC, ErrWatermark},
		{"an empty watermark", keyC, sealed(t, `{"watermark":{}}`), ivC, appC, ErrWatermark},
		{"a watermark that is text", keyC, sealed(t, `{"watermark":"`+appC+`"}`), ivC, appC, ErrWatermark},
		{"a watermark without AppID, none expected", keyC, sealed(t, `{"watermark":{"appid":""}}`), ivC, "", ErrWatermark},
		{"two watermarks", keyC, sealed(t, `{`+mark+`,"watermark":{"appid":"wx2"}}`), ivC, appC, ErrDecrypt},
		{"two watermarks, the second fits", keyC, sealed(t, `{"watermark":{"appid":"wx2"},`+mark+`}`), ivC, appC, ErrDecrypt},
		{"an AppID that is a number", keyC, sealed(t, `{"watermark":{"appid":5}}`), ivC, "5", ErrWatermark},
		{"two AppIDs", keyC, sealed(t, `{"watermark":{"appid":"`+appC+`","appid":"wx2"}}`), ivC, appC, ErrWatermark},
		{"an AppID in another case", keyC, sealed(t, `{"watermark":{"appid":"`+appC+`","appId":"wx2"}}`), ivC, appC, ErrWatermark},
		{"two openIds", keyC, sealed(t, `{"openId":"oA","openId":"oB",`+mark+`}`), ivC, appC, ErrDecrypt},
		{"an openid and an openId", keyC, sealed(t, `{"openId":"oA","openid":"oB",`+mark+`}`), ivC, appC, ErrDecrypt},
	} {
		t.Run(row.name, func(t *testing.T) {
			plaintext, err := Decrypt(row.key, row.encrypted, row.iv, row.app)
			assert.ErrorIs(t, err, row.want)
			assert.Nil(t, plaintext)
		})
		wire.vectors.Add(1)
	}
}

func TestWire_Decrypt_Padding(t *testing.T) {
	for n := 1; n <= aes.BlockSize; n++ {
		text := `{"watermark":{"appid":"` + appC + `"}}`
		for (len(text)+n)%aes.BlockSize != 0 {
			text += " "
		}
		plaintext, err := Decrypt(keyC, encrypt(t, []byte(text), bytes.Repeat([]byte{byte(n)}, n)), ivC, appC)
		require.NoError(t, err, n)
		assert.Equal(t, text, string(plaintext))
		wire.vectors.Add(1)
	}
	plaintext, err := Decrypt(keyC, sealed(t, "{\"nickName\":\"a\x14b\",\"watermark\":{\"appid\":\""+appC+"\"}}"), ivC, appC)
	require.NoError(t, err)
	assert.Equal(t, `{"nickName":"a\u0014b","watermark":{"appid":"`+appC+`"}}`, string(plaintext))
}

func TestDecrypt_EncodingJSON(t *testing.T) {
	for name, text := range map[string]string{
		"a byte order mark":                   "\xef\xbb\xbf{\"n\":\"a\",$}",
		"a byte order mark and control bytes": "\xef\xbb\xbf{\"n\":\"\x01\x1f\",$}",
		"4,096 control bytes":                 "{\"n\":\"" + strings.Repeat("\x01", 4096) + "\",$}",
	} {
		t.Run(name, func(t *testing.T) {
			plaintext, err := Decrypt(keyC, sealed(t, strings.Replace(text, "$", `"watermark":{"appid":"`+appC+`"}`, 1)), ivC, appC)
			require.NoError(t, err)
			var v struct{ N string }
			assert.NoError(t, json.Unmarshal(plaintext, &v))
			assert.NotEmpty(t, v.N)
		})
	}
	_, err := Decrypt(keyC, sealed(t, "{\"n\":\""+strings.Repeat("\x01", 4097)+`","watermark":{"appid":"`+appC+`"}}`), ivC, appC)
	assert.ErrorIs(t, err, ErrDecrypt, "more control bytes are an error")
}
