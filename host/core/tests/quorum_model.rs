//! QUORUM-1 to 7 against every small group: a table worked by hand, and 1 to 7 voters with any set
//! of them down under any single change, next to etcd's own rules, restated here from its sources and sharing no code
//! with the judge.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use plimsoll_core::change::Change;
use plimsoll_core::judge::{Judged, judge};
use plimsoll_core::plan::subject_of;
use plimsoll_wire::Fact;
use plimsoll_wire::journal::{SystemVerb, Verb};
use plimsoll_wire::record::{Judgement, Verdict, Wisher};
use plimsoll_wire::size::{Bounds, Leg};
use plimsoll_wire::snapshot::{Lifecycle, Member, PlacementState, Role, Snapshot};
use std::sync::{Arc, LazyLock};

static RESTING: LazyLock<Snapshot> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../tests/scenarios/base/quorum-at-rest.json")).unwrap()
});
static REMOVING: LazyLock<Snapshot> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../tests/scenarios/base/quorum-before-deregister.json")).unwrap()
});

fn set<T>(fact: &mut Fact<T>, value: T) {
    if let Fact::Known(known) = fact {
        known.value = value;
    }
}

/// A group of `voters`, those in `down` dead, with an owner who wants as little as can be.
fn group(voters: usize, down: &[usize], tolerance: u32) -> Snapshot {
    let mut snapshot = RESTING.clone();
    snapshot.target.bounds = Bounds::of_members(1, 20);
    let safety = &mut snapshot.safety;
    (safety.tolerance, safety.allow_even, safety.spread, safety.fraction_permille) =
        (tolerance, true, 1, 1_000);
    let leader = (0..voters).find(|at| !down.contains(at)).unwrap_or(0);
    let rows: Vec<Member> = (0..voters).map(|at| voter(at, down.contains(&at), at == leader)).collect();
    let Fact::Known(groups) = &mut snapshot.groups else { panic!("groups") };
    let control = &mut groups.value[0];
    set(&mut control.leader, name(leader));
    let Fact::Known(placements) = &mut control.placements else { panic!("placements") };
    let pattern = placements.value[0].clone();
    placements.value = (0..voters)
        .map(|at| {
            let mut copy = pattern.clone();
            copy.member = name(at);
            copy.state = if down.contains(&at) { PlacementState::Stale } else { PlacementState::InSync };
            copy
        })
        .collect();
    set(&mut snapshot.members, rows);
    set(&mut snapshot.sizes.members, u32::try_from(voters).unwrap());
    snapshot
}

fn name(at: usize) -> Arc<str> {
    format!("m-{at:04}").into()
}

fn voter(at: usize, dead: bool, leads: bool) -> Member {
    let mut row = RESTING.members.value().unwrap()[0].clone();
    row.slot = Some(format!("db-{at}").into());
    set(&mut row.id, name(at));
    set(&mut row.alive, !dead);
    set(&mut row.lifecycle, if dead { Lifecycle::Dead } else { Lifecycle::Serving });
    let roles = [Some(Role::Voter), leads.then_some(Role::Leader)];
    set(&mut row.roles, roles.into_iter().flatten().collect());
    row
}

fn told(judged: Judged) -> Judgement {
    match judged {
        Judged::Verdict(judgement) => judgement,
        Judged::NeedFacts => panic!("the facts are direct"),
    }
}

fn resize(snapshot: &Snapshot, to: u32) -> Judgement {
    let change = Change::Wish { to, by: Wisher::Person, rests_on: None };
    told(judge(&change, snapshot, true))
}

/// The removal of one member, right before it is removed; others lead.
fn remove(snapshot: &Snapshot, at: usize) -> Judgement {
    let mut snapshot = snapshot.clone();
    let rows = snapshot.members.value().unwrap().clone();
    let size = u32::try_from(rows.len()).unwrap();
    let mut plan = REMOVING.plan.clone().unwrap();
    let subject = subject_of(&rows[at]);
    (plan.legs, plan.unit, plan.phase) = (vec![Leg::members(size, size - 1)], 0, 1);
    plan.fingerprint = snapshot.fingerprint.value().unwrap().clone();
    plan.members = (0..rows.len()).map(name).collect();
    plan.subject = Some(subject.clone());
    snapshot.plan = Some(plan.clone());
    let verb = Verb::System(SystemVerb::Deregister { member: name(at) });
    let change = Change::Effect { plan: Box::new(plan), subject, verb, undoing: false };
    told(judge(&change, &snapshot, true))
}

/// The vote of a learner that has everything, next to these voters.
fn promote(snapshot: &Snapshot) -> Judgement {
    promote_one(snapshot, true)
}

fn promote_one(snapshot: &Snapshot, alive: bool) -> Judgement {
    let mut snapshot = snapshot.clone();
    let voters = snapshot.members.value().unwrap().len();
    let mut learner = voter(voters, !alive, false);
    set(&mut learner.roles, [Role::Learner].into_iter().collect());
    set(&mut learner.lifecycle, Lifecycle::CatchingUp);
    let subject = subject_of(&learner);
    if let Fact::Known(members) = &mut snapshot.members {
        members.value.push(learner);
    }
    let Fact::Known(groups) = &mut snapshot.groups else { panic!("groups") };
    let Fact::Known(placements) = &mut groups.value[0].placements else { panic!("placements") };
    let mut copy = placements.value[0].clone();
    (copy.member, copy.weight, copy.state) = (name(voters), 0, PlacementState::Learner);
    placements.value.push(copy);
    let mut plan = REMOVING.plan.clone().unwrap();
    let size = u32::try_from(voters).unwrap();
    (plan.legs, plan.unit, plan.phase) = (vec![Leg::members(size, size + 1)], 0, 3);
    plan.fingerprint = snapshot.fingerprint.value().unwrap().clone();
    plan.members = (0..voters).map(name).collect();
    plan.subject = Some(subject.clone());
    let verb = Verb::System(SystemVerb::Promote { member: name(voters) });
    let change = Change::Effect { plan: Box::new(plan), subject, verb, undoing: false };
    told(judge(&change, &snapshot, true))
}

