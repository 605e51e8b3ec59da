// Command mutants breaks the security code of the root module on purpose, one
// line at a time, and checks that the tests notice:
//
//	go run ./internal/mutants            # from the root of the module
//	go run ./internal/mutants -run flow  # only those whose name or subject matches
//	go run ./internal/mutants -check     # only whether all of them fit the code and compile
//
// Each mutant replaces a text that occurs exactly once in the module's code, or
// in the package that the mutant names. The tree is not changed: the go command
// reads the broken file through an overlay. The tests named for a mutant run
// first, those of the broken package before those of the root and the suites, in
// a program that has only the tests of the mutant's subject. If none of them
// fails, all other tests of these packages run.
//
// The command fails if a mutant is not killed by any test, does not fit the
// code, does not compile or does not change the program. The last line is
// "mutants: killed N/N".
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A mutant is one fault, and the test that should find it.
type mutant struct {
	name   string
	about  string // the subject, which is likely's key
	in     string // path of the broken package; needed only if search occurs in several
	search string
	broken string
	killer string // regular expression of the tests to run first, in place of the subject's likely ones
}

func main() {
	only := flag.String("run", "", "regular expression of the mutants to run, by name or subject")
	workers := flag.Int("p", 2, "mutants at a time")
	check := flag.Bool("check", false, "only check that every mutant fits the code and compiles")
	flag.Parse()
	if err := run(*only, *workers, *check); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(only string, workers int, checkOnly bool) error {
	chosen, err := choose(mutants, only)
	if err != nil {
		return err
	}
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	if err := check(root, chosen); err != nil || checkOnly {
		return err
	}
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	files, err := sources(root)
	if err != nil {
		return err
	}
	tests, err := testsOf(root)
	if err != nil {
		return err
	}
	r := &runner{root: root, files: files, tests: tests, dir: dir}
	if err := r.prepare(chosen); err != nil {
		return err
	}
	killed := r.all(chosen, workers)
	fmt.Printf("mutants: killed %d/%d\n", killed, len(chosen))
	if killed < len(chosen) {
		return fmt.Errorf("%d not killed", len(chosen)-killed)
	}
	return nil
}

func choose(from []mutant, only string) ([]mutant, error) {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return nil, fmt.Errorf("-run: %w", err)
	}
	var chosen []mutant
	for _, m := range from {
		if pattern.MatchString(m.name) || pattern.MatchString(m.about) {
			chosen = append(chosen, m)
		}
	}
	if len(chosen) == 0 {
		return nil, errors.New("no mutant matches")
	}
	return chosen, nil
}

// check finds mutants that no longer fit the code or do not compile, and
// killers that do not exist.
func check(root string, chosen []mutant) error {
	files, err := sources(root)
	if err != nil {
		return err
	}
	tests, err := testsOf(root)
	if err != nil {
		return err
	}
	names := map[string]bool{}
	var errs []error
	for _, m := range chosen {
		if names[m.name] {
			errs = append(errs, fmt.Errorf("%s: two mutants have this name", m.name))
		}
		names[m.name] = true
		if m.search == m.broken {
			errs = append(errs, fmt.Errorf("%s: it changes nothing", m.name))
		}
		file, _, err := m.apply(files)
		if err == nil {
			_, err = m.firstIn(file, tests)
		}
		if err == nil {
			err = m.checkKiller(file, tests)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	errs = append(errs, compile(root, files, chosen))
	return errors.Join(errs...)
}

// first returns the pattern of the tests to run first.
func (m mutant) first() string {
	if m.killer != "" {
		return m.killer
	}
	return likely[m.about]
}

// skipped returns the pattern of those to leave out, which is empty if the
// mutant names its tests itself.
func (m mutant) skipped() string {
	if m.killer != "" {
		return ""
	}
	return notNeeded
}

// sources returns the module's files by their path, without its tests and
// without mutants, which quote the code.
func sources(root string) (map[string]string, error) {
	return goFiles(root, func(file string) bool {
		return !strings.HasSuffix(file, "_test.go") && path.Dir(file) != "internal/mutants"
	})
}

// goFiles returns the files of the module that wanted accepts, by their paths
// below root. Modules inside the module are not part of it.
func goFiles(root string, wanted func(file string) bool) (map[string]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		file := filepath.ToSlash(rel)
		if d.IsDir() {
			if file != "." && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") || isModule(name)) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") || !wanted(file) {
			return nil
		}
		b, err := os.ReadFile(name)
		files[file] = string(b)
		return err
	})
	return files, err
}

func isModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

// apply returns the file that the mutant breaks, and its broken text.
func (m mutant) apply(files map[string]string) (file, text string, err error) {
	n, where := 0, "the module"
	if m.in != "" {
		where = m.in
	}
	for name, whole := range files {
		if m.in != "" && path.Dir(name) != m.in {
			continue
		}
		if c := strings.Count(whole, m.search); c > 0 {
			n += c
			file, text = name, strings.Replace(whole, m.search, m.broken, 1)
		}
	}
	if n != 1 {
		return "", "", fmt.Errorf("%s: the replaced text occurs %d times in %s, not once", m.name, n, where)
	}
	return file, text, nil
}

var (
	testName    = regexp.MustCompile(`^func ((?:Test|Fuzz)\w+)\(`)
	subtestName = regexp.MustCompile(`^\tt\.Run\("([^"\\]+)", func\(`)
)

// testsOf returns the names of each package's tests, one per line, by the path
// of the package. Each test is followed by those of its sub-tests whose names
// are literals, as in TestCallback/T05_repeated.
func testsOf(root string) (map[string]string, error) {
	files, err := goFiles(root, func(file string) bool { return strings.HasSuffix(file, "_test.go") })
	names := map[string]string{}
	for file, text := range files {
		test := ""
		for line := range strings.Lines(text) {
			if found := testName.FindStringSubmatch(line); found != nil {
				test = found[1]
				names[path.Dir(file)] += test + "\n"
			} else if found := subtestName.FindStringSubmatch(line); found != nil {
				names[path.Dir(file)] += test + "/" + strings.ReplaceAll(found[1], " ", "_") + "\n"
			}
		}
	}
	return names, err
}

// matching returns the names, one per line, that the pattern matches.
func matching(names string, pattern *regexp.Regexp) (found []string) {
	for name := range strings.Lines(names) {
		if name = strings.TrimSpace(name); pattern.MatchString(name) {
			found = append(found, name)
		}
	}
	return found
}

// exactly returns the pattern for -test.run and -test.skip that matches only
// these tests.
func exactly(names []string) string {
	patterns := make([]string, len(names))
	for i, name := range names {
		levels := strings.Split(name, "/")
		for j := range levels {
			levels[j] = "^" + regexp.QuoteMeta(levels[j]) + "$"
		}
		patterns[i] = strings.Join(levels, "/")
	}
	return strings.Join(patterns, "|")
}

// suites is the folder of the tests of whole logins.
const suites = "internal/suite/"

// packages returns the packages whose tests may kill a mutant of the file: its
// own package, whose tests are smaller and faster, the root and the suites.
func packages(file string, tests map[string]string) []string {
	dirs := []string{path.Dir(file)}
	for _, dir := range slices.Sorted(maps.Keys(tests)) {
		if (dir == "." || strings.HasPrefix(dir, suites)) && dir != dirs[0] {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// firstIn returns the packages that have tests to run first. After the broken
// package, those with most of them come first.
func (m mutant) firstIn(file string, tests map[string]string) ([]string, error) {
	first, err := regexp.Compile(m.first())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.name, err)
	}
	var dirs []string
	count := map[string]int{}
	for _, dir := range packages(file, tests) {
		if count[dir] = len(matching(tests[dir], first)); m.first() != "" && count[dir] > 0 {
			dirs = append(dirs, dir)
		}
	}
	count[path.Dir(file)] = math.MaxInt
	slices.SortStableFunc(dirs, func(a, b string) int { return cmp.Compare(count[b], count[a]) })
	if len(dirs) == 0 {
		return nil, fmt.Errorf("%s: there is no test to run first", m.name)
	}
	return dirs, nil
}

// checkKiller returns an error if a part of the killer, between two bars, names
// no test.
func (m mutant) checkKiller(file string, tests map[string]string) error {
	if m.killer == "" {
		return nil
	}
	var names strings.Builder
	for _, dir := range packages(file, tests) {
		names.WriteString(tests[dir])
	}
	for part := range strings.SplitSeq(m.killer, "|") {
		pattern, err := regexp.Compile(part)
		if err != nil {
			return fmt.Errorf("%s: each alternative of the killer must be a pattern: %w", m.name, err)
		}
		if len(matching(names.String(), pattern)) == 0 {
			return fmt.Errorf("%s: no test matches %q", m.name, part)
		}
	}
	return nil
}

func moduleRoot() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/wechatauth/wechatauth").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}
