package wechatauth

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"
)

// A trail remembers, in the browser, how many logins were completed there in
// a row without a session that lasted. It is what ends a redirect loop: a
// login that succeeds again and again and is never seen by the next request.
// Its cookie has the attributes of the flow cookie, so where logins come back
// at all, the trail does too.
type trail struct {
	Logins int   `json:"n"`
	At     int64 `json:"t"` // of the last login, Unix seconds
}

const (
	// maxLogins in a row lead to WeChat; the next one is stopped.
	maxLogins = 3
	// trailTTL is how soon after a login the next one counts as its repetition.
	trailTTL = 60 * time.Second
)

func (j *cookieJar) trailName() string     { return j.trails }
func (j *cookieJar) loggedOutName() string { return j.logouts }

// trail returns what the request tells of the logins before it; the zero
// trail when nothing does.
func (j *cookieJar) trail(r *http.Request) trail {
	plain, ok := j.find(r, "trail", j.trailName())
	if !ok {
		return trail{}
	}
	var t trail
	if json.Unmarshal(plain, &t) != nil {
		return trail{}
	}
	// The clocks of two instances may differ, and a flow is taken as long as
	// they differ by less than flowTTL. What is older was kept by somebody else
	// than a browser.
	if age := j.now().Unix() - t.At; age > int64((trailTTL+flowTTL)/time.Second) || age < -int64(flowTTL/time.Second) {
		return trail{}
	}
	return t
}

// extendTrail counts one more completed login.
func (j *cookieJar) extendTrail(w http.ResponseWriter, r *http.Request) {
	t := trail{Logins: j.trail(r).Logins + 1, At: j.now().Unix()}
	value, err := j.seal(t, "trail", j.trailName())
	if err != nil {
		return // two integers always encode
	}
	j.set(w, j.trailName(), value, trailTTL)
}

// lostLogins are the names of the flow cookies that a browser still holds
// although their logins ended well within the last minute: it has kept nothing
// of the callbacks' answers, the trail neither. maxLogins of them are a loop, or
// as many as the browser has room for where return targets are long; of fewer it
// tells nothing. The store is not asked before there are so many, and one that
// gives no answer tells of none.
func (a *Auth) lostLogins(ctx context.Context, held []heldFlow) []string {
	since := a.now().Add(-trailTTL).UnixMilli()
	held = slices.DeleteFunc(slices.Clone(held), func(h heldFlow) bool { return h.flow.IssuedAt < since })
	size := 0
	for _, h := range held {
		size += h.size
	}
	enough := maxLogins
	if size > maxFlowBytes/2 { // the next one of that kind pushes one out
		enough = min(maxLogins, len(held))
	}
	if len(held) < enough {
		return nil
	}
	var lost []string
	for _, h := range held {
		left, err := a.claims.outcome(ctx, claimKey(h.flow.AppID, h.flow.State))
		if err != nil {
			return nil
		}
		if o, err := a.openOutcome(left, h.flow); err == nil && o.Token != "" {
			lost = append(lost, h.name)
		}
	}
	if len(lost) < enough {
		return nil
	}
	return lost
}

// loggedOutTTL is how long after a logout a page visit asks before it logs
// the visitor in again: snsapi_base needs no consent, so without this a
// logout would last no longer than the next page.
const loggedOutTTL = 5 * time.Minute

func (j *cookieJar) markLoggedOut(w http.ResponseWriter) {
	j.set(w, j.loggedOutName(), "1", loggedOutTTL)
}

func (j *cookieJar) justLoggedOut(r *http.Request) bool {
	_, err := r.Cookie(j.loggedOutName())
	return err == nil
}

// hopTTL is how long we remember having sent a visitor to the base URL's host.
// One who still seems to be on another host then is behind a proxy that
// rewrites Host.
const hopTTL = time.Minute

func (j *cookieJar) hopName() string { return j.hops }

// dropIfSent clears a cookie, and says nothing of one that is not there.
func (j *cookieJar) dropIfSent(w http.ResponseWriter, r *http.Request, name string) {
	if _, err := r.Cookie(name); err == nil {
		j.drop(w, name)
	}
}
