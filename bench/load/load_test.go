package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/command/commandtest"
)

func TestMeasure(t *testing.T) {
	p, err := startPlant(t.Context(), 3)
	t.Cleanup(p.close)
	require.NoError(t, err)

	set := settings{browsers: 3, pages: 2, plot: filepath.Join(t.TempDir(), "load.svg")}
	r, err := p.drive(t.Context(), "flat out", set, 0)
	require.NoError(t, err)
	assert.Empty(t, r.errors)
	assert.Len(t, r.times[kindBegin], 3)
	assert.Len(t, r.times[kindCallback], 3)
	assert.Len(t, r.times[kindPage], 3*(1+2), "the page after the login, and two more")
	assert.Len(t, r.times[kindLogout], 3)
	assert.Len(t, r.times[kindAfter], 3)
	assert.Equal(t, "flat out: 21 of 21 requests", p.status())
	assert.Equal(t, 9, r.commands["get"], "one for each page")

	var out bytes.Buffer
	require.NoError(t, p.measure(t.Context(), &out, set))
	for _, line := range []string{
		`flat out: 3 browsers, each a login, 2 pages and a logout`,
		`paced: 3 browsers, each a login, 2 pages and a logout, up to [0-9]+ requests/s`,
		`  21 requests to the site in [0-9.]+ s: [0-9]+ requests/s, [0-9]+ logins/s`,
		`  milliseconds         responses       p50       p99     p99.9   longest`,
		`  page, anonymous             3( +[0-9]+\.[0-9]{2}){4}`,
		`  callback                    3( +[0-9]+\.[0-9]{2}){4}`,
		`  page, logged in             9( +[0-9]+\.[0-9]{2}){4}`,
		`  logout                      3( +[0-9]+\.[0-9]{2}){4}`,
		`  fetch, logged out           3( +[0-9]+\.[0-9]{2}){4}`,
		`  processor time for each request: site [0-9]+ µs, Redis [0-9]+ µs, WeChat [0-9]+ µs, this driver [0-9]+ µs`,
		`  Redis commands for each request: [0-9.]+ \(.*get 9.*\)`,
		`  errors: 0`,
	} {
		assert.Regexp(t, `(?m)^`+line+`$`, out.String())
	}
	drawn, err := os.ReadFile(set.plot)
	require.NoError(t, err)
	assert.Contains(t, string(drawn), "<svg")
}

func TestMeasure_WrongResponse(t *testing.T) {
	p, err := startPlant(t.Context(), 2)
	t.Cleanup(p.close)
	require.NoError(t, err)
	var out bytes.Buffer
	err = p.measure(t.Context(), &out, settings{browsers: 3, pages: 1}) // WeChat has no third person
	assert.EqualError(t, err, "2 errors; 0 are allowed")
	assert.Contains(t, out.String(), "paced: ")
	assert.Equal(t, 2, strings.Count(out.String(), "  errors: 1\n    visit: "))
}

func TestCommand(t *testing.T) {
	program := commandtest.Build(t, "load")
	program.Usage(t, []string{"-browsers", "0"}, []string{"-pages", "0"}, []string{"-browsers", "many"})

	passed := program.Run(t, nil, "-browsers", "2", "-pages", "1")
	assert.Zero(t, passed.Code)
	assert.Equal(t, 2, strings.Count(passed.Stdout, "  errors: 0\n"))
	assert.Equal(t, "PASS", passed.LastLine())

	failed := program.Run(t, []string{"PATH="}) // neither go nor redis-server
	assert.Equal(t, 1, failed.Code)
	assert.Equal(t, "FAIL\n", failed.Stdout)
	assert.Regexp(t, `^load: build examples/nethttp: .*\n$`, failed.Stderr)
}

func TestBrowser_OtherUser(t *testing.T) {
	p, err := startPlant(t.Context(), 1)
	t.Cleanup(p.close)
	require.NoError(t, err)
	b, err := newBrowser(0, p.wechatURL, p.robin)
	require.NoError(t, err)
	b.openID = "other-user"
	assert.ErrorContains(t, b.live(t.Context(), 0, 1, time.Now(), 0), "visit: status 200")
}

func TestPaceOf(t *testing.T) {
	p := paceOf(100, 40, 20)
	assert.Equal(t, 10*time.Second, p.arrivals, "40 browsers with 25 requests each")
	perBrowser := float64(requestsOf(20)) / (time.Duration(21) * p.pause).Seconds()
	atOnce := 40 * (float64(21*p.pause) / float64(p.arrivals))
	assert.InDelta(t, 100, perBrowser*atOnce, 1)
	assert.Zero(t, paceOf(0, 40, 20))
}

func TestStatTimes(t *testing.T) {
	const tail = " S 1 2 3 4 5 6 7 8 9 10 120 30 0 0 20 0 1 0 1 1 1 1\n"
	for name, program := range map[string]string{"plain": "(nethttp)", "spaces and parentheses": "(a) R 1 (b)", "a line break": "(a\nb)"} {
		t.Run(name, func(t *testing.T) {
			user, system, err := parseStat("42 " + program + tail)
			require.NoError(t, err)
			assert.Equal(t, []time.Duration{120, 30}, []time.Duration{user, system})
		})
	}
	_, _, err := parseStat("42 (nethttp) S 1")
	assert.Error(t, err)
}

func TestQuantile(t *testing.T) {
	times := make([]time.Duration, 1000)
	for i := range times {
		times[i] = time.Duration(i+1) * time.Millisecond
	}
	for share, want := range map[float64]float64{0: 1, 0.5: 500, 0.99: 990, 0.999: 999, 1: 1000} {
		assert.Equal(t, want, milliseconds(quantile(times, share)), "%v", share)
	}
	assert.Zero(t, quantile(nil, 0.5))
}

func TestPlot(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, plot(&out, "a < b", "c & d", []curve{
		{"one & only", "#000000", []time.Duration{time.Millisecond, 2 * time.Millisecond}},
		{"nothing measured", "#000000", nil},
	}))
	words := ""
	for dec := xml.NewDecoder(&out); ; {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if text, ok := token.(xml.CharData); ok {
			words += string(text) + "\n"
		}
	}
	for _, want := range []string{"a < b", "c & d", "one & only", "nothing measured", "1 ms", "2 ms", "99.9 %", "time until the response"} {
		assert.Contains(t, words, want)
	}
}
