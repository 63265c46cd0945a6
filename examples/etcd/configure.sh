#!/usr/bin/env bash
# Writes what Plimsoll needs to look after the example: a daemon's file, one target's document, and the shipped policies
# (`make policies` builds them). `configure.sh enforce` lets it act; without a word it is a dry run.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
mode=${1:-dryrun}
home=${ETCD_EXAMPLE_HOME:-$PWD/.plimsoll/etcd-example}
port=${ETCD_EXAMPLE_PROMETHEUS_PORT:-21890}
modules=$here/../../bin/policies
[[ -e $modules/target-utilization.wasm ]] || { echo "configure.sh: run \`make policies\` first" >&2; exit 1; }

mkdir -p "$home/plimsoll/policies" "$home/plimsoll/targets" "$home/plimsoll/state"
cd "$home/plimsoll"
cp "$modules/target-utilization.wasm" policies/

command() { printf '[/usr/bin/env, "ETCD_EXAMPLE_HOME=%s", "%s/member", %s]' "$home" "$here" "$1"; }

cat >plimsoll.yaml <<YAML
apiVersion: plimsoll.dev/v1alpha1
kind: DaemonConfig
interval: 2s
sources:
  local: {kind: prometheus, url: "http://127.0.0.1:$port"}
platforms:
  local:
    kind: exec
    list: {command: $(command list), timeout: 10s}
    add: {command: $(command add), timeout: 30s}
    remove: {command: $(command remove), timeout: 30s}
    workingDirectory: "$home"
systems:
  local: {kind: etcd}
YAML

# The waits are as short as they may be, so that there is something to see: leave `behavior` and `safety` out where data
# matters.
cat >targets/etcd.yaml <<YAML
apiVersion: plimsoll.dev/v1alpha1
kind: StatefulAutoscaler
metadata: {name: etcd}
spec:
  targetRef: {apiVersion: plimsoll.dev/v1alpha1, kind: Exec, name: local}
  system: {kind: etcd, ref: local}
  minReplicas: 3
  maxReplicas: 5
  mode: $mode
  policies:
    - name: load
      module: target-utilization.wasm
      settings: {signal: writes, target: 40, type: AverageValue, window: 5s}
  signals:
    - {name: writes, source: local, query: 'max(rate(etcd_mvcc_put_total[5s]))', window: 10s, step: 1s, maxAge: 5s, coverage: 50%}
  behavior:
    scaleUp: {stabilizationWindowSeconds: 0, policies: [{type: Members, value: 4, periodSeconds: 1}]}
    scaleDown: {stabilizationWindowSeconds: 0, policies: [{type: Members, value: 4, periodSeconds: 1}]}
  safety: {hold: 1s, warmup: 1s, leaderStable: 1s, leaderQuiet: 1s, cooldownIn: 1s, cooldownOut: 1s,
           reverse: 1s, sustain: 1s, fraction: 100%}
YAML
echo "plimsoll run --config $home/plimsoll/plimsoll.yaml"
