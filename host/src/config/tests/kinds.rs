//! Every kind of system and platform is whole: a test here names what is missing from a new one.

use super::{API_VERSION, DaemonConfig, TargetConfig, daemon_from, targets_from};
use crate::actuate::Pending;
use crate::config::{LoadedTargets, spec_schema};
use crate::daemon::assembly;
use crate::leadership::Leadership;
use crate::machine::Clock;
use crate::platforms::{self, Source};
use crate::systems::{self, Identity};
use crate::yaml::problem::Sink;
use plimsoll_core::observation::SystemReport;
use std::collections::BTreeSet;
use std::path::Path;

/// The daemon's file with the examples of a platform and a system.
fn daemon(platform: &platforms::Kind, system: &systems::Kind) -> DaemonConfig {
    let entry = |section: &str, example: Option<&str>| {
        example.map_or_else(String::new, |example| format!("{section}:\n  it: {example}\n"))
    };
    let (place, kubernetes) = match platform.source {
        Source::File { example, .. } => (Some(example), ""),
        Source::Workload(_) => (None, "kubernetes: {namespaces: [default]}\n"),
    };
    let text = format!(
        "apiVersion: {API_VERSION}\nkind: DaemonConfig\n{}{}{kubernetes}",
        entry("platforms", place),
        entry("systems", system.reach.as_ref().map(|reach| reach.example)),
    );
    let mut sink = Sink::new("example");
    let config = daemon_from(text.as_bytes(), Path::new("example"), Path::new("/etc/plimsoll"), &mut sink);
    assert_eq!(sink.into_problems().to_string(), "", "{text}");
    config.expect("an example that can be read")
}

/// A target on both.
fn target(platform: &platforms::Kind, system: &systems::Kind, daemon: &DaemonConfig) -> TargetConfig {
    let named = if system.reach.is_some() { ", ref: it" } else { "" };
    let text = format!(
        "apiVersion: {API_VERSION}\nkind: StatefulAutoscaler\nmetadata: {{name: orders}}\nspec:\n  \
         targetRef: {{kind: {}, name: it}}\n  system: {{kind: {}{named}}}\n  minReplicas: 3\n  maxReplicas: 7\n  \
         mode: enforce\n  policies: [{{name: load, module: hold.wasm}}]\n",
        platform.refers, system.word
    );
    let (mut sink, mut loaded) = (Sink::new("orders.yaml"), LoadedTargets::default());
    targets_from(text.as_bytes(), daemon, &mut sink, &mut loaded);
    assert_eq!(sink.into_problems().to_string(), "", "{text}");
    loaded.targets.pop().expect("a target")
}

/// Opens it as the daemon does, and reads the system once. A workload needs an API server: it is only read.
async fn open(target: &TargetConfig) -> anyhow::Result<()> {
    if target.platform.settings.workload().is_some() {
        return Ok(());
    }
    let (folder, clock) = (tempfile::tempdir()?, Clock::new()?);
    let platform = target.platform.settings.open(&platforms::Opening {
        name: &target.platform.name,
        namespace: &target.key.namespace,
        target: &target.key.name,
        system: target.system.kind.word,
        endpoints: &target.system.connection.endpoints,
        set_aside: false,
        state_dir: folder.path(),
        clock: &clock,
        kubernetes: None,
        lists: &platforms::exec::SharedLists::default(),
    })?;
    let connection = &target.system.connection;
    let opening = systems::Opening { connection, leadership: &Leadership::alone(), platform: &*platform };
    let system = target.system.settings.open(&opening)?;
    anyhow::ensure!(!system.verb_deadline().is_zero(), "a verb has no time");
    let seen = platform.observe(&target.key.to_string(), true).await;
    let read: Pending<'_, SystemReport> = system.observe(&seen);
    read.await;
    Ok(())
}

fn is_word(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[tokio::test]
async fn every_kind_is_whole() {
    let page = crate::reference::page();
    let words = spec_schema()["properties"]["system"]["properties"]["kind"]["enum"].clone();
    for kind in systems::KINDS {
        let what = kind.word;
        assert!(is_word(what) && kind.about.ends_with('.'), "{what}");
        assert_eq!(&*(kind.profile)().system, what);
        assert!(
            words.as_array().is_some_and(|words| words.iter().any(|word| word == what)),
            "{what}: the CRD"
        );
        assert!(page.contains(&format!("| `{what}` |")), "{what}: the reference");
        if let Some(data) = &kind.data {
            let empty = tempfile::tempdir().expect("a folder");
            assert!(!data.folder.is_empty(), "{what}");
            assert_eq!((data.identity)(empty.path()), Identity::Blank, "{what}: no data is nobody's");
        }
        if kind.reach.is_some() {
            let test = format!("{}/../tests/tests/{what}.rs", env!("CARGO_MANIFEST_DIR"));
            assert!(Path::new(&test).exists(), "{what}: no test with a real server, {test}");
        }
        let places: Vec<_> = platforms::KINDS.iter().filter(|place| kind.runs_on(place)).collect();
        assert!(!places.is_empty(), "{what} runs nowhere");
        for place in places {
            let daemon = daemon(place, kind);
            let target = target(place, kind, &daemon);
            let spec = assembly::spec(&target, 0).expect("a profile");
            assert_eq!(&*spec.profile.system, what);
            open(&target).await.unwrap_or_else(|error| panic!("{what} on {}: {error:#}", place.word));
        }
    }
}

#[test]
fn every_platform_is_whole_and_no_word_stands_for_two_kinds() {
    let page = crate::reference::page();
    for kind in platforms::KINDS {
        assert!(is_word(kind.word) && kind.about.ends_with('.'), "{}", kind.word);
        assert!(page.contains(&format!("| `{}` |", kind.word)), "{}: the reference", kind.word);
        assert!(
            systems::KINDS.iter().any(|system| system.runs_on(kind)),
            "{}: nothing runs there",
            kind.word
        );
    }
    let systems: BTreeSet<_> = systems::KINDS.iter().map(|kind| kind.word).collect();
    assert_eq!(systems.len(), systems::KINDS.len());
    let platforms: BTreeSet<_> = platforms::KINDS.iter().flat_map(|kind| [kind.word, kind.refers]).collect();
    assert_eq!(platforms.len(), 2 * platforms::KINDS.len());
}
