package repotest

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/accounts"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/wechattest"
)

// Each block of Go in the docs becomes a package, in a module outside of the
// repository that is added to the repository's go.work. A block that begins
// with a package clause is a whole file, and a test file if it has a test. Any
// other block is a fragment: declarations if it begins with "func", statements
// otherwise. A fragment sees the variables of fragmentScope, imports nothing
// itself, and may leave variables unused.
const fragmentScope = `package fragment

import (
	"context"
	"net/http"

	"github.com/alexedwards/scs/v2"
	"github.com/gomodule/redigo/redis"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/wechattest"
)

var (
	auth     *wechatauth.Auth
	opts     []wechatauth.Option
	pool     *redis.Pool
	sessions *scs.SessionManager
	sim      *wechattest.Server
	user     wechatauth.Identity

	key, previousKey []byte
	saveUser         func(ctx context.Context, appID, openID, unionID string) error

	ctx context.Context
	w   http.ResponseWriter
	r   *http.Request

	app, orders, profile, news http.Handler
	home, public               http.HandlerFunc

	appID, secret, state, code string
	logo                       string
	otherAppID, otherSecret    string
	platformAppID              string
	token                      func(context.Context) (client.Secret, error)
)
`

// fragmentImports has the packages that a fragment may name.
var fragmentImports = map[string]string{
	"context": "context", "errors": "errors", "fmt": "fmt", "io": "io", "template": "html/template", "http": "net/http", "httputil": "net/http/httputil", "log": "log", "os": "os", "time": "time", "url": "net/url",
	"prometheus": "github.com/prometheus/client_golang/prometheus",
	"wechatprom": "github.com/wechatauth/wechatauth/observe/wechatprom", "wechatotel": "github.com/wechatauth/wechatauth/observe/wechatotel",
	"chi": "github.com/go-chi/chi/v5", "mux": "github.com/gorilla/mux", "gin": "github.com/gin-gonic/gin", "echo": "github.com/labstack/echo/v4",
	"rueidis": "github.com/redis/rueidis", "rueidisstore": "github.com/wechatauth/wechatauth/store/rueidisstore",
	"redis": "github.com/gomodule/redigo/redis", "scs": "github.com/alexedwards/scs/v2",
	"wechatauth": "github.com/wechatauth/wechatauth", "client": "github.com/wechatauth/wechatauth/client", "environment": "github.com/wechatauth/wechatauth/environment",
	"accounts": "github.com/wechatauth/wechatauth/accounts", "identityheader": "github.com/wechatauth/wechatauth/identityheader", "relay": "github.com/wechatauth/wechatauth/relay",
	"store": "github.com/wechatauth/wechatauth/store", "verifyfile": "github.com/wechatauth/wechatauth/verifyfile", "wechattest": "github.com/wechatauth/wechatauth/wechattest",
}

func TestDocs_GoBlocks(t *testing.T) {
	dir := t.TempDir()
	blocks := 0
	for _, file := range markdownFiles(t) {
		if strings.HasSuffix(file, ".zh-CN.md") {
			continue // has the blocks of its original, as another test checks
		}
		name := strings.ToLower(strings.NewReplacer("/", "_", ".", "_", "-", "_").Replace(file))
		for i, block := range codeBlocks(t, file, "go") {
			writeBlock(t, filepath.Join(dir, fmt.Sprintf("%s%02d", name, i+1)), block)
			blocks++
		}
	}
	require.NotZero(t, blocks)
	t.Logf("blocks %d", blocks)
	writeWorkspace(t, dir)
	// A fragment may end in a return, after which its variables are used.
	runGo(t, dir, "vet", "-unreachable=false", "./...")
	runGo(t, dir, "test", "./...")
}

// TestDocs_Pages runs the worked examples of docs/pages.md: what each changes is on
// the page after a logout or on that of a rejected callback.
func TestDocs_Pages(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ section, path, want string }{
		"brand":    {"Show your brand", "/wechat/callback", `<header><img src="data:image/svg+xml;base64,PHN2Zz4=" alt=""><span>青竹书店</span></header>`},
		"text":     {"Change one text", "/", "<h1>See you soon</h1>"},
		"template": {"Use your templates", "/wechat/callback", `<link rel="stylesheet" href="/static/shop.css">`},
	} {
		blocks := blocksOf(sectionOf(t, "docs/pages.md", c.section), "go")
		require.Len(t, blocks, 1, c.section)
		writeBlock(t, filepath.Join(dir, name), blocks[0])
		writeFile(t, filepath.Join(dir, name, "page_test.go"), fmt.Sprintf(pageTest, c.path, c.want))
	}
	writeWorkspace(t, dir)
	runGo(t, dir, "test", "./...")
}

