// Package accounts provides resolvers for wechatauth.WithAccounts, for
// applications that know all their official accounts at startup. A resolver
// determines the account of a request from its host, the beginning of its path,
// or a header set by a trusted proxy.
package accounts

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/wechatauth/wechatauth"
)

var errUnknown = errors.New("no account for this request")

// A Resolver determines which of its accounts a request is for. Create one with
// [ByHost], [ByPathPrefix] or [ByHeader]. It implements
// [wechatauth.AccountResolver] and is safe for concurrent use by multiple
// goroutines.
type Resolver struct {
	all     []wechatauth.Account
	byAppID map[string]wechatauth.Account
	appIDOf func(r *http.Request) string
	wrong   []error
}

func newResolver(all []wechatauth.Account) *Resolver {
	f := &Resolver{all: all, byAppID: map[string]wechatauth.Account{}}
	for _, account := range all {
		f.byAppID[account.AppID] = account
	}
	return f
}

// ResolveAppID returns the AppID of the account that a request is for, or an
// error if there is none.
func (f *Resolver) ResolveAppID(r *http.Request) (string, error) {
	if appID := f.appIDOf(r); appID != "" {
		return appID, nil
	}
	return "", errUnknown
}

// Account returns the account with the given AppID, or an error if there is
// none.
func (f *Resolver) Account(_ context.Context, appID string) (wechatauth.Account, error) {
	if account, ok := f.byAppID[appID]; ok {
		return account, nil
	}
	return wechatauth.Account{}, errUnknown
}

// Accounts returns all accounts, for wechatauth.New to check, or an error if
// they cannot be distinguished.
func (f *Resolver) Accounts() ([]wechatauth.Account, error) {
	return f.all, errors.Join(f.wrong...)
}

// ByHost returns a resolver that uses the host of the request. Each account
// must have a BaseURL; requests for its host belong to the account. A proxy in
// front must preserve Host.
func ByHost(accounts ...wechatauth.Account) *Resolver {
	f := newResolver(accounts)
	appIDs := map[string]string{}
	for _, account := range accounts {
		base, err := url.Parse(account.BaseURL)
		switch {
		case account.BaseURL == "":
			f.wrong = append(f.wrong, fmt.Errorf("ByHost: account %q requires its own BaseURL", account.AppID))
			continue
		case err != nil || base.Host == "":
			continue // New reports it
		}
		port := map[string]string{"https": ":443", "http": ":80"}[strings.ToLower(base.Scheme)]
		host := strings.TrimSuffix(strings.ToLower(base.Host), port)
		if other := appIDs[host]; other != "" && other != account.AppID {
			f.wrong = append(f.wrong, fmt.Errorf("ByHost: accounts %q and %q have the same host", other, account.AppID))
		}
		appIDs[host] = account.AppID
		if base.Port() == "" || host != strings.ToLower(base.Host) {
			appIDs[host+port] = account.AppID
		}
	}
	f.appIDOf = func(r *http.Request) string { return appIDs[strings.ToLower(r.Host)] }
	return f
}

// ByPathPrefix returns a resolver that uses the beginning of the path: for
// example "/shop-a/" for one account and "/shop-b/" for another. Prefixes must
// begin and end with a slash. The longest matching prefix applies, and "/"
// matches all other paths. Prefixes are case-sensitive. A path that a router or
// an upstream server could read as a path below another prefix, such as
// "/shop-a/../shop-b/", "/shop-a/..;/shop-b/" or "/shop-a%2Fx", has no account.
func ByPathPrefix(prefixes map[string]wechatauth.Account) *Resolver {
	f := newResolver(slices.Collect(maps.Values(prefixes)))
	for prefix := range prefixes {
		if !strings.HasPrefix(prefix, "/") || !strings.HasSuffix(prefix, "/") {
			f.wrong = append(f.wrong, fmt.Errorf("ByPathPrefix: invalid prefix %q: must begin and end with a slash", prefix))
		}
	}
	appIDOf := func(urlPath string) string {
		longest, appID := 0, ""
		for prefix, account := range prefixes {
			if len(prefix) > longest && strings.HasPrefix(urlPath+"/", prefix) {
				longest, appID = len(prefix), account.AppID
			}
		}
		return appID
	}
	f.appIDOf = func(r *http.Request) string {
		appID := appIDOf(r.URL.Path)
		if isPlain(r.URL) {
			return appID
		}
		for _, reading := range readings(r.URL) {
			if appIDOf(reading) != appID {
				return ""
			}
		}
		return appID
	}
	return f
}

// isPlain reports whether all servers read a path literally, except for a
// trailing slash: all its readings are the path itself. Nearly all paths are
// plain.
func isPlain(u *url.URL) bool {
	return u.RawPath == "" && strings.HasPrefix(u.Path, "/") && !strings.ContainsAny(u.Path, `%;\`) &&
		!strings.Contains(u.Path, "//") && !strings.Contains(u.Path, "/.")
}

// pathParameters matches what servlet containers remove from each segment,
// which turns "..;" into a dot segment.
var pathParameters = regexp.MustCompile(";[^/]*")

// readings returns the paths that servers may derive from a path: with dot
// segments resolved, with backslashes as slashes, without path parameters,
// decoded again, and with an escaped slash as part of its segment, as in
// [http.ServeMux].
func readings(u *url.URL) []string {
	decoded := u.Path
	if again, err := url.PathUnescape(decoded); err == nil {
		decoded = again
	}
	all := []string{path.Clean("/" + u.Path)}
	for _, p := range []string{u.Path, decoded} {
		p = strings.ReplaceAll(p, `\`, "/")
		all = append(all, path.Clean("/"+p), path.Clean("/"+pathParameters.ReplaceAllString(p, "")))
	}
	if escaped, err := url.PathUnescape(escapedSlash.Replace(u.EscapedPath())); err == nil {
		all = append(all, escaped)
	}
	return all
}

var escapedSlash = strings.NewReplacer("%2F", "%252F", "%2f", "%252F")

// ByHeader returns a resolver that reads the AppID from a header set by a
// trusted proxy. It accepts the header only from peers in trusted; requests
// from other peers have no account. The proxy must remove headers of this name
// that clients send.
func ByHeader(name string, trusted []netip.Prefix, accounts ...wechatauth.Account) *Resolver {
	f := newResolver(accounts)
	f.appIDOf = func(r *http.Request) string {
		values := slices.DeleteFunc(slices.Clone(r.Header.Values(name)), func(value string) bool { return value == "" })
		if len(values) != 1 || !fromPeer(r.RemoteAddr, trusted) {
			return ""
		}
		return values[0]
	}
	return f
}

func fromPeer(remoteAddr string, trusted []netip.Prefix) bool {
	peer, err := netip.ParseAddrPort(remoteAddr)
	return err == nil && slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(peer.Addr().Unmap()) })
}
