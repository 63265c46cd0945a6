//! The history of a cluster's configurations, put together from the logs of all members that ever ran.
//!
//! A member applies every configuration in the one order of the raft log. When it joins or restarts it goes
//! through old ones again, which its log tells too. So within one life of a member, counted from where the
//! watch began, the first, second, ... time of a configuration means the same for all members; and the order
//! in which these came about first, over all logs, is the order in which they came about at all. All members
//! of a test run on one machine, by one clock.
//!
//! A member that joins by a snapshot skips configurations; the logs of those that were there have them.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Who votes, and who only follows.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Configuration {
    /// Members with a vote.
    pub voters: BTreeSet<u64>,
    /// Members without one.
    pub learners: BTreeSet<u64>,
}

impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names =
            |ids: &BTreeSet<u64>| ids.iter().map(|id| format!("{id:x}")).collect::<Vec<_>>().join(" ");
        write!(f, "voters ({}) learners ({})", names(&self.voters), names(&self.learners))
    }
}

/// A change of membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A member came, with a vote or without.
    Added {
        /// Its id.
        id: u64,
        /// Whether without a vote.
        learner: bool,
    },
    /// A learner got its vote.
    Promoted {
        /// Its id.
        id: u64,
        /// When it was applied first, as the log writes it.
        at: String,
    },
    /// A member left.
    Removed {
        /// Its id.
        id: u64,
        /// Whether it had a vote.
        voter: bool,
        /// Who led when it left, where the log tells.
        leader: Option<u64>,
    },
    /// Several members at once.
    Several(BTreeSet<u64>),
}

/// One configuration as a log tells of it.
#[derive(Clone, Debug)]
struct Applied {
    at: String,
    configuration: Configuration,
    /// The leader that this member knew last.
    leader: Option<u64>,
}

/// What the logs of all members tell.
#[derive(Clone, Debug, Default)]
pub struct Logs {
    /// What members applied, one list for each life of a member.
    lives: Vec<Vec<Applied>>,
    /// When each member published itself: it had all that was committed before.
    published: BTreeMap<u64, String>,
}

impl Logs {
    /// Reads logs of etcd 3.4 to 3.6 in their JSON form; lines of another form are passed over.
    #[must_use]
    pub fn parse(logs: &[(String, String)]) -> Self {
        let mut all = Self::default();
        for (_, text) in logs {
            all.lives.push(Vec::new());
            let mut leader = None;
            for line in text.lines() {
                let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
                let word = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default();
                let (at, message) = (word("ts").to_owned(), word("msg"));
                if let Some(named) = leader_in(message) {
                    leader = named;
                } else if let (Some(configuration), Some(life)) =
                    (configuration_in(message), all.lives.last_mut())
                {
                    life.push(Applied { at, configuration, leader });
                } else if message == "restarting local member" {
                    all.lives.push(Vec::new());
                    leader = None;
                } else if message.starts_with("published local member")
                    && let Ok(id) = u64::from_str_radix(word("local-member-id"), 16)
                {
                    let first = all.published.entry(id).or_insert_with(|| at.clone());
                    *first = at.min(first.clone());
                }
            }
        }
        all
    }
}

/// The configuration in `<id> switched to configuration voters=(1 2) learners=(3)`.
fn configuration_in(message: &str) -> Option<Configuration> {
    let (_, named) = message.split_once(" switched to configuration ")?;
    let ids = |name: &str| -> Option<BTreeSet<u64>> {
        let Some((_, rest)) = named.split_once(&format!("{name}=(")) else { return Some(BTreeSet::new()) };
        let (ids, _) = rest.split_once(')')?;
        ids.split_whitespace().map(|id| id.parse().ok()).collect()
    };
    let configuration = Configuration { voters: ids("voters")?, learners: ids("learners")? };
    // A member that has not read its log yet; the cluster never was like that.
    (!configuration.voters.is_empty()).then_some(configuration)
}

/// The leader, or that there is none any more, in raft's three sentences about it.
fn leader_in(message: &str) -> Option<Option<u64>> {
    let message = message.strip_prefix("raft.node: ")?;
    let words: Vec<&str> = message.split_whitespace().collect();
    let id = |word: &str| u64::from_str_radix(word, 16).ok();
    match words.as_slice() {
        [_, "elected", "leader", leader, ..] => Some(id(leader)),
        [_, "changed", "leader", "from", _, "to", leader, ..] => Some(id(leader)),
        [_, "lost", "leader", ..] => Some(None),
        _ => None,
    }
}

/// The configurations since a baseline, oldest first.
#[derive(Clone, Debug)]
pub struct History {
    steps: Vec<Applied>,
}

