//! The one conclusion that all answers allow: who leads, who follows and how well. The base for reports and for calls.
//!
//! The primary's replication slots are the list of members: who has none is not one. A standby counts as in sync when the
//! primary's own view says that it has confirmed and replayed everything that was on the primary's disk when the reading
//! began.

use super::cascade::{self, upstream};
use super::lsn::Lsn;
use super::names::SyncSet;
use super::reading::{Answers, Follower, Side};
use super::survey::{Answer, Survey, name_of};
use plimsoll_core::observation::PlatformReport;
use plimsoll_wire::fact::Gap;
use plimsoll_wire::snapshot::{Endpoints, PlacementState};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How old a standby's last reply may be. It replies at least every 10 s (`wal_receiver_status_interval`).
const MOST_SILENCE_MS: i64 = 30_000;

/// Why there is no conclusion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Doubt {
    pub(super) gap: Gap,
    pub(super) detail: String,
}

impl Doubt {
    fn new(gap: Gap, detail: impl Into<String>) -> Self {
        Self { gap, detail: detail.into() }
    }
}

/// What all answers together say.
#[derive(Clone, Debug)]
pub(super) struct Cluster<'a> {
    pub(super) system: &'a str,
    pub(super) primary: Primary<'a>,
    /// Who must confirm a commit, or why that is not known.
    pub(super) sync: Result<Option<SyncSet>, String>,
    /// In order of their names, the primary among them.
    pub(super) members: Vec<Member<'a>>,
    /// Places where nobody runs, by the names that their members would have.
    pub(super) vacant: BTreeMap<String, Arc<str>>,
    /// Slots that are kept for nobody.
    pub(super) owed: Vec<Owed>,
    /// Places where something runs that is no member, with the reason.
    pub(super) strangers: BTreeMap<Arc<str>, String>,
}

/// The server that takes writes.
#[derive(Clone, Debug)]
pub(super) struct Primary<'a> {
    pub(super) name: String,
    pub(super) endpoints: &'a Endpoints,
    pub(super) reading: &'a Answers,
    pub(super) flushed: Lsn,
    pub(super) timeline: u32,
    /// Whether it takes writes only from those who insist: our fence before a hand-over.
    pub(super) fenced: bool,
}

/// One member.
#[derive(Clone, Debug)]
pub(super) struct Member<'a> {
    pub(super) name: String,
    pub(super) place: Arc<str>,
    pub(super) endpoints: &'a Endpoints,
    /// What it said itself, or why it said nothing.
    pub(super) reading: Result<&'a Answers, &'a str>,
    pub(super) part: Part,
}

/// A member's part in replication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Primary,
    /// It was the primary and is fenced.
    Retired,
    /// Its slot is there, and nobody has used it.
    Registered,
    Standby(Standby),
}

/// How well a standby follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standby {
    pub(super) state: PlacementState,
    /// Why it is not in sync; empty where it is.
    pub(super) fault: String,
    /// The standby that streams to it in the primary's place: it confirms nothing, and counts for nothing.
    pub(super) upstream: Option<String>,
    /// Whether somebody streams to it.
    pub(super) streams: bool,
    /// How far it is behind by the view of whoever streams to it, in bytes.
    pub(super) lag: Option<u64>,
    /// The state of its slot's log.
    pub(super) wal: Option<String>,
    /// How much log its slot keeps.
    pub(super) kept: Option<u64>,
}

/// A slot that is kept for nobody.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owed {
    pub(super) name: String,
    /// On which member it is, where that is not the primary.
    pub(super) on: Option<String>,
}

impl Cluster<'_> {
    pub(super) fn member(&self, name: &str) -> Option<&Member<'_>> {
        self.members.iter().find(|member| member.name == name)
    }

    /// Whether a standby is a synchronous candidate.
    pub(super) fn confirms(&self, name: &str) -> bool {
        matches!(&self.sync, Ok(Some(set)) if set.has(name))
    }
}

