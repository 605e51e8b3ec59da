// Package site has tests of Auth.CheckSite through a real nginx, which is
// configured as in the docs, or with faults.
package site
