package main

import (
	"bytes"
	"flag"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func newTestField(t *testing.T) *field {
	t.Helper()
	f, err := newField(t.Context())
	t.Cleanup(f.close)
	require.NoError(t, err)
	return f
}

func TestContenders(t *testing.T) {
	f := newTestField(t)
	for name, all := range map[string][]*contender{"memory": f.memory, "redis": f.stored} {
		for _, c := range all {
			t.Run(name+" "+c.name, func(t *testing.T) {
				require.NoError(t, c.visit(0))
				assert.Equal(t, openIDOf(0), c.users[0].response.body.String())
			})
		}
	}
	for name, all := range map[string][]*contender{"page": f.visits, "script": f.scripts} {
		for _, c := range all {
			t.Run("anonymous "+name+" "+c.name, func(t *testing.T) { require.NoError(t, c.visit(0)) })
		}
	}
	want := named(f.scripts, "wechatauth").users[0].response
	for _, name := range []string{"bare", "bare-prepared"} {
		got := named(f.scripts, name).users[0].response
		assert.Equal(t, want.body.String(), got.body.String(), name)
		assert.Equal(t, want.header, got.header, name)
	}
}

func TestLoginSites(t *testing.T) {
	pair, err := newTestField(t).newLoginPair()
	require.NoError(t, err)
	for _, site := range []*loginSite{pair.gothic, pair.ours} {
		t.Run(site.name, func(t *testing.T) {
			cookies, err := site.login(5)
			require.NoError(t, err)
			body, err := visitWith(site.handler, cookies)
			require.NoError(t, err)
			assert.Equal(t, openIDOf(5), body)
			assert.Positive(t, site.own.Load())
		})
	}
}

func TestAllocs(t *testing.T) {
	f := newTestField(t)
	for name, row := range map[string]struct {
		ours  *contender
		above *contender
		most  int
	}{
		"authenticated, memory":     {named(f.memory, "wechatauth"), named(f.memory, "bare"), 5},
		"authenticated, Redis":      {named(f.stored, "wechatauth"), named(f.stored, "redigo"), 15},
		"authenticated, near cache": {named(f.stored, "wechatauth-near"), named(f.memory, "bare"), 5},
		"anonymous page":            {named(f.visits, "wechatauth"), named(f.memory, "bare"), 21},
		"anonymous script":          {named(f.scripts, "wechatauth"), named(f.scripts, "bare"), 1},
	} {
		t.Run(name, func(t *testing.T) {
			got := allocs(row.ours) - allocs(row.above)
			t.Logf("%d allocations above %s", got, row.above.name)
			assert.LessOrEqual(t, got, row.most)
		})
	}
}

func TestRedisCommands(t *testing.T) {
	f := newTestField(t)
	pair, err := f.newLoginPair()
	require.NoError(t, err)
	login := func() error { _, err := pair.ours.login(3); return err }
	for name, row := range map[string]struct {
		do   func() error
		want map[string]int
	}{
		"authenticated request":                    {visits(named(f.stored, "wechatauth")), map[string]int{"get": 10}},
		"authenticated request, near cache":        {visits(named(f.stored, "wechatauth-near")), map[string]int{}},
		"anonymous page":                           {visits(named(f.visits, "wechatauth")), map[string]int{}},
		"anonymous script":                         {visits(named(f.scripts, "wechatauth")), map[string]int{}},
		"authenticated request of scs, as a check": {visits(named(f.stored, "scs")), map[string]int{"get": 10}},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, row.do()) // connects, and fills the near cache
			called, err := commands(f.redis, row.do)
			require.NoError(t, err)
			assert.Equal(t, row.want, called)
		})
	}
	t.Run("login", func(t *testing.T) {
		require.NoError(t, login())
		before := pair.trips.Load()
		called, err := commands(f.redis, login)
		require.NoError(t, err)
		trips := pair.trips.Load() - before
		t.Logf("a login: %d round trips, commands %v", trips, called)
		assert.LessOrEqual(t, trips, int64(3), "round trips")
		assert.NotContains(t, slices.Collect(maps.Keys(called)), "get", "an anonymous user has no session to look up")
	})
}

