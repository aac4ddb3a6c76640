# smgw: every target that a newcomer guesses; `make help` lists them.
SHELL      := /bin/bash
GO         ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
# The same commit gives the same program, wherever it is built.
VERSION    := $(shell git describe --tags --always --dirty --abbrev=12 2>/dev/null)
STAMP      := -X main.version=$(VERSION)
LDFLAGS    := -s -w $(STAMP)
# Without inlining the program is an eighth smaller, on flash and in memory; SML's hot
# loops, and what makes readings of their telegrams, keep it.
SMALL  := -gcflags=all=-l -gcflags=smgw/sml/...= -gcflags=smgw/meter=
# Nothing that goes on a gateway uses cgo; only the race detector needs it.
export CGO_ENABLED ?= 0

.PHONY: help build man demo test race lint fmt arm qemu interop fuzz model soak bench clean toolchain
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

toolchain:
	@command -v $(GO) >/dev/null || { echo "make: Go is missing: install Go 1.26 or later from https://go.dev/dl/ (or your distribution) and put it on PATH" >&2; exit 1; }
	@$(GO) version | grep -qE 'go1\.(2[6-9]|[3-9][0-9])|devel' || { echo "make: $$($(GO) version) is too old: smgw needs Go 1.26 or later" >&2; exit 1; }

build: toolchain ## build/smgw for this machine, and the bench build/smgw-sim
	$(GO) build -trimpath $(SMALL) -ldflags '$(LDFLAGS)' -o build/smgw ./cmd/smgw
	$(GO) build -trimpath -ldflags '$(STAMP)' -o build/smgw-sim ./cmd/smgw-sim

man: toolchain ## man pages of smgw and each of its verbs in build/man
	@rm -rf build/man && mkdir -p build/man
	SMGW_MAN=$(CURDIR)/build/man SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(GO) test -count=1 -run '^TestManPages$$' ./cmd/smgw

demo: build ## the main job against the simulated meter: 40 days in about a minute
	build/smgw-sim demo --dir build/demo

test: toolchain ## all tests, end to end included
	$(GO) test -timeout 20m -shuffle=on ./...

race: toolchain ## all tests under the race detector (needs gcc)
	@command -v gcc >/dev/null || { echo "make race: gcc is missing: apt-get install gcc" >&2; exit 1; }
	CGO_ENABLED=1 $(GO) test -race -timeout 30m ./...

lint: toolchain ## gofmt, go vet (for a board of 32 bits as well) and staticcheck
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "gofmt would change:" >&2; echo "$$unformatted" >&2; exit 1; }
	$(GO) vet ./...
	GOARCH=arm GOARM=6 $(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

fmt: toolchain ## format all code
	gofmt -w .

# GOARCH, GOARM and the name's ending for each board. Kernels that run 32-bit ARM have
# pages of 4 KiB, the newest Raspberry Pi's of 16: aligning to 64 is 80 KB of nothing.
BOARDS := arm:5:armv5 arm:6:armv6 arm:7:armv7 arm64::arm64 amd64::amd64

arm: toolchain ## stripped builds for ARMv5/6/7, arm64 and amd64, with their sizes
	@set -e; for b in $(BOARDS); do IFS=: read -r arch arm name <<<"$$b"; \
	  align=; [ $$arch != arm ] || align='-R 16384'; \
	  GOOS=linux GOARCH=$$arch GOARM=$$arm $(GO) build -trimpath $(SMALL) -ldflags "$(LDFLAGS) $$align" -o build/smgw-$$name ./cmd/smgw; \
	  printf '%-18s %10d bytes\n' build/smgw-$$name $$(stat -c %s build/smgw-$$name); done
	@size=$$(stat -c %s build/smgw-armv6); [ $$size -le 10000000 ] || { echo "build/smgw-armv6 has $$size bytes, more than the budget of 10,000,000" >&2; exit 1; }

qemu: toolchain ## the tests of sml, meter and buffer as real ARMv6 code
	@hack/need qemu-arm-static qemu-user-static
	GOOS=linux GOARCH=arm GOARM=6 $(GO) test -timeout 30m -exec qemu-arm-static ./sml/... ./meter/... ./buffer/...

interop: toolchain ## what is sent, read by other people's CBOR and COSE libraries (Node.js)
	@hack/need node nodejs
	@hack/need npm npm
	@set -e; tools=$$(mktemp -d); trap 'rm -rf "$$tools"' EXIT; \
	  cp hack/interop/{package.json,package-lock.json,.npmrc,cddl.mjs,check.mjs} "$$tools"; \
	  (cd "$$tools" && npm ci --ignore-scripts --omit=optional --no-audit --no-fund --loglevel=error); \
	  SMGW_INTEROP="$$tools" $(GO) test -count=1 -v -run '^TestOthersReadIt$$' ./meter/form/wire

STEPS ?= 10000
model: toolchain ## gateway, head-end, clock, line and faults at random: STEPS steps against a model (default 10000)
	AGENT_STEPS=$(STEPS) $(GO) test -count=1 -timeout 60m -v -run '^TestEverythingAtRandom$$' ./cmd/internal/agent

FUZZTIME ?= 1m
fuzz: toolchain ## every fuzz target for FUZZTIME (default 1m)
	@GO=$(GO) hack/fuzz $(FUZZTIME)

MINUTES ?= 30
soak: toolchain ## the long tests of faults for MINUTES (default 30), with a table at the end
	@hack/soak.sh $(MINUTES)

bench: toolchain ## all benchmarks; docs/measurements.md has the figures
	$(GO) test -run '^$$' -bench . -benchmem ./...

clean: ## remove what was built
	rm -rf build
