package main

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wechatauth/wechatauth/internal/command/commandtest"
)

// The shortest soak takes more than three seconds: it waits until the number of
// goroutines has been steady for a second, twice.
func TestCommand_Terminal(t *testing.T) {
	screen := commandtest.Build(t, "soak").OnTerminal(t, "-for", "2s", "-users", "2", "-strangers", "50")
	assert.Regexp(t, `^(\r\x1b\[K(soak: [0-9]+s: [^\r\n]+)?)+$`, screen, "one line, which is rewritten")
	assert.Regexp(t, `soak: [1-9][0-9]*s: .`, screen)
	assert.Regexp(t, `\r\x1b\[K$`, screen, "and erased at the end")
}