// pageTest is a test of a fragment that adds to opts: the page at a path has a text.
const pageTest = `package fragment

import (
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/wechatauth/wechatauth"
)

func TestPage(t *testing.T) {
	logo = "<svg>"
	opts = append(opts, wechatauth.WithApp("wx00000000000000a1", "app-secret-for-tests"),
		wechatauth.WithBaseURL("http://localhost:8080"), wechatauth.WithLogger(slog.New(slog.DiscardHandler)))
	if err := fragment(); err != nil {
		t.Fatal(err)
	}
	auth, err := wechatauth.New(opts...)
	if err != nil {
		t.Fatal(err)
	}
	login := auth.RequireWeChat(http.NotFoundHandler())
	visit := func(method, path string, cookies []*http.Cookie) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "http://localhost:8080"+path, nil)
		r.Header.Set("Accept", "text/html")
		r.Header.Set("Accept-Language", "en")
		r.Header.Set("Origin", "http://localhost:8080")
		for _, c := range cookies {
			r.AddCookie(c)
		}
		w := httptest.NewRecorder()
		login.ServeHTTP(w, r)
		return w
	}
	page := visit(http.MethodGet, %q, visit(http.MethodPost, "/wechat/logout", nil).Result().Cookies()).Body.String()
	if want := %q; !strings.Contains(html.UnescapeString(page), want) {
		t.Errorf("the page does not contain %%s:\n%%s", want, page)
	}
}
`

// blockChecks has the checks of blocks of each language other than Go. nginx
// and caddy are not available where the tests run, and the tests of the stores
// use what the redis blocks contain. A block without a language is plain text.
var blockChecks = map[string]struct {
	file    string
	command []string
}{
	"go": {}, "nginx": {}, "caddy": {}, "redis": {}, "": {},
	"js": {"block.mjs", []string{"node", "--check"}}, // a module, which may wait at its top level
	"sh": {"block.sh", []string{"bash", "-n"}},
}

func TestDocs_Blocks(t *testing.T) {
	blocks := 0
	for _, file := range markdownFiles(t) {
		for _, block := range allBlocks(t, file) {
			head, rest, _ := strings.Cut(block, "\n")
			check, known := blockChecks[strings.TrimPrefix(head, "```")]
			assert.True(t, known, "%s has a block of %q", file, head)
			if check.command == nil {
				continue
			}
			blocks++
			name := filepath.Join(t.TempDir(), check.file)
			writeFile(t, name, strings.TrimSuffix(rest, "```"))
			out, err := exec.Command(check.command[0], append(check.command[1:], name)...).CombinedOutput()
			assert.NoError(t, err, "%s: %s\n%s", file, out, rest)
		}
	}
	assert.NotZero(t, blocks)
	t.Logf("blocks %d", blocks)
}

func writeBlock(t *testing.T, dir, block string) {
	t.Helper()
	require.NoError(t, os.Mkdir(dir, 0o700))
	switch {
	case strings.HasPrefix(block, "package ") && strings.Contains(block, "\nfunc Test"):
		writeFile(t, filepath.Join(dir, "block_test.go"), block)
	case strings.HasPrefix(block, "package "):
		writeFile(t, filepath.Join(dir, "block.go"), block)
	default:
		writeFile(t, filepath.Join(dir, "scope.go"), fragmentScope)
		writeFile(t, filepath.Join(dir, "fragment.go"), wholeFragment(t, block))
	}
}

// wholeFragment returns the file of a fragment.
func wholeFragment(t *testing.T, block string) string {
	t.Helper()
	body := block
	if !strings.HasPrefix(block, "func ") {
		body = "func fragment() error {\n" + block + "\n" + uses(t, block) + "return nil\n}\n"
	}
	file, err := parser.ParseFile(token.NewFileSet(), "", "package fragment\n"+body, parser.ParseComments)
	require.NoError(t, err, block)
	imports := map[string]bool{}
	for _, id := range file.Unresolved {
		if p, ok := fragmentImports[id.Name]; ok {
			imports[strconv.Quote(p)] = true
		}
	}
	head := "package fragment\n"
	for p := range imports {
		head += "import " + p + "\n"
	}
	return head + body
}

