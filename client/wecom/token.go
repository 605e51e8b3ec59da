package wecom

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/url"
	"sync"
	"time"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/client/internal/api"
	"github.com/wechatauth/wechatauth/client/internal/tokencache"
)

// A TokenCache shares the access_token of an app among the instances of a
// program. WeCom asks developers to cache it and blocks frequent calls:
// https://developer.work.weixin.qq.com/document/path/91039. It must be safe for
// concurrent use.
type TokenCache interface {
	// Token returns the app's token, and how long the caller may use it before
	// it calls Token again. If there is no token, if it is stale, or if it
	// expires soon, Token calls fetch, which gets one from WeCom and returns it
	// with its lifetime; of all instances that call Token at the same time, one
	// should do so. stale is the token that WeCom has just rejected, or the zero
	// Secret. An error of fetch is returned unchanged. key names the app; it
	// contains neither the corp ID nor the secret.
	Token(ctx context.Context, key string, stale client.Secret, fetch func(context.Context) (client.Secret, time.Duration, error)) (client.Secret, time.Duration, error)
}

const (
	maxTokenLife = 2 * time.Hour
	// fetchTimeout limits how long the next token may take, with the time that
	// another instance has. It is longer than a call, so that the calls after one
	// that has timed out find a token.
	fetchTimeout = 20 * time.Second
	// rejectedTime is how long WeCom is not called again after it has rejected the
	// configuration, or a token that replaced a rejected one. WeCom bans the address of
	// a server that repeats a wrong secret for an hour (45009).
	rejectedTime = time.Minute
)

// A tokenSource supplies the app's token to the calls of a client.
type tokenSource struct {
	client *Client
	key    string
	cached tokencache.Cache[client.Secret]

	mu    sync.Mutex
	token client.Secret // the last result of fetch
	err   error         // why WeCom rejected the configuration
	at    time.Time     // of the last result
	end   time.Time     // of token

	forced bool // token replaced a rejected one
}

func newTokenSource(c *Client) *tokenSource {
	sum := sha256.Sum256([]byte(c.corpID + "\x00" + c.secret()))
	s := &tokenSource{client: c, key: base64.RawURLEncoding.EncodeToString(sum[:])}
	s.cached.Fetch, s.cached.Now = s.next, time.Now
	return s
}

// AccountToken implements [client.AccountTokenSource].
func (s *tokenSource) AccountToken(ctx context.Context, stale client.Secret) (client.Secret, error) {
	return s.cached.Get(ctx, stale)
}

// RedactedErrors implements [api.RedactedSource].
func (s *tokenSource) RedactedErrors() {}

// next returns a token from the shared cache, or from WeCom.
func (s *tokenSource) next(ctx context.Context, stale client.Secret) (client.Secret, time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	defer cancel()
	if cache := s.client.cache; cache != nil {
		return cache.Token(ctx, s.key, stale, s.fetch)
	}
	s.mu.Lock()
	replaces := !stale.IsZero() && s.token.Equal(stale)
	if replaces && s.forced && s.recent() {
		defer s.mu.Unlock()
		return s.token, s.end.Sub(s.cached.Now()), nil
	}
	s.mu.Unlock()
	token, life, err := s.fetch(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forced = replaces
	return token, life, err
}

// recent reports whether the last result of fetch counts for now.
func (s *tokenSource) recent() bool { return s.cached.Now().Before(s.at.Add(rejectedTime)) }

// fetch gets a token from WeCom, unless WeCom has just rejected the
// configuration.
func (s *tokenSource) fetch(ctx context.Context) (client.Secret, time.Duration, error) {
	s.mu.Lock()
	if s.err != nil && s.recent() {
		defer s.mu.Unlock()
		return client.Secret{}, 0, s.err
	}
	s.mu.Unlock()
	token, life, err := s.call(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token, s.err, s.at = token, nil, s.cached.Now()
	s.end = s.at.Add(life)
	if Rejected(err) {
		s.err = err
	}
	return token, life, err
}

// Rejected reports whether err, an error of the fetch function of a [TokenCache],
// means that WeCom has rejected the configuration or the frequency of calls. The
// next call should wait a minute, on all instances: WeCom bans the address of a
// server that repeats a wrong secret for an hour.
func Rejected(err error) bool {
	var e *client.Error
	return errors.As(err, &e) && e.Code != 0 && (e.Kind() == client.KindConfiguration || e.Kind() == client.KindRateLimited)
}

func (s *tokenSource) call(ctx context.Context) (token client.Secret, life time.Duration, err error) {
	err = s.client.calls.Do(ctx, api.Request{
		Endpoint: "cgi-bin/gettoken",
		Query:    url.Values{"corpid": {s.client.corpID}, "corpsecret": {s.client.secret()}},
		Keys:     []string{"access_token"},
		Read: func(o api.Object) error {
			text, err := o.Token("access_token")
			if err == nil && text == "" {
				err = errors.New("has no access_token")
			}
			token, life = client.NewSecret(text), o.Seconds("expires_in", maxTokenLife)
			return err
		},
	})
	if err != nil {
		return client.Secret{}, 0, err
	}
	return token, life, nil
}
