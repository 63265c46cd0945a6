//! A daemon with an identity of its own on the API server, all of which can be taken away and given back: its rights, its
//! token, and the authority that it trusts.

use crate::cluster::{Cluster, Namespace};
use anyhow::Context as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// The name that the server shows by a certificate of its own for this daemon.
const SERVER: &str = "api.plimsoll.test";

/// What the daemon is on the API server.
#[derive(Debug)]
pub struct Identity {
    cluster: Arc<Cluster>,
    namespace: String,
    home: PathBuf,
    tokens: u32,
}

impl Identity {
    /// An account with the rights of a daemon in a namespace, its first token, and a server that shows a certificate of an
    /// authority that only this daemon knows.
    ///
    /// # Errors
    /// When one of them cannot be made.
    pub fn make(namespace: &Namespace, home: &Path) -> anyhow::Result<Self> {
        let home = home.join("identity");
        std::fs::create_dir_all(&home)?;
        let name = namespace.name().to_owned();
        let mut identity =
            Self { cluster: Arc::clone(namespace.cluster()), namespace: name, home, tokens: 0 };
        identity.cluster.apply(&identity.rights())?;
        identity.binding("apply")?;
        identity.new_token()?;
        identity.new_authority()?;
        identity.trust()?;
        let kubeconfig = format!(
            "apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: 'https://10.96.0.1:443', tls-server-name: {SERVER}, certificate-authority: {0}/trusted.crt}}}}]
users: [{{name: u, user: {{tokenFile: {0}/token}}}}]
contexts: [{{name: x, context: {{cluster: c, user: u}}}}]
current-context: x
",
            identity.home.display()
        );
        std::fs::write(identity.kubeconfig(), kubeconfig)?;
        Ok(identity)
    }

    /// Where its kubeconfig is.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.home.join("kubeconfig")
    }

    fn rights(&self) -> String {
        format!(
            "apiVersion: v1
kind: ServiceAccount
metadata: {{name: governor, namespace: {0}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: governor-{0}}}
rules:
  - {{apiGroups: [''], resources: [pods, persistentvolumeclaims, nodes, resourcequotas], verbs: [get, list, watch]}}
  - {{apiGroups: [apps], resources: [statefulsets], verbs: [get, list, watch, patch]}}
  - {{apiGroups: [apps], resources: [statefulsets/scale], verbs: [get, patch]}}
  - {{apiGroups: [policy], resources: [poddisruptionbudgets], verbs: [get, list, watch]}}
  - {{apiGroups: [autoscaling], resources: [horizontalpodautoscalers], verbs: [get, list, watch]}}
  - {{apiGroups: [plimsoll.dev], resources: [scalingplans, scalingplans/status], verbs: [get, list, watch, create, update, patch]}}
",
            self.namespace
        )
    }

    fn binding(&self, verb: &str) -> anyhow::Result<()> {
        let binding = format!(
            "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: governor-{0}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: governor-{0}}}
subjects: [{{kind: ServiceAccount, name: governor, namespace: {0}}}]
",
            self.namespace
        );
        self.cluster.kubectl_with([verb, "-f", "-"], &binding).map(drop)
    }

    /// Takes all its rights away.
    ///
    /// # Errors
    /// When the API server does not do it.
    pub fn without_rights(&self) -> anyhow::Result<()> {
        self.binding("delete")
    }

    /// Gives them back.
    ///
    /// # Errors
    /// When the API server does not do it.
    pub fn with_rights(&self) -> anyhow::Result<()> {
        self.binding("apply")
    }

    fn secret(&self) -> String {
        format!("token-{}", self.tokens)
    }

    fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.cluster.kubectl([&["--namespace", &self.namespace], arguments].concat())
    }

    /// A token that is good as long as a Secret is there, in the place of the one before.
    ///
    /// # Errors
    /// When the API server gives none.
    pub fn new_token(&mut self) -> anyhow::Result<()> {
        self.tokens += 1;
        let secret = self.secret();
        self.kubectl(&["create", "secret", "generic", &secret])?;
        let bound = ["--bound-object-kind=Secret", "--bound-object-name"];
        let token = self.kubectl(&["create", "token", "governor", bound[0], bound[1], &secret])?;
        // Whole or not at all, as a mounted one is replaced.
        std::fs::write(self.home.join("token.new"), token.trim())?;
        Ok(std::fs::rename(self.home.join("token.new"), self.home.join("token"))?)
    }

    /// The token is good for nothing any more.
    ///
    /// # Errors
    /// When the API server does not do it.
    pub fn revoke_token(&self) -> anyhow::Result<()> {
        self.kubectl(&["delete", "secret", &self.secret()]).map(drop)
    }

    /// An authority that was not there before, and a certificate of it for the server.
    ///
    /// # Errors
    /// When openssl fails.
    pub fn new_authority(&self) -> anyhow::Result<()> {
        let script = "
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -subj /CN=authority-$$ -days 9 -out ca.crt
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -subj /CN=server -out server.csr
            printf 'subjectAltName=DNS:%s\\nextendedKeyUsage=serverAuth\\n' \"$1\" >extensions
            openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 9 -extfile extensions -out server.crt";
        let made =
            Command::new("sh").args(["-euc", script, "sh", SERVER]).current_dir(&self.home).output()?;
        anyhow::ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Ok(())
    }

    /// The daemon is given the newest authority.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn trust(&self) -> anyhow::Result<()> {
        std::fs::copy(self.home.join("ca.crt"), self.home.join("trusted.new"))?;
        Ok(std::fs::rename(self.home.join("trusted.new"), self.home.join("trusted.crt"))?)
    }

    /// Starts the API server anew, with the newest certificate and further flags.
    ///
    /// # Errors
    /// When it does not stop or start.
    pub fn restart_server(&self, more: &[&str]) -> anyhow::Result<()> {
        self.cluster.stop_part("apiserver")?;
        self.start_server(more)
    }

    /// Starts it when it is gone.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_server(&self, more: &[&str]) -> anyhow::Result<()> {
        let home = self.home.to_str().context("an odd path")?;
        let shown = format!("--tls-sni-cert-key={home}/server.crt,{home}/server.key:{SERVER}");
        self.cluster.start_part("apiserver", &[&[&*shown], more].concat())
    }
}
