package respond

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAddVary(t *testing.T) {
	for name, c := range map[string]struct{ before, after []string }{
		"none":       {nil, []string{"Cookie"}},
		"another":    {[]string{"Accept"}, []string{"Accept", "Cookie"}},
		"present":    {[]string{"Cookie"}, []string{"Cookie"}},
		"in a list":  {[]string{"Accept, cookie"}, []string{"Accept, cookie"}},
		"as a part":  {[]string{"X-Cookie"}, []string{"X-Cookie", "Cookie"}},
		"everything": {[]string{"*"}, []string{"*", "Cookie"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := http.Header{}
			if c.before != nil {
				h["Vary"] = c.before
			}
			AddVary(h, "Cookie")
			assert.Equal(t, c.after, h["Vary"])
		})
	}
}

func TestRedirect(t *testing.T) {
	w := httptest.NewRecorder()
	Redirect(w, "/a/../b//c?d=%2F")
	assert.Equal(t, http.StatusSeeOther, w.Code)
	assert.Equal(t, "/a/../b//c?d=%2F", w.Header().Get("Location"), "as it is")
	assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	assert.Equal(t, "no-referrer", w.Header().Get("Referrer-Policy"))
	assert.Equal(t, []string{"Cookie"}, w.Header()["Vary"])
	assert.Empty(t, w.Body.String())
}

// TestJSON compares the output with that of encoding/json.
func TestJSON(t *testing.T) {
	for _, text := range []string{"", "/", "/orders?id=7&a=b", "/<script>", `/"\`, "/你好", "/\u2028\u2029", "/\xff\xfe", "/\x00\x1f\x7f\t\n", strings.Repeat(`"`, 300)} {
		want, err := json.Marshal(struct {
			Error    string `json:"error"`
			LoginURL string `json:"login_url,omitempty"`
			Number   int    `json:"n"`
		}{"login_required", text, -7})
		require.NoError(t, err)
		w := httptest.NewRecorder()
		JSON(w, http.StatusUnauthorized, Text("error", "login_required"), Text("login_url", text), Int("n", -7))
		assert.Equal(t, string(want)+"\n", w.Body.String())
		assert.Equal(t, http.StatusUnauthorized, w.Code)
		assert.Equal(t, strconv.Itoa(w.Body.Len()), w.Header().Get("Content-Length"))
	}
}
