package session

import (
	"context"

	"github.com/alexedwards/scs/v2"

	"github.com/wechatauth/wechatauth"
)

// guarded is the wrapper around the session store of a manager.
type guarded interface {
	scs.IterableCtxStore
	DeleteAndReportCtx(ctx context.Context, key string) (bool, error)
	Unwrap() scs.Store
}

// guardOf returns the wrapper around the session store.
func guardOf(a *wechatauth.Auth) guarded { return a.Sessions().Store.(guarded) }

// closeNotifier is http.CloseNotifier, which is deprecated.
type closeNotifier interface{ CloseNotify() <-chan bool }
