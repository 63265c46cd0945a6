//! Who acts on a target: this daemon, or another one that it follows (`decisions.md` D20).
//!
//! A follower watches, so that what has stood for long goes on having stood when it takes over (EVID-4), and does
//! nothing else: it stores, records, judges and asks for nothing, and no person's order is obeyed by it.

use super::{Action, Due, Effect, Event, Seen, State};
use plimsoll_wire::snapshot::Now;

/// Who acts on a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// This daemon.
    Leads,
    /// Another one, or for the moment nobody.
    Follows {
        /// Who leads, in words, to be told to people.
        leader: String,
    },
}

impl State {
    /// A machine that follows until it is told that it leads.
    #[must_use]
    pub fn following(spec: super::Spec, leader: String) -> Self {
        let mut state = Self::new(spec);
        state.queue.actions.clear();
        state.role = Role::Follows { leader };
        state
    }

    /// Who acts, as far as this machine was told.
    #[must_use]
    pub fn role(&self) -> &Role {
        &self.role
    }

    /// Who leads instead of us.
    pub(super) fn leader(&self) -> Option<&str> {
        match &self.role {
            Role::Leads => None,
            Role::Follows { leader } => Some(leader),
        }
    }
}

/// Somebody else leads now, or we do. What the machine knows of its world stays; what it wanted to do does not.
pub(super) fn changed(state: &mut State, now: &Now, role: Role, effects: &mut Vec<Effect>) {
    match (&state.role, &role) {
        (Role::Leads, Role::Leads) => return,
        (Role::Follows { .. }, Role::Leads) => leadership_gained(state, now),
        (Role::Leads, Role::Follows { leader }) => {
            let leader = leader.clone();
            leadership_lost(state, now, &leader, effects);
        }
        (Role::Follows { .. }, Role::Follows { .. }) => {}
    }
    state.role = role;
}

/// Everything begins with the journal: it says where a plan stands.
fn leadership_gained(state: &mut State, now: &Now) {
    // What is being read was to be looked at only.
    state.queue.waiting = None;
    state.queue.actions.clear();
    state.queue.actions.push_back(Action::Load);
    state.due.look_ms = now.mono_ms;
}

/// The acting half goes at once. A call that is out cannot be called back: its answer belongs to nobody, but its end is
/// waited for before this machine acts again.
fn leadership_lost(state: &mut State, now: &Now, leader: &str, effects: &mut Vec<Effect>) {
    state.queue.leave_out();
    let why = format!("{leader} leads now, and whether it was still done shows there: plimsoll status");
    state.queue.give_up(&why, effects);
    effects.push(Effect::GivePermit);
    let due = Due { look_ms: now.mono_ms, ..Due::default() };
    let (seen, queue) = (std::mem::take(&mut state.seen), std::mem::take(&mut state.queue));
    *state = State { seen: Seen { direct: false, ..seen }, queue, due, ..State::new(state.spec.clone()) };
}

/// A call from before we lost the leadership may still be on its way: nothing is begun before it has ended, so that no two of
/// our calls overlap (N4, N8). It ends by its own deadline.
pub(super) fn is_barred(state: &State) -> bool {
    state.role == Role::Leads && state.queue.left_out.is_some()
}

/// The end of such a call. What it has come to shows in the world.
pub(super) fn is_left_out(state: &mut State, event: &Event) -> bool {
    match event {
        Event::Acted { request, .. } => state.queue.left_out.take_if(|out| out == request).is_some(),
        Event::Tick
        | Event::Loaded { .. }
        | Event::Observed { .. }
        | Event::Evaluated { .. }
        | Event::Stored { .. }
        | Event::Recorded { .. }
        | Event::Stamped { .. }
        | Event::Permitted { .. }
        | Event::Said(_)
        | Event::Role(_)
        | Event::Configured(_)
        | Event::Wished(_)
        | Event::Written { .. } => false,
    }
}
