//! From readings to one snapshot: ages, how long a value has stood, and members of platform and system as one.

mod aged;
mod compact;
mod grouped;
mod sorted;

pub(crate) use self::aged::fresh;
use self::compact::Compact;
pub(crate) use self::sorted::sorted;
use crate::course::unit_sizes;
use crate::observation::{Observation, PlatformReport, Reading, Slot, Source, SystemMember, VacantSlot};
use plimsoll_wire::fact::{Authority, Fact, Gap, Known};
use plimsoll_wire::journal::{JOIN, PlanState, Subject};
use plimsoll_wire::profile::Profile;
use plimsoll_wire::size::Observed;
use plimsoll_wire::snapshot::{
    History, Hosted, Lifecycle, Member, Now, Operation, Snapshot, Target, Vacancy,
};
use plimsoll_wire::{FORMAT_VERSION, Safety};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// What a snapshot holds besides what was read.
#[derive(Clone, Debug)]
pub struct Context {
    /// What the owner asks for.
    pub target: Target,
    /// The safety parameters in force.
    pub safety: Safety,
    /// What is true of the system and of its platform.
    pub profile: Arc<Profile>,
    /// Who may actuate: this daemon's name where it holds the lock.
    pub owner: Fact<String>,
    /// What we did lately.
    pub history: History,
    /// The plan that is running.
    pub plan: Option<PlanState>,
    /// What the one policy of the target returned last time; none where there are several.
    pub state: Option<String>,
}

/// Remembers since when values are what they are, so that an all-clear can be asked to be old (EVID-4).
#[derive(Clone, Debug, Default)]
pub struct Tracker {
    /// Looked up and forgotten, never walked in order.
    seen: HashMap<Key, Seen>,
    round: u64,
    scratch: Vec<u8>,
}

/// What is tracked: of whom (a member or a group), about whom, and what.
type Key = (Arc<str>, Arc<str>, &'static str);

#[derive(Clone, Debug)]
struct Seen {
    value: Vec<u8>,
    since_ms: u64,
    reads: u32,
    round: u64,
}

/// One pass over an observation.
struct Pass<'a> {
    tracker: &'a mut Tracker,
    at: &'a Now,
    now: &'a Now,
    epoch: Arc<str>,
    none: Arc<str>,
}

impl Pass<'_> {
    fn age_ms(&self) -> u64 {
        self.now.mono_ms.saturating_sub(self.at.mono_ms)
    }

    /// A fact whose stability nobody asks about.
    fn plain<T: Clone>(&self, told: &Reading<T>) -> Fact<T> {
        self.fact(told, 0, 1)
    }

    fn fact<T: Clone>(&self, told: &Reading<T>, stable_ms: u64, reads: u32) -> Fact<T> {
        match told {
            Reading::Value { value, source } => Fact::Known(Known {
                value: value.clone(),
                authority: source.authority,
                age_ms: self.age_ms().saturating_add(source.age_ms),
                observer: source.observer.clone(),
                observer_up_ms: source.observer_up_ms,
                epoch: self.epoch.clone(),
                stable_ms,
                reads,
            }),
            Reading::Gap { reason, detail } => {
                Fact::Unknown { reason: reason.clone(), detail: detail.clone() }
            }
            Reading::NotApplicable => Fact::NotApplicable,
        }
    }

    /// A fact with how long it has stood. A gap forgets: what was not seen may have changed and changed back.
    fn tracked<T: Clone + Compact>(
        &mut self,
        whose: &Arc<str>,
        what: &'static str,
        told: &Reading<T>,
    ) -> Fact<T> {
        let Reading::Value { value, .. } = told else { return self.plain(told) };
        let key = (whose.clone(), self.none.clone(), what);
        let (stable_ms, reads) = self.note(key, |bytes| value.write(bytes));
        self.fact(told, stable_ms, reads)
    }

    /// For how long, and in how many reads in a row, a value has been what it is now.
    fn note(&mut self, key: Key, write: impl FnOnce(&mut Vec<u8>)) -> (u64, u32) {
        let (at_ms, round) = (self.at.mono_ms, self.tracker.round);
        let mut value = std::mem::take(&mut self.tracker.scratch);
        value.clear();
        write(&mut value);
        let fresh = || Seen { value: Vec::new(), since_ms: at_ms, reads: 0, round: 0 };
        let seen = self.tracker.seen.entry(key).or_insert_with(fresh);
        if seen.reads == 0 || seen.value != value {
            seen.value.clone_from(&value);
            (seen.since_ms, seen.reads, seen.round) = (at_ms, 1, round);
        } else if seen.round != round {
            seen.reads = seen.reads.saturating_add(1);
            seen.round = round;
        }
        let told = (at_ms.saturating_sub(seen.since_ms), seen.reads);
        self.tracker.scratch = value;
        told
    }
}

