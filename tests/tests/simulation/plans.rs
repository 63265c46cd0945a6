//! Plans that are disturbed at each of their points: the daemon killed between any two effects, the wish turned,
//! the plan cancelled, parts of the world out of sight, calls that are applied and not answered.

use crate::worlds::{HOUR, MINUTE, SECOND, World, calm, hasty, spec, told};
use plimsoll_core::cycle::{Command, Order};
use plimsoll_core::observation::{Observation, SystemReport, Told};
use plimsoll_sim::pilot::{Passage, Pilot};
use plimsoll_sim::sim::Sim;
use plimsoll_wire::fact::Gap;
use plimsoll_wire::journal::{PlanStatus, Verb};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A plan from one size to another in a calm world.
#[derive(Clone, Copy, Debug)]
struct Case {
    world: World,
    from: u32,
    to: u32,
}

const CASES: [Case; 4] = [
    Case { world: World::Quorum, from: 3, to: 5 },
    Case { world: World::Quorum, from: 5, to: 3 },
    Case { world: World::Sharded, from: 5, to: 6 },
    Case { world: World::Sharded, from: 6, to: 5 },
];

/// A daemon in its world, about to carry the plan out.
struct Flight {
    sim: Sim,
    pilot: Pilot,
    wished: Arc<AtomicU32>,
}

impl Flight {
    fn new(case: Case) -> Self {
        let mut sim = calm(case.world, usize::try_from(case.from).unwrap());
        let wished = Arc::new(AtomicU32::new(case.to));
        let mut spec = spec(case.world, hasty());
        spec.pace_ms = 5 * SECOND;
        // Everything has been up for a day, and leadership has stood: the first decision may be the plan.
        let warm_ms = sim.now_ms() + MINUTE;
        sim.advance(warm_ms);
        let pilot = Pilot::new(spec, told(&wished), &sim);
        Self { sim, pilot, wished }
    }

    fn pass(&mut self, ms: u64) {
        let until_ms = self.sim.now_ms() + ms;
        self.pilot.run(&mut self.sim, until_ms);
    }

    fn is_idle(&self) -> bool {
        self.pilot.journal().is_some_and(|journal| journal.plan.is_none() && !journal.history.is_empty())
    }

    /// Lets it work until no plan runs any more and nothing begins for some minutes.
    fn settle(&mut self) {
        let end_ms = self.sim.now_ms() + 4 * HOUR;
        let mut idle_ms = 0;
        while self.sim.now_ms() < end_ms && idle_ms < 6 * MINUTE {
            self.pass(15 * SECOND);
            idle_ms = if self.is_idle() { idle_ms + 15 * SECOND } else { 0 };
        }
    }

    fn say(&mut self, order: Order) {
        let command = Command { id: 1, who: "test".to_owned(), order };
        self.pilot.say(&mut self.sim, command);
    }

    /// What matters at the end, whatever happened on the way.
    fn end(&mut self) -> End {
        let seen = self.sim.observe(true);
        let members = seen.system.members.value().map_or(0, Vec::len);
        let alive = seen.system.members.value().into_iter().flatten();
        let alive = alive.filter(|row| row.alive.value() == Some(&true)).count();
        let harms = self.sim.oracle().findings().iter().map(|one| format!("{:?}", one.harm)).collect();
        let running = self.pilot.journal().and_then(|journal| journal.plan.clone());
        End {
            slots: self.sim.size(),
            members,
            alive,
            harms,
            running: running.map(|plan| format!("{:?} {}", plan.status, plan.why)),
        }
    }

    fn statuses(&self) -> Vec<(PlanStatus, u32)> {
        let history = self.pilot.journal().map_or(&[][..], |journal| &journal.history);
        history.iter().map(|ended| (ended.status, ended.ended_at)).collect()
    }
}

#[derive(Debug, PartialEq)]
struct End {
    slots: u32,
    members: usize,
    alive: usize,
    harms: Vec<String>,
    running: Option<String>,
}

impl End {
    fn at(size: u32) -> Self {
        let members = usize::try_from(size).unwrap();
        Self { slots: size, members, alive: members, harms: Vec::new(), running: None }
    }
}

/// How many effects the plan takes when nothing disturbs it, its beginning and end, and how long.
fn undisturbed(case: Case) -> (u64, u64) {
    let mut flight = Flight::new(case);
    let began_ms = flight.sim.now_ms();
    while !flight.is_idle() {
        flight.pass(SECOND);
        assert!(
            flight.sim.now_ms() < began_ms + 2 * HOUR,
            "{case:?} never ends: {:?}",
            flight.pilot.state().status()
        );
    }
    let (effects, took_ms) = (flight.pilot.effects(), flight.sim.now_ms() - began_ms);
    flight.settle();
    assert_eq!(flight.end(), End::at(case.to), "{case:?}");
    assert_eq!(flight.statuses(), [(PlanStatus::Done, case.to)], "{case:?}");
    (effects, took_ms)
}

/// The cases, each on a thread of its own.
fn each_case(check: impl Fn(Case) + Sync) {
    std::thread::scope(|scope| {
        for case in CASES {
            let check = &check;
            scope.spawn(move || check(case));
        }
    });
}