impl History {
    /// Puts the logs together, from when the baseline came about first.
    #[must_use]
    pub fn from(logs: &Logs, baseline: &Configuration) -> Self {
        let mut first: BTreeMap<(&Configuration, usize), &Applied> = BTreeMap::new();
        for life in &logs.lives {
            let mut times: BTreeMap<&Configuration, usize> = BTreeMap::new();
            let mut before: Option<&Configuration> = None;
            for applied in life.iter().skip_while(|applied| applied.configuration != *baseline) {
                // A member may write the same configuration several times in a row.
                if before.replace(&applied.configuration) == Some(&applied.configuration) {
                    continue;
                }
                let time = times.entry(&applied.configuration).or_default();
                *time += 1;
                let known = first.entry((&applied.configuration, *time)).or_insert(applied);
                if applied.at < known.at {
                    *known = applied;
                }
            }
        }
        let mut steps: Vec<Applied> = first.into_values().cloned().collect();
        steps.sort_by(|left, right| left.at.cmp(&right.at));
        Self { steps }
    }

    /// Whether a configuration is part of it.
    #[must_use]
    pub fn has(&self, configuration: &Configuration) -> bool {
        self.position(configuration).is_some()
    }

    /// How many changes led from the baseline to a configuration, the first time.
    #[must_use]
    pub fn position(&self, configuration: &Configuration) -> Option<usize> {
        self.steps.iter().position(|step| step.configuration == *configuration)
    }

    /// Every change, in order.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        self.steps.windows(2).filter_map(|pair| Some(change(pair.first()?, pair.get(1)?))).collect()
    }

    /// What was done wrong. `caught_up` are learners that somebody saw catch up; for others their own word
    /// counts that they published themselves, which takes everything that was committed before.
    #[must_use]
    pub fn violations(&self, logs: &Logs, caught_up: &BTreeSet<u64>) -> Vec<String> {
        let mut found = Vec::new();
        let mut pending: BTreeSet<u64> =
            self.steps.first().map(|step| step.configuration.learners.clone()).unwrap_or_default();
        for change in self.changes() {
            let own = match &change {
                Change::Added { id, .. } | Change::Promoted { id, .. } | Change::Removed { id, .. } => {
                    Some(*id)
                }
                Change::Several(_) => None,
            };
            for other in pending.iter().filter(|id| Some(**id) != own) {
                found.push(format!("{} while learner {other:x} was not promoted yet", describe(&change)));
            }
            match change {
                Change::Added { id, learner: true } => {
                    pending.insert(id);
                }
                Change::Added { id, learner: false } => {
                    found.push(format!("{id:x} got a vote without having been a learner"));
                }
                Change::Promoted { id, at } => {
                    pending.remove(&id);
                    let published = logs.published.get(&id).is_some_and(|published| *published <= at);
                    if !published && !caught_up.contains(&id) {
                        found.push(format!("learner {id:x} got a vote before it had started and caught up"));
                    }
                }
                Change::Removed { id, voter, leader } => {
                    pending.remove(&id);
                    if voter && leader == Some(id) {
                        found.push(format!("{id:x} was removed while it was the leader"));
                    }
                }
                Change::Several(ids) => {
                    let ids: Vec<String> = ids.iter().map(|id| format!("{id:x}")).collect();
                    found.push(format!("several members changed at once: {}", ids.join(", ")));
                }
            }
        }
        found
    }
}

fn describe(change: &Change) -> String {
    match change {
        Change::Added { id, .. } => format!("{id:x} was added"),
        Change::Promoted { id, .. } => format!("{id:x} was promoted"),
        Change::Removed { id, .. } => format!("{id:x} was removed"),
        Change::Several(_) => "several members changed".to_owned(),
    }
}

/// What differs between two configurations that follow one another.
fn change(before: &Applied, after: &Applied) -> Change {
    let state = |configuration: &Configuration, id: &u64| {
        (configuration.voters.contains(id), configuration.learners.contains(id))
    };
    let (old, new) = (&before.configuration, &after.configuration);
    let all = old.voters.iter().chain(&old.learners).chain(&new.voters).chain(&new.learners);
    let differ: BTreeSet<u64> = all.filter(|id| state(old, id) != state(new, id)).copied().collect();
    let mut ids = differ.iter();
    let (Some(id), None) = (ids.next(), ids.next()) else { return Change::Several(differ) };
    match (state(old, id), state(new, id)) {
        ((false, true), (true, false)) => Change::Promoted { id: *id, at: after.at.clone() },
        ((false, false), (_, learner)) => Change::Added { id: *id, learner },
        ((voter, _), (false, false)) => Change::Removed { id: *id, voter, leader: after.leader },
        // A voter that became a learner: etcd has no such change.
        _ => Change::Several(differ),
    }
}

#[cfg(test)]
mod tests;
