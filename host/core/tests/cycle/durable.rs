//! Nothing is done that is not durable, and what is durable is what a successor goes by.

use crate::desk::{DAY, Desk, HOUR, MINUTE, SECOND, spec};
use plimsoll_core::cycle::{Effect, Order, StoreError};
use plimsoll_core::profile;
use plimsoll_wire::journal::{Journal, PlanStatus};
use plimsoll_wire::record::Body;
use plimsoll_wire::size::Leg;
use plimsoll_wire::snapshot::Mode;
use plimsoll_wire::{Dimension, FORMAT_VERSION, Safety};

fn growing() -> Desk {
    let mut desk = Desk::quorum(3);
    desk.wished = Some(5);
    desk
}

/// Until the machine is about to write the intent of its next effect.
fn until_intent(desk: &mut Desk) {
    desk.until("an intent", |desk| {
        matches!(&desk.pending, Some(Effect::Store { journal, .. })
            if journal.intent.as_ref().is_some_and(|intent| intent.outcome.is_none()))
    });
}

#[test]
fn an_intent_is_journaled_then_recorded_then_acted_upon() {
    let mut desk = growing();
    until_intent(&mut desk);
    let Some(Effect::Store { journal, .. }) = &desk.pending else { panic!("{:?}", desk.pending) };
    let intent = journal.intent.clone().unwrap();
    desk.once();
    assert!(matches!(&desk.pending, Some(Effect::Record { record, .. })
        if matches!(&record.body, Body::Intent { intent: told, .. } if told.id == intent.id)));
    assert_eq!(desk.journal().intent.as_ref().map(|one| one.id.clone()), Some(intent.id.clone()));
    desk.once();
    assert!(matches!(&desk.pending, Some(Effect::Act { intent: acted, .. }) if acted.id == intent.id));
}

#[test]
fn when_the_journal_cannot_be_written_nothing_is_done() {
    let mut desk = growing();
    until_intent(&mut desk);
    desk.store_fails = Some(StoreError::Failed("no space left on device".to_owned()));
    desk.pass(10 * MINUTE);
    assert_eq!(desk.kinds(), Vec::<&str>::new());
    let trouble = desk.status().trouble.unwrap();
    assert_eq!(trouble, "JournalNotWritten: no space left on device");
    assert_eq!(desk.condition("Ready"), (false, "Trouble".to_owned(), trouble));
    // Every few seconds, and not as fast as the disk can refuse.
    assert!(desk.stores < 200, "{} writes in ten minutes", desk.stores);
    desk.store_fails = None;
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 5, String::new()));
    assert_eq!(desk.status().trouble, None);
}

#[test]
fn when_somebody_else_has_written_the_journal_it_is_read_again_and_nothing_is_done() {
    let mut desk = growing();
    until_intent(&mut desk);
    let (loads, epoch) = (desk.loads, desk.journal().epoch);
    // Another daemon has taken the target over and paused it.
    let (mut other, revision) = desk.durable.clone().unwrap();
    other.epoch += 7;
    other.memory.paused = Some(plimsoll_wire::journal::Note {
        who: "the other".to_owned(),
        why: "mine".to_owned(),
        at: plimsoll_wire::journal::Stamp::default(),
    });
    desk.durable = Some((other, revision + 1));
    desk.once();
    assert!(desk.status().trouble.unwrap().starts_with("JournalConflict: "));
    assert_eq!((desk.kinds(), desk.loads), (Vec::new(), loads));
    desk.pass(MINUTE);
    assert_eq!(desk.loads, loads + 1);
    assert_eq!(desk.journal().epoch, epoch + 8, "an epoch is raised above the one that was read");
    assert_eq!(desk.status().paused.unwrap().who, "the other");
    assert_eq!(desk.kinds(), Vec::<&str>::new());
}

#[test]
fn when_the_audit_log_cannot_be_written_nothing_is_done_and_afterwards_the_plan_goes_on() {
    let mut desk = growing();
    until_intent(&mut desk);
    desk.audit_fails = true;
    desk.pass(10 * MINUTE);
    assert_eq!(desk.kinds(), Vec::<&str>::new());
    let full = "AuditNotWritten: no space left on device";
    assert_eq!(desk.status().trouble.as_deref(), Some(full));
    // What nobody can tell is not called good.
    for kind in ["Ready", "AbleToScale", "Safe"] {
        assert_eq!(desk.condition(kind), (false, "Trouble".to_owned(), full.to_owned()), "{kind}");
    }
    assert!(desk.stores < 200, "{} writes in ten minutes", desk.stores);
    assert!(desk.status().plan.is_some(), "the plan is shown all the while");
    desk.audit_fails = false;
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 5, String::new()));
}

