#!/usr/bin/env bash
# Starts the example: three etcd members and a Prometheus that scrapes them, in the folder ETCD_EXAMPLE_HOME.
# May be repeated: what runs already stays as it is.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
export ETCD_EXAMPLE_HOME=${ETCD_EXAMPLE_HOME:-$PWD/.plimsoll/etcd-example}
port=${ETCD_EXAMPLE_PROMETHEUS_PORT:-21890}
for program in etcd jq prometheus flock setsid; do
  command -v "$program" >/dev/null || {
    echo "up.sh: '$program' is missing; on Debian: apt-get install etcd-server jq prometheus util-linux" >&2
    exit 1
  }
done

mkdir -p "$ETCD_EXAMPLE_HOME"
cd "$ETCD_EXAMPLE_HOME"
[[ -e inventory ]] || cp "$here/inventory" inventory
# What the daemon needs; files of your own stay as they are. Policies come from `make policies`.
mkdir -p targets policies
[[ -e plimsoll.yaml ]] || cp "$here/plimsoll.yaml" plimsoll.yaml
[[ -e targets/etcd.yaml ]] || cp "$here/targets/etcd.yaml" targets/etcd.yaml
ln -sfn "$here/member" member
policy=$here/../../bin/policies/target-utilization.wasm
if [[ -e $policy ]]; then cp "$policy" policies/; fi
# A cluster is founded once. Later its members are started on the data that they have.
if compgen -G 'slots/*/data' >/dev/null; then
  for slot in slots/*; do "$here/member" start "${slot#slots/}"; done
else
  "$here/member" bootstrap 3
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
echo "folder:     $ETCD_EXAMPLE_HOME"
[[ -e policies/target-utilization.wasm ]] || echo "policy:     missing; run \`make policies\` and this again"
