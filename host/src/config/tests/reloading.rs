//! Changes while the daemon runs.

use crate::config::{Change, Configuration, EXAMPLE_TARGET, Objects, Problems, Reloaded, TargetKey, Watch};
use plimsoll_wire::snapshot::{Mode, Now};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Any moment of the boot clock.
pub(super) const AT: u64 = 10_000_000;
pub(super) const MINUTE: u64 = 60_000;

fn load(file: &Path) -> Result<Reloaded, Problems> {
    Ok(reload(&Configuration::new(Arc::new(crate::config::load_daemon(file)?))))
}

/// Two readings a second apart: every file has come to rest.
pub(super) fn reload(old: &Configuration) -> Reloaded {
    reload_at(old, AT)
}

pub(super) fn reload_at(old: &Configuration, mono_ms: u64) -> Reloaded {
    let mut files = once_at(old, mono_ms).configuration.files;
    files.gone = old.files.gone.clone();
    once_at(&Configuration { files, ..old.clone() }, mono_ms + 1_000)
}

pub(super) fn once_at(old: &Configuration, mono_ms: u64) -> Reloaded {
    crate::config::reload(old, &Objects::default(), &Now { mono_ms, wall_ms: 0, boot: "boot".into() })
}

/// A daemon's file and a directory of documents.
pub(super) struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    pub(super) fn new() -> Self {
        let files = Self { dir: tempfile::tempdir().expect("a directory") };
        std::fs::create_dir(files.targets()).expect("a directory");
        files.daemon(&two_platforms());
        files.write("orders", EXAMPLE_TARGET);
        files
    }

    pub(super) fn targets(&self) -> PathBuf {
        self.dir.path().join("targets")
    }

    pub(super) fn daemon_file(&self) -> PathBuf {
        self.dir.path().join("plimsoll.yaml")
    }

    pub(super) fn daemon(&self, text: &str) {
        std::fs::write(self.daemon_file(), text).expect("written");
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.targets().join(format!("{name}.yaml")), text).expect("written");
    }

    pub(super) fn remove(&self, name: &str) {
        std::fs::remove_file(self.targets().join(format!("{name}.yaml"))).expect("removed");
    }

    pub(super) fn load(&self) -> Configuration {
        let loaded = load(&self.daemon_file()).expect("a good daemon's file");
        assert!(loaded.problems.is_empty(), "{}", loaded.problems);
        loaded.configuration
    }
}

pub(super) fn two_platforms() -> String {
    let vms2 = "  vms2:\n    kind: exec\n    list: {command: [/bin/members]}\nsystems:";
    super::DAEMON.replace("systems:", vms2)
}

fn key(name: &str) -> TargetKey {
    TargetKey { namespace: "default".to_owned(), name: name.to_owned() }
}

pub(super) fn second(name: &str, platform: &str) -> String {
    EXAMPLE_TARGET
        .replace("name: orders", &format!("name: {name}"))
        .replace("name: vms", &format!("name: {platform}"))
}

fn keys(reloaded: &Reloaded) -> Vec<String> {
    reloaded.configuration.targets.keys().map(ToString::to_string).collect()
}

fn messages(reloaded: &Reloaded) -> Vec<&str> {
    reloaded.problems.iter().map(|problem| problem.message.as_str()).collect()
}

#[test]
fn an_untouched_file_is_no_change() {
    let files = Files::new();
    let before = files.load();
    let after = reload(&before);
    assert_eq!(after.changes, []);
    assert!(std::sync::Arc::ptr_eq(&before.daemon, &after.configuration.daemon));
}

#[test]
fn a_broken_change_keeps_what_was_and_says_so() {
    let files = Files::new();
    let before = files.load();
    files.write("orders", &EXAMPLE_TARGET.replace("minReplicas: 3", "minReplicas: 30"));
    let after = reload(&before);
    assert_eq!(after.changes, [Change::Kept(key("orders"))]);
    assert_eq!(after.configuration.targets, before.targets);
    assert_eq!(
        messages(&after),
        [
            "`30` is more than `maxReplicas`, `7`",
            "target `default/orders` keeps the configuration that it had before"
        ]
    );
    files.write("orders", &EXAMPLE_TARGET.replace("minReplicas: 3", "minReplicas: 5"));
    let mended = reload(&after.configuration);
    assert_eq!(mended.changes, [Change::Changed(key("orders"))]);
    assert_eq!(mended.configuration.targets[&key("orders")].min_replicas, 5);
}

