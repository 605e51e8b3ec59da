package repotest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The threats by their ids, each with at least one test. For most of them its
// name begins with the id.
var threatIDs = func() (ids []string) {
	for n := 1; n <= 99; n++ {
		ids = append(ids, fmt.Sprintf("T%02d", n))
	}
	return ids
}()

// threatsElsewhere are the threats that other suites meet, whose tests have no
// ids: those of WeChat's answers (package client), and the faults of Redis.
var threatsElsewhere = map[string][]string{
	"T46": {"client/TestBaseURLsThatLeadElsewhereAreRefused"},
	"T47": {"client/TestWireAnAnswerCostsAMebibyteAtMost", "client/TestWireEveryFaultHasItsClassAndSpendsTheCodeOnce"},
	"T48": {"client/TestWireEveryFaultHasItsClassAndSpendsTheCodeOnce", "client/TestADialerOfYoursHasTwoSeconds"},
	"T49": {"client/TestWireAnswersOfAnyShape"},
	"T50": {"client/TestWireUserInfoAboutAnotherUserIsRefused", "client/TestWireNoCallReturnsAnUncertainIdentity"},
	"T51": {"client/TestWireNoCallReturnsAnUncertainIdentity", "client/TestWireAnErrcodeBeatsAnIdentity"},
	"T52": {"client/TestWireAKeptConnectionThatDiesCountsByWhatWasWritten", "client/TestWireBusyIsAskedOnceMoreWhereThatIsSafe"},
	"T53": {"client/FuzzTokenAnswer", "client/FuzzUserInfoAnswer"},
	"T54": {"client/TestWireTLSFaults"},
	"T55": {"client/TestWireCancelledCallsLeaveNothingBehind"},
	"T63": {"TestWhileRedisIsDownNobodyWithASessionIsLoggedOutOrSentToWeChat"},
	"T64": {"TestFaultMatrix", "TestALoginWhoseSessionCouldNotBeSavedBeginsAgain"},
	"T65": {"TestAClientThatGoesAwayDuringALoginFindsItOnReload"},
	"T66": {"store/TestEveryRefusalOfARealServerHasItsClass", "store/TestAfterAFailoverTheFirstWriteReachesTheNewPrimary"},
	"T67": {"TestADamagedRecordIsAnonymousAndHealed", "internal/record/FuzzDecode", "internal/identity/FuzzDecode", "FuzzSessionRecord"},
	"T69": {"store/TestASkewedClockDoesNotChangeHowLongASessionLives", "TestT08_APendingLoginEndsByTheTimeInsideItsSeal"},
	"T72": {"TestLoginLogoutAndLateWriterEndRightInEveryOrder", "TestARevocationEndsRequestsUnderWayAndWhatTheyWrite"},
}

func TestEveryThreatHasATest(t *testing.T) {
	tests, all := threatTests(t)
	covered := 0
	for _, id := range threatIDs {
		for _, name := range threatsElsewhere[id] {
			if assert.True(t, all[name], "the test of %s is gone or has another name: %s", id, name) {
				tests[id] = append(tests[id], name)
			}
		}
		if assert.NotEmpty(t, tests[id], "no test is named after %s", id) {
			covered++
		}
	}
	for _, id := range slices.Sorted(maps.Keys(tests)) {
		assert.Regexp(t, `^T(0[1-9]|[1-9][0-9])$`, id, "no threat has this id: %v", tests[id])
	}
	t.Logf("ids %d/%d", covered, len(threatIDs))
}

var fuzzTargetName = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)

// What fuzzing has found worth keeping is run by every go test.
func TestEveryFuzzTargetHasACorpusOfItsOwn(t *testing.T) {
	targets := 0
	for _, pattern := range []string{"*_test.go", "*/*_test.go", "*/*/*_test.go", "*/*/*/*_test.go"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, file := range files {
			source, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, found := range fuzzTargetName.FindAllSubmatch(source, -1) {
				targets++
				corpus, err := filepath.Glob(filepath.Join(filepath.Dir(file), "testdata", "fuzz", string(found[1]), "*"))
				require.NoError(t, err)
				assert.GreaterOrEqual(t, len(corpus), 10, "%s in %s: copy what go test -fuzz has found from the build cache", found[1], file)
			}
		}
	}
	assert.GreaterOrEqual(t, targets, 10)
}

var threatTestName = regexp.MustCompile(`^Test(T[0-9]+)_[A-Z]`)

// threatTests reads the tests of this module that are named after a threat, by
// its id, and the names of all tests with their folders; those of the suites also
// without. A test without a body,
// or that skips itself, is none.
func threatTests(t *testing.T) (tests map[string][]string, all map[string]bool) {
	t.Helper()
	tests, all = map[string][]string{}, map[string]bool{}
	err := fs.WalkDir(os.DirFS("."), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv != nil {
				continue
			}
			all[strings.TrimPrefix(filepath.Dir(path)+"/", "./")+f.Name.Name] = true
			if strings.HasPrefix(path, "internal/suite/") {
				all[f.Name.Name] = true
			}
			match := threatTestName.FindStringSubmatch(f.Name.Name)
			if match == nil {
				continue
			}
			require.NotEmpty(t, f.Body.List, f.Name.Name)
			ast.Inspect(f.Body, func(n ast.Node) bool {
				call, ok := n.(*ast.SelectorExpr)
				assert.False(t, ok && strings.HasPrefix(call.Sel.Name, "Skip"), "%s skips itself", f.Name.Name)
				return true
			})
			tests[match[1]] = append(tests[match[1]], f.Name.Name)
		}
		return nil
	})
	require.NoError(t, err)
	require.NotEmpty(t, tests)
	return tests, all
}
