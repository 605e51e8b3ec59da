package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEveryMutantFitsTheCode(t *testing.T) {
	root, err := moduleRoot()
	require.NoError(t, err)
	require.NoError(t, check(root, mutants), "whoever changes the code changes its mutants too, in internal/mutants")
	require.GreaterOrEqual(t, len(mutants), 60)
}

func TestAMutantThatDoesNotFitIsTold(t *testing.T) {
	root, err := moduleRoot()
	require.NoError(t, err)
	fitting := mutants[0]
	for name, tc := range map[string]struct {
		change func(*mutant)
		says   string
	}{
		"a text that is not there":  {func(m *mutant) { m.search = "not in this file" }, "occurs 0 times"},
		"a text that is everywhere": {func(m *mutant) { m.search = "\n" }, "times in the package"},
		"a subject without tests":   {func(m *mutant) { m.about, m.killer = "weather", "" }, "no test to ask first"},
		"a fault that is none":      {func(m *mutant) { m.broken = m.search }, "nothing is broken"},
		"a test that is gone":       {func(m *mutant) { m.killer = "TestThatIsGone" }, "no test to ask first"},
		"no pattern":                {func(m *mutant) { m.killer = "(" }, "missing closing"},
	} {
		t.Run(name, func(t *testing.T) {
			m := fitting
			tc.change(&m)
			require.ErrorContains(t, check(root, []mutant{m}), tc.says)
		})
	}
	require.ErrorContains(t, check(root, []mutant{fitting, fitting}), "two of this name")
}
