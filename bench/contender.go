package main

import (
	"fmt"
	"io"
	"net/http"
	"time"
)

// maxVisitors is the number of users, each with a session, of every contender.
const maxVisitors = 64

// A contender does the same work as the others of its group, in its own way.
type contender struct {
	name    string // as in who=name of a row
	handler http.Handler
	status  int // of every response
	users   []*user
}

// visit makes one user send a request.
func (c *contender) visit(user int) error {
	if err := c.users[user%len(c.users)].ask(c.handler, c.status); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

// withCookies gives the contender logged-in users.
func withCookies(name string, h http.Handler, cookies []string) *contender {
	c := &contender{name: name, handler: h, status: http.StatusOK}
	for _, cookie := range cookies {
		c.users = append(c.users, newVisitor(cookie))
	}
	return c
}

// anonymous gives the contender users without a session.
func anonymous(name string, h http.Handler, status int, user func() *user) *contender {
	c := &contender{name: name, handler: h, status: status}
	for range maxVisitors {
		c.users = append(c.users, user())
	}
	return c
}

// identity is what an application of a peer stores for a user: the facts that a
// session of ours has, too.
type identity struct {
	OpenID, UnionID string
	LoginAt         time.Time
}

// identityOf returns the user of that number.
func identityOf(n int) identity {
	return identity{OpenID: openIDOf(n), UnionID: unionIDOf(n), LoginAt: time.Unix(time.Now().Unix(), 0)}
}

// page is every application's response to a logged-in user.
func page(w http.ResponseWriter, openID string) {
	_, _ = io.WriteString(w, openID)
}

// bare responds like the others, without authentication.
func bare() *contender {
	openID := openIDOf(0)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { page(w, openID) })
	return anonymous("bare", h, http.StatusOK, func() *user { return newVisitor("session=none") })
}
