//! Commands that read files and need no daemon: `check`, `schema`, `explain`, `audit verify`.

use crate::lab::{Lab, TARGET, data, snapshot};
use plimsoll::audit::{AuditConfig, AuditLog};
use plimsoll_wire::Snapshot;
use plimsoll_wire::record::{
    Body, Decision, Judgement, PolicyAnswer, Record, Verdict, Violation, Wish, Wisher,
};
use plimsoll_wire::size::Sizes;
use plimsoll_wire::snapshot::{Mode, Now};

#[test]
fn check_tells_every_problem_at_once_with_file_and_line() {
    let lab = Lab::new();
    lab.configure();
    assert_eq!(lab.run(&["check"]).code, 0, "{:?}", lab.run(&["check"]));
    lab.write(
        "targets/typo.yaml",
        TARGET.replace("name: demo", "name: typo").replace("minReplicas: 1", "minReplica: 1"),
    );
    lab.write(
        "targets/missing.yaml",
        TARGET
            .replace("name: demo", "name: missing")
            .replace("five.wasm", "six.wasm")
            .replace("name: vms", "name: vns"),
    );
    lab.write("targets/broken.yaml", "a: [1, 2\nb: }\n");
    lab.write("targets/demo.yaml", TARGET.to_owned() + "    - {name: junk, module: junk.wasm}\n  signals:\n    - {name: load, source: main, counter: false, query: requests_total}\n    - {name: rate, source: main, query: 'sum(rate(requests_total[2m]))', maxAge: 10s}\n");
    lab.write("policies/junk.wasm", "not Wasm at all");
    lab.write("targets/empty.yaml", "# nothing yet\n");
    let absent = TARGET.replace("name: demo", "name: absent").replace("five.wasm", "six.wasm");
    lab.write("targets/absent.yaml", absent.replace("name: vms", "name: spare"));
    let daemon = std::fs::read_to_string(lab.path("plimsoll.yaml")).expect("the daemon's file");
    let spare = "platforms:\n  spare: {kind: exec, list: {command: [/bin/true]}}\n";
    lab.write("plimsoll.yaml", daemon.replace("platforms:\n", spare));
    let output = lab.run(&["check"]);
    assert_eq!(output.code, 2, "{output:?}");
    for told in [
        "problem: DIR/targets/empty.yaml: holds no document (",
        "problem: DIR/targets/absent.yaml:13: spec.policies[0].module: there is no six.wasm in DIR/policies (there is: five.wasm",
        "problem: DIR/targets/typo.yaml:8: spec.minReplica: ",
        "did you mean `minReplicas`?",
        "problem: DIR/targets/missing.yaml:6: spec.targetRef.name: ",
        "did you mean `vms`?",
        "problem: DIR/targets/broken.yaml:",
        "problem: DIR/targets/demo.yaml:14: spec.policies[1].module: MALFORMED: this is not WebAssembly (",
        "warning: DIR/targets/demo.yaml:16: spec.signals[load].query: requests_total is a counter",
        "warning: DIR/targets/demo.yaml:17: spec.signals[rate].query: requests_total is looked back at over 2m, longer than `maxAge` (10s)",
        "warning: DIR/targets/demo.yaml:17: spec.signals[rate].query: sum() hides that a series is missing",
    ] {
        assert!(output.out.contains(told), "{told}\n{}", output.out);
    }
    let listed: serde_json::Value =
        serde_json::from_str(&lab.run(&["check", "-o", "json"]).out).expect("JSON");
    let lines = output.out.lines().filter(|line| line.starts_with("problem: ")).count();
    assert_eq!(listed["problems"].as_array().map(Vec::len), Some(lines));
}

