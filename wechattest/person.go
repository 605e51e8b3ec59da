package wechattest

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"net/http"
)

// Person is somebody with a phone and WeChat on it.
type Person struct {
	// Name is how tests, the control page and the picker call the person. It
	// is unique, and openids and unionids are computed from it.
	Name string `json:"name"`

	// Nickname is what userinfo answers. It is sent as WeChat sends it: only
	// quotes, backslashes and slashes are escaped, so a raw control byte or
	// invalid UTF-8 in it makes the broken JSON that was seen in the field.
	// Default: Name.
	Nickname string `json:"nickname"`
	// NicknameJSON, if not empty, is put between the quotes as it stands, for
	// escapes such as \u0007.
	NicknameJSON string `json:"nickname_json"`
	// NoNickname sends an empty nickname.
	NoNickname bool `json:"no_nickname"`

	// AvatarURL is the headimgurl; empty means that the person has none. One
	// that begins with a slash is put after the simulator's own base URL,
	// which serves a picture for those of its people.
	AvatarURL string `json:"avatar_url"`

	// Phone is the number that getuserphonenumber answers, without country
	// code. Default: an invented one.
	Phone string `json:"phone"`

	// Follows says that the person follows the official accounts.
	Follows bool `json:"follows"`
	// Deleted is an account that was closed: its nickname is 用户已经注销.
	Deleted bool `json:"deleted"`
	// Limited is a frozen user: userinfo answers 50002.
	Limited bool `json:"limited"`
	// HighRisk is a user whose mini program login is blocked (40226).
	HighRisk bool `json:"high_risk"`
}

// DefaultPeople returns the people of a simulator without WithPerson. The
// first of them holds the phone until Hold says otherwise. All are invented.
func DefaultPeople() []Person {
	return []Person{
		{Name: "小明", AvatarURL: avatarOf("小明")},
		{Name: "Lin", Nickname: "Lin 🌿", AvatarURL: avatarOf("Lin")},
		{Name: "阿青", Follows: true, AvatarURL: avatarOf("阿青")},
	}
}

func (p Person) complete() (Person, error) {
	if p.Name == "" {
		return p, errors.New("a person needs a name")
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

// avatarOf is the address of a picture that the simulator serves.
func avatarOf(person string) string {
	sum := sha256.Sum256([]byte("avatar\x00" + person))
	return "/mmopen/vi_32/" + base64.RawURLEncoding.EncodeToString(sum[:]) + "/132"
}

// avatar serves the picture of a person, and 404 for one that was changed.
func (s *Server) avatar(w http.ResponseWriter, r *http.Request) {
	for i, p := range s.cfg.people {
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
