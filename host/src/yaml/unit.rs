//! Durations, sizes and ratios as people write them. Exact: no floating point is involved.

use super::problem::quote;
use std::time::Duration;

/// Why a text is not a value: what is wrong, and what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    pub(crate) message: String,
    pub(crate) hint: String,
}

fn unreadable<T>(message: String, hint: impl Into<String>) -> Result<T, Unreadable> {
    Err(Unreadable { message, hint: hint.into() })
}

/// From the largest to the smallest, so that `1h30m` can be told from `30m1h`.
const DURATION_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

const DURATION_HINT: &str = "write it like `30s`, `5m` or `1h30m`";

/// `30s`, `5m`, `1h30m`, `250ms`, `7d`.
pub(crate) fn duration(text: &str) -> Result<Duration, Unreadable> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let hint = match text.trim_start_matches('0') {
            "" => "write a duration with its unit, like `1s`".to_owned(),
            count => format!("write `{0}s`, `{0}m` or `{0}h`", count.get(..12).unwrap_or(count)),
        };
        return unreadable(format!("{} has no unit", quote(text)), hint);
    }
    let mut rest = text;
    let mut units = DURATION_UNITS.iter();
    let mut total_ms: u64 = 0;
    while !rest.is_empty() {
        let (digits, after) = split_digits(rest);
        let unit_len = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_len);
        let Some((_, scale)) = units.find(|(name, _)| *name == unit) else {
            return unreadable(format!("{} is not a duration", quote(text)), DURATION_HINT);
        };
        let Ok(count) = digits.parse::<u64>() else {
            return unreadable(format!("{} is not a duration", quote(text)), DURATION_HINT);
        };
        total_ms = match count.checked_mul(*scale).and_then(|ms| total_ms.checked_add(ms)) {
            Some(ms) => ms,
            None => return unreadable(format!("{} is too long", quote(text)), DURATION_HINT),
        };
        rest = next;
    }
    if text.is_empty() {
        return unreadable("is empty where a duration belongs".to_owned(), DURATION_HINT);
    }
    Ok(Duration::from_millis(total_ms))
}

