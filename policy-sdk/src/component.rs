//! A policy as a component: bindings of the world `plimsoll:policy/policy`, and the way from its types to the
//! wire's and back. Nothing is lost on the way: both kinds of policy see the same snapshot.

use crate::{Level, Policy, ask, refusal};
use plimsoll_wire as wire;
use plimsoll_wire::shards::{Scheme, ShardMap};
use plimsoll_wire::snapshot as snap;
use sizes::{bounds, leg, observed, sizes};
use std::collections::BTreeMap;

mod sizes;

#[doc(hidden)]
#[allow(unsafe_code, missing_docs, reason = "generated")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "policy",
        pub_export_macro: true,
        export_macro_name: "export_component",
    });
}

use bindings::plimsoll::policy::types as wit;
pub use bindings::{Guest, Manifest, Proposal, Refusal, Snapshot, export_component};

pub(crate) fn log_line(level: Level, message: &str) {
    let level = match level {
        Level::Error => wit::Level::Error,
        Level::Warn => wit::Level::Warn,
        Level::Info => wit::Level::Info,
        Level::Debug => wit::Level::Debug,
    };
    bindings::log(level, message);
}

/// The policy's manifest in the contract's types.
#[must_use]
pub fn describe<P: Policy>() -> Manifest {
    let manifest = P::describe();
    let settings_schema =
        if manifest.settings_schema.is_null() { String::new() } else { manifest.settings_schema.to_string() };
    Manifest {
        name: manifest.name,
        version: manifest.version,
        description: manifest.description,
        needs: manifest.needs,
        settings_schema,
    }
}

/// The policy's answer in the contract's types.
///
/// # Errors
/// The policy's refusal, or `UnreadableSnapshot` when a JSON text in the snapshot is none.
pub fn evaluate<P: Policy>(input: Snapshot) -> Result<Proposal, Refusal> {
    let answer = snapshot(input)
        .map_err(|error| {
            crate::log(Level::Error, &format!("reading the snapshot: {error}"));
            refusal("UnreadableSnapshot", "the input is not a snapshot")
        })
        .and_then(|input| ask::<P>(&input));
    answer.map(proposal).map_err(|refusal| Refusal { reason: reason(refusal.reason) })
}

fn reason(reason: wire::proposal::Reason) -> wit::Reason {
    wit::Reason { code: reason.code, message: reason.message }
}

fn proposal(proposal: wire::Proposal) -> Proposal {
    let sample = |sample: snap::Sample| wit::Sample { at_ms: sample.at_ms, value: sample.value };
    Proposal {
        sizes: proposal.sizes.each().map(|(dimension, size)| (dimension.word().to_owned(), size)).collect(),
        reason: reason(proposal.reason),
        signals: proposal.signals,
        forecast: proposal.forecast.into_iter().map(sample).collect(),
        state: proposal.state,
        ask_again_ms: proposal.ask_again_ms,
    }
}

// ---------------------------------------------------------------- facts

fn provenance<T>(value: T, from: wit::Provenance) -> wire::Fact<T> {
    let authority = match from.authority {
        wit::Authority::Cache => wire::Authority::Cache,
        wit::Authority::Own => wire::Authority::Own,
        wit::Authority::Platform => wire::Authority::Platform,
        wit::Authority::Survivors => wire::Authority::Survivors,
        wit::Authority::Leader => wire::Authority::Leader,
        wit::Authority::Consensus => wire::Authority::Consensus,
    };
    wire::Fact::Known(wire::Known {
        value,
        authority,
        age_ms: from.age_ms,
        observer: from.observer.into(),
        observer_up_ms: from.observer_up_ms,
        epoch: from.epoch.into(),
        stable_ms: from.stable_ms,
        reads: from.reads,
    })
}

