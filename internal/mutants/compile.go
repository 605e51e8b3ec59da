package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// A checker type-checks packages of the module, each with its own tests and
// without compiling it. It reads imported packages from the export data in the
// build cache.
type checker struct {
	root    string
	fset    *token.FileSet
	exports map[string]string // files of export data, by import path

	packages map[string]*checkedPackage
}

// A checkedPackage is a package without a mutant.
type checkedPackage struct {
	path  string // import path
	files map[string]*ast.File
}

// listed is what go list reports about a package.
type listed struct {
	Dir, ImportPath, ForTest, Export string

	GoFiles, TestGoFiles []string
}

// newChecker reads the packages of the mutants, which are given by their paths
// below root.
func newChecker(root string, dirs []string) (*checker, error) {
	args := []string{"list", "-deps", "-test", "-export", "-json=Dir,ImportPath,ForTest,Export,GoFiles,TestGoFiles"}
	for _, dir := range dirs {
		args = append(args, "./"+dir)
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list packages: %w\n%s", err, stderr.Bytes())
	}
	c := &checker{root: root, fset: token.NewFileSet(), exports: map[string]string{}, packages: map[string]*checkedPackage{}}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return c, nil
		} else if err != nil {
			return nil, fmt.Errorf("list packages: %w", err)
		}
		if p.ForTest != "" || strings.HasSuffix(p.ImportPath, ".test") { // variants and main packages of tests
			continue
		}
		c.exports[p.ImportPath] = p.Export
		rel, err := filepath.Rel(root, p.Dir)
		if err != nil || !slices.Contains(dirs, filepath.ToSlash(rel)) {
			continue
		}
		if err := c.parse(filepath.ToSlash(rel), p); err != nil {
			return nil, err
		}
	}
}

func (c *checker) parse(dir string, p listed) error {
	parsed := &checkedPackage{path: p.ImportPath, files: map[string]*ast.File{}}
	for _, name := range slices.Concat(p.GoFiles, p.TestGoFiles) {
		f, err := parser.ParseFile(c.fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return fmt.Errorf("parse: %w", err)
		}
		parsed.files[path.Join(dir, name)] = f
	}
	c.packages[dir] = parsed
	return nil
}

// check type-checks the package of file, whose text is replaced.
func (c *checker) check(file, text string, imp types.Importer) error {
	p := c.packages[path.Dir(file)]
	if p == nil || p.files[file] == nil {
		return fmt.Errorf("%s is not built here", file)
	}
	broken, err := parser.ParseFile(c.fset, filepath.Join(c.root, file), text, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	var files []*ast.File
	for name, f := range p.files {
		if name == file {
			f = broken
		}
		files = append(files, f)
	}
	conf := types.Config{Importer: imp}
	_, err = conf.Check(p.path, c.fset, files, nil)
	return err
}

// importer returns a new importer. Each goroutine needs one, because it is not
// safe for concurrent use.
func (c *checker) importer() types.Importer {
	return importer.ForCompiler(c.fset, "gc", func(path string) (io.ReadCloser, error) {
		file := c.exports[path]
		if file == "" {
			return nil, fmt.Errorf("no export data of %s", path)
		}
		return os.Open(file)
	})
}

// compile returns an error for each mutant that does not compile.
func compile(root string, files map[string]string, chosen []mutant) error {
	dirs := map[string]bool{}
	var todo []mutant
	for _, m := range chosen {
		if file, _, err := m.apply(files); err == nil {
			dirs[path.Dir(file)] = true
			todo = append(todo, m)
		}
	}
	if len(todo) == 0 {
		return nil
	}
	c, err := newChecker(root, slices.Sorted(maps.Keys(dirs)))
	if err != nil {
		return err
	}
	errs := make([]error, len(todo))
	next := make(chan int)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			imp := c.importer()
			for i := range next {
				file, text, _ := todo[i].apply(files)
				if err := c.check(file, text, imp); err != nil {
					errs[i] = fmt.Errorf("%s: does not compile: %w", todo[i].name, err)
				}
			}
		})
	}
	for i := range todo {
		next <- i
	}
	close(next)
	wg.Wait()
	return errors.Join(errs...)
}
