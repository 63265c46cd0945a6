#!/usr/bin/env bash
# Starts the example: a Redis Cluster of three masters with a replica each and a Prometheus that scrapes them, in the folder
# REDIS_EXAMPLE_HOME. May be repeated: what runs already stays as it is.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
home=${REDIS_EXAMPLE_HOME:-$PWD/.plimsoll/redis-example}
port=${REDIS_EXAMPLE_PROMETHEUS_PORT:-21690}
export REDIS_EXAMPLE_HOME=$home
. "$here/../one-machine.sh"

need "redis-server jq prometheus prometheus-redis-exporter util-linux" \
  redis-server redis-cli jq prometheus prometheus-redis-exporter flock setsid

mkdir -p "$home"
cd "$home"
move_in redis
start_members 3
start_prometheus
show_places
