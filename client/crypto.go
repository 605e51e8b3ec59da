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

// Errors of [Decrypt].
var (
	ErrDecrypt   = errors.New("client: decrypt: wrong session_key or damaged data")
	ErrWatermark = errors.New("client: decrypt: data is for another AppID")
)

const maxEncrypted = 64 << 10

// Decrypt opens the encryptedData that a mini program hands over with its iv,
// and returns the JSON in it:
// https://developers.weixin.qq.com/miniprogram/dev/framework/open-ability/signature.html.
// All three are standard base64 without line breaks; encryptedData is at most
// 64 KiB. Raw control bytes inside its strings come escaped and a byte order
// mark is dropped, so that encoding/json can read the result.
//
// The error is [ErrWatermark] if the data is not for appID, and [ErrDecrypt]
// for everything else, without telling what: as a rule the session_key has
// changed since and the mini program has to log in again. The data is not
// authenticated by WeChat's format, only its watermark is checked; a client can
// replay old data of its own, so look at watermark.timestamp (Unix seconds)
// where that matters.
func Decrypt(sessionKey, encryptedData, iv, appID string) ([]byte, error) {
	plaintext, ok := openCBC(sessionKey, encryptedData, iv)
	if !ok {
		return nil, ErrDecrypt
	}
	plaintext = bytes.TrimPrefix(plaintext, []byte(byteOrderMark))
	if bytes.HasPrefix(plaintext, []byte(byteOrderMark)) {
		return nil, ErrDecrypt // parseObject would drop a second one, and encoding/json not
	}
	plaintext, err := repair(plaintext)
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

// openCBC undoes AES-128-CBC with PKCS#7 padding, which it checks in full.
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

// decodeBase64 wants standard base64 with its padding and no more than most
// bytes in it. Go's decoder skips line breaks, so they are refused before it.
func decodeBase64(s string, most int) ([]byte, bool) {
	if len(s) > base64.StdEncoding.EncodedLen(most) || strings.ContainsAny(s, "\r\n") {
		return nil, false
	}
	data, err := base64.StdEncoding.Strict().DecodeString(s)
	return data, err == nil
}

// watermark returns the AppID that a payload is for, or "".
func watermark(fields map[string]json.RawMessage) string {
	raw, ok := fields["watermark"]
	if !ok {
		return ""
	}
	inner, err := parseObject(raw, watermarkKeys)
	if err != nil {
		return ""
	}
	appID, _ := (&answer{fields: inner}).strict("appid")
	return appID
}

// VerifySignature reports whether signature is WeChat's for rawData, the text
// that wx.getUserInfo hands the mini program, as received: the lower-case hex
// SHA-1 of rawData followed by the session_key. It compares in constant time,
// and is false for an empty session_key.
func VerifySignature(sessionKey, rawData, signature string) bool {
	if sessionKey == "" {
		return false // anyone could sign
	}
	sum := sha1.Sum([]byte(rawData + sessionKey))
	return subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), []byte(signature)) == 1
}

// signEmpty is the signature of checksession and resetusersessionkey: HMAC-
// SHA256 over nothing, keyed with the session_key's text, not what it encodes.
func signEmpty(sessionKey string) string { return sign(sessionKey, "") }

func sign(sessionKey, message string) string {
	mac := hmac.New(sha256.New, []byte(sessionKey))
	_, _ = fmt.Fprint(mac, message)
	return hex.EncodeToString(mac.Sum(nil))
}
