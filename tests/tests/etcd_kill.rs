//! The daemon is killed (`SIGKILL`) in the phases of a plan, before and after their effects, and while a command
//! of the platform runs. Its successor finishes the same plan; nothing is done twice, and no write is lost.
//!
//! Two kills a direction by default; with `PLIMSOLL_LONG=1` every phase in both directions.
//!
//! How a moment is hit without a hook in the product: the journal says what is about to be done before it is
//! done, and what came of it right after (`decisions.md` D5). It is read every millisecond, and the kill counts
//! only when the journal still stands at the wanted moment when the process is gone; else it is tried again in
//! the next plan of that direction.

use anyhow::Context as _;
use plimsoll_tests::daemon::{Daemon, Misbehaviour, Wishes};
use plimsoll_tests::etcd::{Rig, connect};
use plimsoll_tests::load::Load;
use plimsoll_tests::moment::{Moment, is_over};
use plimsoll_tests::watch::Watch;
use plimsoll_wire::journal::{Ended, Journal, PlanStatus};
use plimsoll_wire::record::Body;
use serde_json::json;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(240);

/// How often a moment may slip past.
const ROUNDS: u32 = 4;

/// What is to be hit in the first and in the second unit of a plan that grows, and of one that shrinks.
struct Aims {
    grow: [VecDeque<Moment>; 2],
    shrink: [VecDeque<Moment>; 2],
}

