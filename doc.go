// Package wechatauth is a login wall for visitors who come from WeChat.
//
// [RequireWeChat] wraps any http.Handler. A request whose session holds a
// WeChat identity goes through, with the identity in its context. An anonymous
// page visit is sent to WeChat and comes back, logged in, to the very URL it
// asked for. Anything else that is anonymous gets a 401 that a script can act
// on. Sessions are alexedwards/scs sessions, in memory by default and in Redis
// in production.
//
//	func main() {
//		wall := wechatauth.RequireWeChat(
//			wechatauth.WithApp(os.Getenv("WECHAT_APP_ID"), os.Getenv("WECHAT_APP_SECRET")),
//			wechatauth.WithBaseURL("https://m.example.com"),
//			wechatauth.WithRedisURL("redis://127.0.0.1:6379/0"),
//		)
//		hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
//			id, _ := wechatauth.IdentityFromContext(r.Context())
//			fmt.Fprintln(w, "Hello,", id.OpenID)
//		})
//		log.Fatal(http.ListenAndServe("127.0.0.1:8080", wall(hello)))
//	}
//
// # The parts
//
// [New] takes the same options and gives an [Auth], whose parts are for
// applications that wall in some of their routes:
//
//   - [Auth.RequireWeChat] for routes that need to know who the visitor is,
//     [Auth.RequireScope] for those that need nickname and avatar, and
//     [Auth.LoadWeChat] for those that are open to everybody;
//   - the Auth itself as the handler of the endpoints below "/wechat/";
//   - [Auth.MiniProgram] for what needs WeChat's session_key;
//   - [Auth.Sessions] for the application's own values in the same session;
//   - [Auth.Logout] and [Auth.RevokeUser] to end sessions;
//   - [Auth.Check] to find at start-up what [New] cannot see.
//
// Behind the wall [IdentityFromContext] tells who the visitor is. The pair of
// [Identity].AppID and [Identity].OpenID is the key to store a user by.
//
// # What a visitor is told
//
// Whoever is stopped is told why: with a page in Chinese or English (see
// [WithPages]), or with JSON. Pages, JSON, log records and the [Observer] use
// the same closed list of words, [Reason].
//
// # What is assumed
//
// The base URL of [WithBaseURL] leads to the application, over https, and
// whoever terminates TLS in front of it is trusted. The Redis of the sessions
// is trusted too, unless [WithSessionEncryption] is used. WeChat has no PKCE: a
// code that is stolen before it is used cannot be told from one that is not.
//
// # Other packages
//
// Package client speaks WeChat's HTTP API; store keeps sessions in Redis (and
// store/goredisstore and store/rueidisstore in Sentinel or Cluster); accounts
// and environment tell accounts and browsers apart; identityheader passes
// identities to a reverse proxy, and relay callbacks to other domains;
// wechattest (with cmd/wechatsim) simulates WeChat; observe/wechatprom and
// observe/wechatotel are observers; cmd/wechatcheck calls [Auth.Check].
package wechatauth
