//! Announces to the targets' machines whether this daemon leads.

use super::Daemon;
use crate::leadership::Election;
use plimsoll_core::cycle::Event;

impl Daemon {
    /// Publishes who leads, and announces it to the targets' machines.
    pub(super) fn stand(&mut self, election: &mut Election) {
        self.published.set_standing(election.standing());
        for role in election.news() {
            if role == self.role {
                continue;
            }
            self.role = role;
            for key in self.targets.keys().cloned().collect::<Vec<_>>() {
                self.deliver(&key, None, Event::Role(self.role.clone()));
            }
        }
    }
}
