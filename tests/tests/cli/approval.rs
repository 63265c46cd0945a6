//! A scale-in of a real etcd that waits for a person: from what is shown to what is done.

use crate::lab::{Lab, TARGET};
use plimsoll_tests::etcd::Rig;
use plimsoll_tests::process::{Process, wait_until};
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(90);

/// Waiting times as short as they may be: the rules themselves stay as they are.
const ENFORCE: &str = "  mode: enforce
  safety: {hold: 1s, warmup: 1s, observations: 1, leaderStable: 1s, leaderQuiet: 1s, cooldownIn: 1s, cooldownOut: 1s,
    reverse: 1s, sustain: 1s, approveScaleIn: true}
";

fn configure(lab: &Lab, rig: &Rig, port: u16) {
    lab.configure_with(&format!("http: {{listen: \"127.0.0.1:{port}\"}}"));
    let file = std::fs::read_to_string(lab.path("plimsoll.yaml")).expect("the daemon's file");
    let (head, rest) = file.split_once("    list: ").expect("the list command");
    let (_, tail) = rest.split_once('\n').expect("the end of its line");
    let (head, _) = head.rsplit_once("    kind: exec\n").expect("the platform's kind");
    let platform = rig.command().platform(None, &[("list", 60), ("add", 60), ("remove", 60)]);
    let text = format!("{head}{platform}{tail}");
    lab.write("plimsoll.yaml", text);
    lab.write("targets/demo.yaml", TARGET.to_owned() + ENFORCE);
    lab.write("policies/five.wasm", plimsoll_tests::guest::answering(&plimsoll_tests::guest::wish("3")));
}

fn status(lab: &Lab) -> anyhow::Result<serde_json::Value> {
    let status = lab.run(&["status", "demo", "-o", "json"]);
    anyhow::ensure!(status.code == 0, "{}", status.err);
    Ok(serde_json::from_str::<serde_json::Value>(&status.out)?["targets"][0].take())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scale_in_waits_for_the_very_content_that_was_shown() -> anyhow::Result<()> {
    let mut rig = Rig::start(5, 7).await?;
    let lab = Lab::new();
    let port = rig.port()?;
    configure(&lab, &rig, port);
    let mut command = Command::new(plimsoll_tests::binary());
    command.arg("run").arg("--config").arg(lab.path("plimsoll.yaml"));
    let daemon = Process::start(&mut command, &lab.path("daemon.log"))?;
    let waits = wait_until("a plan that waits for approval", PATIENCE, async || {
        let status = status(&lab)?;
        anyhow::ensure!(status["approval"].is_string(), "{status:#}");
        Ok(())
    });
    waits.await.map_err(|error| error.context(daemon.tail()))?;

    let shown = lab.run(&["approve", "demo"]);
    assert_eq!((shown.code, shown.err.as_str()), (0, ""), "{shown:?}");
    assert!(shown.out.contains(" from 5 to 3 removing ["), "{shown:?}");
    let digest =
        shown.out.lines().find_map(|line| line.strip_prefix("sha256 ")).expect("a digest").to_owned();
    let wrong = lab.run(&["approve", "demo", &"0".repeat(64)]);
    assert_eq!((wrong.code, wrong.out.as_str()), (1, ""));
    assert!(wrong.err.starts_with("error: the digest is not that of what waits now"), "{wrong:?}");
    assert!(status(&lab)?["approval"].is_string(), "a wrong digest approved something");
    let right = lab.run(&["approve", "demo", &digest, "--as", "ann"]);
    assert_eq!((right.code, right.err.as_str()), (0, ""), "{right:?}");
    assert!(right.out.ends_with(" is approved\n"), "{right:?}");

    // How the plan goes on is the matter of the etcd example; here it is enough that it began.
    let began = wait_until("a first effect", PATIENCE, async || {
        let explained = lab.run(&["explain", "default/demo", "--last", "1000"]).out;
        for told in ["ann said approve: cluster ", "About to remove member "] {
            anyhow::ensure!(explained.contains(told), "{told}\n{explained}");
        }
        Ok(())
    });
    began.await.map_err(|error| error.context(daemon.tail()))?;
    let metrics = plimsoll_tests::etcd::http_get(&format!("http://127.0.0.1:{port}/metrics")).await?;
    let line = "plimsoll_target_plan_running{target=\"default/demo\"} 1";
    assert!(metrics.contains(line), "{metrics}");
    let verified = lab.run(&["audit", "verify", "-o", "json"]);
    let report: serde_json::Value = serde_json::from_str(&verified.out)?;
    assert_eq!((verified.code, &report["journalHeads"]), (0, &1.into()), "{report:#}");
    Ok(())
}
