package returntotest

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The browser of these tests against what Node.js 20's WHATWG URL parser made
// of the same strings. The file records, for each string, the path on the own
// origin that it leads to, or "elsewhere".
func TestBrowserGoesTo(t *testing.T) {
	elsewhere := 0
	rows := Read(t, "browser.txt")
	for _, row := range rows {
		path, same := BrowserGoesTo(row.Raw)
		if row.Want == "elsewhere" {
			elsewhere++
			assert.False(t, same, "%q leads to %q", row.Raw, path)
			continue
		}
		assert.True(t, same, "%q leads elsewhere", row.Raw)
		assert.Equal(t, DecodeOnce(row.Want), DecodeOnce(path), "%q", row.Raw)
	}
	require.NotZero(t, elsewhere)
	t.Logf("locations %d, elsewhere %d", len(rows), elsewhere)
}
