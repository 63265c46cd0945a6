//! Commands that read files and need no daemon: `plan --from`, `check`, `schema`, `explain`, `audit verify`.

use crate::lab::{Lab, TARGET, data};
use plimsoll::audit::{AuditConfig, AuditLog};
use plimsoll_wire::Snapshot;
use plimsoll_wire::record::{
    Body, Decision, Judgement, PolicyAnswer, Record, Verdict, Violation, Wish, Wisher,
};
use plimsoll_wire::snapshot::{Mode, Now};

fn snapshot(name: &str) -> Snapshot {
    serde_json::from_str(&std::fs::read_to_string(data(name)).expect("the file")).expect("a snapshot")
}

#[test]
fn a_saved_snapshot_is_planned_offline_the_same_way_every_time() {
    let lab = Lab::new();
    for (file, to, format, code, expected) in [
        ("five-healthy.json", "3", "json", 0, "five-to-three.plan.json"),
        ("five-healthy.json", "7", "table", 0, "five-to-seven.plan.txt"),
        ("five-healthy.json", "0", "yaml", 2, "five-to-none.plan.yaml"),
        ("three-one-down.json", "1", "table", 2, "one-down-to-one.plan.txt"),
    ] {
        let output = lab.run(&["plan", "--from", &data(file), "--to", to, "-o", format]);
        assert_eq!((output.code, output.err.as_str()), (code, ""), "{file} to {to}: {}", output.out);
        let kept = std::fs::read_to_string(data(expected)).unwrap_or_default();
        assert_eq!(output.out, kept, "{expected} is no longer what is printed");
    }
}

#[test]
fn a_wish_that_is_limited_to_what_there_is_is_not_admitted_and_says_by_which_rule() {
    let lab = Lab::new();
    let plan = |to: &str, form: &str| {
        lab.run(&["plan", "--from", &data("five-healthy.json"), "--to", to, "-o", form])
    };
    let limited = plan("4", "table");
    assert_eq!(limited.code, 2, "{}", limited.out);
    let why = "Nothing would be done: EvenVoters (QUORUM-5) limits the wish to 5, and there are as many.";
    assert!(
        limited.out.contains("4 wished: clamp, 5 is the limit") && limited.out.contains(why),
        "{}",
        limited.out
    );
    let told: serde_json::Value = serde_json::from_str(&plan("4", "json").out).expect("JSON");
    assert_eq!((&told["admitted"], &told["judgement"]["size"]), (&false.into(), &5.into()));
    let there = plan("5", "table");
    assert_eq!(there.code, 0, "{}", there.out);
    assert!(there.out.ends_with("Nothing would be done: there are 5 members already.\n"), "{}", there.out);
}

#[test]
fn the_mode_is_told_where_nothing_is_carried_out() {
    let lab = Lab::new();
    let good = std::fs::read_to_string(data("five-healthy.json")).expect("the file");
    for (mode, told) in [("dryrun", "in mode dryrun"), ("off", "in mode off"), ("enforce", "")] {
        lab.write("s.json", good.replacen("\"dryrun\"", &format!("{mode:?}"), 1));
        let file = lab.path("s.json");
        let output = lab.run(&["plan", "--from", &file.to_string_lossy(), "--to", "3"]);
        assert_eq!(output.code, 0, "{}", output.err);
        assert_eq!(output.out.contains("in mode "), !told.is_empty(), "{}", output.out);
        assert!(output.out.contains(told), "{}", output.out);
    }
}

#[test]
fn what_an_examination_found_is_not_admitted() {
    let lab = Lab::new();
    let cases: [(&str, &[&str], &str); 2] = [
        ("dead-second-victim.json", &["--to", "3"], "QUORUM-4"),
        ("dry-run-ghost-on-stale.json", &["--to", "7", "--resting-on", "all"], "EVID-10"),
    ];
    for (file, asked, rule) in cases {
        let from = data(file);
        let output = lab.run(&[&["plan", "--from", &*from][..], asked].concat());
        assert_eq!(output.code, 2, "{file}: {}", output.out);
        assert!(output.out.contains(rule), "{file}: {}", output.out);
    }
}

