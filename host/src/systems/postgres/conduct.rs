//! Carries out what was decided at several servers. It decides nothing but that a step took too long.

use super::Access;
use super::call::not_sent;
use super::handover::{Handover, Other, Release, standby_guard};
use super::lsn::Lsn;
use super::reading::Row;
use super::session::{Failure, MOVED_ON, PAUSE, Session};
use super::statement::{self, CONNINFO, Guard, READ_ONLY, SYNC_NAMES};
use crate::leadership::{Leadership, NOT_LEADING};
use crate::systems::address::Endpoint;
use plimsoll_wire::journal::Outcome;
use std::time::Duration;
use tokio::time::Instant;

/// How long sessions may take to end, and how long the successor may take to have everything. Nobody writes meanwhile.
const STEP: Duration = Duration::from_secs(10);
/// How long the followers of the next primary are waited for before it is one; they find it later, too.
const FOLLOW: Duration = Duration::from_secs(2);
/// How long the server itself waits for a promotion, in seconds.
const PROMOTE_S: u64 = 30;
/// How long it takes at most to let a fenced primary go.
const RELEASE: Duration = Duration::from_secs(15);

/// Changes the set of synchronous candidates, where it still is the one that this was decided on.
pub(super) async fn set_names(
    access: &Access,
    at: &Endpoint,
    guard: &Guard,
    change: (&str, &str),
    deadline: Instant,
) -> Outcome {
    let (expected, value) = change;
    let session = match Session::guarded(access, at, guard, deadline).await {
        Ok(session) => session,
        Err(why) => return not_sent(&why),
    };
    match session.value(&statement::show(SYNC_NAMES)).await {
        Ok(now) if now == expected => {}
        Ok(now) => return not_sent(&format!("{SYNC_NAMES} is `{now}` by now, not `{expected}`")),
        Err(failure) => return not_sent(&failure.words()),
    }
    match session.set(SYNC_NAMES, value).await {
        Ok(()) => Outcome::Applied,
        Err(failure) => failure.outcome(),
    }
}

/// Hands the primary over. Until the successor is promoted everything is taken back that cannot be finished.
pub(super) async fn hand_over(
    access: &Access,
    leadership: &Leadership,
    handover: &Handover,
    deadline: Instant,
) -> Outcome {
    // What is left of the time once the primary has been released, should it come to that.
    let until = deadline - RELEASE.min(deadline.saturating_duration_since(Instant::now()) / 2);
    let from = match Session::guarded(access, &handover.from, &handover.guard, until).await {
        Ok(session) => session,
        Err(why) => return not_sent(&why),
    };
    let guard = handover.standby_guard();
    let to = match Session::guarded(access, &handover.to, &guard, until).await {
        Ok(session) => session,
        Err(why) => return not_sent(&format!("{}: {why}", handover.name)),
    };
    let ready = async {
        prepare(&to, handover).await?;
        fence(access, &from, handover, until).await?;
        prove(&from, handover).await?;
        for other in &handover.others {
            repoint(access, other, &guard, until).await?;
        }
        await_followers(&to, handover).await;
        prove(&from, handover).await?;
        if leadership.holds() { Ok(()) } else { Err(NOT_LEADING.to_owned()) }
    };
    let why = match ready.await {
        Err(why) => why,
        Ok(()) => match to.rows(&statement::promote(&guard, PROMOTE_S)).await {
            Ok(rows) => match rows.first().and_then(|row| row.get("value")).map(String::as_str) {
                Some("true") => return Outcome::Applied,
                None => MOVED_ON.to_owned(),
                Some(_) => return unsure(handover, "it was asked and has not been promoted in time"),
            },
            Err(Failure::Refused(why)) => why,
            Err(Failure::Unknown(why)) => return unsure(handover, &why),
        },
    };
    drop((from, to));
    match release(access, &handover.release, deadline).await {
        Ok(()) => Outcome::Refused { message: format!("{} was not promoted: {why}", handover.name) },
        Err(left) => Outcome::Unknown {
            message: format!(
                "{} was not promoted: {why}; the primary may still be fenced: {left}",
                handover.name
            ),
        },
    }
}

fn unsure(handover: &Handover, why: &str) -> Outcome {
    Outcome::Unknown { message: format!("whether {} is the primary is not known: {why}", handover.name) }
}

/// Slots and candidates for the next primary. On a standby neither has an effect yet.
async fn prepare(to: &Session, handover: &Handover) -> Result<(), String> {
    let guard = handover.standby_guard();
    for other in &handover.others {
        to.rows(&statement::prepare_slot(&other.name, &guard)).await.map_err(Failure::words)?;
    }
    to.set(SYNC_NAMES, &handover.names).await.map_err(Failure::words)
}

/// New transactions read only, and no session is left that began before.
async fn fence(access: &Access, from: &Session, handover: &Handover, until: Instant) -> Result<(), String> {
    from.set(READ_ONLY, "on").await.map_err(Failure::words)?;
    let end = until.min(Instant::now() + STEP);
    // What a new session sees is what every session has that begins after it.
    let moment = loop {
        let fresh = Session::open(access, &handover.from, end).await?;
        if fresh.value(&statement::show(READ_ONLY)).await.map_err(Failure::words)? == "on" {
            break fresh.value(statement::CLOCK).await.map_err(Failure::words)?;
        }
        pause(end, "new sessions still write").await?;
    };
    loop {
        let left = from.value(&statement::count_sessions(&moment)).await.map_err(Failure::words)?;
        if left == "0" {
            return Ok(());
        }
        from.rows(&statement::end_sessions(&moment)).await.map_err(Failure::words)?;
        pause(end, &format!("{left} sessions that may still write do not end (superusers have to end their transactions themselves)"))
            .await?;
    }
}

