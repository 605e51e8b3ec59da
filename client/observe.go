package client

import (
	"context"
	"time"
)

// Call is one call of WeChat's API, as [WithObserver] tells of it. It holds no
// secret, code, token or openid.
type Call struct {
	// AppID is that of the [Client].
	AppID string
	// Endpoint is such as "sns/oauth2/access_token".
	Endpoint string
	// Duration is how long it took, repetitions included.
	Duration time.Duration
	// Err is what went wrong, an [*Error]; nil where nothing did.
	Err error
}

// WithObserver tells f of each call to WeChat, after it, in the goroutine that
// made it: f must be quick and safe for concurrent use. ctx is that of the
// call. A call that is refused before it is made is none. Default: nobody is
// told, and nothing is measured.
func WithObserver(f func(ctx context.Context, call Call)) Option {
	return func(c *Client) { c.told = f }
}

// call makes the request within the client's timeout, and tells of it.
func (c *Client) call(ctx context.Context, req request) (*answer, error) {
	if c.told == nil {
		return c.ask(ctx, req)
	}
	began := time.Now()
	ans, err := c.ask(ctx, req)
	c.told(ctx, Call{AppID: c.appID, Endpoint: req.endpoint, Duration: time.Since(began), Err: err})
	return ans, err
}
