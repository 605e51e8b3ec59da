package store

import (
	"context"
	"slices"
	"time"

	"github.com/wechatauth/wechatauth/store/internal/keyspace"
	"github.com/wechatauth/wechatauth/store/internal/resp"
)

// Batcher does several writes in one round trip. A login needs that: it saves
// the session and notes it in the index, and then leaves its outcome, deletes
// the old session and says where it went. So does a revocation, which takes all
// sessions of a user out of the index.
//
// It is not part of [Sessions]: a store that does without it is asked for one
// write after the other, such as one over several servers, which could not keep
// the order. One that has it does all that Sessions asks for.
type Batcher interface {
	// DoBatch does the writes in their order. After an error some of them may be
	// done, also of those behind the one that failed, and all may be repeated.
	DoBatch(ctx context.Context, b Batch) error
}

// Batch is writes for a [Batcher]. The zero value has none. Not safe for
// concurrent use.
type Batch struct{ writes []write }

// AddSession adds what Index.AddSession does.
func (b *Batch) AddSession(user, token string, expiry time.Time) {
	b.add(write{kind: writeAddSession, user: user, key: token, expiry: expiry})
}

// Commit adds what scs.CtxStore.CommitCtx does.
func (b *Batch) Commit(token string, record []byte, expiry time.Time) {
	b.add(write{kind: writeCommit, key: token, value: record, expiry: expiry})
}

// Delete adds what scs.CtxStore.DeleteCtx does.
func (b *Batch) Delete(token string) { b.add(write{kind: writeDelete, key: token}) }

// PutMark adds what Marks.PutMark does.
func (b *Batch) PutMark(key string, value []byte, ttl time.Duration) {
	b.add(write{kind: writePutMark, key: key, value: value, ttl: ttl})
}

// RemoveSession adds what Index.RemoveSession does.
func (b *Batch) RemoveSession(user, token string) {
	b.add(write{kind: writeRemoveSession, user: user, key: token})
}

// Len is how many writes there are.
func (b Batch) Len() int { return len(b.writes) }

// add leaves other copies of the batch as they are.
func (b *Batch) add(w write) { b.writes = append(slices.Clip(b.writes), w) }

// write is one of a batch.
type write struct {
	kind      writeKind
	user, key string // key: a token, or the key of a mark
	value     []byte
	expiry    time.Time
	ttl       time.Duration
}

type writeKind int

const (
	writeAddSession writeKind = iota
	writeCommit
	writeDelete
	writePutMark
	writeRemoveSession
)

// DoBatch implements [Batcher]. Where the transport does not keep the order of
// commands ([resp.Ordered]), it is one round trip for each write.
func (s *Store) DoBatch(ctx context.Context, b Batch) error {
	const op = "batch"
	if t, ok := s.transport.(resp.Ordered); !ok || !t.Ordered() {
		return oneByOne(ctx, s, b)
	}
	var cmds []resp.Command
	added := map[int]write{} // by the place of the reply that tells the index's last expiry
	for _, w := range b.writes {
		these, err := s.commandsOf(w)
		if err != nil {
			return err
		}
		cmds = append(cmds, these...)
		if w.kind == writeAddSession && len(these) > 1 {
			added[len(cmds)-1] = w
		}
	}
	if len(cmds) == 0 {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	replies, err := s.do(ctx, op, cmds...)
	for _, w := range b.writes {
		if w.kind == writeCommit || w.kind == writeDelete {
			s.forget(w.key) // also after an error: it may be written
		}
	}
	if err != nil {
		return err
	}
	for i, w := range added {
		if err := s.outlive(ctx, w.user, w.expiry, replies[i]); err != nil {
			return err
		}
	}
	return nil
}

// commandsOf are the commands of one write; none where there is nothing to do.
func (s *Store) commandsOf(w write) ([]resp.Command, error) {
	life := w.expiry.Sub(s.now())
	switch w.kind {
	case writeAddSession:
		return s.addSession(w.user, w.key, w.expiry)
	case writeCommit:
		if err := writable("commit session", w.key, w.value); err != nil {
			return nil, err
		}
		if life > 0 {
			return []resp.Command{resp.Set(s.key(w.key), w.value, life)}, nil
		}
		return []resp.Command{resp.Cmd("DEL", s.key(w.key))}, nil
	case writeDelete:
		if !keyspace.ValidToken(w.key) {
			return nil, nil
		}
		return []resp.Command{resp.Cmd("DEL", s.key(w.key))}, nil
	case writePutMark:
		if err := lasting("put mark", w.ttl); err != nil {
			return nil, err
		}
		return []resp.Command{resp.Set(s.markKey(w.key), w.value, w.ttl)}, nil
	}
	if keyspace.ValidToken(w.key) { // writeRemoveSession
		return []resp.Command{s.removeSession(w.user, w.key)}, nil
	}
	return nil, nil
}

// DoBatch implements [Batcher].
func (s *sealed) DoBatch(ctx context.Context, b Batch) error {
	hidden := Batch{slices.Clone(b.writes)}
	for i, w := range b.writes {
		if w.kind == writeCommit {
			hidden.writes[i].value = s.seal(w.key, w.value)
		}
	}
	return s.Whole.DoBatch(ctx, hidden)
}

// DoBatch implements [Batcher]. Each of the writes is told as a call, with the
// duration and the error of all.
func (s *observed) DoBatch(ctx context.Context, b Batch) error {
	began := time.Now()
	err := s.Whole.DoBatch(ctx, b)
	took := time.Since(began)
	for _, w := range b.writes {
		s.told(ctx, Call{Op: opOf[w.kind], Duration: took, Err: err})
	}
	return err
}

// opOf is what a write is called where calls are observed.
var opOf = map[writeKind]string{
	writeAddSession: "add to index", writeCommit: "commit session",
	writeDelete: "delete session", writePutMark: "put mark", writeRemoveSession: "remove from index",
}
