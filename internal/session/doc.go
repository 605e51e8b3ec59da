// Package session reads and writes identities in scs sessions. It loads and
// saves with scs's public methods instead of LoadAndSave, because a gate must
// distinguish "the store is down", "not logged in" and "this record is
// corrupt", and must save the session before the response begins:
//
//	manager.go   the store of sessions
//	bearer.go    the bearer token of a request
//	cookie.go    the tokens in its cookies, and the session cookie
//	visit.go     a request with its session, and its context
//	load.go      the session of a request
//	renewed.go   the session that has just replaced another
//	login.go     saves an identity under a new token
//	response.go  the writer that saves before a response begins
//	save.go      saves changes
//	breaker.go   fails fast after the store has timed out
//	end.go       logout and revocation
//	guard.go     the store wrapper between scs and the store
//	traces.go    requests that only scs's LoadAndSave serves
//	tokenset.go  the tokens that were handled recently
//	check.go     rejects managers and cookies that cannot work
package session
