//! The pods of a StatefulSet in a namespace of the test's own, followed with their logs.

use crate::cluster::Namespace;
use crate::daemon::Daemon;
use crate::process::Process;
use anyhow::Context as _;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a watch that was lost waits before it begins anew.
const AGAIN: Duration = Duration::from_millis(200);

/// Where each pod is, or that it is gone.
type Pods = BTreeMap<String, Option<String>>;
/// The members whose pods went, each with the pod; one of the same name may have come since.
type Gone = BTreeSet<(String, String)>;

/// From what is asked to the command that asks it.
type Ask = Box<dyn Fn(&[&str]) -> Command + Send>;

/// What is known of the pods.
#[derive(Debug, Default)]
struct Seen {
    pods: Mutex<Pods>,
    gone: Mutex<Gone>,
    logs: Mutex<BTreeMap<String, Process>>,
}

/// The pods of an app. All of them go with their namespace.
#[derive(Debug)]
pub(crate) struct FollowedPods {
    namespace: Namespace,
    app: String,
    home: tempfile::TempDir,
    seen: Arc<Seen>,
    /// The process that follows them; none any more once this goes.
    watch: Arc<Mutex<Option<Child>>>,
}

impl Drop for FollowedPods {
    fn drop(&mut self) {
        if let Some(mut watch) = locked(&self.watch).take() {
            // Nothing can be done about a process that cannot be ended while a test is being torn down.
            let _ = watch.kill();
            let _ = watch.wait();
        }
        // The journal outlives whatever is deleted by accident; this is on purpose, or the namespace would stay.
        let free = r#"{"metadata":{"finalizers":null}}"#;
        let _ = self.namespace.kubectl(&["patch", "scalingplan", &self.app, "--type=merge", "--patch", free]);
    }
}

impl FollowedPods {
    /// Follows the pods of an app, and the log of each from when it runs.
    ///
    /// # Errors
    /// When the API server cannot be asked.
    pub(crate) fn of(namespace: Namespace, app: &str) -> anyhow::Result<Self> {
        let home = tempfile::Builder::new().prefix("plimsoll-kube-").tempdir()?;
        let cluster = Arc::clone(namespace.cluster());
        let (kubectl, name) = (cluster.kubectl_program()?, namespace.name().to_owned());
        let ask = move |arguments: &[&str]| -> Command {
            let mut command = cluster.command(&kubectl);
            command.arg("--kubeconfig").arg(cluster.kubeconfig());
            command.args(["--namespace", &name]).args(arguments);
            command
        };
        let seen = Arc::new(Seen::default());
        let (label, app) = (format!("app={app}"), app.to_owned());
        let follower =
            Follower { ask: Box::new(ask), label, home: home.path().to_owned(), seen: Arc::clone(&seen) };
        let watch = follower.start()?;
        Ok(Self { namespace, app, home, seen, watch })
    }

    /// Where they are.
    pub(crate) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// A folder for what belongs to the test.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// The address of a pod, while it has one.
    pub(crate) fn address(&self, pod: &str) -> Option<String> {
        locked(&self.seen.pods).get(pod)?.clone()
    }

