//! One test for each row of the fault table. Bodies are what a Prometheus 2.42 sent, unless a comment says else.

use super::*;
use crate::collect::{Aggregation, BatchBy};
use plimsoll_wire::snapshot::Sample;
use proptest::prelude::*;

/// When the answers were recorded.
const NOW_MS: i64 = 1_795_450_293_400;
const NOW_S: i64 = 1_795_450_293;

const FOUR_POINTS: &str = r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"up","instance":"127.0.0.1:19790","job":"self"},"values":[[1795450290,"1"],[1795450291,"1"],[1795450292,"1"],[1795450293,"1"]]}]}}"#;
const NO_SERIES: &str = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
const SYNTAX_ERROR: &str = r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis"}"#;
const NAN_VECTOR: &str = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1795450293,"NaN"]}]}}"#;
const NAN_SCALAR: &str = r#"{"status":"success","data":{"resultType":"scalar","result":[1795450293,"NaN"]}}"#;
const STRING: &str = r#"{"status":"success","data":{"resultType":"string","result":[1795450293,"x"]}}"#;
const ONE_VALUE: &str = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","instance":"127.0.0.1:19790","job":"self"},"value":[1795450293,"1"]}]}}"#;

/// Four points, a second apart.
fn range() -> SignalDefinition {
    SignalDefinition { window_ms: 3_000, step_ms: 1_000, ..SignalDefinition::new("load", "main", "up") }
}

fn instant() -> SignalDefinition {
    SignalDefinition { window_ms: 0, ..SignalDefinition::new("load", "main", "up") }
}

fn answer(status: u16, body: &[u8]) -> Answer {
    Answer { asked_ms: NOW_MS, took_ms: 3, status, date_ms: Some(NOW_S * 1_000), body: body.to_vec() }
}

fn judged(definition: &SignalDefinition, body: &str) -> Signal {
    judge_answer(definition, &Reply::Answered(answer(200, body.as_bytes())), NOW_MS)
}

fn failed(how: Failure, detail: &str) -> Signal {
    judge_answer(&range(), &Reply::Failed { how, detail: detail.to_owned() }, NOW_MS)
}

/// A matrix in the shape of the recorded ones: labels, then values for the last seconds up to now.
fn matrix(series: &[(&str, &[&str])]) -> String {
    let series: Vec<String> = series
        .iter()
        .map(|(labels, values)| {
            let first = NOW_S - i64::try_from(values.len()).expect("few") + 1;
            let points: Vec<String> = (first..)
                .zip(*values)
                .filter(|(_, value)| !value.is_empty())
                .map(|(at, value)| format!("[{at},\"{value}\"]"))
                .collect();
            format!(r#"{{"metric":{{{labels}}},"values":[{}]}}"#, points.join(","))
        })
        .collect();
    format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{}]}}}}"#, series.join(","))
}

fn values(signal: &Signal) -> Vec<f64> {
    signal.samples.iter().map(|sample| sample.value).collect()
}

#[track_caller]
fn assert_fault(signal: &Signal, state: SignalState, word: &str) {
    assert_eq!(signal.state, state, "{signal:?}");
    assert!(signal.detail.contains(word), "{signal:?} does not speak of {word}");
    assert_eq!(signal.samples, vec![], "a fault carries no numbers");
}

#[test]
fn a_whole_fresh_series_is_ok() {
    let sample = |at_s: i64| Sample { at_ms: at_s * 1_000, value: 1.0 };
    let expected = Signal {
        state: SignalState::Ok,
        age_ms: Some(400),
        coverage_permille: Some(1_000),
        detail: String::new(),
        optional: false,
        samples: (NOW_S - 3..=NOW_S).map(sample).collect(),
    };
    assert_eq!(judged(&range(), FOUR_POINTS), expected);
}

#[test]
fn one_present_value_is_ok() {
    let signal = judged(&instant(), ONE_VALUE);
    assert_eq!(
        (signal.state, values(&signal), signal.coverage_permille),
        (SignalState::Ok, vec![1.0], Some(1_000))
    );
}

