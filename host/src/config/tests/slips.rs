//! What ends a target, and what does not: slips in a document, files that are being written, documents that are gone.

use super::reloading::*;
use crate::config::{Change, Configuration, EXAMPLE_TARGET, TargetKey};
use plimsoll_wire::snapshot::Mode;

/// Documents of the namespace `prod` on a platform that is open to it.
fn files() -> Files {
    let files = Files::new();
    files.daemon(
        &two_platforms()
            .replace("    kind: exec\n", "    kind: exec\n    namespaces: ['*']\n")
            .replace("{kind: etcd}", "{kind: etcd, namespaces: ['*']}")
            .replace("9090}", "9090, namespaces: ['*']}"),
    );
    files.write("orders", &prod());
    files
}

fn prod() -> String {
    EXAMPLE_TARGET.replace("namespace: default", "namespace: prod").replace("mode: dryrun", "mode: enforce")
}

fn key() -> TargetKey {
    TargetKey { namespace: "prod".to_owned(), name: "orders".to_owned() }
}

fn until(text: &str, end: &str) -> String {
    text[..text.find(end).expect("there") + end.len()].to_owned()
}

/// A day later, reading after reading, the target is as it was.
fn stays(before: &Configuration, what: &str) {
    let mut configuration = before.clone();
    for minutes in [0, 1, 10, 1_440] {
        let after = reload_at(&configuration, AT + minutes * MINUTE);
        assert_eq!(after.changes, [Change::Kept(key())], "{what}: {}", after.problems);
        assert_eq!(after.configuration.targets[&key()], before.targets[&key()], "{what}");
        assert!(after.problems.to_string().contains("target `prod/orders` "), "{what}: {}", after.problems);
        configuration = after.configuration;
    }
}

#[test]
fn a_slip_in_a_name_or_a_namespace_ends_no_target_and_is_told() {
    let files = files();
    let before = files.load();
    for (what, text) in [
        ("a misspelt key", prod().replace("  namespace:", "  namespaces:")),
        ("the key is gone", prod().replace("  namespace: prod\n", "")),
        ("cut off before the namespace", until(&prod(), "name: orders\n")),
        ("cut off in the name", until(&prod(), "name: ord")),
        ("cut off in the namespace", until(&prod(), "namespace: pro")),
        (
            "another name and another slip",
            prod().replace("name: orders", "name: order").replace("minReplicas: 3", "minReplicas: x"),
        ),
        ("another name", prod().replace("name: orders", "name: order")),
        ("a name that is a switch to others", prod().replace("name: orders", "name: off")),
        ("no name", prod().replace("  name: orders\n", "")),
        ("another kind", prod().replace("kind: StatefulAutoscaler", "kind: Statefulautoscaler")),
        ("a list", "- a\n".to_owned()),
    ] {
        files.write("orders", &text);
        stays(&before, what);
    }
    files.write("orders", &prod());
    let mended = reload(&before);
    assert!(mended.changes.is_empty() && mended.problems.is_empty(), "{}", mended.problems);
}

#[test]
fn a_document_that_may_be_a_targets_keeps_it_wherever_it_stands() {
    let files = files();
    let before = files.load();
    files.remove("orders");
    files.write("renamed", &prod().replace("  namespace:", "  namespaces:"));
    stays(&before, "in another file");
    files.write("renamed", "kind: [\n");
    stays(&before, "unreadable");
}

#[test]
fn a_broken_document_of_another_known_target_is_nobody_elses() {
    let files = files();
    let users = second("users", "vms2");
    files.write("users", &users);
    let before = files.load();
    files.remove("orders");
    files.write("users", &users.replace("minReplicas: 3", "minReplicas: x"));
    let after = reload(&before);
    let ended = reload_at(&after.configuration, AT + 5 * MINUTE);
    assert!(ended.changes.contains(&Change::Removed(key())), "{:?}", ended.changes);
    // The document of the one under the name of the other, which has its own: whose it is is not known.
    files.write("users", &users);
    files.write("new", &until(&users, "namespace: default\n"));
    stays_beside(&before, "default/users");
}

fn stays_beside(before: &Configuration, other: &str) {
    let first = reload(before);
    let after = reload_at(&first.configuration, AT + 10 * MINUTE);
    assert!(after.changes.contains(&Change::Kept(key())), "{:?}", after.changes);
    assert!(after.configuration.targets.keys().any(|key| key.to_string() == other));
}

