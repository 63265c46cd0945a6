//! A folder with the scripts, the state and the traces of one test.

use plimsoll::actuate::Permit;
use plimsoll::platforms::exec::{Command, Exec, ExecConfig, Listing, SharedLists};
use plimsoll_wire::journal::{Join, PlatformVerb};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) const TARGET: &str = "lab/web";

pub(crate) struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let lab = Self { folder: tempfile::tempdir().unwrap() };
        for name in ["list", "add", "remove"] {
            lab.script(name, "exit 99");
        }
        lab
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A script; `$d` is the folder of the test.
    pub(crate) fn script(&self, name: &str, body: &str) {
        let text = format!("d={}\n{body}\n", self.folder.path().display());
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub(crate) fn command(&self, name: &str) -> Command {
        Command {
            argv: vec!["/bin/sh".into(), self.path(name).display().to_string()],
            timeout: Duration::from_secs(60),
            env: BTreeMap::new(),
        }
    }

    pub(crate) fn config(&self) -> ExecConfig {
        ExecConfig {
            list: Listing::Each(self.command("list")),
            add: Some(self.command("add")),
            remove: Some(self.command("remove")),
            working_dir: self.folder.path().to_owned(),
        }
    }

    pub(crate) fn exec(&self) -> Exec {
        self.exec_with(self.config())
    }

    pub(crate) fn exec_with(&self, config: ExecConfig) -> Exec {
        self.exec_among(config, &SharedLists::default())
    }

    pub(crate) fn exec_among(&self, config: ExecConfig, lists: &SharedLists) -> Exec {
        Exec::new("lab", config, lists, self.state()).unwrap().with_guard(binary())
    }

    /// The number that a script has written to a file of this name, once it is there.
    pub(crate) fn pid(&self, name: &str) -> i32 {
        until("a process id is written", || self.read(name).ends_with('\n'));
        self.read(name).trim().parse().unwrap()
    }

    /// The same without blocking what must go on meanwhile.
    pub(crate) async fn written(&self, name: &str) {
        let begun = Instant::now();
        while !self.read(name).ends_with('\n') {
            assert!(begun.elapsed() < Duration::from_secs(30), "never written: {name}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// A daemon in small, which can be killed.
    pub(crate) fn actor(&self, script: &str, intent: &str) -> Actor {
        let document = serde_json::json!({
            "script": self.path(script), "state": self.state(), "guard": binary(),
            "target": TARGET, "intent": intent,
        });
        let output = fs::File::create(self.path(&format!("actor-{intent}"))).unwrap();
        let child = std::process::Command::new(env!("CARGO_BIN_EXE_exec-actor"))
            .arg(document.to_string())
            .stdout(output)
            .process_group(0)
            .spawn()
            .unwrap();
        Actor(child)
    }
}

pub(crate) struct Actor(std::process::Child);

impl Actor {
    /// As a terminal or a service manager would: with everything in its process group.
    pub(crate) fn kill(&mut self) {
        let group = Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        kill_process_group(group, Signal::KILL).unwrap();
        self.0.wait().unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The real program, which lies beside the tests' own.
pub(crate) fn binary() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_exec-actor")).with_file_name("plimsoll");
    assert!(path.exists(), "{} is missing: build it with `cargo build -p plimsoll`", path.display());
    path
}

pub(crate) fn permit(intent: &str) -> Permit {
    Permit {
        target: TARGET.into(),
        plan: "p1".into(),
        intent: intent.into(),
        epoch: 1,
        deadline: Duration::from_secs(60),
        membership: None,
    }
}

pub(crate) fn start(payload: serde_json::Value) -> PlatformVerb {
    let join = Some(Join { existing: true, contacts: Vec::new(), payload });
    PlatformVerb::Start { slot: "e1".into(), size_after: 4, join }
}

/// Waits for what must come to be true; the bound only ends a test that has failed.
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "never so: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process runs; one that only waits to be reaped does not.
pub(crate) fn runs(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
    state.is_some_and(|state| state != 'Z' && state != 'X')
}

pub(crate) fn send(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}
