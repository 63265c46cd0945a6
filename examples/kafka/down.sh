#!/usr/bin/env bash
# Stops everything that up.sh started in KAFKA_EXAMPLE_HOME. The data stays; delete the folder to begin anew.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
export KAFKA_EXAMPLE_HOME=${KAFKA_EXAMPLE_HOME:-$PWD/.plimsoll/kafka-example}

cd "$KAFKA_EXAMPLE_HOME"
# The controller last: a broker that finds none waits for it before it ends.
for slot in slots/k*; do
  if [[ -d $slot/data ]]; then "$here/member" stop "${slot#slots/}"; fi
done
if [[ -d slots/controller/data ]]; then "$here/member" stop controller; fi
