// Package accounts provides resolvers for wechatauth.WithAccounts, for
// applications that know all of their official accounts when they start. The
// account of a request is found by its host, the beginning of its path, or a
// header of a trusted proxy.
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

// A Resolver finds the account of a request among those that it was made of.
// Create one with [ByHost], [ByPathPrefix] or [ByHeader]. It implements
// [wechatauth.AccountResolver] and is safe for concurrent use.
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

// ResolveAppID returns the AppID of the account that a request is for, or an error if
// there is none.
func (f *Resolver) ResolveAppID(r *http.Request) (string, error) {
	if appID := f.appIDOf(r); appID != "" {
		return appID, nil
	}
	return "", errUnknown
}

// Account returns the account of an AppID, or an error if there is none.
func (f *Resolver) Account(_ context.Context, appID string) (wechatauth.Account, error) {
	if account, ok := f.byAppID[appID]; ok {
		return account, nil
	}
	return wechatauth.Account{}, errUnknown
}

// Accounts returns all accounts, for wechatauth.New to check, and an error if
// they cannot be distinguished.
func (f *Resolver) Accounts() ([]wechatauth.Account, error) {
	return f.all, errors.Join(f.wrong...)
}

// ByHost finds accounts by the request's host. Each account needs a BaseURL,
// and the hosts are those of the BaseURLs; a proxy in front has to pass Host
// on.
func ByHost(accounts ...wechatauth.Account) *Resolver {
	f := newResolver(accounts)
	appIDs := map[string]string{}
	for _, account := range accounts {
		base, err := url.Parse(account.BaseURL)
		switch {
		case account.BaseURL == "":
			f.wrong = append(f.wrong, fmt.Errorf("ByHost: %q needs a BaseURL that is its own", account.AppID))
			continue
		case err != nil || base.Host == "":
			continue // New reports it
		}
		port := map[string]string{"https": ":443", "http": ":80"}[strings.ToLower(base.Scheme)]
		host := strings.TrimSuffix(strings.ToLower(base.Host), port)
		if other := appIDs[host]; other != "" && other != account.AppID {
			f.wrong = append(f.wrong, fmt.Errorf("ByHost: %q and %q have one host", other, account.AppID))
		}
		appIDs[host] = account.AppID
		if base.Port() == "" || host != strings.ToLower(base.Host) {
			appIDs[host+port] = account.AppID
		}
	}
	f.appIDOf = func(r *http.Request) string { return appIDs[strings.ToLower(r.Host)] }
	return f
}

// ByPathPrefix finds accounts by the beginning of the path: "/shop-a/" for one,
// "/shop-b/" for another. Prefixes begin and end in a slash; the longest one
// that fits counts, and "/" takes the rest. A path that a router or an upstream
// server may read as one below another prefix has no account, such as
// "/shop-a/../shop-b/", "/shop-a/..;/shop-b/" or "/shop-a%2Fx". Letter case counts.
func ByPathPrefix(prefixes map[string]wechatauth.Account) *Resolver {
	f := newResolver(slices.Collect(maps.Values(prefixes)))
	for prefix := range prefixes {
		if !strings.HasPrefix(prefix, "/") || !strings.HasSuffix(prefix, "/") {
			f.wrong = append(f.wrong, fmt.Errorf("ByPathPrefix: %q has to begin and end in a slash", prefix))
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

// isPlain reports whether every server reads a path as it stands, but for the
// slash at its end: all of its readings are itself. Nearly all paths are plain.
func isPlain(u *url.URL) bool {
	return u.RawPath == "" && strings.HasPrefix(u.Path, "/") && !strings.ContainsAny(u.Path, `%;\`) &&
		!strings.Contains(u.Path, "//") && !strings.Contains(u.Path, "/.")
}

// pathParameters are removed from each segment by servlet containers, which
// makes a dot segment of "..;".
var pathParameters = regexp.MustCompile(";[^/]*")

// readings returns the paths that servers make of one path: with dot segments
// resolved, with backslashes for slashes and without path parameters, decoded
// once more, and with an escaped slash as part of its segment, as
// [http.ServeMux] reads it.
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

// ByHeader finds accounts by a header with the AppID, which a trusted proxy
// sets: it is believed from the peers in trusted only, and a request from
// anywhere else has no account. The proxy must remove a header of this name
// that a client sends.
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
