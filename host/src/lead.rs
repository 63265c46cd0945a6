//! Whether this daemon may act: asked immediately before everything that changes something (`decisions.md` D20).
//!
//! Without a lease it always may. With one it may while the lease is younger than the renew deadline on the monotonic
//! clock, and what it sends at the last moment has to have ended before anybody else can hold the lease.

use crate::machine::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// What nobody who does not lead may do.
pub const NOT_LEADING: &str = "this daemon does not lead (any more): another one may be acting";

/// The word on it. Clones share it.
#[derive(Clone, Debug)]
pub struct Lead {
    lease: Option<Arc<Lease>>,
    /// Whether the daemon is going down.
    closed: Arc<AtomicBool>,
    /// How many calls are out.
    out: watch::Sender<usize>,
}

#[derive(Debug)]
struct Lease {
    clock: Clock,
    /// Until when we may act, in milliseconds since boot; zero when we may not.
    until_ms: AtomicU64,
    margin: Duration,
}

/// A call that is out. It ends when this goes.
#[derive(Debug)]
pub struct Call(watch::Sender<usize>);

impl Drop for Call {
    fn drop(&mut self) {
        self.0.send_modify(|out| *out -= 1);
    }
}

impl Lead {
    /// Nobody else is there: it may always act.
    #[must_use]
    pub fn alone() -> Self {
        Self { lease: None, closed: Arc::default(), out: watch::Sender::new(0) }
    }

    /// By a lease that nobody holds yet, of which a call may take no longer than `margin`.
    #[must_use]
    pub fn by_lease(clock: Clock, margin: Duration) -> Self {
        let lease = Lease { clock, until_ms: AtomicU64::new(0), margin };
        Self { lease: Some(Arc::new(lease)), ..Self::alone() }
    }

    /// From now on it may act until then, in milliseconds since boot.
    pub fn until(&self, until_ms: Option<u64>) {
        if let Some(lease) = &self.lease {
            lease.until_ms.store(until_ms.unwrap_or(0), Ordering::SeqCst);
        }
    }

    /// Whether it may act at this very moment.
    #[must_use]
    pub fn holds(&self) -> bool {
        let young = self.lease.as_ref().is_none_or(|lease| {
            // The boot clock: a machine that slept has aged.
            lease.clock.now().mono_ms < lease.until_ms.load(Ordering::SeqCst)
        });
        young && !self.closed.load(Ordering::SeqCst)
    }

    /// A call that changes something begins, if it may.
    #[must_use]
    pub fn begin(&self) -> Option<Call> {
        self.out.send_modify(|out| *out += 1);
        let call = Call(self.out.clone());
        self.holds().then_some(call)
    }

    /// How long one call may take where nothing but its end keeps a successor from doing the same.
    #[must_use]
    pub fn within(&self, deadline: Duration) -> Duration {
        self.lease.as_ref().map_or(deadline, |lease| deadline.min(lease.margin))
    }

    /// It acts no more; returns once no call is out, and whether that was so within `patience`.
    pub async fn close(&self, patience: Duration) -> bool {
        self.closed.store(true, Ordering::SeqCst);
        let mut out = self.out.subscribe();
        let idle = out.wait_for(|out| *out == 0);
        matches!(tokio::time::timeout(patience, idle).await, Ok(Ok(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leased() -> (Lead, Clock) {
        let clock = Clock::new().expect("a boot id");
        (Lead::by_lease(clock.clone(), Duration::from_secs(10)), clock)
    }

    #[test]
    fn a_lease_counts_until_its_deadline_and_no_longer() {
        let (lead, clock) = leased();
        assert!(!lead.holds());
        lead.until(Some(clock.now().mono_ms + 3_600_000));
        assert!(lead.holds() && lead.clone().begin().is_some());
        lead.until(Some(clock.now().mono_ms));
        assert!(!lead.holds() && lead.begin().is_none());
        lead.until(None);
        assert!(!lead.holds());
    }

    #[test]
    fn calls_are_bounded_by_the_lease_only_where_there_is_one() {
        let (long, short) = (Duration::from_secs(60), Duration::from_secs(2));
        let (lead, _) = leased();
        assert_eq!((lead.within(long), lead.within(short)), (Duration::from_secs(10), short));
        assert_eq!(Lead::alone().within(long), long);
    }

    #[tokio::test]
    async fn whoever_goes_waits_for_the_calls_that_are_out_and_begins_none() {
        let lead = Lead::alone();
        let call = lead.begin().expect("alone");
        assert!(!lead.close(Duration::from_millis(10)).await);
        assert!(lead.begin().is_none() && !lead.holds());
        let waits = tokio::spawn({
            let lead = lead.clone();
            async move { lead.close(Duration::from_secs(60)).await }
        });
        drop(call);
        assert!(waits.await.expect("it ends"));
    }
}
