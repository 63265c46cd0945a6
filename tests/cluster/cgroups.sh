# The cgroup of a cluster: who is in it, and its end. Read by `cluster`.
# shellcheck shell=bash disable=SC2154  # `group` is the caller's

# Seconds within which killed processes must be gone: they may have to finish a write to a slow disk.
dying=60

# The hierarchies: one, or with version 1 one for each controller and one for nothing but names.
hierarchies() {
  if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
    echo /sys/fs/cgroup
  else
    find /sys/fs/cgroup -mindepth 2 -maxdepth 2 -name cgroup.procs -printf '%h\n'
  fi
}
# The hierarchy by which we know who belongs to a cluster: nothing but limits on numbers is in it.
register() { hierarchies | grep -E '/(pids|cgroup)$'; }

make_cgroup() {
  local hierarchy setting
  for hierarchy in $(hierarchies); do
    if [[ $hierarchy == /sys/fs/cgroup ]]; then
      echo "+cpu +memory +pids +cpuset" >"$hierarchy/cgroup.subtree_control"
      mkdir -p "$hierarchy/$group"
      echo "+cpu +memory +pids +cpuset" >"$hierarchy/$group/cgroup.subtree_control"
    fi
    mkdir -p "$hierarchy/$group"
    # Version 1 leaves these empty, and nothing can run in an empty set.
    for setting in cpuset.cpus cpuset.mems; do
      [[ ! -e $hierarchy/$setting ]] || cat "$hierarchy/$setting" >"$hierarchy/$group/$setting"
    done
  done
  # Of its own because version 2 wants processes in leaves only; containers are in `kubepods` beside it.
  mkdir -p "$(register)/$group/parts"
}

# The processes of the cluster, containers and all.
members() {
  find "$(register)/$group" -name cgroup.procs -exec cat {} + 2>/dev/null || true
}

# Ends every process and removes the cgroup.
end_cgroup() {
  local deadline=$((SECONDS + dying)) hierarchy living
  while living=$(members) && [[ -n $living ]]; do
    ((SECONDS < deadline)) || return 1
    # Whoever was born since is met in the next round.
    # shellcheck disable=SC2086  # a list of ids
    kill -KILL $living 2>/dev/null || true
    sleep 0.05
  done
  for hierarchy in $(hierarchies); do
    # Whoever has just died may still be leaving.
    while [[ -d $hierarchy/$group ]] && ! find "$hierarchy/$group" -depth -type d -exec rmdir {} + 2>/dev/null; do
      ((SECONDS < deadline)) || return 1
      sleep 0.05
    done
  done
}
