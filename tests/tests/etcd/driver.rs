//! The etcd driver against real members.

use etcd_client::{AlarmAction, AlarmOptions, AlarmType};
use plimsoll::actuate::Permit;
use plimsoll::systems::System;
use plimsoll::systems::connection::Connection;
use plimsoll::systems::etcd::Etcd;
use plimsoll_core::observation::{PlatformReport, Reading, SystemGroup, SystemMember, SystemReport};
use plimsoll_tests::etcd::{PATIENCE, Rig, connect};
use plimsoll_tests::load::Load;
use plimsoll_tests::process::wait_until;
use plimsoll_tests::watch::{Watch, history::Change};
use plimsoll_wire::alarm::{ALARMS, Alarm};
use plimsoll_wire::fact::{Authority, Gap};
use plimsoll_wire::journal::{Outcome, SystemVerb};
use plimsoll_wire::snapshot::{GroupKind, GroupModel, Lifecycle, PlacementState, Role};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// The driver with the platform that the rig is.
struct Subject {
    rig: Rig,
    driver: Box<dyn System>,
}

impl Subject {
    async fn start(members: usize) -> anyhow::Result<Self> {
        let rig = Rig::start(members, 7).await?;
        Ok(Self { rig, driver: Box::new(Etcd::new(Connection::default())) })
    }

    fn platform(&self) -> anyhow::Result<PlatformReport> {
        Ok(self.rig.list()?.report())
    }

    async fn observe(&self) -> anyhow::Result<SystemReport> {
        Ok(self.driver.observe(&self.platform()?).await)
    }

    async fn act(&self, verb: SystemVerb) -> anyhow::Result<Outcome> {
        self.act_within(verb, Duration::from_secs(10)).await
    }

    async fn act_within(&self, verb: SystemVerb, deadline: Duration) -> anyhow::Result<Outcome> {
        let permit = Permit {
            target: "test/etcd".into(),
            plan: "plan-1".into(),
            intent: "intent-1".into(),
            epoch: 1,
            deadline,
            membership: None,
        };
        Ok(self.driver.act(&permit, &verb, &self.platform()?).await)
    }

    /// Gives a verb until etcd takes it: it refuses changes while its members have not been connected for
    /// five seconds.
    async fn act_until_applied(&self, verb: SystemVerb) -> anyhow::Result<()> {
        wait_until(verb.kind(), PATIENCE, async || match self.act(verb.clone()).await? {
            Outcome::Applied => Ok(()),
            Outcome::Refused { message } | Outcome::Unknown { message } => anyhow::bail!(message),
        })
        .await
    }

    /// Observes until a report is as wanted.
    async fn observe_until(
        &self,
        what: &str,
        wanted: impl Fn(&SystemReport) -> bool,
    ) -> anyhow::Result<SystemReport> {
        wait_until(what, PATIENCE, async || {
            let report = self.observe().await?;
            anyhow::ensure!(wanted(&report), "{report:#?}");
            Ok(report)
        })
        .await
    }

    fn register(&self, slot: &str) -> anyhow::Result<SystemVerb> {
        let listing = self.rig.list()?;
        let entry = listing.vacant.into_iter().find(|entry| entry.slot == slot);
        let entry = entry.ok_or_else(|| anyhow::anyhow!("{slot} is not vacant"))?;
        Ok(SystemVerb::Register { slot: slot.into(), endpoints: entry.endpoints })
    }

    /// From 3 to 4 with `e4`, as a plan does it.
    async fn grow(&self) -> anyhow::Result<Arc<str>> {
        self.act_until_applied(self.register("e4")?).await?;
        let report = self.observe_until("e4 is registered", |report| member(report, "e4").is_some()).await?;
        let id = member(&report, "e4").expect("just found").id.clone();
        self.rig
            .add("e4", &report.join.value().expect("join is told while a member is not started").payload)?;
        self.observe_until("e4 has caught up", |report| {
            member(report, "e4").is_some_and(|e4| e4.alive.value() == Some(&true))
                && placement(report, &id).is_some_and(|permille| permille >= 950)
        })
        .await?;
        self.act_until_applied(SystemVerb::Promote { member: id.clone() }).await?;
        Ok(id)
    }
}

fn members(report: &SystemReport) -> &[SystemMember] {
    report.members.value().map_or(&[], Vec::as_slice)
}

fn member<'a>(report: &'a SystemReport, slot: &str) -> Option<&'a SystemMember> {
    members(report).iter().find(|member| member.slot.as_deref() == Some(slot))
}

fn control(report: &SystemReport) -> &SystemGroup {
    let groups = report.groups.value().expect("groups are told");
    groups.first().expect("etcd has one group")
}

