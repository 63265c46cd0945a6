//! A producer that remembers what was acknowledged, and a consumer that reads everything, all the while.

use super::Rig;
use super::client::Client;
use anyhow::Context as _;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;

/// The consumer's group.
pub const GROUP: &str = "readers";
/// Bytes of a record.
const RECORD: usize = 512;

/// A partition and an offset in it.
type Place = (i32, i64);

#[derive(Debug)]
struct Shared {
    /// All addresses at which a broker may listen.
    addresses: Vec<String>,
    topic: String,
    partitions: i32,
    /// What was acknowledged, and what was read, by place.
    acknowledged: Mutex<BTreeMap<Place, u64>>,
    read: Mutex<BTreeMap<Place, u64>>,
    /// Records a second.
    pace: AtomicU64,
    /// Where the next record of each partition is read.
    next: Vec<AtomicI64>,
    failed: AtomicU64,
    stopped: AtomicBool,
}

/// A producer and a consumer of one topic.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    producer: JoinHandle<()>,
    consumer: JoinHandle<()>,
}

impl Load {
    /// Writes so many bytes into a topic, and then so many records a second, and reads all of it.
    ///
    /// # Errors
    /// When the topic does not take the bytes.
    pub async fn start(
        rig: &Rig,
        topic: &str,
        partitions: i32,
        bytes: usize,
        pace: u64,
    ) -> anyhow::Result<Self> {
        let addresses = rig.slots().iter().map(|(_, port)| format!("127.0.0.1:{port}")).collect();
        let shared = Arc::new(Shared {
            addresses,
            topic: topic.to_owned(),
            partitions,
            acknowledged: Mutex::default(),
            read: Mutex::default(),
            pace: AtomicU64::new(pace),
            next: (0..partitions).map(|_| AtomicI64::new(0)).collect(),
            failed: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        });
        let mut writer = Writer { shared: shared.clone(), leaders: Leaders::default(), id: 0 };
        let batch = 512 * 1024 / RECORD;
        for number in 0..bytes.div_ceil(batch * RECORD) {
            let partition = i32::try_from(number)? % partitions;
            // A topic that has just been made has no leaders for a moment.
            let filled = crate::process::wait_until("the topic is filled", super::PATIENCE, async || {
                writer.write(partition, batch).await
            });
            filled.await?;
        }
        let producer = tokio::spawn(writer.go_on());
        let reader = Reader { shared: shared.clone(), leaders: Leaders::default() };
        let consumer = tokio::spawn(reader.go_on());
        Ok(Self { shared, producer, consumer })
    }

    /// From now on so many records a second.
    pub fn set_pace(&self, pace: u64) {
        self.shared.pace.store(pace, Ordering::SeqCst);
    }

    /// How many records were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        len(&self.shared.acknowledged)
    }

    /// How many batches were not acknowledged: they may be there or not.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.shared.failed.load(Ordering::SeqCst)
    }

    /// Stops writing, reads to the end, and tells how many records were acknowledged and which of them were not read where
    /// they should be.
    ///
    /// # Errors
    /// When what was acknowledged cannot be read in time.
    pub async fn finish(self) -> anyhow::Result<(u64, Vec<Place>)> {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.producer.await?;
        let acknowledged = lock(&self.shared.acknowledged).clone();
        let last: BTreeMap<i32, i64> = acknowledged.keys().copied().collect();
        let read = crate::process::wait_until("everything is read", super::PATIENCE, async || {
            for (partition, offset) in &last {
                let next = usize::try_from(*partition).ok().and_then(|at| self.shared.next.get(at));
                let next = next.map_or(0, |next| next.load(Ordering::SeqCst));
                anyhow::ensure!(next > *offset, "partition {partition} is read up to {next} of {offset}");
            }
            Ok(lock(&self.shared.read).clone())
        });
        let read = read.await?;
        self.consumer.abort();
        let lost = acknowledged.iter().filter(|(place, id)| read.get(place) != Some(id));
        Ok((len(&self.shared.acknowledged), lost.map(|(place, _)| *place).collect()))
    }
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn len(of: &Mutex<BTreeMap<Place, u64>>) -> u64 {
    u64::try_from(lock(of).len()).unwrap_or(u64::MAX)
}

/// Connections to the leaders of partitions.
#[derive(Default)]
struct Leaders(BTreeMap<i32, Client>);

impl Leaders {
    /// The connection to a partition's leader; after a failure it is looked up again.
    async fn of(&mut self, shared: &Shared, partition: i32) -> anyhow::Result<&mut Client> {
        #[expect(clippy::map_entry, reason = "the connection is awaited in between")]
        if !self.0.contains_key(&partition) {
            let client = find(shared, partition).await?;
            self.0.insert(partition, client);
        }
        self.0.get_mut(&partition).context("it was just put there")
    }
}

