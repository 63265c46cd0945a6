//! The oracles: what must never happen (N1 to N14 of `decisions.md`), judged by requests and by the world, never by the
//! code under test. A panic of the daemon (N13) ends a run by itself. Blocking cannot be seen where time is virtual.

use super::evidence::{Entry, Evidence, What, Write, number};
use plimsoll_sim::oracle::Harm;
use plimsoll_wire::journal::{Intent, Journal};
use serde_json::Value;
use std::collections::BTreeMap;

/// A rule that was broken: its id, and how.
pub(crate) type Broken = (&'static str, String);

/// The annotation that fences.
const EPOCH: &str = "plimsoll.dev/epoch";
/// How many intervals there may be without a decision once faults are over.
const PATIENCE: u64 = 3;

/// Everything that was broken.
pub(crate) fn judge(evidence: &Evidence) -> Vec<Broken> {
    let mut broken = harms(evidence);
    broken.extend(deletes_nothing(evidence));
    broken.extend(fresh_and_bound(evidence));
    broken.extend(fenced(evidence));
    broken.extend(intended(evidence));
    broken.extend(once(evidence));
    broken.extend(leaves_volumes(evidence));
    broken.extend(one_at_a_time(evidence));
    broken.extend(shrinks_on_good_signals(evidence));
    broken.extend(writes_nothing_else(evidence));
    broken.extend(goes_on(evidence));
    broken
}

fn writes(evidence: &Evidence) -> impl Iterator<Item = (&Entry, &Write)> {
    evidence.log.iter().filter_map(|entry| match &entry.what {
        What::Write(write) => Some((entry, &**write)),
        What::Read { .. } | What::Landed(_) | What::Call { .. } | What::Decided(_) => None,
    })
}

/// N2, N3, N4, N10 and D22, as the simulated group saw them: all of it is ours, nobody else acted.
fn harms(evidence: &Evidence) -> Vec<Broken> {
    let one = |harm: &Harm| match harm {
        Harm::StoppedWhileHolding { .. }
        | Harm::LeaderRemoved { .. }
        | Harm::FollowersStranded { .. }
        | Harm::VolumeReturned { .. } => "N2",
        Harm::AcknowledgedWritesLost { .. }
        | Harm::MajorityLost { .. }
        | Harm::TooFewOwners { .. }
        | Harm::DiskOverfull { .. } => "N3",
        Harm::ChangesOverlap { .. } => "N4",
        Harm::SizeJumped { .. } => "N10",
    };
    evidence.harms.iter().map(|found| (one(&found.harm), format!("{found:?}"))).collect()
}

/// N1: nothing is deleted.
fn deletes_nothing(evidence: &Evidence) -> Vec<Broken> {
    writes(evidence)
        .filter(|(_, write)| write.method == "DELETE")
        .map(|(_, write)| ("N1", format!("DELETE {}", write.path)))
        .collect()
}

/// N12: whatever a policy says, what is written is a size, our stamp, and our own objects, and nothing beside them.
fn writes_nothing_else(evidence: &Evidence) -> Vec<Broken> {
    let keys = |value: &Value| -> Vec<String> {
        let mut keys: Vec<String> =
            value.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect();
        keys.retain(|key| key != "uid" && key != "resourceVersion");
        keys
    };
    let is_ours = |write: &Write| match (&*write.part, write.is_of_workload()) {
        ("scale", true) => {
            keys(&write.body["spec"]) == ["replicas"] && keys(&write.body["metadata"]).is_empty()
        }
        ("", true) => {
            keys(&write.body) == ["metadata"]
                && keys(&write.body["metadata"]) == ["annotations"]
                && keys(&write.body["metadata"]["annotations"]) == [EPOCH]
        }
        (_, true) => false,
        (_, false) => write.path.contains("/apis/plimsoll.dev/"),
    };
    writes(evidence)
        .filter(|(_, write)| !is_ours(write))
        .map(|(_, write)| ("N12", format!("{} {} {}: {}", write.method, write.path, write.part, write.body)))
        .collect()
}

/// N5: a write names the version that was read in the same life, and nothing newer was known of the object.
fn fresh_and_bound(evidence: &Evidence) -> Vec<Broken> {
    let mut broken = Vec::new();
    let mut known: BTreeMap<(u32, &str), (u64, Vec<u64>)> = BTreeMap::new();
    for entry in &evidence.log {
        match &entry.what {
            What::Read { path, version: Some(version) } => learn(&mut known, entry.life, path, *version),
            What::Write(write) => {
                let at = (entry.life, write.path.as_str());
                match (write.method.as_str(), write.bound_to(), known.get(&at)) {
                    ("POST", _, _) => {}
                    (_, Some(bound), Some((newest, seen))) if seen.contains(&bound) && bound >= *newest => {}
                    (_, bound, seen) => {
                        broken.push(("N5", format!("{} bound to {bound:?}, known {seen:?}", write.path)));
                    }
                }
                if let (true, Some(version)) = (write.answered, write.version) {
                    learn(&mut known, entry.life, &write.path, version);
                }
            }
            What::Read { version: None, .. } | What::Landed(_) | What::Call { .. } | What::Decided(_) => {}
        }
    }
    broken
}

fn learn<'a>(known: &mut BTreeMap<(u32, &'a str), (u64, Vec<u64>)>, life: u32, path: &'a str, version: u64) {
    let (newest, seen) = known.entry((life, path)).or_default();
    *newest = version.max(*newest);
    seen.push(version);
}

