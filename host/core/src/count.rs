//! Numbers with their units, in words: `1 member`, `2 copies`, `5.0 GB`, `12 min`.

use std::fmt::Display;

/// A number with its noun, singular or plural.
#[must_use]
pub fn count(number: impl Display, noun: &str) -> String {
    let number = number.to_string();
    if number == "1" {
        return format!("{number} {noun}");
    }
    match noun.strip_suffix('y') {
        Some(stem) => format!("{number} {stem}ies"),
        None if noun.ends_with('s') => format!("{number} {noun}es"),
        None => format!("{number} {noun}s"),
    }
}

/// A number of bytes, in the decimal units of disks.
#[must_use]
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    let mut scaled = (number, 0_u64);
    let mut unit = "B";
    for next in UNITS {
        if scaled.0 < 1_000 {
            break;
        }
        scaled = (scaled.0 / 1_000, scaled.0 % 1_000 / 100);
        unit = next;
    }
    match (unit, scaled) {
        ("B", (whole, _)) => format!("{whole} B"),
        (unit, (whole @ 0..10, tenth)) => format!("{whole}.{tenth} {unit}"),
        (unit, (whole, _)) => format!("{whole} {unit}"),
    }
}

/// A time in milliseconds, in the one unit that suits it.
#[must_use]
pub fn span(ms: u64) -> String {
    match ms / 1_000 {
        0 => format!("{ms} ms"),
        seconds @ 1..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::{bytes, count, span};

    #[test]
    fn bytes_and_times_have_the_unit_that_suits_them() {
        let sizes = [0, 999, 1_000, 5_072_036_000, 84_000_000_000, u64::MAX].map(bytes);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 kB", "5.0 GB", "84 GB", "18 EB"]);
        let times = [0, 1_000, 119_999, 120_000, 7_200_000, 172_800_000].map(span);
        assert_eq!(times, ["0 ms", "1 s", "119 s", "2 min", "2 h", "2 days"]);
    }

    #[test]
    fn one_is_singular_and_every_other_number_is_plural() {
        let told =
            [count(1_u32, "member"), count(0_u32, "member"), count(2_u64, "copy"), count(1_u8, "loss")];
        assert_eq!(told, ["1 member", "0 members", "2 copies", "1 loss"]);
        assert_eq!(count(3_u32, "loss"), "3 losses");
    }
}
