//! Looks over a query for what is legal and still nearly always a mistake.

use super::definition::SignalDefinition;

/// Functions that make something of a counter that does not only grow.
const TAKES_COUNTERS: [&str; 11] = [
    "rate",
    "irate",
    "increase",
    "resets",
    "changes",
    "absent",
    "absent_over_time",
    "count",
    "count_over_time",
    "present_over_time",
    "timestamp",
];
/// Functions that take a counter and do not know that it restarts.
const MISREADS_COUNTERS: [&str; 4] = ["delta", "idelta", "deriv", "predict_linear"];
/// Words before a list of labels.
const LABEL_LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// Warnings on the query of `definition`, for `check`: each one sentence with what to do. It reads names, not
/// types, so it warns and never refuses.
#[must_use]
pub fn lint(definition: &SignalDefinition) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut takes_rate = false;
    for Use { name, inside } in uses(&definition.query) {
        let is_counter = name.ends_with("_total");
        if inside.iter().any(|function| matches!(*function, "rate" | "irate" | "increase")) {
            takes_rate = true;
        }
        if let Some(function) = inside.iter().find(|function| MISREADS_COUNTERS.contains(function)) {
            if is_counter {
                warnings.push(format!(
                    "{function}() does not know that the counter {name} restarts at zero and then turns negative; use increase() or rate()"
                ));
            }
        } else if is_counter
            && !definition.counter
            && !inside.iter().any(|function| TAKES_COUNTERS.contains(function))
        {
            warnings.push(format!(
                "{name} is a counter and only ever grows; use rate({name}[1m]), or declare `counter: true` if the policy takes differences itself"
            ));
        }
    }
    if definition.counter && takes_rate {
        warnings.push(
            "`counter: true` on a rate, which may fall: every fall would be taken for a restart; remove it"
                .to_owned(),
        );
    }
    warnings.dedup();
    warnings
}

/// A metric name and the functions around it, outermost first.
struct Use<'a> {
    name: &'a str,
    inside: Vec<&'a str>,
}

/// All metric names of a query outside of strings, comments, selectors and lists of labels.
fn uses(query: &str) -> Vec<Use<'_>> {
    let mut found = Vec::new();
    let mut inside: Vec<&str> = Vec::new();
    let mut rest = query;
    while let Some(c) = rest.chars().next() {
        rest = match c {
            '"' | '\'' | '`' => after_string(rest, c),
            '#' => rest.split_once('\n').map_or("", |(_, after)| after),
            '{' => after_selector(rest),
            '(' => {
                inside.push("");
                &rest[1..]
            }
            ')' => {
                inside.pop();
                &rest[1..]
            }
            _ if c.is_ascii_alphabetic() || c == '_' || c == ':' => {
                let end = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
                let (name, after) = rest.split_at(end);
                match after.trim_start().strip_prefix('(') {
                    Some(_) if LABEL_LISTS.contains(&name) => {
                        after.split_once(')').map_or("", |(_, after)| after)
                    }
                    Some(within) => {
                        inside.push(name);
                        within
                    }
                    None => {
                        found.push(Use { name, inside: inside.clone() });
                        after
                    }
                }
            }
            // A number with its unit, such as `5m`, is not a name.
            _ if c.is_ascii_digit() => rest.trim_start_matches(|c: char| is_name(c) || c == '.'),
            _ => &rest[c.len_utf8()..],
        };
    }
    found
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

fn after_string(text: &str, quote: char) -> &str {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' && quote != '`' {
            escaped = true;
        } else if c == quote {
            return &text[at + c.len_utf8()..];
        }
    }
    ""
}

fn after_selector(text: &str) -> &str {
    let mut rest = &text[1..];
    while let Some(c) = rest.chars().next() {
        rest = match c {
            '}' => return &rest[1..],
            '"' | '\'' | '`' => after_string(rest, c),
            _ => &rest[c.len_utf8()..],
        };
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(query: &str) -> Vec<String> {
        lint(&SignalDefinition::new("load", "main", query))
    }

    #[test]
    fn warns_of_a_raw_counter() {
        let found = warnings("sum by (instance) (http_requests_total{code=~\"5..\"})");
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("http_requests_total is a counter"), "{found:?}");
    }

    #[test]
    fn is_content_with_rates_gauges_and_recorded_rates() {
        for query in [
            "sum(rate(http_requests_total{job=\"a\"}[5m]))",
            "sum by (le_total) (increase(a_total[1m])) / 5",
            "job:http_requests_total:rate5m",
            "queue_length + 3m_total",
            "up{job=\"x_total)\"} # http_requests_total",
            "max_over_time(rate (a_total[1m])[5m:])",
            "label_replace(up, \"a\", \"b_total\", '', 'c\\'_total')",
        ] {
            assert_eq!(warnings(query), Vec::<String>::new(), "{query}");
        }
    }

    #[test]
    fn warns_of_a_delta_of_a_counter() {
        assert!(warnings("delta(a_total[5m])")[0].starts_with("delta() does not know"));
    }

    #[test]
    fn a_declared_counter_may_be_raw_but_not_a_rate() {
        let counter =
            |query| lint(&SignalDefinition { counter: true, ..SignalDefinition::new("a", "b", query) });
        assert_eq!(counter("a_total"), Vec::<String>::new());
        assert_eq!(counter("rate(a_total[1m])").len(), 1);
    }

    #[test]
    fn reads_broken_queries_to_their_end() {
        for query in ["sum(", ")))", "a{b=\"", "'\\", "{", "#", "é_total", "sum by (x", "5m_total("] {
            let _ = warnings(query);
        }
    }
}
