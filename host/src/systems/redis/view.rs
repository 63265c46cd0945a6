//! The one conclusion that all answers allow: who belongs together, who replicates whom, who owns which slots. The base for
//! reports and for calls.
//!
//! Every node has a view of its own, and gossip makes them alike within seconds. What a node says of others counts; that it is
//! itself a member does not: a node that was forgotten still believes that it is one. Where views differ about a node, that is
//! kept as a doubt, and nobody picks the one that suits.

use super::cordon;
use super::nodes::{Node, Open, Slots};
use super::reading::{Answers, Side};
use super::survey::{Answer, Survey, client, peer};
use plimsoll_core::observation::PlatformReport;
use plimsoll_core::snapshot::order;
use plimsoll_wire::fact::Gap;
use plimsoll_wire::snapshot::Endpoints;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Why there is no conclusion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Doubt {
    pub(super) gap: Gap,
    pub(super) detail: String,
}

impl Doubt {
    pub(super) fn new(gap: Gap, detail: impl Into<String>) -> Self {
        Self { gap, detail: detail.into() }
    }
}

/// What all answers together say.
#[derive(Clone, Debug)]
pub(super) struct Cluster<'a> {
    /// In the order of their places; those without one last.
    pub(super) members: Vec<Member<'a>>,
    /// How many different views there are among the members that answer.
    pub(super) views: u32,
    /// Nodes that run and are no members, by place.
    pub(super) strangers: BTreeMap<Arc<str>, Stranger<'a>>,
}

/// One member.
#[derive(Clone, Debug)]
pub(super) struct Member<'a> {
    pub(super) id: &'a str,
    /// Where it runs; none where no place of the platform is known to be its own.
    pub(super) place: Option<&'a Arc<str>>,
    pub(super) endpoints: Option<&'a Endpoints>,
    /// What it said itself, or why it said nothing.
    pub(super) reading: Result<&'a Answers, &'a str>,
    /// What the others say of it.
    pub(super) node: &'a Node,
    /// The most slots that any of those who answer knows it to own.
    pub(super) most: u64,
    /// Whether all others that answer say the same; else what they do not agree on.
    pub(super) doubt: Option<String>,
    /// Who of the others answers, by name, and has been up longest, in milliseconds.
    pub(super) witness: Option<(&'a str, u64)>,
}

/// A node that runs and is no member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stranger<'a> {
    /// It has never been in a cluster, and holds nothing.
    Fresh(&'a Answer),
    /// It was a member, was removed, and holds nothing.
    Former(&'a Answer),
    /// It may not be admitted.
    Barred(String),
}

impl PartialEq for Answer {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place && self.endpoints == other.endpoints && self.reading == other.reading
    }
}

impl Eq for Answer {}

impl Member<'_> {
    pub(super) fn name(&self) -> &str {
        self.place.map_or(self.id, |place| place)
    }

    /// Whether it is on its way out.
    pub(super) fn is_cordoned(&self) -> bool {
        self.reading.is_ok_and(|answers| cordon::before(&answers.settings).is_some())
    }

    /// Whether it is a replica that is linked to its master, by its own word.
    pub(super) fn is_linked(&self) -> bool {
        self.reading.is_ok_and(|answers| matches!(answers.side, Side::Replica { linked: true, .. }))
    }

    pub(super) fn is_master(&self) -> bool {
        self.node.master.is_none()
    }
}

impl<'a> Cluster<'a> {
    pub(super) fn member(&self, id: &str) -> Option<&Member<'a>> {
        self.members.iter().find(|member| member.id == id)
    }

    pub(super) fn masters(&self) -> impl Iterator<Item = &Member<'a>> {
        self.members.iter().filter(|member| member.is_master())
    }

    pub(super) fn replicas(&self, master: &str) -> impl Iterator<Item = &Member<'a>> {
        self.members.iter().filter(move |member| member.node.master.as_deref() == Some(master))
    }

    /// The master of a member's shard: itself, or whom it replicates.
    pub(super) fn master_of(&self, id: &str) -> Option<&Member<'a>> {
        let member = self.member(id)?;
        member.node.master.as_deref().map_or(Some(member), |master| self.member(master))
    }

    /// The members of a member's shard, its master first.
    pub(super) fn shard_of(&self, id: &str) -> Vec<&Member<'a>> {
        let Some(master) = self.master_of(id) else { return self.member(id).into_iter().collect() };
        std::iter::once(master).chain(self.replicas(master.id)).collect()
    }

    /// Every slot that is on its way, by its two ends.
    pub(super) fn open(&self) -> impl Iterator<Item = (&Member<'a>, &'a Open)> {
        self.members
            .iter()
            .filter_map(|member| Some((member, member.reading.ok()?)))
            .flat_map(|(member, answers)| answers.view.open.iter().map(move |open| (member, open)))
    }

    /// Why not everybody who is not known to have failed has answered, if so.
    pub(super) fn silence(&self) -> Option<Doubt> {
        let missing: Vec<&str> = self
            .members
            .iter()
            .filter(|member| member.reading.is_err() && !member.node.failed)
            .map(Member::name)
            .collect();
        let want = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        let got = want.saturating_sub(u32::try_from(missing.len()).unwrap_or(u32::MAX));
        let detail = format!("the views of {} are missing", missing.join(", "));
        (!missing.is_empty()).then(|| Doubt::new(Gap::Partial { got, want }, detail))
    }
}

