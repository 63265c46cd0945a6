//! What all brokers say together. Pure, and blind to the order in which they answered.

use super::lag::Offsets;
use super::planner::{self, Layout, Part};
use super::reading::{Key, Mark, Moving, Partition, Registered};
use super::survey::{Answer, Broker, Survey, Whole, known_as, speaker};
use plimsoll_core::observation::PlatformReport;
use plimsoll_wire::fact::Gap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The mark of a broker that is being emptied.
pub(super) const CORDONED: &str = "cordoned";
/// The mark of a broker that gets its share.
pub(super) const FILLED: &str = "filled";
/// The mark of a broker whose rate we have bounded.
pub(super) const THROTTLED: &str = "throttled";

/// Why nothing can be said of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Doubt {
    pub(super) gap: Gap,
    pub(super) detail: String,
}

/// The cluster.
#[derive(Debug)]
pub(super) struct Cluster<'a> {
    pub(super) id: &'a str,
    /// The broker whose word counts for what all know alike.
    pub(super) speaker: &'a Broker,
    /// For how long each of those that answered has been seen to, at least.
    pub(super) up_ms: u64,
    pub(super) whole: &'a Whole,
    pub(super) offsets: &'a Result<Offsets, String>,
    /// Those that answer, by id.
    pub(super) seen: BTreeMap<i32, &'a Answer>,
    /// Places of brokers that are known by their addresses alone, since they do not answer.
    pub(super) places: BTreeMap<i32, &'a Answer>,
}

/// What a broker holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) copies: BTreeSet<Key>,
    pub(super) leaders: u64,
    pub(super) moving: u64,
}

/// Puts the answers together, or says why they do not fit.
pub(super) fn conclude<'a>(survey: &'a Survey, platform: &PlatformReport) -> Result<Cluster<'a>, Doubt> {
    let doubt = |gap: Gap, detail: String| Doubt { gap, detail };
    if platform.slots.value().is_none() {
        return Err(doubt(Gap::NotScraped, "the platform does not tell where the members are".to_owned()));
    }
    let whole = survey.whole.as_ref().map_err(|why| doubt(Gap::Error, why.clone()))?;
    let Some((_, spoken)) = speaker(&survey.answers) else {
        return Err(doubt(Gap::Error, "no broker answers and serves".to_owned()));
    };
    let mut seen = BTreeMap::new();
    let mut up_ms = u64::MAX;
    for answer in &survey.answers {
        let Ok(broker) = &answer.reading else { continue };
        if broker.cluster != spoken.cluster {
            let detail =
                format!("{} is of the cluster {}, not {}", answer.place, broker.cluster, spoken.cluster);
            return Err(doubt(Gap::Conflicting, detail));
        }
        if seen.insert(broker.own.id, answer).is_some() {
            return Err(doubt(Gap::Conflicting, format!("two places answer as broker {}", broker.own.id)));
        }
        up_ms = up_ms.min(u64::try_from(answer.up.as_millis()).unwrap_or(u64::MAX));
    }
    let silent = survey.answers.iter().filter(|answer| answer.reading.is_err());
    let places = silent.filter_map(|answer| {
        let known = known_as(&answer.endpoints);
        let mut fits = spoken.registered.iter().filter(|row| known.contains(&row.address));
        let row = fits.next().filter(|row| !seen.contains_key(&row.id))?;
        Some((row.id, answer))
    });
    let places = places.collect();
    Ok(Cluster { id: &spoken.cluster, speaker: spoken, up_ms, whole, offsets: &survey.offsets, seen, places })
}

