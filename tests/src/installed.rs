//! Plimsoll as its users run it on Kubernetes: pods that the chart made, asked over HTTP, given orders by `kubectl exec`,
//! and killed by their own process ids.

use crate::chart::{Release, printed_by};
use crate::cluster::{Cluster, Namespace};
use crate::etcd::http_get;
use crate::kube::lease;
use crate::process::wait_until;
use anyhow::Context as _;
use plimsoll::kubernetes::{Access, ApiServer, scaling_plan};
use plimsoll_wire::journal::Journal;
use plimsoll_wire::status::Status;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

/// The tags of the image that was brought into the cluster: to go from one to the other is an upgrade.
pub const TAGS: [&str; 2] = ["test", "next"];

/// A pod compiles its policies anew before it serves, in a build for debugging, on a machine that has more to do.
const PATIENCE: Duration = Duration::from_secs(240);

/// Which clusters have the image already.
static LOADED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Packs the daemon's image and brings it into the cluster under both tags, once for this process.
///
/// # Errors
/// When it cannot be packed or loaded; a user's cluster has to have it.
pub fn bring_image(cluster: &Cluster) -> anyhow::Result<()> {
    let mut loaded = LOADED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let Some(name) = cluster.name() else { return Ok(()) };
    if loaded.iter().any(|known| known == name) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    // What is for a debugger is nine tenths of it, and nobody debugs in a pod.
    let binary = folder.path().join("plimsoll");
    printed_by(Command::new("strip").arg("-o").arg(&binary).arg(crate::binary()), "")?;
    for tag in TAGS {
        let image = folder.path().join(format!("{tag}.tar"));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/plimsoll-image.sh");
        printed_by(Command::new(script).arg(&image).arg(&binary).arg(tag), "")?;
        cluster.load(&image)?;
    }
    loaded.push(name.to_owned());
    Ok(())
}

/// Pods that the chart made, for one target.
#[derive(Debug)]
pub struct Installed {
    release: Release,
    /// Where the pods are; it goes after the release.
    home: Namespace,
    server: ApiServer,
    /// `namespace/name`.
    target: String,
    values: Value,
}

/// One pod of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its address.
    pub ip: String,
}

