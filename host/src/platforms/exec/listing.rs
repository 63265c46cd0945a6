//! The answer of a `list` command, decoded strictly: a doubtful answer is no answer, never a shorter list.

use plimsoll_core::observation::{Reading, Slot, Source, VacantSlot};
use plimsoll_wire::fact::Gap;
use plimsoll_wire::snapshot::{Endpoints, Marker};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// Slots in one answer. A target has tens of members; a list of thousands is a mistake of the command.
const MAX_SLOTS: usize = 1024;
/// Targets in one answer: ten times what one daemon is meant for.
const MAX_TARGETS: usize = 10_000;
/// Addresses of one slot.
const MAX_ENDPOINTS: usize = 16;
/// Characters of one address, domain, incarnation or id.
const MAX_TEXT: usize = 512;
/// Characters of a slot's name, as for a DNS label: it becomes part of names elsewhere.
const MAX_SLOT_NAME: usize = 63;

/// What a `list` command said.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) slots: Vec<Slot>,
    pub(super) vacant: Vec<VacantSlot>,
}

/// What was said of one target, and not yet judged.
#[derive(Debug, Deserialize)]
pub(super) struct Entries {
    members: Vec<MemberEntry>,
    vacant: Vec<VacantEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    format_version: u32,
    members: Vec<MemberEntry>,
    vacant: Vec<VacantEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnswerOfAll {
    format_version: u32,
    targets: Once<Entries, MAX_TARGETS>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MemberEntry {
    slot: String,
    running: bool,
    incarnation: String,
    #[serde(default)]
    endpoints: Addresses,
    domain: Option<String>,
    #[serde(default, deserialize_with = "present")]
    volume: Option<Option<Volume>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct VacantEntry {
    slot: String,
    #[serde(default)]
    endpoints: Addresses,
    domain: Option<String>,
    #[serde(default, deserialize_with = "present")]
    volume: Option<Option<Volume>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Volume {
    fingerprint: String,
    member_id: String,
    tombstoned: bool,
}

/// Tells `null` from a field that is not there.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<Volume>>, D::Error> {
    Option::<Volume>::deserialize(from).map(Some)
}

/// Addresses by purpose.
type Addresses = Once<String, MAX_ENDPOINTS>;

/// An object with so many keys at most, each of them once: a map would keep the last one silently.
#[derive(Debug)]
struct Once<T, const MOST: usize>(BTreeMap<String, T>);

impl<T, const MOST: usize> Default for Once<T, MOST> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for Once<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Collect<T, const MOST: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Collect<T, MOST> {
            type Value = Once<T, MOST>;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut found = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    if found.len() == MOST {
                        return Err(A::Error::custom(format!("an object has more than {MOST} keys")));
                    }
                    if found.contains_key(&key) {
                        return Err(A::Error::custom(format!("{} is there twice", clip(&key))));
                    }
                    found.insert(key, map.next_value()?);
                }
                Ok(Once(found))
            }
        }
        from.deserialize_map(Collect(PhantomData))
    }
}

/// Decodes the answer for one target.
///
/// # Errors
/// One line for people that names what is wrong with it.
pub(super) fn decode(bytes: &[u8], source: &Source) -> Result<Listing, String> {
    let answer: Answer = parse(bytes)?;
    of_version(answer.format_version)?;
    judge(&Entries { members: answer.members, vacant: answer.vacant }, source)
}

/// Decodes the answer for all targets of a platform, by their keys; what is said of each is not judged here, so that
/// a slip in one is not the others' trouble.
///
/// # Errors
/// One line for people that names what is wrong with it.
pub(super) fn decode_all(bytes: &[u8]) -> Result<BTreeMap<String, Entries>, String> {
    let answer: AnswerOfAll = parse(bytes)?;
    of_version(answer.format_version)?;
    Ok(answer.targets.0)
}

