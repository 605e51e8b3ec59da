package resp

import (
	"context"
	"time"
)

// A Transport carries commands to Redis over one client library. The store
// repeats, checks replies and classifies errors; a transport does none of that,
// and its client must not repeat by itself.
//
// It may implement [Ordered], [Idler], [Refresher], [SilenceDropper],
// [Clustered], [Invalidator], [Connecting], [Adviser] and [Shared] too. A
// Transport must be safe for concurrent use.
type Transport interface {
	// RoundTrip sends the commands of x in one round trip, by ctx's deadline, and
	// sets one reply for each. A refusal is a reply. The error is one of the
	// network or of the client library; it is a *[Refusal] if the server refused
	// the connection, and a *store.Error without Op if the transport knows its
	// class better than package store.
	RoundTrip(ctx context.Context, x *Exchange) error
}

// Ordered is a [Transport] that may keep the order of commands for several keys.
// Over any other one, a batch is one round trip for each write.
type Ordered interface {
	// Ordered reports whether the commands of one round trip are executed in
	// their order, whatever their keys: by one server, over one connection.
	Ordered() bool
}

// Idler is a [Transport] that knows how many of its connections are idle. After
// a restart of the server each of them may be dead, so a call tries that many
// times. Over any other transport it tries five times.
type Idler interface{ IdleCount() int }

// Refresher is a [Transport] that can close connections by their age.
type Refresher interface {
	// Refresh closes the connections that were opened before t: they led to a
	// server that cannot serve any more, or one of them is out of step.
	Refresh(before time.Time)
}

// SilenceDropper is a [Transport] that can give up connections that the network
// may have forgotten.
type SilenceDropper interface {
	// DropSilent is called after a call that got no reply in time. It gives up
	// the connections from which nothing has come since.
	DropSilent(since time.Time)
}

// Clustered is a [Transport] to several servers.
type Clustered interface {
	// Nodes lists the servers, each as a transport of its own. It returns none if
	// there is only one server, which the transport itself leads to.
	Nodes(ctx context.Context) ([]Transport, error)
}

// Invalidator is a [Transport] whose server tells of changes (client-side
// caching, RESP3), which the near cache needs.
type Invalidator interface {
	// OnInvalidation sets the function to call with the keys that have changed,
	// and with nil if any may have: the data were dropped, or a connection ended.
	// It is called before the first round trip. Every read must be tracked.
	OnInvalidation(changed func(keys []string)) error
}

// Connecting is a [Transport] whose connections need commands of their own.
type Connecting interface {
	// Connecting lists commands whose rights Check has to try.
	Connecting() []string
}

// Adviser is a [Transport] that may know why a server cannot be reached.
type Adviser interface {
	// Advice returns what to do about that. It is empty if nothing is known.
	Advice() string
}

// Shared is a [Transport] whose connections serve several calls at the same
// time. A call then ends at its deadline, and not when its context is canceled:
// what is in progress is of use to other calls.
type Shared interface{ Shared() }
