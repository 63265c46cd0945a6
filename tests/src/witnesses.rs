//! The witnesses of what is done to an etcd in pods: a client that writes and remembers, and a watcher of every change
//! of membership.

use crate::kube::EtcdPods;
use crate::load::Load;
use crate::watch::Watch;

/// Writes a second.
const RATE: u32 = 30;

/// They see everything from when they are called until they are heard.
#[derive(Debug)]
pub struct Witnesses {
    founders: Vec<String>,
    load: Load,
    watch: Watch,
}

impl Witnesses {
    /// Calls them. What is written begins with `keys`.
    ///
    /// # Errors
    /// When the members cannot be reached.
    pub async fn call(etcd: &EtcdPods, keys: &str) -> anyhow::Result<Self> {
        let founders = etcd.endpoints()();
        let load = Load::start(&founders, keys, RATE);
        let watch = Watch::over(etcd.endpoints(), etcd.gone()).await?;
        Ok(Self { founders, load, watch })
    }

    /// Hears them: how many changes of membership there were. The founders are still there, and have every key.
    ///
    /// # Errors
    /// When a change broke a rule, when nothing was written, or when a write that was acknowledged is lost.
    pub async fn hear(self, etcd: &EtcdPods) -> anyhow::Result<usize> {
        let findings = self.watch.finish_with(&etcd.logs()?).await?;
        println!("{} changes of membership: {:#?}", findings.changes.len(), findings.violations);
        anyhow::ensure!(findings.violations.is_empty(), "{:#?}", findings.violations);
        let acknowledged = self.load.finish().await;
        let lost = acknowledged.lost(&self.founders).await?;
        println!("{} writes acknowledged, {} lost", acknowledged.len(), lost.len());
        anyhow::ensure!(!acknowledged.is_empty(), "nothing was written");
        anyhow::ensure!(lost.is_empty(), "lost: {lost:?}");
        Ok(findings.changes.len())
    }
}