impl Installed {
    /// Installs the chart in a namespace of its own, which takes nothing but restricted pods, and waits until it is
    /// ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn install(home: Namespace, target: &str, mut values: Value) -> anyhow::Result<Self> {
        bring_image(home.cluster())?;
        let restricted = "pod-security.kubernetes.io/enforce=restricted";
        home.kubectl(&["label", "namespace", home.name(), restricted])?;
        // The one policy that is used: the others of the image would be compiled at each start.
        let module = crate::daemon::shipped("target-utilization.wasm");
        let module = format!("--from-file={}", module.display());
        home.kubectl(&["create", "configmap", "policies", &module])?;
        values["policies"] = json!({ "configMaps": ["policies"] });
        values["config"]["kubernetes"]["lease"] = lease();
        if home.cluster().name().is_some() {
            values["image"] = json!({ "tag": TAGS[0], "pullPolicy": "Never" });
        }
        let release = Release::install(&home, &values)?;
        let kubeconfig = Some(home.cluster().kubeconfig().to_owned());
        let server = ApiServer::open(Access { kubeconfig, context: None }).await?;
        let installed = Self { release, home, server, target: target.to_owned(), values };
        installed.ready().await?;
        Ok(installed)
    }

    /// Waits until every pod is ready.
    ///
    /// # Errors
    /// When one is not.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let deployment = format!("deployment/{}", Release::NAME);
        let waited = wait_until("the pods are ready", PATIENCE, async || {
            let seen = self.home.kubectl(&["get", &deployment, "--output=json"])?;
            let seen: Value = serde_json::from_str(&seen)?;
            let (wished, status) = (&seen["spec"]["replicas"], &seen["status"]);
            let current = status["observedGeneration"] == seen["metadata"]["generation"];
            let all = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"];
            anyhow::ensure!(current && all.iter().all(|one| status[one] == *wished), "{status}");
            Ok(())
        })
        .await;
        waited.with_context(|| self.complaints())
    }

    /// What pods and daemons say, for messages of failed tests.
    #[must_use]
    pub fn complaints(&self) -> String {
        let selector = format!("app.kubernetes.io/instance={}", Release::NAME);
        let described = self.home.kubectl(&["describe", "pods", "-l", &selector]).unwrap_or_default();
        let logs = self.home.kubectl(&["logs", "--prefix", "--tail=30", "-l", &selector]).unwrap_or_default();
        format!("{described}\n{logs}")
    }

    /// Where its pods are.
    #[must_use]
    pub fn home(&self) -> &Namespace {
        &self.home
    }

    /// The release.
    #[must_use]
    pub fn release(&self) -> &Release {
        &self.release
    }

    /// Its pods that are not about to go.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn pods(&self) -> anyhow::Result<Vec<Pod>> {
        let selector = format!("app.kubernetes.io/instance={}", Release::NAME);
        let list = self.home.kubectl(&["get", "pods", "--selector", &selector, "--output=json"])?;
        let list: Value = serde_json::from_str(&list)?;
        let living = list["items"].as_array().context("no list")?.iter();
        let living = living.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let pods = living.map(|pod| Pod {
            name: word(&pod["metadata"]["name"]),
            uid: word(&pod["metadata"]["uid"]),
            ip: word(&pod["status"]["podIP"]),
        });
        Ok(pods.collect())
    }

    /// The pod that acts: the one that the lease names, or the only one.
    ///
    /// # Errors
    /// When nobody leads.
    pub fn leader(&self) -> anyhow::Result<Pod> {
        let pods = self.pods()?;
        if let [only] = &*pods {
            return Ok(only.clone());
        }
        let lease = format!("lease/{}", Release::NAME);
        let holder = self.home.field(&lease, ".spec.holderIdentity")?;
        let leads = |pod: &&Pod| !pod.ip.is_empty() && holder.contains(&pod.name);
        pods.iter().find(leads).cloned().with_context(|| format!("{holder:?} leads, of {pods:?}"))
    }

    /// The process of a pod's daemon on this machine.
    ///
    /// # Errors
    /// When there is none.
    pub fn process(&self, pod: &Pod) -> anyhow::Result<Pid> {
        for entry in std::fs::read_dir("/proc")? {
            let Ok(id) = entry?.file_name().to_string_lossy().parse::<i32>() else { continue };
            let groups = std::fs::read_to_string(format!("/proc/{id}/cgroup")).unwrap_or_default();
            let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            // Its children are policies, and have another mode as their first word.
            if groups.contains(&format!("pod{}", pod.uid)) && words.get(1) == Some(&&b"run"[..]) {
                return Pid::from_raw(id).context("no process id");
            }
        }
        anyhow::bail!("{} has no process here", pod.name)
    }

    /// Kills a process as a power loss would. What the pod had on its disk goes with [`Self::remove`].
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(&self, process: Pid) -> anyhow::Result<()> {
        Ok(kill_process(process, Signal::KILL)?)
    }

    /// Takes a pod away at once, with its disk.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub fn remove(&self, pod: &Pod) -> anyhow::Result<()> {
        let gone = ["delete", "pod", &pod.name, "--force", "--grace-period=0", "--wait=false"];
        self.home.kubectl(&gone).map(drop)
    }

    /// Installs it anew with some values changed.
    ///
    /// # Errors
    /// When Helm or the API server refuses it.
    pub fn upgrade(&mut self, change: impl FnOnce(&mut Value)) -> anyhow::Result<()> {
        change(&mut self.values);
        self.release.upgrade(&self.values)
    }

    /// Runs the command line in the pod that leads.
    ///
    /// # Errors
    /// When it fails; the error has what it said.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let pod = self.leader()?;
        self.home.kubectl(&[&["exec", &pod.name, "--", "plimsoll"], arguments].concat())
    }

    /// The status of its target, as the pod that leads tells it.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn status(&self) -> anyhow::Result<Status> {
        let url = format!("http://{}:9750/v1/targets/{}", self.leader()?.ip, self.target);
        Ok(serde_json::from_str(&http_get(&url).await?)?)
    }

    /// Waits until the status is as wanted.
    ///
    /// # Errors
    /// When it is not in time; with what was seen last.
    pub async fn until(
        &self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&Status) -> bool,
    ) -> anyhow::Result<Status> {
        let last = std::cell::RefCell::new(String::new());
        let waited = wait_until(what, within, async || {
            let status = self.status().await?;
            *last.borrow_mut() = format!("{status:#?}");
            anyhow::ensure!(wanted(&status), "not yet");
            Ok(status)
        });
        waited.await.with_context(|| format!("last status: {}\n{}", last.borrow(), self.complaints()))
    }

    /// The durable state of its target, read from the API server past everybody; none before it was first taken over.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn journal(&self) -> anyhow::Result<Option<Journal>> {
        let (namespace, name) = self.target.split_once('/').context("no namespace")?;
        let path = format!("{}/{name}", scaling_plan::collection(namespace));
        let object = match self.server.read(&path).await {
            Ok(object) => object,
            Err(plimsoll::kubernetes::Failure::NotFound { .. }) => return Ok(None),
            Err(failure) => return Err(failure.into()),
        };
        let journal = &object["status"]["journal"];
        if journal.is_null() { Ok(None) } else { Ok(Some(serde_json::from_value(journal.clone())?)) }
    }
}
