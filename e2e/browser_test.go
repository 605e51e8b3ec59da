package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// browser is a running Chromium with a fresh profile.
type browser struct {
	t       *testing.T
	ctx     context.Context
	started bool
	old     bool // does not end by itself
}

// openBrowser starts a browser that reaches only loopback addresses. Any
// problem that its tabs have reported fails the test at its end.
func openBrowser(t *testing.T) *browser { return openBrowserFor(t, patience) }

// openBrowserForLooks starts a browser whose windows have all looks in turn:
// starting Chromium for each takes longer than the test.
func openBrowserForLooks(t *testing.T) *browser { return openBrowserFor(t, 4*patience) }

func openBrowserFor(t *testing.T, life time.Duration, flags ...chromedp.ExecAllocatorOption) *browser {
	t.Helper()
	path, err := findChromium()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), life)
	t.Cleanup(cancel)
	ctx, cancelAllocator := chromedp.NewExecAllocator(ctx, slices.Concat(chromedp.DefaultExecAllocatorOptions[:], []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // Chromium cannot have it as root, in a container
		chromedp.DisableGPU,
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"),
		// Going back requests the page again, as on a phone with little memory.
		chromedp.Flag("disable-features", "Translate,BlinkGenPropertyTrees,BackForwardCache"),
	}, flags)...)
	t.Cleanup(cancelAllocator) // waits for the process, and removes its profile
	return &browser{t: t, ctx: ctx}
}

func findChromium() (path string, err error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no Chromium; install it (Debian and Ubuntu: apt-get install chromium, macOS: brew install --cask chromium)")
}

// tab opens a tab. All tabs of a browser share its cookies.
func (b *browser) tab() *tab {
	b.t.Helper()
	tb := &tab{t: b.t}
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithListener(tb.hear))
	tb.ctx = ctx
	if b.started {
		b.t.Cleanup(cancel)
	} else { // the first tab starts the browser, the others run in it
		b.ctx, b.started = ctx, true
		b.t.Cleanup(func() {
			if b.old {
				cancel()
				return
			}
			assert.NoError(b.t, chromedp.Cancel(ctx), "close the browser")
		})
	}
	b.t.Cleanup(tb.assertQuiet)
	require.NoError(b.t, chromedp.Do(ctx))
	return tb
}

// window opens a tab with separate cookies, as a fresh profile has, for a test
// within the browser's.
func (b *browser) window(t *testing.T) *tab {
	t.Helper()
	if !b.started {
		b.tab()
	}
	tb := &tab{t: t}
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(tb.hear))
	tb.ctx = ctx
	t.Cleanup(cancel)
	t.Cleanup(tb.assertQuiet)
	require.NoError(t, chromedp.Do(ctx))
	return tb
}

// tab is driven from one goroutine at a time.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	requests []string // every URL requested, including redirects
	problems []string // what a developer would see in red
}

// hear collects what the browser reports. It runs between two messages of the
// browser and must not block.
func (tb *tab) hear(ev any) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	switch ev := ev.(type) {
	case *network.EventRequestWillBeSent:
		tb.requests = append(tb.requests, ev.Request.URL)
		if u, err := url.Parse(ev.Request.URL); err != nil || u.Scheme != "data" && u.Hostname() != "127.0.0.1" && u.Hostname() != "localhost" {
			tb.problems = append(tb.problems, "asked a foreign host: "+ev.Request.URL)
		}
	case *log.EventEntryAdded:
		if strings.HasSuffix(ev.Entry.URL, "/favicon.ico") {
			return // fetched at any time, possibly after the program has ended
		}
		if ev.Entry.Level == log.EntryLevelError || ev.Entry.Level == log.EntryLevelWarning {
			tb.problems = append(tb.problems, fmt.Sprintf("%s: %s (%s)", ev.Entry.Source, ev.Entry.Text, ev.Entry.URL))
		}
	case *runtime.EventExceptionThrown:
		tb.problems = append(tb.problems, "exception: "+ev.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		tb.problems = append(tb.problems, fmt.Sprintf("console.%s", ev.Type))
	}
}

// forgive removes the one problem that contains text: the error status of a
// page that the test expects.
func (tb *tab) forgive(text string) {
	tb.t.Helper()
	tb.mu.Lock()
	defer tb.mu.Unlock()
	i := slices.IndexFunc(tb.problems, func(p string) bool { return strings.Contains(p, text) })
	if assert.GreaterOrEqual(tb.t, i, 0, "no problem with %q in %q", text, tb.problems) {
		tb.problems = slices.Delete(tb.problems, i, i+1)
	}
}

// complaints removes and returns all problems.
func (tb *tab) complaints() []string {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	all := tb.problems
	tb.problems = nil
	return all
}

func (tb *tab) assertQuiet() {
	tb.t.Helper()
	assert.Empty(tb.t, tb.complaints(), "problems that the browser reported")
}

// asked counts the requests for URLs with this prefix.
func (tb *tab) asked(prefix string) (n int) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	for _, r := range tb.requests {
		if strings.HasPrefix(r, prefix) {
			n++
		}
	}
	return n
}

// shown is the page that a tab shows after a navigation.
type shown struct {
	status int64
	url    string
}

// open types a URL into the address bar.
func (tb *tab) open(url string) shown { tb.t.Helper(); return tb.after(chromedp.Navigate(url)) }

// click clicks on a link or a button and waits for the page that follows.
func (tb *tab) click(selector string) shown {
	tb.t.Helper()
	return tb.after(chromedp.Click(chromedp.CSS(selector)))
}

func (tb *tab) back() shown    { tb.t.Helper(); return tb.after(chromedp.NavigateBack()) }
func (tb *tab) forward() shown { tb.t.Helper(); return tb.after(chromedp.NavigateForward()) }
func (tb *tab) reload() shown  { tb.t.Helper(); return tb.after(chromedp.Reload()) }

func (tb *tab) after(navigation chromedp.Action[chromedp.Void]) shown {
	tb.t.Helper()
	response, err := chromedp.RunResponse(tb.ctx, navigation)
	require.NoError(tb.t, err)
	require.NotNil(tb.t, response)
	return shown{response.Status, response.URL}
}

// text returns the text of the first element that matches.
func (tb *tab) text(selector string) string {
	tb.t.Helper()
	return eval[string](tb, fmt.Sprintf("(document.querySelector(%q) || { innerText: '' }).innerText", selector))
}

// reason returns the reason of the page, which its user does not see.
func (tb *tab) reason() string {
	tb.t.Helper()
	return eval[string](tb, "(document.querySelector('footer') || { dataset: {} }).dataset.reason || ''")
}

// has reports whether an element matches.
func (tb *tab) has(selector string) bool {
	tb.t.Helper()
	return eval[bool](tb, fmt.Sprintf("document.querySelector(%q) !== null", selector))
}

// eval runs a script in the page.
func eval[T any](tb *tab, script string) T {
	tb.t.Helper()
	v, err := chromedp.Run(tb.ctx, chromedp.Evaluate[T](script))
	require.NoError(tb.t, err, script)
	return v
}