/// Draws the conclusion.
pub(super) fn conclude<'a>(survey: &'a Survey, platform: &PlatformReport) -> Result<Cluster<'a>, Doubt> {
    let system = system_of(survey)?;
    let primary = primary_of(survey)?;
    let sync = SyncSet::parse(&primary.reading.own.names);
    let used = names(survey.answers.iter().map(|answer| &answer.place))?;
    let vacant = platform.vacant.value().into_iter().flatten().map(|slot| &slot.slot);
    let vacant = names(vacant)?;
    if let Some(name) = used.keys().find(|name| vacant.contains_key(*name)) {
        return Err(twice(name));
    }
    let mut cluster = Cluster {
        system,
        primary,
        sync,
        members: Vec::new(),
        vacant,
        owed: Vec::new(),
        strangers: BTreeMap::new(),
    };
    for (name, place) in &used {
        let Some(answer) = survey.answers.iter().find(|answer| answer.place == *place) else { continue };
        match part(&cluster, survey, name, answer) {
            Ok(part) => cluster.members.push(Member {
                name: name.clone(),
                place: place.clone(),
                endpoints: &answer.endpoints,
                reading: answer.reading.as_ref().map_err(String::as_str),
                part,
            }),
            Err(why) => {
                cluster.strangers.insert(place.clone(), why);
            }
        }
    }
    keeps_of_vacant(&mut cluster);
    prepared(&mut cluster);
    cluster.members.sort_by(|one, other| one.name.cmp(&other.name));
    cluster.owed.sort();
    Ok(cluster)
}

/// The places by the names of their members.
fn names<'a>(places: impl Iterator<Item = &'a Arc<str>>) -> Result<BTreeMap<String, Arc<str>>, Doubt> {
    let mut found = BTreeMap::new();
    for place in places {
        let Some(name) = name_of(place) else {
            let detail = format!(
                "the place {place} cannot be the name of a replication slot: letters, digits, `-`, `.`, `_`"
            );
            return Err(Doubt::new(Gap::Unparsable, detail));
        };
        if found.insert(name.clone(), place.clone()).is_some() {
            return Err(twice(&name));
        }
    }
    Ok(found)
}

fn twice(name: &str) -> Doubt {
    Doubt::new(Gap::Conflicting, format!("two places would have the replication slot {name}"))
}

/// All answers must come from copies of one cluster.
fn system_of(survey: &Survey) -> Result<&str, Doubt> {
    let mut systems: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for answer in &survey.answers {
        if let Ok(reading) = &answer.reading {
            systems.entry(&reading.own.system).or_default().insert(&answer.place);
        }
    }
    let mut systems = systems.into_iter();
    match (systems.next(), systems.next()) {
        (Some((system, _)), None) => Ok(system),
        (Some((one, at)), Some((other, there))) => {
            let list = |places: BTreeSet<&str>| places.into_iter().collect::<Vec<_>>().join(", ");
            let detail = format!("{} are of system {one}, {} of system {other}", list(at), list(there));
            Err(Doubt::new(Gap::Conflicting, detail))
        }
        (None, _) => Err(Doubt::new(Gap::Error, format!("no member answers ({})", silence(survey)))),
    }
}

/// Why those are silent who are.
fn silence(survey: &Survey) -> String {
    let silent =
        |answer: &Answer| answer.reading.as_ref().err().map(|why| format!("{}: {why}", answer.place));
    let mut all: Vec<String> = survey.answers.iter().filter_map(silent).collect();
    all.sort();
    if all.is_empty() { "the platform runs none".to_owned() } else { all.join("; ") }
}

/// The one server that takes writes. A fenced one beside it, on an older timeline, has handed over.
fn primary_of(survey: &Survey) -> Result<Primary<'_>, Doubt> {
    let mut found: Vec<Primary> = survey.answers.iter().filter_map(primary).collect();
    found.sort_by_key(|primary| primary.timeline);
    let Some(newest) = found.pop() else {
        let detail = format!("no member that answers is the primary ({})", silence(survey));
        return Err(Doubt::new(Gap::Error, detail));
    };
    let rival = |other: &&Primary| !other.fenced || other.timeline >= newest.timeline;
    if let Some(rival) = found.iter().find(rival) {
        let detail = format!(
            "{} and {} both are primaries, on timelines {} and {}: one of them must be stopped",
            rival.name, newest.name, rival.timeline, newest.timeline
        );
        return Err(Doubt::new(Gap::Conflicting, detail));
    }
    Ok(newest)
}