impl Tracker {
    /// What it remembers, as far as it decides about anything: in no order, and reads counted as far as rules ask
    /// for them. The number of the round says nothing, since what was not seen in it is forgotten.
    pub(crate) fn digest(&self, observations: u32) -> u64 {
        let one = |(key, seen): (&Key, &Seen)| {
            let mut hasher = DefaultHasher::new();
            (key, &seen.value, seen.since_ms, seen.reads.min(observations)).hash(&mut hasher);
            hasher.finish()
        };
        self.seen.iter().map(one).fold(0, u64::wrapping_add)
    }

    /// Makes the snapshot of an observation and remembers what was seen in it.
    pub fn assemble(&mut self, observation: &Observation, now: &Now, context: Context) -> Snapshot {
        self.round += 1;
        let epoch = observation.system.epoch.value().map_or_else(|| Arc::from(""), |text| Arc::from(&**text));
        let none: Arc<str> = Arc::from("");
        let mut pass = Pass { tracker: self, at: &observation.at, now, epoch, none: none.clone() };
        let system = &observation.system;
        let members = members(&mut pass, &observation.platform, &system.members);
        let operations = operations(&mut pass, &observation.platform.operations, &system.operations);
        let mut facts = facts(&pass, observation);
        let groups = pass.groups(&system.groups, &members, &operations, &context.safety, &mut facts);
        let snapshot = Snapshot {
            format_version: FORMAT_VERSION,
            now: now.clone(),
            sizes: Observed::of_members(size(&mut pass, &members, context.plan.as_ref())),
            members,
            target: context.target,
            safety: context.safety.clone(),
            profile: context.profile.clone(),
            fingerprint: pass.tracked(&none, "fingerprint", &system.fingerprint),
            epoch: pass.tracked(&none, "epoch", &system.epoch),
            generation: pass.plain(&observation.platform.generation),
            owner: context.owner,
            vacant: vacant(&pass, &observation.platform.vacant),
            groups,
            shards: pass.plain(&system.shards),
            operations,
            debts: pass.tracked(&none, "debts", &system.debts),
            history: context.history,
            plan: context.plan,
            signals: observation.signals.clone(),
            facts,
            state: context.state,
        };
        // What was not seen this time is forgotten: a member that comes back starts anew.
        let round = self.round;
        self.seen.retain(|_, seen| seen.round == round);
        snapshot
    }
}

/// How many members count. While a plan runs, the one that comes does not count before its unit is complete, or
/// policies would scale too far; the one that goes counts until then.
fn size(pass: &mut Pass, members: &Fact<Vec<Member>>, plan: Option<&PlanState>) -> Fact<u32> {
    let known = match members {
        Fact::Known(known) => known,
        Fact::Unknown { reason, detail } => return Fact::unknown(reason.clone(), detail.clone()),
        Fact::NotApplicable => return Fact::NotApplicable,
    };
    let all = u32::try_from(known.value.len()).unwrap_or(u32::MAX);
    let value = plan.map_or(all, |plan| unit_sizes(plan).0);
    // Policies ask for how long the size has been what it is: a utilisation of before says nothing.
    let key = (pass.none.clone(), pass.none.clone(), "size");
    let (stable_ms, reads) = pass.note(key, |bytes| bytes.extend(value.to_le_bytes()));
    Fact::Known(Known { value, stable_ms, reads, ..known.clone().map(|_| value) })
}

fn facts(pass: &Pass, observation: &Observation) -> BTreeMap<String, Fact<serde_json::Value>> {
    let told = observation.system.facts.iter().chain(&observation.platform.facts);
    let mut facts: BTreeMap<_, _> = told.map(|(name, told)| (name.clone(), pass.plain(told))).collect();
    facts.insert(JOIN.to_owned(), pass.plain(&observation.system.join).map(|join| json!(join)));
    facts
}

