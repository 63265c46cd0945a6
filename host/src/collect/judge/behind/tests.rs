use super::*;
use crate::collect::SeriesWatch;
use crate::collect::definition::Question;
use crate::collect::series::{Count, count};
use std::collections::HashMap;
use std::sync::OnceLock;

const NOW_MS: i64 = 1_795_450_293_000;

/// Two minutes are remembered, second by second, of which the answer reaches back over twenty.
fn load() -> SignalDefinition {
    let series = SeriesWatch { forget_ms: 120_000, ..SeriesWatch::default() };
    let query = "sum(rate(requests_total[10s]))";
    SignalDefinition {
        window_ms: 10_000,
        step_ms: 1_000,
        max_age_ms: 10_000,
        series,
        ..SignalDefinition::new("load", "main", query)
    }
}

fn question(definition: &SignalDefinition) -> Question {
    match count(definition) {
        Count::Ask(question) => question,
        other @ (Count::Nothing | Count::Unreadable(_)) => panic!("{other:?}"),
    }
}

/// What was counted in the last seconds, up to now; nothing where there was none.
fn line(labels: &[(&str, &str)], counted: &[u32]) -> Series {
    let first = NOW_MS - 1_000 * (i64::try_from(counted.len()).expect("few") - 1);
    let points = (0..).zip(counted).map(|(index, count)| (first + 1_000 * index, f64::from(*count)));
    Series {
        labels: labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect::<HashMap<_, _>>(),
        points: points.filter(|(_, count)| *count > 0.0).collect(),
    }
}

fn ok() -> Signal {
    Signal {
        state: SignalState::Ok,
        age_ms: Some(400),
        coverage_permille: Some(1_000),
        detail: String::new(),
        samples: Vec::new(),
        optional: false,
    }
}

fn judged(definition: &SignalDefinition, series: Vec<Series>) -> (SignalState, String) {
    let parsed = Parsed {
        question: question(definition),
        asked_ms: NOW_MS + 200,
        warnings: Vec::new(),
        series,
        index: OnceLock::default(),
    };
    let signal = judge_behind(ok(), definition, &Ok(parsed), NOW_MS + 400);
    (signal.state, signal.detail)
}

/// The counts of one line, each so many seconds long.
fn over(counts: &[(u32, usize)]) -> Vec<u32> {
    counts.iter().flat_map(|(count, seconds)| vec![*count; *seconds]).collect()
}

#[track_caller]
fn assert_partial((state, detail): (SignalState, String), word: &str) {
    assert_eq!(state, SignalState::Partial, "{detail}");
    assert!(detail.contains(word), "{detail}");
}

const WHOLE: (SignalState, String) = (SignalState::Ok, String::new());

#[test]
fn as_many_as_ever_are_whole() {
    assert_eq!(judged(&load(), vec![line(&[], &over(&[(3, 60)]))]), WHOLE);
}

#[test]
fn one_that_is_gone_makes_it_partial_until_it_is_forgotten() {
    assert_partial(
        judged(&load(), vec![line(&[], &over(&[(3, 60), (2, 1)]))]),
        "2 of the 3 series of the last 2m",
    );
    assert_partial(judged(&load(), vec![line(&[], &over(&[(3, 2), (2, 118)]))]), "2 of the 3 series");
    assert_eq!(judged(&load(), vec![line(&[], &over(&[(2, 121)]))]), WHOLE);
}

#[test]
fn none_at_all_is_never_whole() {
    assert_partial(judged(&load(), vec![]), "no series with a fresh sample");
    assert_partial(judged(&load(), vec![line(&[], &over(&[(3, 60), (0, 30)]))]), "0 of the 3 series");
}

#[test]
fn growing_is_no_fall() {
    assert_eq!(judged(&load(), vec![line(&[], &over(&[(3, 60), (4, 1)]))]), WHOLE);
}

#[test]
fn silence_in_the_time_that_the_answer_reaches_back_over_makes_it_partial() {
    // The beginning: a rate over ten seconds in which there was nothing for eight.
    assert_partial(judged(&load(), vec![line(&[], &over(&[(3, 2)]))]), "were missing at 19 of 21 moments");
    // One came back a second ago.
    assert_partial(judged(&load(), vec![line(&[], &over(&[(3, 60), (2, 30), (3, 1)]))]), "20 of 21 moments");
    assert_eq!(judged(&load(), vec![line(&[], &over(&[(3, 60), (2, 30), (3, 21)]))]), WHOLE);
}

