//! The fixture of tests on a real API server: a namespace of the test's own and a daemon with simulated members, whose
//! journals are objects there. Plans take seconds, and everything that people see and write is real.

use crate::cluster::{Cluster, Namespace};
use crate::daemon::Daemon;
use crate::document::{Document, hasty};
use crate::kube::define;
use crate::process::wait_until;
use anyhow::Context as _;
use serde_json::Value;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// What takes seconds on an idle machine; a wait ends as soon as it can.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// How long a line of a shell may take, in seconds.
const SHELL_SECONDS: &str = "120";

/// Where targets come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// Objects of the cluster.
    Objects,
    /// Files of the daemon's folder.
    Files,
}

/// The namespace and its daemon; both end with the test.
pub struct Fixture {
    /// Where it is.
    pub namespace: Namespace,
    /// Who acts there.
    pub daemon: Daemon,
    _home: tempfile::TempDir,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        // The journal outlives whatever is deleted by accident; this is on purpose, or the namespace would stay.
        let free = r#"{"metadata":{"finalizers":null}}"#;
        let _ = self.namespace.kubectl(&["patch", "scalingplan", "db", "--type=merge", "--patch", free]);
    }
}

impl Fixture {
    /// Does something where the cluster can be reached, with the definitions in place and a daemon that is not started.
    ///
    /// # Errors
    /// When the cluster is not there, and what the test says.
    pub fn there<F: Future<Output = anyhow::Result<()>>>(
        from: From,
        test: impl FnOnce(Self) -> F + Send,
    ) -> anyhow::Result<()> {
        let cluster = Cluster::shared()?;
        define(&cluster)?;
        let fixture = Self::new(&cluster, from)?;
        cluster.inside(move || {
            tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(test(fixture))
        })?
    }

    fn new(cluster: &Arc<Cluster>, from: From) -> anyhow::Result<Self> {
        let (namespace, home) = (Namespace::create(cluster)?, tempfile::tempdir()?);
        let file = format!(
            "apiVersion: plimsoll.dev/v1alpha1
kind: DaemonConfig
interval: 1s
http: {{enabled: false}}
kubernetes: {{kubeconfig: {}, namespaces: [{1}], autoscalers: {2}}}
platforms:
  playground: {{kind: sim, seed: 11, namespaces: [{1}]}}
",
            cluster.kubeconfig().display(),
            namespace.name(),
            from == From::Objects
        );
        let daemon = Daemon::in_folder(home.path(), &file, &format!("{}/db", namespace.name()))?;
        Ok(Self { namespace, daemon, _home: home })
    }

    /// The document of `db`, in enforce, whom nobody but people and wishes from outside move; its scale-in waits for
    /// approval.
    #[must_use]
    pub fn document(&self, advice: &str) -> String {
        let named = format!("name: db, namespace: {}", self.namespace.name());
        document("enforce", &format!("  {advice}\n{}", hasty(["approveScaleIn: true"])))
            .replace("name: db", &named)
    }

    /// The autoscaler.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn object(&self) -> anyhow::Result<Value> {
        let text = self.namespace.kubectl(&["get", "statefulautoscaler/db", "--output", "json"])?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Waits until the autoscaler is as wanted.
    ///
    /// # Errors
    /// When it does not become so.
    pub async fn shows(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let last = std::cell::RefCell::new(Value::Null);
        let waited = wait_until(what, PATIENCE, async || {
            let object = self.object()?;
            last.borrow_mut().clone_from(&object["status"]);
            anyhow::ensure!(wanted(&object), "not yet");
            Ok(object)
        });
        waited.await.with_context(|| format!("status: {:#}\nlog: {}", last.borrow(), self.daemon.tail()))
    }

    /// The events about it: reason and note of each.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn events(&self) -> anyhow::Result<Vec<(String, String)>> {
        let text = self.namespace.kubectl(&["get", "events.events.k8s.io", "--output", "json"])?;
        let list: Value = serde_json::from_str(&text)?;
        let about = |event: &&Value| event["regarding"]["kind"] == "StatefulAutoscaler";
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let events = list["items"].as_array().map_or(&[][..], Vec::as_slice);
        Ok(events.iter().filter(about).map(|event| (word(&event["reason"]), word(&event["note"]))).collect())
    }

    /// Waits until an event of this reason says this.
    ///
    /// # Errors
    /// When none does.
    pub async fn tells(&self, reason: &str, part: &str) -> anyhow::Result<()> {
        wait_until(&format!("an event {reason} with {part}"), PATIENCE, async || {
            let events = self.events()?;
            let is_it = |(word, note): &(String, String)| word == reason && note.contains(part);
            anyhow::ensure!(events.iter().any(is_it), "events: {events:#?}");
            Ok(())
        })
        .await
    }

    /// The plan's object.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn plan(&self) -> anyhow::Result<Value> {
        let text = self.namespace.kubectl(&["get", "scalingplan/db", "--output", "json"])?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Waits until the plan's object shows people what is wanted.
    ///
    /// # Errors
    /// When it does not become so.
    pub async fn plan_shows(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let last = std::cell::RefCell::new(Value::Null);
        let waited = wait_until(what, PATIENCE, async || {
            let about = self.plan()?["status"]["about"].take();
            last.borrow_mut().clone_from(&about);
            anyhow::ensure!(wanted(&about), "not yet");
            Ok(about)
        });
        waited.await.with_context(|| format!("about: {:#}\nlog: {}", last.borrow(), self.daemon.tail()))
    }

    /// A line of a shell, as a person at the cluster types it: `kubectl` is in the path, and whatever is in `folder`.
    ///
    /// # Errors
    /// When there is no shell.
    pub fn shell(&self, line: &str, folder: Option<&Path>) -> anyhow::Result<Output> {
        let cluster = self.namespace.cluster();
        let kubectl = cluster.kubectl_program()?;
        let kubectl = kubectl.parent().context("kubectl is in no folder")?.to_path_buf();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = [kubectl].into_iter().chain(folder.map(Path::to_path_buf));
        let path = std::env::join_paths(folders.chain(std::env::split_paths(&path)))?;
        let mut shell = cluster.command("timeout");
        shell.args(["--kill-after=5", SHELL_SECONDS, "sh", "-c", line]);
        shell.env("PATH", path).env("KUBECONFIG", cluster.kubeconfig()).stdin(Stdio::null());
        Ok(shell.output()?)
    }
}

/// The document of a target in the simulator, with further lines of its `spec`.
#[must_use]
pub fn document(mode: &str, further: &str) -> String {
    let document = Document {
        named: "name: db",
        target: "apiVersion: plimsoll.dev/v1alpha1, kind: Sim, name: playground",
        system: "kind: sim-quorum",
        bounds: (3, 5),
        mode,
    };
    document.with(further)
}
