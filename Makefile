# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
# What is missing (Wasm targets, Debian packages of the servers under test) is installed by scripts/setup.sh.

CARGO ?= cargo
TESTS  = $(CARGO) test --locked --workspace --no-fail-fast

.PHONY: demo test test-long bench policies lint build clean

## The whole loop on the built-in simulator, in under a minute after the build.
demo: .setup-build
	$(CARGO) build --locked -p plimsoll
	scripts/build-policies.sh
	target/debug/plimsoll demo

## Everything, with a short sample of every long run.
test: .setup-test lint
	$(CARGO) build --locked -p plimsoll
	scripts/build-policies.sh
	$(TESTS)

## The long form of soaks, fault runs and kills: hours rather than minutes.
test-long: .setup-test
	$(CARGO) build --locked -p plimsoll
	scripts/build-policies.sh
	PLIMSOLL_LONG=1 PLIMSOLL_SEEDS=500 SEEDS=500 $(TESTS)

## Figures, printed and never asserted.
bench: .setup-build
	$(CARGO) build --locked --release -p plimsoll
	scripts/build-policies.sh
	$(CARGO) run --locked --release -p plimsoll-tests --example policy_bench -- bin/policies/hold.wasm bin/policies/target-utilization.wasm bin/policies/target-utilization.component.wasm
	$(CARGO) run --locked --release -p plimsoll-tests --bin bench_core
	$(CARGO) run --locked --release -p plimsoll-tests --bin bench_audit

## The shipped policies and the Go example, into bin/policies.
policies: .setup-build
	scripts/build-policies.sh

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

build:
	$(CARGO) build --locked -p plimsoll

clean:
	$(CARGO) clean
	rm -rf bin

# Run every time: each looks first and does nothing when nothing is missing.
.PHONY: .setup-build .setup-test
.setup-build:
	scripts/setup.sh build
.setup-test:
	scripts/setup.sh test
