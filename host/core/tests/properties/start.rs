//! What the properties start from: saved snapshots with the change that is about to happen in them. The snapshots of
//! `tests/scenarios/base`, and every scenario, so that each rule is near.

use crate::worse::places;
use plimsoll_core::change::Change;
use plimsoll_core::judge::{Judged, judge};
use plimsoll_wire::journal::{Join, PlanState, PlatformVerb, SystemVerb, Verb};
use plimsoll_wire::profile::Profile;
use plimsoll_wire::record::{Judgement, Wisher};
use plimsoll_wire::snapshot::Snapshot;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Arc, LazyLock};

/// A saved snapshot, and the change that is about to happen in it, if there is one.
pub(crate) struct Start {
    pub(crate) name: String,
    pub(crate) value: Value,
    /// Places of all known facts.
    pub(crate) facts: Vec<String>,
    pub(crate) profile: Arc<Profile>,
    own: Option<Own>,
}

#[derive(Clone)]
enum Own {
    Effect { verb: Verb, undoing: bool },
    Resize { to: u32, rests_on: Option<Vec<String>> },
}

/// How many of [`STARTS`] are plain snapshots, in which nothing is wrong.
pub(crate) const WELL: usize = 8;

pub(crate) static STARTS: LazyLock<Vec<Start>> = LazyLock::new(|| {
    let stop = |slot: &str, member: &str, size_after| {
        Verb::Platform(PlatformVerb::Stop { slot: slot.into(), member: member.into(), size_after })
    };
    let contacts = ["http://db-0.sim:2380", "http://db-1.sim:2380"].map(str::to_owned).to_vec();
    let join = Some(Join { existing: true, contacts, payload: Value::Null });
    let well: [(&str, Option<Verb>); WELL] = [
        ("quorum-at-rest", None),
        (
            "quorum-before-start",
            Some(Verb::Platform(PlatformVerb::Start { slot: "db-3".into(), size_after: 4, join })),
        ),
        ("quorum-before-promote", Some(Verb::System(SystemVerb::Promote { member: "m-0004".into() }))),
        ("quorum-before-deregister", Some(Verb::System(SystemVerb::Deregister { member: "m-0004".into() }))),
        ("quorum-before-stop", Some(stop("db-3", "m-0004", 4))),
        ("sharded-at-rest", None),
        ("shards-at-rest", None),
        ("sharded-before-stop", Some(stop("db-5", "n-0006", 5))),
    ];
    let well = well.into_iter().map(|(name, own)| {
        let value = read(&format!("base/{name}.json"));
        let own = own.map(|verb| Own::Effect { verb, undoing: false });
        start(name.to_owned(), value, own)
    });
    let names = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.to_str().unwrap().to_owned());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".json")).collect();
    names.sort();
    well.chain(names.into_iter().map(|name| scenario(&name))).collect()
});

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/scenarios"))
}

fn read(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder().join(name)).unwrap()).unwrap()
}

fn start(name: String, value: Value, own: Option<Own>) -> Start {
    let mut facts = Vec::new();
    places(&value, "", &mut facts);
    let profile = parse(&value).profile;
    Start { name, value, facts, profile, own }
}

/// A scenario's snapshot with its patches, and its change.
fn scenario(name: &str) -> Start {
    let told = read(name);
    let mut value = read(&format!("base/{}.json", told["base"].as_str().unwrap()));
    for patch in told["patches"].as_array().into_iter().flatten() {
        let (parent, last) = patch["at"].as_str().unwrap().rsplit_once('/').unwrap();
        match value.pointer_mut(parent).unwrap() {
            Value::Array(items) if last == "-" => items.push(patch["to"].clone()),
            Value::Array(items) => items[last.parse::<usize>().unwrap()] = patch["to"].clone(),
            Value::Object(fields) => {
                fields.insert(last.to_owned(), patch["to"].clone());
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => panic!("{name}: a leaf"),
        }
    }
    let (effect, resize) = (&told["change"]["effect"], &told["change"]["resize"]);
    let own = if effect.is_null() {
        let to = u32::try_from(resize["to"].as_u64().unwrap()).unwrap();
        Own::Resize { to, rests_on: serde_json::from_value(resize["restsOn"].clone()).unwrap() }
    } else {
        let verb = serde_json::from_value(effect["verb"].clone()).unwrap();
        Own::Effect { verb, undoing: effect["undoing"] == json!(true) }
    };
    start(name.trim_end_matches(".json").to_owned(), value, Some(own))
}

/// A start, and either its own change or another size.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) start: usize,
    pub(crate) resize: Option<u32>,
    pub(crate) named: bool,
}

/// As often from a snapshot in which nothing is wrong as from a scenario.
pub(crate) fn asked() -> impl Strategy<Value = Asked> {
    let size = prop_oneof![8 => 0..12_u32, 1 => any::<u32>()];
    let start = prop_oneof![0..WELL, WELL..STARTS.len()];
    (start, proptest::option::of(size), any::<bool>()).prop_map(|(start, resize, named)| Asked {
        start,
        resize,
        named,
    })
}

impl Asked {
    pub(crate) fn start(&self) -> &'static Start {
        &STARTS[self.start]
    }

    pub(crate) fn change(&self, snapshot: &Snapshot) -> Change {
        let rests_on = self.named.then(|| vec!["demand".to_owned()]);
        let plain = |to, rests_on: Option<Vec<String>>| {
            let by = rests_on.as_ref().map_or(Wisher::Person, |_| Wisher::Policy("load".to_owned()));
            Change::Wish { to, by, rests_on }
        };
        match (&self.start().own, self.resize, &snapshot.plan) {
            (_, Some(to), _) => plain(to, rests_on),
            (Some(Own::Effect { verb, undoing }), None, Some(plan)) => effect(plan, verb, *undoing),
            (Some(Own::Resize { to, rests_on }), None, _) => plain(*to, rests_on.clone()),
            (Some(Own::Effect { .. }) | None, None, _) => plain(3, rests_on),
        }
    }

    pub(crate) fn judged(&self, snapshot: &Snapshot) -> Judgement {
        verdict(&self.change(snapshot), snapshot)
    }
}

fn effect(plan: &PlanState, verb: &Verb, undoing: bool) -> Change {
    let subject = plan.subject.clone().unwrap();
    Change::Effect { plan: Box::new(plan.clone()), subject, verb: verb.clone(), undoing }
}

pub(crate) fn parse(value: &Value) -> Snapshot {
    serde_json::from_value(value.clone()).unwrap()
}

pub(crate) fn verdict(change: &Change, snapshot: &Snapshot) -> Judgement {
    match judge(change, snapshot, true) {
        Judged::Verdict(judgement) => judgement,
        Judged::NeedFacts => panic!("the facts are direct"),
    }
}
