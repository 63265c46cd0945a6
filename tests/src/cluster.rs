//! A real Kubernetes cluster, started by the commands of `tests/cluster` or lent by the user.
//!
//! `PLIMSOLL_TEST_CLUSTER` says which: unset, a cluster of the test's own that goes with it; `mine`, the one that
//! `KUBECONFIG` names, with images that were loaded beforehand; any other word, the cluster of that name that
//! `make cluster-up NAME=...` started, which stays. With `PLIMSOLL_KEEP_CLUSTER` a test's own cluster stays to be
//! looked at, until the next run takes it away.

use anyhow::Context as _;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Seconds that one `kubectl` may take; those that wait have shorter deadlines of their own.
const KUBECTL_SECONDS: &str = "180";
/// How many processes of this machine may have clusters of their own at a time: each takes 700 MB.
const SLOTS: u32 = 6;

/// The cluster that tests of this process share. What is static is never dropped: its guard takes it down.
static SHARED: Mutex<Option<Arc<Cluster>>> = Mutex::new(None);
/// Tells namespaces of this process apart.
static NAMESPACES: AtomicU32 = AtomicU32::new(0);

/// A cluster for tests.
#[derive(Debug)]
pub struct Cluster {
    home: Home,
    kubeconfig: PathBuf,
}

#[derive(Debug)]
enum Home {
    /// The test's own, taken down with it. The lock says that its owner lives.
    Own { name: String, _lock: File },
    /// Somebody else's on this machine.
    Joined { name: String },
    /// The user's own, wherever it is.
    Mine,
}

impl Cluster {
    /// The cluster that the environment asks for; a fresh one when it asks for none.
    ///
    /// # Errors
    /// When it does not come up, or `mine` is wished without `KUBECONFIG`.
    pub fn start() -> anyhow::Result<Self> {
        match std::env::var("PLIMSOLL_TEST_CLUSTER") {
            Ok(wish) if wish == "mine" => {
                let kubeconfig =
                    std::env::var_os("KUBECONFIG").context("PLIMSOLL_TEST_CLUSTER=mine needs KUBECONFIG")?;
                Ok(Self { home: Home::Mine, kubeconfig: kubeconfig.into() })
            }
            Ok(name) if !name.is_empty() => {
                let kubeconfig = folder().join(&name).join("kubeconfig");
                let cluster = Self { home: Home::Joined { name }, kubeconfig };
                cluster.up()?;
                Ok(cluster)
            }
            Ok(_) | Err(_) => Self::start_own(),
        }
    }

