package main

import (
	"bytes"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
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

func TestEveryContenderDoesTheSameWork(t *testing.T) {
	f := newTestField(t)
	for name, all := range map[string][]*contender{"memory": f.memory, "redis": f.stored} {
		for _, c := range all {
			t.Run(name+" "+c.name, func(t *testing.T) {
				require.NoError(t, c.visit(0))
				assert.Equal(t, openIDOf(0), c.visitors[0].answer.body.String())
			})
		}
	}
	for name, all := range map[string][]*contender{"page": f.visits, "script": f.scripts} {
		for _, c := range all {
			t.Run("anonymous "+name+" "+c.name, func(t *testing.T) { require.NoError(t, c.visit(0)) })
		}
	}
	bare, ours := f.scripts[0], f.scripts[1]
	require.NoError(t, bare.visit(0))
	require.NoError(t, ours.visit(0))
	assert.Equal(t, ours.visitors[0].answer.body.String(), bare.visitors[0].answer.body.String())
	assert.Equal(t, ours.visitors[0].answer.header, bare.visitors[0].answer.header)
}

func TestALoginOfEitherEndsInASessionOfThatVisitor(t *testing.T) {
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

func TestAllocationsStayWithinTheirBounds(t *testing.T) {
	f := newTestField(t)
	for name, row := range map[string]struct {
		ours  *contender
		above *contender
		most  int
	}{
		"authenticated, memory":     {named(f.memory, "wechatauth"), named(f.memory, "bare"), 5},
		"authenticated, Redis":      {named(f.stored, "wechatauth"), named(f.stored, "redigo"), 7},
		"authenticated, near cache": {named(f.stored, "wechatauth-near"), named(f.memory, "bare"), 5},
		"anonymous page":            {named(f.visits, "wechatauth"), named(f.memory, "bare"), 20},
		"anonymous script":          {named(f.scripts, "wechatauth"), named(f.scripts, "bare"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			got := allocs(row.ours) - allocs(row.above)
			t.Logf("%d allocations above %s", got, row.above.name)
			assert.LessOrEqual(t, got, row.most)
		})
	}
}

func TestRedisIsAskedNoMoreThanNeeded(t *testing.T) {
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
		assert.NotContains(t, slices.Collect(maps.Keys(called)), "get", "an anonymous visitor has no session to look for")
	})
}

// visits asks ten times, as the same visitor.
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

func TestARecordOfOursIsAtMostTwoFifthsOfThatOfSCS(t *testing.T) {
	ours, scs, err := newTestField(t).footprints()
	require.NoError(t, err)
	t.Logf("record: ours %d bytes, scs %d; in Redis: ours %d, scs %d", ours.bytes, scs.bytes, ours.redis, scs.redis)
	assert.LessOrEqual(t, float64(ours.bytes), 0.4*float64(scs.bytes))
	assert.LessOrEqual(t, ours.redis, 512)
}

func TestTheMedianAndTheQuantilesAreThoseOfTheRounds(t *testing.T) {
	assert.Equal(t, 3.0, median([]float64{9, 1, 3}))
	assert.Equal(t, 2.0, median([]float64{9, 1, 3, 1}))
	assert.Equal(t, "a=1; c=3", cookieHeader(http.Header{"Set-Cookie": {"c=3; Path=/", "b=; Max-Age=0"}}, "a=1; b=2"))
}

func TestTheOutputEndsWithALineForEachGoal(t *testing.T) {
	f := newTestField(t)
	pair, err := f.newLoginPair()
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, f.conclude(&rounds{out: &out, n: 1}, pair, 0))

	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Greater(t, len(lines), 8)
	var names []string
	for _, line := range lines[len(lines)-8:] {
		require.Regexp(t, `^ratio [a-z0-9_]+ [0-9]+\.[0-9]{3} [0-9]+\.[0-9]{2}$`, line)
		names = append(names, strings.Fields(line)[1])
	}
	assert.Equal(t, []string{
		"authenticated_memory", "authenticated_redis", "authenticated_near_cache", "anonymous_page",
		"anonymous_script", "login", "p99_64_visitors", "record_bytes",
	}, names)
	assert.Contains(t, out.String(), "count login_round_trips ")
}

func TestOnlyWhatIsAskedForIsMeasured(t *testing.T) {
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
