//! Where members run: slots in failure domains that boot, run, crash and are stopped.
//!
//! It is as dumb as a real platform: it starts and stops what it is told to, and knows nothing of data.

use crate::rng::Rng;
use plimsoll_core::observation::{PlatformReport, Slot, Source, VacantSlot};
use plimsoll_core::workload::room_of_places;
use plimsoll_wire::fact::Authority;
use plimsoll_wire::snapshot::{Endpoints, Generation, Marker};
use std::sync::Arc;

/// What becomes of the volume of a member that was stopped for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Volumes {
    /// The platform sets it aside, and the slot starts blank next time.
    #[default]
    SetAside,
    /// It stays in the slot, with the old member's data on it.
    Keep,
    /// It stays until the debt `volume` is paid, which sets it aside.
    Owed,
}

/// How a platform is made.
#[derive(Clone, Debug)]
pub struct PlatformSetup {
    /// How many slots there are; members beyond them cannot be started.
    pub slots: usize,
    /// How many of them run at the start.
    pub running: usize,
    /// Over how many failure domains the slots are spread, in turn.
    pub domains: usize,
    /// The least time from start to running, in milliseconds.
    pub boot_ms: u64,
    /// How much longer it may take, in milliseconds.
    pub boot_spread_ms: u64,
    /// What becomes of volumes.
    pub volumes: Volumes,
}

impl Default for PlatformSetup {
    fn default() -> Self {
        Self {
            slots: 9,
            running: 3,
            domains: 3,
            boot_ms: 15_000,
            boot_spread_ms: 45_000,
            volumes: Volumes::SetAside,
        }
    }
}

/// All slots.
#[derive(Clone, Debug)]
pub struct Platform {
    places: Vec<Place>,
    setup: PlatformSetup,
    fingerprint: String,
    generation: u64,
    boot_rng: Rng,
}

/// One slot.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) name: Arc<str>,
    domain: String,
    pub(crate) state: State,
    incarnation: u64,
    pub(crate) up_since_ms: u64,
    pub(crate) volume: Option<Volume>,
}

/// What lies in a slot's volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Volume {
    pub(crate) member: Arc<str>,
    pub(crate) removed: bool,
}

/// Whether something runs in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Vacant,
    Booting {
        until_ms: u64,
    },
    Running,
    /// Crashed; comes back by itself, or never.
    Down {
        until_ms: Option<u64>,
    },
}

