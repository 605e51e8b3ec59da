package client

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Errors returned by [Decrypt].
var (
	ErrDecrypt   = errors.New("client: decrypt: wrong session_key or corrupt data")
	ErrWatermark = errors.New("client: decrypt: data is for another AppID")
)

const maxEncrypted = 64 << 10

// Decrypt decrypts the encryptedData that a mini program receives together with
// iv, and returns the JSON it contains:
// https://developers.weixin.qq.com/miniprogram/dev/framework/open-ability/signature.html.
// sessionKey, encryptedData and iv are standard base64 without line breaks;
// encryptedData is at most 64 KiB. Raw control bytes inside strings are escaped
// and a byte order mark is removed, so that encoding/json can parse the result.
//
// It returns [ErrWatermark] if the data is not for appID, and [ErrDecrypt] for
// any other failure, without detail. The usual cause is that the session_key
// has changed; the mini program must then log in again. WeChat's format does
// not authenticate the data: only its watermark is checked, and a client can
// replay old data of the same user. Check watermark.timestamp (Unix seconds) if
// that matters.
func Decrypt(sessionKey, encryptedData, iv, appID string) ([]byte, error) {
	plaintext, ok := openCBC(sessionKey, encryptedData, iv)
	if !ok {
		return nil, ErrDecrypt
	}
	plaintext = bytes.TrimPrefix(plaintext, []byte(byteOrderMark))
	if bytes.HasPrefix(plaintext, []byte(byteOrderMark)) {
		return nil, ErrDecrypt // parseObject would remove a second one, and encoding/json would not
	}
	plaintext, err := escapeControls(plaintext)
	if err != nil {
		return nil, ErrDecrypt
	}
	fields, err := parseObject(plaintext, payloadKeys)
	if err != nil {
		return nil, ErrDecrypt
	}
	if appID == "" || watermark(fields) != appID {
		return nil, ErrWatermark
	}
	return plaintext, nil
}

// openCBC decrypts AES-128-CBC and verifies the PKCS#7 padding in full.
func openCBC(sessionKey, encryptedData, iv string) (plaintext []byte, ok bool) {
	key, okKey := decodeBase64(sessionKey, aes.BlockSize)
	vector, okIV := decodeBase64(iv, aes.BlockSize)
	data, okData := decodeBase64(encryptedData, maxEncrypted)
	if !okKey || !okIV || !okData || len(key) != 16 || len(vector) != aes.BlockSize {
		return nil, false
	}
	if len(data) == 0 || len(data)%aes.BlockSize != 0 {
		return nil, false
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, false
	}
	cipher.NewCBCDecrypter(block, vector).CryptBlocks(data, data)
	padding := int(data[len(data)-1])
	if padding < 1 || padding > aes.BlockSize {
		return nil, false
	}
	for _, b := range data[len(data)-padding:] {
		if int(b) != padding {
			return nil, false
		}
	}
	return data[:len(data)-padding], true
}

// decodeBase64 decodes standard base64 with padding, which must contain no more
// than most bytes. Go's decoder skips line breaks, so they are rejected first.
func decodeBase64(s string, most int) ([]byte, bool) {
	if len(s) > base64.StdEncoding.EncodedLen(most) || strings.ContainsAny(s, "\r\n") {
		return nil, false
	}
	data, err := base64.StdEncoding.Strict().DecodeString(s)
	return data, err == nil
}

// watermark returns the AppID that a payload is meant for, or "".
func watermark(fields map[string]json.RawMessage) string {
	raw, ok := fields["watermark"]
	if !ok {
		return ""
	}
	inner, err := parseObject(raw, watermarkKeys)
	if err != nil {
		return ""
	}
	appID, _ := (&jsonObject{fields: inner}).strict("appid")
	return appID
}

// VerifySignature reports whether signature is WeChat's signature of rawData,
// the text that wx.getUserInfo returns to the mini program, unchanged: the
// lower-case hexadecimal SHA-1 of rawData followed by the session_key. The
// comparison takes constant time. An empty session_key is never valid.
func VerifySignature(sessionKey, rawData, signature string) bool {
	if sessionKey == "" {
		return false // anyone could sign
	}
	sum := sha1.Sum([]byte(rawData + sessionKey))
	return subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), []byte(signature)) == 1
}

// signEmpty returns the signature for checksession and resetusersessionkey: the
// HMAC-SHA256 of the empty string, keyed with the session_key's text rather
// than the bytes it encodes.
func signEmpty(sessionKey string) string { return sign(sessionKey, "") }

func sign(sessionKey, message string) string {
	mac := hmac.New(sha256.New, []byte(sessionKey))
	_, _ = fmt.Fprint(mac, message)
	return hex.EncodeToString(mac.Sum(nil))
}
