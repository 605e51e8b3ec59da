package resp

import (
	"errors"
	"slices"
	"strings"
)

// These are the classes of errors, with the values of store.Class.
const (
	RetryNow = iota + 1
	RetryFresh
	FailClosed
	Configuration
)

// A Refusal is an error that the server itself sent, reduced to what may be
// repeated: the rest of its text may contain anything, such as the key and the
// value of a command that the server does not know.
type Refusal struct {
	Code    string // how the text starts: "NOPERM", "ERR unknown command"
	Command string // the denied or unknown command; empty if the server names none of the store's
	Class   int
	Cure    string // how to fix it; empty if nothing can be recommended

	anywhere bool // Code is in the text, in upper or lower case
}

// Error implements error.
func (r *Refusal) Error() string {
	text := r.Code
	if r.Command != "" {
		text += " " + r.Command
	}
	if r.Cure != "" {
		text += ": " + r.Cure
	}
	return text
}

const (
	cureCluster  = "the server is a node of a Redis Cluster; use store/goredisstore with IsClusterMode, or store/rueidisstore without ForceSingleClient"
	curePassword = "check the user and the password"
	cureDatabase = "use database 0"
	cureHello    = "use WithRedis, which does without HELLO"
	cureProxy    = "the server, or a proxy in front of it, does not offer what the store needs"
)

// refusals lists the errors of Redis that a store distinguishes, by how they
// start. The codes are part of its protocol. The texts after ERR are not, so
// the few here are those that have not changed since Redis 3.2.
var refusals = []Refusal{
	{Code: "READONLY", Class: RetryFresh, Cure: "the server is a replica; connect to its primary"},
	{Code: "LOADING", Class: RetryFresh},
	{Code: "MASTERDOWN", Class: RetryFresh},
	{Code: "CLUSTERDOWN", Class: RetryFresh},
	{Code: "ERR max number of clients", Class: RetryFresh, Cure: "raise maxclients, or let each instance open fewer connections"},

	{Code: "BUSY", Class: RetryNow},
	{Code: "TRYAGAIN", Class: RetryNow},

	{Code: "OOM", Class: FailClosed, Cure: "raise maxmemory"},
	{Code: "MISCONF", Class: FailClosed, Cure: "Redis cannot write its snapshot; check its disk"},
	{Code: "NOREPLICAS", Class: FailClosed, Cure: "fewer replicas are connected than min-replicas-to-write"},
	{Code: "WRONGTYPE", Class: FailClosed},

	{Code: "NOAUTH", Class: Configuration, Cure: "set the password"},
	{Code: "WRONGPASS", Class: Configuration, Cure: curePassword},
	{Code: "NOPERM", Class: Configuration},
	{Code: "NOPROTO", Class: Configuration, Cure: "the server has no RESP3; set AlwaysRESP2 of store/rueidisstore, and leave WithNearCache out"},
	{Code: "DENIED", Class: Configuration, Cure: "Redis is in protected mode; set a password there"},
	{Code: "MOVED", Class: Configuration, Cure: cureCluster},
	{Code: "ASK", Class: Configuration, Cure: cureCluster},
	{Code: "CROSSSLOT", Class: Configuration, Cure: cureCluster},
	{Code: "ERR unknown command", Class: Configuration, Cure: cureProxy},
	{Code: "ERR syntax error", Class: Configuration, Cure: "the server is too old; Redis 3.2 or later is required"},
	{Code: "ERR AUTH", Class: Configuration, Cure: "the server has no password, or none for this user; " + curePassword},
	{Code: "ERR Client sent AUTH", Class: Configuration, Cure: "the server has no password; leave it out"},
	{Code: "ERR invalid password", Class: Configuration, Cure: curePassword},
	{Code: "ERR DB index is out of range", Class: Configuration, Cure: cureDatabase},
	{Code: "ERR invalid DB index", Class: Configuration, Cure: cureDatabase},
	{Code: "ERR SELECT is not allowed in cluster mode", Class: Configuration, Cure: cureDatabase},
	{Code: "ERR No such master", Class: Configuration, Cure: "the Sentinels do not know this name of a primary"},

	// Errors of proxies and of cloud services.
	{Code: "unsupported command", Class: Configuration, Cure: cureProxy, anywhere: true},
	{Code: "not support for normal user", Class: Configuration, Cure: cureProxy, anywhere: true},
	{Code: "is not allowed", Class: Configuration, Cure: cureProxy, anywhere: true},
	{Code: "illegal address", Class: Configuration, Cure: "add the address of this machine to the allowlist of the Redis instance", anywhere: true},
}

// ParseRefusal returns the Refusal for the error text that the server sent.
func ParseRefusal(text string) *Refusal {
	for _, r := range refusals {
		bare := strings.TrimPrefix(r.Code, "ERR ") // rueidis removes it
		if strings.HasPrefix(text, r.Code) || strings.HasPrefix(text, bare) || r.anywhere && strings.Contains(strings.ToLower(text), r.Code) {
			return r.about(text)
		}
	}
	return &Refusal{Code: "an error that the store does not know", Class: FailClosed}
}

// commands lists everything that the store and its client libraries send.
var commands = strings.Fields("ASKING AUTH CLIENT CLUSTER CONFIG DEL GET HELLO PEXPIRE PING PTTL ROLE SCAN SELECT SENTINEL SET TIME WAIT ZADD ZRANGE ZREM ZREMRANGEBYSCORE")

// about returns a copy of r with the command that the text names, and with the
// advice for that command.
func (r Refusal) about(text string) *Refusal {
	if r.Class != Configuration {
		return &r
	}
	_, name, _ := strings.Cut(strings.ReplaceAll(strings.ToUpper(text), "`", "'"), "'")
	name, _, _ = strings.Cut(name, "'")
	name, _, _ = strings.Cut(name, "|")
	if slices.Contains(commands, name) {
		r.Command = name
	}
	switch {
	case r.Code == "NOPERM" && r.Command != "":
		r.Cure = "grant +" + strings.ToLower(r.Command)
	case r.Code == "NOPERM" && strings.Contains(text, "key"):
		r.Cure = "grant the pattern of the key"
	case r.Cure != cureProxy:
	case r.Command == "HELLO":
		r.Cure = cureHello
	case r.Command == "CLIENT":
		r.Cure = CureNearCache
	case r.Code == "ERR unknown command" && (r.Command == "GET" || r.Command == "SET"):
		r.Cure = "the server is a Sentinel, whose primary has to be named, or the command was renamed"
	}
	return &r
}

// ErrNoRedis replaces errors of client libraries that quote what was received.
var ErrNoRedis = errors.New("no Redis speaks at this address: check it, and use rediss:// or a TLSConfig for a TLS port")

// ErrClosed is returned by calls after Close.
var ErrClosed = errors.New("the session store is closed")

// CureNearCache is the advice for a server that does not support tracking.
const CureNearCache = "the near cache needs Redis 6 with RESP3 and CLIENT TRACKING; leave WithNearCache out"
