//! Which cluster it is. Redis has no name for one.
//!
//! The name is the id of the node in the first place, and it is kept for as long as more than half of the nodes stay the same
//! from one reading to the next: then shards may come and go, also the first one, and it is still this cluster. Where most of
//! the nodes are others at once, it is another cluster. Two clusters in the places of one are no name at all (`view`). A node
//! that was replaced is another member, and rules about members say so.

use std::collections::BTreeSet;

/// What is remembered from one reading to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lineage {
    /// The cluster's name.
    pub(super) name: String,
    members: BTreeSet<String>,
}

/// The cluster of these members, in the order of their places, after what was known before.
pub(super) fn follow(before: Option<Lineage>, members: &[&str]) -> Option<Lineage> {
    let first = members.first()?;
    let now: BTreeSet<String> = members.iter().map(|id| (*id).to_owned()).collect();
    let name = match before {
        Some(before) if before.members.intersection(&now).count() * 2 > before.members.len() => before.name,
        Some(_) | None => (*first).to_owned(),
    };
    Some(Lineage { name, members: now })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn then(before: Option<Lineage>, members: &[&str]) -> Lineage {
        follow(before, members).expect("members")
    }

    #[test]
    fn a_cluster_keeps_its_name_while_its_members_come_and_go() {
        let mut lineage = then(None, &["b", "c", "d", "e", "f", "g"]);
        for members in
            [&["a", "b", "c", "d", "e", "f", "g"][..], &["a", "c", "d", "e", "f"], &["h", "d", "e", "f"]]
        {
            lineage = then(Some(lineage), members);
            assert_eq!(lineage.name, "b");
        }
    }

    #[test]
    fn a_cluster_of_which_half_was_replaced_at_once_is_another() {
        let before = then(None, &["a", "b", "c", "d"]);
        assert_eq!(then(Some(before.clone()), &["b", "a", "x", "d"]).name, "a");
        assert_eq!(then(Some(before), &["w", "a", "b", "x"]).name, "w");
        assert_eq!(follow(None, &[]), None);
    }
}
