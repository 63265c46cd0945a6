use super::*;

fn set(text: &str) -> SyncSet {
    SyncSet::parse(text).expect("it is read").expect("somebody has to confirm")
}

fn of(method: Method, required: u32, names: &[&str]) -> SyncSet {
    SyncSet { method, required, names: names.iter().map(|name| (*name).to_owned()).collect() }
}

#[test]
fn every_form_that_the_server_takes_is_read() {
    for (text, wanted) in [
        ("p2", of(Method::First, 1, &["p2"])),
        ("p2, p3", of(Method::First, 1, &["p2", "p3"])),
        ("2 (p2, p3, p4)", of(Method::First, 2, &["p2", "p3", "p4"])),
        ("FIRST 1 (p2,p3)", of(Method::First, 1, &["p2", "p3"])),
        ("  any\t2\n( p2 ,p3 ,\"P 4\" ) ", of(Method::Any, 2, &["p2", "p3", "P 4"])),
        ("ANY 1 (\"a\"\"b\", 7)", of(Method::Any, 1, &["a\"b", "7"])),
        ("\"any\"", of(Method::First, 1, &["any"])),
    ] {
        assert_eq!(set(text), wanted, "{text}");
    }
    assert_eq!(SyncSet::parse(" "), Ok(None));
}

#[test]
fn what_is_written_is_read_as_the_same() {
    for text in ["p2", "ANY 2 (p2, \"P 4\", \"a\"\"b\", \"any\", \"7\")", "2 (x, y_1)"] {
        let read = set(text);
        assert_eq!(set(&read.to_string()), read);
    }
    assert_eq!(set("any 1 (p2,p3)").to_string(), "ANY 1 (p2, p3)");
}

#[test]
fn what_the_server_would_refuse_is_refused() {
    for text in [
        "p2,",
        ",p2",
        "p2 p3",
        "ANY (p2)",
        "ANY 1 p2",
        "ANY 0 (p2)",
        "ANY 1 ()",
        "ANY 1 (p2",
        "FIRST 1 (p2))",
        "(p2)",
        "\"p2",
        "p-2",
        "ANY 99999999999 (p2)",
        "2x",
    ] {
        assert!(SyncSet::parse(text).is_err(), "{text}");
    }
    assert!(SyncSet::parse(&"a".repeat(MOST_BYTES + 1)).is_err());
}

#[test]
fn who_is_everybody_cannot_be_told_apart() {
    let error = SyncSet::parse("ANY 1 (*)").expect_err("everybody");
    assert!(error.contains("name each one"), "{error}");
    assert!(SyncSet::parse("*").is_err());
}

#[test]
fn a_candidate_comes_last_and_only_once() {
    let more = set("FIRST 1 (p2)").with("p3").with("P3");
    assert_eq!(more, of(Method::First, 1, &["p2", "p3"]));
}

#[test]
fn nobody_is_taken_out_whom_the_rule_needs() {
    assert_eq!(set("ANY 1 (p2, p3)").without("P3"), Some(of(Method::Any, 1, &["p2"])));
    assert_eq!(set("ANY 1 (p2)").without("p2"), None);
    assert_eq!(set("ANY 2 (p2, p3)").without("p3"), None);
    assert_eq!(set("ANY 1 (p2)").without("p9"), Some(of(Method::Any, 1, &["p2"])));
}
