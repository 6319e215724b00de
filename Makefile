# make            builds bin/hythe
# make help       lists the targets

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS   += --no-builtin-rules
.DEFAULT_GOAL := build

GO ?= go
export GOTOOLCHAIN ?= local
export GOFLAGS     ?= -buildvcs=false

# The product never contains C. Only the race detector's runs ask for cgo.
export CGO_ENABLED = 0

# TIMEOUT bounds one package's tests; `make test` as a whole stays below ten
# minutes on two cores.
TIMEOUT ?= 8m

# Packages that also run under the race detector: those whose tests neither
# carry the freestanding library (instrumented code cannot run in a guest) nor
# start a machine.
RACE = $(addsuffix /...,$(wildcard ./nucleus ./machine/sim ./ipc ./idl ./server/fs ./server/console ./personality ./cmd ./server/unix ./server/net ./server/netswitch))

# Every Go file that gofmt is asked about.
GOFILES = $(shell git ls-files -co --exclude-standard '*.go' 2>/dev/null || find . -name '*.go')

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

build: ## build bin/hythe, bin/hythe-wasi, which runs WebAssembly modules, and bin/hythe-net, for networks of packets; static binaries
	$(GO) build -trimpath -o bin/ ./cmd/hythe ./cmd/hythe-wasi ./cmd/hythe-net

deps: ## install what the tests need (Debian packages; as root), or say what is missing
	@.ci/deps

test: deps build ## run all tests, then those that can under the race detector
	$(GO) test -timeout $(TIMEOUT) ./...
	@$(MAKE) --no-print-directory race

race: ## run the tests of the packages that can under the race detector
	@if command -v "$${CC:-gcc}" >/dev/null; then \
	  CGO_ENABLED=1 $(GO) test -race -timeout $(TIMEOUT) $(RACE); \
	else echo "race: skipped: no C compiler, which the race detector needs"; fi

check: fmt vet staticcheck policy freestanding fresh clean-tree ## all of CI but the tests

fmt: ## fail on files that gofmt would change
	@out=$$(gofmt -l $(GOFILES)); if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi

vet: ## go vet
	$(GO) vet ./...

staticcheck: ## staticcheck, at the version that tools/go.mod pins
	@mkdir -p out
	$(GO) -C tools build -o ../out/staticcheck honnef.co/go/tools/cmd/staticcheck
	out/staticcheck ./...

policy: ## who may import what, unsafe, the nucleus's budget (test/policy_test.go)
	$(GO) test -count=1 -timeout 2m -run '^TestPolicy' ./test

freestanding: build ## the emulation library leaves its package nowhere (disassembly)
	$(GO) test -count=1 -timeout 4m -run Freestanding $(addsuffix /...,$(wildcard ./emul ./test/trap))

generate: ## write all generated files anew
	$(GO) generate ./...

fresh: ## fail if a generated file is not what make generate writes
	@before=$$(git status --porcelain; git diff); $(MAKE) --no-print-directory generate; \
	after=$$(git status --porcelain; git diff); \
	if [ "$$before" != "$$after" ]; then echo "generated files are stale: run make generate"; git status --short; exit 1; fi

clean-tree: ## fail on changes that are not committed
	@if [ -n "$$(git status --porcelain)" ]; then echo "the tree is not clean:"; git status --short; exit 1; fi

bench: build ## print the tables of docs/performance.md (WRITE=1 puts them there), then single benchmarks
	@.ci/deps packages packages.bench
	$(GO) run ./bench $(if $(WRITE),-write docs/performance.md)
	$(GO) run ./bench -systems $(if $(WRITE),-write docs/performance.md)
	$(GO) run ./bench -calls $(if $(WRITE),-write docs/performance.md)
	$(GO) test -timeout 30m -run '^$$' -bench . -benchtime 1x $(addsuffix /...,$(wildcard ./store ./ipc ./confine))
	$(GO) test -timeout 30m -run '^$$' -bench Processes -benchtime 20000x ./ipc

# Not by go run, whose program has no names of functions for perf.
profile: build ## say where the time of row W of the bench goes (make profile W=stat)
	@mkdir -p out
	@$(GO) build -o out/bench ./bench
	out/bench -profile '$(W)'

# SYSTEM restricts it to one (freebsd, netbsd, dragonfly, plan9, wasip1, linux).
conformance: build ## run Go's own tests on every system (hours), write docs/conformance.md
	HYTHE_LONG=1 HYTHE_CONFORMANCE=1 $(GO) test -count=1 -timeout 24h -run 'TestGoSuite/^$(SYSTEM)' ./test/gosuite

check-long: build ## the long tests: random kills, schedules, soak, foreign suites, fuzzing
	HYTHE_LONG=1 $(GO) test -count=1 -timeout 6h ./...
	@$(MAKE) --no-print-directory fuzz

# How long each fuzz target runs. Without the bound on minimizing, an input whose
# coverage differs from run to run (goroutines) is tried for a minute.
FUZZTIME ?= 10m

fuzz: ## look for inputs that break a decoder or a ring, FUZZTIME for each target
	@for f in $$(grep -rl --include='*_test.go' '^func Fuzz' .); do \
	  for t in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$f); do \
	    echo "$$(dirname $$f) $$t"; \
	    $(GO) test -run '^$$' -fuzz "^$$t\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5x ./$$(dirname $$f) || exit 1; \
	  done; done

clean: ## remove what was built
	rm -rf bin out

.PHONY: help build deps test race check fmt vet staticcheck policy freestanding fuzz generate fresh clean-tree bench profile conformance check-long clean
