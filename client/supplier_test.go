package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A sourceFunc is a function that implements AccountTokenSource.
type sourceFunc func(ctx context.Context) (Secret, error)

func (f sourceFunc) AccountToken(ctx context.Context, _ Secret) (Secret, error) { return f(ctx) }

// suppliedCalls make a call whose token comes from supply.
var suppliedCalls = map[string]func(t *testing.T, timeout time.Duration, supply func(context.Context) (Secret, error)) error{
	"an account's token": func(t *testing.T, timeout time.Duration, supply func(context.Context) (Secret, error)) error {
		c, err := New(testAppID, testSecret, WithTimeout(timeout), WithAccountToken(sourceFunc(supply)), WithEndpoints(Endpoints{API: "http://localhost:1"}))
		require.NoError(t, err)
		_, err = c.PhoneNumber(t.Context(), testCode)
		return err
	},
	"a platform's token": func(t *testing.T, timeout time.Duration, supply func(context.Context) (Secret, error)) error {
		c, err := New(testAppID, testSecret, WithTimeout(timeout), WithComponent(testPlatform, supply), WithEndpoints(Endpoints{API: "http://localhost:1"}))
		require.NoError(t, err)
		_, err = c.Exchange(t.Context(), testCode)
		return err
	},
}

func TestTokenSupplier_Error(t *testing.T) {
	down := errors.New("down")
	for name, row := range map[string]struct {
		err  error
		kind Kind
		is   error
	}{
		"plain":                      {down, KindRetry, down},
		"with the AppSecret":         {fmt.Errorf("POST %s: %w", testSecret, down), KindRetry, down},
		"with the AppSecret escaped": {fmt.Errorf("POST %s: %w", url.QueryEscape(testSecret), down), KindRetry, down},
		"with a URL":                 {&url.Error{Op: "Post", URL: "https://u:CANARY@tokens.example/?key=CANARY", Err: down}, KindRetry, down},
		"wraps an *Error":            {fmt.Errorf("%s: %w", testSecret, &Error{Code: 40125, Endpoint: "cgi-bin/token", Message: testSecret}), KindConfiguration, ErrAppSecret},
		"an *Error":                  {&Error{Code: 40164, Endpoint: "cgi-bin/token", Message: testSecret + "http://x/?CANARY"}, KindConfiguration, ErrIPNotAllowed},
		"canceled":                   {fmt.Errorf("token service: %w", context.Canceled), KindUnknown, context.Canceled},
	} {
		for call, make := range suppliedCalls {
			t.Run(name+", "+call, func(t *testing.T) {
				err := make(t, time.Minute, func(context.Context) (Secret, error) { return Secret{}, row.err })
				e, ok := err.(*Error)
				require.True(t, ok, "%T", err)
				assert.Equal(t, row.kind, e.Kind())
				assert.ErrorIs(t, err, row.is)
				assertNoSecrets(t, err)
				assert.NotContains(t, fmt.Sprintf("%+v %#v", err, e.Unwrap()), "CANARY")
			})
		}
	}
}

func TestTokenSupplier_IgnoresContext(t *testing.T) {
	for call, make := range suppliedCalls {
		t.Run(call, func(t *testing.T) {
			stop := newGate(t)
			err := make(t, shortTimeout, func(context.Context) (Secret, error) { <-stop; return Secret{}, nil })
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Equal(t, KindRetry, kindOf(t, err))
			assert.True(t, isTimeout(err))
		})
	}
}

// newGate returns a channel that is closed when the test ends.
func newGate(t *testing.T) <-chan struct{} {
	gate := make(chan struct{})
	t.Cleanup(func() { close(gate) })
	return gate
}

func TestTokenSupplier_Panic(t *testing.T) {
	for call, make := range suppliedCalls {
		for how, leave := range map[string]func(){
			"panics": func() { panic(testSecret) },
			"exits":  runtime.Goexit,
		} {
			t.Run(call+" "+how, func(t *testing.T) {
				err := make(t, time.Minute, func(context.Context) (Secret, error) { leave(); return Secret{}, nil })
				assert.Equal(t, KindRetry, kindOf(t, err))
				assertNoSecrets(t, err)
			})
		}
	}
}

// leaving is a RoundTripper that does not return.
type leaving struct{ leave func() }

func (l leaving) RoundTrip(*http.Request) (*http.Response, error) { l.leave(); return nil, nil }

func TestStableToken_RoundTripperPanic(t *testing.T) {
	for how, leave := range map[string]func(){
		"panics": func() { panic(testSecret) },
		"exits":  runtime.Goexit,
	} {
		t.Run(how, func(t *testing.T) {
			c, err := New(testAppID, testSecret, WithTimeout(time.Minute), WithHTTPClient(&http.Client{Transport: leaving{leave}}))
			require.NoError(t, err)
			for range 2 { // the second call is not affected by the first
				_, err = c.PhoneNumber(t.Context(), testCode)
				assert.Equal(t, KindRetry, kindOf(t, err))
				assert.Equal(t, stableTokenEndpoint, err.(*Error).Endpoint)
				assertNoSecrets(t, err)
				err = c.CheckSession(t.Context(), testOpenID, testKey)
				assert.Equal(t, KindRetry, kindOf(t, err))
				_, err = c.ResetSession(t.Context(), testOpenID, testKey)
				assert.Equal(t, KindRetry, kindOf(t, err))
			}
		})
	}
}
