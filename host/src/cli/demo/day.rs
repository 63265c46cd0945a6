//! Runs the demo's day: the production cycle drives the simulated cluster, a few seconds of its time at each step.

use super::advisor::{self, Advisor};
use super::picture::{Picture, Sight};
use super::story::{self, CRASH, DAY, KILLED_IN, MINUTE, SECOND, STALE};
use super::teller::{Line, Teller, Tone};
use plimsoll_sim::pilot::{Pilot, Recorder, Unguarded};
use plimsoll_sim::sim::{Sim, Summary};
use plimsoll_wire::journal::PlanStatus;

/// How far one advance goes. The same for every way of watching: what happens must not depend on who looks.
const STRIDE_MS: u64 = 5 * SECOND;
/// How often the chart gets a point.
const POINT_MS: u64 = 5 * MINUTE;

/// A day under way.
pub(super) struct Day {
    sim: Sim,
    pilot: Pilot,
    teller: Teller,
    start_ms: u64,
    lines: Vec<Line>,
    /// The newest lines, for the screen.
    recent: Vec<Line>,
    /// Demand and capacity, a point every [`POINT_MS`].
    points: Vec<(u64, u64)>,
    /// In which of the phases the daemon was killed already.
    killed: Vec<&'static str>,
    stale: bool,
    crashed: Option<String>,
}

/// Lines that a screen could show.
const RECENT: usize = 64;

impl Day {
    pub(super) fn new(seed: u64, advisor: Advisor, recorder: Option<Recorder>) -> Self {
        let mut sim = Sim::new(story::setup(seed));
        sim.trace().keep();
        let pilot = Pilot::asking(story::spec(), advisor.asker, &sim).keeping_records();
        let pilot = match recorder {
            Some(recorder) => pilot.recording(recorder),
            None => pilot,
        };
        let start_ms = sim.now_ms();
        Self {
            teller: Teller::new(start_ms),
            start_ms,
            sim,
            pilot,
            lines: Vec::new(),
            recent: Vec::new(),
            points: Vec::new(),
            killed: Vec::new(),
            stale: false,
            crashed: None,
        }
    }

    /// Milliseconds since midnight.
    pub(super) fn now_ms(&self) -> u64 {
        self.sim.now_ms() - self.start_ms
    }

    pub(super) fn is_over(&self) -> bool {
        self.now_ms() >= DAY
    }

    /// Whether a plan is under way: then there is more to see.
    pub(super) fn is_moving(&self) -> bool {
        self.pilot.journal().is_some_and(|journal| journal.plan.is_some())
    }

    /// A few seconds pass.
    pub(super) fn advance(&mut self) {
        let to_ms = self.start_ms + (self.now_ms() + STRIDE_MS).min(DAY);
        self.pilot.run(&mut self.sim, to_ms);
        for record in self.pilot.take_records() {
            self.lines.extend(self.teller.tell(&record));
        }
        self.watch_faults();
        self.kill();
        if self.now_ms() / POINT_MS >= self.points.len() as u64 {
            self.points.push((self.sim.demand_per_s(), self.sim.capacity_per_s()));
        }
    }

    /// The lines since the last time.
    pub(super) fn take_lines(&mut self) -> Vec<Line> {
        let lines = std::mem::take(&mut self.lines);
        self.recent.extend(lines.iter().cloned());
        let surplus = self.recent.len().saturating_sub(RECENT);
        self.recent.drain(..surplus);
        lines
    }

    fn say(&mut self, tone: Tone, text: impl Into<String>) {
        let at_ms = self.now_ms();
        self.lines.push(Line { at_ms, tone, text: text.into() });
    }

    fn watch_faults(&mut self) {
        let stale = (STALE.at_ms..STALE.at_ms + STALE.for_ms).contains(&self.now_ms());
        if stale != self.stale {
            self.stale = stale;
            let text =
                if stale { "fault    metrics have gone stale" } else { "healed   metrics are fresh again" };
            self.say(if stale { Tone::Fault } else { Tone::Plain }, text);
        }
        for (_, note) in self.sim.trace().take() {
            if let Some(slot) = note.strip_suffix(" crashed") {
                self.say(Tone::Fault, format!("fault    {slot} has failed"));
                self.crashed = Some(slot.to_owned());
            }
        }
        if self.now_ms() >= CRASH.at_ms + CRASH.for_ms
            && let Some(slot) = self.crashed.take()
        {
            self.say(Tone::Plain, format!("healed   {slot} is back"));
        }
    }

    /// The daemon is killed in the middle of a plan, once in each of the chosen phases.
    fn kill(&mut self) {
        let status = self.pilot.state().status();
        let runs = status.plan.is_some_and(|plan| plan.status == PlanStatus::Running);
        let phase =
            KILLED_IN.into_iter().find(|phase| *phase == status.phase && !self.killed.contains(phase));
        if let Some(phase) = phase.filter(|_| runs) {
            self.killed.push(phase);
            self.pilot.kill(&self.sim);
            self.say(
                Tone::Fault,
                format!("fault    the daemon is killed (SIGKILL) in the middle of {phase}"),
            );
        }
    }

    /// What there is to see.
    pub(super) fn picture(&self, deciding: &str) -> Picture {
        Picture::of(&Sight {
            now_ms: self.now_ms(),
            deciding,
            sim: &self.sim,
            status: &self.pilot.state().status(),
            profile: &self.pilot.state().spec().profile,
            figures: self.teller.figures(),
            kills: self.pilot.kills(),
            points: &self.points,
            recent: &self.recent,
        })
    }

    pub(super) fn summary(&self) -> Summary {
        self.sim.summary()
    }

    pub(super) fn teller(&self) -> &Teller {
        &self.teller
    }

    pub(super) fn kills(&self) -> u64 {
        self.pilot.kills()
    }

    pub(super) fn moved_bytes(&self) -> u64 {
        self.sim.world().moved_bytes()
    }

    pub(super) fn size(&self) -> u32 {
        self.sim.size()
    }
}

/// The same day with the same policy and no guard.
pub(super) fn unguarded(seed: u64) -> Summary {
    let mut sim = Sim::new(story::setup(seed));
    let spec = story::spec();
    let settings = spec.policies.first().map(|policy| policy.settings.clone()).unwrap_or_default();
    let until_ms = sim.now_ms() + DAY;
    Unguarded::new(spec, advisor::unguarded(settings)).run(&mut sim, until_ms);
    sim.summary()
}
