// Package store keeps login sessions: in Redis ([New]) or in the memory of one
// process ([NewMemory]), either of them encrypted if wished ([Encrypt]).
//
// All of them are stores for github.com/alexedwards/scs/v2 (scs.CtxStore and
// scs.IterableCtxStore) and work with any scs.SessionManager. Beyond what scs
// asks for they implement the small interfaces of this package, by which a
// login wall keeps what scs alone cannot: a request in flight does not bring a
// logged-out session back ([Updater]), an idle timeout costs no rewrite
// ([Toucher], [TTLFinder]), a callback that arrives twice is exchanged once
// ([Marks]), and all sessions of a user can be ended ([Index]).
package store
