//! Reads a saved snapshot from outside. What is wrong with it is reported by its key and in plain words, by the very
//! schema that `plimsoll schema snapshot` prints.

mod form;

use form::Form;
use plimsoll_wire::Snapshot;
use serde_json::{Number, Value};
use std::sync::LazyLock;

/// What a snapshot may hold.
static FORM: LazyLock<Form> = LazyLock::new(|| Form::new(schemars::schema_for!(Snapshot).to_value()));
/// More than this at once nobody mends.
const SHOWN: usize = 8;

/// A snapshot from a document, or everything that does not fit, each with its key.
pub(super) fn read(mut document: Value) -> Result<Snapshot, String> {
    restore(&mut document);
    let misfits = FORM.misfits(&document);
    let strange = misfits.iter().any(form::Misfit::is_unknown_key);
    match serde_json::from_value(document) {
        Ok(snapshot) if !strange => Ok(snapshot),
        // What is read all the same, such as `Pods` for members, is no mistake.
        Ok(_) => Err(listed(misfits.iter().filter(|misfit| misfit.is_unknown_key()))),
        Err(error) if misfits.is_empty() => Err(error.to_string()),
        Err(_) => Err(listed(misfits.iter())),
    }
}

fn listed<'a>(misfits: impl Iterator<Item = &'a form::Misfit>) -> String {
    let mut lines: Vec<String> = misfits.map(ToString::to_string).collect();
    let more = lines.len().saturating_sub(SHOWN);
    lines.truncate(SHOWN);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("{}{more}", lines.join("; "))
}

/// Whole numbers that a tool has written as fractions, as `jq` does beyond 2^53, are whole numbers again; the largest is the
/// largest that a snapshot has.
fn restore(value: &mut Value) {
    match value {
        Value::Number(number) => {
            // 2^53 and 2^64: below every whole number is written as one, above there is none.
            let large = number
                .as_f64()
                .filter(|float| (9_007_199_254_740_992.0..=1.844_674_407_370_955_2e19).contains(float));
            if let Some(float) = large.filter(|_| !number.is_u64()) {
                *number = Number::from(float as u64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(restore),
        Value::Object(fields) => fields.values_mut().for_each(restore),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Value {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/five-healthy.json");
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
    }

    fn changed(pointer: &str, value: Value) -> String {
        let mut document = good();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = document.pointer_mut(parent).and_then(Value::as_object_mut).unwrap();
        parent.insert(key.to_owned(), value);
        read(document).err().unwrap_or_default()
    }

    #[test]
    fn what_is_wrong_is_told_by_its_key_and_in_plain_words() {
        for (pointer, value, expected) in [
            ("/target/mode", "dry-run".into(), "target.mode: `dry-run` is none of off, dryrun, enforce"),
            (
                "/target/bounds/members/min",
                "3".into(),
                "target.bounds.members.min: `3` is text where a whole number belongs",
            ),
            (
                "/target/bounds/members/min",
                1.5.into(),
                "target.bounds.members.min: `1.5` is a fraction where a whole number belongs",
            ),
            (
                "/sizes/members/value",
                (1_u64 << 40).into(),
                "sizes.members.value: `1099511627776` is not between 0 and 4294967295",
            ),
            (
                "/target/bounds/members/minn",
                3.into(),
                "target.bounds.members.minn: is not a known key (did you mean `min`?)",
            ),
            (
                "/members/value/0/alive/value",
                "yes".into(),
                "members.value[0].alive.value: `yes` is text where true or false belongs",
            ),
            (
                "/members/value/0/alive/state",
                "sure".into(),
                "members.value[0].alive.state: `sure` is none of known, unknown, not-applicable",
            ),
            (
                "/members/value/0/alive/ageMS",
                1.into(),
                "members.value[0].alive.ageMS: is not a known key (did you mean `ageMs`?)",
            ),
            ("/members/value", 3.into(), "members.value: `3` is a number where a list belongs"),
            ("/sizes", Value::Null, "sizes: is empty where a map belongs"),
            ("/target", serde_json::json!({}), "target.key: is missing; target.system: is missing"),
        ] {
            let said = changed(pointer, value);
            assert!(said.contains(expected), "{pointer}: {said}");
        }
    }

    #[test]
    fn a_good_snapshot_is_read_and_so_is_one_that_went_through_jq() {
        let snapshot = read(good()).unwrap();
        let text = serde_json::to_string(&snapshot).unwrap();
        let jq = text.replace("18446744073709551615", "18446744073709552000");
        assert_ne!(text, jq, "the file has the number that jq cannot keep");
        assert_eq!(read(serde_json::from_str(&jq).unwrap()).unwrap(), snapshot);
    }
}