/// A duration as an owner would write it.
pub(crate) fn show_duration(value: Duration) -> String {
    let mut rest = u64::try_from(value.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut shown = String::new();
    for (unit, scale) in DURATION_UNITS {
        let count = rest / scale;
        rest %= scale;
        if count > 0 {
            shown.push_str(&format!("{count}{unit}"));
        }
    }
    shown
}

const SIZE_UNITS: [(&str, u64); 9] = [
    ("", 1),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
];

/// Bytes: `1024`, `64Ki`, `10Gi` (powers of 1024), `10G` (powers of 1000), `1.5Gi`.
pub(crate) fn bytes(text: &str) -> Result<u64, Unreadable> {
    let (number, unit) = split_number(text);
    if unit == "m" {
        return unreadable(
            format!("{} is thousandths of a byte", quote(text)),
            "`m` is a thousandth; write `M` or `Mi`",
        );
    }
    let Some((_, scale)) = SIZE_UNITS.iter().find(|(name, _)| *name == unit) else {
        return unreadable(format!("{} is not a size", quote(text)), size_hint(number, unit));
    };
    match decimal(number, *scale) {
        Some(Exact::Whole(bytes)) => Ok(bytes),
        Some(Exact::Between) => unreadable(format!("{} is not a whole number of bytes", quote(text)), ""),
        Some(Exact::TooLarge) => unreadable(format!("{} is too large", quote(text)), ""),
        None => unreadable(format!("{} is not a size", quote(text)), size_hint("10", "")),
    }
}

fn size_hint(number: &str, unit: &str) -> String {
    let number = if number.is_empty() || number.len() > 12 { "10" } else { number };
    let letter =
        unit.chars().next().map(|c| c.to_ascii_uppercase()).filter(|c| "KMGT".contains(*c)).unwrap_or('G');
    let thousand = if letter == 'K' { 'k' } else { letter };
    format!("write `{number}{letter}i` (powers of 1024) or `{number}{thousand}` (powers of 1000)")
}

/// A size as an owner would write it.
pub(crate) fn show_bytes(value: u64) -> String {
    let binary = SIZE_UNITS
        .iter()
        .rev()
        .find(|(name, scale)| name.ends_with('i') && value >= *scale && value.is_multiple_of(*scale));
    match binary {
        Some((unit, scale)) => format!("{}{unit}", value / scale),
        None => value.to_string(),
    }
}

const RATIO_HINT: &str = "write it like `25%` or `0.25`";

/// Thousandths: `25%`, `0.25`, `250m`. Nothing is rounded: what is finer is refused.
pub(crate) fn permille(text: &str) -> Result<u64, Unreadable> {
    let (number, unit) = split_number(text);
    let scale = match unit {
        "" => 1_000,
        "%" => 10,
        "m" => 1,
        _ => return unreadable(format!("{} is not a ratio", quote(text)), RATIO_HINT),
    };
    match decimal(number, scale) {
        Some(Exact::Whole(permille)) => Ok(permille),
        Some(Exact::Between) => unreadable(
            format!("{} is finer than a thousandth", quote(text)),
            "write at most `12.5%` or `0.125`",
        ),
        Some(Exact::TooLarge) => unreadable(format!("{} is too large", quote(text)), RATIO_HINT),
        None => unreadable(format!("{} is not a ratio", quote(text)), RATIO_HINT),
    }
}

/// A ratio as an owner would write it.
pub(crate) fn show_permille(value: u64) -> String {
    match (value / 10, value % 10) {
        (whole, 0) => format!("{whole}%"),
        (whole, tenth) => format!("{whole}.{tenth}%"),
    }
}

/// Whole numbers without a unit.
pub(crate) fn whole(text: &str) -> Result<u64, Unreadable> {
    match text.parse::<u64>() {
        // `010` is eight to some readers and ten to others.
        Ok(value)
            if text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0')) =>
        {
            Ok(value)
        }
        Ok(_) | Err(_) => {
            unreadable(format!("{} is not a whole number", quote(text)), "write digits only, like `3`")
        }
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn split_number(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()))
}

enum Exact {
    Whole(u64),
    Between,
    TooLarge,
}

/// `number` times `scale`, exactly.
fn decimal(number: &str, scale: u64) -> Option<Exact> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    // 19 digits are what a u64 holds; the product is taken in 128 bits.
    if whole.len() > 19 || fraction.len() > 18 {
        return Some(if whole.len() > 19 { Exact::TooLarge } else { Exact::Between });
    }
    let parts = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let numerator = whole.parse::<u128>().ok()? * parts + format!("0{fraction}").parse::<u128>().ok()?;
    let product = numerator.checked_mul(u128::from(scale));
    Some(match product {
        None => Exact::TooLarge,
        Some(product) if product % parts != 0 => Exact::Between,
        Some(product) => u64::try_from(product / parts).map_or(Exact::TooLarge, Exact::Whole),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations_as_people_write_them() {
        for (text, ms) in [
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("250ms", 250),
            ("7d", 604_800_000),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in
            ["", "s", "5", "5 s", "-5s", "1.5h", "30m1h", "1h1h", "5S", "NaN", "99999999999999999999s", "1h5"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read_back() {
        for ms in [0, 1, 999, 1_000, 61_000, 5_400_000, 90_061_001] {
            let value = Duration::from_millis(ms);
            assert_eq!(duration(&show_duration(value)), Ok(value));
        }
        for value in [0, 1, 1_023, 1_024, 3 << 30, 10_000_000_000] {
            assert_eq!(bytes(&show_bytes(value)), Ok(value));
        }
        for value in [0, 1, 250, 955, 1_000, 2_000] {
            assert_eq!(permille(&show_permille(value)), Ok(value));
        }
    }

    #[test]
    fn tells_powers_of_1000_from_powers_of_1024() {
        assert_eq!(bytes("10G"), Ok(10_000_000_000));
        assert_eq!(bytes("10Gi"), Ok(10 << 30));
        assert_eq!(bytes("1.5Gi"), Ok(3 << 29));
        assert_eq!(bytes("1024"), Ok(1024));
        for text in ["", "10GB", "500m", "1.5", "-1", "1e6", "18446744073709551616", ".5Gi", "1..5Gi", "NaN"]
        {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_ratio_is_exact_or_refused() {
        for (text, value) in
            [("25%", 250), ("0.25", 250), ("250m", 250), ("12.5%", 125), ("1", 1_000), ("2.0", 2_000)]
        {
            assert_eq!(permille(text), Ok(value), "{text}");
        }
        for text in ["", "0.0001", "12.34%", ".nan", ".inf", "-0.1", "1e-3", "25 %", "0x10"] {
            assert!(permille(text).is_err(), "{text}");
        }
    }
}
