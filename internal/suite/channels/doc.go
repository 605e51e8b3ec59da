// Package channels has tests of whole logins by channel: phones, desktop
// browsers and their QR codes, mini programs, several accounts, third-party
// platforms and the relay.
package channels