fn missing<T>(missing: wit::Missing) -> wire::Fact<T> {
    let reason = match missing.reason {
        wit::Gap::NotScraped => wire::Gap::NotScraped,
        wit::Gap::Stale => wire::Gap::Stale,
        wit::Gap::Partial(answered) => wire::Gap::Partial { got: answered.got, want: answered.want },
        wit::Gap::Error => wire::Gap::Error,
        wit::Gap::Unparsable => wire::Gap::Unparsable,
        wit::Gap::Conflicting => wire::Gap::Conflicting,
        wit::Gap::EpochMismatch => wire::Gap::EpochMismatch,
    };
    wire::Fact::unknown(reason, missing.detail)
}

/// One function a type of fact, since the contract's language has no generics.
macro_rules! fact {
    ($name:ident, $wit:ident, $value:ty, $change:expr) => {
        fn $name(fact: wit::$wit) -> wire::Fact<$value> {
            match fact {
                wit::$wit::Known((value, from)) => provenance($change(value), from),
                wit::$wit::Unknown(gap) => missing(gap),
                wit::$wit::NotApplicable => wire::Fact::NotApplicable,
            }
        }
    };
}

fn each<T, U, C: FromIterator<U>>(change: impl Fn(T) -> U) -> impl Fn(Vec<T>) -> C {
    move |values| values.into_iter().map(&change).collect()
}

fact!(fact_bool, FactBool, bool, std::convert::identity);
fact!(fact_u32, FactU32, u32, std::convert::identity);
fact!(fact_u64, FactU64, u64, std::convert::identity);
fact!(fact_string, FactString, String, std::convert::identity);
fact!(fact_name, FactString, std::sync::Arc<str>, std::sync::Arc::from);
fact!(fact_generation, FactGeneration, snap::Generation, generation);
fact!(fact_lifecycle, FactLifecycle, snap::Lifecycle, lifecycle);
fact!(fact_roles, FactRoles, std::collections::BTreeSet<snap::Role>, each(role));
fact!(fact_hosted, FactHosted, snap::Hosted, hosted);
fact!(fact_marker, FactMarker, snap::Marker, marker);
fact!(fact_placements, FactPlacements, Vec<snap::Placement>, each(placement));
fact!(fact_members, FactMembers, Vec<snap::Member>, each(member));
fact!(fact_vacancies, FactVacancies, Vec<snap::Vacancy>, each(vacancy));
fact!(fact_groups, FactGroups, Vec<snap::Group>, each(group));
fact!(fact_operations, FactOperations, Vec<snap::Operation>, each(operation));
fact!(fact_debts, FactDebts, Vec<snap::Debt>, each(debt));
fact!(fact_shards, FactShards, ShardMap, shards);

fn fact_json(fact: wit::FactJson) -> Result<wire::Fact<serde_json::Value>, serde_json::Error> {
    Ok(match fact {
        wit::FactJson::Known((value, from)) => provenance(serde_json::from_str(&value)?, from),
        wit::FactJson::Unknown(gap) => missing(gap),
        wit::FactJson::NotApplicable => wire::Fact::NotApplicable,
    })
}

// ---------------------------------------------------------------- the snapshot

fn snapshot(from: Snapshot) -> Result<wire::Snapshot, serde_json::Error> {
    let facts: Result<BTreeMap<_, _>, _> =
        from.facts.into_iter().map(|(name, fact)| fact_json(fact).map(|fact| (name, fact))).collect();
    Ok(wire::Snapshot {
        format_version: from.format_version,
        now: snap::Now { mono_ms: from.now.mono_ms, wall_ms: from.now.wall_ms, boot: from.now.boot.into() },
        target: target(from.target)?,
        safety: serde_json::from_str(&from.safety)?,
        profile: serde_json::from_str(&from.profile)?,
        sizes: observed(from.sizes)?,
        fingerprint: fact_string(from.fingerprint),
        epoch: fact_string(from.epoch),
        generation: fact_generation(from.generation),
        owner: fact_string(from.owner),
        members: fact_members(from.members),
        vacant: fact_vacancies(from.vacant),
        groups: fact_groups(from.groups),
        shards: fact_shards(from.shards),
        operations: fact_operations(from.operations),
        debts: fact_debts(from.debts),
        history: history(from.history)?,
        plan: from.plan.map(plan).transpose()?,
        signals: from.signals.into_iter().map(|(name, from)| (name, signal(from))).collect(),
        facts: facts?,
        state: from.state,
    })
}

