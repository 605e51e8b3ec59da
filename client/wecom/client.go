package wecom

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/client/internal/api"
)

// A Client calls WeCom's API for one app of one company. Create one with [New]
// and share it, because it keeps idle connections open. A Client is safe for
// concurrent use by multiple goroutines. Printing it does not reveal its secret.
type Client struct {
	corpID    string
	agentID   int
	secret    func() string // a func, so that printing the struct's fields does not reveal it
	endpoints Endpoints
	calls     *client.Client
	tokens    *tokenSource

	cache     TokenCache
	options   []client.Option
	optionErr error // the first error of an option
}

// An Option configures a [Client] created by [New].
type Option func(*Client)

// WithEndpoints replaces the base URLs of WeCom's hosts, for example with those
// of a private deployment (私有化部署) or a simulator. See [Endpoints] for what
// they may contain.
func WithEndpoints(e Endpoints) Option { return func(c *Client) { c.endpoints = e } }

// WithTimeout sets the time limit for a call, as [client.WithTimeout] does.
func WithTimeout(d time.Duration) Option { return with(client.WithTimeout(d)) }

// WithHTTPClient sends calls through hc.Transport, as [client.WithHTTPClient]
// does.
func WithHTTPClient(hc *http.Client) Option { return with(client.WithHTTPClient(hc)) }

// WithObserver sets a function that is called after every call to WeCom, as
// [client.WithObserver] does. The AppID of a call is the corp ID.
func WithObserver(f func(ctx context.Context, call client.Call)) Option {
	return with(client.WithObserver(f))
}

// WithTokenCache sets the cache that the instances of a program share. By
// default, each Client gets its own token.
func WithTokenCache(cache TokenCache) Option {
	return func(c *Client) {
		if cache == nil {
			c.addError(errors.New("WithTokenCache: nil cache"))
			return
		}
		c.cache = cache
	}
}

func with(opt client.Option) Option {
	return func(c *Client) { c.options = append(c.options, opt) }
}

// New returns a client for the app with the given AgentId and secret in the
// company with the given corp ID (企业 ID). Each app has its own secret. New
// returns an error that names the invalid setting; its text does not contain the
// secret.
func New(corpID string, agentID int, secret string, opts ...Option) (*Client, error) {
	c := &Client{corpID: corpID, agentID: agentID, secret: func() string { return secret }}
	for _, opt := range opts {
		if opt == nil {
			return nil, errors.New("wecom: nil Option")
		}
		opt(c)
	}
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("wecom: %w", err)
	}
	c.tokens = newTokenSource(c)
	options := append(c.options, client.WithEndpoints(client.Endpoints{Open: c.endpoints.Open, API: c.endpoints.API}), client.WithAccountToken(c.tokens))
	var err error
	if c.calls, err = client.New(corpID, secret, options...); err != nil {
		return nil, fmt.Errorf("wecom: %s", strings.TrimPrefix(err.Error(), "client: "))
	}
	return c, nil
}

func (c *Client) addError(err error) {
	if c.optionErr == nil {
		c.optionErr = err
	}
}

func (c *Client) validate() (err error) {
	if c.optionErr != nil {
		return c.optionErr
	}
	switch {
	case c.corpID == "":
		return errors.New("corp ID is empty; copy 企业ID from WeCom's console")
	case !isCorpID(c.corpID):
		return errors.New(`corp ID must be "ww" or "wx" followed by letters, digits, - or _, at most 64 in all`)
	case c.agentID <= 0:
		return errors.New("AgentId must be positive; copy the app's AgentId from WeCom's console")
	case c.secret() == "":
		return errors.New("secret is empty; copy the app's Secret from WeCom's console")
	}
	c.endpoints, err = c.endpoints.normalized()
	return err
}

// Endpoints holds the base URLs of WeCom's hosts. An empty field means the
// default: [DefaultOpen], [DefaultLogin] or [DefaultAPI]. The rules for a base
// URL are those of [client.Endpoints].
type Endpoints struct {
	Open  string // for browsers in WeCom: the authorization page
	Login string // for other browsers: the page with the QR code
	API   string // for calls by the client
}

// WeCom's base URLs, which are the defaults of [Endpoints].
const (
	DefaultOpen  = client.DefaultOpen
	DefaultLogin = "https://login.work.weixin.qq.com"
	DefaultAPI   = "https://qyapi.weixin.qq.com"
)

// normalized returns the endpoints with defaults filled in and without a
// trailing slash. Its error names the invalid field.
func (e Endpoints) normalized() (n Endpoints, err error) {
	for _, field := range []struct {
		name          string
		raw, fallback string
		to            *string
	}{
		{"Endpoints.Open", e.Open, DefaultOpen, &n.Open},
		{"Endpoints.Login", e.Login, DefaultLogin, &n.Login},
		{"Endpoints.API", e.API, DefaultAPI, &n.API},
	} {
		if *field.to, err = api.BaseURL(field.raw, field.fallback); err != nil {
			return Endpoints{}, fmt.Errorf("%s %w", field.name, err)
		}
	}
	return n, nil
}

// Format writes the corp ID and the AgentId and nothing else, regardless of the
// verb.
func (c *Client) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "wecom.Client("+c.corpID+" "+strconv.Itoa(c.agentID)+")")
}
