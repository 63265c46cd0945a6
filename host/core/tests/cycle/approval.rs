//! A scale-in that waits for a person (`decisions.md` D10).

use crate::desk::{Desk, HOUR, MINUTE, SECOND, hasty, spec};
use plimsoll_core::cycle::Order;
use plimsoll_core::observation::{Observation, Reading};
use plimsoll_core::{plan, profile};
use plimsoll_wire::Safety;
use plimsoll_wire::journal::{PlanState, PlanStatus};
use plimsoll_wire::snapshot::Mode;
use std::sync::Arc;

/// Five members, three are wished, and the plan waits for a person.
fn waiting() -> Desk {
    let safety = Safety { approve_scale_in: true, ..hasty() };
    let mut desk = Desk::new(5, spec(&profile::SIM_QUORUM, safety));
    desk.wished = Some(3);
    desk.until_plan(PlanStatus::AwaitingApproval);
    desk
}

fn content(desk: &Desk) -> String {
    desk.status().approval.expect("a plan that waits for approval")
}

fn approve(desk: &mut Desk, content: String) -> Result<String, String> {
    desk.say(Order::Approve { content })
}

/// Lets it work until another plan waits, and gives back how the one before ended.
fn replaced(desk: &mut Desk) -> (PlanStatus, u32, String) {
    let ended = desk.until_ended();
    assert_eq!(desk.kinds(), Vec::<&str>::new(), "nothing may be done without a person");
    ended
}

#[test]
fn a_scale_in_waits_for_a_person_and_touches_nothing_meanwhile() {
    let mut desk = waiting();
    desk.pass(50 * MINUTE);
    assert_eq!(desk.plan().map(|plan| plan.status), Some(PlanStatus::AwaitingApproval));
    assert_eq!(desk.kinds(), Vec::<&str>::new());
    assert_eq!(desk.status().waiting_for, "a person's approval");
    assert!(desk.condition("AwaitingApproval").0);
}

#[test]
fn what_is_to_be_approved_names_cluster_sizes_victims_module_and_topology() {
    let desk = waiting();
    let (plan, content) = (desk.plan().unwrap(), content(&desk));
    assert_eq!(plan.victims.len(), 2);
    for part in [
        plan.fingerprint.clone(),
        "from 5 to 3".to_owned(),
        format!("[{}]", plan.victims.join(", ")),
        "by module module-1".to_owned(),
        format!("at {}", plan.base_epoch),
    ] {
        assert!(content.contains(&part), "{part} is not in {content}");
    }
}

#[test]
fn an_approved_plan_goes_to_its_end_and_removes_whom_the_approval_names() {
    let mut desk = waiting();
    let victims = desk.plan().unwrap().victims.clone();
    let shown = content(&desk);
    approve(&mut desk, shown).unwrap();
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 3, String::new()));
    let seen = desk.state.snapshot().unwrap();
    let left = plan::member_ids(seen);
    assert!(
        victims.iter().all(|victim| !left.contains(victim)),
        "{victims:?} were to go, {left:?} are there"
    );
    assert_eq!(desk.journal().memory.approved, None, "an approval is for one plan");
}

#[test]
fn the_approval_of_another_content_is_refused_and_the_plan_waits_on() {
    let mut desk = waiting();
    let shown = content(&desk).replace("from 5 to 3", "from 5 to 1");
    let refused = approve(&mut desk, shown).unwrap_err();
    assert!(refused.contains("has changed since you looked"), "{refused}");
    desk.pass(MINUTE);
    assert_eq!(desk.plan().map(|plan| plan.status), Some(PlanStatus::AwaitingApproval));
    assert_eq!(desk.kinds(), Vec::<&str>::new());
}

#[test]
fn a_plan_that_runs_already_cannot_be_approved_again() {
    let mut desk = waiting();
    let shown = content(&desk);
    approve(&mut desk, shown.clone()).unwrap();
    assert!(approve(&mut desk, shown).unwrap_err().contains("waits for no approval"));
}

#[test]
fn a_plan_that_nobody_approves_for_an_hour_ends_and_is_shown_anew() {
    let mut desk = waiting();
    let first = desk.plan().unwrap().id.clone();
    let ended = replaced(&mut desk);
    assert_eq!(ended, (PlanStatus::Aborted, 5, "nobody approved it in time".to_owned()));
    desk.until_plan(PlanStatus::AwaitingApproval);
    assert_ne!(desk.plan().unwrap().id, first);
}

#[test]
fn an_approval_that_was_not_used_for_an_hour_has_expired() {
    let mut desk = waiting();
    let shown = content(&desk);
    desk.say(Order::Pause { why: "lunch".to_owned() }).unwrap();
    approve(&mut desk, shown).unwrap();
    desk.pass(HOUR + MINUTE);
    desk.say(Order::Resume).unwrap();
    let ended = replaced(&mut desk);
    assert_eq!(ended, (PlanStatus::Aborted, 5, "the approval expired before the plan began".to_owned()));
}

#[test]
fn an_approval_of_another_boot_has_expired_since_nobody_knows_how_old_it_is() {
    let mut desk = waiting();
    let shown = content(&desk);
    desk.say(Order::Pause { why: "maintenance".to_owned() }).unwrap();
    approve(&mut desk, shown).unwrap();
    desk.restart(Some("another"));
    desk.until("the plan again", |desk| desk.state.snapshot().is_some());
    desk.say(Order::Resume).unwrap();
    assert_eq!(replaced(&mut desk).2, "the approval expired before the plan began");
}

