//! Which slot moves next: a pure choice that is the same for the same layout. Whoever asks again after a move gets the rest.
//!
//! Each shard that stays is to have the same number of slots. Redis does not tell what a slot weighs, and counting the keys of
//! 16384 slots costs more than an uneven slot does.

use super::nodes::SLOTS;
use std::collections::BTreeSet;

/// How far below its share a shard may be and still counts as filled, in thousandths: moving on for less is not worth it.
const TOLERANCE_PERMILLE: u64 = 20;

/// One shard, as far as the choice needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    /// Its master's id.
    pub(super) id: String,
    pub(super) slots: BTreeSet<u16>,
    /// Whether it is on its way out, or may not take slots for another reason.
    pub(super) closed: bool,
    /// How many bytes fit on each of its members.
    pub(super) free: u64,
    /// How many bytes each of its slots has, on average.
    pub(super) weight: u64,
}

/// A slot that is to move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) slot: u16,
    pub(super) from: String,
    pub(super) to: String,
}

/// All shards, in the order of their places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) shards: Vec<Shard>,
}

impl Layout {
    /// The number of slots that each shard has which stays, rounded down.
    fn share(&self) -> u64 {
        let stay = self.shards.iter().filter(|shard| !shard.closed).count() as u64;
        u64::from(SLOTS).checked_div(stay).unwrap_or(0)
    }

    /// How many slots are still to come to a shard.
    pub(super) fn due(&self, id: &str) -> u64 {
        let Some(shard) = self.shards.iter().find(|shard| shard.id == id && !shard.closed) else { return 0 };
        let (share, has) = (self.share(), shard.slots.len() as u64);
        let enough = share - share * TOLERANCE_PERMILLE / 1_000;
        if has < enough { share - has } else { 0 }
    }

    /// Whether a shard that stays has less than its share, however little.
    pub(super) fn is_poor(&self, id: &str) -> bool {
        let share = self.share();
        self.shards.iter().any(|shard| shard.id == id && !shard.closed && (shard.slots.len() as u64) < share)
    }

    /// The next slot to leave a shard; none where it has none left.
    ///
    /// # Errors
    /// When no shard that stays has room for it.
    pub(super) fn empties(&self, from: &str) -> Result<Option<Move>, String> {
        let Some(giver) = self.shards.iter().find(|shard| shard.id == from) else { return Ok(None) };
        let Some(slot) = giver.slots.first() else { return Ok(None) };
        let able = || {
            self.shards.iter().filter(|shard| !shard.closed && shard.id != from && shard.free >= giver.weight)
        };
        let (share, size) = (self.share(), |shard: &&Shard| shard.slots.len() as u64);
        // One after the other to its share, so that what is next to each other stays so: a thousand scattered slots make every
        // node's table and messages long.
        let poor = able().find(|shard| size(shard) < share);
        let taker = poor.or_else(|| able().min_by_key(size)).ok_or_else(|| {
            format!("no shard that stays has {} bytes of memory free for slot {slot}", giver.weight)
        })?;
        Ok(Some(Move { slot: *slot, from: from.to_owned(), to: taker.id.clone() }))
    }

    /// The next slot to come to one of these shards; none where all of them have their share.
    ///
    /// # Errors
    /// When the shard has no room for it.
    pub(super) fn fills(&self, onto: &BTreeSet<String>) -> Result<Option<Move>, String> {
        let share = self.share();
        let stays = || self.shards.iter().filter(|shard| !shard.closed);
        let poor = stays().filter(|shard| onto.contains(&shard.id) && (shard.slots.len() as u64) < share);
        let Some(taker) = poor.min_by_key(|shard| shard.slots.len()) else { return Ok(None) };
        // The last of the richest, so that the first shard keeps what it has longest.
        let Some(giver) = stays().max_by_key(|shard| shard.slots.len()) else { return Ok(None) };
        let Some(slot) = giver.slots.last().filter(|_| giver.slots.len() as u64 > share) else {
            return Ok(None);
        };
        if taker.free < giver.weight {
            return Err(format!("{} has no {} bytes of memory free for slot {slot}", taker.id, giver.weight));
        }
        Ok(Some(Move { slot: *slot, from: giver.id.clone(), to: taker.id.clone() }))
    }

