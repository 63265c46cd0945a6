//! Quorum: in every state on the way, under the old and the new configuration, a majority is alive.

use super::evid::label;
use super::{ADMISSION, ALWAYS, EFFECTS, Finding, Invariant, Severity, each_group, first_group, listed};
use crate::case::Case;
use crate::change::Moment;
use crate::count::count;
use crate::groups::{self, called, copy_on};
use crate::quorum::{Standing, is_alive};
use crate::step;
use plimsoll_wire::journal::{MembershipEffect, PlatformVerb, SystemVerb, Verb};
use plimsoll_wire::profile::Topic;
use plimsoll_wire::snapshot::{Group, GroupKind, GroupModel, PlacementState};
use std::collections::BTreeSet;

/// The rules of this family.
pub const FAMILY: &[Invariant] = &[
    Invariant {
        id: "QUORUM-1",
        kind: "QuorumAtRisk",
        severity: Severity::Deny,
        moments: ALWAYS,
        protects: "A majority is alive in every state on the way (percona-server-mongodb-operator#695: 7 to 3 at once).",
        advice: "Bring members that are down back first.",
        check: every_state,
    },
    Invariant {
        id: "QUORUM-2",
        kind: "ConfigInFlight",
        severity: Severity::Defer,
        moments: ALWAYS,
        protects: "One vote changes at a time.",
        advice: "Wait until the change of membership that is under way has ended. If it is not Plimsoll's, end it where it was begun.",
        check: one_vote,
    },
    Invariant {
        id: "QUORUM-3",
        kind: "LeaderUnstable",
        severity: Severity::Defer,
        moments: ALWAYS,
        protects: "The membership changes only under a settled leader with a majority (pravega/zookeeper-operator#398).",
        advice: "Wait until the leader has been the same for `leaderStable`. If it keeps changing, look at disks and network.",
        check: leader_now,
    },
    Invariant {
        id: "QUORUM-4",
        kind: "QuorumAtRisk",
        severity: Severity::Deny,
        moments: ALWAYS,
        protects: "The members that remain survive the next loss too.",
        advice: "Bring members that are down back, or shrink by less.",
        check: tolerance,
    },
    Invariant {
        id: "QUORUM-5",
        kind: "EvenVoters",
        severity: Severity::Clamp,
        moments: ADMISSION,
        protects: "A plan ends at an odd number of voters: one voter more makes writes slower and survives no further loss.",
        advice: "Nothing. Ask for an odd number to get exactly that number.",
        check: parity,
    },
    Invariant {
        id: "QUORUM-6",
        kind: "LearnerBehind",
        severity: Severity::Defer,
        moments: &[Moment::Step],
        protects: "A member gets its vote only when it has caught up (etcd-io/etcd#3505).",
        advice: "Wait until the learner has caught up. If it does not, look at its log and its disk.",
        check: learner_first,
    },
    Invariant {
        id: "QUORUM-7",
        kind: "DeadVoterFirst",
        severity: Severity::Deny,
        moments: ALWAYS,
        protects: "A dead voter is removed before a new one is added (etcd-io/etcd#7028).",
        advice: "Remove the dead member first, or bring it back.",
        check: dead_first,
    },
    Invariant {
        id: "QUORUM-8",
        kind: "ChangeNotCommitted",
        severity: Severity::Deny,
        moments: EFFECTS,
        protects: "A removed member is stopped only after a later write has committed (ZooKeeper's reconfiguration guide, \"Progress guarantees\").",
        advice: "Wait. If no write can be committed, look at the system's health.",
        check: barrier,
    },
    Invariant {
        id: "QUORUM-10",
        kind: "TooManyVoters",
        severity: Severity::Clamp,
        moments: ADMISSION,
        protects: "There are no more voters than the system supports.",
        advice: "Lower `maxReplicas`; more voters make writes slower and nothing safer.",
        check: max_voters,
    },
];

fn majorities<'a>(case: &'a Case) -> impl Iterator<Item = &'a Group> {
    groups::all(case.snapshot).iter().filter(|group| group.model == GroupModel::StaticMajority)
}

/// The standings that the change passes through, the present one first.
fn states(case: &Case, group: &Group) -> Option<Vec<(String, Standing)>> {
    let now = case.standing(group)?;
    let mut states = vec![("now".to_owned(), now.clone())];
    let members_vote = case.profile.members_vote && group.kind == GroupKind::Control;
    if case.shrinks() {
        let mut gone = BTreeSet::new();
        for victim in &case.victims {
            let Some(id) = &victim.id else { continue };
            gone.insert(id.clone());
            states.push((format!("without {}", victim.slot), now.without(&gone)));
        }
    } else if members_vote {
        states.extend(growth(case, &now));
    }
    Some(states)
}

