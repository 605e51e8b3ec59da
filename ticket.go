package wechatauth

import (
	"encoding/json"
	"net/http"
	"time"
)

// A ticket is a login that was vouched for by WeChat and could not be saved,
// because the store went away between the two. The code is spent; so the
// identity waits in the browser, sealed, until a page visit finds the store
// again. Nothing but the browser that logged in ever has it.
type ticket struct {
	State    string `json:"s"` // of the login
	AppID    string `json:"a"`
	Target   string `json:"r"`
	Identity string `json:"i"` // as it stands in a session
	IssuedAt int64  `json:"t"` // Unix seconds
	Key      []byte `json:"k"` // opens the outcome
}

// ticketTTL is how long a store may be away without a login being lost.
const ticketTTL = 2 * time.Minute

// putTicket gives the browser a ticket for the identity.
func (j *cookieJar) putTicket(w http.ResponseWriter, f flow, id Identity) error {
	text, err := encodeIdentity(id)
	if err != nil {
		return err
	}
	t := ticket{State: f.State, AppID: f.AppID, Target: f.Target, Identity: text, IssuedAt: j.now().Unix(), Key: f.Key}
	value, err := j.seal(t, "ticket", j.ticketName())
	if err == nil && len(j.ticketName())+len(value) > maxFlowBytes {
		t.Target = "/" // as in put
		value, err = j.seal(t, "ticket", j.ticketName())
	}
	if err != nil {
		return err
	}
	j.set(w, j.ticketName(), value, ticketTTL)
	return nil
}

// ticket returns the ticket of the request, if it has one that is good.
func (j *cookieJar) ticket(r *http.Request) (ticket, Identity, bool) {
	var t ticket
	plain, ok := j.find(r, "ticket", j.ticketName())
	if !ok || json.Unmarshal(plain, &t) != nil || !validState(t.State) || len(t.Key) != flowKeySize {
		return t, Identity{}, false
	}
	age := j.now().Unix() - t.IssuedAt
	if age > int64(ticketTTL/time.Second) || age < -int64(clockSkew/time.Second) {
		return t, Identity{}, false
	}
	id, err := decodeIdentity(t.AppID, t.Identity)
	return t, id, err == nil
}

// redeem finishes the login of a ticket, once: page visits that bring it at
// the same moment get the same session.
func (a *Auth) redeem(w http.ResponseWriter, r *http.Request, t ticket, id Identity, target string) {
	ctx, cancel := detached(r)
	defer cancel()
	r = r.WithContext(ctx)
	f := flow{
		State: t.State, Target: target, AppID: t.AppID, Scope: id.Scope, Channel: id.Channel,
		IssuedAt: t.IssuedAt, Key: t.Key,
	}
	// A claim of its own: that of the callback may still be held by it.
	c, err := a.claims.join(ctx, claimKey(t.AppID, "ticket "+t.State))
	if err != nil {
		a.failCallback(w, r, f, ReasonStoreUnavailable, err)
		return
	}
	if c.outcome != nil {
		a.follow(w, r, f, c.outcome)
		return
	}
	v, err := a.sessions.load(r)
	if err != nil {
		a.release(ctx, f, c)
		a.failCallback(w, r, f, ReasonStoreUnavailable, err)
		return
	}
	a.complete(w, r, v, f, c, id)
}
