#!/usr/bin/env bash
# Packs PostgreSQL for the test cluster into the file that is named, of this machine's own Debian packages:
#   plimsoll.test/postgres:1    the newest server that is installed, its client programs and a shell
# Only the long tests need it, so that it is not among the images that every cluster starts with.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
out=${1:?is the file for the image}

bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
[[ -n $bin ]] || { echo 'postgres-image: there is no PostgreSQL; on Debian: apt-get install postgresql' >&2; exit 1; }
version=$(basename "$(dirname "$bin")")

files=(--add /bin/busybox)
for applet in basename cat chmod cut echo kill ls mkdir mv printf rm sed sh sleep test touch tr true; do
  files+=(--link "busybox:/bin/$applet")
done
for program in postgres initdb pg_basebackup pg_controldata pg_ctl psql; do
  files+=(--add "$bin/$program" --link "$bin/$program:/usr/bin/$program")
done
for library in plpgsql dict_snowball libpqwalreceiver; do
  files+=(--add "/usr/lib/postgresql/$version/lib/$library.so")
done
# What a new cluster is made of.
while read -r file; do
  files+=(--add "$file")
done < <(find "/usr/share/postgresql/$version" -type f -not -path '*/man/*' -not -path '*/contrib/*' | LC_ALL=C sort)

# Whose name `initdb` looks up.
users=$(mktemp)
trap 'rm -f "$users"' EXIT
echo 'postgres:x:999:999::/var/lib/postgresql:/bin/sh' >"$users"
scripts/pack-image.sh --out "$out" --name plimsoll.test/postgres:1 --user 999:999 "${files[@]}" \
  --add /usr/share/zoneinfo/UTC --add "$users:/etc/passwd" --folder /var/lib/postgresql:0777 --entrypoint /bin/sh
