package flow

import (
	"encoding/json"
	"net/http"

	"github.com/wechatauth/wechatauth/internal/cookie"
)

// A LoginCounter counts, in the browser, the logins completed in a row without a
// session that lasted. It ends a redirect loop: a login that succeeds again and
// again and is never seen by the next request. Its cookie has the attributes of
// the flow cookie, so a browser that completes logins also returns the counter.
type LoginCounter struct {
	Logins int   `json:"n"`
	At     int64 `json:"t"` // of the last login, Unix milliseconds
}

const (
	// MaxLogins is how many logins in a row redirect to WeChat; the next one is
	// rejected.
	MaxLogins = 3
)

// LoginCounter returns the counter that the request carries, or the zero counter.
func (j *Jar) LoginCounter(r *http.Request) LoginCounter {
	plain, ok := j.Find(r, "trail", j.LoginCounterName())
	if !ok {
		return LoginCounter{}
	}
	var t LoginCounter
	if json.Unmarshal(plain, &t) != nil {
		return LoginCounter{}
	}
	// An instance whose clock is up to LoginTTL ahead of the others still completes
	// logins that they started, so the counter accepts as much. No browser keeps the
	// cookie longer than that.
	if !cookie.Fresh(j.Now().Add(LoginTTL-cookie.Skew), t.At, LoginCounterTTL+2*LoginTTL-cookie.Skew) {
		return LoginCounter{}
	}
	return t
}

// CountLogin counts one more completed login.
func (j *Jar) CountLogin(w http.ResponseWriter, r *http.Request) {
	t := LoginCounter{Logins: j.LoginCounter(r).Logins + 1, At: j.Now().UnixMilli()}
	value, err := j.Seal(t, "trail", j.LoginCounterName())
	if err != nil {
		return // two integers always encode
	}
	j.Set(w, j.LoginCounterName(), value, LoginCounterTTL)
}
