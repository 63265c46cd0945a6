//! Clients of a PostgreSQL cluster: one that writes and remembers every commit that was acknowledged, and some that read from
//! all members.

use super::places::Places;
use super::{session, values};
use crate::process::wait_until;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_postgres::Client;

/// How long one statement may take; after that nobody knows what came of it, and nobody relies on it.
const DEADLINE: Duration = Duration::from_secs(3);
/// How many clients read.
const READERS: usize = 4;
/// How many clients write: one alone is bound by the time that a commit takes.
const WRITERS: usize = 4;

/// Clients at work.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    places: Places,
    /// Rows a second that all readers fetch together.
    reads: AtomicU32,
    /// Commits a second of all writers together.
    writes: u32,
    stop: AtomicBool,
    next: AtomicU64,
    failed: AtomicU64,
    acknowledged: Mutex<BTreeSet<u64>>,
}

impl Load {
    /// Starts clients that commit `writes` times and read `reads` rows a second.
    #[must_use]
    pub fn start(places: impl Into<Places>, writes: u32, reads: u32) -> Self {
        let shared = Arc::new(Shared {
            places: places.into(),
            reads: AtomicU32::new(reads),
            writes,
            stop: AtomicBool::new(false),
            next: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            acknowledged: Mutex::default(),
        });
        let mut clients = JoinSet::new();
        for _ in 0..WRITERS {
            clients.spawn(write(shared.clone()));
        }
        for number in 0..READERS {
            clients.spawn(read(shared.clone(), number));
        }
        Self { shared, clients }
    }

    /// How many rows all readers fetch a second together.
    pub fn set_reads(&self, reads: u32) {
        self.shared.reads.store(reads, Ordering::Relaxed);
    }

    /// How many commits were acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.shared.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Ends all clients, and reads everything back from the primary: how many commits were acknowledged, and those of them
    /// that are gone.
    ///
    /// # Errors
    /// When no member takes writes.
    pub async fn finish(mut self) -> anyhow::Result<(usize, Vec<u64>)> {
        self.shared.stop.store(true, Ordering::Relaxed);
        while self.clients.join_next().await.is_some() {}
        let wanted =
            std::mem::take(&mut *self.shared.acknowledged.lock().unwrap_or_else(PoisonError::into_inner));
        let found = wait_until("everything is read back", super::PATIENCE, async || {
            let client = primary(&self.shared.places).await?;
            let rows = values(&client, "SELECT id FROM kept WHERE value = 'value ' || id").await?;
            Ok(rows.iter().map(|id| id.parse()).collect::<Result<BTreeSet<u64>, _>>()?)
        })
        .await?;
        Ok((wanted.len(), wanted.difference(&found).copied().collect()))
    }

    /// How many writes failed or were not answered. Those promise nothing.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.shared.failed.load(Ordering::Relaxed)
    }
}

/// The member that takes writes: no standby, and not fenced.
async fn primary(places: &Places) -> anyhow::Result<Client> {
    for place in places.now() {
        let Ok(client) = session(&place, "app").await else { continue };
        let takes =
            "SELECT NOT pg_is_in_recovery() AND current_setting('default_transaction_read_only') = 'off'";
        if values(&client, takes).await.is_ok_and(|rows| rows == ["t"]) {
            return Ok(client);
        }
    }
    anyhow::bail!("no member takes writes")
}

async fn write(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(
        Duration::from_secs(1) * u32::try_from(WRITERS).unwrap_or(1) / shared.writes.max(1),
    );
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut client = None;
    while !shared.stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let used = match client.take() {
            Some(used) => used,
            None => match primary(&shared.places).await {
                Ok(used) => used,
                Err(_) => continue,
            },
        };
        let id = shared.next.fetch_add(1, Ordering::Relaxed);
        let statement = format!("INSERT INTO kept VALUES ({id}, 'value {id}')");
        match tokio::time::timeout(DEADLINE, used.batch_execute(&statement)).await {
            Ok(Ok(())) => {
                shared.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
                client = Some(used);
            }
            Ok(Err(_)) | Err(_) => {
                shared.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Reads from one member after the other, as many rows as are due.
async fn read(shared: Arc<Shared>, number: usize) {
    let mut sessions: BTreeMap<String, Client> = BTreeMap::new();
    let (mut at, mut due) = (number, Instant::now());
    while !shared.stop.load(Ordering::Relaxed) {
        let rate = shared.reads.load(Ordering::Relaxed).max(1);
        // What nobody was free for is not made up for.
        due = due.max(Instant::now() - Duration::from_millis(500))
            + Duration::from_secs(1) * u32::try_from(READERS).unwrap_or(1) / rate;
        tokio::time::sleep_until(due).await;
        // A member that is not there costs a look; the next one is asked at once.
        let places = shared.places.now();
        for _ in 0..places.len() {
            at = (at + 1) % places.len();
            let Some(place) = places.get(at) else { break };
            if !sessions.contains_key(&place.name) {
                let Ok(client) = session(place, "app").await else { continue };
                sessions.insert(place.name.clone(), client);
            }
            let Some(client) = sessions.get(&place.name) else { continue };
            let question =
                format!("SELECT value FROM page WHERE id = {}", 1 + due.elapsed().subsec_nanos() % 1000);
            match tokio::time::timeout(DEADLINE, client.simple_query(&question)).await {
                Ok(Ok(_)) => break,
                Ok(Err(_)) | Err(_) => drop(sessions.remove(&place.name)),
            }
        }
    }
}
