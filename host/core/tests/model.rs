//! Two daemons and one target, exhaustively: the production `step` under a lease, stamps, stale reads, crashes, late
//! writes, a changing wish and a person's edit, in every order within a bound (`decisions.md` D20).
//!
//! **The bound.** Each run of a fleet has a budget of mishaps ([`Budget`]), and all orders of what remains are tried: any
//! daemon may be arbitrarily slow at any point. Waits of the safety rules are zero, so that time decides nothing;
//! what is left of it passes in jumps of a minute. At most two members are registered in one run.

#[path = "model/daemon.rs"]
mod daemon;
#[path = "model/fleet.rs"]
mod fleet;
#[path = "model/view.rs"]
mod view;
#[path = "model/world.rs"]
mod world;

use fleet::{Action, Budget, Fleet, Moment};
use stateright::{Checker, CheckerBuilder, HasDiscoveries, Model, Path};
use world::Fencing;

/// The machine that runs the tests has two cores.
const THREADS: usize = 2;

const NOTHING: Budget = Budget { crashes: 0, expiries: 0, late: 0, edits: 0, wishes: 0, jumps: 0 };

fn fleet(budget: Budget) -> Fleet {
    Fleet { size: 3, wishes: [2, 3], fencing: Fencing::Whole, calls_are_bounded: true, budget }
}

fn checker(fleet: Fleet) -> CheckerBuilder<Fleet> {
    fleet.checker().threads(THREADS)
}

fn print(name: &str, path: Path<Moment, Action>) {
    println!("{name}:");
    for (at, action) in path.into_actions().into_iter().enumerate() {
        println!("  {at}. {action:?}");
    }
}

/// Tries everything, and says how much that was.
fn exhaust(fleet: Fleet) {
    let (begun, wishes, budget) = (std::time::Instant::now(), fleet.wishes, fleet.budget);
    let checker = checker(fleet).spawn_dfs().join();
    let (unique, depth) = (checker.unique_state_count(), checker.max_depth());
    println!(
        "{wishes:?} {budget:?}: {unique} unique states to a depth of {depth} in {:.1?}",
        begun.elapsed()
    );
    for (name, path) in checker.discoveries() {
        if checker.discovery_classification(name).to_string() == "counterexample" {
            print(name, path);
        }
    }
    assert!(checker.is_done());
    checker.assert_properties();
}

/// Looks for something that must not be, and is there.
fn find(name: &'static str, fleet: Fleet) {
    let checker = checker(fleet).finish_when(HasDiscoveries::AnyOf([name].into())).spawn_dfs().join();
    println!("{} unique states", checker.unique_state_count());
    print(name, checker.discovery(name).expect("the model must be able to show it"));
}

#[test]
fn no_crash_late_write_or_lost_lease_makes_two_daemons_act_or_harms_the_group() {
    exhaust(fleet(Budget { crashes: 1, expiries: 1, late: 1, ..NOTHING }));
}

#[test]
fn no_wish_that_turns_while_the_lead_changes_harms_the_group() {
    exhaust(fleet(Budget { crashes: 1, expiries: 1, wishes: 1, ..NOTHING }));
    exhaust(fleet(Budget { expiries: 1, late: 1, wishes: 1, ..NOTHING }));
    exhaust(fleet(Budget { crashes: 1, late: 1, wishes: 1, jumps: 1, ..NOTHING }));
}

/// A start that was not answered may arrive after its member was removed again, or after a successor has taken over and
/// acted on the data system only: what touches the StatefulSet before that is the next epoch.
#[test]
fn a_start_that_comes_late_is_not_accepted_after_its_plan_was_given_up() {
    let grows = |budget| Fleet { wishes: [4, 3], ..fleet(budget) };
    exhaust(grows(Budget { late: 1, wishes: 1, jumps: 1, ..NOTHING }));
    exhaust(grows(Budget { crashes: 1, late: 1, wishes: 1, jumps: 1, ..NOTHING }));
}

#[test]
fn no_edit_by_hand_beside_a_plan_harms_the_group_more() {
    exhaust(fleet(Budget { expiries: 1, late: 1, edits: 1, ..NOTHING }));
    exhaust(fleet(Budget { crashes: 1, late: 1, edits: 1, wishes: 1, ..NOTHING }));
}

#[test]
fn mishaps_that_come_twice_in_the_long_form() {
    if is_long() {
        exhaust(fleet(Budget { crashes: 1, expiries: 2, late: 1, ..NOTHING }));
        exhaust(fleet(Budget { crashes: 1, expiries: 2, late: 2, ..NOTHING }));
    }
}

/// How many states there are is told after each; the last one takes hours.
#[test]
fn everything_together_in_the_long_form() {
    if is_long() {
        exhaust(fleet(Budget { crashes: 1, expiries: 1, late: 1, wishes: 1, ..NOTHING }));
        exhaust(fleet(Budget { crashes: 1, expiries: 1, late: 1, edits: 1, wishes: 1, ..NOTHING }));
        exhaust(fleet(Budget { crashes: 1, expiries: 1, late: 1, edits: 1, wishes: 1, jumps: 1 }));
    }
}

fn is_long() -> bool {
    std::env::var_os("PLIMSOLL_LONG").is_some()
}

#[test]
fn without_the_fence_the_double_actor_is_found() {
    let budget = Budget { crashes: 0, expiries: 1, late: 1, ..NOTHING };
    find("one actor", Fleet { fencing: Fencing::None, ..fleet(budget) });
}

#[test]
fn with_calls_that_outlive_the_lease_the_double_actor_is_found() {
    let budget = Budget { expiries: 1, late: 1, ..NOTHING };
    find("one actor", Fleet { calls_are_bounded: false, ..fleet(budget) });
}
