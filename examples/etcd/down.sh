#!/usr/bin/env bash
# Stops everything that up.sh and the daemon started in ETCD_EXAMPLE_HOME. The data stays; delete the folder to
# begin anew.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
export ETCD_EXAMPLE_HOME=${ETCD_EXAMPLE_HOME:-$PWD/.plimsoll/etcd-example}
. "$here/../one-machine.sh"

cd "$ETCD_EXAMPLE_HOME"
for slot in slots/*; do
  if [[ -d $slot ]]; then "$here/member" stop "${slot#slots/}"; fi
done
stop_prometheus
