package wechatauth

import (
	"encoding/json"
	"errors"
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

	Abandoned [][]byte `json:"b,omitempty"` // as in a flow
}

// ticketTTL is how long a store may be away without a login being lost.
const ticketTTL = 2 * time.Minute

// putTicket gives the browser a ticket for the identity.
func (j *cookieJar) putTicket(w http.ResponseWriter, f flow, id Identity) error {
	text, err := encodeIdentity(id)
	if err != nil {
		return err
	}
	return j.setTicket(w, ticket{
		State: f.State, AppID: f.AppID, Target: f.Target, Identity: text, IssuedAt: j.now().Unix(), Key: f.Key,
	})
}

func (j *cookieJar) setTicket(w http.ResponseWriter, t ticket) error {
	value, err := j.seal(t, "ticket", j.ticketName())
	if err == nil && len(j.ticketName())+len(value) > maxFlowBytes {
		t.Target = "/" // as in sealFlow
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
	plain, ok := j.find(r, "ticket", j.ticketName())
	if !ok {
		return ticket{}, Identity{}, false
	}
	var t ticket
	if json.Unmarshal(plain, &t) != nil || !validState(t.State) || len(t.Key) != flowKeySize {
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
	f := flow{
		State: t.State, Target: target, AppID: t.AppID, Scope: id.Scope, Channel: id.Channel,
		IssuedAt: t.IssuedAt, Key: t.Key,
	}
	// A claim of its own: that of the callback may still be held by it.
	c, err := a.join(r, f, claimKey(t.AppID, "ticket "+t.State), t.Abandoned...)
	ctx, cancel := detached(r, callbackBudget)
	defer cancel()
	r = r.WithContext(withFlow(ctx, f))
	if err == nil && c.outcome != nil {
		a.follow(w, r, f, c.outcome)
		return
	}
	if err == nil {
		err = a.completeTicket(w, r, f, c, id)
	}
	if err == nil {
		return
	}
	if c.left {
		t.Abandoned = c.abandon(t.Abandoned)
		err = errors.Join(err, a.cookies.setTicket(w, t))
	}
	a.failCallback(w, r, f, ReasonStoreUnavailable, err)
}

// completeTicket finishes the login of a ticket with the claim in hand. If it
// cannot, it gives the claim back: others with this ticket have all that they
// need to try for themselves.
func (a *Auth) completeTicket(w http.ResponseWriter, r *http.Request, f flow, c *claim, id Identity) error {
	v, err := a.sessions.load(r)
	if err == nil {
		err = a.complete(w, r, v, f, c, id)
	}
	if err != nil {
		a.release(r.Context(), f, c)
	}
	return err
}