fn primary(answer: &Answer) -> Option<Primary<'_>> {
    let reading = answer.reading.as_ref().ok()?;
    let Side::Primary { flushed, timeline } = reading.own.side else { return None };
    Some(Primary {
        name: name_of(&answer.place)?,
        endpoints: &answer.endpoints,
        reading,
        flushed,
        timeline,
        fenced: reading.own.read_only,
    })
}

/// The part that a place in use has; why none.
fn part(cluster: &Cluster, survey: &Survey, name: &str, answer: &Answer) -> Result<Part, String> {
    let primary = &cluster.primary;
    if name == primary.name {
        return Ok(Part::Primary);
    }
    let side = answer.reading.as_ref().ok().map(|reading| &reading.own.side);
    if let Some(Side::Primary { .. }) = side {
        return Ok(Part::Retired);
    }
    let keep = primary.reading.keeps.iter().find(|keep| keep.name == name);
    let row = keep.and_then(|keep| keep.pid);
    let row = row.and_then(|pid| primary.reading.followers.iter().find(|row| row.pid == pid));
    // During a hand-over the others follow their next primary already; who has to confirm must follow the primary itself.
    let cascades = row.is_none() && !primary.fenced && !cluster.confirms(name);
    let above = upstream(survey, name).filter(|_| cascades);
    let Some(keep) = keep else {
        let kept = |(above, _): &(String, &Follower)| cascade::has_slot(survey, above, name);
        return match above.filter(kept) {
            Some((above, row)) => Ok(Part::Standby(cascading(primary, name, (above, row), answer))),
            None => Err(format!("the primary {} has no replication slot {name}", primary.name)),
        };
    };
    if !keep.physical || keep.temporary {
        return Err(format!("the replication slot {name} of the primary is not a lasting physical one"));
    }
    if side.is_none() && keep.is_fresh() {
        return Ok(Part::Registered);
    }
    let standby = match above {
        Some(above) => cascading(primary, name, above, answer),
        None => following(primary, name, row, answer),
    };
    let kept = keep.restart.map(|restart| primary.flushed.ahead_of(restart));
    Ok(Part::Standby(Standby { wal: keep.wal.clone(), kept, ..standby }))
}

/// A standby that the primary streams to, or should.
fn following(primary: &Primary, name: &str, row: Option<&Follower>, answer: &Answer) -> Standby {
    let lag = row.and_then(|row| lag(primary, row));
    let streams = row.is_some_and(|row| row.state == "streaming");
    let fault = match (&answer.reading, has_all_of_fenced(primary, answer)) {
        (_, true) => None,
        (Err(why), false) => Some(format!("it does not answer: {why}")),
        (Ok(reading), false) => match row {
            None => Some(format!("the primary {} does not stream to it", primary.name)),
            Some(row) => fault(primary, name, (&primary.name, row), reading).or_else(|| behind(lag)),
        },
    };
    let state = match (&fault, streams) {
        (None, _) => PlacementState::InSync,
        (Some(_), true) => PlacementState::CatchingUp,
        (Some(_), false) => PlacementState::Stale,
    };
    Standby { state, fault: fault.unwrap_or_default(), upstream: None, streams, lag, wal: None, kept: None }
}

/// A standby that another standby streams to. How far it is behind the primary is told by two that were not asked at the same
/// moment: nothing rests on it.
fn cascading(primary: &Primary, name: &str, above: (String, &Follower), answer: &Answer) -> Standby {
    let (above, row) = above;
    let fault = match &answer.reading {
        Err(why) => Some(format!("it does not answer: {why}")),
        Ok(reading) => fault(primary, name, (&above, row), reading),
    };
    let state = if fault.is_none() { PlacementState::InSync } else { PlacementState::CatchingUp };
    Standby {
        state,
        fault: fault.unwrap_or_default(),
        upstream: Some(above),
        streams: row.state == "streaming",
        lag: lag(primary, row),
        wal: None,
        kept: None,
    }
}

