//! The fleet's movement budget: how many plans may run at once (`decisions.md` D2).

use std::collections::BTreeSet;
use std::sync::Arc;

/// Hands out permits.
#[derive(Clone, Debug)]
pub struct Arbiter {
    most: usize,
    holders: BTreeSet<Arc<str>>,
}

impl Arbiter {
    /// A budget of so many plans at once.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most: most.max(1), holders: BTreeSet::new() }
    }

    /// From now on so many plans may run at once; those that run go on.
    pub fn allow(&mut self, most: usize) {
        self.most = most.max(1);
    }

    /// Whether a target may begin a plan. One that is running already, after a restart, always may go on.
    pub fn ask(&mut self, target: &Arc<str>, resumed: bool) -> bool {
        if self.holders.contains(target) || resumed || self.holders.len() < self.most {
            self.holders.insert(target.clone());
            return true;
        }
        false
    }

    /// A plan has ended.
    pub fn give(&mut self, target: &str) {
        self.holders.remove(target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_plans_run_at_once_but_a_running_one_goes_on() {
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let mut arbiter = Arbiter::new(1);
        assert!(arbiter.ask(&a, false));
        assert!(!arbiter.ask(&b, false));
        assert!(arbiter.ask(&b, true));
        arbiter.give("a");
        arbiter.give("b");
        assert!(arbiter.ask(&b, false));
    }

    #[test]
    fn a_smaller_budget_takes_no_permit_back() {
        let (a, b, c): (Arc<str>, Arc<str>, Arc<str>) = ("a".into(), "b".into(), "c".into());
        let mut arbiter = Arbiter::new(1);
        assert!(arbiter.ask(&a, false) && !arbiter.ask(&b, false));
        arbiter.allow(2);
        assert!(arbiter.ask(&b, false));
        arbiter.allow(1);
        assert!(arbiter.ask(&a, false) && arbiter.ask(&b, false) && !arbiter.ask(&c, false));
        arbiter.give("a");
        assert!(!arbiter.ask(&c, false));
        arbiter.give("b");
        assert!(arbiter.ask(&c, false));
    }
}
