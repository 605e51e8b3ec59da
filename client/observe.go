package client

import (
	"context"
	"time"
)

// A Call describes one call of WeChat's API for [WithObserver]. It contains no
// secret, code, token or openid.
type Call struct {
	// AppID is the AppID of the [Client].
	AppID string
	// Endpoint is the path of the call, such as "sns/oauth2/access_token".
	Endpoint string
	// Duration is the time the call took, including retries.
	Duration time.Duration
	// Err is the error, an [*Error], or nil if the call succeeded.
	Err error
}

// WithObserver sets a function that is called after every call to WeChat, in
// the goroutine that made the call and with its context. f must be fast and
// safe for concurrent use. It is not called for calls that fail before a
// request is made. By default, there is no such function, and calls are not
// measured.
func WithObserver(f func(ctx context.Context, call Call)) Option {
	return func(c *Client) { c.observer = f }
}

// call makes the request within the client's timeout and reports it to the
// observer.
func (c *Client) call(ctx context.Context, req request) (*jsonObject, error) {
	if c.observer == nil {
		return c.do(ctx, req)
	}
	began := time.Now()
	obj, err := c.do(ctx, req)
	c.observer(ctx, Call{AppID: c.appID, Endpoint: req.endpoint, Duration: time.Since(began), Err: err})
	return obj, err
}
