//! A directory with everything that a daemon needs, and the command that is run in it.

use plimsoll_wire::Snapshot;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How a command went; the lab's own directory is called `DIR`.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A directory of its own.
pub(crate) struct Lab {
    pub(crate) dir: tempfile::TempDir,
}

pub(crate) const TARGET: &str = "apiVersion: plimsoll.dev/v1alpha1
kind: StatefulAutoscaler
metadata:
  name: demo
spec:
  targetRef: {apiVersion: plimsoll.dev/v1alpha1, kind: Exec, name: vms}
  system: {kind: etcd, ref: etcd-main}
  minReplicas: 1
  maxReplicas: 9
  interval: 1s
  policies:
    - name: five
      module: five.wasm
";

impl Lab {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a directory") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, content).expect("a file");
    }

    /// A daemon's file without HTTP, with one target whose members are listed by a script.
    pub(crate) fn configure(&self) {
        self.configure_with("http: {enabled: false}");
    }

    /// The same, with this about HTTP.
    pub(crate) fn configure_with(&self, http: &str) {
        let daemon = format!(
            "apiVersion: plimsoll.dev/v1alpha1
kind: DaemonConfig
{http}
sources:
  main: {{kind: prometheus, url: \"http://127.0.0.1:9\"}}
platforms:
  vms:
    kind: exec
    list: {{command: [{}], timeout: 10s}}
systems:
  etcd-main: {{kind: etcd}}
",
            self.path("list.sh").display()
        );
        self.write("plimsoll.yaml", daemon);
        self.write("targets/demo.yaml", TARGET);
        self.write("policies/five.wasm", plimsoll_tests::guest::answering(&plimsoll_tests::guest::wish("5")));
        self.write("list.sh", "#!/bin/sh\necho '{\"formatVersion\":1,\"members\":[],\"vacant\":[]}'\n");
        let mut mode = std::fs::metadata(self.path("list.sh")).expect("the script").permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
        std::fs::set_permissions(self.path("list.sh"), mode).expect("the script");
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.feed(args, "")
    }

    /// Runs the command with this on its standard input.
    pub(crate) fn feed(&self, args: &[&str], input: &str) -> Output {
        let mut child = Command::new(plimsoll_tests::binary())
            .args(["--config".as_ref(), self.path("plimsoll.yaml").as_os_str()])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command");
        let mut stdin = child.stdin.take().expect("its input");
        let input = input.to_owned();
        // From beside: the command may answer before it has read everything.
        let feeder = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
        let output = child.wait_with_output().expect("its output");
        feeder.join().expect("the feeder");
        Output {
            code: output.status.code().expect("an exit code"),
            out: self.plain(&output.stdout),
            err: self.plain(&output.stderr),
        }
    }

    /// With the lab's own directory called `DIR`.
    pub(crate) fn plain(&self, bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).replace(&*self.dir.path().to_string_lossy(), "DIR")
    }
}

/// A file of the tests' data.
pub(crate) fn data(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name).to_string_lossy().into_owned()
}

/// What users read of all this.
pub(crate) fn manual() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md");
    std::fs::read_to_string(file).expect("the manual")
}

/// A path for a shell.
pub(crate) fn quoted(path: &Path) -> String {
    format!("'{}'", path.display())
}

/// A saved snapshot of the tests.
pub(crate) fn snapshot(name: &str) -> Snapshot {
    serde_json::from_str(&std::fs::read_to_string(data(name)).expect("the file")).expect("a snapshot")
}
