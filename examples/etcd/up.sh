#!/usr/bin/env bash
# Starts the example: three etcd members and a Prometheus that scrapes them, in the folder ETCD_EXAMPLE_HOME.
# May be repeated: what runs already stays as it is.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
home=${ETCD_EXAMPLE_HOME:-$PWD/.plimsoll/etcd-example}
port=${ETCD_EXAMPLE_PROMETHEUS_PORT:-21890}
export ETCD_EXAMPLE_HOME=$home
. "$here/../one-machine.sh"

need "etcd-server jq prometheus util-linux" etcd jq prometheus flock setsid
mkdir -p "$home"
cd "$home"
move_in etcd
start_members 3
start_prometheus
show_places
