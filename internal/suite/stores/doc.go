// Package stores logs users in at two instances of an application over any
// store. The modules of the stores run it against their own, and with the build
// tag failover while a primary is killed.
package stores
