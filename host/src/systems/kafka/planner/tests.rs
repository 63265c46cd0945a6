use super::*;
use proptest::prelude::*;

fn broker(rack: Option<&str>) -> Broker {
    Broker { rack: rack.map(Arc::from), is_open: true, room: u64::MAX }
}

fn part(topic: &str, number: i32, replicas: &[i32], bytes: u64) -> Part {
    Part { key: (topic.into(), number), replicas: replicas.to_vec(), bytes }
}

fn racks(layout: &Layout, replicas: &[i32]) -> usize {
    Plan::new(layout).racks(replicas)
}

fn apply(layout: &Layout, moves: &[Move]) -> Layout {
    let mut after = layout.clone();
    for travels in moves {
        let part = after.parts.iter_mut().find(|part| part.key == travels.key).expect("a partition");
        part.replicas.clone_from(&travels.replicas);
    }
    after
}

fn copies(layout: &Layout, id: i32) -> usize {
    layout.parts.iter().filter(|part| part.replicas.contains(&id)).count()
}

fn leads(layout: &Layout, id: i32) -> usize {
    layout.parts.iter().filter(|part| part.replicas.first() == Some(&id)).count()
}

/// Twelve partitions of three copies on brokers 1 to 3, in a ring.
fn ring() -> Layout {
    let brokers = (1..=3).map(|id| (id, broker(None))).collect();
    let part = |number: i32| {
        let at = |shift: i32| (number + shift) % 3 + 1;
        part("orders", number, &[at(0), at(1), at(2)], 1_000)
    };
    Layout { brokers, parts: (0..12).map(part).collect() }
}

#[test]
fn a_broker_that_comes_gets_an_even_share_of_copies_and_of_leaders() {
    let mut layout = ring();
    layout.brokers.insert(4, broker(None));
    let onto = BTreeSet::from([4]);
    assert_eq!(due(&layout, &onto), BTreeMap::from([(4, 9)]));
    let moves = spread(&layout, &onto, 1_000);
    let after = apply(&layout, &moves);
    assert_eq!([1, 2, 3, 4].map(|id| copies(&after, id)), [9, 9, 9, 9]);
    assert_eq!([1, 2, 3, 4].map(|id| leads(&after, id)), [3, 3, 3, 3]);
    assert_eq!(moves.iter().map(|travels| travels.bytes).sum::<u64>(), 9_000, "no byte more than has to");
    assert_eq!(due(&after, &onto), BTreeMap::from([(4, 0)]));
    assert_eq!(spread(&after, &onto, 1_000), []);
}

#[test]
fn it_comes_out_the_same_in_batches() {
    let mut layout = ring();
    layout.brokers.insert(4, broker(None));
    let onto = BTreeSet::from([4]);
    for _ in 0..5 {
        let moves = spread(&layout, &onto, 2);
        assert!(moves.len() <= 2);
        layout = apply(&layout, &moves);
    }
    assert_eq!([1, 2, 3, 4].map(|id| copies(&layout, id)), [9, 9, 9, 9]);
}

#[test]
fn a_broker_that_goes_leaves_its_copies_where_there_is_least() {
    let mut layout = ring();
    layout.brokers.insert(4, broker(None));
    let layout = apply(&layout, &spread(&layout, &BTreeSet::from([4]), 1_000));
    let moves = drain(&layout, &BTreeSet::from([4])).expect("it can go");
    let after = apply(&layout, &moves);
    assert_eq!([1, 2, 3, 4].map(|id| copies(&after, id)), [12, 12, 12, 0]);
    let led = [1, 2, 3].map(|id| leads(&after, id));
    assert!(led.iter().all(|led| (3..=5).contains(led)), "{led:?}");
    assert_eq!(moves.iter().map(|travels| travels.bytes).sum::<u64>(), 9_000);
}

#[test]
fn fewer_brokers_than_copies_are_refused_by_name() {
    let why = drain(&ring(), &BTreeSet::from([2])).expect_err("three copies on two brokers");
    assert_eq!(why, "orders-0 has 3 copies: fewer brokers would be left than it needs");
}

#[test]
fn racks_are_kept_or_the_drain_is_refused() {
    let racked = |ids: &[(i32, &str)]| ids.iter().map(|(id, rack)| (*id, broker(Some(rack)))).collect();
    let parts = vec![part("a", 0, &[1, 2], 10), part("a", 1, &[2, 3], 10)];
    let layout = Layout { brokers: racked(&[(1, "x"), (2, "y"), (3, "x"), (4, "y")]), parts };
    let moves = drain(&layout, &BTreeSet::from([2])).expect("4 is in the same rack");
    assert_eq!(moves.iter().map(|one| one.replicas.contains(&4)).collect::<Vec<_>>(), [true, true]);
    let lone = Layout { brokers: racked(&[(1, "x"), (2, "y"), (3, "x")]), ..layout };
    let why = drain(&lone, &BTreeSet::from([2])).expect_err("nobody else is in y");
    assert!(why.contains("spread over 2 racks") && why.contains("share a rack"), "{why}");
}

#[test]
fn two_in_one_rack_share_what_racks_leave_to_them() {
    let mut layout = ring();
    for (id, rack) in [(1, "x"), (2, "y"), (3, "z"), (4, "x")] {
        layout.brokers.insert(id, broker(Some(rack)));
    }
    let after = apply(&layout, &spread(&layout, &BTreeSet::from([4]), 1_000));
    assert_eq!([1, 2, 3, 4].map(|id| copies(&after, id)), [6, 12, 12, 6]);
    assert_eq!(due(&after, &BTreeSet::from([4])), BTreeMap::from([(4, 0)]));
}

