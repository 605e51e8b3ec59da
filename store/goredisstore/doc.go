// Package goredisstore keeps login sessions in Redis through
// github.com/redis/go-redis/v9: in a single server, in the primary that
// Sentinel names, or in a Redis Cluster. It is package store with another
// client library: the keys, commands, checks and errors are the same, and
// instances with either of them can run side by side. The fields of
// redis.UniversalOptions determine which of the three it connects to:
//
//	redis.UniversalOptions{Addrs: []string{"redis:6379"}}                 // one server
//	redis.UniversalOptions{Addrs: sentinels, MasterName: "sessions"}      // Sentinel
//	redis.UniversalOptions{Addrs: someNodes}                              // Cluster
//	redis.UniversalOptions{Addrs: []string{entry}, IsClusterMode: true}   // Cluster
//
// Replication is asynchronous: a primary that fails may lose its last logins,
// and those users log in again. See package rueidisstore for a near cache.
package goredisstore
