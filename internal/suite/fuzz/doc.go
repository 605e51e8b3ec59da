// Package fuzz throws what nobody would send at a whole login: cookies, states,
// callbacks, session records and headers.
package fuzz
