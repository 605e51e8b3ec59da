// Package doubled tests callbacks that come more than once: at the same time, one
// after the other, on several instances, and after the first one died.
package doubled