#[test]
fn a_restart_on_the_same_boot_keeps_an_approval() {
    let mut desk = waiting();
    let shown = content(&desk);
    approve(&mut desk, shown).unwrap();
    desk.restart(None);
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 3, String::new()));
}

/// Somebody else's change of the topology, as the system tells it.
fn other_epoch(seen: &mut Observation) {
    if let Reading::Value { value, .. } = &mut seen.system.epoch {
        value.push_str("-and-somebody-else");
    }
}

#[test]
fn a_waiting_plan_dies_when_the_topology_changes() {
    let mut desk = waiting();
    desk.lens = Some(Box::new(other_epoch));
    let ended = replaced(&mut desk);
    assert_eq!(ended.2, "the topology has changed since the plan was shown");
}

#[test]
fn an_approved_plan_dies_when_the_topology_changes_before_its_first_step() {
    let mut desk = waiting();
    let shown = content(&desk);
    desk.say(Order::Pause { why: "a moment".to_owned() }).unwrap();
    approve(&mut desk, shown).unwrap();
    desk.lens = Some(Box::new(other_epoch));
    desk.say(Order::Resume).unwrap();
    assert_eq!(replaced(&mut desk).2, "the topology has changed since the plan was shown");
}

#[test]
fn an_approved_plan_waits_while_nobody_knows_the_topology() {
    let mut desk = waiting();
    let shown = content(&desk);
    desk.lens = Some(Box::new(|seen| seen.system.epoch = Reading::default()));
    approve(&mut desk, shown).unwrap();
    desk.pass(5 * MINUTE);
    assert_eq!(desk.kinds(), Vec::<&str>::new());
    assert_eq!(desk.status().waiting_for, "the topology epoch, which the approval names");
    desk.lens = None;
    assert_eq!(desk.until_ended().0, PlanStatus::Done);
}

#[test]
fn a_waiting_plan_dies_when_it_is_another_cluster() {
    let mut desk = waiting();
    desk.lens = Some(Box::new(|seen| {
        if let Reading::Value { value, .. } = &mut seen.system.fingerprint {
            "another".clone_into(value);
        }
    }));
    assert_eq!(replaced(&mut desk).2, "it is another cluster now");
}

#[test]
fn a_waiting_plan_dies_when_another_member_would_go() {
    let mut desk = waiting();
    let victim = desk.plan().unwrap().victims[0].clone();
    // Leadership has moved to the one that was to go: followers go before leaders.
    desk.lens = Some(Box::new(move |seen| lead(seen, &victim)));
    let why = replaced(&mut desk).2;
    assert!(why.contains(" would go now, not ["), "{why}");
}

fn lead(seen: &mut Observation, leader: &Arc<str>) {
    if let Reading::Value { value: groups, .. } = &mut seen.system.groups {
        for group in groups {
            if let Reading::Value { value, .. } = &mut group.leader {
                *value = leader.clone();
            }
        }
    }
}

#[test]
fn a_waiting_plan_dies_when_another_module_wishes_it() {
    let mut desk = waiting();
    desk.module = "module-2";
    assert_eq!(replaced(&mut desk).2, "another module wishes it now");
    desk.until_plan(PlanStatus::AwaitingApproval);
    assert!(content(&desk).contains("module-2"));
}

#[test]
fn a_waiting_plan_dies_when_the_wish_turns() {
    let mut desk = waiting();
    desk.wished = Some(5);
    assert_eq!(replaced(&mut desk).2, "the wish was withdrawn: load wishes 5");
}

#[test]
fn a_waiting_plan_dies_when_the_target_leaves_enforce() {
    let mut desk = waiting();
    desk.configure(|spec| spec.mode = Mode::Dryrun);
    assert_eq!(replaced(&mut desk).2, "the target left enforce");
}

#[test]
fn the_second_member_goes_although_the_first_step_has_changed_the_topology() {
    let mut desk = waiting();
    let before = desk.plan().unwrap().base_epoch.clone();
    let shown = content(&desk);
    approve(&mut desk, shown).unwrap();
    desk.until("the second unit", |desk| {
        desk.plan().is_some_and(|plan: &PlanState| plan.unit == 1 && plan.subject.is_some())
    });
    assert_ne!(desk.state.snapshot().unwrap().epoch.value(), Some(&before));
}

#[test]
fn a_plan_under_way_is_given_up_when_scale_in_begins_to_wait_for_approval() {
    let mut desk = Desk::quorum(5);
    desk.wished = Some(3);
    desk.until_about_to("stop");
    desk.configure(|spec| spec.safety.approve_scale_in = true);
    // The member that has been removed is stopped, and the next one does not go: the group grows back.
    let (status, size, why) = desk.until_ended();
    assert_eq!((status, size), (PlanStatus::Done, 5));
    assert!(why.starts_with("scale-in waits for approval, and nobody approved this"), "{why}");
    desk.pass(30 * SECOND);
    assert_eq!(desk.kinds().iter().filter(|kind| **kind == "deregister").count(), 1);
}
