#!/bin/sh
# Runs every test, in two rows beside each other: the programs that have a Kubernetes cluster mostly wait for it. The
# three patterns together match every name, so that no program is left out. What mostly computes gives way to the servers of
# the others: a member that is kept from the processor looks like one that is ill.
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
nice -n 5 $tests --lib --bins --test '[!ek]*' || status=$?
$tests --test 'e*' || status=$?
$tests --doc || status=$?

echo 'Waiting for the programs with a cluster.'
wait $clusters || status=$?
cat "$log"
exit $status
