//! `kubernetes.lease` of the daemon's file: several daemons of which one leads (`decisions.md` D20).

use super::Platform;
use crate::leadership::LeaseSettings;
use crate::yaml::problem::Sink;
use crate::yaml::raw::{Scalar, raw};
use crate::yaml::unit::show_duration;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

raw! {
    struct RawLease {
        namespace: Scalar = "namespace",
        name: Scalar = "name",
        duration: Scalar = "duration",
        renew_deadline: Scalar = "renewDeadline",
        retry_period: Scalar = "retryPeriod",
    }
}

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn lease(raw: &RawLease, sink: &mut Sink) -> LeaseSettings {
    let hint = "the daemon's own namespace, where it may write leases";
    let namespace = raw.namespace.required(&raw.at, "namespace", hint, sink);
    // A second is what tests need; beyond ten minutes nobody would call it a fail-over.
    let longest = Duration::from_secs(plimsoll_core::lease::LONGEST_MS / 1_000);
    let lease = LeaseSettings {
        namespace: namespace.map(|name| name.name(sink)).unwrap_or_default(),
        name: raw.name.get().map_or_else(|| "plimsoll".to_owned(), |name| name.name(sink)),
        duration: raw.duration.wait(30 * SECOND, 2 * SECOND..=longest, sink),
        renew_deadline: raw.renew_deadline.wait(20 * SECOND, SECOND..=longest, sink),
        retry_period: raw.retry_period.wait(4 * SECOND, SECOND / 10..=longest, sink),
    };
    if lease.margin() < SECOND {
        let message = format!(
            "is {}, and `duration` is {}",
            show_duration(lease.renew_deadline),
            show_duration(lease.duration)
        );
        let hint = "what the holder sent last has to have ended before another daemon acts: at least a second less, \
                    better a third";
        sink.add(&raw.at.child("renewDeadline"), message, hint);
    }
    if lease.renew_deadline <= lease.retry_period * 3 {
        let message = format!(
            "is {}, and `renewDeadline` is {}",
            show_duration(lease.retry_period),
            show_duration(lease.renew_deadline)
        );
        let hint = "one slow answer would cost leadership: less than a third of `renewDeadline`";
        sink.add(&raw.at.child("retryPeriod"), message, hint);
    }
    lease
}

/// Refuses a platform beside a lease where a daemon that lost leadership can still change something unnoticed.
pub(super) fn fences(lease: &RawLease, platforms: &BTreeMap<String, Arc<Platform>>, sink: &mut Sink) {
    for (name, platform) in platforms {
        let Some(what) = platform.kind.unfenced else { continue };
        let hint = "take the platform into a daemon of its own, without a lease";
        sink.add(&lease.at, format!("stands beside the platform `{name}`, which is {what}"), hint);
    }
}
