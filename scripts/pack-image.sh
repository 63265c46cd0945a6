#!/usr/bin/env bash
# Packs files into a container image without a container engine: an OCI layout in one tar, which
# `ctr images import`, `kind load image-archive`, `podman load` and `skopeo copy oci-archive:` read.
#
#   pack-image.sh --out FILE.tar --name NAME:TAG [--user UID:GID] [--entrypoint WORD]... [--env NAME=VALUE]...
#                 [--add SOURCE[:PATH]]... [--link TARGET:PATH]... [--folder PATH[:MODE]]...
#
# --add puts a file where it lies here, or at PATH; a program brings along the shared libraries that it is linked
# with. The same files give the same bytes, hence the same digest, wherever and whenever they are packed.
set -euo pipefail

fail() {
  printf 'pack-image: %s\n' "$*" >&2
  exit 1
}

out='' name='' user=0:0
entrypoint=() environment=(PATH=/usr/local/bin:/usr/bin:/bin) links=() folders=(/tmp:1777)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir "$root/files" "$root/image"

# One file, with what it is linked with.
add() {
  local source=${1%%:*} path=${1#*:} library
  [[ -f $source ]] || fail "there is no file $source"
  install -D -m "$([[ -x $source ]] && echo 0755 || echo 0644)" "$source" "$root/files$path"
  # `ldd` fails on what is not dynamic, which is as good.
  for library in $(ldd "$source" 2>/dev/null | grep -o '/[^ ]*' || true); do
    install -D -m 0755 "$library" "$root/files$library"
  done
}

while (($#)); do
  (($# > 1)) || fail "$1 needs a value"
  case $1 in
    --out) out=$2 ;;
    --name) name=$2 ;;
    --user) user=$2 ;;
    --entrypoint) entrypoint+=("$2") ;;
    --env) environment+=("$2") ;;
    --add) add "$2" ;;
    --link) links+=("$2") ;;
    --folder) folders+=("$2") ;;
    *) fail "unknown argument $1" ;;
  esac
  shift 2
done
[[ -n $out && -n $name ]] || fail "--out and --name are needed"
command -v jq >/dev/null || fail "there is no jq; on Debian: apt-get install jq"
case $(uname -m) in
  x86_64) architecture=amd64 ;;
  aarch64) architecture=arm64 ;;
  *) fail "no name for the architecture $(uname -m) is known" ;;
esac

for folder in "${folders[@]}"; do
  mode=${folder#*:}
  mkdir -p "$root/files${folder%%:*}"
  [[ $mode == "$folder" ]] || chmod "$mode" "$root/files${folder%%:*}"
done
for link in ${links[@]+"${links[@]}"}; do
  mkdir -p "$(dirname "$root/files${link#*:}")"
  ln -sf "${link%%:*}" "$root/files${link#*:}"
done

# Moves a file among the image's blobs and prints its digest.
blob() {
  local digest
  digest=$(sha256sum "$1" | cut -d ' ' -f 1)
  mkdir -p "$root/image/blobs/sha256"
  mv "$1" "$root/image/blobs/sha256/$digest"
  printf '%s' "$digest"
}
size() { stat -c %s "$root/image/blobs/sha256/$1"; }
pack() { tar --create --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=gnu "$@"; }

pack --file "$root/layer" --directory "$root/files" .
layer=$(blob "$root/layer")
jq -cn --arg layer "sha256:$layer" --arg user "$user" --arg architecture "$architecture" '
  ($ARGS.positional | index("--")) as $split |
  { architecture: $architecture, os: "linux",
    config: { User: $user, Env: $ARGS.positional[:$split], Entrypoint: $ARGS.positional[$split + 1:], WorkingDir: "/" },
    rootfs: { type: "layers", diff_ids: [$layer] } }' \
  --args -- "${environment[@]}" -- ${entrypoint[@]+"${entrypoint[@]}"} >"$root/config"
config=$(blob "$root/config")
jq -cn --arg layer "sha256:$layer" --arg config "sha256:$config" \
  --argjson layerSize "$(size "$layer")" --argjson configSize "$(size "$config")" '
  { schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: $config, size: $configSize },
    layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar", digest: $layer, size: $layerSize }] }' \
  >"$root/manifest"
manifest=$(blob "$root/manifest")
# containerd takes the whole name, other programs the tag alone.
jq -cn --arg manifest "sha256:$manifest" --argjson size "$(size "$manifest")" --arg name "$name" '
  { schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [{ mediaType: "application/vnd.oci.image.manifest.v1+json", digest: $manifest, size: $size,
      annotations: { "io.containerd.image.name": $name, "org.opencontainers.image.ref.name": $name } }] }' \
  >"$root/image/index.json"
printf '{"imageLayoutVersion":"1.0.0"}' >"$root/image/oci-layout"
mkdir -p "$(dirname "$out")"
pack --file "$out.new" --directory "$root/image" .
mv "$out.new" "$out"
printf 'pack-image: %s %s sha256:%s (%s bytes)\n' "$out" "$name" "$manifest" "$(stat -c %s "$out")" >&2
