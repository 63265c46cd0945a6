//! One platform for many targets: the target as an argument, and one list for all of them.

use crate::lab::{Lab, permit, runs, start, until};
use crate::list::gap_of;
use plimsoll::actuate::Permit;
use plimsoll::platforms::Platform as _;
use plimsoll::platforms::exec::{Command, Exec, ExecConfig, Listing, SharedList, SharedLists};
use plimsoll_core::observation::{PlatformReport, Reading};
use plimsoll_wire::fact::Gap;
use plimsoll_wire::journal::Outcome;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Counts its runs; each tells the number of the run as the incarnation of every target's one member.
const COUNT: &str = r#"cat > "$d/stdin"
    echo run >> "$d/runs"; n=$(wc -l < "$d/runs")
    one() { printf '"%s":{"members":[{"slot":"e1","running":true,"incarnation":"%s"}],"vacant":[]}' "$1" "$n"; }
    echo "{\"formatVersion\":1,\"targets\":{$(one lab/a),$(one lab/b),$(one lab/c)}}""#;
const LONG: Duration = Duration::from_secs(3600);

/// One list, for as long as the test goes on.
struct Shared {
    lists: SharedLists,
    keep: Duration,
    _list: Arc<SharedList>,
}

fn shared(lab: &Lab, keep: Duration) -> Shared {
    let lists = SharedLists::default();
    let list = lists.of(&lab.command("list"), &lab.config().working_dir, keep);
    Shared { lists, keep, _list: list }
}

/// The platform of one more target.
fn exec(lab: &Lab, shared: &Shared) -> Exec {
    let list = Listing::All { command: lab.command("list"), keep: shared.keep };
    lab.exec_among(ExecConfig { list, ..lab.config() }, &shared.lists)
}

/// Of which run an answer is.
#[track_caller]
fn run_of(report: &PlatformReport) -> &str {
    match &report.slots.value().map(Vec::as_slice) {
        Some([slot]) => &slot.incarnation,
        _ => panic!("one member: {report:?}"),
    }
}

#[tokio::test]
async fn the_target_is_an_argument_of_its_own_where_the_owner_says_so() {
    let lab = Lab::new();
    let record = r#"for a in "$@"; do echo "$a"; done > "$d/$0-arguments""#;
    lab.script(
        "list",
        &format!(
            "{}\necho '{{\"formatVersion\":1,\"members\":[],\"vacant\":[]}}'",
            record.replace("$0", "list")
        ),
    );
    lab.script("add", &record.replace("$0", "add"));
    let with = |name: &str, more: &[&str]| {
        let mut command = lab.command(name);
        command.argv.extend(more.iter().map(|&argument| argument.to_owned()));
        command
    };
    let exec = lab.exec_with(ExecConfig {
        list: Listing::Each(with("list", &["{target}", "{else}"])),
        add: Some(with("add", &["{namespace}", "--name", "{name}"])),
        ..lab.config()
    });
    for target in ["lab/web", "lab/db-2.eu"] {
        let name = target.split_once('/').unwrap().1;
        assert_eq!(exec.observe(target, true).await.slots.value().map(Vec::len), Some(0));
        assert_eq!(lab.read("list-arguments"), format!("{target}\n{{else}}\n"));
        let permit = Permit { target: target.into(), ..permit(name) };
        assert_eq!(exec.act(&permit, &start(json!(null))).await, Outcome::Applied);
        assert_eq!(lab.read("add-arguments"), format!("lab\n--name\n{name}\n"));
    }
}

#[tokio::test]
async fn a_key_that_is_no_name_becomes_no_argument() {
    let lab = Lab::new();
    lab.script("list", "touch $d/ran");
    lab.script("add", "touch $d/ran");
    let with = |name: &str| {
        let mut command = lab.command(name);
        command.argv.push("{name}".to_owned());
        command
    };
    let exec = lab.exec_with(ExecConfig {
        list: Listing::Each(with("list")),
        add: Some(with("add")),
        ..lab.config()
    });
    for odd in ["lab/--force", "lab/a b", "lab/$(reboot)", "lab/..", "lab/a/b", "lab/Ä"] {
        let (reason, detail) = gap_of(&exec.observe(odd, true).await);
        assert!(reason == Gap::Error && detail.contains("cannot be an argument"), "{odd}: {detail}");
        let outcome = exec.act(&Permit { target: odd.into(), ..permit("i1") }, &start(json!(null))).await;
        let Outcome::Refused { message } = outcome else { panic!("{odd}: {outcome:?}") };
        assert!(message.contains("cannot be an argument"), "{odd}: {message}");
    }
    assert!(!lab.path("ran").exists());
}

