package wecom

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/client/internal/api"
)

// A UserInfo identifies the user who has logged in. Either UserID or OpenID is
// set. A member outside the app's visible range (可见范围) has a UserID too; use
// [Client.Member] to check the range.
type UserInfo struct {
	UserID         string        // of a member; compare it with FoldUserID. "CORPID/userid" for a member of a linked company
	LinkedCorpID   string        // the linked company (互联企业, 上下游) of such a member, otherwise ""
	OpenID         string        // of a user who is not a member: no identity of the official account
	ExternalUserID string        // of a customer who is not a member, otherwise ""
	Ticket         client.Secret // for UserDetail, for 30 minutes; zero without ScopePrivateInfo
}

// IsMember reports whether the user is a member of this company, rather than of
// a linked one or of none.
func (u *UserInfo) IsMember() bool { return u.UserID != "" && u.LinkedCorpID == "" }

// FoldUserID returns a userid in lower case. WeCom looks up userids, and keeps
// them unique, regardless of case:
// https://developer.work.weixin.qq.com/document/path/90195.
func FoldUserID(userID string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, userID)
}

// identityKeys decide who the user is. The older user/getuserinfo, which private
// deployments may still have, spells them UserId and OpenId.
var identityKeys = []string{"userid", "openid", "external_userid", "user_ticket", "corpid", "session_key"}

// UserInfo exchanges the code of a callback for the user:
// https://developer.work.weixin.qq.com/document/path/98177.
// A code is valid for five minutes and for one use. UserInfo sends it at most
// once, and once more only if WeCom rejects the app's token, which it checks
// before the code. An error for an invalid, used or expired code has Kind
// [client.KindRestart]. A response with both a userid and an openid, or with
// neither, is an error.
func (c *Client) UserInfo(ctx context.Context, code string) (*UserInfo, error) {
	u := &UserInfo{}
	err := c.calls.Do(ctx, api.Request{
		Endpoint: "cgi-bin/auth/getuserinfo", AsApp: true, Once: true, Keys: identityKeys,
		Query:   url.Values{"code": {code}},
		Invalid: invalidCode(code),
		Read:    u.read,
	})
	if err != nil {
		return nil, err
	}
	return u, nil
}

func (u *UserInfo) read(o api.Object) error {
	ticket, err := o.Token("user_ticket")
	if err != nil {
		return err
	}
	u.Ticket = client.NewSecret(ticket)
	if u.UserID, u.LinkedCorpID, err = userID(o); err != nil {
		return err
	}
	if u.OpenID, err = identifier(o, "openid"); err != nil {
		return err
	}
	if u.ExternalUserID, err = identifier(o, "external_userid"); err != nil {
		return err
	}
	switch {
	case u.UserID != "" && u.OpenID != "":
		return errors.New("has both a userid and an openid")
	case u.UserID == "" && u.OpenID == "":
		return errors.New("has neither a userid nor an openid")
	}
	return nil
}

// A UserDetail is what a member has agreed to share. Fields other than UserID are
// empty unless an administrator has selected them for the app and the member has
// agreed. The name is not among them; see [Client.Member].
type UserDetail struct {
	UserID    string // as WeCom spells it
	Gender    int    // 1 male, 2 female, 0 unknown
	AvatarURL string // https or ""
	QRCodeURL string // of the member's QR code: https or ""
	Mobile    string // valid UTF-8 on one line, at most 128 runes; without a country code for numbers of the mainland
	Email     string // like Mobile
	BizMail   string // like Mobile
	Address   string // like Mobile
}

// UserDetail returns the details of the member userID, whose [UserInfo] has the
// ticket. The member must be in the app's visible range. If the ticket is invalid
// or has expired, the error matches [client.ErrTicketInvalid]. A response for
// another member is an error:
// https://developer.work.weixin.qq.com/document/path/96443.
func (c *Client) UserDetail(ctx context.Context, userID string, ticket client.Secret) (*UserDetail, error) {
	req := api.Request{
		Endpoint: "cgi-bin/auth/getuserdetail", AsApp: true, Keys: identityKeys,
		Query: url.Values{},
		JSON:  map[string]any{"user_ticket": ticket.Reveal()},
	}
	if !isCode(ticket.Reveal()) {
		req.Invalid = client.ErrTicketInvalid
	}
	d := &UserDetail{}
	req.Read = func(o api.Object) (err error) {
		if d.UserID, err = sameUser(o, userID); err != nil {
			return err
		}
		if gender := o.Text("gender"); gender == "1" || gender == "2" { // documented as a string; older samples have a number
			d.Gender = int(gender[0] - '0')
		}
		d.AvatarURL, d.QRCodeURL = o.URL("avatar"), o.URL("qr_code")
		d.Mobile, d.Email, d.BizMail, d.Address = o.Display("mobile"), o.Display("email"), o.Display("biz_mail"), o.Display("address")
		return nil
	}
	if err := c.calls.Do(ctx, req); err != nil {
		return nil, err
	}
	return d, nil
}

// A Member is an entry of the company's contacts.
type Member struct {
	UserID   string // as WeCom spells it
	Name     string // valid UTF-8 on one line, at most 128 runes; may be ""
	Alias    string // like Name
	Position string // like Name
}

