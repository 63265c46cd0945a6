//! Members that give their data away beside the one whose turn it is: what is done to them, and that none is left behind.

use crate::desk::{Desk, HOUR, MINUTE, hasty, spec};
use plimsoll_core::cycle::{Effect, Event, Order};
use plimsoll_core::explain::explain;
use plimsoll_core::observation::{Observation, Reading, SystemMember};
use plimsoll_core::profile::{SIM_TOGETHER, one_way, step};
use plimsoll_wire::Safety;
use plimsoll_wire::fact::Gap;
use plimsoll_wire::journal::{Outcome, PlanStatus, SystemVerb, Verb};
use plimsoll_wire::profile::{Phase, Profile};
use plimsoll_wire::record::Body;
use plimsoll_wire::snapshot::{Lifecycle, Mode, PlacementState};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

/// Eight members, of which three are to go together.
fn eight(profile: &Arc<Profile>) -> Desk {
    let mut desk = Desk::new(8, spec(profile, hasty()));
    desk.wished = Some(5);
    desk
}

fn shrinking_by(steps: Vec<Phase>) -> Arc<Profile> {
    let mut profile = Profile::clone(&SIM_TOGETHER);
    profile.ways.members.as_mut().unwrap().shrink = steps;
    Arc::new(profile)
}

fn count(desk: &Desk, kind: &str) -> usize {
    desk.kinds().iter().filter(|one| **one == kind).count()
}

fn no_harm(desk: &Desk) {
    assert!(desk.sim.oracle().findings().is_empty(), "{:?}", desk.sim.oracle().findings());
}

/// Lets a member be seen as it is not, from when it is named on.
fn member_seen(
    desk: &mut Desk,
    mut change: impl FnMut(&mut SystemMember) + 'static,
) -> Rc<Cell<Option<&'static str>>> {
    let whom = Rc::new(Cell::new(None));
    let named = Rc::clone(&whom);
    desk.lens = Some(Box::new(move |seen: &mut Observation| {
        let Reading::Value { value, .. } = &mut seen.system.members else { return };
        let of = |row: &&mut SystemMember| named.get().is_some_and(|slot| row.slot.as_deref() == Some(slot));
        value.iter_mut().filter(of).for_each(&mut change);
    }));
    whom
}

fn beside(desk: &Desk, at: usize) -> &'static str {
    desk.plan().unwrap().leaving[at].slot.to_string().leak()
}

/// A group all of whose copies are on those that go, led by the first of them.
fn all_copies_go(desk: &mut Desk) {
    let system = desk.sim.observe(true).system;
    let slot_of = |id: &str| {
        let members = system.members.value().unwrap();
        members.iter().find(|row| &*row.id == id).unwrap().slot.clone().unwrap()
    };
    let groups = system.groups.value().unwrap();
    let group = groups.iter().find(|group| {
        let copies = group.placements.value().unwrap();
        copies.iter().all(|copy| ["db-7", "db-6", "db-5"].contains(&&*slot_of(&copy.member)))
    });
    let group = group.expect("such a group");
    let from = group.leader.value().unwrap().clone();
    let copies = group.placements.value().unwrap();
    let to = copies.iter().find(|copy| &*slot_of(&copy.member) == "db-7").unwrap().member.clone();
    desk.sim.act(
        &Verb::System(SystemVerb::MoveLeader { group: group.id.clone(), from, to: Some(to) }),
        "a person",
    );
}

#[test]
fn a_group_whose_copies_are_all_on_members_that_go_bars_no_plan() {
    for picks_leader in [true, false] {
        let profile = Profile { picks_leader, ..Profile::clone(&SIM_TOGETHER) };
        let mut desk = eight(&Arc::new(profile));
        all_copies_go(&mut desk);
        assert_eq!(
            desk.until_ended(),
            (PlanStatus::Done, 5, String::new()),
            "{picks_leader}: {:?}",
            desk.kinds()
        );
        no_harm(&desk);
    }
}

