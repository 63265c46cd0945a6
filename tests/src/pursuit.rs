//! A daemon that is killed on the way from one size to another, and whose successor finishes the plan.

use crate::daemon::{Daemon, Misbehaviour};
use crate::moment::Moment;
use anyhow::Context as _;
use plimsoll_wire::journal::PlanStatus;
use std::time::{Duration, Instant};

/// Waits until the target has a size, and kills the daemon at each moment on the way.
///
/// # Errors
/// When a moment is missed, or the size is not reached in time by a plan that is done.
pub async fn pursue(
    daemon: &mut Daemon,
    size: u32,
    moments: Vec<Moment>,
    patience: Duration,
) -> anyhow::Result<()> {
    let before = ended(daemon)?;
    for moment in moments {
        kill_at(daemon, moment, patience).await?;
    }
    reaches(daemon, size, before, patience).await
}

/// How many plans have ended.
///
/// # Errors
/// When the journal cannot be read.
pub fn ended(daemon: &Daemon) -> anyhow::Result<usize> {
    Ok(daemon.journal()?.map_or(0, |journal| journal.history.len()))
}

/// Waits until the target has a size and one more plan has ended than before, and was done.
///
/// # Errors
/// When that is not so in time.
pub async fn reaches(daemon: &Daemon, size: u32, before: usize, patience: Duration) -> anyhow::Result<()> {
    let reached = daemon
        .until(&format!("{size} members"), patience, |status| {
            status.plan.is_none() && status.sizes.members == Some(size) && status.history.len() > before
        })
        .await?;
    let ended = reached.history.last().context("no ended plan")?;
    let wanted = (Some(size), PlanStatus::Done);
    anyhow::ensure!((ended.ended_at.members, ended.status) == wanted, "{ended:#?}");
    Ok(())
}

/// Kills the daemon at a moment, and starts it again.
///
/// # Errors
/// When the moment is missed.
pub async fn kill_at(daemon: &mut Daemon, moment: Moment, patience: Duration) -> anyhow::Result<()> {
    if let Moment::While(_, command) = moment {
        daemon.misbehave(command, Misbehaviour::Slow)?;
    }
    let deadline = Instant::now() + patience;
    loop {
        let journal = daemon.journal()?;
        let at_work = match moment {
            Moment::While(_, command) => daemon.is_in(command),
            Moment::Before(_) | Moment::After(_) | Moment::In(..) => true,
        };
        if at_work && journal.as_ref().is_some_and(|journal| moment.is(journal)) {
            break;
        }
        anyhow::ensure!(Instant::now() < deadline, "{moment:?} was missed: {journal:#?}\n{}", daemon.tail());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    daemon.kill()?;
    println!("killed {moment:?}");
    if let Moment::While(_, command) = moment {
        daemon.behave(command)?;
    }
    daemon.start()
}