#[test]
fn half_a_file_removes_no_target() {
    let files = Files::new();
    files.write("both", &format!("{EXAMPLE_TARGET}\n---\n{}", second("users", "vms2")));
    files.remove("orders");
    let before = files.load();
    assert_eq!(before.targets.len(), 2);
    files.write("both", &format!("{EXAMPLE_TARGET}\n---\nkind: [\n"));
    let after = reload(&before);
    assert_eq!(after.configuration.targets, before.targets);
    assert_eq!(after.changes, [Change::Kept(key("users"))]);
}

/// Many an editor empties a file before it writes it, and a disk that is full leaves it so.
#[test]
fn an_emptied_file_removes_no_target() {
    let files = Files::new();
    let before = files.load();
    for text in ["", "\n", "# kind: StatefulAutoscaler\n---\n"] {
        files.write("orders", text);
        let after = reload(&before);
        assert_eq!(after.changes, [Change::Kept(key("orders"))], "{text:?}");
        assert_eq!(messages(&after)[0], "holds no document", "{text:?}");
    }
}

#[test]
fn a_document_that_is_gone_removes_its_target_only() {
    let files = Files::new();
    files.write("users", &second("users", "vms2"));
    let before = files.load();
    files.remove("orders");
    let after = reload(&before);
    assert_eq!(after.changes, [Change::Kept(key("orders"))]);
    assert_eq!(
        messages(&after),
        ["target `default/orders` has no document any more; it ends when that has lasted `5m`"]
    );
    assert_eq!(after.look_again, Some(Duration::from_millis(5 * MINUTE)));
    let still = reload_at(&after.configuration, AT + 4 * MINUTE);
    assert_eq!(still.problems, after.problems, "what is told does not change while the time goes by");
    let ended = reload_at(&still.configuration, AT + 5 * MINUTE);
    assert_eq!(ended.changes, [Change::Removed(key("orders"))]);
    assert_eq!((keys(&ended), ended.look_again), (vec!["default/users".to_owned()], None));
}

#[test]
fn an_unreadable_directory_removes_nothing() {
    let files = Files::new();
    let before = files.load();
    std::fs::rename(files.targets(), files.dir.path().join("elsewhere")).expect("moved");
    let after = reload(&before);
    assert_eq!(after.configuration.targets, before.targets);
    assert_eq!(after.changes, [Change::Kept(key("orders"))]);
}

#[test]
fn two_documents_of_one_name_are_both_refused() {
    let files = Files::new();
    files.write("again", EXAMPLE_TARGET);
    let loaded = load(&files.daemon_file()).expect("a good daemon's file");
    assert!(loaded.configuration.targets.is_empty());
    let targets = files.targets();
    let line = |name: &str, other: &str| {
        format!(
            "{0}/{name}.yaml:4: metadata.name: `default/orders` is described twice, also in {0}/{other}.yaml:4 \
             (keep one, or give it another name)",
            targets.display()
        )
    };
    assert_eq!(
        loaded.problems.to_string(),
        format!("{}\n{}", line("again", "orders"), line("orders", "again"))
    );
}

#[test]
fn two_documents_for_the_same_members_are_both_refused() {
    let files = Files::new();
    files.write("users", &second("users", "vms"));
    let loaded = load(&files.daemon_file()).expect("a good daemon's file");
    assert!(loaded.configuration.targets.is_empty());
    assert_eq!(messages(&loaded).len(), 2);
    assert!(messages(&loaded)[0].starts_with("platform `vms` is scaled by two documents"));
}

/// The daemon's file with another list command for `vms`.
fn listed_by(files: &Files, list: &str) {
    let old = "list: {command: [/bin/members, list]}";
    assert!(super::DAEMON.contains(old));
    files.daemon(&super::DAEMON.replacen(old, list, 1));
}

