//! Elects the one daemon that acts (`decisions.md` D20). This reads and writes the lease and publishes the result;
//! `plimsoll_core::lease` decides what to send and who leads.

use super::lease::LeaseObject;
use super::{Leadership, LeaseSettings};
use crate::kubernetes::ApiServer;
use crate::machine::Clock;
use crate::view::Standing;
use plimsoll_core::cycle::Role;
use plimsoll_core::lease::{Action, Candidate, Heard, Holder, Terms, elect};
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// The file with the machine's name: in a pod, the pod's.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";
/// The longest that one read or write of the lease may take: as long as any other write.
const LONGEST_CALL: Duration = crate::kubernetes::WRITE_DEADLINE;

/// A wait that does not end.
const NEVER: Duration = Duration::from_secs(365 * 86_400);

/// The election of the leader, as long as the daemon runs.
#[derive(Debug)]
pub struct Election {
    standing: watch::Receiver<Option<Standing>>,
    leading: watch::Receiver<bool>,
    /// The leadership that the targets heard of last, by its number; none where this daemon followed.
    announced: Option<u64>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    leadership: Leadership,
    margin: Duration,
    leave: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

/// Publishes whether this daemon leads.
struct Publisher {
    clock: Clock,
    leadership: Leadership,
    standing: watch::Sender<Option<Standing>>,
    leading: watch::Sender<bool>,
}

impl Election {
    /// No election: this daemon is alone and always leads.
    #[must_use]
    pub fn none() -> Self {
        let (standing, leading) = (watch::Sender::new(None), watch::Sender::new(true));
        Self { standing: standing.subscribe(), leading: leading.subscribe(), announced: None, running: None }
    }

    /// Begins to stand for election.
    ///
    /// # Errors
    /// When the kernel gives no name that nothing else has.
    pub fn begin(
        config: &LeaseSettings,
        server: Arc<ApiServer>,
        leadership: Leadership,
        clock: Clock,
    ) -> std::io::Result<Self> {
        let us = identity()?;
        let terms = Terms {
            duration_ms: millis(config.duration),
            renew_ms: millis(config.renew_deadline),
            retry_ms: millis(config.retry_period),
        };
        // Two attempts to renew must fit into the time that a holder has for it.
        let within = LONGEST_CALL.min(config.renew_deadline / 2);
        let object = LeaseObject::new(server, &config.namespace, &config.name, config.duration, within);
        let candidate = Candidate::new(Arc::from(us.as_str()), terms);
        let first = Standing {
            leads: false,
            leader: "nobody yet".to_owned(),
            identity: us,
            lease: format!("{}/{}", config.namespace, config.name),
            elected: 0,
            lost: 0,
            trouble: None,
        };
        let (standing, leading) = (watch::Sender::new(Some(first)), watch::Sender::new(false));
        let (standing_seen, leading_seen) = (standing.subscribe(), leading.subscribe());
        let (leave, left) = oneshot::channel();
        let publisher = Publisher { clock, leadership: leadership.clone(), standing, leading };
        let task = tokio::spawn(stand(candidate, object, publisher, left));
        let running = Running { leadership, margin: config.margin(), leave, task };
        Ok(Self { standing: standing_seen, leading: leading_seen, announced: None, running: Some(running) })
    }

    /// Whether this daemon leads, to be watched.
    #[must_use]
    pub fn leading(&self) -> watch::Receiver<bool> {
        self.leading.clone()
    }

    /// Whether this daemon leads; none where there is no lease.
    #[must_use]
    pub fn standing(&self) -> Option<Standing> {
        self.standing.borrow().clone()
    }

    /// The role of this daemon, for the targets' machines.
    #[must_use]
    pub fn role(&self) -> Role {
        match &*self.standing.borrow() {
            None => Role::Leads,
            Some(standing) if standing.leads => Role::Leads,
            Some(standing) => Role::Follows { leader: standing.leader.clone() },
        }
    }

    /// The roles to announce to the targets' machines, in order. Leadership that was lost and won again in between is
    /// another one: every machine starts over.
    pub fn news(&mut self) -> Vec<Role> {
        let role = self.role();
        let elected =
            self.standing.borrow().as_ref().filter(|standing| standing.leads).map(|now| now.elected);
        let before = std::mem::replace(&mut self.announced, elected);
        match (before, elected) {
            (Some(before), Some(now)) if before != now => {
                vec![Role::Follows { leader: "nobody".to_owned() }, role]
            }
            (Some(_) | None, _) => vec![role],
        }
    }

