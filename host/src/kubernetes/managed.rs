//! Finds out who wrote a field of an object, from the API server's `managedFields`. Pure.

use serde_json::Value;

/// The name under which the daemon writes with server-side apply.
pub const OURS: &str = "plimsoll";

/// Somebody who owns a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The writer's own name for itself; not proven by anything but the right to write.
    pub manager: String,
    /// Through which subresource; empty for the object itself.
    pub subresource: String,
    /// When it last wrote one of its fields, in RFC 3339; empty when the server does not tell.
    pub when: String,
}

/// The owners of a field, by its path: the last writer comes last.
#[must_use]
pub fn owners(object: &Value, path: &[&str]) -> Vec<Owner> {
    let owns = |entry: &&Value| {
        let mut place = &entry["fieldsV1"];
        path.iter().all(|part| {
            place = &place[format!("f:{part}")];
            place.is_object()
        })
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let owner = |entry: &Value| Owner {
        manager: text(&entry["manager"]),
        subresource: text(&entry["subresource"]),
        when: text(&entry["time"]),
    };
    let entries = object["metadata"]["managedFields"].as_array().map_or(&[][..], Vec::as_slice);
    let mut found: Vec<Owner> = entries.iter().filter(owns).map(owner).collect();
    // Of one length and zone: the order of the text is that of time.
    found.sort_by(|one, other| (&one.when, &one.manager).cmp(&(&other.when, &other.manager)));
    found
}

/// Who wrote an annotation, for people; "somebody" where the server does not tell.
#[must_use]
pub fn annotator(object: &Value, annotation: &str) -> String {
    let owners = owners(object, &["metadata", "annotations", annotation]);
    owners.last().map_or_else(|| "somebody".to_owned(), |owner| owner.manager.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn owners_of_a_field_are_found_by_its_path_and_the_last_comes_last() {
        let entry = |manager: &str, subresource: &str, time: &str, fields: Value| json!({ "manager": manager, "operation": "Update", "subresource": subresource, "time": time, "fieldsV1": fields });
        let replicas = || json!({ "f:spec": { "f:replicas": {}, "f:mode": {} } });
        let annotation =
            json!({ "f:metadata": { "f:annotations": { ".": {}, "f:plimsoll.dev/approve": {} } } });
        let object = json!({ "metadata": { "managedFields": [
            entry("kubectl", "scale", "2026-01-02T00:00:00Z", replicas()),
            entry("flux", "", "2026-01-01T00:00:00Z", replicas()),
            entry("other", "", "2026-01-03T00:00:00Z", json!({ "f:spec": { "f:mode": {} } })),
            entry("ann", "", "", annotation),
        ] } });
        let found = owners(&object, &["spec", "replicas"]);
        let shown: Vec<_> = found.iter().map(|owner| (&*owner.manager, &*owner.subresource)).collect();
        assert_eq!(shown, [("flux", ""), ("kubectl", "scale")]);
        assert_eq!(annotator(&object, "plimsoll.dev/approve"), "ann");
        assert_eq!(annotator(&object, "plimsoll.dev/cancel"), "somebody");
        assert_eq!(owners(&json!({}), &["spec"]), Vec::new());
    }
}
