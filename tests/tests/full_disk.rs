//! A file system that is really full, under a daemon that runs: a mount of its own, in a namespace of its own.

use anyhow::Context as _;
use plimsoll::audit::{self, Soundness};
use plimsoll_tests::daemon::Daemon;
use plimsoll_tests::process::wait_until;
use plimsoll_wire::status::Status;
use serde_json::json;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(240);
const TARGET: &str = "default/one";

/// More than the audit log wants to have free (64 MiB) besides what it sets aside (16 MiB), and little memory.
const DISK: &str = "96m";

/// Mounts a small disk over `$0` and becomes the rest of the command line.
const MOUNT: &str = r#"mount -t tmpfs -o "size=$1" plimsoll-test "$0" || exit 97; shift; exec "$@""#;

/// A daemon with two simulated targets, of whose directories one is a small disk.
fn daemon(home: &Path, disk: &str, more: &str) -> anyhow::Result<Daemon> {
    may_mount()?;
    let file = format!(
        "apiVersion: plimsoll.dev/v1alpha1
kind: DaemonConfig
interval: 1s
http: {{enabled: false}}
movement: {{concurrentPlans: 2}}
platforms:
  one: {{kind: sim, seed: 1}}
  two: {{kind: sim, seed: 2}}
control: {{socket: control.sock}}
{more}
"
    );
    let daemon = Daemon::in_folder(home, &file, TARGET)?;
    for name in ["one", "two"] {
        daemon.write_target(name, &document(name))?;
    }
    let place = home.join(disk);
    std::fs::create_dir_all(&place)?;
    // The socket's place is on the real disk, so that the test reaches it.
    std::os::unix::fs::symlink("../control.sock", home.join("state/control.sock"))?;
    let place = place.to_string_lossy().into_owned();
    let command = ["unshare", "--user", "--map-root-user", "--mount", "/bin/sh", "-c", MOUNT, &place, DISK];
    Ok(daemon.within(&command))
}

/// Says clearly what is missing where no disk can be made.
fn may_mount() -> anyhow::Result<()> {
    let tried = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"])
        .output()
        .context("`unshare` of util-linux is needed")?;
    let told = String::from_utf8_lossy(&tried.stderr).into_owned();
    anyhow::ensure!(
        tried.status.success(),
        "this test needs a user namespace that may mount (kernel.unprivileged_userns_clone=1, \
         user.max_user_namespaces > 0, /mnt): {told}"
    );
    Ok(())
}

fn document(name: &str) -> String {
    format!(
        "apiVersion: plimsoll.dev/v1alpha1
kind: StatefulAutoscaler
metadata: {{name: {name}}}
spec:
  targetRef: {{apiVersion: plimsoll.dev/v1alpha1, kind: Sim, name: {name}}}
  system: {{kind: sim-quorum}}
  minReplicas: 3
  maxReplicas: 5
  mode: enforce
  policies: [{{name: hold, module: hold.wasm}}]
  safety: {{hold: 1s, warmup: 1s, leaderStable: 1s, leaderQuiet: 1s, cooldownIn: 1s, cooldownOut: 1s, reverse: 1s, sustain: 1s, fraction: 100%}}
"
    )
}

/// Takes all the room that is left on the file system of a folder.
fn fill(folder: &Path) -> anyhow::Result<u64> {
    let mut file = std::fs::File::create(folder.join("somebody-elses-file"))?;
    let (block, mut bytes) = (vec![0x5a_u8; 64 << 10], 0_u64);
    let mut step = block.len();
    while step > 0 {
        match file.write(block.get(..step).unwrap_or_default()) {
            Ok(taken) => bytes += taken as u64,
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => step /= 2,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(bytes)
}

async fn until_both(daemon: &Daemon, what: &str, wanted: impl Fn(&Status) -> bool) -> anyhow::Result<()> {
    for target in ["default/one", "default/two"] {
        let waited = wait_until(what, PATIENCE, async || {
            let status = daemon.status_of(target)?;
            anyhow::ensure!(wanted(&status), "{status:#?}");
            Ok(())
        });
        waited.await.with_context(|| daemon.tail())?;
    }
    Ok(())
}

/// Orders, until the daemon says that it is durable.
async fn ordered(daemon: &Daemon, request: serde_json::Value) -> anyhow::Result<()> {
    for target in ["default/one", "default/two"] {
        let waited = wait_until("the order is kept", PATIENCE, async || order(daemon, target, &request));
        waited.await.with_context(|| daemon.tail())?;
    }
    Ok(())
}

fn order(daemon: &Daemon, target: &str, request: &serde_json::Value) -> anyhow::Result<()> {
    let mut request = request.clone();
    request["target"] = json!(target);
    request["who"] = json!("a test");
    daemon.ask(&request).map(drop)
}

fn rests_at(size: u32) -> impl Fn(&Status) -> bool {
    move |status| {
        status.sizes.members == Some(size) && status.plan.is_none() && status.last_decision.is_some()
    }
}

/// The whole story on one small disk, on which `disk` is: before, full, and freed again.
async fn story(disk: &str, audit: &str, more: &str, told: &[&str]) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut daemon = daemon(folder.path(), disk, more)?;
    daemon.start()?;
    until_both(&daemon, "both targets are read", rests_at(3)).await?;
    let inside = daemon.inside()?;

    let taken = fill(&inside.join(disk))?;
    println!("{taken} bytes of somebody else's");
    // The audit log has set room aside for what people say, and nothing else has. What cannot be kept is not
    // promised, and the refusal names the place.
    for target in ["default/one", "default/two"] {
        let waited = wait_until("a promise, or a refusal with its place", PATIENCE, async || {
            let Err(refused) = order(&daemon, target, &json!({ "verb": "scale", "members": 5 })) else {
                return Ok(());
            };
            println!("{target}: {refused}");
            anyhow::ensure!(told.iter().all(|part| refused.to_string().contains(part)), "{refused}");
            Ok(())
        });
        waited.await?;
    }
    let names_the_place = |status: &Status| {
        status.trouble.as_ref().is_some_and(|trouble| told.iter().all(|part| trouble.contains(part)))
    };
    until_both(&daemon, "the trouble is told with its place", names_the_place).await?;
    // It goes on to answer, and to look; nothing changes.
    for target in ["default/one", "default/two"] {
        let status = daemon.status_of(target)?;
        assert_eq!((status.sizes.members, status.history.len()), (Some(3), 0), "{status:#?}");
    }
    assert!(daemon.run(&["status", "--socket", "control.sock"])?.status.success());

    std::fs::remove_file(inside.join(disk).join("somebody-elses-file"))?;
    ordered(&daemon, json!({ "verb": "scale", "members": 5 })).await?;
    until_both(&daemon, "both have grown", rests_at(5)).await?;

    // Nothing is lost: every line that was acknowledged is there, and says what happened.
    let report = audit::verify(&inside.join(audit), &[])?;
    println!("{report}");
    assert_eq!(report.soundness(), Soundness::Clean, "{report}");
    daemon.kill()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_the_audit_log_holds_every_target_until_there_is_room() -> anyhow::Result<()> {
    story("log", "log/audit", "audit: {dir: log/audit}", &["log/audit", "free space"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_the_journals_holds_every_target_until_there_is_room() -> anyhow::Result<()> {
    story("state", "audit", "audit: {dir: audit}", &["state/journal", "free space"]).await
}
