package goredisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/resp"
	"github.com/wechatauth/wechatauth/store/internal/wire"
)

// transport is the [resp.Transport] through go-redis.
type transport struct {
	node
	*wire.Conns
}

var (
	_ resp.Ordered   = (*transport)(nil)
	_ resp.Idler     = (*transport)(nil)
	_ resp.Clustered = (*transport)(nil)
)

func newTransport(given redis.UniversalOptions, timeout time.Duration) (*transport, error) {
	o, err := clientOptions(given, timeout)
	if err != nil {
		return nil, err
	}
	conns, open := &wire.Conns{Named: o.Addrs}, dialerOf(o)
	o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return conns.Dial(addr, func() (net.Conn, error) { return open(ctx, network, addr) })
	}
	return &transport{node{newClient(&o)}, conns}, nil
}

func newClient(o *redis.UniversalOptions) redis.UniversalClient {
	switch {
	case o.MasterName != "":
		return redis.NewFailoverClient(o.Failover())
	case len(o.Addrs) > 1 || o.IsClusterMode:
		cluster := o.Cluster()
		cluster.DisableRoutingPolicies = true // would ask for COMMAND; every command here has one key
		return redis.NewClusterClient(cluster)
	}
	return redis.NewClient(o.Simple())
}

// dialerOf returns the caller's dialer, or one that dials as the options
// specify.
func dialerOf(o redis.UniversalOptions) func(ctx context.Context, network, addr string) (net.Conn, error) {
	if o.Dialer != nil {
		return o.Dialer
	}
	dialer := &net.Dialer{Timeout: o.DialTimeout}
	if o.TLSConfig != nil {
		return (&tls.Dialer{NetDialer: dialer, Config: o.TLSConfig}).DialContext
	}
	return dialer.DialContext
}

// node sends commands to the servers of one client: to one node of a Cluster,
// or to all.
type node struct{ client redis.UniversalClient }

// RoundTrip implements [resp.Transport]. After an error in a Cluster it makes
// go-redis read again which node serves which slot. By itself, go-redis does
// that after a redirect and once a minute, but a primary that was killed
// redirects no call.
func (t *transport) RoundTrip(ctx context.Context, x *resp.Exchange) error {
	cluster, ok := t.client.(*redis.ClusterClient)
	if !ok {
		return t.node.RoundTrip(ctx, x)
	}
	server := t.node
	if x.Waits() {
		primary, err := cluster.MasterForKey(ctx, x.Commands[0].Key)
		if err != nil {
			return known(err)
		}
		server = node{primary}
	}
	err := server.RoundTrip(ctx, x)
	if err == nil && slices.ContainsFunc(x.Replies, isRedirect) {
		err = &store.Error{Class: store.ClassRetryNow, Err: errMoving}
	}
	if err != nil {
		cluster.ReloadState(ctx)
	}
	return err
}

// RoundTrip implements [resp.Transport].
func (n node) RoundTrip(ctx context.Context, x *resp.Exchange) error {
	x.Sent = time.Now() // or later, after a wait for a connection, which go-redis does not report
	if len(x.Commands) == 1 {
		cmd := build(ctx, x.Commands[0])
		_ = n.client.Process(ctx, cmd)
		return setReply(&x.Replies[0], cmd)
	}
	pipeline, cmds := n.client.Pipeline(), make([]*redis.Cmd, len(x.Commands))
	for i, c := range x.Commands {
		cmds[i] = build(ctx, c)
		_ = pipeline.Process(ctx, cmds[i])
	}
	_, _ = pipeline.Exec(ctx)
	for i, cmd := range cmds {
		if err := setReply(&x.Replies[i], cmd); err != nil {
			return err
		}
	}
	return nil
}

func build(ctx context.Context, c resp.Command) *redis.Cmd {
	return redis.NewCmd(ctx, slices.Concat([]any{c.Name}, c.Arguments())...)
}

// setReply sets the reply of one command. The error is one of the connection.
func setReply(reply *resp.Reply, cmd *redis.Cmd) error {
	value, err := cmd.Result()
	if refusal, refused := err.(redis.Error); refused && err != redis.Nil { // a wrapped one is from a Sentinel
		value, err = refusal, nil
	}
	if err != nil && err != redis.Nil {
		return known(err)
	}
	*reply = resp.ReplyOf(value, resp.Bulk)
	return nil
}

// errMoving is returned if a redirect leads to another redirect: the nodes do
// not agree yet which of them has the slot.
var errMoving = errors.New("the nodes of the Cluster reply MOVED or ASK for a slot that is being moved")

// isRedirect reports whether a node redirects to another one.
func isRedirect(r resp.Reply) bool {
	return r.Kind == resp.Refused && (strings.HasPrefix(r.Text, "MOVED ") || strings.HasPrefix(r.Text, "ASK "))
}

// errNoMaster replaces what go-redis returns if no Sentinel knows the name.
var errNoMaster = errors.New("no Sentinel knows a primary of this MasterName")

// known returns the store's equivalent of an error of go-redis.
func known(err error) error {
	var refused redis.Error
	switch {
	case errors.Is(err, redis.Nil):
		return &store.Error{Class: store.ClassConfiguration, Err: errNoMaster}
	case errors.As(err, &refused):
		return resp.ParseRefusal(refused.Error())
	case errors.Is(err, redis.ErrClosed):
		return resp.ErrClosed
	case errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, redis.ErrPoolExhausted):
		return &store.Error{Class: store.ClassRetryNow, Err: err}
	case err.Error() == "redis: cluster has no nodes":
		return &store.Error{Class: store.ClassRetryFresh, Err: err}
	case store.ClassOf(err) == store.ClassFailClosed:
		return resp.ErrNoRedis
	}
	return err
}

// Ordered implements [resp.Ordered].
func (t *transport) Ordered() bool {
	_, cluster := t.client.(*redis.ClusterClient)
	return !cluster
}

// IdleCount implements [resp.Idler].
func (t *transport) IdleCount() int { return int(t.client.PoolStats().IdleConns) }

// Nodes implements [resp.Clustered].
func (t *transport) Nodes(ctx context.Context) (nodes []resp.Transport, err error) {
	cluster, ok := t.client.(*redis.ClusterClient)
	if !ok {
		return nil, nil
	}
	var mu sync.Mutex
	err = cluster.ForEachMaster(ctx, func(_ context.Context, client *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		nodes = append(nodes, node{client})
		return nil
	})
	if err != nil {
		return nil, known(err)
	}
	return nodes, nil
}
