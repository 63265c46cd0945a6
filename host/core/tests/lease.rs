//! The lease against a server that is scripted here: several candidates with clocks of their own, calls that take time,
//! answers that are lost, writes that land late, people who delete and edit.
//!
//! What must hold is said without the lease's own words: from the moment at which one process begins to act, no other one
//! may still act, nor may a call of it that was sent at its last moment still be out.

use plimsoll_core::lease::{Action, Candidate, Heard, Holder, Record, Terms, elect};
use std::collections::BTreeMap;
use std::sync::Arc;

const TERMS: Terms = Terms { duration_ms: 30_000, renew_ms: 20_000, retry_ms: 4_000 };

/// The object behind a server that checks versions.
#[derive(Default)]
struct Server {
    record: Option<Record>,
    versions: u64,
}

impl Server {
    fn put(&mut self, holder: Holder) -> Record {
        self.versions += 1;
        let record =
            Record { version: Arc::from(self.versions.to_string()), holder, duration_ms: TERMS.duration_ms };
        self.record = Some(record.clone());
        record
    }

    fn carry_out(&mut self, action: &Action) -> Heard {
        match action {
            Action::Read => Heard::Read(self.record.clone()),
            Action::Create { holder } => match self.record {
                None => Heard::Written(self.put(holder.clone())),
                Some(_) => Heard::Refused,
            },
            Action::Replace { version, holder } => match &self.record {
                None => Heard::Gone,
                Some(record) if record.version == *version => Heard::Written(self.put(holder.clone())),
                Some(_) => Heard::Refused,
            },
            Action::Wait { .. } => Heard::Nothing,
        }
    }
}

/// One candidate that is asked by hand, whose calls are answered at once.
struct Alone {
    candidate: Candidate,
    server: Server,
    now_ms: u64,
}

impl Alone {
    fn new(name: &str) -> Self {
        Self { candidate: Candidate::new(name.into(), TERMS), server: Server::default(), now_ms: 1_000_000 }
    }

    /// Until it waits; says until when.
    fn settle(&mut self) -> u64 {
        let mut heard = Heard::Nothing;
        for _ in 0..10 {
            let action = elect(&mut self.candidate, self.now_ms, 0, heard);
            if let Action::Wait { until_ms } = action {
                return until_ms;
            }
            heard = self.server.carry_out(&action);
        }
        panic!("it asks without end: {:?}", self.candidate);
    }

    fn pass(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        loop {
            let until_ms = self.settle();
            if until_ms > end_ms {
                break;
            }
            self.now_ms = until_ms.max(self.now_ms + 1);
        }
        self.now_ms = end_ms;
    }

    fn leads(&self) -> bool {
        self.candidate.leads(self.now_ms)
    }
}

#[test]
fn the_first_daemon_makes_the_object_and_leads_when_it_has_stood_still() {
    let mut alone = Alone::new("a");
    alone.settle();
    assert_eq!(alone.server.record.as_ref().unwrap().holder, Holder::Nobody);
    alone.pass(29_999);
    assert!(!alone.leads());
    alone.pass(1);
    alone.settle();
    assert!(alone.leads());
    alone.pass(3_600_000);
    assert!(alone.leads());
    // Renewed at its pace, not faster.
    assert!((900..=910).contains(&alone.server.versions), "{}", alone.server.versions);
}

#[test]
fn a_lease_that_was_given_back_is_taken_at_once_and_one_without_a_holder_is_not() {
    for (holder, ms) in [(Holder::Released, 0), (Holder::Nobody, 30_000)] {
        let mut alone = Alone::new("a");
        alone.server.put(holder);
        alone.settle();
        assert_eq!(alone.leads(), ms == 0);
        alone.pass(ms);
        alone.settle();
        assert!(alone.leads());
    }
}

#[test]
fn a_holder_that_asks_for_longer_than_we_do_is_given_it_up_to_a_bound() {
    for (asked_ms, waits_ms) in [(5_000, 30_000), (60_000, 60_000), (u64::MAX, 600_000)] {
        let mut alone = Alone::new("a");
        alone.server.put(Holder::Process("b".into()));
        alone.server.record.as_mut().unwrap().duration_ms = asked_ms;
        alone.pass(waits_ms - 1);
        assert!(!alone.leads(), "{asked_ms}");
        alone.pass(1);
        alone.settle();
        assert!(alone.leads(), "{asked_ms}");
    }
}

#[test]
fn a_holder_that_renews_is_never_outwaited() {
    let mut alone = Alone::new("a");
    for _ in 0..100 {
        alone.server.put(Holder::Process("b".into()));
        alone.pass(25_000);
        assert!(!alone.leads());
    }
    assert_eq!(alone.server.versions, 100);
}

