// Package threat is the threat suite. A test, or a sub-test, is named after the
// id of its threat. Each plays an attack, a fault or an unusual browser against
// a real server and asserts the outcome.
package threat