#[test]
fn each_selector_counts_for_itself() {
    let (a, b) = ([("plimsoll_selector", "0")], [("plimsoll_selector", "1")]);
    let lines = vec![line(&a, &over(&[(3, 60), (2, 10)])), line(&b, &over(&[(3, 60), (4, 10)]))];
    assert_partial(judged(&load(), lines), "2 of the 3 series");
    // One that was never there is not missed.
    let lines = vec![line(&a, &over(&[(3, 60)])), line(&b, &[])];
    assert_eq!(judged(&load(), lines), WHOLE);
}

#[test]
fn what_we_took_away_ourselves_is_not_missed_and_what_dies_after_it_is() {
    let counted = || vec![line(&[], &over(&[(3, 20), (2, 100)]))];
    let taken = |ago_ms| SignalDefinition { taken_away_ms: Some(NOW_MS - ago_ms), ..load() };
    // Just now, and when its source has had time to notice.
    assert_eq!(judged(&taken(100_000), counted()), WHOLE);
    assert_eq!(judged(&taken(1_000), counted()), WHOLE);
    // Long before the fall: somebody else's doing.
    assert_partial(judged(&taken(1_000_000), counted()), "2 of the 3 series");
    assert_partial(
        judged(&taken(100_000), vec![line(&[], &over(&[(3, 20), (2, 99), (1, 1)]))]),
        "1 of the 2 series",
    );
    assert_partial(judged(&taken(1_000), vec![]), "no series");
    // A clock that was set back.
    assert_eq!(judged(&taken(-1_000_000), counted()), WHOLE);
}

#[test]
fn a_number_that_is_expected_takes_the_place_of_what_is_remembered() {
    let expect = |number| SignalDefinition {
        series: SeriesWatch { expect: Some(number), ..SeriesWatch::default() },
        ..load()
    };
    assert_eq!(judged(&expect(2), vec![line(&[], &over(&[(3, 60), (2, 10)]))]), WHOLE);
    assert_partial(judged(&expect(3), vec![line(&[], &over(&[(2, 60)]))]), "2 of the 3 series expected");
    assert_partial(judged(&expect(3), vec![]), "0 of the 3 series expected");
}

#[test]
fn each_target_of_a_batch_has_its_own_series() {
    let batch_by = |value: &str| {
        let batch = crate::collect::BatchBy { label: "cluster".to_owned(), value: value.to_owned() };
        SignalDefinition { batch_by: Some(batch), ..load() }
    };
    let lines = || {
        vec![
            line(&[("cluster", "a")], &over(&[(3, 60)])),
            line(&[("cluster", "b")], &over(&[(3, 60), (1, 1)])),
        ]
    };
    assert_eq!(judged(&batch_by("a"), lines()), WHOLE);
    assert_partial(judged(&batch_by("b"), lines()), "1 of the 3 series");
    assert_partial(judged(&batch_by("c"), lines()), "no series");
}

#[test]
fn what_cannot_be_counted_is_partial_and_what_is_worse_stays() {
    let fault = Err(Fault { state: SignalState::Unavailable, detail: "HTTP 422".to_owned() });
    let signal = judge_behind(ok(), &load(), &fault, NOW_MS);
    assert_partial((signal.state, signal.detail), "how many series are behind it is not known: HTTP 422");
    let signal = not_countable(ok(), "too many");
    assert_partial((signal.state, signal.detail), "too many");
    let stale = Signal { state: SignalState::Stale, ..ok() };
    assert_eq!(judge_behind(stale.clone(), &load(), &fault, NOW_MS), stale);
}

#[test]
fn a_warning_of_the_source_about_the_count_makes_it_partial() {
    let definition = load();
    let parsed = Parsed {
        question: question(&definition),
        asked_ms: NOW_MS,
        warnings: vec!["a store did not answer".to_owned()],
        series: vec![line(&[], &over(&[(3, 60)]))],
        index: OnceLock::default(),
    };
    let signal = judge_behind(ok(), &definition, &Ok(parsed), NOW_MS);
    assert_partial((signal.state, signal.detail), "a store did not answer");
}
