//! What a system says of its own health: a fact of the snapshot's open list ([`crate::Snapshot::facts`]), so that policies
//! of every contract see it and none of them has to change.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The name of the fact with all [`Alarm`]s that stand.
pub const ALARMS: &str = "alarms";

/// One alarm that the system has raised and nobody has cleared. While one stands, nothing is changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Alarm {
    /// The system's own word for it, such as `NOSPACE`.
    pub kind: String,
    /// The member that raised it, by id; empty for the whole system.
    #[serde(default)]
    pub member: Arc<str>,
    /// How a person clears it, as the driver knows.
    #[serde(default)]
    pub remedy: String,
}
