package wechattest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// A Payload is the data that a mini program gets from wx.getUserInfo or from a
// phone number button and sends to its server.
type Payload struct {
	RawData       string `json:"rawData,omitempty"`   // the JSON of the public part; empty for a phone number
	Signature     string `json:"signature,omitempty"` // the signature of RawData, for client.VerifySignature
	EncryptedData string `json:"encryptedData"`       // base64; all data as JSON, with a watermark
	IV            string `json:"iv"`                  // base64; 16 bytes, new for each payload
}

// UserPayload returns a person's profile, encrypted with the currently valid
// session_key. As in the real WeChat, the profile is anonymous (微信用户), with the
// real openid and unionid. UserPayload panics if there is no such mini program
// or person.
func (s *Server) UserPayload(appID, person string) Payload {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, p := s.mustMini(appID, person)
	profile := []field{
		{"nickName", "微信用户"}, {"gender", 0}, {"language", ""}, {"city", ""}, {"province", ""},
		{"country", ""}, {"avatarUrl", "https://thirdwx.qlogo.cn/mmopen/vi_32/anonymous/132"},
	}
	full := append([]field{{"openId", OpenID(appID, p.Name)}}, profile...)
	if a.OpenPlatform != "" {
		full = append(full, field{"unionId", UnionID(a.OpenPlatform, p.Name)})
	}
	raw := grantFields(profile...).encode()
	key := s.sessionKeyOf(appID, p.Name).key
	out := s.encrypt(key, append(full, s.watermark(appID)))
	out.RawData, out.Signature = raw, Sign(raw, key)
	return out
}

// PhonePayload returns a person's phone number, encrypted with the currently
// valid session_key. Newer mini programs send a code from
// [Server.GetPhoneNumber] instead. PhonePayload panics if there is no such mini
// program or person.
func (s *Server) PhonePayload(appID, person string) Payload {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, p := s.mustMini(appID, person)
	return s.encrypt(s.sessionKeyOf(appID, p.Name).key, []field{
		{"phoneNumber", p.Phone}, {"purePhoneNumber", p.Phone}, {"countryCode", "86"}, s.watermark(appID),
	})
}

func (s *Server) watermark(appID string) field {
	if s.on(WrongWatermark) {
		appID = "wxffffffffffffffff"
	}
	return field{"watermark", []field{{"timestamp", int(s.now().Unix())}, {"appid", appID}}}
}

func (s *Server) encrypt(sessionKey string, fields []field) Payload {
	iv := make([]byte, aes.BlockSize)
	for i := range iv {
		iv[i] = byte(s.rng.Uint32())
	}
	data, err := Encrypt(sessionKey, base64.StdEncoding.EncodeToString(iv), grantFields(fields...).encode())
	if err != nil {
		panic("wechattest: " + err.Error()) // the key is the simulator's own
	}
	return Payload{EncryptedData: data, IV: base64.StdEncoding.EncodeToString(iv)}
}

// Encrypt returns encryptedData as WeChat does: AES-128-CBC with PKCS#7 padding
// under the decoded session_key and iv, in base64. It returns an error unless
// the key and the iv are 16 bytes each in padded base64.
func Encrypt(sessionKey, iv, plaintext string) (encryptedData string, err error) {
	key, err := base64.StdEncoding.DecodeString(sessionKey)
	if err != nil || len(key) != 16 {
		return "", fmt.Errorf("encrypt: session_key must be 16 bytes in base64")
	}
	start, err := base64.StdEncoding.DecodeString(iv)
	if err != nil || len(start) != aes.BlockSize {
		return "", fmt.Errorf("encrypt: iv must be %d bytes in base64", aes.BlockSize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return "", fmt.Errorf("encrypt: %w", err)
	}
	pad := aes.BlockSize - len(plaintext)%aes.BlockSize
	b := []byte(plaintext + strings.Repeat(string(rune(pad)), pad))
	cipher.NewCBCEncrypter(block, start).CryptBlocks(b, b)
	return base64.StdEncoding.EncodeToString(b), nil
}

// Sign returns the signature of rawData: the SHA-1 of rawData followed by the
// text of the session_key, in hexadecimal.
func Sign(rawData, sessionKey string) string {
	sum := sha1.Sum([]byte(rawData + sessionKey))
	return hex.EncodeToString(sum[:])
}

// SignSession returns the signature for checksession and resetusersessionkey:
// the HMAC-SHA256 of the empty string, keyed with the base64 text of the
// session_key.
func SignSession(sessionKey string) string {
	mac := hmac.New(sha256.New, []byte(sessionKey))
	return hex.EncodeToString(mac.Sum(nil))
}

func (s *Server) mustPerson(name string) Person {
	p, ok := s.world.Load().people[name]
	if !ok {
		panic("wechattest: unknown person " + name)
	}
	return p
}

func (s *Server) mustMini(appID, person string) (Account, Person) {
	p := s.mustPerson(person)
	a := s.world.Load().accounts[appID]
	if a.Kind != MiniProgram {
		panic("wechattest: no mini program with AppID " + appID)
	}
	return a, p
}

const sessionKeyLife = 3 * 24 * time.Hour // WeChat documents no value
