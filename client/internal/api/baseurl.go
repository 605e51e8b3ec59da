// Package api is what the clients of WeChat and WeCom share: base URLs, and the
// form in which package wecom passes its calls to package client.
package api

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// BaseURL returns a base URL without a trailing slash, or fallback if raw is
// empty. The text of its error continues a sentence that begins with the name of
// the setting.
func BaseURL(raw, fallback string) (string, error) { return baseURL(raw, fallback, false) }

// PageURL is BaseURL for pages that only browsers request. It also accepts a
// private IP address, with http or https.
func PageURL(raw, fallback string) (string, error) { return baseURL(raw, fallback, true) }

func baseURL(raw, fallback string, page bool) (string, error) {
	if raw == "" {
		return fallback, nil
	}
	u, err := url.Parse(raw)
	if err != nil {
		return "", errors.New("is not a URL") // the parser's error would repeat the URL, including a password
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return "", errors.New("must begin with https://")
	case u.Opaque != "" || u.Host == "":
		return "", errors.New("has no host")
	case u.User != nil:
		return "", errors.New("must not contain a user name or password")
	case u.RawQuery != "" || u.ForceQuery || strings.ContainsRune(raw, '#'):
		return "", errors.New("must not contain a query or fragment")
	case !plainPath(u.EscapedPath()):
		return "", errors.New("has an invalid path: segments may contain only letters, digits and -._~")
	}
	local, err := checkHost(u, page)
	if err != nil {
		return "", err
	}
	if u.Scheme == "http" && !local {
		return "", errors.New("must use https: http is allowed only for loopback hosts")
	}
	return u.Scheme + "://" + u.Host + strings.TrimSuffix(u.EscapedPath(), "/"), nil
}

// checkHost reports whether the host may be used with http: this machine and, for a
// page, an address of a private network. Otherwise it rejects such addresses, to
// which a mistaken or injected setting could point.
func checkHost(u *url.URL, page bool) (local bool, err error) {
	host, port := u.Hostname(), u.Port()
	if strings.HasSuffix(u.Host, ":") {
		return false, errors.New("has a colon but no port")
	}
	if port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return false, errors.New("has a port outside 1 to 65535")
		}
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		addr = addr.Unmap()
		switch {
		case addr.Zone() != "":
			return false, errors.New("has an IP address with a zone")
		case addr.IsLoopback(), page && addr.IsPrivate():
			return true, nil
		case !addr.IsGlobalUnicast() || addr.IsPrivate():
			return false, errors.New("has an IP address of a private or special range")
		}
		return false, nil
	}
	if !HostName(host) {
		return false, errors.New("has a host that is neither a host name in ASCII nor an IP address")
	}
	return strings.EqualFold(host, "localhost"), nil
}

// HostName reports whether host is a DNS name. A last label that consists only
// of digits is rejected, because some resolvers read such a name as an IP
// address.
func HostName(host string) bool {
	if host == "" || len(host) > 253 {
		return false
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if c := label[i]; !IsAlphanumeric(c) && c != '-' {
				return false
			}
		}
	}
	last := labels[len(labels)-1]
	return strings.Trim(last, "0123456789") != "" && !strings.HasPrefix(strings.ToLower(last), "0x")
}

func plainPath(path string) bool {
	if path == "" || path == "/" {
		return true
	}
	for segment := range strings.SplitSeq(strings.TrimSuffix(path[1:], "/"), "/") {
		if segment == "" || segment == "." || segment == ".." {
			return false
		}
		for i := range len(segment) {
			if c := segment[i]; !IsAlphanumeric(c) && !strings.ContainsRune("-._~", rune(c)) {
				return false
			}
		}
	}
	return true
}

// IsAlphanumeric reports whether c is an ASCII letter or digit.
func IsAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
