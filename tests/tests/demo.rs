//! The demo as a user runs it without a terminal: one day, the same every time, and nothing lost because of us.

use std::process::{Command, Output, Stdio};

fn demo(arguments: &[&str]) -> Output {
    Command::new(plimsoll_tests::binary())
        .arg("demo")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the demo runs")
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

#[test]
fn a_seed_is_one_day_whoever_watches_and_nothing_is_lost_in_it() {
    let first = demo(&["--plain", "--fast", "--seed", "1"]);
    let told = text(&first);
    assert_eq!(first.status.code(), Some(0), "{told}{}", String::from_utf8_lossy(&first.stderr));
    assert_eq!(told, text(&demo(&["--plain", "--fast", "--seed", "1"])));

    assert!(!told.contains('\u{1b}'), "no escape codes where nobody watches");
    assert_eq!(told.lines().last(), Some("acknowledged writes lost: 0"));
    let plans = told.lines().find(|line| line.starts_with("plans")).expect("a line about plans");
    assert!(plans.contains("out done") && plans.contains("in done"), "both directions: {plans}");
    let kills =
        told.lines().find(|line| line.starts_with("daemon kills survived")).expect("a line about kills");
    assert!(kills.ends_with(" 2"), "{kills}");
    assert!(told.contains("StaleMetrics"), "stale metrics are refused");
    assert!(told.contains("because of Plimsoll: nothing"), "{told}");
    let bare = told.lines().find_map(|line| line.strip_prefix("the same day without guard")).expect("a line");
    let lost: u64 = bare.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a figure");
    assert!(lost > 0, "a day that loses nothing without the guard shows nothing: {bare}");
}

#[test]
fn the_records_of_the_demo_can_be_verified_explained_and_planned_from() {
    let folder = tempfile::tempdir().expect("a directory");
    let kept = folder.path().join("day");
    let kept = kept.to_str().expect("a path in text");
    let day = demo(&["--plain", "--fast", "--record", kept]);
    assert_eq!(day.status.code(), Some(0), "{}", String::from_utf8_lossy(&day.stderr));

    let run = |arguments: &[&str]| {
        let binary = plimsoll_tests::binary();
        Command::new(binary).args(arguments).stdin(Stdio::null()).output().expect("the command runs")
    };
    let audit = format!("{kept}/audit");
    let verified = run(&["audit", "verify", &audit]);
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified));
    let explained = run(&["explain", "demo/store", "--dir", &audit]);
    assert_eq!(explained.status.code(), Some(0), "{}", String::from_utf8_lossy(&explained.stderr));
    assert!(text(&explained).contains("target-utilization"), "{}", text(&explained));
    let planned = run(&["plan", "--from", &format!("{kept}/member-failed.json"), "--to", "3"]);
    assert_eq!(planned.status.code(), Some(2), "a scale-in with a failed member: {}", text(&planned));

    let again = demo(&["--plain", "--fast", "--record", kept]);
    assert_eq!(again.status.code(), Some(1), "a directory is written once");
}
