# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
# What is missing (Wasm targets, Debian packages of the servers under test) is installed by scripts/setup.sh.

CARGO ?= cargo
NAME  ?= dev
TESTS  = CARGO='$(CARGO)' scripts/run-tests.sh
# All at once: a build of one package chooses other features of what it shares with the rest, and builds that twice.
BUILD  = $(CARGO) build --locked --workspace --all-targets
# The two together choose the features of the whole workspace, so that `make test` after `make demo` builds nothing twice.
PROGRAMS = $(CARGO) build --locked -p plimsoll -p plimsoll-componentize
# The simulator and nothing of Kubernetes or of a data system's client; `plimsoll-unified` keeps the large dependencies the
# same as in a build of everything, so that `make test` after `make demo` does not build them a second time.
DEMO     = $(CARGO) build --locked -p plimsoll -p plimsoll-unified --no-default-features

LINT = set -e; $(CARGO) fmt --all --check; $(CARGO) clippy --locked --workspace --all-targets -- -D warnings; \
	$(CARGO) clippy --locked -p plimsoll -p plimsoll-unified --no-default-features -- -D warnings

# Kubernetes and Helm are built beside Rust, whose last steps leave a core idle; then what is named, and all that is tested.
beside = set -e; \
	{ tests/cluster/tools.sh && tests/cluster/helm.sh; } >/dev/null & tools=$$!; \
	trap 'kill $$tools 2>/dev/null || true' EXIT; \
	$(BUILD); scripts/build-policies.sh; $(1); \
	wait $$tools; trap - EXIT

.PHONY: demo test test-long bench policies install-plugin lint build clean cluster-up cluster-down

## The whole loop on the built-in simulator, in under a minute after the build. The program that it builds has no other
## system: `make build` makes the whole one.
demo: .setup-demo
	@echo 'Building the demo. The first time takes about 12 minutes of processor time, half of that on two idle cores; Cargo shows how far it is.'
	$(DEMO)
	DEMO=1 scripts/build-policies.sh
	target/debug/plimsoll demo

## Everything, with a short sample of every long run.
test: .setup-test
	@$(call beside, $(LINT); scripts/build-python-policy.sh)
	$(TESTS)

## The long form of soaks, fault runs, properties and kills: hours rather than minutes. Properties draw anew each time, and
## the seed is printed.
CASES ?= 300000
test-long: .setup-test
	@$(call beside, LONG=1 scripts/build-python-policy.sh)
	@seed=$$(od -An -N6 -tu8 /dev/urandom | tr -d ' '); \
	echo "what the properties draw: PROPTEST_RNG_SEED=$$seed PROPTEST_CASES=$(CASES)"; \
	PROPTEST_RNG_SEED=$$seed PROPTEST_CASES=$(CASES) PLIMSOLL_LONG=1 PLIMSOLL_SEEDS=500 SEEDS=500 $(TESTS)

## Figures, printed and never asserted. In the profile of the tests, which is built anyway, and in which the core, the
## simulator and every dependency are optimised. `make bench PROFILE=release` for what is shipped.
PROFILE ?= dev
BUILT    = target/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))
bench: .setup-build
	$(BUILD) --profile $(PROFILE)
	scripts/build-policies.sh
	$(BUILT)/examples/policy_bench bin/policies/hold.wasm bin/policies/target-utilization.wasm bin/policies/target-utilization.component.wasm
	$(BUILT)/bench_core
	$(BUILT)/bench_audit
	$(BUILT)/bench_decisions

## The shipped policies and the Go example, into bin/policies.
policies: .setup-build
	scripts/build-policies.sh

## `kubectl plimsoll`: the same program under the name by which kubectl finds it. BIN=... for another folder of the path.
BIN ?= $(HOME)/.local/bin
install-plugin: .setup-build
	$(CARGO) build --locked --release -p plimsoll
	install -D -m 0755 target/release/plimsoll $(BIN)/kubectl-plimsoll

## A Kubernetes cluster on this machine for trying things out; NAME=... for several beside each other.
cluster-up: .setup-test
	tests/cluster/cluster up $(NAME)
cluster-down:
	tests/cluster/cluster down $(NAME)

lint:
	$(LINT)

build:
	$(PROGRAMS)

clean:
	$(CARGO) clean
	rm -rf bin

# Run every time: each looks first and does nothing when nothing is missing.
.PHONY: .setup-demo .setup-build .setup-test
.setup-demo:
	scripts/setup.sh demo
.setup-build:
	scripts/setup.sh build
.setup-test:
	scripts/setup.sh test