impl<'a> Cluster<'a> {
    pub(super) fn row(&self, id: i32) -> Option<&'a Registered> {
        self.speaker.registered.iter().find(|row| row.id == id)
    }

    pub(super) fn broker(&self, id: i32) -> Option<&'a Broker> {
        self.seen.get(&id).and_then(|answer| answer.reading.as_ref().ok())
    }

    pub(super) fn place(&self, id: i32) -> Option<&'a Answer> {
        self.seen.get(&id).or_else(|| self.places.get(&id)).copied()
    }

    /// The brokers that are members: all that run somewhere, serve, or are named as holding something.
    pub(super) fn members(&self) -> BTreeSet<i32> {
        let registered = self.speaker.registered.iter();
        let live = registered.filter(|row| !row.fenced || self.place(row.id).is_some()).map(|row| row.id);
        let named = self.speaker.partitions.values().flat_map(|partition| partition.replicas.iter().copied());
        live.chain(named).collect()
    }

    /// Brokers that are registered, run nowhere and hold nothing.
    pub(super) fn left_over(&self) -> Vec<i32> {
        let members = self.members();
        self.speaker.registered.iter().map(|row| row.id).filter(|id| !members.contains(id)).collect()
    }

    fn marks(&self, word: &str) -> impl Iterator<Item = &'a Mark> {
        self.speaker.own.marks.iter().filter(move |mark| mark.word == word)
    }

    /// The plan that put a mark on a broker.
    pub(super) fn marked(&self, id: i32, word: &str) -> Option<&'a str> {
        self.marks(word).find(|mark| mark.broker == Some(id)).map(|mark| mark.plan.as_str())
    }

    /// The brokers that bear a mark, those too that are no longer there.
    pub(super) fn all_marked(&self, word: &str) -> BTreeSet<i32> {
        self.marks(word).filter_map(|mark| mark.broker).collect()
    }

    /// Marks that are good for nothing any more where nothing moves: of bounds, of brokers that have their share, and of
    /// brokers that are gone.
    pub(super) fn stale(&self, has_its_share: impl Fn(i32) -> bool) -> Vec<&'a Mark> {
        let members = self.members();
        let is_stale = |mark: &&Mark| match (mark.word.as_str(), mark.broker) {
            (FILLED, Some(id)) => has_its_share(id),
            (CORDONED, Some(id)) => !members.contains(&id),
            (_, _) => true,
        };
        self.speaker.own.marks.iter().filter(is_stale).collect()
    }

    /// What a broker holds: whatever any broker that serves still names as its, and whatever lies in its own log directories.
    pub(super) fn held(&self, id: i32) -> Result<Held, String> {
        let place =
            || self.place(id).map_or_else(|| format!("broker {id}"), |answer| answer.place.to_string());
        let broker = self.broker(id).ok_or_else(|| format!("{} does not tell what it holds", place()))?;
        let dirs = broker.dirs.as_ref().map_err(|why| format!("{}: {why}", place()))?;
        let mut held = Held { copies: dirs.copies.keys().cloned().collect(), ..Held::default() };
        for other in self.seen.values().filter_map(|answer| answer.reading.as_ref().ok()) {
            let serves = self.row(other.own.id).is_some_and(|row| !row.fenced);
            let named = other.partitions.iter().filter(|(_, partition)| partition.replicas.contains(&id));
            held.copies.extend(named.filter(|_| serves).map(|(key, _)| key.clone()));
        }
        let leads = |partition: &&Partition| partition.leader == Some(id);
        held.leaders =
            u64::try_from(self.speaker.partitions.values().filter(leads).count()).unwrap_or(u64::MAX);
        let moves = |moving: &&Moving| moving.adding.contains(&id) || moving.removing.contains(&id);
        held.moving = u64::try_from(self.whole.moving.values().filter(moves).count()).unwrap_or(u64::MAX);
        Ok(held)
    }

    /// How many other brokers that serve have told what they know.
    pub(super) fn witnesses(&self, id: i32) -> usize {
        let serves = |other: &&i32| self.row(**other).is_some_and(|row| !row.fenced);
        self.seen.keys().filter(|other| **other != id).filter(serves).count()
    }

    /// The bytes of each partition: those of the largest copy that is known.
    pub(super) fn sizes(&self) -> BTreeMap<&'a Key, u64> {
        let mut sizes = BTreeMap::new();
        let brokers = self.seen.values().filter_map(|answer| answer.reading.as_ref().ok());
        for (key, bytes) in
            brokers.filter_map(|broker| broker.dirs.as_ref().ok()).flat_map(|dirs| &dirs.copies)
        {
            let size: &mut u64 = sizes.entry(key).or_default();
            *size = (*size).max(*bytes);
        }
        sizes
    }

    /// What is to be where once all that is under way has ended.
    pub(super) fn layout(&self) -> Layout {
        let sizes = self.sizes();
        let parts = self.speaker.partitions.iter().map(|(key, partition)| {
            let going = self.whole.moving.get(key).map_or(&[][..], |moving| &moving.removing);
            let stays = partition.replicas.iter().copied().filter(|id| !going.contains(id));
            Part { key: key.clone(), replicas: stays.collect(), bytes: sizes.get(key).copied().unwrap_or(0) }
        });
        let brokers = self.speaker.registered.iter().map(|row| (row.id, self.planned(row)));
        Layout { parts: parts.collect(), brokers: brokers.collect() }
    }

    fn planned(&self, row: &Registered) -> planner::Broker {
        let broker = self.broker(row.id);
        // What we closed for a plan that has ended is opened before anything comes.
        let takes = broker.is_some_and(|broker| {
            broker.own.closed || broker.own.cordoned_dirs.as_deref().unwrap_or_default().is_empty()
        });
        let is_open = takes && !row.fenced && self.marked(row.id, CORDONED).is_none();
        let disk = broker.and_then(|broker| broker.dirs.as_ref().ok()?.disk);
        let room = disk.map_or(u64::MAX, |(all, used)| all.saturating_sub(used));
        planner::Broker { rack: row.rack.clone(), is_open, room }
    }

    /// The brokers that are to get their share: those that bear our mark, and those that serve and hold nothing at all.
    pub(super) fn newcomers(&self) -> BTreeSet<i32> {
        let empty = |id: &i32| {
            let serves = self.row(*id).is_some_and(|row| !row.fenced);
            serves && self.held(*id).is_ok_and(|held| held.copies.is_empty() && held.moving == 0)
        };
        let mut all = self.all_marked(FILLED);
        all.extend(self.seen.keys().copied().filter(empty));
        all
    }

    /// Whose a reassignment is: the plan whose mark every broker bears that it fills or empties, and that broker.
    pub(super) fn owner(&self, moving: &Moving) -> Option<(i32, &'a str)> {
        let by = |ids: &[i32], word: &str| {
            let (first, rest) = ids.split_first()?;
            let plan = self.marked(*first, word)?;
            rest.iter().all(|id| self.marked(*id, word) == Some(plan)).then_some((*first, plan))
        };
        by(&moving.removing, CORDONED).or_else(|| by(&moving.adding, FILLED))
    }

    /// A partition's name as people write it.
    pub(super) fn name(key: &Key) -> Arc<str> {
        Arc::from(format!("{}-{}", key.0, key.1))
    }
}
