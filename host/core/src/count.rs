//! Numbers of things, in words: `1 member`, `3 members`, `1 copy`, `2 copies`.

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

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn one_is_singular_and_every_other_number_is_plural() {
        let told =
            [count(1_u32, "member"), count(0_u32, "member"), count(2_u64, "copy"), count(1_u8, "loss")];
        assert_eq!(told, ["1 member", "0 members", "2 copies", "1 loss"]);
        assert_eq!(count(3_u32, "loss"), "3 losses");
    }
}
