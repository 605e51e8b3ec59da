package client

//lint:file-ignore SA1019 a caller's transport may still set Dial or DialTLS

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// A Client calls WeChat's API for one AppID. Create one with [New] and share
// it, because it keeps idle connections open. A Client is safe for concurrent
// use by multiple goroutines. Printing it does not reveal its AppSecret.
type Client struct {
	appID     string
	secret    func() string // a func, so that printing the struct's fields does not reveal it
	endpoints Endpoints
	timeout   time.Duration
	transport http.RoundTripper
	component *component
	accounts  AccountTokenSource
	pause     func(ctx context.Context, d time.Duration) error
	observer  func(ctx context.Context, call Call) // nil if there is none

	dial dialFunc // used by transport, unless that is the caller's own RoundTripper

	httpClient *http.Client // from WithHTTPClient
	optionErr  error        // the first error of an option
}

// An Option configures a [Client] created by [New].
type Option func(*Client)

// WithEndpoints replaces the base URLs of WeChat's hosts, for example with
// those of a simulator or a proxy. See [Endpoints] for what they may contain.
func WithEndpoints(e Endpoints) Option { return func(c *Client) { c.endpoints = e } }

// WithTimeout sets the time limit for a call, including retries. d must be
// between 1 millisecond and 1 minute. The default is 5 seconds. The response
// headers must arrive within three fifths of the limit. A context with an
// earlier deadline takes precedence.
func WithTimeout(d time.Duration) Option {
	return func(c *Client) {
		if d < time.Millisecond || d > time.Minute {
			c.addError(errors.New("WithTimeout: must be between 1ms and 1m"))
			return
		}
		c.timeout = d
	}
}

// WithHTTPClient sends calls through hc.Transport, for example to use a proxy,
// your own CA or tracing. If hc.Timeout is positive, it also limits the time of
// a call. The rules of this package still apply: redirects are not followed,
// cookies are not stored, codes are not resent, compression is not requested,
// and at most 64 KiB of a body is read.
//
// An [*http.Transport] is cloned, and the clone gets the limits that the
// default transport has: 2 seconds for a connection, 3 seconds for a TLS
// handshake, TLS 1.2 as the lowest version, three fifths of the timeout for the
// response headers, and 64 KiB for their size. Its DialTLSContext and DialTLS
// must be nil; otherwise [New] returns an error.
//
// Any other RoundTripper sees the AppSecret in the URL. It must itself enforce
// what cannot be enforced from outside: the limits on connecting, TLS and
// headers, and the end of a call with its context.
func WithHTTPClient(hc *http.Client) Option {
	return func(c *Client) {
		if hc == nil {
			c.addError(errors.New("WithHTTPClient: nil client"))
			return
		}
		if t, ok := hc.Transport.(*http.Transport); ok && t == nil {
			c.addError(errors.New("WithHTTPClient: Transport is a nil *http.Transport"))
			return
		} else if ok && (t.DialTLSContext != nil || t.DialTLS != nil) {
			c.addError(errors.New("WithHTTPClient: Transport sets DialTLSContext or DialTLS, for which TLS 1.2 cannot be enforced; use DialContext and TLSClientConfig"))
			return
		}
		c.httpClient = hc
	}
}

// New returns a client for the account or website application with the given
// AppID and AppSecret. The secret may be empty only with [WithComponent]. New
// returns an error that names the invalid setting; its text does not contain
// the secret.
func New(appID, secret string, opts ...Option) (*Client, error) {
	c := &Client{
		appID:   appID,
		secret:  func() string { return secret },
		timeout: 5 * time.Second,
		pause:   pause,
	}
	for _, opt := range opts {
		if opt == nil {
			return nil, errors.New("client: nil Option")
		}
		opt(c)
	}
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	c.transport = c.newTransport()
	if c.accounts == nil && c.component == nil {
		c.accounts = newStableToken(c)
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
	if err := checkAppID(c.appID); err != nil {
		return fmt.Errorf("AppID %w", err)
	}
	if c.component == nil && c.secret() == "" {
		return errors.New("AppSecret is empty; copy it from WeChat's console")
	}
	if err := checkAppSecret(c.secret()); err != nil {
		return fmt.Errorf("AppSecret %w", err)
	}
	c.endpoints, err = c.endpoints.normalized()
	return err
}

// checkAppID checks only what WeChat promises. All AppIDs seen so far are "wx"
// followed by 16 hexadecimal digits.
func checkAppID(appID string) error {
	switch {
	case appID == "":
		return errors.New(`is empty; copy the one that begins with "wx" from WeChat's console`)
	case strings.HasPrefix(appID, "gh_"):
		return errors.New(`is an original id (gh_...); copy the AppID, which begins with "wx"`)
	case !isIdentifier(appID):
		return errors.New("must be 1 to 64 letters, digits, - or _, without spaces")
	}
	return nil
}

func checkAppSecret(secret string) error {
	if len(secret) > 128 {
		return errors.New("is longer than 128 bytes")
	}
	if secret != "" && !isToken(secret) {
		return errors.New("contains a space, line break or non-ASCII character")
	}
	return nil
}

// Format writes the AppID and nothing else, regardless of the verb.
func (c *Client) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "client.Client("+c.appID+")") }
