//! The whole loop on real servers: a real Prometheus scrapes a real etcd, a Wasm policy wishes, the judge
//! checks, the plan is carried out, and every acknowledged write is still there at the end.

use plimsoll_tests::daemon::{Daemon, Wishes};
use plimsoll_tests::etcd::Rig;
use plimsoll_tests::load::Load;
use plimsoll_tests::watch::Watch;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(240);

#[tokio::test(flavor = "multi_thread")]
async fn follows_the_load_out_and_in_and_loses_no_write() -> anyhow::Result<()> {
    let mut rig = Rig::start(3, 7).await?;
    let prometheus = rig.prometheus().await?;
    let load = Load::start(&rig.endpoints(), "loop/", 15);
    let watch = Watch::start(&rig).await?;
    let mut daemon = Daemon::prepare(&rig, &prometheus, &Wishes::default())?;
    daemon.start()?;
    daemon.until("the first decision", PATIENCE, |status| status.last_decision.is_some()).await?;
    for (rate, size) in [(90, 5), (15, 3), (90, 5)] {
        load.set_rate(rate);
        let reached = |status: &plimsoll_wire::status::Status| {
            status.sizes.members == Some(size) && status.plan.is_none()
        };
        daemon.until(&format!("{size} members"), PATIENCE, reached).await?;
    }
    let findings = watch.finish(&rig).await?;
    println!("{} changes of membership: {:#?}", findings.changes.len(), findings.violations);
    assert_eq!(findings.violations, Vec::<String>::new());
    let acknowledged = load.finish().await;
    let lost = acknowledged.lost(&rig.endpoints()).await?;
    println!("{} writes acknowledged, {} lost", acknowledged.len(), lost.len());
    assert_eq!(lost, Vec::<String>::new());
    daemon.kill()
}
