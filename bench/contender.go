package main

import (
	"fmt"
	"io"
	"net/http"
	"time"
)

// maxVisitors is how many visitors with a session of their own each contender
// has.
const maxVisitors = 64

// A contender does the same work as the others of its group, in its own way.
type contender struct {
	name     string // in figures, as in who=name
	handler  http.Handler
	status   int // of every answer
	visitors []*visitor
}

// visit lets one visitor ask once.
func (c *contender) visit(visitor int) error {
	if err := c.visitors[visitor%len(c.visitors)].ask(c.handler, c.status); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

// withCookies gives the contender visitors who are logged in.
func withCookies(name string, h http.Handler, cookies []string) *contender {
	c := &contender{name: name, handler: h, status: http.StatusOK}
	for _, cookie := range cookies {
		c.visitors = append(c.visitors, newVisitor(cookie))
	}
	return c
}

// anonymous gives the contender visitors without a session.
func anonymous(name string, h http.Handler, status int, visitor func() *visitor) *contender {
	c := &contender{name: name, handler: h, status: status}
	for range maxVisitors {
		c.visitors = append(c.visitors, visitor())
	}
	return c
}

// identity is what an application of a peer keeps of a visitor: the facts that
// a session of ours has, too.
type identity struct {
	OpenID, UnionID string
	LoginAt         time.Time
}

// identityOf is the visitor of that number.
func identityOf(n int) identity {
	return identity{OpenID: openIDOf(n), UnionID: unionIDOf(n), LoginAt: time.Unix(time.Now().Unix(), 0)}
}

// page is what every application answers a visitor who is logged in.
func page(w http.ResponseWriter, openID string) {
	_, _ = io.WriteString(w, openID)
}

// bare answers like the others and knows nobody.
func bare() *contender {
	openID := openIDOf(0)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { page(w, openID) })
	return anonymous("bare", h, http.StatusOK, func() *visitor { return newVisitor("session=none") })
}
