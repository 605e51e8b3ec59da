package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const runSetup = "run make setup in the root of the repository"

// axeSource is the script of axe-core.
var axeSource = sync.OnceValues(func() (string, error) {
	script, err := os.ReadFile(filepath.Join("..", "bin", "axe-core"))
	if err != nil {
		return "", fmt.Errorf("%w; %s", err, runSetup)
	}
	return string(script), nil
})

// Rules of axe: all that are about levels A and AA of WCAG, or only those that a
// color scheme changes.
const (
	allRules   = `{ type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }`
	colorRules = `{ type: "rule", values: ["color-contrast"] }`
)

// violations returns what axe finds on the current page. The browser, not the
// page, loads axe, so that no policy applies to it.
func (tb *tab) violations(rules string) []string {
	tb.t.Helper()
	if !eval[bool](tb, "typeof axe === 'object'") {
		script, err := axeSource()
		require.NoError(tb.t, err)
		require.NoError(tb.t, chromedp.Do(tb.ctx, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, runtime.Evaluate, runtime.EvaluateParams{Expression: script})
			return err
		})))
	}
	found, err := chromedp.Run(tb.ctx, chromedp.Evaluate[[]string](`axe.run(document, { runOnly: `+rules+`, resultTypes: ["violations"], iframes: false }).then((result) =>
		result.violations.flatMap((v) => v.nodes.map((n) => v.id + ": " + n.target.join(" ") + ": " + n.failureSummary)))`, chromedp.EvalAwaitPromise))
	require.NoError(tb.t, err)
	return found
}

func TestAxe_Finds(t *testing.T) {
	t.Parallel()
	pages := map[string]string{
		"image-alt":      `<img src="data:,">`,
		"button-name":    `<button></button>`,
		"label":          `<input>`,
		"color-contrast": `<p style="color: #999">pale</p>`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><html lang=en><title>x</title><link rel=icon href='data:,'><main><h1>x</h1>", pages[strings.TrimPrefix(r.URL.Path, "/")], "</main>")
	}))
	defer server.Close()
	tb := openBrowser(t).tab()
	for rule := range pages {
		tb.open(server.URL + "/" + rule)
		assert.Contains(t, strings.Join(tb.violations(allRules), "\n"), rule+": ")
	}
	tb.open(server.URL)
	assert.Empty(t, tb.violations(allRules))
}
