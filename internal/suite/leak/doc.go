// Package leak looks for AppSecrets, codes, tokens, session_keys and openids in
// every place where a text can come out, while everything goes wrong that may.
package leak