/// Members of platform and system as one list, in order of slots; a slot without a member of the system and a
/// member without a slot are rows of their own.
fn members(
    pass: &mut Pass,
    platform: &PlatformReport,
    system: &Reading<Vec<SystemMember>>,
) -> Fact<Vec<Member>> {
    let (slots, known) = match (&platform.slots, system) {
        (Reading::Value { value: slots, .. }, Reading::Value { value: known, .. }) => (slots, known),
        (Reading::Gap { reason, detail }, _) => {
            return Fact::unknown(reason.clone(), format!("members of the platform: {detail}"));
        }
        (_, Reading::Gap { reason, detail }) => {
            return Fact::unknown(reason.clone(), format!("members of the system: {detail}"));
        }
        (Reading::NotApplicable, _) | (_, Reading::NotApplicable) => {
            return Fact::unknown(Gap::Unparsable, "a member list cannot be not applicable");
        }
    };
    if let Some(twice) = duplicate(slots.iter().map(|slot| &*slot.slot)) {
        return Fact::unknown(Gap::Conflicting, format!("the platform names slot {twice} twice"));
    }
    if let Some(twice) = duplicate(known.iter().map(|member| &*member.id)) {
        return Fact::unknown(Gap::Conflicting, format!("the system names member {twice} twice"));
    }
    if let Some(twice) = duplicate(known.iter().filter_map(|member| member.slot.as_deref())) {
        return Fact::unknown(Gap::Conflicting, format!("two members claim slot {twice}"));
    }
    let by_slot: BTreeMap<&str, &SystemMember> =
        known.iter().filter_map(|member| Some((member.slot.as_deref()?, member))).collect();
    let mut rows: Vec<Member> =
        slots.iter().map(|slot| row(pass, Some(slot), by_slot.get(&*slot.slot).copied(), platform)).collect();
    let placed: std::collections::BTreeSet<&str> = slots.iter().map(|slot| &*slot.slot).collect();
    let homeless = |member: &&SystemMember| member.slot.as_deref().is_none_or(|slot| !placed.contains(slot));
    rows.extend(known.iter().filter(homeless).map(|member| row(pass, None, Some(member), platform)));
    rows.sort_by(sorted::by_place);
    // The list is as old as the older of the two that it is made of.
    let told = match (system, platform_source(platform)) {
        (Reading::Value { source, .. }, Some(platform)) => {
            source.clone().aged(source.age_ms.max(platform.age_ms)).tells(())
        }
        (Reading::Value { .. } | Reading::Gap { .. } | Reading::NotApplicable, _) => Reading::default(),
    };
    let mut ids: Vec<&str> = known.iter().map(|member| &*member.id).collect();
    ids.sort_unstable();
    let key = (pass.none.clone(), pass.none.clone(), "members");
    let (stable_ms, reads) = pass.note(key, |bytes| ids.iter().for_each(|id| id.write(bytes)));
    pass.fact(&told, stable_ms, reads).map(|()| rows)
}

fn id_of(member: &Member) -> Option<&Arc<str>> {
    member.id.value()
}

fn duplicate<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = std::collections::BTreeSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}

/// Ordinals compare as numbers: `db-10` comes after `db-9` (IDENT-6; datastax/kaap#254). No slot comes last.
#[must_use]
pub fn order(slot: Option<&str>) -> (bool, &str, u64, &str) {
    let Some(slot) = slot else { return (true, "", 0, "") };
    let digits = slot.len() - slot.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (stem, ordinal) = slot.split_at(slot.len() - digits);
    (false, stem, ordinal.parse().unwrap_or(0), slot)
}

fn row(
    pass: &mut Pass,
    slot: Option<&Slot>,
    known: Option<&SystemMember>,
    platform: &PlatformReport,
) -> Member {
    let none = SystemMember::default();
    let system = known.unwrap_or(&none);
    // A slot without a member and a member may have one name; what is tracked of them has different names.
    let whose = known.map(|member| &member.id).or_else(|| slot.map(|slot| &slot.slot));
    let key = whose.cloned().unwrap_or_else(|| pass.none.clone());
    let (running, incarnation) = match known {
        Some(_) => ("running", "incarnation"),
        None => ("slot-running", "slot-incarnation"),
    };
    let unlisted = || Fact::unknown(Gap::NotScraped, "the system knows no member in this slot");
    let source = platform_source(platform);
    let tells_slot = |value: bool| source.clone().map_or_else(Reading::default, |source| source.tells(value));
    Member {
        // A member that is registered but not started has the slot that it will run in.
        slot: slot.map(|slot| slot.slot.clone()).or_else(|| system.slot.clone()),
        endpoints: slot.map(|slot| slot.endpoints.clone()).unwrap_or_default(),
        id: known.map_or_else(unlisted, |member| {
            pass.plain(&Source::new(Authority::Consensus, "system", u64::MAX).tells(member.id.clone()))
        }),
        incarnation: slot.map_or_else(
            || Fact::unknown(Gap::NotScraped, "the platform knows no slot of this member"),
            |slot| match &source {
                Some(source) => {
                    let told = source.tells(slot.incarnation.clone());
                    pass.tracked(&key, incarnation, &told)
                }
                None => Fact::unknown(Gap::NotScraped, ""),
            },
        ),
        running: pass.tracked(&key, running, &tells_slot(slot.is_some_and(|slot| slot.running))),
        lifecycle: pass.tracked(&key, "lifecycle", &system.lifecycle),
        alive: pass.tracked(&key, "alive", &system.alive),
        roles: pass.tracked(&key, "roles", &system.roles),
        domain: slot.map_or_else(
            || Fact::unknown(Gap::NotScraped, "the platform knows no slot of this member"),
            |slot| pass.plain(&slot.domain),
        ),
        hosted: pass.tracked(&key, "hosted", &system.hosted),
        load_bytes: pass.plain(&system.load_bytes),
        disk_capacity_bytes: pass.plain(&system.disk_capacity_bytes),
        disk_used_bytes: pass.plain(&system.disk_used_bytes),
        growth_bytes_per_s: pass.plain(&system.growth_bytes_per_s),
        drain_bytes_per_s: pass.plain(&system.drain_bytes_per_s),
        cpu_permille: pass.plain(&system.cpu_permille),
        memory_permille: pass.plain(&system.memory_permille),
        network_permille: pass.plain(&system.network_permille),
        persistent: pass.plain(&system.persistent),
        config_pending: pass.plain(&system.config_pending),
        marker: slot.map_or_else(
            || Fact::unknown(Gap::NotScraped, "the platform knows no slot of this member"),
            |slot| pass.plain(&slot.marker),
        ),
    }
}

