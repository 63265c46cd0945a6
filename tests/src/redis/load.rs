//! Clients of a Redis Cluster that follow `MOVED` and `ASK`: some write and remember every write that a replica has confirmed
//! (`WAIT 1`), some read.

use super::{command, connect};
use crate::process::wait_until;
use anyhow::Context as _;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisError};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

/// How long one command may take; after that nobody knows what came of it, and nobody relies on it.
const DEADLINE: Duration = Duration::from_secs(3);
/// How many clients read.
const READERS: usize = 2;
/// How many clients write.
const WRITERS: usize = 4;
/// How many keys there are. Each is written again and again, so that an old value that comes back is found.
const KEYS: u64 = 2_000;
/// How often a command is sent on before it counts as failed.
const HOPS: usize = 8;

/// Clients at work.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    ports: Vec<u16>,
    /// Reads a second of all readers together.
    reads: AtomicU32,
    /// Writes a second of all writers together.
    writes: u32,
    stop: AtomicBool,
    next: AtomicU64,
    failed: AtomicU64,
    /// Of each key the last value that was sent, and the last that was confirmed.
    values: Mutex<BTreeMap<u64, Value>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Value {
    sent: u64,
    confirmed: Option<u64>,
}

/// What came of everything that was confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Keys with a confirmed value.
    pub keys: usize,
    /// Those that have an older value, or none.
    pub lost: Vec<String>,
}

impl Load {
    /// Starts clients that write `writes` times and read `reads` times a second.
    #[must_use]
    pub fn start(ports: Vec<u16>, writes: u32, reads: u32) -> Self {
        let shared = Arc::new(Shared {
            ports,
            reads: AtomicU32::new(reads),
            writes,
            stop: AtomicBool::new(false),
            next: AtomicU64::new(1),
            failed: AtomicU64::new(0),
            values: Mutex::default(),
        });
        let mut clients = JoinSet::new();
        for number in 0..WRITERS {
            clients.spawn(write(shared.clone(), number as u64));
        }
        for _ in 0..READERS {
            clients.spawn(read(shared.clone()));
        }
        Self { shared, clients }
    }

    /// How many reads all readers do a second together.
    pub fn set_reads(&self, reads: u32) {
        self.shared.reads.store(reads, Ordering::Relaxed);
    }

    /// How many keys have a confirmed value.
    #[must_use]
    pub fn confirmed(&self) -> usize {
        self.shared.lock().values().filter(|value| value.confirmed.is_some()).count()
    }

    /// How many commands failed or were not answered. Those promise nothing.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.shared.failed.load(Ordering::Relaxed)
    }

    /// Ends all clients, and reads every key back.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn finish(mut self) -> anyhow::Result<Balance> {
        self.shared.stop.store(true, Ordering::Relaxed);
        while self.clients.join_next().await.is_some() {}
        let values = self.shared.lock().clone();
        let mut client = Router::new(self.shared.ports.clone());
        let mut balance = Balance { keys: 0, lost: Vec::new() };
        for (key, value) in values {
            let Some(confirmed) = value.confirmed else { continue };
            balance.keys += 1;
            let name = name(key);
            let found: Option<u64> = wait_until(&name, super::PATIENCE, async || {
                Ok(client.send(&name, &command(&["GET", &name])).await?.0)
            })
            .await?;
            // What was sent later may have come, too.
            if found.is_none_or(|found| found < confirmed || found > value.sent) {
                balance.lost.push(format!("{name}: {confirmed} was confirmed, {found:?} is there"));
            }
        }
        Ok(balance)
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Value>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(key: u64) -> String {
    format!("key:{key}")
}

/// A client that remembers which node answers for a key, and follows redirections.
struct Router {
    ports: Vec<u16>,
    owners: BTreeMap<String, u16>,
    connections: BTreeMap<u16, MultiplexedConnection>,
}

impl Router {
    fn new(ports: Vec<u16>) -> Self {
        Self { ports, owners: BTreeMap::new(), connections: BTreeMap::new() }
    }

    async fn connection(&mut self, port: u16) -> anyhow::Result<MultiplexedConnection> {
        if let Some(known) = self.connections.get(&port) {
            return Ok(known.clone());
        }
        let fresh = connect(port).await?;
        self.connections.insert(port, fresh.clone());
        Ok(fresh)
    }