    /// A fresh cluster of the test's own, whatever the environment asks for.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_own() -> anyhow::Result<Self> {
        // A failure to come up takes away what was started.
        let cluster = Self::reserve()?;
        cluster.up()?;
        Ok(cluster)
    }

    /// A cluster of the test's own that is not up yet.
    ///
    /// # Errors
    /// When too many processes have one, or what a dead one left cannot be taken away.
    pub fn reserve() -> anyhow::Result<Self> {
        let (name, lock) = reserve()?;
        if !is_kept() {
            guard(&name)?;
        }
        let kubeconfig = folder().join(&name).join("kubeconfig");
        Ok(Self { home: Home::Own { name, _lock: lock }, kubeconfig })
    }

    /// Brings up what is not, on this machine.
    ///
    /// # Errors
    /// When it does not come up, or the cluster is the user's.
    pub fn up(&self) -> anyhow::Result<()> {
        script("up", self.on_this_machine()?, [] as [&str; 0])
    }

    /// The cluster that tests of this process share: started by the first that asks, and gone soon after the process.
    /// To be kept apart, each test uses namespaces of its own.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn shared() -> anyhow::Result<Arc<Self>> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cluster) = &*shared {
            return Ok(Arc::clone(cluster));
        }
        let cluster = Arc::new(Self::start()?);
        *shared = Some(Arc::clone(&cluster));
        Ok(cluster)
    }

    /// Its name on this machine; the user's own has none.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match &self.home {
            Home::Own { name, .. } | Home::Joined { name } => Some(name),
            Home::Mine => None,
        }
    }

    /// An administrator's way in. The address in it is reachable by [`Self::command`] and [`Self::inside`].
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The folder with state and logs (`log/PART`) of a cluster on this machine.
    #[must_use]
    pub fn state(&self) -> Option<PathBuf> {
        self.name().map(|name| folder().join(name))
    }

    /// A program that will run where the cluster's addresses are reachable. Its process id is the program's own.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let Some(name) = self.name() else { return Command::new(program) };
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", namespace(name).display())).arg("--").arg(program);
        command
    }

    /// Does something on a thread whose new sockets are in the cluster's network; threads that it starts, such as
    /// those of a runtime built in it, are there too.
    ///
    /// # Errors
    /// When the network cannot be entered.
    ///
    /// # Panics
    /// When the work does.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
        let network = match self.name() {
            Some(name) => Some(File::open(namespace(name)).context("opening the cluster's network")?),
            None => None,
        };
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                if let Some(network) = network {
                    let kind = Some(rustix::thread::LinkNameSpaceType::Network);
                    rustix::thread::move_into_link_name_space(network.as_fd(), kind)?;
                }
                Ok(work())
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// What `kubectl` prints, as administrator.
    ///
    /// # Errors
    /// When it fails; the error has what it said.
    pub fn kubectl<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> anyhow::Result<String> {
        self.kubectl_with(arguments, "")
    }

    /// The same, with something to read on its standard input.
    ///
    /// # Errors
    /// When it fails; the error has what it said.
    pub fn kubectl_with<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        input: &str,
    ) -> anyhow::Result<String> {
        let mut file = tempfile::tempfile()?;
        file.write_all(input.as_bytes())?;
        file.rewind()?;
        let mut command = self.command("timeout");
        command.args(["--kill-after=5", KUBECTL_SECONDS]);
        command.arg(self.kubectl_program()?).arg("--kubeconfig").arg(&self.kubeconfig);
        said(command.args(arguments).stdin(Stdio::from(file)))
    }

    /// Where `kubectl` is: that of the cluster's version, or the user's.
    ///
    /// # Errors
    /// When the cluster does not tell.
    pub fn kubectl_program(&self) -> anyhow::Result<PathBuf> {
        let Some(state) = self.state() else { return Ok("kubectl".into()) };
        let bin = std::fs::read_to_string(state.join("bin")).context("the cluster is not up")?;
        Ok(Path::new(bin.trim()).join("kubectl"))
    }

    /// Applies a manifest and returns what changed.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub fn apply(&self, manifest: &str) -> anyhow::Result<String> {
        self.kubectl_with(["apply", "-f", "-"], manifest)
    }

    /// Imports an image that `scripts/pack-image.sh` packed.
    ///
    /// # Errors
    /// When it cannot be imported, or the cluster is the user's.
    pub fn load(&self, image: &Path) -> anyhow::Result<()> {
        script("load", self.on_this_machine()?, [image])
    }

    /// Makes more volumes for claims.
    ///
    /// # Errors
    /// When they cannot be made, or the cluster is the user's.
    pub fn make_volumes(&self, count: u32) -> anyhow::Result<()> {
        script("volumes", self.on_this_machine()?, [count.to_string()])
    }

    /// Ends one of its processes at once: `etcd`, `apiserver`, `controller-manager`, `scheduler`, `containerd`,
    /// `kubelet` or `dns`.
    ///
    /// # Errors
    /// When it does not end, or the cluster is the user's.
    pub fn stop_part(&self, part: &str) -> anyhow::Result<()> {
        script("stop", self.on_this_machine()?, [part])
    }

    /// Starts it again, with further flags. It need not be ready yet when this returns.
    ///
    /// # Errors
    /// When it cannot be started, or the cluster is the user's.
    pub fn start_part(&self, part: &str, flags: &[&str]) -> anyhow::Result<()> {
        script("start", self.on_this_machine()?, [&[part], flags].concat())
    }

    fn on_this_machine(&self) -> anyhow::Result<&str> {
        self.name().context("the parts of a user's cluster are not ours")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let Home::Own { name, .. } = &self.home else { return };
        if is_kept() {
            eprintln!("the cluster {name} is kept: {} kubectl {name} ...", program().display());
        } else if let Err(error) = script("down", name, [] as [&str; 0]) {
            eprintln!("the cluster {name} could not be taken down: {error:#}");
        }
    }
}

/// A namespace of a test; it goes with it.
#[derive(Debug)]
pub struct Namespace {
    cluster: Arc<Cluster>,
    name: String,
}