#[test]
fn a_process_of_the_same_name_as_the_holder_leads_only_by_a_write_of_its_own() {
    let mut alone = Alone::new("a");
    alone.server.put(Holder::Process("a".into()));
    let action = elect(&mut alone.candidate, alone.now_ms, 0, Heard::Nothing);
    assert_eq!(action, Action::Read);
    let heard = alone.server.carry_out(&action);
    let action = elect(&mut alone.candidate, alone.now_ms, 0, heard);
    assert!(matches!(action, Action::Replace { .. }), "{action:?}");
    assert!(!alone.leads());
}

#[test]
fn a_holder_whose_writes_are_not_answered_stops_at_the_renew_deadline_counted_from_before_its_last_write() {
    let mut alone = Alone::new("a");
    alone.server.put(Holder::Released);
    alone.settle();
    let last_ms = alone.now_ms;
    let mut heard = Heard::Nothing;
    while alone.now_ms < last_ms + 19_999 {
        match elect(&mut alone.candidate, alone.now_ms, 0, heard) {
            Action::Wait { until_ms } => {
                alone.now_ms = until_ms.min(last_ms + 19_999);
                heard = Heard::Nothing;
            }
            Action::Read | Action::Create { .. } | Action::Replace { .. } => {
                alone.now_ms = (alone.now_ms + 2_000).min(last_ms + 19_999);
                heard = Heard::Unanswered;
            }
        }
        assert!(alone.leads());
    }
    alone.now_ms += 1;
    assert!(!alone.leads());
    // Back on the network, with nobody else there: what is still ours is taken back by a new write.
    let _ = elect(&mut alone.candidate, alone.now_ms, 0, heard);
    alone.now_ms += 5_000;
    alone.candidate = Candidate::new("a".into(), TERMS);
    alone.settle();
    assert!(alone.leads());
}

#[test]
fn a_conflict_ends_the_leadership_at_once() {
    let mut alone = Alone::new("a");
    alone.server.put(Holder::Released);
    alone.settle();
    assert!(alone.leads());
    alone.server.put(Holder::Process("b".into()));
    alone.now_ms += 4_000;
    let action = elect(&mut alone.candidate, alone.now_ms, 0, Heard::Nothing);
    assert!(matches!(action, Action::Replace { .. }));
    let action = elect(&mut alone.candidate, alone.now_ms, 0, Heard::Refused);
    assert!(!alone.leads());
    assert!(matches!(action, Action::Wait { .. }), "{action:?}");
    alone.pass(10_000);
    assert_eq!(alone.candidate.holder(), Some(&Holder::Process("b".into())));
}

#[test]
fn a_holder_makes_a_deleted_object_again_and_goes_on() {
    let mut alone = Alone::new("a");
    alone.server.put(Holder::Released);
    alone.settle();
    alone.server.record = None;
    alone.pass(5_000);
    assert!(alone.leads());
    assert_eq!(alone.server.record.as_ref().unwrap().holder, Holder::Process("a".into()));
}

#[test]
fn a_holder_that_leaves_gives_back_and_wants_nothing_any_more() {
    let mut alone = Alone::new("a");
    alone.server.put(Holder::Released);
    alone.settle();
    assert!(alone.leads());
    alone.candidate.leave();
    assert!(!alone.leads() && !alone.candidate.has_left());
    assert_eq!(alone.settle(), u64::MAX);
    assert!(alone.candidate.has_left());
    assert_eq!(alone.server.record.as_ref().unwrap().holder, Holder::Released);
    alone.now_ms += 100_000;
    assert_eq!(alone.settle(), u64::MAX);
    // One that did not lead leaves everything as it is.
    let mut other = Alone::new("b");
    other.server.put(Holder::Process("a".into()));
    other.settle();
    other.candidate.leave();
    other.settle();
    assert!(other.candidate.has_left());
    assert_eq!(other.server.record.as_ref().unwrap().holder, Holder::Process("a".into()));
}

#[test]
fn a_server_that_refuses_everything_is_not_flooded() {
    let mut candidate = Candidate::new("a".into(), TERMS);
    let (mut now_ms, mut calls, mut heard) = (0_u64, 0, Heard::Nothing);
    while now_ms < 100_000 {
        heard = match elect(&mut candidate, now_ms, 0, heard) {
            Action::Wait { until_ms } => {
                now_ms = until_ms;
                Heard::Nothing
            }
            Action::Read => Heard::Read(None),
            Action::Create { .. } => Heard::Refused,
            Action::Replace { .. } => Heard::Gone,
        };
        calls += 1;
    }
    assert!(calls < 400, "{calls}");
}

/// Any numbers, from a seed.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn is(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A process that may lead, in a world of its own clock.
struct Process {
    name: Arc<str>,
    candidate: Candidate,
    /// Its clock is ahead of the world's by so much.
    ahead_ms: u64,
    /// When it does something next, in the world's time.
    at_ms: u64,
    heard: Heard,
    /// It is stopped until then, as if it were not there.
    frozen_ms: u64,
}

