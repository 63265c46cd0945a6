//! Snapshots for tests, so that a policy is tested without Wasm and without a cluster.

use crate::journal::{PlanState, PlanStatus, Stamp};
use crate::snapshot::{
    Behavior, Change, Generation, History, Lifecycle, Member, Mode, Now, Role, Sample, Signal, SignalState,
    Target,
};
use crate::{Bounds, FORMAT_VERSION, Fact, Gap, Snapshot};
use plimsoll_wire::fact::{Authority, Known};
use plimsoll_wire::size::{Leg, Observed};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Begins a snapshot of a healthy target `test/example` with three members and no signals, taken two days
/// after boot. It may have one to ten members.
#[must_use]
pub fn snapshot() -> Builder {
    let now = Now { mono_ms: 172_800_000, wall_ms: 1_800_000_000_000, boot: "boot-1".into() };
    let target = Target {
        key: "test/example".into(),
        system: "etcd".to_owned(),
        platform: "sim".to_owned(),
        mode: Mode::Enforce,
        bounds: Bounds::of_members(1, 10),
        settings: Value::Null,
        behavior: Behavior::default(),
    };
    let snapshot = Snapshot {
        format_version: FORMAT_VERSION,
        now,
        target,
        safety: plimsoll_wire::Safety::default(),
        profile: Arc::new(plimsoll_wire::profile::Profile { system: "etcd".into(), ..Default::default() }),
        sizes: Observed::of_members(known(3)),
        fingerprint: known("cluster-1".to_owned()),
        epoch: known("epoch-1".to_owned()),
        generation: known(Generation { spec: 1, observed: 1 }),
        owner: known("plimsoll".to_owned()),
        members: known(Vec::new()),
        vacant: known(Vec::new()),
        groups: known(Vec::new()),
        operations: known(Vec::new()),
        shards: Fact::NotApplicable,
        debts: known(Vec::new()),
        history: History::default(),
        plan: None,
        signals: [].into(),
        facts: [].into(),
        state: None,
    };
    Builder { snapshot }.members(3)
}

/// A fact that was seen by linearizable reads, fresh, and has been the same for a day.
#[must_use]
pub fn known<T>(value: T) -> Fact<T> {
    Fact::Known(Known {
        value,
        authority: Authority::Consensus,
        age_ms: 500,
        observer: "sim".into(),
        observer_up_ms: 86_400_000,
        epoch: "epoch-1".into(),
        stable_ms: 86_400_000,
        reads: 100,
    })
}

/// A fact that nobody knows.
#[must_use]
pub fn unknown<T>(reason: Gap) -> Fact<T> {
    Fact::unknown(reason, "")
}

/// A snapshot in the making. What has no method here is set on the result: its fields are public.
#[derive(Clone, Debug)]
pub struct Builder {
    snapshot: Snapshot,
}

/// More rows than any system has.
const MOST_LISTED: u32 = 10_000;

impl Builder {
    /// The finished snapshot.
    #[must_use]
    pub fn build(self) -> Snapshot {
        self.snapshot
    }

