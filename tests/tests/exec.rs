//! The exec platform with real commands and the real guard.
#![expect(clippy::unwrap_used, reason = "a test may end here")]

#[path = "exec/fleet.rs"]
mod fleet;
#[path = "exec/lab.rs"]
mod lab;
#[path = "exec/list.rs"]
mod list;
#[path = "exec/shared.rs"]
mod shared;

use lab::{Lab, TARGET, permit, runs, send, start, until};
use plimsoll::actuate::Permit;
use plimsoll::platforms::Platform as _;
use plimsoll::platforms::exec::{Exec, ExecConfig, SharedLists};
use plimsoll_core::observation::{PlatformReport, Reading};
use plimsoll_wire::fact::Gap;
use plimsoll_wire::journal::{Outcome, PlatformVerb};
use plimsoll_wire::snapshot::{Operation, OperationKind};
use rustix::process::Signal;
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

/// Keeps what a command was given: arguments, environment and standard input.
const RECORD: &str = r#"
    tr '\0' '\n' < /proc/$$/cmdline > "$d/cmdline"
    tr '\0' '\n' < /proc/$$/environ | sort > "$d/environ"
    pwd > "$d/pwd"
    cat > "$d/stdin"
"#;

/// Runs until it is let go, or until the test is over, so that a failed test leaves nothing behind.
const UNTIL_GO: &str = r#"
    echo $$ > "$d/self"
    until [ -e "$d/go" ] || [ ! -d "$d" ]; do sleep 0.05; done
    exit 0
"#;

/// Runs until it is ended, or until the test is over.
const FOR_EVER: &str = r#"
    echo $$ > "$d/self"
    while [ -d "$d" ]; do sleep 0.2; done
"#;

fn message(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Applied => "",
        Outcome::Refused { message } | Outcome::Unknown { message } => message,
    }
}

#[track_caller]
fn assert_unknown(outcome: &Outcome, part: &str) {
    assert!(matches!(outcome, Outcome::Unknown { .. }) && message(outcome).contains(part), "{outcome:?}");
}

#[track_caller]
fn assert_refused(outcome: &Outcome, part: &str) {
    assert!(matches!(outcome, Outcome::Refused { .. }) && message(outcome).contains(part), "{outcome:?}");
}

fn operations(report: &PlatformReport) -> &[Operation] {
    report.operations.value().unwrap()
}

#[tokio::test]
async fn a_platform_that_is_only_looked_at_refuses_to_start_and_to_stop() {
    let lab = Lab::new();
    let exec = lab.exec_with(ExecConfig { add: None, remove: None, ..lab.config() });
    let stop = PlatformVerb::Stop { slot: "e1".into(), member: "m1".into(), size_after: 2 };
    for (verb, told) in [
        (
            start(json!({})),
            "exec platform lab cannot start members: it has no `add` command in the daemon's file",
        ),
        (stop, "exec platform lab cannot stop members: it has no `remove` command in the daemon's file"),
    ] {
        let outcome = exec.act(&permit("i1"), &verb).await;
        assert_eq!(outcome, Outcome::Refused { message: told.to_owned() });
    }
}

#[tokio::test]
async fn add_gets_its_request_on_stdin_and_nothing_else() {
    let lab = Lab::new();
    lab.script("add", RECORD);
    let mut config = lab.config();
    config.add.as_mut().unwrap().env.insert("OWN".into(), "1".into());
    let join = json!({ "initialCluster": "e1=http://127.0.0.1:1" });
    let outcome = lab.exec_with(config).act(&permit("i1"), &start(join.clone())).await;
    assert_eq!(outcome, Outcome::Applied);
    let request: serde_json::Value = serde_json::from_str(&lab.read("stdin")).unwrap();
    let wanted = json!({
        "formatVersion": 1, "target": TARGET, "plan": "p1", "step": "i1", "slot": "e1", "sizeAfter": 4,
        "join": join,
    });
    assert_eq!(request, wanted);
    assert_eq!(
        lab.read("environ"),
        "OWN=1\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n\
         PLIMSOLL_PLAN=p1\nPLIMSOLL_STEP=i1\nPLIMSOLL_TARGET=lab/web\n"
    );
    assert_eq!(lab.read("cmdline"), format!("/bin/sh\n{}\n", lab.path("add").display()));
    assert_eq!(lab.read("pwd").trim(), lab.path("").display().to_string().trim_end_matches('/'));
}

