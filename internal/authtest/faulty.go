package authtest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/store"
)

// A FaultyStore keeps sessions in memory, on the site's clock, so that leases
// and lifetimes pass without waiting. A test can make single steps fail or
// panic.
type FaultyStore struct {
	*store.Memory
	mu     sync.Mutex
	faults map[string]func() error
}

// NewFaultyStore returns a store that does not fail, on a clock.
func NewFaultyStore(now func() time.Time) *FaultyStore {
	return &FaultyStore{Memory: store.NewMemory(store.WithClock(now)), faults: map[string]func() error{}}
}

// WithFaultyStore stores sessions in a FaultyStore, and sets made to it.
func WithFaultyStore(made **FaultyStore) wechatauth.Option {
	return OnClock(func(now func() time.Time) wechatauth.Option {
		*made = NewFaultyStore(now)
		return wechatauth.WithStore(*made)
	})
}

// Fail makes a step ("find", "commit", "drop", "claim", "settle", "delete")
// call f from now on. A nil f repairs it.
func (s *FaultyStore) Fail(step string, f func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[step] = f
}

// Fault calls the function that Fail has set for the step.
func (s *FaultyStore) Fault(step string) error {
	s.mu.Lock()
	f := s.faults[step]
	s.mu.Unlock()
	if f == nil {
		return nil
	}
	return f()
}

// FindCtx implements [scs.CtxStore].
func (s *FaultyStore) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	if err := s.Fault("find"); err != nil {
		return nil, false, err
	}
	return s.Memory.FindCtx(ctx, token)
}

// CommitCtx implements [scs.CtxStore].
func (s *FaultyStore) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	if err := s.Fault("commit"); err != nil {
		return err
	}
	return s.Memory.CommitCtx(ctx, token, b, expiry)
}

// UpdateCtx implements [store.Sessions].
func (s *FaultyStore) UpdateCtx(ctx context.Context, token string, b []byte, expiry time.Time) (bool, error) {
	if err := s.Fault("commit"); err != nil {
		return false, err
	}
	return s.Memory.UpdateCtx(ctx, token, b, expiry)
}

// DeleteAndReportCtx implements [store.Sessions].
func (s *FaultyStore) DeleteAndReportCtx(ctx context.Context, token string) (bool, error) {
	if err := s.Fault("drop"); err != nil {
		return false, err
	}
	return s.Memory.DeleteAndReportCtx(ctx, token)
}

// PutMarkNX implements [store.Marks].
func (s *FaultyStore) PutMarkNX(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if err := s.Fault("claim"); err != nil {
		return false, err
	}
	return s.Memory.PutMarkNX(ctx, key, value, ttl)
}

// PutMark implements [store.Marks].
func (s *FaultyStore) PutMark(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := s.Fault("settle"); err != nil {
		return err
	}
	return s.Memory.PutMark(ctx, key, value, ttl)
}

// DeleteMark implements [store.Marks].
func (s *FaultyStore) DeleteMark(ctx context.Context, key string) error {
	if err := s.Fault("delete"); err != nil {
		return err
	}
	return s.Memory.DeleteMark(ctx, key)
}

// ErrFault is the error of [Failing].
var ErrFault = errors.New("the store fails on purpose")

// Failing makes a step of a [FaultyStore] fail.
func Failing() error { return ErrFault }
