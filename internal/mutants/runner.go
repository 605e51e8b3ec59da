package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// notNeeded matches tests that take long, or that read files from the disk and
// not from the overlay. A mutant may still name one of them.
const notNeeded = `README|Docs|Table|EveryExported|EveryThreat|T12_|Example|T40_no_secret|TwoHundred|T56|T57|T60|T61|T62|Frozen|TestInterleaving|T06_hundred`

// memory, in KiB, and patience are the limits of one test binary. They kill a
// mutant that makes the tests that run first hang, or use all memory. The
// duration of tests depends on the machine: if they take more than half of
// patience without a mutant, the limit is twice that duration.
const (
	patience         = 2 * time.Minute
	baselinePatience = 15 * time.Minute
	memory           = "8388608"
)

// A runner tests mutants of one module.
type runner struct {
	root  string            // of the module, which is never written to
	files map[string]string // its sources, without mutants
	tests map[string]string // the names of its tests, by package
	dir   string            // for overlays and test binaries

	programs map[subject]func() (*program, error)

	mu sync.Mutex // guards the output
}

// A subject is a group of mutants that share a test program.
type subject struct{ about, dir string }

// A program has only those tests of a package that the mutants of a subject run
// first, with and without a mutant.
type program struct {
	reduced  map[string]string // test files that replace those of the package
	sound    [sha256.Size]byte // the program without a mutant
	patience time.Duration
}

// prepare groups the mutants by test program. A program is built when the first
// of its mutants is tested.
func (r *runner) prepare(chosen []mutant) error {
	asking := map[subject][]mutant{}
	for _, m := range chosen {
		file, _, err := m.apply(r.files)
		if err != nil {
			return err
		}
		dirs, err := m.firstIn(file, r.tests)
		if err != nil {
			return err
		}
		for _, dir := range dirs {
			s := subject{m.about, dir}
			asking[s] = append(asking[s], m)
		}
	}
	r.programs = map[subject]func() (*program, error){}
	for s, mutants := range asking {
		r.programs[s] = sync.OnceValues(func() (*program, error) { return r.baseline(s, mutants) })
	}
	return nil
}

// baseline builds the program of a subject without a mutant, and checks that
// its tests pass.
func (r *runner) baseline(s subject, mutants []mutant) (*program, error) {
	began := time.Now()
	patterns := map[string][]string{} // by the pattern of tests to skip
	var all []string
	for _, m := range mutants {
		if skip := m.skipped(); !slices.Contains(patterns[skip], m.first()) {
			patterns[skip] = append(patterns[skip], m.first())
			all = append(all, m.first())
		}
	}
	p := &program{patience: baselinePatience}
	id := "baseline-" + s.about + "-" + strings.ReplaceAll(s.dir, "/", "-")
	var err error
	var binary string
	if p.reduced, binary, err = r.buildReduced(id, s.dir, strings.Join(all, "|")); err != nil {
		return nil, err
	}
	defer os.Remove(binary)
	if p.sound, err = sum(binary); err != nil {
		return nil, err
	}
	tested := time.Now()
	for skip, asked := range patterns {
		failed, out, err := r.test(binary, s.dir, strings.Join(asked, "|"), skip, p.patience)
		if err == nil && failed != "" {
			err = errors.New(failed)
		}
		if err != nil {
			return nil, fmt.Errorf("the tests fail without any mutant: %w\n%s", err, out)
		}
	}
	p.patience = max(patience, 2*time.Since(tested))
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Printf("baseline  %s in %s  %.1fs\n", s.about, s.dir, time.Since(began).Seconds())
	return p, nil
}

