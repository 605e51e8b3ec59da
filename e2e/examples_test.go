package e2e

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/wechattest"
)

// An example is a row of the table of examples/README.md.
type example struct {
	env  []string // in addition to what the README exports for all of them
	page string   // the path of its page
}

var (
	exportLine = regexp.MustCompile(`(?m)^export (.*)$`)
	setting    = regexp.MustCompile("`([A-Z_]+=[^`]+)`")
	place      = regexp.MustCompile(`<http://127\.0\.0\.1:\d+(/[^>]*)>`)
)

// readExamples reads what a user reads: the settings for all examples, and what
// each one needs in addition.
func readExamples(t *testing.T) (common []string, all map[string]example) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "examples", "README.md"))
	require.NoError(t, err)
	for _, m := range exportLine.FindAllStringSubmatch(string(text), -1) {
		common = append(common, strings.Fields(m[1])...)
	}
	require.NotEmpty(t, common)
	_, table, found := strings.Cut(string(text), "\n| Program | Additional settings | URL |\n")
	require.True(t, found)
	all = map[string]example{}
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(line, "|\n "), "|")
		if len(cells) != 3 || strings.HasPrefix(cells[0], "---") {
			continue
		}
		at := place.FindStringSubmatch(cells[2])
		require.NotNil(t, at, line)
		var env []string
		for _, m := range setting.FindAllStringSubmatch(cells[1], -1) {
			env = append(env, m[1])
		}
		for _, name := range strings.Split(cells[0], ",") {
			all[strings.TrimSpace(name)] = example{env, at[1]}
		}
	}
	return common, all
}

// portsTaken counts the ports that tests of this process have used.
var portsTaken atomic.Int32

// freeAddress returns an address to listen on. Its port is below those that the
// kernel assigns to others, which could otherwise take it before the program
// listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	for {
		port := 11_000 + (os.Getpid()*50+int(portsTaken.Add(1)))%20_000
		addr := "127.0.0.1:" + strconv.Itoa(port)
		if l, err := net.Listen("tcp", addr); err == nil {
			require.NoError(t, l.Close())
			return addr
		}
	}
}

// buildExamples builds all examples and returns their folder.
func buildExamples(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", append(append([]string{"build"}, buildFlags...), "-o", dir+"/", "./...")...)
	build.Dir = filepath.Join("..", "examples")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return dir
}

// TestExamples starts every example with the settings of the README, on free
// ports, and logs in. At the end of the test, startProgram stops each one and
// checks its exit.
func TestExamples(t *testing.T) {
	t.Parallel()
	common, table := readExamples(t)
	entries, err := os.ReadDir(filepath.Join("..", "examples"))
	require.NoError(t, err)
	dir := buildExamples(t)
	for _, e := range entries {
		if !e.IsDir() || e.Name() == "internal" {
			continue
		}
		t.Run(e.Name(), func(t *testing.T) {
			t.Parallel()
			switch e.Name() { // the first two run as they are
			case "quickstart":
				site := startQuickstart(t)
				logsIn(t, site.url+"/", "#openid")
			case "spa":
				tb := openBrowser(t).tab()
				tb.open(startSPA(t) + "/#/me")
				tb.until(onAccount)
				tb.forgive("401")
			default:
				row, found := table[e.Name()]
				require.True(t, found, "examples/README.md does not say what it needs")
				sim := startWechatsim(t, "-any-browser")
				exampleRuns(t, filepath.Join(dir, e.Name()), sim, common, row)
			}
		})
	}
}

func exampleRuns(t *testing.T, binary string, sim *wechatsim, common []string, row example) {
	t.Helper()
	addr := freeAddress(t)
	site := "http://" + addr
	here := map[string]string{"WECHAT_URL": sim.url, "BASE_URL": site} // in place of the README's
	if strings.Contains(strings.Join(row.env, " "), "REDIS_URL=") {
		here["REDIS_URL"] = redistest.Start(t).URL()
	}
	env := []string{"ADDR=" + addr, "GIN_MODE=release"} // otherwise gin writes to stdout
	var client *protectedSite
	for _, v := range slices.Concat(common, row.env) {
		name, value, _ := strings.Cut(v, "=")
		if name == "RELAY_KEY" {
			client = startSite(t, sim, wechatauth.WithRelay(site+row.page, []byte(value)))
			here["RELAY_CALLBACKS"] = client.url + "/wechat/callback"
		}
		if other, ok := here[name]; ok {
			value = other
		}
		env = append(env, name+"="+value)
	}
	p := startProgramIn(t, env, binary)
	assert.Equal(t, "Listening on "+site, p.first)
	switch filepath.Base(binary) {
	case "relay": // has no page: an application logs in through it
		assert.Equal(t, 1, logsIn(t, client.url+"/", "#openid").asked(site+row.page))
	case "miniprogram":
		miniProgramLogsIn(t, site, sim)
		logsIn(t, site+row.page, "body")
	default:
		logsIn(t, site+row.page, "body")
	}
}

// logsIn opens a page in a browser, which returns to it with the openid.
func logsIn(t *testing.T, page, selector string) *tab {
	t.Helper()
	tb := openBrowser(t).tab()
	assert.Equal(t, shown{200, page}, tb.open(page))
	assert.Contains(t, tb.text(selector), openIDOf(person))
	return tb
}

// miniProgramLogsIn runs the example's client, with a phone whose codes are the
// simulator's.
func miniProgramLogsIn(t *testing.T, site string, sim *wechatsim) {
	t.Helper()
	phone := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resp, err := http.PostForm(sim.url+"/sim/js-code", url.Values{"appid": {wechattest.DefaultMiniProgramAppID}, "person": {person}})
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		var state struct{ Code string }
		_ = json.NewDecoder(resp.Body).Decode(&state) // without a code the login fails
		_, _ = w.Write([]byte(state.Code))
	}))
	defer phone.Close()
	drive := exec.Command("node", filepath.Join("..", "examples", "miniprogram", "client", "drive.js"), site, phone.URL, "login")
	out, err := drive.Output()
	require.NoError(t, err)
	assert.Contains(t, string(out), `"openid":"`+wechattest.OpenID(wechattest.DefaultMiniProgramAppID, person)+`"`)
}
