package client

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"strings"
)

// UserInfo is a visitor's profile:
// https://developers.weixin.qq.com/doc/service/api/webdev/access/api_snsuserinfo.html.
// Everything but the ids is written by the visitor. WeChat has given no sex
// and no places since October 2021: 0 and "".
type UserInfo struct {
	OpenID    string   // the one asked for
	UnionID   string   // "" unless the account is bound to an open-platform account
	Nickname  string   // valid UTF-8 in one line, at most 128 runes, no control or bidi characters; may be ""
	AvatarURL string   // https, or ""; dead as soon as the user changes the avatar
	Sex       int      // 1 male, 2 female, 0 unknown
	Language  string   // as Nickname
	City      string   // as Nickname
	Province  string   // as Nickname
	Country   string   // as Nickname
	Privilege []string // such as "chinaunicom", each as Nickname; nil as a rule
}

// UserInfo fetches the profile of the user that accessToken and openID of a
// [Token] name. The token's scope must have [ScopeUserInfo] or [ScopeLogin],
// or WeChat answers 48001 ([ErrNotAuthorized]). An empty lang means [LangZhCN].
// An answer about another user is refused.
func (c *Client) UserInfo(ctx context.Context, accessToken, openID string, lang Lang) (*UserInfo, error) {
	req, err := userRequest("sns/userinfo", accessToken, openID)
	if err != nil {
		return nil, err
	}
	if lang == "" {
		lang = LangZhCN
	}
	req.query.Set("lang", string(lang))
	ans, err := c.call(ctx, req)
	if err != nil {
		return nil, err
	}
	return ans.userInfo(openID, c.endpoints)
}

func (a *answer) userInfo(openID string, own Endpoints) (*UserInfo, error) {
	u := &UserInfo{}
	err := firstError(
		a.requireIdentifier("openid", &u.OpenID),
		a.optionalIdentifier("unionid", &u.UnionID),
	)
	if err == nil && u.OpenID != openID {
		err = errors.New("is about another user")
	}
	if err != nil {
		return nil, a.refused(err)
	}
	u.Nickname = displayText(a.text("nickname"))
	u.AvatarURL = avatarURL(a.text("headimgurl"), own)
	u.Sex = a.sex()
	u.Language = displayText(a.text("language"))
	u.City = displayText(a.text("city"))
	u.Province = displayText(a.text("province"))
	u.Country = displayText(a.text("country"))
	for _, p := range a.texts("privilege") {
		u.Privilege = append(u.Privilege, displayText(p))
	}
	return u, nil
}

func (a *answer) sex() int {
	if n, ok := a.integer("sex"); ok && (n == 1 || n == 2) {
		return int(n)
	}
	return 0
}

const maxAvatarURL = 1024

// avatarURL upgrades an avatar's address to https, and drops what is not one:
// other schemes, bare IP addresses, ports, user names. Addresses below the
// configured endpoints stay as they are, so that a simulator on plain http can
// show avatars.
func avatarURL(raw string, own Endpoints) string {
	if raw == "" || len(raw) > maxAvatarURL || !isToken(raw) || strings.ContainsAny(raw, "\"'<>\\`") {
		return ""
	}
	if strings.HasPrefix(raw, own.API+"/") || strings.HasPrefix(raw, own.Open+"/") {
		return raw
	}
	u, err := url.Parse(raw)
	if err != nil || u.User != nil || u.Port() != "" || !hostName(u.Host) || !strings.Contains(u.Host, ".") {
		return ""
	}
	if _, err := netip.ParseAddr(u.Host); err == nil {
		return ""
	}
	if u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	u.Scheme = "https"
	return u.String()
}
