// Package wechattest simulates WeChat: both of its hosts, the pages that a
// visitor sees, the JSON that a server is answered, and the quirks that break
// logins in the field. NewServer listens on loopback like httptest.NewServer
// and needs no options:
//
//	sim := wechattest.NewServer()
//	defer sim.Close()
//	c, err := client.New(wechattest.DefaultAppID, wechattest.DefaultSecret,
//		client.WithEndpoints(sim.Endpoints()))
//
// A browser is any http.Client with a cookie jar and one of WeChat's
// User-Agents; Browser makes one. Time is the clock given by WithClock plus
// what Advance added to it, so that lifetimes are tested without waiting.
//
// The pages work in a real browser too, and at / there is a control page:
// choose who holds the phone, where pages are opened from and what goes wrong
// next, and watch the journal. A browser sees a cross-site visit, as in the
// field, only if site and simulator have different host names: call one of
// them localhost and the other 127.0.0.1. That is how a session cookie that is
// SameSite=Strict by mistake is found.
//
// Nothing here talks to WeChat, and nothing here is secure: it is for tests
// and local work only.
package wechattest
