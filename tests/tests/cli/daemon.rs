//! A daemon that runs, on a platform that is a script: orders over its socket, reads over HTTP.

use crate::lab::Lab;
use plimsoll::metrics::METRICS;
use plimsoll_tests::process::{Ports, Process, wait_until};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Running {
    pub(crate) lab: Lab,
    pub(crate) process: Process,
    port: u16,
    _ports: Ports,
}

/// A daemon that has decided at least once.
async fn running() -> Running {
    let running = started(|_| {});
    let decided = wait_until("a first decision", PATIENCE, async || {
        let status = running.lab.run(&["status", "-o", "json"]);
        anyhow::ensure!(status.code == 0, "{}", status.err);
        let shown: serde_json::Value = serde_json::from_str(&status.out)?;
        anyhow::ensure!(shown["targets"][0]["lastDecision"].is_object(), "{shown:#}");
        Ok(())
    });
    if let Err(error) = decided.await {
        panic!("{error:#}\n{}", running.process.tail());
    }
    running
}

/// A daemon that was started in a folder with further files.
pub(crate) fn started(prepare: impl FnOnce(&Lab)) -> Running {
    let lab = Lab::new();
    let mut ports = Ports::reserve().expect("ports");
    let port = ports.take().expect("a port");
    lab.configure_with(&format!("http: {{listen: \"127.0.0.1:{port}\"}}"));
    prepare(&lab);
    let mut command = Command::new(plimsoll_tests::binary());
    command.args(["run", "--log-level", "debug", "--config"]).arg(lab.path("plimsoll.yaml"));
    let process = Process::start(&mut command, &lab.path("daemon.log")).expect("a daemon");
    Running { lab, process, port, _ports: ports }
}

impl Running {
    /// Sends these bytes and reads until the daemon closes: status line and headers, then the body.
    async fn raw(&self, bytes: &[u8]) -> (String, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.expect("a connection");
        // A daemon that refuses may close before it has read everything.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end");
        let text = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        (head.to_owned(), body.to_owned())
    }