#[test]
fn a_platform_whose_list_hears_of_the_target_serves_many_documents() {
    for list in [
        "list: {command: [/bin/members, list, \"{target}\"]}",
        "list: {command: [/bin/members, list, \"{namespace}\", \"{name}\"]}",
        "listAll: {command: [/bin/members, list-all]}",
    ] {
        let files = Files::new();
        listed_by(&files, list);
        files.write("users", &second("users", "vms"));
        let before = load(&files.daemon_file()).expect("a good daemon's file");
        assert_eq!(messages(&before), [""; 0], "{list}");
        assert_eq!(keys(&before), ["default/orders", "default/users"], "{list}");
        // A broken document bars its own target, and no other of the platform.
        files.write("orders", &EXAMPLE_TARGET.replace("maxReplicas: 7", "maxReplicas: seven"));
        let after = reload(&before.configuration);
        assert_eq!(keys(&after), ["default/orders", "default/users"], "{list}");
        // But where the entry is another one now, nobody knows whose members those are.
        listed_by(&files, "list: {command: [/bin/other, \"{target}\"]}");
        let changed = reload(&before.configuration);
        let still = "target `default/orders`, whose document is broken or gone, still scales `vms`";
        assert!(messages(&changed).contains(&still), "{:?}", messages(&changed));
    }
}

#[test]
fn two_documents_with_the_same_arguments_for_list_are_refused() {
    let files = Files::new();
    listed_by(&files, "list: {command: [/bin/members, list, \"{namespace}\"]}");
    files.write("users", &second("users", "vms"));
    let loaded = load(&files.daemon_file()).expect("a good daemon's file");
    assert!(loaded.configuration.targets.is_empty());
    assert!(loaded.problems.to_string().contains("give this one's `list` the argument \"{target}\""));
}

#[test]
fn members_of_a_target_that_is_kept_get_no_second_hand() {
    let files = Files::new();
    let before = files.load();
    files.write("orders", &EXAMPLE_TARGET.replace("maxReplicas: 7", "maxReplicas: seven"));
    files.write("users", &second("users", "vms"));
    let after = reload(&before);
    assert_eq!(keys(&after), ["default/orders"]);
    assert!(
        messages(&after)
            .contains(&"target `default/orders`, whose document is broken or gone, still scales `vms`")
    );
}

#[test]
fn a_broken_daemon_file_keeps_the_old_one_and_targets_still_change() {
    let files = Files::new();
    let before = files.load();
    files.daemon("kind: [\n");
    files.write("orders", &EXAMPLE_TARGET.replace("mode: dryrun", "mode: off"));
    let after = reload(&before);
    assert_eq!(after.configuration.daemon, before.daemon);
    assert_eq!(after.changes, [Change::Changed(key("orders"))]);
    assert!(after.problems.iter().any(|problem| problem.message.starts_with("is not YAML")));
}

#[test]
fn what_the_daemon_holds_open_stays_until_a_restart() {
    let files = Files::new();
    let before = files.load();
    files.daemon(&format!("{}stateDir: other\ninterval: 7s\n", two_platforms()));
    let after = reload(&before);
    assert_eq!(after.configuration.daemon.state_dir, before.daemon.state_dir);
    assert_eq!(after.configuration.daemon.interval, Duration::from_secs(7));
    assert_eq!(after.changes, [Change::Daemon]);
    assert!(messages(&after).contains(&"cannot change while the daemon runs; the old value stays"));
}

/// What is in force must be what is shown: a change that waits for a restart is reported for as long as it waits.
#[test]
fn whatever_needs_a_restart_is_kept_and_told_until_then() {
    let files = Files::new();
    let before = files.load();
    let changed = "policiesDir: other\npolicyHost: {sandbox: best-effort}\naudit: {retention: 1d}\n\
        http: {enabled: false}\ncontrol: {socket: other.sock}\nlog: {format: json, level: debug}\n\
        movement: {concurrentPlans: 3}\n";
    files.daemon(&format!("{}{changed}", two_platforms()));
    let after = reload(&before);
    let paths: Vec<_> = after.problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["http", "control.socket", "audit", "policiesDir", "policyHost", "log.format"]);
    let (old, new) = (&before.daemon, &after.configuration.daemon);
    assert_eq!((&new.policies_dir, &new.policy_host), (&old.policies_dir, &old.policy_host));
    assert_eq!((new.log.format, new.log.level), (old.log.format, crate::config::LogLevel::Debug));
    assert_eq!(new.concurrent_plans, 3);
    assert_eq!(after.changes, [Change::Daemon]);
    let again = reload(&after.configuration);
    assert_eq!(again.changes, []);
    assert_eq!(again.problems, after.problems);
}

