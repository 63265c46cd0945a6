//! Two daemons on one etcd in the pods of a StatefulSet: whoever leads is killed, stopped, or cut off in the middle of a
//! plan, and the other one finishes it. A watcher of its own says whether two acted, a client whether a write was lost.
//!
//! Two kills a direction by default; with `PLIMSOLL_LONG=1` nearly every phase in both directions.

use anyhow::Context as _;
use plimsoll_tests::cluster::Namespace;
use plimsoll_tests::failover::Pair;
use plimsoll_tests::kube::{EtcdPods, in_cluster};
use plimsoll_tests::process::wait_until;
use plimsoll_tests::witnesses::Witnesses;
use plimsoll_wire::journal::PlanStatus;
use plimsoll_wire::status::Status;
use rustix::process::Signal;
use serde_json::json;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Pods take their time on a busy machine; a wait ends as soon as it can.
const PATIENCE: Duration = Duration::from_secs(240);
/// How often a phase may slip past.
const ROUNDS: u32 = 5;

/// An etcd, with those who watch and write.
struct Scene {
    etcd: EtcdPods,
    witnesses: Witnesses,
    pair: Pair,
}

impl Scene {
    async fn set(namespace: Namespace) -> anyhow::Result<Self> {
        let etcd = EtcdPods::start(namespace).await?;
        let witnesses = Witnesses::call(&etcd, "failover/").await?;
        let pair = Pair::start(&etcd, PATIENCE).await?;
        Ok(Self { etcd, witnesses, pair })
    }

    async fn wish(&self, size: u32) -> anyhow::Result<()> {
        let leader = self.pair.leader().await?;
        self.pair.daemon(leader).order(json!({ "verb": "scale", "members": size }))
    }

    /// Until one plan has brought it there.
    async fn reached(&self, leader: usize, size: u32) -> anyhow::Result<Status> {
        let there = |status: &Status| status.plan.is_none() && status.sizes.members == Some(size);
        let status = self.pair.daemon(leader).until(&format!("{size} members"), PATIENCE, there).await?;
        let ended = status.history.last().context("no ended plan")?;
        assert_eq!(
            (ended.members_leg().1, ended.ended_at.members, ended.status),
            (size, Some(size), PlanStatus::Done),
            "{ended:#?}"
        );
        assert_eq!(self.etcd.namespace().field("statefulset/etcd", ".spec.replicas")?, size.to_string());
        Ok(status)
    }

    async fn judge(self, changes: usize) -> anyhow::Result<()> {
        println!("{} effects, each in an epoch of its own", self.pair.one_actor()?);
        assert_eq!(self.witnesses.hear(&self.etcd).await?, changes);
        Ok(())
    }
}

