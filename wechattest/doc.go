// Package wechattest provides a WeChat simulator for tests: both of WeChat's
// hosts, the pages that users see, the JSON responses that servers receive, and
// the quirks that break logins in practice. [NewServer] listens on loopback,
// like httptest.NewServer, and needs no options:
//
//	sim := wechattest.NewServer()
//	defer sim.Close()
//	c, err := client.New(wechattest.DefaultAppID, wechattest.DefaultSecret,
//		client.WithEndpoints(sim.Endpoints()))
//
// A test opens a page of the site under test, which redirects the browser to
// WeChat, which redirects it to the callback. For snsapi_userinfo and for QR
// login, WeChat shows a page that asks the user:
//
//	browser := wechattest.Browser(wechattest.IPhone)
//	page, err := browser.Get(site.URL + "/orders?id=7") // WeChat's consent page
//	...
//	resp, err := sim.Allow(browser, page) // the site's page, logged in
//	...
//	sim.AssertCalls(t, "sns/oauth2/access_token", 1)
//	sim.AssertNoLeaks(t)
//
// [Login] does all of this, and returns a browser in which a person is logged in.
//
// The comment of [Server] lists its methods by purpose. [Scenarios] returns the
// courses that a login can take. The control page at / is for real browsers: it
// sets up a scenario with one click, and it links to the site (see [WithSite]). A
// real browser treats the redirect as cross-site only if site and simulator
// have different host names: use localhost for one of them and 127.0.0.1 for
// the other.
//
// The simulator never connects to WeChat, and it is not secure: use it only for
// tests and local development.
package wechattest