fn allowed(judgement: &Judgement) -> bool {
    judgement.verdict <= Verdict::Clamp
}

fn broken(judgement: &Judgement, rule: &str) -> bool {
    judgement.violations.iter().any(|one| one.rule == rule && one.verdict == Verdict::Deny)
}

/// etcd, `mayRemoveMember` with `IsReadyToRemoveVotingMember` (server/etcdserver/server.go, membership/cluster.go):
/// one that is not active may go; else those active without it must be a majority of the rest. `started` is counted
/// as alive here, which is stricter than etcd.
fn etcd_removes(voters: usize, down: &[usize], at: usize) -> bool {
    let rest = voters - 1;
    let live = (0..voters).filter(|one| *one != at && !down.contains(one)).count();
    rest > 0 && live > rest / 2
}

/// etcd, `mayAddMember`: every voter has been connected, and the started ones are a majority with the newcomer
/// counted as down (`IsReadyToAddVotingMember`).
fn etcd_adds(voters: usize, down: &[usize]) -> bool {
    let live = voters - down.len();
    down.is_empty() && live > voters.div_ceil(2) - usize::from(voters == 1)
}

/// etcd, `IsReadyToPromoteMember`: the learner counts as started in the group that it makes.
fn etcd_promotes(voters: usize, down: &[usize]) -> bool {
    voters - down.len() + 1 > voters.div_ceil(2)
}

/// Every set of voters that may be down.
fn downs(voters: usize) -> impl Iterator<Item = Vec<usize>> {
    (0..1_u32 << voters).map(move |bits| (0..voters).filter(|at| bits >> at & 1 == 1).collect())
}

#[test]
fn the_worked_table_of_the_catalogue_holds() {
    // Three, none down, one healthy goes: no further loss is survived, unless the owner asks for none.
    assert!(broken(&remove(&group(3, &[], 1), 2), "QUORUM-4"));
    assert!(allowed(&remove(&group(3, &[], 0), 2)));
    // Three, one down, the dead one goes: repair.
    let repair = remove(&group(3, &[2], 0), 2);
    assert!(allowed(&repair), "{repair:?}");
    assert!(!broken(&remove(&group(3, &[2], 1), 2), "QUORUM-1"));
    // Three, one down, a healthy one goes.
    assert!(broken(&remove(&group(3, &[2], 1), 1), "QUORUM-1"));
    assert!(broken(&remove(&group(3, &[2], 0), 1), "QUORUM-1"));
    // Three, one down, one comes: it counts as down.
    assert!(broken(&promote(&group(3, &[2], 1)), "QUORUM-1"));
    assert!(broken(&resize(&group(3, &[2], 1), 4), "QUORUM-1"));
    // One, and one comes: it votes when it is alive and has caught up, and not when it has never started.
    assert!(allowed(&resize(&group(1, &[], 1), 3)));
    assert!(allowed(&promote(&group(1, &[], 1))));
    assert!(broken(&promote_one(&group(1, &[], 1), false), "QUORUM-1"));
    // Five to three: one at a time, and every state on the way is sound.
    assert!(allowed(&resize(&group(5, &[], 1), 3)));
    // Seven, four stopped before anybody has removed them out.
    assert!(broken(&resize(&group(7, &[3, 4, 5, 6], 1), 3), "QUORUM-1"));
}

#[test]
fn what_etcd_would_refuse_is_never_admitted() {
    let (mut asked, mut admitted) = (0, 0);
    for voters in 1..=7 {
        for down in downs(voters) {
            for tolerance in [0, 1] {
                let snapshot = group(voters, &down, tolerance);
                for at in 0..voters {
                    let ours = allowed(&remove(&snapshot, at));
                    assert!(
                        !ours || etcd_removes(voters, &down, at),
                        "{voters} voters, {down:?} down, {at} goes"
                    );
                    asked += 1;
                    admitted += u32::from(ours);
                }
                let ours = allowed(&promote(&snapshot));
                assert!(
                    !ours || etcd_promotes(voters, &down),
                    "{voters} voters, {down:?} down, one gets its vote"
                );
                let size = u32::try_from(voters).unwrap();
                let grows = allowed(&resize(&snapshot, size + 1));
                assert!(!grows || etcd_adds(voters, &down), "{voters} voters, {down:?} down, one comes");
                asked += 2;
                admitted += u32::from(ours) + u32::from(grows);
            }
        }
    }
    println!("{asked} changes, {admitted} admitted");
    assert!(admitted > 20 && asked > 2_000);
}

#[test]
fn no_admitted_change_leaves_a_group_without_a_majority_or_with_less_than_it_must_survive() {
    for voters in 1..=7_usize {
        for down in downs(voters) {
            for at in 0..voters {
                if !allowed(&remove(&group(voters, &down, 1), at)) {
                    continue;
                }
                let live = (0..voters).filter(|one| *one != at && !down.contains(one)).count();
                let need = (voters - 1) / 2 + 1;
                assert!(live >= need, "{voters} voters, {down:?} down, {at} goes");
                // Either the next loss is survived, or a dead one went and more is survived than before.
                assert!(live > need || down.contains(&at), "{voters} voters, {down:?} down, {at} goes");
            }
        }
    }
}
