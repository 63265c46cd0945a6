//! Follows the pods of a StatefulSet and their logs.

use crate::cluster::Namespace;
use crate::process::Process;
use anyhow::Context as _;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a watch that was lost waits before it begins anew.
const AGAIN: Duration = Duration::from_millis(200);

/// Where each pod is, or that it is gone.
pub(crate) type Pods = BTreeMap<String, Option<String>>;
/// The members whose pods went, each with the pod; one of the same name may have come since.
pub(crate) type Gone = BTreeSet<(String, String)>;

pub(super) fn log(home: &Path, pod: &str) -> PathBuf {
    home.join(format!("{pod}.log"))
}

/// The id of a pod's member, as the log of an etcd tells it.
pub(super) fn member(home: &Path, pod: &str) -> Option<String> {
    let text = std::fs::read_to_string(log(home, pod)).ok()?;
    let (_, rest) = text.split_once("\"local-member-id\":\"")?;
    Some(rest.split('"').next()?.to_owned())
}

/// From what is asked to the command that asks it.
type Ask = Box<dyn Fn(&[&str]) -> Command + Send>;

/// What follows the pods: the program with everything but what it is asked.
struct Follower {
    ask: Ask,
    /// The label of the pods.
    label: String,
    home: PathBuf,
    pods: Arc<Mutex<Pods>>,
    gone: Arc<Mutex<Gone>>,
    logs: Arc<Mutex<BTreeMap<String, Process>>>,
}

/// Follows the pods of an app, and the log of each from when it runs, until `watch` is empty.
pub(crate) fn follow(
    (namespace, app): (&Namespace, &str),
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
    let label = format!("app={app}");
    let follower = Follower { ask: Box::new(ask), label, home: home.to_owned(), pods, gone, logs };
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

/// Ends what follows the pods.
pub(crate) fn unfollow(watch: &Mutex<Option<Child>>) {
    if let Some(mut watch) = watch.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // Nothing can be done about a process that cannot be ended while a test is being torn down.
        let _ = watch.kill();
        let _ = watch.wait();
    }
}

impl Follower {
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
