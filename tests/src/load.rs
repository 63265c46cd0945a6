//! Clients that write to etcd, remember every key that was acknowledged, and read all of them back.

use crate::etcd::connect;
use anyhow::Context as _;
use etcd_client::{Client, GetOptions};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How many clients write. One alone is bound by the time that a write takes, and on a disk that others are busy with that may
/// be a third of a second.
const WRITERS: usize = 32;

/// How long one write may take; after that nobody knows whether it happened, and nobody relies on it.
const WRITE_DEADLINE: Duration = Duration::from_secs(2);

/// How many keys are read back at once: far below what fits in one answer.
const PAGE: i64 = 2000;

/// Writers at work.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    writers: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    prefix: String,
    endpoints: Vec<String>,
    /// Writes a second, of all writers together.
    rate: AtomicU32,
    stop: AtomicBool,
    /// Writes that are due, for whoever is free.
    due: Semaphore,
    next: AtomicU64,
    failed: AtomicU64,
    /// Value and revision by key.
    acknowledged: Mutex<BTreeMap<String, (String, i64)>>,
}

impl Load {
    /// Starts writing keys under `prefix` at `rate` writes a second to whichever endpoint answers. Endpoints
    /// where nobody is yet may be among them.
    #[must_use]
    pub fn start(endpoints: &[String], prefix: &str, rate: u32) -> Self {
        let shared = Arc::new(Shared {
            prefix: prefix.to_owned(),
            endpoints: endpoints.to_vec(),
            rate: AtomicU32::new(rate),
            stop: AtomicBool::new(false),
            due: Semaphore::new(0),
            next: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            acknowledged: Mutex::default(),
        });
        let mut writers = JoinSet::new();
        for number in 0..WRITERS {
            writers.spawn(write(shared.clone(), number));
        }
        writers.spawn(pace(shared.clone()));
        Self { shared, writers }
    }

    /// Changes the rate, in writes a second; 0 pauses.
    pub fn set_rate(&self, rate: u32) {
        self.shared.rate.store(rate, Ordering::Relaxed);
    }

    /// How many writes were acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.shared.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// How many writes failed or were not answered. Those promise nothing.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.shared.failed.load(Ordering::Relaxed)
    }

    /// Stops writing and gives what was acknowledged.
    pub async fn finish(mut self) -> Acknowledged {
        self.shared.stop.store(true, Ordering::Relaxed);
        while self.writers.join_next().await.is_some() {}
        let keys =
            std::mem::take(&mut *self.shared.acknowledged.lock().unwrap_or_else(PoisonError::into_inner));
        Acknowledged { prefix: self.shared.prefix.clone(), keys }
    }
}

/// Every write that the cluster has promised to keep.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    prefix: String,
    keys: BTreeMap<String, (String, i64)>,
}

impl Acknowledged {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether nothing was acknowledged, so that reading back would prove nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Reads everything back with linearizable reads: the keys that are gone or hold something else.
    ///
    /// # Errors
    /// When no endpoint answers.
    pub async fn lost(&self, endpoints: &[String]) -> anyhow::Result<Vec<String>> {
        let mut why = anyhow::anyhow!("no endpoints");
        for endpoint in endpoints {
            match self.lost_at(endpoint).await {
                Ok(lost) => return Ok(lost),
                Err(error) => why = error.context(format!("reading back from {endpoint}")),
            }
        }
        Err(why)
    }

