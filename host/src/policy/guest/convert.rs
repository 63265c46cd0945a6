//! The snapshot as the component's types, and the component's answer as the document. Both sides are matched
//! in full, so that a field or a word that one of them gains cannot be forgotten here.

use super::bindings::plimsoll::policy::types as typed;
use crate::policy::fault::{Failure, Fault, one_line};
use plimsoll_wire::fact::{Authority, Fact, Gap, Known};
use plimsoll_wire::journal::{PlanState, PlanStatus, Stamp, Subject};
use plimsoll_wire::proposal::{Answer, Proposal, Reason, Refusal};
use plimsoll_wire::shards::{Scheme, ShardMap};
use plimsoll_wire::size::{Dimension, Each, Leg, Observed, Sizes};
use plimsoll_wire::snapshot as wire;
use plimsoll_wire::snapshot::Snapshot;

/// A fact of the type `typed::$to`, its value changed by `$change`.
macro_rules! fact {
    ($fact:expr, $to:ident, $change:expr) => {
        match $fact {
            Fact::Known(known) => typed::$to::Known((($change)(&known.value), provenance(known))),
            Fact::Unknown { reason, detail } => typed::$to::Unknown(missing(reason, detail)),
            Fact::NotApplicable => typed::$to::NotApplicable,
        }
    };
}

/// Words that are the same on both sides.
macro_rules! words {
    ($value:expr, $from:ty, $to:ty, $($word:ident),+) => {
        match $value { $(<$from>::$word => <$to>::$word,)+ }
    };
}

/// The snapshot for a component.
///
/// # Errors
/// When an open value cannot be written as JSON.
pub(crate) fn snapshot(from: &Snapshot) -> Result<typed::Snapshot, String> {
    let json = |value: &serde_json::Value| value.to_string();
    Ok(typed::Snapshot {
        format_version: from.format_version,
        now: typed::Now {
            mono_ms: from.now.mono_ms,
            wall_ms: from.now.wall_ms,
            boot: from.now.boot.to_string(),
        },
        target: target(&from.target),
        safety: serde_json::to_string(&from.safety).map_err(|error| error.to_string())?,
        profile: serde_json::to_string(&from.profile).map_err(|error| error.to_string())?,
        sizes: observed(&from.sizes),
        fingerprint: fact!(&from.fingerprint, FactString, String::clone),
        epoch: fact!(&from.epoch, FactString, String::clone),
        generation: fact!(&from.generation, FactGeneration, |generation: &wire::Generation| {
            typed::Generation { spec: generation.spec, observed: generation.observed }
        }),
        owner: fact!(&from.owner, FactString, String::clone),
        members: fact!(&from.members, FactMembers, |list: &Vec<wire::Member>| each(list, member)),
        vacant: fact!(&from.vacant, FactVacancies, |list: &Vec<wire::Vacancy>| each(list, vacancy)),
        groups: fact!(&from.groups, FactGroups, |list: &Vec<wire::Group>| each(list, group)),
        shards: fact!(&from.shards, FactShards, shards),
        operations: fact!(&from.operations, FactOperations, |list: &Vec<wire::Operation>| each(
            list, operation
        )),
        debts: fact!(&from.debts, FactDebts, |list: &Vec<wire::Debt>| each(list, |debt| typed::Debt {
            kind: debt.kind.clone(),
            member: debt.member.to_string(),
        })),
        history: history(&from.history),
        plan: from.plan.as_ref().map(plan),
        signals: from.signals.iter().map(|(name, value)| (name.clone(), signal(value))).collect(),
        facts: from.facts.iter().map(|(name, value)| (name.clone(), fact!(value, FactJson, json))).collect(),
        state: from.state.clone(),
    })
}

fn each_of<T, U>(map: &Each<T>, change: impl Fn(&T) -> U) -> Vec<(String, U)> {
    map.each().map(|(dimension, value)| (dimension.word().to_owned(), change(value))).collect()
}

fn each<T, U>(list: &[T], change: impl Fn(&T) -> U) -> Vec<U> {
    list.iter().map(change).collect()
}

fn provenance<T>(known: &Known<T>) -> typed::Provenance {
    typed::Provenance {
        authority: words!(
            known.authority,
            Authority,
            typed::Authority,
            Cache,
            Own,
            Platform,
            Survivors,
            Leader,
            Consensus
        ),
        age_ms: known.age_ms,
        observer: known.observer.to_string(),
        observer_up_ms: known.observer_up_ms,
        epoch: known.epoch.to_string(),
        stable_ms: known.stable_ms,
        reads: known.reads,
    }
}

