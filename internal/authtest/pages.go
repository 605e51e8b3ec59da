package authtest

import (
	"crypto/sha256"
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// CSPHash returns the source of a Content-Security-Policy that allows a text.
func CSPHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// StyleOf returns the style sheet of the pages.
func StyleOf(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(Root, "internal/page/page.css"))
	require.NoError(t, err)
	return string(b)
}

const (
	Wanted      = "/orders?id=7"
	RetryWanted = `href="/wechat/login?next=%2Forders%3Fid%3D7&amp;again=1"`
)