    /// Another target, `test/NAME`, on a machine with a boot of its own.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.snapshot.target.key = format!("test/{name}").into();
        self.snapshot.now.boot = format!("boot-{name}").into();
        self
    }

    /// So many healthy members, `m0` leading. Of absurdly many only the first ones are listed.
    #[must_use]
    pub fn members(mut self, count: u32) -> Self {
        self.snapshot.sizes.members = known(count);
        self.snapshot.members = known((0..count.min(MOST_LISTED)).map(member).collect());
        self
    }

    /// A size of unknown value.
    #[must_use]
    pub fn unknown_size(mut self, reason: Gap) -> Self {
        self.snapshot.sizes.members = unknown(reason);
        self
    }

    /// A size that has been what it is for so many milliseconds.
    #[must_use]
    pub fn size_stable_ms(mut self, stable_ms: u64) -> Self {
        if let Fact::Known(size) = &mut self.snapshot.sizes.members {
            size.stable_ms = stable_ms;
        }
        self
    }

    /// The owner's bounds.
    #[must_use]
    pub fn bounds(mut self, min: u32, max: u32) -> Self {
        self.snapshot.target.bounds = Bounds::of_members(min, max);
        self
    }

    /// The policy's settings.
    #[must_use]
    pub fn settings(mut self, settings: Value) -> Self {
        self.snapshot.target.settings = settings;
        self
    }

    /// How fast a policy may go.
    #[must_use]
    pub fn behavior(mut self, behavior: Behavior) -> Self {
        self.snapshot.target.behavior = behavior;
        self
    }

    /// A healthy signal with these values, oldest first, 15 seconds apart, the newest one now.
    #[must_use]
    pub fn signal<const N: usize>(self, name: &str, values: [f64; N]) -> Self {
        let now_ms = self.snapshot.now.wall_ms;
        let first_ms = now_ms - 15_000 * (N as i64 - 1);
        let at = |index: usize| first_ms + 15_000 * index as i64;
        let sample = |(index, value)| Sample { at_ms: at(index), value };
        let samples = values.into_iter().enumerate().map(sample).collect();
        self.signal_in_state(name, SignalState::Ok, samples)
    }

    /// A signal in any state.
    #[must_use]
    pub fn signal_in_state(mut self, name: &str, state: SignalState, samples: Vec<Sample>) -> Self {
        let now_ms = self.snapshot.now.wall_ms;
        let age_ms = samples.last().map(|sample| now_ms.abs_diff(sample.at_ms));
        let coverage_permille = (state == SignalState::Ok).then_some(1_000);
        let (detail, optional) = (String::new(), false);
        let signal = Signal { state, age_ms, coverage_permille, detail, optional, samples };
        self.snapshot.signals.insert(name.to_owned(), signal);
        self
    }

    /// A change of size that took no time and ended so many milliseconds ago. Oldest first.
    #[must_use]
    pub fn change(self, from: u32, to: u32, age_ms: u64) -> Self {
        self.long_change(from, to, age_ms, 0)
    }

    /// A change of size that took so many milliseconds and ended so many ago. Oldest first.
    #[must_use]
    pub fn long_change(mut self, from: u32, to: u32, age_ms: u64, took_ms: u64) -> Self {
        let began_age_ms = age_ms.saturating_add(took_ms);
        self.snapshot.history.changes.push(Change { leg: Leg::members(from, to), age_ms, began_age_ms });
        self
    }

    /// A plan that is being carried out and began so many milliseconds ago.
    #[must_use]
    pub fn plan(mut self, from: u32, to: u32, status: PlanStatus, age_ms: u64) -> Self {
        let now = &self.snapshot.now;
        let mono_ms = now.mono_ms.saturating_sub(age_ms);
        let started = Stamp { boot: now.boot.clone(), mono_ms, wall_ms: now.wall_ms };
        self.snapshot.plan = Some(PlanState {
            members: Vec::new(),
            victims: Vec::new(),
            id: "plan-1".into(),
            decision: "decision-1".into(),
            legs: vec![Leg::members(from, to)],
            leg: 0,
            together: 1,
            leaving: Vec::new(),
            joined: Vec::new(),
            price: None,
            fingerprint: "cluster-1".to_owned(),
            workload: None,
            base_epoch: "epoch-1".to_owned(),
            module: String::new(),
            status,
            unit: 0,
            subject: None,
            phase: 0,
            point_of_no_return: false,
            undoing: false,
            why: String::new(),
            progressed: started.clone(),
            started,
        });
        self
    }

    /// What the policy returned last time.
    #[must_use]
    pub fn state(mut self, state: Option<String>) -> Self {
        self.snapshot.state = state;
        self
    }

    /// Both clocks so many milliseconds later than those of [`snapshot`]. Call it before adding signals.
    #[must_use]
    pub fn later_ms(mut self, ms: u32) -> Self {
        self.snapshot.now.mono_ms += u64::from(ms);
        self.snapshot.now.wall_ms += i64::from(ms);
        self
    }
}

fn member(index: u32) -> Member {
    let slot: Arc<str> = format!("m{index}").into();
    let role = if index == 0 { Role::Leader } else { Role::Voter };
    Member {
        slot: Some(Arc::clone(&slot)),
        endpoints: [("client".to_owned(), format!("{slot}:2379"))].into(),
        id: known(slot),
        incarnation: known(format!("incarnation-{index}")),
        lifecycle: known(Lifecycle::Serving),
        running: known(true),
        alive: known(true),
        roles: known(BTreeSet::from([Role::Voter, role])),
        domain: known(format!("zone-{}", index % 3)),
        hosted: Fact::NotApplicable,
        load_bytes: known(1 << 20),
        disk_capacity_bytes: known(1 << 30),
        disk_used_bytes: known(1 << 20),
        growth_bytes_per_s: known(0),
        drain_bytes_per_s: Fact::NotApplicable,
        cpu_permille: known(500),
        memory_permille: known(500),
        network_permille: known(100),
        persistent: known(true),
        config_pending: known(false),
        marker: known(plimsoll_wire::snapshot::Marker {
            fingerprint: "cluster-1".to_owned(),
            member_id: format!("m{index}"),
            tombstoned: false,
        }),
    }
}
