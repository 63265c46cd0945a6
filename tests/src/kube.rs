//! A real etcd in the pods of a StatefulSet, as `examples/kubernetes` shows it, in a namespace of the test's own.

use crate::chart::told;
use crate::cluster::{Cluster, Namespace};
use crate::daemon::{Daemon, SHORT_WAITS};
use crate::etcd::{PATIENCE, connect};
use crate::installed::{TAGS, bring_image};
use crate::process::{Process, wait_until};
use anyhow::Context as _;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a watch that was lost waits before it begins anew.
const AGAIN: Duration = Duration::from_millis(200);

/// What the example has for the daemon's image.
const IMAGE: &str = concat!("plimsoll.dev/plimsoll:", env!("CARGO_PKG_VERSION"));

/// Where each pod is, or that it is gone.
type Pods = BTreeMap<String, Option<String>>;
/// The members whose pods went, each with the pod; one of the same name may have come since.
type Gone = BTreeSet<(String, String)>;

/// Runs a test where the cluster of all tests can be reached, with our definitions in place, in a namespace of its own.
///
/// # Errors
/// When there is no cluster; else what the test says.
pub fn in_cluster<F: Future<Output = anyhow::Result<()>>>(
    test: impl FnOnce(Namespace) -> F + Send,
) -> anyhow::Result<()> {
    let cluster = Cluster::shared()?;
    define(&cluster)?;
    let namespace = Namespace::create(&cluster)?;
    cluster.inside(move || {
        plimsoll::collect::install_crypto();
        tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(test(namespace))
    })?
}

/// The etcd, with everything that follows its pods. It goes with its namespace.
#[derive(Debug)]
pub struct EtcdPods {
    namespace: Namespace,
    home: tempfile::TempDir,
    pods: Arc<Mutex<Pods>>,
    gone: Arc<Mutex<Gone>>,
    /// The process that follows the pods; none any more once this goes.
    watch: Arc<Mutex<Option<Child>>>,
    logs: Arc<Mutex<BTreeMap<String, Process>>>,
}

impl Drop for EtcdPods {
    fn drop(&mut self) {
        if let Some(mut watch) = self.watch.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Nothing can be done about a process that cannot be ended while a test is being torn down.
            let _ = watch.kill();
            let _ = watch.wait();
        }
        // The journal outlives whatever is deleted by accident; this is on purpose, or the namespace would stay.
        let free = r#"{"metadata":{"finalizers":null}}"#;
        let _ = self.namespace.kubectl(&["patch", "scalingplan", "etcd", "--type=merge", "--patch", free]);
    }
}

impl EtcdPods {
    /// Starts three members and waits until all of them serve.
    ///
    /// # Errors
    /// When they do not come up.
    pub async fn start(namespace: Namespace) -> anyhow::Result<Self> {
        Self::start_with(namespace, &example("etcd.yaml")?).await
    }

    /// The same, with the init container that sets the data of removed members aside.
    ///
    /// # Errors
    /// When they do not come up.
    pub async fn start_setting_aside(namespace: Namespace) -> anyhow::Result<Self> {
        bring_image(namespace.cluster())?;
        let (rest, set) = example("etcd.yaml")?.rsplit_once("---\n").map(owned).context("no documents")?;
        let patch = example("set-aside.yaml")?.replace(IMAGE, &format!("plimsoll.dev/plimsoll:{}", TAGS[0]));
        let folder = tempfile::tempdir()?;
        let (before, after) = (folder.path().join("set.yaml"), folder.path().join("patch.yaml"));
        std::fs::write(&before, set)?;
        std::fs::write(&after, patch)?;
        let (before, after) = (before.display().to_string(), after.display().to_string());
        let patched = namespace.kubectl(&[
            "patch",
            "--local",
            "-f",
            &before,
            "--patch-file",
            &after,
            "--output=json",
        ])?;
        Self::start_with(namespace, &format!("{rest}---\n{patched}")).await
    }