    async fn lost_at(&self, endpoint: &str) -> anyhow::Result<Vec<String>> {
        let client = tokio::time::timeout(WRITE_DEADLINE, connect(&[endpoint.to_owned()])).await??;
        let mut kv = client.kv_client();
        let mut found: BTreeMap<Vec<u8>, (Vec<u8>, i64)> = BTreeMap::new();
        // `0` follows `/`: the range is everything under the prefix.
        let end = format!("{}0", self.prefix);
        let mut from = format!("{}/", self.prefix).into_bytes();
        loop {
            let options = GetOptions::new().with_range(end.clone()).with_limit(PAGE);
            let page = tokio::time::timeout(Duration::from_secs(10), kv.get(from, Some(options))).await??;
            for entry in page.kvs() {
                found.insert(entry.key().to_vec(), (entry.value().to_vec(), entry.mod_revision()));
            }
            match page.kvs().last() {
                Some(last) if page.more() => {
                    from = last.key().to_vec();
                    from.push(0);
                }
                Some(_) | None => break,
            }
        }
        let kept = |key: &String, value: &String, revision: i64| {
            found.get(key.as_bytes()) == Some(&(value.clone().into_bytes(), revision))
        };
        Ok(self
            .keys
            .iter()
            .filter(|(key, (value, revision))| !kept(key, value, *revision))
            .map(|(key, _)| key.clone())
            .collect())
    }
}

/// Says when a write is due, by the rate of that moment. What nobody is free for is not made up for.
async fn pace(shared: Arc<Shared>) {
    let mut due = Instant::now();
    while !shared.stop.load(Ordering::Relaxed) {
        let rate = shared.rate.load(Ordering::Relaxed);
        if rate == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            due = Instant::now();
            continue;
        }
        due = due.max(Instant::now() - Duration::from_millis(500)) + Duration::from_secs(1) / rate;
        tokio::time::sleep_until(due).await;
        if shared.due.available_permits() < WRITERS {
            shared.due.add_permits(1);
        }
    }
    shared.due.close();
}

/// One client: writes what is due, moves to the next endpoint when one fails.
async fn write(shared: Arc<Shared>, number: usize) {
    let mut at = number;
    let mut client: Option<Client> = None;
    while !shared.stop.load(Ordering::Relaxed) {
        let used = match client.take() {
            Some(used) => used,
            None => match next_client(&shared, &mut at).await {
                Ok(new) => new,
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let Ok(due) = shared.due.acquire().await else { return };
        due.forget();
        match write_one(&shared, &used).await {
            Ok(()) => client = Some(used),
            Err(_) => {
                shared.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// The next endpoint that answers a linearizable read, so that a write is not wasted on one that cannot.
async fn next_client(shared: &Shared, at: &mut usize) -> anyhow::Result<Client> {
    *at += 1;
    let endpoint = shared.endpoints.get(*at % shared.endpoints.len().max(1)).context("no endpoints")?;
    let probe = async {
        let client = connect(std::slice::from_ref(endpoint)).await?;
        client.kv_client().get(shared.prefix.as_str(), None).await?;
        anyhow::Ok(client)
    };
    tokio::time::timeout(Duration::from_millis(500), probe).await?
}

async fn write_one(shared: &Shared, client: &Client) -> anyhow::Result<()> {
    let number = shared.next.fetch_add(1, Ordering::Relaxed);
    let key = format!("{}/{number:09}", shared.prefix);
    let value = format!("value {number}");
    let mut kv = client.kv_client();
    let answer = tokio::time::timeout(WRITE_DEADLINE, kv.put(key.as_str(), value.as_str(), None)).await??;
    let revision = answer.header().context("an answer without a header")?.revision();
    let mut acknowledged = shared.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
    acknowledged.insert(key, (value, revision));
    Ok(())
}

/// How load changes over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// The same all the time.
    Steady,
    /// Low, high, low, high: what takes a cluster up, down and up again.
    Ramp,
}

impl Profile {
    /// The rate when `elapsed` of `whole` has passed, between `low` and `high`.
    #[must_use]
    pub fn rate(self, elapsed: Duration, whole: Duration, low: u32, high: u32) -> u32 {
        let quarter = elapsed.as_millis() * 4 / whole.as_millis().max(1);
        match self {
            Self::Steady => high,
            Self::Ramp if quarter.is_multiple_of(2) => low,
            Self::Ramp => high,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ramps_up_down_and_up_again() {
        let whole = Duration::from_secs(40);
        let rates: Vec<u32> = [0, 9, 10, 19, 20, 29, 30, 39]
            .map(|s| Profile::Ramp.rate(Duration::from_secs(s), whole, 1, 9))
            .into();
        assert_eq!(rates, [1, 1, 9, 9, 1, 1, 9, 9]);
    }
}
