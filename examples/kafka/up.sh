#!/usr/bin/env bash
# Starts the example: a Kafka controller and three brokers, in the folder KAFKA_EXAMPLE_HOME. May be repeated: what runs
# already stays as it is.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
home=${KAFKA_EXAMPLE_HOME:-$PWD/.plimsoll/kafka-example}
export KAFKA_EXAMPLE_HOME=$home
. "$here/../one-machine.sh"

need "openjdk-17-jre-headless maven jq util-linux" java mvn jq flock setsid

mkdir -p "$home"
cd "$home"
move_in kafka
# The target's policy: it wishes for nothing.
hold=$here/../../bin/policies/hold.wasm
if [[ -e $hold ]]; then cp "$hold" policies/; fi
start_members 3
echo "brokers: $("$here/member" list | jq -r '[.members[] | "\(.slot) \(.endpoints.client)"] | join(", ")')"
echo "folder:  $home"
[[ -e policies/hold.wasm ]] || echo "policy:  missing; run \`make policies\` and this again"
