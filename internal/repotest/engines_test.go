package repotest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// WeChat on Android runs Chromium 57 to 86. The pages, the examples and the
// simulator look right and work in Chromium 78 and iOS 12. The tables below
// list features that these engines lack, and the first versions with them.

// A feature is matched by pattern, in a text without comments and strings.
type feature struct {
	name, since string
	pattern     *regexp.Regexp
}

func newFeature(name, since, pattern string) feature {
	return feature{name, since, regexp.MustCompile(pattern)}
}

var (
	// Declarations, as "property: value". They may follow a declaration of the
	// same property in their rule, if their value has no env() or var():
	// engines accept any such value, and reset the property if it turns out to
	// be invalid. Inside @supports, its condition must have the feature, and no
	// env() or var() either.
	cssDeclarations = []feature{
		newFeature("min(), max() or clamp()", "Chromium 79, iOS 13.4", `\b(min|max|clamp)\(`),
		newFeature("inset", "Chromium 87, iOS 14.5", `(^|\W)inset(-(block|inline)(-(start|end))?)?:`),
		newFeature("aspect-ratio", "Chromium 88, iOS 15", `(^|\W)aspect-ratio:`),
		newFeature("logical margin, padding or border", "Chromium 87, iOS 14.5", `(^|\W)(margin|padding|border)-(inline|block)\b[\w-]*:`),
		newFeature("rgb() or hsl() without commas", "Chromium 65, iOS 12.2", `\b(rgb|hsl)a?\([^,()]*\)`),
		newFeature("color-mix(), light-dark(), lab(), lch(), oklab() or oklch()", "Chromium 111, iOS 15", `\b(color-mix|light-dark|lab|lch|oklab|oklch)\(`),
		newFeature("dvh, svh or lvh", "Chromium 108, iOS 15.4", `\d[dsl]v[hw]\b`),
		newFeature("overflow-wrap: anywhere", "Chromium 80, iOS 15.4", `\banywhere\b`),
		newFeature("overflow: clip", "Chromium 90, iOS 16", `(^|\W)overflow(-[xy])?:.*\bclip\b`),
		newFeature("display: flow-root", "Chromium 58, iOS 13", `\bflow-root\b`),
		newFeature("subgrid", "Chromium 117, iOS 16", `\bsubgrid\b`),
		newFeature("revert", "Chromium 84, iOS 9.3", `:\s*revert(-layer)?\b`),
		newFeature("position: sticky without -webkit-sticky", "Chromium 56, iOS 13", `:\s*sticky\b`),
		newFeature("appearance without -webkit-appearance", "Chromium 84, iOS 15.4", `^appearance:`),
		newFeature("user-select without -webkit-user-select", "Chromium 54, no version of iOS", `^user-select:`),
		newFeature("backdrop-filter without -webkit-backdrop-filter", "Chromium 76, iOS 18", `^backdrop-filter:`),
		newFeature("translate, rotate or scale as a property", "Chromium 104, iOS 14.5", `^(translate|rotate|scale):`),
	}
	gap = newFeature("gap in a rule without display: grid", "flex: Chromium 84, iOS 14.5", `^((row|column)-)?gap:`)

	// Selectors. An engine drops the whole rule, with its other selectors.
	cssSelectors = []feature{
		newFeature(":has()", "Chromium 105, iOS 15.4", `:has\(`),
		newFeature(":is() or :where()", "Chromium 88, iOS 14", `:(is|where)\(`),
		newFeature("a list in :not()", "Chromium 88, iOS 9", `:not\([^()]*,`),
	}
	focusVisible = newFeature(":focus-visible for more than the outline of what has the focus", "Chromium 86, iOS 15.4", `:focus-visible`)

	cssAtRules = []feature{
		newFeature("@layer", "Chromium 99, iOS 15.4", `^@layer\b`),
		newFeature("@container", "Chromium 105, iOS 16", `^@container\b`),
		newFeature("@property, @scope or @starting-style", "Chromium 85, iOS 16.4", `^@(property|scope|starting-style)\b`),
		newFeature("a range in @media", "Chromium 104, iOS 16.4", `^@media\b.*[<>=]`),
	}
	nesting = feature{name: "a nested rule", since: "Chromium 112, iOS 16.5"}

	scriptFeatures = []feature{
		newFeature("?.", "Chromium 80, iOS 13.4", `\?\.\D`),
		newFeature("??", "Chromium 80, iOS 13.4", `\?\?`),
		newFeature("&&= or ||=", "Chromium 85, iOS 14", `(&&|\|\|)=`),
		newFeature("a private field", "Chromium 84, iOS 14.5", `\.#\w|(?m:^\s*#\w)`),
		newFeature("a static block", "Chromium 94, iOS 16.4", `\bstatic\s*\{`),
		newFeature("a numeric separator", "Chromium 75, iOS 13", `\b\d+_\d`),
		newFeature("a BigInt", "Chromium 67, iOS 14", `\b\d+n\b|\bBigInt\b`),
		newFeature("await outside a function", "Chromium 89, iOS 15", `(?m)^((const|let|var)\b.*=\s*)?await\b`),
		newFeature("lookbehind in a regular expression", "Chromium 62, iOS 16.4", `\(\?<[=!]`),
		newFeature("Object.groupBy or Map.groupBy", "Chromium 117, iOS 17.4", `\b(Object|Map)\.groupBy\b`),
		newFeature("Object.fromEntries", "Chromium 73, iOS 12.2", `\bObject\.fromEntries\b`),
		newFeature("Object.hasOwn", "Chromium 93, iOS 15.4", `\bObject\.hasOwn\b`),
		newFeature("replaceAll", "Chromium 85, iOS 13.4", `\.replaceAll\(`),
		newFeature("matchAll", "Chromium 73, iOS 13", `\.matchAll\(`),
		newFeature("at", "Chromium 92, iOS 15.4", `\.at\(`),
		newFeature("findLast, toSorted, toReversed or toSpliced", "Chromium 97, iOS 15.4", `\.(findLast(Index)?|toSorted|toReversed|toSpliced)\(`),
		newFeature("Promise.any", "Chromium 85, iOS 14", `\bPromise\.any\b`),
		newFeature("Promise.allSettled", "Chromium 76, iOS 13", `\bPromise\.allSettled\b`),
		newFeature("Promise.withResolvers or Promise.try", "Chromium 119, iOS 17.4", `\bPromise\.(withResolvers|try)\b`),
		newFeature("structuredClone", "Chromium 98, iOS 15.4", `\bstructuredClone\(`),
		newFeature("AbortSignal.timeout or AbortSignal.any", "Chromium 103, iOS 16", `\bAbortSignal\.(timeout|any)\b`),
		newFeature("globalThis", "Chromium 71, iOS 12.2", `\bglobalThis\b`),
		newFeature("queueMicrotask", "Chromium 71, iOS 12.2", `\bqueueMicrotask\(`),
		newFeature("crypto.randomUUID", "Chromium 92, iOS 15.4", `\brandomUUID\b`),
		newFeature("replaceChildren", "Chromium 86, iOS 14", `\.replaceChildren\(`),
		newFeature("checkVisibility", "Chromium 105, iOS 17.4", `\.checkVisibility\(`),
		newFeature("submitter", "Chromium 81, iOS 15.4", `\bsubmitter\b`),
		newFeature("requestSubmit", "Chromium 76, iOS 16", `\.requestSubmit\(`),
		newFeature("new FormData with a button", "Chromium 112, iOS 16.4", `\bnew FormData\([^()]*,`),
		newFeature("showModal or showPopover", "Chromium 37, iOS 15.4", `\.(showModal|showPopover)\(`),
		newFeature("ResizeObserver or IntersectionObserver", "Chromium 64, iOS 12.2", `\b(Resize|Intersection)Observer\b`),
	}
	// On http, and before iOS 13.4, there is no navigator.clipboard.
	clipboard        = newFeature("navigator.clipboard without a test for it", "Chromium 66, iOS 13.4, https only", `\bnavigator\.clipboard\.`)
	clipboardIsAsked = regexp.MustCompile(`!navigator\.clipboard\b|\bnavigator\.clipboard &&`)

	elements = []feature{
		newFeature("<dialog>", "Chromium 37, iOS 15.4", `<dialog\b`),
		newFeature("popover", "Chromium 114, iOS 17", `\spopover(target)?\b[^<]*>`),
		newFeature("inert", "Chromium 102, iOS 15.5", `<\w[^<>]*\sinert[\s>]`),
		newFeature("a style attribute, which is not checked", "move it into the style sheet", `<\w[^<>]*\sstyle=`),
	}

	templateAction = regexp.MustCompile(`\{\{.*?\}\}`)
	cssIgnored     = regexp.MustCompile(`/\*(?s:.*?)\*/|"[^"\n]*"|'[^'\n]*'|\burl\([^)"']*\)`)
	scriptIgnored  = regexp.MustCompile(`/\*(?s:.*?)\*/|//[^\n]*|"(\\.|[^"\\\n])*"|'(\\.|[^'\\\n])*'`)
	styleElement   = regexp.MustCompile(`(?is)<style[^>]*>(.*?)</style\s*>`)
	scriptElement  = regexp.MustCompile(`(?is)<script[^>]*>(.*?)</script\s*>`)
	scriptBlock    = regexp.MustCompile("(?ms)^```js\n(.*?)^```")
	styleBlock     = regexp.MustCompile("(?ms)^```css\n(.*?)^```")
	substituted    = regexp.MustCompile(`\b(env|var)\(`)
)

