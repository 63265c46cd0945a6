#!/usr/bin/env bash
# Starts the example: a PostgreSQL primary, a synchronous standby and a Prometheus that scrapes them, in the folder
# POSTGRES_EXAMPLE_HOME. May be repeated: what runs already stays as it is.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
home=${POSTGRES_EXAMPLE_HOME:-$PWD/.plimsoll/postgres-example}
port=${POSTGRES_EXAMPLE_PROMETHEUS_PORT:-21590}
export POSTGRES_EXAMPLE_HOME=$home
. "$here/../one-machine.sh"

need "postgresql jq prometheus prometheus-postgres-exporter util-linux" \
  jq prometheus prometheus-postgres-exporter flock setsid
bin=${POSTGRES_EXAMPLE_BIN:-$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)}
[[ -x $bin/postgres ]] || {
  echo "up.sh: PostgreSQL is missing; on Debian: apt-get install postgresql, elsewhere POSTGRES_EXAMPLE_BIN names its programs" >&2
  exit 1
}

mkdir -p "$home"
cd "$home"
# PostgreSQL does not run as root, and its own user has to reach the folder.
if [[ $(id -u) == 0 ]] && ! setpriv --reuid postgres --regid postgres --init-groups test -x "$home"; then
  echo "up.sh: the user postgres may not enter $home; let POSTGRES_EXAMPLE_HOME name a folder that it may, such as /var/tmp/postgres-example" >&2
  exit 1
fi
move_in postgres
start_members 2
start_prometheus
show_places
