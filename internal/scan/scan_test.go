package scan

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/wechattest"
)

// TestLooks_At covers a browser that polls and disconnects: its request is
// canceled; the look that others wait for continues.
func TestLooks_At(t *testing.T) {
	t.Run("T88 look outlives the request that started it", func(t *testing.T) {
		var looks Looks
		now, begun, found := time.Unix(1, 0), make(chan context.Context), make(chan string)
		look := func(ctx context.Context, _ string) (string, error) {
			begun <- ctx
			return <-found, nil
		}
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan error)
		go func() {
			_, err := looks.At(ctx, now, "ticket", look)
			left <- err
		}()
		looking := <-begun
		got := make(chan string)
		go func() {
			state, _ := looks.At(t.Context(), now, "ticket", look)
			got <- state
		}()
		leave()
		require.ErrorIs(t, <-left, context.Canceled)
		require.NoError(t, looking.Err())
		found <- Scanned
		assert.Equal(t, Scanned, <-got)

		for i := range 2 * maxLooks {
			_, err := looks.At(t.Context(), now.Add(time.Duration(i)*time.Second), strconv.Itoa(i), func(context.Context, string) (string, error) { return Waiting, nil })
			require.NoError(t, err)
		}
		assert.LessOrEqual(t, len(looks.looks), maxLooks, "old looks are dropped")
	})
}

func TestBrowserName(t *testing.T) {
	for userAgent, want := range map[string]string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Safari/537.36":                                                                  "Chrome · Windows",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1":                                          "Safari · iPhone",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15":                                                            "Safari · macOS",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Safari/537.36 Edg/132.0.0.0":                                                    "Edge · Windows",
		"Mozilla/5.0 (X11; Linux x86_64; rv:134.0) Gecko/20100101 Firefox/134.0":                                                                                                           "Firefox · Linux",
		"Mozilla/5.0 (Tablet; OpenHarmony 6.1; Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Safari/537.36ArkWeb/6.1.0.120 HuaweiBrowser/6.1.6.310": "Huawei Browser · HarmonyOS",
		wechattest.TVBrowser:        "Safari · Tizen",
		"<script>alert(1)</script>": "",
		"":                          "",
	} {
		assert.Equal(t, want, BrowserName(userAgent), userAgent)
	}
}

// A blind guess is right once in 10,000.
func TestNewNumber(t *testing.T) {
	seen := map[string]int{}
	for range 100_000 {
		n := NewNumber()
		if len(n) != 4 || strings.Trim(n, "0123456789") != "" {
			t.Fatalf("%q has no four digits", n)
		}
		seen[n]++
	}
	assert.Greater(t, len(seen), 9_900)
	for n, times := range seen {
		assert.Less(t, times, 60, n)
	}
}

// TestLooks_dropping shows thousands of QR codes at the same time: not every poll
// goes through all of them.
func TestLooks_dropping(t *testing.T) {
	t.Run("T88 old looks are rarely dropped", func(t *testing.T) {
		var looks Looks
		now, drops, kept := time.Unix(1, 0), 0, 0
		for i := range 4 * maxLooks {
			_, err := looks.At(t.Context(), now, strconv.Itoa(i), func(context.Context, string) (string, error) { return Waiting, nil })
			require.NoError(t, err)
			if looks.kept != kept {
				drops, kept = drops+1, looks.kept
			}
		}
		assert.Equal(t, 4*maxLooks, len(looks.looks), "each is still needed")
		assert.LessOrEqual(t, drops, 4)
	})
}
