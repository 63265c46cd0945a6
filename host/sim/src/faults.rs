//! What breaks, and when: drawn from a seed.
//!
//! A seed first draws which classes of faults exist at all (swarm testing: a run in which everything breaks at
//! once hides more than it finds), then when each of them strikes.

use crate::rng::Rng;
use crate::world::Blow;
use plimsoll_core::observation::{Observation, PlatformReport, Reading, Source, SystemMember, SystemReport};
use plimsoll_wire::fact::{Authority, Gap};
use plimsoll_wire::snapshot::{Signal, SignalState};
use std::collections::{BTreeMap, BTreeSet};

/// A class of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A series does not exist for a while.
    MetricsMissing,
    /// A series does not go on for a while.
    MetricsStale,
    /// A series is not a number for a while.
    MetricsNan,
    /// A part of a series is missing for a while.
    MetricsPartial,
    /// Parts of what is read are missing for a while.
    ReadPartial,
    /// Reads that are not direct come from an old cache for a while.
    ReadStale,
    /// A member's process dies and comes back.
    MemberCrash,
    /// A member dies for good, with its data.
    MemberLost,
    /// A member takes data in slowly for a while.
    MemberSlow,
    /// Data moves slowly, or not at all, for a while.
    MovesSlow,
    /// A call is refused because somebody else wrote first.
    CallConflict,
    /// A call is refused because the server is not in the mood.
    CallRefused,
    /// A call is lost; nobody knows.
    CallLost,
    /// A call is applied, but its answer is lost; nobody knows.
    CallUnanswered,
    /// The daemon is killed between two effects.
    Kill,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::MetricsMissing,
        Self::MetricsStale,
        Self::MetricsNan,
        Self::MetricsPartial,
        Self::ReadPartial,
        Self::ReadStale,
        Self::MemberCrash,
        Self::MemberLost,
        Self::MemberSlow,
        Self::MovesSlow,
        Self::CallConflict,
        Self::CallRefused,
        Self::CallLost,
        Self::CallUnanswered,
        Self::Kill,
    ];
}

/// How a class of faults works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// From a time to a time.
    Window,
    /// At a time, against a member.
    Blow,
    /// By chance, at each call or effect.
    Call,
}

impl Class {
    fn shape(self) -> Shape {
        match self {
            Self::MetricsMissing
            | Self::MetricsStale
            | Self::MetricsNan
            | Self::MetricsPartial
            | Self::ReadPartial
            | Self::ReadStale => Shape::Window,
            Self::MemberCrash | Self::MemberLost | Self::MemberSlow | Self::MovesSlow => Shape::Blow,
            Self::CallConflict | Self::CallRefused | Self::CallLost | Self::CallUnanswered | Self::Kill => {
                Shape::Call
            }
        }
    }

    /// How often it strikes in a run, and for how long, in milliseconds.
    fn pace(self) -> ((u64, u64), (u64, u64)) {
        match (self, self.shape()) {
            (Self::MemberLost, _) => ((1, 1), (0, 0)),
            (Self::MemberCrash, _) => ((2, 8), (10 * SECOND, 15 * MINUTE)),
            (_, Shape::Window | Shape::Blow) => ((1, 6), (30 * SECOND, 40 * MINUTE)),
            (_, Shape::Call) => ((0, 0), (0, 0)),
        }
    }
}

/// Which faults a run may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultSetup {
    /// None at all.
    None,
    /// The seed draws the classes; none strikes after so many milliseconds from the start, so that a run can
    /// show that it recovers.
    Drawn {
        /// Until when.
        until_ms: u64,
    },
    /// Exactly these classes, all of them.
    Only {
        /// Which.
        classes: BTreeSet<Class>,
        /// Until when.
        until_ms: u64,
    },
    /// Exactly these, at their times: a story that is told, and not one that is drawn. Classes that strike by
    /// chance at each call (`Call...`, `Kill`) have no time and are left out.
    Planned(Vec<PlannedFault>),
}

/// One fault of a story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedFault {
    /// What breaks.
    pub class: Class,
    /// When, in milliseconds from the start of the run.
    pub at_ms: u64,
    /// For how long, in milliseconds; means nothing for a member that is lost for good.
    pub for_ms: u64,
}

