// Package doubled tests duplicate callbacks: at the same time, in sequence, on
// several instances, and after the leader died.
package doubled
