#!/usr/bin/env bash
# Stops everything that up.sh and the daemon started in POSTGRES_EXAMPLE_HOME. The data stays; delete the folder to
# begin anew.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
export POSTGRES_EXAMPLE_HOME=${POSTGRES_EXAMPLE_HOME:-$PWD/.plimsoll/postgres-example}
. "$here/../one-machine.sh"

cd "$POSTGRES_EXAMPLE_HOME"
# Standbys last: a primary that stops waits until they have everything.
for slot in slots/*; do
  if [[ -d $slot/data && ! -e $slot/data/standby.signal ]]; then "$here/member" stop "${slot#slots/}"; fi
done
for slot in slots/*; do
  if [[ -d $slot/data ]]; then "$here/member" stop "${slot#slots/}"; fi
done
stop_prometheus