// blank replaces the matches of a pattern by spaces, so that lines remain.
func blank(text string, pattern *regexp.Regexp) string {
	return pattern.ReplaceAllStringFunc(text, spaces)
}

func spaces(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' {
			return r
		}
		return ' '
	}, text)
}

// only replaces everything but the first group of a pattern by spaces.
func only(text string, pattern *regexp.Regexp) string {
	var b strings.Builder
	end := 0
	for _, at := range pattern.FindAllStringSubmatchIndex(text, -1) {
		b.WriteString(spaces(text[end:at[2]]) + text[at[2]:at[3]])
		end = at[3]
	}
	return b.String()
}

// A cssRule is a block of a style sheet: the text before its brace, its
// declarations, and the block around it.
type cssRule struct {
	parent       *cssRule
	line         int
	prelude      string
	declarations []cssDeclaration
}

type cssDeclaration struct {
	line            int
	property, value string
}

func (d cssDeclaration) String() string { return d.property + ": " + d.value }

func cssRules(css string) (rules []*cssRule) {
	css = blank(css, cssIgnored)
	var current *cssRule
	begin := 0
	for i, c := range css {
		if !strings.ContainsRune("{};", c) {
			continue
		}
		text := strings.TrimSpace(css[begin:i])
		line := 1 + strings.Count(css[:i], "\n") - strings.Count(strings.TrimLeft(css[begin:i], " \t\n"), "\n")
		begin = i + 1
		if c == '{' {
			current = &cssRule{parent: current, line: line, prelude: text}
			rules = append(rules, current)
			continue
		}
		if property, value, ok := strings.Cut(text, ":"); ok && current != nil {
			current.declarations = append(current.declarations, cssDeclaration{line, strings.TrimSpace(property), strings.TrimSpace(value)})
		}
		if c == '}' && current != nil {
			current = current.parent
		}
	}
	return rules
}