/// The faults of one run.
#[derive(Clone, Debug)]
pub struct Faults {
    classes: BTreeSet<Class>,
    until_ms: u64,
    windows: Vec<(Class, u64, u64)>,
    blows: Vec<Planned>,
    hits: BTreeMap<Class, u64>,
    cache: Option<(PlatformReport, SystemReport)>,
    asked: u64,
    kill_at: Option<u64>,
    calls: Rng,
    reads: Rng,
    kills: Rng,
    targets: Rng,
}

#[derive(Clone, Copy, Debug)]
struct Planned {
    at_ms: u64,
    class: Class,
    for_ms: u64,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Normal,
    Conflict,
    Refused,
    Lost,
    Unanswered,
}

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

impl Faults {
    /// The faults of a seed; `start_ms` is the world's clock when the run begins.
    #[must_use]
    pub fn new(seed: u64, setup: &FaultSetup, start_ms: u64) -> Self {
        let mut draw = Rng::stream(seed, "fault-classes");
        let (classes, until_ms) = match setup {
            FaultSetup::None => (BTreeSet::new(), 0),
            FaultSetup::Drawn { until_ms } => {
                let drawn = Class::ALL.into_iter().filter(|class| {
                    // A member that is lost for good ends most of what can happen: it is rarer.
                    draw.chance(if *class == Class::MemberLost { 150 } else { 400 })
                });
                (drawn.collect(), *until_ms)
            }
            FaultSetup::Only { classes, until_ms } => (classes.clone(), *until_ms),
            FaultSetup::Planned(faults) => (faults.iter().map(|fault| fault.class).collect(), 0),
        };
        let mut faults = Self {
            classes,
            until_ms: start_ms + until_ms,
            windows: Vec::new(),
            blows: Vec::new(),
            hits: BTreeMap::new(),
            cache: None,
            asked: 0,
            kill_at: None,
            calls: Rng::stream(seed, "fault-calls"),
            reads: Rng::stream(seed, "fault-reads"),
            kills: Rng::stream(seed, "fault-kills"),
            targets: Rng::stream(seed, "fault-targets"),
        };
        match setup {
            FaultSetup::Planned(planned) => {
                for fault in planned {
                    faults.schedule(fault.class, start_ms + fault.at_ms, fault.for_ms);
                }
            }
            FaultSetup::None | FaultSetup::Drawn { .. } | FaultSetup::Only { .. } => {
                faults.plan(seed, start_ms, until_ms);
            }
        }
        // The next one is taken from the end.
        faults.blows.sort_by_key(|planned| (u64::MAX - planned.at_ms, planned.class));
        faults
    }

    fn schedule(&mut self, class: Class, at_ms: u64, for_ms: u64) {
        match class.shape() {
            Shape::Window => self.windows.push((class, at_ms, at_ms + for_ms)),
            Shape::Blow => self.blows.push(Planned { at_ms, class, for_ms }),
            Shape::Call => {}
        }
    }

    fn plan(&mut self, seed: u64, start_ms: u64, length_ms: u64) {
        for class in self.classes.clone() {
            // Each class has its own stream: one more class leaves the times of the others alone.
            let mut rng = Rng::stream(seed, &format!("fault-{class:?}"));
            let (times, length) = class.pace();
            for _ in 0..rng.between(times.0, times.1) {
                let at_ms = start_ms + rng.below(length_ms);
                let for_ms = rng.between(length.0, length.1);
                self.schedule(class, at_ms, for_ms);
            }
        }
    }

    /// Which classes this run has.
    #[must_use]
    pub fn classes(&self) -> &BTreeSet<Class> {
        &self.classes
    }

    /// How often each class struck.
    #[must_use]
    pub fn hits(&self) -> &BTreeMap<Class, u64> {
        &self.hits
    }

