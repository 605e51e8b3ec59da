package repotest

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// modules returns the folders of go.work.
func modules(t *testing.T) (dirs []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?m)^\t(\.\S*)$`).FindAllStringSubmatch(readFile(t, "go.work"), -1) {
		dirs = append(dirs, path.Clean(m[1]))
	}
	require.NotEmpty(t, dirs)
	return dirs
}

func TestModules(t *testing.T) {
	makefile, updates := readFile(t, "Makefile"), readFile(t, ".github/dependabot.yml")
	tested := regexp.MustCompile(`(?m)^MODULES := (.*)$`).FindStringSubmatch(makefile)
	require.NotNil(t, tested)
	for _, dir := range modules(t) {
		if dir != "bench" { // bench measures, and has a make target
			assert.Contains(t, strings.Fields(tested[1]), dir, "MODULES of the Makefile")
		}
		assert.Contains(t, updates, "      - /"+strings.TrimPrefix(dir, ".")+"\n", ".github/dependabot.yml")
	}
}

// readYAML reads a YAML file in which every key must be one that into has.
func readYAML(t *testing.T, file string, into any) {
	t.Helper()
	dec := yaml.NewDecoder(strings.NewReader(readFile(t, file)))
	dec.KnownFields(true)
	require.NoError(t, dec.Decode(into), file)
}

// A workflow has the keys of GitHub's workflows that ours uses.
type workflow struct {
	Name string
	On   struct {
		Push        struct{ Branches []string }
		PullRequest any `yaml:"pull_request"`
	}
	Permissions map[string]string
	Concurrency struct {
		Group            string
		CancelInProgress bool `yaml:"cancel-in-progress"`
	}
	Jobs map[string]struct {
		Name           string
		RunsOn         string `yaml:"runs-on"`
		TimeoutMinutes int    `yaml:"timeout-minutes"`
		Strategy       struct {
			FailFast bool `yaml:"fail-fast"`
			Matrix   map[string][]string
		}
		Steps []struct {
			Name, Uses, Run string
			With, Env       map[string]string
		}
	}
}

func TestWorkflow(t *testing.T) {
	var w workflow
	readYAML(t, ".github/workflows/ci.yml", &w)
	require.Len(t, w.Jobs, 1)
	job := w.Jobs["run"]
	assert.Equal(t, []string{"stable", "oldstable"}, job.Strategy.Matrix["go"])
	assert.Equal(t, map[string]string{"contents": "read"}, w.Permissions)
	ran := false
	for _, step := range job.Steps {
		switch {
		case strings.HasPrefix(step.Uses, "actions/setup-go@"):
			assert.Equal(t, "${{ matrix.go }}", step.With["go-version"])
		case step.Run == "bash .ci/run":
			ran = true
			assert.Equal(t, "auto", step.Env["GOTOOLCHAIN"], "setup-go sets it to local, and tools/ may need a newer Go than the matrix has")
		}
	}
	assert.True(t, ran)
}

func TestGitHubYAML(t *testing.T) {
	files := 0
	for _, pattern := range []string{".github/*.yml", ".github/*/*.yml"} {
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, file := range found {
			files++
			var any map[string]any
			readYAML(t, file, &any)
			assert.NotEmpty(t, any, file)
		}
	}
	assert.Greater(t, files, 2)
}

// A composition has the keys of compose files that ours uses.
type composition struct {
	Services map[string]struct {
		Build, Image   string
		Command, Ports []string
		DependsOn      map[string]struct{ Condition string } `yaml:"depends_on"`
		Healthcheck    struct {
			Test              []string
			Interval, Timeout string
			Retries           int
		}
	}
}

func TestComposeFile(t *testing.T) {
	var c composition
	readYAML(t, "compose.yaml", &c)
	site := c.Services["site"]
	assert.FileExists(t, filepath.Join(site.Build, "Dockerfile"))
	assert.NotEmpty(t, site.DependsOn)
	for name, need := range site.DependsOn {
		service, ok := c.Services[name]
		require.True(t, ok, name)
		assert.Equal(t, "service_healthy", need.Condition)
		assert.NotEmpty(t, service.Healthcheck.Test, "%s needs a check to become healthy", name)
		assert.Contains(t, strings.Join(site.Command, " "), "redis://"+name+":6379/")
	}
	require.NotEmpty(t, site.Ports)
	for _, port := range site.Ports {
		assert.Regexp(t, `^127\.0\.0\.1:`, port, "a client that can reach a simulator can log in as any user")
	}
}

// The instructions that this Dockerfile may use.
var dockerInstruction = regexp.MustCompile(`^(FROM \S+( AS \S+)?|WORKDIR /\S*|COPY (--from=\S+ )?\S+ \S+|RUN .+|USER \S+|EXPOSE [\d ]+|(ENTRYPOINT|CMD) \[.*\])$`)

func TestDockerfile(t *testing.T) {
	text := readFile(t, "Dockerfile")
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") {
			assert.Regexp(t, dockerInstruction, line)
		}
	}
	image := regexp.MustCompile(`(?m)^FROM golang:(1\.\d+)`).FindStringSubmatch(text)
	require.NotNil(t, image)
	directive := regexp.MustCompile(`(?m)^go (1\.\d+)`).FindStringSubmatch(readFile(t, "go.work"))
	require.NotNil(t, directive)
	assert.GreaterOrEqual(t, image[1], directive[1])
	assert.Contains(t, text, "\nUSER nobody\n")
}

// TestDockerfile_Copies follows the file: stages have names before they are
// copied from, and its command builds the program in a copy of what the builder
// is sent.
func TestDockerfile_Copies(t *testing.T) {
	text := readFile(t, "Dockerfile")
	var stages, commands []string
	made := map[string]bool{} // paths in the last stage
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case len(words) == 4 && words[0] == "FROM":
			stages = append(stages, words[3])
		case len(words) > 0 && words[0] == "RUN":
			commands = append(commands, strings.TrimSpace(strings.TrimPrefix(line, "RUN")))
		case len(words) == 4 && words[0] == "COPY":
			from, found := strings.CutPrefix(words[1], "--from=")
			require.True(t, found, line)
			assert.Contains(t, stages, from, line)
			assert.Contains(t, strings.Join(commands, "\n"), " -o "+words[2]+" ", "no stage makes the copied file")
			made[words[3]] = true
		}
	}
	entry := regexp.MustCompile(`(?m)^ENTRYPOINT \["([^"]+)"\]$`).FindStringSubmatch(text)
	require.NotNil(t, entry)
	assert.True(t, made[entry[1]], "nothing copies %s", entry[1])

	require.Len(t, commands, 1)
	dir, out := t.TempDir(), t.TempDir()
	copyContext(t, dir)
	build := exec.Command("bash", "-euc", strings.ReplaceAll(commands[0], " -o /", " -o "+out+"/"))
	build.Dir = dir
	said, err := build.CombinedOutput()
	require.NoError(t, err, "%s", said)
	assert.FileExists(t, filepath.Join(out, entry[1]))
}

