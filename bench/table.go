package main

import (
	"fmt"
	"regexp"
	"slices"
	"sync/atomic"
	"testing"
)

// parallel is how many visitors ask at once.
var parallel = []int{1, 2, maxVisitors}

// authenticated names a measurement of visitors who are logged in.
func authenticated(store, who string, visitors int) string {
	return fmt.Sprintf("Authenticated/store=%s/visitors=%d/who=%s", store, visitors, who)
}

func anonymousName(what, who string) string { return fmt.Sprintf("Anonymous/%s/who=%s", what, who) }

func loginName(who string) string { return "Login/who=" + who }

// groups are what is measured in turns; those whose name matches, if only is not
// nil.
func (f *field) groups(pair *loginPair, only *regexp.Regexp) [][]measurement {
	var groups [][]measurement
	for _, visitors := range parallel {
		groups = append(groups,
			group(f.memory, visitors, func(who string) string { return authenticated("memory", who, visitors) }),
			group(f.stored, visitors, func(who string) string { return authenticated("redis", who, visitors) }))
	}
	groups = append(groups,
		group(f.visits, 1, func(who string) string { return anonymousName("page", who) }),
		group(f.scripts, 1, func(who string) string { return anonymousName("script", who) }),
		[]measurement{pair.gothic.measurement(), pair.ours.measurement()})
	if only != nil {
		for i := range groups {
			groups[i] = slices.DeleteFunc(groups[i], func(m measurement) bool { return !only.MatchString(m.name) })
		}
	}
	return groups
}

func group(all []*contender, visitors int, name func(who string) string) []measurement {
	var ms []measurement
	for _, c := range all {
		ms = append(ms, measurement{name: name(c.name), visitors: visitors, visit: c.visit, extra: perSecond})
	}
	return ms
}

func perSecond(b *testing.B) { b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s") }

// measurement is one visitor after another logging in. own-ns is the site's own
// time in it; the rest is the simulator's and the browser's.
func (s *loginSite) measurement() measurement {
	return measurement{
		name: loginName(s.name), visitors: 1,
		begin: func() { s.own = 0 },
		visit: func(int) error {
			s.count++
			_, err := s.login(s.count % maxVisitors)
			return err
		},
		extra: func(b *testing.B) {
			b.ReportMetric(float64(s.own)/float64(b.N), "own-ns")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "logins/s")
		},
	}
}

// loginPair is ours and goth's.
type loginPair struct {
	gothic, ours *loginSite
	trips        *atomic.Int64 // round trips of ours
}

func (f *field) newLoginPair() (*loginPair, error) {
	gothic, ours, trips, err := f.newLoginSites()
	return &loginPair{gothic: gothic, ours: ours, trips: trips}, err
}

// conclude prints the goals.
func (f *field) conclude(rs *rounds, pair *loginPair) error {
	c, err := f.counts(pair)
	if err != nil {
		return err
	}
	ours, scs, err := f.footprints()
	if err != nil {
		return err
	}
	memory := func(who string) string { return authenticated("memory", who, 1) }
	redis := func(who string, visitors int) string { return authenticated("redis", who, visitors) }
	rows := []struct {
		name         string
		ours, theirs string
		figure       func(testing.BenchmarkResult) float64
		goal         float64
	}{
		{"authenticated_memory", memory("wechatauth"), memory("scs"), nsPerOp, 0.10},
		{"authenticated_redis", redis("wechatauth", 1), redis("redigo", 1), nsPerOp, 1.10},
		{"authenticated_near_cache", redis("wechatauth-near", 1), redis("scs", 1), nsPerOp, 0.03},
		{"anonymous_page", anonymousName("page", "wechatauth"), anonymousName("page", "scs"), nsPerOp, 0.10},
		{"anonymous_script", anonymousName("script", "wechatauth"), anonymousName("script", "bare"), nsPerOp, 4},
		{"login", loginName("wechatauth"), loginName("gothic"), metric("own-ns"), 0.6},
		{"p99_64_visitors", redis("wechatauth", maxVisitors), redis("scs", maxVisitors), metric("p99-ns"), 0.8},
	}
	count := func(name string, value, goal int) { fmt.Fprintf(rs.out, "count %s %d %d\n", name, value, goal) }
	count("authenticated_memory_allocs_above_bare", c.allocsAboveBare, 12)
	count("anonymous_page_redis_commands", c.visitCommands, 0)
	count("login_round_trips", c.loginTrips, 4)
	count("record_redis_bytes", ours.redis, 512)
	for _, row := range rows {
		value, err := rs.ratio(row.ours, row.theirs, row.figure)
		if err != nil {
			return err
		}
		fmt.Fprintf(rs.out, "ratio %s %.3f %.2f\n", row.name, value, row.goal)
	}
	fmt.Fprintf(rs.out, "ratio record_bytes %.3f %.2f\n", float64(ours.bytes)/float64(scs.bytes), 0.4)
	return nil
}

// counts do not jitter.
type counts struct {
	allocsAboveBare int
	visitCommands   int
	loginTrips      int
	loginCommands   map[string]int
}

func (f *field) counts(pair *loginPair) (c counts, err error) {
	c.allocsAboveBare = allocs(named(f.memory, "wechatauth")) - allocs(named(f.memory, "bare"))
	called, err := commands(f.redis, func() error { return named(f.visits, "wechatauth").visit(0) })
	if err != nil {
		return c, err
	}
	c.visitCommands = total(called)
	if _, err := pair.ours.login(0); err != nil { // connects
		return c, err
	}
	before := pair.trips.Load()
	c.loginCommands, err = commands(f.redis, func() error {
		_, err := pair.ours.login(1)
		return err
	})
	c.loginTrips = int(pair.trips.Load() - before)
	return c, err
}

// allocs is how many allocations one visit takes.
func allocs(c *contender) int {
	return int(testing.AllocsPerRun(200, func() {
		if err := c.visit(0); err != nil {
			panic(err)
		}
	}))
}
