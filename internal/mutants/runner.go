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
	dir   string            // for overlays and test binaries

	sound    [sha256.Size]byte // the program without a mutant
	patience time.Duration

	mu sync.Mutex // of the output
}

// baseline makes sure that it is the mutants that fail the tests.
func (r *runner) baseline(chosen []mutant) error {
	began := time.Now()
	binary, err := r.build("baseline", nil)
	if err != nil {
		return err
	}
	defer os.Remove(binary)
	if r.sound, err = sum(binary); err != nil {
		return err
	}
	asked := map[string][]string{} // patterns, by what is skipped of them
	for _, m := range chosen {
		if skip := m.skipped(); !slices.Contains(asked[skip], m.first()) {
			asked[skip] = append(asked[skip], m.first())
		}
	}
	r.patience = baselinePatience
	tested := time.Now()
	for skip, patterns := range asked {
		failed, out, err := r.test(binary, strings.Join(patterns, "|"), skip)
		if err == nil && failed != "" {
			err = errors.New(failed)
		}
		if err != nil {
			return fmt.Errorf("the tests fail without any mutant: %w\n%s", err, out)
		}
	}
	r.patience = max(patience, 2*time.Since(tested))
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
	broken := filepath.Join(r.dir, id+".go")
	if err := os.WriteFile(broken, []byte(text), 0o600); err != nil {
		return "", err
	}
	binary, err := r.build(id, map[string]string{filepath.Join(r.root, file): broken})
	if err != nil {
		return "", err
	}
	defer os.Remove(binary)
	switch made, err := sum(binary); {
	case err != nil:
		return "", err
	case made == r.sound:
		return "", errors.New("it makes no other program")
	}
	switch by, _, err := r.test(binary, m.first(), m.skipped()); {
	case errors.Is(err, errTooLong): // the baseline had time enough for these
		return fmt.Sprintf("a test that does not end in %v", r.patience), nil
	case by != "" || err != nil:
		return by, err
	}
	by, _, err = r.test(binary, "", notNeeded)
	if by != "" {
		by += " (not among those asked first)"
	}
	return by, err
}

// build compiles the tests of the root package with some files replaced.
// Without garbage collection the compiler takes a quarter less time.
func (r *runner) build(id string, replace map[string]string) (binary string, err error) {
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
	cmd.Dir = r.root
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
func (r *runner) test(binary, pattern, skip string) (failed, out string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), r.patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", `ulimit -v "$0" 2>/dev/null; exec "$@"`, memory,
		binary, "-test.failfast", "-test.run", pattern, "-test.skip", skip)
	cmd.Dir = r.root
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