fn platform_source(platform: &PlatformReport) -> Option<Source> {
    match &platform.slots {
        Reading::Value { source, .. } => Some(source.clone()),
        Reading::Gap { .. } | Reading::NotApplicable => None,
    }
}

fn vacant(pass: &Pass, told: &Reading<Vec<VacantSlot>>) -> Fact<Vec<Vacancy>> {
    pass.plain(told).map(|slots| {
        slots
            .iter()
            .map(|slot| Vacancy {
                slot: slot.slot.clone(),
                endpoints: slot.endpoints.clone(),
                domain: pass.plain(&slot.domain),
                marker: pass.plain(&slot.marker),
            })
            .collect()
    })
}

/// Operations of platform and system; where either does not tell, nobody knows.
fn operations(
    pass: &mut Pass,
    platform: &Reading<Vec<Operation>>,
    system: &Reading<Vec<Operation>>,
) -> Fact<Vec<Operation>> {
    match (platform, system) {
        (Reading::Value { value: first, source: one }, Reading::Value { value: second, source }) => {
            let age_ms = one.age_ms.max(source.age_ms);
            let mut all: Vec<Operation> = first.iter().chain(second).cloned().collect();
            all.sort_by(|a, b| a.id.cmp(&b.id));
            pass.tracked(&pass.none.clone(), "operations", &source.clone().aged(age_ms).tells(all))
        }
        (Reading::Gap { reason, detail }, _) | (_, Reading::Gap { reason, detail }) => {
            Fact::unknown(reason.clone(), detail.clone())
        }
        (Reading::NotApplicable, _) => pass.tracked(&pass.none.clone(), "operations", system),
        (_, Reading::NotApplicable) => pass.tracked(&pass.none.clone(), "operations", platform),
    }
}

/// Whether what the platform runs in a place was never let in: the system, on its own word, lists nobody there, and
/// everybody whom it lists has a place of his own. Where nothing moves by itself, it holds nothing.
#[must_use]
pub fn never_joined(snapshot: &Snapshot, row: &Member) -> bool {
    let Some(list) = snapshot.members.known().filter(|known| known.authority >= Authority::Survivors) else {
        return false;
    };
    let placed = list.value.iter().all(|other| other.slot.is_some());
    placed && is_unlisted(row) && row.alive.value() != Some(&true)
}

/// Whether a place is run and the system knows no member in it.
#[must_use]
pub fn is_unlisted(row: &Member) -> bool {
    row.slot.is_some() && matches!(row.id, Fact::Unknown { reason: Gap::NotScraped, .. })
}

/// Whether a member holds nothing at all.
pub(crate) fn is_empty(hosted: &Hosted) -> bool {
    let Hosted { copies, leaders, moving, open_writes, failed_moves, due: _ } = *hosted;
    [copies, leaders, moving, open_writes, failed_moves] == [0; 5]
}

/// Whether a member does its work: alive, serving and run by the platform.
#[must_use]
pub fn is_serving(member: &Member) -> bool {
    member.alive.value() == Some(&true)
        && member.running.value() == Some(&true)
        && member.lifecycle.value() == Some(&Lifecycle::Serving)
}

/// Whether a subject is this member: by id where both have one, else by slot.
#[must_use]
pub fn is_same(subject: &Subject, member: &Member) -> bool {
    match (&subject.id, member.id.value()) {
        (Some(wanted), Some(id)) => wanted == id,
        (Some(_) | None, _) => member.slot.as_deref() == Some(&*subject.slot),
    }
}
