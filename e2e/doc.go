// Package e2e tests what needs whole programs: a real Chromium logs in to the
// quickstart, built and started as a user does, with sessions in memory and in
// a real Redis. The library never imports it.
package e2e
