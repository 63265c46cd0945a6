//! Orders that stand written somewhere, and a wish from outside.

use crate::desk::{Desk, MINUTE, SECOND, hasty, spec};
use plimsoll_core::cycle::{Event, Order, StoreError, Written};
use plimsoll_core::explain::explain;
use plimsoll_core::profile;
use plimsoll_wire::Safety;
use plimsoll_wire::journal::PlanStatus;
use plimsoll_wire::record::{Body, Wisher};
use plimsoll_wire::snapshot::Mode;
use plimsoll_wire::status::OutsideWish;

fn decided(members: u32) -> Desk {
    let mut desk = Desk::quorum(members);
    desk.until("the first decision", |desk| !desk.decisions().is_empty());
    desk
}

/// Five members, three are wished, and the plan waits for a person.
fn waiting() -> Desk {
    let safety = Safety { approve_scale_in: true, ..hasty() };
    let mut desk = Desk::new(5, spec(&profile::SIM_QUORUM, safety));
    desk.wished = Some(3);
    desk.until_plan(PlanStatus::AwaitingApproval);
    desk
}

fn approval(content: &str) -> Written {
    let order = Order::Approve { content: content.to_owned() };
    Written {
        name: "approve".to_owned(),
        text: content.to_owned(),
        who: "kubectl-annotate".to_owned(),
        order,
    }
}

fn pause(why: &str) -> Written {
    let order = Order::Pause { why: why.to_owned() };
    Written { name: "paused".to_owned(), text: why.to_owned(), who: "kubectl-annotate".to_owned(), order }
}

fn resume(began: &str) -> Written {
    let (text, who) = (began.to_owned(), "kubectl-annotate".to_owned());
    Written { name: "resume".to_owned(), text, who, order: Order::Resume }
}

fn cancel(plan: &str) -> Written {
    let (text, who) = (plan.to_owned(), "kubectl-annotate".to_owned());
    Written { name: "cancel".to_owned(), text, who, order: Order::Cancel }
}

fn write(desk: &mut Desk, orders: Vec<Written>) {
    desk.feed(Event::Written { place: "plan".to_owned(), orders });
    desk.pass(SECOND / 2);
}

fn wish(desk: &mut Desk, members: Option<u32>) {
    let wish =
        |members| OutsideWish { members, who: "an-hpa".to_owned(), when: "2026-01-01T00:00:00Z".to_owned() };
    desk.feed(Event::Wished(members.map(wish)));
}

/// What the log has of orders: who said what.
fn said(desk: &Desk) -> Vec<String> {
    let of = |record: &&plimsoll_wire::record::Record| matches!(record.body, Body::Command { .. });
    desk.log.iter().filter(of).flat_map(explain).collect()
}

#[test]
fn a_written_approval_lets_the_plan_begin_and_is_none_for_the_next_one() {
    let mut desk = waiting();
    let shown = desk.status().approval.unwrap();
    desk.say(Order::Pause { why: String::new() }).unwrap();
    write(&mut desk, vec![approval(&shown)]);
    let order = &desk.status().orders[0];
    assert_eq!((&*order.place, &*order.verb, order.obeyed), ("plan/approve", "approve", true));
    assert_eq!(desk.journal().memory.answered, desk.status().orders, "what was answered is durable");
    // Taken back before its first step, the same plan is wished again: word for word what stands there still.
    desk.say(Order::Cancel).unwrap();
    desk.say(Order::Resume).unwrap();
    desk.until_plan(PlanStatus::AwaitingApproval);
    assert_eq!(desk.status().approval.unwrap(), shown);
    desk.restart(None);
    desk.until("the journal", |desk| desk.state.journal().is_some());
    write(&mut desk, vec![approval(&shown)]);
    desk.pass(5 * MINUTE);
    assert_eq!(desk.plan().map(|plan| plan.status), Some(PlanStatus::AwaitingApproval));
    // Taken away and written again it is another approval.
    write(&mut desk, Vec::new());
    write(&mut desk, vec![approval(&shown)]);
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 3, String::new()));
}

