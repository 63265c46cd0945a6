//! A watcher that judges how a PostgreSQL cluster was changed. It shares no code with the product.
//!
//! It asks every member every 100 ms, in SQL. What lasts less than that it does not see; what it convicts of lasts longer:
//! * two members that take writes at the same time;
//! * a member that takes writes, and of whose commits no standby has to be told any more (`ANY 1` gone, or nobody in it);
//! * a primary at work, of whose candidates nobody is there any more. Right after a primary has begun to take writes its
//!   standbys still come; nothing is acknowledged until one has.

use super::places::Places;
use super::{session, values};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_postgres::Client;

const PERIOD: Duration = Duration::from_millis(100);
const DEADLINE: Duration = Duration::from_secs(1);

/// What one member says: whether it takes writes, its set of candidates, how many of them are there, and of which system it is.
const QUESTION: &str = "SELECT concat_ws('|', \
     NOT pg_is_in_recovery() AND current_setting('default_transaction_read_only') = 'off', \
     (SELECT system_identifier FROM pg_control_system()), \
     current_setting('synchronous_standby_names'), \
     (SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state IN ('sync', 'quorum')))";

/// A watcher at work.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Findings>>,
    task: JoinHandle<()>,
}

/// What the watcher found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// What was done wrong, a line each; none is what a test wants.
    pub violations: BTreeSet<String>,
    /// The sets of candidates in the order in which they were seen.
    pub sets: Vec<String>,
    /// The members that took writes, in the order in which they began to.
    pub primaries: Vec<String>,
    /// How often members were asked, and one took writes.
    pub polls: u64,
}

/// What one member said.
struct Said {
    slot: String,
    takes_writes: bool,
    system: String,
    set: String,
    there: u32,
}

impl Watch {
    /// Begins to watch.
    #[must_use]
    pub fn start(places: impl Into<Places>) -> Self {
        let places = places.into();
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Findings::default())));
        let task = tokio::spawn({
            let (stop, seen) = (stop.clone(), seen.clone());
            async move {
                let mut sessions = BTreeMap::new();
                let mut judge = Judge::default();
                let mut ticks = tokio::time::interval(PERIOD);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                while !stop.load(Ordering::Relaxed) {
                    ticks.tick().await;
                    let said = poll(&places, &mut sessions).await;
                    judge.note(&said, &mut seen.lock().unwrap_or_else(PoisonError::into_inner));
                }
            }
        });
        Self { stop, seen, task }
    }

    /// Ends the watch.
    ///
    /// # Errors
    /// When the watch itself failed.
    pub async fn finish(self) -> anyhow::Result<Findings> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?;
        Ok(self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

async fn poll(places: &Places, sessions: &mut BTreeMap<String, Client>) -> Vec<Said> {
    let mut all = Vec::new();
    for place in places.now() {
        let slot = &place.name;
        if !sessions.contains_key(slot) {
            // Nobody has to be there, and whoever hangs must not hold up the others.
            if let Ok(Ok(client)) = tokio::time::timeout(DEADLINE, session(&place, "postgres")).await {
                sessions.insert(slot.clone(), client);
            }
        }
        let Some(client) = sessions.get(slot) else { continue };
        match tokio::time::timeout(DEADLINE, values(client, QUESTION)).await {
            Ok(Ok(rows)) => all.extend(rows.first().and_then(|row| said(slot, row))),
            Ok(Err(_)) | Err(_) => drop(sessions.remove(slot)),
        }
    }
    all
}

fn said(slot: &str, row: &str) -> Option<Said> {
    let mut parts = row.split('|');
    Some(Said {
        slot: slot.to_owned(),
        takes_writes: parts.next()? == "t",
        system: parts.next()?.to_owned(),
        set: parts.next()?.to_owned(),
        there: parts.next()?.parse().ok()?,
    })
}

/// What is remembered from poll to poll.
#[derive(Default)]
struct Judge {
    /// The member that takes writes, and whether one of its candidates has been there since it began to.
    primary: Option<(String, bool)>,
    system: Option<String>,
}

impl Judge {
    fn note(&mut self, all: &[Said], found: &mut Findings) {
        for said in all {
            let system = self.system.get_or_insert_with(|| said.system.clone());
            if *system != said.system {
                found.violations.insert(format!("{} is of system {}, not {system}", said.slot, said.system));
            }
        }
        let writers: Vec<&Said> = all.iter().filter(|said| said.takes_writes).collect();
        let [writer] = writers.as_slice() else {
            if writers.len() > 1 {
                let names: Vec<&str> = writers.iter().map(|said| said.slot.as_str()).collect();
                found.violations.insert(format!("{} take writes at the same time", names.join(" and ")));
            }
            return;
        };
        found.polls += 1;
        if self.primary.as_ref().is_none_or(|(slot, _)| *slot != writer.slot) {
            self.primary = Some((writer.slot.clone(), false));
            found.primaries.push(writer.slot.clone());
        }
        if found.sets.last() != Some(&writer.set) {
            found.sets.push(writer.set.clone());
        }
        if !is_any_one(&writer.set) {
            found.violations.insert(format!("{} takes writes with `{}`", writer.slot, writer.set));
        }
        if let Some((_, came)) = &mut self.primary {
            if *came && writer.there == 0 {
                found.violations.insert(format!("nobody confirms what {} commits", writer.slot));
            }
            *came |= writer.there > 0;
        }
    }
}

/// `ANY 1` of at least one name.
fn is_any_one(set: &str) -> bool {
    let names = set.strip_prefix("ANY 1 (").and_then(|rest| rest.strip_suffix(')'));
    names.is_some_and(|names| !names.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(slot: &str, takes_writes: bool, set: &str, there: u32) -> Said {
        Said { slot: slot.to_owned(), takes_writes, system: "7".to_owned(), set: set.to_owned(), there }
    }

    fn judged(polls: &[Vec<Said>]) -> Vec<String> {
        let (mut judge, mut found) = (Judge::default(), Findings::default());
        polls.iter().for_each(|all| judge.note(all, &mut found));
        found.violations.into_iter().collect()
    }

    #[test]
    fn convicts_of_what_endangers_commits() {
        let fine = || said("p1", true, "ANY 1 (p2)", 1);
        assert!(judged(&[vec![fine(), said("p2", false, "", 0)]]).is_empty());
        assert!(judged(&[vec![fine(), said("p2", true, "ANY 1 (p3)", 1)]])[0].contains("at the same time"));
        assert!(judged(&[vec![said("p1", true, "", 0)]])[0].contains("takes writes with ``"));
        assert!(judged(&[vec![said("p1", true, "ANY 1 ()", 0)]])[0].contains("takes writes with"));
        assert!(
            judged(&[vec![fine()], vec![said("p1", true, "ANY 1 (p2)", 0)]])[0].contains("nobody confirms")
        );
        let stranger = Said { system: "8".to_owned(), ..said("p3", false, "", 0) };
        assert!(judged(&[vec![fine(), stranger]])[0].contains("of system 8"));
    }

    #[test]
    fn a_new_primary_may_wait_for_its_first_candidate() {
        let begins = said("p2", true, "ANY 1 (p3)", 0);
        assert!(judged(&[vec![said("p1", true, "ANY 1 (p2)", 1)], vec![begins]]).is_empty());
    }
}
