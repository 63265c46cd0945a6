//! What the members agree on (EVID-7): the one base for reports and for calls.

use super::endpoint::Endpoint;
use super::survey::{Answer, List, Registered, Status, Survey, hex, normal_url};
use plimsoll_wire::fact::Gap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Why there is no agreement on something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Disagreement {
    pub(super) gap: Gap,
    pub(super) detail: String,
}

impl Disagreement {
    fn new(gap: Gap, detail: impl Into<String>) -> Self {
        Self { gap, detail: detail.into() }
    }
}

/// What at least a majority of the voters said in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Agreement {
    pub(super) cluster: u64,
    /// By id.
    pub(super) members: BTreeMap<u64, Registered>,
    /// The members that answered a linearizable read and gave the list: at least `need` voters.
    pub(super) confirmed: BTreeSet<u64>,
    /// The votes that make a majority.
    pub(super) need: usize,
    /// For how long a majority of those that confirmed has been seen up.
    pub(super) quorum_up_ms: u64,
    /// The members that answered for themselves, by id.
    pub(super) heard: BTreeMap<u64, Heard>,
    /// Endpoints where somebody answers who is no member: a member that was removed and still runs.
    pub(super) strangers: BTreeMap<Arc<str>, u64>,
    pub(super) leader: Result<u64, Disagreement>,
}

/// A member that answered for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) endpoint: Endpoint,
    pub(super) up_ms: u64,
    pub(super) status: Status,
}

impl Agreement {
    pub(super) fn voters(&self) -> impl Iterator<Item = u64> {
        self.members.values().filter(|member| !member.learner).map(|member| member.id)
    }

    /// Whether enough members other than this one confirmed the membership: only then its silence is
    /// somebody's word.
    pub(super) fn survivors_speak(&self, member: u64) -> bool {
        self.confirmed.iter().filter(|id| **id != member).count() >= self.need
    }

    /// What the leader knows to be committed.
    pub(super) fn committed(&self) -> Option<u64> {
        let leader = self.leader.as_ref().ok()?;
        self.heard.get(leader).map(|heard| heard.status.committed).filter(|index| *index > 0)
    }

    /// The one way to write the membership: changes with every change of it and with nothing else.
    pub(super) fn epoch(&self) -> String {
        let parts: Vec<String> = self
            .members
            .values()
            .map(|member| format!("{}:{}", hex(member.id), if member.learner { "learner" } else { "voter" }))
            .collect();
        format!("{}/{}", hex(self.cluster), parts.join(","))
    }
}

/// Draws the one conclusion that all answers allow, or none.
pub(super) fn agree(survey: &Survey) -> Result<Agreement, Disagreement> {
    let cluster = cluster_of(survey)?;
    let lists: Vec<(&Answer, &List)> = survey
        .answers
        .iter()
        .filter_map(|answer| answer.list.as_ref().ok().map(|list| (answer, list)))
        .collect();
    let members = membership(survey, &lists)?;
    let voters = members.values().filter(|member| !member.learner).count();
    let need = voters / 2 + 1;
    let is_voter = |id: u64| members.get(&id).is_some_and(|member| !member.learner);
    let confirmed: BTreeSet<u64> =
        lists.iter().map(|(_, list)| list.member).filter(|id| is_voter(*id)).collect();
    if confirmed.len() < need {
        return Err(Disagreement::new(
            Gap::Partial { got: count(confirmed.len()), want: count(need) },
            format!("{} of {voters} voters answered a linearizable read", confirmed.len()),
        ));
    }
    let quorum_up_ms = quorum_up_ms(&lists, &confirmed, need);
    let (heard, strangers) = heard(survey, &members)?;
    let leader = leader(&heard, &members, need);
    Ok(Agreement { cluster, members, confirmed, need, quorum_up_ms, heard, strangers, leader })
}

/// All answers must come from one cluster.
fn cluster_of(survey: &Survey) -> Result<u64, Disagreement> {
    let mut clusters: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
    let mut failures = Vec::new();
    for answer in &survey.answers {
        match &answer.status {
            Ok(status) => {
                clusters.entry(status.cluster).or_default().insert(&answer.slot);
            }
            Err(failure) => failures.push(format!("{}: {failure}", answer.slot)),
        }
        if let Ok(list) = &answer.list {
            clusters.entry(list.cluster).or_default().insert(&answer.slot);
        }
    }
    match clusters.len() {
        0 => {
            failures.sort();
            let first = failures.into_iter().next();
            let detail = first.unwrap_or_else(|| "the platform names no member to ask".to_owned());
            Err(Disagreement::new(Gap::Error, format!("no member answered: {detail}")))
        }
        1 => Ok(clusters.into_keys().next().unwrap_or_default()),
        _ => {
            let parts: Vec<String> = clusters
                .iter()
                .map(|(id, slots)| {
                    format!("{} at {}", hex(*id), slots.iter().copied().collect::<Vec<_>>().join(", "))
                })
                .collect();
            let detail = format!("members of several clusters answer: {}", parts.join("; "));
            Err(Disagreement::new(Gap::Conflicting, detail))
        }
    }
}

