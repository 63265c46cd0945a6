//! The screen and the summary, from pictures made by hand and from a real day.

use super::advisor::native_advisor;
use super::day::Day;
use super::picture::{Course, Picture, Seat};
use super::screen::{cut, draw};
use super::summary::{Ending, lines};
use super::teller::{Figures, Line, Tone};
use plimsoll_sim::sim::Summary;
use std::collections::BTreeMap;

fn crowded() -> Picture {
    let seat =
        |at: u64, state| Seat { slot: format!("db-{at}"), state, disk_percent: (at != 5).then_some(at * 9) };
    let words = ["serving", "moving", "draining", "empty", "failed", "joining"];
    let domains = (0..3_u64).map(|domain| {
        let seats =
            (0..4).map(|row| seat(domain + 3 * row, words[usize::try_from(row + domain).unwrap_or(0) % 6]));
        (format!("zone-{domain}"), seats.collect())
    });
    let line = |at: u64| Line { at_ms: at * 60_000, tone: Tone::Bad, text: "refused  ".repeat(30) };
    Picture {
        now_ms: 50_000_000,
        deciding: "a policy with a very long description ".repeat(5),
        demand: 12_345_678,
        capacity: 23_456_789,
        points: (0..200).map(|at| (at * 40, 8_000 - at * 10)).collect(),
        domains: domains.collect(),
        plan: Some(Course {
            title: "scale-in 12 → 9, running, member 2 of 3, db-11".to_owned(),
            phases: ["cordon", "move-leaders", "drain", "verify", "stop", "settle", "pay-debts"]
                .map(|name| ('▶', name.into(), name == "stop"))
                .to_vec(),
            waits: "something that takes very many words ".repeat(10),
        }),
        recent: (0..64).map(line).collect(),
        figures: Figures {
            refusals: (0..12).map(|at| (format!("SomeLongViolationKind{at}"), at)).collect(),
            ..Figures::default()
        },
        acknowledged: u64::MAX,
        ..Picture::default()
    }
}

#[test]
fn a_crowded_screen_fits_every_size() {
    for (width, height) in [(80, 24), (120, 40), (200, 60), (20, 10)] {
        let rows = draw(&crowded(), width, height);
        assert_eq!(rows.len(), height, "{width}x{height}");
        for row in &rows {
            assert!(row.text.chars().count() <= width, "{width}x{height}: {}", row.text);
            assert!(!row.text.chars().any(char::is_control), "{:?}", row.text);
        }
    }
}

#[test]
fn the_end_of_the_feed_is_what_stays_on_a_small_screen() {
    let rows = draw(&crowded(), 80, 24);
    assert!(rows.iter().any(|row| row.text.starts_with(" 01:03:00")), "the newest line");
    assert!(!rows.iter().any(|row| row.text.starts_with(" 00:00:00")), "the oldest line");
}

#[test]
fn an_empty_picture_can_be_drawn() {
    let rows = draw(&Picture::default(), 80, 24);
    assert_eq!(rows.len(), 24);
}

#[test]
fn what_is_cut_says_so() {
    assert_eq!(cut("abcdef", 4), "abc…");
    assert_eq!(cut("abcd", 4), "abcd");
}

#[test]
fn the_last_line_tells_what_was_lost_and_the_guardless_day_is_told_beside_it() {
    let summary = |lost| Summary {
        acknowledged: 10,
        lost_by_us: lost,
        lost_by_nature: 0,
        violated_ms: 2_000,
        calls: 3,
        ours: BTreeMap::new(),
        nature: BTreeMap::new(),
    };
    let (guarded, bare) = (summary(0), summary(77));
    let ending = Ending {
        seed: 1,
        figures: &Figures::default(),
        guarded: &guarded,
        unguarded: Some(&bare),
        moved_bytes: 5_000_000_000,
        kills: 2,
        recorded: None,
    };
    let shown = lines(&ending);
    assert_eq!(shown.last().map(String::as_str), Some("acknowledged writes lost: 0"));
    assert!(shown.iter().any(|line| line.contains("77 acknowledged writes lost")), "{shown:?}");
}

#[test]
fn a_real_night_is_drawn_as_it_is() {
    let mut day = Day::new(1, native_advisor("in a test"), None);
    while day.now_ms() < 600_000 {
        day.advance();
        day.take_lines();
    }
    let picture = day.picture("a test");
    assert_eq!(picture.domains.values().map(Vec::len).sum::<usize>(), 4, "four members in three domains");
    assert_eq!(picture.figures.decisions, 21, "one at once, and one each half minute: {:?}", picture.figures);
    let rows = draw(&picture, 80, 24);
    assert!(rows.iter().any(|row| row.text.contains("00:10:00")), "{rows:?}");
}