/// What is stored at each moment: the journal, as writes left it.
struct Stored<'a> {
    evidence: &'a Evidence,
    journal: Option<Journal>,
    /// The epoch that each life made durable.
    epochs: BTreeMap<u32, u64>,
}

impl<'a> Stored<'a> {
    /// Walks through the log; the function sees each entry with the journal as it stood right before.
    fn walk(evidence: &'a Evidence, mut see: impl FnMut(&Self, &'a Entry)) -> Self {
        let mut stored = Self { evidence, journal: None, epochs: BTreeMap::new() };
        for entry in &evidence.log {
            see(&stored, entry);
            stored.take(entry);
        }
        stored
    }

    fn take(&mut self, entry: &Entry) {
        let (life, write) = match &entry.what {
            What::Write(write) if write.version.is_some() => (entry.life, write),
            What::Landed(at) => match &self.evidence.log[*at] {
                Entry { life, what: What::Write(write), .. } => (*life, write),
                Entry { .. } => return,
            },
            What::Write(_) | What::Read { .. } | What::Call { .. } | What::Decided(_) => return,
        };
        if let Some(journal) = write.journal() {
            self.epochs.insert(life, journal.epoch);
            self.journal = Some(journal);
        }
    }

    fn intent(&self) -> Option<&Intent> {
        self.journal.as_ref()?.intent.as_ref()
    }
}

/// N6: the daemon that acts has made its epoch durable, nobody has made a newer one since, and the object has its stamp.
fn fenced(evidence: &Evidence) -> Vec<Broken> {
    let mut broken = Vec::new();
    Stored::walk(evidence, |stored, entry| {
        let ours = stored.epochs.get(&entry.life).copied();
        let newest = stored.journal.as_ref().map(|journal| journal.epoch);
        let stamp = match &entry.what {
            What::Write(write) if write.size().is_some() => {
                number(&write.before["metadata"]["annotations"][EPOCH])
            }
            What::Write(write) if write.is_of_workload() => {
                number(&write.body["metadata"]["annotations"][EPOCH])
            }
            What::Call { epoch, .. } => Some(*epoch),
            What::Write(_) | What::Read { .. } | What::Landed(_) | What::Decided(_) => return,
        };
        if ours.is_none() || ours != newest || stamp != ours {
            broken.push(("N6", format!("stamp {stamp:?}, epoch {ours:?}, newest {newest:?}")));
        }
    });
    broken
}

/// N7: an effect follows its durable intent; in the end none is open.
fn intended(evidence: &Evidence) -> Vec<Broken> {
    let mut broken = Vec::new();
    let stored = Stored::walk(evidence, |stored, entry| {
        let fits = |intent: &Intent| match &entry.what {
            What::Write(write) => intent.verb.size_after().map(i64::from) == write.size(),
            What::Call { intent: called, .. } => called.id == intent.id && called.verb == intent.verb,
            What::Read { .. } | What::Landed(_) | What::Decided(_) => false,
        };
        let effect = match &entry.what {
            What::Write(write) => write.size().is_some(),
            What::Call { .. } => true,
            What::Read { .. } | What::Landed(_) | What::Decided(_) => false,
        };
        let intent = stored.intent().filter(|intent| intent.outcome.is_none());
        if effect && !intent.is_some_and(fits) {
            broken.push(("N7", format!("{:?} without its intent: {intent:?}", entry.what)));
        }
    });
    if let Some(intent) = stored.intent().filter(|intent| intent.outcome.is_none()) {
        broken.push(("N7", format!("left open: {intent:?}")));
    }
    broken
}

