//! What of a state decides about all that the machine does from now on, as one number: two states of one digest
//! behave alike. An exhaustive search (`tests/model.rs`) ends only because it tells no more states apart than these.

use super::{Action, Attempt, Due, Evaluated, Ledger, Queue, Seen, State};
use plimsoll_wire::journal::{Intent, Journal, Memory, PlanState};
use plimsoll_wire::record::Body;
use std::fmt::{self, Write};
use std::hash::{DefaultHasher, Hasher};

/// Text that is hashed as it is written, and never held.
#[derive(Default)]
struct Sieve(DefaultHasher);

impl Write for Sieve {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        // So that no two lists of texts are one.
        self.0.write_u8(0xff);
        Ok(())
    }
}

/// Appends parts in their debug form, which is exact for all that is asked here. To write into a hash cannot fail.
macro_rules! note {
    ($sieve:expr, $($part:expr),+ $(,)?) => {{ $( let _ = write!($sieve, "{:?};", $part); )+ }};
}

impl State {
    /// The number. Left out is what only counts (requests, ids, rounds), what is only shown (reasons, history, the
    /// last decision) and what is read anew before it is used (the snapshot); the revision of the journal too, which
    /// says something only next to that of the store: see [`State::revision`].
    #[must_use]
    pub fn digest(&self) -> u64 {
        // Each field by its name: whoever adds one has to say here what it is.
        let Self { spec, role, durable, seen, queue, due, attempt, last: _, trouble } = self;
        let Ledger { journal, stale: _, revision: _, saved, audit_head: _ } = durable;
        let Queue { actions, waiting, left_out, requests: _ } = queue;
        let Seen { tracker, snapshot: _, direct, outside, written } = seen;
        let Due { decision_ms, look_ms, save_ms } = due;
        let Attempt {
            unconfirmed,
            pending_plan,
            waiting_for: _,
            refused_at,
            applied_at,
            least,
            denied_since,
        } = attempt;
        let mut sieve = Sieve::default();
        note!(sieve, (spec.mode, spec.min, spec.max, &spec.held, &spec.pauses));
        let durable = journal.as_ref().map(journal_digest);
        note!(sieve, durable, durable == Some(*saved));
        note!(sieve, tracker.digest(spec.safety.observations), direct);
        actions.iter().for_each(|action| note_action(&mut sieve, action));
        note!(sieve, role, left_out.is_some(), waiting.as_ref().map(|waiting| waiting.acts));
        note!(sieve, decision_ms, look_ms, save_ms);
        pending_plan.iter().for_each(|plan| note_plan(&mut sieve, plan));
        note!(
            sieve,
            refused_at.as_ref().map(|(at_ms, verb, _)| (at_ms, verb)),
            applied_at,
            least,
            trouble.is_some()
        );
        note!(sieve, denied_since);
        note!(sieve, outside, written);
        unconfirmed.iter().flatten().for_each(|one| note_answer(&mut sieve, one));
        sieve.0.finish()
    }
}

/// The same of a journal: what a machine that reads it does is decided by this.
#[must_use]
pub fn journal_digest(journal: &Journal) -> u64 {
    let mut sieve = Sieve::default();
    note_journal(&mut sieve, journal);
    sieve.0.finish()
}

fn note_journal(sieve: &mut Sieve, journal: &Journal) {
    let Journal {
        format_version,
        target: _,
        epoch,
        sequence: _,
        plan,
        intent,
        memory,
        history: _,
        audit_head: _,
        other_audit_heads: _,
    } = journal;
    note!(sieve, format_version, epoch, plan.is_some(), intent.is_some());
    plan.iter().for_each(|plan| note_plan(sieve, plan));
    intent.iter().for_each(|intent| note_intent(sieve, intent));
    let Memory { changes, wish, ghost, ghost_of, paused, asked, approved, policy_state, answered, attempt } =
        memory;
    note!(sieve, changes, wish, ghost, ghost_of, paused.is_some(), policy_state, answered);
    note!(sieve, asked.as_ref().map(|asked| asked.sizes), attempt);
    note!(sieve, approved.as_ref().map(|approved| (&approved.content, &approved.note.at)));
}

fn note_plan(sieve: &mut Sieve, plan: &PlanState) {
    let PlanState {
        id: _,
        decision: _,
        legs,
        leg,
        fingerprint,
        workload,
        base_epoch,
        module,
        members,
        victims,
        status,
        unit,
        subject,
        together,
        leaving,
        joined,
        phase,
        point_of_no_return,
        undoing,
        why,
        started,
        progressed,
        price: _,
    } = plan;
    note!(sieve, legs, leg, fingerprint, base_epoch, module, members, victims, status, unit, subject, phase);
    note!(sieve, workload, together, leaving, joined);
    // A reason tells by its first word whether it was told before.
    note!(sieve, point_of_no_return, undoing, why.split(':').next(), started, progressed);
}

fn note_intent(sieve: &mut Sieve, intent: &Intent) {
    let Intent { id: _, plan: _, unit, verb, outcome } = intent;
    note!(sieve, unit, verb, outcome.as_ref().map(std::mem::discriminant));
}

fn note_action(sieve: &mut Sieve, action: &Action) {
    match action {
        Action::Load => note!(sieve, "load"),
        Action::Observe { direct } => note!(sieve, "observe", direct),
        Action::Evaluate => note!(sieve, "evaluate"),
        Action::Store => note!(sieve, "store"),
        Action::Record(record, _) => note!(sieve, "record", body(&record.body)),
        Action::Stamp => note!(sieve, "stamp"),
        Action::Act(intent) => {
            note!(sieve, "act");
            note_intent(sieve, intent);
        }
        Action::Permit { resumed } => note!(sieve, "permit", resumed),
        Action::GivePermit => note!(sieve, "give-permit"),
        Action::Reply(command, text) => note!(sieve, "reply", command, text),
    }
}

/// What a record is of: what stands in it is on its way to the log, and read by nobody.
fn body(body: &Body) -> &'static str {
    match body {
        Body::Decision(_) => "decision",
        Body::Intent { .. } => "intent",
        Body::Outcome { .. } => "outcome",
        Body::Plan { .. } => "plan",
        Body::Command { .. } => "command",
        Body::Epoch { .. } => "epoch",
        Body::Trouble { .. } => "trouble",
    }
}

fn note_answer(sieve: &mut Sieve, one: &Evaluated) {
    let Evaluated { policy, module, fuel: _, answer } = one;
    note!(sieve, policy, module, answer);
}