    pub(crate) async fn ask(&self, method: &str, path: &str) -> (u16, String) {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
        let (head, body) = self.raw(request.as_bytes()).await;
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        (code.unwrap_or_else(|| panic!("no answer to {path}: {head:?}")), body)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    async fn json(&self, path: &str) -> serde_json::Value {
        let (code, body) = self.ask("GET", path).await;
        assert_eq!(code, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_daemon_answers_reads_and_refuses_the_rest() {
    let running = running().await;
    assert_eq!(running.ask("GET", "/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(running.json("/readyz").await, serde_json::json!({ "ready": true, "reasons": [] }));
    let targets = running.json("/v1/targets").await;
    assert_eq!((targets.as_array().map(Vec::len), &targets[0]["target"]), (Some(1), &"default/demo".into()));
    assert_eq!(targets[0]["mode"], "dryrun");
    assert_eq!(running.json("/v1/targets/default/demo").await["system"], "etcd");
    assert_eq!(
        running.json("/v1/targets/default/demo/snapshot").await["formatVersion"],
        plimsoll_wire::FORMAT_VERSION
    );
    assert_eq!(running.json("/v1/policies").await[0]["name"], "five");
    assert_eq!(running.json("/v1/problems").await, serde_json::json!([]));
    let decisions = running.json("/v1/decisions?target=default/demo&limit=1").await;
    assert_eq!(decisions.as_array().map(Vec::len), Some(1));
    assert_eq!(decisions[0]["record"]["body"]["kind"], "decision");
    assert!(decisions[0]["sentences"].as_array().is_some_and(|lines| !lines.is_empty()));
    for (method, path, code) in [
        ("GET", "/v1/targets/default/nobody", 404),
        ("GET", "/v1/targets/default/nobody/snapshot", 404),
        ("GET", "/nowhere", 404),
        ("GET", "/v1/decisions?limit=0", 400),
        ("GET", "/v1/decisions?limit=1001", 400),
        ("GET", "/v1/decisions?limt=1", 400),
        ("GET", "/v1/decisions?target=default/nobody", 404),
        ("POST", "/v1/targets", 405),
        ("DELETE", "/v1/targets/default/demo", 405),
        ("PUT", "/nowhere", 405),
    ] {
        let (found, body) = running.ask(method, path).await;
        assert_eq!(found, code, "{method} {path}: {body}");
        assert!(serde_json::from_str::<serde_json::Value>(&body).expect("JSON")["error"].is_string());
    }
}

/// Each family and each label of what a daemon really serves.
fn everything_served_is_in_the_reference(text: &str) {
    let mut families = 0;
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let (name, kind) = family.split_once(' ').expect("a type");
            let known = METRICS.iter().find(|metric| metric.name == name);
            assert_eq!(known.map(plimsoll::metrics::Metric::kind), Some(kind), "{name}");
            families += 1;
        } else if let Some((name, rest)) = line.split_once('{') {
            let known = METRICS.iter().find(|metric| metric.name == name).expect(name);
            let labels: Vec<&str> =
                rest.split("=\"").filter_map(|part| part.rsplit(['{', ',', '"']).next()).collect();
            for label in &labels[..labels.len() - 1] {
                assert!(known.labels.contains(label), "{name} has no label {label}: {line}");
            }
        }
    }
    assert!(families > 20, "{families} families");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_what_the_status_tells() {
    let running = running().await;
    let (code, text) = running.ask("GET", "/metrics").await;
    assert_eq!(code, 200);
    for line in [
        "plimsoll_build_info{version=\"0.1.0\"} 1",
        "plimsoll_target_members_min{target=\"default/demo\"} 1",
        "plimsoll_target_members_max{target=\"default/demo\"} 9",
        "plimsoll_target_info{target=\"default/demo\",system=\"etcd\",platform=\"exec\",mode=\"dryrun\"} 1",
        "plimsoll_target_plan_running{target=\"default/demo\"} 0",
        "plimsoll_policy_loaded{policy=\"five\"} 1",
        "plimsoll_metrics_dropped_series 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing:\n{text}");
    }
    for start in [
        "plimsoll_policy_fuel_total{target=\"default/demo\",policy=\"five\"} ",
        "plimsoll_policy_evaluations_total{target=\"default/demo\",policy=\"five\"} ",
        "plimsoll_target_last_decision_timestamp_seconds{target=\"default/demo\"} ",
        "plimsoll_decisions_total{target=\"default/demo\",reason=",
    ] {
        let found = text
            .lines()
            .find_map(|line| line.strip_prefix(start))
            .unwrap_or_else(|| panic!("{start}\n{text}"));
        assert!(!found.ends_with(" 0"), "{start}{found}");
    }
    everything_served_is_in_the_reference(&text);
    // Nobody could tell how many members there are, and that is not zero.
    assert!(!text.contains("plimsoll_target_members{"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strange_client_is_sent_away_and_the_others_are_served() {
    let running = running().await;
    let long = format!("GET /healthz HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(300 << 10));
    let (head, _) = running.raw(long.as_bytes()).await;
    assert!(!head.contains(" 200 "), "{head:.200}");
    let (head, _) = running.raw(b"\x16\x03\x01 not HTTP\r\n\r\n").await;
    assert!(!head.contains(" 200 "), "{head:.200}");
    // These say nothing; each loses its place when its time is up, and nobody else waits for that.
    let mut silent = Vec::new();
    for _ in 0..63 {
        silent.push(TcpStream::connect(("127.0.0.1", running.port)).await.expect("a connection"));
    }
    assert_eq!(running.ask("GET", "/healthz").await.0, 200);
    let mut byte = [0];
    let closed = tokio::time::timeout(PATIENCE, silent[0].read(&mut byte)).await.expect("an end");
    assert!(matches!(closed, Ok(0) | Err(_)), "a head that never comes was waited for");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_obeyed_over_a_socket_of_the_daemons_user_only() {
    let running = running().await;
    let lab = &running.lab;
    let mode = std::fs::metadata(lab.path("state/control.sock")).expect("the socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let said = |args: &[&str]| {
        let output = lab.run(args);
        (output.code, output.out, output.err)
    };
    let fine = |text: &str| (0, format!("{text}\n"), String::new());
    assert_eq!(said(&["pause", "demo", "--why", "a test", "--as", "ann"]), fine("default/demo is paused"));
    let status = lab.run(&["status"]);
    assert!(status.out.contains("default/demo: paused by ann at "), "{}", status.out);
    assert!(status.out.contains(": a test\n"), "{}", status.out);
    assert_eq!(said(&["resume", "--all", "--as", "bob"]), fine("default/demo goes on"));
    assert_eq!(said(&["resume", "--all"]), fine("there is nothing to do"));
    assert_eq!(said(&["pause", "--all"]), fine("default/demo is paused"));
    assert_eq!(said(&["resume", "default/demo"]), fine("default/demo goes on"));
    assert_eq!(said(&["scale", "default/demo", "3"]), fine("default/demo is asked to have 3 members"));
    assert_eq!(said(&["scale", "default/demo", "--clear"]), fine("default/demo follows its policies again"));
    for (args, told) in [
        (&["resume", "default/demo"][..], "error: default/demo is not paused\n"),
        (&["cancel", "default/demo"], "error: default/demo has no running plan\n"),
        (&["approve", "default/demo"], "error: default/demo: nothing waits for approval; "),
        (&["scale", "default/demo", "50"], "error: default/demo may have 1 to 9 members; "),
        (&["status", "default/nobody"], "error: there is no target default/nobody; known: default/demo\n"),
        (&["pause", "default/nobody"], "error: there is no target default/nobody; known: default/demo\n"),
    ] {
        let (code, out, err) = said(args);
        assert_eq!((code, out.as_str()), (1, ""), "{args:?}");
        assert!(err.starts_with(told), "{args:?}: {err}");
    }
    let explained = lab.run(&["explain", "default/demo", "--last", "50"]);
    assert!(explained.out.contains("ann said pause: a test."), "{}", explained.out);
    let plan = lab.run(&["plan", "default/demo", "--to", "1"]);
    assert_eq!(plan.code, 2, "{plan:?}");
    assert!(plan.out.contains("default/demo (etcd), seen "), "{plan:?}");
    let one = lab.run(&["status", "demo", "-o", "yaml"]);
    assert!(one.out.contains("  - bounds:") && one.out.contains("    conditions:"), "{}", one.out);
    assert_eq!(lab.run(&["audit", "verify"]).code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_needs_a_restart_is_logged_once_and_shown_until_it_is_taken_back() {
    let running = running().await;
    let file = running.lab.path("plimsoll.yaml");
    let before = std::fs::read_to_string(&file).expect("the daemon's file");
    let log = || std::fs::read_to_string(running.lab.path("daemon.log")).expect("the log");
    std::fs::write(&file, format!("{before}policiesDir: elsewhere\n")).expect("written");
    let shown = wait_until("the problem is shown", PATIENCE, async || {
        let problems = running.json("/v1/problems").await;
        anyhow::ensure!(problems.as_array().is_some_and(|problems| !problems.is_empty()), "nothing yet");
        Ok(problems)
    });
    let told = "policiesDir: cannot change while the daemon runs; the old value stays (restart the daemon)";
    let shown = shown.await.expect("a problem");
    assert!(shown[0].as_str().is_some_and(|problem| problem.ends_with(told)), "{shown}");
    // Another look at the files, which finds the same again.
    running.lab.write("targets/demo.yaml", crate::lab::TARGET.replace("maxReplicas: 9", "maxReplicas: 8"));
    let looked = wait_until("the changed document", PATIENCE, async || {
        let target = running.json("/v1/targets/default/demo").await;
        anyhow::ensure!(target["bounds"]["members"]["max"] == 8, "{target}");
        Ok(())
    });
    looked.await.expect("another look");
    assert_eq!(log().matches(told).count(), 1, "{}", log());
    std::fs::write(&file, before).expect("written");
    let gone = wait_until("the problem is gone", PATIENCE, async || {
        let problems = running.json("/v1/problems").await;
        anyhow::ensure!(problems == serde_json::json!([]), "{problems}");
        anyhow::ensure!(log().contains("no longer wrong: "), "not told");
        Ok(())
    });
    gone.await.expect("it is gone");
}

/// What stops a target shows everywhere; what stops nobody does not make the daemon unready.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_policies_shows_everywhere_where_it_stops_a_target() {
    let running = running().await;
    let policies = running.lab.path("policies");
    let metric = async |line: &str| running.ask("GET", "/metrics").await.1.lines().any(|found| found == line);
    running.lab.write("policies/stray.wasm", "junk");
    let refused = wait_until("the stray file is refused", PATIENCE, async || {
        let shown = running.json("/v1/policies").await;
        let stray = shown.as_array().and_then(|all| all.iter().find(|one| one["name"] == "stray"));
        anyhow::ensure!(stray.is_some_and(|stray| stray["trouble"].is_string()), "{shown}");
        Ok(())
    });
    refused.await.expect("a trouble");
    assert_eq!(running.json("/readyz").await["ready"], true);
    assert_eq!(running.json("/v1/problems").await, serde_json::json!([]));

    std::fs::rename(&policies, running.lab.path("away")).expect("the folder goes");
    let told = wait_until("the folder is missed", PATIENCE, async || {
        let problems = running.json("/v1/problems").await;
        anyhow::ensure!(problems.to_string().contains("the policies' directory"), "{problems}");
        Ok(())
    });
    told.await.expect("a problem");
    assert!(metric("plimsoll_policy_directory_readable 0").await);
    assert_eq!(running.json("/readyz").await["ready"], true, "what runs goes on");
    std::fs::rename(running.lab.path("away"), &policies).expect("the folder comes back");

    running.lab.write("targets/demo.yaml", crate::lab::TARGET.replace("five.wasm", "missing.wasm"));
    let told = wait_until("the missing module", PATIENCE, async || {
        let (code, body) = running.ask("GET", "/readyz").await;
        anyhow::ensure!(
            code == 503 && body.contains("policy missing does not decide for default/demo"),
            "{body}"
        );
        let problems = running.json("/v1/problems").await.to_string();
        anyhow::ensure!(problems.contains("put missing.wasm into"), "{problems}");
        anyhow::ensure!(!problems.contains("the policies' directory"), "{problems}");
        Ok(())
    });
    told.await.expect("it is told");
    assert!(metric("plimsoll_policy_loaded{policy=\"missing\"} 0").await);
    assert!(running.lab.run(&["status"]).out.contains("put missing.wasm into"));
    let log = std::fs::read_to_string(running.lab.path("daemon.log")).expect("the log");
    assert!(log.contains("put missing.wasm into") && log.contains("the policies' directory"), "{log}");
}