/// Draws the conclusion.
pub(super) fn conclude<'a>(survey: &'a Survey, platform: &PlatformReport) -> Result<Cluster<'a>, Doubt> {
    if platform.slots.value().is_none() {
        return Err(Doubt::new(Gap::NotScraped, "the platform does not tell where the nodes are"));
    }
    let mut heard: Vec<Heard<'a>> = survey.answers.iter().filter_map(Heard::of).collect();
    heard.sort_by(|one, other| {
        order(Some(one.answer.place.as_ref())).cmp(&order(Some(other.answer.place.as_ref())))
    });
    for (at, one) in heard.iter().enumerate() {
        if let Some(other) = heard.iter().skip(at + 1).find(|other| other.answers.id == one.answers.id) {
            let detail =
                format!("{} and {} are both node {}", one.answer.place, other.answer.place, one.answers.id);
            return Err(Doubt::new(Gap::Conflicting, detail));
        }
    }
    if heard.is_empty() {
        return Err(Doubt::new(Gap::Error, nobody(survey)));
    }
    let serving = serving(&heard)?;
    let members = members(&serving, survey);
    let views: BTreeSet<_> = serving.iter().map(|one| shape(&one.answers.view.nodes)).collect();
    let strangers = heard
        .iter()
        .filter(|one| !serving.iter().any(|other| other.answers.id == one.answers.id))
        .map(|one| (one.answer.place.clone(), stranger(one, &members)))
        .collect();
    Ok(Cluster { views: u32::try_from(views.len()).unwrap_or(u32::MAX), members, strangers })
}

/// Why nobody answers, by the first few.
fn nobody(survey: &Survey) -> String {
    let why = |answer: &Answer| Some(format!("{}: {}", answer.place, answer.reading.as_ref().err()?));
    let mut told: Vec<String> = survey.answers.iter().filter_map(why).collect();
    told.sort();
    told.truncate(3);
    if told.is_empty() { "no node runs".to_owned() } else { format!("no node answers: {}", told.join("; ")) }
}

/// An answer that is one.
#[derive(Clone, Copy, Debug)]
struct Heard<'a> {
    answer: &'a Answer,
    answers: &'a Answers,
}

impl<'a> Heard<'a> {
    fn of(answer: &'a Answer) -> Option<Self> {
        Some(Self { answer, answers: answer.reading.as_ref().ok()? })
    }

    fn knows(&self, other: &Self) -> bool {
        self.answers.view.nodes.contains_key(&other.answers.id)
    }
}

/// The nodes that form the cluster: they know one another, and own slots. Where two such sets own slots, two clusters run in the
/// platform's places.
fn serving<'a>(heard: &[Heard<'a>]) -> Result<Vec<Heard<'a>>, Doubt> {
    let mut found: Vec<Vec<Heard<'a>>> = Vec::new();
    let mut left: Vec<Heard<'a>> = heard.to_vec();
    while let Some(first) = left.first().copied() {
        let mut set = vec![first];
        left.remove(0);
        while let Some(at) =
            left.iter().position(|one| set.iter().any(|other| one.knows(other) && other.knows(one)))
        {
            set.push(left.remove(at));
        }
        found.push(set);
    }
    found.retain(|set| owns(set, heard));
    let places = |set: &[Heard]| set.iter().map(|one| &*one.answer.place).collect::<Vec<_>>().join(", ");
    match found.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Doubt::new(
            Gap::Error,
            "no node that answers knows an owner of any slot: found the cluster first",
        )),
        [one, other, ..] => {
            let detail = format!("{} are one cluster, and {} another", places(one), places(other));
            Err(Doubt::new(Gap::Conflicting, detail))
        }
    }
}

/// Whether somebody owns a slot by the views of these nodes who is one of them, or silent.
fn owns(set: &[Heard], heard: &[Heard]) -> bool {
    let elsewhere = |id: &str| {
        heard.iter().any(|one| one.answers.id == id) && !set.iter().any(|one| one.answers.id == id)
    };
    let mut nodes = set.iter().flat_map(|one| one.answers.view.nodes.iter());
    nodes.any(|(id, node)| !node.slots.is_empty() && !elsewhere(id))
}

/// What of a view has to be the same in all of them.
pub(super) fn shape(nodes: &BTreeMap<String, Node>) -> BTreeMap<&str, (Option<&str>, &Slots)> {
    nodes.iter().map(|(id, node)| (id.as_str(), (node.master.as_deref(), &node.slots))).collect()
}