/// Of each target that has an address in common with another one, what is wrong with it: one of the two might get the
/// other's member stopped.
pub(super) fn claimed_twice(targets: &BTreeMap<String, Entries>) -> BTreeMap<String, String> {
    let (mut owners, mut wrong) = (BTreeMap::<&str, &str>::new(), BTreeMap::new());
    for (target, entries) in targets {
        for (_, address) in entries.endpoints().flat_map(|endpoints| &endpoints.0) {
            let owner = *owners.entry(address).or_insert(target);
            if owner != target {
                let why = |other: &str| {
                    format!("it has the address {} in common with {}", clip(address), clip(other))
                };
                wrong.entry(owner.to_owned()).or_insert_with(|| why(target));
                wrong.entry(target.clone()).or_insert_with(|| why(owner));
            }
        }
    }
    wrong
}

impl Entries {
    fn endpoints(&self) -> impl Iterator<Item = &Addresses> {
        let members = self.members.iter().map(|entry| &entry.endpoints);
        members.chain(self.vacant.iter().map(|entry| &entry.endpoints))
    }
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| clip(&error.to_string()))
}

fn of_version(version: u32) -> Result<(), String> {
    if version == 1 { Ok(()) } else { Err(format!("formatVersion is {version}, this daemon reads 1")) }
}

/// What was said of one target, on the word of `source`.
///
/// # Errors
/// One line for people that names what is wrong with it.
pub(super) fn judge(entries: &Entries, source: &Source) -> Result<Listing, String> {
    if entries.members.len() + entries.vacant.len() > MAX_SLOTS {
        return Err(format!("more than {MAX_SLOTS} slots"));
    }
    let mut unique = Unique::default();
    let mut slots = Vec::with_capacity(entries.members.len());
    for entry in &entries.members {
        unique.admit(&entry.slot, &entry.endpoints.0)?;
        text("incarnation", &entry.slot, &entry.incarnation)?;
        if entry.running && entry.incarnation.is_empty() {
            return Err(format!("slot {}: incarnation is empty although the member runs", entry.slot));
        }
        slots.push(Slot {
            domain: domain(source, &entry.slot, entry.domain.as_ref())?,
            marker: marker(source, &entry.slot, entry.volume.as_ref())?,
            slot: Arc::from(&*entry.slot),
            endpoints: entry.endpoints.0.clone(),
            running: entry.running,
            incarnation: entry.incarnation.clone(),
        });
    }
    let mut vacant = Vec::with_capacity(entries.vacant.len());
    for entry in &entries.vacant {
        unique.admit(&entry.slot, &entry.endpoints.0)?;
        vacant.push(VacantSlot {
            domain: domain(source, &entry.slot, entry.domain.as_ref())?,
            marker: marker(source, &entry.slot, entry.volume.as_ref())?,
            slot: Arc::from(&*entry.slot),
            endpoints: entry.endpoints.0.clone(),
        });
    }
    Ok(Listing { slots, vacant })
}

/// What may be named once only in one answer. An address is how a member of the system finds its slot, so
/// two slots with one address could get the wrong member stopped.
#[derive(Default)]
struct Unique {
    slots: BTreeSet<String>,
    addresses: BTreeMap<String, String>,
}

impl Unique {
    fn admit(&mut self, slot: &str, endpoints: &Endpoints) -> Result<(), String> {
        if !is_slot_name(slot) {
            return Err(format!(
                "slot name {} is not of lower-case letters, digits, `-` and `.`, at most {MAX_SLOT_NAME}, \
                 a letter or digit first",
                clip(slot)
            ));
        }
        if !self.slots.insert(slot.to_owned()) {
            return Err(format!("slot {slot} is listed twice"));
        }
        for (purpose, address) in endpoints {
            text("endpoint purpose", slot, purpose)?;
            text("endpoint", slot, address)?;
            if purpose.is_empty() || address.is_empty() {
                return Err(format!("slot {slot}: an endpoint or its purpose is empty"));
            }
            match self.addresses.get(address) {
                Some(other) if other != slot => {
                    return Err(format!("slots {other} and {slot} have the same address"));
                }
                Some(_) | None => {}
            }
            self.addresses.insert(address.clone(), slot.to_owned());
        }
        Ok(())
    }
}

/// Whether this may name a slot: it becomes an argument of nothing, but it is printed and stored.
pub(super) fn is_slot_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    first
        && name.len() <= MAX_SLOT_NAME
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
}

fn text(what: &str, slot: &str, value: &str) -> Result<(), String> {
    if value.len() > MAX_TEXT {
        return Err(format!("slot {slot}: {what} is longer than {MAX_TEXT} bytes"));
    }
    if value.chars().any(char::is_control) {
        return Err(format!("slot {slot}: {what} has a control character"));
    }
    Ok(())
}

