//! Problems of the configuration as a whole: documents, sources, and targets that could not be built. They are shown as
//! long as they last, and logged once when they come and once when they go.

use crate::collect::Collector;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that is wrong, each in one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Troubles {
    /// Problems of the files, as they are on disk.
    pub(super) files: Vec<String>,
    /// What the daemon's file says and a running daemon cannot take up: it goes on with what it has, whole.
    pub(super) fixed: Vec<String>,
    /// Sources of signals that cannot be used, each with the reason.
    pub(super) sources: Vec<String>,
    /// Targets whose documents are right and which could not be built all the same, each with the reason.
    pub(super) unbuilt: BTreeMap<Arc<str>, String>,
    /// What is wrong with the policies' directory, and with policies that targets name.
    pub(super) policies: Vec<String>,
}

/// What is news about troubles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// What came.
    pub(super) come: Vec<String>,
    /// What went.
    pub(super) gone: Vec<String>,
}

/// Why sources cannot be used, each in one line.
pub(super) fn sources(collector: &Collector) -> Vec<String> {
    collector.broken().map(|(_, why)| why.to_owned()).collect()
}

impl Troubles {
    /// All of it, as it is shown.
    pub(super) fn lines(&self) -> Vec<String> {
        let sources = self.sources.iter().map(|why| format!("{why} (targets that ask it hold)"));
        let unbuilt = self.unbuilt.iter().map(|(key, why)| format!("target {key}: {why}"));
        let files = self.files.iter().chain(&self.fixed).cloned();
        files.chain(sources).chain(unbuilt).chain(self.policies.iter().cloned()).collect()
    }

    /// What was refused: nobody should rely on a daemon that does other than its files say.
    pub(super) fn refused(&self) -> Vec<String> {
        self.files.iter().chain(&self.sources).cloned().collect()
    }

    /// What is different from the lines that were logged last. The files are read every half minute, and a problem that
    /// lasts for a week is not logged twenty thousand times.
    pub(super) fn news(&self, announced: &[String]) -> News {
        let lines = self.lines();
        let without = |all: &[String], known: &[String]| {
            all.iter().filter(|line| !known.contains(line)).cloned().collect::<Vec<_>>()
        };
        News { come: without(&lines, announced), gone: without(announced, &lines) }
    }
}

/// A trouble that has not come again for so long, in milliseconds, is over. One that lasts is found again at each try,
/// and between two tries there may be a decision's interval in which nothing is wrong yet.
const OVER_MS: u64 = 120_000;

/// The troubles of targets that were logged: one line when a trouble begins, and one when it has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Announced {
    targets: BTreeMap<Arc<str>, One>,
}

/// A trouble that was logged.
#[derive(Clone, Debug, PartialEq, Eq)]
struct One {
    /// The line as it was logged: its word, and the detail.
    what: String,
    seen_ms: u64,
}

/// What to log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// This trouble began.
    Began(String),
    /// This trouble has ended.
    Ended(String),
}

impl Announced {
    /// Compares a target's trouble at `now_ms` with the one that was logged. Another text of the same word is no news.
    pub(super) fn compare(&mut self, key: &Arc<str>, trouble: Option<&str>, now_ms: u64) -> Option<Turn> {
        let word = |text: &str| text.split(':').next().unwrap_or_default().to_owned();
        match (trouble, self.targets.get_mut(key)) {
            (None, None) => None,
            (None, Some(one)) if now_ms.saturating_sub(one.seen_ms) < OVER_MS => None,
            (None, Some(_)) => self.targets.remove(key).map(|one| Turn::Ended(one.what)),
            (Some(now), Some(one)) if word(now) == word(&one.what) => {
                one.seen_ms = now_ms;
                None
            }
            (Some(now), Some(_) | None) => {
                self.targets.insert(key.clone(), One { what: now.to_owned(), seen_ms: now_ms });
                Some(Turn::Began(now.to_owned()))
            }
        }
    }

    /// The target is gone.
    pub(super) fn forget(&mut self, key: &str) {
        self.targets.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_of_a_target_is_told_when_it_comes_and_when_it_has_gone() {
        let (mut announced, key) = (Announced::default(), Arc::from("default/a"));
        let full = "JournalNotWritten: no space left on device";
        assert_eq!(announced.compare(&key, None, 0), None);
        assert_eq!(announced.compare(&key, Some(full), 1_000), Some(Turn::Began(full.to_owned())));
        // It is tried again and again, and each time there is a moment in which nothing is wrong yet.
        for now_ms in (2_000..1_000_000).step_by(30_000) {
            assert_eq!(announced.compare(&key, None, now_ms), None);
            assert_eq!(announced.compare(&key, Some("JournalNotWritten: again"), now_ms + 15_000), None);
        }
        assert_eq!(announced.compare(&key, None, 1_100_000), None);
        assert_eq!(announced.compare(&key, None, 1_200_000), Some(Turn::Ended(full.to_owned())));
        assert_eq!(announced.compare(&key, None, 1_300_000), None);
        assert_eq!(announced.compare(&key, Some(full), 1_400_000), Some(Turn::Began(full.to_owned())));
        let other = "AuditNotWritten: no space left on device";
        assert_eq!(announced.compare(&key, Some(other), 1_401_000), Some(Turn::Began(other.to_owned())));
        announced.forget(&key);
        assert_eq!(announced.compare(&key, None, 2_000_000), None);
    }

    #[test]
    fn tells_what_comes_and_goes_once() {
        let mut troubles = Troubles { files: vec!["a.yaml: wrong".to_owned()], ..Troubles::default() };
        let news = troubles.news(&[]);
        assert_eq!((news.come, news.gone), (vec!["a.yaml: wrong".to_owned()], Vec::new()));
        let announced = troubles.lines();
        assert_eq!(troubles.news(&announced), News::default());
        troubles.files.clear();
        troubles.unbuilt.insert("default/a".into(), "no such folder".to_owned());
        let news = troubles.news(&announced);
        assert_eq!(news.come, ["target default/a: no such folder"]);
        assert_eq!(news.gone, ["a.yaml: wrong"]);
    }

    #[test]
    fn shows_files_sources_and_targets_together() {
        let troubles = Troubles {
            files: vec!["a.yaml: wrong".to_owned()],
            sources: vec!["source main: no such file".to_owned()],
            unbuilt: BTreeMap::from([("default/a".into(), "why".to_owned())]),
            fixed: vec!["http: cannot change".to_owned()],
            ..Troubles::default()
        };
        assert_eq!(troubles.refused(), ["a.yaml: wrong", "source main: no such file"]);
        let lines = [
            "a.yaml: wrong",
            "http: cannot change",
            "source main: no such file (targets that ask it hold)",
            "target default/a: why",
        ];
        assert_eq!(troubles.lines(), lines);
    }
}