#[test]
fn each_effect_has_a_durable_record_of_its_intent() {
    let mut desk = growing();
    // The log fails every other minute.
    for minute in 0..60 {
        desk.audit_fails = minute % 2 == 0;
        desk.pass(MINUTE);
    }
    assert_eq!(desk.sim.size(), 5, "{:?}", desk.status());
    for done in &desk.done {
        let told = desk
            .log
            .iter()
            .any(|record| matches!(&record.body, Body::Intent { intent, .. } if intent.id == done.id));
        assert!(told, "{:?} has no record", done.verb);
    }
}

#[test]
fn a_person_is_answered_only_when_the_order_is_durable() {
    let mut desk = growing();
    desk.until("a write", |desk| matches!(desk.pending, Some(Effect::Store { .. })) && desk.plan().is_some());
    // The write that is under way was begun before the order: it does not hold it.
    let command = plimsoll_core::cycle::Command {
        id: 99,
        who: "ann".to_owned(),
        order: Order::Pause { why: "stop".to_owned() },
    };
    desk.feed(plimsoll_core::cycle::Event::Said(command));
    while desk.replies.is_empty() {
        assert!(desk.journal().memory.paused.is_none());
        let stored =
            matches!(&desk.pending, Some(Effect::Store { journal, .. }) if journal.memory.paused.is_some());
        desk.once();
        assert_eq!(!desk.replies.is_empty(), stored, "answered before it was written");
    }
    assert!(desk.journal().memory.paused.is_some());
}

#[test]
fn an_order_that_could_not_be_written_is_refused_and_not_obeyed() {
    let mut desk = Desk::quorum(3);
    desk.until("the first decision", |desk| !desk.decisions().is_empty());
    desk.store_fails = Some(StoreError::Failed("read-only file system".to_owned()));
    let refused = desk.say(Order::Pause { why: String::new() }).unwrap_err();
    assert_eq!(refused, "JournalNotWritten: read-only file system");
    let refused = desk.say(Order::Pause { why: String::new() }).unwrap_err();
    assert!(refused.contains("is not ready (JournalNotWritten: read-only file system)"), "{refused}");
    desk.store_fails = None;
    desk.pass(MINUTE);
    assert_eq!(desk.status().paused, None);
}

#[test]
fn a_permit_of_a_plan_that_was_never_written_is_given_back() {
    let mut desk = growing();
    desk.until("the permit", |desk| matches!(desk.pending, Some(Effect::AskPermit { .. })));
    desk.store_fails = Some(StoreError::Failed("no space left on device".to_owned()));
    desk.pass(MINUTE);
    desk.store_fails = None;
    desk.wished = Some(3);
    desk.pass(MINUTE);
    assert_eq!(desk.plan(), None);
    assert!(desk.arbiter.ask(&"somebody/else".into(), false), "the permit was kept without a plan");
}

#[test]
fn a_journal_of_an_unknown_version_is_held_and_never_written() {
    let mut desk = growing();
    let newer = Journal { format_version: FORMAT_VERSION + 1, epoch: 4, ..Journal::default() };
    desk.durable = Some((newer.clone(), 9));
    desk.pass(HOUR);
    assert_eq!(desk.durable, Some((newer, 9)));
    assert_eq!((desk.stores, desk.kinds(), desk.log.len()), (0, Vec::new(), 0));
    let trouble = format!(
        "JournalFormatUnknown: format version {}, this daemon knows {FORMAT_VERSION}",
        FORMAT_VERSION + 1
    );
    assert_eq!(desk.status().trouble.as_ref(), Some(&trouble));
    let refused = desk.say(Order::Resume).unwrap_err();
    assert!(refused.contains(&trouble), "{refused}");
    // A daemon that knows it takes over where it stands.
    desk.durable = Some((Journal { epoch: 4, format_version: FORMAT_VERSION, ..Journal::default() }, 9));
    assert_eq!(desk.until_ended().0, PlanStatus::Done);
    assert_eq!(desk.journal().epoch, 5);
}

