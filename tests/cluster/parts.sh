# The parts of a cluster, each a process that can be ended and started again by itself. Read by `cluster`.
# shellcheck shell=bash disable=SC2154  # names and addresses are the caller's

parts=(holder etcd containerd apiserver controller-manager scheduler kubelet dns)

# Becomes a program inside the cluster's network, in a session of its own, and with `mounted` among its mounts too.
networked() { exec setsid nsenter --net="$netns" -- "$@"; }
mounted() { exec setsid nsenter --mount="/proc/$(<"$state/pid/holder")/ns/mnt" --net="$netns" -- "$@"; }

# The owner of the mounts. Programs that keep things at fixed paths get a place of their own there, and what
# the kubelet mounts must reach containers that run already, hence `rshared`.
part_holder() {
  networked unshare --mount --propagation private sh -euc '
    mount --make-rshared /
    mkdir -p /run/containerd /var/lib/cni
    mount -t tmpfs -o mode=0700 plimsoll /run/containerd
    mount -t tmpfs -o mode=0700 plimsoll /var/lib/cni
    mount --bind "$1/var-log" /var/log
    touch "$1/pid/mounted"
    exec sleep infinity' sh "$state"
}

# Nothing here has to outlive a loss of power, and a test machine's disk is slow.
part_etcd() {
  networked etcd --data-dir "$state/etcd" --unsafe-no-fsync \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 "$@"
}

part_apiserver() {
  networked "$bin/kube-apiserver" \
    --etcd-servers=http://127.0.0.1:2379 \
    --bind-address=0.0.0.0 --secure-port=443 --advertise-address="$node_address" \
    --service-cluster-ip-range=10.96.0.0/16 \
    --tls-cert-file="$state/pki/apiserver.crt" --tls-private-key-file="$state/pki/apiserver.key" \
    --client-ca-file="$state/pki/ca.crt" --token-auth-file="$state/tokens.csv" --anonymous-auth=false \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-account-key-file="$state/pki/service-accounts.key" \
    --service-account-signing-key-file="$state/pki/service-accounts.key" \
    --kubelet-certificate-authority= --kubelet-preferred-address-types=InternalIP \
    --kubelet-client-certificate="$state/pki/apiserver-to-kubelet.crt" \
    --kubelet-client-key="$state/pki/apiserver-to-kubelet.key" \
    --enable-aggregator-routing \
    --requestheader-client-ca-file="$state/pki/ca.crt" --requestheader-allowed-names=front-proxy \
    --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
    --requestheader-extra-headers-prefix=X-Remote-Extra- \
    --proxy-client-cert-file="$state/pki/front-proxy.crt" --proxy-client-key-file="$state/pki/front-proxy.key" \
    --profiling=false "$@"
}

part_controller-manager() {
  networked "$bin/kube-controller-manager" \
    --kubeconfig="$state/controller-manager.kubeconfig" --bind-address=127.0.0.1 --leader-elect=false \
    --use-service-account-credentials=true \
    --service-account-private-key-file="$state/pki/service-accounts.key" --root-ca-file="$state/pki/ca.crt" \
    --cluster-signing-cert-file="$state/pki/ca.crt" --cluster-signing-key-file="$state/pki/ca.key" \
    --authentication-kubeconfig="$state/controller-manager.kubeconfig" \
    --authorization-kubeconfig="$state/controller-manager.kubeconfig" --profiling=false "$@"
}

part_scheduler() {
  networked "$bin/kube-scheduler" --kubeconfig="$state/scheduler.kubeconfig" --bind-address=127.0.0.1 \
    --leader-elect=false --authentication-kubeconfig="$state/scheduler.kubeconfig" \
    --authorization-kubeconfig="$state/scheduler.kubeconfig" --profiling=false "$@"
}

part_containerd() { mounted containerd --config "$state/containerd.toml" "$@"; }

part_kubelet() {
  mounted "$bin/kubelet" --config="$state/kubelet.yaml" --kubeconfig="$state/kubelet.kubeconfig" \
    --root-dir="$state/kubelet" --cert-dir="$state/kubelet/pki" --node-ip="$node_address" \
    --hostname-override="$node" "$@"
}

part_dns() { networked "$bin/dns" -conf "$state/Corefile" "$@"; }

# A cgroup lists neither the dead nor the waited-for, and an id that was used again is not in it.
alive() {
  [[ -e $state/pid/$1 ]] && grep -qx "$(<"$state/pid/$1")" "$(register)/$group/parts/cgroup.procs" 2>/dev/null
}

known() { declare -F "part_$1" >/dev/null || fail "no part is called $1; there are: ${parts[*]}"; }

# Starts a part unless it runs: PART, further flags.
start() {
  local part=$1 register
  known "$part"
  ! alive "$part" || return 0
  register=$(register)/$group/parts/cgroup.procs
  (
    exec 9>&- </dev/null >>"$state/log/$part" 2>&1
    # Before it becomes anything that could have children.
    echo "$BASHPID" >"$register"
    shift
    "part_$part" "$@"
  ) &
  printf '%s\n' $! >"$state/pid/$part"
  # Again, so that it counts as alive from here on.
  echo $! >"$register" || fail "$part ended at once; its log is $state/log/$part"
}

# Ends a part at once and waits until it is gone.
stop() {
  local deadline=$((SECONDS + dying))
  known "$1"
  while alive "$1"; do
    ((SECONDS < deadline)) || fail "$1 does not end"
    kill -KILL "$(<"$state/pid/$1")" 2>/dev/null || true
    sleep 0.05
  done
}