#[test]
fn a_plan_that_is_given_up_past_a_stop_takes_those_back_that_never_come_to_an_end() {
    let mut desk = eight(&SIM_TOGETHER);
    desk.until("three that drain", |desk| count(desk, "drain") == 3);
    let of: Vec<Arc<str>> = desk.plan().unwrap().leaving.iter().filter_map(|one| one.id.clone()).collect();
    // For as long as those beside drain a copy is on its way.
    desk.lens = Some(Box::new(move |seen| {
        let Reading::Value { value: members, .. } = &seen.system.members else { return };
        let serves = |row: &&SystemMember| row.lifecycle.value() == Some(&Lifecycle::Serving);
        if members.iter().filter(|row| of.contains(&row.id)).all(|row| serves(&row)) {
            return;
        }
        let Reading::Value { value: groups, .. } = &mut seen.system.groups else { return };
        let Reading::Value { value: copies, .. } = &mut groups[0].placements else { return };
        let mut more = copies[0].clone();
        (more.member, more.state) = (of[0].clone(), PlacementState::CatchingUp);
        copies.push(more);
    }));
    desk.until("the first to be gone", |desk| desk.sim.size() == 7);
    desk.wished = None;
    desk.say(Order::Cancel).unwrap();
    let (status, size, _) = desk.until_ended();
    assert_eq!((status, size), (PlanStatus::Aborted, 7), "{:?}", desk.kinds());
    assert_eq!((count(&desk, "stop"), count(&desk, "uncordon")), (1, 2), "{:?}", desk.kinds());
    no_harm(&desk);
}

#[test]
fn a_member_that_dies_beside_keeps_no_other_from_serving_again() {
    let mut desk = eight(&SIM_TOGETHER);
    let dead = member_seen(&mut desk, |row| {
        if let Reading::Value { value, .. } = &mut row.alive {
            *value = false;
        }
        if let Reading::Value { value, .. } = &mut row.lifecycle {
            *value = Lifecycle::Dead;
        }
    });
    desk.until("three that drain", |desk| count(desk, "drain") == 3);
    dead.set(Some(beside(&desk, 0)));
    desk.wished = None;
    desk.say(Order::Cancel).unwrap();
    desk.pass(HOUR);
    assert_eq!(count(&desk, "uncordon"), 2, "{:?} {:?}", desk.kinds(), desk.status().waiting_for);
    dead.set(None);
    let (status, size, why) = desk.until_ended();
    assert_eq!((status, size), (PlanStatus::Aborted, 8), "{why}");
    assert_eq!(count(&desk, "uncordon"), 3, "{:?}", desk.kinds());
    no_harm(&desk);
}

/// The member whose drain comes beside the one whose turn it is; the drain waits to be answered.
fn about_to_drain_beside(desk: &mut Desk) -> Arc<str> {
    let of_another = |desk: &Desk| {
        let turn = desk.plan()?.subject.as_ref()?.id.clone()?;
        let Some(Effect::Act { intent, .. }) = &desk.pending else { return None };
        match &intent.verb {
            Verb::System(SystemVerb::Drain { member }) if *member != turn => Some(member.clone()),
            Verb::System(_) | Verb::Platform(_) => None,
        }
    };
    desk.until("a drain beside", |desk| of_another(desk).is_some());
    of_another(desk).unwrap()
}

#[test]
fn a_refusal_beside_names_the_member_that_it_is_of() {
    let mut desk = eight(&SIM_TOGETHER);
    let member = about_to_drain_beside(&mut desk);
    let Some(Effect::Act { request, .. }) = desk.pending.take() else { unreachable!("it is about to") };
    desk.feed(Event::Acted { request, outcome: Outcome::Refused { message: "not now".to_owned() } });
    let told = format!("the system refused to drain member {member}: not now");
    assert!(desk.status().waiting_for.contains(&told), "{:?}", desk.status().waiting_for);
}

/// From now on the system is seen as it is now, whatever becomes of it.
fn nothing_moves(desk: &mut Desk) {
    let now = desk.sim.observe(true).system;
    desk.lens = Some(Box::new(move |seen: &mut Observation| seen.system = now.clone()));
}

#[test]
fn an_effect_beside_that_comes_to_nothing_is_told_with_its_member() {
    let mut desk = eight(&SIM_TOGETHER);
    desk.configure(|spec| spec.safety.stall_ms = 10 * MINUTE);
    let member = about_to_drain_beside(&mut desk);
    nothing_moves(&mut desk);
    let end_ms = desk.sim.now_ms() + HOUR;
    while desk.plan().is_none_or(|plan| plan.status != PlanStatus::Held) {
        assert!(desk.sim.now_ms() < end_ms, "it never stalls: {:?}", desk.status().waiting_for);
        match desk.pending.take_if(|effect| matches!(effect, Effect::Act { .. })) {
            // Each is accepted, and nothing ever comes of it.
            Some(Effect::Act { request, .. }) => {
                desk.feed(Event::Acted { request, outcome: Outcome::Applied });
            }
            Some(_) | None => desk.once(),
        }
    }
    let why = desk.plan().unwrap().why.clone();
    assert!(why.starts_with("Stalled: ") && why.contains(&format!("drain member {member}")), "{why}");
}