// copyContext copies what a builder is sent: everything except what
// .dockerignore names. Ours are names of folders, without patterns.
func copyContext(t *testing.T, dir string) {
	t.Helper()
	ignored := strings.Fields(readFile(t, ".dockerignore"))
	for _, name := range ignored {
		require.Regexp(t, `^[.a-z0-9]+$`, name)
	}
	entries, err := os.ReadDir(".")
	require.NoError(t, err)
	for _, e := range entries {
		if slices.Contains(ignored, e.Name()) {
			continue
		}
		target := filepath.Join(dir, e.Name())
		if e.IsDir() {
			require.NoError(t, os.CopyFS(target, os.DirFS(e.Name())))
		} else {
			writeFile(t, target, readFile(t, e.Name()))
		}
	}
}

func TestMakefileTargets(t *testing.T) {
	var targets, listed []string
	for _, m := range regexp.MustCompile(`(?m)^([a-z-]+):`).FindAllStringSubmatch(readFile(t, "Makefile"), -1) {
		targets = append(targets, m[1])
	}
	for _, row := range tableOf(t, "CONTRIBUTING.md", "Commands") {
		for _, m := range regexp.MustCompile("`make ([a-z-]+)").FindAllStringSubmatch(strings.Join(row, " "), -1) {
			listed = append(listed, m[1])
		}
	}
	slices.Sort(targets)
	slices.Sort(listed)
	assert.Equal(t, targets, slices.Compact(listed))
}

// TestLayout checks that CONTRIBUTING.md names every file and folder of the
// root and of internal.
func TestLayout(t *testing.T) {
	var patterns []string
	for _, row := range tableOf(t, "CONTRIBUTING.md", "Layout") {
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[0], -1) {
			pattern := strings.TrimSuffix(m[1], "/")
			patterns = append(patterns, pattern)
			found, err := filepath.Glob(pattern)
			require.NoError(t, err)
			assert.NotEmpty(t, found, "%s is not there", m[1])
		}
	}
	entries := append(readDir(t, "."), readDir(t, "internal")...)
	for _, name := range append(entries, ".ci", ".github") {
		if name == "bin" || name == "internal" { // built tools, and the folder whose subfolders are listed
			continue
		}
		named := slices.ContainsFunc(patterns, func(p string) bool {
			fits, err := path.Match(p, name)
			return err == nil && fits || strings.HasPrefix(p, name+"/")
		})
		assert.True(t, named, "%s has no row", name)
	}
}

// readDir returns the folders of a folder and its Go files that are not tests,
// without names that begin with a dot.
func readDir(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		source := strings.HasSuffix(e.Name(), ".go") && !strings.HasSuffix(e.Name(), "_test.go")
		if !strings.HasPrefix(e.Name(), ".") && (e.IsDir() || source) {
			names = append(names, path.Join(dir, e.Name()))
		}
	}
	return names
}

