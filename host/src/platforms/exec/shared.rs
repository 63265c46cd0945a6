//! One list command for all targets of a platform: reads at about the same time share one run.
//!
//! Each target gets the answer of a run only once, with its age, so that a value that is read twice was really asked
//! for twice. A direct read gets a run that began after it was asked for.

use super::capture::{self, Call};
use super::listing::{self, Entries};
use super::settings::Command;
use plimsoll_wire::fact::Gap;
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// Bytes of an answer for all targets: ten members of a thousand targets take some two million.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// A command that lists the slots of all targets of a platform at once.
#[derive(Debug)]
pub struct SharedList {
    pub(super) command: Command,
    pub(super) working_dir: PathBuf,
    keep: Duration,
    /// The last run. Held while the next one goes on: a read that comes meanwhile waits for it.
    last: tokio::sync::Mutex<Option<Arc<Run>>>,
}

/// One run of it.
#[derive(Debug)]
pub(super) struct Run {
    /// Counts the runs, from 1.
    number: u64,
    began: Duration,
    ended: Duration,
    answer: Result<Answer, (Gap, String)>,
}

#[derive(Debug)]
struct Answer {
    targets: BTreeMap<String, Entries>,
    /// What is wrong with what is said of a target beside another one.
    claimed_twice: BTreeMap<String, String>,
}

/// The shared lists of a daemon: targets whose platform says the same have one in common.
#[derive(Debug, Default)]
pub struct SharedLists(Mutex<Vec<Weak<SharedList>>>);

impl SharedLists {
    /// The one with these settings. Others get an answer for as long as `keep` after its run began.
    pub fn of(&self, command: &Command, working_dir: &std::path::Path, keep: Duration) -> Arc<SharedList> {
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lists.retain(|list| list.strong_count() > 0);
        let is_it = |list: &Arc<SharedList>| {
            list.command == *command && list.working_dir == working_dir && list.keep == keep
        };
        if let Some(list) = lists.iter().filter_map(Weak::upgrade).find(is_it) {
            return list;
        }
        let list = Arc::new(SharedList {
            command: command.clone(),
            working_dir: working_dir.to_owned(),
            keep,
            last: tokio::sync::Mutex::default(),
        });
        lists.push(Arc::downgrade(&list));
        list
    }
}

impl SharedList {
    /// A run for somebody who has been told that of number `told` before, and how old its answer was when it was
    /// asked for.
    pub(super) async fn ask(&self, direct: bool, seen: u64) -> (Arc<Run>, Duration) {
        let asked = now();
        let mut last = self.last.lock().await;
        let run = match last.as_ref().filter(|run| run.serves(asked, direct, seen, self.keep)) {
            Some(run) => run.clone(),
            None => {
                let number = last.as_ref().map_or(0, |run| run.number) + 1;
                let run = Arc::new(self.run(number).await);
                *last = Some(run.clone());
                run
            }
        };
        let age = asked.saturating_sub(run.began);
        (run, age)
    }

    async fn run(&self, number: u64) -> Run {
        let began = now();
        let call = Call {
            argv: &self.command.argv,
            env: self.command.env.clone(),
            working_dir: &self.working_dir,
            timeout: self.command.timeout,
        };
        let program = self.command.program();
        let request = json!({ "formatVersion": 1 }).to_string();
        let answer = match capture::capture(&call, request.as_bytes(), MAX_ANSWER).await {
            Ok(bytes) => Answer::read(&bytes)
                .map_err(|what| (Gap::Unparsable, format!("{} {what}", listing::no_listing(program)))),
            Err(failure) => Err((failure.gap(), format!("list command {program} {failure}"))),
        };
        Run { number, began, ended: now(), answer }
    }
}

impl Answer {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        let targets = listing::decode_all(bytes)?;
        let claimed_twice = listing::claimed_twice(&targets);
        Ok(Self { targets, claimed_twice })
    }
}