fn restarted(desk: &mut Desk, slot: &'static str) {
    desk.lens = Some(Box::new(move |seen| {
        let Reading::Value { value, .. } = &mut seen.platform.slots else { return };
        for one in value.iter_mut().filter(|one| &*one.slot == slot) {
            one.incarnation = "another".to_owned();
        }
    }));
}

#[test]
fn members_that_were_restarted_or_vanished_keep_no_other_from_serving_again() {
    let vanishes = |desk: &mut Desk, slot: &'static str| {
        desk.lens = Some(Box::new(move |seen| {
            let Reading::Value { value, .. } = &mut seen.system.members else { return };
            value.retain(|row| row.slot.as_deref() != Some(slot));
            let Reading::Value { value, .. } = &mut seen.platform.slots else { return };
            value.retain(|row| &*row.slot != slot);
        }));
    };
    for (happens, others) in [(restarted as fn(&mut Desk, &'static str), 3), (vanishes, 2)] {
        let mut desk = eight(&SIM_TOGETHER);
        desk.until("three that drain", |desk| count(desk, "drain") == 3);
        let slot = beside(&desk, 0);
        happens(&mut desk, slot);
        desk.wished = None;
        desk.say(Order::Cancel).unwrap();
        assert_eq!(desk.until_ended(), (PlanStatus::Aborted, 8, "cancelled by ann".to_owned()));
        assert_eq!((count(&desk, "uncordon"), count(&desk, "stop")), (others, 0), "{:?}", desk.kinds());
    }
}

#[test]
fn a_member_that_is_restarted_beside_ends_the_plan_and_the_next_one_chooses_again() {
    let mut desk = eight(&SIM_TOGETHER);
    desk.until("three that drain", |desk| count(desk, "drain") == 3);
    let slot = beside(&desk, 0);
    restarted(&mut desk, slot);
    let (status, size, why) = desk.until_ended();
    assert_eq!((status, size), (PlanStatus::Aborted, 7), "{why}");
    assert!(why.starts_with("MemberReplaced"), "{why}");
    assert_eq!(count(&desk, "uncordon"), 2, "{:?}", desk.kinds());
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 5, String::new()));
    no_harm(&desk);
}

/// Lets something happen at each place of a plan, and sees it end with all that remain at work.
fn at_each_place(make: impl Fn() -> Desk, happens: impl Fn(&mut Desk)) {
    for place in (0..).step_by(4) {
        let mut desk = make();
        desk.until("a plan", |desk| desk.plan().is_some());
        (0..place).for_each(|_| desk.once());
        if !desk.journal().history.is_empty() {
            assert!(place > 30, "hardly a place: {place}");
            return;
        }
        happens(&mut desk);
        desk.until("the end of the plan", |desk| !desk.journal().history.is_empty());
        desk.wished = None;
        let ended = &desk.journal().history[0];
        let (status, size, why) = (ended.status, ended.ended_at.members.unwrap(), ended.why.clone());
        let told = format!("at {place}: {status:?} at {size}: {why}; {:?}", desk.kinds());
        assert_eq!(desk.sim.size(), size, "{told}");
        let unit = desk.state.spec().profile.unit;
        assert!(size.is_multiple_of(unit), "{told}");
        desk.pass(MINUTE);
        let seen = desk.sim.observe(true).system.members;
        let idle = |row: &&SystemMember| row.lifecycle.value() != Some(&Lifecycle::Serving);
        assert_eq!(seen.value().unwrap().iter().filter(idle).count(), 0, "{told}");
        assert!(desk.sim.oracle().findings().is_empty(), "{told}: {:?}", desk.sim.oracle().findings());
    }
}

fn pairs(from: u32, to: u32) -> Desk {
    let profile = Profile { unit: 2, ..Profile::clone(&SIM_TOGETHER) };
    let mut desk = Desk::new(from, spec(&Arc::new(profile), hasty()));
    desk.wished = Some(to);
    desk
}

fn ways() -> [fn() -> Desk; 4] {
    let grows = || {
        let mut desk = Desk::new(4, spec(&SIM_TOGETHER, hasty()));
        desk.wished = Some(7);
        desk
    };
    [|| eight(&SIM_TOGETHER), grows, || pairs(8, 4), || pairs(4, 6)]
}

#[test]
fn a_plan_that_is_cancelled_at_any_place_ends_and_leaves_nobody_on_the_way() {
    for make in ways() {
        at_each_place(make, |desk| {
            desk.wished = None;
            // It may have ended before it is heard.
            let _ended = desk.say(Order::Cancel);
        });
    }
}

