//! Answers that come late belong to nobody (`decisions.md` D2).

use crate::desk::{Desk, MINUTE};
use plimsoll_core::cycle::{Effect, Event, State};
use plimsoll_wire::journal::{Outcome, PlanStatus};

fn growing() -> Desk {
    let mut desk = Desk::quorum(3);
    desk.wished = Some(5);
    desk
}

#[test]
fn an_answer_to_another_request_changes_nothing() {
    let mut desk = growing();
    desk.until_about_to("start");
    let Some(Effect::Act { request, .. }) = desk.pending else { panic!("{:?}", desk.pending) };
    let before = format!("{:?}", desk.state.status());
    for other in [request - 1, request + 1, 0, u64::MAX] {
        desk.feed(Event::Acted { request: other, outcome: Outcome::Applied });
        desk.feed(Event::Stored { request: other, result: Ok(77) });
        desk.feed(Event::Recorded { request: other, result: Err("late".to_owned()) });
        desk.feed(Event::Permitted { request: other, granted: true });
        desk.feed(Event::Evaluated { request: other, answers: Vec::new() });
        desk.feed(Event::Loaded { request: other, result: Ok(None) });
        assert_eq!(format!("{:?}", desk.state.status()), before);
        assert!(matches!(desk.pending, Some(Effect::Act { request: still, .. }) if still == request));
    }
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 5, String::new()));
}

#[test]
fn an_answer_is_taken_once() {
    let mut desk = growing();
    desk.until_about_to("start");
    let Some(Effect::Act { request, .. }) = desk.pending else { panic!("{:?}", desk.pending) };
    desk.once();
    let (records, pending) = (desk.log.len(), format!("{:?}", desk.pending));
    desk.feed(Event::Acted { request, outcome: Outcome::Unknown { message: "twice".to_owned() } });
    assert_eq!((desk.log.len(), format!("{:?}", desk.pending)), (records, pending));
}

#[test]
fn what_was_read_or_asked_under_an_earlier_document_is_not_decided_upon() {
    for what in ["a reading", "an evaluation"] {
        let is_it = |effect: &Effect| match what {
            "a reading" => matches!(effect, Effect::Observe { .. }),
            _ => matches!(effect, Effect::Evaluate { .. }),
        };
        let mut desk = Desk::quorum(3);
        desk.until("the first decision", |desk| !desk.decisions().is_empty());
        desk.until(what, |desk| desk.pending.as_ref().is_some_and(is_it));
        desk.wished = Some(5);
        let early = desk.pending.take().unwrap();
        let late = desk.answer(early);
        // Another policy stands in the document now.
        desk.configure(|spec| "night".clone_into(&mut spec.policies[0].name));
        desk.wished = Some(3);
        let decided = desk.decisions().len();
        desk.feed(late);
        desk.pass(MINUTE);
        let after = desk.decisions().split_off(decided);
        assert!(!after.is_empty(), "{what}: no decision followed");
        for decision in after {
            let policies: Vec<&str> =
                decision.answers.iter().map(|answer| answer.from.policy().unwrap()).collect();
            assert_eq!((policies, decision.wish.sizes.members), (vec!["night"], Some(3)), "{what}");
        }
        assert_eq!(desk.plan(), None, "{what}");
    }
}

#[test]
fn an_answer_to_a_machine_that_was_replaced_does_not_reach_its_successor() {
    let mut desk = growing();
    desk.until_about_to("start");
    let acted = desk.pending.take().unwrap();
    let late = desk.answer(acted);
    desk.state = State::new(desk.state.spec().clone());
    desk.feed(late);
    assert!(matches!(desk.pending, Some(Effect::Load { .. })), "{:?}", desk.pending);
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 5, String::new()));
    let starts = desk.kinds().into_iter().filter(|kind| *kind == "start").count();
    assert_eq!(starts, 2, "each member is started once");
}

#[test]
fn a_write_that_was_not_answered_meets_another_epoch_when_it_arrives() {
    for (members, wished, kind) in [(3, 5, "start"), (5, 3, "stop")] {
        let mut desk = Desk::quorum(members);
        desk.wished = Some(wished);
        desk.until_about_to(kind);
        let Some(Effect::Act { request, .. }) = desk.pending.take() else { panic!("{kind}") };
        let (epoch, acts) = (desk.journal().epoch, desk.kinds().len());
        let stamped = desk.stamped.len();
        desk.feed(Event::Acted { request, outcome: Outcome::Unknown { message: "no answer".to_owned() } });
        // Before anything is looked at or done, and durable before it is seen.
        desk.until("an epoch on the world", |desk| {
            let is_there = desk.stamped.len() > stamped;
            let looks_or_acts = matches!(desk.pending, Some(Effect::Observe { .. } | Effect::Act { .. }));
            assert!(is_there || !looks_or_acts, "{kind}");
            is_there
        });
        assert_eq!((desk.journal().epoch, desk.stamped.last()), (epoch + 1, Some(&(epoch + 1))), "{kind}");
        assert_eq!(desk.kinds().len(), acts, "{kind}");
        assert_eq!(desk.until_ended(), (PlanStatus::Done, wished, String::new()), "{kind}");
        assert_eq!(desk.journal().epoch, epoch + 1, "{kind}: an answer raises nothing");
    }
}

#[test]
fn what_the_data_system_did_not_answer_needs_no_epoch() {
    let mut desk = growing();
    desk.until_about_to("register");
    let Some(Effect::Act { request, .. }) = desk.pending.take() else { panic!("{:?}", desk.pending) };
    let (epoch, stamped) = (desk.journal().epoch, desk.stamped.clone());
    desk.feed(Event::Acted { request, outcome: Outcome::Unknown { message: "no answer".to_owned() } });
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 5, String::new()));
    assert_eq!((desk.journal().epoch, desk.stamped.clone()), (epoch, stamped));
}