    /// When the next blow falls.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        self.blows.last().map(|planned| planned.at_ms)
    }

    /// The next blow that is due, against one of the slots in use.
    pub(crate) fn blow(&mut self, now_ms: u64, used: &[usize]) -> Option<Blow> {
        let planned = self.blows.pop_if(|planned| planned.at_ms <= now_ms)?;
        let dice = usize::try_from(self.targets.below(used.len() as u64)).unwrap_or(0);
        let pace = self.targets.below(300);
        let until_ms = now_ms + planned.for_ms;
        let slot = *used.get(dice)?;
        self.hit(planned.class);
        // A third of the slow moves stand still.
        let moves = Blow::SlowMoves { until_ms, permille: pace.saturating_sub(100) };
        let fates = [
            (Class::MemberLost, Blow::Crash { slot, until_ms: None }),
            (Class::MemberCrash, Blow::Crash { slot, until_ms: Some(until_ms) }),
            (Class::MemberSlow, Blow::Slow { slot, until_ms, permille: pace / 10 }),
            (Class::MovesSlow, moves),
        ];
        fates.into_iter().find(|(class, _)| *class == planned.class).map(|(_, blow)| blow)
    }

    /// Whether the daemon is killed at this point; to be asked between any two effects.
    pub(crate) fn kill(&mut self, now_ms: u64) -> bool {
        self.asked += 1;
        let drawn = self.has(Class::Kill, now_ms) && self.kills.chance(10);
        let killed = drawn || self.kill_at == Some(self.asked);
        if killed {
            self.hit(Class::Kill);
        }
        killed
    }

    /// Kills the daemon before its effect of this number, counted from 1, whatever the classes are: so that
    /// every place between two effects can be tried in turn.
    pub(crate) fn kill_at(&mut self, effect: u64) {
        self.kill_at = Some(effect);
    }

    /// How many effects the daemon was about to do so far.
    #[must_use]
    pub fn effects(&self) -> u64 {
        self.asked
    }

    /// What becomes of the next call.
    pub(crate) fn fate(&mut self, now_ms: u64) -> Fate {
        let fates = [
            (Class::CallConflict, Fate::Conflict),
            (Class::CallRefused, Fate::Refused),
            (Class::CallLost, Fate::Lost),
            (Class::CallUnanswered, Fate::Unanswered),
        ];
        for (class, fate) in fates {
            // One in ten: a plan makes only a handful of calls.
            let dice = self.calls.chance(100);
            if dice && self.has(class, now_ms) {
                self.hit(class);
                return fate;
            }
        }
        Fate::Normal
    }

    fn has(&self, class: Class, now_ms: u64) -> bool {
        now_ms < self.until_ms && self.classes.contains(&class)
    }

    fn hit(&mut self, class: Class) {
        *self.hits.entry(class).or_default() += 1;
    }

    fn is_open(&self, class: Class, now_ms: u64) -> bool {
        self.windows.iter().any(|(of, from_ms, to_ms)| *of == class && (*from_ms..*to_ms).contains(&now_ms))
    }

    /// Turns the truth into what is observed.
    pub(crate) fn distort(&mut self, seen: &mut Observation) {
        let now_ms = seen.at.mono_ms;
        if self.is_open(Class::ReadStale, now_ms) && !seen.direct {
            self.hit(Class::ReadStale);
            match &self.cache {
                Some((platform, system)) => {
                    seen.platform = platform.clone();
                    seen.system = system.clone();
                    demote(&mut seen.system);
                }
                None => self.cache = Some((seen.platform.clone(), seen.system.clone())),
            }
        } else if !seen.direct {
            self.cache = None;
        }
        // Drawn outside the condition, so that the windows of one class do not shift the draws of another.
        let (dice, whom) = (self.reads.below(6), self.reads.bits());
        if self.is_open(Class::ReadPartial, now_ms) {
            self.hit(Class::ReadPartial);
            hide(seen, dice, whom);
        }
        self.distort_signals(now_ms, &mut seen.signals);
    }

    fn distort_signals(&mut self, now_ms: u64, signals: &mut BTreeMap<String, Signal>) {
        let states = [
            (Class::MetricsMissing, SignalState::Absent, "no series"),
            (Class::MetricsStale, SignalState::Stale, "the newest sample is too old"),
            (Class::MetricsNan, SignalState::NotANumber, "the newest sample is NaN"),
            (Class::MetricsPartial, SignalState::Partial, "half of the window has no samples"),
        ];
        for (class, state, detail) in states {
            if !self.is_open(class, now_ms) {
                continue;
            }
            self.hit(class);
            for signal in signals.values_mut() {
                spoil(signal, state, detail);
            }
            return;
        }
    }
}