fn aims(long: bool) -> Aims {
    use Moment::{After, Before, In, While};
    if !long {
        return Aims {
            grow: [[While("start", "add")].into(), [After("promote")].into()],
            shrink: [[Before("deregister")].into(), [After("stop")].into()],
        };
    }
    // Who is killed while a command runs finds it done: what comes after that command is for the other unit.
    Aims {
        grow: [
            [
                Before("register"),
                Before("start"),
                After("start"),
                In(2, "catch-up"),
                Before("promote"),
                Before("barrier"),
            ]
            .into(),
            [After("register"), While("start", "add"), After("promote"), After("barrier"), In(5, "settle")]
                .into(),
        ],
        shrink: [
            // Who stays has long been whole when a member has gone, and the plan settles in that moment: only a
            // successor, which has watched for no time yet, waits there.
            [
                Before("move-leader"),
                Before("deregister"),
                Before("barrier"),
                Before("stop"),
                After("stop"),
                In(4, "settle"),
            ]
            .into(),
            [After("move-leader"), After("deregister"), After("barrier"), While("stop", "remove")].into(),
        ],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_daemon_finishes_its_plan_and_nothing_is_done_twice() -> anyhow::Result<()> {
    let mut aims = aims(std::env::var("PLIMSOLL_LONG").is_ok_and(|value| value == "1"));
    let rig = Rig::start(3, 7).await?;
    let load = Load::start(&rig.endpoints(), "kill/", 60);
    let watch = Watch::start(&rig).await?;
    // What is wished is a person's matter here; where load drives it, `etcd_loop` looks.
    let wishes = Wishes { module: "hold", settings: "{}".to_owned(), ..Wishes::default() };
    let mut daemon = Daemon::prepare(&rig, "http://127.0.0.1:9", &wishes)?;
    daemon.start()?;
    let mut kills = Vec::new();
    for round in 1.. {
        pursue(&rig, &mut daemon, 5, &mut aims.grow, &mut kills).await?;
        pursue(&rig, &mut daemon, 3, &mut aims.shrink, &mut kills).await?;
        let left: Vec<&Moment> = aims.grow.iter().chain(&aims.shrink).flatten().collect();
        if left.is_empty() {
            break;
        }
        anyhow::ensure!(round < ROUNDS, "in {ROUNDS} rounds these moments were not hit: {left:?}");
    }
    println!("killed {} times: {kills:#?}", kills.len());
    let findings = watch.finish(&rig).await?;
    assert_eq!(findings.violations, Vec::<String>::new());
    let acknowledged = load.finish().await;
    let lost = acknowledged.lost(&rig.endpoints()).await?;
    println!(
        "{} changes of membership; {} writes acknowledged, {} lost",
        findings.changes.len(),
        acknowledged.len(),
        lost.len()
    );
    assert_eq!(lost, Vec::<String>::new());
    daemon.kill()?;
    daemon.audit_is_sound()
}

/// Has the target brought to a size by one plan, and kills the daemon at every moment of the two units that it
/// can hit.
async fn pursue(
    rig: &Rig,
    daemon: &mut Daemon,
    size: u32,
    aims: &mut [VecDeque<Moment>; 2],
    kills: &mut Vec<String>,
) -> anyhow::Result<()> {
    daemon
        .until("an idle target", PATIENCE, |status| status.sizes.members.is_some() && status.plan.is_none())
        .await?;
    let before = daemon.journal()?.map_or_else(Vec::new, |journal| journal.history);
    daemon.order(json!({ "verb": "scale", "members": size }))?;
    let mut missed: [VecDeque<Moment>; 2] = Default::default();
    let mut plan = None;
    for (unit, moments) in (0_u32..).zip(aims.iter_mut()) {
        for moment in std::mem::take(moments) {
            match strike(rig, daemon, before.last(), unit, moment).await? {
                Some((id, how)) => {
                    println!("unit {unit}: killed {moment:?} ({how})");
                    kills.push(format!("{size} members, unit {unit}: {moment:?}, {how}"));
                    anyhow::ensure!(
                        plan.as_ref().is_none_or(|known| *known == id),
                        "another plan took over: {plan:?}, {id}"
                    );
                    plan = Some(id);
                }
                None => missed[usize::try_from(unit)?].push_back(moment),
            }
        }
    }
    *aims = missed;
    let reached = daemon
        .until(&format!("{size} members"), PATIENCE, |status| {
            status.plan.is_none() && status.sizes.members == Some(size)
        })
        .await?;
    let ended = reached.history.last().context("no ended plan")?;
    assert_eq!(
        (ended.members_leg().1, ended.ended_at.members, ended.status),
        (size, Some(size), PlanStatus::Done),
        "{ended:#?}"
    );
    assert!(plan.is_none_or(|plan| *plan == *ended.id), "the plan that was killed is not the one that ended");
    assert_eq!(reached.history.len(), (before.len() + 1).min(16), "one wish, one plan");
    assert_eq!(rig.size().await?, (usize::try_from(size)?, 0));
    Ok(())
}

/// Waits for a moment of a unit, kills the daemon there and starts another one. The plan, and how it was hit;
/// nothing when the moment slipped past.
async fn strike(
    rig: &Rig,
    daemon: &mut Daemon,
    before: Option<&Ended>,
    unit: u32,
    moment: Moment,
) -> anyhow::Result<Option<(String, String)>> {
    if let Moment::While(_, command) = moment {
        daemon.misbehave(command, Misbehaviour::Slow)?;
    }
    if let Moment::Before("move-leader") | Moment::After("move-leader") = moment {
        seat_the_victim(rig, daemon, before, unit).await?;
    }
    let hit = lie_in_wait(daemon, before, unit, moment)?;
    if hit {
        daemon.kill()?;
    }
    let stood = daemon.journal()?.context("no journal")?;
    let found = match &stood.plan {
        Some(plan) if hit && moment.is(&stood) => Some((plan.id.to_string(), describe(daemon, &stood)?)),
        Some(_) | None => None,
    };
    if let Moment::While(_, command) = moment {
        daemon.behave(command)?;
    }
    if hit {
        daemon.start()?;
    }
    Ok(found)
}

/// Until the journal stands at the moment; false when the plan is past it. `before` is the plan that ended before
/// this one began.
fn lie_in_wait(daemon: &Daemon, before: Option<&Ended>, unit: u32, moment: Moment) -> anyhow::Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let journal = daemon.journal()?.context("no journal")?;
        let at_work = match moment {
            Moment::While(_, command) => daemon.is_in(command),
            Moment::Before(_) | Moment::After(_) | Moment::In(..) => true,
        };
        match &journal.plan {
            Some(plan) if plan.unit == unit && moment.is(&journal) && at_work => return Ok(true),
            Some(plan) if plan.unit > unit => return Ok(false),
            Some(plan) if plan.unit == unit && plan.phase > moment.phase() => return Ok(false),
            Some(_) => {}
            None if is_over(&journal, before) => return Ok(false),
            None => {}
        }
        if Instant::now() > deadline {
            anyhow::bail!("waited in vain for {moment:?} in unit {unit}: {journal:#?}\n{}", daemon.tail());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// How far the intent had come, by the audit log: not recorded, it cannot have begun.
fn describe(daemon: &Daemon, journal: &Journal) -> anyhow::Result<String> {
    let Some(intent) = &journal.intent else { return Ok("no intent".to_owned()) };
    let recorded = daemon
        .records()?
        .iter()
        .any(|record| matches!(&record.body, Body::Intent { intent: of, .. } if of.id == intent.id));
    Ok(match (&intent.outcome, recorded) {
        (None, false) => format!("{} journaled, not yet recorded", intent.verb.kind()),
        (None, true) => format!("{} under way", intent.verb.kind()),
        (Some(outcome), _) => format!("{} {outcome:?}", intent.verb.kind()),
    })
}

/// Makes the member that is to go the leader while the daemon is paused, so that leadership has to be moved.
async fn seat_the_victim(
    rig: &Rig,
    daemon: &Daemon,
    before: Option<&Ended>,
    unit: u32,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let subject = loop {
        anyhow::ensure!(Instant::now() < deadline, "no victim was chosen for unit {unit}");
        let journal = daemon.journal()?.context("no journal")?;
        let past = journal
            .plan
            .as_ref()
            .is_some_and(|plan| plan.unit > unit || (plan.unit == unit && plan.point_of_no_return));
        if past || is_over(&journal, before) {
            return Ok(());
        }
        let plan = journal.plan;
        if let Some(subject) = plan.filter(|plan| plan.unit == unit).and_then(|plan| plan.subject) {
            break subject;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    daemon.order(json!({ "verb": "pause", "why": "the leader is moved by hand" }))?;
    let id = u64::from_str_radix(subject.id.as_deref().context("a victim without an id")?, 16)?;
    for endpoint in rig.endpoints() {
        // Only the leader hands leadership over; whoever is not refuses.
        let Ok(client) = connect(&[endpoint]).await else { continue };
        let mut maintenance = client.maintenance_client();
        let moved = maintenance.move_leader(id);
        if tokio::time::timeout(Duration::from_secs(5), moved).await.is_ok_and(|moved| moved.is_ok()) {
            break;
        }
    }
    daemon.order(json!({ "verb": "resume" }))
}