// buildReduced builds the tests of a package that match the pattern, and what
// they need. It returns the reduced test files by the files they replace.
func (r *runner) buildReduced(id, dir, pattern string) (replace map[string]string, binary string, err error) {
	wanted, err := r.functions(dir, pattern)
	if err != nil {
		return nil, "", err
	}
	files, err := goFiles(r.root, func(file string) bool {
		return strings.HasSuffix(file, "_test.go") && path.Dir(file) == dir
	})
	if err != nil {
		return nil, "", err
	}
	reduced, err := reduce(files, wanted)
	if err != nil {
		return nil, "", err
	}
	to := filepath.Join(r.dir, id)
	if err := os.Mkdir(to, 0o700); err != nil {
		return nil, "", err
	}
	for {
		replace = map[string]string{}
		for file, text := range reduced {
			name := filepath.Join(to, path.Base(file))
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				return nil, "", err
			}
			replace[filepath.Join(r.root, file)] = name
		}
		binary, err = r.build(id, dir, replace)
		if err == nil || blankUnused(reduced, err.Error()) == 0 {
			return replace, binary, err
		}
	}
}

// functions returns a regular expression of the test functions that the pattern
// selects, whole or in part.
func (r *runner) functions(dir, pattern string) (*regexp.Regexp, error) {
	wanted, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, name := range matching(r.tests[dir], wanted) {
		name, _, _ = strings.Cut(name, "/")
		names = append(names, name)
	}
	return regexp.Compile(exactly(names))
}

// all tests the mutants, several at a time, and returns how many were killed.
func (r *runner) all(chosen []mutant, workers int) (killed int) {
	queue := make(chan int)
	results := make([]bool, len(chosen))
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range queue {
				results[i] = r.one(fmt.Sprintf("m%d", i), chosen[i])
			}
		})
	}
	for i := range chosen {
		queue <- i
	}
	close(queue)
	wg.Wait()
	for _, dead := range results {
		if dead {
			killed++
		}
	}
	return killed
}

// one tests a mutant, and reports whether it was killed.
func (r *runner) one(id string, m mutant) bool {
	began := time.Now()
	by, err := r.kill(id, m)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err != nil:
		fmt.Printf("UNTESTED  %s (%s): %v\n", m.name, m.about, err)
	case by == "":
		fmt.Printf("SURVIVED  %s (%s)\n", m.name, m.about)
	default:
		fmt.Printf("killed    %s (%s) by %s  %.1fs\n", m.name, m.about, by, time.Since(began).Seconds())
	}
	return err == nil && by != ""
}

// kill returns the first test that fails, or "" if the mutant survives.
func (r *runner) kill(id string, m mutant) (by string, err error) {
	file, text, err := m.apply(r.files)
	if err != nil {
		return "", err
	}
	first, err := m.firstIn(file, r.tests)
	if err != nil {
		return "", err
	}
	broken := filepath.Join(r.dir, id+".go")
	if err := os.WriteFile(broken, []byte(text), 0o600); err != nil {
		return "", err
	}
	replace := map[string]string{filepath.Join(r.root, file): broken}
	other := false // whether any program differs from the one without the mutant
	for _, dir := range first {
		p, err := r.programs[subject{m.about, dir}]()
		if err != nil {
			return "", err
		}
		by, differs, err := r.ask(id, m, dir, p, replace)
		other = other || differs
		switch {
		case errors.Is(err, errTooLong): // the baseline ended in this time
			return fmt.Sprintf("a test that does not end in %v", p.patience), nil
		case by != "" || err != nil:
			return by, err
		}
	}
	for _, dir := range packages(file, r.tests) {
		if r.tests[dir] == "" {
			continue
		}
		binary, err := r.build(id, dir, replace)
		if err != nil {
			return "", err
		}
		defer os.Remove(binary)
		if !other { // the tests that run first may not call the broken function
			if other, err = r.differs(binary, dir); err != nil {
				return "", err
			}
		}
		by, _, err := r.test(binary, dir, "", notNeeded, baselinePatience)
		if by != "" {
			by += " (not among those run first)"
		}
		if by != "" || err != nil {
			return by, err
		}
	}
	if !other {
		return "", errors.New("it does not change the program")
	}
	return "", nil
}