fn domain(source: &Source, slot: &str, said: Option<&String>) -> Result<Reading<String>, String> {
    match said {
        None => Ok(Reading::gap(Gap::NotScraped, "the list command does not tell the failure domain")),
        Some(domain) => {
            text("domain", slot, domain)?;
            if domain.split('/').any(str::is_empty) {
                return Err(format!("slot {slot}: domain has an empty part"));
            }
            Ok(source.tells(domain.clone()))
        }
    }
}

fn marker(source: &Source, slot: &str, said: Option<&Option<Volume>>) -> Result<Reading<Marker>, String> {
    let Some(volume) = said else {
        return Ok(Reading::gap(Gap::NotScraped, "the list command does not tell what is on the volume"));
    };
    let blank = || Marker { fingerprint: String::new(), member_id: String::new(), tombstoned: false };
    let Some(volume) = volume else { return Ok(source.tells(blank())) };
    text("volume.fingerprint", slot, &volume.fingerprint)?;
    text("volume.memberId", slot, &volume.member_id)?;
    Ok(source.tells(Marker {
        fingerprint: volume.fingerprint.clone(),
        member_id: volume.member_id.clone(),
        tombstoned: volume.tombstoned,
    }))
}

/// What is said of an answer that cannot be used.
pub(super) fn no_listing(program: &str) -> String {
    format!("list command {program} answered what is no listing:")
}