#[tokio::test]
async fn remove_gets_the_member_that_is_to_go() {
    let lab = Lab::new();
    lab.script("remove", RECORD);
    let verb = PlatformVerb::Stop { slot: "e5".into(), member: "8e9e05c52164694d".into(), size_after: 4 };
    assert_eq!(lab.exec().act(&permit("i1"), &verb).await, Outcome::Applied);
    let request: serde_json::Value = serde_json::from_str(&lab.read("stdin")).unwrap();
    let wanted = json!({
        "formatVersion": 1, "target": TARGET, "plan": "p1", "step": "i1", "slot": "e5", "sizeAfter": 4,
        "memberId": "8e9e05c52164694d",
    });
    assert_eq!(request, wanted);
}

#[tokio::test]
async fn nothing_of_a_request_reaches_a_shell_or_an_argument() {
    let lab = Lab::new();
    lab.script("add", RECORD);
    let bait = lab.path("bait").display().to_string();
    let texts = [format!("$(touch {bait})"), format!("`touch {bait}`"), format!("'; touch {bait}; '")];
    let join = json!({ "name": texts, "--flag": format!("\n touch {bait} \0") });
    let odd = Permit {
        target: format!("lab/$(touch {bait})").into(),
        plan: format!("`touch {bait}`").into(),
        ..permit("; touch bait")
    };
    assert_eq!(lab.exec().act(&odd, &start(join.clone())).await, Outcome::Applied);
    assert!(!lab.path("bait").exists());
    assert_eq!(lab.read("cmdline"), format!("/bin/sh\n{}\n", lab.path("add").display()));
    let request: serde_json::Value = serde_json::from_str(&lab.read("stdin")).unwrap();
    assert_eq!(request["join"], join);
}