    /// Waits until this changes.
    pub async fn changed(&mut self) {
        if self.running.is_none() || self.standing.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Gives leadership back once no call of ours is under way, so that the next daemon need not wait. Where a call does
    /// not end in time the lease is kept until it expires.
    pub async fn leave(self) {
        let Some(Running { leadership, margin, leave, task }) = self.running else { return };
        if !leadership.close(margin).await {
            tracing::warn!("a call is still under way: the lease is kept until it expires");
            task.abort();
            return;
        }
        if leave.send(()).is_ok() && tokio::time::timeout(LONGEST_CALL, task).await.is_err() {
            tracing::warn!("the lease could not be given back in time; it is held until it expires");
        }
    }
}

/// Sends what the candidate asks for, until leadership is given back.
async fn stand(
    mut candidate: Candidate,
    mut object: LeaseObject,
    publisher: Publisher,
    mut left: oneshot::Receiver<()>,
) {
    let mut heard = Heard::Nothing;
    while !candidate.has_left() {
        let action = elect(&mut candidate, publisher.now_ms(), chance(), heard);
        publisher.publish(&candidate);
        heard = Heard::Nothing;
        if let Action::Wait { until_ms } = action {
            tokio::select! {
                () = tokio::time::sleep(publisher.until(until_ms)) => {}
                _ = &mut left, if !candidate.is_leaving() => candidate.leave(),
            }
            continue;
        }
        let mut asked = std::pin::pin!(object.ask(&action, publisher.wall_us()));
        let ends_ms = candidate.leads_until_ms().unwrap_or(u64::MAX);
        let (answer, trouble) = tokio::select! {
            answered = &mut asked => answered,
            // Leadership is lost while it is being renewed: this is announced without waiting for the answer.
            () = tokio::time::sleep(publisher.until(ends_ms)) => {
                publisher.publish(&candidate);
                asked.await
            }
        };
        publisher.trouble(trouble);
        heard = answer;
    }
    publisher.publish(&candidate);
}

impl Publisher {
    fn now_ms(&self) -> u64 {
        self.clock.now().mono_ms
    }

    /// For people, who read it in the object.
    fn wall_us(&self) -> i64 {
        self.clock.now().wall_ms.saturating_mul(1_000)
    }

    /// How long it is until then; a year at most, which is never.
    fn until(&self, at_ms: u64) -> Duration {
        Duration::from_millis(at_ms.saturating_sub(self.now_ms())).min(NEVER)
    }

    /// Closes or opens the way for calls first, then publishes who leads.
    fn publish(&self, candidate: &Candidate) {
        let leads = candidate.leads(self.now_ms());
        self.leadership.until(candidate.leads_until_ms().filter(|_| leads));
        self.standing.send_if_modified(|standing| {
            let Some(standing) = standing else { return false };
            let leader = leader(candidate, leads, &standing.identity);
            let changed = standing.leads != leads || standing.leader != leader;
            if standing.leads != leads {
                tracing::info!(lease = %standing.lease, %leader, "{}", if leads { "leading" } else { "following" });
                let counted = if leads { &mut standing.elected } else { &mut standing.lost };
                *counted += 1;
            }
            (standing.leads, standing.leader) = (leads, leader);
            changed
        });
        self.leading.send_if_modified(|leading| std::mem::replace(leading, leads) != leads);
    }

    fn trouble(&self, trouble: Option<String>) {
        self.standing.send_if_modified(|standing| {
            let Some(standing) = standing else { return false };
            if let Some(why) = trouble.as_ref().filter(|_| standing.trouble.is_none()) {
                tracing::warn!(lease = %standing.lease, "the lease could not be asked: {why}");
            }
            let changed = standing.trouble != trouble;
            standing.trouble = trouble;
            changed
        });
    }
}

/// Who leads, in words.
fn leader(candidate: &Candidate, leads: bool, us: &str) -> String {
    match candidate.holder() {
        _ if leads => us.to_owned(),
        Some(Holder::Process(holder)) if **holder != *us => holder.to_string(),
        Some(Holder::Process(_)) => "nobody (this daemon could not renew its lease)".to_owned(),
        Some(Holder::Nobody | Holder::Released) | None => "nobody yet".to_owned(),
    }
}

/// Names this process: the machine's name is for people, the rest makes it unique.
fn identity() -> std::io::Result<String> {
    Ok(format!("{}_{}", std::fs::read_to_string(HOST_NAME)?.trim(), crate::machine::uuid()?))
}

/// Any number. The standard library draws one for its hash maps.
fn chance() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
