//! The versions of one policy: the one that decides, for each target the last one that answered it before, and the one
//! in shadow. A version that fails a target several times in a row gives way for that target alone: answers to other
//! targets do not prove that it serves this one.

use super::fault::{Failure, Fault, Flaw, Rejection};
use super::limits::{Class, Limits};
use super::log_budget::LogBudget;
use super::shadow::Shadow;
use super::status::{PolicyStatus, RolledBack, Trouble};
use super::version::Version;
use plimsoll_wire::Snapshot;
use plimsoll_wire::proposal::Answer;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

/// Snapshots of a policy on which its next version is tried.
const TRIALS: usize = 4;
/// Versions that are kept for targets to go back to; each has a child of its own.
pub(crate) const KEPT: usize = 2;

/// What makes one release the same as another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Candidate {
    /// SHA-256 of the module, in hex.
    pub module: String,
    pub class: Class,
    pub limits: Limits,
    /// A fingerprint of its test cases.
    pub cases: String,
}

/// A version, and what it was released as.
#[derive(Clone)]
pub(crate) struct Release {
    pub candidate: Candidate,
    pub version: Arc<Version>,
}

/// The version that decides, unless it was rolled back for a target.
pub(crate) struct Active {
    pub release: Release,
    since: SystemTime,
    /// Failures in a row, by target.
    failures: BTreeMap<Arc<str>, u32>,
    /// The targets that it has answered.
    pub answered: BTreeSet<Arc<str>>,
    /// The targets that went back to the version before, with the reason.
    pub back: BTreeMap<Arc<str>, Back>,
}

/// Why a version does not decide for one target any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Back {
    pub why: String,
    pub since: SystemTime,
}

/// A release that failed where only time or snapshots showed it, and is not taken again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub candidate: Candidate,
    pub rejection: Rejection,
}

/// One policy.
#[derive(Default)]
pub(crate) struct Policy {
    pub active: Option<Active>,
    /// The version that will take over once it has stood beside the active one for long enough.
    pub shadow: Option<Shadow>,
    /// What each target goes back to: the last version that answered it before the active one.
    pub good: BTreeMap<Arc<str>, Release>,
    pub refused: Option<Refused>,
    pub trouble: Option<Trouble>,
    pub recent: VecDeque<Arc<Snapshot>>,
    pub log: LogBudget,
    /// Whether what was remembered of it has been taken up.
    pub is_restored: bool,
}

/// Whether a failure says something of the policy: the others are the daemon's or the machine's doing.
pub(crate) fn is_its_own(failure: &Failure) -> bool {
    !matches!(failure.fault, Fault::Busy | Fault::Input | Fault::Sandbox)
}

impl Active {
    pub(crate) fn new(release: Release) -> Self {
        Self::restored(release, BTreeSet::new(), BTreeMap::new())
    }

    /// One that decided before a restart.
    pub(crate) fn restored(
        release: Release,
        answered: BTreeSet<Arc<str>>,
        back: BTreeMap<Arc<str>, Back>,
    ) -> Self {
        Self { release, since: SystemTime::now(), failures: BTreeMap::new(), answered, back }
    }
}

/// The version to ask, and the one to ask beside it.
pub(crate) type Asked = (Arc<Version>, Option<Arc<Version>>);

impl Policy {
    /// The version to ask for a target, and the one to ask beside it. Why there is none, where there was one.
    pub(crate) fn begin(&mut self, snapshot: &Arc<Snapshot>) -> Result<Asked, Option<String>> {
        let target = &snapshot.target.key;
        self.recent.retain(|kept| kept.target.key != *target);
        self.recent.push_back(Arc::clone(snapshot));
        if self.recent.len() > TRIALS {
            self.recent.pop_front();
        }
        let active = self.active.as_ref().ok_or(None)?;
        let version = match active.back.get(target) {
            None => &active.release.version,
            Some(back) => match self.good.get(target) {
                Some(release) => &release.version,
                None => {
                    return Err(Some(format!(
                        "it was rolled back ({}), and no version before is left",
                        back.why
                    )));
                }
            },
        };
        let shadow = self.shadow.as_ref().map(|shadow| Arc::clone(&shadow.release.version));
        Ok((Arc::clone(version), shadow))
    }

