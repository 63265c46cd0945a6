//! The whole loop on real servers: a real Prometheus scrapes real PostgreSQL members, a Wasm policy wishes by the rows that
//! clients read, the judge checks, the plan is carried out, and every acknowledged commit is still there at the end.
//!
//! On the way the daemon is killed (`SIGKILL`): once in each direction, with `PLIMSOLL_LONG=1` in more phases. Its successor
//! finishes the same plan.

use plimsoll_tests::moment::Moment;
use plimsoll_tests::postgres::load::Load;
use plimsoll_tests::postgres::watch::Watch;
use plimsoll_tests::postgres::{Rig, Wishes};
use plimsoll_tests::pursuit::pursue;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(400);

/// One member for every 60 rows a second.
fn wishes() -> Wishes {
    Wishes {
        module: "target-utilization",
        settings: "{signal: reads, target: 60, type: AverageValue, window: 8s}",
        safety: Vec::new(),
    }
}

/// What is to be hit on the way out, and on the way back; in this order, and in whichever unit it comes. While reads rise, the
/// policy may wish for one member more and then for another, each by a plan of its own.
fn aims() -> [Vec<Moment>; 2] {
    use Moment::{After, Before, While};
    if std::env::var("PLIMSOLL_LONG").is_ok_and(|value| value == "1") {
        return [
            vec![Before("register"), While("start", "add"), Before("promote"), After("promote")],
            vec![Before("cordon"), While("stop", "remove"), Before("pay-debt"), After("cordon")],
        ];
    }
    [vec![While("start", "add")], vec![While("stop", "remove")]]
}

#[tokio::test(flavor = "multi_thread")]
async fn follows_the_reads_out_and_in_through_kills_and_loses_no_commit() -> anyhow::Result<()> {
    let mut rig = Rig::start(2, 5).await?;
    let prometheus = rig.prometheus().await?;
    let load = Load::start(&rig, 20, 30);
    let watch = Watch::start(&rig);
    let mut daemon = rig.daemon(&prometheus, &wishes())?;
    daemon.start()?;
    daemon.until("the first decision", PATIENCE, |status| status.last_decision.is_some()).await?;
    let [out, back] = aims();
    for (reads, size, moments) in [(300, 4, out), (30, 2, back), (300, 4, Vec::new())] {
        load.set_reads(reads);
        pursue(&mut daemon, size, moments, PATIENCE).await?;
    }
    let found = watch.finish().await?;
    println!("{} polls; sets {:?}; {:#?}", found.polls, found.sets, found.violations);
    assert!(found.violations.is_empty());
    assert_eq!(found.primaries, ["p1"]);
    assert!(found.sets.iter().any(|set| set == "ANY 1 (p2)") && found.sets.len() >= 7, "{:?}", found.sets);
    let failed = load.failed();
    let (acknowledged, lost) = load.finish().await?;
    println!("{acknowledged} commits acknowledged, {failed} unanswered, {} lost", lost.len());
    assert!(acknowledged > 0 && lost.is_empty(), "{lost:?}");
    // Nothing is left of those that went.
    let slots =
        "SELECT string_agg(slot_name || ' ' || active, ', ' ORDER BY slot_name) FROM pg_replication_slots";
    assert_eq!(rig.ask("p1", slots).await?, "p2 true, p3 true, p4 true");
    daemon.kill()?;
    daemon.audit_is_sound()
}
