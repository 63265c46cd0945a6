#!/usr/bin/env bash
# Stops everything that up.sh and the daemon started in REDIS_EXAMPLE_HOME. The data stays; delete the folder to
# begin anew.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
export REDIS_EXAMPLE_HOME=${REDIS_EXAMPLE_HOME:-$PWD/.plimsoll/redis-example}
. "$here/../one-machine.sh"

cd "$REDIS_EXAMPLE_HOME"
for slot in slots/*; do
  if [[ -d $slot/data ]]; then "$here/member" stop "${slot#slots/}"; fi
done
stop_prometheus
