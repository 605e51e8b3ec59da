package cookie

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// Our cookies are written as net/http writes them.
func TestJar_netHTTP(t *testing.T) {
	for _, secure := range []bool{false, true} {
		j := Jar{Secure: secure}
		for _, value := range []string{"1", "", "AbC-_09"} {
			got, want := httptest.NewRecorder(), httptest.NewRecorder()
			j.Set(got, "__Host-wechat_out_abc", value, 90*time.Second+time.Millisecond)
			http.SetCookie(want, &http.Cookie{
				Name: "__Host-wechat_out_abc", Value: value, Path: "/", MaxAge: 90, Secure: secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
			})
			assert.Equal(t, want.Header(), got.Header())
		}
	}
}

// Session cookies are read as net/http reads them.
func TestValues(t *testing.T) {
	for _, line := range []string{
		"", "s=1", "s=1; s=2", "a=b; s=1;c=d", "s", "s=", " s = 1 ", "s=1;;s=2;", `s="1"`, `s="1`, `s=""`, `s="`, "S=1", "ss=1", "s=1=2", "s=a b", "s=a\tb", "s=é", "s=a\\b", "s=a,b",
		"s;s=1", "=s", "s\t=\t1\t", "\ts=1", "s=1\r\n", "a=\"s=1\"; s=2", "s= 1", `s=a"b`, "s\x00=1", ";;;", "s=1; " + strings.Repeat("x=y; ", 100) + "s=2",
	} {
		assertCookiesAsNetHTTP(t, line)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header["Cookie"] = []string{"s=1; a=b", "s=2"}
	var got []string
	for value := range Values(r.Header, "s") {
		got = append(got, value)
	}
	assert.Equal(t, []string{"1", "2"}, got, "of several headers")
}

func assertCookiesAsNetHTTP(t *testing.T, line string) {
	t.Helper()
	r := &http.Request{Header: http.Header{"Cookie": {line}}}
	var want, got []string
	for _, c := range r.CookiesNamed("s") {
		want = append(want, c.Value)
	}
	bytes := allocated(func() {
		for value := range Values(r.Header, "s") {
			got = append(got, value)
		}
	})
	assert.LessOrEqual(t, bytes, uint64(1<<20), "bytes allocated")
	assert.Equal(t, want, got, "%q", line)
}

func FuzzCookieHeader(f *testing.F) {
	for _, line := range []string{"s=1", `s="1"; a=b;s=2`, " s\t= x", "s", ";s=;"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if strings.Count(line, ";") < 1000 { // net/http reads none of too many
			assertCookiesAsNetHTTP(t, line)
		}
	})
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestFresh(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_123)
	at := func(d time.Duration) int64 { return now.Add(d).UnixMilli() }
	for name, c := range map[string]struct {
		issuedAt int64
		want     bool
	}{
		"now": {at(0), true}, "at its end": {at(-time.Minute), true}, "after its end": {at(-time.Minute - time.Millisecond), false},
		"ahead": {at(Skew), true}, "too far ahead": {at(Skew + time.Millisecond), false},
		"at no time": {0, false}, "the first of all times": {-1 << 63, false}, "the last of all times": {1<<63 - 1, false},
	} {
		assert.Equal(t, c.want, Fresh(now, c.issuedAt, time.Minute), name)
	}
}
