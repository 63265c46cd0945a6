//! The whole loop on real brokers: a real Prometheus scrapes what a producer counts, a Wasm policy wishes by it, the judge
//! checks, the plan is carried out, and every acknowledged record is read where it should be.
//!
//! On the way the daemon is killed (`SIGKILL`) in the middle of a reassignment: once in each direction, with `PLIMSOLL_LONG=1`
//! at more moments and with 100 MiB. Its successor finishes the same plan.

use anyhow::Context as _;
use plimsoll_tests::kafka::Rig;
use plimsoll_tests::kafka::load::Load;
use plimsoll_tests::moment::Moment;
use plimsoll_tests::prometheus::{Exporter, PrometheusServer};
use plimsoll_tests::pursuit::pursue;
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(600);
const MIB: usize = 1024 * 1024;

fn is_long() -> bool {
    std::env::var("PLIMSOLL_LONG").is_ok_and(|value| value == "1")
}

/// What is to be hit on the way out, and on the way back, in this order.
fn aims() -> [Vec<Moment>; 2] {
    use Moment::{After, Before, While};
    if is_long() {
        return [
            vec![While("start", "add"), Before("spread"), After("spread")],
            vec![Before("cordon"), After("drain"), While("stop", "remove"), Before("pay-debt")],
        ];
    }
    [vec![After("spread")], vec![After("drain")]]
}

#[tokio::test(flavor = "multi_thread")]
async fn follows_the_producer_out_and_in_through_kills_and_loses_no_record() -> anyhow::Result<()> {
    let rig = Rig::start(3, 4)?;
    plimsoll_tests::process::wait_until("a topic can be made", PATIENCE, async || {
        rig.client("k1").await?.create("orders", 8, 3).await
    })
    .await?;
    let bytes = if is_long() { 100 * MIB } else { 24 * MIB };
    let load = Arc::new(Load::start(&rig, "orders", 8, bytes, 100).await?);
    let exporter = Exporter::start("")?;
    let prometheus = PrometheusServer::start(&[exporter.port()], "")?;
    let counted = load.clone();
    let counter = tokio::spawn(async move {
        loop {
            exporter.set(&format!("records_total {}\n", counted.acknowledged()));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    let mut daemon = rig.daemon(&prometheus.url())?;
    daemon.start()?;
    daemon.until("the first decision", PATIENCE, |status| status.last_decision.is_some()).await?;
    let [out, back] = aims();
    for (pace, size, moments) in [(400, 4, out), (100, 3, back)] {
        load.set_pace(pace);
        pursue(&mut daemon, size, moments, PATIENCE).await?;
    }
    counter.abort();
    let _ = counter.await;
    let load = Arc::into_inner(load).context("the counter holds it still")?;
    let failed = load.failed();
    let (acknowledged, lost) = load.finish().await?;
    println!("{acknowledged} records acknowledged, {failed} batches unanswered, {} lost", lost.len());
    assert!(acknowledged > 10_000 && lost.is_empty(), "{lost:?}");
    // Nothing of ours is left in the brokers' settings.
    let left = rig.client("k2").await?.settings(2).await?;
    let ours: Vec<&String> =
        left.iter().filter(|key| key.starts_with("plimsoll.") || key.contains("throttled")).collect();
    assert!(ours.is_empty(), "{ours:?}");
    daemon.kill()?;
    daemon.audit_is_sound()
}