#[test]
fn check_of_a_missing_or_wrong_daemons_file_says_how_to_begin() {
    let lab = Lab::new();
    let output = lab.run(&["check"]);
    assert_eq!(output.code, 2);
    assert!(output.out.contains("problem: DIR/plimsoll.yaml: cannot be read"), "{}", output.out);
    assert!(output.out.contains("plimsoll check --print-defaults"), "{}", output.out);
    let defaults = lab.run(&["check", "--print-defaults"]);
    lab.write("plimsoll.yaml", &defaults.out);
    lab.write("policies/.keep", "");
    lab.write("targets/.keep", "");
    let output = lab.run(&["check"]);
    assert_eq!((output.code, output.out.as_str()), (0, ""), "{}", output.err);
    lab.write("plimsoll.yaml", defaults.out.replace("interval: 15s", "intervall: 15"));
    let output = lab.run(&["check"]);
    assert_eq!(output.code, 2);
    assert!(output.out.contains("did you mean `interval`?"), "{}", output.out);
}

#[test]
fn schemas_name_what_the_saved_snapshot_has() {
    let lab = Lab::new();
    let text = std::fs::read_to_string(data("five-healthy.json")).expect("the file");
    let before: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let after = serde_json::to_value(snapshot("five-healthy.json")).expect("JSON");
    assert_eq!(before, after, "the saved snapshot holds something that the type does not");
    let schema: serde_json::Value =
        serde_json::from_str(&lab.run(&["schema", "snapshot"]).out).expect("JSON");
    let object = before.as_object().expect("an object");
    for key in object.keys() {
        assert!(schema["properties"].get(key).is_some(), "{key} is not in the schema");
    }
    for required in schema["required"].as_array().expect("required") {
        assert!(object.contains_key(required.as_str().expect("a name")), "{required} is required and absent");
    }
    for (document, title) in
        [("proposal", "Answer"), ("record", "Record"), ("journal", "Journal"), ("status", "Status")]
    {
        let schema: serde_json::Value =
            serde_json::from_str(&lab.run(&["schema", document]).out).expect("JSON");
        assert_eq!(schema["title"], title);
    }
}

fn decision(id: &str, wall_ms: i64) -> Record {
    let reason =
        plimsoll_wire::proposal::Reason { code: "Load".to_owned(), message: "\u{1b}[31mred".to_owned() };
    let violation = Violation {
        rule: "QUORUM-4".to_owned(),
        kind: "QuorumAtRisk".to_owned(),
        verdict: Verdict::Deny,
        detail: "one of five does not answer".to_owned(),
        unknown: false,
        hint: "heal it first".to_owned(),
    };
    Record {
        format_version: plimsoll_wire::FORMAT_VERSION,
        decision_id: id.into(),
        target: "default/orders".into(),
        now: Now { mono_ms: 1, wall_ms, boot: "b".into() },
        body: Body::Decision(Box::new(Decision {
            snapshot: String::new(),
            mode: Mode::Enforce,
            sizes: Sizes::of_members(5),
            ghost: Sizes::default(),
            answers: vec![PolicyAnswer {
                from: Wisher::Policy("load".to_owned()),
                module: String::new(),
                sizes: Sizes::of_members(3),
                reason: reason.clone(),
                failed: false,
                fuel: 1,
            }],
            wish: Wish {
                sizes: Sizes::of_members(3),
                from: Wisher::Policy("load".to_owned()),
                rule: "the only wish".to_owned(),
            },
            judgement: Judgement {
                verdict: Verdict::Deny,
                sizes: Sizes::of_members(3),
                violations: vec![violation],
            },
            decided: Sizes::of_members(5),
            plan: None,
            safety: None,
            reason: plimsoll_wire::proposal::Reason {
                code: "QuorumAtRisk".to_owned(),
                message: String::new(),
            },
        })),
    }
}

/// A log of three decisions in `audit`, and the head that a journal would know.
fn write_log(lab: &Lab) -> String {
    let log = AuditLog::open(
        &lab.path("audit"),
        AuditConfig { min_free_bytes: 0, ballast_bytes: 4_096, ..AuditConfig::default() },
    )
    .expect("a log");
    for number in 1..=3_i64 {
        let record = decision(&format!("default-orders-d1.{number}"), 1_800_000_000_000 + number * 1_000);
        log.append_decision(record, &snapshot("three-one-down.json")).expect("a record");
    }
    log.head()
}

