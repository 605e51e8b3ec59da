package rueidisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/wechatauth/wechatauth/store/internal/config"
	"github.com/wechatauth/wechatauth/store/internal/resp"
	"github.com/wechatauth/wechatauth/store/internal/wire"
)

// transport is the [resp.Transport] through rueidis.
type transport struct {
	connector *connector
	*wire.Conns
}

var (
	_ resp.Ordered     = (*transport)(nil)
	_ resp.Clustered   = (*transport)(nil)
	_ resp.Invalidator = (*transport)(nil)
)

func newTransport(client rueidis.ClientOption, o config.Options) (*transport, error) {
	option, err := clientOption(client, o.Timeout)
	if err != nil {
		return nil, err
	}
	conns, open := &wire.Conns{Named: option.InitAddress, Shared: true}, dialerOf(client)
	if start := o.Now(); o.Near != nil {
		conns.Clock = func() time.Duration { return o.Now().Sub(start) }
	}
	option.DialFn = nil
	option.DialCtxFn = func(ctx context.Context, addr string, dialer *net.Dialer, config *tls.Config) (net.Conn, error) {
		return conns.Dial(addr, func() (net.Conn, error) { return open(ctx, addr, dialer, config) })
	}
	return &transport{connector: &connector{option: option}, Conns: conns}, nil
}

type dialFunc func(ctx context.Context, addr string, dialer *net.Dialer, config *tls.Config) (net.Conn, error)

// dialerOf returns the caller's dialer, or one that dials as the option
// specifies.
func dialerOf(o rueidis.ClientOption) dialFunc {
	switch {
	case o.DialCtxFn != nil:
		return o.DialCtxFn
	case o.DialFn != nil:
		return func(_ context.Context, addr string, dialer *net.Dialer, config *tls.Config) (net.Conn, error) {
			return o.DialFn(addr, dialer, config)
		}
	}
	return func(ctx context.Context, addr string, dialer *net.Dialer, config *tls.Config) (net.Conn, error) {
		if config == nil {
			return dialer.DialContext(ctx, "tcp", addr)
		}
		overTLS := tls.Dialer{NetDialer: dialer, Config: config}
		return overTLS.DialContext(ctx, "tcp", addr)
	}
}

// RoundTrip implements [resp.Transport].
func (t *transport) RoundTrip(ctx context.Context, x *resp.Exchange) error {
	client, err := t.connector.get(ctx)
	if err != nil {
		return known(err)
	}
	return node{client}.RoundTrip(ctx, x)
}

// node sends commands to the servers of one client: to one node of a Cluster,
// or to all.
type node struct{ rueidis.Client }

// RoundTrip implements [resp.Transport].
func (n node) RoundTrip(ctx context.Context, x *resp.Exchange) error {
	if len(x.Commands) == 1 {
		return setReply(&x.Replies[0], n.Do(ctx, build(n.B(), x.Commands[0])))
	}
	built := make([]rueidis.Completed, len(x.Commands))
	for i, c := range x.Commands {
		built[i] = build(n.B(), c)
	}
	var results []rueidis.RedisResult
	if x.Waits() {
		_ = n.Dedicated(func(c rueidis.DedicatedClient) error { results = c.DoMulti(ctx, built...); return nil })
	} else {
		results = n.DoMulti(ctx, built...)
	}
	for i, result := range results {
		if err := setReply(&x.Replies[i], result); err != nil {
			return err
		}
	}
	return nil
}

func build(b rueidis.Builder, c resp.Command) rueidis.Completed {
	built := b.Arbitrary(c.Name)
	if c.Key != "" {
		built = built.Keys(c.Key)
	}
	for _, arg := range c.Args {
		switch arg := arg.(type) {
		case string:
			built = built.Args(arg)
		case []byte:
			built = built.Args(rueidis.BinaryString(arg))
		case int64:
			built = built.Args(strconv.FormatInt(arg, 10))
		}
	}
	return built.Build()
}

// setReply sets the reply of one command. The error is one of the connection.
func setReply(reply *resp.Reply, result rueidis.RedisResult) error {
	if err := result.NonRedisError(); err != nil {
		return known(err)
	}
	message, err := result.ToMessage()
	if err != nil && !rueidis.IsRedisNil(err) {
		*reply = resp.Reply{Kind: resp.Refused, Text: err.Error()}
		return nil
	}
	*reply = replyOf(message)
	return nil
}

func replyOf(m rueidis.RedisMessage) resp.Reply {
	switch {
	case m.IsNil():
		return resp.Reply{Kind: resp.Nil}
	case m.IsString():
		b, _ := m.AsBytes()
		return resp.Reply{Kind: resp.Bulk, Bytes: b}
	case m.IsInt64():
		n, _ := m.ToInt64()
		return resp.Reply{Kind: resp.Integer, Int: n}
	case m.IsFloat64():
		f, err := m.ToFloat64()
		if err != nil {
			return resp.Reply{}
		}
		return resp.Reply{Kind: resp.Bulk, Bytes: strconv.AppendFloat(nil, f, 'f', -1, 64)}
	case m.IsArray():
		r := resp.Reply{Kind: resp.Array}
		all, _ := m.ToArray()
		for _, one := range all {
			r.Array = append(r.Array, replyOf(one))
		}
		return r
	case m.IsMap():
		all, err := m.AsMap()
		if err != nil {
			return resp.Reply{}
		}
		r := resp.Reply{Kind: resp.Array}
		for key, value := range all {
			r.Array = append(r.Array, resp.Reply{Kind: resp.Bulk, Bytes: []byte(key)}, replyOf(value))
		}
		return r
	}
	return resp.Reply{}
}

// Ordered implements [resp.Ordered]. One server has one connection for the
// commands of one round trip. Before the first connection it is not known how
// many servers there are.
func (t *transport) Ordered() bool {
	client := t.connector.connected()
	return client != nil && client.Mode() != rueidis.ClientModeCluster
}

// Nodes implements [resp.Clustered].
func (t *transport) Nodes(ctx context.Context) (nodes []resp.Transport, err error) {
	client, err := t.connector.get(ctx)
	if err != nil {
		return nil, known(err)
	}
	if client.Mode() != rueidis.ClientModeCluster {
		return nil, nil
	}
	for _, one := range client.Nodes() {
		nodes = append(nodes, node{one})
	}
	return nodes, nil
}

// OnInvalidation implements [resp.Invalidator].
func (t *transport) OnInvalidation(changed func(keys []string)) error {
	o := &t.connector.option
	if o.AlwaysRESP2 {
		return errors.New("AlwaysRESP2: the near cache needs RESP3")
	}
	// Not OPTIN, because a read that a Cluster node redirects must also be
	// tracked by the node that replies. rueidis's own cache stays empty.
	o.DisableCache, o.ClientTrackingOptions = false, []string{"OPTOUT"}
	o.OnInvalidations = func(messages []rueidis.RedisMessage) {
		if messages == nil {
			changed(nil)
			return
		}
		keys := make([]string, 0, len(messages))
		for _, m := range messages {
			if key, err := m.ToString(); err == nil {
				keys = append(keys, key)
			}
		}
		changed(keys)
	}
	// The primary may be another one now, which reports nothing that was read
	// from the old one.
	t.OnServer = func() { changed(nil) }
	return nil
}

// Fresh implements [resp.Invalidator]. rueidis sends PING after an interval in
// which nothing arrives, so that a connection is silent for two at most.
func (t *transport) Fresh() bool {
	interval := t.connector.option.Dialer.KeepAlive
	if interval <= 0 {
		interval = rueidis.DefaultTCPKeepAlive
	}
	return t.Silence() < 3*interval
}
