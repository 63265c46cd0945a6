//! The effects on the world, in two halves: what the platform does, and what the data system does.
//!
//! In JSON a verb is flat: its word stands under `verb`, its arguments beside it. Who carries it out, and which harm an
//! unanswered one can do, follows from its half; no driver lists the verbs of the other half.

use crate::snapshot::Endpoints;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One effect on the world, with absolute arguments and the precondition that the server checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(
    untagged,
    expecting = "no verb of a platform or of a data system, or arguments that it does not have"
)]
pub enum Verb {
    /// The platform changes what runs.
    Platform(PlatformVerb),
    /// The data system changes its members, roles or data.
    System(SystemVerb),
}

/// The fact that tells what the member that was registered last needs to join.
pub const JOIN: &str = "join";

/// What a new member needs to join, as the system's driver tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Join {
    /// Whether it joins what there is; a member that does not founds another cluster (IDENT-7).
    pub existing: bool,
    /// Addresses of members that it is told of, as their places' endpoints have them.
    #[serde(default)]
    pub contacts: Vec<String>,
    /// What its start command reads, in the system's own words.
    #[serde(default)]
    pub payload: serde_json::Value,
}

/// An effect of a platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "verb", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum PlatformVerb {
    /// Start the member of a slot, joining the existing cluster.
    Start {
        /// Where.
        slot: Arc<str>,
        /// The absolute number of members afterwards.
        size_after: u32,
        /// What the member needs to join, from the system's driver; absent where it needs nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        join: Option<Join>,
    },
    /// Stop the member of a slot for good, keeping its volume.
    Stop {
        /// Where.
        slot: Arc<str>,
        /// Whom.
        member: Arc<str>,
        /// The absolute number of members afterwards.
        size_after: u32,
    },
}

/// An effect of a data system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "verb", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum SystemVerb {
    /// Register a new member as a learner that is not started yet.
    Register {
        /// Where it will run.
        slot: Arc<str>,
        /// How it will be reached, by purpose.
        endpoints: Endpoints,
    },
    /// Let a process that runs already into the membership. It holds nothing yet.
    Admit {
        /// Where it runs.
        slot: Arc<str>,
        /// How it is reached, by purpose.
        endpoints: Endpoints,
    },
    /// Give a caught-up learner its vote.
    Promote {
        /// Whom.
        member: Arc<str>,
    },
    /// Move leadership of a group from one member to another. A row of the snapshot that stands for several groups is named
    /// by its own: then all of them move that `from` leads.
    MoveLeader {
        /// Of which group.
        group: Arc<str>,
        /// From whom.
        from: Arc<str>,
        /// To whom; absent where the system chooses among the members that hold the group in sync.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Arc<str>>,
    },
    /// Place no new data on this member.
    Cordon {
        /// Whom.
        member: Arc<str>,
    },
    /// Take a cordon back.
    Uncordon {
        /// Whom.
        member: Arc<str>,
    },
    /// Move the next part of what this member holds onto others, until it holds nothing.
    Drain {
        /// Whom.
        member: Arc<str>,
    },
    /// Take a drain back.
    CancelDrain {
        /// Whom.
        member: Arc<str>,
    },
    /// Remove the member from the membership.
    Deregister {
        /// Whom.
        member: Arc<str>,
    },
    /// Commit one write, so that a change of membership is known to be committed.
    Barrier,
    /// Spread the data over all members.
    Rebalance,
    /// Move the next part of what these members should hold onto them, until each has an even share.
    Spread {
        /// Onto whom.
        onto: Vec<Arc<str>>,
    },
    /// Release what is kept for a member.
    PayDebt {
        /// For whom.
        member: Arc<str>,
        /// What.
        kind: String,
    },
}

/// What an effect means for who the members are. Rules ask this and do not list verbs: a new verb is thought about
/// here, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembershipEffect {
    /// A new member is known to the system, without a vote.
    Joins,
    /// The process of a new member comes up.
    Runs,
    /// A member gets its vote.
    Votes,
    /// A member is removed from the membership.
    Leaves,
    /// The process of a member ends for good.
    Ends,
    /// The members stay who they are; roles and data may move.
    Stays,
}

impl Verb {
    /// The stable word for metrics, records and docs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Platform(verb) => verb.kind(),
            Self::System(verb) => verb.kind(),
        }
    }

    /// What it means for who the members are.
    #[must_use]
    pub fn membership_effect(&self) -> MembershipEffect {
        match self {
            Self::Platform(verb) => verb.membership_effect(),
            Self::System(verb) => verb.membership_effect(),
        }
    }

    /// Whether it takes a member out of the membership, or ends its process.
    #[must_use]
    pub fn ends(&self) -> bool {
        matches!(self.membership_effect(), MembershipEffect::Leaves | MembershipEffect::Ends)
    }

    /// Whether the platform carries it out. An unanswered effect of a platform can still arrive when a later one has
    /// been seen, so the target is fenced before anything else is done.
    #[must_use]
    pub fn is_platform(&self) -> bool {
        matches!(self, Self::Platform(_))
    }

    /// How many members there are afterwards, where the platform changes that.
    #[must_use]
    pub fn size_after(&self) -> Option<u32> {
        match self {
            Self::Platform(
                PlatformVerb::Start { size_after, .. } | PlatformVerb::Stop { size_after, .. },
            ) => Some(*size_after),
            Self::System(_) => None,
        }
    }
}

impl PlatformVerb {
    /// The stable word for metrics, records and docs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Stop { .. } => "stop",
        }
    }

    /// What it means for who the members are.
    #[must_use]
    pub fn membership_effect(&self) -> MembershipEffect {
        match self {
            Self::Start { .. } => MembershipEffect::Runs,
            Self::Stop { .. } => MembershipEffect::Ends,
        }
    }
}

impl SystemVerb {
    /// The stable word for metrics, records and docs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Register { .. } => "register",
            Self::Admit { .. } => "admit",
            Self::Promote { .. } => "promote",
            Self::MoveLeader { .. } => "move-leader",
            Self::Cordon { .. } => "cordon",
            Self::Uncordon { .. } => "uncordon",
            Self::Drain { .. } => "drain",
            Self::CancelDrain { .. } => "cancel-drain",
            Self::Deregister { .. } => "deregister",
            Self::Barrier => "barrier",
            Self::Rebalance => "rebalance",
            Self::Spread { .. } => "spread",
            Self::PayDebt { .. } => "pay-debt",
        }
    }

    /// What it means for who the members are.
    #[must_use]
    pub fn membership_effect(&self) -> MembershipEffect {
        match self {
            Self::Register { .. } | Self::Admit { .. } => MembershipEffect::Joins,
            Self::Promote { .. } => MembershipEffect::Votes,
            Self::Deregister { .. } => MembershipEffect::Leaves,
            Self::MoveLeader { .. }
            | Self::Cordon { .. }
            | Self::Uncordon { .. }
            | Self::Drain { .. }
            | Self::CancelDrain { .. }
            | Self::Barrier
            | Self::Rebalance
            | Self::Spread { .. }
            | Self::PayDebt { .. } => MembershipEffect::Stays,
        }
    }
}

impl From<PlatformVerb> for Verb {
    fn from(verb: PlatformVerb) -> Self {
        Self::Platform(verb)
    }
}

impl From<SystemVerb> for Verb {
    fn from(verb: SystemVerb) -> Self {
        Self::System(verb)
    }
}