fn target(from: wit::Target) -> Result<snap::Target, serde_json::Error> {
    Ok(snap::Target {
        key: from.key.into(),
        system: from.system,
        platform: from.platform,
        mode: match from.mode {
            wit::Mode::Off => snap::Mode::Off,
            wit::Mode::Dryrun => snap::Mode::Dryrun,
            wit::Mode::Enforce => snap::Mode::Enforce,
        },
        bounds: bounds(from.bounds)?,
        settings: serde_json::from_str(&from.settings)?,
        behavior: snap::Behavior {
            scale_up: rules(from.behavior.scale_up),
            scale_down: rules(from.behavior.scale_down),
        },
    })
}

fn rules(from: wit::Rules) -> snap::Rules {
    snap::Rules {
        stabilization_window_seconds: from.stabilization_window_seconds,
        tolerance: from.tolerance,
        policies: from.policies.into_iter().map(rate).collect(),
        select_policy: from.select_policy.map(|select| match select {
            wit::Select::Max => snap::Select::Max,
            wit::Select::Min => snap::Select::Min,
            wit::Select::Disabled => snap::Select::Disabled,
        }),
    }
}

fn rate(from: wit::Rate) -> snap::Rate {
    let kind = match from.kind {
        wit::RateKind::Members => snap::RateKind::Members,
        wit::RateKind::Percent => snap::RateKind::Percent,
    };
    snap::Rate { kind, value: from.value, period_seconds: from.period_seconds }
}

fn generation(from: wit::Generation) -> snap::Generation {
    snap::Generation { spec: from.spec, observed: from.observed }
}

fn endpoints(from: Vec<(String, String)>) -> snap::Endpoints {
    from.into_iter().collect()
}

fn member(from: wit::Member) -> snap::Member {
    snap::Member {
        slot: from.slot.map(Into::into),
        endpoints: endpoints(from.endpoints),
        id: fact_name(from.id),
        incarnation: fact_string(from.incarnation),
        lifecycle: fact_lifecycle(from.lifecycle),
        running: fact_bool(from.running),
        alive: fact_bool(from.alive),
        roles: fact_roles(from.roles),
        domain: fact_string(from.domain),
        hosted: fact_hosted(from.hosted),
        load_bytes: fact_u64(from.load_bytes),
        disk_capacity_bytes: fact_u64(from.disk_capacity_bytes),
        disk_used_bytes: fact_u64(from.disk_used_bytes),
        growth_bytes_per_s: fact_u64(from.growth_bytes_per_s),
        drain_bytes_per_s: fact_u64(from.drain_bytes_per_s),
        cpu_permille: fact_u32(from.cpu_permille),
        memory_permille: fact_u32(from.memory_permille),
        network_permille: fact_u32(from.network_permille),
        persistent: fact_bool(from.persistent),
        config_pending: fact_bool(from.config_pending),
        marker: fact_marker(from.marker),
    }
}

fn lifecycle(from: wit::Lifecycle) -> snap::Lifecycle {
    match from {
        wit::Lifecycle::Provisioning => snap::Lifecycle::Provisioning,
        wit::Lifecycle::Joining => snap::Lifecycle::Joining,
        wit::Lifecycle::CatchingUp => snap::Lifecycle::CatchingUp,
        wit::Lifecycle::Serving => snap::Lifecycle::Serving,
        wit::Lifecycle::Draining => snap::Lifecycle::Draining,
        wit::Lifecycle::Drained => snap::Lifecycle::Drained,
        wit::Lifecycle::Removed => snap::Lifecycle::Removed,
        wit::Lifecycle::Dead => snap::Lifecycle::Dead,
    }
}