// supports reports whether an @supports around the rule asks for a feature.
func (r *cssRule) supports(f feature) bool {
	for ; r != nil; r = r.parent {
		if strings.HasPrefix(r.prelude, "@supports") && f.pattern.MatchString(r.prelude) && !substituted.MatchString(r.prelude) {
			return true
		}
	}
	return false
}

// hasFallback reports whether a declaration before the nth sets its property
// without the feature.
func (r *cssRule) hasFallback(n int, f feature) bool {
	d := r.declarations[n]
	if substituted.MatchString(d.value) {
		return false
	}
	for _, before := range r.declarations[:n] {
		if strings.TrimPrefix(before.property, "-webkit-") == d.property && !f.pattern.MatchString(before.String()) {
			return true
		}
	}
	return false
}

func (r *cssRule) isGrid() bool {
	for _, d := range r.declarations {
		if d.property == "display" {
			return d.value == "grid" || d.value == "inline-grid"
		}
	}
	return false
}

// onlyFocusRing reports whether a rule with :focus-visible may be dropped:
// it sets only the outline of the element that has the focus, which has the
// browser's otherwise, or removes one that :focus has set.
func (r *cssRule) onlyFocusRing() bool {
	for _, d := range r.declarations {
		if d.property != "outline" && d.property != "outline-offset" {
			return false
		}
	}
	for _, selector := range strings.Split(r.prelude, ",") {
		if !strings.HasSuffix(selector, ":focus-visible") && !strings.Contains(selector, ":focus:not(:focus-visible)") {
			return false
		}
	}
	return true
}

