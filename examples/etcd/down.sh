#!/usr/bin/env bash
# Stops everything that up.sh and the daemon started in ETCD_EXAMPLE_HOME. The data stays; delete the folder to
# begin anew.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
export ETCD_EXAMPLE_HOME=${ETCD_EXAMPLE_HOME:-$PWD/.plimsoll/etcd-example}
cd "$ETCD_EXAMPLE_HOME"
for slot in slots/*; do
  if [[ -d $slot ]]; then "$here/member" stop "${slot#slots/}"; fi
done
# Whoever holds the lock is the process in the file: an id that is used again by another program does not.
if [[ -e prometheus.lock ]] && ! flock --shared --nonblock prometheus.lock true; then
  kill "$(<prometheus.pid)"
  flock --timeout 20 prometheus.lock true || echo "down.sh: Prometheus does not end" >&2
fi
