// Package knob sets what only tests of whole logins may set. No option of the
// root package does, so nothing of it is part of the exported surface.
package knob

import (
	"context"
	"time"

	"github.com/wechatauth/wechatauth/internal/cookie"
)

// Knobs are the settings. A field that is not set keeps the default.
type Knobs struct {
	// Wait is how duplicates of a login wait for its leader. The default sleeps.
	Wait func(ctx context.Context, d time.Duration) error
	// ScanLook bounds one look of the scan pages at the store.
	ScanLook time.Duration
	// Sealer wraps the encryption of the cookies.
	Sealer func(cookie.Sealer) cookie.Sealer
	// With returns a further Option, for one that needs the application's clock.
	With func(now func() time.Time) any
}

// Option returns the knobs as an Option of the root package, which sets this
// function when it is imported.
var Option func(Knobs) any