/// How far a member has come, in thousandths.
fn placement(report: &SystemReport, id: &str) -> Option<u32> {
    let placements = control(report).placements.value()?;
    placements.iter().find(|placement| &*placement.member == id)?.progress_permille.value().copied()
}

fn is_settled(report: &SystemReport, voters: usize) -> bool {
    let in_sync = |group: &SystemGroup| {
        let placements = group.placements.value().into_iter().flatten();
        placements.filter(|it| it.state == PlacementState::InSync && it.weight == 1).count()
    };
    report.groups.value().and_then(|groups| groups.first()).is_some_and(|group| in_sync(group) == voters)
        && members(report).iter().all(|it| it.alive.value() == Some(&true))
}

#[tokio::test]
async fn tells_everything_of_a_healthy_cluster() -> anyhow::Result<()> {
    let subject = Subject::start(3).await?;
    let report = subject.observe_until("three in sync", |report| is_settled(report, 3)).await?;
    let slots: Vec<_> = {
        let mut slots: Vec<_> = members(&report).iter().filter_map(|it| it.slot.as_deref()).collect();
        slots.sort_unstable();
        slots
    };
    assert_eq!(slots, ["e1", "e2", "e3"]);
    let group = control(&report);
    assert_eq!((group.kind, group.model), (GroupKind::Control, GroupModel::StaticMajority));
    assert_eq!(group.min_ack.value(), Some(&2));
    let leader = group.leader.value().expect("a leader");
    for member in members(&report) {
        assert_eq!(member.lifecycle.value(), Some(&Lifecycle::Serving));
        let mut roles = BTreeSet::from([Role::Voter]);
        if member.id == *leader {
            roles.insert(Role::Leader);
        }
        assert_eq!(member.roles.value(), Some(&roles));
        assert!(member.load_bytes.value().is_some_and(|bytes| *bytes > 0));
    }
    assert_eq!(report.facts.get("alarms").and_then(Reading::value), Some(&serde_json::json!([])));
    // The fingerprint is what the member itself wrote into its log.
    let listing = subject.rig.list()?;
    let volume = listing.members.first().and_then(|entry| entry.volume.clone()).expect("the log tells it");
    assert_eq!(report.fingerprint.value(), Some(&volume.fingerprint));
    assert!(members(&report).iter().any(|member| *member.id == *volume.member_id));
    Ok(())
}

#[expect(clippy::too_many_lines, reason = "one story of one cluster")]
#[tokio::test]
async fn grows_and_shrinks_by_one_without_losing_an_acknowledged_write() -> anyhow::Result<()> {
    let subject = Subject::start(3).await?;
    let watch = Watch::start(&subject.rig).await?;
    let load = Load::start(&subject.rig.endpoints(), "test", 100);
    let before = subject.observe_until("three in sync", |report| is_settled(report, 3)).await?;

    // A learner that is registered and not started.
    subject.act_until_applied(subject.register("e4")?).await?;
    let report = subject.observe().await?;
    let e4 = member(&report, "e4").expect("e4 is registered");
    let id = e4.id.clone();
    assert_eq!(e4.lifecycle.value(), Some(&Lifecycle::Provisioning));
    assert_eq!(e4.alive.value(), Some(&false));
    assert_eq!(e4.roles.value(), Some(&BTreeSet::from([Role::Learner])));
    assert_ne!(report.epoch.value(), before.epoch.value());
    assert_eq!(report.fingerprint.value(), before.fingerprint.value());
    // Registering it again changes nothing, promoting it is refused in etcd's own words.
    assert_eq!(subject.act(subject.register("e4")?).await?, Outcome::Applied);
    assert_eq!(subject.observe().await?.epoch.value(), report.epoch.value());
    let Outcome::Refused { message } = subject.act(SystemVerb::Promote { member: id.clone() }).await? else {
        panic!("a learner that was never started was promoted");
    };
    assert_eq!(message, "etcdserver: can only promote a learner member which is in sync with leader");

    // Started with what the driver says, caught up, promoted.
    subject.grow_registered(&id, &report).await?;
    let report = subject.observe_until("four in sync", |report| is_settled(report, 4)).await?;
    assert_eq!(control(&report).min_ack.value(), Some(&3));
    assert_eq!(subject.act(SystemVerb::Promote { member: id.clone() }).await?, Outcome::Applied);
    assert_eq!(subject.act(SystemVerb::Barrier).await?, Outcome::Applied);

    // The leader is not removed before its leadership has gone elsewhere.
    let leader = control(&report).leader.value().expect("a leader").clone();
    let follower = members(&report).iter().find(|it| it.id != leader).expect("a follower").id.clone();
    let refused = subject.act(SystemVerb::Deregister { member: leader.clone() }).await?;
    assert_eq!(refused, Outcome::Refused { message: format!("not sent: {leader} is the leader") });
    subject
        .act_until_applied(SystemVerb::MoveLeader {
            group: "control".into(),
            from: leader.clone(),
            to: Some(follower.clone()),
        })
        .await?;
    let report = subject
        .observe_until("leadership has moved", |report| {
            is_settled(report, 4) && control(report).leader.value() == Some(&follower)
        })
        .await?;
    assert_eq!(
        subject
            .act(SystemVerb::MoveLeader { group: "control".into(), from: leader.clone(), to: Some(follower) })
            .await?,
        Outcome::Applied
    );

    // Removed by id, again, and stopped.
    let slot = members(&report).iter().find(|it| it.id == leader).and_then(|it| it.slot.clone());
    let slot = slot.expect("the old leader has a slot");
    subject.act_until_applied(SystemVerb::Deregister { member: leader.clone() }).await?;
    let report = subject.observe_until("three in sync", |report| is_settled(report, 3)).await?;
    assert!(members(&report).iter().all(|member| member.id != leader));
    assert_eq!(subject.act(SystemVerb::Deregister { member: leader.clone() }).await?, Outcome::Applied);
    subject.rig.remove(&slot, &leader)?;
    assert!(subject.rig.list()?.vacant.iter().any(|entry| *entry.slot == *slot));

    let acknowledged = load.finish().await;
    assert!(!acknowledged.is_empty());
    assert_eq!(acknowledged.lost(&subject.rig.endpoints()).await?, Vec::<String>::new());
    let findings = watch.finish(&subject.rig).await?;
    assert_eq!(findings.violations, Vec::<String>::new());
    let kinds: Vec<&str> = findings
        .changes
        .iter()
        .map(|change| match change {
            Change::Added { learner: true, .. } => "learner",
            Change::Added { learner: false, .. } => "voter",
            Change::Promoted { .. } => "promoted",
            Change::Removed { .. } => "removed",
            Change::Several(_) => "several",
        })
        .collect();
    assert_eq!(kinds, ["learner", "promoted", "removed"]);
    Ok(())
}

