//! Catches a hand-over of the primary between two of its steps, so that the daemon can be killed there.
//!
//! Nothing goes by time: a superuser's open transaction keeps the fence from being complete, and what a step needs next is kept
//! from it before the transaction ends.

use super::{PATIENCE, Rig, values};
use crate::daemon::Daemon;
use crate::process::{signal, wait_until};
use anyhow::Context as _;
use rustix::process::Signal;
use tokio_postgres::Client;

/// The lock by which daemons keep one another from a server.
const LOCK: &str = "SELECT pg_advisory_lock(7738150063188621)";
/// Who holds it.
const HOLDER: &str = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted";
/// The daemon ends sessions, again and again while one stays.
const FENCING: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'plimsoll' \
     AND query LIKE 'SELECT pg_terminate_backend%'";
/// The daemon waits for that lock.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'plimsoll' \
     AND query LIKE '%pg_try_advisory_lock%'";
const TAKES_WRITES: &str =
    "SELECT NOT pg_is_in_recovery() AND current_setting('default_transaction_read_only') = 'off'";

/// Between which steps of a hand-over the daemon is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    /// The primary takes no new writes; an older transaction is still open.
    FenceAndProof,
    /// The successor has everything; the others follow the primary.
    ProofAndFollowers,
    /// The others follow the successor, which is a standby still.
    FollowersAndPromotion,
    /// The successor is the primary; the daemon has at most just heard so.
    PromotionAndAnswer,
}

/// A hand-over that is kept from going on.
#[derive(Debug)]
pub struct Held {
    /// Who hands over.
    pub from: String,
    /// Who is to lead next.
    pub to: String,
    /// Who follows them.
    pub others: Vec<String>,
    transaction: Client,
}

/// Opens a transaction by which no hand-over of a primary gets past its fence.
///
/// # Errors
/// When the primary does not answer.
pub async fn open_transaction(rig: &Rig, primary: &str) -> anyhow::Result<Client> {
    let client = rig.client(primary, "postgres").await?;
    client.batch_execute("BEGIN").await?;
    values(&client, "SELECT now()").await?;
    Ok(client)
}

/// Waits until the daemon, which runs, is at the fence of a primary that such a transaction keeps open.
///
/// # Errors
/// When it does not come there in time.
pub async fn at_the_fence(rig: &Rig, from: &str, transaction: Client) -> anyhow::Result<Held> {
    let to = wait_until("the daemon is at the fence", PATIENCE, async || {
        anyhow::ensure!(rig.ask(from, FENCING).await? != "0", "nobody ends sessions on {from}");
        for slot in running(rig)?.into_iter().filter(|slot| slot != from) {
            if !rig.ask(&slot, HOLDER).await?.is_empty() {
                return Ok(slot);
            }
        }
        anyhow::bail!("no successor is held")
    })
    .await?;
    let others = running(rig)?.into_iter().filter(|slot| slot != from && *slot != to).collect();
    Ok(Held { from: from.to_owned(), to, others, transaction })
}

impl Held {
    /// Kills the daemon where it is wanted.
    ///
    /// # Errors
    /// When it does not come there.
    pub async fn kill(self, rig: &Rig, daemon: &mut Daemon, between: Between) -> anyhow::Result<()> {
        println!("{} hands over to {}: the daemon is killed at {between:?}", self.from, self.to);
        match between {
            Between::FenceAndProof => daemon.kill()?,
            Between::ProofAndFollowers => self.before_the_others_follow(rig, daemon).await?,
            Between::FollowersAndPromotion => self.before_the_promotion(rig, daemon).await?,
            Between::PromotionAndAnswer => return self.after_the_promotion(rig, daemon).await,
        }
        anyhow::ensure!(self.is_standby(rig).await?, "{} was promoted already", self.to);
        let writers = writers(rig).await?;
        anyhow::ensure!(writers.is_empty(), "{writers:?} take writes with the primary fenced");
        Ok(())
    }

    /// No longer keeps the fence from being complete.
    ///
    /// # Errors
    /// When the primary does not answer.
    pub async fn let_go(&self) -> anyhow::Result<()> {
        Ok(self.transaction.batch_execute("ROLLBACK").await?)
    }

    async fn is_standby(&self, rig: &Rig) -> anyhow::Result<bool> {
        Ok(rig.ask(&self.to, "SELECT pg_is_in_recovery()").await? == "t")
    }

    async fn before_the_others_follow(&self, rig: &Rig, daemon: &mut Daemon) -> anyhow::Result<()> {
        let mut locks = Vec::new();
        for other in &self.others {
            let client = rig.client(other, "postgres").await?;
            values(&client, LOCK).await?;
            locks.push(client);
        }
        self.let_go().await?;
        wait_until("the daemon waits for a follower", PATIENCE, async || {
            for other in &self.others {
                if rig.ask(other, WAITING).await? != "0" {
                    return Ok(());
                }
            }
            anyhow::bail!("it waits for none of {:?}", self.others)
        })
        .await?;
        daemon.kill()
    }

    async fn before_the_promotion(&self, rig: &Rig, daemon: &mut Daemon) -> anyhow::Result<()> {
        // The session by which the successor would be promoted.
        let session = rig.ask(&self.to, HOLDER).await?.parse().context("nobody holds the successor")?;
        signal(session, Signal::STOP)?;
        let port = format!("port={}", rig.port(&self.to)?);
        let reached = async {
            self.let_go().await?;
            wait_until("the others follow the successor", PATIENCE, async || {
                for other in &self.others {
                    let conninfo = rig.ask(other, "SHOW primary_conninfo").await?;
                    anyhow::ensure!(conninfo.contains(&port), "{other}: {conninfo}");
                }
                Ok(())
            })
            .await?;
            daemon.kill()
        };
        let reached = reached.await;
        signal(session, Signal::CONT)?;
        reached
    }

    async fn after_the_promotion(&self, rig: &Rig, daemon: &mut Daemon) -> anyhow::Result<()> {
        self.let_go().await?;
        let client = rig.client(&self.to, "postgres").await?;
        wait_until("the successor is the primary", PATIENCE, async || {
            anyhow::ensure!(values(&client, "SELECT pg_is_in_recovery()").await? == ["f"]);
            Ok(())
        })
        .await?;
        daemon.kill()
    }
}

fn running(rig: &Rig) -> anyhow::Result<Vec<String>> {
    Ok(rig.list()?.members.into_iter().filter(|entry| entry.running).map(|entry| entry.slot).collect())
}

/// The members that take writes.
///
/// # Errors
/// When a member that runs does not answer.
pub async fn writers(rig: &Rig) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for slot in running(rig)? {
        if rig.ask(&slot, TAKES_WRITES).await? == "t" {
            found.push(slot);
        }
    }
    Ok(found)
}