// A suite that fails shows everything that its failing tests wrote, in any
// form, and nothing of the tests that passed.
func TestSuiteFailures(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module fixture\n\ngo 1.25\n",
		"one/a_test.go": `package one

import (
	"fmt"
	"testing"
)

func TestPasses(t *testing.T) { fmt.Println("said by one that passes"); t.Log("logged by one that passes") }

func TestFails(t *testing.T) {
	fmt.Println("no form that a pattern knows")
	t.Run("a case", func(t *testing.T) { t.Error("first line\nsecond line") })
	t.Run("another", func(t *testing.T) { t.Parallel(); t.Log("in parallel") })
}

func TestPassesToo(t *testing.T) { t.Log("logged by another that passes") }

func TestPanics(*testing.T) { panic("with its stack") }
`,
		"two/b_test.go": "package two\n\nvar x int = \"no number\"\n",
		"ends/c_test.go": `package ends

import (
	"fmt"
	"os"
	"testing"
)

func TestRaces(t *testing.T) { fmt.Println("WARNING: DATA RACE\nof two that continue"); t.Log("and pass") }

func TestFails(t *testing.T) { t.Log("one of this name passes") }

func TestEnds(t *testing.T) { t.Run("inside", func(*testing.T) { fmt.Println("last words"); os.Exit(3) }) }
`,
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	cmd := exec.Command("go", "test", "-v", "./...")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	output, err := cmd.CombinedOutput()
	require.Error(t, err)
	file := filepath.Join(dir, "out")
	require.NoError(t, os.WriteFile(file, output, 0o644))
	shown, err := exec.Command(".ci/failures", file).Output()
	require.NoError(t, err)
	for _, want := range []string{
		"no form that a pattern knows", "first line\n", "second line\n", "in parallel", "--- FAIL: TestFails", "--- FAIL: TestFails/a_case",
		"panic: with its stack", "goroutine ", "no number", "FAIL\tfixture/one", "FAIL\tfixture/two", "FAIL\tfixture/ends",
		"of two that continue", "=== RUN   TestEnds/inside\nlast words\n",
	} {
		assert.Contains(t, string(shown), want)
	}
	assert.NotContains(t, strings.ReplaceAll(string(shown), "one of this name passes", ""), "passes")

	// A go command that fails in each suite.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), []byte("#!/bin/sh\ncat '"+file+"'\nexit 1\n"), 0o755))
	suites := regexp.MustCompile(`(?m)^([a-z]+)\)$`).FindAllStringSubmatch(readFile(t, ".ci/suite"), -1)
	require.Len(t, suites, 10)
	for _, suite := range suites {
		cmd := exec.Command(".ci/suite", suite[1])
		cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "MODULES=.")
		output, err := cmd.CombinedOutput()
		if suite[1] == "fuzz" { // has nothing to fuzz
			continue
		}
		assert.ErrorContains(t, err, "exit status 1", suite[1])
		assert.Contains(t, string(output), "second line\n", suite[1])
		assert.NotContains(t, string(output), "said by one that passes", suite[1])
	}
}

// The gate fails unless every test that TestEveryThreat lists has passed.
func TestSuiteGate(t *testing.T) {
	const listed = `    ids_test.go:1: threat-test TestA/T01 a b
    ids_test.go:1: threat-test internal/record/FuzzB
`
	for name, c := range map[string]struct{ output, missing string }{
		"all have":        {listed + "--- PASS: FuzzB (0.00s)\n    --- PASS: TestA/T01_a_b (0.00s)\n", ""},
		"deeper":          {listed + "--- PASS: FuzzB (0.00s)\n        --- PASS: TestA/inside/T01_a_b (0.00s)\n", ""},
		"one has not run": {listed + "--- PASS: FuzzB (0.00s)\n    --- PASS: TestA/T01_a (0.00s)\n", "TestA/T01_a_b has not passed"},
		"one has failed":  {listed + "--- FAIL: FuzzB (0.00s)\n    --- PASS: TestA/T01_a_b (0.00s)\n", "FuzzB has not passed"},
		"another test's":  {listed + "--- PASS: FuzzB (0.00s)\n    --- PASS: TestC/T01_a_b (0.00s)\n", "TestA/T01_a_b has not passed"},
		"none are listed": {"--- PASS: FuzzB (0.00s)\n", "no threat is listed"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			output := c.output + "anonymous requests 100000, loops 10000,\n"
			for _, counter := range []string{"targets", "bad-callbacks", "fault points", "escapes", "honest-refused", "api-calls", "redis-commands", "hits"} {
				output += counter + " 1\n"
			}
			require.NoError(t, os.WriteFile(filepath.Join(dir, "out"), []byte(output+"ids 1/1\nmutants: killed 1/1\n"), 0o644))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), []byte("#!/bin/sh\ncat '"+dir+"/out'\n"), 0o755))
			cmd := exec.Command(".ci/suite", "gate")
			cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
			shown, err := cmd.CombinedOutput()
			if c.missing == "" {
				assert.Contains(t, string(shown), "gate: ids 1/1, ")
				return
			}
			assert.ErrorContains(t, err, "exit status 1")
			assert.Contains(t, string(shown), c.missing)
		})
	}
}