impl Subject {
    async fn grow_registered(&self, id: &Arc<str>, report: &SystemReport) -> anyhow::Result<()> {
        self.rig
            .add("e4", &report.join.value().expect("join is told while a member is not started").payload)?;
        self.observe_until("e4 has caught up", |report| {
            member(report, "e4").is_some_and(|e4| e4.lifecycle.value() == Some(&Lifecycle::CatchingUp))
                && placement(report, id).is_some_and(|permille| permille >= 950)
        })
        .await?;
        self.act_until_applied(SystemVerb::Promote { member: id.clone() }).await
    }
}

#[tokio::test]
async fn tells_a_dead_member_from_a_dead_quorum() -> anyhow::Result<()> {
    let subject = Subject::start(3).await?;
    subject.observe_until("three in sync", |report| is_settled(report, 3)).await?;
    subject.rig.kill("e1")?;
    let report = subject
        .observe_until("the survivors agree", |report| {
            report.groups.value().is_some() && control(report).leader.value().is_some()
        })
        .await?;
    let e1 = member(&report, "e1").expect("still a member");
    let Reading::Value { value: false, source } = &e1.alive else { panic!("{:?}", e1.alive) };
    assert_eq!(source.authority, Authority::Survivors);
    assert_eq!(e1.lifecycle.value(), Some(&Lifecycle::Dead));
    let placements = control(&report).placements.value().expect("placements");
    let e1_copy = placements.iter().find(|it| it.member == e1.id).expect("it still has its vote");
    assert_eq!((e1_copy.weight, e1_copy.state), (1, PlacementState::Stale));
    assert_eq!(control(&report).min_ack.value(), Some(&2));

    // Without a majority nothing is known any more; above all nothing becomes smaller.
    subject.rig.kill("e2")?;
    let report = subject.observe().await?;
    for (name, reason) in [
        ("members", gap(&report.members)),
        ("groups", gap(&report.groups)),
        ("epoch", gap(&report.epoch)),
        ("join", gap(&report.join)),
    ] {
        assert!(matches!(reason, Some(Gap::Partial { got: 0, want: 2 })), "{name}: {reason:?}");
    }
    let outcome = subject.act(SystemVerb::Barrier).await?;
    assert!(matches!(outcome, Outcome::Refused { .. }), "{outcome:?}");

    // And it comes back by itself.
    subject.rig.restart("e1")?;
    subject.rig.restart("e2")?;
    subject.observe_until("three in sync", |report| is_settled(report, 3)).await?;
    Ok(())
}

