package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/wechatauth/wechatauth/store/internal/resp"
)

// scanCount is the number of keys that one step of a scan examines.
const scanCount = int64(1000)

// cureNoScan is the advice for a connection that closes on each SCAN.
const cureNoScan = "a proxy that closes on SCAN cannot list sessions; use the servers behind it"

// AllCtx implements [scs.IterableCtxStore]. It iterates over all keys of the
// server, or of all primaries of a Cluster, in steps (SCAN) that each have a
// separate deadline, and holds every session in memory. It is meant for an
// operator's tools, not for requests. While a Cluster is moving slots, a
// session that is being moved may be missing.
func (s *Store) AllCtx(ctx context.Context) (map[string][]byte, error) {
	const op = "list sessions"
	primaries, err := s.primaries(ctx, op)
	if err != nil {
		return nil, err
	}
	all := map[string][]byte{}
	for _, primary := range primaries {
		if err := s.collect(ctx, op, primary, all); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// collect adds the sessions of one primary.
func (s *Store) collect(ctx context.Context, op string, primary resp.Transport, all map[string][]byte) error {
	for cursor := "0"; ; {
		reply, err := s.ask(ctx, op, primary, resp.Cmd("SCAN", "", cursor, "MATCH", globLiteral(s.prefix)+"*", "COUNT", scanCount))
		if err != nil && isClosed(err) {
			return &Error{Op: op, Class: ClassOf(err), Err: fmt.Errorf("%w: %s", errors.Unwrap(err), cureNoScan)}
		}
		if err != nil {
			return err
		}
		for _, key := range reply.Array[1].Contents() {
			token := strings.TrimPrefix(key, s.prefix)
			b, _, found, err := s.read(ctx, token, "GET")
			if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrDecrypt) {
				return err
			}
			if found {
				all[token] = b
			}
		}
		if cursor = reply.Array[0].Content(); cursor == "0" {
			return nil
		}
	}
}

// primaries returns the servers that hold sessions. If there are several nodes
// of a Cluster, each reports its role. Otherwise there is one server, the one
// that the transport connects to.
func (s *Store) primaries(ctx context.Context, op string) ([]resp.Transport, error) {
	if err := ctx.Err(); err != nil {
		return nil, newError(op, err)
	}
	cluster, ok := s.transport.(resp.Clustered)
	if !ok {
		return []resp.Transport{s.transport}, nil
	}
	deadline, _ := s.deadline(ctx, time.Now())
	own, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	defer cancel()
	nodes, err := cluster.Nodes(own)
	if err != nil {
		return nil, newError(op, err)
	}
	if len(nodes) < 2 {
		return []resp.Transport{s.transport}, nil
	}
	var primaries []resp.Transport
	for _, node := range nodes {
		reply, err := s.ask(ctx, op, node, resp.Cmd("ROLE", ""))
		if err != nil {
			return nil, err
		}
		if reply.Array[0].Content() == "master" {
			primaries = append(primaries, node)
		}
	}
	return primaries, nil
}

// ask runs one command on one server.
func (s *Store) ask(ctx context.Context, op string, node resp.Transport, c resp.Command) (resp.Reply, error) {
	replies, err := s.doOn(ctx, op, node, resp.NewExchange([]resp.Command{c}))
	if err != nil {
		return resp.Reply{}, err
	}
	return replies[0], nil
}

// globLiteral escapes the characters that MATCH would interpret as a pattern.
func globLiteral(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(s)
}
