package session

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/store"
)

// Damage is detected: a damaged record never becomes a different session, and
// it costs the process no more than that one session.

// A wreck is a site with one session in its store, of which damaged copies are
// made.
type wreck struct {
	*authtest.Site
	memory *store.Memory
	cookie *http.Cookie
	record []byte
	events []wechatauth.Event // of sequential requests
}

// Observe implements Observer.
func (w *wreck) Observe(_ context.Context, e wechatauth.Event) { w.events = append(w.events, e) }

func newWreck(t *testing.T) *wreck {
	w := &wreck{memory: store.NewMemory()}
	w.Site = authtest.NewSite(t, wechatauth.WithStore(w.memory), wechatauth.WithObserver(w), wechatauth.WithLogger(slog.New(slog.DiscardHandler)))
	w.Handle("/put", func(_ http.ResponseWriter, r *http.Request) {
		w.Auth.Sessions().Put(r.Context(), "cart", []string{"book", "pen"})
		w.Auth.Sessions().Put(r.Context(), "n", 3)
	})
	b := w.Browser()
	require.Contains(t, b.Visit("/a").Text, "logged-in=true")
	b.Step("/put")
	w.cookie = b.Cookie(w.SessionCookie())
	var found bool
	var err error
	w.record, found, err = w.memory.Find(session.HashToken(w.cookie.Value))
	require.NoError(t, err)
	require.True(t, found)
	w.record = slices.Clone(w.record)
	return w
}

// request returns a request with the session's cookie.
func (w *wreck) request() *http.Request {
	r := httptest.NewRequest(http.MethodGet, w.Server.URL+"/public", nil)
	r.AddCookie(&http.Cookie{Name: w.cookie.Name, Value: w.cookie.Value})
	return r
}

func (w *wreck) put(record []byte) {
	require.NoError(w.T, w.memory.Commit(session.HashToken(w.cookie.Value), record, time.Now().Add(time.Hour)))
}

// load loads the session of a damaged record as the gate does, and reports
// whether the damage was detected.
func (w *wreck) load(record []byte) (detected bool) {
	w.events = nil
	w.put(record)
	var id wechatauth.Identity
	loggedIn, served := false, false
	w.Auth.LoadWeChat(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		served = true
		if id, loggedIn = wechatauth.IdentityFromContext(r.Context()); loggedIn {
			w.Auth.Sessions().Put(r.Context(), "a", "b") // every session has a map
		}
	})).ServeHTTP(httptest.NewRecorder(), w.request())
	require.True(w.T, served, "damage is not a store error")
	if !loggedIn {
		if !slices.ContainsFunc(w.events, func(e wechatauth.Event) bool { return e.Reason == wechatauth.ReasonSessionCorrupt }) {
			// A part of it may be a valid record of an expired session, which
			// is ignored.
			deadline, _, err := w.Auth.Sessions().Codec.Decode(record)
			require.NoError(w.T, err, "%x", record)
			require.True(w.T, deadline.Before(time.Now()), "%x", record)
			return true
		}
		_, there, err := w.memory.Find(session.HashToken(w.cookie.Value))
		require.NoError(w.T, err)
		require.False(w.T, there, "the record is kept: %x", record)
		return true
	}
	require.Equal(w.T, authtest.AliceOpenID, id.OpenID, "%x", record)
	return false
}

// maxDamage is how many bytes the middleware may allocate for one damaged
// record.
const maxDamage = 64 << 10

// loadAll loads damaged copies and checks how much each allocates. Reading that
// from the runtime is slow, so several copies are measured together: a total
// within the limit is within it for each.
func (w *wreck) loadAll(copies [][]byte) (detected int) {
	for batch := range slices.Chunk(copies, 4) {
		allocated := authtest.AllocatedBy(func() {
			for _, c := range batch {
				if w.load(c) {
					detected++
				}
			}
		})
		if allocated <= maxDamage {
			continue
		}
		for _, c := range batch {
			// Other goroutines allocate too: the least of three measurements is
			// the record's.
			load := func() { w.load(c) }
			least := min(authtest.AllocatedBy(load), authtest.AllocatedBy(load), authtest.AllocatedBy(load))
			require.LessOrEqual(w.T, least, uint64(maxDamage), "%x", c)
		}
	}
	return detected
}