fn missing(reason: &Gap, detail: &str) -> typed::Missing {
    let reason = match reason {
        Gap::NotScraped => typed::Gap::NotScraped,
        Gap::Stale => typed::Gap::Stale,
        Gap::Partial { got, want } => typed::Gap::Partial(typed::Answered { got: *got, want: *want }),
        Gap::Error => typed::Gap::Error,
        Gap::Unparsable => typed::Gap::Unparsable,
        Gap::Conflicting => typed::Gap::Conflicting,
        Gap::EpochMismatch => typed::Gap::EpochMismatch,
    };
    typed::Missing { reason, detail: detail.to_owned() }
}

fn target(from: &wire::Target) -> typed::Target {
    typed::Target {
        key: from.key.to_string(),
        system: from.system.clone(),
        platform: from.platform.clone(),
        mode: words!(from.mode, wire::Mode, typed::Mode, Off, Dryrun, Enforce),
        bounds: each_of(&from.bounds, |bounds| typed::Bounds { min: bounds.min, max: bounds.max }),
        settings: from.settings.to_string(),
        behavior: typed::Behavior {
            scale_up: rules(&from.behavior.scale_up),
            scale_down: rules(&from.behavior.scale_down),
        },
    }
}

fn rules(from: &wire::Rules) -> typed::Rules {
    typed::Rules {
        stabilization_window_seconds: from.stabilization_window_seconds,
        tolerance: from.tolerance,
        policies: each(&from.policies, |rate| typed::Rate {
            kind: words!(rate.kind, wire::RateKind, typed::RateKind, Members, Percent),
            value: rate.value,
            period_seconds: rate.period_seconds,
        }),
        select_policy: from
            .select_policy
            .map(|select| words!(select, wire::Select, typed::Select, Max, Min, Disabled)),
    }
}

fn endpoints(from: &wire::Endpoints) -> Vec<(String, String)> {
    from.iter().map(|(purpose, address)| (purpose.clone(), address.clone())).collect()
}

fn member(from: &wire::Member) -> typed::Member {
    let (text, flag) = (String::clone, |value: &bool| *value);
    let (small, large) = (|value: &u32| *value, |value: &u64| *value);
    typed::Member {
        slot: from.slot.as_ref().map(ToString::to_string),
        endpoints: endpoints(&from.endpoints),
        id: fact!(&from.id, FactString, ToString::to_string),
        incarnation: fact!(&from.incarnation, FactString, text),
        lifecycle: fact!(&from.lifecycle, FactLifecycle, lifecycle),
        running: fact!(&from.running, FactBool, flag),
        alive: fact!(&from.alive, FactBool, flag),
        roles: fact!(&from.roles, FactRoles, |roles: &std::collections::BTreeSet<wire::Role>| roles
            .iter()
            .map(|role| words!(role, wire::Role, typed::Role, Voter, Learner, Leader, SyncStandby, Data))
            .collect()),
        domain: fact!(&from.domain, FactString, text),
        hosted: fact!(&from.hosted, FactHosted, |hosted: &wire::Hosted| typed::Hosted {
            copies: hosted.copies,
            leaders: hosted.leaders,
            moving: hosted.moving,
            open_writes: hosted.open_writes,
            failed_moves: hosted.failed_moves,
            due: hosted.due,
        }),
        load_bytes: fact!(&from.load_bytes, FactU64, large),
        disk_capacity_bytes: fact!(&from.disk_capacity_bytes, FactU64, large),
        disk_used_bytes: fact!(&from.disk_used_bytes, FactU64, large),
        growth_bytes_per_s: fact!(&from.growth_bytes_per_s, FactU64, large),
        drain_bytes_per_s: fact!(&from.drain_bytes_per_s, FactU64, large),
        cpu_permille: fact!(&from.cpu_permille, FactU32, small),
        memory_permille: fact!(&from.memory_permille, FactU32, small),
        network_permille: fact!(&from.network_permille, FactU32, small),
        persistent: fact!(&from.persistent, FactBool, flag),
        config_pending: fact!(&from.config_pending, FactBool, flag),
        marker: fact!(&from.marker, FactMarker, marker),
    }
}

fn shards(from: &ShardMap) -> typed::ShardMap {
    typed::ShardMap {
        scheme: words!(from.scheme, Scheme, typed::ShardScheme, FixedSlots, Partitions),
        count: from.count,
        covered: from.covered,
        open: from.open,
        owners: from.owners,
        least_owners: from.least_owners,
    }
}

fn lifecycle(from: &wire::Lifecycle) -> typed::Lifecycle {
    words!(
        from,
        wire::Lifecycle,
        typed::Lifecycle,
        Provisioning,
        Joining,
        CatchingUp,
        Serving,
        Draining,
        Drained,
        Removed,
        Dead
    )
}

fn marker(from: &wire::Marker) -> typed::Marker {
    typed::Marker {
        fingerprint: from.fingerprint.clone(),
        member_id: from.member_id.clone(),
        tombstoned: from.tombstoned,
    }
}

