//! One moment of the demo as plain values. The screen is drawn from them alone.

use super::teller::{Figures, Line};
use plimsoll_sim::sim::Sim;
use plimsoll_wire::profile::Profile;
use plimsoll_wire::snapshot::Lifecycle;
use plimsoll_wire::status::Status;
use std::collections::BTreeMap;

/// Where a picture is taken from.
pub(super) struct Sight<'a> {
    pub(super) now_ms: u64,
    pub(super) deciding: &'a str,
    pub(super) sim: &'a Sim,
    pub(super) status: &'a Status,
    pub(super) profile: &'a Profile,
    pub(super) figures: &'a Figures,
    pub(super) kills: u64,
    pub(super) points: &'a [(u64, u64)],
    pub(super) recent: &'a [Line],
}

/// Everything on the screen.
#[derive(Clone, Debug, Default)]
pub(super) struct Picture {
    pub(super) now_ms: u64,
    pub(super) deciding: String,
    /// Requests a second.
    pub(super) demand: u64,
    pub(super) capacity: u64,
    /// The day so far, a point every five minutes.
    pub(super) points: Vec<(u64, u64)>,
    pub(super) domains: BTreeMap<String, Vec<Seat>>,
    pub(super) plan: Option<Course>,
    pub(super) recent: Vec<Line>,
    pub(super) figures: Figures,
    pub(super) kills: u64,
    pub(super) violated_s: u64,
    pub(super) acknowledged: u64,
    pub(super) lost_by_us: u64,
    pub(super) size: u32,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) slot: String,
    /// What it does now, in one word.
    pub(super) state: &'static str,
    /// How full its disk is, in percent, once it has one.
    pub(super) disk_percent: Option<u64>,
}

/// The running plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Course {
    pub(super) title: String,
    /// Each phase with its mark, and whether the system cannot take it back.
    pub(super) phases: Vec<(char, std::sync::Arc<str>, bool)>,
    pub(super) waits: String,
}

impl Picture {
    pub(super) fn of(sight: &Sight<'_>) -> Self {
        let summary = sight.sim.summary();
        Self {
            now_ms: sight.now_ms,
            deciding: sight.deciding.to_owned(),
            demand: sight.sim.demand_per_s(),
            capacity: sight.sim.capacity_per_s(),
            points: sight.points.to_vec(),
            domains: domains(sight.sim),
            plan: course(sight.status, sight.profile),
            recent: sight.recent.to_vec(),
            figures: sight.figures.clone(),
            kills: sight.kills,
            violated_s: summary.violated_ms / 1_000,
            acknowledged: summary.acknowledged,
            lost_by_us: summary.lost_by_us,
            size: sight.sim.size(),
        }
    }
}

/// The truth, and not what the daemon knows of it: this is for people who watch.
fn domains(sim: &Sim) -> BTreeMap<String, Vec<Seat>> {
    let platform = sim.world().platform().report();
    let system = sim.world().system_report(sim.now_ms());
    let members = system.members.value().map_or(&[][..], Vec::as_slice);
    let mut domains: BTreeMap<String, Vec<Seat>> = BTreeMap::new();
    for slot in platform.slots.value().map_or(&[][..], Vec::as_slice) {
        let member = members.iter().find(|member| member.slot.as_ref() == Some(&slot.slot));
        let used = member.and_then(|member| member.disk_used_bytes.value());
        let whole = member.and_then(|member| member.disk_capacity_bytes.value());
        let moving = member.and_then(|it| it.hosted.value()).is_some_and(|hosted| hosted.moving > 0);
        let lifecycle = member.and_then(|member| member.lifecycle.value().copied());
        let seat = Seat {
            slot: slot.slot.to_string(),
            state: word(slot.running, lifecycle, moving),
            disk_percent: used.zip(whole).map(|(used, whole)| used * 100 / (*whole).max(1)),
        };
        let domain = slot.domain.value().cloned().unwrap_or_default();
        domains.entry(domain).or_default().push(seat);
    }
    domains
}

fn word(running: bool, lifecycle: Option<Lifecycle>, moving: bool) -> &'static str {
    if !running {
        return "failed";
    }
    match lifecycle {
        None | Some(Lifecycle::Provisioning | Lifecycle::Joining) => "joining",
        Some(Lifecycle::CatchingUp) => "filling",
        Some(Lifecycle::Serving) if moving => "moving",
        Some(Lifecycle::Serving) => "serving",
        Some(Lifecycle::Draining) => "draining",
        Some(Lifecycle::Drained | Lifecycle::Removed) => "empty",
        Some(Lifecycle::Dead) => "failed",
    }
}

fn course(status: &Status, profile: &Profile) -> Option<Course> {
    let plan = status.plan.as_ref()?;
    let (way, phases) =
        if plan.to() > plan.from() { ("scale-out", profile.grow()) } else { ("scale-in", profile.shrink()) };
    let at = usize::try_from(plan.phase).unwrap_or(usize::MAX);
    let mark = |index: usize| match index.cmp(&at) {
        std::cmp::Ordering::Less => '✓',
        std::cmp::Ordering::Equal => '▶',
        std::cmp::Ordering::Greater => '·',
    };
    let phases =
        phases.iter().enumerate().map(|(index, phase)| (mark(index), phase.step.clone(), phase.no_return));
    let seat = plan.subject.as_ref().map_or_else(String::new, |subject| format!(", {}", subject.slot));
    let units = plan.from().abs_diff(plan.to());
    let state = serde_json::to_value(plan.status).ok();
    let state = state.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let waits = if plan.why.is_empty() { status.waiting_for.clone() } else { plan.why.clone() };
    Some(Course {
        title: format!(
            "{way} {} → {}, {state}, member {} of {units}{seat}",
            plan.from(),
            plan.to(),
            (plan.unit + 1).min(units)
        ),
        phases: phases.collect(),
        waits,
    })
}
