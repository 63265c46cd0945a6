//! What the policy wishes, and when it says that it cannot know.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use plimsoll_policy_queue_lag::QueueLag;
use plimsoll_policy_sdk::build::{known, snapshot, unknown};
use plimsoll_policy_sdk::lag::{CONSUMER_LAG, ConsumerLag};
use plimsoll_policy_sdk::snapshot::SignalState;
use plimsoll_policy_sdk::{Gap, Policy, Proposal, Snapshot};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A queue, its consumers, and the policy that watches them.
struct Queue {
    size: u32,
    partitions: u32,
    /// Records a second that each consumer can handle.
    each: u64,
    written: u64,
    committed: u64,
    now_ms: u32,
    state: Option<String>,
    settings: Value,
}

impl Queue {
    fn new(size: u32, each: u64) -> Self {
        let settings = json!({"group": "billing", "catchUp": "5m"});
        Self { size, partitions: 24, each, written: 0, committed: 0, now_ms: 0, state: None, settings }
    }

    /// Half a minute in which so many records a second arrive.
    fn passes(&mut self, arriving: u64) {
        self.now_ms += 30_000;
        self.written += arriving * 30;
        let working = u64::from(self.size.min(self.partitions));
        self.committed = self.written.min(self.committed + self.each * working * 30);
    }

    fn seen(&self) -> Snapshot {
        let own = ConsumerLag {
            group: "billing".into(),
            topic: "orders".into(),
            partitions: self.partitions,
            written: self.written,
            committed: self.committed,
        };
        let other = ConsumerLag { group: "audit".into(), committed: 0, written: 1 << 50, ..own.clone() };
        let mut seen = snapshot()
            .members(self.size)
            .bounds(1, 100)
            .settings(self.settings.clone())
            .state(self.state.clone())
            .later_ms(self.now_ms)
            .build();
        seen.facts
            .insert(CONSUMER_LAG.into(), known(json!({"groups": [own, other], "leftOut": 0, "unknown": 0})));
        seen
    }

    fn asked(&mut self) -> Proposal {
        let proposal = QueueLag::evaluate(&self.seen()).unwrap();
        self.state.clone_from(&proposal.state);
        proposal
    }

    /// So many half minutes, each with a wish that is carried out at once. The longest delay of a record, in seconds.
    fn follows(&mut self, halves: u32, arriving: u64) -> f64 {
        let mut longest = 0.0_f64;
        for _ in 0..halves {
            self.passes(arriving);
            self.size = self.asked().sizes.members.unwrap_or(self.size);
            longest = longest.max((self.written - self.committed) as f64 / arriving as f64);
        }
        longest
    }
}

#[test]
fn a_rate_needs_two_looks_and_until_then_nothing_changes() {
    let mut queue = Queue::new(4, 100);
    queue.passes(1_000);
    let first = queue.asked();
    assert_eq!((first.sizes.members, &*first.reason.code), (None, "RateUnknown"));
    queue.passes(1_000);
    let second = queue.asked();
    // 1000 a second arrive; 36 000 wait, which is another 120 a second for five minutes; each handles 100.
    assert!(second.reason.message.contains("asks for 12, there are 4"), "{}", second.reason.message);
    assert_eq!(second.sizes.members, Some(8), "as fast as `behavior` lets it grow");
}

#[test]
fn a_queue_in_which_nothing_ever_waited_shrinks_nothing() {
    let mut queue = Queue::new(4, 100);
    for _ in 0..4 {
        queue.passes(100);
        let proposal = queue.asked();
        assert_eq!(proposal.sizes.members, None, "{}", proposal.reason.message);
    }
    assert_eq!(queue.asked().reason.code, "CapacityUnknown");
    queue.settings = json!({"group": "billing", "perMember": 100});
    let mut members = 4;
    for _ in 0..200 {
        queue.passes(100);
        members = queue.asked().sizes.members.unwrap();
    }
    assert_eq!(members, 2, "one handles it, but only just: the wish goes down at the pace of `behavior`");
}

#[test]
fn it_follows_a_day_with_a_peak_and_keeps_the_time_to_catch_up() {
    let mut queue = Queue::new(3, 100);
    queue.follows(20, 500);
    assert!((6..=8).contains(&queue.size), "{}", queue.size);
    let longest = queue.follows(40, 1_500);
    assert!(longest < 120.0, "{longest} s");
    assert_eq!(queue.written - queue.committed, 0, "it has caught up");
    queue.follows(600, 300);
    assert!((3..=5).contains(&queue.size), "{} when it is quiet again", queue.size);
}

#[test]
fn a_group_that_stands_still_while_it_is_rebalanced_teaches_nothing() {
    let mut queue = Queue::new(5, 100);
    queue.follows(20, 450);
    let before = queue.size;
    queue.now_ms += 30_000;
    queue.written += 450 * 30;
    let during = queue.asked();
    let asked = during.sizes.members.unwrap_or(before);
    assert!(asked <= before + 1, "{before} and then {asked}: {}", during.reason.message);
    queue.size = asked;
    queue.follows(40, 450);
    assert!((5..=6).contains(&queue.size), "{}", queue.size);
}

