// Package store keeps login sessions in Redis ([New]) or in the memory of one
// process ([NewMemory]), optionally encrypted ([Encrypt]).
//
// All of them are stores for github.com/alexedwards/scs/v2 (scs.CtxStore and
// scs.IterableCtxStore) and work with any scs.SessionManager. They also
// implement the small interfaces of this package, which give the middleware
// guarantees that scs alone cannot: a request in flight does not restore a
// session after logout ([Updater]), an idle timeout requires no rewrite
// ([Toucher], [TTLFinder]), the code of a duplicate callback is exchanged once
// ([Marks]), and all sessions of a user can be ended ([Index]).
package store
