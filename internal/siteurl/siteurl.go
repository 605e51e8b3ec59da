// Package siteurl checks the URLs and paths that a program is configured with:
// base URLs, path prefixes, and the AppIDs at the end of paths. It also reports
// whether a request came to a base URL.
package siteurl

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// Parse parses a base URL: scheme and host, and nothing that WeChat would
// reject. The error has a line for each fault. If the host is sandbox, plain http,
// an IP address and a port are accepted.
func Parse(raw, sandbox string) (*url.URL, error) {
	if raw == "" {
		return nil, errors.New("set the URL at which users reach the application, such as \"https://m.example.com\"; it is required")
	}
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" || u.Host == "" || strings.ContainsAny(raw, " \t\r\n\\") {
		return nil, fmt.Errorf("%q is no URL of the form \"https://m.example.com\"", withoutUser(raw))
	}
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(raw, "#") || (u.Path != "" && u.Path != "/") {
		bad("give scheme and host only, without user, path, query or fragment")
	}
	host := strings.ToLower(u.Hostname())
	switch ascii := asciiHost(host); {
	case ascii != host && !strings.Contains(host, ":") && validHost(ascii):
		bad("write the host of %q in ASCII, as %q: cookies and WeChat's console have it so", u.Host, ascii)
	case !validHost(host):
		bad("%q is no host name", u.Hostname())
	}
	parsed := &url.URL{Scheme: strings.ToLower(u.Scheme), Host: strings.ToLower(u.Host)}
	local := IsLoopback(host) || sandbox != "" && host == sandbox
	switch {
	case local:
		if parsed.Scheme != "http" && parsed.Scheme != "https" {
			bad("use http or https, not %q", parsed.Scheme)
		}
	case parsed.Scheme != "https":
		bad("use https: plain http is for loopback hosts, and WeChat rejects it if 强制 https 校验 is on (10039)")
	}
	if _, err := netip.ParseAddr(host); err == nil && !local {
		bad("use a host name: WeChat accepts no IP address as 网页授权域名 (10003)")
	}
	switch port := u.Port(); {
	case strings.HasSuffix(u.Host, ":") || port != "" && !validPort(port):
		bad("%q has no valid port", u.Host)
	case local || port == "":
	case port == "443":
		parsed.Host = host
	default:
		bad("leave out the port: WeChat rejects a redirect_uri that has one (10003)")
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return parsed, nil
}

// withoutUser hides a URL that may hold a password.
func withoutUser(raw string) string {
	if strings.Contains(raw, "@") {
		return "…"
	}
	return raw
}

func validPort(p string) bool {
	n, err := strconv.ParseUint(p, 10, 16)
	return err == nil && n > 0
}

// asciiHost returns a host name as net/http would send it: in Punycode if it is
// not ASCII. It returns an empty string for one that cannot be sent.
func asciiHost(host string) string {
	var wire strings.Builder
	r := http.Request{URL: &url.URL{Scheme: "http", Host: host, Path: "/"}}
	if err := r.Write(&wire); err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(wire.String(), "\r\nHost: ")
	ascii, _, _ := strings.Cut(rest, "\r\n")
	return ascii
}

// validHost accepts IP addresses and host names in ASCII.
func validHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	if host == "" || len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

// IsLoopback reports whether a host is this machine.
func IsLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// CheckSandbox checks the host of a sandbox, a private IP address. It must be the
// host of base, unless that is nil.
func CheckSandbox(host string, base *url.URL) error {
	if addr, err := netip.ParseAddr(host); err != nil || !addr.IsPrivate() {
		return fmt.Errorf("%q is no private IP address, such as \"192.168.1.20\"", host)
	}
	if base != nil && base.Hostname() != host {
		return fmt.Errorf("%q is not the host of the base URL; leave the option out in production", host)
	}
	return nil
}

// CheckOpen checks the URL of WeChat's pages, which may be in the sandbox, and
// leaves everything else to the client.
func CheckOpen(open, sandbox string) error {
	u, err := url.Parse(open)
	if err != nil {
		return nil
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil && addr.IsPrivate() && u.Hostname() != sandbox {
		return errors.New("Endpoints.Open has a private IP address, which only WithSandbox allows")
	}
	return nil
}

// CheckPrefix checks the path prefix of the endpoints. The error has a line for
// each fault.
func CheckPrefix(prefix string) error {
	var errs []error
	if len(prefix) < 3 || prefix[0] != '/' || prefix[len(prefix)-1] != '/' {
		errs = append(errs, fmt.Errorf("%q must begin and end with a slash and have a name between them, such as \"/wechat/\"", prefix))
	}
	if name := strings.Trim(prefix, "/"); name != "" {
		for segment := range strings.SplitSeq(name, "/") {
			if segment == "" || segment == "." || segment == ".." || strings.Trim(segment, alphanumeric+"-_.") != "" {
				errs = append(errs, fmt.Errorf("%q may have letters, digits, '-', '_' and '.' between its slashes", prefix))
				break
			}
		}
	}
	return errors.Join(errs...)
}

// IsAppID reports whether the end of a path is an AppID, as all that WeChat has
// issued so far are: an endpoint's name and a ticket are not.
func IsAppID(s string) bool {
	return strings.HasPrefix(s, "wx") && strings.Trim(s, alphanumeric) == ""
}
