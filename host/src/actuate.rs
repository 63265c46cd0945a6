//! Permits: what allows a driver to carry out one effect, and for how long. [`journal`] stores what must be durable
//! before it.

pub mod journal;

use std::any::Any;
use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// The permission to carry out one verb: a durable intent, and a deadline after which its outcome is unknown.
#[derive(Clone, Debug)]
pub struct Permit {
    /// `namespace/name`.
    pub target: Arc<str>,
    /// The plan that the intent belongs to.
    pub plan: Arc<str>,
    /// The intent that was journaled. It permits one effect.
    pub intent: Arc<str>,
    /// The epoch of the journal with that intent: a later one in the world means that leadership was lost.
    pub epoch: u64,
    /// How long the effect may take.
    pub deadline: Duration,
    /// The members in the data system's last direct read; none where it could not be read.
    pub membership: Option<Membership>,
}

/// Who the members of a data system are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The system's own id.
    pub cluster: Arc<str>,
    /// All members that it knows, by their ids.
    pub members: BTreeSet<Arc<str>>,
}

/// What a driver is at: its future, behind one type for all kinds.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Settings of a type that only their own kind knows, to be compared when documents are read again.
pub trait Alike: Any {
    /// Whether another value is of the same type and says the same.
    fn is_like(&self, other: &dyn Any) -> bool;
}

impl<T: Any + PartialEq> Alike for T {
    fn is_like(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<T>() == Some(self)
    }
}
