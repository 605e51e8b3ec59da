package command

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestCode(t *testing.T) {
	for name, tt := range map[string]struct {
		err     error
		hint    string
		code    int
		printed string
	}{
		"success":          {nil, "", OK, ""},
		"help":             {flag.ErrHelp, "", OK, ""},
		"failure":          {errors.New("out of order"), "", Failed, "prog: out of order\n"},
		"line break":       {errors.New("go build\n"), "", Failed, "prog: go build\n"},
		"usage":            {Usagef("-n %d is negative", -1), "", Usage, "prog: -n -1 is negative\nRun prog -h for usage.\n"},
		"wrapped":          {fmt.Errorf("start: %w", Usagef("no file")), "", Usage, "prog: start: no file\nRun prog -h for usage.\n"},
		"another language": {Usagef("多余的参数"), "用法见 prog -h。", Usage, "prog: 多余的参数\n用法见 prog -h。\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			assert.Equal(t, tt.code, Code(&out, "prog", tt.err, tt.hint))
			assert.Equal(t, tt.printed, out.String())
		})
	}
}

func TestVerdict(t *testing.T) {
	var out bytes.Buffer
	assert.Equal(t, OK, Verdict(&out, true))
	assert.Equal(t, Failed, Verdict(&out, false))
	assert.Equal(t, "PASS\nFAIL\n", out.String())
}