// A findings function is called with each feature found and its line.
type findings func(line int, f feature)

func checkStyle(css string, found findings) {
	for _, r := range cssRules(css) {
		if strings.HasPrefix(r.prelude, "@") {
			for _, f := range cssAtRules {
				if f.pattern.MatchString(r.prelude) {
					found(r.line, f)
				}
			}
		} else {
			for _, f := range cssSelectors {
				if f.pattern.MatchString(r.prelude) && !r.supports(f) {
					found(r.line, f)
				}
			}
			if focusVisible.pattern.MatchString(r.prelude) && !r.supports(focusVisible) && !r.onlyFocusRing() {
				found(r.line, focusVisible)
			}
			if r.parent != nil && !strings.HasPrefix(r.parent.prelude, "@") {
				found(r.line, nesting)
			}
		}
		for n, d := range r.declarations {
			for _, f := range cssDeclarations {
				if f.pattern.MatchString(d.String()) && !r.supports(f) && !r.hasFallback(n, f) {
					found(d.line, f)
				}
			}
			if gap.pattern.MatchString(d.String()) && !r.isGrid() {
				found(d.line, gap)
			}
		}
	}
}

func checkText(text string, features []feature, found findings) {
	for _, f := range features {
		for _, at := range f.pattern.FindAllStringIndex(text, -1) {
			found(1+strings.Count(text[:at[1]-1], "\n"), f)
		}
	}
}

func checkScript(script string, found findings) {
	script = blank(script, scriptIgnored)
	checkText(script, scriptFeatures, found)
	if !clipboardIsAsked.MatchString(script) {
		checkText(script, []feature{clipboard}, found)
	}
}

// checkEngines finds the features of a file that old engines lack.
func checkEngines(file, text string) (faults []string) {
	found := func(line int, f feature) {
		faults = append(faults, fmt.Sprintf("%s:%d: %s (%s)", file, line, f.name, f.since))
	}
	switch filepath.Ext(file) {
	case ".css":
		checkStyle(text, found)
	case ".js", ".mjs":
		checkScript(text, found)
	case ".html":
		text = blank(text, templateAction)
		checkStyle(only(text, styleElement), found)
		checkScript(only(text, scriptElement), found)
		checkText(blank(blank(text, styleElement), scriptElement), elements, found)
	case ".md":
		checkStyle(only(text, styleBlock), found)
		checkScript(only(text, scriptBlock), found)
	}
	return faults
}

// e2e is not checked: its scripts run in the browser that is installed.
func TestOldEngines(t *testing.T) {
	checked := map[string]int{}
	err := filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			switch entry.Name() {
			case ".git", "testdata", "node_modules", "e2e":
				return fs.SkipDir
			}
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for _, fault := range checkEngines(file, string(text)) {
			t.Error(fault)
		}
		checked[filepath.Ext(file)]++
		return nil
	})
	require.NoError(t, err)
	for _, ext := range []string{".css", ".js", ".html", ".md"} {
		assert.NotZero(t, checked[ext], "no %s file was found", ext)
	}
}

