// Package wecom is a client for the parts of WeCom's (企业微信) HTTP API that a
// login needs. With package client, it is the only package of this module that
// contains WeCom's URLs and JSON.
//
// A [Client] makes calls for one self-built app (自建应用) of one company and is
// safe for concurrent use by multiple goroutines. It supports
//
//   - web login: [Client.AuthorizeURL] in WeCom, [Client.LoginURL] in other
//     browsers, [Client.UserInfo], [Client.UserDetail], [Client.Member];
//   - mini programs in WeCom: [Client.Code2Session].
//
// WeCom exchanges no code for a user's token. Instead, calls carry the app's
// access_token, which a Client gets and caches, and which all instances of a
// program should share; see [TokenCache].
//
// Calls follow the rules of package client, and their errors are of type
// [*client.Error], with the meanings that errcodes have in WeCom. Its RID is
// WeCom's hint (https://developer.work.weixin.qq.com/document/path/90313), and
// its Message contains this server's address if WeCom reports it. The text of an
// error never contains a secret, code, token or userid.
package wecom
