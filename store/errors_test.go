package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"

	"github.com/wechatauth/wechatauth/store"
)

// The errors of real servers are in storetest; these need a cluster or a
// failing disk, or are errors of the network.
func TestClassOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want store.Class
	}{
		{nil, 0},
		{redis.Error("READONLY You can't write against a read only replica."), store.ClassRetryFresh},
		{redis.Error("LOADING Redis is loading the dataset in memory"), store.ClassRetryFresh},
		{redis.Error("CLUSTERDOWN The cluster is down"), store.ClassRetryFresh},
		{redis.Error("ERR max number of clients reached"), store.ClassRetryFresh},
		{io.EOF, store.ClassRetryFresh},
		{io.ErrUnexpectedEOF, store.ClassRetryFresh},
		{net.ErrClosed, store.ClassRetryFresh},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, store.ClassRetryFresh},
		{&net.OpError{Op: "write", Err: syscall.EPIPE}, store.ClassRetryFresh},

		{redis.Error("TRYAGAIN Multiple keys request during rehashing of slot"), store.ClassRetryNow},
		{redis.Error("BUSY Redis is busy running a script."), store.ClassRetryNow},
		{redis.ErrPoolExhausted, store.ClassRetryNow},
		{context.Canceled, store.ClassRetryNow},
		{context.DeadlineExceeded, store.ClassRetryNow},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, store.ClassRetryNow},
		{&net.DNSError{Err: "no such host", IsNotFound: true}, store.ClassRetryNow},

		{redis.Error("OOM command not allowed when used memory > 'maxmemory'."), store.ClassFailClosed},
		{redis.Error("ERR something new"), store.ClassFailClosed},
		{redis.Error(""), store.ClassFailClosed},
		{errors.New("anything else"), store.ClassFailClosed},

		{redis.Error("MOVED 3999 127.0.0.1:6381"), store.ClassConfiguration},
		{redis.Error("ASK 3999 127.0.0.1:6381"), store.ClassConfiguration},
		{redis.Error("CROSSSLOT Keys in request don't hash to the same slot"), store.ClassConfiguration},
		{redis.Error("DENIED Redis is running in protected mode"), store.ClassConfiguration},
		{redis.Error("ERR syntax error"), store.ClassConfiguration},
		{&store.Error{Op: "find session", Class: store.ClassConfiguration, Err: io.EOF}, store.ClassConfiguration},
	} {
		t.Run(fmt.Sprint(c.err), func(t *testing.T) {
			assert.Equal(t, c.want, store.ClassOf(c.err))
			if c.err != nil {
				wrapped := fmt.Errorf("load session: %w", c.err)
				assert.Equal(t, c.want, store.ClassOf(wrapped), "wrapped")
			}
		})
	}
}

func TestClass_String(t *testing.T) {
	for class, want := range map[store.Class]string{
		store.ClassRetryNow: "retry now", store.ClassRetryFresh: "retry fresh",
		store.ClassFailClosed: "fail closed", store.ClassConfiguration: "configuration", 0: "none",
	} {
		assert.Equal(t, want, class.String())
	}
}