impl Platform {
    pub(crate) fn new(setup: PlatformSetup, seed: u64, fingerprint: &str) -> Self {
        let places = (0..setup.slots).map(|at| Place {
            name: format!("db-{at}").into(),
            domain: format!("zone-{}", at % setup.domains.max(1)),
            state: if at < setup.running { State::Running } else { State::Vacant },
            incarnation: 1,
            up_since_ms: 0,
            volume: None,
        });
        Self {
            places: places.collect(),
            fingerprint: fingerprint.to_owned(),
            generation: 1,
            boot_rng: Rng::stream(seed, "boot"),
            setup,
        }
    }

    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }

    pub(crate) fn place_mut(&mut self, slot: usize) -> Option<&mut Place> {
        self.places.get_mut(slot)
    }

    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.places.iter().position(|place| &*place.name == name)
    }

    pub(crate) fn name(&self, slot: usize) -> Arc<str> {
        self.places.get(slot).map_or_else(|| Arc::from(""), |place| place.name.clone())
    }

    pub(crate) fn is_running(&self, slot: usize) -> bool {
        self.places.get(slot).is_some_and(|place| place.state == State::Running)
    }

    /// Members in use.
    pub(crate) fn size(&self) -> u32 {
        let used = self.places.iter().filter(|place| place.state != State::Vacant).count();
        u32::try_from(used).unwrap_or(u32::MAX)
    }

    pub(crate) fn domain(&self, slot: usize) -> &str {
        self.places.get(slot).map_or("", |place| &place.domain)
    }

    /// Starts what is in a slot; false when it was started before.
    pub(crate) fn start(&mut self, slot: usize, now_ms: u64) -> bool {
        let boot_ms = self.setup.boot_ms + self.boot_rng.below(self.setup.boot_spread_ms + 1);
        let Some(place) = self.places.get_mut(slot) else { return false };
        if place.state != State::Vacant {
            return false;
        }
        place.state = State::Booting { until_ms: now_ms + boot_ms };
        place.incarnation += 1;
        self.generation += 1;
        true
    }

    /// Stops what is in a slot, for good; false when nothing was.
    pub(crate) fn stop(&mut self, slot: usize) -> bool {
        let aside = self.setup.volumes == Volumes::SetAside;
        let Some(place) = self.places.get_mut(slot) else { return false };
        if place.state == State::Vacant {
            return false;
        }
        place.state = State::Vacant;
        if aside {
            place.volume = None;
        }
        self.generation += 1;
        true
    }

    /// Ends the process in a slot; it comes back at a time, or never.
    pub(crate) fn crash(&mut self, slot: usize, until_ms: Option<u64>) -> bool {
        let Some(place) = self.places.get_mut(slot) else { return false };
        if place.state != State::Running {
            return false;
        }
        place.state = State::Down { until_ms };
        true
    }

    /// Lets time pass; true when something came up.
    pub(crate) fn tick(&mut self, now_ms: u64) -> bool {
        let mut came_up = false;
        for place in &mut self.places {
            let due = match place.state {
                State::Booting { until_ms } | State::Down { until_ms: Some(until_ms) } => until_ms <= now_ms,
                State::Vacant | State::Running | State::Down { until_ms: None } => false,
            };
            if due {
                place.state = State::Running;
                place.up_since_ms = now_ms;
                came_up = true;
            }
        }
        came_up
    }

    /// Members for whose volumes something is owed.
    pub(crate) fn owed(&self) -> impl Iterator<Item = &Arc<str>> {
        let owed = self.setup.volumes == Volumes::Owed;
        self.places
            .iter()
            .filter(move |place| owed && place.state == State::Vacant)
            .filter_map(|place| Some(&place.volume.as_ref()?.member))
    }

    /// Sets the volume of a stopped member aside; false when there is none.
    pub(crate) fn set_aside(&mut self, member: &str) -> bool {
        let held = |place: &&mut Place| {
            place.state == State::Vacant
                && place.volume.as_ref().is_some_and(|volume| &*volume.member == member)
        };
        self.places.iter_mut().find(held).is_some_and(|place| place.volume.take().is_some())
    }

    /// What the platform says when asked.
    #[must_use]
    pub fn report(&self) -> PlatformReport {
        // The platform itself has been up since long before the run.
        let source = Source::new(Authority::Platform, "sim-platform", 7 * 86_400_000);
        let slots = self.places.iter().filter(|place| place.state != State::Vacant).map(|place| Slot {
            slot: place.name.clone(),
            endpoints: endpoints(&place.name),
            running: matches!(place.state, State::Running | State::Booting { .. }),
            incarnation: place.incarnation.to_string(),
            domain: source.tells(place.domain.clone()),
            marker: source.tells(self.marker(place)),
        });
        let vacant: Vec<VacantSlot> = self
            .places
            .iter()
            .filter(|place| place.state == State::Vacant)
            .map(|place| VacantSlot {
                slot: place.name.clone(),
                endpoints: endpoints(&place.name),
                domain: source.tells(place.domain.clone()),
                marker: source.tells(self.marker(place)),
            })
            .collect();
        PlatformReport {
            facts: [room_of_places(&source, vacant.len())].into(),
            slots: source.tells(slots.collect()),
            vacant: source.tells(vacant),
            generation: source.tells(Generation { spec: self.generation, observed: self.generation }),
            operations: source.tells(Vec::new()),
        }
    }

    fn marker(&self, place: &Place) -> Marker {
        match &place.volume {
            Some(volume) => Marker {
                fingerprint: self.fingerprint.clone(),
                member_id: volume.member.to_string(),
                tombstoned: volume.removed,
            },
            None => Marker { fingerprint: String::new(), member_id: String::new(), tombstoned: false },
        }
    }
}

/// Where the member of a slot is reached.
pub(crate) fn endpoints(slot: &str) -> Endpoints {
    [("client", 2379), ("peer", 2380)]
        .into_iter()
        .map(|(purpose, port)| (purpose.to_owned(), format!("http://{slot}.sim:{port}")))
        .collect()
}