/// N8: one intent has one effect.
fn once(evidence: &Evidence) -> Vec<Broken> {
    let mut effects: BTreeMap<String, u32> = BTreeMap::new();
    let mut sent: BTreeMap<usize, String> = BTreeMap::new();
    let mut at = 0;
    Stored::walk(evidence, |stored, entry| {
        let intent = stored.intent().map(|intent| intent.id.to_string()).unwrap_or_default();
        match &entry.what {
            What::Write(write) if write.size().is_some() => {
                if write.version.is_some() {
                    *effects.entry(intent.clone()).or_default() += 1;
                }
                sent.insert(at, intent);
            }
            What::Landed(earlier) => {
                if let Some(intent) = sent.get(earlier) {
                    *effects.entry(intent.clone()).or_default() += 1;
                }
            }
            What::Call { intent, applied: true, .. } => {
                *effects.entry(intent.id.to_string()).or_default() += 1;
            }
            What::Call { .. } | What::Write(_) | What::Read { .. } | What::Decided(_) => {}
        }
        at += 1;
    });
    let twice = effects.into_iter().filter(|(_, count)| *count > 1);
    twice.map(|(intent, count)| ("N8", format!("{intent} had {count} effects"))).collect()
}

/// N9: claims and templates are left alone.
fn leaves_volumes(evidence: &Evidence) -> Vec<Broken> {
    let touches = |write: &Write| {
        let template = !write.body["spec"]["template"].is_null();
        write.path.contains("/persistentvolumeclaims")
            || template
            || !write.body["spec"]["volumeClaimTemplates"].is_null()
    };
    writes(evidence)
        .filter(|(_, write)| touches(write))
        .map(|(_, write)| ("N9", format!("{} {}", write.method, write.path)))
        .collect()
}

/// N10: the size moves by one, within the owner's bounds.
fn one_at_a_time(evidence: &Evidence) -> Vec<Broken> {
    let (min, max) = evidence.bounds;
    let mut broken = Vec::new();
    for (_, write) in writes(evidence) {
        let Some(size) = write.size() else { continue };
        let before = write.before["spec"]["replicas"].as_i64().unwrap_or(0);
        let within = (i64::from(min)..=i64::from(max)).contains(&size);
        if write.version.is_some() && (before.abs_diff(size) > 1 || !within) {
            broken.push(("N10", format!("from {before} to {size}, within {min} and {max}")));
        }
    }
    broken
}

/// N11: no plan to shrink begins on signals that are not good.
fn shrinks_on_good_signals(evidence: &Evidence) -> Vec<Broken> {
    let mut broken = Vec::new();
    Stored::walk(evidence, |stored, entry| {
        let What::Write(write) = &entry.what else { return };
        let Some(plan) = write.journal().and_then(|journal| journal.plan) else { return };
        let before = stored.journal.as_ref().and_then(|journal| journal.plan.as_ref());
        let is_new = before.is_none_or(|before| before.id != plan.id);
        if is_new && plan.to() < plan.from() && !write.signals {
            broken.push(("N11", format!("plan {} from {} to {}", plan.id, plan.from(), plan.to())));
        }
    });
    broken
}

/// N14: once faults are over there are decisions again, and the wish is reached.
fn goes_on(evidence: &Evidence) -> Vec<Broken> {
    let mut broken = Vec::new();
    if (evidence.replicas, evidence.voters) != (evidence.wish, evidence.wish) {
        let Evidence { replicas, voters, wish, .. } = evidence;
        let last = evidence.log.iter().rev().find_map(|entry| match &entry.what {
            What::Decided(reason) => Some(reason.as_str()),
            What::Read { .. } | What::Write(_) | What::Landed(_) | What::Call { .. } => None,
        });
        broken.push((
            "N14",
            format!(
                "{replicas} pods and {voters} voters, {wish} were wished; last decision: {last:?}, plan {:?}",
                evidence.plan
            ),
        ));
    }
    let until_ms = evidence.calm_ms + PATIENCE * evidence.interval_ms;
    let decided = evidence.log.iter().any(|entry| {
        matches!(entry.what, What::Decided(_)) && (evidence.calm_ms..=until_ms).contains(&entry.at_ms)
    });
    if !decided && evidence.end_ms >= until_ms {
        broken.push(("N14", format!("no decision from {} to {until_ms}", evidence.calm_ms)));
    }
    broken
}