#[test]
fn a_real_zero_is_ok() {
    let signal = judged(&range(), &matrix(&[("", &["0", "0", "0", "0"])]));
    assert_eq!((signal.state, values(&signal)), (SignalState::Ok, vec![0.0; 4]));
}

#[test]
fn no_series_is_absent() {
    assert_fault(&judged(&range(), NO_SERIES), SignalState::Absent, "no series");
    assert_fault(
        &judged(&instant(), &NO_SERIES.replace("matrix", "vector")),
        SignalState::Absent,
        "no series",
    );
}

#[test]
fn a_series_without_samples_is_absent() {
    assert_fault(&judged(&range(), &matrix(&[("", &[])])), SignalState::Absent, "no samples");
}

#[test]
fn nan_and_infinity_are_not_numbers() {
    assert_fault(&judged(&instant(), NAN_VECTOR), SignalState::NotANumber, "NaN");
    assert_fault(&judged(&instant(), NAN_SCALAR), SignalState::NotANumber, "NaN");
    for value in ["NaN", "+Inf", "-Inf", "1e999"] {
        let body = matrix(&[("", &["1", value, "1", "1"])]);
        assert_fault(&judged(&range(), &body), SignalState::NotANumber, "is");
    }
}

#[test]
fn finite_series_that_add_up_to_infinity_are_not_a_number() {
    let definition = SignalDefinition { aggregation: Some(Aggregation::Sum), ..range() };
    let body = matrix(&[("\"i\":\"a\"", &["1e308"]), ("\"i\":\"b\"", &["1e308"])]);
    assert_fault(&judged(&definition, &body), SignalState::NotANumber, "inf");
}

#[test]
fn several_series_are_ambiguous_without_an_aggregation() {
    let body = matrix(&[("\"i\":\"a\"", &["1", "1", "1", "1"]), ("\"i\":\"b\"", &["2", "2", "2", "2"])]);
    assert_fault(&judged(&range(), &body), SignalState::Ambiguous, "{i=\"a\"} and {i=\"b\"}");
}

#[test]
fn several_series_become_one_by_the_declared_aggregation() {
    let body = matrix(&[("\"i\":\"a\"", &["1", "1", "1", "1"]), ("\"i\":\"b\"", &["2", "2", "2", "5"])]);
    for (aggregation, last) in
        [(Aggregation::Sum, 6.0), (Aggregation::Avg, 3.0), (Aggregation::Max, 5.0), (Aggregation::Min, 1.0)]
    {
        let signal = judged(&SignalDefinition { aggregation: Some(aggregation), ..range() }, &body);
        assert_eq!((signal.state, values(&signal).last().copied()), (SignalState::Ok, Some(last)));
    }
}

#[test]
fn a_sum_that_lacks_a_series_is_partial() {
    let definition = SignalDefinition { aggregation: Some(Aggregation::Sum), ..range() };
    let body = matrix(&[("\"i\":\"a\"", &["1", "1", "1", "1"]), ("\"i\":\"b\"", &["2", "2", "", ""])]);
    let signal = judged(&definition, &body);
    assert_eq!((signal.state, signal.coverage_permille), (SignalState::Partial, Some(500)));
    assert_eq!(values(&signal), [3.0, 3.0, 1.0, 1.0]);
}

