package store

import (
	"context"
	"slices"
	"time"

	"github.com/wechatauth/wechatauth/store/internal/keyspace"
	"github.com/wechatauth/wechatauth/store/internal/resp"
)

// Batcher performs several writes in one round trip. A login uses it to save
// the session and add it to the index, and then to save its result, delete the
// old session and record the token that replaces it. A revocation uses it to
// remove all sessions of a user from the index.
//
// It is not part of [Sessions]. Without it, the writes are made one after the
// other, for example in a store over several servers, which could not preserve
// their order. A store that implements it also implements all of Sessions.
type Batcher interface {
	// DoBatch performs the writes in order. After an error some of them may
	// be done, including those after the one that failed, and all of them
	// may be retried.
	DoBatch(ctx context.Context, b Batch) error
}

// Batch is a list of writes for a [Batcher]. The zero value is an empty batch.
// A Batch is not safe for concurrent use.
type Batch struct{ writes []write }

// AddSession adds a write that is equivalent to Index.AddSession.
func (b *Batch) AddSession(user, token string, expiry time.Time) {
	b.add(write{kind: writeAddSession, user: user, key: token, expiry: expiry})
}

// Commit adds a write that is equivalent to scs.CtxStore.CommitCtx.
func (b *Batch) Commit(token string, record []byte, expiry time.Time) {
	b.add(write{kind: writeCommit, key: token, value: record, expiry: expiry})
}

// Delete adds a write that is equivalent to scs.CtxStore.DeleteCtx.
func (b *Batch) Delete(token string) { b.add(write{kind: writeDelete, key: token}) }

// PutMark adds a write that is equivalent to Marks.PutMark.
func (b *Batch) PutMark(key string, value []byte, ttl time.Duration) {
	b.add(write{kind: writePutMark, key: key, value: value, ttl: ttl})
}

// RemoveSession adds a write that is equivalent to Index.RemoveSession.
func (b *Batch) RemoveSession(user, token string) {
	b.add(write{kind: writeRemoveSession, user: user, key: token})
}

// Len returns the number of writes.
func (b Batch) Len() int { return len(b.writes) }

// add appends w without changing other copies of the batch.
func (b *Batch) add(w write) { b.writes = append(slices.Clip(b.writes), w) }

// write is one of a batch.
type write struct {
	kind      writeKind
	user, key string // key: a token, or the key of a mark
	value     []byte
	expiry    time.Time
	ttl       time.Duration
}

// writeKind is the Op of a [Call] with the write.
type writeKind string

const (
	writeAddSession    writeKind = "add to index"
	writeCommit        writeKind = "commit session"
	writeDelete        writeKind = "delete session"
	writePutMark       writeKind = "put mark"
	writeRemoveSession writeKind = "remove from index"
)

// DoBatch implements [Batcher]. If the transport does not preserve the order of
// commands ([resp.Ordered]), it makes one round trip for each write.
func (s *Store) DoBatch(ctx context.Context, b Batch) error {
	if !s.ordered() {
		return oneByOne(ctx, s, b)
	}
	return s.writeAll(ctx, "batch", b.writes...)
}

func (s *Store) ordered() bool {
	t, ok := s.transport.(resp.Ordered)
	return ok && t.Ordered()
}

// writeAll performs the writes in order, in one round trip.
func (s *Store) writeAll(ctx context.Context, op string, writes ...write) error {
	var cmds []resp.Command
	added := map[int]write{} // by the position of the reply with the index's last expiry
	for _, w := range writes {
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
	for _, w := range writes {
		if w.kind == writeCommit || w.kind == writeDelete {
			s.forget(w.key) // even after an error: the write may have been made
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

// commandsOf returns the commands of one write, or none if there is nothing to
// do.
func (s *Store) commandsOf(w write) (cmds []resp.Command, err error) {
	life, valid := w.expiry.Sub(s.now()), keyspace.ValidToken(w.key)
	switch w.kind {
	case writeAddSession:
		return s.addSession(w.user, w.key, w.expiry)
	case writePutMark:
		return []resp.Command{resp.Set(s.markKey(w.key), w.value, w.ttl)}, lasting(string(w.kind), w.ttl)
	case writeCommit:
		if err = writable(string(w.kind), w.key, w.value); life > 0 {
			return []resp.Command{resp.Set(s.key(w.key), w.value, life)}, err
		}
	case writeRemoveSession:
		if valid {
			cmds = []resp.Command{s.removeSession(w.user, w.key)}
		}
		return cmds, nil
	}
	if valid { // a deletion, or a record that has already expired
		cmds = []resp.Command{resp.Cmd("DEL", s.key(w.key))}
	}
	return cmds, err
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

// DoBatch implements [Batcher]. Each of the writes is reported as a call, with
// the duration and the error of the whole batch.
func (s *observed) DoBatch(ctx context.Context, b Batch) error {
	began := time.Now()
	err := s.Whole.DoBatch(ctx, b)
	took := time.Since(began)
	for _, w := range b.writes {
		s.f(ctx, Call{Op: string(w.kind), Duration: took, Err: err})
	}
	return err
}
