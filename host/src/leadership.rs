//! Leadership: whether this daemon may act at this moment (`decisions.md` D20). It is checked immediately before every
//! write, because two daemons that act on one target can lose data.
//!
//! Without a lease a daemon always leads. With one it leads while its last renewal is younger than the renew deadline, by
//! the boot clock. A call that it sends at the last moment must end before another daemon can hold the lease.

mod election;
mod lease;

pub use election::Election;

use crate::machine::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Why a daemon that does not lead may not act.
pub const NOT_LEADING: &str = "this daemon does not lead (any more): another one may be acting";

/// This daemon's leadership. Clones share it.
#[derive(Clone, Debug)]
pub struct Leadership {
    lease: Option<Arc<Lease>>,
    /// Whether the daemon is going down.
    closed: Arc<AtomicBool>,
    /// How many calls are under way.
    out: watch::Sender<usize>,
}

#[derive(Debug)]
struct Lease {
    clock: Clock,
    /// Until when we may act, in milliseconds since boot; zero when we may not.
    until_ms: AtomicU64,
    margin: Duration,
}

/// The lease that decides which of several daemons acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseSettings {
    /// The namespace of the object.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// How long nothing may be heard of a holder before another daemon takes over.
    pub duration: Duration,
    /// How long a holder goes on acting that cannot renew it.
    pub renew_deadline: Duration,
    /// How often the holder renews it, and the others read it.
    pub retry_period: Duration,
}

impl LeaseSettings {
    /// How long a call may take that a holder sends at its last moment: nobody takes over before it has ended.
    #[must_use]
    pub fn margin(&self) -> Duration {
        self.duration.saturating_sub(self.renew_deadline)
    }
}

/// A call that is under way. It ends when this is dropped.
#[derive(Debug)]
pub struct Call(watch::Sender<usize>);

impl Drop for Call {
    fn drop(&mut self) {
        self.0.send_modify(|out| *out -= 1);
    }
}

impl Leadership {
    /// The leadership of a daemon that is alone: it may always act.
    #[must_use]
    pub fn alone() -> Self {
        Self { lease: None, closed: Arc::default(), out: watch::Sender::new(0) }
    }

    /// Leadership by a lease that nobody holds yet. A call may take no longer than `margin`.
    #[must_use]
    pub fn by_lease(clock: Clock, margin: Duration) -> Self {
        let lease = Lease { clock, until_ms: AtomicU64::new(0), margin };
        Self { lease: Some(Arc::new(lease)), ..Self::alone() }
    }

    /// Sets until when it may act, in milliseconds since boot; none when it may not.
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

    /// The guard of an API server's client: no write is sent while this daemon may not act.
    #[must_use]
    pub fn guard(&self) -> Arc<dyn Fn() -> Result<(), &'static str> + Send + Sync> {
        let leadership = self.clone();
        Arc::new(move || if leadership.holds() { Ok(()) } else { Err(NOT_LEADING) })
    }

    /// Begins a call that changes something; none where this daemon may not act.
    #[must_use]
    pub fn begin(&self) -> Option<Call> {
        self.out.send_modify(|out| *out += 1);
        let call = Call(self.out.clone());
        self.holds().then_some(call)
    }

    /// Bounds a call that nothing fences: it must end before another daemon can lead.
    #[must_use]
    pub fn within(&self, deadline: Duration) -> Duration {
        self.lease.as_ref().map_or(deadline, |lease| deadline.min(lease.margin))
    }

    /// Begins no more calls, and waits for those under way. Says whether all of them ended within `patience`.
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

    fn leased() -> (Leadership, Clock) {
        let clock = Clock::new().expect("a boot id");
        (Leadership::by_lease(clock.clone(), Duration::from_secs(10)), clock)
    }

    #[test]
    fn a_lease_counts_until_its_deadline_and_no_longer() {
        let (leadership, clock) = leased();
        assert!(!leadership.holds());
        leadership.until(Some(clock.now().mono_ms + 3_600_000));
        assert!(leadership.holds() && leadership.clone().begin().is_some());
        leadership.until(Some(clock.now().mono_ms));
        assert!(!leadership.holds() && leadership.begin().is_none());
        leadership.until(None);
        assert!(!leadership.holds());
    }

    #[test]
    fn calls_are_bounded_by_the_lease_only_where_there_is_one() {
        let (long, short) = (Duration::from_secs(60), Duration::from_secs(2));
        let (leadership, _) = leased();
        assert_eq!((leadership.within(long), leadership.within(short)), (Duration::from_secs(10), short));
        assert_eq!(Leadership::alone().within(long), long);
    }

    #[tokio::test]
    async fn whoever_goes_waits_for_the_calls_that_are_out_and_begins_none() {
        let leadership = Leadership::alone();
        let call = leadership.begin().expect("alone");
        assert!(!leadership.close(Duration::from_millis(10)).await);
        assert!(leadership.begin().is_none() && !leadership.holds());
        let waits = tokio::spawn({
            let leadership = leadership.clone();
            async move { leadership.close(Duration::from_secs(60)).await }
        });
        drop(call);
        assert!(waits.await.expect("it ends"));
    }
}
