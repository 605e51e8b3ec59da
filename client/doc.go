// Package client speaks WeChat's HTTP API: what a login needs, and nothing
// else. It is the only package here that knows WeChat's URLs and JSON.
package client
