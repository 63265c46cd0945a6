//! A real etcd in the pods of a StatefulSet, as `examples/kubernetes` shows it, in a namespace of the test's own.

pub(crate) mod follower;

use crate::chart::printed_by;
use crate::cluster::{Cluster, Namespace};
use crate::daemon::Daemon;
use crate::document::{self, Document};
use crate::etcd::{PATIENCE, connect};
use crate::installed::{TAGS, bring_image};
use crate::process::wait_until;
use anyhow::Context as _;
use follower::FollowedPods;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What the example has for the daemon's image.
const IMAGE: &str = concat!("plimsoll.dev/plimsoll:", env!("CARGO_PKG_VERSION"));

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
        plimsoll::tls::install_provider();
        tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(test(namespace))
    })?
}

/// The etcd, with everything that follows its pods. It goes with its namespace.
#[derive(Debug)]
pub struct EtcdPods {
    pods: FollowedPods,
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
        let rig = Self { pods: FollowedPods::of(namespace, "etcd")? };
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
            served.await.with_context(|| self.pods.tails())?;
        }
        Ok(())
    }

    /// Where it is.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        self.pods.namespace()
    }

    /// A daemon for it, whom only a person gives wishes; nothing is started. To be started where the cluster can
    /// be reached.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn daemon(&self) -> anyhow::Result<Daemon> {
        self.daemon_with("plimsoll", &daemon_file(self.namespace().cluster().kubeconfig(), ""))
    }

    /// The same with another way to the API server.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn daemon_as(&self, kubeconfig: &Path) -> anyhow::Result<Daemon> {
        self.daemon_with(
            "plimsoll",
            &daemon_file(kubeconfig, "").replace("['*']", &format!("[{}]", self.namespace().name())),
        )
    }

    /// One of several daemons for it, with a folder and a way to the API server of its own. Who of them acts is said by
    /// a [`lease`] in the namespace.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn daemon_of_several(&self, name: &str, kubeconfig: &Path) -> anyhow::Result<Daemon> {
        let mut lease = lease();
        lease["namespace"] = json!(self.namespace().name());
        self.daemon_with(name, &daemon_file(kubeconfig, &format!(", lease: {lease}")))
    }

    /// A daemon for what is in front of it: the kind that is opened to it, and the reference of its target.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn daemon_in_front(&self, opened: &str, target: &str) -> anyhow::Result<Daemon> {
        let opened = format!(", scalable: [{opened}]");
        let daemon =
            self.daemon_with("plimsoll", &daemon_file(self.namespace().cluster().kubeconfig(), &opened))?;
        let itself = "{apiVersion: apps/v1, kind: StatefulSet, name: etcd}";
        daemon.write_target("etcd", &document(self.namespace().name()).replace(itself, target))?;
        Ok(daemon)
    }

    fn daemon_with(&self, folder: &str, file: &str) -> anyhow::Result<Daemon> {
        let daemon = self.pods.daemon(folder, file)?;
        daemon.write_target("etcd", &document(self.namespace().name()))?;
        Ok(daemon)
    }

    /// A daemon without any file of a target: what it is to do stands in the cluster ([`Self::apply_autoscaler`]).
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn daemon_of_objects(&self) -> anyhow::Result<Daemon> {
        let namespace = self.namespace();
        // Other tests have objects of their own in theirs.
        let ours = format!("namespaces: [{}], autoscalers: true}}\nsystems", namespace.name());
        let file =
            daemon_file(namespace.cluster().kubeconfig(), "").replace("namespaces: ['*']}\nsystems", &ours);
        self.pods.daemon("plimsoll", &file)
    }

    /// Applies the same document as an object, with something more in its `spec`; without policies, so that only who
    /// wishes for a size gets one.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub fn apply_autoscaler(&self, more: &str) -> anyhow::Result<()> {
        let document = document_with(self.namespace().name(), "ref: pods", &format!("  {more}\n"));
        self.namespace().apply(&document).map(drop)
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
        printed_by(pack.args(["--entrypoint", "/usr/bin/prometheus"]), "").context("packing Prometheus")?;
        self.namespace().cluster().load(&image)?;
        let manifest = include_str!("../data/cluster/prometheus.yaml");
        self.namespace().apply(&manifest.replace("NAMESPACE", self.namespace().name()))?;
        self.namespace().kubectl(&["wait", "--for=condition=Ready", "pod/prometheus", "--timeout=120s"])?;
        Ok(format!("http://prometheus.{}.svc:9090", self.namespace().name()))
    }

    /// A folder for what belongs to the test.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.pods.home()
    }

    /// The address for clients of a pod, while it has one.
    #[must_use]
    pub fn endpoint(&self, pod: &str) -> Option<String> {
        self.pods.address(pod).map(|address| format!("http://{address}:2379"))
    }

    /// What tells the addresses for clients of all pods that have one, at any time.
    pub fn endpoints(&self) -> impl Fn() -> Vec<String> + Send + 'static {
        let addresses = self.pods.addresses();
        move || addresses().into_iter().map(|(_, address)| format!("http://{address}:2379")).collect()
    }

    /// What tells the pods that are gone, each with the id of the member that it was.
    pub fn gone(&self) -> impl Fn() -> BTreeSet<String> + Send + 'static {
        self.pods.gone()
    }

    /// The logs of all members that ever ran.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn logs(&self) -> anyhow::Result<Vec<(String, String)>> {
        self.pods.logs()
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

/// The times of a lease in tests: short, since what is waited for is not what is tried; and half of it is left to a last call,
/// since where all servers share a machine with the test a member takes seconds to answer now and then.
pub(crate) fn lease() -> Value {
    json!({ "duration": "6s", "renewDeadline": "3s", "retryPeriod": "500ms" })
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
    document_with(namespace, "ref: pods", document::NOBODY)
}

/// The document of the etcd as the chart's daemon reads it, with `target-utilization` and its settings on the signal
/// `load`, which is this query of the source `main`.
#[must_use]
pub fn document_of(namespace: &str, settings: &str, query: &str) -> String {
    let policy = document::following("load", query, "target-utilization", settings);
    document_with(namespace, "ref: etcd", &policy)
}

fn document_with(namespace: &str, connection: &str, policies: &str) -> String {
    let document = Document {
        named: &format!("name: etcd, namespace: {namespace}"),
        target: "apiVersion: apps/v1, kind: StatefulSet, name: etcd",
        system: &format!("kind: etcd, {connection}"),
        bounds: (3, 5),
        mode: "enforce",
    };
    document.with(&(document::hasty([""; 0]) + policies))
}