// flips returns all copies that differ in one bit.
func flips(record []byte) (copies [][]byte) {
	for i := range record {
		for bit := range 8 {
			c := slices.Clone(record)
			c[i] ^= 1 << bit
			copies = append(copies, c)
		}
	}
	return copies
}

// truncations returns all copies that end early.
func truncations(record []byte) (copies [][]byte) {
	for n := range record {
		copies = append(copies, record[:n:n])
	}
	return copies
}

// mutation returns a copy with one of several kinds of random change.
func mutation(random *rand.Rand, record []byte) []byte {
	c := slices.Clone(record)
	at := random.IntN(len(c))
	some := make([]byte, 1+random.IntN(8))
	for i := range some {
		some[i] = byte(random.IntN(256))
	}
	switch random.IntN(7) {
	case 0: // a few bytes anywhere
		for _, b := range some {
			c[random.IntN(len(c))] = b
		}
	case 1: // a few adjacent bytes
		copy(c[at:], some)
	case 2: // extra bytes
		c = slices.Insert(c, at, some...)
	case 3: // missing bytes
		c = slices.Delete(c, at, min(len(c), at+len(some)))
	case 4: // a number that claims a large size
		copy(c[at:], []byte{0xf8, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}[random.IntN(8):])
	case 5: // a part in another place
		copy(c[at:], c[random.IntN(len(c)):])
	case 6: // empty
		for i := range c {
			c[i] = byte(random.IntN(256))
		}
	}
	return c
}

func TestCorruptRecord_FlipsAndTruncations(t *testing.T) {
	w := newWreck(t)
	flipped, cut := flips(w.record), truncations(w.record)
	detectedFlips, detectedCuts := w.loadAll(flipped), w.loadAll(cut)
	t.Logf("records: flips %d, detected %d; truncations %d, detected %d", len(flipped), detectedFlips, len(cut), detectedCuts)
	assert.Equal(t, len(flipped), detectedFlips)
	assert.Equal(t, len(cut), detectedCuts)
	assert.False(t, w.load(w.record), "the record itself is valid")
}

func TestCorruptRecord_Mutations(t *testing.T) {
	w := newWreck(t)
	random := rand.New(rand.NewPCG(3, 4))
	total := 100_000
	if authtest.UnderRace {
		total = 10_000
	}
	detected, same := 0, 0
	for range total / 1000 {
		var copies [][]byte
		for range 1000 {
			if c := mutation(random, w.record); bytes.Equal(c, w.record) {
				same++
			} else {
				copies = append(copies, c)
			}
		}
		detected += w.loadAll(copies)
	}
	t.Logf("records: mutations %d, detected %d, and %d that changed nothing", total, detected, same)
	assert.Equal(t, total, detected+same)
}

// The user gets the page without an identity, and the cookie is deleted, or
// replaced if the page puts a value into the session. The reason is reported
// once, and nothing is left in the store.
func TestCorruptRecord_NextRequest(t *testing.T) {
	w := newWreck(t)
	w.Handle("/visits", func(rw http.ResponseWriter, r *http.Request) {
		w.Auth.Sessions().Put(r.Context(), "visits", "1")
		authtest.Echo(rw, r)
	})
	random := rand.New(rand.NewPCG(5, 6))
	copies := slices.Concat(truncations(w.record)[1:20], flips(w.record)[:64])
	for range 100 {
		copies = append(copies, mutation(random, w.record))
	}
	for n, c := range copies {
		if !w.load(c) {
			continue // unchanged
		}
		w.events = nil
		w.put(c)
		b := w.Browser()
		b.SetCookie(w.cookie.Name, w.cookie.Value)
		page := []string{"/public", "/visits"}[n%2]
		got := b.Step(page)
		require.Equal(t, http.StatusOK, got.StatusCode, "%x", c)
		require.Contains(t, got.Text, "logged-in=false")
		_, there, err := w.memory.Find(session.HashToken(w.cookie.Value))
		require.NoError(t, err)
		require.False(t, there)
		reasons := 0
		for _, e := range w.events {
			if e.Reason == wechatauth.ReasonSessionCorrupt {
				reasons++
			}
		}
		require.Equal(t, 1, reasons, fmt.Sprintf("%x", c))
		if now := b.Cookie(w.cookie.Name); page == "/public" {
			require.Nil(t, now)
		} else {
			require.NotEqual(t, w.cookie.Value, now.Value)
		}
		require.Equal(t, http.StatusOK, b.Step(page).StatusCode)
	}
}