/// How far a standby is behind what was on the primary's disk when the reading began.
fn lag(primary: &Primary, row: &Follower) -> Option<u64> {
    Some(primary.flushed.ahead_of(row.flushed?.min(row.replayed?)))
}

/// Before a fenced primary nothing new comes: who has its last position has everything, whomever it follows by now.
fn has_all_of_fenced(primary: &Primary, answer: &Answer) -> bool {
    let Ok(reading) = &answer.reading else { return false };
    let Side::Standby { replayed: Some(replayed), replays: true, .. } = &reading.own.side else {
        return false;
    };
    primary.fenced && *replayed >= primary.flushed
}

/// Why a standby does not follow as it should, by the view of whoever streams to it.
fn fault(primary: &Primary, name: &str, from: (&str, &Follower), reading: &Answers) -> Option<String> {
    let (above, row) = from;
    if row.name != name {
        return Some(format!("it streams as {:?}; its application_name must be {name}", row.name));
    }
    if row.state != "streaming" {
        return Some(format!("{above} says {:?} of it", row.state));
    }
    let Side::Standby { replays, timeline, .. } = &reading.own.side else { return None };
    if !replays {
        return Some("its replay is paused".to_owned());
    }
    if *timeline != Some(primary.timeline) {
        let own = timeline.map_or_else(|| "none".to_owned(), |timeline| timeline.to_string());
        return Some(format!("it receives timeline {own}, the primary is on {}", primary.timeline));
    }
    match row.reply_ms {
        Some(age) if age.abs() <= MOST_SILENCE_MS => None,
        Some(age) => Some(format!("its last reply is {age} ms old")),
        None => Some("it has not replied yet".to_owned()),
    }
}

fn behind(lag: Option<u64>) -> Option<String> {
    match lag {
        Some(0) => None,
        Some(bytes) => Some(format!("it is {bytes} bytes behind")),
        None => Some("how far it is behind is not known".to_owned()),
    }
}

/// Slots of places where nobody runs: fresh ones wait for their member, used ones are owed.
fn keeps_of_vacant(cluster: &mut Cluster) {
    static NONE: Endpoints = Endpoints::new();
    for keep in cluster.primary.reading.keeps.iter().filter(|keep| keep.physical && !keep.temporary) {
        let Some(place) = cluster.vacant.get(&keep.name) else { continue };
        if !keep.is_fresh() {
            cluster.owed.push(Owed { name: keep.name.clone(), on: None });
            continue;
        }
        cluster.members.push(Member {
            name: keep.name.clone(),
            place: place.clone(),
            endpoints: &NONE,
            reading: Err("it is not started"),
            part: Part::Registered,
        });
    }
}

/// Slots on standbys that nobody uses: of a hand-over that did not happen, or of a member that followed that standby and is
/// gone. Before a fenced primary one is under way.
fn prepared(cluster: &mut Cluster) {
    if cluster.primary.fenced {
        return;
    }
    let mut owed = Vec::new();
    for member in cluster.members.iter().filter(|member| matches!(member.part, Part::Standby(_))) {
        let Ok(reading) = member.reading else { continue };
        let idle = reading.keeps.iter().filter(|keep| keep.physical && keep.pid.is_none());
        for keep in idle.filter(|keep| is_nobodys(cluster, member, &keep.name)) {
            owed.push(Owed { name: keep.name.clone(), on: Some(member.name.clone()) });
        }
    }
    cluster.owed.extend(owed);
}

/// Whether a slot on a standby is for one of ours who does not follow it. One that does is away for a moment; one that does
/// not answer may be.
fn is_nobodys(cluster: &Cluster, on: &Member, name: &str) -> bool {
    match cluster.member(name) {
        Some(member) => member.reading.is_ok() && !cascade::follows(member, on),
        None => cluster.vacant.contains_key(name),
    }
}

#[cfg(test)]
mod tests;
