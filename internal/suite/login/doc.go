// Package login tests the beginning and the end of a login: pending logins and
// their cookies, return URLs, hooks, and the pages between.
package login
