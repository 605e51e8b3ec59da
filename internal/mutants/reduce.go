package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// A declaration is one of a test file, and the identifiers in it.
type declaration struct{ uses map[string]bool }

var testFunction = regexp.MustCompile(`^(Test|Fuzz|Example|Benchmark)`)

// reduce returns a package's test files with only the tests that wanted matches
// and the declarations they need. Compiling takes most of a mutant's time, and
// most of that code is tests that do not run. Declarations that may run without
// being named are kept: init, TestMain, variables initialized by a call, and
// every method of a type that is kept.
func reduce(files map[string]string, wanted *regexp.Regexp) (map[string]string, error) {
	fset := token.NewFileSet()
	parsed := map[string]*ast.File{}
	byName := map[string][]*declaration{}
	of := map[ast.Decl]*declaration{}
	var todo []*declaration
	for name, text := range files {
		f, err := parser.ParseFile(fset, name, text, parser.SkipObjectResolution|parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("parse tests: %w", err)
		}
		parsed[name] = f
		for _, node := range f.Decls {
			if g, ok := node.(*ast.GenDecl); ok && g.Tok == token.IMPORT {
				continue
			}
			d := &declaration{uses: identifiers(node)}
			of[node] = d
			names, needed := declared(node, wanted)
			for _, n := range names {
				byName[n] = append(byName[n], d)
			}
			if needed {
				todo = append(todo, d)
			}
		}
	}
	kept := map[*declaration]bool{}
	for len(todo) > 0 {
		d := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if kept[d] {
			continue
		}
		kept[d] = true
		for name := range d.uses {
			todo = append(todo, byName[name]...)
		}
	}
	reduced := map[string]string{}
	for name, f := range parsed {
		text, rest := files[name], 0
		var out strings.Builder
		for _, node := range f.Decls {
			if d := of[node]; d != nil && !kept[d] {
				at := fset.Position(node.Pos()).Offset
				out.WriteString(text[rest:at])
				rest = fset.Position(node.End()).Offset
				out.WriteString(strings.Repeat("\n", strings.Count(text[at:rest], "\n"))) // lines keep their numbers
			}
		}
		reduced[name] = out.String() + text[rest:]
	}
	return reduced, nil
}

var importSpec = regexp.MustCompile(`^(\s*(?:import\s+)?)(?:\w+\s+)?"`)

var unusedImport = regexp.MustCompile(`(?m)^\S*?([^/\s]+_test\.go):(\d+):\d+: "\S+" imported (?:as \S+ )?and not used$`)

// blankUnused makes the imports that the compiler reports as unused blank, and
// returns how many there were.
func blankUnused(files map[string]string, compiler string) (n int) {
	for _, found := range unusedImport.FindAllStringSubmatch(compiler, -1) {
		line, _ := strconv.Atoi(found[2])
		for name, text := range files {
			if path.Base(name) == found[1] {
				lines := strings.Split(text, "\n")
				lines[line-1] = importSpec.ReplaceAllString(lines[line-1], `${1}_ "`)
				files[name] = strings.Join(lines, "\n")
				n++
			}
		}
	}
	return n
}

// declared returns the names by which others need a declaration (a method's
// name is its type's), and reports whether it is needed even if nothing names
// it.
func declared(node ast.Decl, wanted *regexp.Regexp) (names []string, needed bool) {
	switch node := node.(type) {
	case *ast.FuncDecl:
		name := node.Name.Name
		switch {
		case node.Recv != nil:
			for n := range identifiers(node.Recv.List[0].Type) {
				names = append(names, n)
			}
			return names, false
		case name == "init" || name == "TestMain" || name == "_":
			return nil, true
		case testFunction.MatchString(name):
			return nil, wanted.MatchString(name)
		}
		return []string{name}, false
	case *ast.GenDecl:
		for _, spec := range node.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				names = append(names, spec.Name.Name)
			case *ast.ValueSpec:
				for i, n := range spec.Names {
					names = append(names, n.Name)
					// An initializer may have side effects.
					needed = needed || n.Name == "_" || i < len(spec.Values) && calls(spec.Values[i])
				}
			}
		}
	}
	return names, needed
}

func identifiers(node ast.Node) map[string]bool {
	found := map[string]bool{}
	ast.Inspect(node, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			found[id.Name] = true
		}
		return true
	})
	return found
}

// calls reports whether an expression calls a function when it is evaluated.
func calls(e ast.Expr) bool {
	found := false
	ast.Inspect(e, func(n ast.Node) bool {
		if _, ok := n.(*ast.FuncLit); ok {
			return false
		}
		_, call := n.(*ast.CallExpr)
		found = found || call
		return true
	})
	return found
}
