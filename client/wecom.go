package client

import (
	"context"
	"time"

	"github.com/wechatauth/wechatauth/client/internal/api"
)

// Do makes a call for package wecom, which passes the AppID of the client as
// corpid. Only packages below this one can call it.
func (c *Client) Do(ctx context.Context, r api.Request) error {
	req := request{endpoint: r.Endpoint, query: r.Query, json: r.JSON, once: r.Once, keys: append([]string{"errcode"}, r.Keys...)}
	if r.Invalid != nil {
		return req.notSentError(KindRestart, r.Invalid)
	}
	call := c.call
	if r.AsApp {
		call = c.callAsAccount
	}
	obj, err := call(ctx, req)
	if err != nil {
		return err
	}
	if err := r.Read(weComObject{obj, c.endpoints}); err != nil {
		return obj.badResponse(err)
	}
	return nil
}

// A weComObject implements [api.Object].
type weComObject struct {
	*jsonObject
	own Endpoints
}

func (o weComObject) String(key string) (string, error) { return o.strict(key) }
func (o weComObject) Text(key string) string            { return o.text(key) }
func (o weComObject) Display(key string) string         { return displayText(o.text(key)) }
func (o weComObject) URL(key string) string             { return avatarURL(o.text(key), o.own) }

func (o weComObject) Token(key string) (string, error) {
	var s Secret
	err := o.optionalToken(key, &s)
	return s.Reveal(), err
}

func (o weComObject) Seconds(key string, most time.Duration) time.Duration {
	return o.seconds(key, most)
}