#[test]
fn more_consumers_than_partitions_are_never_asked_for_but_brokers_are() {
    let mut queue = Queue::new(4, 100);
    queue.partitions = 6;
    queue.passes(2_000);
    queue.asked();
    queue.passes(2_000);
    let proposal = queue.asked();
    assert_eq!(proposal.sizes.members, Some(6), "{}", proposal.reason.message);
    assert!(proposal.reason.message.contains("more than 6 consumers have no partition"));
    queue.settings = json!({"group": "billing", "membersAre": "brokers"});
    queue.passes(2_000);
    assert!(queue.asked().sizes.members.unwrap() > 6);
}

#[test]
fn offsets_that_go_back_begin_anew() {
    let mut queue = Queue::new(4, 100);
    queue.follows(5, 300);
    (queue.written, queue.committed) = (10, 10);
    queue.now_ms += 30_000;
    assert_eq!(queue.asked().reason.code, "RateUnknown");
}

#[test]
fn what_is_not_known_is_refused_with_the_word_for_it() {
    let queue = Queue::new(4, 100);
    let code = |change: &dyn Fn(&mut Snapshot)| {
        let mut seen = queue.seen();
        change(&mut seen);
        QueueLag::evaluate(&seen).unwrap_err().reason.code
    };
    // No word on the settings: `plimsoll check` asks about a cluster of which nothing else is known.
    assert_eq!(code(&|seen| seen.facts.clear()), "MetricsUnavailable");
    assert_eq!(
        code(&|seen| drop(seen.facts.insert(CONSUMER_LAG.into(), unknown(Gap::Error)))),
        "MetricsUnavailable"
    );
    assert_eq!(
        code(&|seen| drop(seen.facts.insert(CONSUMER_LAG.into(), known(json!({"groups": [{"group": 3}]}))))),
        "InvalidMetrics"
    );
    assert_eq!(code(&|seen| seen.target.settings = json!({"group": "nobody"})), "NoMetrics");
    assert_eq!(code(&|seen| seen.target.settings = json!({"group": "billing", "lag": "x"})), "BadSettings");
    assert_eq!(code(&|seen| seen.target.settings = json!({"perMember": 0})), "BadSettings");
    let one_unknown = json!({"groups": [], "leftOut": 0, "unknown": 1});
    assert_eq!(
        code(&|seen| drop(seen.facts.insert(CONSUMER_LAG.into(), known(one_unknown.clone())))),
        "MetricsUnavailable"
    );
    let mut old = queue.seen();
    let Some(plimsoll_policy_sdk::Fact::Known(fact)) = old.facts.get_mut(CONSUMER_LAG) else { panic!() };
    fact.age_ms = 60_001;
    assert_eq!(QueueLag::evaluate(&old).unwrap_err().reason.code, "StaleMetrics");
}

#[test]
fn signals_do_as_well_and_partial_ones_only_let_the_target_grow() {
    let settings = json!({"lag": "lag", "arriving": "in", "perMember": 100, "catchUp": "5m"});
    let seen = snapshot().members(4).bounds(1, 100).settings(settings);
    let seen = seen.signal("lag", [0.0, 3_000.0]).signal("in", [1_000.0, 1_000.0]);
    let proposal = QueueLag::evaluate(&seen.clone().build()).unwrap();
    assert_eq!(
        proposal.sizes.members,
        Some(8),
        "four more or twice as many at once: {}",
        proposal.reason.message
    );
    assert_eq!(proposal.signals, ["lag", "in"]);
    let quiet = seen.clone().members(40).signal_in_state("lag", SignalState::Partial, Vec::new()).build();
    assert!(QueueLag::evaluate(&quiet).is_err());
}

proptest! {
    #[test]
    fn more_that_waits_never_asks_for_fewer_and_the_state_stays_small(
        size in 1_u32..40,
        each in 1_u64..10_000,
        arriving in 0_u64..100_000,
        waits in 0_u64..1_000_000_000,
        more in 0_u64..1_000_000_000,
        rounds in 2_u32..80,
    ) {
        let ask = |waits: u64| {
            let mut queue = Queue::new(size, each);
            queue.settings = json!({"group": "billing", "perMember": each});
            queue.written = waits;
            for _ in 0..rounds {
                queue.now_ms += 30_000;
                queue.written += arriving * 30;
                queue.committed += arriving * 30;
                let proposal = queue.asked();
                prop_assert!(proposal.state.unwrap().len() < 4_096);
            }
            Ok(queue.asked().sizes.members.unwrap())
        };
        prop_assert!(ask(waits)? <= ask(waits.saturating_add(more))?);
    }

    #[test]
    fn whatever_state_it_is_handed_it_answers(state in ".{0,200}", size in 0_u32..9) {
        let mut queue = Queue::new(size, 100);
        queue.state = Some(state);
        queue.passes(100);
        drop(QueueLag::evaluate(&queue.seen()));
    }
}