#[test]
fn warnings_make_a_whole_series_partial() {
    // The shape that Thanos sends when a store does not answer.
    let body = FOUR_POINTS.replace(r#""data""#, r#""warnings":["store-1\u001b[31m: timed out"],"data""#);
    let signal = judged(&range(), &body);
    assert_eq!((signal.state, values(&signal)), (SignalState::Partial, vec![1.0; 4]));
    assert_eq!(signal.detail, "the source warns: store-1\\u{1b}[31m: timed out");
}

#[test]
fn a_short_history_is_partial() {
    let signal = judged(&range(), &matrix(&[("", &["7", "7", "7"])]));
    assert_eq!((signal.state, signal.coverage_permille), (SignalState::Partial, Some(750)));
    assert_eq!(signal.detail, "3 of 4 points, 750 of the 800 thousandths asked for");
}

#[test]
fn points_crowded_into_one_step_do_not_make_a_whole_window() {
    let body = r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1795450292.7,"1"],[1795450292.8,"1"],[1795450292.9,"1"],[1795450293,"1"]]}]}}"#;
    let signal = judged(&range(), body);
    assert_eq!((signal.state, signal.coverage_permille), (SignalState::Partial, Some(250)));
}

#[test]
fn more_points_than_asked_for_are_malformed() {
    let points: Vec<String> = (0..1_000).map(|at| format!("[1795450292.{at:03},\"1\"]")).collect();
    let body = format!(
        r#"{{"status":"success","data":{{"resultType":"matrix","result":[{{"metric":{{}},"values":[{}]}}]}}}}"#,
        points.join(",")
    );
    assert_fault(&judged(&range(), &body), SignalState::Malformed, "1000 points");
}

#[test]
fn an_old_newest_sample_is_stale() {
    let reply = Reply::Answered(answer(200, FOUR_POINTS.as_bytes()));
    let at_the_limit = judge_answer(&range(), &reply, NOW_S * 1_000 + 60_000);
    assert_eq!(at_the_limit.state, SignalState::Ok);
    let stale = judge_answer(&range(), &reply, NOW_S * 1_000 + 60_001);
    assert_fault(&stale, SignalState::Stale, "60001 ms old");
    assert_eq!(stale.age_ms, Some(60_001));
}

#[test]
fn an_answer_about_long_ago_is_stale_and_not_absent() {
    let body = FOUR_POINTS.replace("17954502", "17954402");
    assert_fault(&judged(&range(), &body), SignalState::Stale, "old");
}

#[test]
fn a_sample_of_the_future_is_skewed() {
    let ahead = |s: i64| judged(&instant(), &ONE_VALUE.replace("1795450293", &(NOW_S + s).to_string()));
    assert_eq!((ahead(5).state, ahead(5).age_ms), (SignalState::Ok, Some(0)));
    assert_fault(&ahead(6), SignalState::Skewed, "future");
    assert_fault(&ahead(i64::from(u32::MAX) * 1_000_000), SignalState::Skewed, "future");
}

#[test]
fn a_source_with_another_clock_is_skewed() {
    for (off_s, state) in
        [(4, SignalState::Ok), (-4, SignalState::Ok), (7, SignalState::Skewed), (-8, SignalState::Skewed)]
    {
        let date_ms = Some((NOW_S + off_s) * 1_000);
        let reply = Reply::Answered(Answer { date_ms, ..answer(200, FOUR_POINTS.as_bytes()) });
        assert_eq!(judge_answer(&range(), &reply, NOW_MS).state, state, "{off_s} s off");
    }
}

#[test]
fn a_slow_answer_is_not_taken_for_another_clock() {
    let slow =
        Answer { took_ms: 4_000, date_ms: Some(NOW_MS + 4_000), ..answer(200, FOUR_POINTS.as_bytes()) };
    assert_eq!(judge_answer(&range(), &Reply::Answered(slow), NOW_MS).state, SignalState::Ok);
}

#[test]
fn a_counter_has_no_history_from_before_its_restart() {
    let definition = SignalDefinition { counter: true, ..range() };
    let signal = judged(&definition, &matrix(&[("", &["90", "3", "4", "9"])]));
    assert_eq!((signal.state, signal.coverage_permille), (SignalState::Partial, Some(750)));
    assert_eq!(values(&signal), [3.0, 4.0, 9.0]);
    let whole = judged(&definition, &matrix(&[("", &["3", "4", "4", "9"])]));
    assert_eq!(whole.state, SignalState::Ok);
    // A gauge may fall.
    assert_eq!(judged(&range(), &matrix(&[("", &["90", "3", "4", "9"])])).state, SignalState::Ok);
}

