//! An etcd of three pods follows a real load out to five and back, by a Wasm policy and real metrics, while the leading
//! Plimsoll pod is killed with its disk in the middle of the way, and while Plimsoll itself is upgraded.
//!
//! Two kills a direction by default; with `PLIMSOLL_LONG=1` every phase in both directions.
//!
//! How a moment is hit without a hook in the product: the journal in the cluster says what is about to be done before it
//! is done. It is read all the time, and a kill counts only when it still stands at the wanted moment once the process is
//! gone; else it is tried again in the next round. The claims of those who left are used again by those who come: the
//! init container sets the data of removed members aside, and nobody else's (D22), as a restart of all shows.

use crate::{cluster, inside};
use anyhow::Context as _;
use plimsoll_tests::chart::Release;
use plimsoll_tests::cluster::Namespace;
use plimsoll_tests::installed::{Installed, TAGS};
use plimsoll_tests::kube::{EtcdPods, document_of};
use plimsoll_tests::load::Load;
use plimsoll_tests::moment::{Moment, is_over};
use plimsoll_tests::process::wait_until;
use plimsoll_tests::watch::Watch;
use plimsoll_wire::journal::{Ended, PlanStatus};
use plimsoll_wire::status::Status;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Pods take their time on a busy machine; a wait ends as soon as it can.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often a moment may slip past; and since the plan goes on while the pod of a killed one is made anew, one round hits
/// few moments of a unit.
const ROUNDS: u32 = 4;
const ROUNDS_LONG: u32 = 10;
/// Writes a second at which three members are enough, and at which five are wished; ten a member are the policy's aim.
const CALM: u32 = 15;
const BUSY: u32 = 90;

/// What is to be hit in the first and in the second unit of a plan.
type Aims = [VecDeque<Moment>; 2];

fn aims(long: bool) -> [Aims; 2] {
    use Moment::{After, Before, In};
    if !long {
        return [
            [[In(2, "catch-up")].into(), [After("promote")].into()],
            [[Before("deregister")].into(), [After("stop")].into()],
        ];
    }
    [
        [
            [Before("register"), Before("start"), In(2, "catch-up"), After("promote"), In(5, "settle")]
                .into(),
            [After("register"), After("start"), Before("promote"), Before("barrier"), After("barrier")]
                .into(),
        ],
        [
            // Settling on the way in is over at once, also for a successor: as a follower it has watched. `etcd_kill`, where
            // nobody follows, has it.
            [Before("deregister"), Before("barrier"), Before("stop")].into(),
            [After("deregister"), After("barrier"), After("stop")].into(),
        ],
    ]
}

#[test]
fn an_etcd_follows_its_load_past_leaders_that_are_killed_with_their_disks() -> anyhow::Result<()> {
    let Some(cluster) = cluster()? else { return Ok(()) };
    let (home, governed) = (Namespace::create(&cluster)?, Namespace::create(&cluster)?);
    let long = std::env::var("PLIMSOLL_LONG").is_ok_and(|value| value == "1");
    inside(&cluster, move || there_and_back(home, governed, long))
}

async fn there_and_back(home: Namespace, governed: Namespace, long: bool) -> anyhow::Result<()> {
    let etcd = EtcdPods::start_setting_aside(governed).await?;
    let founders = etcd.endpoints()();
    let load = Load::start(&founders, "pods/", CALM);
    let watch = Watch::over(etcd.endpoints(), etcd.gone()).await?;
    let values = values(&etcd, &etcd.prometheus().await?)?;
    let target = format!("{}/etcd", etcd.namespace().name());
    let mut ours = Installed::install(home, &target, values).await?;
    ours.until("the first decision", PATIENCE, |status| status.last_decision.is_some()).await?;
    let [mut grow, mut shrink] = aims(long);
    let mut kills = Vec::new();
    for round in 1.. {
        load.set_rate(BUSY);
        pursue(&ours, 5, &mut grow, &mut kills).await?;
        load.set_rate(CALM);
        pursue(&ours, 3, &mut shrink, &mut kills).await?;
        if [&grow, &shrink].into_iter().flatten().all(VecDeque::is_empty) {
            break;
        }
        let rounds = if long { ROUNDS_LONG } else { ROUNDS };
        anyhow::ensure!(round < rounds, "in {rounds} rounds these moments were not hit: {grow:?} {shrink:?}");
    }
    load.set_rate(BUSY);
    past_an_upgrade(&mut ours).await?;
    let findings = watch.finish_with(&etcd.logs()?).await?;
    let acknowledged = load.finish().await;
    only_removed_members_were_set_aside(&etcd).await?;
    let lost = acknowledged.lost(&etcd.endpoints()()).await?;
    println!("{} kills of the leading pod: {kills:#?}", kills.len());
    println!(
        "{} changes of membership, {} violations; {} writes acknowledged, {} lost",
        findings.changes.len(),
        findings.violations.len(),
        acknowledged.len(),
        lost.len()
    );
    assert_eq!(findings.violations, Vec::<String>::new());
    assert!(!acknowledged.is_empty());
    assert_eq!(lost, Vec::<String>::new());
    Ok(())
}