fn spoil(signal: &mut Signal, state: SignalState, detail: &str) {
    signal.state = state;
    detail.clone_into(&mut signal.detail);
    if state == SignalState::Partial {
        signal.coverage_permille = Some(500);
        let half = signal.samples.len() / 2;
        signal.samples.truncate(half);
        return;
    }
    signal.samples.clear();
    signal.coverage_permille = None;
    signal.age_ms = (state == SignalState::Stale).then_some(10 * MINUTE);
}

/// Takes one thing out of what was seen.
fn hide(seen: &mut Observation, dice: u64, whom: u64) {
    let late = "no answer within the deadline";
    match dice {
        0 => seen.platform.slots = Reading::gap(Gap::Error, late),
        1 => seen.system = SystemReport::default(),
        2 => seen.system.groups = Reading::gap(Gap::Partial { got: 1, want: 2 }, late),
        3 => seen.system.operations = Reading::gap(Gap::Error, late),
        4 => seen.platform.vacant = Reading::gap(Gap::Error, late),
        _ => {
            if let Reading::Value { value, .. } = &mut seen.system.members {
                let at = usize::try_from(whom % value.len().max(1) as u64).unwrap_or(0);
                if let Some(member) = value.get_mut(at) {
                    member.alive = Reading::gap(Gap::Error, late);
                    member.disk_used_bytes = Reading::gap(Gap::Error, late);
                }
            }
        }
    }
}

/// An old list is on nobody's word but a cache's.
fn demote(report: &mut SystemReport) {
    weaken(&mut report.fingerprint);
    weaken(&mut report.epoch);
    weaken(&mut report.members);
    weaken(&mut report.groups);
    weaken(&mut report.operations);
    weaken(&mut report.debts);
    weaken(&mut report.join);
    if let Reading::Value { value, .. } = &mut report.members {
        value.iter_mut().for_each(demote_member);
    }
}

fn demote_member(member: &mut SystemMember) {
    weaken(&mut member.lifecycle);
    weaken(&mut member.alive);
    weaken(&mut member.roles);
    weaken(&mut member.hosted);
    weaken(&mut member.load_bytes);
    weaken(&mut member.disk_used_bytes);
}

fn weaken<T>(told: &mut Reading<T>) {
    if let Reading::Value { source, .. } = told {
        *source = Source { authority: Authority::Cache, ..source.clone() };
    }
}

#[cfg(test)]
mod tests {
    use super::{Class, FaultSetup, Faults};
    use std::collections::{BTreeMap, BTreeSet};

    const DAY: u64 = 86_400_000;

    #[test]
    fn a_swarm_of_seeds_has_every_class_and_no_seed_has_all() {
        let mut seen: BTreeMap<Class, u64> = BTreeMap::new();
        for seed in 0..500 {
            let faults = Faults::new(seed, &FaultSetup::Drawn { until_ms: DAY }, 0);
            assert!(faults.classes().len() < Class::ALL.len(), "seed {seed}");
            for class in faults.classes() {
                *seen.entry(*class).or_default() += 1;
            }
        }
        let rare: Vec<_> =
            Class::ALL.iter().filter(|class| seen.get(class).copied().unwrap_or(0) < 25).collect();
        assert!(rare.is_empty(), "in fewer than 5 % of the seeds: {rare:?}");
    }

    #[test]
    fn one_more_class_leaves_the_times_of_the_others_alone() {
        let times = |classes: &[Class]| {
            let classes: BTreeSet<Class> = classes.iter().copied().collect();
            let faults = Faults::new(9, &FaultSetup::Only { classes, until_ms: DAY }, 0);
            let crashes = faults.blows.iter().filter(|it| it.class == Class::MemberCrash);
            crashes.map(|it| (it.at_ms, it.for_ms)).collect::<Vec<_>>()
        };
        assert_eq!(
            times(&[Class::MemberCrash]),
            times(&[Class::MemberCrash, Class::MemberSlow, Class::Kill])
        );
    }

    #[test]
    fn nothing_strikes_after_the_faults_have_ended() {
        let all = Class::ALL.into_iter().collect();
        let mut faults = Faults::new(3, &FaultSetup::Only { classes: all, until_ms: DAY }, 0);
        assert!(faults.blows.iter().all(|it| it.at_ms < DAY));
        let struck = (0..1_000).filter(|_| faults.kill(DAY)).count();
        assert_eq!(struck, 0);
        assert!((0..1_000).filter(|_| faults.kill(DAY - 1)).count() > 0);
    }
}