// visits sends ten requests of the same user.
func visits(c *contender) func() error {
	return func() error {
		for range 10 {
			if err := c.visit(0); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestRecordSize(t *testing.T) {
	ours, scs, err := newTestField(t).footprints()
	require.NoError(t, err)
	t.Logf("record: ours %d bytes, scs %d; in Redis: ours %d, scs %d", ours.bytes, scs.bytes, ours.redis, scs.redis)
	assert.LessOrEqual(t, float64(ours.bytes), 0.42*float64(scs.bytes))
	assert.LessOrEqual(t, ours.redis, 512)
}

func TestQuantiles(t *testing.T) {
	assert.Equal(t, 3.0, median([]float64{9, 1, 3}))
	assert.Equal(t, 2.0, median([]float64{9, 1, 3, 1}))
	assert.Equal(t, "a=1; c=3", cookieHeader(http.Header{"Set-Cookie": {"c=3; Path=/", "b=; Max-Age=0"}}, "a=1; b=2"))
}

func TestOutput_Goals(t *testing.T) {
	f := newTestField(t)
	pair, err := f.newLoginPair()
	require.NoError(t, err)
	var out bytes.Buffer
	missed, err := f.conclude(&rounds{out: &out, n: 1}, pair, 0)
	require.NoError(t, err)

	goals := map[string][]string{}
	var last []string
	var over []string
	for line := range strings.Lines(out.String()) {
		words := strings.Fields(line)
		if last = words; words[0] != "count" && words[0] != "ratio" {
			continue
		}
		require.Regexp(t, `^(count [a-z0-9_]+ [0-9]+ [0-9]+|ratio [a-z0-9_]+ [0-9]+\.[0-9]{3} [0-9]+\.[0-9]{2})\n$`, line)
		goals[words[0]] = append(goals[words[0]], words[1]+" "+words[3])
		value, err := strconv.ParseFloat(words[2], 64)
		require.NoError(t, err)
		most, err := strconv.ParseFloat(words[3], 64)
		require.NoError(t, err)
		if value > most {
			over = append(over, words[1])
		}
	}
	assert.Equal(t, map[string][]string{
		"count": {"authenticated_memory_allocs_above_bare 12", "anonymous_page_redis_commands 0", "login_round_trips 4", "record_redis_bytes 512"},
		"ratio": {
			"authenticated_memory 0.10", "authenticated_redis 1.10", "authenticated_near_cache 0.03", "anonymous_page 0.10",
			"anonymous_script 4.00", "login 0.60", "p99_64_visitors 0.80", "record_bytes 0.42",
		},
	}, goals)
	assert.Equal(t, "record_bytes", last[1], "the goals are at the end")
	for _, name := range over {
		assert.Contains(t, missed, name)
	}
}

func TestGoals_Missed(t *testing.T) {
	missed := []string{"login", "record_bytes"}
	t.Setenv("GOALS", "")
	set, err := readSettings()
	require.NoError(t, err)
	assert.NoError(t, set.judge(missed))

	t.Setenv("GOALS", "must")
	set, err = readSettings()
	require.NoError(t, err)
	assert.NoError(t, set.judge(nil))
	assert.EqualError(t, set.judge(missed), "goals missed: login, record_bytes")

	t.Setenv("GOALS", "maybe")
	_, err = readSettings()
	assert.ErrorContains(t, err, "GOALS")
}

// The form is that of golang.org/design/14313-benchmark-format: a name, a number
// of times, and pairs of a figure and its unit.
func TestOutput_Benchstat(t *testing.T) {
	testing.Init()
	before := flag.Lookup("test.benchtime").Value.String()
	require.NoError(t, flag.Set("test.benchtime", "1x"))
	t.Cleanup(func() { _ = flag.Set("test.benchtime", before) })
	f := newTestField(t)
	pair, err := f.newLoginPair()
	require.NoError(t, err)
	var out bytes.Buffer
	rs := &rounds{out: &out, n: 1}
	require.NoError(t, rs.measure(f.groups(pair, nil)...))
	require.NoError(t, f.memoryFigures(rs))
	require.NoError(t, f.growSessions(rs, []int{1, 10}))
	require.NoError(t, f.growVisitors(rs, []int{1, 5}))
	_, err = f.conclude(rs, pair, 0)
	require.NoError(t, err)

	form := regexp.MustCompile(`^Benchmark[A-Z][^\s]*-[0-9]+\t *[1-9][0-9]*(\t *[0-9]+(\.[0-9]+)? [A-Za-z][A-Za-z0-9/-]*)+\n$`)
	names := map[string]int{}
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, "count ") || strings.HasPrefix(line, "ratio ") {
			continue
		}
		assert.Regexp(t, form, line)
		names[strings.Fields(line)[0]]++
	}
	assert.Len(t, names, 3*(4+5+2+3+2)+5+2+2*3+2, "one line for each")
}

func TestRush_Rejected(t *testing.T) {
	crowd := func(statuses ...int) *contender { // responds with each status in turn
		var asked atomic.Int64
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(statuses[int(asked.Add(1))%len(statuses)])
		})
		return anonymous("crowd", h, http.StatusOK, func() *user { return newVisitor("") })
	}
	result, err := rush(crowd(200, 503, 503, 503), 400)
	require.NoError(t, err)
	assert.Equal(t, 300.0, result.Extra["refused"])
	assert.InEpsilon(t, 100/result.T.Seconds(), result.Extra["req/s"], 1e-9)

	_, err = rush(crowd(200, 503, 500), 400)
	assert.ErrorContains(t, err, "the response is 500")
}

func TestOnly(t *testing.T) {
	f := newTestField(t)
	pair, err := f.newLoginPair()
	require.NoError(t, err)
	var names []string
	for _, group := range f.groups(pair, regexp.MustCompile(`redis/visitors=2/who=(scs|redigo)$`)) {
		for _, m := range group {
			names = append(names, m.name)
		}
	}
	assert.Equal(t, []string{"Authenticated/store=redis/visitors=2/who=redigo", "Authenticated/store=redis/visitors=2/who=scs"}, names)
}
