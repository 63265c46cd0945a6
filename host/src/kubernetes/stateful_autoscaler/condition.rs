//! The conditions of a `StatefulAutoscaler`: which there are, what they mean, and what to do about them. The reference
//! is printed from this table.

use plimsoll_core::reason::{self, Word};
use plimsoll_wire::snapshot::Mode;
use plimsoll_wire::status::{Condition, Status};

/// One kind of condition.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Its type.
    pub kind: &'static str,
    /// What `True` means.
    pub holds: &'static str,
    /// The status that calls for somebody.
    pub calls: Option<bool>,
    /// What to do then.
    pub advice: &'static str,
    /// The reason where nothing more is to be said: for `True` and for `False`.
    pub plain: [&'static str; 2],
}

/// Reasons that are only given here, beside [`plimsoll_core::reason`] and the hazards of rules.
pub const REASONS: [Word; 4] = [
    Word {
        word: "InvalidSpec",
        means: "The document is refused; the last good document stays in force.",
        advice: "Correct what the message names.",
    },
    Word {
        word: "NothingDecided",
        means: "Nothing has been decided since a daemon took the target over.",
        advice: "Wait for the first decision; see `Ready` when it does not come.",
    },
    Word {
        word: "Paused",
        means: "A person has paused the whole target, on its plan or over the daemon's socket.",
        advice: "`kubectl plimsoll resume`, if the person who paused it agrees.",
    },
    Word {
        word: "Everything",
        means: "A person has paused the whole target, in its document or otherwise.",
        advice: "`kubectl plimsoll resume`, if the person who paused it agrees.",
    },
];

const fn known(
    kind: &'static str,
    holds: &'static str,
    calls: Option<bool>,
    advice: &'static str,
    plain: [&'static str; 2],
) -> Known {
    Known { kind, holds, calls, advice, plain }
}

/// All conditions, in the order in which they are shown.
pub const CONDITIONS: [Known; 9] = [
    known(
        "Ready",
        "The document was accepted, and the size is known.",
        Some(false),
        "`InvalidSpec`: correct what the message names. `SizeUnknown`, `NotObserved`: look at the workload and at the \
         daemon's rights. `Trouble`: the daemon has a problem; see its log.",
        ["Observed", "NotReady"],
    ),
    known(
        "Active",
        "Decisions are carried out.",
        None,
        "`DryRun`: when its decisions convince you, set `mode: enforce`. `Off`: set `mode: dryrun`. `Paused`: see `Paused`.",
        ["Enforce", "Inactive"],
    ),
    known(
        "AbleToScale",
        "The last wish was admitted, or a plan is under way.",
        None,
        "The reason is the hazard that a rule saw; find it below. `Trouble`: the daemon has a problem; see its log.",
        ["Admitted", "Refused"],
    ),
    known(
        "Limited",
        "The last wish was admitted in part: a bound or a rate cut it.",
        None,
        "Nothing, or raise the bound that the message names.",
        ["Limited", "WithinBounds"],
    ),
    known(
        "Safe",
        "No plan is held.",
        Some(false),
        "A plan keeps its place, because going on could lose data. The message says what has to change; `kubectl \
         plimsoll cancel` takes it back where the system still can. `Unknown`, `Trouble`: the daemon cannot tell; the \
         message says what is wrong with it.",
        ["NothingHeld", "Held"],
    ),
    known(
        "SizeOwnedElsewhere",
        "Somebody else owns the workload's `spec.replicas` besides Plimsoll. Shown only when it is so.",
        Some(true),
        "Make the manager that the message names leave the field alone, or its next write may undo a plan.",
        ["FieldManager", "OursAlone"],
    ),
    known(
        "Moving",
        "A member is coming or going; the reason is the phase, and the message says what it waits for.",
        None,
        "Wait.",
        ["Moving", "AtRest"],
    ),
    known(
        "AwaitingApproval",
        "A plan waits for a person.",
        Some(true),
        "Read the plan (`kubectl plimsoll plan`) and approve it, or cancel it.",
        ["ApprovalRequired", "NothingToApprove"],
    ),
    known(
        "Paused",
        "A person has paused it: `Everything`, `ScaleIn`, `ScaleOut` or `Replicas`.",
        None,
        "`kubectl plimsoll resume`, if the person who paused it agrees.",
        ["Everything", "NotPaused"],
    ),
];

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    True,
    False,
    Unknown,
}

impl Holds {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// A condition as it is published: type, status, reason and message.
pub(super) type Published = (String, Holds, String, String);

/// The conditions of a target; those that are not known yet have the status `Unknown`.
pub(super) fn all(target: &Status) -> Vec<Published> {
    let mut found: Vec<Published> = target.conditions.iter().map(|one| published(one, target)).collect();
    let place = found.len().min(1);
    found.insert(place, active(target));
    found
}

fn published(condition: &Condition, target: &Status) -> Published {
    let undecided = target.last_decision.is_none() && target.plan.is_none();
    let troubled = condition.reason == reason::TROUBLE.word;
    if undecided && !troubled && matches!(condition.kind.as_str(), "AbleToScale" | "Limited") {
        let message = "nothing has been decided yet".to_owned();
        return (condition.kind.clone(), Holds::Unknown, "NothingDecided".to_owned(), message);
    }
    // While our own tools are in trouble nobody can tell whether a plan is held.
    let unknown = condition.kind == "Safe" && condition.reason == reason::TROUBLE.word;
    let holds = match condition.status {
        _ if unknown => Holds::Unknown,
        true => Holds::True,
        false => Holds::False,
    };
    (condition.kind.clone(), holds, word_for(condition), condition.message.clone())
}

fn active(target: &Status) -> Published {
    let paused = target.conditions.iter().find(|one| one.kind == "Paused" && one.status);
    let (holds, reason, message) = match (target.mode, paused) {
        (Mode::Off, _) => (Holds::False, "Off", "nothing is decided: `mode: off`"),
        (Mode::Dryrun, _) => {
            (Holds::False, "DryRun", "decisions are recorded and not carried out: `mode: dryrun`")
        }
        (Mode::Enforce, Some(paused)) if matches!(paused.reason.as_str(), "" | "Everything") => {
            (Holds::False, "Paused", &*paused.message)
        }
        (Mode::Enforce, Some(_) | None) => (Holds::True, "Enforce", ""),
    };
    ("Active".to_owned(), holds, reason.to_owned(), message.to_owned())
}

/// A reason in the words of Kubernetes, where it must not be empty.
fn word_for(condition: &Condition) -> String {
    let word = camel(&condition.reason);
    if !word.is_empty() {
        return word;
    }
    let known = CONDITIONS.iter().find(|known| known.kind == condition.kind);
    let [holds, not] = known.map_or(["True", "False"], |known| known.plain);
    if condition.status { holds } else { not }.to_owned()
}

/// `catch-up` as `CatchUp`.
pub(in crate::kubernetes) fn camel(words: &str) -> String {
    let parts = words.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    let word = |part: &str| {
        let (first, rest) = part.split_at(1);
        first.to_ascii_uppercase() + rest
    };
    parts.map(word).collect()
}
