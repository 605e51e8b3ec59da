package wechatauth

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"

	"github.com/wechatauth/wechatauth/internal/redact"
	"github.com/wechatauth/wechatauth/internal/respond"
)

// verifyFileName matches the files that prove who owns a domain:
// MP_verify_… of official accounts, WW_verify_… of WeCom, and ten letters or
// digits for the domains of mini programs and third-party platforms.
var verifyFileName = regexp.MustCompile(`^((MP|WW)_verify_[A-Za-z0-9]{8,64}|[A-Za-z0-9]{10,32})\.txt$`)

const maxVerifyFile = 1024

// checkVerifyFile refuses what WeChat's check would not find.
func checkVerifyFile(name, content string) (errs []error) {
	if !verifyFileName.MatchString(name) {
		errs = append(errs, fmt.Errorf("WithVerifyFile: %q is not the name of WeChat's file, such as \"MP_verify_0123456789abcdef.txt\"", redact.Clean(name)))
	}
	if content == "" || len(content) > maxVerifyFile {
		errs = append(errs, fmt.Errorf("WithVerifyFile: the content of %s has %d bytes; give what the downloaded file holds", redact.Clean(name), len(content)))
	}
	return errs
}

// verifyFile returns the content of the file that is asked for, if it is one.
// WeChat asks from addresses of its own, without cookies, at the root of the
// domain.
func (a *Auth) verifyFile(r *http.Request) (string, bool) {
	if len(a.verifyFiles) == 0 || len(r.URL.Path) < 2 {
		return "", false
	}
	content, ok := a.verifyFiles[r.URL.Path[1:]]
	return content, ok
}

func (g *gate) serveVerifyFile(w http.ResponseWriter, r *http.Request, content string) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		g.methodNotAllowed(w, r, "GET, HEAD")
		return
	}
	h := w.Header()
	respond.NoStore(h) // a new file shall not be shadowed by an old one in a cache
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(content)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write([]byte(content)) // who asked has gone: nobody is left to tell
	}
}