    /// Takes note of what came of asking a version for a target. After too many failures in a row the target goes back
    /// to the last version that answered it; then this says so.
    pub(crate) fn end(
        &mut self,
        target: &Arc<str>,
        version: &Arc<Version>,
        result: &Result<Answer, Failure>,
        most: u32,
    ) -> End {
        let active = self.active.as_mut().filter(|active| Arc::ptr_eq(&active.release.version, version));
        let Some(active) = active else { return End::Nothing };
        let failure = match result {
            Ok(_) => {
                active.failures.remove(target);
                return if active.answered.insert(target.clone()) { End::FirstAnswer } else { End::Nothing };
            }
            Err(failure) if !is_its_own(failure) => return End::Nothing,
            Err(failure) => failure,
        };
        let count = active.failures.entry(target.clone()).or_default();
        *count = count.saturating_add(1);
        if *count < most || active.back.contains_key(target) {
            return End::Nothing;
        }
        let Some(good) = self.good.get(target) else { return End::Nothing };
        let why = format!("{count} failures in a row, the last one {failure}");
        active.failures.remove(target);
        active.answered.remove(target);
        active.back.insert(target.clone(), Back { why: why.clone(), since: SystemTime::now() });
        End::RolledBack { from: version.digest().to_owned(), to: good.candidate.module.clone(), why }
    }

    /// Takes over; what ran before is kept for the targets that it answered.
    pub(crate) fn activate(&mut self, release: Release) {
        if let Some(old) = self.active.take() {
            for target in old.answered {
                self.good.insert(target, old.release.clone());
            }
            self.forget_old(&old.release.candidate);
        }
        self.active = Some(Active::new(release));
        self.trouble = None;
        self.refused = None;
    }

    /// Keeps the newest version and those that most targets would go back to.
    fn forget_old(&mut self, newest: &Candidate) {
        let mut kept: Vec<(usize, Candidate)> = Vec::new();
        for release in self.good.values() {
            match kept.iter_mut().find(|(_, candidate)| *candidate == release.candidate) {
                Some((count, _)) => *count += 1,
                None => kept.push((1, release.candidate.clone())),
            }
        }
        kept.sort_by_key(|(count, candidate)| (candidate != newest, std::cmp::Reverse(*count)));
        kept.truncate(KEPT);
        self.good.retain(|_, release| kept.iter().any(|(_, candidate)| *candidate == release.candidate));
    }

    /// What is forgotten with the targets that use the policy no more.
    pub(crate) fn keep_targets(&mut self, users: &BTreeSet<Arc<str>>) {
        self.good.retain(|target, _| users.contains(target));
        if let Some(active) = &mut self.active {
            active.failures.retain(|target, _| users.contains(target));
            active.answered.retain(|target| users.contains(target));
            active.back.retain(|target, _| users.contains(target));
        }
    }

    /// Says what is wrong with the file; whether this is news.
    pub(crate) fn blame(&mut self, rejection: Rejection, module: Option<String>) -> bool {
        if self.trouble.as_ref().is_some_and(|old| old.rejection == rejection && old.module == module) {
            return false;
        }
        self.trouble = Some(Trouble { rejection, module, since: SystemTime::now() });
        true
    }

    /// The digests of all its versions.
    pub(crate) fn modules(&self) -> impl Iterator<Item = String> {
        let active = self.active.iter().map(|active| &active.release.candidate.module);
        let shadow = self.shadow.iter().map(|shadow| &shadow.release.candidate.module);
        let good = self.good.values().map(|release| &release.candidate.module);
        active.chain(shadow).chain(good).cloned()
    }

    pub(crate) fn status(&self, name: &str) -> PolicyStatus {
        let active = self.active.as_ref();
        let rolled_back: BTreeMap<Arc<str>, RolledBack> = active
            .into_iter()
            .flat_map(|active| &active.back)
            .map(|(target, back)| {
                let module = self.good.get(target).map(|release| release.candidate.module.clone());
                (target.clone(), RolledBack { module, why: back.why.clone(), since: back.since })
            })
            .collect();
        let trouble = self.trouble.clone().or_else(|| rolled_back_trouble(active?, &rolled_back));
        PolicyStatus {
            name: name.to_owned(),
            module: active.map(|active| active.release.version.digest().to_owned()),
            contract: active.and_then(|active| active.release.version.inspection.contract),
            active_since: active.map(|active| active.since),
            failures: active.and_then(|active| active.failures.values().max().copied()).unwrap_or(0),
            trouble,
            shadow: self.shadow.as_ref().map(Shadow::status),
            rolled_back,
        }
    }
}

fn rolled_back_trouble(active: &Active, back: &BTreeMap<Arc<str>, RolledBack>) -> Option<Trouble> {
    let (target, first) = back.iter().next()?;
    let others = if back.len() > 1 { format!(" and {} more", back.len() - 1) } else { String::new() };
    let detail = format!("for target {target}{others}: {}", first.why);
    Some(Trouble {
        rejection: Rejection::new(Flaw::RolledBack, detail),
        module: Some(active.release.candidate.module.clone()),
        since: first.since,
    })
}

/// What came of an answer, beside the answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Nothing,
    /// The version has answered this target for the first time.
    FirstAnswer,
    /// The target went back to the version before.
    RolledBack {
        from: String,
        to: String,
        why: String,
    },
}