/// A newcomer counts as down until it serves; those before it serve by then. Beside a lone voter it counts as alive
/// where it is: counted as down, it would keep a group of one from ever growing. What guards that step is QUORUM-6,
/// which lets a live learner vote only when it has caught up. A group of one survives no loss
/// before the step and none after it, and the plan goes on to three, since no plan ends at two (QUORUM-5).
fn growth(case: &Case, now: &Standing) -> Vec<(String, Standing)> {
    let lone = now.size() == 1;
    let Some(verb) = case.verb() else {
        let mut states = Vec::new();
        let mut standing = now.clone();
        for number in 0..case.to.saturating_sub(case.from).min(16) {
            let serving = standing.with_serving(&format!("newcomer-{number}").into());
            let beside = if lone && number == 0 { serving.clone() } else { standing.with_newcomer() };
            states.push((format!("with newcomer {}", number + 1), beside));
            standing = serving;
        }
        return states;
    };
    let Verb::System(SystemVerb::Promote { member }) = verb else { return Vec::new() };
    let alive = case.member(member).is_some_and(is_alive);
    let after = if lone && alive { now.with_serving(member) } else { now.with_newcomer() };
    vec![(format!("with {member} voting"), after)]
}

fn every_state(case: &Case) -> Finding {
    each_group(majorities(case), "bring the failed members back first", |group| {
        let name = called(group);
        let states = states(case, group).ok_or_else(|| format!("the placements of {name}"))?;
        let mut broken = Vec::new();
        for (state, standing) in states {
            let need = standing.need().ok_or_else(|| format!("what {name} needs"))?;
            let have = standing.have();
            if have < need {
                broken.push(format!("{name} {state}: {have} live votes, {need} needed"));
            }
        }
        Ok(broken)
    })
}

/// A learner that is not ours, or two configurations at once, means that somebody's change is under way.
fn one_vote(case: &Case) -> Finding {
    first_group(majorities(case), |group| {
        let name = called(group);
        match group.in_joint_config.value() {
            Some(true) => {
                return Finding::broken(
                    format!("{name} is between two configurations"),
                    "wait until the system has finished",
                );
            }
            Some(false) => {}
            None if case.profile.lacks(Topic::JointConfig) => {}
            None => return Finding::unknown(format!("whether {name} is between two configurations")),
        }
        let Some(placements) = group.placements.value() else {
            return Finding::unknown(format!("the placements of {name}"));
        };
        let learners = placements.iter().filter(|placement| placement.state == PlacementState::Learner);
        let others = learners
            .filter(|placement| case.member(&placement.member).is_none_or(|member| !case.is_subject(member)));
        let others: Vec<String> = others.map(|placement| placement.member.to_string()).collect();
        if others.is_empty() {
            return Finding::Pass;
        }
        Finding::broken(
            format!("{name} has learners on their way: {}", listed(others, ", ")),
            "promote or remove them first",
        )
    })
}

fn changes_membership(case: &Case) -> bool {
    match case.membership_effect() {
        None | Some(MembershipEffect::Joins | MembershipEffect::Votes | MembershipEffect::Leaves) => true,
        Some(MembershipEffect::Runs | MembershipEffect::Ends | MembershipEffect::Stays) => false,
    }
}

fn leader_now(case: &Case) -> Finding {
    if !changes_membership(case) {
        return Finding::Pass;
    }
    let led = first_group(majorities(case), |group| {
        let Some(leader) = group.leader.known() else {
            return Finding::unknown(format!("the leader of {}", called(group)));
        };
        let wanted = case.snapshot.safety.leader_stable_ms.max(case.profile.connected_ms);
        if leader.stable_ms >= wanted {
            return Finding::Pass;
        }
        Finding::broken(
            format!("{} has been led by {} for {} ms", called(group), leader.value, leader.stable_ms),
            format!("leadership must have stood for {wanted} ms"),
        )
    });
    if led != Finding::Pass {
        return led;
    }
    // The system refuses a change while a member has been connected for less than this.
    for member in case.members().iter().filter(|member| !case.is_victim(member) && !case.is_subject(member)) {
        let young =
            |known: &plimsoll_wire::Known<bool>| known.value && known.stable_ms < case.profile.connected_ms;
        if member.alive.known().is_some_and(young) {
            return Finding::broken(
                format!(
                    "{} has been connected for less than {} ms",
                    label(member),
                    case.profile.connected_ms
                ),
                "the system refuses changes until then",
            );
        }
    }
    Finding::Pass
}

