// Package rueidisstore keeps login sessions in Redis through
// github.com/redis/rueidis: in a single server, in the primary that Sentinel
// names, or in a Redis Cluster. It is package store with another client
// library: the keys, commands, checks and errors are the same, and instances
// with either of them can run side by side. The fields of rueidis.ClientOption
// determine which of the three it connects to:
//
//	rueidis.ClientOption{InitAddress: []string{"redis:6379"}}                // one server
//	rueidis.ClientOption{InitAddress: sentinels,
//		Sentinel: rueidis.SentinelOption{MasterSet: "sessions"}}             // Sentinel
//	rueidis.ClientOption{InitAddress: someNodes}                             // Cluster
//
// rueidis.ParseURL returns an option for a URL. Its error repeats the URL, and
// so the password: do not log it.
//
// Replication is asynchronous: Redis acknowledges a write before a replica has
// it, so a primary that fails may lose its last logins, and one that is cut off
// continues to accept logins, which are lost when it reconnects. Those users
// log in again. "min-replicas-to-write 1" limits the latter to ten seconds
// (min-replicas-max-lag), and rejects logins while there is no replica.
//
// # Near cache
//
// [WithNearCache] allows an instance to read sessions from its own memory,
// without a call to Redis, for as long as Redis has not reported that they
// changed. That requires Redis 6 or later, which reports to every connection of
// the store the changes to what was read over it (client-side caching by RESP3
// tracking).
//
// The near cache guarantees the following:
//   - A store reads what it has written: its own writes are removed from the
//     cache before they return.
//   - A logout, revocation, renewal or touch by another instance takes effect
//     as soon as Redis's report of it has arrived. Until then the instance
//     reads the session from memory.
//   - No session is served for longer than maxAge after it was read from Redis,
//     even if that report is lost, and never beyond the lifetime it had then.
//     So maxAge limits how long a revoked session can remain valid on any
//     instance.
//   - When a connection ends, or one to another server is opened, the cache is
//     cleared and no read in progress is cached.
//   - An instance that is cut off from Redis serves what it has cached for at
//     most three keep-alive intervals (Dialer.KeepAlive; 3 seconds by default)
//     after it last received anything on each connection over which it reads.
//     rueidis sends PING once nothing has arrived for an interval. After that,
//     it reads from Redis, which fails as it does without a near cache.
//   - In a split brain, an instance does not know of a revocation at the primary
//     to which it is not connected, with a near cache or without. Once it is
//     connected to that one, maxAge is the limit.
//   - A missing session is not cached: all instances see a login immediately.
//   - It holds at most maxBytes; the least recently used records go first.
//
// The remaining lifetime of a cached record counts down from the value that
// Redis reported, so a session is touched neither too late nor more often than
// without the cache. Leases, marks and indexes are never cached.
//
// Redis records which connection has read which token, in about 170 bytes each
// (Redis 7.0), even for tokens that do not exist. It does so for at most
// tracking-table-max-keys tokens (1,000,000 by default); lower this setting if
// a flood of made-up tokens must not use so much memory.
package rueidisstore
