package wechattest

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"net/http"
)

// A Person is a WeChat user with a phone.
type Person struct {
	// Name identifies the person in tests, on the control page and in the
	// picker. It must be unique; openids and unionids are derived from it.
	Name string `json:"name"`

	// Nickname is the nickname in userinfo. It is sent as WeChat sends it: only
	// quotes, backslashes and slashes are escaped, so a raw control byte or
	// invalid UTF-8 produces the broken JSON that occurs in practice. The
	// default is Name.
	Nickname string `json:"nickname"`
	// NicknameJSON, if not empty, is inserted unchanged between the quotes, for
	// escapes such as \u0007.
	NicknameJSON string `json:"nickname_json"`
	// NoNickname sends an empty nickname.
	NoNickname bool `json:"no_nickname"`

	// AvatarURL is the headimgurl. If it is empty, the person has none. If it
	// begins with a slash, it is appended to the simulator's base URL, which
	// serves pictures of its people.
	AvatarURL string `json:"avatar_url"`

	// Phone is the number in getuserphonenumber, without country code. The
	// default is an invented one.
	Phone string `json:"phone"`

	// Follows means that the person follows the official accounts.
	Follows bool `json:"follows"`
	// Deleted means that the person has deleted their WeChat account: the
	// nickname is 用户已经注销.
	Deleted bool `json:"deleted"`
	// Limited means that the user is restricted: userinfo returns 50002.
	Limited bool `json:"limited"`
	// HighRisk means that the user's mini program login is blocked (40226).
	HighRisk bool `json:"high_risk"`
}

// DefaultPeople returns the people of a simulator without [WithPerson]. The
// first is the current person until [Server.SetPerson] is called. All are
// invented.
func DefaultPeople() []Person {
	return []Person{
		{Name: "小明", AvatarURL: avatarOf("小明")},
		{Name: "Lin", Nickname: "Lin 🌿", AvatarURL: avatarOf("Lin")},
		{Name: "阿青", Follows: true, AvatarURL: avatarOf("阿青")},
	}
}

func (p Person) complete() (Person, error) {
	if p.Name == "" {
		return p, errors.New("person without a name")
	}
	if p.Nickname == "" {
		p.Nickname = p.Name
	}
	switch {
	case p.Deleted:
		p.Nickname, p.NicknameJSON, p.AvatarURL = "用户已经注销", "", ""
	case p.NoNickname:
		p.Nickname, p.NicknameJSON = "", ""
	}
	if p.Phone == "" {
		sum := sha256.Sum256([]byte("phone\x00" + p.Name))
		p.Phone = fmt.Sprintf("1380013%02d%02d", sum[0]%100, sum[1]%100)
	}
	return p, nil
}

// OpenID returns the openid of a person for an AppID: 28 characters, the same
// in every simulator.
func OpenID(appID, person string) string { return identifier("openid", appID, person) }

// UnionID returns the unionid of a person for an open-platform account
// (Account.OpenPlatform).
func UnionID(openPlatform, person string) string {
	return identifier("unionid", openPlatform, person)
}

func identifier(sort, realm, person string) string {
	sum := sha256.Sum256([]byte(sort + "\x00" + realm + "\x00" + person))
	return "o" + base64.RawURLEncoding.EncodeToString(sum[:])[:27]
}

// avatarOf returns the URL of a picture that the simulator serves.
func avatarOf(person string) string {
	sum := sha256.Sum256([]byte("avatar\x00" + person))
	return "/mmopen/vi_32/" + base64.RawURLEncoding.EncodeToString(sum[:]) + "/132"
}

// avatar serves a person's picture, and 404 if the picture was changed.
func (s *Server) avatar(w http.ResponseWriter, r *http.Request) {
	for i, p := range s.world.Load().cast {
		if p.AvatarURL == r.URL.Path {
			w.Header().Set("Content-Type", "image/svg+xml")
			fmt.Fprintf(w, avatarSVG, faceColors[i%len(faceColors)], html.EscapeString(initial(p.Name)))
			return
		}
	}
	http.NotFound(w, r)
}

var faceColors = []string{"#5b8c7b", "#b0785a", "#6a7fa8", "#9a6f93", "#8a8a4f"}

const avatarSVG = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 132 132"><path fill="%s" d="M0 0h132v132H0z"/><text x="66" y="88" text-anchor="middle" font-family="system-ui,sans-serif" font-size="62" fill="#fff">%s</text></svg>`
