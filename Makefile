# What people type here: make help lists it.

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)
SUDO    := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
# A count: at the end of a time, Go sometimes fails a fuzzer that found nothing ("context deadline exceeded").
FUZZ    ?= 20000x
SYSTEMS := windows/amd64 windows/arm64 darwin/amd64 darwin/arm64 freebsd/amd64 freebsd/arm64 linux/arm64 linux/riscv64
# Not enumerations: those of other modules, the numbers of the wire, members that mark the ends of a range.
EXHAUSTIVE := -test=false -check switch,map -ignore-enum-types '^syscall\.|^github\.com/pelletier/|dhcp4\.OptionCode$$' -ignore-enum-members '\.(min|max)[A-Z]\w*$$|End$$'

.DEFAULT_GOAL := build
.PHONY: help build run demo test bench check lint unit fuzz lab docs clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s  %s\n", $$1, $$2 }' Makefile

build: ## the binary, bin/pxesidecar
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.buildVersion=$(VERSION)" -o bin/pxesidecar ./cmd/pxesidecar

run: build ## serve on this machine; IFACE=eth0 chooses the interface
	go run ./internal/rom/installcommand | $(SUDO) sh -e
	$(SUDO) bin/pxesidecar serve $(if $(IFACE),--interface $(IFACE))

demo: build ## real firmware boots beside a real DHCP server, in private network namespaces
	$(SUDO) env "PATH=$$PATH" go run ./test/demo

test: check unit fuzz lab ## every test; installs what they need

check: lint ## formatting, vet, lint, other systems
	@test -z "$$(gofmt -l .)" || { echo "not gofmt'ed:"; gofmt -l .; exit 1; }
	go mod tidy -diff
	go vet ./...
	@for system in $(SYSTEMS); do \
	  echo "vet $$system"; \
	  CGO_ENABLED=0 GOOS=$${system%/*} GOARCH=$${system#*/} go vet ./cmd/... ./proxydhcp/... ./tftp ./config || exit 1; \
	done

lint: ## staticcheck, exhaustive switches, comments, exported names that nobody uses
	go tool staticcheck ./...
	go tool exhaustive $(EXHAUSTIVE) ./...
	go run ./internal/tools/comments .
	go run ./internal/tools/exports ./internal/...

unit: ## tests of single packages, with the race detector, and every benchmark once
	go run ./internal/rom/installcommand | $(SUDO) sh -e
	go test -race $$(go list ./... | grep -v /test)
	go test -run '^$$' -bench . -benchtime 1x ./proxydhcp/... ./tftp

fuzz: ## every fuzzer for a while (FUZZ=1m for longer)
	@for package in $$(go list ./... | grep -v /test); do \
	  for target in $$(go test -list '^Fuzz' $$package | grep ^Fuzz); do \
	    echo "$$package $$target"; \
	    go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZ) $$package || exit 1; \
	  done; \
	done

lab: ## real DHCP servers, real firmware, and the documents, in network namespaces
	go test -p 1 -count 1 -timeout 20m ./test/...

docs: ## the documents alone: every command, configuration and log line in them
	go test -count 1 ./test/docs

bench: ## benchmarks, and the peers side by side (ARGS=-quick for two minutes of it)
	go test -run '^$$' -bench . -benchmem ./proxydhcp/... ./tftp
	$(SUDO) env "PATH=$$PATH" go run ./test/bench $(ARGS)

clean: ## remove what was built and measured
	rm -rf bin out
