//! Orders that stand written where a person put them, in a document or on an object of the target's, and stay there
//! after they were obeyed. Each is obeyed once: what was answered is durable, and goes when the order does.

use super::{Action, Order, State, command, stamp};
use plimsoll_wire::journal::{Answered, Note};
use plimsoll_wire::record::Body;
use plimsoll_wire::snapshot::Now;

/// An order that stands somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Where, within its place: one order each.
    pub name: String,
    /// Word for word what stands there.
    pub text: String,
    /// Who wrote it.
    pub who: String,
    /// What is ordered.
    pub order: Order,
}

/// Obeys what has come, and forgets what has gone. Before the journal was read nobody is obeyed, and nothing is lost:
/// what stands written is looked at again.
pub(super) fn obey(state: &mut State, now: &Now) {
    // Whoever leads reads them where they stand, too; a refusal of ours would be kept as the answer.
    if state.durable.journal.is_none() || state.leader().is_some() {
        return;
    }
    withdrawn(state, now);
    let stands = state.seen.written.iter().flat_map(|(place, orders)| {
        orders.iter().map(move |order| (format!("{place}/{}", order.name), order.clone()))
    });
    let stands: Vec<(String, Written)> = stands.collect();
    for (place, order) in stands {
        let answered = answered(state).iter().any(|old| old.place == place && old.text == order.text);
        if !answered {
            answer(state, now, place, order);
        }
    }
}

fn answered(state: &State) -> &[Answered] {
    state.durable.memory().map_or(&[], |memory| &memory.answered)
}

/// An order, once: what was answered stands beside it from then on.
fn answer(state: &mut State, now: &Now, place: String, order: Written) {
    let note = Note { who: order.who.clone(), why: String::new(), at: stamp(now) };
    let running = state.durable.plan();
    let told = match (&order.order, running) {
        // Written down it may stand there for a year: it is about the plan, or the pause, that it names and no other.
        (Order::Cancel, Some(plan)) if *plan.id != *order.text => {
            Err(format!("the running plan is {}, not {}", plan.id, order.text))
        }
        (Order::Resume, _) if !is_of_the_pause(state, &order.text) => {
            Err(format!("no pause of {} is in force", order.text))
        }
        (
            Order::Cancel | Order::Pause { .. } | Order::Resume | Order::Approve { .. } | Order::Scale { .. },
            _,
        ) => command::apply(state, now, &order.order, note.clone()),
    };
    let verb = order.order.kind().to_owned();
    let (obeyed, why, detail) = match told {
        Ok((text, detail)) => (true, text, detail),
        Err(why) => (false, why.clone(), format!("refused: {why}")),
    };
    keep(
        state,
        now,
        &place,
        Some(Answered {
            place: place.clone(),
            verb: verb.clone(),
            text: order.text,
            note: Note { why, ..note },
            obeyed,
        }),
    );
    let record = state.record(now, Body::Command { verb, who: order.who, detail });
    state.queue.push([Action::Record(record, None), Action::Store]);
}

/// Whether a pause is in force that began at this moment, in milliseconds since 1970: the name by which it is ended.
fn is_of_the_pause(state: &State, text: &str) -> bool {
    let paused = state.durable.memory().and_then(|memory| memory.paused.as_ref());
    paused.is_some_and(|paused| paused.at.wall_ms.to_string() == text)
}

/// What no longer stands anywhere that is known is forgotten; a pause that was taken away ends.
fn withdrawn(state: &mut State, now: &Now) {
    let is_known =
        |place: &str| state.seen.written.keys().any(|known| place.starts_with(&format!("{known}/")));
    let stands = |place: &str| {
        let names = |(known, orders): (&String, &Vec<Written>)| {
            orders.iter().any(|order| place == format!("{known}/{}", order.name))
        };
        state.seen.written.iter().any(names)
    };
    let gone = answered(state).iter().filter(|old| is_known(&old.place) && !stands(&old.place));
    let gone: Vec<Answered> = gone.cloned().collect();
    for old in gone {
        keep(state, now, &old.place, None);
        state.queue.push([Action::Store]);
    }
}

/// Puts an answer in its place, or leaves the place empty. A pause that stood there and is in force still has ended
/// with its words.
fn keep(state: &mut State, now: &Now, place: &str, new: Option<Answered>) {
    let Some(journal) = &mut state.durable.journal else { return };
    let memory = &mut journal.memory;
    let old = memory.answered.iter().position(|old| old.place == place).map(|at| memory.answered.remove(at));
    let replaced = new.as_ref().is_some_and(|new| new.verb == "pause" && new.obeyed);
    let is_its = |paused: &mut Note| {
        old.as_ref().is_some_and(|old| {
            old.verb == "pause" && old.obeyed && (&paused.who, &paused.at) == (&old.note.who, &old.note.at)
        })
    };
    let ended = !replaced && memory.paused.take_if(is_its).is_some();
    memory.answered.extend(new);
    if !ended {
        return;
    }
    state.go_on(now);
    state.due.look_ms = now.mono_ms;
    let (who, detail) =
        (old.map(|old| old.note.who).unwrap_or_default(), "the written pause was taken away".to_owned());
    let record = state.record(now, Body::Command { verb: "resume".to_owned(), who, detail });
    state.queue.push([Action::Record(record, None)]);
}