fn vacancy(from: &wire::Vacancy) -> typed::Vacancy {
    typed::Vacancy {
        slot: from.slot.to_string(),
        endpoints: endpoints(&from.endpoints),
        domain: fact!(&from.domain, FactString, String::clone),
        marker: fact!(&from.marker, FactMarker, marker),
    }
}

fn group(from: &wire::Group) -> typed::Group {
    typed::Group {
        id: from.id.to_string(),
        count: from.count.get(),
        kind: words!(from.kind, wire::GroupKind, typed::GroupKind, Control, Data, System),
        model: words!(from.model, wire::GroupModel, typed::GroupModel, StaticMajority, AckSet, AsyncPrimary),
        target_copies: fact!(&from.target_copies, FactU32, |value: &u32| *value),
        min_ack: fact!(&from.min_ack, FactU32, |value: &u32| *value),
        placements: fact!(&from.placements, FactPlacements, |list: &Vec<wire::Placement>| each(
            list, placement
        )),
        leader: fact!(&from.leader, FactString, ToString::to_string),
        config_version: fact!(&from.config_version, FactU64, |value: &u64| *value),
        in_joint_config: fact!(&from.in_joint_config, FactBool, |value: &bool| *value),
        open: fact!(&from.open, FactBool, |value: &bool| *value),
    }
}

fn placement(from: &wire::Placement) -> typed::Placement {
    typed::Placement {
        member: from.member.to_string(),
        weight: from.weight,
        state: words!(
            from.state,
            wire::PlacementState,
            typed::PlacementState,
            InSync,
            CatchingUp,
            Stale,
            Learner,
            Leaving
        ),
        lag: fact!(&from.lag, FactU64, |value: &u64| *value),
        progress_permille: fact!(&from.progress_permille, FactU32, |value: &u32| *value),
    }
}

fn operation(from: &wire::Operation) -> typed::Operation {
    typed::Operation {
        id: from.id.clone(),
        kind: words!(
            from.kind,
            wire::OperationKind,
            typed::OperationKind,
            Join,
            Drain,
            Remove,
            Rebalance,
            Repair,
            Cleanup,
            Backup,
            Restore,
            Restart,
            Upgrade,
            SchemaChange,
            VolumeResize,
            Failover,
            Recovery,
            Reshard,
            Command
        ),
        owner: from.owner.clone(),
        scope: from.scope.clone(),
        progress_permille: fact!(&from.progress_permille, FactU32, |value: &u32| *value),
    }
}

fn history(from: &wire::History) -> typed::History {
    typed::History {
        changes: each(&from.changes, |change| typed::Change {
            leg: leg(&change.leg),
            age_ms: change.age_ms,
            began_age_ms: change.began_age_ms,
        }),
        wish_held_ms: from.wish_held_ms,
        wish_direction: from.wish_direction,
        ghost: sizes(&from.ghost),
    }
}

fn plan(from: &PlanState) -> typed::PlanState {
    typed::PlanState {
        id: from.id.to_string(),
        decision: from.decision.to_string(),
        legs: each(&from.legs, leg),
        leg: from.leg,
        fingerprint: from.fingerprint.clone(),
        workload: from.workload.as_deref().map(str::to_owned),
        base_epoch: from.base_epoch.clone(),
        module: from.module.clone(),
        members: each(&from.members, ToString::to_string),
        victims: each(&from.victims, ToString::to_string),
        status: words!(
            from.status,
            PlanStatus,
            typed::PlanStatus,
            AwaitingApproval,
            Running,
            Held,
            Stopping,
            Done,
            Aborted
        ),
        unit: from.unit,
        subject: from.subject.as_ref().map(subject),
        together: from.together,
        price: from.price.as_ref().map(|price| typed::Price { bytes: price.bytes, ms: price.ms }),
        leaving: each(&from.leaving, subject),
        joined: each(&from.joined, subject),
        phase: from.phase,
        point_of_no_return: from.point_of_no_return,
        undoing: from.undoing,
        why: from.why.clone(),
        started: stamp(&from.started),
        progressed: stamp(&from.progressed),
    }
}

fn subject(from: &Subject) -> typed::Subject {
    typed::Subject {
        slot: from.slot.to_string(),
        endpoints: endpoints(&from.endpoints),
        id: from.id.as_ref().map(ToString::to_string),
        incarnation: from.incarnation.clone(),
    }
}

fn observed(from: &Observed) -> Vec<(String, typed::FactU64)> {
    let entry = |dimension: Dimension| match from.get(dimension) {
        Fact::NotApplicable if dimension != Dimension::Members => None,
        fact @ (Fact::Known(_) | Fact::Unknown { .. } | Fact::NotApplicable) => {
            Some((dimension.word().to_owned(), fact!(&fact, FactU64, |size: &u64| *size)))
        }
    };
    Dimension::ALL.into_iter().filter_map(entry).collect()
}