#[test]
fn a_written_approval_of_something_else_is_refused_once_and_says_so() {
    let mut desk = waiting();
    write(&mut desk, vec![approval("everything")]);
    desk.pass(MINUTE);
    write(&mut desk, vec![approval("everything")]);
    let order = desk.status().orders.remove(0);
    assert!(!order.obeyed && order.note.why.contains("the plan has changed"), "{order:?}");
    assert_eq!(said(&desk).len(), 1, "{:?}", said(&desk));
    assert!(said(&desk)[0].starts_with("kubectl-annotate said approve: refused: "), "{:?}", said(&desk));
    assert_eq!(desk.plan().map(|plan| plan.status), Some(PlanStatus::AwaitingApproval));
}

#[test]
fn a_written_resume_ends_the_pause_that_it_names_and_no_other() {
    let mut desk = decided(3);
    desk.wished = Some(5);
    desk.until_about_to("start");
    desk.say(Order::Pause { why: "lunch".to_owned() }).unwrap();
    let began = desk.status().paused.unwrap().at.wall_ms.to_string();
    write(&mut desk, vec![resume("yesterday")]);
    let order = desk.status().orders.remove(0);
    assert!(!order.obeyed && order.note.why.contains("no pause of yesterday"), "{order:?}");
    assert!(desk.status().paused.is_some());
    write(&mut desk, vec![resume(&began)]);
    assert_eq!(desk.status().paused, None);
    // It stands there still, and does not end the next one.
    desk.pass(SECOND);
    desk.say(Order::Pause { why: "tea".to_owned() }).unwrap();
    write(&mut desk, vec![resume(&began)]);
    desk.pass(MINUTE);
    assert_eq!(desk.status().paused.map(|note| note.why), Some("tea".to_owned()));
}

#[test]
fn a_written_pause_holds_until_it_is_taken_away() {
    let mut desk = decided(3);
    desk.wished = Some(5);
    desk.until_about_to("start");
    write(&mut desk, vec![pause("disk swap")]);
    desk.pass(30 * MINUTE);
    let paused = desk.status().paused.unwrap();
    assert_eq!((&*paused.who, &*paused.why), ("kubectl-annotate", "disk swap"));
    assert!(desk.plan().is_some());
    write(&mut desk, Vec::new());
    assert_eq!((desk.status().paused, desk.status().orders), (None, Vec::new()));
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 5, String::new()));
    let expected = [
        "kubectl-annotate said pause: disk swap.",
        "kubectl-annotate said resume: the written pause was taken away.",
    ];
    assert_eq!(said(&desk), expected);
}

#[test]
fn a_written_pause_that_goes_does_not_end_another_persons_pause() {
    let mut desk = decided(3);
    write(&mut desk, vec![pause("disk swap")]);
    desk.say(Order::Pause { why: "mine".to_owned() }).unwrap();
    write(&mut desk, Vec::new());
    assert_eq!(desk.status().paused.map(|note| note.why), Some("mine".to_owned()));
    // Nor does one that a person ended come back by standing there.
    write(&mut desk, vec![pause("again")]);
    desk.say(Order::Resume).unwrap();
    write(&mut desk, vec![pause("again")]);
    assert_eq!(desk.status().paused, None);
}

#[test]
fn a_pause_is_not_lifted_because_nobody_knows_yet_what_stands_there() {
    let mut desk = decided(3);
    write(&mut desk, vec![pause("disk swap")]);
    desk.restart(None);
    desk.until("the journal", |desk| desk.state.journal().is_some());
    desk.feed(Event::Written { place: "document".to_owned(), orders: Vec::new() });
    desk.pass(MINUTE);
    assert!(desk.status().paused.is_some());
    write(&mut desk, vec![pause("disk swap")]);
    assert!(desk.status().paused.is_some());
    write(&mut desk, vec![pause("bigger disks")]);
    assert_eq!(desk.status().paused.map(|note| note.why), Some("bigger disks".to_owned()));
}