#[test]
fn a_target_is_switched_off_when_its_platform_is_taken_from_it() {
    let files = Files::new();
    let before = files.load();
    files.daemon(&two_platforms().replace("  vms:\n", "  vms:\n    namespaces: [billing]\n"));
    let after = reload(&before);
    assert_eq!(after.changes, [Change::Daemon, Change::Withdrawn(key("orders"))]);
    assert_eq!(after.configuration.targets[&key("orders")].mode, Mode::Off);
}

#[test]
fn a_changed_platform_changes_the_targets_that_use_it() {
    let files = Files::new();
    files.write("users", &second("users", "vms2"));
    let before = files.load();
    files.daemon(&two_platforms().replace("[/bin/members, add]", "[/bin/members, create]"));
    let after = reload(&before);
    assert_eq!(after.changes, [Change::Daemon, Change::Changed(key("orders"))]);
    assert!(after.problems.is_empty(), "{}", after.problems);
}

/// Reads again at every hint until what is in force is as wanted; a hint that never comes fails the test.
async fn until(
    watch: &mut Watch,
    configuration: &mut Configuration,
    wanted: impl Fn(&Configuration) -> bool,
) {
    let began = tokio::time::Instant::now();
    while !wanted(configuration) {
        let hint = tokio::time::timeout_at(began + Duration::from_secs(25), watch.changed());
        hint.await.expect("a hint before the rescan");
        let elapsed_ms = u64::try_from(began.elapsed().as_millis()).expect("a short test");
        let reloaded = once_at(configuration, AT + MINUTE + elapsed_ms);
        if let Some(wait) = reloaded.look_again {
            watch.look_within(wait);
        }
        *configuration = reloaded.configuration;
    }
}

fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).expect("written");
    std::fs::rename(new, path).expect("renamed");
}

#[tokio::test]
async fn changes_of_files_are_noticed() {
    let files = Files::new();
    files.daemon(&format!("{}removeAfter: 1s\n", two_platforms()));
    let mut configuration = files.load();
    let mut watch = Watch::new(&files.daemon_file(), &files.targets());
    files.write("orders", &EXAMPLE_TARGET.replace("minReplicas: 3", "minReplicas: 5"));
    until(&mut watch, &mut configuration, |now| now.targets[&key("orders")].min_replicas == 5).await;
    replace(&files.targets().join("orders.yaml"), EXAMPLE_TARGET);
    until(&mut watch, &mut configuration, |now| now.targets[&key("orders")].min_replicas == 3).await;
    replace(&files.daemon_file(), &format!("{}removeAfter: 1s\ninterval: 7s\n", two_platforms()));
    until(&mut watch, &mut configuration, |now| now.daemon.interval == Duration::from_secs(7)).await;
    files.remove("orders");
    until(&mut watch, &mut configuration, |now| now.targets.is_empty()).await;
}

#[tokio::test]
async fn a_change_is_noticed_however_often_the_wait_is_given_up() {
    let files = Files::new();
    let mut configuration = files.load();
    let mut watch = Watch::new(&files.daemon_file(), &files.targets());
    files.write("orders", &EXAMPLE_TARGET.replace("minReplicas: 3", "minReplicas: 5"));
    // As in the daemon's loop, where events of targets come all the time.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(25);
    while configuration.targets[&key("orders")].min_replicas != 5 {
        assert!(tokio::time::Instant::now() < deadline, "the change was not noticed");
        if tokio::time::timeout(Duration::from_millis(20), watch.changed()).await.is_ok() {
            configuration = reload(&configuration).configuration;
        }
    }
}

#[tokio::test]
async fn a_swapped_config_map_is_noticed() {
    let files = Files::new();
    files.remove("orders");
    let targets = files.targets();
    let version = |name: &str, text: &str| {
        std::fs::create_dir(targets.join(name)).expect("a directory");
        std::fs::write(targets.join(name).join("orders.yaml"), text).expect("written");
        std::os::unix::fs::symlink(name, targets.join("..data_tmp")).expect("linked");
        std::fs::rename(targets.join("..data_tmp"), targets.join("..data")).expect("swapped");
    };
    version("..1", EXAMPLE_TARGET);
    std::os::unix::fs::symlink("..data/orders.yaml", targets.join("orders.yaml")).expect("linked");
    let mut configuration = files.load();
    let mut watch = Watch::new(&files.daemon_file(), &targets);
    version("..2", &EXAMPLE_TARGET.replace("minReplicas: 3", "minReplicas: 5"));
    until(&mut watch, &mut configuration, |now| now.targets[&key("orders")].min_replicas == 5).await;
}
