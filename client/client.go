package client

//lint:file-ignore SA1019 a transport of the user's may still have Dial or DialTLS

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Client speaks for one AppID. Make one with [New] and keep it: it holds warm
// connections. It is safe for concurrent use and prints without its secret.
type Client struct {
	appID     string
	secret    func() string // a func, so that no printer of struct fields finds it
	endpoints Endpoints
	timeout   time.Duration
	transport http.RoundTripper
	component *component
	accounts  AccountTokenSource
	pause     func(ctx context.Context, d time.Duration) error
	told      func(ctx context.Context, call Call) // nil: nobody

	dial dialFunc // below transport, unless that is a RoundTripper of the user's

	httpClient *http.Client // as given to WithHTTPClient
	invalid    error        // the first option that was wrong
}

// Option configures a [Client] in [New].
type Option func(*Client)

// WithEndpoints replaces WeChat's hosts, for a simulator or a proxy. The base
// URLs are checked as [Endpoints] says.
func WithEndpoints(e Endpoints) Option { return func(c *Client) { c.endpoints = e } }

// WithTimeout bounds every call as a whole, repetitions included: 5 s unless
// set, 1 ms to 1 min. Three fifths of it may pass before an answer's headers
// have come. A context that ends sooner wins.
func WithTimeout(d time.Duration) Option {
	return func(c *Client) {
		if d < time.Millisecond || d > time.Minute {
			c.refuse(errors.New("WithTimeout: must be from 1ms to 1m"))
			return
		}
		c.timeout = d
	}
}

// WithHTTPClient sends calls through hc's Transport, for a proxy, a CA of your
// own or tracing, and no longer than hc.Timeout if that is set. The rules of
// this package stay: no redirect is followed, no cookie kept, no code resent,
// no compression asked for, at most 64 KiB of body read.
//
// An [*http.Transport] is cloned, and the clone held to what calls without this
// option are held to: 2 s for a connection, 3 s for a TLS handshake of at least
// TLS 1.2, three fifths of the timeout for an answer's headers, 64 KiB of them.
// Its DialTLSContext and DialTLS must be nil; New refuses others.
//
// Any other RoundTripper sees the AppSecret in the URL, and has to keep by
// itself what cannot be kept around it: the bounds on connecting, TLS and
// headers, and the end of a call with its context.
func WithHTTPClient(hc *http.Client) Option {
	return func(c *Client) {
		if hc == nil {
			c.refuse(errors.New("WithHTTPClient: the client is nil"))
			return
		}
		if t, ok := hc.Transport.(*http.Transport); ok && t == nil {
			c.refuse(errors.New("WithHTTPClient: the Transport is a nil *http.Transport"))
			return
		} else if ok && (t.DialTLSContext != nil || t.DialTLS != nil) {
			c.refuse(errors.New("WithHTTPClient: the Transport has a DialTLSContext or DialTLS, which cannot be held to TLS 1.2; use DialContext and TLSClientConfig"))
			return
		}
		c.httpClient = hc
	}
}

// New returns a client for the account or website application appID with its
// AppSecret. The secret is empty only together with [WithComponent]. The error
// says in one line which setting is wrong, and repeats no secret.
func New(appID, secret string, opts ...Option) (*Client, error) {
	c := &Client{
		appID:   appID,
		secret:  func() string { return secret },
		timeout: 5 * time.Second,
		pause:   pause,
	}
	for _, opt := range opts {
		if opt == nil {
			return nil, errors.New("client: an Option is nil")
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

func (c *Client) refuse(err error) {
	if c.invalid == nil {
		c.invalid = err
	}
}

func (c *Client) validate() (err error) {
	if c.invalid != nil {
		return c.invalid
	}
	if err := checkAppID(c.appID); err != nil {
		return fmt.Errorf("AppID: %w", err)
	}
	if c.component == nil && c.secret() == "" {
		return errors.New("AppSecret: is empty; copy it from WeChat's console")
	}
	if err := checkAppSecret(c.secret()); err != nil {
		return fmt.Errorf("AppSecret: %w", err)
	}
	c.endpoints, err = c.endpoints.normalised()
	return err
}

// checkAppID knows no more than WeChat promises: AppIDs seen so far are "wx"
// and 16 hex digits.
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
		return errors.New("has a space, line break or non-ASCII character in it")
	}
	return nil
}

// Format writes the AppID and nothing else, whatever the verb.
func (c *Client) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "client.Client("+c.appID+")") }
