//! What is true of a kind of system and the way it is actuated: data, no code (`decisions.md` D7).

use crate::change::Moment;

/// A kind of system with the way in which its members come and go.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The system's name, as in `spec.system.kind`.
    pub system: &'static str,
    /// How many members make one unit of scale (STEP-5).
    pub unit: u32,
    /// The least size at which the system works at all.
    pub min_size: u32,
    /// The greatest number of voters, where members vote (QUORUM-10).
    pub max_voters: Option<u32>,
    /// Whether members vote in the control group, so that parity and tolerance are theirs.
    pub members_vote: bool,
    /// Whether a member is registered before it is started, and so needs to be told how to join.
    pub registers_first: bool,
    /// Whether members hold data that must go elsewhere before they go.
    pub moves_data: bool,
    /// Whether the system itself chooses who leads a group next, or has to be told.
    pub picks_leader: bool,
    /// Whether the victim can be named, or is the one with the highest ordinal (IDENT-6).
    pub victim: Victim,
    /// Whether scale-in is on unless the owner says otherwise (FLOOR-4).
    pub scale_in: bool,
    /// For how long all members must have been connected before the system accepts a change, in milliseconds.
    pub connected_ms: u64,
    /// The system's own high-water mark of a disk, in thousandths (CAP-1).
    pub disk_watermark_permille: u32,
    /// Phases of adding one unit.
    pub grow: &'static [Phase],
    /// Phases of removing one unit.
    pub shrink: &'static [Phase],
    /// Facts that this system does not have: nobody looks at them. Anything else that is missing blocks.
    pub absent: &'static [Topic],
}

/// Which member goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// The one that we name.
    Named,
    /// The one with the highest ordinal.
    HighestOrdinal,
}

/// One phase of a unit.
#[derive(Debug)]
pub struct Phase {
    /// What it is for.
    pub name: PhaseName,
    /// Which check its effect must pass.
    pub moment: Moment,
    /// Whether its effect is what the system cannot take back.
    pub no_return: bool,
}

/// What a phase is for. The order is the profile's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PhaseName {
    /// The system knows of the new member, without a vote.
    Register,
    /// The platform runs the new member.
    Start,
    /// The new member has all data.
    CatchUp,
    /// The new member votes, or serves.
    Promote,
    /// One later write is known to be committed.
    Barrier,
    /// Data is spread over all members.
    Rebalance,
    /// The member takes no new data.
    Cordon,
    /// The member leads nothing.
    MoveLeaders,
    /// The member gives its data away.
    Drain,
    /// The member is known to be empty, and stays so.
    Verify,
    /// The system no longer knows the member.
    Deregister,
    /// The platform no longer runs the member.
    Stop,
    /// Everything is whole, and stays so.
    Settle,
    /// Nothing is owed.
    PayDebts,
}

impl PhaseName {
    /// The stable word for records, status and metrics.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Start => "start",
            Self::CatchUp => "catch-up",
            Self::Promote => "promote",
            Self::Barrier => "barrier",
            Self::Rebalance => "rebalance",
            Self::Cordon => "cordon",
            Self::MoveLeaders => "move-leaders",
            Self::Drain => "drain",
            Self::Verify => "verify",
            Self::Deregister => "deregister",
            Self::Stop => "stop",
            Self::Settle => "settle",
            Self::PayDebts => "pay-debts",
        }
    }
}

/// A group of facts that a rule may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each names fields of the snapshot")]
pub enum Topic {
    Fingerprint,
    Epoch,
    Owner,
    Generation,
    Size,
    Members,
    Incarnation,
    Domain,
    Leader,
    Placements,
    ConfigVersion,
    JointConfig,
    Copies,
    Operations,
    Debts,
    Hosted,
    Load,
    Disk,
    Growth,
    DrainRate,
    Cpu,
    Memory,
    Network,
    Volume,
    Lag,
    Pending,
}

const fn phase(name: PhaseName) -> Phase {
    Phase { name, moment: Moment::Step, no_return: false }
}

const fn one_way(name: PhaseName) -> Phase {
    Phase { name, moment: Moment::Destroy, no_return: true }
}

