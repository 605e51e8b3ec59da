package session

import (
	"net/http"
	"strings"

	"github.com/wechatauth/wechatauth/internal/navigation"
)

const (
	// BearerPrefix is the prefix of the bearer tokens of mini programs.
	BearerPrefix = "wxm_"
	// BearerKey is the session key that marks a session as not a browser's.
	BearerKey = "wechatauth.bearer"
)

// Bearer returns the session token of the request's Authorization header, and
// whether it has one. A token without [BearerPrefix] is not ours, but for
// example that of a proxy in front, and does not make the cookies ignored.
func Bearer(r *http.Request) (token string, sent bool) {
	scheme, rest, _ := strings.Cut(navigation.Header(r.Header, "Authorization"), " ")
	token, ours := strings.CutPrefix(strings.TrimSpace(rest), BearerPrefix)
	switch {
	case !ours || !strings.EqualFold(scheme, "Bearer"):
		return "", false
	case !ValidToken(token):
		return "", true
	}
	return token, true
}
