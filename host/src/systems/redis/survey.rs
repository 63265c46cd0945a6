//! The answers of all nodes to one reading, and the addresses at which they gave them.

use super::reading::{Answers, Side};
use crate::systems::address::{Addresses, Endpoint};
use plimsoll_wire::snapshot::Endpoints;
use std::sync::Arc;

/// One reading of all nodes.
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

impl Survey {
    /// Replicas that have less than their masters had when they were asked: which answers, where they are asked again, and how
    /// far they are to come.
    pub(super) fn behind(&self) -> Vec<(usize, Endpoint, u64)> {
        let answers = || self.answers.iter().filter_map(|answer| answer.reading.as_ref().ok());
        let end_of = |id: &str| match answers().find(|read| read.id == id)?.side {
            Side::Master { offset, .. } => Some(offset),
            Side::Replica { .. } => None,
        };
        let behind = |answer: &Answer| {
            let read = answer.reading.as_ref().ok()?;
            let end = end_of(read.view.own()?.master.as_deref()?)?;
            let at = client(&answer.endpoints).ok()?;
            matches!(read.side, Side::Replica { linked: true, offset } if offset < end).then_some((at, end))
        };
        let each = self.answers.iter().enumerate();
        each.filter_map(|(index, answer)| behind(answer).map(|(at, end)| (index, at, end))).collect()
    }
}

const ADDRESSES: Addresses = Addresses { schemes: &["redis://", "rediss://", "tcp://"], port: 6379 };

/// Where the daemon reaches a node.
pub(super) fn client(endpoints: &Endpoints) -> Result<Endpoint, String> {
    ADDRESSES.client(endpoints)
}

/// Where the other nodes reach a node.
pub(super) fn peer(endpoints: &Endpoints) -> Result<(String, u16), String> {
    ADDRESSES.peer(endpoints)
}