#[test]
fn a_full_or_closed_broker_is_given_nothing() {
    let mut layout = ring();
    layout.brokers.insert(4, Broker { room: 999, ..broker(None) });
    layout.brokers.insert(5, Broker { is_open: false, ..broker(None) });
    let why = drain(&layout, &BTreeSet::from([1])).expect_err("a thousand bytes do not fit into 999");
    assert!(why.contains("no broker has room for the 1000 bytes of orders-0"), "{why}");
    assert_eq!(due(&layout, &BTreeSet::from([4, 5])), BTreeMap::from([(4, 0), (5, 0)]));
    layout.brokers.insert(4, Broker { room: 3_500, ..broker(None) });
    assert_eq!(spread(&layout, &BTreeSet::from([4]), 1_000).len(), 3, "as much as there is room for");
}

#[test]
fn leadership_goes_to_a_copy_that_was_there_before() {
    let mut layout = ring();
    layout.brokers.insert(4, broker(None));
    for travels in drain(&layout, &BTreeSet::from([1])).expect("4 takes all") {
        let first = travels.replicas.first().expect("copies");
        assert!(travels.before.contains(first), "{travels:?}");
    }
}

#[test]
fn a_batch_has_one_move_at_least_and_no_more_than_fits() {
    let one = |number: i32, bytes: u64| Move {
        key: ("a".into(), number),
        before: vec![1],
        replicas: vec![2],
        bytes,
    };
    let moves = vec![one(0, 900), one(1, 50), one(2, 50), one(3, 1)];
    let sizes = |most_bytes, most| batch(moves.clone(), most_bytes, most).len();
    assert_eq!([sizes(10, 10), sizes(950, 10), sizes(1_000, 10), sizes(10_000, 2)], [1, 2, 3, 2]);
    assert_eq!(batch(Vec::new(), 10, 10), []);
}

/// Brokers in up to three racks, and partitions with up to three copies on them.
fn any_layout() -> impl Strategy<Value = Layout> {
    (2_usize..8, 0_usize..3).prop_flat_map(|(many, racks)| {
        let rack = move |id: usize| (racks > 0).then(|| Arc::from(["x", "y", "z"][id % (racks + 1)]));
        let brokers: BTreeMap<i32, Broker> = (0..many)
            .map(|id| {
                (i32::try_from(id).unwrap_or(0), Broker { rack: rack(id), is_open: true, room: u64::MAX })
            })
            .collect();
        let ids: Vec<i32> = brokers.keys().copied().collect();
        let any =
            (proptest::sample::subsequence(ids, 1..=many.min(3)).prop_shuffle(), 0_u64..1_000_000, 0_i32..4);
        proptest::collection::vec(any, 0..40).prop_map(move |parts| {
            let parts = parts.into_iter().zip(0..).map(|((replicas, bytes, topic), number)| {
                part(&format!("t{topic}"), number, &replicas, bytes)
            });
            Layout { brokers: brokers.clone(), parts: parts.collect() }
        })
    })
}

/// What must hold of every move.
fn is_sound(layout: &Layout, moves: &[Move]) -> Result<(), TestCaseError> {
    let mut seen = BTreeSet::new();
    for travels in moves {
        prop_assert!(seen.insert(travels.key.clone()), "moved twice");
        let unique: BTreeSet<_> = travels.replicas.iter().collect();
        prop_assert_eq!(unique.len(), travels.replicas.len(), "two copies on one broker");
        prop_assert_eq!(travels.replicas.len(), travels.before.len(), "as many copies as before");
        prop_assert!(racks(layout, &travels.replicas) >= racks(layout, &travels.before), "as many racks");
        prop_assert!(travels.replicas.iter().all(|id| layout.brokers.contains_key(id)));
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_drain_takes_everything_off_and_breaks_no_rule(layout in any_layout(), goes in 0_i32..8) {
        let leaving = BTreeSet::from([goes]);
        let Ok(moves) = drain(&layout, &leaving) else { return Ok(()) };
        is_sound(&layout, &moves)?;
        let after = apply(&layout, &moves);
        prop_assert_eq!(copies(&after, goes), 0);
        // Nobody but the one that goes gives anything away.
        for travels in &moves {
            let gone: Vec<_> = travels.before.iter().filter(|id| !travels.replicas.contains(id)).collect();
            prop_assert_eq!(gone, vec![&goes]);
        }
        prop_assert_eq!(drain(&layout, &leaving), Ok(moves), "the same again");
    }

    #[test]
    fn a_spread_only_fills_those_that_came_and_comes_to_an_end(layout in any_layout(), rack in 0_usize..3) {
        let mut layout = layout;
        let rack = layout.brokers.values().any(|one| one.rack.is_some()).then(|| Arc::from(["x", "y", "z"][rack]));
        layout.brokers.insert(99, Broker { rack, is_open: true, room: u64::MAX });
        let onto = BTreeSet::from([99]);
        let share = layout.parts.iter().map(|part| part.replicas.len()).sum::<usize>() / layout.brokers.len();
        for _ in 0..200 {
            let moves = spread(&layout, &onto, 3);
            is_sound(&layout, &moves)?;
            prop_assert_eq!(moves.is_empty(), due(&layout, &onto) == BTreeMap::from([(99, 0)]));
            for travels in &moves {
                prop_assert_eq!(travels.adding().collect::<Vec<_>>(), vec![99]);
            }
            layout = apply(&layout, &moves);
            prop_assert!(copies(&layout, 99) <= share);
            if moves.is_empty() {
                return Ok(());
            }
        }
        prop_assert!(false, "it goes on for ever");
    }
}