fn members<'a>(serving: &[Heard<'a>], survey: &'a Survey) -> Vec<Member<'a>> {
    // A node that only knows itself to be a member is none.
    let ids: BTreeSet<&'a str> = serving
        .iter()
        .flat_map(|one| one.answers.view.nodes.keys().filter(|id| **id != one.answers.id))
        .map(String::as_str)
        .collect();
    let mut found: Vec<Member<'a>> = ids.into_iter().filter_map(|id| member(id, serving, survey)).collect();
    found.sort_by(|one, other| {
        let place = |member: &Member<'a>| member.place.map(|place| &**place);
        (order(place(one)), one.id).cmp(&(order(place(other)), other.id))
    });
    found
}

fn member<'a>(id: &'a str, serving: &[Heard<'a>], survey: &'a Survey) -> Option<Member<'a>> {
    let own = serving.iter().find(|one| one.answers.id == id);
    let others: Vec<&Heard<'a>> = serving.iter().filter(|one| one.answers.id != id).collect();
    let told: Vec<(&Heard<'a>, Option<&'a Node>)> =
        others.iter().map(|one| (*one, one.answers.view.nodes.get(id))).collect();
    let word = |node: &'a Node| (node.master.as_deref(), &node.slots);
    let alike = |node: &'a Node| told.iter().filter(|(_, other)| other.map(word) == Some(word(node))).count();
    // What most of them say, then the most recent word; differences are a doubt all the same.
    let node = told.iter().filter_map(|(_, node)| *node).max_by_key(|node| (alike(node), node.epoch))?;
    let differs: Vec<&str> = told
        .iter()
        .filter(|(_, other)| other.map(word) != Some(word(node)))
        .map(|(one, _)| &*one.answer.place)
        .chain(
            own.filter(|own| own.answers.view.own().map(word) != Some(word(node)))
                .map(|own| &*own.answer.place),
        )
        .collect();
    let (place, endpoints, silent) = place(id, node, own, survey);
    let name = place.map_or(id, |place| place);
    Some(Member {
        id,
        place,
        endpoints,
        reading: own.map(|own| own.answers).ok_or(silent),
        node,
        most: told
            .iter()
            .filter_map(|(_, node)| *node)
            .chain(own.and_then(|own| own.answers.view.own()))
            .map(|node| node.slots.count())
            .max()
            .unwrap_or(0),
        doubt: (!differs.is_empty()).then(|| {
            format!(
                "the nodes do not agree on {name} (its master and its slots): {} see it otherwise",
                differs.join(", ")
            )
        }),
        witness: others
            .iter()
            .max_by_key(|one| one.answers.up_ms)
            .map(|one| (&*one.answer.place, one.answers.up_ms)),
    })
}

/// Where a member runs, and why it is silent: by who answers there, else by the address that the others know for it.
fn place<'a>(
    id: &str,
    node: &Node,
    own: Option<&Heard<'a>>,
    survey: &'a Survey,
) -> (Option<&'a Arc<str>>, Option<&'a Endpoints>, &'a str) {
    if let Some(own) = own {
        return (Some(&own.answer.place), Some(&own.answer.endpoints), "");
    }
    let is_there = |answer: &&Answer| {
        let host = |(host, port): (String, u16)| host == node.host && port == node.port;
        let reached = client(&answer.endpoints).map(|at| (at.host, at.port));
        reached.is_ok_and(host) || peer(&answer.endpoints).is_ok_and(host)
    };
    let silent = survey.answers.iter().filter(|answer| answer.reading.is_err());
    match silent.filter(is_there).collect::<Vec<_>>().as_slice() {
        [only] => {
            let why = only.reading.as_ref().err().map_or("", String::as_str);
            (Some(&only.place), Some(&only.endpoints), why)
        }
        _ if survey.answers.iter().any(|answer| answer.reading.as_ref().is_ok_and(|read| read.id == id)) => {
            (None, None, "it answers, and the cluster does not know it any more")
        }
        _ => (None, None, "no place of the platform is known to be its own"),
    }
}

fn stranger<'a>(one: &Heard<'a>, members: &[Member<'a>]) -> Stranger<'a> {
    let answers = one.answers;
    let listed = answers.view.nodes.keys().any(|id| members.iter().any(|member| member.id == id));
    let owns = answers.view.own().is_some_and(|own| !own.slots.is_empty());
    if owns {
        return Stranger::Barred("it owns slots of its own: it belongs to another cluster".to_owned());
    }
    if answers.keys > 0 {
        return Stranger::Barred(format!("it holds {} keys and is no member", answers.keys));
    }
    if answers.view.nodes.len() == 1 && matches!(answers.side, Side::Master { .. }) {
        return Stranger::Fresh(one.answer);
    }
    if listed {
        return Stranger::Former(one.answer);
    }
    Stranger::Barred("it knows nodes that are no members: it belongs to another cluster".to_owned())
}

#[cfg(test)]
mod tests;
