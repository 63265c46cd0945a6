//! What is under way on the members, and what a call would overlap with: for the oracle.

use super::{Mode, Node, Sharded};
use crate::oracle::Cause;
use crate::platform::State;
use plimsoll_wire::journal::{PlatformVerb, Verb};
use std::sync::Arc;

impl Sharded {
    /// Slots whose joining or leaving is under way, and that an effect on this subject may not overlap with.
    pub(super) fn open(&self, verb: &Verb, subject: Option<usize>) -> Vec<Arc<str>> {
        let other = |slot: &usize| Some(*slot) != subject;
        let places = self.platform.places().iter().enumerate();
        let joining =
            places.filter(|(_, place)| matches!(place.state, State::Booting { .. })).map(|(at, _)| at);
        let joining: Vec<usize> = joining.filter(other).collect();
        // A member that we stopped leaves until all its copies are elsewhere.
        let is_torn = |node: &&Node| matches!(node.gone, Some(Cause::Call(_))) && !node.forgotten;
        let is_leaving =
            |node: &&Node| node.gone.is_none() && !node.forgotten && !matches!(node.mode, Mode::Serving);
        let torn = self.nodes.iter().filter(is_torn).map(|node| node.slot).filter(other);
        let leaving: Vec<usize> =
            self.nodes.iter().filter(is_leaving).map(|node| node.slot).filter(other).collect();
        // Members that come come together, and members that go give their data away together, as many as may.
        let comes = matches!(verb, Verb::Platform(PlatformVerb::Start { .. }));
        let may = |beside: &[usize]| beside.len() < self.setup.together;
        let joining = if comes && may(&joining) { Vec::new() } else { joining };
        let leaving = if !comes && may(&leaving) { Vec::new() } else { leaving };
        joining.into_iter().chain(torn).chain(leaving).map(|slot| self.platform.name(slot)).collect()
    }
}
