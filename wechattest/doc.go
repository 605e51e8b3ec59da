// Package wechattest simulates WeChat: both of its hosts, the pages that a
// visitor sees, the JSON that a server is answered, and the quirks that break
// logins in the field. [NewServer] listens on loopback like httptest.NewServer
// and needs no options:
//
//	sim := wechattest.NewServer()
//	defer sim.Close()
//	c, err := client.New(wechattest.DefaultAppID, wechattest.DefaultSecret,
//		client.WithEndpoints(sim.Endpoints()))
//
// A visit opens a page of the site under test, which sends the browser to
// WeChat and that to the callback. For snsapi_userinfo and for QR login WeChat
// shows a page that wants an answer:
//
//	browser := wechattest.Browser(wechattest.IPhone)
//	page, err := browser.Get(site.URL + "/orders?id=7") // WeChat's consent page
//	...
//	resp, err := sim.Allow(browser, page) // the site's page, logged in
//	...
//	sim.AssertCalls(t, "sns/oauth2/access_token", 1)
//	sim.AssertNoLeaks(t)
//
// [Server] lists its methods by what a test wants; [Scenarios] are whole ways
// in which a login goes. At / there is a control page for a real browser, which
// sees a cross-site visit only if site and simulator have different host names:
// call one of them localhost and the other 127.0.0.1.
//
// Nothing here talks to WeChat, and nothing here is secure: it is for tests
// and local work only.
package wechattest