/// The phases of the two units of a plan at which whoever leads is killed.
type Aims = [VecDeque<&'static str>; 2];

fn aims(long: bool) -> (Aims, Aims) {
    if !long {
        return ([["catch-up"].into(), ["settle"].into()], [["deregister"].into(), ["stop"].into()]);
    }
    // Who is killed early in a unit leaves the rest of it to a successor, which is killed there. Who stays has long been whole
    // when a member has gone, and the plan settles in that moment: a successor, which has watched for no time yet, waits
    // there, but not for as long as the one that was killed needs to come back (`etcd_kill` kills there).
    let grow = [["register", "catch-up", "barrier"].into(), ["start", "promote", "settle"].into()];
    let shrink = [["deregister", "stop"].into(), ["barrier"].into()];
    (grow, shrink)
}

#[test]
fn a_leader_is_killed_in_the_phases_of_a_plan_and_the_other_daemon_finishes_it() -> anyhow::Result<()> {
    in_cluster(|namespace| async {
        let (mut grow, mut shrink) = aims(std::env::var("PLIMSOLL_LONG").is_ok_and(|value| value == "1"));
        let mut scene = Scene::set(namespace).await?;
        let mut figures = Vec::new();
        let mut rounds = 0;
        while grow.iter().chain(&shrink).any(|aims| !aims.is_empty()) {
            anyhow::ensure!(rounds < ROUNDS, "in {ROUNDS} rounds these were not hit: {grow:?} {shrink:?}");
            if rounds > 0 {
                free_the_way(&scene.etcd)?;
            }
            rounds += 1;
            pursue(&mut scene, 5, &mut grow, &mut figures).await?;
            pursue(&mut scene, 3, &mut shrink, &mut figures).await?;
        }
        println!("fail-over, from the kill to the next step of the plan: {figures:#?}");
        scene.judge(usize::try_from(rounds)? * 6).await
    })
}

/// What those left behind who went bars the way (D22); here a person has looked at it and takes it away.
fn free_the_way(etcd: &EtcdPods) -> anyhow::Result<()> {
    let namespace = etcd.namespace();
    namespace.kubectl(&["delete", "pvc", "data-etcd-3", "data-etcd-4"])?;
    if namespace.cluster().name().is_some() {
        namespace.cluster().make_volumes(2)?;
    }
    Ok(())
}

async fn pursue(
    scene: &mut Scene,
    size: u32,
    aims: &mut Aims,
    figures: &mut Vec<String>,
) -> anyhow::Result<()> {
    scene.wish(size).await?;
    let mut plan = None;
    let mut missed = Aims::default();
    for (unit, phases) in (0_u32..).zip(aims.iter_mut()) {
        for phase in std::mem::take(phases) {
            match strike(scene, size, unit, phase, figures).await? {
                Some(id) => {
                    anyhow::ensure!(
                        plan.as_ref().is_none_or(|known| *known == id),
                        "another plan: {plan:?}, {id}"
                    );
                    plan = Some(id);
                }
                None => missed[usize::try_from(unit)?].push_back(phase),
            }
        }
    }
    *aims = missed;
    let leader = scene.pair.leader().await?;
    let status = scene.reached(leader, size).await?;
    let ended = status.history.last().map(|ended| ended.id.to_string());
    assert!(plan.is_none() || plan == ended, "the plan that was interrupted is not the one that ended");
    Ok(())
}

/// Kills whoever leads in a phase of a unit, and waits until the other one has done the plan's next step. The plan; none
/// when the phase slipped past.
async fn strike(
    scene: &mut Scene,
    size: u32,
    unit: u32,
    phase: &str,
    figures: &mut Vec<String>,
) -> anyhow::Result<Option<String>> {
    let leader = scene.pair.leader().await?;
    let Some(before) = lie_in_wait(scene.pair.daemon(leader), size, unit, phase)? else { return Ok(None) };
    scene.pair.daemon_mut(leader).kill()?;
    let killed = Instant::now();
    let (other, successor) = (1 - leader, scene.pair.daemon(1 - leader));
    let place = place(&before).context("a plan")?;
    let stepped = successor.until("the next step of the plan", PATIENCE, |status| {
        status.follows.is_none()
            && (status.plan.is_none() && !status.history.is_empty() || {
                crate::place(status).is_some_and(|now| now > place)
            })
    });
    stepped.await?;
    figures.push(format!("{size} members, unit {unit}, {phase}: {} ms", killed.elapsed().as_millis()));
    scene.pair.daemon_mut(leader).start()?;
    assert_eq!(scene.pair.leader().await?, other, "who comes back follows");
    Ok(before.plan.map(|plan| plan.id.to_string()))
}

/// How far a plan is.
fn place(status: &Status) -> Option<(u32, u32)> {
    status.plan.as_ref().map(|plan| (plan.unit, plan.phase))
}

/// Until the plan is in a phase of a unit; none when it is past it.
fn lie_in_wait(
    daemon: &plimsoll_tests::daemon::Daemon,
    size: u32,
    unit: u32,
    phase: &str,
) -> anyhow::Result<Option<Status>> {
    let deadline = Instant::now() + PATIENCE;
    let mut began = false;
    loop {
        // For a moment after an election there is no plan to be seen.
        if let Ok(status) = daemon.status() {
            match &status.plan {
                Some(plan) if plan.unit == unit && status.phase == phase => return Ok(Some(status)),
                Some(plan) if plan.unit > unit => return Ok(None),
                Some(_) => began = true,
                None if began || status.sizes.members == Some(size) => return Ok(None),
                None => {}
            }
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "waited in vain for {phase} in unit {unit}\n{}",
            daemon.tail()
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_leader_that_is_stopped_or_cut_off_acts_no_more_and_the_other_daemon_finishes() -> anyhow::Result<()> {
    in_cluster(|namespace| async {
        let scene = Scene::set(namespace).await?;
        let stopped = stopped_past_its_lease(&scene).await?;
        let cut = cut_off(&scene).await?;
        println!("from the stop to the other's first step: {stopped} ms; from the cut: {cut} ms");
        nobody_for_a_while(&scene).await?;
        the_lease_is_deleted(&scene).await?;
        given_back(scene).await
    })
}

fn is_in_the_middle(status: &Status) -> bool {
    let Some(plan) = &status.plan else { return false };
    plan.unit == 0
        && if plan.to() > plan.from() { status.phase == "catch-up" } else { plan.point_of_no_return }
}

/// The whole process stands still, with whatever it was about to send, until the other one has finished.
async fn stopped_past_its_lease(scene: &Scene) -> anyhow::Result<u128> {
    let pair = &scene.pair;
    let leader = pair.leader().await?;
    scene.wish(5).await?;
    pair.daemon(leader).until("the middle of growing", PATIENCE, is_in_the_middle).await?;
    pair.signal(leader, Signal::STOP)?;
    let since = Instant::now();
    pair.until_it_leads(1 - leader, true).await?;
    let took_ms = since.elapsed().as_millis();
    scene.reached(1 - leader, 5).await?;
    let before = pair.daemon(leader).records()?.len();
    pair.signal(leader, Signal::CONT)?;
    pair.until_it_leads(leader, false).await?;
    let follows = pair
        .daemon(leader)
        .until("it follows", PATIENCE, |status| status.follows.is_some() && status.sizes.members == Some(5));
    follows.await?;
    // What it was about to record it may; it has begun nothing since.
    let after = pair.daemon(leader).records()?.split_off(before);
    let acts =
        after.iter().filter(|record| matches!(record.body, plimsoll_wire::record::Body::Intent { .. }));
    assert_eq!(acts.count(), 0, "{after:#?}");
    Ok(took_ms)
}

/// The API server hears nothing from the leader, and hears it all when it is too late.
async fn cut_off(scene: &Scene) -> anyhow::Result<u128> {
    let pair = &scene.pair;
    let leader = pair.leader().await?;
    scene.wish(3).await?;
    pair.daemon(leader).until("the middle of shrinking", PATIENCE, is_in_the_middle).await?;
    pair.wire(leader).cut();
    let since = Instant::now();
    // It knows by itself, before the other one can.
    pair.until_it_leads(leader, false).await?;
    pair.until_it_leads(1 - leader, true).await?;
    let took_ms = since.elapsed().as_millis();
    scene.reached(1 - leader, 3).await?;
    pair.wire(leader).mend();
    let follows = pair.daemon(leader).until("it sees again", PATIENCE, |status| {
        status.follows.is_some() && status.sizes.members == Some(3)
    });
    follows.await?;
    assert!(pair.leads(1 - leader));
    assert_eq!(scene.etcd.namespace().field("statefulset/etcd", ".spec.replicas")?, "3");
    Ok(took_ms)
}

/// Nobody reaches the API server: nobody leads, orders are refused, and it goes on afterwards.
async fn nobody_for_a_while(scene: &Scene) -> anyhow::Result<()> {
    let pair = &scene.pair;
    for which in [0, 1] {
        pair.wire(which).cut();
    }
    for which in [0, 1] {
        pair.until_it_leads(which, false).await?;
        let refused = pair.daemon(which).order(json!({ "verb": "pause", "why": "nobody leads" }));
        let refused = format!("{:#}", refused.err().context("an order was obeyed by nobody")?);
        assert!(refused.contains("leads"), "{refused}");
    }
    for which in [0, 1] {
        pair.wire(which).mend();
    }
    let leader = pair.leader().await?;
    pair.daemon(leader).until("a decision", PATIENCE, |status| status.last_decision.is_some()).await?;
    Ok(())
}

async fn the_lease_is_deleted(scene: &Scene) -> anyhow::Result<()> {
    let namespace = scene.etcd.namespace();
    for _ in 0..2 {
        namespace.kubectl(&["delete", "lease", "plimsoll"])?;
        let made = wait_until("another lease with a holder", PATIENCE, async || {
            let holder = namespace.field("lease/plimsoll", ".spec.holderIdentity")?;
            anyhow::ensure!(!holder.is_empty(), "nobody holds it");
            Ok(holder)
        });
        let holder = made.await?;
        let leader = scene.pair.leader().await?;
        assert_eq!(scene.pair.standing(leader)?["identity"], json!(holder));
    }
    Ok(())
}

/// A daemon that is asked to end gives leadership back, and nobody waits for the lease to expire.
async fn given_back(scene: Scene) -> anyhow::Result<()> {
    let leader = scene.pair.leader().await?;
    scene.pair.signal(leader, Signal::TERM)?;
    let since = Instant::now();
    scene.pair.until_it_leads(1 - leader, true).await?;
    println!("from the request to end to the other's lead: {} ms", since.elapsed().as_millis());
    let transitions = scene.etcd.namespace().field("lease/plimsoll", ".spec.leaseTransitions")?;
    println!("the lease counts {transitions} changes of its holder");
    let status = scene.pair.daemon(1 - leader).run(&["status"])?;
    let shown = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(shown.contains("leads, by the lease"), "{shown}");
    scene.judge(6).await
}
