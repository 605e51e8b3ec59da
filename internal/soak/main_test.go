package main

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wechatauth/wechatauth/internal/command/commandtest"
)

func TestCommand(t *testing.T) {
	program := commandtest.Build(t, "soak")
	program.Usage(t, []string{"-users", "0"}, []string{"-for", "-1s"}, []string{"-frozen", "-rate", "0"}, []string{"-strangers", "-1"}, []string{"-for", "long"})

	failed := program.Run(t, []string{"PATH="}) // no redis-server
	assert.Equal(t, 1, failed.Code)
	assert.Equal(t, "FAIL\n", failed.Stdout)
	assert.Regexp(t, `^soak: redistest: redis-server is not installed.*\n$`, failed.Stderr)
}

// So short a soak may find growth where a long one finds none. Its verdict is
// that of its counts, and its exit code that of its verdict.
func TestCommand_Verdict(t *testing.T) {
	program := commandtest.Build(t, "soak")
	r := program.Run(t, nil, "-for", "2s", "-users", "2", "-strangers", "50")
	verdict, ok := map[int]string{0: "PASS", 1: "FAIL"}[r.Code]
	assert.True(t, ok, "exit code %d: %s", r.Code, r.Stderr)
	assert.Regexp(t, `(?s)\nvalues lost: 0,.*: 50 of 50\nsoak: minutes 0, logins [0-9]+,.*\n`+verdict+`\n$`, r.Stdout)
}
