#!/usr/bin/env bash
# Fetches Kafka's jars with Maven, once, and prints the folder that holds them. It lies in the user's cache and not in
# `target`, so that it outlives `cargo clean` and serves every checkout of this machine.
set -euo pipefail

version=${KAFKA_VERSION:-4.3.1}
cache=${PLIMSOLL_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/plimsoll}/kafka
# Named after everything that it is made from.
folder=$cache/$version-$(sha256sum "${BASH_SOURCE[0]}" | cut -c 1-16)
fail() {
  printf 'kafka: %s\n' "$*" >&2
  exit 1
}

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [[ ! -e $folder/complete ]]; then
  command -v mvn >/dev/null || fail "there is no mvn; on Debian: apt-get install maven openjdk-17-jre-headless"
  rm -rf "$folder"
  mkdir "$folder"
  printf 'kafka: fetching version %s into %s (54 MB, once)\n' "$version" "$folder" >&2
  cat >"$folder/pom.xml" <<END
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>plimsoll</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$version</version></dependency>
    <!-- What Kafka's own distribution logs with. -->
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.4</version></dependency>
  </dependencies>
</project>
END
  (cd "$folder" && mvn -q -B dependency:copy-dependencies -DoutputDirectory=libs >&2) || fail "Maven failed"
  touch "$folder/complete"
fi
printf '%s\n' "$folder/libs"