func TestOldEngines_Found(t *testing.T) {
	tests := []struct{ file, text, want string }{
		{"a.css", "p {\n  width: min(1em, 2em); }", "2: min(), max() or clamp()"},
		{"a.css", "p { padding: 1px; padding: max(1px, env(safe-area-inset-top)); }", "1: min(), max() or clamp()"},
		{"a.css", "@supports (padding: max(1px, env(safe-area-inset-top))) { p { padding: max(1px, env(safe-area-inset-top)) } }", "1: min(), max() or clamp()"},
		{"a.css", "@supports (display: grid) { p { inset: 0 } }", "1: inset"},
		{"a.css", "p { aspect-ratio: 1 }", "1: aspect-ratio"},
		{"a.css", "p { margin-inline: 1px }", "1: logical margin, padding or border"},
		{"a.css", "p { color: rgb(0 0 0 / .1) }", "1: rgb() or hsl() without commas"},
		{"a.css", "p { color: red; color: color-mix(in srgb, var(--a), red) }", "1: color-mix(), light-dark(), lab(), lch(), oklab() or oklch()"},
		{"a.css", "p { height: 100dvh }", "1: dvh, svh or lvh"},
		{"a.css", "p { overflow-wrap: anywhere }", "1: overflow-wrap: anywhere"},
		{"a.css", "p { overflow-x: clip }", "1: overflow: clip"},
		{"a.css", "p { display: flow-root }", "1: display: flow-root"},
		{"a.css", "p { grid-template-rows: subgrid }", "1: subgrid"},
		{"a.css", "p { all: revert }", "1: revert"},
		{"a.css", "p { position: sticky }", "1: position: sticky without -webkit-sticky"},
		{"a.css", "p { appearance: none; -webkit-appearance: none }", "1: appearance without -webkit-appearance"},
		{"a.css", "p { user-select: none }", "1: user-select without -webkit-user-select"},
		{"a.css", "p { backdrop-filter: none }", "1: backdrop-filter without -webkit-backdrop-filter"},
		{"a.css", "p { scale: 2 }", "1: translate, rotate or scale as a property"},
		{"a.css", "p { display: flex; gap: 1px }", "1: gap in a rule without display: grid"},
		{"a.css", "p { row-gap: 1px }", "1: gap in a rule without display: grid"},
		{"a.css", "/* a\n */\na,\np:has(b) { }", "3: :has()"},
		{"a.css", "p:is(.a, .b) { }", "1: :is() or :where()"},
		{"a.css", "p:not(.a, .b) { }", "1: a list in :not()"},
		{"a.css", "a:hover, a:focus-visible { outline: 0 }", "1: :focus-visible for more than the outline of what has the focus"},
		{"a.css", "a:focus-visible { color: red }", "1: :focus-visible for more than the outline of what has the focus"},
		{"a.css", "a:focus-visible + b { outline: 0 }", "1: :focus-visible for more than the outline of what has the focus"},
		{"a.css", "@layer a { }", "1: @layer"},
		{"a.css", "@container (min-width: 1px) { }", "1: @container"},
		{"a.css", "@property --a { }", "1: @property, @scope or @starting-style"},
		{"a.css", "@media (width >= 1px) { }", "1: a range in @media"},
		{"a.css", "p { color: red; b { color: blue } }", "1: a nested rule"},
		{"a.js", "a\n  ?.b", "2: ?."},
		{"a.js", "a ?? b", "1: ??"},
		{"a.js", "a ||= b", "1: &&= or ||="},
		{"a.js", "this.#a", "1: a private field"},
		{"a.js", "class A { static { } }", "1: a static block"},
		{"a.js", "1_000", "1: a numeric separator"},
		{"a.js", "1n", "1: a BigInt"},
		{"a.js", "const a = await b", "1: await outside a function"},
		{"a.js", "/(?<=a)b/", "1: lookbehind in a regular expression"},
		{"a.js", "Object.groupBy(a, b)", "1: Object.groupBy or Map.groupBy"},
		{"a.js", "Object.fromEntries(a)", "1: Object.fromEntries"},
		{"a.js", "Object.hasOwn(a, b)", "1: Object.hasOwn"},
		{"a.js", "a.replaceAll(b, c)", "1: replaceAll"},
		{"a.js", "a.matchAll(b)", "1: matchAll"},
		{"a.js", "a.at(-1)", "1: at"},
		{"a.js", "a.findLast(b)", "1: findLast, toSorted, toReversed or toSpliced"},
		{"a.js", "Promise.any(a)", "1: Promise.any"},
		{"a.js", "Promise.allSettled(a)", "1: Promise.allSettled"},
		{"a.js", "Promise.withResolvers()", "1: Promise.withResolvers or Promise.try"},
		{"a.js", "structuredClone(a)", "1: structuredClone"},
		{"a.js", "AbortSignal.timeout(1)", "1: AbortSignal.timeout or AbortSignal.any"},
		{"a.js", "globalThis", "1: globalThis"},
		{"a.js", "queueMicrotask(a)", "1: queueMicrotask"},
		{"a.js", "crypto.randomUUID()", "1: crypto.randomUUID"},
		{"a.js", "a.replaceChildren()", "1: replaceChildren"},
		{"a.js", "a.checkVisibility()", "1: checkVisibility"},
		{"a.js", "event.submitter", "1: submitter"},
		{"a.js", "a.requestSubmit()", "1: requestSubmit"},
		{"a.js", "new FormData(a, b)", "1: new FormData with a button"},
		{"a.js", "a.showModal()", "1: showModal or showPopover"},
		{"a.js", "new ResizeObserver(a)", "1: ResizeObserver or IntersectionObserver"},
		{"a.js", "navigator.clipboard.writeText(a)", "1: navigator.clipboard without a test for it"},
		{"a.html", "<p></p>\n<dialog></dialog>", "2: <dialog>"},
		{"a.html", "<p popover></p>", "1: popover"},
		{"a.html", "<p inert></p>", "1: inert"},
		{"a.html", `<p style="gap: 1px"></p>`, "1: a style attribute, which is not checked"},
		{"a.html", "<style>\np { inset: 0 }</style>", "2: inset"},
		{"a.html", "<script>\n{{.A}} ?? b</script>", "2: ??"},
		{"a.md", "```js\na ?? b\n```", "2: ??"},
		{"a.md", "```css\np { inset: 0 }\n```", "2: inset"},
	}
	seen := map[string]bool{}
	for _, tt := range tests {
		_, name, _ := strings.Cut(tt.want, ": ")
		seen[name] = true
		t.Run(name, func(t *testing.T) {
			faults := checkEngines(tt.file, tt.text)
			require.Len(t, faults, 1, tt.text)
			assert.True(t, strings.HasPrefix(faults[0], tt.file+":"+tt.want+" ("), "%s: %s", tt.text, faults[0])
		})
	}
	lists := [][]feature{cssDeclarations, cssSelectors, cssAtRules, scriptFeatures, elements, {gap, focusVisible, nesting, clipboard}}
	for _, list := range lists {
		for _, f := range list {
			assert.True(t, seen[f.name], "no test finds %s", f.name)
		}
	}
}