// Member returns the member userID, who must be in the app's visible range. If
// they are outside it, the error matches [client.ErrOutOfRange]; if WeCom does
// not know them, because they have left, it matches [client.ErrUserID]. Both have
// Kind [client.KindUserBlocked]. WeCom looks up userID regardless of case:
// https://developer.work.weixin.qq.com/document/path/96255.
func (c *Client) Member(ctx context.Context, userID string) (*Member, error) {
	req := api.Request{
		Endpoint: "cgi-bin/user/get", AsApp: true, Keys: identityKeys,
		Query: url.Values{"userid": {userID}},
	}
	if !isUserID(userID) {
		req.Invalid = client.ErrUserID
	}
	m := &Member{}
	req.Read = func(o api.Object) (err error) {
		if m.UserID, err = sameUser(o, userID); err != nil {
			return err
		}
		m.Name, m.Alias, m.Position = o.Display("name"), o.Display("alias"), o.Display("position")
		return nil
	}
	if err := c.calls.Do(ctx, req); err != nil {
		return nil, err
	}
	return m, nil
}

// A MiniSession is the result of [Client.Code2Session].
type MiniSession struct {
	UserID     string        // of the member; encrypted if their company has not linked the mini program
	SessionKey client.Secret // never send it to the mini program; Decrypt of package client opens data with it
}

// Code2Session exchanges the code from wx.qy.login for a [MiniSession]. The app
// must be the one that is linked to the mini program. A code is valid for five
// minutes and for one use; it is sent as often as by [Client.UserInfo]. A member
// of another company is an error, because a userid is unique in one company only:
// https://developer.work.weixin.qq.com/document/path/92423.
func (c *Client) Code2Session(ctx context.Context, jsCode string) (*MiniSession, error) {
	s := &MiniSession{}
	err := c.calls.Do(ctx, api.Request{
		Endpoint: "cgi-bin/miniprogram/jscode2session", AsApp: true, Once: true, Keys: identityKeys,
		Query:   url.Values{"js_code": {jsCode}, "grant_type": {"authorization_code"}},
		Invalid: invalidCode(jsCode),
		Read: func(o api.Object) error {
			corp, err := o.String("corpid")
			if err != nil {
				return err
			}
			if corp != c.corpID {
				return errors.New("is for another company")
			}
			var linked string
			if s.UserID, linked, err = userID(o); err != nil {
				return err
			}
			key, err := o.Token("session_key")
			if err == nil && (s.UserID == "" || linked != "" || key == "") {
				err = errors.New("has no userid or no session_key")
			}
			s.SessionKey = client.NewSecret(key)
			return err
		},
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// sameUser returns the userid of a response, which must be the given one. It is
// returned as WeCom spells it.
func sameUser(o api.Object, want string) (string, error) {
	got, _, err := userID(o)
	if err == nil && (got == "" || FoldUserID(got) != FoldUserID(want)) {
		err = errors.New("is for another user")
	}
	return got, err
}

// userID returns the userid of a response and the linked company in it, or "".
func userID(o api.Object) (id, corp string, err error) {
	id, err = o.String("userid")
	if err != nil || id == "" {
		return "", "", err
	}
	name := id
	if before, after, linked := strings.Cut(id, "/"); linked {
		corp, name = before, after
		if !isCorpID(corp) {
			return "", "", errors.New("has a malformed userid")
		}
	}
	if !isUserID(name) {
		return "", "", errors.New("has a malformed userid")
	}
	return id, corp, nil
}

func identifier(o api.Object, key string) (string, error) {
	id, err := o.String(key)
	if err == nil && id != "" && !isIdentifier(id) {
		return "", fmt.Errorf("has a malformed %s", key)
	}
	return id, err
}

func invalidCode(code string) error {
	if isCode(code) {
		return nil
	}
	return client.ErrCodeInvalid
}

// isCode reports whether s may be a code or a user_ticket, which WeCom promises
// to be at most 512 bytes long: 1 to 512 printable ASCII bytes without spaces.
func isCode(s string) bool {
	if s == "" || len(s) > 512 {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// isUserID reports whether s has the form of a userid: 1 to 64 digits, letters
// and _-@., the first of them a digit or a letter.
func isUserID(s string) bool {
	return s != "" && len(s) <= 64 && api.IsAlphanumeric(s[0]) && made(s, "_-@.")
}

// isCorpID reports whether s has the form of a corp ID: "ww" and 16 hexadecimal
// digits, or an older or encrypted one.
func isCorpID(s string) bool {
	return (strings.HasPrefix(s, "ww") || strings.HasPrefix(s, "wx") || strings.HasPrefix(s, "wp")) && isIdentifier(s)
}

func isIdentifier(s string) bool { return s != "" && len(s) <= 64 && made(s, "_-") }

// made reports whether s consists of ASCII letters, digits and the others.
func made(s, others string) bool {
	for i := range len(s) {
		if !api.IsAlphanumeric(s[i]) && strings.IndexByte(others, s[i]) < 0 {
			return false
		}
	}
	return true
}