/// The switch that stops a target works in a document that is broken elsewhere, or in the switch itself.
#[test]
fn a_broken_document_that_means_to_stop_its_target_stops_it() {
    let files = files();
    let before = files.load();
    for (from, to) in [
        ("mode: enforce", "mode: off\n  unheardOf: 1"),
        ("annotations: {}", "annotations: {plimsoll.dev/paused: \"true\"}"),
        ("annotations: {}", "annotations: {plimsoll.dev/paused-scale-in: \"ann: x, until noon\"}"),
    ] {
        files.write("orders", &prod().replace(from, to));
        let after = reload(&before);
        assert_eq!(after.changes, [Change::Changed(key())], "{to}: {}", after.problems);
        let now = &after.configuration.targets[&key()];
        assert!(now.pauses.held_at(0).is_some_and(|why| why.contains("means to stop it")), "{to}");
        assert_eq!(now.mode, Mode::Enforce, "a running plan keeps its place");
        let again = reload_at(&after.configuration, AT + MINUTE);
        assert_eq!(again.changes, [Change::Kept(key())], "{to}");
    }
    files.write("orders", &prod());
    assert_eq!(reload(&before).configuration.targets, before.targets);
}

#[test]
fn a_document_that_comes_back_begins_the_wait_anew() {
    let files = files();
    let before = files.load();
    files.remove("orders");
    let gone = reload(&before).configuration;
    files.write("orders", &prod());
    let back = reload_at(&gone, AT + 4 * MINUTE).configuration;
    files.remove("orders");
    let again = reload_at(&back, AT + 6 * MINUTE);
    assert_eq!(again.changes, [Change::Kept(key())]);
    let ended = reload_at(&again.configuration, AT + 11 * MINUTE);
    assert_eq!(ended.changes, [Change::Removed(key())]);
}

#[test]
fn a_file_that_moves_to_another_name_changes_its_target_and_ends_nothing() {
    let files = files();
    let before = files.load();
    std::fs::rename(files.targets().join("orders.yaml"), files.targets().join("db.yaml")).expect("renamed");
    let after = reload(&before);
    assert_eq!(after.changes, [Change::Changed(key())]);
    assert!(after.problems.is_empty(), "{}", after.problems);
}

/// The beginning of a document is often a document: without its last lines this one would leave enforce.
#[test]
fn a_file_that_is_being_written_is_not_read_by_its_beginning() {
    let files = files();
    let before = files.load();
    let whole = prod().replace("  mode: enforce\n", "") + "  mode: enforce\n";
    let beginning = whole.strip_suffix("  mode: enforce\n").expect("its end");
    files.write("orders", beginning);
    let during = once_at(&before, AT + 5_000);
    assert_eq!((during.changes, during.problems.to_string()), (vec![Change::Kept(key())], String::new()));
    files.write("orders", &whole);
    let during = once_at(&during.configuration, AT + 6_500);
    assert_eq!(during.changes, [Change::Kept(key())], "it has changed since the last look");
    let after = once_at(&during.configuration, AT + 7_500);
    assert_eq!(after.configuration.targets[&key()].mode, Mode::Enforce);
    assert!(after.problems.is_empty() && after.look_again.is_none(), "{}", after.problems);
    // The very same bytes are a document when they are all there is.
    files.write("orders", beginning);
    assert_eq!(reload(&after.configuration).configuration.targets[&key()].mode, Mode::Dryrun);
}

#[test]
fn a_file_that_is_never_at_rest_is_told_and_keeps_its_target() {
    let files = files();
    let mut configuration = files.load();
    for second in 0..12_u64 {
        files.write("orders", &format!("{}# {second}\n", prod()));
        let after = once_at(&configuration, AT + 2_000 + second * 1_000);
        assert_eq!(after.changes, [Change::Kept(key())]);
        let problems = after.problems.to_string();
        assert_eq!(problems.contains("is being written all the time"), second >= 9, "{second}: {problems}");
        configuration = after.configuration;
    }
}

#[test]
fn the_daemons_file_too_is_read_when_it_is_at_rest() {
    let files = files();
    let before = files.load();
    files.daemon("kind: [\n");
    let during = once_at(&before, AT + 5_000);
    assert!(during.problems.is_empty(), "{}", during.problems);
    assert!(!once_at(&during.configuration, AT + 6_000).problems.is_empty());
}
