//! Listing: every doubtful answer is a gap.

use crate::lab::{Lab, TARGET, runs, until};
use plimsoll::platforms::Platform as _;
use plimsoll::platforms::exec::{Command, Listing};
use plimsoll_core::observation::{PlatformReport, Reading};
use plimsoll_wire::fact::{Authority, Gap};
use std::time::Duration;

#[track_caller]
pub(crate) fn gap_of(report: &PlatformReport) -> (Gap, String) {
    match (&report.slots, &report.vacant) {
        (Reading::Gap { reason, detail }, Reading::Gap { reason: same, .. }) if reason == same => {
            (reason.clone(), detail.clone())
        }
        _ => panic!("this must be a gap: {report:?}"),
    }
}

#[tokio::test]
async fn a_list_is_told_on_the_platforms_word() {
    let lab = Lab::new();
    lab.script(
        "list",
        r#"cat > "$d/stdin"
           cat <<'END'
           {"formatVersion":1,
            "members":[{"slot":"e1","running":true,"incarnation":"boot-1","domain":"zone-a/host1",
              "endpoints":{"client":"http://127.0.0.1:2379","peer":"http://127.0.0.1:2380"},
              "volume":{"fingerprint":"c1","memberId":"m1","tombstoned":false}}],
            "vacant":[{"slot":"e4","volume":null}]}
END"#,
    );
    let report = lab.exec().observe(TARGET, true).await;
    let Reading::Value { value: slots, source } = &report.slots else { panic!("{report:?}") };
    assert_eq!((source.authority, &*source.observer), (Authority::Platform, "exec/lab"));
    assert_eq!((&*slots[0].slot, slots[0].running, &*slots[0].incarnation), ("e1", true, "boot-1"));
    assert_eq!(slots[0].endpoints["peer"], "http://127.0.0.1:2380");
    assert_eq!(slots[0].marker.value().map(|m| &*m.member_id), Some("m1"));
    let vacant = report.vacant.value().unwrap();
    assert!(vacant[0].marker.value().is_some_and(|m| m.fingerprint.is_empty()));
    assert!(vacant[0].domain.value().is_none());
    assert_eq!(lab.read("stdin"), r#"{"formatVersion":1,"target":"lab/web"}"#);
}

#[tokio::test]
async fn a_list_that_fails_is_a_gap_and_never_an_empty_list() {
    let lab = Lab::new();
    let valid = r#"echo '{"formatVersion":1,"members":[],"vacant":[]}'"#;
    let cases = [
        ("echo junk", Gap::Unparsable, "no listing"),
        ("exit 0", Gap::Unparsable, "no listing"),
        ("head -c 10000000 /dev/zero", Gap::Unparsable, "more than 1048576 bytes"),
        (r"printf '\377\376'", Gap::Unparsable, "no listing"),
        ("echo '{}'", Gap::Unparsable, "formatVersion"),
        (
            &format!("{valid}; echo \"it's down\" >&2; exit 7"),
            Gap::Error,
            "exit status: 7; it said: it\\'s down",
        ),
        (&format!("{valid}; kill -9 $$"), Gap::Error, "signal: 9"),
        (&format!("{valid}; (sleep 5) & exit 0"), Gap::Unparsable, "keeps its output open"),
        (&format!("head -c 1000000 /dev/zero >&2; {valid}; exit 1"), Gap::Error, "exit status: 1"),
    ];
    let exec = lab.exec();
    for (body, reason, part) in cases {
        lab.script("list", body);
        let (gap, detail) = gap_of(&exec.observe(TARGET, true).await);
        assert_eq!(gap, reason, "{body}: {detail}");
        assert!(detail.contains(part) && detail.len() < 1000, "{body}: {detail}");
    }
    for program in [lab.path("nowhere"), lab.path("list"), lab.path("")] {
        let mut config = lab.config();
        config.list =
            Listing::Each(Command { argv: vec![program.display().to_string()], ..lab.command("list") });
        let (gap, detail) = gap_of(&lab.exec_with(config).observe(TARGET, true).await);
        assert_eq!(gap, Gap::Error);
        assert!(detail.contains("could not be started"), "{detail}");
    }
}

#[tokio::test]
async fn a_hanging_list_is_ended_with_its_whole_group() {
    let lab = Lab::new();
    lab.script("list", "sleep 1000 & echo $! > $d/child; echo $$ > $d/self; wait");
    let mut config = lab.config();
    config.list = Listing::Each(Command { timeout: Duration::from_millis(500), ..lab.command("list") });
    let (gap, detail) = gap_of(&lab.exec_with(config).observe(TARGET, true).await);
    assert_eq!(gap, Gap::Error);
    assert!(detail.contains("did not answer within 500 ms"), "{detail}");
    let pids = [lab.pid("self"), lab.pid("child")];
    until("the group is gone", || pids.iter().all(|pid| !runs(*pid)));
}

#[tokio::test]
async fn a_list_that_nobody_waits_for_any_more_is_ended() {
    let lab = Lab::new();
    lab.script("list", "sleep 1000 & echo $! > $d/child; echo $$ > $d/self; wait");
    let exec = lab.exec();
    let reading = tokio::spawn(async move { exec.observe(TARGET, true).await });
    lab.written("self").await;
    reading.abort();
    assert!(reading.await.unwrap_err().is_cancelled());
    let pids = [lab.pid("self"), lab.pid("child")];
    until("the group is gone", || pids.iter().all(|pid| !runs(*pid)));
}
