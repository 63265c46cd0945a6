//! The chart, rendered and installed by the real Helm.

use crate::cluster::{Cluster, Namespace};
use anyhow::Context as _;
use serde_json::Value;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, OnceLock};

/// Where Helm and the reader of YAML are, once they are built.
static TOOLS: OnceLock<PathBuf> = OnceLock::new();

/// The chart's folder.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/chart")
}

/// A program of `tests/cluster/helm.sh`, which builds it once for this machine.
///
/// # Errors
/// When it cannot be built.
pub fn tool(name: &str) -> anyhow::Result<PathBuf> {
    if let Some(folder) = TOOLS.get() {
        return Ok(folder.join(name));
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster/helm.sh");
    let built = Command::new(script).stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    anyhow::ensure!(built.status.success(), "Helm cannot be built; what was said is above");
    let folder = PathBuf::from(String::from_utf8(built.stdout)?.trim());
    Ok(TOOLS.get_or_init(|| folder).join(name))
}

/// What the chart makes of these values, document by document.
///
/// # Errors
/// When Helm or the chart's schema refuses the values; the error has what it said.
pub fn render(namespace: &str, values: &Value) -> anyhow::Result<Vec<Value>> {
    let mut helm = Command::new(tool("helm")?);
    helm.args(["template", "plimsoll"]).arg(folder()).args(["--namespace", namespace, "--values", "-"]);
    let rendered = printed_by(&mut helm, &values.to_string())?;
    documents(&rendered)
}

/// Reads YAML as the API server does.
///
/// # Errors
/// When it is none.
pub fn documents(text: &str) -> anyhow::Result<Vec<Value>> {
    let read = printed_by(&mut Command::new(tool("documents")?), text)?;
    read.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// What a program prints when it was told something on its standard input.
///
/// # Errors
/// When it fails; the error has what it said.
pub fn printed_by(command: &mut Command, input: &str) -> anyhow::Result<String> {
    let output = output(command, input)?;
    let (said, complaint) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    anyhow::ensure!(output.status.success(), "{command:?} failed: {said}{complaint}");
    Ok(said.into_owned())
}

fn output(command: &mut Command, input: &str) -> anyhow::Result<Output> {
    let mut file = tempfile::tempfile()?;
    file.write_all(input.as_bytes())?;
    file.rewind()?;
    let output = command.stdin(Stdio::from(file)).output();
    output.with_context(|| format!("running {}", command.get_program().to_string_lossy()))
}

/// The chart as it was installed in a namespace of a cluster. It goes with it.
#[derive(Debug)]
pub struct Release {
    cluster: Arc<Cluster>,
    namespace: String,
    /// Whether somebody has uninstalled it already.
    is_gone: bool,
}

impl Release {
    /// The release's name, and with it the name of most of its objects.
    pub const NAME: &str = "plimsoll";

    /// Installs the chart. Returns before its pods run.
    ///
    /// # Errors
    /// When Helm or the API server refuses it.
    pub fn install(namespace: &Namespace, values: &Value) -> anyhow::Result<Self> {
        let cluster = Arc::clone(namespace.cluster());
        let release = Self { cluster, namespace: namespace.name().to_owned(), is_gone: false };
        release.helm("install", &[&folder().to_string_lossy(), "--values", "-"], values)?;
        Ok(release)
    }

    /// Installs it again with other values; those that are not named are as by default.
    ///
    /// # Errors
    /// When Helm or the API server refuses it.
    pub fn upgrade(&self, values: &Value) -> anyhow::Result<()> {
        self.helm("upgrade", &[&folder().to_string_lossy(), "--values", "-"], values)
    }

    /// Takes it away as a user does.
    ///
    /// # Errors
    /// When Helm or the API server refuses it.
    pub fn uninstall(mut self) -> anyhow::Result<()> {
        self.is_gone = true;
        self.helm("uninstall", &["--wait", "--timeout=120s"], &Value::Null)
    }

    /// Its service account's user.
    #[must_use]
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, Self::NAME)
    }

    fn helm(&self, verb: &str, arguments: &[&str], values: &Value) -> anyhow::Result<()> {
        let home = tempfile::tempdir()?;
        let mut helm = self.cluster.command(tool("helm")?);
        helm.arg(verb).arg(Self::NAME).args(arguments).args(["--namespace", &self.namespace]);
        helm.arg("--kubeconfig").arg(self.cluster.kubeconfig());
        // It keeps nothing in the home of whoever runs the tests.
        helm.env("HELM_CACHE_HOME", home.path()).env("HELM_CONFIG_HOME", home.path());
        helm.env("HELM_DATA_HOME", home.path());
        printed_by(&mut helm, &values.to_string()).map(drop)
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        // What is not in the namespace would stay behind, and would be in the way of the next of this name.
        if !self.is_gone
            && let Err(error) = self.helm("uninstall", &[], &Value::Null)
        {
            eprintln!("the release in {} could not be taken away: {error:#}", self.namespace);
        }
    }
}
