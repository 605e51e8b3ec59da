// Package wechatauth provides net/http middleware that logs users in with WeChat
// (OAuth 2.0, 微信网页授权) and keeps them logged in with scs sessions.
//
// [RequireWeChat] wraps any http.Handler. A request from a logged-in user
// reaches the handler, with the identity in its context. An unauthenticated
// page visit is redirected to WeChat and, after the login, back to the URL that
// was requested. Other unauthenticated requests get a 401 response with the
// login URL in JSON. By default, sessions are stored in memory.
//
//	func main() {
//		sim := wechattest.NewServer(wechattest.WithAnyBrowser()) // a WeChat simulator; remove it in production
//		requireLogin := wechatauth.RequireWeChat(
//			wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret),
//			wechatauth.WithBaseURL("http://127.0.0.1:8080"),
//			wechatauth.WithEndpoints(sim.Endpoints()),
//		)
//		log.Fatal(http.ListenAndServe("127.0.0.1:8080", requireLogin(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
//			id, _ := wechatauth.IdentityFromContext(r.Context())
//			fmt.Fprintln(w, "Hello,", id.OpenID)
//		}))))
//	}
//
// In production, leave out the simulator and [WithEndpoints], and add [WithRedisURL].
//
// # Several routes
//
// [New] takes the same options and returns an [Auth]:
//
//   - [Auth.RequireWeChat] is for routes that require a login,
//     [Auth.RequireScope] for those that need nickname and avatar,
//     [Auth.LoadWeChat] for those where login is optional;
//   - the Auth itself is the handler of the endpoints below "/wechat/";
//   - [Auth.MiniProgram] decrypts data and verifies signatures with WeChat's
//     session_key;
//   - [Auth.Sessions] stores the application's own values in the session;
//   - [Auth.Logout] and [Auth.RevokeUser] end sessions;
//   - [Auth.Check] tests Redis and WeChat at startup, which [New] does not.
//
// [IdentityFromContext] returns the user's identity. Use [Identity].AppID and
// [Identity].OpenID together as the key of a user.
//
// A rejected request gets an HTML page in Chinese or English (see [WithPages]) or a
// JSON object that names the [Reason], as log records and the [Observer] do.
//
// # Security
//
// The base URL of [WithBaseURL] must lead to the application over https; the
// server that terminates TLS is trusted, and so is the Redis that stores the
// sessions unless [WithSessionEncryption] is used. WeChat has no PKCE: an
// attacker who obtains an unused code can log in as its user.
//
// # Other packages
//
// Package client implements WeChat's HTTP API, client/wecom WeCom's. Package store
// keeps sessions in Redis, store/goredisstore and store/rueidisstore with Sentinel
// or Cluster. Package accounts determines the account of a request, environment the
// kind of browser; identityheader passes the identity to an upstream server, relay
// callbacks to other domains, and verifyfile serves WeChat's files for a domain.
// Package wechattest (with cmd/wechatsim) simulates WeChat. observe/wechatprom and
// observe/wechatotel are observers, and cmd/wechatcheck calls [Auth.Check].
package wechatauth
