#!/usr/bin/env bash
# Packs the daemon's container image, an OCI layout in one tar: plimsoll-image.sh OUT.tar [BINARY [TAG]]
#
# In it are the binary with the few libraries that it is linked with (a static one brings none) and, in
# /usr/share/plimsoll/policies, the shipped policies: no shell, no package manager, nobody but one user without
# a name or rights. BINARY is target/release/plimsoll, built when it is not named; TAG is the version.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

out=${1:?is the file for the image}
binary=${2:-}
tag=${3:-$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)}
if [[ -z $binary ]]; then
  "${CARGO:-cargo}" build --locked --release -p plimsoll
  binary=${CARGO_TARGET_DIR:-target}/release/plimsoll
fi
files=(--add "$binary:/usr/bin/plimsoll")
for policy in bin/policies/*.wasm; do
  [[ -e $policy ]] || { echo "plimsoll-image: there are no policies in bin/policies; run: make policies" >&2 && exit 1; }
  # The example in Go does what target-utilization does, and takes half a gigabyte and most of a start to compile.
  [[ $policy != *-go.wasm ]] || continue
  files+=(--add "$policy:/usr/share/plimsoll/policies/${policy##*/}")
done
# 65532 is what images without a distribution call `nonroot`; a number, so that Kubernetes can tell that it is not root.
exec scripts/pack-image.sh --out "$out" --name "plimsoll.dev/plimsoll:$tag" --user 65532:65532 \
  "${files[@]}" --folder /etc/plimsoll --folder /var/lib/plimsoll --entrypoint /usr/bin/plimsoll
