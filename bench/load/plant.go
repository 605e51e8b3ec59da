package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/wechatauth/wechatauth/bench/internal/redisserver"
	"github.com/wechatauth/wechatauth/wechattest"
)

const (
	// siteHost is the host of the site. No name server resolves it: the round
	// robin dials the instances.
	siteHost = "site.localhost"
	siteURL  = "http://" + siteHost

	instances = 2

	patience = 15 * time.Second // for a process to start
)

// A plant has all processes, and the connections to them.
type plant struct {
	dir       string
	redis     *redisserver.Server
	wechat    *process
	sites     []*process
	wechatURL string
	robin     *roundRobin
	part      atomic.Pointer[part] // the running one
}

// A part is one of the two parts of the run.
type part struct {
	name             string
	before, requests uint64 // to the site: before it began, and in it
}

// status returns a line for the progress.
func (p *plant) status() string {
	now := p.part.Load()
	if now == nil {
		return "started"
	}
	return fmt.Sprintf("%s: %d of %d requests", now.name, p.robin.next.Load()-now.before, now.requests)
}

// startPlant builds and starts everything. The caller must close the result,
// even after an error.
func startPlant(ctx context.Context, people int) (p *plant, err error) {
	p = &plant{}
	if p.dir, err = os.MkdirTemp("", "load-"); err != nil {
		return p, fmt.Errorf("make a folder: %w", err)
	}
	for _, name := range []string{"examples/nethttp", "cmd/wechatsim"} {
		build := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(p.dir, filepath.Base(name)), "github.com/wechatauth/wechatauth/"+name)
		if out, err := build.CombinedOutput(); err != nil {
			return p, fmt.Errorf("build %s: %w\n%s", name, err, out)
		}
	}
	if p.redis, err = redisserver.Start(ctx); err != nil {
		return p, err
	}
	if err = p.startWeChat(ctx, people); err != nil {
		return p, err
	}
	return p, p.startSites(ctx)
}

// startWeChat starts the simulator with this number of people.
func (p *plant) startWeChat(ctx context.Context, people int) error {
	all := make([]map[string]string, people)
	for n := range all {
		all[n] = map[string]string{"name": personName(n)}
	}
	config, err := json.Marshal(map[string]any{"people": all})
	if err != nil {
		return fmt.Errorf("write the simulator's people: %w", err)
	}
	file := filepath.Join(p.dir, "people.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return fmt.Errorf("write the simulator's people: %w", err)
	}
	p.wechat = &process{cmd: exec.CommandContext(ctx, filepath.Join(p.dir, "wechatsim"), "-addr", "127.0.0.1:0", "-config", file)}
	out, err := p.wechat.cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start wechatsim: %w", err)
	}
	if err := p.wechat.cmd.Start(); err != nil {
		return fmt.Errorf("start wechatsim: %w", err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return fmt.Errorf("start wechatsim: %w", err)
	}
	m := regexp.MustCompile(`open base URL (\S+),`).FindStringSubmatch(line)
	if m == nil {
		return fmt.Errorf("wechatsim does not say where it is: %q", line)
	}
	p.wechatURL = m[1]
	return nil
}

// startSites starts the instances, and waits until each accepts connections.
func (p *plant) startSites(ctx context.Context) error {
	var addrs []string
	for range instances {
		addr, err := freeAddr()
		if err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, filepath.Join(p.dir, "nethttp"))
		cmd.Env = append(os.Environ(), "ADDR="+addr, "BASE_URL="+siteURL, "REDIS_URL="+p.redis.URL(), "WECHAT_URL="+p.wechatURL,
			"WECHAT_APP_ID="+wechattest.DefaultAppID, "WECHAT_APP_SECRET="+wechattest.DefaultSecret)
		if err := cmd.Start(); err != nil {
			return fmt.Errorf("start nethttp: %w", err)
		}
		p.sites = append(p.sites, &process{cmd: cmd})
		if err := awaitListener(ctx, addr); err != nil {
			return fmt.Errorf("start nethttp: %w", err)
		}
		addrs = append(addrs, addr)
	}
	p.robin = newRoundRobin(addrs)
	return nil
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

func awaitListener(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if conn, err := net.Dial("tcp", addr); err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.New("it does not listen in time")
		}
	}
}

func (p *plant) close() {
	for _, site := range p.sites {
		site.end()
	}
	p.wechat.end()
	if p.redis != nil {
		p.redis.Close()
	}
	if p.dir != "" {
		os.RemoveAll(p.dir)
	}
}

// A process is one that was started here.
type process struct{ cmd *exec.Cmd }

func (p *process) end() {
	if p == nil || p.cmd.Process == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// cpuTime returns the processor time that a process has used so far, in steps
// of 10 ms, from Linux's /proc.
func cpuTime(pid int) (time.Duration, error) {
	const perSecond = 100 // USER_HZ
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("processor time: %w", err)
	}
	user, system, err := parseStat(string(b))
	return (user + system) * time.Second / perSecond, err
}

// statTimes matches the 14th and 15th field of /proc/PID/stat; the second is a
// name in parentheses, which may contain anything.
var statTimes = regexp.MustCompile(`(?s)^\d+ \(.*\) \S+(?: \S+){10} (\d+) (\d+) `)

func parseStat(line string) (user, system time.Duration, err error) {
	m := statTimes.FindStringSubmatch(line)
	if m == nil {
		return 0, 0, fmt.Errorf("processor time: unexpected line %q", line)
	}
	u, _ := strconv.Atoi(m[1]) // digits only
	s, _ := strconv.Atoi(m[2])
	return time.Duration(u), time.Duration(s), nil
}

// usage is what the processes have used so far.
type usage struct {
	sites, redis, wechat, driver time.Duration
}

func (p *plant) usage() (u usage, err error) {
	for _, site := range p.sites {
		d, err := cpuTime(site.cmd.Process.Pid)
		if err != nil {
			return u, err
		}
		u.sites += d
	}
	if u.redis, err = cpuTime(p.redis.PID()); err != nil {
		return u, err
	}
	if u.wechat, err = cpuTime(p.wechat.cmd.Process.Pid); err != nil {
		return u, err
	}
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		return u, fmt.Errorf("processor time: %w", err)
	}
	u.driver = time.Duration(self.Utime.Nano() + self.Stime.Nano())
	return u, nil
}

func (u usage) since(before usage) usage {
	return usage{u.sites - before.sites, u.redis - before.redis, u.wechat - before.wechat, u.driver - before.driver}
}

// A roundRobin sends requests for the site to its instances in turn, over
// kept-alive connections, and other requests to their hosts.
type roundRobin struct {
	next    atomic.Uint64
	sites   []*http.Transport
	outside *http.Transport
}

func newRoundRobin(addrs []string) *roundRobin {
	const kept = 1024
	rr := &roundRobin{outside: &http.Transport{MaxIdleConnsPerHost: kept}}
	for _, addr := range addrs {
		dialer := &net.Dialer{Timeout: patience}
		rr.sites = append(rr.sites, &http.Transport{
			MaxIdleConnsPerHost: kept, DisableCompression: true,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, addr)
			},
		})
	}
	return rr
}

// RoundTrip implements http.RoundTripper.
func (rr *roundRobin) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != siteHost {
		return rr.outside.RoundTrip(r)
	}
	return rr.sites[rr.next.Add(1)%uint64(len(rr.sites))].RoundTrip(r)
}