/// Foreign text for a message: escaped and cut.
pub(super) fn clip(text: &str) -> String {
    let mut out = String::new();
    for part in text.chars().flat_map(char::escape_debug) {
        if out.len() > 400 {
            out.push('…');
            break;
        }
        out.push(part);
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may end here")]
mod tests {
    use super::*;
    use plimsoll_wire::fact::Authority;

    fn read(text: &str) -> Result<Listing, String> {
        decode(text.as_bytes(), &Source::new(Authority::Platform, "exec/test", 0))
    }

    #[test]
    fn tells_a_blank_volume_from_an_untold_one() {
        let listing = read(
            r#"{"formatVersion":1,"members":[],"vacant":[
                {"slot":"a","volume":null},{"slot":"b"},
                {"slot":"c","volume":{"fingerprint":"f","memberId":"m","tombstoned":true}}]}"#,
        )
        .unwrap();
        let markers: Vec<_> = listing.vacant.iter().map(|v| v.marker.value()).collect();
        let blank = Marker { fingerprint: String::new(), member_id: String::new(), tombstoned: false };
        let removed = Marker { fingerprint: "f".into(), member_id: "m".into(), tombstoned: true };
        assert_eq!(markers, [Some(&blank), None, Some(&removed)]);
        assert!(matches!(&listing.vacant[0].domain, Reading::Gap { reason: Gap::NotScraped, .. }));
    }

    #[test]
    fn refuses_every_doubtful_answer_whole() {
        let member = r#"{"slot":"a","running":true,"incarnation":"1","endpoints":{"client":"http://x:1"}}"#;
        let cases = [
            ("", "EOF"),
            ("[]", "invalid"),
            (r#"{"formatVersion":2,"members":[],"vacant":[]}"#, "formatVersion is 2"),
            (r#"{"formatVersion":1,"members":[]}"#, "vacant"),
            (r#"{"formatVersion":1,"members":[],"members":[],"vacant":[]}"#, "duplicate field"),
            (r#"{"formatVersion":1,"members":[],"vacant":[]} trailing"#, "trailing"),
            (r#"{"formatVersion":1,"members":[{"slot":"a","running":"yes"}],"vacant":[]}"#, "boolean"),
            (r#"{"formatVersion":1,"members":[],"vacant":[{"slot":"../a"}]}"#, "slot name"),
            (r#"{"formatVersion":1,"members":[],"vacant":[{"slot":"A"}]}"#, "slot name"),
            (r#"{"formatVersion":1,"members":[],"vacant":[{"slot":""}]}"#, "slot name"),
            (r#"{"formatVersion":1,"members":[],"vacant":[{"slot":"a"},{"slot":"a"}]}"#, "twice"),
            (r#"{"formatVersion":1,"members":[],"vacant":[{"slot":"a","domain":"z//h"}]}"#, "empty part"),
            (r#"{"formatVersion":1,"members":[],"vacant":[{"slot":"a","domain":"z\u0007"}]}"#, "control"),
            (
                r#"{"formatVersion":1,"members":[],"vacant":[{"slot":"a","endpoints":{"p":"1","p":"2"}}]}"#,
                "twice",
            ),
            (
                r#"{"formatVersion":1,"members":[{"slot":"a","running":true,"incarnation":""}],"vacant":[]}"#,
                "incarnation",
            ),
        ];
        for (input, part) in cases {
            let error = read(input).unwrap_err();
            assert!(error.contains(part), "{input}: {error}");
        }
        let both = format!(
            r#"{{"formatVersion":1,"members":[{member}],"vacant":[{{"slot":"b","endpoints":{{"x":"http://x:1"}}}}]}}"#
        );
        assert!(read(&both).unwrap_err().contains("same address"));
    }

    fn entries(addresses: &[&str]) -> String {
        let slot = |(at, address): (usize, &&str)| {
            format!(
                r#"{{"slot":"s{at}","running":true,"incarnation":"1","endpoints":{{"client":"{address}"}}}}"#
            )
        };
        let members: Vec<String> = addresses.iter().enumerate().map(slot).collect();
        format!(r#"{{"members":[{}],"vacant":[]}}"#, members.join(","))
    }

    fn all(targets: &[(&str, &[&str])]) -> Result<BTreeMap<String, Entries>, String> {
        let targets: Vec<String> =
            targets.iter().map(|(key, slots)| format!(r#""{key}":{}"#, entries(slots))).collect();
        decode_all(format!(r#"{{"formatVersion":1,"targets":{{{}}}}}"#, targets.join(",")).as_bytes())
    }

    #[test]
    fn an_answer_for_all_names_each_target_once_and_bounds_each_of_them() {
        let source = Source::new(Authority::Platform, "exec/test", 0);
        let answers = all(&[("a/x", &["http://x:1"]), ("a/y", &[])]).unwrap();
        assert_eq!(judge(&answers["a/x"], &source).unwrap().slots.len(), 1);
        assert_eq!(judge(&answers["a/y"], &source).unwrap().slots.len(), 0);
        assert!(all(&[("a/x", &[]), ("a/x", &[])]).unwrap_err().contains("a/x is there twice"));
        let names: Vec<String> = (0..=MAX_TARGETS).map(|at| format!("a/t{at}")).collect();
        let many: Vec<(&str, &[&str])> = names.iter().map(|name| (&**name, &[][..])).collect();
        assert!(all(&many).unwrap_err().contains("more than 10000 keys"));
        assert_eq!(all(&many[1..]).unwrap().len(), MAX_TARGETS);
        let crowd = vec!["http://x:1"; MAX_SLOTS + 1];
        let answers = all(&[("a/x", &crowd), ("a/y", &["http://y:1"])]).unwrap();
        assert!(judge(&answers["a/x"], &source).unwrap_err().contains("more than 1024 slots"));
        assert!(judge(&answers["a/y"], &source).is_ok());
    }

    #[test]
    fn an_address_that_two_targets_have_is_both_targets_trouble_and_nobody_elses() {
        let answers =
            all(&[("a/x", &["http://1"]), ("a/y", &["http://1", "http://2"]), ("a/z", &["http://3"])]);
        let wrong = claimed_twice(&answers.unwrap());
        assert_eq!(wrong.keys().collect::<Vec<_>>(), ["a/x", "a/y"]);
        assert!(wrong["a/x"].contains("in common with a/y") && wrong["a/y"].contains("in common with a/x"));
    }

    #[test]
    fn ignores_fields_that_it_does_not_know() {
        let listing = read(
            r#"{"formatVersion":1,"later":true,"vacant":[],"members":[
                {"slot":"e1","running":false,"incarnation":"","colour":"red","domain":"z/h"}]}"#,
        )
        .unwrap();
        assert_eq!(listing.slots[0].domain.value().map(String::as_str), Some("z/h"));
        assert!(!listing.slots[0].running);
    }
}
