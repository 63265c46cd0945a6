//! A cluster for unit tests, as its nodes would answer.

use super::nodes::{Node, Open, Slots, View, Way};
use super::reading::{Answers, Memory, Settings, Side};
use super::survey::{Answer, Survey};
use plimsoll_core::observation::{PlatformReport, Reading, Slot, Source};
use plimsoll_wire::fact::Authority;
use std::collections::BTreeMap;

/// The id of the node in a place.
pub(super) fn id(place: u16) -> String {
    format!("{place:040x}")
}

/// Nodes in places `p1`, `p2`, ...: what each of them answers, to be changed by a test.
pub(super) struct Fixture {
    pub(super) survey: Survey,
    places: u16,
}

/// Three masters with one replica each, every replica in the place after its master's.
pub(super) fn three_shards() -> Fixture {
    let slots = [Some((0, 5_460)), None, Some((5_461, 10_922)), None, Some((10_923, 16_383)), None];
    let mut nodes = BTreeMap::new();
    for (place, slots) in (1_u16..).zip(slots) {
        let master = slots.is_none().then(|| id(place - 1));
        nodes.insert(id(place), node(place, master, slots));
    }
    let answers = (1..=6).map(|place| answer(place, nodes.clone())).collect();
    Fixture { survey: Survey { answers }, places: 6 }
}

pub(super) fn node(place: u16, master: Option<String>, slots: Option<(u16, u16)>) -> Node {
    Node {
        host: "127.0.0.1".to_owned(),
        port: 7_000 + place,
        bus: 17_000 + place,
        master,
        failed: false,
        epoch: u64::from(place),
        slots: Slots::of(slots),
    }
}

fn answer(place: u16, nodes: BTreeMap<String, Node>) -> Answer {
    let owner = nodes.get(&id(place)).is_some_and(|node| node.master.is_none());
    let side = if owner {
        Side::Master { offset: 1_000, online: 1 }
    } else {
        Side::Replica { linked: true, offset: 1_000 }
    };
    let view = View { me: id(place), nodes, handshakes: 0, open: Vec::new() };
    let answers = Answers {
        id: id(place),
        version: "7.0.15".to_owned(),
        up_ms: 1_000_000 - u64::from(place),
        loading: false,
        view,
        ok: true,
        side,
        keys: 100,
        memory: Memory { used: 2_000_000, data: 1_000_000, most: 1_000_000_000 },
        settings: Settings { persistent: true, migrates: true, barrier: 1, min_replicas: 0 },
    };
    let address = format!("127.0.0.1:{}", 7_000 + place);
    let endpoints = [("client".to_owned(), address.clone()), ("peer".to_owned(), address)].into();
    Answer { place: format!("p{place}").into(), endpoints, reading: Ok(answers) }
}

impl Fixture {
    /// What the node in a place answers.
    pub(super) fn of(&mut self, place: u16) -> &mut Answers {
        let answer = self.survey.answers.iter_mut().find(|answer| *answer.place == *format!("p{place}"));
        answer.and_then(|answer| answer.reading.as_mut().ok()).expect("a node that answers")
    }

    /// Every node's view of the node in a place.
    pub(super) fn all_of(&mut self, place: u16, change: impl Fn(&mut Node)) {
        for answer in &mut self.survey.answers {
            if let Ok(answers) = &mut answer.reading
                && let Some(node) = answers.view.nodes.get_mut(&id(place))
            {
                change(node);
            }
        }
    }

    /// The node in a place does not answer.
    pub(super) fn silence(&mut self, place: u16) {
        for answer in &mut self.survey.answers {
            if *answer.place == *format!("p{place}") {
                answer.reading = Err("no connection in time".to_owned());
            }
        }
    }

    /// One more node that knows nobody, in the next place.
    pub(super) fn add_fresh(&mut self) -> u16 {
        self.places += 1;
        let alone = BTreeMap::from([(id(self.places), node(self.places, None, None))]);
        self.survey.answers.push(answer(self.places, alone));
        self.of(self.places).keys = 0;
        self.places
    }

    /// One more member that everybody knows, without slots.
    pub(super) fn add_member(&mut self) -> u16 {
        let place = self.add_fresh();
        let mut nodes = self.of(1).view.nodes.clone();
        nodes.insert(id(place), node(place, None, None));
        for answer in &mut self.survey.answers {
            if let Ok(answers) = &mut answer.reading {
                answers.view.nodes = nodes.clone();
            }
        }
        place
    }

    /// All nodes forget the one in a place; its own view stays as it was.
    pub(super) fn forget(&mut self, place: u16) {
        for answer in &mut self.survey.answers {
            if let Ok(answers) = &mut answer.reading
                && answers.id != id(place)
            {
                answers.view.nodes.remove(&id(place));
            }
        }
    }

    /// A slot on its way, as one or both of its ends tell.
    pub(super) fn open(&mut self, slot: u16, from: Option<u16>, to: Option<u16>, ends: (u16, u16)) {
        let (giver, taker) = ends;
        if let Some(place) = from {
            self.of(place).view.open.push(Open { slot, way: Way::To(id(taker)) });
        }
        if let Some(place) = to {
            self.of(place).view.open.push(Open { slot, way: Way::From(id(giver)) });
        }
    }

    /// What the platform says of it.
    pub(super) fn platform(&self) -> PlatformReport {
        let source = Source::new(Authority::Platform, "test", 0);
        let slots = self.survey.answers.iter().map(|answer| Slot {
            slot: answer.place.clone(),
            endpoints: answer.endpoints.clone(),
            running: true,
            incarnation: "1".to_owned(),
            domain: source.tells("a".to_owned()),
            marker: Reading::default(),
        });
        PlatformReport { slots: source.tells(slots.collect()), ..PlatformReport::default() }
    }
}