/// etcd 3.4 to 3.6. Source: etcd's runtime reconfiguration guide
/// (register first, start second; learner first; remove before stop).
pub static ETCD: Profile = Profile {
    system: "etcd",
    unit: 1,
    min_size: 1,
    // Our own default: every member confirms every write, more than seven only slow it down.
    max_voters: Some(7),
    members_vote: true,
    registers_first: true,
    moves_data: false,
    picks_leader: false,
    victim: Victim::Named,
    scale_in: true,
    // etcd's HealthInterval: before it has passed, a change is refused with "unhealthy cluster".
    connected_ms: 6_000,
    disk_watermark_permille: 1_000,
    grow: &[
        phase(PhaseName::Register),
        phase(PhaseName::Start),
        phase(PhaseName::CatchUp),
        Phase { name: PhaseName::Promote, moment: Moment::Step, no_return: true },
        phase(PhaseName::Barrier),
        phase(PhaseName::Settle),
    ],
    shrink: &[
        phase(PhaseName::MoveLeaders),
        one_way(PhaseName::Deregister),
        phase(PhaseName::Barrier),
        one_way(PhaseName::Stop),
        phase(PhaseName::Settle),
        phase(PhaseName::PayDebts),
    ],
    // Every member holds everything: nothing moves when one goes, so nobody needs room for it.
    absent: &[
        Topic::Generation,
        Topic::ConfigVersion,
        Topic::Copies,
        Topic::Hosted,
        Topic::Load,
        Topic::Disk,
        Topic::Growth,
        Topic::DrainRate,
        Topic::Cpu,
        Topic::Memory,
        Topic::Network,
        // Its settings are those that it was started with.
        Topic::Pending,
    ],
};

/// The same in the pods of a StatefulSet: the highest ordinal goes, and the controller tells what it has acted on.
pub static ETCD_ON_ORDINALS: Profile = Profile {
    victim: Victim::HighestOrdinal,
    absent: &[
        Topic::ConfigVersion,
        Topic::Copies,
        Topic::Hosted,
        Topic::Load,
        Topic::Disk,
        Topic::Growth,
        Topic::DrainRate,
        Topic::Cpu,
        Topic::Memory,
        Topic::Network,
        // Its settings are those that it was started with.
        Topic::Pending,
    ],
    ..ETCD
};

/// The simulator's quorum group: an etcd without the parts that need a network.
pub static SIM_QUORUM: Profile = Profile {
    system: "sim-quorum",
    connected_ms: 0,
    absent: &[
        Topic::ConfigVersion,
        Topic::Copies,
        Topic::Hosted,
        Topic::Load,
        Topic::Disk,
        Topic::Growth,
        Topic::DrainRate,
        Topic::Cpu,
        Topic::Memory,
        Topic::Network,
    ],
    ..ETCD
};

/// The simulator's sharded world with replication, modelled on systems that drain and then stop.
pub static SIM_SHARDED: Profile = Profile {
    system: "sim-sharded",
    unit: 1,
    min_size: 1,
    max_voters: None,
    members_vote: false,
    registers_first: false,
    moves_data: true,
    picks_leader: true,
    victim: Victim::Named,
    scale_in: true,
    connected_ms: 0,
    disk_watermark_permille: 850,
    grow: &[
        phase(PhaseName::Start),
        phase(PhaseName::CatchUp),
        Phase { name: PhaseName::Rebalance, moment: Moment::Step, no_return: true },
        phase(PhaseName::Settle),
    ],
    shrink: &[
        phase(PhaseName::Cordon),
        phase(PhaseName::MoveLeaders),
        phase(PhaseName::Drain),
        phase(PhaseName::Verify),
        one_way(PhaseName::Stop),
        phase(PhaseName::Settle),
        phase(PhaseName::PayDebts),
    ],
    absent: &[Topic::ConfigVersion, Topic::JointConfig],
};

/// The profile of a system, by the name in `spec.system.kind`, on a platform (`decisions.md` D7).
#[must_use]
pub fn find(system: &str, platform: &str) -> Option<&'static Profile> {
    let profile = [&ETCD, &SIM_QUORUM, &SIM_SHARDED].into_iter().find(|profile| profile.system == system)?;
    // A simulated world chooses its victims itself.
    Some(if platform == "kube" && profile.system == ETCD.system { &ETCD_ON_ORDINALS } else { profile })
}