/// What the chart is installed with.
fn values(etcd: &EtcdPods, prometheus: &str) -> anyhow::Result<Value> {
    let place = etcd.namespace().name();
    let wish = "{signal: load, target: 10, type: AverageValue, window: 8s}";
    let document = document_of(place, wish, "max(rate(etcd_mvcc_put_total[8s]))");
    // A wish that falters takes a plan back, and then one wish is two plans: seen on busy machines only, so far.
    let at_once = "scaleDown: {stabilizationWindowSeconds: 0,";
    anyhow::ensure!(document.contains(at_once), "{document}");
    let document = document.replace(at_once, "scaleDown: {stabilizationWindowSeconds: 20,");
    let document = format!("{document}  returningVolume: setAside\n");
    let documents = plimsoll_tests::chart::documents(&document)?;
    Ok(json!({
        "namespaces": [place],
        "rights": { "tombstones": true },
        "sources": { "main": { "kind": "prometheus", "url": prometheus, "deadline": "2s" } },
        "config": { "interval": "2s" },
        "targets": { "etcd": documents.first().context("no document")? },
    }))
}

/// What was set aside belongs to those who came back to the claims of those who left; and when all pods are restarted at
/// once, with all tombstones there, everybody's data is as it was.
async fn only_removed_members_were_set_aside(etcd: &EtcdPods) -> anyhow::Result<()> {
    let place = etcd.namespace();
    let stones = place.kubectl(&["get", "configmap/plimsoll-tombstones", "--output=json"])?;
    let stones: Value = serde_json::from_str(&stones)?;
    let stones = stones["data"].as_object().context("no tombstones")?;
    let aside = || -> anyhow::Result<Vec<String>> {
        let mut found = Vec::new();
        for ordinal in 0..5 {
            let pod = format!("etcd-{ordinal}");
            let names = place.kubectl(&["exec", &pod, "--", "ls", "-1", "/var/lib/etcd/data"])?;
            let names = names.lines().filter_map(|name| name.strip_prefix("member.removed-"));
            found.extend(names.map(|name| format!("{pod} {name}")));
        }
        Ok(found)
    };
    let before = aside()?;
    println!("{} tombstones; set aside: {before:?}", stones.len());
    // Two left, their places were taken again, and each had the data of the one before.
    assert!(before.len() >= 2 && stones.len() >= 2, "{before:?} {stones:?}");
    for name in &before {
        let (pod, member) = name.split_once(' ').context("no name")?;
        let stone: Value = serde_json::from_str(stones[member].as_str().context("no tombstone")?)?;
        assert_eq!(stone["pod"], pod);
    }
    place.kubectl(&["delete", "pods", "--selector=app=etcd"])?;
    etcd.all_serve(5).await?;
    assert_eq!(aside()?, before);
    Ok(())
}