fn tolerance(case: &Case) -> Finding {
    if !case.profile.members_vote || !case.shrinks() || case.undoes() {
        return Finding::Pass;
    }
    let least = i64::from(case.snapshot.safety.tolerance);
    first_group(controls(case), |group| {
        let name = called(group);
        let Some(now) = case.standing(group) else {
            return Finding::unknown(format!("the placements of {name}"));
        };
        let after = now.without(&case.victim_ids());
        let (Some(before), Some(left)) = (now.tolerance(), after.tolerance()) else {
            return Finding::unknown(format!("what {name} needs"));
        };
        // Losing nothing more than before is repair: the dead one goes.
        if left >= least || left > before || after == now {
            return Finding::Pass;
        }
        Finding::broken(
            format!(
                "{name} with {}, {} of them alive, would survive {}",
                count(after.size(), "voter"),
                after.have(),
                count(left.max(0), "further loss")
            ),
            format!("{least} must be survivable; bring failed members back, or keep more members"),
        )
    })
}

/// Majorities in which the system decides on its members.
fn controls<'a>(case: &'a Case) -> impl Iterator<Item = &'a Group> {
    majorities(case).filter(|group| group.kind == GroupKind::Control)
}

fn parity(case: &Case) -> Finding {
    if !case.profile.members_vote || case.snapshot.safety.allow_even || case.to % 2 == 1 || case.to == 0 {
        return Finding::Pass;
    }
    // What is even already may stay so. From one to two is no exception: two voters survive no more than one does,
    // and twice as many can be lost.
    if case.from == case.to {
        return Finding::Pass;
    }
    let odd = if case.to > case.from { case.to - 1 } else { case.to + 1 };
    Finding::Clamp { least: odd, most: odd, detail: format!("{} voters would be an even number", case.to) }
}

fn learner_first(case: &Case) -> Finding {
    let Some(Verb::System(SystemVerb::Promote { member: id })) = case.verb() else { return Finding::Pass };
    let safety = &case.snapshot.safety;
    first_group(controls(case), |group| {
        if group.placements.value().is_none() {
            return Finding::unknown(format!("the placements of {}", called(group)));
        }
        let Some(progress) = copy_on(group, id).and_then(|copy| copy.progress_permille.known()) else {
            return Finding::unknown(format!("how far {id} has come"));
        };
        if progress.value < safety.promote_permille {
            return Finding::broken(
                format!("{id} has {} of 1000 parts of the leader's log", progress.value),
                format!("{} are needed", safety.promote_permille),
            );
        }
        // For long enough to be no accident; the full `hold` is for what is destroyed.
        if progress.reads < safety.observations {
            return Finding::broken(
                format!("{id} was seen caught up {} times", progress.reads),
                format!("{} times in a row are needed", safety.observations),
            );
        }
        Finding::Pass
    })
}

fn dead_first(case: &Case) -> Finding {
    let adds = match case.membership_effect() {
        None => case.grows(),
        Some(MembershipEffect::Joins | MembershipEffect::Votes) => true,
        Some(
            MembershipEffect::Runs
            | MembershipEffect::Leaves
            | MembershipEffect::Ends
            | MembershipEffect::Stays,
        ) => false,
    };
    if !adds || !case.profile.members_vote {
        return Finding::Pass;
    }
    let dead: Vec<String> = case
        .members()
        .iter()
        .filter(|member| member.alive.value() == Some(&false) && !case.is_subject(member))
        .map(label)
        .collect();
    if dead.is_empty() {
        return Finding::Pass;
    }
    Finding::broken(
        format!("dead: {}", listed(dead, ", ")),
        "bring them back or remove them; a new voter next to a dead one makes the majority larger and no safer",
    )
}

fn barrier(case: &Case) -> Finding {
    let (Some(Verb::Platform(PlatformVerb::Stop { .. })), Some(plan)) = (case.verb(), case.plan()) else {
        return Finding::Pass;
    };
    if case.undoes() {
        return Finding::Pass;
    }
    let index = step::shrinks_by(case.profile, step::BARRIER);
    let Some(index) = index else { return Finding::Pass };
    if plan.phase > index {
        return Finding::Pass;
    }
    Finding::broken("no write has been committed since the change of membership", "one is made first")
}

fn max_voters(case: &Case) -> Finding {
    let Some(most) = case.profile.max_voters.filter(|_| case.profile.members_vote) else {
        return Finding::Pass;
    };
    let most = most.max(case.from);
    Finding::Clamp { least: 0, most, detail: format!("at most {most} voters") }
}
