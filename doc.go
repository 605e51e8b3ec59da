// Package wechatauth is a login wall for visitors who come from WeChat.
//
// RequireWeChat wraps any http.Handler. A request whose session holds a WeChat
// identity goes through, with the identity in its context. An anonymous page
// visit is sent to WeChat and comes back, logged in, to the very URL it asked
// for. Anything else that is anonymous gets a 401 that a script can act on.
// Sessions are alexedwards/scs sessions, in memory by default and in Redis in
// production.
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
// New gives the parts of it: Auth.RequireWeChat, Auth.RequireScope and
// Auth.LoadWeChat for single routes, Auth itself as the handler of the
// endpoints below "/wechat/", and Auth.Sessions for the application's own
// values.
//
// Package client speaks WeChat's HTTP API, package store keeps sessions in
// Redis, and package wechattest is a simulated WeChat for tests and local
// work.
package wechatauth
