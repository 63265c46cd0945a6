//! What must not happen on the real thing: every wish here is one that a worse autoscaler would have followed.
//! Each is refused or clamped for the right reason, the reason is in the explanation, and the cluster stays as
//! it was.

use plimsoll_tests::daemon::{Daemon, Wishes};
use plimsoll_tests::etcd::Rig;
use plimsoll_tests::guest::{answering, program, wish};
use plimsoll_tests::load::Load;
use plimsoll_tests::watch::Watch;
use plimsoll_wire::record::Verdict;
use plimsoll_wire::status::{LastDecision, Status};
use serde_json::json;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(240);

/// Where nobody answers: for tests that need no signal.
const NOWHERE: &str = "http://127.0.0.1:9";

fn found<'a>(decision: &'a LastDecision, kind: &str) -> Option<&'a plimsoll_wire::record::Violation> {
    decision.judgement.violations.iter().find(|violation| violation.kind == kind)
}

fn decision(status: &Status) -> Option<&LastDecision> {
    status.last_decision.as_ref()
}

fn hold(min: u32) -> Wishes {
    Wishes { min, module: "hold", settings: "{}".to_owned(), ..Wishes::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_to_shrink_a_cluster_that_has_lost_a_member() -> anyhow::Result<()> {
    let rig = Rig::start(3, 5).await?;
    let watch = Watch::start(&rig).await?;
    let mut daemon = Daemon::prepare(&rig, NOWHERE, &hold(1))?;
    daemon.start()?;
    daemon.until("the first decision", PATIENCE, |status| status.last_decision.is_some()).await?;
    rig.kill("e2")?;
    daemon.order(json!({ "verb": "scale", "members": 1 }))?;
    let refused = daemon
        .until("a refusal", PATIENCE, |status| {
            decision(status).is_some_and(|decision| {
                decision.wish.sizes.members == Some(1)
                    && found(decision, "QuorumAtRisk").is_some_and(|found| found.verdict == Verdict::Deny)
            })
        })
        .await?;
    assert_eq!(refused.plan, None);
    let last = refused.last_decision.expect("a decision");
    let explanation = daemon.explanation(&last.id).await?;
    println!("{explanation}");
    assert!(explanation.contains("QuorumAtRisk"), "{explanation}");
    assert!(explanation.contains("Nothing was changed"), "{explanation}");
    assert_eq!(rig.size().await?, (3, 0));
    assert_eq!(watch.finish(&rig).await?.changes.len(), 0);
    daemon.kill()
}

#[tokio::test(flavor = "multi_thread")]
async fn shrinks_nothing_while_prometheus_is_silent() -> anyhow::Result<()> {
    let mut rig = Rig::start(5, 7).await?;
    let prometheus = rig.prometheus().await?;
    let load = Load::start(&rig.endpoints(), "silent/", 90);
    let watch = Watch::start(&rig).await?;
    let mut daemon = Daemon::prepare(&rig, &prometheus, &Wishes::default())?;
    daemon.start()?;
    let busy = |status: &Status| decision(status).is_some_and(|last| last.wish.sizes.members >= Some(5));
    daemon.until("a wish for five under load", PATIENCE, busy).await?;
    rig.stop_prometheus()?;
    load.set_rate(5);
    let silent = |status: &Status| decision(status).is_some_and(|last| last.wish.sizes.members.is_none());
    let first = daemon.until("a decision without metrics", PATIENCE, silent).await?;
    let explanation = daemon.explanation(&first.last_decision.expect("a decision").id).await?;
    println!("{explanation}");
    assert!(explanation.contains("no wish to carry out"), "{explanation}");
    // Long enough for every wait in the document to pass several times over: nothing but silence holds it.
    let before = daemon.records()?.len();
    let decided = |count: usize| daemon.records().is_ok_and(|records| records.len() >= before + count);
    daemon.until("ten more decisions", PATIENCE, |_| decided(10)).await?;
    let after = daemon.status()?;
    assert_eq!((after.sizes.members, after.plan), (Some(5), None));
    assert_eq!(rig.size().await?, (5, 0));
    rig.prometheus().await?;
    let shrunk = |status: &Status| status.sizes.members == Some(3) && status.plan.is_none();
    daemon.until("three members once the metrics are back", PATIENCE, shrunk).await?;
    let findings = watch.finish(&rig).await?;
    assert_eq!(findings.violations, Vec::<String>::new());
    let lost = load.finish().await.lost(&rig.endpoints()).await?;
    assert_eq!(lost, Vec::<String>::new());
    daemon.kill()
}

/// What is to come of an answer.
enum Expected {
    /// Not followed, for this kind of violation; nothing changes.
    Refused(&'static str, Verdict),
    /// No answer at all: the target holds, for this word.
    Failed(&'static str),
}

fn mad_policies() -> Vec<(&'static str, Vec<u8>, Expected)> {
    use Expected::{Failed, Refused};
    let says = |text: &str| answering(&wish(text));
    vec![
        ("zero", says("0"), Refused("ZeroMembers", Verdict::Deny)),
        ("two", says("2"), Refused("BelowFloor", Verdict::Clamp)),
        ("nan", says("NaN"), Failed("DECODE")),
        ("negative", says("-1"), Failed("")),
        ("huge", says("1e308"), Failed("")),
        ("text", says("\"3\""), Failed("DECODE")),
        ("loops", program("", "(loop (br 0))"), Failed("FUEL")),
        ("traps", program("", "unreachable"), Failed("")),
        (
            "hungry",
            program("", "(if (i32.eq (memory.grow (i32.const 16384)) (i32.const -1)) (then unreachable))"),
            Failed(""),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mad_policy_changes_nothing_and_the_other_targets_go_on() -> anyhow::Result<()> {
    let rig = Rig::start(3, 5).await?;
    let watch = Watch::start(&rig).await?;
    let mut daemon = Daemon::prepare(&rig, NOWHERE, &hold(1))?;
    daemon.wish_for("neighbour", &Wishes { mode: "dryrun", platform: "mirror", ..hold(1) })?;
    daemon.start()?;
    daemon.until("the first decision", PATIENCE, |status| status.last_decision.is_some()).await?;
    for (name, module, expected) in mad_policies() {
        daemon.put_policy(name, &module)?;
        daemon.wish(&Wishes { module: name, ..hold(1) })?;
        let digest = plimsoll_tests::sha256(&module);
        let decided = daemon
            .until(&format!("a decision by {name}"), PATIENCE, |status| {
                // On a busy machine a look at the members may fail; that is another reason to hold.
                status.sizes.members == Some(3)
                    && decision(status).is_some_and(|last| {
                        last.answers.first().is_some_and(|answer| {
                            answer.module == digest && (!answer.failed || answer.reason.code != "NOT_LOADED")
                        })
                    })
            })
            .await?;
        assert_eq!(decided.plan, None, "{name}");
        let last = decided.last_decision.expect("a decision");
        let explanation = daemon.explanation(&last.id).await?;
        println!("{name}:\n{explanation}");
        let answer = last.answers.first().expect("an answer");
        match expected {
            Expected::Refused(kind, verdict) => {
                let violation =
                    found(&last, kind).unwrap_or_else(|| panic!("{name}: no {kind} in {last:#?}"));
                assert_eq!(violation.verdict, verdict, "{name}");
                assert!(explanation.contains(kind), "{name}: {explanation}");
            }
            Expected::Failed(word) => {
                assert!(answer.failed && last.wish.sizes.members.is_none(), "{name}: {last:#?}");
                assert!(answer.reason.code.contains(word), "{name}: {explanation}");
                assert!(explanation.contains(&answer.reason.code), "{name}: {explanation}");
            }
        }
        let neighbour = daemon.status_of("default/neighbour")?;
        assert_eq!(neighbour.trouble, None, "{name}");
    }
    assert_eq!(watch.finish(&rig).await?.changes.len(), 0);
    more_than_the_owner_allows(&rig, &daemon).await?;
    // The other target has decided all the time.
    let (before, after) = neighbour_decides(&daemon).await?;
    assert_ne!(before, after);
    daemon.kill()
}

/// A thousand members are the owner's maximum, and not one more.
async fn more_than_the_owner_allows(rig: &Rig, daemon: &Daemon) -> anyhow::Result<()> {
    daemon.put_policy("thousand", &answering(&wish("1000")))?;
    daemon.wish(&Wishes { module: "thousand", ..hold(1) })?;
    let reached = |status: &Status| status.sizes.members == Some(5) && status.plan.is_none();
    let grown = daemon.until("the owner's maximum", PATIENCE, reached).await?;
    let plan = grown.history.last().expect("a plan");
    assert_eq!((plan.members_leg(), plan.ended_at.members), ((3, 5), Some(5)));
    let clamped = daemon.records()?.into_iter().rev().find_map(|record| {
        let explanation = plimsoll_core::explain::explain(&record).join("\n");
        explanation.contains("Decided to go from 3 to 5").then_some(explanation)
    });
    let clamped = clamped.expect("the decision that began the plan");
    println!("thousand:\n{clamped}");
    assert!(clamped.contains("AboveCeiling") && clamped.contains("wished 1000"), "{clamped}");
    assert_eq!(rig.size().await?, (5, 0));
    Ok(())
}

/// Two decisions of the other target, the second after the first.
async fn neighbour_decides(daemon: &Daemon) -> anyhow::Result<(String, String)> {
    let newest = || {
        let status = daemon.status_of("default/neighbour")?;
        anyhow::Ok(status.last_decision.map(|last| last.id.to_string()).unwrap_or_default())
    };
    let before = newest()?;
    let after = plimsoll_tests::process::wait_until("another decision", PATIENCE, async || {
        let after = newest()?;
        anyhow::ensure!(after != before, "not yet");
        Ok(after)
    });
    Ok((before.clone(), after.await?))
}