// uses returns a use of each variable that statements declare.
func uses(t *testing.T, block string) string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "", "package p\nfunc f() error {\n"+block+"\n}", 0)
	require.NoError(t, err, block)
	var lines strings.Builder
	for _, stmt := range file.Decls[0].(*ast.FuncDecl).Body.List {
		if def, ok := stmt.(*ast.AssignStmt); ok && def.Tok == token.DEFINE {
			for _, left := range def.Lhs {
				if id := left.(*ast.Ident); id.Name != "_" {
					lines.WriteString("_ = " + id.Name + "\n")
				}
			}
		}
	}
	return lines.String()
}

// writeWorkspace makes dir a module, and a workspace of it and the modules of
// the repository.
func writeWorkspace(t *testing.T, dir string) {
	t.Helper()
	var work struct {
		Go  string
		Use []struct{ DiskPath string }
	}
	out, err := exec.Command("go", "work", "edit", "-json", "go.work").Output()
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(out, &work))
	root, err := os.Getwd()
	require.NoError(t, err)

	text := "go " + work.Go + "\nuse .\n"
	for _, m := range work.Use {
		text += "use " + strconv.Quote(filepath.Join(root, m.DiskPath)) + "\n"
	}
	writeFile(t, filepath.Join(dir, "go.work"), text)
	sums, err := os.ReadFile("go.work.sum")
	require.NoError(t, err)
	writeFile(t, filepath.Join(dir, "go.work.sum"), string(sums))
	writeFile(t, filepath.Join(dir, "go.mod"), "module readme\n\ngo "+work.Go+"\n")
}

func runGo(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK="+filepath.Join(dir, "go.work"))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "go %s:\n%s", strings.Join(args, " "), out)
}

// TestREADME_Install runs the steps of docs/getting-started.md in a module that
// imports all packages, with the clone where it is, and then builds the command
// that the docs run from such a module.
func TestREADME_Install(t *testing.T) {
	dir := t.TempDir()
	steps := sectionOf(t, "docs/getting-started.md", "Before the first release")
	script := withClone(t, strings.Join(blocksOf(steps, "sh"), ""))
	require.Equal(t, 1, strings.Count(script, "go mod tidy\n"))
	script = strings.Replace(script, "go mod tidy\n", "", 1) + "go mod tidy\ngo build -o check github.com/wechatauth/wechatauth/cmd/wechatcheck\ngo vet ./...\n"

	program := "package shop\n\nimport (\n"
	for _, p := range surface() {
		program += "\t_ " + strconv.Quote(path.Join("github.com/wechatauth/wechatauth", p)) + "\n"
	}
	writeFile(t, filepath.Join(dir, "shop.go"), program+")\n")
	writeFile(t, filepath.Join(dir, "go.mod"), "module shop.example.com\n\ngo 1.25\n")
	runScript(t, dir, script)
}

// withClone is a script in which the clone is where this one is.
func withClone(t *testing.T, script string) string {
	t.Helper()
	root, err := os.Getwd()
	require.NoError(t, err)
	return strings.ReplaceAll(script, "=../wechatauth", "="+root)
}