/// The membership that every list gives. Names are not compared: a member publishes its own when it starts,
/// which is no change of membership; one list that has it is enough.
fn membership(
    survey: &Survey,
    lists: &[(&Answer, &List)],
) -> Result<BTreeMap<u64, Registered>, Disagreement> {
    let mut agreed: Option<BTreeMap<u64, Registered>> = None;
    for (answer, list) in lists {
        let this: BTreeMap<u64, Registered> =
            list.members.iter().map(|member| (member.id, normal(member))).collect();
        let Some(known) = &mut agreed else {
            agreed = Some(this);
            continue;
        };
        if !same_membership(known, &this) {
            return Err(Disagreement::new(
                Gap::Conflicting,
                format!("the member lists differ; one of them is that of {}", answer.slot),
            ));
        }
        for (id, member) in this {
            if let Some(known) = known.get_mut(&id).filter(|known| known.name < member.name) {
                known.name = member.name;
            }
        }
    }
    agreed.ok_or_else(|| {
        let want = count(survey.answers.len() / 2 + 1);
        let mut why: Vec<&str> = survey
            .answers
            .iter()
            .filter_map(|answer| answer.list.as_ref().err())
            .map(String::as_str)
            .collect();
        why.sort_unstable();
        let detail = format!("no member answered a linearizable read: {}", why.first().unwrap_or(&""));
        Disagreement::new(Gap::Partial { got: 0, want }, detail)
    })
}

fn normal(member: &Registered) -> Registered {
    let mut peer_urls: Vec<String> = member.peer_urls.iter().map(|url| normal_url(url)).collect();
    peer_urls.sort();
    Registered { peer_urls, ..member.clone() }
}

fn same_membership(left: &BTreeMap<u64, Registered>, right: &BTreeMap<u64, Registered>) -> bool {
    left.len() == right.len()
        && left.values().zip(right.values()).all(|(left, right)| {
            left.id == right.id && left.learner == right.learner && left.peer_urls == right.peer_urls
        })
}

/// The uptime that a majority has at least: the `need`-th longest.
fn quorum_up_ms(lists: &[(&Answer, &List)], confirmed: &BTreeSet<u64>, need: usize) -> u64 {
    let mut ups: Vec<u64> = lists
        .iter()
        .filter(|(_, list)| confirmed.contains(&list.member))
        .map(|(answer, _)| answer.up_ms)
        .collect();
    ups.sort_unstable_by(|left, right| right.cmp(left));
    ups.get(need.saturating_sub(1)).copied().unwrap_or(0)
}

type HeardAndStrangers = (BTreeMap<u64, Heard>, BTreeMap<Arc<str>, u64>);

/// Who answered for himself, and who answered that is no member.
fn heard(survey: &Survey, members: &BTreeMap<u64, Registered>) -> Result<HeardAndStrangers, Disagreement> {
    let mut heard = BTreeMap::new();
    let mut strangers = BTreeMap::new();
    for answer in &survey.answers {
        let Ok(status) = &answer.status else { continue };
        if !members.contains_key(&status.member) {
            strangers.insert(answer.slot.clone(), status.member);
            continue;
        }
        let this = Heard { endpoint: answer.endpoint.clone(), up_ms: answer.up_ms, status: status.clone() };
        if heard.insert(status.member, this).is_some() {
            let detail = format!("two endpoints answer as member {}", hex(status.member));
            return Err(Disagreement::new(Gap::Conflicting, detail));
        }
    }
    Ok((heard, strangers))
}

/// The leader that a majority of the voters names and nobody contradicts.
///
/// A member that knows of no leader contradicts nobody: it is cut off or just starting, and counts as not
/// in sync instead.
fn leader(
    heard: &BTreeMap<u64, Heard>,
    members: &BTreeMap<u64, Registered>,
    need: usize,
) -> Result<u64, Disagreement> {
    let named: BTreeSet<u64> =
        heard.values().map(|heard| heard.status.leader).filter(|leader| *leader != 0).collect();
    let is_voter = |id: &u64| members.get(id).is_some_and(|member| !member.learner);
    let votes = heard.iter().filter(|(id, heard)| is_voter(id) && heard.status.leader != 0).count();
    match named.iter().copied().collect::<Vec<_>>().as_slice() {
        [leader] if !is_voter(leader) => Err(Disagreement::new(
            Gap::Conflicting,
            format!("members name {} as their leader, which is no voter", hex(*leader)),
        )),
        [leader] if votes >= need => Ok(*leader),
        [] | [_] => Err(Disagreement::new(
            Gap::Partial { got: count(votes), want: count(need) },
            format!("{votes} voters name a leader"),
        )),
        several => {
            let names: Vec<String> = several.iter().copied().map(hex).collect();
            let detail = format!("members name different leaders: {}", names.join(", "));
            Err(Disagreement::new(Gap::Conflicting, detail))
        }
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
