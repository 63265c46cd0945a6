#!/bin/sh
# Builds the shipped policies and the Go twin into bin/policies:
#   NAME.wasm            a WASI program (wasm32-wasip1)
#   NAME.component.wasm  a component without WASI (wasm32-unknown-unknown, wrapped)
# and the guests of the tests into bin/guests, in the same forms; `surroundings` is a component with WASI (wasm32-wasip2).
# Quick when nothing changed: cargo and go keep their own caches, and a file is replaced only by other bytes, so
# that nobody who watches the folder is woken for nothing.
#
# CARGO names another cargo, CARGO_TARGET_DIR another build folder, POLICIES some policies only. With DEMO=1 only the
# program is built that the demo runs.
set -eu
cd "$(dirname "$0")/.."

cargo=${CARGO:-cargo}
build=${CARGO_TARGET_DIR:-target}
out=bin/policies
guests=bin/guests
policies=${POLICIES:-$(for manifest in policies/*/Cargo.toml; do basename "$(dirname "$manifest")"; done)}

say() { printf '%s\n' "build-policies: $*"; }
fail() { printf '%s\n' "build-policies: $*" >&2; exit 1; }

# A target is there when its standard library is; rustup is asked only when it is not.
has_target() { [ -d "$(rustc --print sysroot)/lib/rustlib/$1/lib" ]; }
need_target() {
    has_target "$1" && return 0
    command -v rustup >/dev/null 2>&1 || fail "the Rust target $1 is missing, and there is no rustup to add it.
  Install rustup from https://rustup.rs, or your distribution's package of Rust's Wasm targets in the version
  of its compiler ($(rustc --version)); on Debian: apt-get install libstd-rust-dev-wasm32."
    say "adding the Rust target $1"
    rustup target add "$1" || fail "rustup could not add the target $1; try: rustup target add $1"
}

# Copies when the bytes differ, whole or not at all.
place() {
    cmp -s "$1" "$2" && return 0
    cp "$1" "$2.new" && mv "$2.new" "$2"
    say "$2 ($(wc -c <"$2") bytes)"
}

command -v rustc >/dev/null 2>&1 || fail "there is no rustc; install it from https://rustup.rs"
need_target wasm32-wasip1
if [ "${DEMO:-}" = 1 ]; then
    mkdir -p "$out"
    policy=target-utilization
    "$cargo" build --locked --profile policy --target wasm32-wasip1 --bin "$policy" -p "plimsoll-policy-$policy"
    place "$build/wasm32-wasip1/policy/$policy.wasm" "$out/$policy.wasm"
    exit 0
fi
need_target wasm32-unknown-unknown
need_target wasm32-wasip2
mkdir -p "$out" "$guests"

packages="-p plimsoll-guest-echo"
for policy in $policies; do packages="$packages -p plimsoll-policy-$policy"; done

# shellcheck disable=SC2086  # a list of arguments
"$cargo" build --locked --quiet --profile policy --target wasm32-wasip1 --bins $packages
# shellcheck disable=SC2086
"$cargo" build --locked --quiet --profile policy --target wasm32-unknown-unknown --lib $packages
"$cargo" build --locked --quiet --profile policy --target wasm32-wasip2 --lib -p plimsoll-guest-surroundings
# With the daemon, so that what the two share is built once: alone it would choose other features.
"$cargo" build --locked --quiet -p plimsoll -p plimsoll-componentize

# Places the program NAME and the component that is wrapped around the library CRATE.
both() {
    place "$build/wasm32-wasip1/policy/$1.wasm" "$3/$1.wasm"
    core="$build/wasm32-unknown-unknown/policy/$2.wasm"
    "$build/debug/plimsoll-componentize" "$core" "${core%.wasm}.component"
    place "${core%.wasm}.component" "$3/$1.component.wasm"
}
for policy in $policies; do
    both "$policy" "plimsoll_policy_$(printf %s "$policy" | tr - _)" "$out"
done
both echo plimsoll_guest_echo "$guests"
place "$build/wasm32-wasip2/policy/plimsoll_guest_surroundings.wasm" "$guests/surroundings.component.wasm"

if command -v go >/dev/null 2>&1; then
    twin=$PWD/$build/target-utilization-go.wasm
    case $build in /*) twin=$build/target-utilization-go.wasm ;; esac
    # Without paths, build ids and symbols the same sources give the same bytes everywhere.
    (cd examples/policy-go && GOOS=wasip1 GOARCH=wasm CGO_ENABLED=0 \
        go build -trimpath -buildvcs=false -ldflags='-s -w -buildid=' -o "$twin" .)
    place "$twin" "$out/target-utilization-go.wasm"
else
    say "no Go compiler found: leaving out the example in Go (Go 1.22 or newer, https://go.dev/dl)"
fi
