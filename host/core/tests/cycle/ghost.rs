//! Dry run: what there would be by now is remembered, so that what is told is what enforce would do (`decisions.md` D9).

use crate::desk::{DAY, Desk, HOUR, MINUTE, SECOND, spec};
use plimsoll_core::cycle::Spec;
use plimsoll_core::{explain, profile};
use plimsoll_wire::Safety;
use plimsoll_wire::record::Decision;
use plimsoll_wire::snapshot::Mode;

fn dry(desk: &mut Desk) {
    desk.configure(|spec| spec.mode = Mode::Dryrun);
}

/// A group of so many, in this mode, with the waits of the catalogue.
fn patient(members: u32, mode: Mode) -> Desk {
    let spec = Spec { mode, ..spec(&profile::SIM_QUORUM, Safety::default()) };
    Desk::new(members, spec)
}

fn changes(desk: &Desk) -> Vec<(u32, u32)> {
    let changes = desk.state.journal().map_or(&[][..], |journal| &journal.memory.changes);
    changes.iter().filter_map(|change| change.leg.of_members()).collect()
}

/// What was told to be done, each time that it was told.
fn steps(desk: &Desk) -> Vec<(Option<u32>, Option<u32>)> {
    let dry = |decision: &&&Decision| decision.reason.code == "DryRun";
    desk.decisions()
        .iter()
        .filter(dry)
        .map(|one| (one.ghost.members.or(one.sizes.members), one.decided.members))
        .collect()
}

#[test]
fn the_same_step_is_told_once_and_not_each_time() {
    let mut desk = Desk::quorum(3);
    dry(&mut desk);
    desk.wished = Some(5);
    desk.pass(HOUR);
    assert_eq!(steps(&desk), [(Some(3), Some(5))]);
    assert!(desk.decisions().len() > 100);
    assert_eq!((desk.status().sizes.members, desk.status().ghost.members), (Some(3), Some(5)));
    assert_eq!(desk.reason(), "AtSize");
    assert_eq!(desk.kinds(), Vec::<&str>::new());
    let told = desk.log.iter().rev().find_map(|record| explain::explain(record).pop()).unwrap();
    assert_eq!(told, "There would be 5 members by now; nothing more would be done (AtSize).");
}

#[test]
fn what_would_be_goes_back_when_the_wish_does_although_the_real_size_never_moved() {
    let mut desk = Desk::quorum(3);
    dry(&mut desk);
    desk.wished = Some(5);
    desk.pass(10 * MINUTE);
    desk.wished = Some(3);
    desk.pass(10 * MINUTE);
    assert_eq!(changes(&desk), [(3, 5), (5, 3)]);
    let would: Vec<String> =
        desk.log.iter().flat_map(explain::explain).filter(|line| line.starts_with("Would")).collect();
    assert_eq!(
        would,
        [
            "Would go from 3 to 5; this target is in dry run, so nothing was done.",
            "Would go from 5 to 3; this target is in dry run, so nothing was done.",
        ]
    );
}

#[test]
fn waits_begin_at_what_would_have_been_done() {
    let mut desk = patient(3, Mode::Dryrun);
    desk.wished = Some(5);
    desk.until("the first step", |desk| changes(desk).len() == 1);
    let began_ms = desk.now().mono_ms;
    desk.wished = Some(7);
    desk.pass(40 * SECOND);
    assert_eq!(desk.reason(), "CoolingDown");
    desk.until("the second step", |desk| changes(desk).len() == 2);
    assert_eq!(changes(&desk), [(3, 5), (5, 7)]);
    let waited_ms = desk.now().mono_ms - began_ms;
    assert!((MINUTE..2 * MINUTE).contains(&waited_ms), "{waited_ms}");
}

#[test]
fn only_a_part_of_what_would_be_goes_within_a_day() {
    let mut spec = spec(&profile::SIM_SHARDED, Safety::default());
    (spec.mode, spec.max, spec.min) = (Mode::Dryrun, 9, 1);
    let mut desk = Desk::new(9, spec);
    desk.wished = Some(7);
    desk.pass(HOUR);
    assert_eq!(changes(&desk), [(9, 7)], "a quarter of nine is two");
    desk.wished = Some(5);
    desk.pass(HOUR);
    assert_eq!(changes(&desk), [(9, 7)]);
    assert_eq!(desk.reason(), "TooMuchRemoved");
    desk.pass(DAY);
    assert_eq!(changes(&desk), [(9, 7), (7, 6)], "a quarter of seven is one");
}

/// What a day of wishes comes to: the changes of size, in order.
fn day(mode: Mode) -> Vec<(u32, u32)> {
    let mut desk = patient(3, mode);
    for (hours, members) in [(1, 3), (1, 5), (1, 7), (2, 4), (9, 3), (3, 5), (30, 3)] {
        desk.wished = Some(members);
        desk.pass(hours * HOUR);
    }
    changes(&desk)
}

#[test]
fn dry_run_tells_what_enforce_does_where_the_load_does_not_react() {
    let done = day(Mode::Enforce);
    assert!(done.len() >= 4, "{done:?}");
    assert_eq!(day(Mode::Dryrun), done);
}

#[test]
fn what_would_be_outlives_a_restart() {
    let mut desk = Desk::quorum(3);
    dry(&mut desk);
    desk.wished = Some(5);
    desk.pass(10 * MINUTE);
    desk.restart(None);
    desk.pass(HOUR);
    assert_eq!(desk.status().ghost.members, Some(5));
    assert_eq!(steps(&desk).len(), 1);
}

#[test]
fn what_would_be_is_forgotten_when_the_target_leaves_dry_run() {
    let mut desk = Desk::quorum(3);
    dry(&mut desk);
    desk.wished = Some(5);
    desk.pass(10 * MINUTE);
    desk.wished = Some(3);
    desk.configure(|spec| spec.mode = Mode::Enforce);
    desk.pass(10 * MINUTE);
    assert_eq!((desk.status().ghost.members, desk.sim.size()), (None, 3));
    assert_eq!(desk.reason(), "AtSize");
}

#[test]
fn what_would_be_begins_again_when_somebody_else_changes_the_size() {
    let mut desk = Desk::sharded(5);
    dry(&mut desk);
    desk.wished = Some(7);
    desk.pass(10 * MINUTE);
    assert_eq!(desk.status().ghost.members, Some(7));
    // A person follows half of the advice by hand.
    desk.wished = None;
    let vacant = desk.state.snapshot().unwrap().vacant.value().unwrap()[0].slot.clone();
    let start = plimsoll_wire::journal::Verb::Platform(plimsoll_wire::journal::PlatformVerb::Start {
        slot: vacant,
        size_after: 6,
        join: None,
    });
    desk.sim.act(&start, "human");
    desk.until("six members", |desk| desk.status().sizes.members == Some(6));
    assert_eq!(desk.status().ghost.members, None);
    desk.wished = Some(7);
    desk.pass(30 * MINUTE);
    assert_eq!(steps(&desk).last(), Some(&(Some(6), Some(7))));
}

#[test]
fn a_persons_wish_is_reached_in_dry_run_too() {
    let mut desk = Desk::quorum(3);
    dry(&mut desk);
    desk.pass(MINUTE);
    desk.scale(5).unwrap();
    desk.until("the wish to be forgotten", |desk| desk.journal().memory.asked.is_none());
    assert_eq!(changes(&desk), [(3, 5)]);
}
