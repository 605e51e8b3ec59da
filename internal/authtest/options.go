package authtest

import (
	"context"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/knob"
)

const (
	TestAppID  = "wx00000000000000a1"
	TestSecret = "app-secret-for-tests"
	TestBase   = "https://m.example.com"
)

// RightOptions returns options that New accepts, followed by more.
func RightOptions(more ...wechatauth.Option) []wechatauth.Option {
	return append([]wechatauth.Option{wechatauth.WithApp(TestAppID, TestSecret), wechatauth.WithBaseURL(TestBase)}, more...)
}

// ManagerOption returns an scs manager that New accepts for testBase, changed
// by f.
func ManagerOption(f func(*scs.SessionManager)) wechatauth.Option {
	m := scs.New()
	m.Cookie.Secure = true
	f(m)
	return wechatauth.WithSessionManager(m)
}

// WithWait sets how duplicates of a login wait for its leader.
func WithWait(wait func(ctx context.Context, d time.Duration) error) wechatauth.Option {
	return turn(knob.Knobs{Wait: wait})
}

// WithScanLook sets the time limit for one read of the store by the scan pages.
func WithScanLook(d time.Duration) wechatauth.Option { return turn(knob.Knobs{ScanLook: d}) }

// WithSealer wraps the encryption of the cookies.
func WithSealer(wrap func(cookie.Sealer) cookie.Sealer) wechatauth.Option {
	return turn(knob.Knobs{Sealer: wrap})
}

// OnClock returns an option that is made with the clock of the application.
func OnClock(option func(now func() time.Time) wechatauth.Option) wechatauth.Option {
	return turn(knob.Knobs{With: func(now func() time.Time) any { return option(now) }})
}

func turn(k knob.Knobs) wechatauth.Option { return knob.Option(k).(wechatauth.Option) }