#[test]
fn a_written_cancel_is_about_the_plan_that_it_names() {
    let mut desk = decided(3);
    desk.wished = Some(5);
    desk.until_about_to("start");
    write(&mut desk, vec![cancel("another")]);
    let order = desk.status().orders.remove(0);
    assert!(!order.obeyed && order.note.why.contains("not another"), "{order:?}");
    let id = desk.plan().unwrap().id.to_string();
    desk.wished = None;
    desk.feed(Event::Written { place: "plan".to_owned(), orders: vec![cancel(&id)] });
    assert_eq!(desk.until_ended(), (PlanStatus::Aborted, 3, "cancelled by kubectl-annotate".to_owned()));
}

#[test]
fn what_was_answered_and_not_kept_is_answered_again() {
    let mut desk = decided(3);
    desk.store_fails = Some(StoreError::Failed("no space".to_owned()));
    write(&mut desk, vec![pause("disk swap")]);
    desk.pass(20 * SECOND);
    assert!(desk.journal().memory.answered.is_empty());
    desk.store_fails = None;
    desk.until("the pause", |desk| desk.journal().memory.paused.is_some());
    assert_eq!(desk.journal().memory.answered.len(), 1);
}

#[test]
fn a_wish_from_outside_is_one_answer_among_the_policies_and_its_writer_is_named() {
    let mut desk = decided(3);
    wish(&mut desk, Some(5));
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 5, String::new()));
    let decision = desk.decisions().into_iter().rev().find(|decision| decision.plan.is_some()).unwrap();
    assert_eq!(
        (&decision.wish.from, &*decision.wish.rule),
        (&Wisher::Outside, "an increase beats everything")
    );
    let told = desk.log.iter().flat_map(explain).collect::<Vec<_>>().join("\n");
    let named = "Whoever writes to `scale` wished 5 (ExternalWish: an-hpa wrote it at 2026-01-01T00:00:00Z).";
    assert!(told.contains(named), "{told}");
    // It stands: the policy's wish for three is a decrease, and 5 is more.
    desk.pass(10 * MINUTE);
    assert_eq!((desk.plan(), desk.status().sizes.members), (None, Some(5)));
    // Both agree to a decrease; then, without it, the policy alone decides.
    wish(&mut desk, Some(3));
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 3, String::new()));
    desk.wished = Some(5);
    wish(&mut desk, None);
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 5, String::new()));
}

#[test]
fn a_wish_from_outside_needs_no_policy_and_passes_the_same_judge() {
    let mut desk = decided(3);
    desk.configure(|spec| spec.policies.clear());
    wish(&mut desk, Some(1));
    desk.pass(5 * MINUTE);
    assert_eq!((desk.plan(), desk.kinds()), (None, Vec::new()));
    let last = desk.status().last_decision.unwrap();
    assert_eq!(last.wish.from, Wisher::Outside);
    assert!(last.judgement.violations.iter().any(|one| one.kind == "BelowFloor"), "{last:?}");
    wish(&mut desk, Some(5));
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 5, String::new()));
}

#[test]
fn a_hold_of_a_policy_beats_a_decrease_from_outside() {
    let mut desk = decided(5);
    desk.wished = None;
    wish(&mut desk, Some(3));
    desk.pass(5 * MINUTE);
    assert_eq!((desk.plan(), desk.kinds()), (None, Vec::new()));
    assert_eq!(desk.decisions().last().unwrap().wish.rule, "a hold beats a decrease");
}

#[test]
fn in_dry_run_a_wish_from_outside_moves_the_ghost_only() {
    let mut desk = decided(3);
    desk.configure(|spec| spec.mode = Mode::Dryrun);
    wish(&mut desk, Some(5));
    desk.until("the ghost", |desk| desk.status().ghost.members == Some(5));
    desk.pass(5 * MINUTE);
    assert_eq!((desk.plan(), desk.kinds(), desk.status().sizes.members), (None, Vec::new(), Some(3)));
}