fn role(from: wit::Role) -> snap::Role {
    match from {
        wit::Role::Voter => snap::Role::Voter,
        wit::Role::Learner => snap::Role::Learner,
        wit::Role::Leader => snap::Role::Leader,
        wit::Role::SyncStandby => snap::Role::SyncStandby,
        wit::Role::Data => snap::Role::Data,
    }
}

fn hosted(from: wit::Hosted) -> snap::Hosted {
    snap::Hosted {
        copies: from.copies,
        leaders: from.leaders,
        moving: from.moving,
        open_writes: from.open_writes,
        failed_moves: from.failed_moves,
        due: from.due,
    }
}

fn shards(from: wit::ShardMap) -> ShardMap {
    let scheme = match from.scheme {
        wit::ShardScheme::FixedSlots => Scheme::FixedSlots,
        wit::ShardScheme::Partitions => Scheme::Partitions,
    };
    ShardMap {
        scheme,
        count: from.count,
        covered: from.covered,
        open: from.open,
        owners: from.owners,
        least_owners: from.least_owners,
    }
}

fn marker(from: wit::Marker) -> snap::Marker {
    snap::Marker { fingerprint: from.fingerprint, member_id: from.member_id, tombstoned: from.tombstoned }
}

fn vacancy(from: wit::Vacancy) -> snap::Vacancy {
    snap::Vacancy {
        slot: from.slot.into(),
        endpoints: endpoints(from.endpoints),
        domain: fact_string(from.domain),
        marker: fact_marker(from.marker),
    }
}

fn group(from: wit::Group) -> snap::Group {
    snap::Group {
        id: from.id.into(),
        count: std::num::NonZeroU32::new(from.count).unwrap_or(std::num::NonZeroU32::MIN),
        kind: match from.kind {
            wit::GroupKind::Control => snap::GroupKind::Control,
            wit::GroupKind::Data => snap::GroupKind::Data,
            wit::GroupKind::System => snap::GroupKind::System,
        },
        model: match from.model {
            wit::GroupModel::StaticMajority => snap::GroupModel::StaticMajority,
            wit::GroupModel::AckSet => snap::GroupModel::AckSet,
            wit::GroupModel::AsyncPrimary => snap::GroupModel::AsyncPrimary,
        },
        target_copies: fact_u32(from.target_copies),
        min_ack: fact_u32(from.min_ack),
        placements: fact_placements(from.placements),
        leader: fact_name(from.leader),
        config_version: fact_u64(from.config_version),
        in_joint_config: fact_bool(from.in_joint_config),
        open: fact_bool(from.open),
    }
}

fn placement(from: wit::Placement) -> snap::Placement {
    snap::Placement {
        member: from.member.into(),
        weight: from.weight,
        state: match from.state {
            wit::PlacementState::InSync => snap::PlacementState::InSync,
            wit::PlacementState::CatchingUp => snap::PlacementState::CatchingUp,
            wit::PlacementState::Stale => snap::PlacementState::Stale,
            wit::PlacementState::Learner => snap::PlacementState::Learner,
            wit::PlacementState::Leaving => snap::PlacementState::Leaving,
        },
        lag: fact_u64(from.lag),
        progress_permille: fact_u32(from.progress_permille),
    }
}

fn operation(from: wit::Operation) -> snap::Operation {
    use snap::OperationKind as Kind;
    use wit::OperationKind as From;
    let kind = match from.kind {
        From::Join => Kind::Join,
        From::Drain => Kind::Drain,
        From::Remove => Kind::Remove,
        From::Rebalance => Kind::Rebalance,
        From::Repair => Kind::Repair,
        From::Cleanup => Kind::Cleanup,
        From::Backup => Kind::Backup,
        From::Restore => Kind::Restore,
        From::Restart => Kind::Restart,
        From::Upgrade => Kind::Upgrade,
        From::SchemaChange => Kind::SchemaChange,
        From::VolumeResize => Kind::VolumeResize,
        From::Failover => Kind::Failover,
        From::Recovery => Kind::Recovery,
        From::Reshard => Kind::Reshard,
        From::Command => Kind::Command,
    };
    let progress_permille = fact_u32(from.progress_permille);
    snap::Operation { id: from.id, kind, owner: from.owner, scope: from.scope, progress_permille }
}

