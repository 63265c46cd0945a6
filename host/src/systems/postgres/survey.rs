//! The answers of all members to one reading, and the addresses at which they gave them.

use super::reading::Answers;
use crate::systems::address::{Addresses, Endpoint};
use plimsoll_wire::snapshot::Endpoints;
use std::sync::Arc;

/// One reading of all members.
#[derive(Clone, Debug, Default)]
pub(super) struct Survey {
    /// One for each place in use, in no particular order.
    pub(super) answers: Vec<Answer>,
}

/// What one place answered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// The platform's name of the place.
    pub(super) place: Arc<str>,
    pub(super) endpoints: Endpoints,
    /// What was read, or why nothing was.
    pub(super) reading: Result<Answers, String>,
}

const ADDRESSES: Addresses = Addresses { schemes: &["postgresql://", "postgres://", "tcp://"], port: 5432 };

/// Where the daemon reaches a server.
pub(super) fn client(endpoints: &Endpoints) -> Result<Endpoint, String> {
    ADDRESSES.client(endpoints)
}

/// Where the other members reach a server.
pub(super) fn peer(endpoints: &Endpoints) -> Result<(String, u16), String> {
    ADDRESSES.peer(endpoints)
}

/// The name under which the member of a place replicates: its replication slot and its `application_name`. None where the
/// place's name cannot be made one.
pub(super) fn name_of(place: &str) -> Option<String> {
    let letter = |char: char| match char {
        'a'..='z' | '0'..='9' | '_' => Some(char),
        'A'..='Z' => Some(char.to_ascii_lowercase()),
        '-' | '.' => Some('_'),
        _ => None,
    };
    let name: Option<String> = place.chars().map(letter).collect();
    name.filter(|name| (1..=63).contains(&name.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_a_name_that_a_replication_slot_may_have() {
        assert_eq!(name_of("db-0.Lab"), Some("db_0_lab".to_owned()));
        assert_eq!(name_of("p2"), Some("p2".to_owned()));
        for place in ["", "a/b", "ä", &"a".repeat(64)] {
            assert_eq!(name_of(place), None, "{place}");
        }
    }
}
