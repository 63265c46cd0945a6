//! Answers of brokers, for tests of what is made of them.

use super::lag::Offsets;
use super::reading::{Dirs, Key, Mark, Own, Partition, Quorum, Registered, Topic};
use super::survey::{Answer, Broker, Survey, Whole};
use plimsoll_core::observation::{PlatformReport, Slot, Source};
use plimsoll_wire::fact::Authority;
use plimsoll_wire::snapshot::Endpoints;
use std::collections::BTreeMap;
use std::time::Duration;

/// The name of partitions in tests.
pub(super) fn key(topic: &str, number: i32) -> Key {
    (topic.into(), number)
}

/// A cluster at rest: brokers 1 to `many` in places `k1` and on, each copy of a hundred bytes.
pub(super) fn survey(many: i32, partitions: &[(&str, i32, &[i32])]) -> Survey {
    let all: BTreeMap<Key, Partition> = partitions
        .iter()
        .map(|(topic, number, replicas)| {
            let partition = Partition {
                replicas: replicas.to_vec(),
                isr: replicas.to_vec(),
                leader: replicas.first().copied(),
                internal: topic.starts_with("__"),
            };
            (key(topic, *number), partition)
        })
        .collect();
    let registered: Vec<Registered> = (1..=many)
        .map(|id| Registered { id, address: format!("10.0.0.{id}:9092"), rack: None, fenced: false })
        .collect();
    let answers = (1..=many).map(|id| {
        let held = all.iter().filter(|(_, partition)| partition.replicas.contains(&id));
        let dirs = Dirs {
            copies: held.map(|(key, _)| (key.clone(), 100)).collect(),
            disk: Some((1_000_000, 1_000)),
        };
        Answer {
            place: format!("k{id}").into(),
            endpoints: Endpoints::from([("client".to_owned(), format!("10.0.0.{id}:9092"))]),
            up: Duration::from_secs(600),
            reading: Ok(Broker {
                own: Own { id, cordoned_dirs: Some(String::new()), ..Own::default() },
                cluster: "cluster-1".to_owned(),
                registered: registered.clone(),
                partitions: all.clone(),
                dirs: Ok(dirs),
            }),
        }
    });
    let topics = all.keys().map(|(topic, _)| (topic.clone(), Topic { min_isr: 2, ..Topic::default() }));
    let quorum = Quorum { leader: 100, epoch: 3, voters: BTreeMap::from([(100, 0)]) };
    let whole = Whole { speaker: 1, topics: topics.collect(), quorum, moving: BTreeMap::new() };
    Survey { answers: answers.collect(), whole: Ok(whole), offsets: Ok(Offsets::default()) }
}

/// Where the platform runs all of them.
pub(super) fn platform(survey: &Survey) -> PlatformReport {
    let source = Source::new(Authority::Platform, "test", 0);
    let slots = survey.answers.iter().map(|answer| Slot {
        slot: answer.place.clone(),
        endpoints: answer.endpoints.clone(),
        running: true,
        incarnation: "one".to_owned(),
        domain: source.tells(String::new()),
        marker: plimsoll_core::observation::Reading::default(),
    });
    PlatformReport { slots: source.tells(slots.collect()), ..PlatformReport::default() }
}

/// What one broker says.
pub(super) fn broker(survey: &mut Survey, id: i32) -> &mut Broker {
    let all = survey.answers.iter_mut().filter_map(|answer| answer.reading.as_mut().ok());
    all.into_iter().find(|broker| broker.own.id == id).expect("a broker that answers")
}

/// What is the same whoever is asked.
pub(super) fn whole(survey: &mut Survey) -> &mut Whole {
    survey.whole.as_mut().expect("it was told")
}

/// A mark that all brokers show.
pub(super) fn mark(survey: &mut Survey, word: &str, id: i32) {
    for broker in survey.answers.iter_mut().filter_map(|answer| answer.reading.as_mut().ok()) {
        broker.own.marks.insert(Mark::new(word, Some(id), "plan-1"));
    }
}

/// A broker that does not answer any more; the controllers know that, or do not yet.
pub(super) fn silence(survey: &mut Survey, id: i32, fenced: bool) {
    for answer in &mut survey.answers {
        let Ok(broker) = &mut answer.reading else { continue };
        for row in broker.registered.iter_mut().filter(|row| row.id == id) {
            row.fenced = fenced;
        }
        if broker.own.id == id {
            answer.reading = Err("connection refused".to_owned());
        }
    }
}