impl Run {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Whether this run will do for who asked at a moment and has been told run `told` before.
    fn serves(&self, asked: Duration, direct: bool, seen: u64, keep: Duration) -> bool {
        if direct {
            return self.began >= asked;
        }
        // What ended after the question was waited for: to wait for another one would take as long again.
        self.number > seen && (self.ended >= asked || asked.saturating_sub(self.began) <= keep)
    }

    /// What it says of a target.
    ///
    /// # Errors
    /// Why it says nothing that could be used, in one line.
    pub(super) fn of(&self, target: &str, program: &str) -> Result<&Entries, (Gap, String)> {
        let answer = self.answer.as_ref().map_err(Clone::clone)?;
        if let Some(why) = answer.claimed_twice.get(target) {
            return Err((Gap::Conflicting, format!("list command {program} contradicts itself: {why}")));
        }
        answer.targets.get(target).ok_or_else(|| {
            let others = answer.targets.len();
            let why = format!(
                "list command {program} does not name {target} among the {others} targets that it lists; a target \
                 without a slot is listed with none"
            );
            (Gap::NotScraped, why)
        })
    }
}

/// On the clock that goes on while the machine is suspended: an answer grows older meanwhile.
fn now() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may end here")]
mod tests {
    use super::*;

    fn run(began: u64, ended: u64) -> Run {
        let answer = Err((Gap::Error, String::new()));
        Run { number: 3, began: Duration::from_secs(began), ended: Duration::from_secs(ended), answer }
    }

    #[test]
    fn a_run_serves_who_waited_for_it_or_comes_soon_after_and_was_not_told_it() {
        let (run, keep) = (run(10, 20), Duration::from_secs(15));
        let serves = |asked, direct, seen| run.serves(Duration::from_secs(asked), direct, seen, keep);
        assert!(
            serves(9, false, 2) && serves(15, false, 2) && serves(25, false, 2),
            "before, meanwhile, after"
        );
        assert!(!serves(26, false, 2), "too old");
        assert!(!serves(21, false, 3), "told before");
        assert!(serves(9, true, 2) && serves(10, true, 3), "it began after the question");
        assert!(!serves(11, true, 2), "what it saw may be of before the question");
    }

    #[test]
    fn who_waited_for_a_slow_run_is_served_by_it_though_it_is_old() {
        assert!(run(10, 60).serves(Duration::from_secs(11), false, 0, Duration::from_secs(5)));
    }

    #[tokio::test]
    async fn who_asks_while_a_run_goes_on_waits_for_it_and_direct_looks_share_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let script = format!(
            "cd {}; echo run >> runs; while [ ! -e go ]; do sleep 0.05; done; echo '{{\"formatVersion\":1,\"targets\":{{}}}}'",
            folder.path().display()
        );
        let command = Command {
            argv: ["/bin/sh", "-c", &script].map(str::to_owned).to_vec(),
            timeout: Duration::from_secs(60),
            env: BTreeMap::new(),
        };
        let list = SharedLists::default().of(&command, folder.path(), Duration::from_secs(3600));
        // In this order each is asked once before the next; nothing ends before the file is there.
        let let_go = async { std::fs::write(folder.path().join("go"), "").unwrap() };
        let (first, waits, direct, other, ()) = tokio::join!(
            biased;
            list.ask(true, 0), list.ask(false, 0), list.ask(true, 0), list.ask(true, 0), let_go
        );
        let numbers = [first, waits, direct, other].map(|(run, age)| (run.number(), age));
        assert_eq!(numbers.map(|(number, _)| number), [1, 1, 2, 2]);
        assert_eq!(numbers[0].1, Duration::ZERO);
        assert_eq!(numbers[3].1, Duration::ZERO, "it began after the question");
        let runs = std::fs::read_to_string(folder.path().join("runs")).unwrap();
        assert_eq!(runs.lines().count(), 2);
    }
}
