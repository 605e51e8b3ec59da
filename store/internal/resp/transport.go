package resp

import (
	"context"
	"time"
)

// A Transport sends commands to Redis over one client library. The store
// retries, checks replies and classifies errors; a transport does none of that,
// and its client must not retry by itself.
//
// It may also implement [Ordered], [Idler], [Refresher], [SilenceDropper],
// [Clustered], [Invalidator], [Connecting] and [Adviser]. A Transport must be
// safe for concurrent use.
type Transport interface {
	// RoundTrip sends the commands of x in one round trip, before ctx's
	// deadline, and sets one reply for each. See [Exchange.Waits] for those
	// that must share a connection. A refusal is a reply. The
	// error is one of the network or of the client library. It is a
	// *[Refusal] if the server refused the connection, and a *store.Error
	// without Op if the transport knows its class better than package
	// store.
	RoundTrip(ctx context.Context, x *Exchange) error
}

// Ordered is a [Transport] that may preserve the order of commands for several
// keys. Over any other transport, a batch is one round trip for each write.
type Ordered interface {
	// Ordered reports whether the commands of one round trip are executed
	// in order, whatever their keys: by one server, over one connection.
	Ordered() bool
}

// Idler is a [Transport] whose connections each serve one call at a time, and
// that knows how many of them are idle. After a restart of the server each of
// those may be dead, so a call is tried that many times and once more.
//
// The connections of any other transport serve several calls at the same time. A
// call is tried five times, and ends at its deadline, not when its context is
// canceled: what is in progress is of use to other calls.
type Idler interface{ IdleCount() int }

// Refresher is a [Transport] that can close connections by their age.
type Refresher interface {
	// Refresh closes the connections that were opened before the given
	// time: they led to a server that can no longer serve, or one of them
	// is out of step.
	Refresh(before time.Time)
}

// SilenceDropper is a [Transport] that can drop connections that the network
// may have lost.
type SilenceDropper interface {
	// DropSilent is called after a call that got no reply in time. It drops
	// the connections from which nothing has been received since.
	DropSilent(since time.Time)
}

// Clustered is a [Transport] to several servers.
type Clustered interface {
	// Nodes returns a separate transport for each server. It returns none
	// if there is only one server, to which the transport itself connects.
	Nodes(ctx context.Context) ([]Transport, error)
}

// Invalidator is a [Transport] whose server reports changes (client-side
// caching, RESP3), which the near cache requires.
type Invalidator interface {
	// OnInvalidation sets the function that is called with the keys that
	// have changed, or with nil if any key may have: the data was dropped,
	// or a connection ended. It is called before the first round trip.
	// Every read must be tracked.
	OnInvalidation(changed func(keys []string)) error

	// Fresh reports whether each server has sent something recently, so that
	// its reports have arrived unless they are on their way.
	Fresh() bool
}

// Connecting is a [Transport] whose connections require additional commands.
type Connecting interface {
	// Connecting returns commands for which Check must test the permission.
	Connecting() []string
}

// Adviser is a [Transport] that may know why a server cannot be reached.
type Adviser interface {
	// Advice returns how to fix that, or "" if nothing is known.
	Advice() string
}
