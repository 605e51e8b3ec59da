// Package faultproxy provides a TCP proxy that fails on command, for tests and
// soaks of network services: responses that are late, are cut short or never
// arrive, and connections that break.
package faultproxy

import (
	"net"
	"sync"
	"time"
)

// A Proxy forwards TCP connections to a target, until a method sets a fault. It
// is safe for concurrent use by multiple goroutines.
type Proxy struct {
	listener net.Listener
	workers  sync.WaitGroup

	mu     sync.Mutex
	target string
	mode   mode
	links  map[*link]struct{}
	closed bool
}

// A mode determines what happens to bytes from the target.
type mode struct {
	kind  kind
	delay time.Duration
	bytes int
	once  bool
}

type kind int

const (
	passing kind = iota
	delaying
	cutting
	swallowing
	resetting
)

// Start listens on a free loopback port and forwards connections to target,
// host:port. The caller must call Close.
func Start(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: l, target: target, links: map[*link]struct{}{}}
	p.workers.Go(p.accept)
	return p, nil
}

// Addr returns the address of the proxy, host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Links returns the number of connections that are open now.
func (p *Proxy) Links() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// Retarget forwards new connections to another target. Open connections are not
// affected.
func (p *Proxy) Retarget(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Pass ends any fault. A connection that has lost bytes remains unusable.
func (p *Proxy) Pass() { p.set(mode{}) }

// Delay delays everything from the target by d.
func (p *Proxy) Delay(d time.Duration) { p.set(mode{kind: delaying, delay: d}) }

// Cut closes each connection, open or new, as soon as the target has sent more
// than n bytes on it from now on; the first n arrive. All bytes that the client
// sent before have reached the target.
func (p *Proxy) Cut(n int) { p.set(mode{kind: cutting, bytes: n}) }

// CutOnce cuts the first connection that sends more than n bytes, as Cut does,
// and then acts like Pass.
func (p *Proxy) CutOnce(n int) { p.set(mode{kind: cutting, bytes: n, once: true}) }

// Blackhole silently drops everything that either side sends, on all
// connections. New connections are accepted.
func (p *Proxy) Blackhole() { p.set(mode{kind: swallowing}) }

// HalfOpen makes the connections that are open now drop everything permanently,
// as when a firewall has lost their state. New ones pass.
func (p *Proxy) HalfOpen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = mode{}
	for l := range p.links {
		l.dead = true
	}
}

// Reset breaks all connections with an RST, and each new one as soon as it
// sends something.
func (p *Proxy) Reset() {
	p.set(mode{kind: resetting})
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.reset()
	}
}

// Close stops listening, breaks all connections and waits until all goroutines
// of the proxy have ended.
func (p *Proxy) Close() {
	p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for l := range p.links {
		l.close()
	}
	p.mu.Unlock()
	p.workers.Wait()
}

func (p *Proxy) set(m mode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = m
	for l := range p.links {
		l.sent = 0
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.workers.Go(func() { p.serve(client) })
	}
}

// link is one connection through the proxy.
type link struct {
	client, server net.Conn
	done           chan struct{} // closed with the link
	once           sync.Once

	// Guarded by the proxy's mutex.
	sent int  // bytes from the server since the mode was set
	dead bool // what is sent on it is lost
}

func (l *link) close() {
	l.once.Do(func() {
		close(l.done)
		l.client.Close()
		l.server.Close()
	})
}

func (l *link) reset() {
	if tcp, ok := l.client.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // closing sends RST then
	}
	l.close()
}

func (p *Proxy) serve(client net.Conn) {
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	server, err := net.Dial("tcp", target)
	if err != nil {
		client.Close()
		return
	}
	l := &link{client: client, server: server, done: make(chan struct{})}
	p.mu.Lock()
	p.links[l] = struct{}{}
	closed := p.closed
	p.mu.Unlock()
	if closed {
		l.close()
	}
	defer func() {
		l.close()
		p.mu.Lock()
		delete(p.links, l)
		p.mu.Unlock()
	}()
	var up sync.WaitGroup
	up.Go(func() { p.pump(l, l.server, l.client, p.fromClient) })
	p.pump(l, l.client, l.server, p.fromServer)
	up.Wait()
}

// pump moves bytes until the link ends. The rule determines how many of them
// arrive and what then happens to the link.
func (p *Proxy) pump(l *link, to, from net.Conn, rule func(*link, []byte) (arrive int, end func())) {
	defer l.close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			arrive, end := rule(l, buf[:n])
			if _, err := to.Write(buf[:arrive]); err != nil {
				return
			}
			if end != nil {
				end()
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *Proxy) fromClient(l *link, b []byte) (int, func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.mode.kind == swallowing, l.dead:
		l.dead = true
		return 0, nil
	case p.mode.kind == resetting:
		return 0, l.reset
	}
	return len(b), nil
}

func (p *Proxy) fromServer(l *link, b []byte) (int, func()) {
	p.mu.Lock()
	m, dead := p.mode, l.dead
	if m.kind == swallowing {
		l.dead, dead = true, true
	}
	room := m.bytes - l.sent
	l.sent += len(b)
	if m.kind == cutting && m.once && len(b) > room {
		p.mode = mode{}
	}
	p.mu.Unlock()

	switch {
	case dead:
		return 0, nil
	case m.kind == resetting:
		return 0, l.reset
	case m.kind == cutting && len(b) > room:
		return max(room, 0), l.close
	case m.kind == delaying:
		l.wait(m.delay)
	}
	return len(b), nil
}

// wait returns after d, or when the link ends.
func (l *link) wait(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.done:
	}
}
