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
// Nothing here talks to WeChat, and nothing here is secure: it is for tests
// and local work only.
package wechattest