func TestOldEngines_Allowed(t *testing.T) {
	for _, tt := range []struct{ file, text string }{
		{"a.css", "p { font-size: 1em; font-size: clamp(1em, 2vw, 2em) }"},
		{"a.css", "@supports (padding: max(1px, 2px)) { p { padding: max(1px, env(safe-area-inset-top)) } }"},
		{"a.css", "@supports (inset: 0) { @media print { p { inset: 0 } } }"},
		{"a.css", "@supports selector(:has(b)) { p:has(b) { } }"},
		{"a.css", "p { gap: 1px; display: grid }"},
		{"a.css", "p { height: 100vh; height: 100dvh; color: rgba(0, 0, 0, .1) }"},
		{"a.css", "p { position: -webkit-sticky; position: sticky; -webkit-appearance: none; appearance: none }"},
		{"a.css", "a:focus-visible, b:focus-visible { outline: 0; outline-offset: 1px }"},
		{"a.css", "a:focus + b { outline: 1px } a:focus:not(:focus-visible) + b { outline: none }"},
		{"a.css", "p { padding: env(safe-area-inset-top) /* inset: 0 */; content: 'p:has(a) { inset: 0 }'; background: url(data:a;inset:0) }"},
		{"a.css", "p { grid-template-columns: minmax(0, 1fr) }"},
		{"a.css", "@media (min-width: 1px) and (min-aspect-ratio: 1/1) { p { color: red } }"},
		{"a.js", "a ? .5 : a?.5:1 // a?.b"},
		{"a.js", `"a ?? b" + 'it\'s ??' /* a.at(1) */`},
		{"a.js", "if (!navigator.clipboard) return;\nnavigator.clipboard.writeText(a)"},
		{"a.js", "async () => { const a = await b; }"},
		{"a.html", "<p>What?? a?.b, inert, popover</p>{{if (min .A) }}{{end}}"},
		{"a.md", "a ?? b\n```go\na ?? b\n```"},
	} {
		t.Run(tt.text, func(t *testing.T) {
			assert.Empty(t, checkEngines(tt.file, tt.text))
		})
	}
}
