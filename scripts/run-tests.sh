#!/bin/sh
# Runs every test, in two rows beside each other: the programs that have a Kubernetes cluster mostly wait for it. The
# patterns together match every name, so that no program is left out. What mostly computes gives way to the servers of
# the others: a member that is kept from the processor looks like one that is ill. At the end it prints what took longest.
set -eu
cd "$(dirname "$0")/.."

tests="${CARGO:-cargo} test --locked --workspace --no-fail-fast"

$tests --no-run

# A test program tells how long each of its tests took only when this variable is set. Cargo's runner sets it for the programs
# alone: set for everything, it would change what is built.
triple=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
export "CARGO_TARGET_${triple}_RUNNER=env RUSTC_BOOTSTRAP=1"
timed='-Z unstable-options --report-time'

logs=$(mktemp -d "${TMPDIR:-/tmp}/plimsoll-tests.XXXXXX")
# A group of its own, so that all of it ends with us.
setsid $tests --test 'k[!a]*' -- $timed >"$logs/clusters" 2>&1 &
clusters=$!
trap 'kill -- -$clusters 2>/dev/null || true; rm -rf "$logs"' EXIT
trap 'exit 130' INT TERM

# Shows the output of one row as it comes, and keeps it for the figures.
row() { # name, command...
    name=$1
    shift
    { code=0; "$@" || code=$?; echo "$code" >"$logs/$name.code"; } 2>&1 | tee "$logs/$name"
    [ "$(cat "$logs/$name.code")" = 0 ] || status=1
}

status=0
# shellcheck disable=SC2086  # lists of arguments
{
    row computing nice -n 5 $tests --lib --bins --test '[!ekp]*' --test 'p[!o]*' --test 'po[!s]*' -- $timed
    row servers $tests --test 'e*' --test 'ka*' --test 'pos*' -- $timed
    row documents $tests --doc
}

echo 'Waiting for the programs with a cluster.'
wait $clusters || status=$?
cat "$logs/clusters"

echo
echo 'The ten slowest programs, in seconds:'
awk '/^ *Running /{ program = $2 == "unittests" ? $3 " " $4 : $2 }
     /^test result: .* finished in /{ sub("s$", "", $NF); printf "%9.1f  %s\n", $NF, program }' "$logs"/* | sort -rn | head -10
echo 'The ten slowest tests, in seconds:'
awk '/^test .* <[0-9.]+s>$/{ gsub("[<>s]", "", $NF); printf "%9.1f  %s\n", $NF, $2 }' "$logs"/* | sort -rn | head -10
exit $status
