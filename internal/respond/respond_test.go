package respond

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
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
