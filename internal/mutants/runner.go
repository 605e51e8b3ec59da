package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// notNeeded are tests that take long, or that read files from the disk and not
// from the overlay. A mutant may name one of them all the same.
const notNeeded = `README|Docs|Table|EveryExported|EveryThreat|T12_|Example|T40_NoSecretReaches|TwoHundred|T56|T57|T60|T61|T62|AFrozen|InEveryOrder|TwoLoginsAtOnce|RequestsUnderWay|LoginUnderWay|TwoWriters|T06_AHundred`

// memory, in KiB, is for one test binary, and so is patience; a mutant that makes
// the tests that are asked first hang, or take all there is, is killed by them.
// How long they take depends on the machine: where all of them without a mutant
// take more than half of patience, it is twice that.
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

	patience time.Duration

	sound map[string][sha256.Size]byte // the test programs without a mutant, by package

	mu sync.Mutex // of the output
}

// baseline makes sure that it is the mutants that fail the tests.
func (r *runner) baseline(chosen []mutant) error {
	began := time.Now()
	type selection struct{ dir, skip string }
	asked := map[selection][]string{} // patterns
	for _, m := range chosen {
		file, _, err := m.apply(r.files)
		if err != nil {
			return err
		}
		dirs, err := m.asked(file, r.tests)
		if err != nil {
			return err
		}
		for _, dir := range dirs {
			s := selection{dir, m.skipped()}
			if !slices.Contains(asked[s], m.first()) {
				asked[s] = append(asked[s], m.first())
			}
		}
	}
	r.sound = map[string][sha256.Size]byte{}
	r.patience = baselinePatience
	var tested time.Duration
	for s, patterns := range asked {
		binary, err := r.build("baseline", s.dir, nil)
		if err != nil {
			return err
		}
		if r.sound[s.dir], err = sum(binary); err != nil {
			return err
		}
		asking := time.Now()
		failed, out, err := r.test(binary, s.dir, strings.Join(patterns, "|"), s.skip)
		if err == nil && failed != "" {
			err = errors.New(failed)
		}
		if err != nil {
			return fmt.Errorf("the tests fail without any mutant: %w\n%s", err, out)
		}
		tested += time.Since(asking)
	}
	r.patience = max(patience, 2*tested)
	fmt.Printf("baseline  %.1fs\n", time.Since(began).Seconds())
	return nil
}

// all tests the mutants, some at a time, and returns how many were killed.
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

// one tests a mutant, and tells whether it was killed.
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

// kill returns the first test that fails; none for a survivor.
func (r *runner) kill(id string, m mutant) (by string, err error) {
	file, text, err := m.apply(r.files)
	if err != nil {
		return "", err
	}
	asked, err := m.asked(file, r.tests)
	if err != nil {
		return "", err
	}
	broken := filepath.Join(r.dir, id+".go")
	if err := os.WriteFile(broken, []byte(text), 0o600); err != nil {
		return "", err
	}
	replace := map[string]string{filepath.Join(r.root, file): broken}
	other := false // programs than without the mutant
	ask := func(dir, pattern, skip string) (by string, err error) {
		binary, err := r.build(id, dir, replace)
		if err != nil {
			return "", err
		}
		defer os.Remove(binary)
		made, err := sum(binary)
		if err != nil || made == r.sound[dir] {
			return "", err
		}
		other = true
		by, _, err = r.test(binary, dir, pattern, skip)
		return by, err
	}
	for _, dir := range asked {
		by, err := ask(dir, m.first(), m.skipped())
		switch {
		case errors.Is(err, errTooLong): // the baseline had time enough for these
			return fmt.Sprintf("a test that does not end in %v", r.patience), nil
		case by != "" || err != nil:
			return by, err
		}
	}
	for _, dir := range packages(file) {
		if r.tests[dir] == "" {
			continue
		}
		by, err := ask(dir, "", notNeeded)
		if by != "" {
			by += " (not among those asked first)"
		}
		if by != "" || err != nil {
			return by, err
		}
	}
	if !other {
		return "", errors.New("it makes no other program")
	}
	return "", nil
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
	cmd := exec.Command("go", "test", "-c", "-vet=off", "-gcflags=-N -l", "-ldflags=-s -w -buildid=", "-overlay", overlay, "-o", binary, ".")
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

// errTooLong: nobody knows whether a mutant made the tests hang, or whether they
// take that long here.
var errTooLong = errors.New("the tests did not end in time")

var failure = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// test runs tests, and returns the name of one that failed, or what ended the
// program; nothing where all is well. An error says that they could not be run.
func (r *runner) test(binary, dir, pattern, skip string) (failed, out string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), r.patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", `ulimit -v "$0" 2>/dev/null; exec "$@"`, memory,
		binary, "-test.failfast", "-test.run", pattern, "-test.skip", skip)
	cmd.Dir = filepath.Join(r.root, dir)
	cmd.WaitDelay = time.Second // a redis-server that is left over holds the output open
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