/// Follows the load to a size, and kills the leader at every moment of the two units that it can hit.
async fn pursue(ours: &Installed, size: u32, aims: &mut Aims, kills: &mut Vec<String>) -> anyhow::Result<()> {
    let before = ours.journal().await?.context("no journal")?.history;
    let mut missed: Aims = Default::default();
    let mut plan = None;
    for (unit, moments) in (0_u32..).zip(aims.iter_mut()) {
        for moment in std::mem::take(moments) {
            match strike(ours, before.last(), unit, moment).await? {
                Some((id, took)) => {
                    println!("unit {unit}: killed {moment:?}; its successor took {took:?} to take over");
                    kills.push(format!("to {size}, unit {unit}: {moment:?}, {took:?}"));
                    let same = plan.as_ref().is_none_or(|known| *known == id);
                    let journal = ours.journal().await?.context("no journal")?;
                    anyhow::ensure!(same, "another plan took over: {plan:?}, {id}: {:#?}", journal.history);
                    plan = Some(id);
                }
                None => missed[usize::try_from(unit)?].push_back(moment),
            }
        }
    }
    *aims = missed;
    let reached = |status: &Status| status.plan.is_none() && status.sizes.members == Some(size);
    let reached = ours.until(&format!("{size} members"), PATIENCE, reached).await?;
    let ended = reached.history.last().context("no ended plan")?;
    assert_eq!(
        (ended.members_leg().1, ended.ended_at.members, ended.status),
        (size, Some(size), PlanStatus::Done),
        "{ended:#?}"
    );
    assert!(
        plan.as_ref().is_none_or(|plan| *plan == *ended.id),
        "{plan:?} was killed: {:#?}",
        reached.history
    );
    assert_eq!(reached.history.len(), (before.len() + 1).min(16), "one wish, one plan");
    Ok(())
}

/// Waits for a moment of a unit, and kills the leading pod there with everything that it had. The plan, and how long it
/// took until another one had taken it over; nothing when the moment slipped past.
async fn strike(
    ours: &Installed,
    before: Option<&Ended>,
    unit: u32,
    moment: Moment,
) -> anyhow::Result<Option<(String, Duration)>> {
    let leader = ours.leader()?;
    let process = ours.process(&leader)?;
    if !lie_in_wait(ours, before, unit, moment).await? {
        return Ok(None);
    }
    ours.kill(process)?;
    let killed = Instant::now();
    ours.remove(&leader)?;
    let stood = ours.journal().await?.context("no journal")?;
    let epoch = stood.epoch;
    while ours.journal().await?.context("no journal")?.epoch == epoch {
        anyhow::ensure!(killed.elapsed() < PATIENCE, "nobody took over: {}", ours.complaints());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = killed.elapsed();
    ours.ready().await?;
    let plan = stood.plan.as_ref().filter(|plan| plan.unit == unit && moment.is(&stood));
    Ok(plan.map(|plan| (plan.id.to_string(), took)))
}

/// Until the journal stands at the moment; false when the plan is past it.
async fn lie_in_wait(
    ours: &Installed,
    before: Option<&Ended>,
    unit: u32,
    moment: Moment,
) -> anyhow::Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let journal = ours.journal().await?.context("no journal")?;
        match &journal.plan {
            Some(plan) if plan.unit == unit && moment.is(&journal) => return Ok(true),
            Some(plan) if plan.unit > unit => return Ok(false),
            Some(plan) if plan.unit == unit && plan.phase > moment.phase() => return Ok(false),
            Some(_) => {}
            None if is_over(&journal, before) => return Ok(false),
            None => {}
        }
        if Instant::now() > deadline {
            anyhow::bail!(
                "waited in vain for {moment:?} in unit {unit}: {journal:#?}\n{}",
                ours.complaints()
            );
        }
    }
}

/// A plan runs, and Plimsoll itself is replaced in its middle: the next version goes on with the very same plan.
async fn past_an_upgrade(ours: &mut Installed) -> anyhow::Result<()> {
    let running = ours.until("a plan that runs", PATIENCE, |status| {
        status.plan.as_ref().is_some_and(|plan| plan.subject.is_some())
    });
    let plan = running.await?.plan.context("no plan")?.id;
    ours.upgrade(|values| values["image"]["tag"] = json!(TAGS[1]))?;
    ours.ready().await?;
    // The last of the old ones may still be on its way out.
    wait_until("pods of the next version only", PATIENCE, async || {
        let images = "--output=jsonpath={.items[*].spec.containers[*].image}";
        let images = ours.home().kubectl(&["get", "pods", images])?;
        anyhow::ensure!(images.split(' ').all(|image| image.ends_with(TAGS[1])), "{images}");
        Ok(())
    })
    .await?;
    let reached = |status: &Status| status.plan.is_none() && status.sizes.members == Some(5);
    let reached = ours.until("5 members past the upgrade", PATIENCE, reached).await?;
    assert_eq!(reached.history.last().context("no ended plan")?.id, plan, "{:#?}", reached.history);
    println!("{} was upgraded in the middle of a plan", Release::NAME);
    Ok(())
}
