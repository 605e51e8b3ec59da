# make test   installs what is missing and runs every test
# make check  format, vet, lint, known vulnerabilities
# make gate   the threat suite, and its counts
# make channels all ways to log in: phones, computers, mini programs, many accounts
# make wire   client and simulator, and their counts
# make faults a login under 26 faults of Redis in 8 phases
# make sessions login, logout and late writers in every order; corrupt records; scs's own tests
# make soak   users for ten minutes, a fault of Redis every 20 s (SOAK=30m before a release)
# make frozen Redis frozen for 30 s under 200 requests a second
# make failover logins while a primary with an up-to-date replica is killed, behind Sentinels and in a Cluster
# make stores every store against every server and service that teams use
# make docs   the docs: their code, links, headings and tables; the surface
# make screenshots writes every page, state, language and scheme to DIR
# make pictures takes the pictures of the docs from the real pages
# make links  requests every site that the docs link to
# make api    records the exported surface, after a line in CHANGELOG.md
# make fuzz   every fuzz target for FUZZTIME
# make bench  side by side with peers; make bench-smoke counts and measures no time
# make load   real processes under simulated browsers
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

MODULES := . store/goredisstore store/rueidisstore store/internal/servers observe/wechatprom observe/wechatotel examples e2e
CHECKED := $(MODULES) bench

.PHONY: test
test: setup
	@MODULES="$(MODULES)" .ci/suite test

.PHONY: check
check: fmt vet lint vuln

# The programs that the tests run. As root, setup installs them; otherwise it
# prints what to install. Valkey is tested where the distribution has it.
.PHONY: setup
setup:
	@missing=""; \
	command -v redis-server >/dev/null || missing="$$missing redis-server"; \
	command -v nutcracker >/dev/null || [ -x /usr/sbin/nutcracker ] || missing="$$missing nutcracker"; \
	command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || missing="$$missing nginx"; \
	command -v chromium >/dev/null || missing="$$missing chromium"; \
	command -v node >/dev/null || missing="$$missing nodejs"; \
	command -v npm >/dev/null || missing="$$missing npm"; \
	fc-list :lang=zh 2>/dev/null | grep -q . || missing="$$missing fontconfig fonts-noto-cjk"; \
	if [ "$$(id -u)" = 0 ] && ! command -v valkey-server >/dev/null && apt-cache show valkey-server >/dev/null 2>&1; then \
		DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends valkey-server || true; \
	fi; \
	if [ -z "$$missing" ]; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $$missing; \
	else \
		echo "please install:$$missing   (Debian: sudo apt-get install$$missing)" >&2; exit 1; \
	fi
	@$(MAKE) -s --no-print-directory bin/axe-core bin/chromium78

# What e2e takes from npm, pinned with hashes: axe-core, and a build of Chromium 78.
bin/axe-core bin/chromium78: e2e/npm/package.json e2e/npm/package-lock.json
	@mkdir -p bin
	@cd e2e/npm && npm ci
	@cp e2e/npm/node_modules/axe-core/axe.min.js bin/axe-core
	@node -e 'process.stdout.write(require("zlib").brotliDecompressSync(require("fs").readFileSync("e2e/npm/node_modules/chrome-aws-lambda/bin/chromium.br")))' >bin/chromium78
	@chmod +x bin/chromium78
	@rm -r e2e/npm/node_modules
	@touch bin/axe-core bin/chromium78

.PHONY: fmt
fmt:
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "gofmt -w $$out" >&2; exit 1; fi

.PHONY: vet
vet:
	@for m in $(CHECKED); do (cd $$m && go vet ./...); done

# The tools are pinned in a separate module, so that importers of the library do
# not inherit them.
bin/staticcheck bin/govulncheck: tools/go.mod tools/go.sum
	@mkdir -p bin
	@cd tools && GOWORK=off go build -o ../bin/staticcheck honnef.co/go/tools/cmd/staticcheck
	@cd tools && GOWORK=off go build -o ../bin/govulncheck golang.org/x/vuln/cmd/govulncheck
	@touch bin/staticcheck bin/govulncheck

.PHONY: lint
lint: bin/staticcheck
	@for m in $(CHECKED); do (cd $$m && $(CURDIR)/bin/staticcheck ./...); done

# The vulnerability database is on the network; if it cannot be reached, vuln
# says so and succeeds.
.PHONY: vuln
vuln: bin/govulncheck
	@out=$$(./bin/govulncheck ./... 2>&1) && echo "$$out" || { \
		if echo "$$out" | grep -qE 'fetching vulnerabilities|no such host|dial tcp|connection refused|i/o timeout'; \
		then echo "govulncheck: the vulnerability database cannot be reached; not checked"; \
		else echo "$$out" >&2; exit 1; fi; }

# Every fuzz target for a while: make fuzz FUZZTIME=5m before a release.
FUZZTIME ?= 20s
.PHONY: fuzz
fuzz:
	@FUZZTIME=$(FUZZTIME) .ci/suite fuzz

# The threat suite, with the mutants of the security code.
.PHONY: gate
gate: setup
	@.ci/suite gate

# A login in each of its phases, under each of 26 faults of Redis.
.PHONY: faults
faults: setup
	@.ci/suite faults

# Sessions over a long time, and Redis frozen under load; see internal/soak.
SOAK ?= 10m
.PHONY: sessions soak frozen failover stores
sessions: setup
	@.ci/suite sessions
soak: setup
	@go run ./internal/soak -for $(SOAK)
frozen: setup
	@go run ./internal/soak -frozen
failover: setup
	@.ci/suite failover
stores: setup
	@.ci/suite stores

# The client against hostile peers, and the simulator; fuzzing included.
.PHONY: wire
wire: setup
	@.ci/suite wire

# Side by side with peers, in turns: BENCHTIME=50ms make bench for a quick look.
# See bench/README.md.
.PHONY: bench
bench: setup
	@cd bench && go run .

# The benchmarks once, counting allocations and Redis commands and measuring no
# time; the race detector allocates, so it is off.
.PHONY: bench-smoke
bench-smoke: setup
	@cd bench && go test -count=1 ./...

# Redis, two instances of examples/nethttp and the simulator as processes, under
# a thousand simulated browsers; draws bench/load.svg.
.PHONY: load
load: setup
	@cd bench && go run ./load -plot load.svg

# The docs: blocks compiled, links and headings checked, surface compared.
.PHONY: docs
docs: setup
	@.ci/suite docs

# The pictures of the docs, taken from the real pages by a real browser.
.PHONY: pictures
pictures: setup
	@cd e2e && WRITE_PICTURES=1 go test -count=1 -run '^TestPictures$$' .

# Every page in each state, language and color scheme, at three widths, to look at.
DIR ?= screenshots
.PHONY: screenshots
screenshots: setup
	@mkdir -p $(DIR) && cd e2e && SCREENSHOTS=$(abspath $(DIR)) go test -count=1 -v -run '^TestGallery$$' . | tail -3

# Requests every site that the docs link to. A test compares the list with the docs.
.PHONY: links
links:
	@while read -r url; do \
		curl -fsSL -o /dev/null --max-time 30 "$$url" || { echo "links: $$url" >&2; exit 1; }; \
	done < testdata/links.txt; echo "links: $$(wc -l < testdata/links.txt) reached"

# Records the exported surface in testdata/api. It rejects a change that
# CHANGELOG.md does not name.
.PHONY: api
api:
	@UPDATE_API=1 go test -count=1 -run '^TestSurface$$' ./internal/repotest

# Environments, scans, mini programs, accounts, platforms, and their pages.
.PHONY: channels
channels: setup
	@.ci/suite channels
