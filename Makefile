# make help lists the targets: the words after ## are their description.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  = -s -w -X main.version=$(VERSION)
EXE      = $(shell $(GO) env GOEXE)
T       ?= 10s

.PHONY: help build demo test lab check race fuzz bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the programs into bin/ (GOOS and GOARCH choose another system)
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/fernwerkd ./cmd/fernwerk-agent ./cmd/fernwerk-mesh ./cmd/fernwerk

demo: build ## a product reaches a client over a slow line and installs with the server gone (ARGS=--json)
	bin/fernwerk$(EXE) dev demo $(ARGS)

test: ## run all tests that this machine can run, and say what it left out (as root: installs what is missing)
	@sh test/setup.sh
	@$(GO) run ./test/runner

lab: ## newcomers' way to a job and to their neighbours, in networks of their own: each step's seconds (Linux, root; ARGS=--json)
	@[ "$$(uname -s)" = Linux ] && [ "$$(id -u)" = 0 ] || { echo "make lab needs root on Linux: it makes network namespaces, and runs OpenVPN, the mesh, PostgreSQL, OAR and Slurm" >&2; exit 1; }
	@sh test/setup.sh >&2
	@echo "make lab: the programs are built first, a minute or two; then each step is shown as it ends" >&2
	@mkdir -p bin && $(GO) test -c -trimpath -o bin/lab.test ./test/e2e
	@cd test/e2e && FERNWERK_REQUIRE=all ../../bin/lab.test -test.run '^Test(Newcomer|Slurm)' -test.parallel 1 -test.timeout 20m -story $(ARGS)

check: ## formatting, vet for three systems, the rules of the house, go.mod
	@bad=$$(gofmt -l cmd internal test *.go) && [ -z "$$bad" ] || { echo "gofmt would change: $$bad"; exit 1; }
	GOOS=linux $(GO) vet ./...
	GOOS=windows CGO_ENABLED=0 $(GO) vet ./...
	GOOS=darwin CGO_ENABLED=0 $(GO) vet ./...
	$(GO) test .
	$(GO) mod tidy -diff

race: ## run all tests with the race detector
	@sh test/setup.sh
	@$(GO) run ./test/runner -race

fuzz: ## run each fuzz target for a while (T=10s)
	@sh test/fuzz.sh $(T)

bench: build ## measure beside real peers, write bench-results.json (B=cache for one suite)
	@sh test/setup.sh
	$(GO) run ./test/bench $(if $(B),-suite $(B))

clean: ## remove what was built
	rm -rf bin bench-results.json
