//! The test cluster itself: what tests of the Kubernetes platform stand on.

use anyhow::Context as _;
use plimsoll_tests::binary;
use plimsoll_tests::cluster::{self, Cluster, Namespace};
use plimsoll_tests::process::{is_running, wait_until};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// For what takes seconds on an idle machine; a wait ends as soon as it can.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test]
async fn a_member_that_goes_leaves_its_claim_behind_and_finds_its_data_again() -> anyhow::Result<()> {
    let namespace = Namespace::create(&Cluster::shared()?)?;
    namespace.apply(include_str!("../data/cluster/claims.yaml"))?;
    ready(&namespace, "statefulset/keeper", "2").await?;
    namespace.kubectl(&["scale", "statefulset/keeper", "--replicas=1"])?;
    wait_until("the second pod is gone", PATIENCE, async || {
        let pods = namespace.kubectl(&["get", "pods", "--output=name"])?;
        anyhow::ensure!(pods.trim() == "pod/keeper-0", "pods: {pods}");
        Ok(())
    })
    .await?;
    assert_eq!(namespace.field("persistentvolumeclaim/data-keeper-1", ".status.phase")?, "Bound");
    namespace.kubectl(&["scale", "statefulset/keeper", "--replicas=2"])?;
    ready(&namespace, "statefulset/keeper", "2").await?;
    let names = namespace.kubectl(&["exec", "keeper-1", "--", "cat", "/data/names"])?;
    assert_eq!(names, "keeper-1\nkeeper-1\n");
    Ok(())
}

#[tokio::test]
async fn three_etcd_members_that_know_each_other_by_name_become_healthy() -> anyhow::Result<()> {
    let namespace = Namespace::create(&Cluster::shared()?)?;
    namespace.apply(include_str!("../data/cluster/etcd.yaml"))?;
    ready(&namespace, "statefulset/etcd", "3").await?;
    let put = namespace.kubectl(&["exec", "etcd-0", "--", "etcdctl", "put", "key", "value"])?;
    assert_eq!(put, "OK\n");
    let health = ["exec", "etcd-1", "--", "etcdctl", "endpoint", "health", "--cluster", "--write-out=json"];
    let health: Vec<serde_json::Value> = serde_json::from_str(&namespace.kubectl(&health)?)?;
    assert_eq!(health.iter().filter(|member| member["health"] == true).count(), 3, "{health:?}");
    let got = namespace.kubectl(&["exec", "etcd-2", "--", "etcdctl", "get", "key", "--print-value-only"])?;
    assert_eq!(got, "value\n");
    Ok(())
}

#[tokio::test]
async fn a_test_reaches_a_pod_by_its_address() -> anyhow::Result<()> {
    if cluster::is_the_users() {
        println!("the addresses of a user's pods are not ours to reach");
        return Ok(());
    }
    let namespace = Namespace::create(&Cluster::shared()?)?;
    namespace.apply(include_str!("../data/cluster/claims.yaml"))?;
    ready(&namespace, "statefulset/keeper", "2").await?;
    let address = namespace.field("pod/keeper-1", ".status.podIP")?;
    let url = format!("http://{address}:8080/names");
    let page = namespace.cluster().inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(plimsoll_tests::etcd::http_get(&url))
    })??;
    assert_eq!(page, "keeper-1\n");
    let mut fetch = namespace.cluster().command("busybox");
    let fetched = fetch.args(["wget", "-q", "-O", "-", &url]).output()?;
    assert_eq!(String::from_utf8_lossy(&fetched.stdout), "keeper-1\n");
    Ok(())
}

#[tokio::test]
async fn the_daemons_image_asks_a_policy_as_nobody_and_without_any_right() -> anyhow::Result<()> {
    if cluster::is_the_users() {
        println!("there is no way to bring an image into a user's cluster");
        return Ok(());
    }
    let namespace = Namespace::create(&Cluster::shared()?)?;
    let restricted = "pod-security.kubernetes.io/enforce=restricted";
    namespace.kubectl(&["label", "namespace", namespace.name(), restricted])?;
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("plimsoll.tar");
    let packed = Command::new(repository("scripts/plimsoll-image.sh")).arg(&image).arg(binary()).status()?;
    anyhow::ensure!(packed.success(), "the image cannot be packed");
    namespace.cluster().load(&image)?;
    namespace.apply(include_str!("../data/cluster/eval.yaml"))?;
    wait_until("the pod runs", PATIENCE, async || {
        let phase = namespace.field("pod/eval", ".status.phase")?;
        anyhow::ensure!(phase == "Running", "{phase}");
        Ok(())
    })
    .await?;
    let snapshots = std::fs::read_to_string(repository("tests/data/snapshots-50.jsonl"))?;
    let attach = ["--namespace", namespace.name(), "attach", "--stdin", "--quiet", "pod/eval"];
    namespace.cluster().kubectl_with(attach, &snapshots)?;
    namespace.kubectl(&["wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/eval", "--timeout=60s"])?;
    let answers = std::fs::read_to_string(repository("tests/data/answers-50.jsonl"))?;
    assert_eq!(namespace.kubectl(&["logs", "eval"])?, answers);
    Ok(())
}