// runScript runs a script in a folder outside of the workspace.
func runScript(t *testing.T, dir, script string) {
	t.Helper()
	cmd := exec.Command("bash", "-euc", script)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

func TestREADME_Program(t *testing.T) {
	program := codeBlocks(t, "README.md", "go")[0]
	_, main, found := strings.Cut(program, "\nfunc main()")
	require.True(t, found)
	main = strings.TrimSpace("func main()" + main)

	overview := packageDoc(t, ".").Doc
	for line := range strings.Lines(main) {
		assert.Contains(t, overview, strings.TrimRight(line, "\n"))
	}
	assert.Len(t, strings.Split(main, "\n"), 12)
}

// TestREADME_QuickStart follows the README: the steps of Install, the program in
// main.go, the commands of Quick start. The responses are those in its comments.
func TestREADME_QuickStart(t *testing.T) {
	const printed = "127.0.0.1:8080"
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()

	dir := t.TempDir()
	install := blocksOf(sectionOf(t, "README.md", "Install"), "sh")
	require.Len(t, install, 1)
	runScript(t, dir, withClone(t, install[0]))
	dir = filepath.Join(dir, "hello")
	quickStart := sectionOf(t, "README.md", "Quick start")
	program := blocksOf(quickStart, "go")[0]
	require.Contains(t, program, printed)
	writeFile(t, filepath.Join(dir, "main.go"), strings.ReplaceAll(program, printed, addr))
	commands := blocksOf(quickStart, "sh")[0]
	start, curl, found := strings.Cut(commands, " && go run .\n")
	require.True(t, found)
	runScript(t, dir, start+"\ngo build -o hello .\n")

	require.NoError(t, l.Close())
	hello := exec.Command(filepath.Join(dir, "hello"))
	hello.Stderr = os.Stderr
	require.NoError(t, hello.Start())
	t.Cleanup(func() { _ = hello.Process.Kill(); _ = hello.Wait() })
	for { // until it listens
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			require.NoError(t, conn.Close())
			break
		}
		require.NoError(t, t.Context().Err())
		runtime.Gosched()
	}

	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	requests := regexp.MustCompile(`(?m)^curl -s(L?) (.*?)http://127\.0\.0\.1:8080/(?: .*)?\n# (.*)$`).FindAllStringSubmatch(curl, -1)
	require.Len(t, requests, 2)
	for _, m := range requests {
		redirects := 0
		c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { redirects++; return nil }}
		if strings.Contains(m[2], "-b jar") {
			c.Jar = jar
		}
		r, err := http.NewRequest(http.MethodGet, "http://"+addr+"/", nil)
		require.NoError(t, err)
		r.Header = http.Header{"User-Agent": {"curl/8.0"}, "Accept": {"*/*"}}
		if header := regexp.MustCompile(`-H 'Accept: (.*)'`).FindStringSubmatch(m[2]); header != nil {
			r.Header.Set("Accept", header[1])
		}
		resp, err := c.Do(r)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, strings.ReplaceAll(m[3], printed, addr), strings.TrimSpace(string(body)))
		assert.Equal(t, map[string]int{"L": 3, "": 0}[m[1]], redirects)
	}
}

func TestREADME_Length(t *testing.T) {
	for _, file := range []string{"README.md", "README.zh-CN.md"} {
		assert.LessOrEqual(t, strings.Count(readFile(t, file), "\n"), 180, file)
	}
}

func TestDocs_Options(t *testing.T) {
	var want []string
	for _, typ := range packageDoc(t, ".").Types {
		for _, f := range typ.Funcs {
			if typ.Name == "Option" {
				want = append(want, signature(f))
			}
		}
	}
	require.NotEmpty(t, want)
	var listed []string
	for _, row := range optionRows(t, "docs/reference.md", "Options") {
		listed = append(listed, strings.Trim(row[0], "`"))
	}
	assert.ElementsMatch(t, want, listed)
}

// optionRows are the rows of all tables of a section, which has one for each
// group of options.
func optionRows(t *testing.T, file, section string) (rows [][]string) {
	t.Helper()
	for _, row := range tableOf(t, file, section) {
		if strings.HasPrefix(row[0], "`With") {
			rows = append(rows, row)
		}
	}
	return rows
}

// signature returns a function as the table writes it: its name, and the names
// of its parameters.
func signature(f *doc.Func) string {
	var params []string
	for _, field := range f.Decl.Type.Params.List {
		_, variadic := field.Type.(*ast.Ellipsis)
		for _, name := range field.Names {
			param := name.Name
			if variadic {
				param += "..."
			}
			params = append(params, param)
		}
	}
	return f.Name + "(" + strings.Join(params, ", ") + ")"
}

func TestDocs_Endpoints(t *testing.T) {
	s := newSite(t, withMiniProgram(), wechatauth.WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginScan}))
	var served []string
	for _, name := range texts(t, rootDecl(t, "methods")) {
		if strings.ToUpper(name) == name { // the methods of an endpoint
			continue
		}
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			rec := httptest.NewRecorder()
			s.auth.ServeHTTP(rec, httptest.NewRequest(method, wechatauth.DefaultPathPrefix+name, nil))
			if rec.Code != http.StatusNotFound && rec.Code != http.StatusMethodNotAllowed {
				served = append(served, method+" "+wechatauth.DefaultPathPrefix+name)
			}
		}
	}
	var listed []string
	for _, cell := range firstColumn(t, "docs/reference.md", "Endpoints") {
		endpoint, _, _ := strings.Cut(cell, "?")
		listed = append(listed, endpoint)
	}
	assert.ElementsMatch(t, served, listed)
}

