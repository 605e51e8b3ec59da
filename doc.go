// Package wechatauth provides net/http middleware that logs users in with WeChat
// (OAuth 2.0, 微信网页授权) and keeps them logged in with scs sessions.
//
// [RequireWeChat] wraps any http.Handler. A request whose session has an identity
// passes, with the identity in its context. An unauthenticated page visit goes to
// WeChat and returns, logged in, to the URL that was requested. Other unauthenticated
// requests get a 401 response with the login URL in JSON. The default store is memory.
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
//   - [Auth.RequireWeChat] is for routes that require a login, [Auth.RequireScope]
//     for those that need nickname and avatar, [Auth.LoadWeChat] for open ones;
//   - the Auth itself is the handler of the endpoints below "/wechat/";
//   - [Auth.MiniProgram] is for what needs WeChat's session_key;
//   - [Auth.Sessions] is for the application's own values in the session;
//   - [Auth.Logout] and [Auth.RevokeUser] end sessions;
//   - [Auth.Check] finds at start-up what [New] cannot see.
//
// [IdentityFromContext] returns the user. Store users by [Identity].AppID and
// [Identity].OpenID.
//
// A rejected request gets an HTML page in Chinese or English (see [WithPages]) or a
// JSON object that names the [Reason], as log records and the [Observer] do.
//
// # Security
//
// The base URL of [WithBaseURL] must lead to the application over https; whatever
// terminates TLS is trusted, and so is the Redis of the sessions unless
// [WithSessionEncryption] is used. WeChat has no PKCE: a code that is stolen before
// it is used cannot be distinguished from one that is not.
//
// # Other packages
//
// Package client implements WeChat's HTTP API. Package store keeps sessions in Redis,
// store/goredisstore and store/rueidisstore with Sentinel or Cluster. Packages
// accounts and environment distinguish accounts and browsers, identityheader passes
// identities to a reverse proxy, and relay passes callbacks to other domains. Package
// wechattest (with cmd/wechatsim) simulates WeChat. observe/wechatprom and
// observe/wechatotel are observers, and cmd/wechatcheck calls [Auth.Check].
package wechatauth
