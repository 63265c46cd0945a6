//! The whole loop on real servers: a real Prometheus scrapes a real Redis Cluster, a Wasm policy wishes by what clients read, the
//! judge checks, shards come and go, and every write that a replica had confirmed is still there at the end.
//!
//! On the way the daemon is killed (`SIGKILL`) while the keys of one slot are being moved, once in each direction; with
//! `PLIMSOLL_LONG=1` in more phases. Its successor finds the slot open, finishes it, and finishes the same plan.

use plimsoll_tests::daemon::Daemon;
use plimsoll_tests::moment::Moment;
use plimsoll_tests::pursuit::{ended, kill_at, reaches};
use plimsoll_tests::redis::load::Load;
use plimsoll_tests::redis::{Rig, Wishes, slots_by_view};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(400);
/// The slot that takes seconds to move: the first to come to a new shard.
const LARGE: u16 = 16_383;
/// How many keys it has, and how many bytes each of them.
const KEYS: u32 = 2_000;
const BYTES: usize = 10_000;

/// One member for every 20 reads a second.
fn wishes() -> Wishes {
    Wishes {
        module: "target-utilization",
        settings: "{signal: reads, target: 20, type: AverageValue, window: 8s}",
        most: 8,
    }
}

/// When the daemon is killed.
#[derive(Clone, Copy, Debug)]
enum Strike {
    At(Moment),
    /// While this verb moves the keys of the large slot.
    InSlot(&'static str),
}

/// What is to be hit on the way out, and on the way back.
fn aims() -> [Vec<Strike>; 2] {
    use Moment::{After, Before, While};
    use Strike::{At, InSlot};
    if std::env::var("PLIMSOLL_LONG").is_ok_and(|value| value == "1") {
        return [
            vec![
                At(While("start", "add")),
                At(Before("admit")),
                At(After("admit")),
                At(Before("spread")),
                InSlot("spread"),
                At(After("spread")),
            ],
            vec![
                At(Before("cordon")),
                At(After("cordon")),
                InSlot("drain"),
                At(Before("deregister")),
                At(While("stop", "remove")),
                At(After("deregister")),
            ],
        ];
    }
    [vec![InSlot("spread")], vec![InSlot("drain")]]
}

#[tokio::test(flavor = "multi_thread")]
async fn follows_the_reads_out_and_in_through_kills_and_loses_no_confirmed_write() -> anyhow::Result<()> {
    let mut rig = Rig::start(3, 8)?;
    rig.fill(LARGE, KEYS, BYTES).await?;
    let prometheus = rig.prometheus().await?;
    let load = Load::start(rig.ports(), 100, 100);
    let mut daemon = rig.daemon(&prometheus, &wishes())?;
    daemon.start()?;
    daemon.until("the first decision", PATIENCE, |status| status.last_decision.is_some()).await?;
    let [out, back] = aims();
    for (reads, size, strikes) in [(155, 8, out), (60, 6, back)] {
        load.set_reads(reads);
        follow(&rig, &mut daemon, size, strikes).await?;
        for slot in ["p1", "p4", "p6"] {
            let owned = slots_by_view(rig.port(slot)?).await?;
            let shards = usize::try_from(size)? / 2;
            assert_eq!((owned.len(), owned.values().sum::<usize>()), (shards, 16_384), "{slot} {owned:?}");
            let share = 16_384 / shards;
            assert!(owned.values().all(|slots| slots.abs_diff(share) <= share / 50 + 1), "{slot} {owned:?}");
        }
    }
    assert_eq!(rig.keys(LARGE).await?, u64::from(KEYS));
    let failed = load.failed();
    let balance = load.finish().await?;
    println!("{} keys, {failed} commands failed, {} lost", balance.keys, balance.lost.len());
    assert!(balance.keys > 0 && balance.lost.is_empty(), "{:?}", balance.lost);
    daemon.kill()?;
    daemon.audit_is_sound()
}

/// Waits until the target has a size, and kills the daemon at each moment on the way.
async fn follow(rig: &Rig, daemon: &mut Daemon, size: u32, strikes: Vec<Strike>) -> anyhow::Result<()> {
    let before = ended(daemon)?;
    for strike in strikes {
        match strike {
            Strike::At(moment) => kill_at(daemon, moment, PATIENCE).await?,
            Strike::InSlot(verb) => kill_half_way(rig, daemon, verb).await?,
        }
    }
    reaches(daemon, size, before, PATIENCE).await
}

/// Kills the daemon while a verb moves the keys of the large slot, and starts it again.
async fn kill_half_way(rig: &Rig, daemon: &mut Daemon, verb: &'static str) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let journal = daemon.journal()?;
        let begun = journal.as_ref().is_some_and(|journal| Moment::Before(verb).is(journal));
        if begun && rig.is_half_way(LARGE).await? {
            break;
        }
        anyhow::ensure!(Instant::now() < deadline, "{verb} was missed: {journal:#?}\n{}", daemon.tail());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    daemon.kill()?;
    println!("killed half way through {verb}");
    anyhow::ensure!(rig.is_half_way(LARGE).await?, "the slot was finished in that very moment");
    daemon.start()
}
