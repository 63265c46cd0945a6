#!/usr/bin/env bash
# Starts the example: a PostgreSQL primary, a synchronous standby and a Prometheus that scrapes them, in the folder
# POSTGRES_EXAMPLE_HOME. May be repeated: what runs already stays as it is.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
export POSTGRES_EXAMPLE_HOME=${POSTGRES_EXAMPLE_HOME:-$PWD/.plimsoll/postgres-example}
port=${POSTGRES_EXAMPLE_PROMETHEUS_PORT:-21590}
for program in jq prometheus prometheus-postgres-exporter flock setsid; do
  command -v "$program" >/dev/null || {
    echo "up.sh: '$program' is missing; on Debian: apt-get install postgresql jq prometheus prometheus-postgres-exporter util-linux" >&2
    exit 1
  }
done
bin=${POSTGRES_EXAMPLE_BIN:-$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)}
[[ -x $bin/postgres ]] || {
  echo "up.sh: PostgreSQL is missing; on Debian: apt-get install postgresql, elsewhere POSTGRES_EXAMPLE_BIN names its programs" >&2
  exit 1
}

mkdir -p "$POSTGRES_EXAMPLE_HOME"
cd "$POSTGRES_EXAMPLE_HOME"
# PostgreSQL does not run as root, and its own user has to reach the folder.
if [[ $(id -u) == 0 ]] && ! setpriv --reuid postgres --regid postgres --init-groups test -x "$POSTGRES_EXAMPLE_HOME"; then
  echo "up.sh: the user postgres may not enter $POSTGRES_EXAMPLE_HOME; let POSTGRES_EXAMPLE_HOME name a folder that it may, such as /var/tmp/postgres-example" >&2
  exit 1
fi
[[ -e inventory ]] || cp "$here/inventory" inventory
# What the daemon needs; files of your own stay as they are. Policies come from `make policies`.
mkdir -p targets policies
[[ -e plimsoll.yaml ]] || cp "$here/plimsoll.yaml" plimsoll.yaml
[[ -e targets/postgres.yaml ]] || cp "$here/targets/postgres.yaml" targets/postgres.yaml
ln -sfn "$here/member" member
policy=$here/../../bin/policies/target-utilization.wasm
if [[ -e $policy ]]; then cp "$policy" policies/; fi
# A cluster is founded once. Later its members are started on the data that they have.
if compgen -G 'slots/*/data' >/dev/null; then
  for slot in slots/*; do "$here/member" start "${slot#slots/}"; done
else
  "$here/member" bootstrap 2
fi

if ! { exec 7>>prometheus.lock && flock --shared --nonblock 7; }; then
  echo "Prometheus runs already"
else
  exec 7>&-
  cp "$here/prometheus.yml" prometheus.yml
  setsid --fork bash -c '
    exec 8>>prometheus.lock
    flock --timeout 2 8 || exit 0
    printf "%s\n" "$$" >prometheus.pid
    exec "$@"' launch \
    prometheus --config.file=prometheus.yml --storage.tsdb.path=prometheus \
    --web.listen-address="127.0.0.1:$port" </dev/null >>prometheus.log 2>&1
fi

echo "members:    $("$here/member" list | jq -r '[.members[] | "\(.slot) \(.endpoints.client)"] | join(", ")')"
echo "Prometheus: http://127.0.0.1:$port"
echo "folder:     $POSTGRES_EXAMPLE_HOME"
[[ -e policies/target-utilization.wasm ]] || echo "policy:     missing; run \`make policies\` and this again"