impl Namespace {
    /// Makes a new one.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub fn create(cluster: &Arc<Cluster>) -> anyhow::Result<Self> {
        let number = NAMESPACES.fetch_add(1, Ordering::Relaxed);
        let name = format!("plimsoll-test-{}-{number}", std::process::id());
        cluster.kubectl(["create", "namespace", &name])?;
        Ok(Self { cluster: Arc::clone(cluster), name })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    #[must_use]
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// What `kubectl` prints, about this namespace.
    ///
    /// # Errors
    /// When it fails; the error has what it said.
    pub fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.cluster.kubectl([&["--namespace", &self.name], arguments].concat())
    }

    /// Applies a manifest here and returns what changed.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub fn apply(&self, manifest: &str) -> anyhow::Result<String> {
        self.cluster.kubectl_with(["--namespace", &self.name, "apply", "-f", "-"], manifest)
    }

    /// One field of an object, such as `statefulset/etcd` and `.status.readyReplicas`; empty when it has none.
    ///
    /// # Errors
    /// When there is no such object.
    pub fn field(&self, object: &str, path: &str) -> anyhow::Result<String> {
        self.kubectl(&["get", object, "--output", &format!("jsonpath={{{path}}}")])
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // A user's cluster keeps nothing of ours; one that is taken down anyway needs no waiting.
        let wait = format!("--wait={}", matches!(self.cluster.home, Home::Mine));
        if let Err(error) = self.cluster.kubectl(["delete", "namespace", &self.name, &wait]) {
            eprintln!("the namespace {} could not be deleted: {error:#}", self.name);
        }
    }
}

/// Whether tests run on a cluster whose machines are not ours to look into.
#[must_use]
pub fn is_the_users() -> bool {
    std::env::var("PLIMSOLL_TEST_CLUSTER").is_ok_and(|wish| wish == "mine")
}

/// The script that starts and ends clusters.
#[must_use]
pub fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster/cluster")
}

/// Where the script keeps the clusters of this machine.
#[must_use]
pub fn folder() -> PathBuf {
    std::env::var_os("PLIMSOLL_CLUSTERS").map_or_else(|| "/var/tmp/plimsoll-clusters".into(), PathBuf::from)
}

/// The network namespace of a cluster of this machine.
#[must_use]
pub fn namespace(name: &str) -> PathBuf {
    PathBuf::from(format!("/run/netns/plimsoll-{name}"))
}

/// Runs a verb of the script. What it tells about its progress goes where the test's own output goes.
fn script<S: AsRef<OsStr>>(
    verb: &str,
    name: &str,
    arguments: impl IntoIterator<Item = S>,
) -> anyhow::Result<()> {
    let mut command = Command::new(program());
    let status = command.arg(verb).arg(name).args(arguments).stdin(Stdio::null()).status();
    let status = status.with_context(|| format!("running {}", program().display()))?;
    anyhow::ensure!(status.success(), "`cluster {verb} {name}` failed; what it said is above");
    Ok(())
}

/// A name that no other living process uses. What dead ones left behind under these names is taken away.
fn reserve() -> anyhow::Result<(String, File)> {
    let locks = folder().join("locks");
    std::fs::create_dir_all(&locks).with_context(|| format!("making {}", locks.display()))?;
    let mut reserved = None;
    for slot in 0..SLOTS {
        let name = format!("test-{slot}");
        let lock = File::create(owner(&name))?;
        if lock.try_lock().is_err() {
            continue;
        }
        if folder().join(&name).exists() || namespace(&name).exists() {
            script("down", &name, [] as [&str; 0])?;
        }
        if reserved.is_none() {
            reserved = Some((name, lock));
        }
    }
    reserved.with_context(|| format!("{SLOTS} processes have clusters of their own already"))
}

/// Whoever holds this file's lock has the cluster of that name.
fn owner(name: &str) -> PathBuf {
    folder().join("locks").join(format!("{name}.owner"))
}

fn is_kept() -> bool {
    std::env::var_os("PLIMSOLL_KEEP_CLUSTER").is_some()
}

/// Leaves somebody behind who takes the cluster down when the lock is free again: when this process has ended, however
/// it did. To take down what is gone already does nothing.
fn guard(name: &str) -> anyhow::Result<()> {
    let mut command = Command::new("setsid");
    command.args(["--fork", "flock"]).arg(owner(name)).arg(program()).args(["down", name]);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    anyhow::ensure!(status.context("running setsid")?.success(), "no guard for the cluster {name}");
    Ok(())
}

/// What a command prints, when it succeeds.
fn said(command: &mut Command) -> anyhow::Result<String> {
    let Output { status, stdout, stderr } =
        command.output().with_context(|| format!("running {command:?}"))?;
    anyhow::ensure!(
        status.success(),
        "{command:?} failed with {status}: {}",
        String::from_utf8_lossy(&stderr).trim()
    );
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}