/// Twice the same position, all of it on the primary's disk, confirmed and replayed by the successor.
async fn prove(from: &Session, handover: &Handover) -> Result<(), String> {
    let end = Instant::now() + STEP;
    let mut last = None;
    loop {
        let rows = from.rows(&statement::positions(&handover.name)).await.map_err(Failure::words)?;
        let proved = rows.first().and_then(proved);
        if proved.is_some() && proved == last {
            return Ok(());
        }
        last = proved;
        pause(end, &format!("{} has not confirmed everything", handover.name)).await?;
    }
}

/// The position up to which the standby has everything that was ever written; none where it lacks something.
fn proved(row: &Row) -> Option<Lsn> {
    let position = |name: &str| Lsn::parse(row.get(name)?);
    let (written, flushed, confirmed) = (position("written")?, position("flushed")?, position("confirmed")?);
    (confirmed >= flushed && is_on_disk(written, flushed)).then_some(written)
}

/// At the start of a page of the log the next record's place is behind the page's header.
fn is_on_disk(written: Lsn, flushed: Lsn) -> bool {
    const PAGE: u64 = 8192;
    const LONGEST_HEADER: u64 = 40;
    let open = written.ahead_of(flushed);
    open == 0 || (flushed.0.is_multiple_of(PAGE) && open <= LONGEST_HEADER)
}

async fn repoint(access: &Access, other: &Other, guard: &Guard, until: Instant) -> Result<(), String> {
    let named = |why: String| format!("{}: {why}", other.name);
    let session = Session::guarded(access, &other.at, guard, until).await.map_err(named)?;
    session.set(CONNINFO, &other.conninfo).await.map_err(|failure| named(failure.words()))
}

async fn await_followers(to: &Session, handover: &Handover) {
    let end = Instant::now() + FOLLOW;
    let wanted = |rows: &[Row]| {
        handover.others.iter().all(|other| rows.iter().any(|row| row.get("name") == Some(&other.name)))
    };
    while let Ok(rows) = to.rows(super::reading::FOLLOWERS).await {
        if wanted(&rows) || pause(end, "").await.is_err() {
            return;
        }
    }
}

/// Lets a fenced primary take writes again, and leaves nothing of the hand-over behind.
pub(super) async fn release(access: &Access, release: &Release, deadline: Instant) -> Result<(), String> {
    let primary = Session::guarded(access, &release.at, &release.guard, deadline).await?;
    primary.rows(&statement::reset(READ_ONLY)).await.map_err(Failure::words)?;
    primary.rows(statement::RELOAD).await.map_err(Failure::words)?;
    let guard = standby_guard(&release.guard);
    for other in &release.others {
        repoint(access, other, &guard, deadline).await?;
    }
    for (at, name) in &release.slots {
        drop_prepared(access, at, name, &guard, deadline).await?;
    }
    Ok(())
}

/// Its follower leaves it within a moment, and a slot in use is refused.
async fn drop_prepared(
    access: &Access,
    at: &Endpoint,
    name: &str,
    guard: &Guard,
    deadline: Instant,
) -> Result<(), String> {
    let session = Session::open(access, at, deadline).await?;
    let end = deadline.min(Instant::now() + STEP);
    let count = format!(
        "SELECT count(*)::text AS value FROM pg_replication_slots WHERE slot_name = {}",
        statement::literal(name)
    );
    while session.value(&count).await.map_err(Failure::words)? != "0" {
        if session.rows(&statement::drop_slot(name, guard)).await.is_ok_and(|rows| !rows.is_empty()) {
            return Ok(());
        }
        pause(end, &format!("the replication slot {name} stays in use")).await?;
    }
    Ok(())
}

async fn pause(end: Instant, why: &str) -> Result<(), String> {
    if Instant::now() + PAUSE >= end {
        return Err(why.to_owned());
    }
    tokio::time::sleep(PAUSE).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(written: &str, flushed: &str, confirmed: &str) -> Row {
        [("written", written), ("flushed", flushed), ("confirmed", confirmed)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn a_successor_has_everything_or_is_not_promoted() {
        assert_eq!(proved(&row("0/3000100", "0/3000100", "0/3000100")), Some(Lsn(0x300_0100)));
        assert_eq!(proved(&row("0/3000100", "0/3000100", "0/30000F8")), None, "it lacks eight bytes");
        assert_eq!(proved(&row("0/3000128", "0/3000100", "0/3000100")), None, "something is on no disk yet");
        assert_eq!(
            proved(&row("0/3000028", "0/3000000", "0/3000000")),
            Some(Lsn(0x300_0028)),
            "a page's header"
        );
        assert_eq!(proved(&row("0/3000050", "0/3000000", "0/3000000")), None, "a page's header and a record");
        let mut silent = row("0/3000100", "0/3000100", "0/3000100");
        silent.remove("confirmed");
        assert_eq!(proved(&silent), None);
    }
}
