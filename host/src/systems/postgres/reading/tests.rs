use super::*;

fn row(columns: &[(&str, &str)]) -> Row {
    columns.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn primary() -> Row {
    row(&[
        ("system", "7713902985488125784"),
        ("recovery", "false"),
        ("up", "1417"),
        ("flushed", "0/3000000"),
        ("timeline", "0000000A"),
        ("names", "ANY 1 (p2)"),
        ("read_only", "off"),
        ("pending", "0"),
        ("conninfo", ""),
    ])
}

fn standby() -> Row {
    let mut row = primary();
    row.remove("flushed");
    row.remove("timeline");
    row.extend(self::row(&[
        ("recovery", "true"),
        ("replayed", "0/3001E38"),
        ("replay", "not paused"),
        ("receiver", "streaming"),
        ("received_timeline", "10"),
        ("conninfo", "host=a"),
    ]));
    row
}

#[test]
fn a_primary_tells_its_position_and_its_timeline() {
    let own = own(&[primary()]).expect("it is read");
    assert_eq!(own.side, Side::Primary { flushed: Lsn(0x300_0000), timeline: 10 });
    assert_eq!(
        (own.system.as_str(), own.up_ms, own.read_only, own.conninfo),
        ("7713902985488125784", 1417, false, None)
    );
}

#[test]
fn a_standby_tells_what_it_has_replayed_and_whether_it_goes_on() {
    let side = |row: Row| own(&[row]).expect("it is read").side;
    let wanted = |replays, timeline| Side::Standby { replayed: Some(Lsn(0x300_1E38)), replays, timeline };
    assert_eq!(side(standby()), wanted(true, Some(10)));
    for (column, value, found) in [
        ("replay", "paused", wanted(false, Some(10))),
        ("replay", "pause requested", wanted(false, Some(10))),
        ("receiver", "waiting", wanted(true, None)),
    ] {
        let mut changed = standby();
        changed.insert(column.to_owned(), value.to_owned());
        assert_eq!(side(changed), found, "{column} {value}");
    }
    let mut silent = standby();
    silent.remove("replay");
    assert_eq!(side(silent), wanted(false, Some(10)), "who does not say that it replays does not");
}

#[test]
fn an_answer_that_lacks_something_is_none() {
    for lacking in ["system", "recovery", "up", "flushed", "timeline", "names", "read_only", "pending"] {
        let mut row = primary();
        row.remove(lacking);
        assert!(own(&[row]).is_err(), "without {lacking}");
    }
    for (column, junk) in [("recovery", "maybe"), ("flushed", "0-3"), ("timeline", "x"), ("pending", "-1")] {
        let mut row = primary();
        row.insert(column.to_owned(), junk.to_owned());
        assert!(own(&[row]).is_err(), "{column} {junk}");
    }
    assert!(own(&[]).is_err());
    assert!(own(&[primary(), primary()]).is_err());
}

#[test]
fn only_versions_whose_views_are_known_are_read() {
    let version_of = |number: &str| version(&[row(&[("version", number)])]);
    assert_eq!(version_of("150018"), Ok(15));
    assert_eq!(version_of("130000"), Ok(13));
    assert_eq!(version_of("180004"), Ok(18));
    assert_eq!(version_of("190000"), Err("it is PostgreSQL 19; 13 to 18 are supported".to_owned()));
    assert!(version_of("120022").is_err());
    assert!(own_question(13).contains("pg_is_wal_replay_paused"));
    assert!(own_question(14).contains("pg_get_wal_replay_pause_state"));
}

#[test]
fn who_follows_is_told_with_its_positions() {
    let streaming = row(&[
        ("pid", "20359"),
        ("name", "p2"),
        ("state", "streaming"),
        ("sync", "quorum"),
        ("flushed", "0/10"),
        ("replayed", "0/8"),
        ("reply", "57"),
    ]);
    let backup = row(&[("pid", "7"), ("name", "pg_basebackup"), ("state", "backup")]);
    let found = followers(&[streaming, backup]).expect("they are read");
    assert_eq!(
        found,
        [
            Follower {
                pid: 20_359,
                name: "p2".to_owned(),
                state: "streaming".to_owned(),
                flushed: Some(Lsn(16)),
                replayed: Some(Lsn(8)),
                reply_ms: Some(57),
            },
            Follower {
                pid: 7,
                name: "pg_basebackup".to_owned(),
                state: "backup".to_owned(),
                flushed: None,
                replayed: None,
                reply_ms: None,
            },
        ]
    );
}

#[test]
fn a_role_that_may_not_look_is_told_which_may() {
    let error = followers(&[row(&[("pid", "1"), ("name", "p2")])]).expect_err("hidden");
    assert!(error.contains("pg_monitor"), "{error}");
}

#[test]
fn a_list_that_is_too_long_is_not_read_in_part() {
    let one = row(&[("name", "a"), ("kind", "physical"), ("temporary", "false")]);
    assert_eq!(keeps(&vec![one.clone(); MOST_ROWS]).map(|all| all.len()), Ok(MOST_ROWS));
    assert!(keeps(&vec![one; MOST_ROWS + 1]).is_err());
    assert!(SLOTS.contains("LIMIT 257") && FOLLOWERS.contains("LIMIT 257"));
}

#[test]
fn a_slot_that_was_never_used_keeps_nothing() {
    let fresh = row(&[("name", "p3"), ("kind", "physical"), ("temporary", "false")]);
    let used = row(&[
        ("name", "p2"),
        ("kind", "physical"),
        ("temporary", "false"),
        ("pid", "9"),
        ("restart", "0/5"),
        ("wal", "reserved"),
    ]);
    let logical = row(&[("name", "sub"), ("kind", "logical"), ("temporary", "true"), ("restart", "0/5")]);
    let found = keeps(&[fresh, used, logical]).expect("they are read");
    assert_eq!(
        found.iter().map(|keep| (keep.physical, keep.temporary)).collect::<Vec<_>>(),
        [(true, false), (true, false), (false, true)]
    );
    assert_eq!(found.iter().map(|keep| keep.restart).collect::<Vec<_>>(), [None, Some(Lsn(5)), Some(Lsn(5))]);
    assert_eq!(found[1].pid, Some(9));
}
