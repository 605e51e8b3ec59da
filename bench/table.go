package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// parallel has the numbers of concurrent users.
var parallel = []int{1, 2, maxVisitors}

// authenticated returns the name of a measurement of logged-in users.
func authenticated(store, who string, users int) string {
	return fmt.Sprintf("Authenticated/store=%s/visitors=%d/who=%s", store, users, who)
}

func anonymousName(what, who string, users int) string {
	return fmt.Sprintf("Anonymous/%s/visitors=%d/who=%s", what, users, who)
}

func loginName(who string, users int) string {
	return fmt.Sprintf("Login/visitors=%d/who=%s", users, who)
}

// groups returns what is measured in turns, and only the names that only
// matches unless it is nil.
func (f *field) groups(pair *loginPair, only *regexp.Regexp) [][]measurement {
	var groups [][]measurement
	for _, users := range parallel {
		groups = append(groups,
			group(f.memory, users, func(who string) string { return authenticated("memory", who, users) }),
			group(f.stored, users, func(who string) string { return authenticated("redis", who, users) }),
			group(f.visits, users, func(who string) string { return anonymousName("page", who, users) }),
			group(f.scripts, users, func(who string) string { return anonymousName("script", who, users) }),
			[]measurement{pair.gothic.measurement(users), pair.ours.measurement(users)})
	}
	if only != nil {
		for i := range groups {
			groups[i] = slices.DeleteFunc(groups[i], func(m measurement) bool { return !only.MatchString(m.name) })
		}
	}
	return groups
}

func group(all []*contender, users int, name func(who string) string) []measurement {
	var ms []measurement
	for _, c := range all {
		ms = append(ms, measurement{name: name(c.name), users: users, visit: c.visit, extra: perSecond})
	}
	return ms
}

func perSecond(b *testing.B) { b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s") }

// measurement logs users in, a different one each time. own-ns is the site's
// own time in a login; the rest is the simulator's and the browser's.
func (s *loginSite) measurement(users int) measurement {
	return measurement{
		name: loginName(s.name, users), users: users,
		begin: func() { s.own.Store(0) },
		visit: func(int) error {
			_, err := s.login(int(s.count.Add(1)) % maxVisitors)
			return err
		},
		extra: func(b *testing.B) {
			if users == 1 { // with several users, the waits of others are in between
				b.ReportMetric(float64(s.own.Load())/float64(b.N), "own-ns")
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "logins/s")
		},
	}
}

// A loginPair is our site and goth's.
type loginPair struct {
	gothic, ours *loginSite
	trips        *atomic.Int64 // round trips of ours
}

func (f *field) newLoginPair() (*loginPair, error) {
	gothic, ours, trips, err := f.newLoginSites()
	return &loginPair{gothic: gothic, ours: ours, trips: trips}, err
}

// conclude prints the counts, and then the goals: for each, both contenders
// work for length. It returns the names of those that were missed.
func (f *field) conclude(rs *rounds, pair *loginPair, length time.Duration) (missed []string, err error) {
	ours, scs, err := f.footprints()
	if err != nil {
		return nil, err
	}
	rs.figure("Record/who=wechatauth", "B", float64(ours.bytes))
	rs.figure("Record/who=scs", "B", float64(scs.bytes))
	c, err := f.counts(pair)
	if err != nil {
		return nil, err
	}
	goal := func(kind, name, value, most string, met bool) {
		fmt.Fprintln(rs.out, kind, name, value, most)
		if !met {
			missed = append(missed, name)
		}
	}
	for _, row := range []struct {
		name        string
		value, most int
	}{
		{"authenticated_memory_allocs_above_bare", c.allocsAboveBare, 12},
		{"anonymous_page_redis_commands", c.visitCommands, 0},
		{"login_round_trips", c.loginTrips, 4},
		{"record_redis_bytes", ours.redis, 512},
	} {
		goal("count", row.name, strconv.Itoa(row.value), strconv.Itoa(row.most), row.value <= row.most)
	}
	ratio := func(name string, value, most float64) {
		goal("ratio", name, fmt.Sprintf("%.3f", value), fmt.Sprintf("%.2f", most), value <= most)
	}
	for _, d := range f.duels(pair) {
		value, err := d.ratio(length)
		if err != nil {
			return nil, err
		}
		ratio(d.name, value, d.goal)
	}
	ratio("record_bytes", float64(ours.bytes)/float64(scs.bytes), 0.42)
	return missed, nil
}

// duels returns the goals that are times.
func (f *field) duels(pair *loginPair) []duel {
	return []duel{
		{"authenticated_memory", 0.10, meanTime(named(f.memory, "wechatauth")), meanTime(named(f.memory, "scs"))},
		{"authenticated_redis", 1.10, meanTime(named(f.stored, "wechatauth")), meanTime(named(f.stored, "redigo"))},
		{"authenticated_near_cache", 0.03, meanTime(named(f.stored, "wechatauth-near")), meanTime(named(f.stored, "scs"))},
		{"anonymous_page", 0.10, meanTime(named(f.visits, "wechatauth")), meanTime(named(f.visits, "scs"))},
		{"anonymous_script", 4, meanTime(named(f.scripts, "wechatauth")), meanTime(named(f.scripts, "bare"))},
		{"login", 0.6, pair.ours.ownTime, pair.gothic.ownTime},
		{"p99_64_visitors", 0.8, slowest(named(f.stored, "wechatauth")), slowest(named(f.stored, "scs"))},
	}
}

// counts are exact.
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

// allocs returns how many allocations one visit makes.
func allocs(c *contender) int {
	return int(testing.AllocsPerRun(200, func() {
		if err := c.visit(0); err != nil {
			panic(err)
		}
	}))
}
