#!/bin/sh
# Installs what the demo (`setup.sh demo`), a build (`build`) or the tests (`test`) need and this machine does not have.
# Looks first: on a machine that has everything it does nothing and asks nobody.
set -eu
cd "$(dirname "$0")/.."

what=${1:-build}
say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

missing=
need() { # program or file, Debian package
    case $1 in
        /*) [ -e "$1" ] && return 0 ;;
        *) command -v "$1" >/dev/null 2>&1 && return 0 ;;
    esac
    missing="$missing $2"
}

need cc gcc
if [ "$what" != demo ]; then
    # protoc and its own .proto files compile etcd's interface.
    need protoc protobuf-compiler
    need /usr/include/google/protobuf/descriptor.proto libprotobuf-dev
fi
if [ "$what" = test ]; then
    need etcd etcd-server
    # Its programs are not in the path: Debian keeps one set for each version.
    ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$missing postgresql"
    need prometheus-postgres-exporter prometheus-postgres-exporter
    # A cluster is made of its servers by the tests; `redis-cli` comes with it.
    need redis-server redis-server
    need prometheus-redis-exporter prometheus-redis-exporter
    # Kafka has no package of Debian's: scripts/kafka.sh fetches its jars with Maven.
    need java openjdk-17-jre-headless
    need mvn maven
    need prometheus prometheus
    need jq jq
    need openssl openssl
    need setsid util-linux
    # For a policy with an interpreter inside. Debian's python3 comes without what makes virtual environments.
    need python3 python3
    python3 -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
    # The test cluster: containers without a container engine, and what their images are made of.
    need containerd containerd
    need runc runc
    need /usr/lib/cni/bridge containernetworking-plugins
    need /bin/busybox busybox-static
    need etcdctl etcd-client
    need ip iproute2
fi

if [ -n "$missing" ]; then
    command -v apt-get >/dev/null 2>&1 || fail "please install:$missing (Debian's names)"
    run=
    [ "$(id -u)" = 0 ] || run=sudo
    say "installing$missing"
    $run apt-get update -qq
    # Servers are started by the tests, on ports of their own: none is to start by itself.
    policy=/usr/sbin/policy-rc.d
    [ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' | $run tee "$policy" >/dev/null; $run chmod +x "$policy"; own=yes; }
    # Debian's PostgreSQL would found a cluster of its own, which starts with the machine.
    case $missing in
        *postgresql*)
            $run mkdir -p /etc/postgresql-common/createcluster.d
            echo 'create_main_cluster = false' | $run tee /etc/postgresql-common/createcluster.d/plimsoll.conf >/dev/null
            ;;
    esac
    # shellcheck disable=SC2086  # a list of packages
    DEBIAN_FRONTEND=noninteractive $run apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $missing >/tmp/plimsoll-setup.log 2>&1 \
        || { tail -20 /tmp/plimsoll-setup.log >&2; fail "apt-get failed"; }
    [ "${own:-}" = yes ] && $run rm -f "$policy"
fi

command -v cargo >/dev/null 2>&1 || fail "there is no cargo; install Rust 1.95 or later from https://rustup.rs"
targets=wasm32-wasip1
[ "$what" = demo ] || targets="$targets wasm32-wasip2 wasm32-unknown-unknown"
[ "$what" = demo ] || command -v go >/dev/null 2>&1 || say "there is no go: the example policy in Go and the test cluster's Kubernetes are not built, and the tests that need them fail"
for target in $targets; do
    [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ] && continue
    command -v rustup >/dev/null 2>&1 || fail "the Rust target $target is missing and there is no rustup to add it"
    say "adding the Rust target $target"
    rustup target add "$target"
done