#[tokio::test]
async fn a_part_that_was_killed_comes_back_and_nothing_is_left_in_the_end() -> anyhow::Result<()> {
    if cluster::is_the_users() {
        println!("the parts of a user's cluster are not ours to kill");
        return Ok(());
    }
    let cluster = std::sync::Arc::new(Cluster::start_own()?);
    let namespace = Namespace::create(&cluster)?;
    namespace.apply(include_str!("../data/cluster/claims.yaml"))?;
    ready(&namespace, "statefulset/keeper", "2").await?;
    cluster.stop_part("apiserver")?;
    assert!(cluster.kubectl(["get", "namespaces"]).is_err(), "the API server is gone");
    cluster.start_part("apiserver", &["--max-requests-inflight=7"])?;
    ready(&namespace, "statefulset/keeper", "2").await?;
    let traces = Traces::of(&cluster)?;
    for part in ["etcd", "kube-apiserver", "kubelet", "containerd-shim", "httpd"] {
        assert!(traces.living().iter().any(|name| name == part), "{part} is one of {traces:?}");
    }
    drop(namespace);
    drop(cluster);
    assert_eq!(traces.left()?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn what_an_aborted_start_left_is_taken_away_by_the_next() -> anyhow::Result<()> {
    if cluster::is_the_users() {
        println!("a user's cluster is not ours to start");
        return Ok(());
    }
    let cluster = Cluster::reserve()?;
    let name = cluster.name().context("a name")?;
    let state = cluster.state().context("a folder")?;
    let mut aborted = Command::new(cluster::program()).args(["up", name]).stdin(Stdio::null()).spawn()?;
    wait_until("the API server is started", PATIENCE, async || {
        anyhow::ensure!(state.join("log/apiserver").exists(), "not yet");
        Ok(())
    })
    .await?;
    aborted.kill()?;
    aborted.wait()?;
    let first = Traces::of(&cluster)?;
    assert!(first.living().iter().any(|name| name == "etcd"), "{first:?}");
    cluster.up()?;
    assert_eq!(first.living(), Vec::<String>::new(), "of the aborted start");
    cluster.kubectl(["get", "namespaces"])?;
    let second = Traces::of(&cluster)?;
    drop(cluster);
    assert_eq!(second.left()?, Vec::<String>::new());
    Ok(())
}

/// A file of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Waits until as many members of a workload are ready.
async fn ready(namespace: &Namespace, object: &str, members: &str) -> anyhow::Result<()> {
    let waited = wait_until(&format!("{members} members of {object}"), PATIENCE, async || {
        let now = namespace.field(object, ".status.readyReplicas")?;
        anyhow::ensure!(now == members, "{now:?} are ready");
        Ok(())
    })
    .await;
    // What `kubectl describe` says of pods ends with their events, which tell why.
    waited.with_context(|| namespace.kubectl(&["describe", "pods"]).unwrap_or_default())
}

/// What a cluster is on this machine, found without the script that made it.
#[derive(Debug)]
struct Traces {
    name: String,
    state: PathBuf,
    /// Its processes, containers among them: id, start, name.
    processes: Vec<(u32, String, String)>,
}

impl Traces {
    fn of(cluster: &Cluster) -> anyhow::Result<Self> {
        let name = format!("plimsoll-{}", cluster.name().context("a name")?);
        let mut processes = Vec::new();
        for entry in std::fs::read_dir("/proc")? {
            let Ok(id) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
            // One that has ended since is none.
            let groups = std::fs::read_to_string(format!("/proc/{id}/cgroup")).unwrap_or_default();
            let is_ours = groups.lines().any(|line| line.split(['/', ':']).any(|part| part == name));
            if let Some((start, command)) = identity(id).filter(|_| is_ours) {
                processes.push((id, start, command));
            }
        }
        Ok(Self { name, state: cluster.state().context("a folder")?, processes })
    }

    /// The names of those processes that still run.
    fn living(&self) -> Vec<String> {
        let same = |id, start: &str| is_running(id) && identity(id).is_some_and(|(now, _)| now == start);
        let living = self.processes.iter().filter(|(id, start, _)| same(*id, start));
        living.map(|(_, _, name)| name.clone()).collect()
    }

    /// What is left of it.
    fn left(&self) -> anyhow::Result<Vec<String>> {
        let mut left = self.living();
        for place in [self.state.clone(), Path::new("/run/netns").join(&self.name)] {
            left.extend(place.exists().then(|| place.display().to_string()));
        }
        let mounts = std::fs::read_to_string("/proc/self/mounts")?;
        let ours = |line: &&str| line.contains(&self.name) || line.contains(&*self.state.to_string_lossy());
        left.extend(mounts.lines().filter(ours).map(str::to_owned));
        let hierarchies =
            std::fs::read_dir("/sys/fs/cgroup")?.filter_map(Result::ok).map(|entry| entry.path());
        let groups =
            hierarchies.chain([PathBuf::from("/sys/fs/cgroup")]).map(|folder| folder.join(&self.name));
        left.extend(groups.filter(|group| group.exists()).map(|group| group.display().to_string()));
        Ok(left)
    }
}

/// When a process started and what it is called; ids are used again.
fn identity(id: u32) -> Option<(String, String)> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (before, after) = stat.rsplit_once(')')?;
    let name = before.split_once('(')?.1;
    // `starttime` is the 22nd field of the line, and the state that follows the name is the third.
    Some((after.split_whitespace().nth(19)?.to_owned(), name.to_owned()))
}
