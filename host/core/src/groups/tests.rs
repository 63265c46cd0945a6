use super::*;
use plimsoll_wire::fact::Known;

fn known<T>(value: T) -> Fact<T> {
    Fact::Known(Known {
        value,
        authority: Authority::Leader,
        age_ms: 10,
        observer: "n-1".into(),
        observer_up_ms: 900_000,
        epoch: "7".into(),
        stable_ms: 60_000,
        reads: 4,
    })
}

fn copy(member: &str, state: PlacementState) -> Placement {
    Placement { member: member.into(), weight: 1, state, lag: known(0), progress_permille: known(1_000) }
}

fn group(id: &str, members: &[&str]) -> Group {
    Group {
        id: id.into(),
        count: NonZeroU32::MIN,
        kind: GroupKind::Data,
        model: GroupModel::AckSet,
        target_copies: known(3),
        min_ack: known(2),
        placements: known(members.iter().map(|member| copy(member, PlacementState::InSync)).collect()),
        leader: known(members[0].into()),
        config_version: known(1),
        in_joint_config: Fact::NotApplicable,
        open: known(false),
    }
}

fn degraded(id: &str, members: &[&str]) -> Group {
    let mut group = group(id, members);
    let Fact::Known(copies) = &mut group.placements else { panic!("known") };
    copies.value[2].state = PlacementState::CatchingUp;
    group
}

fn folded(groups: Vec<Group>) -> Folded {
    on(groups, &[])
}

/// The groups of members that are all alive.
fn on(groups: Vec<Group>, members: &[Member]) -> Folded {
    let safety = Safety::default();
    fold(groups, &Folding { safety: &safety, busy: BTreeSet::new(), members })
}

fn living(count: usize) -> Vec<Member> {
    let saved = include_str!("../../../../tests/scenarios/base/sharded-at-rest.json");
    let snapshot: Snapshot = serde_json::from_str(saved).unwrap();
    let member = snapshot.members.value().unwrap()[0].clone();
    (0..count).map(|at| Member { id: known(Arc::from(format!("n-{at}"))), ..member.clone() }).collect()
}

/// How many groups there are in rows and in none.
fn all_told(folded: &Folded) -> u32 {
    folded.left_out + folded.covered + folded.rows.iter().map(|row| row.count.get()).sum::<u32>()
}

#[test]
fn ten_thousand_groups_of_twelve_kinds_are_twelve_rows_each_named_by_its_first() {
    let members: Vec<String> = (0..12).map(|at| format!("n-{at}")).collect();
    let on = |at: usize| [0, 1, 2].map(|by| &*members[(at + by) % 12]);
    let groups: Vec<Group> = (0..10_000).map(|at| group(&format!("p-{at:05}"), &on(at))).collect();
    let straight = folded(groups.clone());
    assert_eq!((straight.rows.len(), straight.left_out, all_told(&straight)), (12, 0, 10_000));
    let (first, last) = (&straight.rows[0], &straight.rows[11]);
    assert_eq!((&*first.id, first.count.get(), &*last.id), ("p-00000", 834, "p-00011"));
    assert_eq!(called(first), "group p-00000 (and 833 alike)");
    let turned = groups.into_iter().rev().collect();
    assert_eq!(folded(turned), straight, "in any order");
}

#[test]
fn what_differs_among_groups_that_are_alike_is_told_as_the_worst() {
    let (one, mut other) = (group("a", &["x", "y", "z"]), group("b", &["x", "y", "z"]));
    let Fact::Known(copies) = &mut other.placements else { panic!("known") };
    (copies.age_ms, copies.stable_ms, copies.reads) = (20, 5, 1);
    copies.value[1].lag = known(77);
    copies.value[1].progress_permille = known(990);
    let rows = folded(vec![other, one]).rows;
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    let placements = row.placements.known().unwrap();
    assert_eq!((&*row.id, row.count.get()), ("a", 2));
    assert_eq!((placements.age_ms, placements.stable_ms, placements.reads), (20, 5, 1));
    assert_eq!(placements.value[1].lag.value(), Some(&77));
    assert_eq!(placements.value[1].progress_permille.value(), Some(&990));
}

