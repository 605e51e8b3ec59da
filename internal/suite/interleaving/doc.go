// Package interleaving tests logins, logouts and late writers of one session in
// every order.
package interleaving