    async fn start_with(namespace: Namespace, manifest: &str) -> anyhow::Result<Self> {
        namespace.apply(manifest)?;
        let home = tempfile::Builder::new().prefix("plimsoll-kube-").tempdir()?;
        let (pods, gone, logs) = (Arc::default(), Arc::default(), Arc::default());
        let told = (Arc::clone(&pods), Arc::clone(&gone));
        let watch = follow(&namespace, home.path(), told, Arc::clone(&logs))?;
        let rig = Self { namespace, home, pods, gone, watch, logs };
        rig.all_serve(3).await?;
        Ok(rig)
    }

    /// Waits until the first so many members serve.
    ///
    /// # Errors
    /// When one does not.
    pub async fn all_serve(&self, members: u32) -> anyhow::Result<()> {
        for member in (0..members).map(|ordinal| format!("etcd-{ordinal}")) {
            let what = format!("{member} serves");
            let served = wait_until(&what, PATIENCE, async || {
                let client = connect(&[self.endpoint(&member).context("it has no address")?]).await?;
                client.kv_client().get("plimsoll-tests/ping", None).await?;
                Ok(())
            });
            served.await.with_context(|| self.tail(&member))?;
        }
        Ok(())
    }

    /// Where it is.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// A daemon for it, whom only a person gives wishes; nothing is started. To be started where the cluster can
    /// be reached.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn daemon(&self) -> anyhow::Result<Daemon> {
        self.daemon_with("plimsoll", &daemon_file(self.namespace.cluster().kubeconfig(), ""))
    }

    /// The same with another way to the API server.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn daemon_as(&self, kubeconfig: &Path) -> anyhow::Result<Daemon> {
        self.daemon_with(
            "plimsoll",
            &daemon_file(kubeconfig, "").replace("['*']", &format!("[{}]", self.namespace.name())),
        )
    }

    /// One of several daemons for it, with a folder and a way to the API server of its own. Who of them acts is said by
    /// a lease in the namespace, with times as short as they may be.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn daemon_of_several(&self, name: &str, kubeconfig: &Path) -> anyhow::Result<Daemon> {
        let namespace = self.namespace.name();
        let lease = format!(
            ", lease: {{namespace: {namespace}, duration: 3s, renewDeadline: 2s, retryPeriod: 500ms}}"
        );
        self.daemon_with(name, &daemon_file(kubeconfig, &lease))
    }

    /// A daemon for what is in front of it: the kind that is opened to it, and the reference of its target.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn daemon_in_front(&self, opened: &str, target: &str) -> anyhow::Result<Daemon> {
        let opened = format!(", scalable: [{opened}]");
        let daemon =
            self.daemon_with("plimsoll", &daemon_file(self.namespace.cluster().kubeconfig(), &opened))?;
        let itself = "{apiVersion: apps/v1, kind: StatefulSet, name: etcd}";
        daemon.write_target("etcd", &document(self.namespace.name()).replace(itself, target))?;
        Ok(daemon)
    }

    fn daemon_with(&self, folder: &str, file: &str) -> anyhow::Result<Daemon> {
        let namespace = self.namespace.name();
        let daemon = Daemon::in_folder(&self.home().join(folder), file, &format!("{namespace}/etcd"))?;
        daemon.write_target("etcd", &document(namespace))?;
        Ok(daemon)
    }

    /// A daemon without any file of a target: what it is to do stands in the cluster ([`Self::apply_autoscaler`]).
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn daemon_of_objects(&self) -> anyhow::Result<Daemon> {
        let namespace = &self.namespace;
        // Other tests have objects of their own in theirs.
        let ours = format!("namespaces: [{}], autoscalers: true}}\nsystems", namespace.name());
        let file =
            daemon_file(namespace.cluster().kubeconfig(), "").replace("namespaces: ['*']}\nsystems", &ours);
        Daemon::in_folder(&self.home().join("plimsoll"), &file, &format!("{}/etcd", namespace.name()))
    }

    /// Applies the same document as an object, with something more in its `spec`; without policies, so that only who
    /// wishes for a size gets one.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub fn apply_autoscaler(&self, more: &str) -> anyhow::Result<()> {
        let policies = "  policies: [{name: nobody, module: hold.wasm}]";
        let document = document(self.namespace.name()).replace(policies, &format!("  {more}"));
        self.namespace.apply(&document).map(drop)
    }

    /// A Prometheus in a pod beside it, which scrapes every member each second; its address for pods.
    ///
    /// # Errors
    /// When it does not come up; a user's cluster takes no image from us.
    pub async fn prometheus(&self) -> anyhow::Result<String> {
        let image = self.home().join("prometheus.tar");
        let program = Command::new("sh").args(["-c", "command -v prometheus"]).output()?;
        let program = String::from_utf8(program.stdout)?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/pack-image.sh");
        let mut pack = Command::new(script);
        pack.arg("--out").arg(&image).args(["--name", "plimsoll.test/prometheus:1", "--user", "1000:1000"]);
        pack.args(["--add", &format!("{}:/usr/bin/prometheus", program.trim())]);
        told(pack.args(["--entrypoint", "/usr/bin/prometheus"]), "").context("packing Prometheus")?;
        self.namespace.cluster().load(&image)?;
        let manifest = include_str!("../data/cluster/prometheus.yaml");
        self.namespace.apply(&manifest.replace("NAMESPACE", self.namespace.name()))?;
        self.namespace.kubectl(&["wait", "--for=condition=Ready", "pod/prometheus", "--timeout=120s"])?;
        Ok(format!("http://prometheus.{}.svc:9090", self.namespace.name()))
    }

    /// A folder for what belongs to the test.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The address for clients of a pod, while it has one.
    #[must_use]
    pub fn endpoint(&self, pod: &str) -> Option<String> {
        let ip = self.pods.lock().unwrap_or_else(PoisonError::into_inner).get(pod)?.clone()?;
        Some(format!("http://{ip}:2379"))
    }

    /// What tells the addresses for clients of all pods that have one, at any time.
    pub fn endpoints(&self) -> impl Fn() -> Vec<String> + Send + 'static {
        let pods = Arc::clone(&self.pods);
        move || {
            let pods = pods.lock().unwrap_or_else(PoisonError::into_inner);
            pods.values().flatten().map(|ip| format!("http://{ip}:2379")).collect()
        }
    }

    /// What tells the pods that are gone, each with the id of the member that it was.
    pub fn gone(&self) -> impl Fn() -> BTreeSet<String> + Send + 'static {
        let (pods, gone) = (Arc::clone(&self.pods), Arc::clone(&self.gone));
        let home = self.home.path().to_owned();
        move || {
            let pods = pods.lock().unwrap_or_else(PoisonError::into_inner);
            let gone = gone.lock().unwrap_or_else(PoisonError::into_inner);
            // A pod that came back as the same member is not gone.
            let is_back = |pod: &String, id: &String| {
                pods.get(pod).is_some_and(Option::is_some) && member(&home, pod).as_ref() == Some(id)
            };
            gone.iter().filter(|(pod, id)| !is_back(pod, id)).map(|(pod, id)| format!("{pod}-{id}")).collect()
        }
    }

    /// The logs of all members that ever ran.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn logs(&self) -> anyhow::Result<Vec<(String, String)>> {
        let followed = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let read = |pod: &String| {
            let text = std::fs::read(log(self.home(), pod))?;
            Ok((pod.clone(), String::from_utf8_lossy(&text).into_owned()))
        };
        followed.keys().map(read).collect()
    }

    fn tail(&self, pod: &str) -> String {
        let followed = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        followed.get(pod).map_or_else(|| format!("{pod} never ran"), Process::tail)
    }
}