fn debt(from: wit::Debt) -> snap::Debt {
    snap::Debt { kind: from.kind, member: from.member.into() }
}

fn history(from: wit::History) -> Result<snap::History, serde_json::Error> {
    let change = |from: wit::Change| {
        Ok(snap::Change { leg: leg(from.leg)?, age_ms: from.age_ms, began_age_ms: from.began_age_ms })
    };
    Ok(snap::History {
        changes: from.changes.into_iter().map(change).collect::<Result<_, _>>()?,
        wish_held_ms: from.wish_held_ms,
        wish_direction: from.wish_direction,
        ghost: sizes(from.ghost)?,
    })
}

fn plan(from: wit::PlanState) -> Result<wire::journal::PlanState, serde_json::Error> {
    use wire::journal::{PlanState, PlanStatus, Subject};
    let status = match from.status {
        wit::PlanStatus::AwaitingApproval => PlanStatus::AwaitingApproval,
        wit::PlanStatus::Running => PlanStatus::Running,
        wit::PlanStatus::Held => PlanStatus::Held,
        wit::PlanStatus::Stopping => PlanStatus::Stopping,
        wit::PlanStatus::Done => PlanStatus::Done,
        wit::PlanStatus::Aborted => PlanStatus::Aborted,
    };
    let subject = |from: wit::Subject| Subject {
        slot: from.slot.into(),
        endpoints: endpoints(from.endpoints),
        id: from.id.map(Into::into),
        incarnation: from.incarnation,
    };
    let names = |from: Vec<String>| from.into_iter().map(Into::into).collect();
    Ok(PlanState {
        id: from.id.into(),
        decision: from.decision.into(),
        legs: from.legs.into_iter().map(leg).collect::<Result<_, _>>()?,
        leg: from.leg,
        fingerprint: from.fingerprint,
        workload: from.workload.map(Into::into),
        base_epoch: from.base_epoch,
        module: from.module,
        members: names(from.members),
        victims: names(from.victims),
        status,
        unit: from.unit,
        subject: from.subject.map(subject),
        together: from.together,
        price: from.price.map(|price| wire::journal::Price { bytes: price.bytes, ms: price.ms }),
        leaving: from.leaving.into_iter().map(subject).collect(),
        joined: from.joined.into_iter().map(subject).collect(),
        phase: from.phase,
        point_of_no_return: from.point_of_no_return,
        undoing: from.undoing,
        why: from.why,
        started: stamp(from.started),
        progressed: stamp(from.progressed),
    })
}

fn stamp(from: wit::Stamp) -> wire::journal::Stamp {
    wire::journal::Stamp { boot: from.boot.into(), mono_ms: from.mono_ms, wall_ms: from.wall_ms }
}

fn signal(from: wit::Signal) -> snap::Signal {
    let state = match from.state {
        wit::SignalState::Ok => snap::SignalState::Ok,
        wit::SignalState::Stale => snap::SignalState::Stale,
        wit::SignalState::Absent => snap::SignalState::Absent,
        wit::SignalState::Partial => snap::SignalState::Partial,
        wit::SignalState::NotANumber => snap::SignalState::NotANumber,
        wit::SignalState::Ambiguous => snap::SignalState::Ambiguous,
        wit::SignalState::Skewed => snap::SignalState::Skewed,
        wit::SignalState::Malformed => snap::SignalState::Malformed,
        wit::SignalState::Unavailable => snap::SignalState::Unavailable,
    };
    let sample = |from: wit::Sample| snap::Sample { at_ms: from.at_ms, value: from.value };
    snap::Signal {
        state,
        age_ms: from.age_ms,
        coverage_permille: from.coverage_permille,
        detail: from.detail,
        optional: from.optional,
        samples: from.samples.into_iter().map(sample).collect(),
    }
}
