use super::*;

#[test]
fn every_default_lies_within_its_bounds() {
    let mut safety = Safety::default();
    for limit in &LIMITS {
        let inside = match limit.kind {
            Kind::Wait(b) | Kind::Bytes(b) => (b.floor..=b.ceiling).contains((b.slot)(&mut safety)),
            Kind::Ratio(b) | Kind::Count(b) => (b.floor..=b.ceiling).contains((b.slot)(&mut safety)),
            Kind::Switch(_) | Kind::ProfileSwitch(_) | Kind::Names(_) => true,
        };
        assert!(inside, "{}", limit.key);
    }
}

/// A parameter that the wire type has and the table lacks could not be set.
#[test]
fn the_table_reaches_every_field_of_the_wire_type_once() {
    let fields = |safety: &Safety| match serde_json::to_value(safety) {
        Ok(serde_json::Value::Object(map)) => map,
        other => panic!("{other:?}"),
    };
    let default = fields(&Safety::default());
    let mut reached = std::collections::BTreeSet::new();
    for limit in &LIMITS {
        let mut safety = Safety::default();
        match limit.kind {
            Kind::Wait(b) | Kind::Bytes(b) => *(b.slot)(&mut safety) += 1,
            Kind::Ratio(b) | Kind::Count(b) => *(b.slot)(&mut safety) += 1,
            Kind::Switch(slot) => *slot(&mut safety) ^= true,
            Kind::ProfileSwitch(slot) => *slot(&mut safety) = Some(true),
            Kind::Names(slot) => slot(&mut safety).push("x".to_owned()),
        }
        let changed: Vec<_> =
            fields(&safety).into_iter().filter(|(key, value)| default[key] != *value).collect();
        assert_eq!(changed.len(), 1, "{}", limit.key);
        assert!(
            changed[0].0.starts_with(limit.key) || limit.key == "promote",
            "{}: {}",
            limit.key,
            changed[0].0
        );
        reached.insert(changed[0].0.clone());
    }
    assert_eq!(reached.len(), default.len());
}