/// A lease leaves a call less time than a reading may take: who is silent does not use it up.
#[tokio::test]
async fn a_member_that_is_silent_leaves_time_for_the_call_itself() -> anyhow::Result<()> {
    let rig = Rig::start(3, 7).await?;
    let driver = Etcd::new(Connection { deadline: Duration::from_secs(60), ..Connection::default() });
    let subject = Subject { rig, driver: Box::new(driver) };
    let report = subject.observe_until("three in sync", |report| is_settled(report, 3)).await?;
    let leader = control(&report).leader.value().expect("a leader");
    let silent = members(&report).iter().find(|member| member.id != *leader);
    subject.rig.freeze(silent.and_then(|member| member.slot.as_deref()).expect("it has a slot"))?;
    assert_eq!(subject.act_within(SystemVerb::Barrier, Duration::from_secs(10)).await?, Outcome::Applied);
    Ok(())
}

fn gap<T>(told: &Reading<T>) -> Option<&Gap> {
    match told {
        Reading::Gap { reason, .. } => Some(reason),
        Reading::Value { .. } | Reading::NotApplicable => None,
    }
}

#[tokio::test]
async fn refuses_to_believe_two_clusters_at_once() -> anyhow::Result<()> {
    let subject = Subject::start(3).await?;
    let foreign = Rig::start(1, 1).await?;
    let mut platform = subject.platform()?;
    let Reading::Value { value: slots, .. } = &mut platform.slots else { panic!("the rig tells its slots") };
    let slot = slots.first_mut().expect("three slots");
    slot.endpoints.insert("client".to_owned(), foreign.endpoint("e1")?);
    let report = subject.driver.observe(&platform).await;
    for reason in [gap(&report.fingerprint), gap(&report.epoch), gap(&report.members), gap(&report.groups)] {
        // `Some` alone would also be true of a gap for another reason.
        assert_eq!(reason, Some(&Gap::Conflicting));
    }
    let Reading::Gap { detail, .. } = &report.fingerprint else { panic!("checked above") };
    assert!(detail.starts_with("members of several clusters answer: "), "{detail}");
    Ok(())
}

#[tokio::test]
async fn keeps_the_removed_member_apart_while_its_process_still_runs() -> anyhow::Result<()> {
    let subject = Subject::start(3).await?;
    let id = subject.grow().await?;
    let report = subject.observe_until("four in sync", |report| is_settled(report, 4)).await?;
    let leader = control(&report).leader.value().expect("a leader").clone();
    assert_ne!(leader, id);
    subject.act_until_applied(SystemVerb::Deregister { member: id.clone() }).await?;
    // The platform still has e4 in use. The members must not, whatever still answers there.
    let report = subject.observe_until("three in sync", |report| is_settled(report, 3)).await?;
    assert!(member(&report, "e4").is_none());
    let platform = subject.platform()?;
    assert!(platform.slots.value().is_some_and(|slots| slots.iter().any(|slot| &*slot.slot == "e4")));
    subject.rig.remove("e4", &id)?;
    // Again: the end is reached already.
    subject.rig.remove("e4", &id)?;
    assert_eq!(subject.rig.size().await?, (3, 0));
    // The slot is blank again and takes a new member with a new id.
    let again = subject.grow().await?;
    assert_ne!(again, id);
    Ok(())
}

/// The alarms that a report tells.
fn alarms(report: &SystemReport) -> Vec<Alarm> {
    let told = report.facts.get(ALARMS).and_then(Reading::value).cloned();
    serde_json::from_value(told.unwrap_or_default()).unwrap_or_default()
}

#[tokio::test]
async fn an_alarm_of_one_member_is_told_with_its_member_and_what_clears_it_until_it_is_disarmed()
-> anyhow::Result<()> {
    let subject = Subject::start(3).await?;
    let before = subject.observe_until("three in sync", |report| is_settled(report, 3)).await?;
    let id = member(&before, "e2").expect("e2 is a member").id.clone();
    let mut etcd = connect(&[subject.rig.endpoint("e1")?]).await?;
    for (kind, word) in [(AlarmType::Nospace, "NOSPACE"), (AlarmType::Corrupt, "CORRUPT")] {
        let mut of_e2 = AlarmOptions::new();
        of_e2.with_member(u64::from_str_radix(&id, 16)?);
        etcd.alarm(AlarmAction::Activate, kind, Some(of_e2.clone())).await?;
        let report = subject
            .observe_until(word, |report| alarms(report).iter().any(|alarm| alarm.kind == word))
            .await?;
        let told = alarms(&report);
        let [alarm] = told.as_slice() else { anyhow::bail!("{told:?}") };
        assert_eq!(alarm.member, id);
        assert!(alarm.remedy.contains("etcdctl alarm disarm"), "{alarm:?}");
        // What is wrong does not hide who the members are.
        assert_eq!(members(&report).len(), 3);
        etcd.alarm(AlarmAction::Deactivate, kind, Some(of_e2)).await?;
        subject.observe_until("no alarm", |report| alarms(report).is_empty()).await?;
    }
    Ok(())
}
