package faultproxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
)

// Replies is a proxy in front of a Redis that changes single replies. It is
// safe for concurrent use.
type Replies struct {
	listener net.Listener
	workers  sync.WaitGroup

	mu     sync.Mutex
	target string
	edit   func(command []string, reply []byte) []byte
	reject func(command []string) string
	conns  map[net.Conn]struct{}
	closed bool
}

// StartReplies listens on a free loopback port and forwards commands to the
// Redis at target, host:port. The caller must call Close.
func StartReplies(target string) (*Replies, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Replies{listener: l, target: target, conns: map[net.Conn]struct{}{}}
	p.workers.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.workers.Go(func() { p.serve(client) })
		}
	})
	return p, nil
}

// Addr returns the address of the proxy, host:port.
func (p *Replies) Addr() string { return p.listener.Addr().String() }

// Links returns the number of clients that are connected now.
func (p *Replies) Links() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns) / 2
}

// Edit sets a function that is called for the reply to each command from now on
// and returns the bytes to send in its place. If f is nil, replies are
// forwarded unchanged. f is called for one reply at a time.
func (p *Replies) Edit(f func(command []string, reply []byte) []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.edit = f
}

// Reject sets which commands never reach the Redis from now on: f returns the line
// of the error to reply with, without its "-", or an empty string. nil rejects
// none.
func (p *Replies) Reject(f func(command []string) string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reject = f
}

// rejection returns the reply to a command that is rejected, or nil.
func (p *Replies) rejection(command []string) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reject == nil {
		return nil
	}
	if text := p.reject(command); text != "" {
		return []byte("-" + text + "\r\n")
	}
	return nil
}

// placeholder is sent in place of a command that is rejected, so that its reply
// keeps its turn.
const placeholder = "*1\r\n$4\r\nPING\r\n"

// Close stops listening, breaks all connections and waits until all goroutines
// of the proxy have ended.
func (p *Replies) Close() {
	p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.workers.Wait()
}

func (p *Replies) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	p.mu.Lock()
	p.conns[client], p.conns[server] = struct{}{}, struct{}{}
	closed := p.closed
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.conns, client)
		delete(p.conns, server)
		p.mu.Unlock()
	}()
	if closed {
		return
	}
	asked := make(chan sent, 1<<11) // more than any client sends ahead
	var up sync.WaitGroup
	up.Go(func() { p.forward(client, server, asked) })
	for r := bufio.NewReader(server); ; {
		raw, err := frame(r)
		if err != nil {
			break
		}
		if raw[0] != '>' { // a push message of Redis is not a reply
			one := <-asked
			if one.rejection != nil {
				raw = one.rejection
			}
			p.mu.Lock()
			if p.edit != nil {
				raw = p.edit(one.command, raw)
			}
			p.mu.Unlock()
		}
		if _, err := client.Write(raw); err != nil {
			break
		}
	}
	client.Close()
	up.Wait()
}

// A sent command waits for its reply.
type sent struct {
	command   []string
	rejection []byte // nil if the command was passed on
}

// forward sends the commands of the client to the server.
func (p *Replies) forward(client, server net.Conn, asked chan<- sent) {
	defer server.Close()
	for r := bufio.NewReader(client); ; {
		raw, err := frame(r)
		if err != nil {
			return
		}
		one := sent{command: words(raw)}
		if one.rejection = p.rejection(one.command); one.rejection != nil {
			raw = []byte(placeholder)
		}
		asked <- one
		if _, err := server.Write(raw); err != nil {
			return
		}
	}
}

// frame reads one command or reply as it is on the wire.
func frame(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	if len(line) < 3 {
		return nil, fmt.Errorf("faultproxy: %q is no RESP", line)
	}
	n, _ := strconv.Atoi(string(bytes.TrimSpace(line[1:])))
	switch line[0] {
	case '$', '!', '=':
		if n < 0 {
			return line, nil
		}
		rest := make([]byte, n+2)
		_, err := io.ReadFull(r, rest)
		return append(line, rest...), err
	case '%', '|':
		n *= 2
	case '*', '~', '>':
	default:
		return line, nil
	}
	if line[0] == '|' {
		n++ // the reply itself follows its attributes
	}
	for range n {
		one, err := frame(r)
		if err != nil {
			return nil, err
		}
		line = append(line, one...)
	}
	return line, nil
}

// words returns the strings of a command.
func words(raw []byte) (all []string) {
	r := bufio.NewReader(bytes.NewReader(raw))
	if _, err := r.ReadBytes('\n'); err != nil {
		return nil
	}
	for {
		one, err := frame(r)
		if err != nil {
			return all
		}
		_, text, _ := bytes.Cut(one, []byte("\r\n"))
		all = append(all, string(bytes.TrimSuffix(text, []byte("\r\n"))))
	}
}
