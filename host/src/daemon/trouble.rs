//! What is wrong with the configuration as a whole: its documents, its sources, and the targets that could not be
//! built from it. Shown all the time; logged when it comes and when it goes.

use crate::collect::Collector;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that is wrong, each in one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Troubles {
    /// Problems of the files, as they are on disk.
    pub(super) files: Vec<String>,
    /// Sources of signals that cannot be used, each with the reason.
    pub(super) sources: Vec<String>,
    /// Targets whose documents are right and which could not be built all the same, each with the reason.
    pub(super) unbuilt: BTreeMap<Arc<str>, String>,
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
        self.files.iter().cloned().chain(sources).chain(unbuilt).collect()
    }

    /// What is different from what was told before. The files are read every half minute, and what is wrong with
    /// them for a week is not told twenty thousand times.
    pub(super) fn news(&self, told: &[String]) -> News {
        let lines = self.lines();
        let without = |all: &[String], known: &[String]| {
            all.iter().filter(|line| !known.contains(line)).cloned().collect::<Vec<_>>()
        };
        News { come: without(&lines, told), gone: without(told, &lines) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_comes_and_goes_once() {
        let mut troubles = Troubles { files: vec!["a.yaml: wrong".to_owned()], ..Troubles::default() };
        let news = troubles.news(&[]);
        assert_eq!((news.come, news.gone), (vec!["a.yaml: wrong".to_owned()], Vec::new()));
        let told = troubles.lines();
        assert_eq!(troubles.news(&told), News::default());
        troubles.files.clear();
        troubles.unbuilt.insert("default/a".into(), "no such folder".to_owned());
        let news = troubles.news(&told);
        assert_eq!(news.come, ["target default/a: no such folder"]);
        assert_eq!(news.gone, ["a.yaml: wrong"]);
    }

    #[test]
    fn shows_files_sources_and_targets_together() {
        let troubles = Troubles {
            files: vec!["a.yaml: wrong".to_owned()],
            sources: vec!["source main: no such file".to_owned()],
            unbuilt: BTreeMap::from([("default/a".into(), "why".to_owned())]),
        };
        let lines = [
            "a.yaml: wrong",
            "source main: no such file (targets that ask it hold)",
            "target default/a: why",
        ];
        assert_eq!(troubles.lines(), lines);
    }
}
