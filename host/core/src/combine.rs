//! How several wishes become one: any hold beats every decrease; an increase beats no change beats a decrease;
//! ties go to the larger size. A person's wish outranks the policies'. A wish from outside is one among them.

use plimsoll_wire::record::{PolicyAnswer, Wish, Wisher};

/// What a wish from outside (`scale` of the target, `decisions.md` D24) is called where people read: no policy may be
/// called so, so that nobody mistakes one for the other. Nothing is decided by it.
pub const OUTSIDE: &str = "scale";

/// What happens when a policy fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// It counts as a hold: nothing shrinks.
    #[default]
    Hold,
    /// It counts as absent.
    Ignore,
    /// Nothing happens at all.
    Fail,
}

/// Combines what the policies said, given the size that there is.
#[must_use]
pub fn combine(current: Option<u32>, asked: Option<u32>, answers: &[(PolicyAnswer, OnError)]) -> Wish {
    let wish = |members: Option<u32>, from: &Wisher, rule: &str| Wish {
        sizes: members.into(),
        from: from.clone(),
        rule: rule.to_owned(),
    };
    if let Some(members) = asked {
        return wish(Some(members), &Wisher::Person, "a person's wish outranks the policies");
    }
    if let Some((failed, _)) = answers.iter().find(|(answer, on)| answer.failed && *on == OnError::Fail) {
        return wish(None, &failed.from, "a policy failed that must not");
    }
    let Some(current) = current else {
        return wish(None, &Wisher::Nobody, "the size is not known: hold");
    };
    let counted: Vec<&PolicyAnswer> = answers
        .iter()
        .filter(|(answer, on)| !(answer.failed && *on == OnError::Ignore))
        .map(|(answer, _)| answer)
        .collect();
    let largest = counted
        .iter()
        .filter_map(|answer| answer.sizes.members.map(|members| (members, answer)))
        .max_by(|a, b| a.0.cmp(&b.0).then_with(|| b.1.from.cmp(&a.1.from)));
    let holds = counted.iter().find(|answer| answer.sizes.members.is_none());
    match (largest, holds) {
        (None, None) => wish(None, &Wisher::Nobody, "no policy answered"),
        (None, Some(hold)) => wish(None, &hold.from, "hold"),
        (Some((members, answer)), _) if members > current => {
            wish(Some(members), &answer.from, "an increase beats everything")
        }
        (Some(_), Some(hold)) => wish(None, &hold.from, "a hold beats a decrease"),
        (Some((members, answer)), None) => {
            let rule =
                if members == current { "no change beats a decrease" } else { "all agree to a decrease" };
            wish(Some(members), &answer.from, rule)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(policy: &str, members: Option<u32>) -> (PolicyAnswer, OnError) {
        let answer = PolicyAnswer {
            from: Wisher::Policy(policy.to_owned()),
            module: String::new(),
            sizes: members.into(),
            reason: plimsoll_wire::proposal::Reason::default(),
            failed: false,
            fuel: 0,
        };
        (answer, OnError::Hold)
    }

    #[test]
    fn an_increase_beats_a_hold_and_a_decrease() {
        let wish = combine(Some(3), None, &[says("a", Some(2)), says("b", Some(5)), says("c", None)]);
        assert_eq!((wish.sizes.members, wish.from.policy()), (Some(5), Some("b")));
    }

    #[test]
    fn a_hold_beats_a_decrease() {
        assert_eq!(combine(Some(5), None, &[says("a", Some(3)), says("b", None)]).sizes.members, None);
    }

    #[test]
    fn the_larger_of_two_decreases_counts() {
        assert_eq!(combine(Some(7), None, &[says("a", Some(3)), says("b", Some(5))]).sizes.members, Some(5));
    }

    #[test]
    fn a_failed_policy_counts_as_a_hold_unless_it_is_to_be_ignored() {
        let mut broken = says("a", None);
        broken.0.failed = true;
        assert_eq!(combine(Some(5), None, &[broken.clone(), says("b", Some(3))]).sizes.members, None);
        broken.1 = OnError::Ignore;
        assert_eq!(combine(Some(5), None, &[broken, says("b", Some(3))]).sizes.members, Some(3));
    }

    #[test]
    fn an_unknown_size_is_a_hold() {
        assert_eq!(combine(None, None, &[says("a", Some(9))]).sizes.members, None);
    }

    #[test]
    fn a_person_outranks_the_policies() {
        let wish = combine(Some(5), Some(3), &[says("a", Some(9))]);
        assert_eq!((wish.sizes.members, wish.from), (Some(3), Wisher::Person));
    }
}
