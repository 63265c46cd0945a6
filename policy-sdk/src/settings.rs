//! Settings of a policy, checked as a whole: an owner hears of every mistake at once, and an unknown key is a
//! mistake, because it is most often a misspelt one.

use crate::{Refusal, Snapshot, refusal};
use serde_json::{Map, Value};

/// Reads the keys of `target.settings` one by one and collects what is wrong with them.
#[derive(Debug)]
pub struct Settings<'a> {
    map: Option<&'a Map<String, Value>>,
    known: Vec<&'static str>,
    problems: Vec<(String, String)>,
}

impl<'a> Settings<'a> {
    /// The settings of the snapshot's target. `null` is an empty object.
    #[must_use]
    pub fn of(input: &'a Snapshot) -> Self {
        let mut problems = Vec::new();
        if !input.target.settings.is_object() && !input.target.settings.is_null() {
            problems.push((String::new(), "settings must be an object".to_owned()));
        }
        Self { map: input.target.settings.as_object(), known: Vec::new(), problems }
    }

    fn value(&mut self, key: &'static str) -> Option<&'a Value> {
        self.known.push(key);
        self.map.and_then(|map| map.get(key)).filter(|value| !value.is_null())
    }

    /// Notes what is wrong with a key that the policy checks itself, as the rest of "KEY must be ...".
    pub fn wrong(&mut self, key: &str, expected: &str) {
        self.problems.push((key.to_owned(), format!("{key} must be {expected}")));
    }

    /// A text that is not empty.
    pub fn text(&mut self, key: &'static str, default: Option<&'a str>) -> &'a str {
        match self.value(key) {
            Some(Value::String(text)) if !text.is_empty() => text,
            None if default.is_some() => default.unwrap_or_default(),
            _ => {
                self.wrong(key, "a text that is not empty");
                ""
            }
        }
    }

    /// One of several words; the first is the default.
    pub fn word(&mut self, key: &'static str, words: &[&'static str]) -> &'static str {
        let default = words.first().copied().unwrap_or_default();
        let found = match self.value(key) {
            None => Some(default),
            Some(value) => words.iter().copied().find(|word| value.as_str() == Some(word)),
        };
        found.unwrap_or_else(|| {
            self.wrong(key, &format!("one of {}", words.join(", ")));
            default
        })
    }

    /// A number above zero, without a default.
    pub fn positive(&mut self, key: &'static str) -> f64 {
        match self.value(key).and_then(Value::as_f64) {
            Some(number) if number > 0.0 => number,
            _ => {
                self.wrong(key, "a number above 0");
                1.0
            }
        }
    }

    /// A number above zero, where there is one.
    pub fn number(&mut self, key: &'static str) -> Option<f64> {
        let value = self.value(key)?;
        let number = value.as_f64().filter(|number| *number > 0.0);
        if number.is_none() {
            self.wrong(key, "a number above 0");
        }
        number
    }

    /// A duration such as `30s`, `5m` or `2h`, from one second to a day, in milliseconds.
    pub fn duration_ms(&mut self, key: &'static str, default_ms: u64) -> u64 {
        let found = match self.value(key) {
            None => Some(default_ms),
            Some(value) => value.as_str().and_then(duration_ms),
        };
        found.unwrap_or_else(|| {
            self.wrong(key, "a duration from 1s to 24h, such as 30s, 5m or 2h");
            default_ms
        })
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// `BadSettings` with every mistake, in order of the keys.
    pub fn finish(mut self) -> Result<(), Refusal> {
        for key in self.map.iter().flat_map(|map| map.keys()) {
            if !self.known.contains(&key.as_str()) {
                self.problems.push((key.clone(), format!("{key} is not a setting of this policy")));
            }
        }
        if self.problems.is_empty() {
            return Ok(());
        }
        self.problems.sort();
        let sentences: Vec<String> = self.problems.into_iter().map(|(_, sentence)| sentence).collect();
        Err(refusal("BadSettings", sentences.join("; ")))
    }
}

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

fn duration_ms(text: &str) -> Option<u64> {
    let unit = match text.as_bytes().last()? {
        b's' => 1_000,
        b'm' => 60_000,
        b'h' => 3_600_000,
        _ => return None,
    };
    let digits = text.get(..text.len() - 1)?;
    if digits.is_empty() || digits.len() > 6 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let duration = digits.parse::<u64>().ok()? * unit;
    (1_000..=DAY_MS).contains(&duration).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::snapshot;

    #[test]
    fn a_duration_is_a_whole_number_with_one_unit() {
        for (text, expected) in [("30s", Some(30_000)), ("5m", Some(300_000)), ("24h", Some(DAY_MS))] {
            assert_eq!(duration_ms(text), expected, "{text}");
        }
        for text in ["", "s", "0s", "25h", "1.5h", "-1s", "+1s", "1d", "1h30m", "5", "9999999s", "1é"] {
            assert_eq!(duration_ms(text), None, "{text}");
        }
    }

    #[test]
    fn every_mistake_is_reported_at_once_in_order_of_the_keys() {
        let input = snapshot()
            .settings(serde_json::json!({"zone": 1, "target": "much", "aggregate": "median", "alpha": null}))
            .build();
        let mut settings = Settings::of(&input);
        settings.positive("target");
        settings.word("aggregate", &["avg", "max"]);
        let refusal = settings.finish().expect_err("four mistakes");
        assert_eq!(
            refusal.reason.message,
            "aggregate must be one of avg, max; alpha is not a setting of this policy; \
             target must be a number above 0; zone is not a setting of this policy"
        );
    }

    #[test]
    fn settings_that_are_no_object_are_refused() {
        let input = snapshot().settings(serde_json::json!([1])).build();
        let refusal = Settings::of(&input).finish().expect_err("a list");
        assert_eq!(refusal.reason.code, "BadSettings");
        assert_eq!(refusal.reason.message, "settings must be an object");
    }
}
