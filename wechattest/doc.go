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
// A browser is any http.Client with a cookie jar and one of WeChat's
// User-Agents; [Browser] makes one. A visit opens a page of the site under
// test. The site sends the browser to WeChat, which sends it on to the callback
// or, for snsapi_userinfo and for QR login, shows a page that wants an answer:
//
//	browser := wechattest.Browser(wechattest.IPhone)
//	page, err := browser.Get(site.URL + "/orders?id=7") // WeChat's consent page
//	...
//	resp, err := sim.Allow(browser, page) // the site's page, logged in
//	...
//	defer resp.Body.Close()
//	sim.AssertCalls(t, "sns/oauth2/access_token", 1)
//	sim.AssertNoLeaks(t)
//
// What the [Server] has methods for:
//
//   - answer a page: [Server.Allow] and [Server.Refuse]; [Server.FullService]
//     leaves a snapshot page; [Server.CallbackURL] stops before the callback,
//     to deliver it late, elsewhere or, with [Twice], doubled
//   - people: [Server.Hold] gives the phone to somebody else, [Server.Enter]
//     says from where pages are opened, [Server.ChangePassword] voids tokens
//   - time: the clock of [WithClock] plus what [Server.Advance] added, as
//     [Server.Now] tells; lifetimes are tested without waiting
//   - what goes wrong: [Server.Fail] scripts faults, [Server.Switch] turns a
//     behaviour on or off, [Server.Block] and [Server.Await] hold calls and
//     wait for them; [Scenarios] are whole ways in which a login goes
//   - what was asked: [Server.Journal], [Server.Count], [Server.AssertCalls],
//     [Server.Leaks], [Server.AssertNoLeaks]
//   - mini programs and platforms: [Server.JSCode], [Server.PhoneCode],
//     [Server.UserPayload], [Server.PhonePayload], [Server.VerifyTicket],
//     [Server.ComponentToken]
//   - where it is: [Server.Endpoints], [Server.Client], [Server.Close]
//
// Who an openid belongs to, [OpenID] and [UnionID] tell.
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
