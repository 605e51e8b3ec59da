package rueidisstore

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/rueidis"

	"github.com/wechatauth/wechatauth/store"
)

// scanCount is how many keys one step of a scan looks at.
const scanCount = "1000"

// AllCtx implements scs.IterableCtxStore. It walks over all keys of all
// primaries in steps (SCAN), each with a deadline of its own, and holds every
// session in memory: a tool for the operator, not for a request. In a Cluster
// that is moving slots at the moment a session on its way may be missing.
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
func (s *Store) collect(ctx context.Context, op string, primary rueidis.Client, all map[string][]byte) error {
	for cursor := "0"; ; {
		reply, err := s.ask(ctx, op, primary, cmd("SCAN", "", cursor, "MATCH", globLiteral(s.prefix)+"*", "COUNT", scanCount))
		if err != nil {
			return err
		}
		page, _ := reply.ToArray()
		keys, _ := page[1].AsStrSlice()
		for _, key := range keys {
			token := strings.TrimPrefix(key, s.prefix)
			b, found, err := s.get(ctx, token)
			if err != nil && !errors.Is(err, store.ErrDamaged) && !errors.Is(err, store.ErrUnopened) {
				return err
			}
			if found {
				all[token] = b
			}
		}
		if cursor, _ = page[0].ToString(); cursor == "0" {
			return nil
		}
	}
}

// primaries lists the servers that hold sessions. In a Cluster each node says
// itself what it is; otherwise there is one, and rueidis knows which.
func (s *Store) primaries(ctx context.Context, op string) ([]rueidis.Client, error) {
	if err := ctx.Err(); err != nil {
		return nil, newError(op, err)
	}
	own, cancel := s.deadline(ctx)
	defer cancel()
	client, err := s.connector.get(own)
	if err != nil {
		return nil, newError(op, err)
	}
	if client.Mode() != rueidis.ClientModeCluster {
		return []rueidis.Client{client}, nil
	}
	var primaries []rueidis.Client
	for _, node := range client.Nodes() {
		reply, err := s.ask(ctx, op, node, cmd("ROLE", ""))
		if err != nil {
			return nil, err
		}
		role, _ := reply.ToArray()
		if name, _ := role[0].ToString(); name == "master" {
			primaries = append(primaries, node)
		}
	}
	return primaries, nil
}

// ask executes one command on one server.
func (s *Store) ask(ctx context.Context, op string, node rueidis.Client, c command) (rueidis.RedisMessage, error) {
	own, cancel := s.deadline(ctx)
	defer cancel()
	replies, err := exchange(own, node, []command{c})
	if err != nil {
		return rueidis.RedisMessage{}, newError(op, err)
	}
	return replies[0], nil
}