async fn find(shared: &Shared, partition: i32) -> anyhow::Result<Client> {
    let mut last = anyhow::anyhow!("no broker is known");
    for address in &shared.addresses {
        match ask(address, shared, partition).await {
            Ok(leader) => return Client::connect(&leader).await,
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn ask(address: &str, shared: &Shared, partition: i32) -> anyhow::Result<String> {
    let all = Client::connect(address).await?.metadata().await?;
    let topics =
        all.topics.iter().filter(|one| one.name.as_ref().is_some_and(|name| name.as_str() == shared.topic));
    let found = topics.flat_map(|one| &one.partitions).find(|one| one.partition_index == partition);
    let leader = found.context("no such partition")?.leader_id;
    let broker = all.brokers.iter().find(|one| one.node_id == leader).context("it has no leader")?;
    Ok(format!("{}:{}", broker.host.as_str(), broker.port))
}

struct Writer {
    shared: Arc<Shared>,
    leaders: Leaders,
    id: u64,
}

impl Writer {
    async fn go_on(mut self) {
        let mut partition = 0;
        while !self.shared.stopped.load(Ordering::SeqCst) {
            let pace = self.shared.pace.load(Ordering::SeqCst).max(1);
            // Twenty batches a second.
            let many = usize::try_from(pace.div_ceil(20)).unwrap_or(1);
            let begun = tokio::time::Instant::now();
            if self.write(partition, many).await.is_err() {
                self.shared.failed.fetch_add(1, Ordering::SeqCst);
            }
            partition = (partition + 1) % self.shared.partitions;
            tokio::time::sleep_until(begun + Duration::from_millis(50)).await;
        }
    }

    async fn write(&mut self, partition: i32, many: usize) -> anyhow::Result<()> {
        let first = self.id;
        let values: Vec<Bytes> = (0..many).map(|_| self.value()).collect();
        let client = self.leaders.of(&self.shared, partition).await?;
        match client.produce(&self.shared.topic, partition, &values).await {
            Ok(offset) => {
                let places = (offset..).map(|offset| (partition, offset)).zip(first..self.id);
                lock(&self.shared.acknowledged).extend(places);
                Ok(())
            }
            Err(error) => {
                self.leaders.0.remove(&partition);
                Err(error)
            }
        }
    }

    fn value(&mut self) -> Bytes {
        let mut value = self.id.to_be_bytes().to_vec();
        value.resize(RECORD, b'x');
        self.id += 1;
        value.into()
    }
}

struct Reader {
    shared: Arc<Shared>,
    leaders: Leaders,
}

impl Reader {
    async fn go_on(mut self) {
        let mut committed = BTreeMap::new();
        loop {
            for partition in 0..self.shared.partitions {
                if self.read(partition).await.is_err() {
                    self.leaders.0.remove(&partition);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            self.commit(&mut committed).await;
        }
    }

    async fn read(&mut self, partition: i32) -> anyhow::Result<()> {
        let shared = self.shared.clone();
        let next = shared.next.get(usize::try_from(partition)?).context("a partition")?;
        let client = self.leaders.of(&shared, partition).await?;
        let from = next.load(Ordering::SeqCst);
        let records = client.fetch(&shared.topic, partition, from).await?;
        let Some((last, _)) = records.last() else { return Ok(()) };
        let last = *last;
        let id = |value: &Bytes| value.get(..8).and_then(|id| id.try_into().ok()).map(u64::from_be_bytes);
        let read = records.iter().filter_map(|(offset, value)| Some(((partition, *offset), id(value)?)));
        lock(&shared.read).extend(read);
        next.store(last + 1, Ordering::SeqCst);
        Ok(())
    }

    /// Tells Kafka how far it has come, where that is possible now.
    async fn commit(&mut self, committed: &mut BTreeMap<i32, i64>) {
        for partition in 0..self.shared.partitions {
            let next = usize::try_from(partition).ok().and_then(|at| self.shared.next.get(at));
            let next = next.map_or(0, |next| next.load(Ordering::SeqCst));
            if committed.get(&partition) == Some(&next) {
                continue;
            }
            let Some(address) = self.shared.addresses.first() else { return };
            let sent = async {
                let keeper = Client::connect(address).await?.coordinator(GROUP).await?;
                Client::connect(&keeper).await?.commit(GROUP, &self.shared.topic, partition, next).await
            };
            if sent.await.is_ok() {
                committed.insert(partition, next);
            }
        }
    }
}