#[test]
fn the_plan_marks_what_cannot_be_taken_back() {
    let lab = Lab::new();
    let output = lab.run(&["plan", "--from", &data("five-healthy.json"), "--to", "3", "-o", "json"]);
    let plan: serde_json::Value = serde_json::from_str(&output.out).expect("JSON");
    assert_eq!(plan["judgement"]["verdict"], "allow");
    let units = plan["plan"]["units"].as_array().expect("units");
    assert_eq!(units.len(), 2, "one member at a time");
    for unit in units {
        let marked: Vec<_> = unit["steps"]
            .as_array()
            .expect("steps")
            .iter()
            .filter(|step| step["pointOfNoReturn"] == true)
            .map(|step| step["effect"].as_str().expect("an effect"))
            .collect();
        assert_eq!(marked, ["deregister", "stop"]);
    }
}

#[test]
fn a_snapshot_that_is_none_is_told_with_its_place() {
    let lab = Lab::new();
    let good = std::fs::read_to_string(data("five-healthy.json")).expect("the file");
    let cases = [
        ("", "DIR/s.json:1:0: EOF while parsing a value"),
        ("{\n  \"formatVersion\": 1,\n  oops\n}", "DIR/s.json:3:3: key must be a string"),
        ("{}", "DIR/s.json: formatVersion: is missing"),
        (
            &good.replacen("\"formatVersion\": 1", "\"formatVersion\": 2", 1),
            "formatVersion: this version of Plimsoll reads 1 only",
        ),
        (
            &good.replacen("\"dryrun\"", "\"dry-run\"", 1),
            "DIR/s.json: target.mode: `dry-run` is none of off, dryrun, enforce; `plimsoll schema snapshot` tells",
        ),
        (
            &good.replacen("\"sim-quorum\"", "\"sybase\"", 1),
            "target.system: there is no profile for the system \"sybase\"",
        ),
    ];
    for (content, told) in cases {
        lab.write("s.json", content);
        let file = lab.path("s.json");
        let output = lab.run(&["plan", "--from", &file.to_string_lossy(), "--to", "3"]);
        assert_eq!((output.code, output.out.as_str()), (1, ""), "{told}");
        assert!(output.err.contains(told), "{told}: {}", output.err);
    }
    let output = lab.run(&["plan", "--from", "/nowhere.json", "--to", "3"]);
    assert_eq!(
        output.err,
        "error: reading the snapshot /nowhere.json: No such file or directory (os error 2)\n"
    );
}

#[test]
fn a_snapshot_can_come_over_a_pipe_and_text_from_outside_drives_no_terminal() {
    let lab = Lab::new();
    let mut snapshot = snapshot("five-healthy.json");
    snapshot.target.key = "default/x\u{1b}[2J".into();
    let text = serde_json::to_string(&snapshot).expect("JSON");
    for format in ["table", "json", "yaml"] {
        let output = lab.feed(&["plan", "--from", "-", "--to", "3", "-o", format], &text);
        assert_eq!(output.code, 0, "{}", output.err);
        assert!(output.out.contains("default/x"), "{}", output.out);
        assert!(!output.out.contains('\u{1b}'), "{format}: {:?}", output.out);
    }
}

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
            size: Some(5),
            ghost: None,
            answers: vec![PolicyAnswer {
                from: Wisher::Policy("load".to_owned()),
                module: String::new(),
                members: Some(3),
                reason: reason.clone(),
                failed: false,
                fuel: 1,
            }],
            wish: Wish {
                members: Some(3),
                from: Wisher::Policy("load".to_owned()),
                rule: "the only wish".to_owned(),
            },
            judgement: Judgement { verdict: Verdict::Deny, size: Some(3), violations: vec![violation] },
            decided: Some(5),
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

#[test]
fn a_misspelt_key_of_a_snapshot_is_named_and_one_through_jq_is_read() {
    let lab = Lab::new();
    let good = std::fs::read_to_string(data("five-healthy.json")).expect("the file");
    lab.write("s.json", good.replacen("\"mode\"", "\"modes\"", 1));
    let file = lab.path("s.json").to_string_lossy().into_owned();
    let output = lab.run(&["plan", "--from", &file, "--to", "3"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(
        output.err.contains(
            "DIR/s.json: target.mode: is missing; target.modes: is not a known key (did you mean `mode`?)"
        ),
        "{}",
        output.err
    );
    let jq = good.replace("18446744073709551615", "18446744073709552000");
    lab.write("s.json", &jq);
    let output = lab.run(&["plan", "--from", &file, "--to", "3"]);
    assert_eq!((output.code, output.err.as_str()), (0, ""), "{output:?}");
}
