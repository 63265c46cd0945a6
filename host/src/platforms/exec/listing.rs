//! The answer of a `list` command, decoded strictly: a doubtful answer is no answer, never a shorter list.

use plimsoll_core::observation::{Slot, Source, Told, VacantSlot};
use plimsoll_wire::fact::Gap;
use plimsoll_wire::snapshot::{Endpoints, Marker};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// Slots in one answer. A target has tens of members; a list of thousands is a mistake of the command.
const MAX_SLOTS: usize = 1024;
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    format_version: u32,
    members: Vec<MemberEntry>,
    vacant: Vec<VacantEntry>,
}

#[derive(Deserialize)]
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VacantEntry {
    slot: String,
    #[serde(default)]
    endpoints: Addresses,
    domain: Option<String>,
    #[serde(default, deserialize_with = "present")]
    volume: Option<Option<Volume>>,
}

#[derive(Deserialize)]
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

/// Addresses by purpose. A purpose that is given twice is refused: a map would keep the last one silently.
#[derive(Default)]
struct Addresses(Endpoints);

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Addresses;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("an object of addresses by purpose")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Addresses, A::Error> {
                let mut found = BTreeMap::new();
                while let Some((purpose, address)) = map.next_entry::<String, String>()? {
                    if found.len() == MAX_ENDPOINTS {
                        return Err(A::Error::custom(format!("more than {MAX_ENDPOINTS} endpoints")));
                    }
                    if found.contains_key(&purpose) {
                        return Err(A::Error::custom("an endpoint's purpose is given twice"));
                    }
                    found.insert(purpose, address);
                }
                Ok(Addresses(found))
            }
        }
        from.deserialize_map(Collect)
    }
}

/// Decodes an answer.
///
/// # Errors
/// One line for people that names what is wrong with it.
pub(super) fn decode(bytes: &[u8], source: &Source) -> Result<Listing, String> {
    let answer: Answer = serde_json::from_slice(bytes).map_err(|error| clip(&error.to_string()))?;
    if answer.format_version != 1 {
        return Err(format!("formatVersion is {}, this daemon reads 1", answer.format_version));
    }
    if answer.members.len() + answer.vacant.len() > MAX_SLOTS {
        return Err(format!("more than {MAX_SLOTS} slots"));
    }
    let mut unique = Unique::default();
    let mut slots = Vec::with_capacity(answer.members.len());
    for entry in answer.members {
        unique.admit(&entry.slot, &entry.endpoints.0)?;
        text("incarnation", &entry.slot, &entry.incarnation)?;
        if entry.running && entry.incarnation.is_empty() {
            return Err(format!("slot {}: incarnation is empty although the member runs", entry.slot));
        }
        slots.push(Slot {
            domain: domain(source, &entry.slot, entry.domain)?,
            marker: marker(source, &entry.slot, entry.volume)?,
            slot: Arc::from(entry.slot),
            endpoints: entry.endpoints.0,
            running: entry.running,
            incarnation: entry.incarnation,
        });
    }
    let mut vacant = Vec::with_capacity(answer.vacant.len());
    for entry in answer.vacant {
        unique.admit(&entry.slot, &entry.endpoints.0)?;
        vacant.push(VacantSlot {
            domain: domain(source, &entry.slot, entry.domain)?,
            marker: marker(source, &entry.slot, entry.volume)?,
            slot: Arc::from(entry.slot),
            endpoints: entry.endpoints.0,
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

fn domain(source: &Source, slot: &str, said: Option<String>) -> Result<Told<String>, String> {
    match said {
        None => Ok(Told::gap(Gap::NotScraped, "the list command does not tell the failure domain")),
        Some(domain) => {
            text("domain", slot, &domain)?;
            if domain.split('/').any(str::is_empty) {
                return Err(format!("slot {slot}: domain has an empty part"));
            }
            Ok(source.tells(domain))
        }
    }
}

fn marker(source: &Source, slot: &str, said: Option<Option<Volume>>) -> Result<Told<Marker>, String> {
    let volume = match said {
        None => {
            return Ok(Told::gap(Gap::NotScraped, "the list command does not tell what is on the volume"));
        }
        Some(None) => Volume { fingerprint: String::new(), member_id: String::new(), tombstoned: false },
        Some(Some(volume)) => volume,
    };
    text("volume.fingerprint", slot, &volume.fingerprint)?;
    text("volume.memberId", slot, &volume.member_id)?;
    Ok(source.tells(Marker {
        fingerprint: volume.fingerprint,
        member_id: volume.member_id,
        tombstoned: volume.tombstoned,
    }))
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
        assert!(matches!(&listing.vacant[0].domain, Told::Gap { reason: Gap::NotScraped, .. }));
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