#[test]
fn killed_between_any_two_effects_a_plan_ends_where_it_would_have_ended() {
    each_case(|case| {
        let (effects, _) = undisturbed(case);
        println!("{case:?}: killed at {effects} points");
        for effect in 0..=effects {
            let mut flight = Flight::new(case);
            flight.pilot = flight.pilot.killed_before(effect);
            flight.settle();
            assert_eq!(flight.pilot.kills(), 1, "{case:?} at {effect}");
            assert_eq!(flight.end(), End::at(case.to), "{case:?} killed before effect {effect}");
            // A unit is done once: no second member comes or goes.
            let stops = flight.pilot.tally().effects.get("stop").copied().unwrap_or(0);
            assert!(
                stops <= u64::from(case.from.abs_diff(case.to)) + 1,
                "{case:?} at {effect}: {stops} stops"
            );
            let last = flight.statuses().last().copied();
            assert_eq!(last, Some((PlanStatus::Done, case.to)), "{case:?} killed before effect {effect}");
        }
    });
}

/// The sizes at which a plan may end when it is given up.
fn legal(case: Case) -> Vec<End> {
    let sizes = case.from.min(case.to)..=case.from.max(case.to);
    sizes.filter(|size| case.world == World::Sharded || size % 2 == 1).map(End::at).collect()
}

#[test]
fn a_wish_that_turns_at_any_tick_ends_at_the_size_that_is_wished_last() {
    each_case(|case| {
        let (_, took_ms) = undisturbed(case);
        for tick in 0..took_ms / (5 * SECOND) {
            let mut flight = Flight::new(case);
            flight.pass(tick * 5 * SECOND);
            flight.wished.store(case.from, Ordering::Relaxed);
            flight.settle();
            assert_eq!(
                flight.end(),
                End::at(case.from),
                "{case:?} turned at tick {tick}: {:?}",
                flight.statuses()
            );
        }
    });
}

#[test]
fn a_plan_that_is_cancelled_at_any_tick_ends_at_a_legal_size_with_everybody_well() {
    each_case(|case| {
        let (_, took_ms) = undisturbed(case);
        for tick in 0..took_ms / (5 * SECOND) {
            let mut flight = Flight::new(case);
            flight.pass(tick * 5 * SECOND);
            flight.wished.store(case.from, Ordering::Relaxed);
            flight.say(Order::Cancel);
            let until_ms = flight.sim.now_ms() + 30 * MINUTE;
            flight.pilot.run(&mut flight.sim, until_ms);
            let end = flight.end();
            assert!(legal(case).contains(&end), "{case:?} cancelled at tick {tick}: {end:?}");
        }
    });
}

/// What can be out of sight.
/// What is hidden, and how.
type Hidden = (&'static str, fn(&mut Observation));

const HIDDEN: [Hidden; 7] = [
    ("slots", |seen| seen.platform.slots = gap()),
    ("system", |seen| seen.system = SystemReport::default()),
    ("members", |seen| seen.system.members = gap()),
    ("groups", |seen| seen.system.groups = gap()),
    ("operations", |seen| seen.system.operations = gap()),
    ("vacant", |seen| seen.platform.vacant = gap()),
    ("debts", |seen| seen.system.debts = gap()),
];

fn gap<T>() -> Told<T> {
    Told::gap(Gap::Error, "no answer within the deadline")
}

#[test]
fn whatever_is_out_of_sight_at_any_tick_the_plan_waits_and_then_ends_where_it_would_have_ended() {
    each_case(|case| {
        let (_, took_ms) = undisturbed(case);
        for tick in 0..took_ms / (10 * SECOND) {
            for (what, hide) in HIDDEN {
                let mut flight = Flight::new(case);
                flight.pass(tick * 10 * SECOND);
                flight.pilot.look_through(Some(Box::new(hide)));
                flight.pass(40 * SECOND);
                flight.pilot.look_through(None);
                flight.settle();
                assert_eq!(flight.end(), End::at(case.to), "{case:?}, {what} hidden at tick {tick}");
            }
        }
    });
}

#[test]
fn nothing_is_done_that_cannot_be_taken_back_while_the_members_are_out_of_sight() {
    each_case(|case| {
        let mut flight = Flight::new(case);
        flight.pilot.look_through(Some(Box::new(|seen: &mut Observation| seen.system.members = gap())));
        flight.pass(HOUR);
        assert_eq!(flight.pilot.tally().effects, BTreeMap::new(), "{case:?}");
    });
}

#[test]
fn a_call_that_is_applied_and_not_answered_or_lost_or_refused_is_done_once_in_the_end() {
    each_case(|case| {
        let mut verbs: BTreeSet<String> = BTreeSet::new();
        let mut plain = Flight::new(case);
        plain.settle();
        verbs.extend(plain.pilot.tally().effects.keys().cloned());
        assert!(verbs.len() >= 2, "{verbs:?}");
        for verb in verbs {
            for passage in [Passage::Unanswered, Passage::Lost, Passage::Refused] {
                let mut flight = Flight::new(case);
                let (mut left, name) = (1, verb.clone());
                flight.pilot.speak_over(Some(Box::new(move |call: &Verb| {
                    let chosen = call.kind() == name && left > 0;
                    left -= i32::from(chosen);
                    if chosen { passage } else { Passage::Through }
                })));
                flight.settle();
                assert_eq!(flight.end(), End::at(case.to), "{case:?}: {verb} {passage:?}");
                assert_eq!(flight.statuses(), [(PlanStatus::Done, case.to)], "{case:?}: {verb} {passage:?}");
            }
        }
    });
}