#[test]
fn a_wish_that_turns_or_an_owner_who_leaves_enforce_ends_a_plan_at_any_place() {
    for make in ways() {
        at_each_place(make, |desk| desk.configure(|spec| spec.mode = Mode::Off));
        at_each_place(make, |desk| {
            let from = desk.plan().map_or(8, |plan| plan.from());
            desk.wished = Some(from);
        });
    }
}

#[test]
fn a_restart_of_the_machine_at_any_place_ends_in_the_same_size() {
    for make in ways() {
        at_each_place(make, |desk| {
            desk.pending = None;
            desk.restart(Some("another"));
        });
    }
}

#[test]
fn a_record_names_those_who_go_beside() {
    let mut desk = eight(&SIM_TOGETHER);
    desk.until("three that drain", |desk| count(desk, "drain") == 3);
    let plans = desk.log.iter().filter(|record| matches!(record.body, Body::Plan { .. }));
    let told: Vec<String> = plans.flat_map(explain).collect();
    assert!(told.iter().any(|line| line.ends_with(" with db-7, and db-6, db-5 beside.")), "{told:?}");
}

#[test]
fn what_leaves_no_trace_is_not_done_beside() {
    let steps = ["cordon", "barrier", "move-leaders", "drain", "verify"].map(step);
    let steps = steps.into_iter().chain([one_way("stop"), step("settle"), step("pay-debts")]).collect();
    let mut desk = eight(&shrinking_by(steps));
    desk.until_about_to("stop");
    assert_eq!(count(&desk, "barrier"), 1, "{:?}", desk.kinds());
    assert_eq!(desk.plan().unwrap().phase, 5);
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 5, String::new()), "{:?}", desk.kinds());
    assert_eq!(count(&desk, "barrier"), 3, "{:?}", desk.kinds());
    no_harm(&desk);
}

#[test]
fn what_cannot_be_taken_back_is_not_done_beside() {
    let steps = ["cordon", "move-leaders"].map(step);
    let steps = steps
        .into_iter()
        .chain([one_way("drain"), step("verify"), one_way("stop"), step("settle"), step("pay-debts")])
        .collect();
    let mut desk = eight(&shrinking_by(steps));
    desk.until_about_to("stop");
    assert_eq!(count(&desk, "drain"), 1, "{:?}", desk.kinds());
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 5, String::new()), "{:?}", desk.kinds());
    no_harm(&desk);
}

#[test]
fn a_member_beside_that_is_not_well_is_waited_for_like_any_other() {
    type Way = (&'static str, fn(&mut SystemMember));
    let ways: [Way; 3] = [
        ("waits for a restart", |row| {
            if let Reading::Value { value, .. } = &mut row.config_pending {
                *value = true
            }
        }),
        ("is catching up", |row| {
            if let Reading::Value { value, .. } = &mut row.lifecycle {
                *value = Lifecycle::CatchingUp
            }
        }),
        ("nobody knows", |row| row.lifecycle = Reading::gap(Gap::Error, "no answer")),
    ];
    for (what, change) in ways {
        let mut desk = eight(&SIM_TOGETHER);
        let whom = member_seen(&mut desk, change);
        desk.until("three that drain", |desk| count(desk, "drain") == 3);
        whom.set(Some(beside(&desk, 0)));
        desk.pass(10 * MINUTE);
        assert_eq!(count(&desk, "stop"), 0, "{what}: {:?}", desk.kinds());
        whom.set(None);
        assert_eq!(desk.until_ended(), (PlanStatus::Done, 5, String::new()), "{what}: {:?}", desk.kinds());
        no_harm(&desk);
    }
}

#[test]
fn an_owner_who_asks_for_fewer_is_heard_when_members_are_chosen_next() {
    let mut desk = Desk::new(8, spec(&SIM_TOGETHER, Safety { together: 2, ..hasty() }));
    desk.wished = Some(4);
    desk.until_about_to("stop");
    desk.configure(|spec| spec.safety.together = 1);
    desk.until("the first pair to be gone", |desk| desk.sim.size() == 6);
    let most = Cell::new(0);
    desk.until("the end", |desk| {
        most.set(most.get().max(desk.plan().map_or(0, |plan| plan.leaving.len())));
        !desk.journal().history.is_empty()
    });
    assert_eq!(most.get(), 0, "{:?}", desk.kinds());
    assert_eq!(desk.sim.size(), 4);
}
