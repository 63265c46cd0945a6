//! What the owner has paused in the target's document: one direction, or every size but one.

use crate::change::Direction;
use plimsoll_wire::record::{Wish, Wisher};
use plimsoll_wire::size::Sizes;

/// The pauses in force, each with who and why in the owner's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pauses {
    /// No member goes.
    pub scale_in: Option<String>,
    /// No member comes.
    pub scale_out: Option<String>,
    /// So many members, whatever anybody wishes; the invariants have the last word.
    pub size: Option<(u32, String)>,
}

impl Pauses {
    /// Why nothing goes in a direction.
    #[must_use]
    pub fn bars(&self, direction: Option<Direction>) -> Option<&str> {
        match direction {
            Some(Direction::In) => self.scale_in.as_deref(),
            Some(Direction::Out) => self.scale_out.as_deref(),
            None => None,
        }
    }

    /// What remains of a wish, given the size that there is. A pause leaves no wish at all: silence, which neither
    /// withdraws a plan nor carries one on.
    #[must_use]
    pub fn bound(&self, wish: Wish, current: Option<u32>) -> Wish {
        let wish = match &self.size {
            None => wish,
            Some((members, why)) => Wish {
                sizes: Sizes::of_members(*members),
                from: Wisher::Person,
                rule: format!("the document keeps it at {members}: {why}"),
            },
        };
        let direction = current.zip(wish.sizes.members).and_then(|(from, to)| Direction::between(from, to));
        let way = match direction {
            Some(Direction::In) => "scale-in",
            Some(Direction::Out) => "scale-out",
            None => return wish,
        };
        match self.bars(direction) {
            None => wish,
            Some(why) => Wish {
                sizes: Sizes::default(),
                from: Wisher::Person,
                rule: format!("{way} is paused: {why}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(members: Option<u32>) -> Wish {
        Wish {
            sizes: members.into(),
            from: Wisher::Policy("load".to_owned()),
            rule: "all agree to a decrease".to_owned(),
        }
    }

    #[test]
    fn one_direction_is_barred_and_the_other_is_free() {
        let pauses = Pauses { scale_in: Some("ann: backup".to_owned()), ..Pauses::default() };
        let barred = pauses.bound(wish(Some(3)), Some(5));
        assert_eq!((barred.sizes.members, &*barred.rule), (None, "scale-in is paused: ann: backup"));
        for free in [Some(7), Some(5), None] {
            assert_eq!(pauses.bound(wish(free), Some(5)), wish(free));
        }
        let pauses = Pauses { scale_out: Some("bob: no money".to_owned()), ..Pauses::default() };
        assert_eq!(pauses.bound(wish(Some(7)), Some(5)).rule, "scale-out is paused: bob: no money");
        assert_eq!(pauses.bound(wish(Some(3)), Some(5)), wish(Some(3)));
    }

    #[test]
    fn a_size_outranks_every_wish_and_a_barred_direction_outranks_the_size() {
        let size = Some((5, "ann: campaign".to_owned()));
        let pauses = Pauses { size, ..Pauses::default() };
        let kept = pauses.bound(wish(Some(3)), Some(3));
        assert_eq!((kept.sizes.members, &kept.from), (Some(5), &Wisher::Person));
        assert_eq!(kept.rule, "the document keeps it at 5: ann: campaign");
        assert_eq!(pauses.bound(wish(None), None).sizes.members, Some(5));
        let pauses = Pauses { scale_out: Some("bob".to_owned()), ..pauses };
        assert_eq!(pauses.bound(wish(Some(3)), Some(3)).sizes.members, None);
    }
}
