//! A daemon of the model: the production machine, the effect whose answer it waits for, and how far its hand came.

use plimsoll_core::combine::OnError;
use plimsoll_core::cycle::{Effect, Evaluated, Event, PolicyRef, Spec, State, step};
use plimsoll_core::pauses::Pauses;
use plimsoll_core::profile::ETCD_ON_ORDINALS;
use plimsoll_wire::Safety;
use plimsoll_wire::journal::{Intent, MembershipEffect, Verb};
use plimsoll_wire::profile::Profile;
use plimsoll_wire::proposal::{Answer, Proposal, Reason, Sizes};
use plimsoll_wire::snapshot::{Behavior, Mode, Now};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

/// The profile of an etcd in a StatefulSet, without the time that members must have been connected.
static PROFILE: LazyLock<Arc<Profile>> =
    LazyLock::new(|| Arc::new(Profile { connected_ms: 0, ..Profile::clone(&ETCD_ON_ORDINALS) }));
/// When a target is decided on again: exactly when time passes.
pub(crate) const INTERVAL_MS: u64 = 60_000;

/// No waits of time: whatever takes a while may as well take none, and all orders of events are tried. What is left
/// of time (rests after trouble, the next decision) passes in jumps.
fn spec() -> Spec {
    Spec {
        key: "default/db".into(),
        profile: Arc::clone(&PROFILE),
        platform: "kube".to_owned(),
        mode: Mode::Enforce,
        min: 1,
        max: 5,
        behavior: Behavior::default(),
        safety: Safety {
            max_age_ms: u64::MAX,
            direct_age_ms: u64::MAX,
            hold_ms: 0,
            warmup_ms: 0,
            observations: 1,
            leader_stable_ms: 0,
            leader_quiet_ms: 0,
            tolerance: 0,
            allow_even: true,
            stall_ms: u64::MAX,
            cooldown_in_ms: 0,
            cooldown_out_ms: 0,
            reverse_ms: 0,
            sustain_ms: 0,
            fraction_permille: 1_000,
            ..Safety::default()
        },
        policies: vec![PolicyRef {
            name: "load".to_owned(),
            module: "load".to_owned(),
            on_error: OnError::Hold,
            settings: serde_json::Value::Null,
        }],
        held: None,
        pauses: Pauses::default(),
        interval_ms: INTERVAL_MS,
        pace_ms: 0,
    }
}

/// What the hand has read and not written yet: the version of the StatefulSet that the write is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Aimed {
    pub(crate) version: u32,
}

/// A daemon that believes that it leads.
#[derive(Clone, Debug)]
pub(crate) struct Daemon {
    machine: State,
    /// Which one it is, of all that were ever elected.
    pub(crate) term: u32,
    pub(crate) pending: Option<Effect>,
    pub(crate) aimed: Option<Aimed>,
    pub(crate) wake_ms: u64,
    digest: u64,
}

impl Daemon {
    /// One that has just been elected: it knows nothing, and reads its journal.
    pub(crate) fn elected(now: &Now, term: u32) -> Self {
        let machine = State::new(spec());
        let mut daemon = Self { machine, term, pending: None, aimed: None, wake_ms: 0, digest: 0 };
        daemon.feed(now, 0, Event::Tick);
        daemon
    }

    pub(crate) fn machine(&self) -> &State {
        &self.machine
    }

    /// Hands an event over. Answered at once is what touches nothing that another one touches: policies, the daemon's
    /// own log, its own movement budget.
    pub(crate) fn feed(&mut self, now: &Now, wish: u32, event: Event) {
        let mut next = Some(event);
        (self.pending, self.aimed) = (None, None);
        while let Some(event) = next.take() {
            for effect in step(&mut self.machine, now, event) {
                match effect {
                    Effect::Wake { at_ms } => self.wake_ms = at_ms,
                    Effect::GivePermit | Effect::Reply { .. } => {}
                    Effect::Evaluate { request, asks } => {
                        let answers = asks.iter().map(|(policy, _)| says(policy, wish)).collect();
                        next = Some(Event::Evaluated { request, answers });
                    }
                    Effect::Record { request, .. } => {
                        next = Some(Event::Recorded { request, result: Ok(String::new()) });
                    }
                    Effect::AskPermit { request, .. } => {
                        next = Some(Event::Permitted { request, granted: true });
                    }
                    Effect::Load { .. }
                    | Effect::Observe { .. }
                    | Effect::Store { .. }
                    | Effect::Stamp { .. }
                    | Effect::Act { .. } => self.pending = Some(effect),
                }
            }
        }
        self.digest = self.machine.digest();
    }

    /// Whether an effect is of the platform, whose server checks versions.
    pub(crate) fn is_platforms(intent: &Intent) -> bool {
        intent.verb.is_platform()
    }

    /// Sizes before and after, as a platform's verb says them.
    pub(crate) fn sizes(verb: &Verb) -> Option<(u32, u32)> {
        let after = verb.size_after()?;
        Some(if verb.membership_effect() == MembershipEffect::Runs {
            (after - 1, after)
        } else {
            (after + 1, after)
        })
    }

    /// What of it decides about what it does, next to a world of this version and revision.
    pub(crate) fn note<H: Hasher>(&self, version: u32, revision: Option<u64>, hasher: &mut H) {
        self.term.hash(hasher);
        let kind = match &self.pending {
            None => 0,
            Some(Effect::Load { .. }) => 1,
            Some(Effect::Observe { direct, .. }) => 2 + u8::from(*direct),
            Some(Effect::Store { .. }) => 4,
            Some(Effect::Stamp { .. }) => 6,
            Some(Effect::Act { intent, .. }) => {
                format!("{:?}", intent.verb).hash(hasher);
                5
            }
            Some(
                Effect::Evaluate { .. }
                | Effect::Record { .. }
                | Effect::AskPermit { .. }
                | Effect::GivePermit
                | Effect::Reply { .. }
                | Effect::Wake { .. },
            ) => unreachable!("never kept"),
        };
        let aimed = self.aimed.map(|aimed| aimed.version == version);
        (self.digest, kind, aimed, self.wake_ms, self.machine.revision() == revision).hash(hasher);
    }
}

fn says(policy: &PolicyRef, wish: u32) -> Evaluated {
    let reason = Reason { code: "Wish".to_owned(), message: String::new() };
    let proposal = Proposal {
        sizes: Sizes::of_members(wish),
        reason,
        signals: vec!["demand".to_owned()],
        ..Proposal::default()
    };
    Evaluated {
        policy: policy.name.clone(),
        module: "module-1".to_owned(),
        fuel: 1,
        answer: Ok(Answer::Proposal(proposal)),
    }
}

/// The moment after so many jumps. Each daemon is on a machine of its own.
pub(crate) fn moment(daemon: usize, jumps: u8) -> Now {
    let mono_ms = 86_400_000 + u64::from(jumps) * INTERVAL_MS;
    let boot: Arc<str> = ["a", "b"][daemon].into();
    Now { mono_ms, wall_ms: i64::try_from(mono_ms).unwrap_or(0), boot }
}
