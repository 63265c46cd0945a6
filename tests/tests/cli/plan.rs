//! `plan --from`: what would come of a saved snapshot, without a daemon.

use crate::lab::{Lab, data, snapshot};

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
    assert_eq!((&told["admitted"], &told["judgement"]["sizes"]["members"]), (&false.into(), &5.into()));
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
            &good.replacen("\"formatVersion\": 2", "\"formatVersion\": 3", 1),
            "formatVersion: this version of Plimsoll reads 2 only",
        ),
        (
            &good.replacen("\"dryrun\"", "\"dry-run\"", 1),
            "DIR/s.json: target.mode: `dry-run` is none of off, dryrun, enforce; `plimsoll schema snapshot` tells",
        ),
        (
            &good.replacen("\"step\": \"stop\"", "\"step\": \"vanish\"", 1),
            "DIR/s.json: profile: shrink: vanish is not one of register, start",
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
