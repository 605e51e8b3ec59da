package session

import (
	"net/http"
	"strings"

	"github.com/wechatauth/wechatauth/internal/navigation"
)

const (
	// BearerPrefix begins the bearer tokens of mini programs.
	BearerPrefix = "wxm_"
	// BearerKey marks, in the session, that it is no browser's.
	BearerKey = "wechatauth.bearer"
)

// Bearer returns the session token of the request's Authorization header, and
// whether it has one. A token without the prefix of ours is another's, such as a
// proxy's in front, and hides no cookie.
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
