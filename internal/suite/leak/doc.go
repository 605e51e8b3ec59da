// Package leak searches every place where text is written for AppSecrets, codes,
// tokens, session_keys and openids, while WeChat, Redis and callbacks fail.
package leak
