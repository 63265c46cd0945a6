//! Three-valued logic: a guard passes only on [`Truth::True`].

use plimsoll_wire::fact::Fact;

/// Kleene's third value is "nobody knows".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It is not so.
    False,
    /// Nobody knows.
    Unknown,
    /// It is so.
    True,
}

impl Truth {
    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::False, _) | (_, Self::False) => Self::False,
            (Self::True, Self::True) => Self::True,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
        }
    }

    /// Either.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::True, _) | (_, Self::True) => Self::True,
            (Self::False, Self::False) => Self::False,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
        }
    }

    /// The opposite; nobody knows the opposite of what nobody knows.
    #[must_use]
    pub fn negate(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
        }
    }

    /// All of them: true of none at all.
    pub fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        parts.into_iter().fold(Self::True, Self::and)
    }

    /// Whether a guard passes.
    #[must_use]
    pub fn passes(self) -> bool {
        self == Self::True
    }
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

/// What a fact says about a question.
pub trait Ask<T> {
    /// The answer where the value is known; "nobody knows" otherwise, also where the fact does not apply.
    fn ask(&self, question: impl FnOnce(&T) -> bool) -> Truth;
}

impl<T> Ask<T> for Fact<T> {
    fn ask(&self, question: impl FnOnce(&T) -> bool) -> Truth {
        match self {
            Self::Known(known) => question(&known.value).into(),
            Self::Unknown { .. } | Self::NotApplicable => Truth::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Truth::{False, True, Unknown};

    #[test]
    fn unknown_never_passes_and_false_outranks_it() {
        assert_eq!(Unknown.and(True), Unknown);
        assert_eq!(Unknown.and(False), False);
        assert_eq!(Unknown.or(True), True);
        assert_eq!(Unknown.or(False), Unknown);
        assert_eq!(Unknown.negate(), Unknown);
        assert!(!Unknown.passes());
    }
}
