package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/redis/rueidis"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/store/rueidisstore"
)

// newOurs returns an application behind the middleware. Its log is discarded,
// because the peers log nothing.
func newOurs(wc *weChat, opts ...wechatauth.Option) (*wechatauth.Auth, http.Handler, error) {
	auth, err := wechatauth.New(append([]wechatauth.Option{
		wechatauth.WithApp(appID, appSecret),
		wechatauth.WithBaseURL(baseURL),
		wechatauth.WithEndpoints(client.Endpoints{Open: wechatURL, API: wechatURL}),
		wechatauth.WithHTTPClient(wc.client()),
		wechatauth.WithLogger(slog.New(slog.DiscardHandler)),
	}, opts...)...)
	if err != nil {
		return nil, nil, err
	}
	return auth, auth.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := wechatauth.IdentityFromContext(r.Context())
		page(w, id.OpenID)
	})), nil
}

// loginAll logs every user in and returns what each sends as Cookie.
func loginAll(wc *weChat, h http.Handler) ([]string, error) {
	site := newLoginSite("wechatauth", wc, h)
	cookies := make([]string, maxVisitors)
	for n := range cookies {
		var err error
		if cookies[n], err = site.login(n); err != nil {
			return nil, fmt.Errorf("log user %d in: %w", n, err)
		}
	}
	return cookies, nil
}

// oursInMemory returns the middleware without a store option.
func oursInMemory(wc *weChat) (*contender, error) {
	_, h, err := newOurs(wc)
	if err != nil {
		return nil, err
	}
	cookies, err := loginAll(wc, h)
	if err != nil {
		return nil, err
	}
	return withCookies("wechatauth", h, cookies), nil
}

// oursInRedis returns the middleware with a pool of redigo's.
func oursInRedis(wc *weChat, pool *redis.Pool) (*contender, []string, error) {
	_, h, err := newOurs(wc, wechatauth.WithRedis(pool))
	if err != nil {
		return nil, nil, err
	}
	cookies, err := loginAll(wc, h)
	if err != nil {
		return nil, nil, err
	}
	return withCookies("wechatauth", h, cookies), cookies, nil
}

// oursNear returns the middleware with the near cache of rueidisstore, over the
// same sessions.
func oursNear(wc *weChat, addr string, cookies []string) (*contender, *rueidisstore.Store, error) {
	near, err := rueidisstore.New(rueidis.ClientOption{InitAddress: []string{addr}}, rueidisstore.WithNearCache(32<<20, time.Minute))
	if err != nil {
		return nil, nil, err
	}
	_, h, err := newOurs(wc, wechatauth.WithStore(near))
	if err != nil {
		return nil, nil, err
	}
	return withCookies("wechatauth-near", h, cookies), near, nil
}
