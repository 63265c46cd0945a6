//! A word means the same whichever way a document comes: as a file, as what a reader of YAML 1.1 made of it (Helm, kubectl), and
//! as an object. Where that cannot be, it is refused, with what to write.

use super::{DAEMON, read_targets};
use crate::config::EXAMPLE_TARGET;
use crate::config::object::Objects;
use plimsoll_wire::snapshot::Mode;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

fn mode_of_file(mode: &str) -> Result<Mode, String> {
    let (loaded, problems) =
        read_targets(EXAMPLE_TARGET.replace("mode: dryrun", &format!("mode: {mode}")).as_bytes());
    loaded.targets.first().map(|target| target.mode).ok_or(problems)
}

fn mode_of_object(mode: Value) -> Result<Mode, String> {
    let daemon =
        super::read_daemon(&format!("{DAEMON}kubernetes: {{namespaces: [default], autoscalers: true}}\n"));
    let mut object = crate::yaml::json(EXAMPLE_TARGET.as_bytes(), "example").expect("good YAML");
    object["spec"]["mode"] = mode;
    let objects = Objects { seen: vec![Arc::new(object)], ..Objects::default() };
    let loaded = crate::config::load::load_all(
        Path::new("/nowhere"),
        &daemon.expect("a good file"),
        &objects,
        &mut None,
    );
    loaded.targets.first().map(|target| target.mode).ok_or(loaded.problems.to_string())
}

#[test]
fn the_switch_that_stops_a_target_works_however_it_is_written() {
    for written in ["off", "\"off\"", "'off'", "Off", "OFF", "no", "n", "false", "False"] {
        assert_eq!(mode_of_file(written), Ok(Mode::Off), "{written}");
    }
    assert_eq!(mode_of_object(json!(false)), Ok(Mode::Off));
    assert_eq!(mode_of_object(json!("off")), Ok(Mode::Off));
    assert_eq!(mode_of_object(json!("enforce")), Ok(Mode::Enforce));
}

#[test]
fn a_mode_that_only_others_take_for_a_switch_is_refused_with_what_to_write() {
    for problem in
        [mode_of_file("on"), mode_of_file("true"), mode_of_file("yes"), mode_of_object(json!(true))]
    {
        let problem = problem.expect_err("no mode");
        assert!(
            problem.contains("is a switch without quotes")
                && problem.contains("write one of: off, dryrun, enforce; in quotes"),
            "{problem}"
        );
    }
    assert!(mode_of_file("'false'").is_err(), "text is what it says");
}

#[test]
fn names_that_others_take_for_something_else_are_refused_with_the_hint() {
    for word in ["off", "on", "yes", "no", "y", "n", "false", "0123", "0x1f", "1e3"] {
        for (key, text) in [
            ("metadata.name", EXAMPLE_TARGET.replace("  name: orders\n", &format!("  name: {word}\n"))),
            ("spec.policies[0].name", EXAMPLE_TARGET.replace("name: load", &format!("name: {word}"))),
            (
                "spec.signals[0].name",
                EXAMPLE_TARGET.replace("    - name: requests", &format!("    - name: {word}")),
            ),
        ] {
            assert_ne!(text, EXAMPLE_TARGET, "{key}");
            let (loaded, problems) = read_targets(text.as_bytes());
            assert!(loaded.targets.is_empty(), "{key}: {word}");
            assert!(
                problems.contains(&format!("{key}: `{word}` without quotes is ")),
                "{key}: {word}: {problems}"
            );
            assert!(problems.contains("(write it in quotes)"), "{key}: {word}: {problems}");
        }
    }
    let quoted = EXAMPLE_TARGET.replace("name: load", "name: \"no\"");
    assert_eq!(read_targets(quoted.as_bytes()).0.targets[0].policies[0].asked.name, "no");
}

#[test]
fn settings_that_others_read_otherwise_are_refused_with_the_hint() {
    for word in ["off", "no", "010", "1_000", "1:30", "2026-02-01", "0o17"] {
        let (_, problems) =
            read_targets(EXAMPLE_TARGET.replace("signal: requests", &format!("signal: {word}")).as_bytes());
        let expected = format!("spec.policies[0].settings.signal: `{word}` without quotes is ");
        assert!(
            problems.contains(&expected) && problems.contains("write it in quotes"),
            "{word}: {problems}"
        );
        let quoted = EXAMPLE_TARGET.replace("signal: requests", &format!("signal: '{word}'"));
        assert_eq!(read_targets(quoted.as_bytes()).1, "", "{word}");
    }
}

#[test]
fn the_daemons_own_names_and_values_are_judged_alike() {
    for (text, expected) in [
        (DAEMON.replace("  private:", "  no:"), "sources.no: `no` without quotes is a switch"),
        (DAEMON.replace("namespaces: [billing]", "namespaces: [off]"), "`off` without quotes is a switch"),
        (DAEMON.replace("[/bin/members, add]", "[/bin/members, yes]"), "`yes` without quotes is a switch"),
        (
            DAEMON.replace(
                "{command: [/bin/members, add]}",
                "{command: [/bin/members, add], env: {MODE: 0755}}",
            ),
            "`0755` without quotes is a number",
        ),
    ] {
        let refused = super::read_daemon(&text).expect_err(expected);
        assert!(refused.contains(expected) && refused.contains("write it in quotes"), "{refused}");
    }
}

#[test]
fn a_pause_says_who_and_why_and_its_end_is_an_end_or_refused() {
    let end = "2026-02-01T12:00:00Z";
    let refused = |value: &str| {
        let annotation = format!("annotations: {{plimsoll.dev/paused: \"{value}\"}}\n");
        read_targets(EXAMPLE_TARGET.replace("annotations: {}\n", &annotation).as_bytes()).1
    };
    for value in
        ["false", "true", "0", "off", "maintenance", "ann:", ": why", "ann: ; until 2026-02-01T12:00:00Z"]
    {
        let problem = refused(value);
        assert!(
            problem.contains("write who and why, and until when if it ends: `ann: disk swap; until "),
            "{value}: {problem}"
        );
    }
    for value in [
        format!("ann: x; Until {end}"),
        format!("ann: x, until {end}"),
        format!("ann: x until {end}"),
        format!("ann: x; until {end}; because"),
        format!("ann: x; till {end}"),
        format!("ann: x; {end}"),
        "ann: x until tomorrow".to_owned(),
    ] {
        let problem = refused(&value);
        assert!(
            problem.contains("an end stands last, behind a semicolon: `ann: disk swap; until "),
            "{value}: {problem}"
        );
    }
    for value in [format!("ann: x; until {end}"), "ann: the swap of 2026-02-01; the second one".to_owned()] {
        assert_eq!(refused(&value), "", "{value}");
    }
}
