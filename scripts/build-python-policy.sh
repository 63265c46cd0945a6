#!/bin/sh
# Builds examples/policy-python into bin/guests/per-member-python.wasm: 18 MB with the interpreter inside.
# The tool is installed once, into a folder of its own in the user's cache. Where it cannot be had, the file beside says
# why, and the test that needs it says so; `LONG=1` makes that an error.
set -eu
cd "$(dirname "$0")/.."

version=0.25.1
tool=${XDG_CACHE_HOME:-$HOME/.cache}/plimsoll/componentize-py-$version
source=examples/policy-python
out=bin/guests/per-member-python.wasm

say() { printf '%s\n' "build-python-policy: $*"; }
leave_out() {
    say "leaving it out: $1"
    printf '%s\n' "$1" >"$out.left-out"
    [ "${LONG:-}" = 1 ] && exit 1
    exit 0
}

mkdir -p bin/guests
# By what it is made of, not by times: a checkout has the time of the checkout.
digest=$(cat "$0" "$source/app.py" policy-sdk/wit/policy.wit | sha256sum | cut -d' ' -f1)
[ -s "$out" ] && [ "$(cat "$out.made-of" 2>/dev/null)" = "$digest" ] && exit 0
rm -f "$out" "$out.left-out"

if [ ! -x "$tool/bin/componentize-py" ]; then
    command -v python3 >/dev/null 2>&1 || leave_out "there is no python3"
    say "installing componentize-py $version"
    log=$(mktemp)
    { python3 -m venv --clear "$tool" && "$tool/bin/pip" install --quiet --timeout 20 --retries 1 "componentize-py==$version"; } >"$log" 2>&1 \
        || { cat "$log" >&2; rm -rf "$log" "$tool"; leave_out "componentize-py $version could not be installed"; }
    rm -f "$log"
fi

# `--stub-wasi`: the interpreter asks for no system, so that the component imports the log alone.
(cd "$source" && "$tool/bin/componentize-py" -d ../../policy-sdk/wit -w policy componentize --stub-wasi app -o "../../$out.new") >/dev/null
mv "$out.new" "$out"
printf '%s\n' "$digest" >"$out.made-of"
say "$out ($(wc -c <"$out") bytes)"
