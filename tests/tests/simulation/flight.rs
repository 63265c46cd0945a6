//! A daemon in a calm world that is about to carry one plan out, and what matters at its end.

use crate::worlds::{HOUR, MINUTE, SECOND, World, calm, hasty, spec, told};
use plimsoll_core::cycle::{Command, Order};
use plimsoll_core::observation::{Observation, Reading, SystemReport};
use plimsoll_sim::faults::FaultSetup;
use plimsoll_sim::pilot::Pilot;
use plimsoll_sim::platform::Volumes;
use plimsoll_sim::sim::Sim;
use plimsoll_wire::fact::Gap;
use plimsoll_wire::journal::PlanStatus;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

/// A plan from one size to another in a calm world.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) world: World,
    pub(crate) from: u32,
    pub(crate) to: u32,
}

pub(crate) const CASES: [Case; 6] = [
    Case { world: World::Quorum, from: 3, to: 5 },
    Case { world: World::Quorum, from: 5, to: 3 },
    Case { world: World::Sharded, from: 5, to: 6 },
    Case { world: World::Sharded, from: 6, to: 5 },
    Case { world: World::Together, from: 5, to: 8 },
    Case { world: World::Together, from: 8, to: 5 },
];

/// A daemon in its world, about to carry the plan out.
pub(crate) struct Flight {
    pub(crate) sim: Sim,
    pub(crate) pilot: Pilot,
    pub(crate) wished: Arc<AtomicU32>,
}

impl Flight {
    pub(crate) fn new(case: Case) -> Self {
        Self::with(case, Volumes::SetAside, FaultSetup::None)
    }

    /// Where this becomes of the volumes of stopped members, and this breaks.
    pub(crate) fn with(case: Case, volumes: Volumes, faults: FaultSetup) -> Self {
        let mut sim = calm(case.world, usize::try_from(case.from).unwrap(), volumes, faults);
        let wished = Arc::new(AtomicU32::new(case.to));
        let mut spec = spec(case.world, hasty());
        spec.pace_ms = 5 * SECOND;
        // Everything has been up for a day, and leadership has stood: the first decision may be the plan.
        let warm_ms = sim.now_ms() + MINUTE;
        sim.advance(warm_ms);
        let pilot = Pilot::new(spec, told(&wished), &sim);
        Self { sim, pilot, wished }
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        let until_ms = self.sim.now_ms() + ms;
        self.pilot.run(&mut self.sim, until_ms);
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.pilot.journal().is_some_and(|journal| journal.plan.is_none() && !journal.history.is_empty())
    }

    /// Lets it work until no plan runs any more and nothing begins for some minutes.
    pub(crate) fn settle(&mut self) {
        let end_ms = self.sim.now_ms() + 4 * HOUR;
        let mut idle_ms = 0;
        while self.sim.now_ms() < end_ms && idle_ms < 6 * MINUTE {
            self.pass(15 * SECOND);
            idle_ms = if self.is_idle() { idle_ms + 15 * SECOND } else { 0 };
        }
    }

    pub(crate) fn say(&mut self, order: Order) {
        let command = Command { id: 1, who: "test".to_owned(), order };
        self.pilot.say(&mut self.sim, command);
    }

    /// What matters at the end, whatever happened on the way.
    pub(crate) fn end(&mut self) -> End {
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

    pub(crate) fn statuses(&self) -> Vec<(PlanStatus, u32)> {
        let history = self.pilot.journal().map_or(&[][..], |journal| &journal.history);
        history.iter().map(|ended| (ended.status, ended.ended_at.members.unwrap())).collect()
    }
}

#[derive(Debug, PartialEq)]
pub(crate) struct End {
    pub(crate) slots: u32,
    pub(crate) members: usize,
    pub(crate) alive: usize,
    pub(crate) harms: Vec<String>,
    pub(crate) running: Option<String>,
}

impl End {
    pub(crate) fn at(size: u32) -> Self {
        let members = usize::try_from(size).unwrap();
        Self { slots: size, members, alive: members, harms: Vec::new(), running: None }
    }
}

/// How many effects the plan takes when nothing disturbs it, its beginning and end, and how long.
pub(crate) fn undisturbed(case: Case) -> (u64, u64) {
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
pub(crate) fn each_case(check: impl Fn(Case) + Sync) {
    std::thread::scope(|scope| {
        for case in CASES {
            let check = &check;
            scope.spawn(move || check(case));
        }
    });
}

/// What is hidden, and how.
pub(crate) type Hidden = (&'static str, fn(&mut Observation));

/// What can be out of sight.
pub(crate) const HIDDEN: [Hidden; 7] = [
    ("slots", |seen| seen.platform.slots = gap()),
    ("system", |seen| seen.system = SystemReport::default()),
    ("members", |seen| seen.system.members = gap()),
    ("groups", |seen| seen.system.groups = gap()),
    ("operations", |seen| seen.system.operations = gap()),
    ("vacant", |seen| seen.platform.vacant = gap()),
    ("debts", |seen| seen.system.debts = gap()),
];

pub(crate) fn gap<T>() -> Reading<T> {
    Reading::gap(Gap::Error, "no answer within the deadline")
}
