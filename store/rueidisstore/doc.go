// Package rueidisstore keeps login sessions in Redis through
// github.com/redis/rueidis: in a single server, in the primary that Sentinel
// names, or in a Redis Cluster. It is package store with another way to Redis:
// the keys, commands, checks and errors are the same, and instances with either
// of them can run side by side. Which of the three it talks to is said
// by rueidis.ClientOption alone:
//
//	rueidis.ClientOption{InitAddress: []string{"redis:6379"}}                // one server
//	rueidis.ClientOption{InitAddress: sentinels,
//		Sentinel: rueidis.SentinelOption{MasterSet: "sessions"}}             // Sentinel
//	rueidis.ClientOption{InitAddress: someNodes}                             // Cluster
//
// rueidis.ParseURL makes an option from a URL. Its error repeats the URL, and so
// the password: do not log it.
//
// What replication loses is lost: Redis acknowledges a write before a replica
// has it, so a primary that dies may take its last logins with it, and one that
// is cut off goes on accepting logins that are gone when it comes back. Their
// visitors log in again. "min-replicas-to-write 1" ends the latter after ten
// seconds (min-replicas-max-lag), and refuses logins while there is no replica.
//
// # Near cache
//
// [WithNearCache] lets an instance answer reads of sessions from its own memory,
// without asking Redis, for as long as Redis has not said that they changed.
// That needs Redis 6 or newer, where every connection of the store is told of
// changes to what was read over it (client-side caching by RESP3 tracking).
//
// What is promised:
//   - Whatever this store has written, it reads back: its own writes are
//     forgotten locally before they return.
//   - A logout, revocation, renewal or touch by another instance is seen as soon
//     as Redis's word of it has arrived. Until then the instance answers from
//     memory.
//   - No session is served for longer than maxAge after it was read from Redis,
//     whatever happens to that word, and never beyond the life it had then. So
//     maxAge bounds how long a revoked session can live on anywhere.
//   - When a connection ends, everything is forgotten and read anew, and nothing
//     that was on its way is kept.
//   - An instance that is cut off from Redis without noticing serves what it
//     holds until the connection is found dead (the keep-alive interval twice
//     and ConnWriteTimeout once: 3 s unless changed) or maxAge is over, whichever
//     comes first; after that reads fail as they do without a near cache.
//   - A session that is not there is not remembered as missing: a login is seen
//     at once by everybody.
//   - Its memory is bounded by maxBytes, the least recently used go first.
//
// The remaining life that comes with a record counts down from what Redis said,
// so a session is touched neither too late nor more often than without the
// cache. Claims, marks and indexes are never cached.
//
// Redis remembers which connection asked for which token, at about 170 bytes for
// each (Redis 7.0), also for tokens that do not exist. It does so for at most
// tracking-table-max-keys of them (1,000,000 unless changed); lower that where a
// flood of made-up tokens must not cost so much memory.
package rueidisstore
