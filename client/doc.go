// Package client speaks WeChat's HTTP API: the calls a login needs, and nothing
// else. It is the only package here that knows WeChat's URLs and JSON.
//
// A [Client] speaks for one AppID and is safe for concurrent use. It offers
//
//   - web login: [Client.AuthorizeURL], [Client.QRConnectURL],
//     [Client.Exchange], [Client.UserInfo], [Client.Refresh], [Client.CheckToken];
//   - mini programs: [Client.Code2Session], [Client.CheckSession],
//     [Client.ResetSession], [Client.PhoneNumber], [Decrypt], [VerifySignature];
//   - both on behalf of another account, for a third-party platform:
//     [WithComponent].
//
// What holds for every call:
//
//   - It ends within the timeout (5 s unless [WithTimeout] says otherwise) and
//     sooner when its context does.
//   - A code is sent at most once, on a broken connection too. Calls that may
//     safely be repeated are repeated once, when WeChat is busy (errcode -1).
//   - No redirect is followed and at most 64 KiB of an answer are read.
//   - Answers are read as JSON whatever their Content-Type; odd spellings of
//     numbers and broken display text are put up with, ambiguous identities are
//     refused. No call returns an empty openid.
//   - A failure is an [*Error]. [Error.Kind] says what to do next. No error text
//     holds an AppSecret, code, token, session_key or openid, nor does a printed
//     [Secret].
package client