func TestDocs_Commands(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	require.NoError(t, err)
	commands := 0
	for _, file := range markdownFiles(t) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile("(?m)(?:^|`)make ([a-z-]+)").FindAllSubmatch(text, -1) {
			commands++
			assert.Regexp(t, `(?m)^`+string(m[1])+`:`, string(makefile), "%s: make %s", file, m[1])
		}
		for _, m := range regexp.MustCompile("(?m)(?:^|`)go run (\\./[a-z/]+)").FindAllSubmatch(text, -1) {
			commands++
			assert.FileExists(t, filepath.Join(string(m[1]), "main.go"), "%s: go run %s", file, m[1])
			if strings.HasPrefix(string(m[1]), "./cmd/wechatcheck") {
				t.Errorf("%s: go run %s works in the clone only; name it by its import path", file, m[1])
			}
		}
		for _, m := range regexp.MustCompile("go run github.com/wechatauth/wechatauth/([a-z/]+)").FindAllSubmatch(text, -1) {
			commands++
			assert.FileExists(t, filepath.Join(string(m[1]), "main.go"), "%s: go run %s", file, m[1])
		}
	}
	assert.NotZero(t, commands)
}

var (
	markdownLink  = regexp.MustCompile(`!?\[[^\]]*\]\(([^)\s]+)\)`)
	htmlLink      = regexp.MustCompile(`(?:src|srcset|href)="([^"]+)"`)
	autoLink      = regexp.MustCompile(`<(https?://[^>\s]+)>`)
	referenceLink = regexp.MustCompile(`(?m)\[[^\]]+\]\[[^\]]*\]|^ *\[[^\]]+\]:`)
)

// TestDocs_Links checks that links into the repository lead to a file and a
// heading, and that links to other sites are those of testdata/links.txt, which
// "make links" requests. It rejects reference links, which neither would see.
func TestDocs_Links(t *testing.T) {
	links := 0
	var outside []string
	for _, file := range markdownFiles(t) {
		text := withoutCode(readFile(t, file))
		assert.Empty(t, referenceLink.FindAllString(text, -1), "%s: write [text](target)", file)
		for _, target := range linksOf(text) {
			u, err := url.Parse(target)
			require.NoError(t, err, "%s: %s", file, target)
			links++
			switch {
			case !u.IsAbs():
				checkRelativeLink(t, file, u)
			case u.Hostname() != "127.0.0.1":
				outside = append(outside, target)
			}
		}
	}
	slices.Sort(outside)
	assert.Equal(t, strings.Fields(readFile(t, "testdata/links.txt")), slices.Compact(outside))
	t.Logf("links %d", links)
}

// linksOf returns the targets of all links in a text without code.
func linksOf(text string) (targets []string) {
	for _, kind := range []*regexp.Regexp{markdownLink, htmlLink, autoLink} {
		for _, m := range kind.FindAllStringSubmatch(text, -1) {
			targets = append(targets, m[1])
		}
	}
	return targets
}

func checkRelativeLink(t *testing.T, file string, u *url.URL) {
	t.Helper()
	target := file
	if u.Path != "" {
		target = path.Join(path.Dir(file), u.Path)
		_, err := os.Stat(target)
		assert.NoError(t, err, "%s: %s", file, u)
	}
	if u.Fragment != "" {
		assert.Contains(t, anchors(t, target), u.Fragment, "%s: %s", file, u)
	}
}

// anchors returns the fragments that code hosts give the headings of a file.
func anchors(t *testing.T, file string) (all []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ +(.+)$`).FindAllStringSubmatch(withoutCode(readFile(t, file)), -1) {
		kept := strings.Map(func(c rune) rune {
			switch {
			case c == ' ':
				return '-'
			case c < 0x80 && !('a' <= c && c <= 'z' || '0' <= c && c <= '9') && c != '-' && c != '_':
				return -1
			}
			return c
		}, strings.ToLower(m[1]))
		all = append(all, kept)
	}
	return all
}

// markdownFiles returns the Markdown files of the repository.
func markdownFiles(t *testing.T) (files []string) {
	t.Helper()
	require.NoError(t, fs.WalkDir(os.DirFS("."), ".", func(file string, d fs.DirEntry, err error) error {
		if d.IsDir() && file != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if strings.HasSuffix(file, ".md") {
			files = append(files, file)
		}
		return err
	}))
	require.Contains(t, files, "README.md")
	return files
}

// codeBlocks returns the fenced blocks of a language in a file.
func codeBlocks(t *testing.T, file, lang string) []string {
	t.Helper()
	return blocksOf(readFile(t, file), lang)
}

// blocksOf are the fenced blocks of a language in a text.
func blocksOf(text, lang string) (blocks []string) {
	for _, m := range regexp.MustCompile("(?ms)^```"+lang+"\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, m[1])
	}
	return blocks
}