#[test]
fn wrong_json_types_are_malformed() {
    for (from, to) in [
        (r#"[1795450290,"1"]"#, r#"[1795450290,1]"#),
        (r#"[1795450290,"1"]"#, r#"["1795450290","1"]"#),
        (r#"[1795450290,"1"]"#, r#"[1795450290,null]"#),
        (r#"[1795450290,"1"]"#, r#"[1795450290,""]"#),
        (r#"[1795450290,"1"]"#, r#"[1e999,"1"]"#),
        (r#"[1795450290,"1"]"#, r#"{}"#),
        (r#""success""#, r#""fine""#),
        (r#""success""#, r#"true"#),
        (r#""matrix""#, r#""table""#),
        (r#""values""#, r#""histograms""#),
        (r#""job":"self""#, r#""job":7"#),
        (r#""data":{"#, r#""data":[],"x":{"#),
    ] {
        let body = FOUR_POINTS.replacen(from, to, 1);
        assert_ne!(body, FOUR_POINTS, "{from} is in the recorded answer");
        assert_fault(&judged(&range(), &body), SignalState::Malformed, "");
    }
}

#[test]
fn wrong_result_types_are_malformed() {
    assert_fault(&judged(&instant(), STRING), SignalState::Malformed, "string");
    assert_fault(&judged(&instant(), FOUR_POINTS), SignalState::Malformed, "matrix");
    assert_fault(&judged(&range(), ONE_VALUE), SignalState::Malformed, "matrix");
    assert_fault(&judged(&range(), NAN_SCALAR), SignalState::Malformed, "matrix");
}

#[test]
fn points_out_of_order_are_malformed() {
    let body = FOUR_POINTS.replace("1795450291", "1795450299").replace("1795450293", "1795450291");
    assert_fault(&judged(&range(), &body), SignalState::Malformed, "order");
    let twice = FOUR_POINTS.replace("1795450291", "1795450290");
    assert_fault(&judged(&range(), &twice), SignalState::Malformed, "order");
}

#[test]
fn garbage_and_cut_off_bodies_are_malformed() {
    let listed = format!("[{}]", r#""success",{"resultType":"matrix","result":[]},[]"#);
    assert_fault(&judged(&range(), &listed), SignalState::Malformed, "begins");
    for cut in 0..FOUR_POINTS.len() {
        assert_fault(&judged(&range(), &FOUR_POINTS[..cut]), SignalState::Malformed, "begins");
    }
    let garbage = Reply::Answered(answer(200, b"\xff\xfe\x00<html>\n\x1b[2J"));
    let signal = judge_answer(&range(), &garbage, NOW_MS);
    assert_fault(&signal, SignalState::Malformed, "html");
    assert!(!signal.detail.contains(['\n', '\u{1b}', '\0']), "{:?}", signal.detail);
    assert_fault(&judged(&range(), &format!("{FOUR_POINTS}}}")), SignalState::Malformed, "trailing");
    assert_fault(&judged(&range(), &"{\"data\":".repeat(1 << 17)), SignalState::Malformed, "begins");
}

#[test]
fn error_statuses_are_unavailable_with_what_the_source_says() {
    for status in [204, 301, 302, 307, 400, 401, 403, 404, 422, 429, 500, 502, 503] {
        let reply = Reply::Answered(answer(status, SYNTAX_ERROR.as_bytes()));
        let signal = judge_answer(&range(), &reply, NOW_MS);
        assert_fault(&signal, SignalState::Unavailable, &format!("HTTP {status}"));
        assert!(signal.detail.contains("unclosed left parenthesis"), "{signal:?}");
        // A body that would be a fine answer does not count either.
        let reply = Reply::Answered(answer(status, FOUR_POINTS.as_bytes()));
        assert_fault(&judge_answer(&range(), &reply, NOW_MS), SignalState::Unavailable, "HTTP");
    }
    assert_fault(&judged(&range(), SYNTAX_ERROR), SignalState::Unavailable, "unclosed");
}

#[test]
fn failures_of_the_transport_have_their_states() {
    for how in [
        Failure::Connect,
        Failure::Deadline,
        Failure::Closed,
        Failure::Credentials,
        Failure::Pausing,
        Failure::Busy,
    ] {
        assert_fault(&failed(how, "because"), SignalState::Unavailable, "because");
    }
    for how in [Failure::NotHttp, Failure::Truncated, Failure::Oversized] {
        assert_fault(&failed(how, "because"), SignalState::Malformed, "because");
    }
}

#[test]
fn a_batch_is_split_by_its_label() {
    let body = matrix(&[
        ("\"cluster\":\"a\"", &["1", "1", "1", "1"]),
        ("\"cluster\":\"b\"", &["NaN", "2", "2", "2"]),
        ("\"cluster\":\"c\",\"i\":\"1\"", &["1"]),
        ("\"cluster\":\"c\",\"i\":\"2\"", &["1"]),
    ]);
    let of = |value: &str| {
        let batch_by = Some(BatchBy { label: "cluster".to_owned(), value: value.to_owned() });
        judged(&SignalDefinition { batch_by, ..range() }, &body)
    };
    assert_eq!((of("a").state, values(&of("a"))), (SignalState::Ok, vec![1.0; 4]));
    assert_fault(&of("b"), SignalState::NotANumber, "NaN");
    assert_fault(&of("c"), SignalState::Ambiguous, "2 series");
    assert_fault(&of("d"), SignalState::Absent, "cluster=\"d\"");
}

#[test]
fn excerpts_are_short_and_in_one_line() {
    assert_eq!(excerpt("Ü\t\u{202e}\"x\"".as_bytes()), "Ü\\t\\u{202e}\"x\"");
    assert_eq!(excerpt(&[b'a'; 10_000]), format!("{}…", "a".repeat(EXCERPT_CHARS)));
}

/// Something like a JSON document of the API, with anything in any place.
fn like_an_answer() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        any::<f64>().prop_map(|value| format!("\"{value}\"")),
        prop_oneof!["\"NaN\"", "\"+Inf\"", "\"-Inf\"", "\"1e400\"", "1", "null", "\"0x1\""]
            .prop_map(String::from),
    ];
    let at = prop_oneof![
        (NOW_S - 5..NOW_S + 9).prop_map(|at| at.to_string()),
        any::<f64>().prop_map(|at| at.to_string()),
        Just("-1e300".to_owned()),
    ];
    let points = prop::collection::vec((at, value), 0..8).prop_map(|points| {
        let points: Vec<String> = points.into_iter().map(|(at, value)| format!("[{at},{value}]")).collect();
        points.join(",")
    });
    let kind = prop_oneof!["matrix", "vector", "scalar", "string"];
    (prop::collection::vec(points, 0..4), kind).prop_map(|(series, kind)| {
        let series: Vec<String> = series
            .iter()
            .map(|points| match kind.as_str() {
                "matrix" => format!(r#"{{"metric":{{}},"values":[{points}]}}"#),
                _ => format!(r#"{{"metric":{{}},"value":{points}}}"#),
            })
            .collect();
        format!(r#"{{"status":"success","data":{{"resultType":"{kind}","result":[{}]}}}}"#, series.join(","))
    })
}

fn any_definition() -> impl Strategy<Value = SignalDefinition> {
    let aggregation = prop_oneof![
        Just(None),
        Just(Some(Aggregation::Sum)),
        Just(Some(Aggregation::Avg)),
        Just(Some(Aggregation::Max)),
        Just(Some(Aggregation::Min)),
    ];
    // Also what `problems` refuses: judging must bear it.
    (
        prop_oneof![Just(0), 0..10_000_u64, any::<u64>()],
        any::<u64>(),
        any::<u64>(),
        any::<u32>(),
        aggregation,
        any::<bool>(),
    )
        .prop_map(|(window_ms, step_ms, max_age_ms, min_coverage_permille, aggregation, counter)| {
            SignalDefinition {
                window_ms,
                step_ms: step_ms % 4_000,
                max_age_ms,
                min_coverage_permille: min_coverage_permille % 1_001,
                aggregation,
                counter,
                ..range()
            }
        })
}

#[track_caller]
fn assert_sound(signal: &Signal) {
    assert!(signal.samples.iter().all(|sample| sample.value.is_finite()), "{signal:?}");
    let may_have_samples = matches!(signal.state, SignalState::Ok | SignalState::Partial);
    assert!(may_have_samples || signal.samples.is_empty(), "{signal:?}");
    assert!(signal.state != SignalState::Ok || !signal.samples.is_empty(), "{signal:?}");
    assert!(signal.state == SignalState::Ok || !signal.detail.is_empty(), "{signal:?}");
}

proptest! {
    #[test]
    fn any_bytes_are_judged_and_never_ok_without_numbers(
        definition in any_definition(),
        status in prop_oneof![Just(200), any::<u16>()],
        body in prop::collection::vec(any::<u8>(), 0..300),
        now_ms in prop_oneof![Just(NOW_MS), any::<i64>()],
        date_ms in any::<Option<i64>>(),
    ) {
        let reply = Reply::Answered(Answer { date_ms, ..answer(status, &body) });
        assert_sound(&judge_answer(&definition, &reply, now_ms));
    }

    #[test]
    fn anything_like_an_answer_is_judged_and_never_ok_without_numbers(
        definition in any_definition(),
        body in like_an_answer(),
        now_ms in prop_oneof![Just(NOW_MS), any::<i64>()],
    ) {
        let reply = Reply::Answered(answer(200, body.as_bytes()));
        assert_sound(&judge_answer(&definition, &reply, now_ms));
    }
}

/// As clustered stores that speak the same API say it, beside the data or in it.
#[test]
fn an_answer_that_says_it_is_not_whole_is_partial() {
    let whole = matrix(&[("", &["1", "1", "1", "1"])]);
    for (said, state) in [
        (whole.replacen("{\"status\"", "{\"isPartial\":true,\"status\"", 1), SignalState::Partial),
        (whole.replacen("\"data\":{", "\"data\":{\"isPartial\":true,", 1), SignalState::Partial),
        (whole.replacen("{\"status\"", "{\"isPartial\":\"yes\",\"status\"", 1), SignalState::Partial),
        (whole.replacen("{\"status\"", "{\"isPartial\":false,\"status\"", 1), SignalState::Ok),
        (whole.replacen("\"data\":{", "\"data\":{\"isPartial\":null,", 1), SignalState::Ok),
    ] {
        let signal = judged(&range(), &said);
        assert_eq!(signal.state, state, "{said}: {signal:?}");
        assert_eq!(signal.detail.contains("isPartial"), state == SignalState::Partial, "{signal:?}");
        assert_eq!(values(&signal), vec![1.0; 4]);
    }
}

/// Prometheus 2.48 to 2.53 puts what it has to say about a query among its warnings.
#[test]
fn an_annotation_about_the_query_says_nothing_of_missing_data() {
    let with = |warnings: &str| {
        matrix(&[("", &["1", "1", "1", "1"])]).replacen(
            "{\"status\"",
            &format!("{{\"warnings\":[{warnings}],\"status\""),
            1,
        )
    };
    let info = r#""PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"x\" (1:10)""#;
    let warning = r#""PromQL warning: bucket label \"le\" is missing or has a malformed value""#;
    assert_eq!(judged(&range(), &with(info)).state, SignalState::Ok);
    let both = judged(&range(), &with(&format!("{info},{warning}")));
    assert_eq!(both.state, SignalState::Partial, "{both:?}");
    assert!(both.detail.contains("PromQL warning: bucket label"), "{both:?}");
}