    /// Sends a command to whoever answers for a key, and tells on which port that was.
    async fn send<T: redis::FromRedisValue>(&mut self, key: &str, command: &Cmd) -> anyhow::Result<(T, u16)> {
        let (mut asking, mut other) = (None, 0);
        for _ in 0..HOPS {
            let known = self.owners.get(key).copied();
            let port = asking.or(known).or_else(|| self.ports.get(other % self.ports.len()).copied());
            let port = port.context("a port")?;
            match self.once(port, command, asking.is_some()).await {
                Ok(value) => return Ok((value, port)),
                Err(Answer::Moved(to)) => {
                    asking = None;
                    self.owners.insert(key.to_owned(), to);
                }
                Err(Answer::Ask(to)) => asking = Some(to),
                Err(Answer::Again) => {
                    asking = None;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(Answer::Gone) => {
                    asking = None;
                    self.owners.remove(key);
                    other += 1;
                }
                Err(Answer::Failed(why)) => anyhow::bail!(why),
            }
        }
        anyhow::bail!("{key} was sent on {HOPS} times")
    }

    async fn once<T: redis::FromRedisValue>(
        &mut self,
        port: u16,
        command: &Cmd,
        asks: bool,
    ) -> Result<T, Answer> {
        let Ok(mut connection) = self.connection(port).await else { return Err(Answer::Gone) };
        let mut pipeline = redis::pipe();
        if asks {
            pipeline.cmd("ASKING").ignore();
        }
        pipeline.add_command(command.clone());
        let answer = tokio::time::timeout(DEADLINE, pipeline.query_async::<(T,)>(&mut connection)).await;
        match answer {
            Ok(Ok((value,))) => Ok(value),
            Ok(Err(error)) => {
                let answer = Answer::of(&error);
                if matches!(answer, Answer::Gone) {
                    self.connections.remove(&port);
                }
                Err(answer)
            }
            Err(_) => {
                self.connections.remove(&port);
                Err(Answer::Failed(format!("{port} does not answer")))
            }
        }
    }
}

/// What is to be done about an answer that is none.
enum Answer {
    Moved(u16),
    Ask(u16),
    Again,
    /// Nobody answers there.
    Gone,
    Failed(String),
}

impl Answer {
    fn of(error: &RedisError) -> Self {
        let text = error.to_string();
        let port = || {
            let address = text.split([' ', ',', ')']).find(|word| word.starts_with("127.0.0.1:"))?;
            address.rsplit_once(':')?.1.parse().ok()
        };
        match port() {
            Some(port) if text.contains("ASK") && !text.contains("MOVED") => Self::Ask(port),
            Some(port) => Self::Moved(port),
            None if error.is_io_error() || error.is_connection_dropped() => Self::Gone,
            None if text.contains("TRYAGAIN") || text.contains("CLUSTERDOWN") => Self::Again,
            None => Self::Failed(text),
        }
    }
}

/// Each writer has keys of its own: values of one key are sent one after the other.
async fn write(shared: Arc<Shared>, number: u64) {
    let mut ticks = tokio::time::interval(
        Duration::from_secs(1) * u32::try_from(WRITERS).unwrap_or(1) / shared.writes.max(1),
    );
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut client = Router::new(shared.ports.clone());
    let writers = WRITERS as u64;
    for round in 0_u64.. {
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        ticks.tick().await;
        let key = (round * writers + number) % KEYS;
        let value = shared.next.fetch_add(1, Ordering::Relaxed);
        shared.lock().entry(key).or_default().sent = value;
        match confirmed(&mut client, &name(key), value).await {
            Ok(true) => shared.lock().entry(key).or_default().confirmed = Some(value),
            Ok(false) | Err(_) => {
                shared.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Whether a replica has confirmed a write: the same connection has to wait for it that wrote.
async fn confirmed(client: &mut Router, key: &str, value: u64) -> anyhow::Result<bool> {
    let (_, port) = client.send::<String>(key, &command(&["SET", key, &value.to_string()])).await?;
    let mut connection = client.connection(port).await?;
    let replicas: u64 =
        tokio::time::timeout(DEADLINE, command(&["WAIT", "1", "1000"]).query_async(&mut connection))
            .await??;
    Ok(replicas >= 1)
}

/// Reads one key after the other, as many as are due.
async fn read(shared: Arc<Shared>) {
    let mut client = Router::new(shared.ports.clone());
    let (mut key, mut due) = (0, Instant::now());
    while !shared.stop.load(Ordering::Relaxed) {
        let rate = shared.reads.load(Ordering::Relaxed).max(1);
        // What nobody was free for is not made up for.
        due = due.max(Instant::now() - Duration::from_millis(500))
            + Duration::from_secs(1) * u32::try_from(READERS).unwrap_or(1) / rate;
        tokio::time::sleep_until(due).await;
        key = (key + 7) % KEYS;
        let name = name(key);
        let _ = client.send::<Option<u64>>(&name, &command(&["GET", &name])).await;
    }
}
