package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/wechatauth/wechatauth/store/internal/keyspace"
)

// Batcher does several writes in one round trip. A login needs that: it saves
// the session and notes it in the index, and then leaves its outcome, deletes
// the old session and says where it went.
//
// It is not part of [Sessions]: a store that does without it is asked for one
// after the other. One that has it does all that Sessions asks for.
type Batcher interface {
	// Batch does the writes in their order. After an error some of them may be
	// done, also of those behind the one that failed, and all may be repeated.
	Batch(ctx context.Context, writes ...Write) error
}

// Write is one write of a [Batcher]: one of [AddSessionWrite], [CommitWrite],
// [DeleteWrite] and [PutMarkWrite].
type Write struct {
	kind      writeKind
	user, key string // key: a token, or the key of a mark
	value     []byte
	expiry    time.Time
	ttl       time.Duration
}

type writeKind int

const (
	noWrite writeKind = iota
	writeAddSession
	writeCommit
	writeDelete
	writePutMark
)

// AddSessionWrite is what Index.AddSession does.
func AddSessionWrite(user, token string, expiry time.Time) Write {
	return Write{kind: writeAddSession, user: user, key: token, expiry: expiry}
}

// CommitWrite is what scs.CtxStore.CommitCtx does.
func CommitWrite(token string, b []byte, expiry time.Time) Write {
	return Write{kind: writeCommit, key: token, value: b, expiry: expiry}
}

// DeleteWrite is what scs.CtxStore.DeleteCtx does.
func DeleteWrite(token string) Write { return Write{kind: writeDelete, key: token} }

// PutMarkWrite is what Marks.PutMark does.
func PutMarkWrite(key string, value []byte, ttl time.Duration) Write {
	return Write{kind: writePutMark, key: key, value: value, ttl: ttl}
}

// Batch implements [Batcher].
func (s *Store) Batch(ctx context.Context, writes ...Write) error {
	const op = "batch"
	var cmds []command
	added := map[int]Write{} // by the place of the reply that tells the index's last expiry
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
func (s *Store) commandsOf(w Write) ([]command, error) {
	life := w.expiry.Sub(s.now())
	switch w.kind {
	case writeAddSession:
		return s.addSession(w.user, w.key, w.expiry)
	case writeCommit:
		if err := writable("commit session", w.key, w.value); err != nil {
			return nil, err
		}
		if life > 0 {
			return []command{cmd("SET", s.key(w.key), w.value, "PX", keyspace.Millis(life))}, nil
		}
		return []command{cmd("UNLINK", s.key(w.key))}, nil
	case writeDelete:
		if !keyspace.ValidToken(w.key) {
			return nil, nil
		}
		return []command{cmd("UNLINK", s.key(w.key))}, nil
	case writePutMark:
		if err := lasting("put mark", w.ttl); err != nil {
			return nil, err
		}
		return []command{cmd("SET", s.markKey(w.key), w.value, "PX", keyspace.Millis(w.ttl))}, nil
	}
	return nil, &Error{Op: "batch", Class: ClassConfiguration, Err: errors.New("a Write that none of its functions made")}
}

// batch does the writes in one call where the store can, else one after the
// other.
func batch(ctx context.Context, s Sessions, writes []Write) error {
	if b, ok := s.(Batcher); ok {
		return b.Batch(ctx, writes...)
	}
	for _, w := range writes {
		var err error
		switch w.kind {
		case writeAddSession:
			err = s.AddSession(ctx, w.user, w.key, w.expiry)
		case writeCommit:
			err = s.CommitCtx(ctx, w.key, w.value, w.expiry)
		case writeDelete:
			err = s.DeleteCtx(ctx, w.key)
		case writePutMark:
			err = s.PutMark(ctx, w.key, w.value, w.ttl)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Batch implements [Batcher].
func (s *sealed) Batch(ctx context.Context, writes ...Write) error {
	hidden := slices.Clone(writes)
	for i, w := range writes {
		if w.kind != writeCommit {
			continue
		}
		box, err := s.seal(w.key, w.value)
		if err != nil {
			return newError("seal session", err)
		}
		hidden[i].value = box
	}
	return batch(ctx, s.Sessions, hidden)
}

// Batch implements [Batcher]. Each of the writes is told as a call, with the
// duration and the error of all.
func (s *observed) Batch(ctx context.Context, writes ...Write) error {
	began := time.Now()
	err := batch(ctx, s.Sessions, writes)
	took := time.Since(began)
	for _, w := range writes {
		s.told(ctx, Call{Op: opOf[w.kind], Duration: took, Err: err})
	}
	return err
}

// opOf is what a write is called where calls are observed.
var opOf = map[writeKind]string{
	writeAddSession: "add to index", writeCommit: "commit session",
	writeDelete: "delete session", writePutMark: "put mark",
}
