//! Two daemons, one actor: a follower watches and does nothing, a leader that loses the leadership lets go at once, and whoever is
//! elected goes on where the journal says that the plan stands (`decisions.md` D20).

use crate::desk::{Desk, MINUTE, SECOND};
use plimsoll_core::cycle::{Effect, Event, Order, Role, State};
use plimsoll_wire::journal::PlanStatus;

/// The other daemon.
const OTHER: &str = "plimsoll-1";

fn follows() -> Event {
    Event::Role(Role::Follows { leader: OTHER.to_owned() })
}

fn follower(members: u32) -> Desk {
    let mut desk = Desk::quorum(members);
    desk.state = State::following(desk.state.spec().clone(), OTHER.to_owned());
    desk
}

/// What a follower must never have done.
fn assert_idle(desk: &Desk) {
    assert_eq!((desk.loads, desk.stores, desk.log.len(), desk.done.len()), (0, 0, 0, 0));
    assert_eq!(desk.durable, None);
    assert!(desk.stamped.is_empty());
}

#[test]
fn a_follower_watches_at_its_interval_and_does_nothing_else() {
    let mut desk = follower(3);
    // A leader would begin at once.
    desk.wished = Some(5);
    let mut looks = 0;
    let end_ms = desk.now().mono_ms + 10 * MINUTE;
    while desk.now().mono_ms < end_ms {
        match &desk.pending {
            Some(Effect::Observe { direct, .. }) => {
                assert!(!direct);
                looks += 1;
            }
            Some(other) => panic!("a follower asked for {other:?}"),
            None => {}
        }
        desk.once();
    }
    // An interval of 30 s, and the first at once.
    assert!((20..=21).contains(&looks), "{looks}");
    assert_idle(&desk);
    assert!(desk.arbiter.ask(&"default/other".into(), false), "a follower holds no permit");
    let status = desk.status();
    assert_eq!((status.sizes.members, status.follows.as_deref()), (Some(3), Some(OTHER)));
    assert_eq!((status.plan, status.last_decision), (None, None));
    let (able, reason, message) = desk.condition("AbleToScale");
    assert_eq!((able, reason.as_str()), (false, "Follows"));
    assert!(message.contains(OTHER), "{message}");
}

#[test]
fn a_follower_obeys_nobody_and_says_who_leads() {
    let mut desk = follower(3);
    desk.pass(MINUTE);
    let orders = [
        Order::Scale { members: Some(5) },
        Order::Pause { why: "night".to_owned() },
        Order::Resume,
        Order::Cancel,
        Order::Approve { content: "x".to_owned() },
    ];
    for order in orders {
        let why = desk.say(order).unwrap_err();
        assert!(why.contains(OTHER), "{why}");
    }
    desk.pass(MINUTE);
    assert_idle(&desk);
    // The lead may pass to a third one.
    desk.feed(Event::Role(Role::Follows { leader: "plimsoll-2".to_owned() }));
    let why = desk.say(Order::Resume).unwrap_err();
    assert!(why.contains("plimsoll-2"), "{why}");
}

#[test]
fn an_elected_follower_reads_the_journal_raises_the_epoch_and_goes_on_where_the_plan_stands() {
    for kind in ["register", "start", "promote"] {
        let mut desk = Desk::quorum(3);
        desk.wished = Some(5);
        desk.until_about_to(kind);
        let (id, epoch) = (desk.plan().unwrap().id.clone(), desk.journal().epoch);
        // The leader is killed; whoever has watched beside it knows nothing but what it watched.
        desk.restart(None);
        desk.state = State::following(desk.state.spec().clone(), OTHER.to_owned());
        desk.pass(5 * MINUTE);
        let (done, stores) = (desk.kinds().len(), desk.stores);
        assert_eq!(desk.plan().unwrap().id, id);
        desk.feed(Event::Role(Role::Leads));
        // The world may have gone on by itself: nothing is done before the epoch lasts and is on the world.
        desk.until("an epoch on the world", |desk| !desk.stamped.is_empty());
        assert_eq!((desk.journal().epoch, desk.stamped.clone()), (epoch + 1, vec![epoch + 1]), "{kind}");
        assert_eq!((desk.kinds().len(), desk.stores), (done, stores + 1), "{kind}");
        assert_eq!(desk.until_ended(), (PlanStatus::Done, 5, String::new()), "{kind}");
        assert_eq!(desk.journal().history.last().unwrap().id, id, "{kind}");
        assert_eq!(desk.status().follows, None);
    }
}

#[test]
fn what_a_follower_has_watched_counts_when_it_takes_over() {
    let stable = |desk: &Desk| {
        let snapshot = desk.state.snapshot().unwrap().clone();
        let rows = snapshot.members.value().unwrap().clone();
        rows.iter().filter_map(|row| row.alive.known().map(|alive| alive.stable_ms)).min().unwrap()
    };
    let mut desk = follower(3);
    desk.pass(10 * MINUTE);
    assert!(stable(&desk) >= 9 * MINUTE, "{}", stable(&desk));
    desk.feed(Event::Role(Role::Leads));
    desk.until("a decision", |desk| !desk.decisions().is_empty());
    assert!(stable(&desk) >= 9 * MINUTE, "{}", stable(&desk));
    // And the other way round.
    desk.feed(follows());
    desk.pass(MINUTE);
    assert!(stable(&desk) >= 10 * MINUTE, "{}", stable(&desk));
}

