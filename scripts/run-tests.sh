#!/bin/sh
# Runs every test, in two rows beside each other: the programs that have a Kubernetes cluster mostly wait for it. Each row's
# pattern is the other's complement, so that no program is in none.
set -eu
cd "$(dirname "$0")/.."

run() { "${CARGO:-cargo}" test --locked --workspace --no-fail-fast "$@"; }

run --no-run

log=$(mktemp "${TMPDIR:-/tmp}/plimsoll-clusters.XXXXXX")
run --test 'k*' >"$log" 2>&1 &
clusters=$!
trap 'kill $clusters 2>/dev/null || true; rm -f "$log"' EXIT
trap 'exit 130' INT TERM

status=0
run --lib --bins --test '[!k]*' || status=$?
run --doc || status=$?

echo 'Waiting for the programs with a cluster.'
wait $clusters || status=$?
cat "$log"
exit $status
