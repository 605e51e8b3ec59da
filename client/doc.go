// Package client is a client for the parts of WeChat's HTTP API that a login
// needs. It is the only package of this module that contains WeChat's URLs and
// JSON.
//
// A [Client] makes calls for one AppID and is safe for concurrent use by
// multiple goroutines. It supports
//
//   - web login: [Client.AuthorizeURL], [Client.QRConnectURL],
//     [Client.Exchange], [Client.UserInfo], [Client.Refresh],
//     [Client.CheckToken];
//   - mini programs: [Client.Code2Session], [Client.CheckSession],
//     [Client.ResetSession], [Client.PhoneNumber], [Decrypt],
//     [VerifySignature];
//   - both for the accounts of a third-party platform: [WithComponent].
//
// Every call follows these rules:
//
//   - It returns within the client's timeout (5 seconds by default; see
//     [WithTimeout]), and earlier if its context is done.
//   - A code is sent at most once, even if the connection fails. A call that
//     may safely be repeated is retried once if WeChat is busy (errcode -1).
//   - Redirects are not followed, and at most 64 KiB of a response body is
//     read.
//   - Responses are parsed as JSON regardless of their Content-Type. They may
//     encode numbers as strings and contain invalid display text. A response
//     with an ambiguous identity is an error. No call returns an empty openid.
//   - Errors are of type [*Error], and [Error.Kind] classifies them by what to
//     do next. The text of an error never contains an AppSecret, code, token,
//     session_key or openid, and neither does a printed [Secret].
package client
