//! The wish from outside that a `StatefulAutoscaler` carries (`decisions.md` D24). Pure.

use super::managed::{OURS, owners};
use plimsoll_wire::status::OutsideWish;
use serde_json::{Value, json};

/// Where a size is wished: what `scale` reads and writes.
const FIELD: [&str; 2] = ["spec", "replicas"];

/// The size that somebody else than we wrote, where the object takes wishes. Our own value is the size that there was
/// when wishes were first taken, and no wish.
#[must_use]
pub fn wish(object: &Value) -> Option<OutsideWish> {
    let members = value(object)?.as_u64()?;
    let writers = owners(object, &FIELD);
    let writer = writers.iter().rev().find(|owner| owner.manager != OURS)?;
    Some(OutsideWish {
        members: u32::try_from(members).unwrap_or(u32::MAX),
        who: writer.manager.clone(),
        when: writer.when.clone(),
    })
}

/// Whether nothing stands where sizes are wished, so that a reader of `scale` gets no answer.
#[must_use]
pub fn is_blank(object: &Value) -> bool {
    object["spec"]["externalWish"] == true && value(object).is_none()
}

/// What is applied to fill that in: nothing else is claimed, and the server checks that it is this very object.
#[must_use]
pub fn seed(object: &Value, members: u32) -> Value {
    let metadata = &object["metadata"];
    json!({
        "apiVersion": object["apiVersion"],
        "kind": object["kind"],
        "metadata": { "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"] },
        "spec": { "replicas": members },
    })
}

fn value(object: &Value) -> Option<&Value> {
    let spec = object.get("spec").filter(|spec| spec["externalWish"] == true)?;
    spec.get("replicas").filter(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(replicas: Value, writers: &[(&str, &str)]) -> Value {
        let entry = |(manager, time): &(&str, &str)| json!({ "manager": manager, "time": time, "fieldsV1": { "f:spec": { "f:replicas": {} } } });
        json!({
            "apiVersion": "v", "kind": "k",
            "metadata": {
                "namespace": "n", "name": "a", "uid": "u",
                "managedFields": writers.iter().map(entry).collect::<Vec<_>>(),
            },
            "spec": { "externalWish": true, "replicas": replicas },
        })
    }

    #[test]
    fn a_wish_is_what_another_manager_wrote_last() {
        let wished =
            wish(&object(json!(5), &[("hpa", "2026-01-02T00:00:00Z"), ("flux", "2026-01-01T00:00:00Z")]));
        let expected =
            OutsideWish { members: 5, who: "hpa".to_owned(), when: "2026-01-02T00:00:00Z".to_owned() };
        assert_eq!(wished, Some(expected));
        assert_eq!(wish(&object(json!(5), &[(OURS, "2026-01-02T00:00:00Z")])), None);
        let shared =
            wish(&object(json!(5), &[(OURS, "2026-01-02T00:00:00Z"), ("flux", "2026-01-01T00:00:00Z")]));
        assert_eq!(shared.map(|wish| wish.who), Some("flux".to_owned()));
        // Nobody is known to wish it.
        assert_eq!(wish(&object(json!(5), &[])), None);
    }

    #[test]
    fn without_the_owners_word_a_size_is_no_wish_and_nothing_is_filled_in() {
        let mut closed = object(json!(5), &[("hpa", "")]);
        closed["spec"]["externalWish"] = json!(false);
        assert_eq!((wish(&closed), is_blank(&closed)), (None, false));
        closed["spec"]["replicas"] = Value::Null;
        assert!(!is_blank(&closed));
    }

    #[test]
    fn a_blank_is_filled_with_the_size_and_nothing_else() {
        let blank = object(Value::Null, &[]);
        assert!(is_blank(&blank) && !is_blank(&object(json!(3), &[])));
        let expected = json!({
            "apiVersion": "v", "kind": "k",
            "metadata": { "namespace": "n", "name": "a", "uid": "u" },
            "spec": { "replicas": 3 },
        });
        assert_eq!(seed(&blank, 3), expected);
    }
}