    /// What tells all pods that have an address, with it, at any time.
    pub(crate) fn addresses(&self) -> impl Fn() -> Vec<(String, String)> + Send + 'static {
        let seen = Arc::clone(&self.seen);
        move || {
            let pods = locked(&seen.pods);
            pods.iter().filter_map(|(pod, address)| Some((pod.clone(), address.clone()?))).collect()
        }
    }

    /// What tells the pods that are gone, each with the id of the member that it was.
    pub(crate) fn gone(&self) -> impl Fn() -> BTreeSet<String> + Send + 'static {
        let (seen, home) = (Arc::clone(&self.seen), self.home().to_owned());
        move || {
            let (pods, gone) = (locked(&seen.pods), locked(&seen.gone));
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
    pub(crate) fn logs(&self) -> anyhow::Result<Vec<(String, String)>> {
        let read = |pod: &String| {
            let text = std::fs::read(log(self.home(), pod))?;
            Ok((pod.clone(), String::from_utf8_lossy(&text).into_owned()))
        };
        locked(&self.seen.logs).keys().map(read).collect()
    }

    /// The end of each log.
    pub(crate) fn tails(&self) -> String {
        locked(&self.seen.logs).iter().map(|(pod, log)| format!("{pod}:\n{}\n", log.tail())).collect()
    }

    /// A daemon with this file for the target of the app's name, in a folder of that name; nothing is started.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn daemon(&self, folder: &str, file: &str) -> anyhow::Result<Daemon> {
        Daemon::in_folder(&self.home().join(folder), file, &format!("{}/{}", self.namespace.name(), self.app))
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn log(home: &Path, pod: &str) -> PathBuf {
    home.join(format!("{pod}.log"))
}

/// The id of a pod's member, as the log of an etcd tells it.
fn member(home: &Path, pod: &str) -> Option<String> {
    let text = std::fs::read_to_string(log(home, pod)).ok()?;
    let (_, rest) = text.split_once("\"local-member-id\":\"")?;
    Some(rest.split('"').next()?.to_owned())
}

/// What follows the pods: the program with everything but what it is asked.
struct Follower {
    ask: Ask,
    /// The label of the pods.
    label: String,
    home: PathBuf,
    seen: Arc<Seen>,
}

impl Follower {
    /// Follows until what is given is empty.
    fn start(self) -> anyhow::Result<Arc<Mutex<Option<Child>>>> {
        let (child, lines) = self.watch()?;
        let watch = Arc::new(Mutex::new(Some(child)));
        let shared = Arc::clone(&watch);
        std::thread::spawn(move || {
            let mut lines = lines;
            loop {
                lines.map_while(Result::ok).for_each(|line| self.note(&line));
                // The API server went away. What was followed has ended with it, and is read anew from its beginning.
                lines = loop {
                    std::thread::sleep(AGAIN);
                    let mut shared = locked(&shared);
                    let Some(ended) = shared.as_mut() else { return };
                    let _ = ended.wait();
                    locked(&self.seen.logs).clear();
                    let Ok((child, lines)) = self.watch() else { continue };
                    *shared = Some(child);
                    break lines;
                };
            }
        });
        Ok(watch)
    }

    fn watch(&self) -> anyhow::Result<(Child, std::io::Lines<BufReader<ChildStdout>>)> {
        let columns =
            "jsonpath={.type} {.object.metadata.name} {.object.status.phase} {.object.status.podIP}{\"\\n\"}";
        let arguments = ["get", "pods", "-l", &self.label, "-w", "--output-watch-events", "-o", columns];
        let mut command = (self.ask)(&arguments);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let output = child.stdout.take().context("no output")?;
        Ok((child, BufReader::new(output).lines()))
    }

    /// A pod is gone: who it was is remembered, and a later one of its name has a log of its own.
    fn set_aside(&self, pod: &str) {
        let Some(id) = member(&self.home, pod) else { return };
        let mut logs = locked(&self.seen.logs);
        let name = format!("{pod}-{id}");
        // The last lines may still be on their way: whoever writes goes on in the same file.
        let _ = std::fs::rename(log(&self.home, pod), log(&self.home, &name));
        if let Some(process) = logs.remove(pod) {
            logs.insert(name, process);
        }
        locked(&self.seen.gone).insert((pod.to_owned(), id));
    }

    /// One line of the watch: what happened, to which pod, its phase and its address.
    fn note(&self, line: &str) {
        let mut words = line.split_whitespace();
        let (Some(event), Some(pod), phase) = (words.next(), words.next(), words.next()) else { return };
        if event == "DELETED" {
            self.set_aside(pod);
            locked(&self.seen.pods).insert(pod.to_owned(), None);
            return;
        }
        // Before it runs there is no log, and nobody to ask.
        let (Some("Running"), Some(ip)) = (phase, words.next()) else { return };
        let mut logs = locked(&self.seen.logs);
        let file = log(&self.home, pod);
        let was_gone = locked(&self.seen.pods).get(pod) == Some(&None);
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
        locked(&self.seen.pods).insert(pod.to_owned(), Some(ip.to_owned()));
    }
}
