//! Words that readers of YAML 1.1 (Helm, kubectl, kustomize) take for something else than the text that stands there: `no` for a
//! switch, `010` for eight, `1:30` for ninety. A document that means one thing here and another there is refused.

/// What others take unquoted text for, where we read text; none where all read the same.
pub(crate) fn taken_for(text: &str) -> Option<&'static str> {
    const SWITCHES: [&str; 10] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "~"];
    if SWITCHES.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return Some("a switch");
    }
    if is_date(text) {
        return Some("a time");
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_odd = digits != text && is_digits(digits);
    let is_number = is_odd || is_told_otherwise(digits) || is_fraction(digits);
    is_number.then_some("a number")
}

/// Whether a word means that a target is switched off, in the eyes of any reader.
pub(crate) fn is_off(text: &str, plain: bool) -> bool {
    text == "off" || (plain && ["off", "false", "no", "n"].iter().any(|word| text.eq_ignore_ascii_case(word)))
}

/// What others take unquoted text for, where we read numbers, switches and text as YAML 1.2 has them.
pub(crate) fn read_otherwise(text: &str) -> Option<&'static str> {
    let is_ours = ["true", "false", "null", "~"].iter().any(|word| text.eq_ignore_ascii_case(word));
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_same = is_ours || (!is_told_otherwise(digits) && taken_for(text) == Some("a number"));
    // Hexadecimal is the same everywhere.
    if is_same || is_hexadecimal(digits) { None } else { taken_for(text) }
}

/// A number to the readers of one version that is another one, or text, to those of the other.
fn is_told_otherwise(digits: &str) -> bool {
    let all = |radix, text: &str| text.chars().all(|c| c.is_digit(radix) || c == '_') && !text.is_empty();
    let in_radix = |prefix, radix| digits.strip_prefix(prefix).is_some_and(|rest| all(radix, rest));
    let begins = digits.starts_with(|c: char| c.is_ascii_digit());
    let leading_zero = digits.len() > 1 && digits.starts_with('0') && all(10, digits);
    let spaced = digits.contains('_') && digits.chars().all(|c| c.is_ascii_digit() || c == '_' || c == '.');
    begins && (leading_zero || spaced || is_sexagesimal(digits))
        || in_radix("0b", 2)
        || in_radix("0o", 8)
        || in_radix("0x", 16)
}

fn is_hexadecimal(digits: &str) -> bool {
    digits.strip_prefix("0x").is_some_and(|rest| rest.chars().all(|c| c.is_ascii_hexdigit()))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `1:30`, `190:20:30.15`: each part but the first below sixty.
fn is_sexagesimal(text: &str) -> bool {
    let whole = text.split_once('.').map_or(text, |(whole, part)| if is_digits(part) { whole } else { text });
    let mut parts = whole.split(':');
    let first = parts.next().is_some_and(is_digits);
    let rest: Vec<&str> = parts.collect();
    let below_sixty = |part: &&str| is_digits(part) && part.parse::<u8>().is_ok_and(|part| part < 60);
    first && !rest.is_empty() && rest.iter().all(below_sixty)
}

fn is_fraction(digits: &str) -> bool {
    let begins = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let is_fraction = begins && !is_digits(digits) && digits.parse::<f64>().is_ok();
    is_fraction || [".inf", ".nan"].iter().any(|word| digits.eq_ignore_ascii_case(word))
}

/// `2026-02-01`, with or without a time of the day behind it.
fn is_date(text: &str) -> bool {
    let (date, rest) = text.split_at(text.find(['T', 't', ' ']).unwrap_or(text.len()));
    let parts: Vec<&str> = date.split('-').collect();
    let lengths = matches!(parts[..], [year, month, day]
        if year.len() == 4 && (1..=2).contains(&month.len()) && (1..=2).contains(&day.len()));
    let rest = rest.trim_start_matches(['T', 't', ' ']);
    lengths
        && parts.iter().all(|part| is_digits(part))
        && (rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_others_read_otherwise_is_told_from_text_that_all_read_the_same() {
        for text in ["off", "Off", "ON", "yes", "no", "y", "N", "true", "False"] {
            assert_eq!(taken_for(text), Some("a switch"), "{text}");
        }
        for text in
            ["0123", "08", "1_000", "1:30", "190:20:30", "0x1f", "0o17", "0b11", "1.5", "1e3", "+5", ".inf"]
        {
            assert_eq!(taken_for(text), Some("a number"), "{text}");
        }
        for text in ["2026-02-01", "2026-2-1", "2026-02-01T12:00:00Z", "2026-02-01 12:00:00"] {
            assert_eq!(taken_for(text), Some("a time"), "{text}");
        }
        for text in [
            "orders",
            "a-1",
            "17",
            "0",
            "1.2.3.4",
            "10.0.0.0/8",
            "1:70",
            "30s",
            "1h30m",
            "none",
            "2026-02",
            "",
        ] {
            assert_eq!(taken_for(text), None, "{text}");
        }
    }

    #[test]
    fn where_numbers_are_read_as_numbers_only_those_are_refused_that_others_read_otherwise() {
        for text in ["off", "yes", "n", "0123", "-010", "1_000", "1:30", "0o17", "0b11", "2026-02-01"] {
            assert!(read_otherwise(text).is_some(), "{text}");
        }
        for text in ["true", "False", "17", "-1", "+5", "1.5", "1e3", "0x1f", "0", "orders", "1h30m"] {
            assert_eq!(read_otherwise(text), None, "{text}");
        }
    }
}