/// What happens to the object in the world's time: a write that is on its way.
struct Late {
    action: Action,
}

#[derive(Default)]
struct Truth {
    /// Until when each process acts, and a call that it sent then may be out, in the world's time.
    out_until_ms: BTreeMap<Arc<str>, u64>,
    elections: u64,
}

impl Truth {
    /// A process acts at this moment.
    fn acts(&mut self, name: &Arc<str>, now_ms: u64, seed: u64) {
        for (other, until_ms) in &self.out_until_ms {
            assert!(
                other == name || *until_ms <= now_ms,
                "seed {seed}: {name} acts at {now_ms}, and a call of {other} may be out until {until_ms}"
            );
        }
        let margin_ms = TERMS.duration_ms - TERMS.renew_ms;
        if !self.out_until_ms.contains_key(name) {
            self.elections += 1;
        }
        self.out_until_ms.insert(name.clone(), now_ms + margin_ms);
    }
}

fn run(seed: u64) -> (u64, u64) {
    let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut server = Server::default();
    let mut truth = Truth::default();
    let mut late: BTreeMap<(u64, u64), Late> = BTreeMap::new();
    let (mut lead_ms, mut births) = (0, 0);
    let mut processes: Vec<Process> = (0..3).map(|_| born(&mut births, &mut chance, 0)).collect();
    // The second half is without faults: somebody has to lead then.
    let (end_ms, calm_ms) = (1_200_000, 600_000);
    let mut now_ms = 0;
    while now_ms < end_ms {
        let faults = now_ms < calm_ms;
        while let Some(entry) = late.first_entry().filter(|entry| entry.key().0 <= now_ms) {
            let _ = server.carry_out(&entry.remove().action);
        }
        if faults && chance.is(1) && chance.is(10) {
            server.record = None;
        }
        if faults && chance.is(1) && chance.is(20) {
            // Somebody edits: another version, the same holder, or none.
            if let Some(record) = server.record.clone() {
                server.put(if chance.is(50) { record.holder } else { Holder::Nobody });
            }
        }
        for process in &mut processes {
            if process.frozen_ms > now_ms {
                continue;
            }
            let own_ms = now_ms + process.ahead_ms;
            // It acts whenever it may, which is asked at that very moment.
            if process.candidate.leads(own_ms) {
                truth.acts(&process.name, now_ms, seed);
                lead_ms += u64::from(!faults) * 100;
            }
            if faults && chance.is(1) && chance.is(10) {
                process.frozen_ms = now_ms + chance.below(60_000);
                continue;
            }
            if faults && chance.is(1) && chance.is(5) {
                *process = born(&mut births, &mut chance, now_ms);
                continue;
            }
            if process.at_ms > now_ms {
                continue;
            }
            let heard = std::mem::replace(&mut process.heard, Heard::Nothing);
            let action = elect(&mut process.candidate, own_ms, chance.next(), heard);
            if let Action::Wait { until_ms } = action {
                process.at_ms = until_ms.saturating_sub(process.ahead_ms);
                continue;
            }
            let takes_ms = if faults { 100 * chance.below(60) } else { 100 };
            process.at_ms = now_ms + takes_ms;
            process.heard = match chance.below(100) {
                // It never gets there.
                0..8 if faults => Heard::Unanswered,
                // It gets there, and nobody hears of it.
                8..16 if faults => {
                    let _ = server.carry_out(&action);
                    Heard::Unanswered
                }
                // It gets there long after it was given up.
                16..24 if faults => {
                    let at_ms = now_ms + 100 * chance.below(400);
                    late.insert((at_ms, chance.next()), Late { action });
                    Heard::Unanswered
                }
                _ => server.carry_out(&action),
            };
        }
        now_ms += 100;
    }
    (truth.elections, lead_ms)
}

fn born(births: &mut u64, chance: &mut Chance, now_ms: u64) -> Process {
    *births += 1;
    let name: Arc<str> = Arc::from(format!("p{births}"));
    Process {
        candidate: Candidate::new(name.clone(), TERMS),
        name,
        ahead_ms: chance.below(1_000_000_000),
        at_ms: now_ms + 100 * chance.below(50),
        heard: Heard::Nothing,
        frozen_ms: 0,
    }
}

#[test]
fn no_two_processes_act_whatever_happens_to_them_and_somebody_leads_when_it_is_over() {
    let (mut elections, seeds) = (0, 300);
    for seed in 1..=seeds {
        let (began, lead_ms) = run(seed);
        elections += began;
        // Ten minutes of calm, of which the lease's duration may pass without a leader, and a little.
        assert!(lead_ms >= 500_000, "seed {seed}: somebody led for {lead_ms} ms of the calm half only");
    }
    println!("{elections} processes came to lead in {seeds} seeds of 20 minutes");
    assert!(elections > seeds, "the leadership never changes hands: the worlds are too kind");
}
