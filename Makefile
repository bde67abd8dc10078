# The few things done again and again. `go test -timeout 30m ./...` needs none of this.

.PHONY: build test race lint clients bench generate ci

build: ## one static binary, dist/keyward
	CGO_ENABLED=0 go build -trimpath -o dist/keyward ./cmd/keyward

test:
	go test -timeout 30m ./...

race:
	go test -race -timeout 30m ./...

lint: dist/staticcheck
	test -z "$$(gofmt -l . | tee /dev/stderr)"
	go vet ./...
	go vet -tags testdoor ./...
	dist/staticcheck ./...

dist/staticcheck: tools/go.mod
	go build -C tools -o ../dist/staticcheck honnef.co/go/tools/cmd/staticcheck

clients: dist/staticcheck ## sops, cosign, SDKs and others do their job on an installation; needs Node.js
	npm ci --prefix conformance/js --ignore-scripts --no-audit --no-fund
	go -C conformance/clients tool -n sops
	go -C conformance/clients tool -n cosign
	go -C conformance vet ./...
	cd conformance && ../dist/staticcheck ./...
	go -C conformance test -count=1 -timeout 10m ./...

bench: ## the ratios of docs/performance.md, measured here and now
	go test ./internal/bench -run '^$$' -bench . -benchtime 3s

generate:
	go generate ./...

ci:
	.ci/run