    /// The layout once a slot has moved.
    pub(super) fn note(&mut self, slot: u16, to: &str) {
        let weight =
            self.shards.iter().find(|shard| shard.slots.contains(&slot)).map_or(0, |giver| giver.weight);
        for shard in &mut self.shards {
            let had = shard.slots.remove(&slot);
            if shard.id == to {
                shard.slots.insert(slot);
                shard.free = shard.free.saturating_sub(if had { 0 } else { weight });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shard(id: &str, slots: std::ops::Range<u16>) -> Shard {
        Shard { id: id.to_owned(), slots: slots.collect(), closed: false, free: u64::MAX, weight: 1 }
    }

    fn thirds() -> Layout {
        Layout { shards: vec![shard("a", 0..5461), shard("b", 5461..10_923), shard("c", 10_923..16_384)] }
    }

    fn only(id: &str) -> BTreeSet<String> {
        BTreeSet::from([id.to_owned()])
    }

    /// Moves until nothing is left to move; how many moves that took.
    fn run(layout: &mut Layout, next: impl Fn(&Layout) -> Result<Option<Move>, String>) -> usize {
        for moves in 0..=usize::from(SLOTS) {
            match next(layout).expect("room") {
                Some(step) => layout.note(step.slot, &step.to),
                None => return moves,
            }
        }
        panic!("it never ends");
    }

    fn sizes(layout: &Layout) -> Vec<usize> {
        layout.shards.iter().map(|shard| shard.slots.len()).collect()
    }

    #[test]
    fn a_new_shard_gets_its_share_and_nothing_else_moves() {
        let mut layout = thirds();
        layout.shards.push(shard("d", 0..0));
        assert_eq!(layout.due("d"), 4_096);
        assert_eq!(run(&mut layout, |layout| layout.fills(&only("d"))), 4_096);
        assert_eq!(sizes(&layout), [4_096; 4]);
        assert_eq!(["a", "b", "c", "d"].map(|id| layout.due(id)), [0; 4]);
    }

    #[test]
    fn a_shard_that_goes_leaves_the_others_even() {
        let mut layout = thirds();
        layout.shards.push(shard("d", 0..0));
        run(&mut layout, |layout| layout.fills(&only("d")));
        layout.shards[3].closed = true;
        assert_eq!(layout.due("d"), 0, "nothing is to come to one that goes");
        assert_eq!(run(&mut layout, |layout| layout.empties("d")), 4_096);
        let sizes = sizes(&layout);
        assert_eq!((sizes[3], sizes[..3].iter().sum::<usize>()), (0, usize::from(SLOTS)));
        assert!(sizes[..3].iter().all(|size| (5_461..=5_462).contains(size)), "{sizes:?}");
    }

    #[test]
    fn a_little_less_than_its_share_is_enough_for_a_shard() {
        let mut layout = thirds();
        for slot in 0..109 {
            layout.note(slot, "b");
        }
        assert_eq!(layout.due("a"), 0);
        layout.note(109, "b");
        assert_eq!(layout.due("a"), 110);
        assert_eq!(run(&mut layout, |layout| layout.fills(&only("a"))), 110);
    }

    #[test]
    fn a_shard_without_room_takes_nothing() {
        let mut layout = thirds();
        for taker in [1, 2] {
            layout.shards[taker].free = 2;
        }
        for _ in 0..4 {
            let step = layout.empties("a").expect("room").expect("slots");
            layout.note(step.slot, &step.to);
        }
        let refused = layout.empties("a").expect_err("no room is left");
        assert!(refused.contains("1 bytes of memory free for slot 4"), "{refused}");
        layout.shards.push(Shard { free: 0, ..shard("d", 0..0) });
        assert!(layout.fills(&only("d")).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Whatever the layout was: every slot has one owner at each moment, who gives never falls below the share, and nobody
        /// gets more than it.
        #[test]
        fn every_way_to_spread_keeps_all_slots_and_ends_even(
            cuts in prop::collection::btree_set(1_u16..SLOTS - 1, 2..6), newcomers in 1_usize..4,
        ) {
            let bounds: Vec<u16> = std::iter::once(0).chain(cuts).chain([SLOTS]).collect();
            let mut layout = Layout {
                shards: bounds.windows(2).enumerate().map(|(at, pair)| shard(&format!("s{at}"), pair[0]..pair[1])).collect(),
            };
            let onto: BTreeSet<String> = (0..newcomers).map(|at| format!("n{at}")).collect();
            layout.shards.extend(onto.iter().map(|id| shard(id, 0..0)));
            let share = usize::from(SLOTS) / layout.shards.len();
            run(&mut layout, |layout| {
                let step = layout.fills(&onto)?;
                if let Some(step) = &step {
                    let size = |id: &str| layout.shards.iter().find(|shard| shard.id == id).map(|shard| shard.slots.len());
                    assert!(size(&step.from) > Some(share) && size(&step.to) < Some(share));
                }
                Ok(step)
            });
            let all: BTreeSet<u16> = layout.shards.iter().flat_map(|shard| shard.slots.iter().copied()).collect();
            prop_assert_eq!(all.len(), usize::from(SLOTS));
            prop_assert_eq!(sizes(&layout).iter().sum::<usize>(), usize::from(SLOTS));
            for id in &onto {
                let has = layout.shards.iter().find(|shard| shard.id == *id).map(|shard| shard.slots.len());
                prop_assert_eq!(has, Some(share));
            }
        }
    }
}
