# What the examples share that run a data system on one machine: sourced by their up.sh and down.sh, which set
#
#   here    the folder of the example
#   home    where its members, Prometheus and the daemon keep their files; the scripts work in it
#   port    where Prometheus listens

# Ends the script where a program is missing: `need "PACKAGES" PROGRAM...`.
need() {
  local packages=$1 program
  shift
  for program in "$@"; do
    command -v "$program" >/dev/null || {
      echo "up.sh: '$program' is missing; on Debian: apt-get install $packages" >&2
      exit 1
    }
  done
}

# Copies what the daemon and the members need: `move_in TARGET`. Files of your own stay as they are. Policies come from
# `make policies`.
move_in() {
  local target=targets/$1.yaml policy=$here/../../bin/policies/target-utilization.wasm file
  mkdir -p targets policies
  for file in inventory plimsoll.yaml "$target"; do
    [[ -e $file ]] || cp "$here/$file" "$file"
  done
  ln -sfn "$here/member" member
  if [[ -e $policy ]]; then cp "$policy" policies/; fi
}

# Starts the members: `start_members COUNT`. A cluster is founded once. Later its members are started on the data that they
# have.
start_members() {
  local slot
  if compgen -G 'slots/*/data' >/dev/null; then
    for slot in slots/*; do "$here/member" start "${slot#slots/}"; done
  else
    "$here/member" bootstrap "$1"
  fi
}

# Starts Prometheus, detached: it holds a lock for as long as it lives.
start_prometheus() {
  if ! { exec 7>>prometheus.lock && flock --shared --nonblock 7; }; then
    echo "Prometheus runs already"
    return
  fi
  exec 7>&-
  cp "$here/prometheus.yml" prometheus.yml
  setsid --fork bash -c '
    exec 8>>prometheus.lock
    flock --timeout 2 8 || exit 0
    printf "%s\n" "$$" >prometheus.pid
    exec "$@"' launch \
    prometheus --config.file=prometheus.yml --storage.tsdb.path=prometheus \
    --web.listen-address="127.0.0.1:$port" </dev/null >>prometheus.log 2>&1
}

# Stops it. The process that holds the lock is the one in the file: an id that another program has by now holds none.
stop_prometheus() {
  if [[ -e prometheus.lock ]] && ! flock --shared --nonblock prometheus.lock true; then
    kill "$(<prometheus.pid)"
    flock --timeout 20 prometheus.lock true || echo "down.sh: Prometheus does not end" >&2
  fi
}

# Says where everything is.
show_places() {
  echo "members:    $("$here/member" list | jq -r '[.members[] | "\(.slot) \(.endpoints.client)"] | join(", ")')"
  echo "Prometheus: http://127.0.0.1:$port"
  echo "folder:     $home"
  [[ -e policies/target-utilization.wasm ]] || echo "policy:     missing; run \`make policies\` and this again"
}
