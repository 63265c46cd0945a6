#!/usr/bin/env bash
# Builds Helm from the Go module `helm` and prints the folder that holds it.
#
# A module of its own beside `tools`: Helm asks for newer versions of libraries that the servers of Kubernetes are built
# with, and in one module it would raise them for the servers too, which would then no longer be what is released. As
# there, the folder is named after what it is made from, lies in the user's cache and is made once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/helm"

cache=${PLIMSOLL_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/plimsoll/cluster-tools}
say() { printf 'helm: %s\n' "$*" >&2; }
fail() {
  say "$*"
  exit 1
}

command -v go >/dev/null || fail "there is no go; install Go 1.24 or later from https://go.dev/dl"
version=$(sed -nE "s|^\s*helm.sh/helm/v3 (v[0-9.]+)( // indirect)?$|\1|p" go.mod)
[[ -n $version ]] || fail "go.mod requires no helm.sh/helm/v3"
key=$({
  go env GOVERSION GOARCH
  cat go.mod go.sum ../helm.sh documents/*.go
} | sha256sum | cut -c 1-16)
folder=$cache/helm-$version-$key

mkdir -p "$cache"
exec 9>"$cache/helm.lock"
flock 9
if [[ -e $folder/complete ]]; then
  # What is used stays; tools.sh takes away what was not for two weeks.
  touch "$folder/complete"
  printf '%s\n' "$folder"
  exit 0
fi

say "building $version into $folder (once; 3 minutes on two idle cores)"
export CGO_ENABLED=0 GOFLAGS=-buildvcs=false
rm -rf "$folder.new"
mkdir "$folder.new"
all=$(go list -deps tool ./... | wc -l)
# Which Kubernetes Helm takes for granted where it asks none: v1.N for its libraries' v0.N, as its own makefile does.
minor=$(sed -nE "s|^\s*k8s.io/client-go v0\.([0-9]+)\..*$|\1|p" go.mod)
assumed=''
for place in pkg/lint/rules pkg/chartutil; do
  assumed+=" -X helm.sh/helm/v3/$place.k8sVersionMajor=1 -X helm.sh/helm/v3/$place.k8sVersionMinor=$minor"
done
nice -n 5 go build -v -mod=readonly -trimpath -o "$folder.new/" \
  -ldflags "-s -w -X helm.sh/helm/v3/internal/version.version=$version$assumed" tool ./... \
  2>&1 | tee "$folder.new/build.log" |
  awk -v all="$all" '++done % 100 == 0 { printf "helm: %d of %d packages\n", done, all; fflush() }' >&2 ||
  { tail -n 20 "$folder.new/build.log" >&2 && fail "the build failed"; }
touch "$folder.new/complete"
mv -T "$folder.new" "$folder"
say "built $(du -sh "$folder" | cut -f 1)"
printf '%s\n' "$folder"
