package client

import (
	"context"
	"errors"
	"time"
)

// Scope is what a visitor is asked to grant.
type Scope string

const (
	ScopeBase     Scope = "snsapi_base"
	ScopeUserInfo Scope = "snsapi_userinfo"
	ScopeLogin    Scope = "snsapi_login"
)

// Lang is the language of place names in userinfo.
type Lang string

const (
	LangZhCN Lang = "zh_CN"
	LangZhTW Lang = "zh_TW"
	LangEN   Lang = "en"
)

// Endpoints are the base URLs of WeChat's two hosts.
type Endpoints struct{ Open, API string }

// Secret prints as [redacted].
type Secret string

// Reveal returns the secret's text.
func (s Secret) Reveal() string { return string(s) }

// Token is the answer to Exchange and Refresh.
type Token struct {
	AccessToken  Secret
	RefreshToken Secret
	ExpiresIn    time.Duration
	OpenID       string
	UnionID      string
	Scope        Scope // as granted, comma-separated
	Snapshot     bool  // is_snapshotuser
}

// HasScope reports whether s is among the granted scopes.
func (t *Token) HasScope(s Scope) bool { return false }

// UserInfo is the profile.
type UserInfo struct {
	OpenID, UnionID     string
	Nickname, AvatarURL string
}

// MiniSession is the answer to Code2Session.
type MiniSession struct {
	OpenID, UnionID string
	SessionKey      Secret
}

// Kind sorts errors by what to do next.
type Kind int

const (
	KindUnknown       Kind = iota // fail this login; never retry an exchange blindly
	KindRetry                     // passing trouble: network, 5xx, timeouts
	KindBusy                      // errcode -1: WeChat is busy, try again soon
	KindRestart                   // restart authorization: code or token is spent, expired, foreign
	KindConfiguration             // the operator has to act
	KindRefused                   // this user may not: blocked, frozen, not authorized
	KindRateLimited               // 45009, 45011
)

// Error is an error answer of WeChat, or the failure to get one.
type Error struct {
	Code       int    // errcode; 0 when there was no answer with one
	Message    string // errmsg
	RID        string
	Endpoint   string
	HTTPStatus int
}

func (e *Error) Error() string { return "wechat: " + e.Endpoint }

// Kind sorts the error.
func (e *Error) Kind() Kind { return KindUnknown }

// Option configures a Client.
type Option func(*Client)

// AuthorizeOption adds to an authorize URL.
type AuthorizeOption func(*[]string)

// Client speaks for one AppID.
type Client struct{}

var errTODO = errors.New("client: skeleton")

func New(appID, secret string, opts ...Option) (*Client, error) { return &Client{}, nil }

func (c *Client) AuthorizeURL(redirectURI string, scope Scope, state string, opts ...AuthorizeOption) string {
	return ""
}
func (c *Client) QRConnectURL(redirectURI, state string, opts ...AuthorizeOption) string { return "" }
func (c *Client) Exchange(ctx context.Context, code string) (*Token, error)              { return nil, errTODO }
func (c *Client) Refresh(ctx context.Context, refreshToken string) (*Token, error) {
	return nil, errTODO
}
func (c *Client) UserInfo(ctx context.Context, accessToken, openID string, lang Lang) (*UserInfo, error) {
	return nil, errTODO
}
func (c *Client) CheckToken(ctx context.Context, accessToken, openID string) error { return errTODO }
func (c *Client) Code2Session(ctx context.Context, jsCode string) (*MiniSession, error) {
	return nil, errTODO
}
