//! Moves one slot from one master to another, so that it can be interrupted at any point and done again.
//!
//! 1. the taker imports the slot, and its owner gives it: clients find keys that have moved by `ASK`;
//! 2. keys move in batches; the owner deletes a key once the taker has answered that it has it;
//! 3. the owner gives the slot still, and holds no key of it: then the taker is its owner, and says so to all nodes at once;
//! 4. whoever gave it is told, too, so that nothing is on its way any more.
//!
//! A key that is on both ends is one whose move was interrupted before it was deleted: its owner's value is the later one, since
//! clients reach it there for as long as it is there.

use super::Access;
use super::call::{Contact, Work};
use super::conduct::{at, named};
use super::planner::Move;
use super::session::{Failure, Session, words};
use crate::leadership::Leadership;
use redis::Cmd;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// How many bytes one `MIGRATE` moves, as far as the average key tells: both nodes serve nobody meanwhile.
const BATCH_BYTES: u64 = 128 * 1024;
/// How many keys at most.
const BATCH_KEYS: u64 = 100;
/// How long one `MIGRATE` may wait for the other node.
const MIGRATE: Duration = Duration::from_secs(5);

/// How the move of a slot ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Moved,
    /// It is on its way, and the next call finishes it.
    TimeIsUp,
}

/// Moves of one call.
pub(super) struct Transfer<'a> {
    access: &'a Access,
    work: &'a Work,
    /// Until when a batch may begin.
    until: Instant,
    deadline: Instant,
    sessions: BTreeMap<String, Session>,
    changed: bool,
    begun: Instant,
    bytes: u64,
}

impl<'a> Transfer<'a> {
    pub(super) fn new(access: &'a Access, work: &'a Work, until: Instant, deadline: Instant) -> Self {
        let (sessions, begun) = (BTreeMap::new(), Instant::now());
        Self { access, work, until, deadline, sessions, changed: false, begun, bytes: 0 }
    }

    /// Whether anything may have changed.
    pub(super) fn has_changed(&self) -> bool {
        self.changed
    }

    /// Moves one slot.
    pub(super) async fn slot(&mut self, step: &Move, leadership: &Leadership) -> Result<End, Failure> {
        let slot = step.slot.to_string();
        for id in [&step.from, &step.to] {
            self.connect(id).await?;
        }
        let imports = self.set(&step.to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &step.from]).await;
        let owned = matches!(&imports, Err(Failure::Refused(why)) if why.contains("already the owner"));
        if !owned {
            imports?;
            if self.keys(step, &slot, leadership).await? == End::TimeIsUp {
                return Ok(End::TimeIsUp);
            }
        }
        self.close(step, &slot).await?;
        Ok(End::Moved)
    }

    /// Moves all keys; at the end the owner still gives the slot and has none.
    async fn keys(&mut self, step: &Move, slot: &str, leadership: &Leadership) -> Result<End, Failure> {
        let count = (BATCH_BYTES / self.work.key_bytes).clamp(1, BATCH_KEYS);
        let (gives, count) = (["CLUSTER", "SETSLOT", slot, "MIGRATING", &step.to], count.to_string());
        loop {
            // It would refuse were it no longer the owner; and a node that has failed over has forgotten that it gives.
            self.set(&step.from, &gives).await?;
            let left: u64 = self.ask(&step.from, &words(&["CLUSTER", "COUNTKEYSINSLOT", slot])).await?;
            if left == 0 {
                return Ok(End::Moved);
            }
            let keys: Vec<Vec<u8>> =
                self.ask(&step.from, &words(&["CLUSTER", "GETKEYSINSLOT", slot, &count])).await?;
            if !keys.is_empty() {
                self.migrate(step, &keys).await?;
            }
            if !leadership.holds() || Instant::now() >= self.until {
                return Ok(End::TimeIsUp);
            }
            self.throttle(keys.len()).await;
        }
    }

    async fn migrate(&mut self, step: &Move, keys: &[Vec<u8>]) -> Result<(), Failure> {
        let taker = self.contact(&step.to)?;
        let wait = MIGRATE.min(self.deadline.saturating_duration_since(Instant::now()));
        let mut command = Cmd::new();
        command.arg("MIGRATE").arg(&taker.peer.0).arg(taker.peer.1).arg("").arg(0);
        command.arg(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1)).arg("REPLACE");
        if let Some(login) = &self.access.connection.login {
            let password = login.password().map_err(|error| Failure::Refused(format!("{error:#}")))?;
            command.arg("AUTH2").arg(&login.username).arg(password);
        }
        command.arg("KEYS").arg(keys);
        // The answer is `OK`, or `NOKEY` where all have expired.
        self.ask::<String>(&step.from, &command).await.map(drop)
    }

    /// The slot changes hands. What was told to only some of the nodes is told again when the call is repeated.
    async fn close(&mut self, step: &Move, slot: &str) -> Result<(), Failure> {
        let order = ["CLUSTER", "SETSLOT", slot, "NODE", &step.to];
        self.set(&step.to, &order).await?;
        // A node that still holds a key of the slot refuses.
        self.set(&step.from, &order).await?;
        Ok(())
    }

    /// Waits until what has moved fits the rate that the owner allows.
    async fn throttle(&mut self, keys: usize) {
        let keys = u64::try_from(keys).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(keys.saturating_mul(self.work.key_bytes));
        let Some(rate) = self.access.settings.throttle.filter(|rate| *rate > 0) else { return };
        let needed = Duration::from_millis(self.bytes.saturating_mul(1_000) / rate);
        tokio::time::sleep_until((self.begun + needed).min(self.until)).await;
    }

    async fn connect(&mut self, id: &str) -> Result<(), Failure> {
        if !self.sessions.contains_key(id) {
            let contact = self.contact(id)?;
            let session = at(self.access, contact, self.deadline).await.map_err(Failure::Refused)?;
            self.sessions.insert(id.to_owned(), session);
        }
        Ok(())
    }

    fn contact(&self, id: &str) -> Result<&'a Contact, Failure> {
        let found = self.work.members.iter().find(|member| member.id == id);
        found.ok_or_else(|| Failure::Refused(format!("{id} is no member that answers")))
    }

    fn session(&self, id: &str) -> Result<&Session, Failure> {
        self.sessions.get(id).ok_or_else(|| Failure::Refused(format!("there is no session with {id}")))
    }

    async fn ask<T: redis::FromRedisValue>(&mut self, id: &str, command: &Cmd) -> Result<T, Failure> {
        let contact = self.contact(id)?;
        self.session(id)?.ask(command).await.map_err(|failure| named(contact, failure))
    }

    async fn set(&mut self, id: &str, order: &[&str]) -> Result<(), Failure> {
        let contact = self.contact(id)?;
        let done = self.session(id)?.order(order).await.map_err(|failure| named(contact, failure));
        self.changed |= !matches!(done, Err(Failure::Refused(_)));
        done
    }
}