// differs reports whether a package's whole test program differs from the one
// without a mutant.
func (r *runner) differs(binary, dir string) (bool, error) {
	sound, err := r.build(filepath.Base(binary)+"-sound", dir, nil)
	if err != nil {
		return false, err
	}
	defer os.Remove(sound)
	before, err := sum(sound)
	if err != nil {
		return false, err
	}
	after, err := sum(binary)
	return before != after, err
}

// ask runs the tests of a program that the mutant names, and reports whether
// the mutant changes the program.
func (r *runner) ask(id string, m mutant, dir string, p *program, replace map[string]string) (by string, differs bool, err error) {
	all := maps.Clone(p.reduced)
	maps.Copy(all, replace)
	binary, err := r.build(id, dir, all)
	if err != nil {
		return "", false, err
	}
	defer os.Remove(binary)
	made, err := sum(binary)
	if err != nil || made == p.sound {
		return "", false, err
	}
	by, _, err = r.test(binary, dir, m.first(), m.skipped(), p.patience)
	return by, true, err
}

// build compiles the tests of a package with some files replaced. Without
// garbage collection the compiler takes a quarter less time.
func (r *runner) build(id, dir string, replace map[string]string) (binary string, err error) {
	overlay := filepath.Join(r.dir, id+".json")
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(overlay, text, 0o600); err != nil {
		return "", err
	}
	binary = filepath.Join(r.dir, id+".test")
	cmd := exec.Command("go", "test", "-c", "-vet=off", "-gcflags=-N -l -e", "-ldflags=-s -w -buildid=", "-overlay", overlay, "-o", binary, ".")
	cmd.Dir = filepath.Join(r.root, dir)
	cmd.Env = append(os.Environ(), "GOGC=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("does not compile: %w\n%s", err, out)
	}
	return binary, nil
}

func sum(file string) (s [sha256.Size]byte, err error) {
	b, err := os.ReadFile(file)
	return sha256.Sum256(b), err
}

// errTooLong is returned when it is unknown whether a mutant made the tests
// hang, or whether they take that long here.
var errTooLong = errors.New("the tests did not end in time")

var failure = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// selection returns the patterns for the tests of a package whose names match
// pattern, including the names of sub-tests, without those that match skip.
func (r *runner) selection(dir, pattern, skip string) (run, skips string, err error) {
	wanted, err := regexp.Compile(pattern)
	if err != nil {
		return "", "", err
	}
	if pattern != "" {
		run = exactly(matching(r.tests[dir], wanted))
	}
	if skip == "" {
		return run, "", nil
	}
	unwanted, err := regexp.Compile(skip)
	if err != nil {
		return "", "", err
	}
	return run, exactly(matching(r.tests[dir], unwanted)), nil
}

// test runs tests, and returns the name of one that failed, or what ended the
// program, or "" if all pass. It returns an error if they could not be run.
func (r *runner) test(binary, dir, pattern, skip string, patience time.Duration) (failed, out string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	run, skips, err := r.selection(dir, pattern, skip)
	if err != nil {
		return "", "", err
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", `ulimit -v "$0" 2>/dev/null; exec "$@"`, memory,
		binary, "-test.failfast", "-test.run", run, "-test.skip", skips)
	cmd.Dir = filepath.Join(r.root, dir)
	cmd.WaitDelay = time.Second // a redis-server that was not ended holds the output open
	text, err := cmd.CombinedOutput()
	out = string(text)
	switch names := failure.FindAllStringSubmatch(out, -1); {
	case err == nil && strings.Contains(out, "no tests to run"):
		return "", out, errors.New("no test matches " + pattern)
	case err == nil:
		return "", out, nil
	case ctx.Err() != nil:
		return "", out, errTooLong
	case len(names) > 0:
		return names[len(names)-1][1], out, nil
	case strings.Contains(out, "panic: ") || strings.Contains(out, "fatal error: "):
		return "a crash", out, nil
	}
	return "", out, fmt.Errorf("the tests did not run: %w\n%s", err, out)
}
