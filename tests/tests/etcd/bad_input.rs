//! What goes wrong around a running daemon, and what people say to it: nothing is changed that should not be,
//! the reason is told, and the target goes on when the cause is gone.

use anyhow::Context as _;
use plimsoll_tests::daemon::{Daemon, Misbehaviour, Wishes};
use plimsoll_tests::etcd::Rig;
use plimsoll_tests::guest::{answering, wish};
use plimsoll_tests::process::wait_until;
use plimsoll_tests::watch::Watch;
use plimsoll_wire::journal::{Ended, Journal, PlanStatus};
use plimsoll_wire::status::Status;
use serde_json::json;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(240);

/// Where nobody answers: for tests that need no signal.
const NOWHERE: &str = "http://127.0.0.1:9";

fn hold() -> Wishes {
    Wishes { module: "hold", settings: "{}".to_owned(), ..Wishes::default() }
}

fn idle_at(size: u32) -> impl Fn(&Status) -> bool {
    move |status| status.sizes.members == Some(size) && status.plan.is_none()
}

async fn running(rig: &Rig, wishes: &Wishes) -> anyhow::Result<Daemon> {
    let mut daemon = Daemon::prepare(rig, NOWHERE, wishes)?;
    daemon.start()?;
    daemon
        .until("the first decision", PATIENCE, |status| {
            status.last_decision.is_some() && status.sizes.members.is_some()
        })
        .await?;
    Ok(daemon)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_hangs_or_prints_junk_holds_the_target_until_it_works_again() -> anyhow::Result<()> {
    let rig = Rig::start(3, 5).await?;
    let watch = Watch::start(&rig).await?;
    let mut daemon = running(&rig, &hold()).await?;
    for how in [Misbehaviour::Junk, Misbehaviour::Hang] {
        daemon.misbehave("list", how)?;
        daemon.order(json!({ "verb": "scale", "members": 5 }))?;
        let blind = daemon
            .until("a target whose size is not known", PATIENCE, |status| {
                let last = status.last_decision.as_ref();
                status.sizes.members.is_none() && last.is_some_and(|last| last.wish.sizes.members == Some(5))
            })
            .await?;
        assert_eq!(blind.plan, None, "{how:?}");
        let explanation = daemon.explanation(&blind.last_decision.context("a decision")?.id).await?;
        println!("{how:?}:\n{explanation}");
        assert!(explanation.contains("was not known"), "{how:?}: {explanation}");
        assert!(explanation.contains("Nothing was changed"), "{how:?}: {explanation}");
        assert_eq!(rig.size().await?, (3, 0), "{how:?}");
        daemon.order(json!({ "verb": "scale" }))?;
        daemon.behave("list")?;
        daemon.until("a known size", PATIENCE, idle_at(3)).await?;
    }
    assert_eq!(watch.finish(&rig).await?.changes.len(), 0);
    // A command that prints junk and does nothing has not started anything, whatever it returns.
    daemon.misbehave("add", Misbehaviour::Junk)?;
    daemon.order(json!({ "verb": "scale", "members": 5 }))?;
    wait_until("the junk command was called", PATIENCE, async || {
        anyhow::ensure!(daemon.is_in("add"), "not yet");
        Ok(())
    })
    .await?;
    assert_eq!(rig.list()?.members.len(), 3);
    daemon.behave("add")?;
    daemon.until("five members once the command works", PATIENCE, idle_at(5)).await?;
    assert_eq!(rig.size().await?, (5, 0));
    daemon.kill()?;
    daemon.audit_is_sound()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_document_or_policy_leaves_the_old_one_in_force_and_says_so() -> anyhow::Result<()> {
    let rig = Rig::start(3, 5).await?;
    let three = answering(&wish("3"));
    let wishes = Wishes { module: "fixed", settings: "{}".to_owned(), ..Wishes::default() };
    let mut daemon = Daemon::prepare(&rig, NOWHERE, &wishes)?;
    daemon.put_policy("fixed", &three)?;
    daemon.start()?;
    let wished = |status: &Status| status.last_decision.as_ref().and_then(|last| last.wish.sizes.members);
    daemon.until("a wish", PATIENCE, |status| wished(status) == Some(3)).await?;

    daemon.write_target("etcd", "apiVersion: plimsoll.dev/v1alpha1\nkind: StatefulAutoscaler\nspec: [\n")?;
    let problems = shown(&daemon, "problems").await?;
    println!("{problems}");
    assert!(problems.contains("etcd.yaml"), "{problems}");
    decides_again(&daemon).await?;
    daemon.wish(&Wishes { max: 4, ..wishes.clone() })?;
    daemon.until("the mended document", PATIENCE, |status| status.member_bounds().1 == 4).await?;

    daemon.put_policy("fixed", b"not WebAssembly at all")?;
    let trouble = wait_until("trouble with the policy", PATIENCE, async || {
        let told = daemon.ask(&json!({ "verb": "daemon" }))?;
        let policies = told["policies"].as_array().context("policies")?;
        let fixed = policies.iter().find(|policy| policy["name"] == "fixed").context("fixed")?;
        fixed["trouble"].as_str().map(str::to_owned).context("no trouble yet")
    })
    .await?;
    println!("{trouble}");
    assert!(trouble.contains("MALFORMED"), "{trouble}");
    decides_again(&daemon).await?;
    let status = daemon.status()?;
    let answer = status.last_decision.context("a decision")?.answers;
    let answer = answer.first().context("an answer")?;
    assert_eq!((&*answer.module, answer.sizes.members), (&*plimsoll_tests::sha256(&three), Some(3)));
    daemon.kill()
}

/// What the daemon says is wrong, once it says something.
async fn shown(daemon: &Daemon, what: &str) -> anyhow::Result<String> {
    wait_until(what, PATIENCE, async || {
        let told = daemon.ask(&json!({ "verb": "daemon" }))?;
        let list = told[what].as_array().context("no list")?;
        anyhow::ensure!(!list.is_empty(), "nothing is wrong yet");
        Ok(told[what].to_string())
    })
    .await
}

/// Waits for two more decisions: the second saw whatever is on disk now.
async fn decides_again(daemon: &Daemon) -> anyhow::Result<()> {
    for _ in 0..2 {
        let id = |status: &Status| status.last_decision.as_ref().map(|last| last.id.clone());
        let before = id(&daemon.status()?);
        daemon.until("another decision", PATIENCE, |status| id(status) != before).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_touches_nothing_and_decides_a_step_once() -> anyhow::Result<()> {
    let rig = Rig::start(3, 5).await?;
    let watch = Watch::start(&rig).await?;
    let wishes = Wishes { module: "five", mode: "dryrun", settings: "{}".to_owned(), ..Wishes::default() };
    let mut daemon = Daemon::prepare(&rig, NOWHERE, &wishes)?;
    daemon.put_policy("five", &answering(&wish("5")))?;
    daemon.start()?;
    let ghost = |status: &Status| status.ghost.members == Some(5) && status.sizes.members == Some(3);
    daemon.until("a step that would be done", PATIENCE, ghost).await?;
    for _ in 0..2 {
        decides_again(&daemon).await?;
    }
    let changes = daemon.journal()?.context("no journal")?.memory.changes;
    assert_eq!(changes.iter().filter_map(|change| change.leg.of_members()).collect::<Vec<_>>(), [(3, 5)]);
    assert!(ghost(&daemon.status()?));
    assert_eq!(watch.finish(&rig).await?.changes.len(), 0);
    assert_eq!(rig.list()?.members.len(), 3);
    daemon.kill()
}

#[tokio::test(flavor = "multi_thread")]
async fn people_pause_resume_cancel_and_approve() -> anyhow::Result<()> {
    let rig = Rig::start(3, 5).await?;
    let watch = Watch::start(&rig).await?;
    let mut daemon = running(&rig, &hold()).await?;

    // A learner that has no vote yet is taken back.
    let ended = cancel_at(&daemon, 5, &[3], |journal| {
        journal
            .intent
            .as_ref()
            .is_some_and(|intent| intent.verb.kind() == "start" && intent.outcome.is_some())
            && journal.plan.as_ref().is_some_and(|plan| !plan.point_of_no_return)
    })
    .await?;
    assert_eq!((ended.ended_at.members, ended.status), (Some(3), PlanStatus::Aborted), "{ended:#?}");
    assert_eq!(rig.size().await?, (3, 0));
    assert_eq!(rig.list()?.members.len(), 3);

    // A pause stops a plan where it stands, and what is resumed goes on.
    daemon.order(json!({ "verb": "scale", "members": 5 }))?;
    daemon.until("a plan", PATIENCE, |status| status.plan.is_some()).await?;
    daemon.order(json!({ "verb": "pause", "why": "to look" }))?;
    let quiet = |status: &Status| status.waiting_for.contains("paused");
    let paused = daemon.until("a paused plan", PATIENCE, quiet).await?;
    let stood = daemon.journal()?.context("no journal")?;
    decides_again(&daemon).await?;
    let stands = daemon.journal()?.context("no journal")?;
    assert_eq!((stands.intent, stands.plan), (stood.intent, stood.plan));
    assert_eq!(paused.paused.map(|note| note.why), Some("to look".to_owned()));
    daemon.order(json!({ "verb": "resume" }))?;
    daemon.until("five members", PATIENCE, idle_at(5)).await?;

    // A member that was only chosen to go stays.
    let before_deregister = |journal: &Journal| {
        journal.plan.as_ref().is_some_and(|plan| plan.subject.is_some() && !plan.point_of_no_return)
    };
    let ended = cancel_at(&daemon, 3, &[5], before_deregister).await?;
    assert_eq!((ended.ended_at.members, ended.status), (Some(5), PlanStatus::Aborted), "{ended:#?}");
    assert_eq!(rig.size().await?, (5, 0));

    approve(&rig, &daemon).await?;
    let findings = watch.finish(&rig).await?;
    assert_eq!(findings.violations, Vec::<String>::new());
    daemon.kill()?;
    daemon.audit_is_sound()
}

/// Asks for a size and cancels the plan when its journal is as wanted; begins again when the moment slipped
/// past, which `back` tells: the size must be one of these for the cancel to count.
async fn cancel_at(
    daemon: &Daemon,
    size: u32,
    back: &[u32],
    wanted: impl Fn(&Journal) -> bool,
) -> anyhow::Result<Ended> {
    daemon.order(json!({ "verb": "scale", "members": size }))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let journal = daemon.journal()?.context("no journal")?;
        if wanted(&journal) {
            break;
        }
        anyhow::ensure!(Instant::now() < deadline, "the moment did not come: {journal:#?}");
        std::thread::sleep(Duration::from_millis(1));
    }
    daemon.order(json!({ "verb": "cancel" }))?;
    let status = daemon.until("a plan that was taken back", PATIENCE, |status| status.plan.is_none()).await?;
    let ended = status.history.last().context("no ended plan")?.clone();
    anyhow::ensure!(
        ended.ended_at.members.is_some_and(|size| back.contains(&size)),
        "the cancel came too late: {ended:#?}"
    );
    Ok(ended)
}

/// A scale-in that needs a person begins when the person has approved its very content.
async fn approve(rig: &Rig, daemon: &Daemon) -> anyhow::Result<()> {
    daemon.wish(&Wishes { safety: vec!["approveScaleIn: true"], ..hold() })?;
    daemon.order(json!({ "verb": "scale", "members": 3 }))?;
    let asked = |status: &Status| status.approval.is_some();
    let waiting = match daemon.until("a plan that waits for approval", PATIENCE, asked).await?.approval {
        Some(content) => content,
        None => anyhow::bail!("nothing to approve"),
    };
    println!("{waiting}");
    let wrong = daemon.order(json!({ "verb": "approve", "content": "anything" }));
    assert!(wrong.is_err_and(|error| error.to_string().contains("has changed")));
    decides_again(daemon).await?;
    assert_eq!(rig.size().await?, (5, 0));
    daemon.order(json!({ "verb": "approve", "content": waiting }))?;
    daemon.until("three members", PATIENCE, idle_at(3)).await?;
    assert_eq!(rig.size().await?, (3, 0));
    Ok(())
}