#[tokio::test]
async fn one_run_serves_all_targets_of_a_look_each_of_them_once() {
    let lab = Lab::new();
    lab.script("list", COUNT);
    let list = shared(&lab, LONG);
    let (a, b, c) = (exec(&lab, &list), exec(&lab, &list), exec(&lab, &list));
    assert_eq!(run_of(&a.observe("lab/a", false).await), "1");
    assert_eq!(run_of(&b.observe("lab/b", false).await), "1");
    assert_eq!(lab.read("stdin"), r#"{"formatVersion":1}"#);
    // What a target has been told is asked for again before it is told again: two reads are two readings.
    assert_eq!(run_of(&a.observe("lab/a", false).await), "2");
    assert_eq!(run_of(&b.observe("lab/b", false).await), "2");
    assert_eq!(run_of(&c.observe("lab/c", false).await), "2");
    // A direct look wants to know what is now.
    assert_eq!(run_of(&c.observe("lab/c", true).await), "3");
    assert_eq!(run_of(&b.observe("lab/b", true).await), "4");
    assert_eq!(run_of(&a.observe("lab/a", false).await), "4");
    assert_eq!(lab.read("runs").lines().count(), 4);
}

#[tokio::test]
async fn an_answer_that_was_kept_tells_its_age_and_an_old_one_is_not_told() {
    let lab = Lab::new();
    lab.script("list", COUNT);
    let age = |report: &PlatformReport| match &report.slots {
        Reading::Value { source, .. } => source.age_ms,
        Reading::Gap { .. } | Reading::NotApplicable => panic!("no answer: {report:?}"),
    };
    let list = shared(&lab, LONG);
    assert_eq!(age(&exec(&lab, &list).observe("lab/a", false).await), 0, "it was asked for");
    let pause = Duration::from_millis(300);
    tokio::time::sleep(pause).await;
    let kept = exec(&lab, &list).observe("lab/b", false).await;
    assert!(run_of(&kept) == "1" && age(&kept) >= 300, "{kept:?}");
    let short = shared(&lab, Duration::from_millis(1));
    assert_eq!(run_of(&exec(&lab, &short).observe("lab/a", false).await), "2");
    tokio::time::sleep(pause).await;
    let anew = exec(&lab, &short).observe("lab/b", false).await;
    assert_eq!((run_of(&anew), age(&anew)), ("3", 0));
}

#[tokio::test]
async fn a_list_for_all_that_fails_is_a_gap_for_all_with_the_reason_and_one_run() {
    let lab = Lab::new();
    let none = r#"{"formatVersion":1,"targets":{}}"#;
    let slots = |slot: &str| format!(r#"{{"members":[],"vacant":[{slot}]}}"#);
    let both = |a: &str, b: &str| format!(r#"{{"formatVersion":1,"targets":{{"lab/a":{a},"lab/b":{b}}}}}"#);
    let (good, odd) = (slots(""), slots(r#"{"slot":"../x"}"#));
    let one = slots(r#"{"slot":"x","endpoints":{"client":"http://10.0.0.1:2379"}}"#);
    let cases = [
        (format!("echo '{none}'"), Gap::NotScraped, "does not name lab/"),
        ("echo junk".to_owned(), Gap::Unparsable, "no listing"),
        (r#"echo '{"formatVersion":1,"members":[],"vacant":[]}'"#.to_owned(), Gap::Unparsable, "targets"),
        (format!("echo '{none}'; echo no database >&2; exit 7"), Gap::Error, "it said: no database"),
        (format!("echo '{}'", both(&good, r#"{"members":[]}"#)), Gap::Unparsable, "vacant"),
        (format!("echo '{}'", both(&one, &one)), Gap::Conflicting, "in common with lab/"),
        ("head -c 20000000 /dev/zero".to_owned(), Gap::Unparsable, "more than 16777216 bytes"),
    ];
    for (body, reason, part) in cases {
        lab.script("list", &format!("echo run >> $d/runs\n{body}"));
        std::fs::write(lab.path("runs"), "").unwrap();
        let list = shared(&lab, LONG);
        for target in ["lab/a", "lab/b"] {
            let (gap, detail) = gap_of(&exec(&lab, &list).observe(target, false).await);
            assert_eq!(gap, reason, "{body}: {detail}");
            assert!(detail.contains(part) && detail.len() < 1000, "{body}: {detail}");
        }
        assert_eq!(lab.read("runs").lines().count(), 1, "{body}");
    }
    // What is wrong with one target's part is that target's trouble.
    lab.script("list", &format!("echo '{}'", both(&odd, &good)));
    let list = shared(&lab, LONG);
    let (gap, detail) = gap_of(&exec(&lab, &list).observe("lab/a", false).await);
    assert!(gap == Gap::Unparsable && detail.contains("lab/a: slot name"), "{detail}");
    assert_eq!(exec(&lab, &list).observe("lab/b", false).await.slots.value().map(Vec::len), Some(0));
}

#[tokio::test]
async fn a_list_for_all_that_its_asker_leaves_is_ended_and_asked_for_anew() {
    let lab = Lab::new();
    lab.script("list", "sleep 1000 & echo $! > $d/child; echo $$ > $d/self; wait");
    let list = shared(&lab, LONG);
    let first = exec(&lab, &list);
    let reading = tokio::spawn(async move { first.observe("lab/a", false).await });
    lab.written("self").await;
    reading.abort();
    assert!(reading.await.unwrap_err().is_cancelled());
    let pids = [lab.pid("self"), lab.pid("child")];
    until("the group is gone", || pids.iter().all(|pid| !runs(*pid)));
    lab.script("list", COUNT);
    assert_eq!(run_of(&exec(&lab, &list).observe("lab/b", false).await), "1");
}

#[test]
fn targets_of_one_entry_share_a_list_and_others_do_not() {
    let lab = Lab::new();
    let lists = SharedLists::default();
    let of = |name: &str, keep| lists.of(&lab.command(name), &lab.path(""), Duration::from_secs(keep));
    let first = of("list", 5);
    assert!(Arc::ptr_eq(&first, &of("list", 5)));
    assert!(!Arc::ptr_eq(&first, &of("list", 6)) && !Arc::ptr_eq(&first, &of("add", 5)));
    let other = Command { env: [("REGION".to_owned(), "eu".to_owned())].into(), ..lab.command("list") };
    assert!(!Arc::ptr_eq(&first, &lists.of(&other, &lab.path(""), Duration::from_secs(5))));
}