#[test]
fn an_epoch_that_cannot_be_put_on_the_world_keeps_a_plan_where_it_is() {
    let mut desk = Desk::quorum(3);
    desk.wished = Some(5);
    desk.until_about_to("start");
    desk.restart(None);
    let done = desk.kinds().len();
    desk.stamp_fails = Some("forbidden: patch statefulsets".to_owned());
    desk.pass(5 * MINUTE);
    assert_eq!(desk.kinds().len(), done);
    let trouble = desk.status().trouble.unwrap();
    assert_eq!(trouble, "NotStamped: forbidden: patch statefulsets");
    desk.stamp_fails = None;
    assert_eq!(desk.until_ended().0, PlanStatus::Done);
    assert_eq!(desk.stamped.last(), Some(&desk.journal().epoch));
}

#[test]
fn without_anything_unfinished_nothing_is_stamped() {
    let mut desk = Desk::quorum(3);
    desk.pass(MINUTE);
    desk.restart(None);
    desk.pass(MINUTE);
    assert!(desk.stamped.is_empty(), "{:?}", desk.stamped);
}

/// Every effect in turn: whatever is on its way when the leadership is lost, nothing follows from it.
#[test]
fn a_leader_that_loses_the_leadership_drops_what_it_was_about_to_do() {
    type Is = fn(&Effect) -> bool;
    let kinds: [(&str, Is); 6] = [
        ("load", |effect| matches!(effect, Effect::Load { .. })),
        ("observe", |effect| matches!(effect, Effect::Observe { .. })),
        ("evaluate", |effect| matches!(effect, Effect::Evaluate { .. })),
        ("store", |effect| matches!(effect, Effect::Store { .. })),
        ("record", |effect| matches!(effect, Effect::Record { .. })),
        ("permit", |effect| matches!(effect, Effect::AskPermit { .. })),
    ];
    for (what, is_it) in kinds {
        let mut desk = Desk::quorum(3);
        desk.wished = Some(5);
        desk.until(what, |desk| desk.pending.as_ref().is_some_and(is_it));
        let asked = desk.pending.take().unwrap();
        let late = desk.answer(asked);
        desk.feed(follows());
        let before = (desk.loads, desk.stores, desk.log.len(), desk.done.len());
        desk.feed(late);
        for _ in 0..50 {
            let watches = matches!(desk.pending, None | Some(Effect::Observe { direct: false, .. }));
            assert!(watches, "{what}: {:?}", desk.pending);
            desk.once();
        }
        assert_eq!((desk.loads, desk.stores, desk.log.len(), desk.done.len()), before, "{what}");
        assert!(desk.arbiter.ask(&"default/other".into(), false), "{what}: the permit was given back");
        let status = desk.status();
        assert_eq!((status.plan, status.trouble, status.last_decision), (None, None, None), "{what}");
    }
}

#[test]
fn a_call_that_was_out_is_waited_for_before_the_same_daemon_acts_again() {
    let mut desk = Desk::quorum(3);
    desk.wished = Some(5);
    desk.until_about_to("start");
    let out = desk.pending.take().unwrap();
    desk.feed(follows());
    desk.pass(10 * SECOND);
    let (loads, done) = (desk.loads, desk.kinds().len());
    desk.feed(Event::Role(Role::Leads));
    desk.feed(Event::Tick);
    assert!(desk.pending.is_none(), "{:?}", desk.pending);
    assert!(desk.status().waiting_for.contains("before the leadership was lost"));
    // It ends late, and has done what it was sent for: nobody takes its answer, and it is not done twice.
    let late = desk.answer(out);
    desk.feed(late);
    assert!(matches!(desk.pending, Some(Effect::Load { .. })), "{:?}", desk.pending);
    assert_eq!((desk.loads, desk.kinds().len()), (loads, done + 1));
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 5, String::new()));
    assert_eq!(desk.kinds().into_iter().filter(|kind| *kind == "start").count(), 2);
}

#[test]
fn a_person_whose_order_was_not_durable_yet_is_told_when_the_lead_is_lost() {
    let mut desk = Desk::quorum(3);
    desk.pass(MINUTE);
    desk.until("a store", |desk| desk.pending.is_none());
    let order = plimsoll_core::cycle::Command {
        id: 77,
        who: "ann".to_owned(),
        order: Order::Pause { why: "night".to_owned() },
    };
    desk.feed(Event::Said(order));
    assert!(desk.replies.is_empty());
    desk.feed(follows());
    let (id, result) = desk.replies.last().unwrap();
    assert_eq!(*id, 77);
    assert!(result.as_ref().unwrap_err().contains(OTHER), "{result:?}");
}

#[test]
fn a_document_that_changes_while_following_is_looked_at_and_counts_on_election() {
    let mut desk = follower(3);
    desk.pass(MINUTE);
    desk.configure(|spec| spec.max = 4);
    assert!(matches!(desk.pending, Some(Effect::Observe { .. })), "{:?}", desk.pending);
    assert_idle(&desk);
    assert_eq!(desk.status().member_bounds().1, 4);
    desk.feed(Event::Role(Role::Leads));
    let why = desk.scale(5).unwrap_err();
    assert!(why.contains("not been read yet") || why.contains("1 to 4"), "{why}");
}
