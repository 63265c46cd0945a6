#!/usr/bin/env bash
# Packs the images of the test cluster into the folder that is named: there is no registry to pull from. Made of
# this machine's own Debian packages.
#   plimsoll.test/sandbox:1   what holds a pod's namespaces
#   plimsoll.test/busybox:1   a shell with small programs
#   plimsoll.test/etcd:3.4    etcd, etcdctl and a shell
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
out=${1:?is the folder for the images}

# What tests' commands use; each is a link, and all of Debian's 269 would take seconds.
applets=(awk cat chmod chown cp cut date dd df echo env false grep head hostname httpd id ip kill ln ls md5sum mkdir mv nc
  nslookup ping printf ps pwd rm sed seq sh sha256sum sleep sort stat tail tar tee test timeout touch true uname wc wget)
shell=(--add /bin/busybox --folder /etc)
for applet in "${applets[@]}"; do shell+=(--link "busybox:/bin/$applet"); done

scripts/pack-image.sh --out "$out/sandbox.tar" --name plimsoll.test/sandbox:1 --user 65535:65535 \
  --add /bin/busybox --entrypoint /bin/busybox --entrypoint sleep --entrypoint 2147483647
scripts/pack-image.sh --out "$out/busybox.tar" --name plimsoll.test/busybox:1 "${shell[@]}"
scripts/pack-image.sh --out "$out/etcd.tar" --name plimsoll.test/etcd:3.4 "${shell[@]}" \
  --add "$(command -v etcd):/usr/bin/etcd" --add "$(command -v etcdctl):/usr/bin/etcdctl"
