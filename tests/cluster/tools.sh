#!/usr/bin/env bash
# Builds the test cluster's programs from the Go module `tools` and prints the folder that holds them.
#
# The folder is named after everything that the programs are made from (module files, sources, this script, the
# compiler), so they are built again only when one of these changes. It lies in the user's cache and not in `target`:
# a cold build takes many minutes, and must outlive `cargo clean` and serve every checkout of this machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/tools"

cache=${PLIMSOLL_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/plimsoll/cluster-tools}
# Half a gigabyte that nobody used for so many days is taken away.
keep_days=14
say() { printf 'cluster tools: %s\n' "$*" >&2; }
fail() {
  say "$*"
  exit 1
}

command -v go >/dev/null || fail "there is no go; install Go 1.24 or later from https://go.dev/dl"
version=$(sed -nE "s|^\s*k8s.io/kubernetes (v[0-9.]+)( // indirect)?$|\1|p" go.mod)
[[ -n $version ]] || fail "go.mod requires no k8s.io/kubernetes"
key=$({
  go env GOVERSION GOARCH
  cat go.mod go.sum ../tools.sh
  find . -name '*.go' | LC_ALL=C sort | xargs cat
} | sha256sum | cut -c 1-16)
folder=$cache/$version-$key

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [[ -e $folder/complete ]]; then
  touch "$folder/complete"
  printf '%s\n' "$folder"
  exit 0
fi

say "building Kubernetes $version into $folder (once; 7 minutes on two idle cores)"
export CGO_ENABLED=0 GOFLAGS=-buildvcs=false
rm -rf "$folder.new"
mkdir "$folder.new"
# Downloads what is needed, too.
all=$(go list -deps tool ./... | wc -l)
IFS=. read -r major minor _ <<<"${version#v}"
stamp=k8s.io/component-base/version
# One command for all: what they share is compiled once. With -v each package that is compiled is a line.
nice -n 5 go build -v -mod=readonly -trimpath -o "$folder.new/" \
  -ldflags "-s -w -X $stamp.gitVersion=$version -X $stamp.gitMajor=$major -X $stamp.gitMinor=$minor" tool ./... \
  2>&1 | tee "$folder.new/build.log" |
  awk -v all="$all" '++done % 100 == 0 { printf "cluster tools: %d of %d packages\n", done, all; fflush() }' >&2 ||
  { tail -n 20 "$folder.new/build.log" >&2 && fail "the build failed"; }
touch "$folder.new/complete"
mv -T "$folder.new" "$folder"
find "$cache" -mindepth 2 -maxdepth 2 -name complete -mtime "+$keep_days" -printf '%h\n' | xargs -r rm -rf
say "built $(du -sh "$folder" | cut -f 1)"
printf '%s\n' "$folder"
