// Package login tests what begins and ends a login: pending logins and their
// cookies, return URLs, hooks that authorize, and the pages between.
package login
