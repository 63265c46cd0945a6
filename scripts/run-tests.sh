#!/bin/sh
# Runs every test, in two rows beside each other: the programs that have a Kubernetes cluster mostly wait for it. Each row's
# pattern is the other's complement, so that no program is in none.
set -eu
cd "$(dirname "$0")/.."

tests="${CARGO:-cargo} test --locked --workspace --no-fail-fast"

$tests --no-run

# A group of its own, so that all of it ends with us.
log=$(mktemp "${TMPDIR:-/tmp}/plimsoll-clusters.XXXXXX")
setsid $tests --test 'k*' >"$log" 2>&1 &
clusters=$!
trap 'kill -- -$clusters 2>/dev/null || true; rm -f "$log"' EXIT
trap 'exit 130' INT TERM

status=0
$tests --lib --bins --test '[!k]*' || status=$?
$tests --doc || status=$?

echo 'Waiting for the programs with a cluster.'
wait $clusters || status=$?
cat "$log"
exit $status