#[test]
fn explain_tells_the_last_decision_in_sentences_and_gives_its_snapshot() {
    let lab = Lab::new();
    write_log(&lab);
    let dir = lab.path("audit").to_string_lossy().into_owned();
    let output = lab.run(&["explain", "orders", "--dir", &dir]);
    let expected = "2027-01-15T08:00:03.000Z  default/orders  default-orders-d1.3
  There were 5 members.
  Policy load wished 3 (Load: \\u{1b}[31mred).
  The combined wish was 3 (load: the only wish).
  QuorumAtRisk (QUORUM-4) says no: one of five does not answer. Next: heal it first.
  Nothing was changed (QuorumAtRisk).
";
    assert_eq!((output.code, output.out.as_str(), output.err.as_str()), (0, expected, ""));
    let named = lab.run(&["explain", "default-orders-d1.1", "--dir", &dir]);
    assert!(
        named.out.starts_with("2027-01-15T08:00:01.000Z  default/orders  default-orders-d1.1\n"),
        "{named:?}"
    );
    let last = lab.run(&["explain", "--last", "2", "--dir", &dir, "-o", "json"]);
    let listed: serde_json::Value = serde_json::from_str(&last.out).expect("JSON");
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    assert_eq!(listed[1]["decisionId"], "default-orders-d1.3");
    let output = lab.run(&["explain", "default-orders-d1.2", "--snapshot", "--dir", &dir]);
    let read: Snapshot = serde_json::from_str(&output.out).expect("a snapshot");
    assert_eq!(read, snapshot("three-one-down.json"));
    assert_eq!(output.out.lines().count(), 1);
    let output = lab.run(&["explain", "default/nobody", "--dir", &dir]);
    assert_eq!(output.code, 1);
    assert!(
        output.err.starts_with("error: the audit log DIR/audit has no record of default/nobody; "),
        "{}",
        output.err
    );
}

#[test]
fn audit_verify_finds_what_was_altered_torn_and_cut_off() {
    let lab = Lab::new();
    let head = write_log(&lab);
    let dir = lab.path("audit").to_string_lossy().into_owned();
    let verify = |more: &[&str]| lab.run(&[&["audit", "verify", &dir], more].concat());
    let clean = verify(&[]);
    assert_eq!(clean.code, 0, "{clean:?}");
    assert!(clean.err.contains("without --journals"), "{clean:?}");
    write_journal(&lab, &head);
    let journals = lab.path("journal").to_string_lossy().into_owned();
    let report = verify(&["--journals", &journals, "-o", "json"]);
    let report: serde_json::Value = serde_json::from_str(&report.out).expect("JSON");
    assert_eq!(
        (&report["soundness"], &report["journalHeads"], &report["snapshots"]),
        (&"clean".into(), &1.into(), &3.into())
    );

    let segment = first_segment(&lab);
    let whole = std::fs::read(&segment).expect("the segment");
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    // The last record is gone without a trace: only the journal knows.
    std::fs::write(&segment, lines[..lines.len() - 1].concat()).expect("the segment");
    assert_eq!(verify(&[]).code, 0);
    let cut = verify(&["--journals", &journals]);
    assert_eq!(cut.code, 2, "{cut:?}");
    assert!(cut.out.contains("cut off after record"), "{cut:?}");

    let torn = [&whole[..], b"{\"sequence\":9,\"ti"].concat();
    std::fs::write(&segment, torn).expect("the segment");
    let output = verify(&["--journals", &journals]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.out.contains("torn tail"), "{output:?}");

    let altered = String::from_utf8(whole).expect("text").replacen("\"members\":3", "\"members\":4", 1);
    std::fs::write(&segment, altered).expect("the segment");
    let output = verify(&["-o", "json"]);
    assert_eq!(output.code, 2, "{output:?}");
    let report: serde_json::Value = serde_json::from_str(&output.out).expect("JSON");
    assert_eq!(report["findings"][0]["kind"], "altered");
    assert!(report["findings"][0]["line"].is_u64());

    let output = lab.run(&["audit", "verify", "/nowhere"]);
    assert_eq!((output.code, output.out.as_str()), (1, ""), "{output:?}");
}

fn first_segment(lab: &Lab) -> std::path::PathBuf {
    let mut names: Vec<_> = std::fs::read_dir(lab.path("audit"))
        .expect("the log")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    names.sort();
    names.remove(0)
}

fn write_journal(lab: &Lab, head: &str) {
    use plimsoll::actuate::journal::FileJournals;
    let journals = FileJournals::open(&lab.path("journal")).expect("journals");
    let journal = plimsoll_wire::journal::Journal {
        format_version: plimsoll_wire::FORMAT_VERSION,
        target: "default/orders".into(),
        audit_head: head.to_owned(),
        ..Default::default()
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(journals.store("default/orders", None, &journal)).expect("written");
}

#[test]
fn check_refuses_what_the_daemon_cannot_use() {
    let lab = Lab::new();
    lab.configure();
    let daemon = std::fs::read_to_string(lab.path("plimsoll.yaml")).expect("the daemon's file");
    let signal =
        format!("{TARGET}  signals:\n    - {{name: load, source: main, query: up, window: 30s, step: 2s}}\n");
    lab.write("targets/demo.yaml", &signal);
    assert_eq!(lab.run(&["check"]).code, 0, "{:?}", lab.run(&["check"]));
    for (from, to, told) in [
        (
            ":9\"}",
            ":9\", deadline: 45s}",
            "sources.main.deadline: `45s` is above the most that is allowed (write a value from `100ms` to `30s`)",
        ),
        (
            ":9\"}",
            ":9\", caFile: /nowhere.pem}",
            "DIR/plimsoll.yaml: sources.main: source main: reading its caFile /nowhere.pem: No such file",
        ),
        ("step: 2s", "step: 1500ms", "spec.signals[0].step: must be a whole number of seconds"),
        (
            "window: 30s, step: 2s",
            "window: 2d, step: 5m",
            "spec.signals[0].window: `2d` is above the most that is allowed",
        ),
        (
            "query: up",
            "query: 'sum(rate(a_total[1m])'",
            "spec.signals[0].query: is no PromQL: `(` is not closed",
        ),
    ] {
        lab.write("plimsoll.yaml", daemon.replace(from, to));
        lab.write("targets/demo.yaml", signal.replace(from, to));
        let output = lab.run(&["check"]);
        assert_eq!(output.code, 2, "{told}: {output:?}");
        assert!(output.out.contains(told), "{told}\n{}", output.out);
    }
    lab.write("plimsoll.yaml", daemon.replace(":9\"}", ":9\", tokenFile: /nowhere}"));
    lab.write("targets/demo.yaml", &signal);
    let output = lab.run(&["check"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(
        output
            .out
            .contains("warning: DIR/plimsoll.yaml: sources.main.tokenFile: /nowhere cannot be read here"),
        "{}",
        output.out
    );
}

/// What the policy would refuse at every decision is told before the first.
#[test]
fn check_asks_each_policy_what_it_says_of_its_settings() {
    let lab = Lab::new();
    lab.configure();
    let module = std::fs::read(plimsoll_tests::daemon::shipped("target-utilization.wasm")).expect("a policy");
    lab.write("policies/target-utilization.wasm", module);
    let target = TARGET.replace(
        "      module: five.wasm\n",
        "      module: target-utilization.wasm\n      settings:\n        signal: load\n        target: 10\n        \
         type: AverageValue\n  signals:\n    - {name: load, source: main, query: up, window: 30s, step: 2s}\n",
    );
    lab.write("targets/demo.yaml", &target);
    assert_eq!(lab.run(&["check"]).code, 0, "{:?}", lab.run(&["check"]));
    for (from, to) in [
        ("target: 10", "targett: 10"),
        ("target: 10", "target: 500m"),
        ("target: 10", "target: \"10\""),
        ("type: AverageValue", "type: Utilization"),
        ("type: AverageValue", "window: 1h30m"),
        ("signal: load", "signal: laod"),
    ] {
        lab.write("targets/demo.yaml", target.replace(from, to));
        let output = lab.run(&["check"]);
        assert_eq!(output.code, 2, "{to}: {output:?}");
        assert!(
            output.out.contains("problem: DIR/targets/demo.yaml:13: spec.policies[0].settings: "),
            "{to}\n{}",
            output.out
        );
    }
}