#[tokio::test]
async fn a_large_request_does_not_wait_for_its_reader() {
    let lab = Lab::new();
    lab.script("add", r#"[ "$(wc -c)" -gt 200000 ]"#);
    lab.script("remove", "exit 0");
    let exec = lab.exec();
    assert_eq!(exec.act(&permit("i1"), &start(json!("x".repeat(200_000)))).await, Outcome::Applied);
    lab.script("add", "exit 0"); // Does not read at all.
    assert_eq!(exec.act(&permit("i2"), &start(json!("x".repeat(200_000)))).await, Outcome::Applied);
    assert_refused(&exec.act(&permit("i3"), &start(json!("x".repeat(300_000)))).await, "bytes");
}

#[tokio::test]
async fn exit_codes_say_what_came_of_it() {
    let lab = Lab::new();
    let exec = lab.exec();
    let cases = [
        ("exit 0", "applied", ""),
        ("echo no room >&2; exit 3", "refused", "no room"),
        ("echo half done; exit 1", "unknown", "exit code 1; it said: half done"),
        ("exit 75", "unknown", "exit code 75"),
        ("kill -9 $$", "unknown", "signal 9"),
        (r"printf '\033[31mred\n' >&2; exit 3", "refused", r"\u{1b}[31mred"),
    ];
    for (n, (body, word, part)) in cases.into_iter().enumerate() {
        lab.script("add", body);
        let outcome = exec.act(&permit(&format!("i{n}")), &start(json!(null))).await;
        let written = serde_json::to_value(&outcome).unwrap();
        assert_eq!(written["outcome"], word, "{body}: {outcome:?}");
        assert!(message(&outcome).contains(part), "{body}: {outcome:?}");
    }
}

#[tokio::test]
async fn refuses_what_cannot_be_started() {
    let lab = Lab::new();
    let mut config = lab.config();
    config.add.as_mut().unwrap().argv = vec![lab.path("nowhere").display().to_string()];
    config.remove.as_mut().unwrap().argv = vec![lab.path("remove").display().to_string()]; // A file that may not be executed.
    let exec = lab.exec_with(config);
    assert_refused(&exec.act(&permit("i1"), &start(json!(null))).await, "could not be started");
    let stop = PlatformVerb::Stop { slot: "e1".into(), member: "m".into(), size_after: 1 };
    assert_refused(&exec.act(&permit("i2"), &stop).await, "could not be started");
    let exec = Exec::new("lab", lab.config(), &SharedLists::default(), lab.state())
        .unwrap()
        .with_guard(lab.path("nowhere"));
    assert_refused(&exec.act(&permit("i3"), &start(json!(null))).await, "the guard could not be started");
}

#[tokio::test]
async fn refuses_odd_slots() {
    let lab = Lab::new();
    lab.script("add", "touch $d/ran");
    let exec = lab.exec();
    let odd = PlatformVerb::Start { slot: "../e1".into(), size_after: 1, join: None };
    assert_refused(&exec.act(&permit("i3"), &odd).await, "not the name of a slot");
    let torn = Permit { target: "lab/a\nb".into(), ..permit("i4") };
    assert_refused(&exec.act(&torn, &start(json!(null))).await, "cannot be handed");
    assert!(!lab.path("ran").exists());
}

#[test]
fn refuses_a_relative_program() {
    let lab = Lab::new();
    let mut config = lab.config();
    config.add.as_mut().unwrap().argv = vec!["add".into()];
    let error = Exec::new("lab", config, &SharedLists::default(), lab.state()).unwrap_err();
    assert!(error.to_string().contains("add.argv[0]: add is not an absolute path"), "{error}");
}

#[tokio::test]
async fn a_hanging_command_is_ended_with_its_whole_group() {
    let lab = Lab::new();
    lab.script(
        "add",
        r#"trap '' TERM
           sh -c 'trap "" TERM; while [ -d "$1" ]; do sleep 0.2; done' - "$d" & echo $! > "$d/stubborn"
           echo $$ > "$d/self"
           while [ -d "$d" ]; do sleep 0.2; done"#,
    );
    let mut config = lab.config();
    config.add.as_mut().unwrap().timeout = Duration::from_millis(500);
    let exec = lab.exec_with(config);
    assert_unknown(&exec.act(&permit("i1"), &start(json!(null))).await, "deadline");
    assert!(!runs(lab.pid("self")) && !runs(lab.pid("stubborn")));
    let stored = exec.pending(TARGET).await.unwrap();
    assert_eq!(stored[0].end.as_ref().unwrap().signal, Some(9));
    // The lock is free again.
    lab.script("add", "exit 0");
    assert_eq!(exec.act(&permit("i2"), &start(json!(null))).await, Outcome::Applied);
}

#[tokio::test]
async fn a_command_ends_with_its_licence() {
    let lab = Lab::new();
    lab.script("add", FOR_EVER);
    let exec = lab.exec();
    let short = Permit { deadline: Duration::from_millis(1500), ..permit("i1") };
    assert_unknown(&exec.act(&short, &start(json!(null))).await, "");
    let pid = lab.pid("self");
    until("the command is ended", || !runs(pid));
}

#[tokio::test]
async fn a_flood_of_output_is_ended_and_its_end_kept() {
    let lab = Lab::new();
    lab.script("add", "echo $$ > $d/self; while [ -d $d ]; do echo flood; done");
    let exec = lab.exec();
    assert_unknown(&exec.act(&permit("i1"), &start(json!(null))).await, "wrote more than");
    assert!(!runs(lab.pid("self")));
    let stored = exec.pending(TARGET).await.unwrap();
    let end = stored[0].end.as_ref().unwrap();
    assert!(end.stdout.len() <= 64 * 1024 && end.stdout.contains("flood"));
}

#[tokio::test]
async fn a_server_that_a_command_leaves_holds_neither_us_nor_the_lock() {
    let lab = Lab::new();
    lab.script("add", r#"setsid sh -c 'echo $$ > "$1/server"; exec sleep 1000' - "$d" & "#);
    let exec = lab.exec();
    assert_eq!(exec.act(&permit("i1"), &start(json!(null))).await, Outcome::Applied);
    let server = lab.pid("server");
    assert_eq!(operations(&exec.observe(TARGET, true).await), []);
    lab.script("remove", "exit 0");
    let stop = PlatformVerb::Stop { slot: "e1".into(), member: "m".into(), size_after: 1 };
    assert_eq!(exec.act(&permit("i2"), &stop).await, Outcome::Applied);
    assert!(runs(server));
    let open = fs::read_dir(format!("/proc/{server}/fd")).unwrap();
    let open: Vec<_> = open.map(|fd| fs::read_link(fd.unwrap().path()).unwrap()).collect();
    assert!(!open.contains(&lab.state().join("exec/lab%2Fweb/lock")), "{open:?}");
    send(server, Signal::KILL);
}

#[tokio::test]
async fn a_command_outlives_its_daemon_and_the_next_one_learns_its_end() {
    let lab = Lab::new();
    lab.script("add", UNTIL_GO);
    lab.script("list", r#"echo '{"formatVersion":1,"members":[],"vacant":[]}'"#);
    let mut daemon = lab.actor("add", "i1");
    let pid = lab.pid("self");
    daemon.kill();

    let exec = lab.exec();
    let running = exec.pending(TARGET).await.unwrap();
    assert!(running[0].running && running[0].end.is_none(), "{running:?}");
    // Nor do polite requests end the guard.
    let guard = i32::try_from(running[0].guard_pid).unwrap();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        send(guard, signal);
    }
    assert_eq!(exec.outcome_of(TARGET, "i1").await, None);
    let report = exec.observe(TARGET, true).await;
    assert_eq!(report.slots.value().map(Vec::len), Some(0), "a read needs no lock");
    let [operation] = operations(&report) else { panic!("{report:?}") };
    assert_eq!(
        (&*operation.id, operation.kind, &*operation.owner, &*operation.scope),
        ("i1", OperationKind::Command, "plan/p1", "e1")
    );
    lab.script("remove", "touch $d/overlapped");
    let stop = PlatformVerb::Stop { slot: "e1".into(), member: "m".into(), size_after: 1 };
    let short = Permit { deadline: Duration::from_millis(600), ..permit("i2") };
    assert_unknown(&exec.act(&short, &stop).await, "an earlier step still runs");
    assert!(!lab.path("overlapped").exists() && runs(pid) && runs(guard));

    fs::write(lab.path("go"), "").unwrap();
    until("the guard ends", || !runs(guard));
    assert_eq!(exec.outcome_of(TARGET, "i1").await, Some(Outcome::Applied));
    assert_eq!(operations(&exec.observe(TARGET, true).await), []);
    assert_eq!(exec.act(&permit("i3"), &stop).await, Outcome::Applied);
}

#[tokio::test]
async fn a_guard_that_has_not_begun_when_its_daemon_dies_does_nothing() {
    let lab = Lab::new();
    lab.script("add", UNTIL_GO);
    lab.script("late", "touch $d/late-ran");
    let first = lab.actor("add", "i1");
    lab.pid("self");
    let mut second = lab.actor("late", "i2");
    let children = format!("/proc/{0}/task/{0}/children", second.pid());
    let guard = || fs::read_to_string(&children).unwrap_or_default().trim().parse::<i32>().ok();
    until("the second guard waits", || guard().is_some_and(has_lock_open));
    let guard = guard().unwrap();
    second.kill();
    fs::write(lab.path("go"), "").unwrap();
    until("the second guard is gone", || !runs(guard));
    drop(first);
    assert!(!lab.path("late-ran").exists());
    let exec = lab.exec();
    assert_unknown(&exec.outcome_of(TARGET, "i2").await.unwrap(), "no command of this step is on record");
}

fn has_lock_open(pid: i32) -> bool {
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    open.flatten().filter_map(|fd| fs::read_link(fd.path()).ok()).any(|path| path.ends_with("lock"))
}

/// Carries out `i1` and kills its guard as soon as the command runs.
async fn act_and_lose_the_guard(lab: &Lab, exec: &Exec) {
    let killer = async {
        lab.written("self").await;
        let mut running = exec.pending(TARGET).await.unwrap();
        while running[0].process.is_none() {
            running = exec.pending(TARGET).await.unwrap();
        }
        send(i32::try_from(running[0].guard_pid).unwrap(), Signal::KILL);
    };
    let permit = permit("i1");
    let verb = start(json!(null));
    let (outcome, ()) = tokio::join!(exec.act(&permit, &verb), killer);
    assert_unknown(&outcome, "without a word");
}

#[tokio::test]
async fn a_command_whose_guard_was_killed_still_bars_the_next() {
    let lab = Lab::new();
    lab.script("add", UNTIL_GO);
    lab.script("remove", "touch $d/ran");
    let exec = lab.exec();
    act_and_lose_the_guard(&lab, &exec).await;
    let pid = lab.pid("self");
    assert!(runs(pid));
    assert_eq!(exec.outcome_of(TARGET, "i1").await, None);
    assert_eq!(operations(&exec.observe(TARGET, true).await).len(), 1);
    let stop = PlatformVerb::Stop { slot: "e1".into(), member: "m".into(), size_after: 1 };
    let short = Permit { deadline: Duration::from_millis(600), ..permit("i2") };
    assert_unknown(&exec.act(&short, &stop).await, "an earlier step still runs");
    assert!(!lab.path("ran").exists());
    fs::write(lab.path("go"), "").unwrap();
    until("the command ends", || !runs(pid));
    assert_unknown(&exec.outcome_of(TARGET, "i1").await.unwrap(), "its guard ended");
    assert_eq!(operations(&exec.observe(TARGET, true).await), []);
    assert_eq!(exec.act(&permit("i3"), &stop).await, Outcome::Applied);
}

#[tokio::test]
async fn a_command_whose_guard_was_killed_is_ended_past_its_deadline_by_who_finds_it() {
    let lab = Lab::new();
    lab.script("add", FOR_EVER);
    let mut config = lab.config();
    config.add.as_mut().unwrap().timeout = Duration::from_millis(1500);
    let exec = lab.exec_with(config);
    act_and_lose_the_guard(&lab, &exec).await;
    let pid = lab.pid("self");
    assert!(runs(pid));
    while !operations(&exec.observe(TARGET, true).await).is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!runs(pid));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_one_target_never_overlap() {
    let lab = Lab::new();
    lab.script(
        "add",
        r#"mkdir "$d/busy" || echo overlap >> "$d/log"
           sleep 0.2
           rmdir "$d/busy"; echo done >> "$d/log""#,
    );
    let exec = lab.exec();
    let verb = start(json!(null));
    let permits = ["i1", "i2", "i3", "i4"].map(permit);
    let [a, b, c, d] = &permits;
    let outcomes =
        tokio::join!(exec.act(a, &verb), exec.act(b, &verb), exec.act(c, &verb), exec.act(d, &verb));
    let applied = Outcome::Applied;
    assert_eq!(outcomes, (applied.clone(), applied.clone(), applied.clone(), applied));
    assert_eq!(lab.read("log"), "done\n".repeat(4));
}

#[tokio::test]
async fn an_intent_licenses_one_command() {
    let lab = Lab::new();
    lab.script("add", "echo ran >> $d/log");
    let exec = lab.exec();
    assert_eq!(exec.act(&permit("i1"), &start(json!(null))).await, Outcome::Applied);
    assert_unknown(&exec.act(&permit("i1"), &start(json!(null))).await, "begun before");
    assert_eq!(lab.read("log"), "ran\n");
    assert_eq!(exec.outcome_of(TARGET, "i1").await, Some(Outcome::Applied));
}

#[tokio::test]
async fn no_name_leads_out_of_the_state_folder() {
    let lab = Lab::new();
    lab.script("add", "exit 0");
    let exec = lab.exec();
    let long = format!("lab/{}", "n".repeat(400));
    let names = ["../../../escape", "/etc/escape", "..", ".", "lab/..", "a b/ä;*?", &long];
    for name in names {
        let odd = Permit { target: name.into(), ..permit(name) };
        assert_eq!(exec.act(&odd, &start(json!(null))).await, Outcome::Applied, "{name}");
        assert_eq!(exec.outcome_of(name, name).await, Some(Outcome::Applied), "{name}");
    }
    let folders: Vec<_> = fs::read_dir(lab.state().join("exec")).unwrap().flatten().collect();
    assert_eq!(folders.len(), names.len());
    let entries: BTreeSet<_> =
        fs::read_dir(lab.path("")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(entries, BTreeSet::from(["add", "list", "remove", "state"].map(String::from)));
}

#[tokio::test]
async fn without_a_place_for_the_status_nothing_is_begun() {
    let lab = Lab::new();
    lab.script("add", "touch $d/ran");
    lab.script("list", r#"echo '{"formatVersion":1,"members":[],"vacant":[]}'"#);
    fs::write(lab.state(), "a file where the folder should be").unwrap();
    let exec = lab.exec();
    assert_refused(&exec.act(&permit("i1"), &start(json!(null))).await, "not begun");
    assert!(!lab.path("ran").exists());
    let report = exec.observe(TARGET, true).await;
    assert!(matches!(report.operations, Reading::Gap { reason: Gap::Error, .. }), "{report:?}");
}
