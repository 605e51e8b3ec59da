// Package threat is the threat suite: tests whose names begin with the id of a
// threat. Each plays an attack, a fault or an odd browser against a real server,
// and asserts the outcome.
package threat
