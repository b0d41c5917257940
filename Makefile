# Run `make` or `make help` for the list of targets.
.DEFAULT_GOAL := help
.NOTPARALLEL:

BIN     := build/bin
VERSION := $(shell git describe --tags --always 2>/dev/null)
COMMIT  := $(shell git rev-parse HEAD 2>/dev/null)

# Only the linker sees these, so all targets share one build cache.
VERSION_PKG := github.com/cosmos/cosmos-sdk/version
LDFLAGS     := -X $(VERSION_PKG).Name=mesh -X $(VERSION_PKG).AppName=meshd \
               -X $(VERSION_PKG).Version=$(VERSION) -X $(VERSION_PKG).Commit=$(COMMIT)

# `make lint` runs vet; running it in every tier again costs minutes. TESTFLAGS
# takes more, as in `make test-unit TESTFLAGS='-run TestPool -v'`.
GOTEST := go test -vet=off $(TESTFLAGS)

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

## Programs

.PHONY: build relayer hostile stock install demo soak

build: ## Build the chain and the local network: build/bin/meshd, build/bin/meshnet
	go build -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/meshd ./cmd/meshnet

install: ## Install meshd and meshnet into Go's bin directory
	go install -ldflags '$(LDFLAGS)' ./cmd/meshd ./cmd/meshnet

relayer: $(BIN)/rly ## Build the IBC relayer: build/bin/rly

$(BIN)/rly: tools/relayer/go.mod tools/relayer/go.sum
	cd tools/relayer && go build -o ../../$@ github.com/cosmos/relayer/v2
	@touch $@

hostile: ## Build the chain that lies, for the demo: build/bin/meshd-hostile
	go build -ldflags '$(LDFLAGS)' -o $(BIN)/ ./internal/hostile/meshd-hostile

stock: ## Build a chain without Mesh Security, for the upgrade's test: build/bin/meshd-stock
	go build -ldflags '$(LDFLAGS)' -o $(BIN)/ ./internal/stock/meshd-stock

demo: build relayer hostile ## Run a mesh of chains on this machine; KEEP=1 leaves it running
	$(BIN)/meshnet demo $(if $(KEEP),--keep)

MINUTES ?= 10
soak: build relayer ## Faults on real processes for MINUTES, then an account of every token; SEED repeats a run
	$(BIN)/meshnet soak --minutes $(MINUTES) $(if $(filter command line environment,$(origin SEED)),$(addprefix --seed ,$(SEED))) $(SOAKFLAGS)

## Tests

.PHONY: test test-unit test-integration test-model traces test-system sim fuzz bench

test: test-unit test-integration test-model test-system ## Run all four tiers

test-unit: ## Tests beside the code
	$(GOTEST) $$(go list ./... | grep -v '/mesh/tests/')

test-integration: ## Several chains in one process, over ibctesting
	$(GOTEST) -timeout 15m ./tests/integration/...

# The same histories every time; SEED=0 draws others, and a failing seed is printed.
SEED ?= 20261122
test-model: ## The Quint model, its traces against the modules, and random histories of whole meshes; SEED=0 draws new ones
	SEED=$(SEED) tools/quint/run.sh check
	$(GOTEST) -timeout 25m ./tests/model/... -rapid.seed=$(SEED)

CHAINS ?= 3
BLOCKS ?= 300
sim: ## One long random history: CHAINS=1 is the SDK's simulation, more are a mesh; BLOCKS, SEED (0: a new one)
	MESH_SIM_CHAINS=$(CHAINS) MESH_SIM_BLOCKS=$(BLOCKS) MESH_SIM_SEED=$(SEED) \
		$(GOTEST) -count=1 -v -timeout 24h ./tests/model -run '^Test(Mesh|Chain)(IsDeterministic)?$$'

traces: ## Write the traces of the Quint model that test-model plays against the modules
	tools/quint/run.sh traces

test-system: build relayer hostile stock ## Real nodes and a real relayer as processes
	MESH_BIN=$(CURDIR)/$(BIN) $(GOTEST) -count=1 -timeout 25m ./tests/system/...

FUZZTIME ?= 60s
fuzz: ## Every fuzz target for FUZZTIME (60s); FUZZ selects some by name
	tools/fuzz.sh $(FUZZTIME) '$(FUZZ)'

bench: ## Benchmarks; BENCH selects some, BENCHFLAGS takes more
	go test -vet=off -run '^$$' -bench '$(or $(BENCH),.)' -benchmem $(BENCHFLAGS) ./...

## Code

.PHONY: lint fmt proto proto-check proto-lint proto-breaking

lint: $(BIN)/golangci-lint ## Lint the Go code; PKG=./x/provider/... limits it
	$(BIN)/golangci-lint run $(PKG)

fmt: $(BIN)/golangci-lint ## Format the Go code
	$(BIN)/golangci-lint fmt

$(BIN)/golangci-lint: tools/golangci-lint/go.mod tools/golangci-lint/go.sum
	cd tools/golangci-lint && go build -o ../../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@

proto: ## Format proto/ and generate its Go code; ONLY=proto/mesh/provider limits it
	ONLY=$(ONLY) tools/proto/generate.sh write

proto-check: ## Fail unless proto/ is formatted, linted and its Go code current
	tools/proto/generate.sh check

proto-lint: ## Lint proto/
	tools/proto/generate.sh lint

proto-breaking: ## Compare proto/ with an earlier state; REF names it (default main)
	tools/proto/generate.sh breaking $(REF)

.PHONY: clean
clean: ## Delete everything built
	rm -rf build