// sectionOf is the text below a heading, up to the next of its level.
func sectionOf(t *testing.T, file, section string) string {
	t.Helper()
	_, text, found := strings.Cut(readFile(t, file), "\n## "+section+"\n")
	require.True(t, found, "%s has no section %q", file, section)
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

func withoutCode(text string) string {
	text = regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(text, "")
	return regexp.MustCompile("`[^`\n]*`").ReplaceAllString(text, "")
}

// firstColumn returns the code in the first cell of each row.
func firstColumn(t *testing.T, file, section string) (cells []string) {
	t.Helper()
	for _, row := range tableOf(t, file, section) {
		cells = append(cells, strings.Trim(row[0], "`"))
	}
	return cells
}

// tableOf returns the rows of the table of a section, without its head.
func tableOf(t *testing.T, file, section string) (rows [][]string) {
	t.Helper()
	for line := range strings.Lines(sectionOf(t, file, section)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "|") {
			cells := strings.Split(strings.Trim(line, "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			rows = append(rows, cells)
		}
	}
	require.Greater(t, len(rows), 2)
	return slices.Clip(rows[2:])
}

func readFile(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(text)
}

func writeFile(t *testing.T, file, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
}

// TestDocs_Defaults compares the column with the result of New, for the options
// whose default is visible.
func TestDocs_Defaults(t *testing.T) {
	gate := func(opts ...wechatauth.Option) *wechatauth.Auth {
		auth, err := wechatauth.New(opts...)
		require.NoError(t, err)
		return auth
	}
	app := wechatauth.WithApp("wx0123456789abcdef", "app-secret-for-tests")
	https := wechatauth.WithBaseURL("https://m.example.com")
	secure, plain := gate(app, https), gate(app, wechatauth.WithBaseURL("http://127.0.0.1:8080"))
	many := gate(wechatauth.WithAccounts(accounts.ByHost(wechatauth.Account{AppID: "wx0123456789abcdef", Secret: "app-secret-for-tests", BaseURL: "https://a.example.com"})), https)
	name, tag, found := strings.Cut(secure.Sessions().Cookie.Name, "_session")
	require.True(t, found)
	require.Len(t, tag, len("_")+6, "the row says six characters")
	assert.NotEqual(t, secure.Sessions().Cookie.Name, gate(app, https, wechatauth.WithPathPrefix("/auth/")).Sessions().Cookie.Name)
	assert.Equal(t, "__Host-wechat", name)
	assert.Equal(t, "wechat_session"+tag, plain.Sessions().Cookie.Name)
	assert.Equal(t, "__Host-wechat_session", many.Sessions().Cookie.Name)

	visit := httptest.NewRequest(http.MethodGet, "https://m.example.com/", nil)
	visit.Header = http.Header{"Accept": {"text/html"}, "User-Agent": {wechattest.IPhone}}
	toWeChat := httptest.NewRecorder()
	secure.RequireWeChat(http.NotFoundHandler()).ServeHTTP(toWeChat, visit)
	authorize, err := url.Parse(toWeChat.Header().Get("Location"))
	require.NoError(t, err)
	require.Equal(t, string(client.ScopeBase), authorize.Query().Get("scope"))
	prefix, found := strings.CutPrefix(authorize.Query().Get("redirect_uri"), "https://m.example.com")
	require.True(t, found)

	hours := strconv.Itoa(int(secure.Sessions().Lifetime.Hours()))
	require.Zero(t, secure.Sessions().IdleTimeout)
	want := map[string][]string{ // in English and in Chinese
		"WithCookie(name)":       {"`" + name + "_session_…`", "`" + name + "_session_…`"},
		"WithPathPrefix(prefix)": {"`" + strings.TrimSuffix(prefix, "callback") + "`", "`" + strings.TrimSuffix(prefix, "callback") + "`"},
		"WithLifetime(d)":        {hours + " hours", hours + " 小时"},
		"WithIdleTimeout(d)":     {"0: none", "0：无"},
		"WithScope(s)":           {"`client.ScopeBase`", "`client.ScopeBase`"},
	}
	for i, file := range []struct{ name, section string }{{"docs/reference.md", "Options"}, {"docs/reference.zh-CN.md", "选项"}} {
		seen := 0
		for _, row := range optionRows(t, file.name, file.section) {
			if w, ok := want[strings.Trim(row[0], "`")]; ok {
				seen++
				assert.Equal(t, w[i], row[1], "%s: the default of %s", file.name, row[0])
			}
		}
		assert.Equal(t, len(want), seen, file.name)
	}
}
