package client

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"strings"

	"github.com/wechatauth/wechatauth/client/internal/api"
)

// A UserInfo is a user's profile:
// https://developers.weixin.qq.com/doc/service/api/webdev/access/api_snsuserinfo.html.
// Everything except the ids is chosen by the user. WeChat has not returned sex
// and places since October 2021; they are 0 and "".
type UserInfo struct {
	OpenID    string   // the openid of the request
	UnionID   string   // "" unless the account is bound to an open-platform account
	Nickname  string   // valid UTF-8 on one line, at most 128 runes, without control or bidi characters; may be ""
	AvatarURL string   // https or ""; invalid as soon as the user changes the avatar
	Sex       int      // 1 male, 2 female, 0 unknown
	Language  string   // like Nickname
	City      string   // like Nickname
	Province  string   // like Nickname
	Country   string   // like Nickname
	Privilege []string // such as "chinaunicom", each like Nickname; usually nil
}

// UserInfo returns the profile of the user to whom accessToken and openID, both
// from a [Token], belong. The token must have [ScopeUserInfo] or [ScopeLogin];
// otherwise WeChat returns 48001 ([ErrNotAuthorized]). An empty lang means
// [LangZhCN]. A response for another user is an error.
func (c *Client) UserInfo(ctx context.Context, accessToken, openID string, lang Lang) (*UserInfo, error) {
	req, err := userRequest("sns/userinfo", accessToken, openID)
	if err != nil {
		return nil, err
	}
	if lang == "" {
		lang = LangZhCN
	}
	req.query.Set("lang", string(lang))
	obj, err := c.call(ctx, req)
	if err != nil {
		return nil, err
	}
	return obj.userInfo(openID, c.endpoints)
}

func (o *jsonObject) userInfo(openID string, own Endpoints) (*UserInfo, error) {
	u := &UserInfo{}
	err := firstError(
		o.requireIdentifier("openid", &u.OpenID),
		o.optionalIdentifier("unionid", &u.UnionID),
	)
	if err == nil && u.OpenID != openID {
		err = errors.New("is for another user")
	}
	if err != nil {
		return nil, o.badResponse(err)
	}
	u.Nickname = displayText(o.text("nickname"))
	u.AvatarURL = avatarURL(o.text("headimgurl"), own)
	u.Sex = o.sex()
	u.Language = displayText(o.text("language"))
	u.City = displayText(o.text("city"))
	u.Province = displayText(o.text("province"))
	u.Country = displayText(o.text("country"))
	for _, p := range o.texts("privilege") {
		u.Privilege = append(u.Privilege, displayText(p))
	}
	return u, nil
}

func (o *jsonObject) sex() int {
	if n, ok := o.integer("sex"); ok && (n == 1 || n == 2) {
		return int(n)
	}
	return 0
}

const maxAvatarURL = 1024

// avatarURL changes the URL of an avatar to https. It returns "" for other
// schemes, bare IP addresses, ports and user names. URLs below the configured
// endpoints remain unchanged, so that a simulator on plain http can show
// avatars.
func avatarURL(raw string, own Endpoints) string {
	if raw == "" || len(raw) > maxAvatarURL || !isToken(raw) || strings.ContainsAny(raw, "\"'<>\\`") {
		return ""
	}
	if strings.HasPrefix(raw, own.API+"/") || strings.HasPrefix(raw, own.Open+"/") {
		return raw
	}
	u, err := url.Parse(raw)
	if err != nil || u.User != nil || u.Port() != "" || !api.HostName(u.Host) || !strings.Contains(u.Host, ".") {
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
