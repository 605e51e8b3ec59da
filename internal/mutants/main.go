// Command mutants breaks the security code of the root package on purpose, one
// line at a time, and asks the tests whether they notice:
//
//	go run ./internal/mutants            # from the root of the module
//	go run ./internal/mutants -run flow  # only those whose name or subject matches
//	go run ./internal/mutants -check     # only whether all of them fit the code
//
// Each mutant replaces a text that occurs exactly once in the package. The tree
// stays as it is: the go command reads the broken file through an overlay. The
// tests named for a mutant run first, and all others where those find nothing.
// A mutant that no test kills fails the run; so does one that no longer fits
// the code, that does not compile, or that makes no other program. The last
// line is "mutants: killed N/N".
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// A mutant is one fault, and the test that is expected to find it.
type mutant struct {
	name   string
	about  string // the subject, which is likely's key
	search string
	broken string
	killer string // regular expression of the tests to ask first, in place of the subject's likely ones
}

func main() {
	only := flag.String("run", "", "regular expression of the mutants to run, by name or subject")
	workers := flag.Int("p", 2, "mutants at a time")
	check := flag.Bool("check", false, "only check that every mutant fits the code")
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
	r := &runner{root: root, files: files, dir: dir}
	if err := r.baseline(chosen); err != nil {
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

// check finds mutants that do not fit the code any more, and tests to ask
// that are no longer there.
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
			errs = append(errs, fmt.Errorf("%s: there are two of this name", m.name))
		}
		names[m.name] = true
		if m.search == m.broken {
			errs = append(errs, fmt.Errorf("%s: nothing is broken", m.name))
		}
		if _, _, err := m.apply(files); err != nil {
			errs = append(errs, err)
		}
		killer, err := regexp.Compile("(?m)" + m.first())
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", m.name, err))
		case m.first() == "" || !killer.MatchString(tests):
			errs = append(errs, fmt.Errorf("%s: there is no test to ask first", m.name))
		}
	}
	return errors.Join(errs...)
}

// first is the pattern of the tests to ask first.
func (m mutant) first() string {
	if m.killer != "" {
		return m.killer
	}
	return likely[m.about]
}

// skipped is what is left out of those tests: nothing where the mutant names
// them itself.
func (m mutant) skipped() string {
	if m.killer != "" {
		return ""
	}
	return notNeeded
}

// sources returns the package's files, without its tests.
func sources(root string) (map[string]string, error) {
	names, err := filepath.Glob(filepath.Join(root, "*.go"))
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		files[filepath.Base(name)] = string(b)
	}
	return files, nil
}

// apply returns the file that the mutant breaks, and its broken text.
func (m mutant) apply(files map[string]string) (file, text string, err error) {
	n := 0
	for name, whole := range files {
		if c := strings.Count(whole, m.search); c > 0 {
			n += c
			file, text = name, strings.Replace(whole, m.search, m.broken, 1)
		}
	}
	if n != 1 {
		return "", "", fmt.Errorf("%s: what it replaces occurs %d times in the package, not once", m.name, n)
	}
	return file, text, nil
}

var testName = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)

// testsOf returns the names of the root package's tests, one a line.
func testsOf(root string) (string, error) {
	files, err := filepath.Glob(filepath.Join(root, "*_test.go"))
	if err != nil {
		return "", err
	}
	var names strings.Builder
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		for _, found := range testName.FindAllSubmatch(b, -1) {
			names.Write(found[1])
			names.WriteByte('\n')
		}
	}
	return names.String(), nil
}

func moduleRoot() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/wechatauth/wechatauth").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}
