use super::*;

/// The log of one member that tells of configurations, leaders and newcomers: `(second, message)`.
fn log(lines: &[(u32, &str)]) -> Logs {
    Logs::parse(&[("slots/e1".to_owned(), text(lines))])
}

fn text(lines: &[(u32, &str)]) -> String {
    let lines: String = lines
        .iter()
        .map(|(second, message)| {
            let id = message.strip_prefix("published ").unwrap_or("1");
            let message = if message.starts_with("published") {
                "published local member to cluster through raft"
            } else {
                message
            };
            let line = serde_json::json!({
                "ts": format!("2026-01-01T00:00:{second:02}.000Z"), "msg": message, "local-member-id": id,
            });
            format!("{line}\n")
        })
        .collect();
    format!("no JSON\n{lines}")
}

fn voters(ids: &[u64]) -> Configuration {
    Configuration { voters: ids.iter().copied().collect(), learners: BTreeSet::new() }
}

fn violations(lines: &[(u32, &str)]) -> Vec<String> {
    let logs = log(lines);
    History::from(&logs, &voters(&[1, 2, 3])).violations(&logs, &BTreeSet::new())
}

const BOOT: [(u32, &str); 4] = [
    (1, "1 switched to configuration voters=(1)"),
    (2, "1 switched to configuration voters=(1 2)"),
    (3, "1 switched to configuration voters=(1 2 3)"),
    (4, "raft.node: 1 elected leader 2 at term 2"),
];

fn after_boot(more: &[(u32, &str)]) -> Vec<String> {
    violations(&[&BOOT, more].concat())
}

#[test]
fn finds_nothing_wrong_with_a_learner_that_started_and_was_promoted() {
    let found = after_boot(&[
        (5, "1 switched to configuration voters=(1 2 3) learners=(4)"),
        (6, "published 4"),
        (7, "1 switched to configuration voters=(1 2 3 4)"),
    ]);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn finds_a_learner_that_was_promoted_before_it_started() {
    let found = after_boot(&[
        (5, "1 switched to configuration voters=(1 2 3) learners=(4)"),
        (6, "1 switched to configuration voters=(1 2 3 4)"),
        (7, "published 4"),
    ]);
    assert_eq!(found, ["learner 4 got a vote before it had started and caught up"]);
}

#[test]
fn finds_a_voter_that_was_no_learner() {
    let found = after_boot(&[(5, "1 switched to configuration voters=(1 2 3 4)")]);
    assert_eq!(found, ["4 got a vote without having been a learner"]);
}

#[test]
fn finds_a_change_while_a_learner_is_pending() {
    let found = after_boot(&[
        (5, "1 switched to configuration voters=(1 2 3) learners=(4)"),
        (6, "1 switched to configuration voters=(1 2) learners=(4)"),
    ]);
    assert_eq!(found, ["3 was removed while learner 4 was not promoted yet"]);
}

#[test]
fn finds_the_removal_of_a_leader() {
    let found = after_boot(&[(5, "1 switched to configuration voters=(1 3)")]);
    assert_eq!(found, ["2 was removed while it was the leader"]);
    let moved = after_boot(&[
        (5, "raft.node: 1 changed leader from 2 to 3 at term 3"),
        (6, "1 switched to configuration voters=(1 3)"),
    ]);
    assert_eq!(moved, Vec::<String>::new());
}

#[test]
fn finds_two_members_that_changed_at_once() {
    let found = after_boot(&[(5, "1 switched to configuration voters=(1) learners=(5)")]);
    assert_eq!(found, ["several members changed at once: 2, 3, 5"]);
}

#[test]
fn is_not_misled_by_a_newcomer_that_goes_through_old_configurations() {
    let old = [
        &BOOT[..],
        &[
            (5, "1 switched to configuration voters=(1 2 3) learners=(4)"),
            (9, "1 switched to configuration voters=(1 2 3 4)"),
        ],
    ];
    let new = [
        (6, "4 switched to configuration voters=()"),
        (7, "4 switched to configuration voters=(1 2)"),
        (7, "4 switched to configuration voters=(1 2 3)"),
        (7, "4 switched to configuration voters=(1 2 3) learners=(4)"),
        (8, "published 4"),
        (9, "4 switched to configuration voters=(1 2 3 4)"),
    ];
    let logs = [("slots/e1".to_owned(), text(&old.concat())), ("slots/e4".to_owned(), text(&new))];
    let history = History::from(&Logs::parse(&logs), &voters(&[1, 2, 3]));
    let promoted = Change::Promoted { id: 4, at: "2026-01-01T00:00:09.000Z".to_owned() };
    assert_eq!(history.changes(), [Change::Added { id: 4, learner: true }, promoted]);
}

#[test]
fn misses_a_configuration_that_no_log_has() {
    let logs = log(&BOOT);
    let polled = crate::watch::Seen {
        configurations: vec![(voters(&[1, 2, 3]), BTreeSet::new()), (voters(&[1, 2]), BTreeSet::new())],
        ..crate::watch::Seen::default()
    };
    let found = crate::watch::judge(&voters(&[1, 2, 3]), &logs, &polled);
    assert_eq!(found.violations, ["the logs do not have the configuration voters (1 2) learners ()"]);
}

#[test]
fn knows_a_configuration_that_comes_about_again() {
    // The pair (1 2) was there while the cluster was founded, and (1 2 3) comes back when a learner goes.
    let logs = log(&[
        &BOOT[..],
        &[
            (5, "1 switched to configuration voters=(1 2 3) learners=(4)"),
            (6, "1 switched to configuration voters=(1 2 3)"),
            (7, "1 switched to configuration voters=(1 2 3)"),
            (8, "raft.node: 1 lost leader 2 at term 2"),
            (9, "1 switched to configuration voters=(1 2)"),
        ],
    ]
    .concat());
    let history = History::from(&logs, &voters(&[1, 2, 3]));
    let gone = |id, voter, leader| Change::Removed { id, voter, leader };
    assert_eq!(
        history.changes(),
        [Change::Added { id: 4, learner: true }, gone(4, false, Some(2)), gone(3, true, None)]
    );
}

#[test]
fn counts_a_restarted_members_repetitions_once() {
    let lines = [
        &BOOT[..],
        &[(5, "1 switched to configuration voters=(1 2)"), (6, "restarting local member")],
        &[(7, BOOT[0].1), (8, BOOT[1].1), (9, BOOT[2].1)],
        &[(10, "1 switched to configuration voters=(1 2)")],
    ];
    let history = History::from(&log(&lines.concat()), &voters(&[1, 2, 3]));
    assert_eq!(history.changes(), [Change::Removed { id: 3, voter: true, leader: Some(2) }]);
}
