package wechatauth

import (
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// modules are the folders of go.work.
func modules(t *testing.T) (dirs []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?m)^\t(\.\S*)$`).FindAllStringSubmatch(readFile(t, "go.work"), -1) {
		dirs = append(dirs, path.Clean(m[1]))
	}
	require.NotEmpty(t, dirs)
	return dirs
}

func TestEveryModuleIsTestedAndKeptUpToDate(t *testing.T) {
	makefile, updates := readFile(t, "Makefile"), readFile(t, ".github/dependabot.yml")
	tested := regexp.MustCompile(`(?m)^MODULES := (.*)$`).FindStringSubmatch(makefile)
	require.NotNil(t, tested)
	for _, dir := range modules(t) {
		if dir != "bench" { // which measures, and has a make target of its own
			assert.Contains(t, strings.Fields(tested[1]), dir, "MODULES of the Makefile")
		}
		assert.Contains(t, updates, "      - /"+strings.TrimPrefix(dir, ".")+"\n", ".github/dependabot.yml")
	}
}

func TestTheWorkflowRunsWhatAMachineRuns(t *testing.T) {
	workflow := readFile(t, ".github/workflows/ci.yml")
	assert.Contains(t, workflow, "run: bash .ci/run\n")
	assert.Contains(t, workflow, "go: [stable, oldstable]")
	assert.NotContains(t, workflow, "\t", "YAML knows no tabs")
}

// The instructions of a Dockerfile that this one may use.
var dockerInstruction = regexp.MustCompile(`^(FROM \S+( AS \S+)?|WORKDIR /\S*|COPY (--from=\S+ )?\S+ \S+|RUN .+|USER \S+|EXPOSE [\d ]+|(ENTRYPOINT|CMD) \[.*\])$`)

func TestTheDockerfileBuildsWithTheToolchainThatTheModulesAskForAndRunsUnprivileged(t *testing.T) {
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
	assert.FileExists(t, "examples/quickstart/main.go")
	assert.Contains(t, text, "go build -trimpath -o /quickstart ./quickstart")
	for _, needed := range []string{"examples", "store", "client", "wechattest", "pages", "observe"} {
		assert.NotRegexp(t, `(?m)^/?`+needed+`/?$`, readFile(t, ".dockerignore"))
	}
}
