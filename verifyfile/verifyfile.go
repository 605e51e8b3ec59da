// Package verifyfile serves the files with which WeChat's consoles verify a
// domain, such as MP_verify_0123456789abcdef.txt, at the root of a site and
// without a login:
//
//	files := map[string]string{"MP_verify_0123456789abcdef.txt": "0123456789abcdef"}
//	app, err := verifyfile.Handler(requireLogin(app), files)
package verifyfile

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/wechatauth/wechatauth/internal/redact"
	"github.com/wechatauth/wechatauth/internal/respond"
)

// fileName matches the files that prove who owns a domain: MP_verify_… of
// official accounts, WW_verify_… of WeCom, and ten letters or digits for the
// domains of mini programs and third-party platforms.
var fileName = regexp.MustCompile(`^((MP|WW)_verify_[A-Za-z0-9]{8,64}|[A-Za-z0-9]{10,32})\.txt$`)

const maxContent = 1024

// Handler returns a handler that serves files, contents by name, at the root of
// the site, and calls next for every other request. WeChat's servers request
// the files without cookies, so put Handler around the middleware. A name is
// "MP_verify_" or "WW_verify_" and 8 to 64 letters and digits, or 10 to 32 of
// them alone, and ".txt"; a content has 1 to 1,024 bytes. Handler returns an
// error with one line for each mistake. A later change of files has no effect.
func Handler(next http.Handler, files map[string]string) (http.Handler, error) {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(files)) {
		errs = append(errs, check(name, files[name]))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	files = maps.Clone(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if content, ok := files[strings.TrimPrefix(r.URL.Path, "/")]; ok && strings.HasPrefix(r.URL.Path, "/") {
			serve(w, r, content)
			return
		}
		next.ServeHTTP(w, r)
	}), nil
}

// check returns an error for a file that WeChat's check of a domain would not
// find.
func check(name, content string) error {
	var errs []error
	if !fileName.MatchString(name) {
		errs = append(errs, fmt.Errorf("verifyfile: %q is not the name of WeChat's file, such as \"MP_verify_0123456789abcdef.txt\"", redact.Clean(name)))
	}
	if content == "" || len(content) > maxContent {
		errs = append(errs, fmt.Errorf("verifyfile: the content of %s has %d bytes; give what the downloaded file holds", redact.Clean(name), len(content)))
	}
	return errors.Join(errs...)
}

func serve(w http.ResponseWriter, r *http.Request, content string) {
	h := w.Header()
	respond.NoStore(h) // a cache must not serve an old file after a new one is set
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		return
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(content)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write([]byte(content)) // the client may have disconnected
	}
}