fn sizes(from: &Sizes) -> typed::Sizes {
    from.each().map(|(dimension, size)| (dimension.word().to_owned(), size)).collect()
}

fn leg(from: &Leg) -> typed::Leg {
    typed::Leg { dimension: from.dimension.word().to_owned(), from: from.from, to: from.to }
}

fn stamp(from: &Stamp) -> typed::Stamp {
    typed::Stamp { boot: from.boot.to_string(), mono_ms: from.mono_ms, wall_ms: from.wall_ms }
}

fn signal(from: &wire::Signal) -> typed::Signal {
    typed::Signal {
        state: words!(
            from.state,
            wire::SignalState,
            typed::SignalState,
            Ok,
            Stale,
            Absent,
            Partial,
            NotANumber,
            Ambiguous,
            Skewed,
            Malformed,
            Unavailable
        ),
        age_ms: from.age_ms,
        coverage_permille: from.coverage_permille,
        detail: from.detail.clone(),
        optional: from.optional,
        samples: each(&from.samples, |sample| typed::Sample { at_ms: sample.at_ms, value: sample.value }),
    }
}

/// The component's answer as the document that a program would have written. Whether it is a good one is for
/// the daemon to say: a number that is not finite becomes `null` there and is refused.
///
/// # Errors
/// When a size is wished in what is no dimension, twice in one, or too large for it.
pub(crate) fn answer(from: Result<typed::Proposal, typed::Refusal>) -> Result<Answer, Failure> {
    Ok(match from {
        Err(refusal) => Answer::Refusal { refusal: Refusal { reason: reason(refusal.reason) } },
        Ok(proposal) => Answer::Proposal(Proposal {
            sizes: wished(&proposal.sizes)?,
            reason: reason(proposal.reason),
            signals: proposal.signals,
            forecast: proposal
                .forecast
                .iter()
                .map(|sample| wire::Sample { at_ms: sample.at_ms, value: sample.value })
                .collect(),
            state: proposal.state,
            ask_again_ms: proposal.ask_again_ms,
        }),
    })
}

fn wished(from: &typed::Sizes) -> Result<Sizes, Failure> {
    let mut sizes = Sizes::default();
    for (word, size) in from {
        let shown = one_line(word, 64);
        let failure = |fault, detail: String| Failure::new(fault, format!("sizes.{shown}{detail}"));
        let unknown =
            || failure(Fault::Decode, format!(": no such dimension; there are {}", Dimension::words()));
        let dimension = Dimension::named(word).ok_or_else(unknown)?;
        if sizes.get(dimension).is_some() {
            return Err(failure(Fault::Decode, " occurs twice".to_owned()));
        }
        let too_large =
            || failure(Fault::OutOfRange, format!(" is {size}: write a whole number up to {}", u32::MAX));
        sizes = sizes.with(dimension, *size).ok_or_else(too_large)?;
    }
    Ok(sizes)
}

fn reason(from: typed::Reason) -> Reason {
    Reason { code: from.code, message: from.message }
}

/// The component's description of itself as JSON.
pub(crate) fn manifest(from: typed::Manifest) -> Result<serde_json::Value, Failure> {
    let schema = match from.settings_schema.trim() {
        "" => serde_json::Value::Null,
        text => serde_json::from_str(text)
            .map_err(|error| Failure::new(Fault::Decode, format!("the schema of its settings: {error}")))?,
    };
    Ok(serde_json::json!({
        "name": from.name,
        "version": from.version,
        "description": from.description,
        "needs": from.needs,
        "settingsSchema": schema,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_in_what_is_no_dimension_twice_in_one_or_too_large_for_it_is_refused() {
        let asked = |list: &[(&str, u64)]| {
            let sizes: typed::Sizes = list.iter().map(|(word, size)| ((*word).to_owned(), *size)).collect();
            wished(&sizes).map_err(|failure| failure.to_string())
        };
        let both = Sizes { memory_bytes: Some(1 << 33), ..Sizes::of_members(5) };
        assert_eq!(asked(&[("memoryBytes", 1 << 33), ("members", 5)]), Ok(both));
        assert_eq!(asked(&[]), Ok(Sizes::default()));
        for (list, expected) in [
            (
                &[("replicas", 5)][..],
                "sizes.replicas: no such dimension; there are members, shards, cpuMilli",
            ),
            (&[("members", 5), ("members", 4)], "sizes.members occurs twice"),
            (&[("members", 1 << 32)], "sizes.members is 4294967296: write a whole number up to 4294967295"),
        ] {
            let failure = asked(list).expect_err(expected);
            assert!(failure.contains(expected), "{failure}");
        }
    }
}