/// The definitions as `plimsoll crd` prints them, taken by the real server and in use.
///
/// # Errors
/// When the server does not take them.
pub fn define(cluster: &Cluster) -> anyhow::Result<()> {
    // Two tests of a process that both find nothing there would both create it, and one of them be refused.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let printed = Command::new(crate::binary()).arg("crd").output()?;
    anyhow::ensure!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    cluster.apply(&String::from_utf8(printed.stdout)?)?;
    for name in ["crd/scalingplans.plimsoll.dev", "crd/statefulautoscalers.plimsoll.dev"] {
        let conditions = established(cluster, name)?;
        anyhow::ensure!(!conditions.contains("NonStructuralSchema"), "{name}: {conditions}");
    }
    Ok(())
}

/// Waits until objects of a definition can be made, and gives its conditions. `kubectl wait` fails at once where there are none
/// yet, as right after it was made.
///
/// # Errors
/// When that does not come to be.
pub fn established(cluster: &Cluster, name: &str) -> anyhow::Result<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let conditions = cluster.kubectl(["get", name, "--output", "jsonpath={.status.conditions}"])?;
        let conditions: Value = serde_json::from_str(&conditions).unwrap_or_default();
        let is_there = |one: &Value| one["type"] == "Established" && one["status"] == "True";
        if conditions.as_array().is_some_and(|all| all.iter().any(is_there)) {
            // For a moment the server still tells everybody to come again; kubectl does.
            cluster.kubectl(["get", name.trim_start_matches("crd/"), "--all-namespaces"])?;
            return Ok(conditions.to_string());
        }
        anyhow::ensure!(Instant::now() < deadline, "{name}: {conditions}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A file of the example.
fn example(name: &str) -> anyhow::Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/kubernetes").join(name);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

fn owned((before, after): (&str, &str)) -> (String, String) {
    (before.to_owned(), after.to_owned())
}

fn daemon_file(kubeconfig: &Path, further: &str) -> String {
    format!(
        "apiVersion: plimsoll.dev/v1alpha1
kind: DaemonConfig
interval: 2s
http: {{enabled: false}}
kubernetes: {{kubeconfig: {}, namespaces: ['*']{further}}}
systems:
  pods: {{kind: etcd, namespaces: ['*']}}
",
        kubeconfig.display()
    )
}

/// The document of the etcd, whom nobody but a person gives wishes.
fn document(namespace: &str) -> String {
    let policies = "  policies: [{name: nobody, module: hold.wasm}]\n";
    format!("{}  system: {{kind: etcd, ref: pods}}\n{policies}", document_without(namespace))
}

/// The document of the etcd as the chart's daemon reads it, with `target-utilization` and its settings on the signal
/// `load`, which is this query of the source `main`.
#[must_use]
pub fn document_of(namespace: &str, settings: &str, query: &str) -> String {
    format!(
        "{}  system: {{kind: etcd, ref: etcd}}
  policies:
    - name: load
      module: target-utilization.wasm
      settings: {settings}
  signals:
    - {{name: load, source: main, query: '{query}', window: 10s, step: 1s, maxAge: 10s, coverage: 50%}}
  behavior:
    scaleUp: {{stabilizationWindowSeconds: 0, policies: [{{type: Members, value: 4, periodSeconds: 1}}]}}
    scaleDown: {{stabilizationWindowSeconds: 0, policies: [{{type: Members, value: 4, periodSeconds: 1}}]}}
",
        document_without(namespace)
    )
}

/// What both have in common.
fn document_without(namespace: &str) -> String {
    let safety: String = SHORT_WAITS.iter().map(|line| format!("    {line}\n")).collect();
    format!(
        "apiVersion: plimsoll.dev/v1alpha1
kind: StatefulAutoscaler
metadata: {{name: etcd, namespace: {namespace}}}
spec:
  targetRef: {{apiVersion: apps/v1, kind: StatefulSet, name: etcd}}
  minReplicas: 3
  maxReplicas: 5
  mode: enforce
  safety:
{safety}"
    )
}

fn log(home: &Path, pod: &str) -> PathBuf {
    home.join(format!("{pod}.log"))
}

/// The id of a pod's member, as its log tells it.
fn member(home: &Path, pod: &str) -> Option<String> {
    let text = std::fs::read_to_string(log(home, pod)).ok()?;
    let (_, rest) = text.split_once("\"local-member-id\":\"")?;
    Some(rest.split('"').next()?.to_owned())
}

/// From what is asked to the command that asks it.
type Ask = Box<dyn Fn(&[&str]) -> Command + Send>;

/// What follows the pods: the program with everything but what it is asked.
struct Follower {
    ask: Ask,
    home: PathBuf,
    pods: Arc<Mutex<Pods>>,
    gone: Arc<Mutex<Gone>>,
    logs: Arc<Mutex<BTreeMap<String, Process>>>,
}

/// Follows the pods, and the log of each from when it runs, until `watch` is empty.
fn follow(
    namespace: &Namespace,
    home: &Path,
    (pods, gone): (Arc<Mutex<Pods>>, Arc<Mutex<Gone>>),
    logs: Arc<Mutex<BTreeMap<String, Process>>>,
) -> anyhow::Result<Arc<Mutex<Option<Child>>>> {
    let cluster = Arc::clone(namespace.cluster());
    let (kubectl, name) = (cluster.kubectl_program()?, namespace.name().to_owned());
    let ask = move |arguments: &[&str]| -> Command {
        let mut command = cluster.command(&kubectl);
        command.arg("--kubeconfig").arg(cluster.kubeconfig()).args(["--namespace", &name]).args(arguments);
        command
    };
    let follower = Follower { ask: Box::new(ask), home: home.to_owned(), pods, gone, logs };
    let (child, lines) = follower.watch()?;
    let watch = Arc::new(Mutex::new(Some(child)));
    let shared = Arc::clone(&watch);
    std::thread::spawn(move || {
        let mut lines = lines;
        loop {
            lines.map_while(Result::ok).for_each(|line| follower.note(&line));
            // The API server went away. What was followed has ended with it, and is read anew from its beginning.
            lines = loop {
                std::thread::sleep(AGAIN);
                let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(ended) = shared.as_mut() else { return };
                let _ = ended.wait();
                follower.logs.lock().unwrap_or_else(PoisonError::into_inner).clear();
                let Ok((child, lines)) = follower.watch() else { continue };
                *shared = Some(child);
                break lines;
            };
        }
    });
    Ok(watch)
}

impl Follower {
    fn watch(&self) -> anyhow::Result<(Child, std::io::Lines<BufReader<ChildStdout>>)> {
        let columns =
            "jsonpath={.type} {.object.metadata.name} {.object.status.phase} {.object.status.podIP}{\"\\n\"}";
        let arguments = ["get", "pods", "-l", "app=etcd", "-w", "--output-watch-events", "-o", columns];
        let mut command = (self.ask)(&arguments);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let output = child.stdout.take().context("no output")?;
        Ok((child, BufReader::new(output).lines()))
    }

    /// A pod is gone: who it was is remembered, and a later one of its name has a log of its own.
    fn set_aside(&self, pod: &str) {
        let Some(id) = member(&self.home, pod) else { return };
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("{pod}-{id}");
        // The last lines may still be on their way: whoever writes goes on in the same file.
        let _ = std::fs::rename(log(&self.home, pod), log(&self.home, &name));
        if let Some(process) = logs.remove(pod) {
            logs.insert(name, process);
        }
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).insert((pod.to_owned(), id));
    }

    /// One line of the watch: what happened, to which pod, its phase and its address.
    fn note(&self, line: &str) {
        let mut words = line.split_whitespace();
        let (Some(event), Some(pod), phase) = (words.next(), words.next(), words.next()) else { return };
        if event == "DELETED" {
            self.set_aside(pod);
            self.pods.lock().unwrap_or_else(PoisonError::into_inner).insert(pod.to_owned(), None);
            return;
        }
        // Before it runs there is no log, and nobody to ask.
        let (Some("Running"), Some(ip)) = (phase, words.next()) else { return };
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let file = log(&self.home, pod);
        let was_gone = self.pods.lock().unwrap_or_else(PoisonError::into_inner).get(pod) == Some(&None);
        // Another pod of that name, after one that never said who it was.
        if was_gone {
            logs.remove(pod);
        }
        if !logs.contains_key(pod) {
            let _ = std::fs::remove_file(&file);
            if let Ok(process) = Process::start(&mut (self.ask)(&["logs", "--follow", pod]), &file) {
                logs.insert(pod.to_owned(), process);
            }
        }
        self.pods.lock().unwrap_or_else(PoisonError::into_inner).insert(pod.to_owned(), Some(ip.to_owned()));
    }
}