#[test]
fn a_plan_in_a_dimension_that_this_daemon_does_not_change_is_held_and_never_written() {
    let mut desk = growing();
    until_intent(&mut desk);
    let (mut other, revision) = desk.durable.clone().unwrap();
    let plan = other.plan.as_mut().unwrap();
    plan.legs = vec![Leg { dimension: Dimension::Memory, from: 1 << 30, to: 2 << 30 }];
    let trouble = format!(
        "JournalFormatUnknown: plan {} changes no number of members, and this daemon changes nothing else",
        plan.id
    );
    desk.durable = Some((other.clone(), revision));
    desk.restart(None);
    desk.pass(HOUR);
    assert_eq!(desk.durable, Some((other, revision)));
    assert_eq!(desk.status().trouble, Some(trouble));
}

/// Grows by one plan, and is then asked for the next size: how long the wait between the two takes.
fn waited(boot: Option<(&'static str, u64)>) -> u64 {
    let safety = Safety { cooldown_out_ms: 10 * MINUTE, ..Safety::default() };
    let mut desk = Desk::new(3, spec(&profile::SIM_QUORUM, safety));
    desk.wished = Some(5);
    desk.until_ended();
    let ended_ms = desk.sim.now_ms();
    desk.wished = Some(7);
    if let Some((boot, after_ms)) = boot {
        desk.pass(after_ms);
        desk.restart(Some(boot));
    }
    desk.until("the next plan", |desk| desk.plan().is_some());
    desk.sim.now_ms() - ended_ms
}

#[test]
fn a_reboot_makes_waits_longer_and_never_shorter() {
    let plain = waited(None);
    assert!((10 * MINUTE..11 * MINUTE).contains(&plain), "{plain}");
    let after_ms = 9 * MINUTE;
    let rebooted = waited(Some(("another", after_ms)));
    assert!(rebooted >= after_ms + 10 * MINUTE, "{rebooted}");
}

#[test]
fn no_wait_of_another_boot_is_over_because_its_clock_stands_higher() {
    let mut desk = Desk::new(5, spec(&profile::SIM_QUORUM, Safety::default()));
    desk.configure(|spec| spec.mode = Mode::Dryrun);
    desk.wished = Some(7);
    desk.pass(HOUR);
    // Stamps of the first boot stand at a day and more, the second boot begins at nought.
    desk.restart(Some("another"));
    desk.pass(SECOND);
    desk.wished = Some(5);
    desk.pass(5 * HOUR);
    desk.until("the step back", |desk| {
        desk.state.journal().is_some_and(|journal| journal.memory.changes.len() == 2)
    });
    let wait_ms = desk.now().mono_ms;
    assert!(wait_ms >= Safety::default().reverse_ms, "{wait_ms}");
    assert!(wait_ms < DAY, "{wait_ms}");
}

#[test]
fn what_a_policy_keeps_is_durable_and_goes_when_it_is_no_longer_asked() {
    let mut desk = growing();
    desk.kept = Some("since noon".to_owned());
    desk.until_plan(PlanStatus::Running);
    let kept = |desk: &Desk| desk.journal().memory.policy_state.keys().cloned().collect::<Vec<_>>();
    assert_eq!(kept(&desk), ["load"]);
    desk.kept = None;
    desk.configure(|spec| "night".clone_into(&mut spec.policies[0].name));
    desk.until_ended();
    assert_eq!(kept(&desk), Vec::<String>::new());
}

#[test]
fn a_plan_goes_on_after_a_reboot() {
    let mut desk = growing();
    desk.until_about_to("promote");
    desk.restart(Some("another"));
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 5, String::new()));
}

/// Writes of the journal while so much time passes.
fn writes(desk: &mut Desk, ms: u64) -> usize {
    let before = desk.stores;
    desk.pass(ms);
    desk.stores - before
}

#[test]
fn at_rest_the_journal_is_written_once_an_hour_and_what_a_policy_keeps_within_ten_minutes() {
    let mut desk = Desk::quorum(3);
    desk.kept = Some("1".to_owned());
    desk.pass(HOUR);
    assert_eq!(writes(&mut desk, 12 * HOUR), 12);
    desk.kept = Some("2".to_owned());
    desk.pass(11 * MINUTE);
    let durable = |desk: &Desk| desk.durable.clone().unwrap().0;
    assert_eq!(durable(&desk).memory.policy_state.values().collect::<Vec<_>>(), ["2"]);
    let head = durable(&desk).audit_head;
    assert_eq!(writes(&mut desk, 2 * HOUR), 2);
    assert_ne!(durable(&desk).audit_head, head, "a tail that is cut off shows after an hour at the latest");
}