#[test]
fn groups_that_a_rule_can_tell_apart_are_rows_of_their_own() {
    let plain = || group("a", &["x", "y", "z"]);
    let other = |change: &dyn Fn(&mut Group)| {
        let mut group = group("b", &["x", "y", "z"]);
        change(&mut group);
        folded(vec![plain(), group]).rows.len()
    };
    let old = |fact: &mut Fact<Arc<str>>| {
        let Fact::Known(known) = fact else { panic!("known") };
        known.age_ms = Safety::default().max_age_ms + 1;
    };
    assert_eq!(other(&|_| {}), 1);
    assert_eq!(other(&|group| group.leader = known("y".into())), 2, "another leads");
    assert_eq!(other(&|group| old(&mut group.leader)), 2, "what is old is not known");
    assert_eq!(other(&|group| group.leader = Fact::unknown(Gap::Error, "")), 2);
    assert_eq!(other(&|group| group.open = known(true)), 2);
    assert_eq!(other(&|group| group.model = GroupModel::AsyncPrimary), 2);
    assert_eq!(other(&|group| group.id = "a".into()), 2, "named twice");
}

#[test]
fn odd_groups_keep_their_names_up_to_a_bound_and_none_is_left_out_for_being_odd() {
    let odd = (0..1_000).map(|at| degraded(&format!("p-{at:04}"), &["x", "y", "z"]));
    let whole = (1_000..2_000).map(|at| group(&format!("p-{at:04}"), &["x", "y", "z"]));
    let folded = folded(odd.chain(whole).collect());
    assert_eq!((folded.rows.len(), folded.left_out, all_told(&folded)), (MOST_APART + 2, 0, 2_000));
    let single = folded.rows.iter().take(MOST_APART).all(|row| row.count == NonZeroU32::MIN);
    assert!(single, "each of the first is named");
    let row = &folded.rows[MOST_APART];
    assert_eq!((&*row.id, row.count.get()), ("p-0064", 936));
}

#[test]
fn what_has_no_room_is_counted_and_the_control_group_always_has_room() {
    let names: Vec<String> = (0..1_000).map(|at| format!("n-{at}")).collect();
    let on = |at: usize| [0, 1, 2].map(|by| &*names[(at + by) % 1_000]);
    let mut groups: Vec<Group> = (0..1_000).map(|at| group(&format!("p-{at:03}"), &on(at))).collect();
    groups.push(Group { kind: GroupKind::Control, ..group("zzz", &on(0)) });
    let folded = folded(groups);
    assert_eq!((folded.rows.len(), all_told(&folded)), (MOST_ROWS, 1_001));
    assert_eq!(&*folded.rows.last().unwrap().id, "zzz");
}

/// Ten thousand groups of three, each on members of its own choice: far more kinds than rows.
fn scattered(members: &[Member]) -> Vec<Group> {
    let name = |at: usize| &**members[at % members.len()].id.value().unwrap();
    let of = |at: usize| {
        let first = at * 7 + at / 30;
        [name(first), name(first + 1 + at % 5), name(first + 7 + at % 11)]
    };
    (0..10_000).map(|at| group(&format!("p-{at:05}"), &of(at))).collect()
}

#[test]
fn with_random_placement_every_member_has_a_row_in_which_it_leads_and_one_in_which_it_follows() {
    let members = living(30);
    let folded = on(scattered(&members), &members);
    assert_eq!((folded.left_out, all_told(&folded)), (0, 10_000));
    assert!(folded.covered > 0 && folded.rows.len() <= MOST_ROWS, "{} rows", folded.rows.len());
    for member in &members {
        let id = member.id.value().unwrap();
        let holds = |leads: bool| {
            folded
                .rows
                .iter()
                .any(|row| copy_on(row, id).is_some() && (row.leader.value() == Some(id)) == leads)
        };
        assert!(holds(true) && holds(false), "{id}");
    }
}

#[test]
fn nobody_speaks_for_a_group_on_a_dead_member_or_for_one_that_is_not_whole() {
    let mut members = living(30);
    members[4].alive = known(false);
    let groups = scattered(&members);
    let of_dead = |group: &Group| copy_on(group, "n-4").is_some();
    let dead = groups.iter().filter(|group| of_dead(group)).count();
    let folded = on(groups, &members);
    let rows: usize = folded.rows.iter().filter(|row| of_dead(row)).map(|row| row.count.get() as usize).sum();
    assert_eq!(rows + folded.left_out as usize, dead, "each has a row, or bars a removal");
    let members = living(30);
    let odd = scattered(&members).into_iter().map(|group| {
        let copies = group.placements.value().unwrap();
        let names: Vec<&str> = copies.iter().map(|copy| &*copy.member).collect();
        degraded(&group.id, &names)
    });
    assert_eq!(on(odd.collect(), &members).covered, 0);
}
